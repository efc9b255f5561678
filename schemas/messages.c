/* SPDX-License-Identifier: BSD-3-Clause */
/* The description of every message, made from the same tables as the structs. */
#include "schemas/decision.h"
#include "schemas/lfp.h"
#include "schemas/likelihood.h"
#include "schemas/outcome.h"
#include "schemas/param.h"
#include "schemas/position.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"
#include "schemas/spike.h"
#include "schemas/truth.h"

/* clang-format off */
#define FNX_SCHEMA_SELF decision
FNX_SCHEMA_DEFINE(decision, FNX_DECISION_EXTENTS, FNX_DECISION_FIELDS)
#undef FNX_SCHEMA_SELF

#define FNX_SCHEMA_SELF lfp
FNX_SCHEMA_DEFINE(lfp, FNX_LFP_EXTENTS, FNX_LFP_FIELDS)
#undef FNX_SCHEMA_SELF

#define FNX_SCHEMA_SELF likelihood
FNX_SCHEMA_DEFINE(likelihood, FNX_LIKELIHOOD_EXTENTS, FNX_LIKELIHOOD_FIELDS)
#undef FNX_SCHEMA_SELF

#define FNX_SCHEMA_SELF outcome
FNX_SCHEMA_DEFINE(outcome, FNX_OUTCOME_EXTENTS, FNX_OUTCOME_FIELDS)
#undef FNX_SCHEMA_SELF

#define FNX_SCHEMA_SELF param
FNX_SCHEMA_DEFINE(param, FNX_PARAM_EXTENTS, FNX_PARAM_FIELDS)
#undef FNX_SCHEMA_SELF

#define FNX_SCHEMA_SELF position
FNX_SCHEMA_DEFINE(position, FNX_POSITION_EXTENTS, FNX_POSITION_FIELDS)
#undef FNX_SCHEMA_SELF

#define FNX_SCHEMA_SELF posterior
FNX_SCHEMA_DEFINE(posterior, FNX_POSTERIOR_EXTENTS, FNX_POSTERIOR_FIELDS)
#undef FNX_SCHEMA_SELF

#define FNX_SCHEMA_SELF ripple
FNX_SCHEMA_DEFINE(ripple, FNX_RIPPLE_EXTENTS, FNX_RIPPLE_FIELDS)
#undef FNX_SCHEMA_SELF

#define FNX_SCHEMA_SELF spike
FNX_SCHEMA_DEFINE(spike, FNX_SPIKE_EXTENTS, FNX_SPIKE_FIELDS)
#undef FNX_SCHEMA_SELF

#define FNX_SCHEMA_SELF truth
FNX_SCHEMA_DEFINE(truth, FNX_TRUTH_EXTENTS, FNX_TRUTH_FIELDS)
#undef FNX_SCHEMA_SELF
/* clang-format on */

const struct fnx_schema *const fnx_schemas[] = {
	&fnx_spike_schema,
	&fnx_lfp_schema,
	&fnx_position_schema,
	&fnx_truth_schema,
	&fnx_ripple_schema,
	&fnx_likelihood_schema,
	&fnx_posterior_schema,
	&fnx_decision_schema,
	&fnx_outcome_schema,
	&fnx_param_schema,
	NULL,
};
