/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/gate.h"

#include <math.h>

#include "schemas/decision.h"

#define DRIFT 200e-6
#define STEADY 0.05 /* share of a second by which a steady pace may be off */
#define SETTLE_NS 1000000000
#define BACK_NS 1e9 /* earlier by more than this is no late frame */

void fnx_gate_init(struct fnx_gate *gate, const struct fnx_gate_config *config)
{
	*gate = (struct fnx_gate){
		.config = *config, .flagged_until = INT64_MIN, .stalled_until = INT64_MIN};
}

void fnx_gate_anew(struct fnx_gate *gate)
{
	gate->begun = gate->settled = 0;
}

static void begin(struct fnx_gate *gate, int64_t sample_time, int64_t now_ns)
{
	gate->begun = 1;
	gate->settled = 0;
	gate->from_ns = gate->last_ns = now_ns;
	gate->from_sample = gate->last_sample = sample_time;
	gate->base_ns = (double)now_ns - (double)sample_time * gate->config.ns_per_sample;
}

static void settle(struct fnx_gate *gate, int64_t sample_time, int64_t now_ns)
{
	double elapsed = (double)(now_ns - gate->from_ns);
	double passed = (double)(sample_time - gate->from_sample) * gate->config.ns_per_sample;

	if (elapsed < SETTLE_NS)
		return;
	if (fabs(passed - elapsed) <= STEADY * elapsed)
		gate->settled = 1;
	else
		begin(gate, sample_time, now_ns);
}

static int64_t later(int64_t sample_time, int64_t samples)
{
	return sample_time > INT64_MAX - samples ? INT64_MAX : sample_time + samples;
}

void fnx_gate_pass(struct fnx_gate *gate, int64_t sample_time, int64_t now_ns)
{
	const struct fnx_gate_config *config = &gate->config;
	double base = (double)now_ns - (double)sample_time * config->ns_per_sample;

	if (!(config->ns_per_sample > 0))
		return;
	if (!gate->begun ||
		((double)gate->last_sample - (double)sample_time) * config->ns_per_sample >
			BACK_NS) {
		begin(gate, sample_time, now_ns);
		return;
	}
	if (config->stall_ns && now_ns - gate->last_ns > config->stall_ns)
		gate->stalled_until = later(sample_time, config->blanking_samples);
	gate->base_ns += DRIFT * (double)(now_ns - gate->last_ns);
	if (base < gate->base_ns)
		gate->base_ns = base;
	gate->last_ns = now_ns;
	if (sample_time > gate->last_sample)
		gate->last_sample = sample_time;
	if (!gate->settled)
		settle(gate, sample_time, now_ns);
}

void fnx_gate_flag(struct fnx_gate *gate, int64_t sample_time)
{
	int64_t until = later(sample_time, gate->config.blanking_samples);

	/* The frame itself, too. */
	if (until < INT64_MAX)
		until++;
	if (until > gate->flagged_until)
		gate->flagged_until = until;
}

static int64_t age_of(
	const struct fnx_gate *gate, int64_t sample_time, int64_t ingress_ns, int64_t now_ns)
{
	double age = ingress_ns > 0 ? (double)(now_ns - ingress_ns) : (double)INT64_MAX;
	double lag =
		(double)now_ns - (double)sample_time * gate->config.ns_per_sample - gate->base_ns;

	if (gate->begun && gate->config.ns_per_sample > 0 && lag > age)
		age = lag;
	return age < 9e18 ? (int64_t)age : INT64_MAX;
}

int fnx_gate_ask(const struct fnx_gate *gate, int64_t sample_time, int64_t ingress_ns,
	int64_t now_ns, int64_t *ret_age_ns)
{
	const struct fnx_gate_config *config = &gate->config;

	*ret_age_ns = age_of(gate, sample_time, ingress_ns, now_ns);
	if (sample_time < gate->flagged_until)
		return FNX_DECISION_FLAGGED;
	if (!(config->ns_per_sample > 0))
		return 0;
	if (config->stall_ns && (!gate->settled || sample_time < gate->stalled_until))
		return FNX_DECISION_STALLED;
	if (config->max_age_ns && *ret_age_ns > config->max_age_ns)
		return FNX_DECISION_STALE;
	return 0;
}
