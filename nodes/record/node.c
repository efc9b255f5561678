/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The record node. Frames are given back to their publishers only after the chunk that holds them
 * is in the file: so a recorder that was killed finds, when it is started again, every frame that
 * it had not made safe.
 *
 *	taken -> encoded into the open chunk -> chunk written -> given back
 *	      \-> in the file already (a predecessor wrote it and died before it gave it back) ----^
 *
 * Publishers get slots back only as fast as chunks are written, so a chunk is also written when it
 * has taken up a good part of some topic's pool.
 *
 * A disk that takes no more must not stop an experiment: frames are then given back unwritten, and
 * counted.
 */
#include "nodes/record/node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nodes/host/topics.h"
#include "nodes/record/file.h"
#include "schemas/codec.h"

enum {
	INPUTS_MAX = FNX_RIG_TOPICS_MAX,
	INDEX_SIZE =
		8 << 20, /* of the file's summary; outgrown after some hours, and then doubled */
};

#define STALE_NS INT64_C(200000000) /* longer than this nothing is kept in memory alone */
#define RETRY_NS INT64_C(100000000) /* between two attempts on a disk that takes nothing */

struct channel {
	uint16_t id; /* 0: the file could not take it */
	uint64_t epoch; /* of the topic that it was made for */
	size_t bound; /* bytes, largest message */
	int resuming; /* frames up to `last` are in the file */
	uint32_t last;
	uint32_t n_kept; /* frames taken and not given back */
	uint32_t n_slots;
};

struct record {
	struct fnx_node *node;
	const struct fnx_rig *rig;
	struct fnx_mcap_writer *writer;
	struct channel channels[INPUTS_MAX];
	unsigned n_channels;
	int64_t clock_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	int64_t kept_since_ns; /* since when frames are kept back, 0: none is */
	int64_t retry_ns; /* do not try to write before */
	int error; /* negative errno: the disk takes nothing */
	int told; /* error of which people know */
	uint64_t n_lost; /* frames that are not in the file */
};

/* Opening
 * ------------------------------------------------------------------------------------------- */

static int record_wanted(const struct fnx_rig *rig)
{
	return rig->record.file && rig->record.file[0];
}

static int record_open(struct fnx_node *node, void **ret_self)
{
	const struct fnx_rig *rig = fnx_node_rig(node);
	struct record *record;
	int r;

	if (!record_wanted(rig))
		return fnx_node_fail(node, -EINVAL, "record.file: expected the file to record to");
	record = calloc(1, sizeof(*record));
	if (!record)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	record->node = node;
	record->rig = rig;
	r = fnx_node_input_topics(node, &rig->record.topics, "record.topics", FNX_INPUT_LAZY);
	if (r < 0)
		free(record);
	else
		*ret_self = record;
	return r;
}

static int64_t clock_offset_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec - fnx_node_now();
}

static struct fnx_recording_topic topic_of(const struct record *record, unsigned input)
{
	struct fnx_recording_topic topic = {
		.name = fnx_node_input_topic(record->node, input),
		.node = fnx_node_input_publisher(record->node, input),
		.epoch = fnx_node_input_epoch(record->node, input),
		.schema_name = fnx_node_input_layout(record->node, input)->schema->name,
	};

	topic.schema = fnx_node_input_schema(record->node, input, &topic.schema_size);
	return topic;
}

/* The file's channel for an input, new or found; 0, or what the file answered. */
static int open_channel(struct record *record, unsigned input)
{
	struct fnx_recording_topic topic = topic_of(record, input);
	struct channel *channel = &record->channels[input];
	int r;

	channel->id = 0;
	channel->bound = fnx_codec_bound(fnx_node_input_layout(record->node, input));
	r = fnx_recording_channel(record->writer, &topic, &channel->id);
	if (r)
		return r;
	channel->epoch = topic.epoch;
	channel->n_slots = fnx_rig_topic_slots(record->rig, topic.name);
	channel->resuming =
		fnx_mcap_writer_last_sequence(record->writer, channel->id, &channel->last) == 0;
	return 0;
}

static int open_writer(struct record *record, const struct fnx_mcap_config *config)
{
	struct fnx_recording_topic topics[INPUTS_MAX];
	const char *path = record->rig->record.file;
	char error[FNX_RECORDING_ERROR_MAX] = "";
	int r;

	for (unsigned i = 0; i < record->n_channels; i++)
		topics[i] = topic_of(record, i);
	r = fnx_recording_look(path, topics, record->n_channels, &record->clock_offset_ns, error);
	if (r < 0)
		return fnx_node_fail(record->node, r,
			"record.file: %s exists and cannot be gone on with: %s", path,
			error[0] ? error : strerror(-r));
	if (r == FNX_RECORDING_OTHERS)
		return fnx_node_fail(record->node, -EEXIST, "record.file: %s exists already", path);
	if (r == FNX_RECORDING_OURS) {
		r = fnx_mcap_writer_reopen(path, config, &record->writer);
		if (r)
			return fnx_node_fail(record->node, r,
				"record.file: cannot go on with %s: %s", path, strerror(-r));
		return 0;
	}
	r = fnx_mcap_writer_open(path, config, &record->writer);
	if (r)
		return fnx_node_fail(
			record->node, r, "record.file: cannot create %s: %s", path, strerror(-r));
	record->clock_offset_ns = clock_offset_ns();
	r = fnx_recording_begin(record->writer, record->rig, record->clock_offset_ns);
	if (r < 0)
		return fnx_node_fail(
			record->node, r, "record.file: cannot write to %s: %s", path, strerror(-r));
	if (r == FNX_RECORDING_NO_RIG)
		fnx_node_say(record->node, "%s cannot be read any more; it is not in the recording",
			record->rig->path);
	return 0;
}

static int record_start(void *self)
{
	struct record *record = self;
	struct fnx_mcap_config config = {
		.profile = "fornix",
		.library = "fornix " FNX_VERSION,
		.chunk_size = (size_t)record->rig->record.chunk_kb * 1024,
		.compression = record->rig->record.compress ? FNX_MCAP_ZSTD : FNX_MCAP_NONE,
		.level = 1,
		.index_size = INDEX_SIZE,
		.replace = true,
	};
	int r;

	record->n_channels = fnx_node_inputs(record->node);
	for (unsigned i = 0; i < record->n_channels; i++) {
		size_t bound = fnx_codec_bound(fnx_node_input_layout(record->node, i));

		if (bound > config.max_message_size)
			config.max_message_size = bound;
	}
	r = open_writer(record, &config);
	for (unsigned i = 0; i < record->n_channels && !r; i++) {
		r = open_channel(record, i);
		if (r)
			fnx_node_fail(record->node, r, "record.file: cannot add topic %s to %s: %s",
				fnx_node_input_topic(record->node, i), record->rig->record.file,
				strerror(-r));
	}
	return r;
}

/* Making safe
 * --------------------------------------------------------------------------------------- */

static void give_back(struct record *record)
{
	for (unsigned i = 0; i < record->n_channels; i++) {
		if (record->channels[i].n_kept)
			fnx_node_commit(record->node, i);
		record->channels[i].n_kept = 0;
	}
	record->kept_since_ns = 0;
}

/* 1: not now, the disk took nothing a moment ago. */
static int must_wait(const struct record *record)
{
	return record->error && fnx_node_now() < record->retry_ns;
}

static void note(struct record *record, int error)
{
	record->error = error;
	if (error)
		record->retry_ns = fnx_node_now() + RETRY_NS;
}

/* Writes the open chunk. Where that fails the chunk is kept for another attempt, but not the
 * frames. */
static void flush(struct record *record)
{
	if (!must_wait(record))
		note(record, fnx_mcap_writer_flush(record->writer));
	give_back(record);
}

/* Frames
 * ------------------------------------------------------------------------------------------- */

static int is_in_file(struct channel *channel, uint64_t seq)
{
	/* The file counts modulo 2^32. */
	if (channel->resuming && (int32_t)((uint32_t)seq - channel->last) <= 0)
		return 1;
	channel->resuming = 0;
	return 0;
}

/* A frame that will not be in the file: told like any other loss. */
static void lose(struct record *record, unsigned input)
{
	record->n_lost++;
	fnx_node_lose(record->node, input);
}

static int encode(struct record *record, unsigned input, const struct fnx_frame *frame)
{
	const struct fnx_codec_stamp stamp = {.seq = frame->seq,
		.sample_time = frame->stamp.sample_time,
		.ingress_ns = frame->stamp.ingress_ns,
		.publish_ns = frame->stamp.publish_ns,
		.flags = frame->stamp.flags};
	const struct fnx_layout *layout = fnx_node_input_layout(record->node, input);
	const struct channel *channel = &record->channels[input];
	uint64_t time_ns = (uint64_t)(frame->stamp.publish_ns + record->clock_offset_ns);
	size_t size;
	void *data;
	int r;

	r = fnx_mcap_writer_loan(record->writer, channel->bound, &data);
	if (r)
		return r;
	if (fnx_codec_encode(
		    layout, &stamp, frame->payload, frame->length, data, channel->bound, &size)) {
		/* A damaged frame says nothing about the disk. */
		fnx_mcap_writer_abort(record->writer);
		lose(record, input);
		return 0;
	}
	return fnx_mcap_writer_commit(
		record->writer, channel->id, (uint32_t)frame->seq, time_ns, time_ns, size);
}

static void store(struct record *record, unsigned input, const struct fnx_frame *frame)
{
	struct channel *channel = &record->channels[input];
	struct fnx_mcap_writer_stats stats;
	int r = 0;

	if (must_wait(record)) {
		lose(record, input);
		return;
	}
	if (!channel->id || channel->epoch != fnx_node_input_epoch(record->node, input))
		r = open_channel(record, input);
	if (!r && is_in_file(channel, frame->seq))
		return;
	if (!r)
		r = encode(record, input, frame);
	if (r)
		lose(record, input);
	note(record, r);
	fnx_mcap_writer_stats(record->writer, &stats);
	if (!stats.n_unflushed) {
		/* All but this one, which is still to be released. */
		give_back(record);
		channel->n_kept = 1;
		record->kept_since_ns = fnx_node_now();
	}
}

static void record_frame(void *self, unsigned input, const struct fnx_frame *frame)
{
	struct record *record = self;
	struct channel *channel = &record->channels[input];

	if (channel->n_kept > channel->n_slots / 4)
		flush(record);
	if (!record->kept_since_ns)
		record->kept_since_ns = fnx_node_now();
	channel->n_kept++;
	store(record, input, frame);
}

/* Once when the disk stops taking, and once when it goes on. */
static void tell(struct record *record)
{
	if (record->error == record->told)
		return;
	if (record->error && !record->told)
		fnx_node_say(record->node, "cannot write to %s: %s; frames are being lost",
			record->rig->record.file, strerror(-record->error));
	if (!record->error)
		fnx_node_say(record->node, "writes to %s again; %" PRIu64 " frames are not in it",
			record->rig->record.file, record->n_lost);
	record->told = record->error;
}

/* Does a publisher that ran out of slots wait for what is kept here? It is woken when half of them
 * are free. */
static int is_awaited(const struct record *record)
{
	for (unsigned i = 0; i < record->n_channels; i++) {
		const struct channel *channel = &record->channels[i];

		if (channel->n_kept >= channel->n_slots / 16 &&
			channel->n_kept + fnx_node_input_lag(record->node, i) >=
				(uint64_t)channel->n_slots * 3 / 8)
			return 1;
	}
	return 0;
}

static void record_idle(void *self)
{
	struct record *record = self;

	tell(record);
	if (!record->kept_since_ns)
		return;
	if (fnx_node_ended(record->node) || is_awaited(record) ||
		fnx_node_now() - record->kept_since_ns >= STALE_NS)
		flush(record);
}

static void record_close(void *self)
{
	struct record *record = self;
	int r;

	if (record->writer) {
		tell(record);
		r = fnx_mcap_writer_close(record->writer);
		if (r)
			fnx_node_say(record->node,
				"%s has no proper end: %s; `fornix recover` mends that",
				record->rig->record.file, strerror(-r));
		if (record->n_lost)
			fnx_node_say(record->node, "%" PRIu64 " frames are not in %s",
				record->n_lost, record->rig->record.file);
	}
	free(record);
}

const struct fnx_node_ops fnx_record_ops = {
	.type = "record",
	.summary = "records topics to an MCAP file, every frame exactly once",
	.wanted = record_wanted,
	.open = record_open,
	.start = record_start,
	.frame = record_frame,
	.idle = record_idle,
	.close = record_close,
};
