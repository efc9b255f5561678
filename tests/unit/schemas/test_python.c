/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/schemas/samples.h"

enum {
	N_ROUNDS = 5
};

static int run_python(const char *const *arguments)
{
	char *const environment[] = {NULL};
	char *argv[8] = {NULL};
	pid_t pid;
	int status;

	for (size_t i = 0; arguments[i]; i++)
		argv[i] = strdup(arguments[i]);
	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environment) != 0)
		status = -1;
	else
		assert_int_equal(waitpid(pid, &status, 0), pid);
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
	return status;
}

static void path_of(char path[512], const char *name, int round, const char *suffix)
{
	snprintf(path, 512, "%s/%s_%d.%s", check_scratch_dir(), name, round, suffix);
}

static void write_file(
	const char *name, int round, const char *suffix, const void *bytes, size_t size)
{
	char path[512];
	FILE *file;

	path_of(path, name, round, suffix);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static size_t read_file(const char *name, int round, const char *suffix, char *buffer, size_t size)
{
	char path[512];
	FILE *file;
	size_t got;

	path_of(path, name, round, suffix);
	file = fopen(path, "rb");
	assert_non_null(file);
	got = fread(buffer, 1, size, file);
	assert_true(got < size);
	fclose(file);
	return got;
}

struct sent {
	struct fnx_layout layout;
	struct fnx_codec_stamp stamp;
	char *payload;
};

static void send(struct check_random *random, size_t message, int round, struct sent *ret)
{
	const char *name = fnx_schemas[message]->name;
	char text[FNX_DESCRIPTION_MAX];
	size_t size;
	char *bytes;

	ret->layout = random_layout(random, fnx_schemas[message]);
	ret->stamp = random_stamp(random);
	ret->payload = random_payload(random, &ret->layout);
	bytes = malloc(fnx_codec_bound(&ret->layout));
	assert_int_equal(fnx_codec_encode(&ret->layout, &ret->stamp, ret->payload, ret->layout.size,
				 bytes, fnx_codec_bound(&ret->layout), &size),
		0);
	write_file(name, round, "message", bytes, size);
	write_file(name, round, "payload", ret->payload, ret->layout.size);
	free(bytes);
	assert_int_equal(fnx_description_encode(&ret->layout, text, sizeof(text), &size), 0);
	write_file(name, round, "description", text, size);
	assert_int_equal(fnx_layout_dtype(&ret->layout, text, sizeof(text)), 0);
	write_file(name, round, "dtype", text, strlen(text));
}

static void receive(
	struct fnx_codec_decoder *decoder, const struct sent *sent, int round, const char *suffix)
{
	size_t room = 2 * fnx_codec_bound(&sent->layout) + 1024;
	char *bytes = malloc(room), *payload = malloc(sent->layout.size);
	struct fnx_codec_stamp stamp;
	size_t size = read_file(sent->layout.schema->name, round, suffix, bytes, room);

	memset(payload, 0xa5, sent->layout.size);
	assert_int_equal(fnx_codec_decode(&sent->layout, decoder, bytes, size, &stamp, payload), 0);
	assert_stamp_equal(&stamp, &sent->stamp);
	assert_memory_equal(payload, sent->payload, sent->layout.size);
	free(bytes);
	free(payload);
}

TEST(python_reads_what_the_codec_writes_and_the_codec_what_python_writes)
{
	static const char script[] = FNX_SOURCE_DIR "/tests/data/schemas/exchange.py";
	const char *const probe[] = {"/usr/bin/python3", "-c", "import msgpack, numpy", NULL};
	const char *const exchange[] = {
		"/usr/bin/python3", "-B", script, check_scratch_dir(), NULL};
	struct check_random random = check_random_seeded();
	struct fnx_codec_decoder *decoder;
	struct sent sent[16][N_ROUNDS];

	if (run_python(probe) != 0) {
		print_message(
			"no /usr/bin/python3 with msgpack and numpy here: nothing compared\n");
		return;
	}
	assert_true(n_messages() <= 16);
	assert_int_equal(fnx_codec_decoder_new(&decoder), 0);
	for (size_t i = 0; fnx_schemas[i]; i++)
		for (int round = 0; round < N_ROUNDS; round++)
			send(&random, i, round, &sent[i][round]);
	assert_int_equal(run_python(exchange), 0);
	for (size_t i = 0; fnx_schemas[i]; i++)
		for (int round = 0; round < N_ROUNDS; round++) {
			receive(decoder, &sent[i][round], round, "plain");
			receive(decoder, &sent[i][round], round, "numpy");
			free(sent[i][round].payload);
		}
	fnx_codec_decoder_free(decoder);
}
