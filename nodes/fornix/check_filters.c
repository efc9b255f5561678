/* SPDX-License-Identifier: BSD-3-Clause */
/* What the filters do to the signal, and how late they make it: from their coefficients, not from
 * what was asked for. */
#include <math.h>
#include <stdio.h>

#include "nodes/fornix/check.h"
#include "nodes/ripple/network_file.h"

enum {
	GRID = 8192, /* frequencies up to half the rate */
	HALVINGS = 40,
};

struct filter {
	const struct fnx_section *sections;
	uint32_t n_sections;
	const double *taps;
	uint32_t n_taps;
	double rate_hz;
};

static struct fnx_response respond(const struct filter *filter, double frequency_hz)
{
	if (filter->n_taps)
		return fnx_taps_response(
			filter->taps, filter->n_taps, filter->rate_hz, frequency_hz);
	return fnx_sections_response(
		filter->sections, filter->n_sections, filter->rate_hz, frequency_hz);
}

/* The frequency between a (above `gain`) and b (below it) at which the gain is `gain`. */
static double cross(const struct filter *filter, double gain, double a, double b)
{
	for (int i = 0; i < HALVINGS; i++) {
		double middle = (a + b) / 2;

		if (respond(filter, middle).gain > gain)
			a = middle;
		else
			b = middle;
	}
	return (a + b) / 2;
}

/* From `from` in steps to where the gain falls to 0.707 of `reference`; NAN: it does not. */
static double edge(const struct filter *filter, double from, double reference, int direction)
{
	double step = filter->rate_hz / 2 / GRID * direction, gain = reference * M_SQRT1_2;

	for (double at = from; at + step >= 0 && at + step <= filter->rate_hz / 2; at += step)
		if (respond(filter, at + step).gain < gain)
			return cross(filter, gain, at, at + step);
	return NAN;
}

static double loudest(const struct filter *filter)
{
	double best = 0, best_gain = 0;

	for (int i = 0; i <= GRID; i++) {
		double at = filter->rate_hz / 2 * i / GRID, gain = respond(filter, at).gain;

		if (gain > best_gain) {
			best = at;
			best_gain = gain;
		}
	}
	return best;
}

static void print_kind(
	const char *name, const struct fnx_rig_filter *config, const struct filter *filter)
{
	switch (config->type) {
	case FNX_FILTER_IIR:
		printf("  %-11s Butterworth of order %u", name, config->order);
		break;
	case FNX_FILTER_FIR:
		printf("  %-11s least-squares FIR of %u taps", name, filter->n_taps);
		break;
	default:
		printf("  %-11s FIR of %u given taps", name, filter->n_taps);
		return;
	}
	printf(", %g to %g Hz", config->band_hz.values[0], config->band_hz.values[1]);
}

static void print_delay(const struct filter *filter, double at_hz)
{
	struct fnx_response response = respond(filter, at_hz);

	printf("              at %.4g Hz: gain %.3f, group delay %.2f ms (%.1f samples)\n", at_hz,
		response.gain, 1e3 * response.delay_samples / filter->rate_hz,
		response.delay_samples);
}

/* The middle of the band; of given taps, where they let most through. */
static double centre(const struct fnx_rig_filter *config, const struct filter *filter)
{
	return config->type == FNX_FILTER_TAPS
		? loudest(filter)
		: (config->band_hz.values[0] + config->band_hz.values[1]) / 2;
}

static void print_band_pass(const struct fnx_rig *rig, const struct fnx_ripple_design *design)
{
	const struct fnx_rig_filter *config = &rig->ripple.filter;
	const struct filter filter = {design->sections, design->n_sections, design->taps,
		design->n_taps, rig->lfp.rate_hz};
	double centre_hz = centre(config, &filter);
	double reference = respond(&filter, loudest(&filter)).gain;
	double low_hz = edge(&filter, centre_hz, reference, -1),
	       high_hz = edge(&filter, centre_hz, reference, 1);

	print_kind("band-pass", config, &filter);
	if (isnan(low_hz) || isnan(high_hz))
		printf("; does not fall by 3 dB on both sides\n");
	else
		printf("; -3 dB at %.1f and %.1f Hz\n", low_hz, high_hz);
	print_delay(&filter, centre_hz);
}

static void print_smoothing(const struct fnx_rig *rig, const struct fnx_ripple_design *design)
{
	const struct fnx_rig_filter *config = &rig->ripple.smoothing;
	const struct filter filter = {.taps = design->smoothing_taps,
		.n_taps = design->n_smoothing_taps,
		.rate_hz = rig->lfp.rate_hz};
	double edge_hz = edge(&filter, 0, respond(&filter, 0).gain, 1);

	print_kind("smoothing", config, &filter);
	if (isnan(edge_hz))
		printf("; does not fall by 3 dB\n");
	else
		printf("; -3 dB at %.1f Hz\n", edge_hz);
	print_delay(&filter, config->type == FNX_FILTER_TAPS ? 0 : config->band_hz.values[0] / 2);
}

/* What both filters cost together. */
static void print_sum(const struct fnx_rig *rig, const struct fnx_ripple_design *design)
{
	const struct filter band_pass = {design->sections, design->n_sections, design->taps,
		design->n_taps, rig->lfp.rate_hz};
	const struct filter smoothing = {.taps = design->smoothing_taps,
		.n_taps = design->n_smoothing_taps,
		.rate_hz = rig->lfp.rate_hz};
	double at_hz = centre(&rig->ripple.filter, &band_pass);
	double samples =
		respond(&band_pass, at_hz).delay_samples + respond(&smoothing, 0).delay_samples;

	printf("  %-11s group delay %.2f ms (%.1f samples) at %.4g Hz and a steady envelope\n",
		"together", 1e3 * samples / rig->lfp.rate_hz, samples, at_hz);
}

/* The network does not run here: what cannot be read is told as ripple would. */
static void print_network(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;
	const struct fnx_rig_ripple *ripple = &rig->ripple;
	double taps[FNX_RESAMPLING_TAPS], rate_hz = ripple->network_rate_hz;
	struct fnx_network_shape input;
	struct fnx_network *network;
	char error[FNX_NETWORK_ERROR_MAX];
	uint32_t n_taps, step;

	printf("\nnetwork (LFP at %g Hz, network at %g Hz)\n", rig->lfp.rate_hz, rate_hz);
	if (fnx_network_open(ripple->weights, 0, ripple->double_precision, &network, error)) {
		printf("  ripple will refuse: ripple.weights: %s\n", error);
		check->n_refusals++;
		return;
	}
	input = fnx_network_input(network);
	if (input.width * input.n_channels != fnx_check_ripple_channels(rig)) {
		printf("  ripple will refuse: ripple.channels: %s looks at %u channels, the rig "
		       "names %u\n",
			ripple->weights, input.width * input.n_channels,
			fnx_check_ripple_channels(rig));
		check->n_refusals++;
	}
	step = ripple->network_step ? ripple->network_step
		: input.height < 2  ? 1
				    : input.height / 2;
	printf("  %-11s %u samples x %u channels (%.1f ms), one every %u samples (%.1f ms)\n",
		"window", input.height, input.width * input.n_channels,
		1e3 * input.height / rate_hz, step, 1e3 * step / rate_hz);
	if (fnx_resampling_design(rig, taps, &n_taps)) {
		printf("  %-11s ripple will refuse: no low-pass for these rates\n", "resampling");
		check->n_refusals++;
	} else if (n_taps)
		printf("  %-11s low-pass of %u taps, group delay %.2f ms\n", "resampling", n_taps,
			1e3 * (n_taps - 1) / 2 / rig->lfp.rate_hz);
	else
		printf("  %-11s samples are picked, group delay 0 ms; what lies above %g Hz folds "
		       "back\n",
			"resampling", rate_hz / 2);
	fnx_network_free(network);
}

void fnx_check_print_filters(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;
	bool network = rig->ripple.detector == FNX_RIPPLE_NETWORK;

	if (!check->design)
		return;
	if (network)
		print_network(check);
	if (network && !rig->ripple.noise_channels.n)
		return;
	printf("\nfilters%s (LFP at %g Hz)\n", network ? " of the noise channels" : "",
		rig->lfp.rate_hz);
	print_band_pass(rig, check->design);
	print_smoothing(rig, check->design);
	print_sum(rig, check->design);
}
