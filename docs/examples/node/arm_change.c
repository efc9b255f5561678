/* SPDX-License-Identifier: BSD-3-Clause */
/* arm_change: publishes a decision whenever the decoded arm changes. A complete node;
 * docs/write-a-node.md explains it. */
#include <errno.h>
#include <stdlib.h>

#include "nodes/host/node.h"
#include "schemas/decision.h"
#include "schemas/posterior.h"

struct arm_change {
	struct fnx_node *node;
	int output;
	int32_t *arm; /* decoded last; in shared memory, where a successor finds it */
};

static int arm_change_open(struct fnx_node *node, void **ret_self)
{
	struct arm_change *self;
	int output;

	if (fnx_node_input(node, "posterior", &fnx_posterior_schema, 0) < 0)
		return -ENOSPC;
	output = fnx_node_output(node, "arm_change", &fnx_decision_schema, NULL, 1);
	if (output < 0)
		return output;
	self = calloc(1, sizeof(*self));
	if (!self)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	*self = (struct arm_change){.node = node, .output = output};
	self->arm = fnx_node_state(node, sizeof(*self->arm), sizeof(*self->arm));
	if (!self->arm) {
		free(self);
		return -ENOMEM;
	}
	if (!fnx_node_remembers(node))
		*self->arm = -1;
	*ret_self = self;
	return 0;
}

static void arm_change_frame(void *data, unsigned input, const struct fnx_frame *frame)
{
	const struct fnx_posterior *posterior = frame->payload;
	struct arm_change *self = data;
	struct fnx_decision *decision;

	(void)input;
	if (posterior->decoded_arm == *self->arm)
		return;
	fnx_journal_touch(fnx_node_journal(self->node), self->arm, sizeof(*self->arm));
	*self->arm = posterior->decoded_arm;
	decision = fnx_node_loan(self->node, (unsigned)self->output);
	if (!decision)
		return;
	*decision = (struct fnx_decision){
		.cause_seq = (int64_t)frame->seq,
		.cause_publish_ns = frame->stamp.publish_ns,
		.speed = posterior->speed,
		.arm = *self->arm,
		.position_bin = posterior->position_bin,
		.target_arm = -1,
		.outcome = FNX_DECISION_DRY_RUN, /* nothing is done about it */
		.rule_name = "arm change",
	};
	fnx_node_publish(self->node, (unsigned)self->output, frame->stamp.sample_time);
}

static const struct fnx_node_ops arm_change_ops = {
	.type = "arm_change",
	.summary = "tells when the decoded arm changes",
	.open = arm_change_open,
	.frame = arm_change_frame,
	.close = free,
};

int main(int argc, char **argv)
{
	return fnx_host_main(argc, argv, &arm_change_ops);
}
