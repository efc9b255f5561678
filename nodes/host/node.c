/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What nodes ask of their host: declaring inputs, outputs and parameters, and publishing.
 *
 * After a crash a node does again what its predecessor had not committed. That one may have
 * published some of it: the frames of its topics beyond what it had committed. What has the sample
 * time and origin of one of those is not published twice. Where the state was lost, or the node
 * keeps none, what is done again may be more; then the last entries alone tell.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nodes/host/host.h"
#include "nodes/host/topics.h"
#include "nodes/host/track.h"
#include "schemas/codec.h"
#include "schemas/param.h"

enum {
	PARAMS_SLOTS = 16,
	DESCRIPTION_MAX = 16384,
	ORIGIN_INPUT_SHIFT = 56, /* origin: input's rank above, sequence number below */
};

int64_t fnx_node_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

const struct fnx_rig *fnx_node_rig(const struct fnx_node *node)
{
	return node->rig;
}

const struct fnx_bus *fnx_node_bus(const struct fnx_node *node)
{
	return &node->bus;
}

const char *fnx_node_name(const struct fnx_node *node)
{
	return node->name;
}

void fnx_node_watch(struct fnx_node *node, int fd)
{
	node->watch_fd = fd;
}

void fnx_node_ready(struct fnx_node *node)
{
	if (atomic_load(&node->status->state) >= FNX_NODE_READY)
		return;
	atomic_store(&node->status->started_ns, fnx_node_now());
	atomic_store(&node->status->state, FNX_NODE_READY);
}

int fnx_node_restarted(const struct fnx_node *node)
{
	return node->restarted;
}

int fnx_node_fail(struct fnx_node *node, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(node->error, sizeof(node->error), format, args);
	va_end(args);
	return error;
}

void fnx_node_say(struct fnx_node *node, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "fornix %s: %s\n", node->name, line);
	fnx_status_say(node->status, "%s", line);
}

struct fnx_track *fnx_node_track(struct fnx_node *node)
{
	struct fnx_track_config *config = malloc(sizeof(*config));
	char error[FNX_RIG_ERROR_MAX] = "out of memory";
	struct fnx_track *track = NULL;
	const char *reason = "out of memory";
	int r = config ? fnx_rig_track(node->rig, config, error) : -ENOMEM;

	if (r)
		fnx_node_fail(node, r, "track: %s", error);
	else if ((r = fnx_track_new(config, &track, &reason)))
		fnx_node_fail(node, r, "track: %s", reason);
	free(config);
	return r ? NULL : track;
}

/* Declarations
 * ---------------------------------------------------------------------------------------- */

int fnx_node_input(
	struct fnx_node *node, const char *topic, const struct fnx_schema *schema, unsigned flags)
{
	struct fnx_node_input_state *input;

	if (node->n_inputs == FNX_MERGE_INPUTS_MAX)
		return fnx_node_fail(node, -ENOSPC, "more than %d inputs", FNX_MERGE_INPUTS_MAX);
	input = &node->inputs[node->n_inputs];
	snprintf(input->topic, sizeof(input->topic), "%s", topic);
	input->schema = schema;
	input->flags = flags;
	snprintf(node->status->inputs[node->n_inputs].name, FNX_NAME_MAX, "%s", topic);
	return (int)node->n_inputs++;
}

static int open_output(struct fnx_node *node, struct fnx_node_output_state *output, uint32_t slots,
	enum fnx_full_policy full)
{
	struct fnx_topic_config config = {
		.name = output->topic,
		.node = node->name,
		.schema_hash = fnx_schema_hash(output->layout.schema),
		.slot_size = output->layout.size,
		.n_slots = slots,
		.full = full,
		.grace_ns = (int64_t)node->rig->bus.grace_ms * 1000000,
		.bell = node->bell_form,
	};
	void *description = malloc(DESCRIPTION_MAX);
	int r;

	if (!description)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	r = fnx_description_encode(
		&output->layout, description, DESCRIPTION_MAX, &config.schema_size);
	config.schema = description;
	if (!r)
		r = fnx_publisher_open(&node->bus, &config, &output->pub);
	free(description);
	if (r)
		return fnx_node_fail(node, r,
			"cannot create topic %s in %s (%u slots of %u bytes): %s", output->topic,
			node->bus.segment_dir, slots, output->layout.size, strerror(-r));
	node->restarted |= fnx_publisher_adopted(output->pub);
	return 0;
}

int fnx_node_output(struct fnx_node *node, const char *topic, const struct fnx_schema *schema,
	const uint32_t *extents, uint32_t burst)
{
	enum fnx_full_policy full = node->live ? FNX_FULL_DROP : FNX_FULL_WAIT;
	struct fnx_node_output_state *output;
	uint32_t slots;
	int r;

	if (node->n_outputs == FNX_STATUS_TOPICS_MAX)
		return fnx_node_fail(node, -ENOSPC, "more than %d outputs", FNX_STATUS_TOPICS_MAX);
	output = &node->outputs[node->n_outputs];
	snprintf(output->topic, sizeof(output->topic), "%s", topic);
	output->burst = burst;
	r = fnx_layout_init(&output->layout, schema, extents);
	if (r)
		return fnx_node_fail(node, r, "topic %s: impossible extents", topic);
	slots = fnx_rig_topic_slots(node->rig, topic);
	if (slots < 2 * burst)
		slots = 2 * burst; /* a burst must always fit */
	r = open_output(node, output, slots, full);
	if (r)
		return r;
	snprintf(node->status->outputs[node->n_outputs].name, FNX_NAME_MAX, "%s", topic);
	atomic_store(
		&node->status->outputs[node->n_outputs].frames, fnx_publisher_head(output->pub));
	if (fnx_publisher_adopted(output->pub))
		fnx_progress_resume_output(node, node->n_outputs);
	if (output->repeat < output->repeat_end) {
		output->spare = malloc(output->layout.size);
		if (!output->spare)
			return fnx_node_fail(node, -ENOMEM, "out of memory");
	}
	return (int)node->n_outputs++;
}

int fnx_node_param(struct fnx_node *node, const char *name, double *value, double min, double max,
	const char *unit, const char *meaning)
{
	if (node->n_params == FNX_NODE_PARAMS_MAX)
		return fnx_node_fail(node, -ENOSPC, "more than %d parameters", FNX_NODE_PARAMS_MAX);
	node->params[node->n_params++] = (struct fnx_node_param_state){.name = name,
		.value = value,
		.min = min,
		.max = max,
		.unit = unit,
		.meaning = meaning};
	return 0;
}

void fnx_node_guard(struct fnx_node *node, const char *name, double safe)
{
	for (unsigned i = 0; i < node->n_params; i++)
		if (!strcmp(node->params[i].name, name)) {
			node->params[i].guarded = 1;
			node->params[i].safe = safe;
		}
}

/* The topic on which changed parameters are told. It never holds its node up: whoever does not read
 * loses. */
int fnx_node_open_params(struct fnx_node *node)
{
	struct fnx_node_output_state *output = &node->params_topic;
	int r;

	if (!node->n_params)
		return 0;
	if ((size_t)snprintf(output->topic, sizeof(output->topic), "%s.params", node->name) >=
		sizeof(output->topic))
		return fnx_node_fail(node, -ENAMETOOLONG, "the name %s is too long", node->name);
	r = fnx_layout_init(&output->layout, &fnx_param_schema, NULL);
	if (r)
		return r;
	return open_output(node, output, PARAMS_SLOTS, FNX_FULL_DROP);
}

void fnx_node_tell_param(struct fnx_node *node, const struct fnx_node_param_state *param,
	double before, const char *who)
{
	struct fnx_stamp stamp = {.sample_time = node->merge.passed, .publish_ns = fnx_node_now()};
	struct fnx_param *message;
	void *payload;

	stamp.ingress_ns = stamp.publish_ns;
	if (fnx_publisher_loan(node->params_topic.pub, stamp.publish_ns, &payload))
		return;
	message = payload;
	*message = (struct fnx_param){.value = *param->value, .before = before};
	snprintf(message->node, sizeof(message->node), "%.*s", (int)sizeof(message->node) - 1,
		node->name);
	snprintf(message->name, sizeof(message->name), "%s", param->name);
	snprintf(message->who, sizeof(message->who), "%s", who);
	fnx_publisher_publish(node->params_topic.pub, sizeof(*message), &stamp);
}

/* Asking
 * ---------------------------------------------------------------------------------------------- */

unsigned fnx_node_inputs(const struct fnx_node *node)
{
	return node->n_inputs;
}

const struct fnx_layout *fnx_node_input_layout(const struct fnx_node *node, unsigned input)
{
	return &node->inputs[input].layout;
}

const struct fnx_layout *fnx_node_output_layout(const struct fnx_node *node, unsigned output)
{
	return &node->outputs[output].layout;
}

const void *fnx_node_input_schema(const struct fnx_node *node, unsigned input, size_t *ret_size)
{
	return fnx_subscriber_schema(node->inputs[input].sub, ret_size);
}

const char *fnx_node_input_topic(const struct fnx_node *node, unsigned input)
{
	return node->inputs[input].topic;
}

const char *fnx_node_input_publisher(const struct fnx_node *node, unsigned input)
{
	return fnx_subscriber_publisher(node->inputs[input].sub);
}

uint64_t fnx_node_input_epoch(const struct fnx_node *node, unsigned input)
{
	return fnx_subscriber_epoch(node->inputs[input].sub);
}

uint64_t fnx_node_input_lag(const struct fnx_node *node, unsigned input)
{
	return fnx_subscriber_lag(node->inputs[input].sub);
}

uint64_t fnx_node_published(const struct fnx_node *node, unsigned output)
{
	return fnx_publisher_head(node->outputs[output].pub);
}

uint64_t fnx_node_next(const struct fnx_node *node, unsigned index)
{
	const struct fnx_node_output_state *output = &node->outputs[index];

	return output->repeat < output->repeat_end ? output->repeat
						   : fnx_publisher_head(output->pub);
}

void fnx_node_output_once(struct fnx_node *node, unsigned index)
{
	struct fnx_node_output_state *output = &node->outputs[index];

	output->repeat = output->repeat_end;
	output->tail.count = 0;
}

int64_t fnx_node_promised(const struct fnx_node *node, unsigned output)
{
	return fnx_publisher_watermark(node->outputs[output].pub);
}

/* Publishing
 * ------------------------------------------------------------------------------------------ */

/* Is this one of those that a predecessor published and did not live to commit? It is found at the
 * first place as a rule; live, time may take another course than it took before. */
static int is_done(struct fnx_node_output_state *output, int64_t sample_time, uint64_t origin)
{
	for (uint64_t seq = output->repeat; seq < output->repeat_end; seq++) {
		struct fnx_stamp stamp;

		if (fnx_publisher_stamp(output->pub, seq, &stamp) ||
			stamp.sample_time != sample_time || stamp.origin != origin)
			continue;
		output->repeat = seq + 1;
		return 1;
	}
	return 0;
}

/* Was this frame published by a predecessor that left no state? Frames of one topic rise in
 * (sample time, origin); of those equal to the last one published, as many as the predecessor
 * managed are skipped. */
static int is_repeat(struct fnx_publisher_tail *tail, int64_t sample_time, uint64_t origin)
{
	if (!tail->count)
		return 0;
	if (sample_time != tail->sample_time ? sample_time < tail->sample_time
					     : origin < tail->origin)
		return 1;
	if (sample_time == tail->sample_time && origin == tail->origin) {
		tail->count--;
		return 1;
	}
	tail->count = 0;
	return 0;
}

void *fnx_node_loan(struct fnx_node *node, unsigned index)
{
	struct fnx_node_output_state *output = &node->outputs[index];

	if (output->repeat < output->repeat_end)
		output->payload = output->spare;
	else if (fnx_publisher_loan(output->pub, node->now_ns, &output->payload))
		output->payload = NULL;
	return output->payload;
}

static void give_up(struct fnx_node_output_state *output)
{
	if (output->payload != output->spare)
		fnx_publisher_abort(output->pub);
}

void *fnx_node_loan_free(struct fnx_node *node, unsigned index)
{
	struct fnx_node_output_state *output = &node->outputs[index];

	if (output->repeat < output->repeat_end ||
		fnx_publisher_loan_free(output->pub, &output->payload))
		return NULL;
	return output->payload;
}

void fnx_node_abort(struct fnx_node *node, unsigned index)
{
	give_up(&node->outputs[index]);
}

void fnx_node_acts_at_ticks(struct fnx_node *node)
{
	node->patience = FNX_NODE_PATIENCE;
}

void fnx_node_flag(struct fnx_node *node, uint32_t flags)
{
	node->cause_flags |= flags;
}

static void publish(struct fnx_node *node, unsigned index, struct fnx_stamp *stamp)
{
	struct fnx_node_output_state *output = &node->outputs[index];
	struct fnx_status_topic *status = &node->status->outputs[index];

	/* Both are asked, so that each passes over it. */
	if (is_done(output, stamp->sample_time, stamp->origin) |
		is_repeat(&output->tail, stamp->sample_time, stamp->origin)) {
		give_up(output);
		atomic_fetch_add_explicit(&status->suppressed, 1, memory_order_relaxed);
		return;
	}
	if (output->spare && output->payload == output->spare) {
		/* Nobody has published it after all. */
		if (fnx_publisher_loan(output->pub, node->now_ns, &output->payload))
			return;
		memcpy(output->payload, output->spare, output->layout.size);
	}
	stamp->publish_ns = fnx_node_now();
	fnx_publisher_publish(output->pub, output->layout.size, stamp);
	atomic_store_explicit(
		&status->frames, fnx_publisher_head(output->pub), memory_order_relaxed);
	fnx_histogram_add(&node->status->latency, stamp->publish_ns - stamp->ingress_ns);
	fnx_histogram_add(&status->age, stamp->publish_ns - stamp->ingress_ns);
}

void fnx_node_publish(struct fnx_node *node, unsigned index, int64_t sample_time)
{
	struct fnx_stamp stamp = {
		.sample_time = sample_time,
		.ingress_ns = node->cause_ingress_ns,
		.origin = node->cause_origin,
		.flags = node->cause_flags,
	};

	publish(node, index, &stamp);
}

void fnx_node_publish_fresh(
	struct fnx_node *node, unsigned index, int64_t sample_time, int64_t ingress_ns)
{
	struct fnx_stamp stamp = {.sample_time = sample_time, .ingress_ns = ingress_ns};

	/* Sources count what their predecessor published, and skip that themselves. */
	node->outputs[index].tail.count = 0;
	node->outputs[index].repeat = node->outputs[index].repeat_end;
	publish(node, index, &stamp);
}

void fnx_node_advance(struct fnx_node *node, int64_t watermark, int64_t ingress_ns)
{
	struct fnx_status *status = node->status;

	for (unsigned i = 0; i < node->n_outputs; i++)
		fnx_publisher_advance(node->outputs[i].pub, watermark, ingress_ns);
	node->watermark_ingress_ns = ingress_ns;
	node->watermark = watermark;
	if (atomic_load_explicit(&status->first_sample_time, memory_order_relaxed) == INT64_MIN)
		atomic_store_explicit(&status->first_sample_time, watermark, memory_order_relaxed);
	atomic_store_explicit(&status->sample_time, watermark, memory_order_relaxed);
}

void fnx_node_lose(struct fnx_node *node, unsigned input)
{
	struct fnx_progress_input *progress = fnx_progress_input(node, input);

	progress->gaps++;
	progress->missed++;
}

void fnx_node_count_bad(struct fnx_node *node, unsigned input)
{
	fnx_progress_input(node, input)->bad++;
}

void fnx_node_commit(struct fnx_node *node, unsigned input)
{
	fnx_subscriber_commit(node->inputs[input].sub);
}

int fnx_node_ended(const struct fnx_node *node)
{
	return node->merge.ended;
}

uint64_t fnx_node_origin(unsigned input, uint64_t seq)
{
	return (uint64_t)(input + 1) << ORIGIN_INPUT_SHIFT | seq;
}
