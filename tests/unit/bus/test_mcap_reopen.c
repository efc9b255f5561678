/* SPDX-License-Identifier: BSD-3-Clause */
/* Files that were cut, killed or damaged are gone on with, or saved into new ones. */
#include "tests/unit/bus/test_mcap_model.h"

#include <errno.h>
#include <signal.h>

/* Small tables: these tests open thousands of writers. */
static const struct fnx_mcap_config configs[] = {
	{.chunk_size = 300,
		.max_message_size = 700,
		.max_channels = 8,
		.index_size = 1000,
		.replace = true},
	{.chunk_size = 300,
		.max_message_size = 700,
		.compression = FNX_MCAP_ZSTD,
		.max_channels = 8,
		.index_size = 1000,
		.replace = true},
};

static struct fnx_mcap_writer *start(const char *path, const struct fnx_mcap_config *config)
{
	struct fnx_mcap_writer *writer;

	assert_int_equal(fnx_mcap_writer_open(path, config, &writer), 0);
	return writer;
}

static struct model *write_session(const char *path, const struct fnx_mcap_config *config,
	struct check_random *random, size_t n_steps)
{
	struct fnx_mcap_writer *writer = start(path, config);
	struct model *model = model_new();

	for (size_t i = 0; i < n_steps; i++)
		assert_int_equal(model_step(model, writer, random, 300), 0);
	assert_int_equal(fnx_mcap_writer_flush(writer), 0);
	model_look(model, writer);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	return model;
}

/* Checks what the writer knows of the first n messages. */
static void check_sequences(
	const struct model *model, const struct fnx_mcap_writer *writer, size_t n)
{
	for (size_t channel = 0; channel < MODEL_CHANNELS; channel++) {
		uint16_t id = model_channel_id(channel);
		uint32_t sequence = 0;
		uint32_t expected = 0;
		uint64_t count = 0;
		int r = fnx_mcap_writer_last_sequence(writer, id, &sequence);

		for (size_t i = 0; i < n; i++) {
			if (model->messages[i].channel != id)
				continue;
			expected = model->messages[i].sequence;
			count++;
		}
		if (count == 0) {
			assert_true(r == FNX_MCAP_EMPTY || r == -ENOENT);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(sequence, expected);
		assert_int_equal(fnx_mcap_writer_channel(writer, id)->n_messages, count);
	}
}

/* Goes on with the file as a node would that was started again: adds all it has, and a few
 * messages. */
static void go_on(const char *path, const struct fnx_mcap_config *config, const struct model *model,
	size_t n, struct check_random *random)
{
	struct model *more = model_new();
	struct fnx_mcap_message message;
	struct fnx_mcap_writer *writer;
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_writer_stats stats;

	assert_int_equal(fnx_mcap_writer_reopen(path, config, &writer), 0);
	fnx_mcap_writer_stats(writer, &stats);
	assert_int_equal(stats.file.n_messages, n);
	check_sequences(model, writer, n);
	for (size_t i = 0; i < MODEL_CHANNELS; i++)
		assert_int_equal(model_add_channel(writer, i), 0);
	more->n_channels = MODEL_CHANNELS;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(model_write_message(more, writer, random, 300), 0);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);

	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_MESSAGE);
		assert_true(model_equal(&model->messages[i], &message));
	}
	assert_int_equal(model_compare(more, reader, 0, 5), FNX_MCAP_END);
	fnx_mcap_reader_close(reader);
	model_free(more);
}

static void check_reopen_cuts(const struct fnx_mcap_config *config, struct check_random *random)
{
	struct model *model = write_session(model_path("whole.mcap"), config, random, 40);
	size_t size;
	uint8_t *bytes = model_load(model_path("whole.mcap"), &size);
	char *paths[200];
	size_t n_paths = 0;

	for (size_t cut = 0; cut <= size; cut++) {
		const char *path = model_path("reopen.mcap");
		char name[32];

		if (cut % 37 == 0 && n_paths < 200) {
			snprintf(name, sizeof(name), "walk%zu.mcap", cut);
			path = model_path(name);
			paths[n_paths++] = strdup(path);
		}
		model_save(path, bytes, cut);
		go_on(path, config, model, model_whole(model, bytes, size, cut), random);
	}
	model_walk(paths, n_paths);
	for (size_t i = 0; i < n_paths; i++)
		free(paths[i]);
	free(bytes);
	model_free(model);
}

TEST(a_file_cut_at_any_byte_is_gone_on_with)
{
	struct check_random random = check_random_seeded();

	check_reopen_cuts(&configs[0], &random);
	check_reopen_cuts(&configs[1], &random);
}

TEST(many_sessions_may_follow_each_other_in_one_file)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("sessions.mcap");
	struct fnx_mcap_writer *writer = start(path, &configs[0]);
	struct model *model = model_new();

	for (size_t session = 0; session < 10; session++) {
		for (size_t i = 0; i < 40; i++)
			assert_int_equal(model_step(model, writer, &random, 300), 0);
		assert_int_equal(fnx_mcap_writer_flush(writer), 0);
		model_look(model, writer);
		assert_int_equal(fnx_mcap_writer_close(writer), 0);
		assert_int_equal(model_compare_file(model, path, model->n), FNX_MCAP_END);
		model_walk_one(path);
		assert_int_equal(fnx_mcap_writer_reopen(path, &configs[session % 2], &writer), 0);
	}
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	model_walk_one(path);
	model_free(model);
}

TEST(a_damaged_file_is_not_gone_on_with_and_not_touched)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("damaged.mcap");
	struct model *model = write_session(path, &configs[0], &random, 40);
	struct fnx_mcap_writer *writer;
	size_t size;
	uint8_t *bytes = model_load(path, &size);

	for (size_t i = 0; i < size; i++) {
		uint8_t *after;
		size_t after_size;

		bytes[i] ^= 0x20;
		model_save(path, bytes, size);
		if (fnx_mcap_writer_reopen(path, &configs[0], &writer) == 0) {
			/* A footer that is none any more counts as cut off. */
			assert_true(i >= size - 37);
			assert_int_equal(fnx_mcap_writer_close(writer), 0);
			assert_int_equal(model_compare_file(model, path, model->n), FNX_MCAP_END);
		} else {
			after = model_load(path, &after_size);
			assert_int_equal(after_size, size);
			assert_memory_equal(after, bytes, size);
			free(after);
		}
		bytes[i] ^= 0x20;
	}
	free(bytes);
	model_free(model);
}

TEST(a_chunk_of_wrong_size_in_an_unclosed_file_is_not_taken_for_a_cut)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("wrong_size.mcap");
	struct model *model = write_session(path, &configs[0], &random, 60);
	struct fnx_mcap_writer *writer;
	size_t size;
	uint8_t *bytes = model_load(path, &size);
	size_t at = 8;

	while (bytes[at] != 0x06) {
		uint64_t body;

		memcpy(&body, bytes + at + 1, sizeof(body));
		at += 9 + body;
	}
	bytes[at + 4] = 1; /* 16 MiB more */
	model_save(path, bytes, size - 20);
	assert_int_equal(fnx_mcap_writer_reopen(path, &configs[0], &writer), -EBADMSG);
	free(bytes);
	model_free(model);
}

TEST(a_writer_killed_leaves_what_it_flushed)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("killed.mcap");
	int status;
	pid_t pid;

	for (size_t turn = 0; turn < 10; turn++) {
		struct check_random start_random;
		struct fnx_mcap_writer *writer;
		struct model *model = model_new();
		size_t n_steps = 30 + check_random_below(&random, 100);

		start_random = random;
		fflush(NULL);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			if (fnx_mcap_writer_open(path, &configs[turn % 2], &writer) != 0)
				_exit(1);
			for (size_t i = 0; i < n_steps; i++) {
				if (model_step(model, writer, &random, 300) != 0)
					_exit(1);
			}
			kill(getpid(), SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		/* The same session once more tells what was flushed. */
		writer = start(model_path("twin.mcap"), &configs[turn % 2]);
		for (size_t i = 0; i < n_steps; i++)
			assert_int_equal(model_step(model, writer, &start_random, 300), 0);
		assert_int_equal(fnx_mcap_writer_close(writer), 0);
		assert_int_equal(model_compare_file(model, path,
					 model->n_chunks ? model->chunks[model->n_chunks - 1] : 0),
			FNX_MCAP_CUT);
		model_free(model);
	}
}

TEST(recovery_makes_a_whole_file_of_a_cut_one)
{
	struct check_random random = check_random_seeded();
	char *paths[300];
	size_t n_paths = 0;

	for (size_t k = 0; k < 2; k++) {
		struct model *model =
			write_session(model_path("whole.mcap"), &configs[k], &random, 60);
		size_t size;
		uint8_t *bytes = model_load(model_path("whole.mcap"), &size);

		for (size_t cut = 0; cut < size; cut += 1 + check_random_below(&random, 60)) {
			size_t n = model_whole(model, bytes, size, cut);
			struct fnx_mcap_recover_stats stats;
			char name[64];

			snprintf(name, sizeof(name), "recovered%zu_%zu.mcap", k, cut);
			model_save(model_path("cut.mcap"), bytes, cut);
			assert_int_equal(
				fnx_mcap_recover(model_path("cut.mcap"), model_path(name), &stats),
				0);
			assert_true(stats.cut);
			assert_int_equal(stats.n_damaged, 0);
			assert_int_equal(stats.file.n_messages, n);
			assert_true(stats.n_bytes_lost <= cut);
			assert_int_equal(
				model_compare_file(model, model_path(name), n), FNX_MCAP_END);
			if (n_paths < 300)
				paths[n_paths++] = strdup(model_path(name));
			assert_int_equal(
				fnx_mcap_recover(model_path("cut.mcap"), model_path(name), &stats),
				-EEXIST);
		}
		free(bytes);
		model_free(model);
	}
	model_walk(paths, n_paths);
	for (size_t i = 0; i < n_paths; i++)
		free(paths[i]);
}

TEST(recovery_leaves_out_the_damaged_chunk_and_keeps_the_others)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("holed.mcap");
	const char *out = model_path("mended.mcap");
	struct model *model = write_session(path, &configs[1], &random, 300);
	struct fnx_mcap_recover_stats stats;
	struct fnx_mcap_message message;
	struct fnx_mcap_reader *reader;
	size_t chunk = model->n_chunks / 2;
	size_t size;
	uint8_t *bytes = model_load(path, &size);
	size_t at = 8;
	size_t n = 0;

	for (;; n++) {
		uint64_t body;

		while (bytes[at] != 0x06) {
			memcpy(&body, bytes + at + 1, sizeof(body));
			at += 9 + body;
		}
		if (n == chunk)
			break;
		memcpy(&body, bytes + at + 1, sizeof(body));
		at += 9 + body;
	}
	bytes[at + 70] ^= 4;
	model_save(path, bytes, size);
	assert_int_equal(fnx_mcap_recover(path, out, &stats), 0);
	assert_int_equal(stats.n_damaged, 1);
	assert_int_equal(stats.first_error.error, -EBADMSG);
	assert_int_equal(stats.first_error.offset, at);
	assert_int_equal(stats.n_bytes_lost, 0);
	assert_false(stats.cut);
	assert_int_equal(stats.file.n_attachments, model->n_attachments);
	assert_int_equal(stats.file.n_metadata, model->n_metadata);
	assert_int_equal(fnx_mcap_reader_open(out, &reader), 0);
	for (size_t i = 0; i < model->n; i++) {
		if (i >= model->chunks[chunk - 1] && i < model->chunks[chunk])
			continue;
		assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_MESSAGE);
		assert_true(model_equal(&model->messages[i], &message));
	}
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_END);
	fnx_mcap_reader_close(reader);
	model_walk_one(out);
	free(bytes);
	model_free(model);
}

TEST(recovery_of_what_is_no_mcap_file_leaves_nothing_behind)
{
	struct fnx_mcap_recover_stats stats;

	model_save(model_path("text"), "nothing of the kind", 19);
	assert_int_equal(
		fnx_mcap_recover(model_path("text"), model_path("out.mcap"), &stats), -EBADMSG);
	assert_int_equal(access(model_path("out.mcap"), F_OK), -1);
	assert_int_equal(
		fnx_mcap_recover(model_path("absent"), model_path("out.mcap"), &stats), -ENOENT);
}
