/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/record/node.h"

#include "tests/unit/record/recording.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORD "record: {file: \"FILE\", chunk_kb: 16}\n"

static void end_session(struct lab *lab, struct fnx_node *node)
{
	lab_advance(lab, FNX_END);
	lab_node_turn(node);
}

static struct fnx_node *open_node(struct lab *lab)
{
	struct fnx_node *node;

	if (lab_node_open(lab, &fnx_record_ops, "record", &node))
		fail_msg("%s", node->error);
	return node;
}

TEST(a_session_is_in_the_file_frame_by_frame_in_order)
{
	struct lab *lab = lab_new(RECORD);
	struct check_random random = check_random_seeded();
	struct fnx_node *node = open_node(lab);
	struct recording recording;

	lab_session(lab, &random, 5000, lab_node_turn, node);
	end_session(lab, node);
	lab_node_close(node);
	recording = recording_read(lab, lab->file, 1);
	assert_int_equal(recording.end, FNX_MCAP_END);
	assert_int_equal(recording.n_all, 5000);
	lab_free(lab);
}

TEST(the_file_explains_itself)
{
	struct lab *lab = lab_new(RECORD);
	struct check_random random = check_random_seeded();
	struct fnx_node *node = open_node(lab);
	const struct fnx_mcap_channel *channel;
	const struct fnx_mcap_metadata *metadata;
	const struct fnx_mcap_attachment *attachment;
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_message message;
	char text[4096] = "", rig[4096] = "";
	FILE *file;

	lab_session(lab, &random, 50, lab_node_turn, node);
	end_session(lab, node);
	lab_node_close(node);
	assert_int_equal(fnx_mcap_reader_open(lab->file, &reader), 0);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_MESSAGE);
	for (unsigned kind = 0; kind < LAB_TOPICS; kind++) {
		const struct fnx_mcap_schema *schema;
		struct fnx_description *description;

		channel = fnx_mcap_reader_channel_at(reader, kind);
		assert_string_equal(channel->topic, lab_topics[kind].name);
		assert_string_equal(channel->message_encoding, "msgpack");
		assert_string_equal(channel->metadata[1].key, "node");
		assert_string_equal(channel->metadata[1].value, "acquire");
		schema = fnx_mcap_reader_schema(reader, channel->schema_id);
		assert_string_equal(schema->name, lab_topics[kind].schema->name);
		assert_string_equal(schema->encoding, "fornix");
		assert_int_equal(
			fnx_description_decode(schema->data, schema->size, &description), 0);
		assert_int_equal(description->layout.size, lab->topics[kind].layout.size);
		fnx_description_free(description);
	}
	metadata = fnx_mcap_reader_metadata_at(reader, 0);
	assert_string_equal(metadata->name, "fornix");
	attachment = fnx_mcap_reader_attachment_at(reader, 0);
	assert_string_equal(attachment->name, "rig.yaml");
	assert_true(attachment->data_size < sizeof(text));
	assert_int_equal(
		fnx_mcap_reader_attachment_data(reader, 0, 0, text, attachment->data_size), 0);
	file = fopen(lab->rig_path, "r");
	assert_int_equal(fread(rig, 1, sizeof(rig), file), attachment->data_size);
	fclose(file);
	assert_string_equal(text, rig);
	/* Times are of the calendar: within a minute of now. */
	assert_true(
		llabs((long long)(message.log_time_ns / 1000000000u) - (long long)time(NULL)) < 60);
	fnx_mcap_reader_close(reader);
	lab_free(lab);
}

TEST(only_the_listed_topics_are_recorded)
{
	struct lab *lab = lab_new("record: {file: \"FILE\", topics: [truth, position]}\n");
	struct check_random random = check_random_seeded();
	struct fnx_node *node = open_node(lab);
	struct recording recording;

	for (int i = 0; i < 40; i++)
		assert_int_equal(lab_step(lab, &random), 0);
	end_session(lab, node);
	lab_node_close(node);
	recording = recording_read(lab, lab->file, 1);
	assert_int_equal(recording.n[0], fnx_publisher_head(lab->topics[0].pub));
	assert_int_equal(recording.n[1], 0);
	assert_int_equal(recording.n[2], 0);
	assert_int_equal(recording.n[3], fnx_publisher_head(lab->topics[3].pub));
	lab_free(lab);
}

TEST(a_topic_that_the_rig_does_not_have_is_refused)
{
	struct lab *lab = lab_new("record: {file: \"FILE\", topics: [spikes, posterior]}\n");
	struct fnx_node *node;

	assert_int_equal(lab_node_open(lab, &fnx_record_ops, "record", &node), -EINVAL);
	assert_string_equal(node->error,
		"record.topics: the rig has no topic posterior; it has position, spikes, lfp, "
		"truth");
	free(node);
	lab_free(lab);
}

static void record_a_little(struct lab *lab, struct check_random *random)
{
	struct fnx_node *node = open_node(lab);

	lab_session(lab, random, 100, lab_node_turn, node);
	lab_node_turn(node);
	lab_node_close(node);
}

TEST(a_recording_of_another_session_is_refused_and_not_touched)
{
	struct lab *lab = lab_new(RECORD);
	struct check_random random = check_random_seeded();
	struct stat before, after;
	struct fnx_node *node;

	record_a_little(lab, &random);
	assert_int_equal(stat(lab->file, &before), 0);
	lab_close_topics(lab);
	lab_open_topics(lab);
	assert_int_equal(lab_node_open(lab, &fnx_record_ops, "record", &node), -EEXIST);
	assert_non_null(strstr(node->error, "session.mcap exists already"));
	lab_node_close(node);
	assert_int_equal(stat(lab->file, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	lab_free(lab);
}

TEST(a_file_that_is_no_recording_is_refused_and_not_touched)
{
	static const char *const contents[] = {
		"These are notes, longer than a header.", "x", "\x89MCAP0\r\nrest"};

	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
		struct lab *lab = lab_new(RECORD);
		char text[64] = "";
		struct fnx_node *node;
		FILE *file = fopen(lab->file, "w");

		fputs(contents[i], file);
		fclose(file);
		assert_true(lab_node_open(lab, &fnx_record_ops, "record", &node) < 0);
		assert_non_null(strstr(node->error, "session.mcap exists"));
		lab_node_close(node);
		file = fopen(lab->file, "r");
		assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
		fclose(file);
		assert_string_equal(text, contents[i]);
		lab_free(lab);
	}
}

TEST(a_recording_that_never_began_is_no_obstacle)
{
	struct lab *lab = lab_new(RECORD);
	struct check_random random = check_random_seeded();
	struct fnx_node *node = open_node(lab);

	lab_node_close(node);
	lab_close_topics(lab);
	lab_open_topics(lab);
	record_a_little(lab, &random);
	assert_int_equal(recording_read(lab, lab->file, 0).end, FNX_MCAP_END);
	lab_free(lab);
}

TEST(a_directory_that_is_not_there_is_told)
{
	struct lab *lab = lab_new("record: {file: /nowhere/at/all.mcap}\n");
	struct fnx_node *node;

	assert_int_equal(lab_node_open(lab, &fnx_record_ops, "record", &node), -ENOENT);
	assert_string_equal(node->error,
		"record.file: cannot create /nowhere/at/all.mcap: No such file or directory");
	lab_node_close(node);
	lab_free(lab);
}

TEST(a_recorder_stopped_in_good_order_goes_on_with_its_file)
{
	struct lab *lab = lab_new(RECORD);
	struct check_random random = check_random_seeded();
	struct recording recording;
	struct fnx_node *node;

	record_a_little(lab, &random);
	record_a_little(lab, &random);
	node = open_node(lab);
	lab_session(lab, &random, 100, lab_node_turn, node);
	end_session(lab, node);
	lab_node_close(node);
	recording = recording_read(lab, lab->file, 1);
	assert_int_equal(recording.end, FNX_MCAP_END);
	assert_int_equal(recording.n_all, 300);
	lab_free(lab);
}

/* Bytes in the file until now. */
static off_t file_size(const struct lab *lab)
{
	struct stat st;

	assert_int_equal(stat(lab->file, &st), 0);
	return st.st_size;
}

TEST(a_frame_is_given_back_only_when_the_file_has_it)
{
	struct lab *lab = lab_new("record: {file: \"FILE\", chunk_kb: 1024}\n");
	struct check_random random = check_random_seeded();
	struct fnx_node *node = open_node(lab);
	off_t empty = file_size(lab);
	int stayed = 0;

	for (int i = 0; i < 1000; i++) {
		off_t before = file_size(lab);
		uint64_t head = fnx_publisher_head(lab->topics[2].pub);

		while (lab_step(lab, &random) == -EAGAIN)
			lab_node_turn(node);
		fnx_node_drive(node, fnx_node_now(), 1);
		stayed += file_size(lab) == before;
		/* A pool that all have given back has room for all its slots. */
		if (head > 0 && file_size(lab) == empty)
			assert_false(
				fnx_publisher_room(lab->topics[2].pub, LAB_SLOTS, fnx_node_now()));
	}
	assert_true(stayed > 900);
	assert_true(file_size(lab) > empty);
	lab_node_close(node);
	lab_free(lab);
}

TEST(what_lies_in_memory_for_long_is_written_while_idle)
{
	struct lab *lab = lab_new("record: {file: \"FILE\", chunk_kb: 1024}\n");
	struct fnx_node *node = open_node(lab);
	int64_t deadline = lab_deadline();
	off_t empty = file_size(lab);

	assert_int_equal(lab_publish(lab, 0, 10), 0);
	lab_advance(lab, 20);
	while (file_size(lab) == empty) {
		assert_true(fnx_node_now() < deadline);
		lab_node_turn(node);
	}
	assert_int_equal(recording_read(lab, lab->file, 1).n_all, 1);
	assert_true(fnx_publisher_room(lab->topics[0].pub, LAB_SLOTS, fnx_node_now()));
	lab_node_close(node);
	lab_free(lab);
}

TEST(a_full_disk_loses_frames_and_nothing_else)
{
	struct lab *lab = lab_new(RECORD);
	struct check_random random = check_random_seeded();
	struct rlimit limit, before;
	struct fnx_node *node = open_node(lab);
	struct recording recording;

	/* A file that may not grow is what a full disk looks like. */
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 60000;
	lab_session(lab, &random, 50, lab_node_turn, node);
	setrlimit(RLIMIT_FSIZE, &limit);
	lab_session(lab, &random, 5000, lab_node_turn, node);
	lab_node_turn(node);
	assert_non_null(strstr(node->status->text, "frames are being lost"));
	assert_non_null(strstr(node->status->text, "File too large"));
	setrlimit(RLIMIT_FSIZE, &before);
	end_session(lab, node);
	assert_int_equal(atomic_load(&node->status->inputs[0].frames),
		fnx_publisher_head(lab->topics[0].pub));
	lab_node_close(node);
	recording = recording_read(lab, lab->file, 0);
	assert_int_equal(recording.end, FNX_MCAP_END);
	assert_true(recording.n_all >= 50 && recording.n_all < 5050);
	lab_free(lab);
}

TEST(a_disk_that_has_room_again_is_written_to_again)
{
	struct lab *lab = lab_new(RECORD);
	struct check_random random = check_random_seeded();
	struct rlimit limit, before;
	struct fnx_node *node = open_node(lab);
	int64_t deadline = lab_deadline();
	uint64_t n_before;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 60000;
	setrlimit(RLIMIT_FSIZE, &limit);
	lab_session(lab, &random, 3000, lab_node_turn, node);
	setrlimit(RLIMIT_FSIZE, &before);
	n_before = recording_read(lab, lab->file, 0).n_all;
	while (!strstr(node->status->text, "writes to")) {
		assert_true(fnx_node_now() < deadline);
		lab_session(lab, &random, 1, lab_node_turn, node);
		lab_node_turn(node);
	}
	end_session(lab, node);
	lab_node_close(node);
	assert_true(recording_read(lab, lab->file, 0).n_all > n_before);
	lab_free(lab);
}

TEST(recording_allocates_nothing_per_frame)
{
	struct lab *lab = lab_new(RECORD);
	struct check_random random = check_random_seeded();
	struct fnx_node *node = open_node(lab);
	_Atomic uint64_t n_allocations = 0;

	lab_session(lab, &random, 500, lab_node_turn, node);
	fnx_heap_watch(&n_allocations);
	lab_session(lab, &random, 5000, lab_node_turn, node);
	fnx_heap_watch(NULL);
	assert_int_equal(n_allocations, 0);
	lab_node_close(node);
	lab_free(lab);
}

TEST(parameters_that_change_are_recorded_whatever_the_other_topics_do)
{
	struct lab *lab = lab_new(RECORD "ripple: {}\n");
	struct fnx_topic_config config = {.name = "ripple.params",
		.node = "acquire",
		.schema_hash = 1,
		.slot_size = 64,
		.n_slots = 16,
		.full = FNX_FULL_DROP,
		.bell = FNX_BELL_FORM_PIPE};
	unsigned char description[FNX_DESCRIPTION_MAX];
	struct fnx_publisher *params, *ripple;
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_message message;
	struct fnx_stamp stamp = {.sample_time = 5};
	struct fnx_node *node;
	void *payload;

	/* Any schema will do: truth stands in for both. */
	config.schema = description;
	assert_int_equal(fnx_description_encode(&lab->topics[3].layout, description,
				 sizeof(description), &config.schema_size),
		0);
	assert_int_equal(fnx_publisher_open(&lab->bus, &config, &params), 0);
	config.name = "ripple";
	assert_int_equal(fnx_publisher_open(&lab->bus, &config, &ripple), 0);
	node = open_node(lab);
	/* No topic has promised anything: nothing else could be handed out. */
	assert_int_equal(fnx_publisher_loan(params, 0, &payload), 0);
	lab_fill(&lab->topics[3], 3, 0, payload);
	fnx_publisher_publish(params, lab->topics[3].layout.size, &stamp);
	lab_node_turn(node);
	assert_int_equal(lab_publish(lab, 0, 10), 0);
	fnx_publisher_advance(ripple, FNX_END, 0);
	end_session(lab, node);
	assert_int_equal(fnx_node_drive(node, fnx_node_now(), 16), FNX_DRIVE_ENDED);
	lab_node_close(node);
	assert_int_equal(fnx_mcap_reader_open(lab->file, &reader), 0);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_MESSAGE);
	assert_string_equal(message.channel->topic, "ripple.params");
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_MESSAGE);
	assert_string_equal(message.channel->topic, "position");
	fnx_mcap_reader_close(reader);
	fnx_publisher_close(params);
	fnx_publisher_close(ripple);
	lab_free(lab);
}

/* Killing
 * ------------------------------------------------------------------------------------------- */

static pid_t start_recorder(const struct lab *lab)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct fnx_node *node = calloc(1, sizeof(*node));
		int r;

		/* A test that fails leaves nobody behind. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		r = fnx_node_open(node, &fnx_record_ops, lab->rig, "record");
		if (!r) {
			r = fnx_node_run(node, NULL, 1);
			if (r)
				fprintf(stderr, "recorder: %s\n", node->error);
			fnx_node_close(node);
		} else {
			fprintf(stderr, "recorder: %s\n", node->error);
		}
		free(node);
		_exit(r ? 1 : 0);
	}
	return pid;
}

/* Of this process; 0: it has not made its status page its own yet. */
static uint32_t recorder_state(const struct lab *lab, pid_t pid)
{
	const struct fnx_status *status;
	uint32_t state = 0;

	if (fnx_status_open(&lab->bus, "record", &status))
		return 0;
	if (atomic_load(&status->pid) == pid)
		state = atomic_load(&status->state);
	fnx_status_close(status);
	return state;
}

static void await_recorder(const struct lab *lab, pid_t pid, uint32_t state)
{
	int64_t deadline = lab_deadline();

	while (recorder_state(lab, pid) < state) {
		assert_true(fnx_node_now() < deadline);
		sched_yield();
	}
}

static void yield(void *argument)
{
	(void)argument;
	sched_yield();
}

TEST(a_recorder_killed_at_any_moment_has_each_frame_exactly_once_in_the_end)
{
	enum {
		KILLS = 25
	};
	struct lab *lab = lab_new(RECORD);
	struct check_random random = check_random_seeded();
	uint64_t n = 0;
	struct recording recording;
	pid_t pid = start_recorder(lab);
	int status;

	await_recorder(lab, pid, FNX_NODE_READY);
	for (int kill_number = 0; kill_number < KILLS; kill_number++) {
		unsigned batch = 1 + (unsigned)check_random_below(&random, 800);
		unsigned spins = (unsigned)check_random_below(&random, 20000);

		lab_session(lab, &random, batch, yield, NULL);
		n += batch;
		for (volatile unsigned i = 0; i < spins; i++)
			;
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		pid = start_recorder(lab);
		/* Sometimes it is killed before it has found its place. */
		if (check_random_below(&random, 3))
			await_recorder(lab, pid, FNX_NODE_READY);
	}
	await_recorder(lab, pid, FNX_NODE_READY);
	lab_advance(lab, FNX_END);
	await_recorder(lab, pid, FNX_NODE_ENDED);
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	recording = recording_read(lab, lab->file, 1);
	assert_int_equal(recording.end, FNX_MCAP_END);
	assert_int_equal(recording.n_all, n);
	lab_free(lab);
}

TEST(what_a_recorder_says_has_ended_is_in_the_file)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 6; round++) {
		struct lab *lab = lab_new(RECORD);
		unsigned n = 100 + (unsigned)check_random_below(&random, 400);
		unsigned spins = (unsigned)check_random_below(&random, 200000);
		pid_t pid = start_recorder(lab);

		await_recorder(lab, pid, FNX_NODE_READY);
		lab_session(lab, &random, n, yield, NULL);
		lab_advance(lab, FNX_END);
		/* The first may or may not have come to the end when it is hit. */
		for (volatile unsigned i = 0; i < spins; i++)
			;
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		if (recorder_state(lab, pid) != FNX_NODE_ENDED) {
			pid = start_recorder(lab);
			await_recorder(lab, pid, FNX_NODE_ENDED);
			kill(pid, SIGKILL);
			assert_int_equal(waitpid(pid, NULL, 0), pid);
		}
		assert_int_equal(recording_read(lab, lab->file, 1).n_all, n);
		lab_free(lab);
	}
}
