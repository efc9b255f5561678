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
	FNX_DECISION_RUN_LIMITED = 6, /* as many tasks as one run may have */
	FNX_DECISION_NOT_TARGET = 7, /* instructive: another arm is wanted now */
	FNX_DECISION_SHAM = 8, /* held back on purpose */
	FNX_DECISION_UNATTENDED = 9, /* who armed it has not been heard of */
	FNX_DECISION_STALE = 10, /* what it rests on is too old */
	FNX_DECISION_FLAGGED = 11, /* made from late or incomplete input, now or just before */
	FNX_DECISION_STALLED = 12, /* the source stood still just before, or has no steady pace */
	FNX_DECISION_NOT_REPEATED = 13, /* a predecessor that died may have been at it */
};

#define FNX_DECISION_EXTENTS(EXTENT)
#define FNX_DECISION_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(int64_t, cause_seq, "", "sequence number of the frame that made the rule fire") \
	SCALAR(int64_t, cause_publish_ns, "ns", "when that frame was published") \
	SCALAR(int64_t, latency_ns, "ns", "from the sample that caused it until it was decided") \
	SCALAR(int64_t, age_ns, "ns", "of what it rests on, behind the source's pace too") \
	SCALAR(double, target_mass, "", "replay: mean posterior mass in the target region") \
	SCALAR(double, other_mass, "", "replay: highest mean mass of another arm") \
	SCALAR(double, speed, "cm/s", "speed of the animal") \
	SCALAR(double, head_deg, "deg", "head direction: angle of the head") \
	SCALAR(int32_t, arm, "", "replay: the arm, -1 for other rules") \
	SCALAR(int32_t, position_bin, "bin", "where the animal is, -1") \
	SCALAR(int32_t, target_arm, "", "instructive: the arm that is wanted, -1") \
	SCALAR(uint32_t, rule, "", "index of the rule in the rig") \
	SCALAR(uint32_t, task, "", "number handed to the actuators") \
	SCALAR(uint32_t, outcome, "", \
		"0 acted, 1 disarmed, 2 dry run, 3 locked out, 4 rate, 5 failed, 6 run limit, " \
		"7 not target, 8 sham, 9 unattended, 10 stale, 11 flagged, 12 stalled, 13 repeat") \
	SCALAR(uint32_t, verdict, "", "outcome by sample time alone; the same when replayed") \
	SCALAR(uint32_t, n_groups, "", "electrode groups or electrodes that spoke for it") \
	SCALAR(uint32_t, rules_true, "", "bit k: rule k is true") \
	SCALAR(uint32_t, reserved, "", "0") \
	TEXT(rule_name, 32, "name of the rule in the rig")

#define FNX_SCHEMA_SELF decision
FNX_SCHEMA(decision, FNX_DECISION_EXTENTS, FNX_DECISION_FIELDS)
#undef FNX_SCHEMA_SELF
