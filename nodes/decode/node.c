/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The decode node: gathers likelihoods, closes time bins, publishes posteriors. The arithmetic is
 * in state_space.c.
 *
 * A bin is closed when every encoder has passed its end: the host's ordered merge says so, and no
 * fixed delay is needed. By the clock, bins lie on a grid of sample times; by the LFP, as the
 * ancestor has it, each n-th LFP sample closes one.
 */
#include "nodes/decode/node.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/setup.h"
#include "nodes/decode/state_space.h"
#include "nodes/host/track.h"
#include "schemas/lfp.h"
#include "schemas/likelihood.h"
#include "schemas/position.h"
#include "schemas/posterior.h"

enum {
	PENDING_MIN = 256, /* spikes that may wait for their bin to close */
	PENDING_MAX = 4096,
	PENDING_BYTES = 32 << 20, /* of their likelihoods, between these */
	LIKELIHOOD_INPUTS_MAX = 64,
};

/* A spike that waits for its bin to close, as fnx_decode_spike, but for the likelihood, which is
 * the row of the same place. */
struct pending {
	int64_t sample_time;
	uint32_t group;
	int32_t position_bin;
	uint32_t credible_bins;
	uint8_t stored, valid; /* valid: there is a likelihood */
	uint16_t reserved;
};

/* What the node itself must not forget; the rest is in the state space. In the node's state. */
struct moment {
	uint64_t first, end; /* of the ring of spikes, counted up for ever */
	int64_t next_tick; /* by the clock: sample time at which the next bin closes */
	double speed_cm_s;
	uint32_t lfp_count;
	int32_t position_bin, position_arm;
	int32_t on_track, begun, overflowed;
};

struct decode {
	struct fnx_node *node;
	const struct fnx_rig *rig;
	struct fnx_track *track;
	struct fnx_state_space space;
	uint32_t n_bins, n_states;
	uint32_t *index_of; /* [n_ids]: group's index + 1 */
	uint32_t *ids; /* [n_groups] */
	uint32_t n_ids, n_groups;
	struct fnx_decode_setup setup;
	/* Spikes that wait, in order of time: a ring, row i of `rows` is the likelihood of
	 * pending[i]. Both in the node's state. They need no journal: a new one is written where
	 * none is. */
	struct pending *pending;
	double *rows;
	struct fnx_decode_spike *batch; /* [capacity] */
	uint32_t capacity;
	struct moment *now;
	double min_speed_cm_s;
	int position_input, first_likelihood, lfp_input, output;
};

/* Opening
 * ------------------------------------------------------------------------------------------- */

static int no_memory(struct decode *decode)
{
	return fnx_node_fail(decode->node, -ENOMEM, "out of memory");
}

static int open_track(struct decode *decode)
{
	decode->track = fnx_node_track(decode->node);
	if (!decode->track)
		return -EINVAL;
	decode->n_bins = fnx_track_bins(decode->track);
	return fnx_decode_setup_init(&decode->setup, decode->rig, decode->track) ? no_memory(decode)
										 : 0;
}

/* Groups are numbered as the rig lists them: those that some encoder takes. */
static int open_groups(struct decode *decode)
{
	const struct fnx_rig_encode *encode = &decode->rig->encode;

	for (uint32_t i = 0; i < encode->n_instances; i++)
		for (uint32_t k = 0; k < encode->instances[i].groups.n; k++)
			if (encode->instances[i].groups.values[k] >= decode->n_ids)
				decode->n_ids = encode->instances[i].groups.values[k] + 1;
	decode->index_of = calloc(decode->n_ids, sizeof(*decode->index_of));
	decode->ids = calloc(decode->n_ids, sizeof(*decode->ids));
	if (!decode->index_of || !decode->ids)
		return no_memory(decode);
	for (uint32_t i = 0; i < encode->n_instances; i++)
		for (uint32_t k = 0; k < encode->instances[i].groups.n; k++)
			decode->index_of[encode->instances[i].groups.values[k]] = 1;
	for (uint32_t id = 0; id < decode->n_ids; id++)
		if (decode->index_of[id]) {
			decode->ids[decode->n_groups] = id;
			decode->index_of[id] = ++decode->n_groups;
		}
	return 0;
}

static uint32_t capacity_for(uint32_t n_bins)
{
	size_t fit = PENDING_BYTES / (n_bins * sizeof(double));

	return fit < PENDING_MIN ? PENDING_MIN : fit > PENDING_MAX ? PENDING_MAX : (uint32_t)fit;
}

size_t fnx_decode_waiting_bytes(uint32_t n_bins)
{
	return capacity_for(n_bins) * (sizeof(struct pending) + n_bins * sizeof(double));
}

static int open_pending(struct decode *decode)
{
	decode->capacity = capacity_for(decode->n_bins);
	decode->batch = calloc(decode->capacity, sizeof(*decode->batch));
	if (!decode->batch)
		return no_memory(decode);
	decode->pending = fnx_node_state(
		decode->node, decode->capacity * sizeof(*decode->pending), FNX_CACHE_LINE);
	decode->rows = fnx_node_state(decode->node,
		(size_t)decode->capacity * decode->n_bins * sizeof(double), FNX_CACHE_LINE);
	return decode->pending && decode->rows ? 0 : -ENOMEM;
}

/* What a predecessor left may be any bytes: what counts or indexes must be in range. */
static int is_sound(const struct decode *decode)
{
	const struct moment *now = decode->now;
	int32_t n_bins = (int32_t)decode->n_bins;

	if (now->end < now->first || now->end - now->first > decode->capacity ||
		now->position_bin < -1 || now->position_bin >= n_bins)
		return 0;
	for (uint64_t i = now->first; i < now->end; i++)
		if (decode->pending[i % decode->capacity].group >= decode->n_groups)
			return 0;
	return 1;
}

static int open_moment(struct decode *decode)
{
	decode->now = fnx_node_state(decode->node, sizeof(*decode->now), FNX_CACHE_LINE);
	if (!decode->now)
		return -ENOMEM;
	if (fnx_node_remembers(decode->node))
		return is_sound(decode) ? 0
					: fnx_node_fail(decode->node, -EBADMSG,
						  "the state that its predecessor left is damaged");
	decode->now->position_bin = decode->rig->parity ? 0 : -1;
	decode->now->position_arm = decode->now->position_bin;
	return 0;
}

static int open_space(struct decode *decode)
{
	const struct fnx_rig_decode *config = &decode->rig->decode;
	const struct fnx_rig *rig = decode->rig;
	struct fnx_state_space_config space = {
		.transition = decode->setup.transition,
		.n_groups = decode->n_groups,
		.max_spikes = decode->capacity,
		.time_bin_s = rig->clock.time_bin_samples / rig->clock.rate_hz,
		.credible_mass = config->credible_mass,
		.credible_max_bins = config->credible_max_bins,
		.parity = rig->parity,
		.rates_hz = config->rates_hz && !rig->parity,
		.rates_while_training = config->rates_while_training && !rig->parity,
		.log_space = config->log_space && !rig->parity,
		.position_sample_s = 1 / rig->position.rate_hz,
		.duplicates_per_group = config->duplicates_per_group && !rig->parity,
		.likelihood_floor = rig->parity ? 0 : config->likelihood_floor,
		.occupancy_floor = rig->parity ? 0 : 1,
		.smoothing = rig->parity ? NULL : decode->setup.smoothing,
	};
	void *memory;
	int r;

	decode->n_states = space.transition.n_states;
	memory = fnx_node_state(decode->node, fnx_state_space_memory_size(&space), FNX_CACHE_LINE);
	if (!memory)
		return -ENOMEM;
	fnx_node_journal_room(decode->node, fnx_state_space_journal_size(&space));
	r = fnx_state_space_init_in(&decode->space, &space, memory,
		fnx_node_remembers(decode->node) != 0, fnx_node_journal(decode->node));
	if (r == -EBADMSG)
		return fnx_node_fail(
			decode->node, r, "the state that its predecessor left is damaged");
	if (r)
		return fnx_node_fail(decode->node, r, "decode: %s",
			r == -ENOMEM ? "out of memory" : "a number is out of range for this track");
	return 0;
}

static int open_topics(struct decode *decode)
{
	const uint32_t extents[fnx_posterior_n_extents] = {
		[fnx_posterior_n_states] = decode->n_states,
		[fnx_posterior_n_bins] = decode->n_bins,
		[fnx_posterior_n_recent] = FNX_RECENT_MAX};
	struct fnx_node *node = decode->node;
	char topic[FNX_NAME_MAX];
	int r;

	r = fnx_node_param(node, "min_speed_cm_s", &decode->min_speed_cm_s, 0, 1e6, "cm/s",
		"occupancy counts at this speed or above");
	if (r)
		return r;
	decode->position_input = r = fnx_node_input(node, "position", &fnx_position_schema, 0);
	for (uint32_t i = 0; r >= 0 && i < decode->rig->encode.n_instances; i++) {
		snprintf(topic, sizeof(topic), "likelihood.%u", i + 1);
		r = fnx_node_input(node, topic, &fnx_likelihood_schema, 0);
	}
	decode->first_likelihood = decode->position_input + 1;
	decode->lfp_input = -1;
	if (r >= 0 && decode->rig->decode.tick == FNX_TICK_LFP)
		decode->lfp_input = r = fnx_node_input(node, "lfp", &fnx_lfp_schema, 0);
	else
		fnx_node_acts_at_ticks(node);
	if (r >= 0)
		decode->output = r =
			fnx_node_output(node, "posterior", &fnx_posterior_schema, extents, 1);
	return r < 0 ? r : 0;
}

static void decode_close(void *self)
{
	struct decode *decode = self;

	fnx_state_space_fini(&decode->space);
	fnx_track_free(decode->track);
	free(decode->index_of);
	free(decode->ids);
	fnx_decode_setup_fini(&decode->setup);
	free(decode->batch);
	free(decode);
}

static int decode_open(struct fnx_node *node, void **ret_self)
{
	struct decode *decode = calloc(1, sizeof(*decode));
	int r;

	if (!decode)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	decode->node = node;
	decode->rig = fnx_node_rig(node);
	decode->min_speed_cm_s = decode->rig->decode.min_speed_cm_s;
	r = open_track(decode);
	if (!r)
		r = open_groups(decode);
	if (!r)
		r = open_pending(decode);
	if (!r)
		r = open_moment(decode);
	if (!r)
		r = open_space(decode);
	if (!r)
		r = open_topics(decode);
	if (r)
		decode_close(decode);
	else
		*ret_self = decode;
	return r;
}

static int decode_start(void *self)
{
	struct decode *decode = self;
	int64_t promised = fnx_node_promised(decode->node, (unsigned)decode->output);

	for (uint32_t i = 0; i < decode->rig->encode.n_instances; i++) {
		unsigned input = (unsigned)decode->first_likelihood + i;
		uint32_t n_bins =
			fnx_node_input_layout(decode->node, input)->extents[fnx_likelihood_n_bins];

		if (n_bins != decode->n_bins)
			return fnx_node_fail(decode->node, -EINVAL,
				"topic %s has %u bins, the rig's track %u",
				fnx_node_input_topic(decode->node, input), n_bins, decode->n_bins);
	}
	if (!fnx_node_forgot(decode->node))
		return 0;
	fnx_node_say(decode->node,
		"lost: firing rates, occupancy and the last posterior; learning anew");
	/* The predecessor's next bin is ours. */
	if (promised > INT64_MIN && decode->lfp_input < 0) {
		decode->now->begun = 1;
		decode->now->next_tick = promised;
	}
	return 0;
}

/* Time bins
 * ----------------------------------------------------------------------------------------- */

/* Before `now` changes. */
static struct moment *touch(struct decode *decode)
{
	fnx_journal_touch(fnx_node_journal(decode->node), decode->now, sizeof(*decode->now));
	return decode->now;
}

/* Moves the spikes of [start, end) into the batch; earlier ones, which no bin took, are gone. */
static uint32_t gather(struct decode *decode, int64_t start, int64_t end)
{
	struct moment *now = decode->now;
	uint32_t n = 0;

	for (; now->first < now->end; now->first++) {
		size_t place = now->first % decode->capacity;
		const struct pending *spike = &decode->pending[place];

		if (spike->sample_time >= end)
			break;
		if (spike->sample_time < start)
			continue;
		decode->batch[n++] = (struct fnx_decode_spike){
			.sample_time = spike->sample_time,
			.group = spike->group,
			.position_bin = spike->position_bin,
			.credible_bins = spike->credible_bins,
			.stored = spike->stored != 0,
			.likelihood = spike->valid ? decode->rows + place * decode->n_bins : NULL,
		};
	}
	return n;
}

static int32_t arm_of(const struct decode *decode, int32_t bin)
{
	return bin < 0 ? -1 : fnx_track_bin_arms(decode->track)[bin];
}

static void close_bin(struct decode *decode, int64_t tick)
{
	const struct fnx_layout *layout =
		fnx_node_output_layout(decode->node, (unsigned)decode->output);
	int64_t end = tick - decode->rig->decode.delay_samples;
	int64_t start = end - decode->rig->clock.time_bin_samples;
	struct moment *now = touch(decode);
	uint32_t n = gather(decode, start, end);
	struct fnx_decode_result result;
	void *payload;

	fnx_state_space_tick(&decode->space, decode->batch, n, &result);
	payload = fnx_node_loan(decode->node, (unsigned)decode->output);
	if (!payload)
		return;
	*(struct fnx_posterior *)payload = (struct fnx_posterior){
		.bin_start = start,
		.bin_end = end,
		.speed = now->speed_cm_s,
		.position_bin = now->on_track ? now->position_bin : -1,
		.position_arm = now->on_track ? now->position_arm : -1,
		.decoded_bin = result.decoded_bin,
		.decoded_arm = arm_of(decode, result.decoded_bin),
		.spike_count = result.n_spikes,
		.credible_posterior = result.credible_posterior,
		.credible_likelihood = result.credible_likelihood,
		.n_recent_valid = result.n_recent,
	};
	memcpy(fnx_posterior_put_posterior(layout, payload), result.posterior,
		(size_t)decode->n_states * decode->n_bins * sizeof(double));
	memcpy(fnx_posterior_put_likelihood(layout, payload), result.likelihood,
		decode->n_bins * sizeof(double));
	memset(fnx_posterior_put_recent_group(layout, payload), 0,
		FNX_RECENT_MAX * sizeof(uint32_t));
	memset(fnx_posterior_put_recent_bin(layout, payload), 0xff,
		FNX_RECENT_MAX * sizeof(int32_t));
	for (uint32_t i = 0; i < result.n_recent; i++)
		fnx_posterior_put_recent_group(layout, payload)[i] =
			decode->ids[result.recent_groups[i]];
	memcpy(fnx_posterior_put_recent_bin(layout, payload), result.recent_bins,
		result.n_recent * sizeof(int32_t));
	if (now->overflowed || result.n_dropped)
		fnx_node_flag(decode->node, FNX_FRAME_INCOMPLETE);
	now->overflowed = 0;
	fnx_node_publish(decode->node, (unsigned)decode->output, tick);
}

/* By the clock: the first bin is the first whole one after the session's first frame. */
static void begin(struct decode *decode, int64_t time)
{
	int64_t bin = decode->rig->clock.time_bin_samples;
	int64_t start = time > 0 ? (time + bin - 1) / bin * bin : time / bin * bin;

	decode->now->begun = 1;
	decode->now->next_tick = start + bin + decode->rig->decode.delay_samples;
}

static int decode_advance(void *self, int64_t until, int64_t *ret_watermark)
{
	struct decode *decode = self;
	struct moment *now = decode->now;

	if (decode->lfp_input >= 0 || !now->begun)
		return FNX_DONE;
	if (now->next_tick >= until) {
		*ret_watermark = now->next_tick;
		return FNX_DONE;
	}
	close_bin(decode, now->next_tick);
	now->next_tick += decode->rig->clock.time_bin_samples;
	return FNX_AGAIN;
}

/* Frames
 * -------------------------------------------------------------------------------------------- */

static void take_position(struct decode *decode, const struct fnx_position *position)
{
	struct moment *now = decode->now;

	now->position_bin = position->bin;
	now->position_arm = position->arm;
	if (position->bin != -1 && !fnx_track_has_bin(decode->track, position->bin)) {
		fnx_node_count_bad(decode->node, (unsigned)decode->position_input);
		now->position_bin = now->position_arm = -1;
	}
	now->speed_cm_s = position->speed;
	now->on_track = (position->flags & FNX_POSITION_ON_TRACK) != 0;
	if (now->position_bin >= 0 && fabs(now->speed_cm_s) >= decode->min_speed_cm_s)
		fnx_state_space_occupy(&decode->space, now->position_bin);
}

/* Is it one? What is no number, or below 0, would spoil a posterior. */
static int is_likelihood(const double *values, uint32_t n)
{
	int odd = 0;

	for (uint32_t i = 0; i < n; i++)
		odd |= !(values[i] >= 0.0 && values[i] <= DBL_MAX);
	return !odd;
}

static void take_likelihood(struct decode *decode, unsigned input, const struct fnx_frame *frame)
{
	const struct fnx_layout *layout = fnx_node_input_layout(decode->node, input);
	const struct fnx_likelihood *message = frame->payload;
	struct moment *now = decode->now;
	uint32_t slot = (uint32_t)(now->end % decode->capacity);
	double *row = decode->rows + (size_t)slot * decode->n_bins;
	int valid;

	if (message->group >= decode->n_ids || !decode->index_of[message->group]) {
		fnx_node_count_bad(decode->node, input);
		return;
	}
	if (now->end - now->first == decode->capacity) {
		fnx_node_lose(decode->node, input);
		now->overflowed = 1;
		return;
	}
	memcpy(row, fnx_likelihood_get_likelihood(layout, frame->payload),
		decode->n_bins * sizeof(double));
	valid = message->status == FNX_LIKELIHOOD_VALID;
	if (valid && !is_likelihood(row, decode->n_bins)) {
		fnx_node_count_bad(decode->node, input);
		valid = 0;
	}
	decode->pending[slot] = (struct pending){
		.sample_time = frame->stamp.sample_time,
		.group = decode->index_of[message->group] - 1,
		.position_bin = message->position_bin,
		.credible_bins = message->credible_bins,
		.stored = message->stored != 0,
		.valid = valid != 0,
	};
	now->end++;
}

static void decode_frame(void *self, unsigned input, const struct fnx_frame *frame)
{
	struct decode *decode = self;
	int64_t time = frame->stamp.sample_time;
	struct moment *now = touch(decode);

	if (!now->begun)
		begin(decode, time);
	if ((int)input == decode->position_input)
		take_position(decode, frame->payload);
	else if ((int)input != decode->lfp_input)
		take_likelihood(decode, input, frame);
	else if (++now->lfp_count % decode->rig->decode.lfp_per_bin == 0)
		close_bin(decode, time);
}

static int decode_wanted(const struct fnx_rig *rig)
{
	return rig->decode.enabled;
}

const struct fnx_node_ops fnx_decode_ops = {
	.type = "decode",
	.summary = "decodes position from the likelihoods of spikes, once per time bin",
	.wanted = decode_wanted,
	.open = decode_open,
	.start = decode_start,
	.frame = decode_frame,
	.advance = decode_advance,
	.close = decode_close,
};
