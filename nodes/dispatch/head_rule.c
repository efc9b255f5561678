/* SPDX-License-Identifier: BSD-3-Clause */
/* The angles are looked at anew with each sample: there are some tens of them, thirty times a
 * second, and no sum that could go out of step. */
#include "nodes/dispatch/head_rule.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/journal.h"

struct row {
	uint32_t at, n_filled; /* entry that the next sample takes; how many there are */
	int64_t was_true;
	double angles[]; /* [n_points] */
};

struct fnx_head_rule {
	struct fnx_head_config config;
	struct row *row;
	void *owned;
};

static int is_angle(double angle)
{
	return angle >= 0 && angle <= 360;
}

int fnx_head_set(struct fnx_head_rule *rule, const struct fnx_head_params *params)
{
	if (!is_angle(params->well_range_deg) || !is_angle(params->steady_deg) ||
		!(params->max_centre_distance_cm >= 0))
		return -EINVAL;
	rule->config.params = *params;
	return 0;
}

size_t fnx_head_memory_size(const struct fnx_head_config *config)
{
	if (!config->n_points || config->n_points > FNX_HEAD_POINTS_MAX || !(config->scale > 0))
		return 0;
	return sizeof(struct row) + config->n_points * sizeof(double);
}

int fnx_head_new(const struct fnx_head_config *config, struct fnx_head_rule **ret_rule)
{
	size_t size = fnx_head_memory_size(config);
	struct fnx_head_rule *rule;
	int r;

	if (!size)
		return -EINVAL;
	rule = calloc(1, sizeof(*rule));
	if (!rule)
		return -ENOMEM;
	rule->config = *config;
	if (!config->memory)
		rule->owned = malloc(size);
	rule->row = config->memory ? config->memory : rule->owned;
	r = rule->row ? fnx_head_set(rule, &config->params) : -ENOMEM;
	if (!r && (!config->memory || !config->resumed))
		memset(rule->row, 0, size);
	if (!r && (rule->row->at >= config->n_points || rule->row->n_filled > config->n_points))
		r = -EBADMSG;
	if (r) {
		fnx_head_free(rule);
		return r;
	}
	*ret_rule = rule;
	return 0;
}

struct fnx_head_rule *fnx_head_free(struct fnx_head_rule *rule)
{
	if (rule)
		free(rule->owned);
	free(rule);
	return NULL;
}

void fnx_head_reset(struct fnx_head_rule *rule)
{
	fnx_journal_touch(rule->config.journal, rule->row, sizeof(*rule->row));
	*rule->row = (struct row){0};
}

/* Camera's y goes down. */
static double angle_of(double dx, double dy)
{
	return 180 / M_PI * atan2(-dy, dx);
}

static double difference(const struct fnx_head_config *config, double a, double b)
{
	return config->parity ? a - b : remainder(a - b, 360);
}

static void enter(struct fnx_head_rule *rule, double angle)
{
	struct row *row = rule->row;

	fnx_journal_touch(rule->config.journal, row, sizeof(*row));
	fnx_journal_touch(rule->config.journal, &row->angles[row->at], sizeof(double));
	row->angles[row->at] = angle;
	row->at = row->at + 1 == rule->config.n_points ? 0 : row->at + 1;
	if (row->n_filled < rule->config.n_points)
		row->n_filled++;
}

static int is_steady(const struct fnx_head_rule *rule, double angle)
{
	double least = 0, most = 0;

	for (uint32_t i = 0; i < rule->config.n_points; i++) {
		double off = difference(&rule->config, rule->row->angles[i], angle);

		least = off < least ? off : least;
		most = off > most ? off : most;
	}
	return most - least <= rule->config.params.steady_deg;
}

static int is_near(const struct fnx_head_config *config, const struct fnx_head_sample *sample)
{
	double x = (sample->x + sample->x2) / 2 - config->centre[0];
	double y = (sample->y + sample->y2) / 2 - config->centre[1];

	return config->params.max_centre_distance_cm == 0 ||
		hypot(x, y) * config->scale <= config->params.max_centre_distance_cm;
}

static int looks_at_well(
	const struct fnx_head_config *config, const struct fnx_head_sample *sample, double angle)
{
	double x = (sample->x + sample->x2) / 2;
	double y = config->parity ? sample->y2 : (sample->y + sample->y2) / 2;
	double direction = angle_of(config->well[0] - x, config->well[1] - y);

	return fabs(difference(config, angle, direction)) <= config->params.well_range_deg;
}

int fnx_head_step(struct fnx_head_rule *rule, const struct fnx_head_sample *sample,
	struct fnx_head_evidence *ret_evidence)
{
	const struct fnx_head_config *config = &rule->config;
	double dx = sample->x2 - sample->x, dy = sample->y2 - sample->y;
	double sign = config->rotate_180 ? -1 : 1, angle = angle_of(sign * dx, sign * dy);
	int is_true;

	*ret_evidence = (struct fnx_head_evidence){.angle_deg = (double)NAN};
	if (!sample->tracked || !isfinite(angle) || (dx == 0 && dy == 0 && !config->parity)) {
		fnx_head_reset(rule);
		return 0;
	}
	enter(rule, angle);
	is_true = rule->row->n_filled == config->n_points && is_steady(rule, angle) &&
		is_near(config, sample) && looks_at_well(config, sample, angle);
	*ret_evidence = (struct fnx_head_evidence){
		.angle_deg = angle, .rose = is_true && !rule->row->was_true};
	rule->row->was_true = is_true;
	return is_true;
}
