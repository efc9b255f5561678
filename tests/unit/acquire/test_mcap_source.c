/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/acquire/mcap_source.h"

#include "nodes/record/node.h"
#include "tests/unit/record/recording.h"

#include <unistd.h>

#define RECORD "record: {file: \"FILE\", chunk_kb: 16}\n"

/* Where each event of the session was published: time and number of its topic. */
struct played {
	unsigned n;
	int64_t last_time;
	uint64_t seq[LAB_TOPICS];
};

static void set_source(struct lab *lab)
{
	free(lab->rig->source.file);
	lab->rig->source.file = strdup(lab->file);
}

static struct lab *record(struct check_random *random, unsigned n)
{
	struct lab *lab = lab_new(RECORD);
	struct fnx_node *node;

	if (lab_node_open(lab, &fnx_record_ops, "record", &node))
		fail_msg("%s", node->error);
	lab_session(lab, random, n, lab_node_turn, node);
	lab_advance(lab, FNX_END);
	lab_node_turn(node);
	lab_node_close(node);
	set_source(lab);
	return lab;
}

static struct fnx_source *open_source(const struct lab *lab)
{
	char error[FNX_RIG_ERROR_MAX] = "";
	struct fnx_source *source;

	if (fnx_source_mcap.open(lab->rig, NULL, &source, error, sizeof(error)))
		fail_msg("%s", error);
	return source;
}

/* Asserts that opening fails, and with what. */
static void expect_refusal(const struct lab *lab, int expected, const char *text)
{
	char error[FNX_RIG_ERROR_MAX] = "";
	struct fnx_source *source;
	int r = fnx_source_mcap.open(lab->rig, NULL, &source, error, sizeof(error));

	if (r == 0)
		fail_msg("opened");
	if (!strstr(error, text))
		fail_msg("'%s' is not in '%s'", text, error);
	assert_int_equal(r, expected);
	assert_null(strchr(error, '\n'));
}

static void check_spike(
	const struct lab *lab, const struct fnx_event_spike *event, const void *payload)
{
	const struct fnx_spike *spike = payload;
	const float *waveform = fnx_spike_get_waveform(&lab->topics[1].layout, payload);

	assert_int_equal(event->group, spike->group);
	assert_int_equal(event->n_channels, spike->n_channels);
	assert_int_equal(event->n_points, spike->n_points);
	assert_memory_equal(&event->uv_per_count, &spike->uv_per_count, sizeof(double));
	for (uint32_t c = 0; c < spike->n_channels; c++)
		assert_memory_equal(event->waveform + c * spike->n_points,
			waveform + c * LAB_POINTS, spike->n_points * sizeof(float));
}

/* The event is frame `seq` of its topic, bit for bit. */
static void check_event(const struct lab *lab, const struct fnx_event *event, uint64_t seq)
{
	const struct lab_topic *topic = &lab->topics[event->kind];
	uint64_t payload[LAB_PAYLOAD_MAX / 8];
	const struct fnx_position *position = (const void *)payload;
	const struct fnx_truth *truth = (const void *)payload;

	lab_fill(topic, event->kind, seq, payload);
	switch (event->kind) {
	case FNX_EVENT_POSITION:
		assert_memory_equal(&event->position.x, &position->raw_x, 4 * sizeof(double));
		assert_memory_equal(&event->position.along, &position->raw_along, sizeof(double));
		assert_int_equal(event->position.segment, position->raw_segment);
		break;
	case FNX_EVENT_SPIKE:
		check_spike(lab, &event->spike, payload);
		break;
	case FNX_EVENT_LFP:
		assert_int_equal(event->lfp.n_channels, LAB_LFP_CHANNELS);
		assert_memory_equal(event->lfp.samples,
			fnx_lfp_get_samples(&topic->layout, payload),
			LAB_LFP_CHANNELS * sizeof(float));
		break;
	default:
		assert_int_equal(event->truth.bin, truth->bin);
		assert_int_equal(event->truth.replay_arm, truth->replay_arm);
		break;
	}
}

/* Plays to the end, checking order and content of everything; what next answered last goes to
 * *ret_end. */
static struct played play(const struct lab *lab, struct fnx_source *source, int *ret_end)
{
	struct played played = {.last_time = INT64_MIN};
	enum fnx_event_kind last_kind = FNX_EVENT_POSITION;
	struct fnx_event event;

	while ((*ret_end = fnx_source_mcap.next(source, &event)) == 1) {
		assert_true(event.sample_time > played.last_time ||
			(event.sample_time == played.last_time && event.kind >= last_kind));
		check_event(lab, &event, played.seq[event.kind]++);
		played.last_time = event.sample_time;
		last_kind = event.kind;
		played.n++;
	}
	return played;
}

TEST(a_recording_yields_the_events_that_were_published)
{
	struct check_random random = check_random_seeded();
	unsigned n = 1 + (unsigned)check_random_below(&random, 6000);
	struct lab *lab = record(&random, n);
	struct fnx_source *source = open_source(lab);
	const struct fnx_source_info *info = fnx_source_mcap.info(source);
	int end;

	assert_int_equal(info->n_lfp_channels, LAB_LFP_CHANNELS);
	assert_int_equal(info->n_spike_channels, LAB_CHANNELS);
	assert_int_equal(info->n_spike_points, LAB_POINTS);
	assert_true(info->has_position && info->has_truth);
	assert_int_equal(play(lab, source, &end).n, n);
	assert_int_equal(end, 0);
	assert_string_equal(fnx_source_mcap.notice(source), "");
	fnx_source_mcap.close(source);
	lab_free(lab);
}

TEST(a_session_can_be_played_in_part)
{
	struct check_random random = check_random_seeded();
	struct lab *lab = record(&random, 2000);
	struct fnx_source *source = open_source(lab);
	int64_t first = fnx_source_mcap.info(source)->first_sample;
	uint64_t n_expected = 0, n = 0;
	int64_t begin = first + 3000, end = begin + 6000;
	struct fnx_event event;

	while (fnx_source_mcap.next(source, &event) == 1)
		n_expected += event.sample_time >= begin && event.sample_time < end;
	fnx_source_mcap.close(source);
	lab->rig->source.start_s = 0.1;
	lab->rig->source.duration_s = 0.2;
	source = open_source(lab);
	while (fnx_source_mcap.next(source, &event) == 1) {
		assert_true(event.sample_time >= begin && event.sample_time < end);
		n++;
	}
	assert_int_equal(n, n_expected);
	assert_true(n > 0);
	fnx_source_mcap.close(source);
	lab->rig->source.start_s = 1e6;
	source = open_source(lab);
	assert_int_equal(fnx_source_mcap.next(source, &event), -EINVAL);
	assert_non_null(strstr(
		fnx_source_mcap.error(source), "source.start_s: the recording ends before that"));
	fnx_source_mcap.close(source);
	lab_free(lab);
}

TEST(playing_allocates_nothing_once_it_is_under_way)
{
	struct check_random random = check_random_seeded();
	struct lab *lab = record(&random, 8000);
	struct fnx_source *source = open_source(lab);
	_Atomic uint64_t n_allocations = 0;
	struct fnx_event event;

	for (int i = 0; i < 4000; i++)
		assert_int_equal(fnx_source_mcap.next(source, &event), 1);
	fnx_heap_watch(&n_allocations);
	while (fnx_source_mcap.next(source, &event) == 1)
		;
	fnx_heap_watch(NULL);
	assert_int_equal(n_allocations, 0);
	fnx_source_mcap.close(source);
	lab_free(lab);
}

/* The file's first `size` bytes stand for the file. */
static void cut(struct lab *lab, const char *bytes, size_t size)
{
	FILE *file;

	snprintf(lab->file, sizeof(lab->file), "%s/cut.mcap", lab->dir);
	file = fopen(lab->file, "w");
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
	set_source(lab);
}

static char *read_all(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "r");
	char *bytes = malloc(8 << 20);

	*ret_size = fread(bytes, 1, 8 << 20, file);
	fclose(file);
	return bytes;
}

TEST(a_file_cut_anywhere_plays_up_to_the_cut_and_says_so)
{
	struct check_random random = check_random_seeded();
	struct lab *lab = record(&random, 1500);
	size_t size;
	char *bytes = read_all(lab->file, &size);
	unsigned last_n = 0;
	size_t step = size / 250 + 1;

	for (size_t at = check_random_below(&random, step); at < size; at += step) {
		char error[FNX_RIG_ERROR_MAX] = "";
		struct fnx_source *source;
		unsigned n;
		int end;

		cut(lab, bytes, at);
		end = fnx_source_mcap.open(lab->rig, NULL, &source, error, sizeof(error));
		if (end) {
			assert_int_equal(last_n, 0);
			assert_non_null(strstr(error, "cut.mcap: expected an MCAP recording"));
			continue;
		}
		n = play(lab, source, &end).n;
		assert_int_equal(end, 0);
		assert_true(n >= last_n);
		assert_non_null(strstr(fnx_source_mcap.notice(source), "cut off"));
		last_n = n;
		fnx_source_mcap.close(source);
	}
	assert_int_equal(last_n, 1500);
	free(bytes);
	lab_free(lab);
}

TEST(a_damaged_file_plays_up_to_the_damage_and_tells_where_it_is)
{
	struct check_random random = check_random_seeded();
	struct lab *lab = record(&random, 1500);
	size_t size;
	char *bytes = read_all(lab->file, &size);
	unsigned n_told = 0;

	for (int i = 0; i < 300; i++) {
		size_t at = (size_t)check_random_below(&random, size);
		char flip = (char)(1 << check_random_below(&random, 8));
		char error[FNX_RIG_ERROR_MAX] = "";
		struct fnx_source *source;
		int end;

		bytes[at] ^= flip;
		cut(lab, bytes, size);
		bytes[at] ^= flip;
		if (fnx_source_mcap.open(lab->rig, NULL, &source, error, sizeof(error))) {
			assert_non_null(strstr(error, "cut.mcap: "));
			continue;
		}
		/* What is played is right, whatever happens then. */
		play(lab, source, &end);
		if (end < 0) {
			n_told++;
			assert_non_null(strstr(fnx_source_mcap.error(source), "cut.mcap: "));
			assert_int_equal(fnx_source_mcap.next(source, &(struct fnx_event){0}), end);
		}
		fnx_source_mcap.close(source);
	}
	assert_true(n_told > 100);
	free(bytes);
	lab_free(lab);
}

/* Where the file's chunks begin. */
static size_t find_chunks(const char *bytes, size_t size, size_t *ret_offsets, size_t max)
{
	size_t at = 8, n = 0;
	uint64_t length;

	for (; at + 9 < size && n < max; at += 9 + length) {
		memcpy(&length, bytes + at + 1, sizeof(length));
		if (bytes[at] == 6)
			ret_offsets[n++] = at;
		if (bytes[at] == 15)
			break;
	}
	return n;
}

TEST(a_chunk_that_one_bit_makes_another_record_is_not_passed_over)
{
	struct check_random random = check_random_seeded();
	struct lab *lab = record(&random, 1500);
	size_t size, offsets[64], n_chunks;
	char *bytes = read_all(lab->file, &size);

	n_chunks = find_chunks(bytes, size, offsets, 64);
	assert_true(n_chunks > 4);
	for (int bit = 0; bit < 8; bit++) {
		size_t at = offsets[1 + check_random_below(&random, n_chunks - 2)];
		char error[FNX_RIG_ERROR_MAX] = "";
		struct fnx_source *source;
		int end;

		bytes[at] ^= (char)(1 << bit);
		cut(lab, bytes, size);
		bytes[at] ^= (char)(1 << bit);
		assert_int_equal(
			fnx_source_mcap.open(lab->rig, NULL, &source, error, sizeof(error)), 0);
		assert_true(play(lab, source, &end).n < 1500);
		assert_true(end < 0);
		fnx_source_mcap.close(source);
	}
	free(bytes);
	lab_free(lab);
}

TEST(what_is_no_recording_is_refused_in_one_line)
{
	struct check_random random = check_random_seeded();
	struct lab *lab = record(&random, 10);

	cut(lab, "", 0);
	expect_refusal(
		lab, -EBADMSG, "cut.mcap: expected an MCAP recording, found a file that is empty");
	cut(lab, "These are notes, longer than a header.", 38);
	expect_refusal(lab, -EBADMSG, "cut.mcap: ");
	unlink(lab->file);
	expect_refusal(lab, -ENOENT, "cut.mcap: No such file or directory");
	lab_free(lab);
}

/* Files that another writer could have made
 * ---------------------------------------------------------- */

struct writing {
	struct fnx_mcap_writer *writer;
	struct lab *lab;
};

static struct writing begin_writing(struct lab *lab)
{
	struct writing writing = {.lab = lab};
	struct fnx_mcap_config config = {.chunk_size = 4096, .replace = true};

	assert_int_equal(fnx_mcap_writer_open(lab->file, &config, &writing.writer), 0);
	return writing;
}

static void add_topic(struct writing *writing, unsigned kind, const char *encoding, int damage)
{
	unsigned char description[FNX_DESCRIPTION_MAX];
	struct lab_topic *topic = &writing->lab->topics[kind];
	uint16_t id = (uint16_t)(kind + 1);
	size_t size;

	assert_int_equal(
		fnx_description_encode(&topic->layout, description, sizeof(description), &size), 0);
	assert_int_equal(fnx_mcap_writer_add_schema(writing->writer, id, topic->schema->name,
				 encoding, description, size - (size_t)damage),
		0);
	assert_int_equal(fnx_mcap_writer_add_channel(
				 writing->writer, id, id, topic->name, "msgpack", NULL, 0),
		0);
}

static void add_message(struct writing *writing, unsigned kind, uint64_t seq, int64_t time)
{
	struct lab_topic *topic = &writing->lab->topics[kind];
	struct fnx_codec_stamp stamp = {.seq = seq, .sample_time = time};
	uint64_t payload[LAB_PAYLOAD_MAX / 8];
	char bytes[4096];
	size_t size;

	lab_fill(topic, kind, seq, payload);
	assert_int_equal(fnx_codec_encode(&topic->layout, &stamp, payload, topic->layout.size,
				 bytes, sizeof(bytes), &size),
		0);
	assert_int_equal(fnx_mcap_writer_message(writing->writer, (uint16_t)(kind + 1),
				 (uint32_t)seq, (uint64_t)time, (uint64_t)time, bytes, size),
		0);
}

static struct lab *empty_lab(void)
{
	struct lab *lab = lab_new(RECORD);

	set_source(lab);
	return lab;
}

TEST(messages_that_stand_out_of_order_are_played_in_order)
{
	struct lab *lab = empty_lab();
	struct check_random random = check_random_seeded();
	struct writing writing = begin_writing(lab);
	struct fnx_source *source;
	uint64_t seq[LAB_TOPICS] = {0};
	unsigned n = 0;
	int end;

	for (unsigned kind = 0; kind < LAB_TOPICS; kind++)
		add_topic(&writing, kind, "fornix", 0);
	/* Blocks of one session time, each topic's part written in one go, the topics in any order.
	 */
	for (int64_t block = 0; block < 40; block++) {
		unsigned first = (unsigned)check_random_below(&random, LAB_TOPICS);

		for (unsigned k = 0; k < LAB_TOPICS; k++) {
			unsigned kind = (first + k) % LAB_TOPICS;
			unsigned some = (unsigned)check_random_below(&random, 60);

			for (unsigned i = 0; i < some; i++, n++)
				add_message(&writing, kind, seq[kind]++,
					block * 1000 + (int64_t)i * 10);
		}
	}
	assert_int_equal(fnx_mcap_writer_close(writing.writer), 0);
	source = open_source(lab);
	assert_int_equal(play(lab, source, &end).n, n);
	assert_int_equal(end, 0);
	fnx_source_mcap.close(source);
	lab_free(lab);
}

TEST(a_message_far_out_of_order_ends_the_play_with_its_place)
{
	struct lab *lab = empty_lab();
	struct writing writing = begin_writing(lab);
	struct fnx_source *source;
	int end;

	for (unsigned kind = 0; kind < LAB_TOPICS; kind++)
		add_topic(&writing, kind, "fornix", 0);
	for (uint64_t i = 0; i < 3000; i++)
		add_message(&writing, 2, i, (int64_t)i * 20);
	add_message(&writing, 0, 0, 100);
	assert_int_equal(fnx_mcap_writer_close(writing.writer), 0);
	source = open_source(lab);
	assert_int_equal(play(lab, source, &end).n > 2000, 1);
	assert_int_equal(end, -EBADMSG);
	assert_non_null(strstr(fnx_source_mcap.error(source),
		"position goes back in time: sample 100 stands more than 512 messages behind "
		"sample"));
	fnx_source_mcap.close(source);
	lab_free(lab);
}

TEST(a_file_of_other_topics_is_refused_with_their_names)
{
	struct lab *lab = empty_lab();
	struct writing writing = begin_writing(lab);

	assert_int_equal(
		fnx_mcap_writer_add_channel(writing.writer, 1, 0, "camera", "json", NULL, 0), 0);
	assert_int_equal(fnx_mcap_writer_message(writing.writer, 1, 0, 1, 1, "{}", 2), 0);
	assert_int_equal(fnx_mcap_writer_close(writing.writer), 0);
	expect_refusal(lab, -EINVAL,
		"expected topics position, spikes or lfp as fornix records them, found camera");
	/* A topic of our name, but of somebody else's making. */
	writing = begin_writing(lab);
	add_topic(&writing, 0, "protobuf", 0);
	add_message(&writing, 0, 0, 1);
	assert_int_equal(fnx_mcap_writer_close(writing.writer), 0);
	expect_refusal(lab, -EINVAL, "found position");
	lab_free(lab);
}

TEST(a_recording_of_another_build_is_refused)
{
	struct lab *lab = empty_lab();
	struct writing writing = begin_writing(lab);
	struct lab_topic spikes = lab->topics[1];

	/* The topic is called spikes and brings positions. */
	lab->topics[1].schema = lab->topics[0].schema;
	lab->topics[1].layout = lab->topics[0].layout;
	add_topic(&writing, 1, "fornix", 0);
	lab->topics[1].schema = spikes.schema;
	lab->topics[1].layout = spikes.layout;
	add_message(&writing, 1, 0, 1);
	assert_int_equal(fnx_mcap_writer_close(writing.writer), 0);
	expect_refusal(lab, -EPROTO, "topic spikes was recorded by another version of fornix");
	writing = begin_writing(lab);
	add_topic(&writing, 1, "fornix", 5);
	add_message(&writing, 1, 0, 1);
	assert_int_equal(fnx_mcap_writer_close(writing.writer), 0);
	expect_refusal(lab, -EBADMSG, "topic spikes describes itself in a way that cannot be read");
	lab_free(lab);
}

TEST(a_recording_with_no_messages_is_refused)
{
	struct lab *lab = empty_lab();
	struct writing writing = begin_writing(lab);

	add_topic(&writing, 0, "fornix", 0);
	assert_int_equal(fnx_mcap_writer_close(writing.writer), 0);
	expect_refusal(lab, -ENODATA, "the recording holds no messages");
	lab_free(lab);
}

TEST(a_recording_by_another_clock_is_refused)
{
	struct check_random random = check_random_seeded();
	struct lab *lab = record(&random, 10);

	lab->rig->clock.rate_hz = 20000;
	expect_refusal(lab, -EINVAL, "clock.rate_hz: recorded at 30000 Hz, the rig says 20000");
	lab_free(lab);
}

TEST(a_spike_that_claims_more_channels_than_there_are_is_damage)
{
	struct lab *lab = empty_lab();
	struct writing writing = begin_writing(lab);
	struct fnx_codec_stamp stamp = {.sample_time = 2};
	const uint32_t n_channels = 1u << 30;
	uint64_t payload[LAB_PAYLOAD_MAX / 8];
	struct fnx_source *source;
	char bytes[4096];
	size_t size;
	int end;

	add_topic(&writing, 1, "fornix", 0);
	add_message(&writing, 1, 0, 1);
	lab_fill(&lab->topics[1], 1, 1, payload);
	memcpy((char *)payload + offsetof(struct fnx_spike, n_channels), &n_channels,
		sizeof(n_channels));
	assert_int_equal(fnx_codec_encode(&lab->topics[1].layout, &stamp, payload,
				 lab->topics[1].layout.size, bytes, sizeof(bytes), &size),
		0);
	assert_int_equal(fnx_mcap_writer_message(writing.writer, 2, 1, 2, 2, bytes, size), 0);
	assert_int_equal(fnx_mcap_writer_close(writing.writer), 0);
	source = open_source(lab);
	assert_int_equal(play(lab, source, &end).n, 1);
	assert_int_equal(end, -EBADMSG);
	assert_non_null(
		strstr(fnx_source_mcap.error(source), "message 2 of spikes: 1073741824 channels"));
	fnx_source_mcap.close(source);
	lab_free(lab);
}
