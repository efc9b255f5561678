/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of tasks share: a kernel whose result depends on every element it reads, the same
 * kernel run on a model's memory, and runtimes. */
#pragma once

#include "bus/task.h"

#include "tests/unit/bus/bus_fixture.h"

#include <stdatomic.h>

static const int64_t task_deadline_ns = CHECK_PATIENCE_NS;

__attribute__((unused)) static uint64_t stir(uint64_t h, uint64_t value)
{
	h = (h ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

__attribute__((unused)) static uint64_t tensor_size(const struct fnx_call_tensor *t)
{
	uint64_t n = 1;

	for (unsigned i = 0; i < t->n_dims; i++)
		n *= t->shape[i];
	return n;
}

/* The k-th element in the order of the last dimension first. */
__attribute__((unused)) static uint64_t *tensor_at(
	const struct fnx_call *call, unsigned tensor, uint64_t k)
{
	const struct fnx_call_tensor *t = &call->tensors[tensor];
	unsigned char *at = fnx_call_data(call, tensor);

	for (unsigned i = t->n_dims; i-- > 0; k /= t->shape[i])
		at += k % t->shape[i] * t->strides[i];
	return (uint64_t *)(void *)at;
}

/* Reads all that it may read, then writes all that it may write. scalars[0] is the number of parts
 * that share the writing, and each sees all inputs. */
__attribute__((unused)) static void stir_call(const struct fnx_call *call)
{
	uint64_t h = 77, n_parts = call->scalars[0];

	for (unsigned i = 0; i < call->n_scalars; i++)
		h = stir(h, call->scalars[i]);
	for (unsigned i = 0; i < call->n_tensors; i++)
		if (call->tensors[i].access != FNX_TASK_OUTPUT)
			for (uint64_t k = 0; k < tensor_size(&call->tensors[i]); k++)
				h = stir(h, *tensor_at(call, i, k));
	for (unsigned i = 0; i < call->n_tensors; i++)
		if (call->tensors[i].access != FNX_TASK_INPUT)
			for (uint64_t k = call->part; k < tensor_size(&call->tensors[i]);
				k += n_parts)
				*tensor_at(call, i, k) = stir(h, i << 16 | k);
}

__attribute__((unused)) static int run_stir(const struct fnx_call *call, void *context)
{
	if (context)
		atomic_fetch_add((_Atomic uint64_t *)context, 1);
	stir_call(call);
	return 0;
}

/* A region of `n` 64-bit words. */
__attribute__((unused)) static struct fnx_task_arg words(
	enum fnx_task_access access, void *base, uint64_t first, uint32_t n)
{
	return (struct fnx_task_arg){.access = access,
		.region = {.base = base,
			.offset = first * 8,
			.element_size = 8,
			.n_dims = 1,
			.shape = {n}}};
}

__attribute__((unused)) static struct fnx_task_arg scalar(uint64_t value)
{
	return (struct fnx_task_arg){.access = FNX_TASK_SCALAR, .scalar = value};
}

__attribute__((unused)) static struct fnx_task_runtime *open_runtime(
	const struct fnx_task_config *config)
{
	struct fnx_task_problem problem = {0};
	struct fnx_task_runtime *rt = NULL;
	int r = fnx_task_runtime_open(config, &problem, &rt);

	if (r)
		print_message("%s: %s\n", strerror(-r), problem.text);
	assert_int_equal(r, 0);
	return rt;
}

/* Everything has run, once, and both rings are empty. */
__attribute__((unused)) static void check_empty(struct fnx_task_runtime *rt)
{
	struct fnx_task_stats stats;

	assert_int_equal(fnx_task_drain(rt, task_deadline_ns), 0);
	fnx_task_stats(rt, &stats);
	assert_int_equal(stats.last_released, stats.n_submitted);
	assert_int_equal(stats.last_consumed, stats.n_submitted);
	for (unsigned i = 0; i < FNX_TASK_RINGS; i++)
		assert_int_equal(stats.rings[i].used, 0);
	assert_int_equal(stats.n_illegal, 0);
}
