/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parity and the ordinary way are two functions rather than one with branches: they share the
 * filter and the mid-point, and differ in everything else.
 *
 * A gap is filled when it is over, by the line from the last position seen to the new one, and not
 * sample by sample while it lasts: so that nothing is invented while the animal is lost, and the
 * filter afterwards holds what it would hold had the animal walked straight. A filter has no more
 * than n_taps values, so the cost of any gap is bounded.
 */
#include "nodes/acquire/kinematics.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const double TAPS_SUM_TOLERANCE = 1e-3;
/* What lies farther from the origin is no coordinate, and could overflow the arithmetic. */
static const double COORDINATE_MAX = 1e9;

static double fir_push(
	struct fnx_kinematics_fir *fir, const struct fnx_kinematics_config *config, double value)
{
	double sum = 0.0;

	memmove(fir->values + 1, fir->values, (config->n_taps - 1) * sizeof(double));
	fir->values[0] = value;
	for (uint32_t i = 0; i < config->n_taps; i++)
		sum += config->taps[i] * fir->values[i];
	return sum;
}

static void fir_fill(struct fnx_kinematics_fir *fir, double value)
{
	for (uint32_t i = 0; i < FNX_KINEMATICS_TAPS_MAX; i++)
		fir->values[i] = value;
}

int fnx_kinematics_init(
	struct fnx_kinematics *kinematics, const struct fnx_kinematics_config *config)
{
	double sum = 0.0;

	if (config->n_taps == 0 || config->n_taps > FNX_KINEMATICS_TAPS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < config->n_taps; i++)
		sum += config->taps[i];
	if (!isfinite(sum) || (!config->parity && !(fabs(sum - 1.0) <= TAPS_SUM_TOLERANCE)))
		return -EINVAL;
	if (!(config->scale > 0.0) || !isfinite(config->scale) || !(config->rate_hz > 0.0) ||
		!isfinite(config->rate_hz) || !(config->clock_hz > 0.0) ||
		!isfinite(config->clock_hz))
		return -EINVAL;
	*kinematics = (struct fnx_kinematics){.config = *config};
	return 0;
}

static void step_parity(struct fnx_kinematics *kinematics, double x, double y)
{
	const struct fnx_kinematics_config *config = &kinematics->config;
	struct fnx_kinematics_out *last = &kinematics->last;
	double speed;

	last->tracked = isfinite(x) && isfinite(y);
	if (!kinematics->begun) {
		kinematics->begun = true;
		last->x = x;
		last->y = y;
		last->speed = 0.0;
		return;
	}
	if (config->smooth_x)
		x = fir_push(&kinematics->fir_x, config, x * config->scale);
	if (config->smooth_y)
		y = fir_push(&kinematics->fir_y, config, y * config->scale);
	speed = hypot(x - last->x, y - last->y) / (1.0 / config->rate_hz);
	last->x = x;
	last->y = y;
	last->speed =
		config->smooth_speed ? fir_push(&kinematics->fir_speed, config, speed) : speed;
}

static bool is_seen(const double led[2])
{
	return fabs(led[0]) < COORDINATE_MAX && fabs(led[1]) < COORDINATE_MAX;
}

/* Mid-point of what is seen; false: nothing is. */
static bool find_middle(struct fnx_kinematics *kinematics, const double led[2],
	const double led2[2], double ret_mid[2])
{
	const bool seen = is_seen(led);
	const bool seen2 = is_seen(led2);

	if (seen && seen2) {
		ret_mid[0] = (led[0] + led2[0]) / 2.0;
		ret_mid[1] = (led[1] + led2[1]) / 2.0;
		kinematics->half_x = led[0] - ret_mid[0];
		kinematics->half_y = led[1] - ret_mid[1];
		return true;
	}
	if (seen) {
		ret_mid[0] = led[0] - kinematics->half_x;
		ret_mid[1] = led[1] - kinematics->half_y;
		return true;
	}
	if (seen2) {
		ret_mid[0] = led2[0] + kinematics->half_x;
		ret_mid[1] = led2[1] + kinematics->half_y;
		return true;
	}
	return false;
}

static void begin(struct fnx_kinematics *kinematics, int64_t sample_time, const double mid[2])
{
	const double scale = kinematics->config.scale;

	fir_fill(&kinematics->fir_x, mid[0] * scale);
	fir_fill(&kinematics->fir_y, mid[1] * scale);
	fir_fill(&kinematics->fir_speed, 0.0);
	kinematics->begun = true;
	kinematics->last_time = sample_time;
	kinematics->mid_x = mid[0];
	kinematics->mid_y = mid[1];
	kinematics->last = (struct fnx_kinematics_out){
		.x = mid[0] * scale,
		.y = mid[1] * scale,
		.tracked = true,
	};
}

/* Samples of the line that were missed and that the filter would still remember. */
static uint32_t missed_samples(const struct fnx_kinematics *kinematics, double elapsed_s)
{
	const struct fnx_kinematics_config *config = &kinematics->config;
	double missed = round(elapsed_s * config->rate_hz) - 1.0;

	return missed < 1.0 ? 0 : (uint32_t)fmin(missed, config->n_taps);
}

static void go_on(struct fnx_kinematics *kinematics, int64_t sample_time, const double mid[2])
{
	const struct fnx_kinematics_config *config = &kinematics->config;
	struct fnx_kinematics_out *last = &kinematics->last;
	const double elapsed_s =
		((double)sample_time - (double)kinematics->last_time) / config->clock_hz;
	const double period = 1.0 / fmax(elapsed_s * config->rate_hz, 1.0); /* part of the line */
	const uint32_t n_missed = missed_samples(kinematics, elapsed_s);
	double x = 0.0, y = 0.0, speed;

	for (uint32_t i = n_missed + 1; i-- > 0;) {
		double back = i * period;
		double at_x = mid[0] + back * (kinematics->mid_x - mid[0]);
		double at_y = mid[1] + back * (kinematics->mid_y - mid[1]);

		x = fir_push(&kinematics->fir_x, config, at_x * config->scale);
		y = fir_push(&kinematics->fir_y, config, at_y * config->scale);
	}
	if (!config->smooth_x)
		x = mid[0] * config->scale;
	if (!config->smooth_y)
		y = mid[1] * config->scale;
	speed = hypot(x - last->x, y - last->y) / elapsed_s;
	if (config->smooth_speed)
		for (uint32_t i = n_missed + 1; i-- > 0;)
			last->speed = fir_push(&kinematics->fir_speed, config, speed);
	else
		last->speed = speed;
	last->x = x;
	last->y = y;
	last->tracked = true;
	kinematics->last_time = sample_time;
	kinematics->mid_x = mid[0];
	kinematics->mid_y = mid[1];
}

void fnx_kinematics_step(struct fnx_kinematics *kinematics, int64_t sample_time, double x, double y,
	double x2, double y2, struct fnx_kinematics_out *ret_out)
{
	double mid[2];

	if (kinematics->config.parity)
		step_parity(kinematics, (x + x2) / 2.0, (y + y2) / 2.0);
	else if (!find_middle(kinematics, (double[]){x, y}, (double[]){x2, y2}, mid))
		kinematics->last.tracked = false;
	else if (!kinematics->begun || sample_time < kinematics->last_time)
		begin(kinematics, sample_time, mid);
	else if (sample_time > kinematics->last_time)
		go_on(kinematics, sample_time, mid);
	*ret_out = kinematics->last;
}
