/* SPDX-License-Identifier: BSD-3-Clause */
/* Every way of passing messages that some build of the bench can have. */
#pragma once

#include "tests/bench/bench.h"

extern const struct bench_peer bench_floor_line, bench_floor_two_lines, bench_floor_futex,
	bench_floor_eventfd, bench_floor_pipe;
extern const struct bench_peer bench_fornix;
extern const struct bench_peer bench_zmq, bench_zmq_inproc;
extern const struct bench_peer bench_nng;
extern const struct bench_peer bench_redis;
extern const struct bench_peer bench_iceoryx;
extern const struct bench_peer bench_dds;
extern const struct bench_peer bench_mpi;
int bench_mpi_rank(struct bench_run *run);
