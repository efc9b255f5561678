/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each width is a function of its own, chosen at each call: the question costs a nanosecond, and
 * unlike resolvers that run when the program is loaded it works under every sanitizer. 64-byte
 * vectors on a processor without them would live in memory; hence a width for each.
 */
#include "nodes/host/lanes.h"

enum fnx_processor fnx_processor(void)
{
#ifdef __x86_64__
	/* x86-64-v4, spelt out for compilers that do not know it by name */
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl"))
		return FNX_PROCESSOR_X86_64_V4;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return FNX_PROCESSOR_AVX2;
#endif
	return FNX_PROCESSOR_ANY;
}

#define LANES_BYTES 16
#include "nodes/host/lanes_width.h"

static void exp_any(double *values, size_t n)
{
	LANES(f64) *lanes = (LANES(f64) *)values;

	for (size_t i = 0; i < n * sizeof(double) / LANES_BYTES; i++)
		LANES(exp)(&lanes[i], &lanes[i]);
}

#ifdef __x86_64__
#undef LANES_BYTES
#undef LANES_TARGET
#define LANES_BYTES 32
#define LANES_TARGET __attribute__((target("avx2,fma")))
#include "nodes/host/lanes_width.h"

LANES_TARGET static void exp_avx2(double *values, size_t n)
{
	LANES(f64) *lanes = (LANES(f64) *)values;

	for (size_t i = 0; i < n * sizeof(double) / LANES_BYTES; i++)
		LANES(exp)(&lanes[i], &lanes[i]);
}

#undef LANES_BYTES
#undef LANES_TARGET
#define LANES_BYTES 64
#define LANES_TARGET __attribute__((target("arch=x86-64-v4")))
#include "nodes/host/lanes_width.h"

LANES_TARGET static void exp_v4(double *values, size_t n)
{
	LANES(f64) *lanes = (LANES(f64) *)values;

	for (size_t i = 0; i < n * sizeof(double) / LANES_BYTES; i++)
		LANES(exp)(&lanes[i], &lanes[i]);
}
#endif

void fnx_exp_all(double *values, size_t n)
{
	switch (fnx_processor()) {
#ifdef __x86_64__
	case FNX_PROCESSOR_X86_64_V4:
		exp_v4(values, n);
		break;
	case FNX_PROCESSOR_AVX2:
		exp_avx2(values, n);
		break;
#endif
	default:
		exp_any(values, n);
	}
}
