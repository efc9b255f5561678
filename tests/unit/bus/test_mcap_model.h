/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A naive model of an MCAP file: the list of what was accepted, and after how many messages each
 * chunk was closed. Random sessions write to a writer and to the model; what a reader delivers is
 * compared with it.
 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/mcap.h"
#include "tests/support/check.h"

enum {
	MODEL_CHANNELS = 6,
	MODEL_MESSAGES = 4096,
};

struct model_message {
	uint16_t channel;
	uint32_t sequence;
	uint64_t log_time_ns;
	uint64_t publish_time_ns;
	size_t size;
	uint8_t *data;
};

struct model {
	struct model_message messages[MODEL_MESSAGES];
	size_t n;
	size_t chunks[MODEL_MESSAGES]; /* messages in the file after each chunk */
	size_t n_chunks;
	size_t n_channels;
	size_t n_attachments;
	size_t n_metadata;
	uint32_t sequences[MODEL_CHANNELS];
	uint64_t now_ns;
};

static inline uint16_t model_channel_id(size_t index)
{
	return (uint16_t)(index * 257 + 1);
}

static inline void model_free(struct model *model)
{
	for (size_t i = 0; i < model->n; i++)
		free(model->messages[i].data);
	free(model);
}

static inline struct model *model_new(void)
{
	struct model *model = calloc(1, sizeof(*model));

	assert_non_null(model);
	model->now_ns = 1000;
	return model;
}

/* Notes the chunks that were closed since. */
static inline void model_look(struct model *model, const struct fnx_mcap_writer *writer)
{
	struct fnx_mcap_writer_stats stats;

	fnx_mcap_writer_stats(writer, &stats);
	assert_int_equal(stats.file.n_messages, model->n);
	/* A message may find a chunk that could not be written before, and then fill the next one.
	 */
	assert_true(stats.file.n_chunks <= model->n_chunks + 2);
	if (stats.file.n_chunks == model->n_chunks + 2)
		model->chunks[model->n_chunks++] = model->n - 1;
	if (stats.file.n_chunks == model->n_chunks + 1)
		model->chunks[model->n_chunks++] =
			(size_t)(stats.file.n_messages - stats.n_unflushed);
}

static inline int model_add_channel(struct fnx_mcap_writer *writer, size_t index)
{
	uint16_t id = model_channel_id(index);
	char topic[32];
	struct fnx_mcap_pair pairs[] = {{"rate", "30000"}, {"empty", ""}};
	int r;

	snprintf(topic, sizeof(topic), "topic%zu", index);
	if (index > 0) {
		r = fnx_mcap_writer_add_schema(writer, id, topic, "fornix", topic, index);
		if (r < 0)
			return r;
	}
	return fnx_mcap_writer_add_channel(
		writer, id, index > 0 ? id : 0, topic, "msgpack", pairs, index % 3);
}

static inline size_t model_random_size(struct check_random *random, size_t max_size)
{
	switch (check_random_below(random, 8)) {
	case 0:
		return 0;
	case 1:
		return check_random_below(random, max_size + 1);
	case 2:
		return max_size;
	default:
		return check_random_below(random, max_size < 40 ? max_size + 1 : 40);
	}
}

/* One message, copied, gathered or written in place. The model notes it if the writer accepts it.
 */
static inline int model_write_message(struct model *model, struct fnx_mcap_writer *writer,
	struct check_random *random, size_t max_size)
{
	size_t index = check_random_below(random, model->n_channels);
	struct model_message message = {
		.channel = model_channel_id(index),
		.sequence = model->sequences[index] + 1,
		.log_time_ns = model->now_ns + check_random_below(random, 50),
		.publish_time_ns = check_random_u64(random),
		.size = model_random_size(random, max_size),
	};
	bool noise = check_random_below(random, 3) == 0;
	size_t part;
	void *place;
	int r;

	assert_true(model->n < MODEL_MESSAGES);
	message.data = malloc(message.size + 1);
	for (size_t i = 0; i < message.size; i++)
		message.data[i] = (uint8_t)(noise ? check_random_u64(random) : i / 7);
	switch (check_random_below(random, 3)) {
	case 0:
		r = fnx_mcap_writer_message(writer, message.channel, message.sequence,
			message.log_time_ns, message.publish_time_ns, message.data, message.size);
		break;
	case 1:
		part = message.size / 3;
		r = fnx_mcap_writer_messagev(writer, message.channel, message.sequence,
			message.log_time_ns, message.publish_time_ns,
			(struct iovec[]){{message.data, part}, {NULL, 0},
				{message.data + part, message.size - part}},
			3);
		break;
	default:
		part = message.size + (max_size - message.size) / 2;
		r = fnx_mcap_writer_loan(writer, part, &place);
		if (r < 0)
			break;
		memset(place, 0xa5, part);
		memcpy(place, message.data, message.size);
		r = fnx_mcap_writer_commit(writer, message.channel, message.sequence,
			message.log_time_ns, message.publish_time_ns, message.size);
	}
	if (r < 0) {
		free(message.data);
		return r;
	}
	model->sequences[index]++;
	model->messages[model->n++] = message;
	model->now_ns += check_random_below(random, 30);
	return 0;
}

/* One random step; whatever the writer answers. */
static inline int model_step(struct model *model, struct fnx_mcap_writer *writer,
	struct check_random *random, size_t max_size)
{
	struct fnx_mcap_pair pair = {"key", "value"};
	uint8_t data[300];
	int r;

	if (model->n_channels == 0 ||
		(model->n_channels < MODEL_CHANNELS && check_random_below(random, 12) == 0)) {
		r = model_add_channel(writer, model->n_channels);
		model->n_channels += r == 0;
		return r;
	}
	switch (check_random_below(random, 40)) {
	case 0:
		memset(data, 'a', sizeof(data));
		r = fnx_mcap_writer_attachment(writer, "rig.yaml", "text/yaml", model->now_ns, 7,
			data, check_random_below(random, sizeof(data)));
		model->n_attachments += r == 0;
		return r;
	case 1:
		r = fnx_mcap_writer_metadata(writer, "build", &pair, check_random_below(random, 2));
		model->n_metadata += r == 0;
		return r;
	case 2:
		r = fnx_mcap_writer_flush(writer);
		break;
	default:
		r = model_write_message(model, writer, random, max_size);
	}
	model_look(model, writer);
	return r;
}

static inline bool model_equal(
	const struct model_message *expected, const struct fnx_mcap_message *message)
{
	return message->channel->id == expected->channel &&
		message->sequence == expected->sequence &&
		message->log_time_ns == expected->log_time_ns &&
		message->publish_time_ns == expected->publish_time_ns &&
		message->size == expected->size &&
		(message->size == 0 || memcmp(message->data, expected->data, message->size) == 0);
}

/* Reads on and compares with messages [from, to) of the model; returns how the file ends. */
static inline int model_compare(
	const struct model *model, struct fnx_mcap_reader *reader, size_t from, size_t to)
{
	struct fnx_mcap_message message;
	int r;

	while ((r = fnx_mcap_reader_next(reader, &message)) == FNX_MCAP_MESSAGE) {
		assert_true(from < to);
		assert_true(model_equal(&model->messages[from], &message));
		from++;
	}
	assert_int_equal(from, to);
	return r;
}

static inline int model_compare_file(const struct model *model, const char *path, size_t n)
{
	struct fnx_mcap_reader *reader;
	int r;

	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	r = model_compare(model, reader, 0, n);
	fnx_mcap_reader_close(reader);
	return r;
}

/* The path of that name in the scratch directory; stays valid. */
static inline const char *model_path(const char *name)
{
	static char *paths[1024];
	char path[512];
	size_t i = 0;

	snprintf(path, sizeof(path), "%s/%s", check_scratch_dir(), name);
	while (paths[i] && strcmp(paths[i], path) != 0)
		i++;
	assert_true(i < 1023);
	if (!paths[i])
		paths[i] = strdup(path);
	return paths[i];
}

static inline uint8_t *model_load(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *bytes;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_int_equal(fread(bytes, 1, (size_t)st.st_size, file), st.st_size);
	fclose(file);
	*ret_size = (size_t)st.st_size;
	return bytes;
}

static inline void model_save(const char *path, const void *bytes, size_t size)
{
	FILE *file;

	/* A new file: some file systems wait for the disk when one that was emptied is closed. */
	unlink(path);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

/* How many messages a file cut at `cut` still holds, by a walk of its own over the whole file's
 * frames. */
static inline size_t model_whole(
	const struct model *model, const uint8_t *bytes, size_t size, size_t cut)
{
	size_t n_chunks = 0;
	size_t at = 8;

	while (at + 9 <= size && bytes[at] != 0x0f) {
		uint64_t body;

		memcpy(&body, bytes + at + 1, sizeof(body));
		at += 9 + body;
		n_chunks += at <= cut && bytes[at - 9 - body] == 0x06;
	}
	return n_chunks > 0 ? model->chunks[n_chunks - 1] : 0;
}

/* Lets the independent walker look at the files; passes where there is no Python. */
static inline void model_walk(char *const *paths, size_t n)
{
	char **argv;
	int status;
	pid_t pid;

	if (access("/usr/bin/python3", X_OK) != 0) {
		print_message("no /usr/bin/python3: not walked\n");
		return;
	}
	argv = calloc(n + 3, sizeof(*argv));
	argv[0] = strdup("/usr/bin/python3");
	argv[1] = strdup(FNX_SOURCE_DIR "/tests/data/mcap/walk.py");
	memcpy(argv + 2, paths, n * sizeof(*paths));
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(argv[0]);
	free(argv[1]);
	free(argv);
}

static inline void model_walk_one(const char *path)
{
	char *copy = strdup(path);

	model_walk(&copy, 1);
	free(copy);
}
