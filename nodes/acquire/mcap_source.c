/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One stream per kind of event, each a short queue that is sorted as messages come; the next event
 * is the earliest of the streams' first. Messages are read until some queue is full, so that every
 * stream is known as far ahead as the window reaches.
 *
 * A message is decoded into the queue's slot that the event then points into.
 */
#include "nodes/acquire/mcap_source.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/mcap.h"
#include "nodes/host/rig.h"
#include "schemas/codec.h"
#include "schemas/lfp.h"
#include "schemas/position.h"
#include "schemas/spike.h"
#include "schemas/truth.h"

enum {
	WINDOW = FNX_MCAP_SOURCE_WINDOW,
	N_SLOTS = WINDOW + 1, /* and one that the event at hand points into */
	TEXT_SIZE = FNX_RIG_ERROR_MAX,
	/* what is known of a channel */
	UNSEEN = 0,
	IGNORED = 1,
	FIRST_KIND = 2, /* + enum fnx_event_kind */
};

struct queued {
	int64_t time;
	uint32_t slot;
};

struct stream {
	struct fnx_description *description; /* NULL: the file has no such topic */
	const struct fnx_layout *layout;
	char *slots; /* [N_SLOTS][layout->size] */
	uint32_t free[N_SLOTS];
	uint32_t n_free;
	struct queued queue[WINDOW]; /* a ring, by time */
	uint32_t first, n;
	uint64_t n_read;
};

struct fnx_source {
	struct fnx_mcap_reader *reader;
	struct fnx_codec_decoder *decoder;
	const char *path;
	uint8_t channels[UINT16_MAX + 1];
	struct stream streams[FNX_EVENT_KINDS];
	struct fnx_source_info info;
	double rate_hz;
	int64_t begin, end; /* the part that is played */
	int64_t last_time; /* of the latest event */
	int at_hand; /* kind whose slot the latest event points into, -1: none */
	uint32_t slot_at_hand;
	int over; /* the file has no more */
	int result; /* with which it ended */
	int n_events;
	char text[TEXT_SIZE]; /* error or notice */
};

static const struct {
	const char *topic;
	const struct fnx_schema *schema;
} kinds[FNX_EVENT_KINDS] = {
	[FNX_EVENT_POSITION] = {"position", &fnx_position_schema},
	[FNX_EVENT_SPIKE] = {"spikes", &fnx_spike_schema},
	[FNX_EVENT_LFP] = {"lfp", &fnx_lfp_schema},
	[FNX_EVENT_TRUTH] = {"truth", &fnx_truth_schema},
};

__attribute__((format(printf, 3, 4))) static int fail(
	struct fnx_source *source, int error, const char *format, ...)
{
	size_t used;
	va_list args;

	snprintf(source->text, TEXT_SIZE, "%s: ", source->path);
	used = strlen(source->text);
	va_start(args, format);
	vsnprintf(source->text + used, TEXT_SIZE - used, format, args);
	va_end(args);
	return error;
}

/* Passes on what the reader found wrong. */
static int fail_read(struct fnx_source *source, int error)
{
	const struct fnx_mcap_error *found = fnx_mcap_reader_error(source->reader);

	if (found->text)
		return fail(source, error, "%s, at byte %" PRIu64, found->text, found->offset);
	return fail(source, error, "%s", strerror(-error));
}

/* Channels
 * ------------------------------------------------------------------------------------------ */

static int kind_of_topic(const char *topic)
{
	for (int kind = 0; kind < FNX_EVENT_KINDS; kind++)
		if (!strcmp(topic, kinds[kind].topic))
			return kind;
	return -1;
}

/* The description that came with a channel; NULL: it is not one that fornix recorded. -EPROTO: of
 * another build. */
static int describe(struct fnx_source *source, const struct fnx_mcap_channel *channel, int kind,
	struct fnx_description **ret)
{
	const struct fnx_mcap_schema *schema =
		fnx_mcap_reader_schema(source->reader, channel->schema_id);
	struct fnx_description *description;
	int r;

	*ret = NULL;
	if (!schema || strcmp(schema->encoding, "fornix") ||
		strcmp(channel->message_encoding, "msgpack"))
		return 0;
	r = fnx_description_decode(schema->data, schema->size, &description);
	if (r)
		return fail(source, r, "topic %s describes itself in a way that cannot be read",
			channel->topic);
	if (fnx_schema_hash(&description->schema) != fnx_schema_hash(kinds[kind].schema)) {
		fnx_description_free(description);
		return fail(source, -EPROTO,
			"topic %s was recorded by another version of fornix: its messages have "
			"other fields",
			channel->topic);
	}
	*ret = description;
	return 0;
}

static int open_stream(struct fnx_source *source, int kind, struct fnx_description *description)
{
	struct stream *stream = &source->streams[kind];

	stream->description = description;
	stream->layout = &description->layout;
	stream->slots = malloc((size_t)N_SLOTS * description->layout.size);
	if (!stream->slots)
		return fail(source, -ENOMEM, "out of memory for %u-byte messages",
			description->layout.size);
	for (uint32_t i = 0; i < N_SLOTS; i++)
		stream->free[stream->n_free++] = i;
	return 0;
}

/* Finds out what a channel brings. A topic that began anew while it was recorded has several. */
static int learn(struct fnx_source *source, const struct fnx_mcap_channel *channel, int is_opening)
{
	uint8_t *known = &source->channels[channel->id];
	int kind = kind_of_topic(channel->topic);
	struct fnx_description *description = NULL;
	const struct stream *stream;
	int r = 0;

	if (*known != UNSEEN)
		return 0;
	*known = IGNORED;
	if (kind >= 0)
		r = describe(source, channel, kind, &description);
	if (r || !description)
		return r;
	stream = &source->streams[kind];
	if (!stream->description && is_opening) {
		*known = (uint8_t)(FIRST_KIND + kind);
		return open_stream(source, kind, description);
	}
	if (stream->description &&
		!memcmp(stream->layout->extents, description->layout.extents,
			sizeof(stream->layout->extents)))
		*known = (uint8_t)(FIRST_KIND + kind);
	else if (stream->description)
		r = fail(source, -EBADMSG, "topic %s changes its extents", channel->topic);
	fnx_description_free(description);
	return r;
}

/* Reading
 * ------------------------------------------------------------------------------------------- */

/* Puts a decoded message where its time belongs: nearly always at the end. */
static void enqueue(struct stream *stream, int64_t time, uint32_t slot)
{
	uint32_t at = stream->n++;

	for (; at > 0; at--) {
		struct queued *before = &stream->queue[(stream->first + at - 1) % WINDOW];

		if (before->time <= time)
			break;
		stream->queue[(stream->first + at) % WINDOW] = *before;
	}
	stream->queue[(stream->first + at) % WINDOW] = (struct queued){.time = time, .slot = slot};
}

static int check(struct fnx_source *source, int kind, const void *payload)
{
	const struct fnx_layout *layout = source->streams[kind].layout;
	const struct fnx_spike *spike = payload;

	if (kind != FNX_EVENT_SPIKE)
		return 0;
	if (spike->n_channels <= layout->extents[fnx_spike_max_channels] &&
		spike->n_points <= layout->extents[fnx_spike_max_points])
		return 0;
	return fail(source, -EBADMSG,
		"message %" PRIu64
		" of spikes: %u channels of %u points, expected at most %u of %u",
		source->streams[kind].n_read, spike->n_channels, spike->n_points,
		layout->extents[fnx_spike_max_channels], layout->extents[fnx_spike_max_points]);
}

static int take(struct fnx_source *source, const struct fnx_mcap_message *message)
{
	struct fnx_codec_stamp stamp;
	struct stream *stream;
	uint32_t slot;
	void *payload;
	int r, kind;

	r = learn(source, message->channel, 0);
	if (r || source->channels[message->channel->id] < FIRST_KIND)
		return r;
	kind = source->channels[message->channel->id] - FIRST_KIND;
	stream = &source->streams[kind];
	slot = stream->free[stream->n_free - 1];
	payload = stream->slots + (size_t)slot * stream->layout->size;
	stream->n_read++;
	r = fnx_codec_decode(
		stream->layout, source->decoder, message->data, message->size, &stamp, payload);
	if (r)
		return fail(source, -EBADMSG, "message %" PRIu64 " of %s is no message of fornix",
			stream->n_read, kinds[kind].topic);
	r = check(source, kind, payload);
	if (r)
		return r;
	stream->n_free--;
	enqueue(stream, stamp.sample_time, slot);
	return 0;
}

static int some_is_full(const struct fnx_source *source)
{
	for (int kind = 0; kind < FNX_EVENT_KINDS; kind++)
		if (source->streams[kind].n == WINDOW)
			return 1;
	return 0;
}

/* Reads ahead as far as the window reaches. What goes wrong is kept until what came before has been
 * played. */
static void fill(struct fnx_source *source)
{
	while (!source->over && !some_is_full(source)) {
		struct fnx_mcap_message message;
		int r = fnx_mcap_reader_next(source->reader, &message);

		if (r == FNX_MCAP_MESSAGE)
			r = take(source, &message);
		else if (r < 0)
			fail_read(source, r);
		else
			source->over = 1;
		if (r == FNX_MCAP_CUT)
			fail(source, 0, "the recording was cut off; played up to there");
		if (r < 0) {
			source->over = 1;
			source->result = r;
		}
	}
}

static int earliest(const struct fnx_source *source)
{
	int best = -1;
	int64_t best_time = 0;

	for (int kind = 0; kind < FNX_EVENT_KINDS; kind++) {
		const struct stream *stream = &source->streams[kind];

		if (stream->n && (best < 0 || stream->queue[stream->first].time < best_time)) {
			best = kind;
			best_time = stream->queue[stream->first].time;
		}
	}
	return best;
}

/* Events
 * -------------------------------------------------------------------------------------------- */

static void give_back(struct fnx_source *source)
{
	struct stream *stream;

	if (source->at_hand < 0)
		return;
	stream = &source->streams[source->at_hand];
	stream->free[stream->n_free++] = source->slot_at_hand;
	source->at_hand = -1;
}

/* Rows without the points that this spike does not have. */
static const float *compact(const struct fnx_layout *layout, void *payload)
{
	const struct fnx_spike *spike = payload;
	uint32_t columns = layout->extents[fnx_spike_max_points];
	float *waveform = fnx_spike_put_waveform(layout, payload);

	for (uint32_t c = 1; c < spike->n_channels && spike->n_points < columns; c++)
		memmove(waveform + (size_t)c * spike->n_points, waveform + (size_t)c * columns,
			spike->n_points * sizeof(float));
	return waveform;
}

static void tell(const struct stream *stream, enum fnx_event_kind kind, int64_t time, void *payload,
	struct fnx_event *ret_event)
{
	const struct fnx_position *position = payload;
	const struct fnx_spike *spike = payload;
	const struct fnx_lfp *lfp = payload;
	const struct fnx_truth *truth = payload;

	*ret_event = (struct fnx_event){.sample_time = time, .kind = kind};
	switch (kind) {
	case FNX_EVENT_POSITION:
		ret_event->position = (struct fnx_event_position){.x = position->raw_x,
			.y = position->raw_y,
			.x2 = position->raw_x2,
			.y2 = position->raw_y2,
			.segment = position->raw_segment,
			.along = position->raw_along};
		break;
	case FNX_EVENT_SPIKE:
		ret_event->spike = (struct fnx_event_spike){.group = spike->group,
			.n_channels = spike->n_channels,
			.n_points = spike->n_points,
			.uv_per_count = spike->uv_per_count,
			.waveform = compact(stream->layout, payload)};
		break;
	case FNX_EVENT_LFP:
		ret_event->lfp = (struct fnx_event_lfp){
			.n_channels = stream->layout->extents[fnx_lfp_n_channels],
			.uv_per_count = lfp->uv_per_count,
			.samples = fnx_lfp_get_samples(stream->layout, payload)};
		break;
	default:
		ret_event->truth = (struct fnx_event_truth){.bin = truth->bin,
			.replay_arm = truth->replay_arm,
			.replay_bin = truth->replay_bin};
		break;
	}
}

static int finish(struct fnx_source *source)
{
	if (!source->result && !source->n_events)
		source->result = fail(source, -EINVAL,
			"source.start_s: the recording ends before that, %.3f s after it began",
			(double)(source->last_time - source->info.first_sample) / source->rate_hz);
	return source->result;
}

static int mcap_next(struct fnx_source *source, struct fnx_event *ret_event)
{
	for (;;) {
		struct stream *stream;
		struct queued queued;
		int kind;

		give_back(source);
		fill(source);
		kind = earliest(source);
		if (kind < 0)
			return finish(source);
		stream = &source->streams[kind];
		queued = stream->queue[stream->first];
		if (queued.time >= source->end) {
			source->text[0] = 0; /* a cut farther on is nobody's concern */
			return 0;
		}
		if (queued.time < source->last_time) {
			source->over = 1;
			return fail(source, -EBADMSG,
				"%s goes back in time: sample %" PRId64
				" stands more than %d messages behind sample %" PRId64,
				kinds[kind].topic, queued.time, WINDOW, source->last_time);
		}
		stream->first = (stream->first + 1) % WINDOW;
		stream->n--;
		source->last_time = queued.time;
		source->at_hand = kind;
		source->slot_at_hand = queued.slot;
		if (queued.time < source->begin)
			continue;
		source->n_events = 1;
		tell(stream, (enum fnx_event_kind)kind, queued.time,
			stream->slots + (size_t)queued.slot * stream->layout->size, ret_event);
		return 1;
	}
}

/* Opening
 * ------------------------------------------------------------------------------------------- */

static struct fnx_source *mcap_close(struct fnx_source *source)
{
	for (int kind = 0; kind < FNX_EVENT_KINDS; kind++) {
		free(source->streams[kind].slots);
		fnx_description_free(source->streams[kind].description);
	}
	fnx_codec_decoder_free(source->decoder);
	if (source->reader)
		fnx_mcap_reader_close(source->reader);
	free(source);
	return NULL;
}

/* Says which topics there are instead of ours. */
static int fail_foreign(struct fnx_source *source)
{
	const struct fnx_mcap_channel *channel;
	char list[200] = "";

	for (size_t i = 0; (channel = fnx_mcap_reader_channel_at(source->reader, i)); i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", channel->topic);
	}
	return fail(source, -EINVAL,
		"expected topics position, spikes or lfp as fornix records them, found %s",
		list[0] ? list : "no topics");
}

/* Sample times mean what the rig says only if the recording's clock is the rig's. */
static int check_clock(struct fnx_source *source)
{
	const struct fnx_mcap_metadata *metadata;

	for (size_t i = 0; (metadata = fnx_mcap_reader_metadata_at(source->reader, i)); i++)
		for (size_t k = 0; k < metadata->n_pairs && !strcmp(metadata->name, "fornix");
			k++) {
			const struct fnx_mcap_pair *pair = &metadata->pairs[k];

			if (!strcmp(pair->key, "clock_hz") &&
				strtod(pair->value, NULL) != source->rate_hz)
				return fail(source, -EINVAL,
					"clock.rate_hz: recorded at %s Hz, the rig says %g",
					pair->value, source->rate_hz);
		}
	return 0;
}

/* Reads up to the first messages: what the file holds is known from then on. */
static int open_file(struct fnx_source *source)
{
	const struct fnx_mcap_channel *channel;
	struct fnx_mcap_message message;
	struct fnx_mcap_stats stats;
	int r, any = 0;

	r = fnx_mcap_reader_open(source->path, &source->reader);
	if (r)
		return fail(source, r, "%s", strerror(-r));
	/* A summary knows the channels that come later, too. Without one those that matter stand
	 * first. */
	(void)!fnx_mcap_reader_summary(source->reader, &stats);
	r = fnx_mcap_reader_next(source->reader, &message);
	if (r < 0)
		return fail_read(source, r);
	if (r == FNX_MCAP_CUT)
		return fail(source, -EBADMSG,
			"expected an MCAP recording, found a file that is empty or cut "
			"off before its first message");
	if (r == FNX_MCAP_END)
		return fail(source, -ENODATA, "the recording holds no messages");
	for (size_t i = 0; (channel = fnx_mcap_reader_channel_at(source->reader, i)); i++) {
		r = learn(source, channel, 1);
		if (r)
			return r;
	}
	for (int kind = 0; kind < FNX_EVENT_KINDS; kind++)
		any |= source->streams[kind].description != NULL;
	if (!any)
		return fail_foreign(source);
	r = check_clock(source);
	if (r)
		return r;
	r = take(source, &message);
	if (r)
		return r;
	fill(source);
	return 0;
}

static int find_span(struct fnx_source *source, const struct fnx_rig *rig)
{
	int kind = earliest(source);
	struct fnx_source_info *info = &source->info;

	if (kind < 0)
		return source->result < 0
			? source->result
			: fail(source, -ENODATA, "the recording holds no position, spikes or lfp");
	info->first_sample = source->streams[kind].queue[source->streams[kind].first].time;
	info->last_sample = -1;
	source->begin = info->first_sample + llround(rig->source.start_s * source->rate_hz);
	source->end = rig->source.duration_s > 0
		? source->begin + llround(rig->source.duration_s * source->rate_hz)
		: INT64_MAX;
	return 0;
}

static void fill_info(struct fnx_source *source)
{
	const struct fnx_layout *spikes = source->streams[FNX_EVENT_SPIKE].layout;
	const struct fnx_layout *lfp = source->streams[FNX_EVENT_LFP].layout;
	struct fnx_source_info *info = &source->info;

	info->n_spike_channels = spikes ? spikes->extents[fnx_spike_max_channels] : 0;
	info->n_spike_points = spikes ? spikes->extents[fnx_spike_max_points] : 0;
	info->n_lfp_channels = lfp ? lfp->extents[fnx_lfp_n_channels] : 0;
	info->has_position = source->streams[FNX_EVENT_POSITION].description != NULL;
	info->has_truth = source->streams[FNX_EVENT_TRUTH].description != NULL;
}

static int mcap_open(const struct fnx_rig *rig, const struct fnx_track *track,
	struct fnx_source **ret_source, char *error, size_t error_size)
{
	struct fnx_source *source = calloc(1, sizeof(*source));
	int r;

	(void)track;
	if (!source) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	source->path = rig->source.file ? rig->source.file : "";
	source->rate_hz = rig->clock.rate_hz;
	source->at_hand = -1;
	source->last_time = INT64_MIN;
	r = fnx_codec_decoder_new(&source->decoder);
	if (r)
		fail(source, r, "out of memory");
	if (!r)
		r = open_file(source);
	if (!r)
		r = find_span(source, rig);
	if (r) {
		snprintf(error, error_size, "%s", source->text);
		mcap_close(source);
		return r;
	}
	fill_info(source);
	*ret_source = source;
	return 0;
}

static const struct fnx_source_info *mcap_info(const struct fnx_source *source)
{
	return &source->info;
}

static const char *mcap_text(const struct fnx_source *source)
{
	return source->text;
}

const struct fnx_source_ops fnx_source_mcap = {
	.name = "mcap",
	.open = mcap_open,
	.next = mcap_next,
	.info = mcap_info,
	.error = mcap_text,
	.notice = mcap_text,
	.close = mcap_close,
};
