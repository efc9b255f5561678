/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ripple node: from LFP samples and speed to threshold crossings. The arithmetic is in
 * envelope.c and detector.c, or network.c and network_detector.c; and in guard.c, which keeps
 * either from starting.
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
#include "nodes/ripple/envelope.h"
#include "nodes/ripple/guard.h"
#include "nodes/ripple/network_detector.h"
#include "nodes/ripple/network_file.h"
#include "nodes/ripple/seeds.h"
#include "schemas/decision.h"
#include "schemas/lfp.h"
#include "schemas/position.h"
#include "schemas/ripple.h"

enum {
	N_SEEDED = 1000000 /* samples that seeds count for */
};

struct ripple {
	struct fnx_node *node;
	struct fnx_envelope *envelope; /* envelope and detector; or network and looker */
	struct fnx_detector *detector;
	struct fnx_network *network;
	struct fnx_network_detector *looker;
	struct fnx_guard *guard; /* NULL: nothing to guard against */
	double settings[10]; /* as `fornix set` sees them: see settings_of */
	bool blanked; /* statistics stand still meanwhile */
	const uint32_t *channels; /* NULL: all, in order */
	uint32_t n_channels;
	double *speed_cm_s; /* the latest; in the node's state */
	int lfp_input, decision_input, output;
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
	FREEZE,
	THRESHOLD,
	TIMEOUT,
};

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
	settings[THRESHOLD] = config->threshold;
	settings[TIMEOUT] = config->timeout_ms;
}

static struct fnx_detector_params params_of(const struct ripple *ripple)
{
	const double *settings = ripple->settings;

	return (struct fnx_detector_params){
		.standard = settings[STANDARD],
		.conditioning = settings[CONDITIONING],
		.content = settings[CONTENT],
		.end = settings[END],
		.max_speed_cm_s = settings[MAX_SPEED],
		.max_samples = (uint32_t)settings[MAX_SAMPLES],
		.warm_up_samples = (uint32_t)settings[WARM_UP],
		.freeze = settings[FREEZE] != 0 || ripple->blanked,
	};
}

static struct fnx_network_detector_params look_params_of(const struct ripple *ripple)
{
	const double *settings = ripple->settings;

	return (struct fnx_network_detector_params){
		.threshold = settings[THRESHOLD],
		.max_speed_cm_s = settings[MAX_SPEED],
		.timeout_samples = (uint32_t)(settings[TIMEOUT] / 1e3 *
			fnx_node_rig(ripple->node)->lfp.rate_hz),
		.max_samples = (uint32_t)settings[MAX_SAMPLES],
		.warm_up_samples = (uint32_t)settings[WARM_UP],
		.freeze = settings[FREEZE] != 0 || ripple->blanked,
	};
}

/* Ranges are those that the setters take, so they cannot refuse. */
static void changed(void *self)
{
	struct ripple *ripple = self;
	struct fnx_detector_params params = params_of(ripple);
	struct fnx_network_detector_params look = look_params_of(ripple);

	if (ripple->looker)
		(void)fnx_network_detector_set(ripple->looker, &look);
	else
		(void)fnx_detector_set(ripple->detector, &params);
}

static int declare_params(struct ripple *ripple)
{
	enum {
		ENVELOPE = 1,
		NETWORK = 2,
		BOTH = 3
	};
	static const struct {
		const char *name;
		double min, max;
		const char *unit, *meaning;
		int detectors;
	} table[] = {
		[STANDARD] = {"standard", -100, 1000, "", "onset, deviations above the mean",
			ENVELOPE},
		[CONDITIONING] = {"conditioning", -100, 1000, "",
			"conditioning, deviations above the mean", ENVELOPE},
		[CONTENT] = {"content", -100, 1000, "", "content, deviations above the mean",
			ENVELOPE},
		[END] = {"end", -100, 1000, "", "end, deviations above the mean", ENVELOPE},
		[MAX_SPEED] = {"max_speed_cm_s", 0, 1e6, "cm/s", "no onset at this speed or above",
			BOTH},
		[MAX_SAMPLES] = {"max_samples", 1, 1e7, "sample", "a longer ripple is ended", BOTH},
		[WARM_UP] = {"warm_up_samples", 0, 4e9, "sample", "statistics only, no onset",
			BOTH},
		[FREEZE] = {"freeze", 0, 1, "flag", "1: statistics stay as they are", BOTH},
		[THRESHOLD] = {"threshold", 0, 1, "", "onset, the network's output", NETWORK},
		[TIMEOUT] = {"timeout_ms", 0, 60000, "ms", "a ripple lasts at least so long",
			NETWORK},
	};
	int r = 0, wanted = ripple->looker ? NETWORK : ENVELOPE;

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]) && !r; i++)
		if (table[i].detectors & wanted)
			r = fnx_node_param(ripple->node, table[i].name, &ripple->settings[i],
				table[i].min, table[i].max, table[i].unit, table[i].meaning);
	return r;
}

/* Seeds, from the rig or a file, unless a predecessor knows better. */
static int seed(struct ripple *ripple)
{
	const struct fnx_rig_ripple *config = &fnx_node_rig(ripple->node)->ripple;
	uint32_t n = ripple->n_channels + (ripple->looker ? 0 : 1);
	const double *mean = config->mean.values, *deviation = config->deviation.values;
	double *read = NULL;
	char error[FNX_SEEDS_ERROR_MAX];
	int r = 0;

	if ((!config->mean.n && !config->seed_file[0]) || fnx_node_remembers(ripple->node))
		return 0;
	if (config->seed_file[0]) {
		read = calloc(2 * (size_t)n, sizeof(*read));
		if (!read)
			return fnx_node_fail(ripple->node, -ENOMEM, "out of memory");
		r = fnx_seeds_read(config->seed_file, n, read, read + n, error);
		if (r)
			fnx_node_fail(ripple->node, r, "%s", error);
		mean = read;
		deviation = read + n;
	} else if (config->mean.n != n || config->deviation.n != n) {
		r = fnx_node_fail(ripple->node, -EINVAL,
			"ripple.mean and ripple.deviation: expected %u numbers each, one for each "
			"channel%s",
			n, ripple->looker ? "" : " and one for the consensus");
	}
	if (!r)
		r = ripple->looker
			? fnx_network_detector_seed(ripple->looker, mean, deviation, N_SEEDED)
			: fnx_detector_seed(ripple->detector, mean, deviation, N_SEEDED);
	if (r == -EINVAL)
		fnx_node_fail(ripple->node, r, "ripple: a mean or deviation cannot be used");
	free(read);
	return r;
}

/* Memory in the node's state, 64-aligned; NULL after fnx_node_fail. */
static void *remember(struct ripple *ripple, size_t size)
{
	fnx_node_journal_room(ripple->node, size);
	return fnx_node_state(ripple->node, size, FNX_CACHE_LINE);
}

static int complain(struct ripple *ripple, int r, const char *reason)
{
	if (r == -EBADMSG)
		reason = "the state that its predecessor left is damaged";
	return r ? fnx_node_fail(ripple->node, r, "%s", r == -ENOMEM ? "out of memory" : reason)
		 : 0;
}

static struct fnx_envelope_config envelope_config(
	const struct ripple *ripple, const struct fnx_ripple_design *design, uint32_t n_channels)
{
	return (struct fnx_envelope_config){.n_channels = n_channels,
		.n_sections = design->n_sections,
		.sections = design->sections,
		.n_taps = design->n_taps,
		.taps = design->taps,
		.n_smoothing_taps = design->n_smoothing_taps,
		.smoothing_taps = design->smoothing_taps,
		.parity = fnx_node_rig(ripple->node)->parity,
		.resumed = fnx_node_remembers(ripple->node),
		.journal = fnx_node_journal(ripple->node)};
}

static int open_envelope(struct ripple *ripple, const struct fnx_ripple_design *design)
{
	const struct fnx_rig *rig = fnx_node_rig(ripple->node);
	struct fnx_detector_config detector = {.n_channels = ripple->n_channels,
		.parity = rig->parity,
		.median = rig->ripple.statistics == FNX_STATISTICS_MEDIAN,
		.params = params_of(ripple),
		.resumed = fnx_node_remembers(ripple->node),
		.journal = fnx_node_journal(ripple->node)};
	struct fnx_envelope_config config = envelope_config(ripple, design, ripple->n_channels);
	int r;

	config.memory =
		fnx_node_state(ripple->node, fnx_envelope_memory_size(&config), FNX_CACHE_LINE);
	if (!config.memory)
		return -ENOMEM;
	r = complain(ripple, fnx_envelope_new(&config, &ripple->envelope),
		"the filters cannot be used with this many channels");
	if (r)
		return r;
	detector.memory = remember(ripple, fnx_detector_memory_size(ripple->n_channels));
	if (!detector.memory)
		return -ENOMEM;
	return complain(ripple, fnx_detector_new(&detector, &ripple->detector),
		"the thresholds cannot be used");
}

static int open_network(struct ripple *ripple)
{
	const struct fnx_rig *rig = fnx_node_rig(ripple->node);
	double taps[FNX_RESAMPLING_TAPS];
	struct fnx_network_detector_config config = {.n_channels = ripple->n_channels,
		.step = rig->ripple.network_step,
		.lfp_rate_hz = rig->lfp.rate_hz,
		.rate_hz = rig->ripple.network_rate_hz,
		.calibration_samples =
			(uint64_t)(rig->ripple.calibration_s * rig->ripple.network_rate_hz),
		.taps = taps,
		.params = look_params_of(ripple),
		.resumed = fnx_node_remembers(ripple->node),
		.journal = fnx_node_journal(ripple->node)};
	struct fnx_network_shape input;
	char error[FNX_NETWORK_ERROR_MAX];
	int r = fnx_network_open(
		rig->ripple.weights, 0, rig->ripple.double_precision, &ripple->network, error);

	if (r)
		return fnx_node_fail(ripple->node, r, "ripple.weights: %s", error);
	config.network = ripple->network;
	input = fnx_network_input(ripple->network);
	if (input.width * input.n_channels != ripple->n_channels)
		return fnx_node_fail(ripple->node, -EINVAL,
			"ripple.channels: %s looks at %u channels, the rig names %u",
			rig->ripple.weights, input.width * input.n_channels, ripple->n_channels);
	if (!config.step)
		config.step = input.height < 2 ? 1 : input.height / 2;
	r = fnx_resampling_design(rig, taps, &config.n_taps);
	if (r)
		return fnx_node_fail(ripple->node, r,
			"ripple.resampling: no low-pass for these rates; pick needs none");
	config.memory = remember(ripple, fnx_network_detector_memory_size(&config));
	if (!config.memory)
		return -ENOMEM;
	return complain(ripple, fnx_network_detector_new(&config, &ripple->looker),
		"the network cannot be used with these rates");
}

/* Only where the rig asks for it: nobody else pays. */
static int open_guard(struct ripple *ripple, const struct fnx_ripple_design *design)
{
	const struct fnx_rig *rig = fnx_node_rig(ripple->node);
	double per_ms = rig->clock.rate_hz / 1e3;
	struct fnx_guard_config config = {
		.envelope = envelope_config(ripple, design, rig->ripple.noise_channels.n),
		.noise_channels = rig->ripple.noise_channels.values,
		.noise_threshold = rig->ripple.noise_threshold,
		.median = rig->ripple.statistics == FNX_STATISTICS_MEDIAN,
		.noise_samples = (int64_t)(rig->ripple.noise_ms * per_ms),
		.blank_samples = (int64_t)(rig->ripple.blanking_ms * per_ms),
		.artefact_uv = rig->ripple.artefact_uv,
		.resumed = fnx_node_remembers(ripple->node),
		.journal = fnx_node_journal(ripple->node)};

	if (!rig->ripple.noise_channels.n && !(rig->ripple.artefact_uv > 0) &&
		!(rig->ripple.blanking_ms > 0))
		return 0;
	config.memory = remember(ripple, fnx_guard_memory_size(&config));
	if (!config.memory)
		return -ENOMEM;
	return complain(ripple, fnx_guard_new(&config, &ripple->guard),
		"the noise channels cannot be used");
}

static int open_arithmetic(struct ripple *ripple)
{
	const struct fnx_rig *rig = fnx_node_rig(ripple->node);
	struct fnx_ripple_design *design = malloc(sizeof(*design));
	const char *reason;
	int r;

	if (!design)
		return fnx_node_fail(ripple->node, -ENOMEM, "out of memory");
	r = complain(ripple, fnx_ripple_design(rig, design, &reason), reason);
	if (!r)
		r = rig->ripple.detector == FNX_RIPPLE_NETWORK ? open_network(ripple)
							       : open_envelope(ripple, design);
	if (!r)
		r = open_guard(ripple, design);
	free(design);
	return r ? r : seed(ripple);
}

static size_t events_max(const struct ripple *ripple)
{
	return ripple->looker ? 1 : fnx_detector_events_max(ripple->detector);
}

static int open_memory(struct ripple *ripple)
{
	ripple->counts = calloc(ripple->n_channels, sizeof(*ripple->counts));
	ripple->filtered = calloc(ripple->n_channels, sizeof(*ripple->filtered));
	ripple->traces = calloc(ripple->n_channels, sizeof(*ripple->traces));
	ripple->events = calloc(events_max(ripple), sizeof(*ripple->events));
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
	fnx_network_detector_free(ripple->looker);
	fnx_network_free(ripple->network);
	fnx_guard_free(ripple->guard);
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
		ripple->output = r = fnx_node_output(
			node, "ripple", &fnx_ripple_schema, NULL, (uint32_t)events_max(ripple));
	/* Only live does stimulation follow: what replays is not stimulated, and its numbers must
	 * not hang on when a decision comes by. */
	ripple->decision_input = -1;
	if (r >= 0 && rig->bus.live && rig->dispatch.enabled && rig->ripple.blanking_ms > 0)
		ripple->decision_input = r =
			fnx_node_input(node, "decision", &fnx_decision_schema, FNX_INPUT_ASIDE);
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
	if (fnx_node_forgot(ripple->node) && !rig->ripple.mean.n && !rig->ripple.seed_file[0])
		fnx_node_say(ripple->node,
			"lost: running mean and deviation of the envelopes; learning anew");
	return 0;
}

/* What the guard says of this sample: nothing is learnt while it blanks. */
static enum fnx_guard_answer ask_guard(
	struct ripple *ripple, const float *lfp, double uv_per_count, int64_t sample_time)
{
	enum fnx_guard_answer answer = fnx_guard_step(
		ripple->guard, lfp, uv_per_count, sample_time, ripple->counts, ripple->n_channels);

	if ((answer == FNX_GUARD_BLANK) != ripple->blanked) {
		ripple->blanked = answer == FNX_GUARD_BLANK;
		changed(ripple);
	}
	return answer;
}

static size_t detect(
	struct ripple *ripple, const float *samples, double uv_per_count, double speed_cm_s)
{
	if (ripple->looker)
		return (size_t)fnx_network_detector_step(
			ripple->looker, samples, uv_per_count, speed_cm_s, ripple->events);
	fnx_envelope_step(
		ripple->envelope, samples, uv_per_count, ripple->filtered, ripple->traces);
	return fnx_detector_step(ripple->detector, ripple->traces, speed_cm_s, ripple->events);
}

static int is_number(float count, double uv_per_count)
{
	return fabs((double)count * uv_per_count) <= FNX_LFP_LIMIT_UV;
}

/* Is every sample that is looked at a number? What is none, the arithmetic makes up for. */
static int are_numbers(
	const struct ripple *ripple, const float *all, const float *samples, double uv_per_count)
{
	const struct fnx_rig_ids *noise = &fnx_node_rig(ripple->node)->ripple.noise_channels;
	int are = 1;

	for (uint32_t i = 0; i < ripple->n_channels; i++)
		are &= is_number(samples[i], uv_per_count);
	for (uint32_t i = 0; i < noise->n; i++)
		are &= is_number(all[noise->values[i]], uv_per_count);
	return are;
}

static void take_lfp(struct ripple *ripple, const struct fnx_frame *frame)
{
	const struct fnx_lfp *lfp = frame->payload;
	const float *all = fnx_lfp_get_samples(
			    fnx_node_input_layout(ripple->node, (unsigned)ripple->lfp_input),
			    frame->payload),
		    *samples = all;
	double speed_cm_s = *ripple->speed_cm_s;
	size_t n;

	if (ripple->channels || ripple->guard) {
		for (uint32_t i = 0; i < ripple->n_channels; i++)
			ripple->counts[i] = all[ripple->channels ? ripple->channels[i] : i];
		samples = ripple->counts;
	}
	if (!are_numbers(ripple, all, samples, lfp->uv_per_count))
		fnx_node_count_bad(ripple->node, (unsigned)ripple->lfp_input);
	/* At an unknown speed nothing starts. */
	if (ripple->guard &&
		ask_guard(ripple, all, lfp->uv_per_count, frame->stamp.sample_time) !=
			FNX_GUARD_OPEN)
		speed_cm_s = NAN;
	n = detect(ripple, samples, lfp->uv_per_count, speed_cm_s);
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
	if ((int)input == ripple->decision_input) {
		const struct fnx_decision *decision = frame->payload;

		if (decision->outcome == FNX_DECISION_ACTED)
			fnx_guard_stimulated(ripple->guard, frame->stamp.sample_time);
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
