/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What bench_kernels measures: each case sets up one of our kernels on made-up data, and writes the
 * same data as raw doubles to files from which reference.py sets up its own.
 *
 * One thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum bench_precision {
	BENCH_DOUBLE,
	BENCH_STEPS, /* single: int32, steps of the kernel */
	BENCH_COUNTS, /* single: counts of the amplifier */
};

struct bench_case {
	const char *name; /* of our figure, and of the ratio */
	const char *reference; /* what reference.py calls it, NULL: has none */
	const char *what; /* for people */
	double goal; /* least ratio, 0: none */
	double tolerance; /* largest absolute difference from the reference's result */
	double marks, dims; /* encode: what is stored */
	uint32_t sizes[4]; /* as the set-up of its kind takes them */
	/* NULL: out of memory, or `directory` cannot be written to. */
	void *(*open)(const struct bench_case *bench, const char *directory);
	void (*close)(void *self);
	void (*call)(void *self);
	/* The latest call's numbers, *ret_n of them. */
	const double *(*result)(void *self, size_t *ret_n);
};

extern const struct bench_case bench_cases[];
extern const unsigned n_bench_cases;
