/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * decision.outcome: what became of a task at one actuator. Published by dispatch, once for each
 * actuator that a decision gave its task to, as soon as that is known and a frame passes: so at a
 * sample time of its own, later than the decision's, and not the same when replayed.
 */
#pragma once

#include "schemas/schema.h"

enum fnx_outcome_fate {
	FNX_OUTCOME_TOLD =
		0, /* carried out, and confirmed where there is something that confirms */
	FNX_OUTCOME_FAILED = 1, /* it was not carried out */
	FNX_OUTCOME_UNCONFIRMED = 2, /* sent, and no answer came in time */
	FNX_OUTCOME_EXPIRED = 3, /* its turn came too late, or never: it was not carried out */
	FNX_OUTCOME_LOST = 4, /* dispatch was killed before its turn: it was not carried out */
	FNX_OUTCOME_UNKNOWN =
		5, /* dispatch was killed, the actuator hung, or the session ended, while
				    it was at it */
	FNX_OUTCOME_FATES
};

#define FNX_OUTCOME_EXTENTS(EXTENT)
#define FNX_OUTCOME_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(int64_t, decision_seq, "", "sequence number of the decision") \
	SCALAR(int64_t, decision_sample_time, "sample", "its sample time") \
	SCALAR(int64_t, cause_publish_ns, "ns", "when the frame that caused it was published") \
	SCALAR(int64_t, begun_ns, "ns", "when telling it began last, 0: never or not known") \
	SCALAR(int64_t, told_ns, "ns", "when the actuator was told, 0: never or not known") \
	SCALAR(int64_t, ended_ns, "ns", "when that was settled") \
	SCALAR(uint32_t, actuator, "", "index of the actuator in the rig") \
	SCALAR(uint32_t, fate, "", \
		"0 told, 1 failed, 2 unconfirmed, 3 expired, 4 lost, 5 unknown") \
	SCALAR(int32_t, error, "", "negative errno that goes with it, 0") \
	SCALAR(uint32_t, rule, "", "index of the rule in the rig") \
	SCALAR(uint32_t, task, "", "number handed to the actuator") \
	SCALAR(uint32_t, reserved, "", "0")

#define FNX_SCHEMA_SELF outcome
FNX_SCHEMA(outcome, FNX_OUTCOME_EXTENTS, FNX_OUTCOME_FIELDS)
#undef FNX_SCHEMA_SELF
