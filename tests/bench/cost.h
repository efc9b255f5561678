/* SPDX-License-Identifier: BSD-3-Clause */
/* What frames cost fornix within one thread, nobody sleeping. */
#pragma once

/* Nanoseconds per frame of 64 bytes, publish alone, with `n_subscribers` lossless ones that take
 * everything between two batches; negative: failed. `dir`: for the bus. */
double bench_cost_publish(const char *dir, unsigned n_subscribers);
/* Publish and take, frame by frame. */
double bench_cost_publish_and_take(const char *dir);
