/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the machine could do at best, one core: the ceilings of the roofline. Each figure is the
 * best of several short runs, since a ceiling is what nothing has disturbed.
 */
#pragma once

#include <stddef.h>

struct bench_machine {
	double l1_bytes_per_ns, memory_bytes_per_ns; /* reading 16 KiB, 256 MiB over and over */
	double separate_per_ns; /* single-precision multiplications and additions, rounded each: the
				   form that our kernels are written in */
	double fused_per_ns; /* the same fused, 2 per instruction; 0: the machine has none */
};

/* Takes about a second. -ENOMEM. */
int bench_machine_measure(struct bench_machine *ret_machine);

/* Bytes per ns at which `size` bytes, at most 256 MiB, can be read over and over. -ENOMEM. */
int bench_machine_read(size_t size, double *ret_bytes_per_ns);
