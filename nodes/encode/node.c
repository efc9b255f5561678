/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The encode node: one model of marks per electrode group, one occupancy for all. The arithmetic is
 * in mark.c, model.c and nodes/host/occupancy.c.
 *
 * Every spike above the amplitude threshold yields a frame, also one that the model cannot judge:
 * the decoder counts it. A spike is judged, then told, then stored: what it teaches is not waited
 * for.
 */
#include "nodes/encode/node.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/scratch.h"
#include "nodes/encode/mark.h"
#include "nodes/encode/model.h"
#include "nodes/host/credible.h"
#include "nodes/host/occupancy.h"
#include "nodes/host/smoothing.h"
#include "nodes/host/track.h"
#include "schemas/likelihood.h"
#include "schemas/position.h"
#include "schemas/spike.h"

struct group {
	uint32_t id;
	struct fnx_mark_config mark;
	struct fnx_model *model;
};

/* What the node itself must not forget; the rest is in models and occupancy. In the node's state.
 */
struct moment {
	double speed_cm_s;
	int32_t position_bin;
	int32_t seen; /* a position has come */
	uint64_t n_rounded; /* spikes that were no whole steps */
};

struct encode {
	struct fnx_node *node;
	const struct fnx_rig *rig;
	const struct fnx_rig_encode_instance *instance;
	struct fnx_track *track;
	struct fnx_occupancy occupancy;
	struct fnx_scratch scratch;
	struct group *groups;
	uint32_t n_groups, n_bins;
	uint32_t *index_of; /* [highest id + 1]: group's index + 1, 0: not ours */
	uint32_t n_ids;
	struct fnx_smoothing *smoothing; /* NULL: none */
	double *work; /* [n_bins] */
	size_t journal_room; /* for what one spike changes */
	int position_input, spikes_input, output;
	struct moment *now;
	bool said_rounded;
	double freeze, min_speed_cm_s, amplitude_uv; /* parameters */
};

/* Opening
 * ------------------------------------------------------------------------------------------- */

static int no_memory(struct encode *encode)
{
	return fnx_node_fail(encode->node, -ENOMEM, "out of memory");
}

static int open_track(struct encode *encode)
{
	encode->track = fnx_node_track(encode->node);
	if (!encode->track)
		return -EINVAL;
	encode->n_bins = fnx_track_bins(encode->track);
	return 0;
}

static int open_smoothing(struct encode *encode)
{
	const double deviation_cm = encode->rig->encode.position_smoothing_cm;

	if (deviation_cm == 0)
		return 0;
	if (fnx_smoothing_new_track(encode->track, deviation_cm, &encode->smoothing))
		return no_memory(encode);
	return 0;
}

static uint32_t dead_mask(const struct fnx_rig *rig, uint32_t id)
{
	uint32_t mask = 0;

	for (uint32_t i = 0; i < rig->n_electrode_groups; i++) {
		const struct fnx_rig_electrode_groups *groups = &rig->electrode_groups[i];

		for (uint32_t k = 0;
			id >= groups->id && id <= groups->through && k < groups->dead_channels.n;
			k++)
			mask |= 1u << groups->dead_channels.values[k];
	}
	return mask;
}

struct fnx_model_config fnx_encode_model_config(
	const struct fnx_rig *rig, uint32_t id, uint32_t n_bins)
{
	const struct fnx_rig_encode *encode = &rig->encode;

	return (struct fnx_model_config){
		.n_dims = fnx_rig_group_channels(rig, id),
		.n_bins = n_bins,
		.capacity = encode->capacity,
		.kernel_uv = encode->kernel_uv,
		.gate = encode->gate,
		.gate_deviations = encode->gate_deviations,
		.gate_min_marks = encode->gate_min_marks,
		.single = encode->single,
		.step_uv = encode->mark_step_uv,
		.cut_off = encode->cut_off,
		.expansion_size = (uint64_t)encode->expansion_mib << 20,
		.merge_deviations = encode->merge_deviations,
	};
}

int fnx_encode_check_group(
	const struct fnx_rig *rig, uint32_t id, uint32_t n_bins, char *ret_why, size_t size)
{
	const struct fnx_model_config config = fnx_encode_model_config(rig, id, n_bins);
	const uint64_t least =
		config.expansion_size > 0 ? fnx_model_cube_size(config.n_dims, n_bins) : 0;

	if (config.expansion_size < least)
		snprintf(ret_why, size,
			"encode.expansion_mib: electrode group %u: expected at least %llu for one "
			"cube of %u position bins, found %u",
			id, (unsigned long long)((least + (1 << 20) - 1) >> 20), n_bins,
			rig->encode.expansion_mib);
	else if (!fnx_model_memory_size(&config))
		snprintf(ret_why, size,
			"encode: electrode group %u: capacity, kernel, step or gate out of range",
			id);
	else
		return 0;
	return -EINVAL;
}

static int open_group(struct encode *encode, struct group *group, uint32_t id)
{
	struct fnx_model_config model = fnx_encode_model_config(encode->rig, id, encode->n_bins);
	size_t n_touches, n_bytes;
	char why[200];
	void *memory;
	int r;

	r = fnx_encode_check_group(encode->rig, id, encode->n_bins, why, sizeof(why));
	if (r)
		return fnx_node_fail(encode->node, r, "%s", why);
	model.smoothing = encode->smoothing;
	group->id = id;
	group->mark = (struct fnx_mark_config){
		.n_channels = model.n_dims,
		.neighbours = encode->rig->encode.peak_neighbours,
		.dead_channels = dead_mask(encode->rig, id),
	};
	memory = fnx_node_state(encode->node, fnx_model_memory_size(&model), FNX_CACHE_LINE);
	if (!memory)
		return -ENOMEM;
	/* One spike at a time: of the largest need there is room for once. */
	fnx_model_add_needs(&model, &n_touches, &n_bytes);
	if (fnx_journal_log_size(n_touches, n_bytes) > encode->journal_room)
		encode->journal_room = fnx_journal_log_size(n_touches, n_bytes);
	r = fnx_model_init(&model, memory, fnx_node_remembers(encode->node),
		fnx_node_journal(encode->node), &group->model);
	if (r == -EBADMSG)
		return fnx_node_fail(
			encode->node, r, "the state that its predecessor left is damaged");
	if (r)
		return no_memory(encode);
	return 0;
}

static int open_groups(struct encode *encode)
{
	const struct fnx_rig_ids *ids = &encode->instance->groups;
	size_t scratch = 0;
	int r = 0;

	for (uint32_t i = 0; i < ids->n; i++)
		if (ids->values[i] >= encode->n_ids)
			encode->n_ids = ids->values[i] + 1;
	encode->groups = calloc(ids->n, sizeof(*encode->groups));
	encode->index_of = calloc(encode->n_ids, sizeof(*encode->index_of));
	encode->work = calloc(encode->n_bins, sizeof(*encode->work));
	if (!encode->groups || !encode->index_of || !encode->work)
		return no_memory(encode);
	for (uint32_t i = 0; i < ids->n && !r; i++) {
		r = open_group(encode, &encode->groups[i], ids->values[i]);
		if (r)
			break;
		encode->n_groups++;
		encode->index_of[ids->values[i]] = i + 1;
		if (fnx_model_scratch_size(encode->groups[i].model) > scratch)
			scratch = fnx_model_scratch_size(encode->groups[i].model);
	}
	if (!r && fnx_scratch_reserve(&encode->scratch, scratch))
		r = no_memory(encode);
	return r;
}

static int open_occupancy(struct encode *encode)
{
	struct fnx_occupancy_config config = {
		.n_bins = encode->n_bins,
		.bin_arms = fnx_track_bin_arms(encode->track),
		.parity = encode->rig->parity,
		.floor = encode->rig->parity ? 0 : 1,
		.smoothing = encode->smoothing,
	};
	size_t size = fnx_occupancy_memory_size(encode->n_bins);
	void *memory = fnx_node_state(encode->node, size, FNX_CACHE_LINE);
	int r;

	if (!memory)
		return -ENOMEM;
	fnx_node_journal_room(encode->node, encode->journal_room + fnx_journal_log_size(4, size));
	r = fnx_occupancy_init_in(&encode->occupancy, &config, memory,
		fnx_node_remembers(encode->node) != 0, fnx_node_journal(encode->node));
	if (r == -EBADMSG)
		return fnx_node_fail(
			encode->node, r, "the state that its predecessor left is damaged");
	return r ? no_memory(encode) : 0;
}

static int open_moment(struct encode *encode)
{
	encode->now = fnx_node_state(encode->node, sizeof(*encode->now), FNX_CACHE_LINE);
	if (!encode->now)
		return -ENOMEM;
	/* The ancestor takes an animal that it has not seen yet to be in bin 0. */
	if (!fnx_node_remembers(encode->node))
		encode->now->position_bin = encode->rig->parity ? 0 : -1;
	else if (encode->now->position_bin < -1 ||
		encode->now->position_bin >= (int32_t)encode->n_bins)
		return fnx_node_fail(
			encode->node, -EBADMSG, "the state that its predecessor left is damaged");
	return 0;
}

static int open_topics(struct encode *encode)
{
	struct fnx_node *node = encode->node;
	char topic[FNX_NAME_MAX];
	int r;

	snprintf(topic, sizeof(topic), "likelihood.%u",
		(unsigned)(encode->instance - encode->rig->encode.instances) + 1);
	encode->freeze = encode->rig->encode.freeze;
	encode->min_speed_cm_s = encode->rig->encode.min_speed_cm_s;
	encode->amplitude_uv = encode->rig->encode.spike_amplitude_uv;
	r = fnx_node_param(
		node, "freeze", &encode->freeze, 0, 1, "flag", "1: the model stays as it is");
	if (!r)
		r = fnx_node_param(node, "min_speed_cm_s", &encode->min_speed_cm_s, 0, 1e6, "cm/s",
			"train at this speed or above");
	if (!r)
		r = fnx_node_param(node, "spike_amplitude_uv", &encode->amplitude_uv, -1e6, 1e6,
			"uV", "a spike counts only above this");
	if (r)
		return r;
	encode->position_input = fnx_node_input(node, "position", &fnx_position_schema, 0);
	encode->spikes_input = fnx_node_input(node, "spikes", &fnx_spike_schema, 0);
	if (encode->position_input < 0 || encode->spikes_input < 0)
		return -ENOSPC;
	encode->output = fnx_node_output(node, topic, &fnx_likelihood_schema, &encode->n_bins, 1);
	return encode->output < 0 ? encode->output : 0;
}

static void say_merged(const struct encode *encode)
{
	double error_bound = 0.0;
	uint64_t n_merged = 0;

	for (uint32_t i = 0; i < encode->n_groups; i++) {
		const struct fnx_model_merging merging = fnx_model_merging(encode->groups[i].model);

		n_merged += merging.n_merged;
		error_bound = fmax(error_bound, merging.error_bound);
	}
	if (n_merged > 0)
		fnx_node_say(encode->node,
			"%llu marks were merged into others: no sum of weights is off by more than "
			"%.2g of the kernel's peak per mark",
			(unsigned long long)n_merged, error_bound);
}

static void say_rounded(const struct encode *encode)
{
	const uint64_t n_rounded = encode->now ? encode->now->n_rounded : 0;

	if (n_rounded > 0)
		fnx_node_say(encode->node,
			"%llu spikes were no whole multiples of encode.mark_step_uv (%g uV) and "
			"were rounded to it",
			(unsigned long long)n_rounded, encode->rig->encode.mark_step_uv);
}

static void encode_close(void *self)
{
	struct encode *encode = self;

	say_merged(encode);
	say_rounded(encode);
	for (uint32_t i = 0; i < encode->n_groups; i++)
		fnx_model_free(encode->groups[i].model);
	fnx_occupancy_fini(&encode->occupancy);
	fnx_scratch_fini(&encode->scratch);
	fnx_track_free(encode->track);
	free(encode->groups);
	free(encode->index_of);
	fnx_smoothing_free(encode->smoothing);
	free(encode->work);
	free(encode);
}

static int open_all(struct encode *encode)
{
	const struct fnx_rig_encode *config = &encode->rig->encode;
	int r;

	for (uint32_t i = 0; config->enabled && i < config->n_instances; i++)
		if (!strcmp(config->instances[i].name, fnx_node_name(encode->node)))
			encode->instance = &config->instances[i];
	if (!encode->instance)
		return fnx_node_fail(encode->node, -EINVAL,
			"the rig has no encode instance named %s", fnx_node_name(encode->node));
	fnx_scratch_init(&encode->scratch);
	r = open_track(encode);
	if (!r)
		r = open_smoothing(encode);
	if (!r)
		r = open_groups(encode);
	if (!r)
		r = open_occupancy(encode);
	if (!r)
		r = open_moment(encode);
	return r ? r : open_topics(encode);
}

static int encode_open(struct fnx_node *node, void **ret_self)
{
	struct encode *encode = calloc(1, sizeof(*encode));
	int r;

	if (!encode)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	encode->node = node;
	encode->rig = fnx_node_rig(node);
	r = open_all(encode);
	if (r)
		encode_close(encode);
	else
		*ret_self = encode;
	return r;
}

static int encode_start(void *self)
{
	struct encode *encode = self;

	if (fnx_node_forgot(encode->node))
		fnx_node_say(encode->node,
			"lost: the marks and the occupancy learnt so far; learning anew");
	return 0;
}

/* Frames
 * -------------------------------------------------------------------------------------------- */

static int is_training(const struct encode *encode)
{
	const struct moment *now = encode->now;

	return now->position_bin >= 0 && now->seen && encode->freeze == 0 &&
		fabs(now->speed_cm_s) >= encode->min_speed_cm_s;
}

static void take_position(struct encode *encode, const struct fnx_position *position)
{
	struct moment *now = encode->now;

	fnx_journal_touch(fnx_node_journal(encode->node), now, sizeof(*now));
	now->position_bin = position->bin;
	if (position->bin != -1 && !fnx_track_has_bin(encode->track, position->bin)) {
		fnx_node_count_bad(encode->node, (unsigned)encode->position_input);
		now->position_bin = -1;
	}
	now->speed_cm_s = position->speed;
	now->seen = 1;
	if (is_training(encode))
		fnx_occupancy_add(&encode->occupancy, now->position_bin);
}

static void count_rounded(struct encode *encode)
{
	uint64_t *n = &encode->now->n_rounded;

	fnx_journal_touch(fnx_node_journal(encode->node), n, sizeof(*n));
	*n += 1;
}

static void judge(struct encode *encode, const struct group *group, const double *mark,
	double *likelihood, struct fnx_likelihood *message)
{
	void *scratch = fnx_scratch_loan(&encode->scratch, fnx_model_scratch_size(group->model));

	message->status = (uint32_t)fnx_model_likelihood(
		group->model, mark, encode->occupancy.share, scratch, likelihood);
	if (message->status == FNX_LIKELIHOOD_VALID)
		message->credible_bins = fnx_credible_bins(likelihood, encode->n_bins,
			encode->rig->decode.credible_mass, encode->work);
	else
		memset(likelihood, 0, encode->n_bins * sizeof(double));
}

static void take_spike(struct encode *encode, const struct fnx_frame *frame)
{
	const struct fnx_layout *in =
		fnx_node_input_layout(encode->node, (unsigned)encode->spikes_input);
	const struct fnx_layout *out =
		fnx_node_output_layout(encode->node, (unsigned)encode->output);
	const struct fnx_spike *spike = frame->payload;
	double mark[FNX_MARK_DIMS_MAX];
	struct fnx_likelihood message;
	struct group *group;
	void *payload;
	int answer;

	if (spike->group >= encode->n_ids || !encode->index_of[spike->group])
		return;
	group = &encode->groups[encode->index_of[spike->group] - 1];
	group->mark.amplitude_uv = encode->amplitude_uv;
	answer = in->extents[fnx_spike_max_channels] < group->mark.n_channels
		? -EINVAL
		: fnx_mark_from_waveform(&group->mark, fnx_spike_get_waveform(in, frame->payload),
			  in->extents[fnx_spike_max_points], spike->n_points, spike->uv_per_count,
			  mark);
	if (answer != FNX_MARK_ACCEPTED && answer != FNX_MARK_BELOW)
		fnx_node_count_bad(encode->node, (unsigned)encode->spikes_input);
	if (answer != FNX_MARK_ACCEPTED)
		return;
	payload = fnx_node_loan(encode->node, (unsigned)encode->output);
	if (!payload)
		return;
	if (!fnx_model_is_whole(group->model, mark))
		count_rounded(encode);
	message = (struct fnx_likelihood){
		.group = spike->group,
		.position_bin = encode->now->position_bin,
		.n_marks = fnx_model_marks(group->model),
	};
	judge(encode, group, mark, fnx_likelihood_put_likelihood(out, payload), &message);
	message.stored = is_training(encode) &&
		fnx_model_can_add(group->model, mark, encode->now->position_bin);
	*(struct fnx_likelihood *)payload = message;
	fnx_node_publish(encode->node, (unsigned)encode->output, frame->stamp.sample_time);
	if (message.stored)
		(void)fnx_model_add(group->model, mark, encode->now->position_bin);
}

/* A source whose counts are not the step that the rig says: told once, as soon as there is time. */
static void encode_idle(void *self)
{
	struct encode *encode = self;

	if (encode->now->n_rounded == 0 || encode->said_rounded)
		return;
	encode->said_rounded = true;
	fnx_node_say(encode->node,
		"spikes are no whole multiples of encode.mark_step_uv (%g uV); they are rounded to "
		"it",
		encode->rig->encode.mark_step_uv);
}

static void encode_frame(void *self, unsigned input, const struct fnx_frame *frame)
{
	struct encode *encode = self;

	if ((int)input == encode->position_input)
		take_position(encode, frame->payload);
	else
		take_spike(encode, frame);
}

static int encode_wanted(const struct fnx_rig *rig)
{
	return rig->encode.enabled;
}

static const char *encode_instance(const struct fnx_rig *rig, unsigned k)
{
	return k < rig->encode.n_instances ? rig->encode.instances[k].name : NULL;
}

const struct fnx_node_ops fnx_encode_ops = {
	.type = "encode",
	.summary = "learns what spikes say about position, and says it of each spike",
	.wanted = encode_wanted,
	.instance = encode_instance,
	.open = encode_open,
	.start = encode_start,
	.frame = encode_frame,
	.idle = encode_idle,
	.close = encode_close,
};
