/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ripple node: from LFP samples and speed to threshold crossings. The arithmetic is in
 * envelope.c and detector.c.
 *
 * What filters and statistics remember lies in the node's state, so that a successor of one that
 * was killed goes on as if nothing had happened. Where that was lost, it says so and learns anew,
 * unless the rig seeds it.
 */
#include "nodes/ripple/node.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "nodes/ripple/design.h"
#include "nodes/ripple/detector.h"
#include "schemas/lfp.h"
#include "schemas/position.h"
#include "schemas/ripple.h"

struct ripple {
	struct fnx_node *node;
	struct fnx_envelope *envelope;
	struct fnx_detector *detector;
	struct fnx_detector_params params; /* in force */
	double settings[8]; /* as `fornix set` sees them: see settings_of */
	const uint32_t *channels; /* NULL: all, in order */
	uint32_t n_channels;
	double *speed_cm_s; /* the latest; in the node's state */
	int lfp_input, output;
	float *counts; /* [n_channels] */
	double *filtered, *traces; /* [n_channels] */
	struct fnx_detector_event *events;
};

enum {
	STANDARD,
	CONDITIONING,
	CONTENT,
	END,
	MAX_SPEED,
	MAX_SAMPLES,
	WARM_UP,
	FREEZE
};

static struct fnx_detector_params params_of(const double *settings)
{
	return (struct fnx_detector_params){
		.standard = settings[STANDARD],
		.conditioning = settings[CONDITIONING],
		.content = settings[CONTENT],
		.end = settings[END],
		.max_speed_cm_s = settings[MAX_SPEED],
		.max_samples = (uint32_t)settings[MAX_SAMPLES],
		.warm_up_samples = (uint32_t)settings[WARM_UP],
		.freeze = settings[FREEZE] != 0,
	};
}

static void settings_of(const struct fnx_rig_ripple *config, double *settings)
{
	settings[STANDARD] = config->standard;
	settings[CONDITIONING] = config->conditioning;
	settings[CONTENT] = config->content;
	settings[END] = config->end;
	settings[MAX_SPEED] = config->max_speed_cm_s;
	settings[MAX_SAMPLES] = config->max_samples;
	settings[WARM_UP] = config->warm_up_samples;
	settings[FREEZE] = config->freeze;
}

static void changed(void *self)
{
	struct ripple *ripple = self;
	struct fnx_detector_params params = params_of(ripple->settings);

	if (!fnx_detector_set(ripple->detector, &params))
		ripple->params = params;
}

static int declare_params(struct ripple *ripple)
{
	static const struct {
		const char *name;
		double min, max;
		const char *unit, *meaning;
	} table[] = {
		[STANDARD] = {"standard", -100, 1000, "", "onset, deviations above the mean"},
		[CONDITIONING] = {"conditioning", -100, 1000, "",
			"conditioning, deviations above the mean"},
		[CONTENT] = {"content", -100, 1000, "", "content, deviations above the mean"},
		[END] = {"end", -100, 1000, "", "end, deviations above the mean"},
		[MAX_SPEED] = {"max_speed_cm_s", 0, 1e6, "cm/s", "no onset at this speed or above"},
		[MAX_SAMPLES] = {"max_samples", 1, 1e7, "sample", "a longer ripple is ended"},
		[WARM_UP] = {"warm_up_samples", 0, 4e9, "sample", "statistics only, no onset"},
		[FREEZE] = {"freeze", 0, 1, "flag", "1: statistics stay as they are"},
	};
	int r = 0;

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]) && !r; i++)
		r = fnx_node_param(ripple->node, table[i].name, &ripple->settings[i], table[i].min,
			table[i].max, table[i].unit, table[i].meaning);
	return r;
}

static int open_arithmetic(struct ripple *ripple)
{
	const struct fnx_rig *rig = fnx_node_rig(ripple->node);
	struct fnx_detector_config detector = {.n_channels = ripple->n_channels,
		.parity = rig->parity,
		.params = params_of(ripple->settings),
		.resumed = fnx_node_remembers(ripple->node),
		.journal = fnx_node_journal(ripple->node)};
	struct fnx_ripple_design *design = malloc(sizeof(*design));
	const char *reason;
	void *memory;
	int r;

	if (!design)
		return fnx_node_fail(ripple->node, -ENOMEM, "out of memory");
	r = fnx_ripple_design(rig, design, &reason);
	if (!r) {
		struct fnx_envelope_config config = {.n_channels = ripple->n_channels,
			.n_sections = design->n_sections,
			.sections = design->sections,
			.n_taps = design->n_taps,
			.taps = design->taps,
			.n_smoothing_taps = design->n_smoothing_taps,
			.smoothing_taps = design->smoothing_taps,
			.parity = rig->parity,
			.resumed = fnx_node_remembers(ripple->node),
			.journal = fnx_node_journal(ripple->node)};

		config.memory = fnx_node_state(
			ripple->node, fnx_envelope_memory_size(&config), FNX_CACHE_LINE);
		if (!config.memory) {
			free(design);
			return -ENOMEM;
		}
		reason = "the filters cannot be used with this many channels";
		r = fnx_envelope_new(&config, &ripple->envelope);
	}
	free(design);
	detector.memory = memory = fnx_node_state(
		ripple->node, fnx_detector_memory_size(ripple->n_channels), FNX_CACHE_LINE);
	if (!r && !memory)
		return -ENOMEM;
	if (!r) {
		reason = "the thresholds cannot be used";
		r = fnx_detector_new(&detector, &ripple->detector);
	}
	fnx_node_journal_room(ripple->node, fnx_detector_memory_size(ripple->n_channels));
	if (!r && rig->ripple.mean.n && !fnx_node_remembers(ripple->node)) {
		reason = "ripple.mean and ripple.deviation: expected one number for each channel "
			 "and one for the consensus";
		r = rig->ripple.mean.n == ripple->n_channels + 1 &&
				rig->ripple.deviation.n == rig->ripple.mean.n
			? fnx_detector_seed(ripple->detector, rig->ripple.mean.values,
				  rig->ripple.deviation.values, 1000000)
			: -EINVAL;
	}
	if (r == -EBADMSG)
		reason = "the state that its predecessor left is damaged";
	return r ? fnx_node_fail(ripple->node, r, "%s", r == -ENOMEM ? "out of memory" : reason)
		 : 0;
}

static int open_memory(struct ripple *ripple)
{
	ripple->counts = calloc(ripple->n_channels, sizeof(*ripple->counts));
	ripple->filtered = calloc(ripple->n_channels, sizeof(*ripple->filtered));
	ripple->traces = calloc(ripple->n_channels, sizeof(*ripple->traces));
	ripple->events = calloc(fnx_detector_events_max(ripple->detector), sizeof(*ripple->events));
	ripple->speed_cm_s = fnx_node_state(ripple->node, sizeof(double), sizeof(double));
	if (!ripple->speed_cm_s)
		return -ENOMEM;
	if (!ripple->counts || !ripple->filtered || !ripple->traces || !ripple->events)
		return fnx_node_fail(ripple->node, -ENOMEM, "out of memory");
	return 0;
}

static void ripple_close(void *self)
{
	struct ripple *ripple = self;

	fnx_envelope_free(ripple->envelope);
	fnx_detector_free(ripple->detector);
	free(ripple->counts);
	free(ripple->filtered);
	free(ripple->traces);
	free(ripple->events);
	free(ripple);
}

static int open_all(struct ripple *ripple)
{
	const struct fnx_rig *rig = fnx_node_rig(ripple->node);
	struct fnx_node *node = ripple->node;
	int r;

	ripple->channels = rig->ripple.channels.n ? rig->ripple.channels.values : NULL;
	ripple->n_channels = rig->ripple.channels.n ? rig->ripple.channels.n : rig->lfp.n_channels;
	settings_of(&rig->ripple, ripple->settings);
	r = open_arithmetic(ripple);
	if (!r)
		r = open_memory(ripple);
	if (!r)
		r = declare_params(ripple);
	/* Position first: the speed that counts is the latest at or before the LFP sample. */
	if (!r && rig->track.enabled)
		r = fnx_node_input(node, "position", &fnx_position_schema, 0);
	if (r >= 0)
		ripple->lfp_input = r = fnx_node_input(node, "lfp", &fnx_lfp_schema, 0);
	if (r >= 0)
		ripple->output = r = fnx_node_output(node, "ripple", &fnx_ripple_schema, NULL,
			(uint32_t)fnx_detector_events_max(ripple->detector));
	return r < 0 ? r : 0;
}

static int ripple_open(struct fnx_node *node, void **ret_self)
{
	struct ripple *ripple = calloc(1, sizeof(*ripple));
	int r;

	if (!ripple)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	ripple->node = node;
	r = open_all(ripple);
	if (r)
		ripple_close(ripple);
	else
		*ret_self = ripple;
	return r;
}

static int ripple_start(void *self)
{
	struct ripple *ripple = self;
	const struct fnx_layout *layout =
		fnx_node_input_layout(ripple->node, (unsigned)ripple->lfp_input);
	const struct fnx_rig *rig = fnx_node_rig(ripple->node);

	if (layout->extents[fnx_lfp_n_channels] != rig->lfp.n_channels)
		return fnx_node_fail(ripple->node, -EINVAL,
			"topic lfp has %u channels, the rig says %u",
			layout->extents[fnx_lfp_n_channels], rig->lfp.n_channels);
	if (fnx_node_forgot(ripple->node) && !rig->ripple.mean.n)
		fnx_node_say(ripple->node,
			"lost: running mean and deviation of the envelopes; learning anew");
	return 0;
}

static void take_lfp(struct ripple *ripple, const struct fnx_frame *frame)
{
	const struct fnx_lfp *lfp = frame->payload;
	const float *samples = fnx_lfp_get_samples(
		fnx_node_input_layout(ripple->node, (unsigned)ripple->lfp_input), frame->payload);
	size_t n;

	if (ripple->channels) {
		for (uint32_t i = 0; i < ripple->n_channels; i++)
			ripple->counts[i] = samples[ripple->channels[i]];
		samples = ripple->counts;
	}
	fnx_envelope_step(
		ripple->envelope, samples, lfp->uv_per_count, ripple->filtered, ripple->traces);
	n = fnx_detector_step(
		ripple->detector, ripple->traces, *ripple->speed_cm_s, ripple->events);
	for (size_t i = 0; i < n; i++) {
		const struct fnx_detector_event *event = &ripple->events[i];
		struct fnx_ripple *message = fnx_node_loan(ripple->node, (unsigned)ripple->output);
		int consensus = event->channel == FNX_DETECTOR_CONSENSUS;

		if (!message)
			continue;
		*message = (struct fnx_ripple){
			.z = event->z,
			.envelope = event->envelope,
			.speed = *ripple->speed_cm_s,
			.channel = consensus       ? FNX_RIPPLE_CONSENSUS
				: ripple->channels ? (int32_t)ripple->channels[event->channel]
						   : event->channel,
			.type = (uint32_t)event->type,
		};
		fnx_node_publish(ripple->node, (unsigned)ripple->output, frame->stamp.sample_time);
	}
}

static void ripple_frame(void *self, unsigned input, const struct fnx_frame *frame)
{
	struct ripple *ripple = self;

	if ((int)input == ripple->lfp_input) {
		take_lfp(ripple, frame);
		return;
	}
	fnx_journal_touch(
		fnx_node_journal(ripple->node), ripple->speed_cm_s, sizeof(*ripple->speed_cm_s));
	*ripple->speed_cm_s = ((const struct fnx_position *)frame->payload)->speed;
}

static int ripple_wanted(const struct fnx_rig *rig)
{
	return rig->ripple.enabled;
}

const struct fnx_node_ops fnx_ripple_ops = {
	.type = "ripple",
	.summary = "detects sharp-wave ripples in the local field potential",
	.wanted = ripple_wanted,
	.open = ripple_open,
	.start = ripple_start,
	.frame = ripple_frame,
	.changed = changed,
	.close = ripple_close,
};
