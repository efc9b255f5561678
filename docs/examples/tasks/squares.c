/* SPDX-License-Identifier: BSD-3-Clause */
/* Two tasks: one fills a buffer of the runtime's heap with squares, the other adds them up. */
#include <inttypes.h>
#include <stdio.h>

#include "bus/task.h"

static int fill(const struct fnx_call *call, void *context)
{
	uint64_t *out = fnx_call_data(call, 0);

	(void)context;
	for (uint32_t i = 0; i < call->tensors[0].shape[0]; i++)
		out[i] = (call->scalars[0] + i) * (call->scalars[0] + i);
	return 0;
}

static int add_up(const struct fnx_call *call, void *context)
{
	const uint64_t *in = fnx_call_data(call, 0);
	uint64_t *sum = fnx_call_data(call, 1);

	(void)context;
	*sum = 0;
	for (uint32_t i = 0; i < call->tensors[0].shape[0]; i++)
		*sum += in[i];
	return 0;
}

int main(void)
{
	const struct fnx_task_kernel kernels[] = {
		{"fill", 0, fill, NULL, 0}, {"add_up", 0, add_up, NULL, 0}};
	struct fnx_task_config config = {.kinds = {{.name = "compute", .n_threads = 2}},
		.n_kinds = 1,
		.kernels = kernels,
		.n_kernels = 2};
	struct fnx_region eight = {.element_size = 8, .n_dims = 1, .shape = {8}};
	struct fnx_task_problem problem;
	struct fnx_task_runtime *rt;
	uint64_t sum = 0, task;
	int r = fnx_task_runtime_open(&config, &problem, &rt);

	if (r)
		return 1;
	struct fnx_task_arg first[] = {{.access = FNX_TASK_SCALAR, .scalar = 1},
		{.access = FNX_TASK_OUTPUT, .region = eight}};
	r = fnx_task_scope_begin(rt);
	if (!r)
		r = fnx_task_submit(rt, 0, first, 2, NULL);
	/* first[1].region now says where the runtime has put it. */
	struct fnx_task_arg second[] = {{.access = FNX_TASK_INPUT, .region = first[1].region},
		{.access = FNX_TASK_OUTPUT, .region = {.base = &sum, .element_size = 8}}};
	if (!r)
		r = fnx_task_submit(rt, 1, second, 2, &task);
	if (!r)
		r = fnx_task_wait(rt, task, -1);
	fnx_task_scope_end(rt);
	fnx_task_runtime_close(rt);
	printf("%" PRIu64 "\n", sum);
	return r || sum != 204;
}
