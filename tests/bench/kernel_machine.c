/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading is a sum over vectors with enough accumulators to hide the additions; arithmetic is as
 * many independent chains as there are registers. Vectors are 64 bytes where the machine has them,
 * else 32 or 16, as in nodes/host/lanes.
 */
#include "tests/bench/kernel_machine.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nodes/host/lanes.h"

enum {
	N_CHAINS = 12,
	N_STEPS = 20000,
	N_TRIES = 15,
	L1_SIZE = 16 << 10,
	MEMORY_SIZE = 256 << 20,
};

static volatile float sink;

#define ANY
#define MACHINE(name, bytes, TARGET) \
	typedef float name##_vector __attribute__((vector_size(bytes))); \
	TARGET static void name##_read(const void *memory, size_t size) \
	{ \
		const name##_vector *from = memory; \
		name##_vector sums[8] = {{0}}; \
		for (size_t i = 0; i < size / (bytes); i += 8) \
			for (size_t k = 0; k < 8; k++) \
				sums[k] += from[i + k]; \
		sink = ((sums[0] + sums[1]) + (sums[2] + sums[3]) + (sums[4] + sums[5]) + \
			(sums[6] + sums[7]))[0]; \
	} \
	TARGET static void name##_compute(float factor, float term) \
	{ \
		name##_vector chains[N_CHAINS], f = (name##_vector){0} + factor; \
		name##_vector t = (name##_vector){0} + term; \
		for (int k = 0; k < N_CHAINS; k++) \
			chains[k] = t * (float)k; \
		for (int i = 0; i < N_STEPS; i++) \
			for (int k = 0; k < N_CHAINS; k++) \
				chains[k] = chains[k] * f + t; \
		for (int k = 1; k < N_CHAINS; k++) \
			chains[0] += chains[k]; \
		sink = chains[0][0]; \
	}

MACHINE(any, 16, ANY)
#ifdef __x86_64__
MACHINE(avx2, 32, __attribute__((target("avx2"))))
MACHINE(v4, 64, __attribute__((target("arch=x86-64-v4"))))

typedef float fused_vector __attribute__((vector_size(32)));

__attribute__((target("avx2,fma"))) static void fused_compute(float factor, float term)
{
	fused_vector chains[N_CHAINS], f = (fused_vector){0} + factor;
	fused_vector t = (fused_vector){0} + term;

	for (int k = 0; k < N_CHAINS; k++)
		chains[k] = t * (float)k;
	for (int i = 0; i < N_STEPS; i++)
		for (int k = 0; k < N_CHAINS; k++)
			chains[k] = __builtin_ia32_vfmaddps256(chains[k], f, t);
	for (int k = 1; k < N_CHAINS; k++)
		chains[0] += chains[k];
	sink = chains[0][0];
}
#endif

struct form {
	void (*read)(const void *memory, size_t size);
	void (*compute)(float factor, float term);
	double lanes;
};

static struct form form_of_machine(void)
{
	switch (fnx_processor()) {
#ifdef __x86_64__
	case FNX_PROCESSOR_X86_64_V4:
		return (struct form){v4_read, v4_compute, 16};
	case FNX_PROCESSOR_AVX2:
		return (struct form){avx2_read, avx2_compute, 8};
#endif
	default:
		return (struct form){any_read, any_compute, 4};
	}
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Bytes per ns of the best try; small pieces are read often enough to be timed. */
static double best_read(const struct form *form, const void *memory, size_t size)
{
	const int n_times = size >= 8 << 20 ? 1 : (int)((8 << 20) / size);
	double best = 0.0;

	for (int i = 0; i < N_TRIES; i++) {
		const double start = now_ns();
		double rate;

		for (int k = 0; k < n_times; k++)
			form->read(memory, size);
		rate = (double)size * n_times / (now_ns() - start);
		best = rate > best ? rate : best;
	}
	return best;
}

static double best_compute(void (*compute)(float, float), double lanes)
{
	double best = 0.0;

	for (int i = 0; i < N_TRIES; i++) {
		const double start = now_ns();
		double rate;

		compute(0.999f, 1e-3f);
		rate = 2.0 * lanes * N_CHAINS * N_STEPS / (now_ns() - start);
		best = rate > best ? rate : best;
	}
	return best;
}

int bench_machine_read(size_t size, double *ret_bytes_per_ns)
{
	const struct form form = form_of_machine();
	const size_t whole = (size + 511) / 512 * 512;
	void *memory = aligned_alloc(512, whole);

	if (!memory)
		return -ENOMEM;
	memset(memory, 1, whole);
	*ret_bytes_per_ns = best_read(&form, memory, whole);
	free(memory);
	return 0;
}

int bench_machine_measure(struct bench_machine *ret_machine)
{
	const struct form form = form_of_machine();
	struct bench_machine machine = {.separate_per_ns = best_compute(form.compute, form.lanes)};
	int r;

#ifdef __x86_64__
	if (__builtin_cpu_supports("fma"))
		machine.fused_per_ns = best_compute(fused_compute, 8);
#endif
	r = bench_machine_read(L1_SIZE, &machine.l1_bytes_per_ns);
	if (!r)
		r = bench_machine_read(MEMORY_SIZE, &machine.memory_bytes_per_ns);
	if (!r)
		*ret_machine = machine;
	return r;
}
