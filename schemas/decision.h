/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * decision: a rule fired. Published by dispatch whether or not anything was done about it; the
 * sample time is that of the frame which made the rule fire.
 */
#pragma once

#include "schemas/schema.h"

enum fnx_decision_outcome {
	FNX_DECISION_ACTED = 0,
	FNX_DECISION_DISARMED = 1,
	FNX_DECISION_DRY_RUN = 2,
	FNX_DECISION_LOCKED_OUT = 3, /* too soon after the last task */
	FNX_DECISION_RATE_LIMITED = 4, /* too many tasks in the last minute */
	FNX_DECISION_ACTUATOR_FAILED = 5,
};

#define FNX_DECISION_EXTENTS(EXTENT)
#define FNX_DECISION_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(int64_t, cause_seq, "", "sequence number of the frame that made the rule fire") \
	SCALAR(int64_t, cause_publish_ns, "ns", "when that frame was published") \
	SCALAR(double, target_mass, "", "replay: mean posterior mass in the target region") \
	SCALAR(double, other_mass, "", "replay: highest mean mass of another arm") \
	SCALAR(double, speed, "cm/s", "speed of the animal") \
	SCALAR(int32_t, arm, "", "replay: the arm, -1 for ripple rules") \
	SCALAR(int32_t, position_bin, "bin", "where the animal is, -1") \
	SCALAR(uint32_t, rule, "", "index of the rule in the rig") \
	SCALAR(uint32_t, task, "", "number handed to the actuators") \
	SCALAR(uint32_t, outcome, "", \
		"0 acted, 1 disarmed, 2 dry run, 3 locked out, 4 rate limited, 5 actuator failed") \
	SCALAR(uint32_t, n_groups, "", "electrode groups or electrodes that spoke for it") \
	TEXT(rule_name, 32, "name of the rule in the rig")

#define FNX_SCHEMA_SELF decision
FNX_SCHEMA(decision, FNX_DECISION_EXTENTS, FNX_DECISION_FIELDS)
#undef FNX_SCHEMA_SELF
