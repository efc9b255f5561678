/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writer on full and failing disks. Every write of its own passes through the pwritev of this
 * file, which fails on command; every allocation is counted.
 */
#include "tests/support/allocations.h"
#include "tests/unit/bus/test_mcap_model.h"

#include <errno.h>
#include <sys/syscall.h>

static struct {
	size_t n_calls;
	size_t fail_from; /* calls [fail_from, fail_to) fail; counted from 0 */
	size_t fail_to;
	size_t part; /* bytes that a failing call writes before the disk is full */
	bool half; /* calls that do not fail write half, once in two */
	bool no_truncate;
} disk;

/* In front of the C library's. A full disk first writes what fits, and says ENOSPC to the next
 * call. */
ssize_t pwritev(int fd, const struct iovec *pieces, int n_pieces, off_t offset)
{
	size_t call = disk.n_calls++;
	size_t limit = SIZE_MAX;
	struct iovec piece;

	if (call >= disk.fail_from && call < disk.fail_to) {
		if (disk.part == 0) {
			errno = ENOSPC;
			return -1;
		}
		limit = disk.part;
		disk.part = 0;
	} else if (disk.half && call % 2 == 0) {
		limit = pieces[0].iov_len / 2 + 1;
	}
	if (limit == SIZE_MAX)
		return syscall(SYS_pwritev, fd, pieces, n_pieces, (long)offset, 0L);
	piece = pieces[0];
	if (piece.iov_len > limit)
		piece.iov_len = limit;
	return syscall(SYS_pwritev, fd, &piece, 1, (long)offset, 0L);
}

int ftruncate(int fd, off_t size)
{
	if (disk.no_truncate) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_ftruncate, fd, (long)size);
}

static const struct fnx_mcap_config configs[] = {
	{.chunk_size = 300, .max_message_size = 700, .replace = true},
	{.chunk_size = 300, .max_message_size = 700, .compression = FNX_MCAP_ZSTD, .replace = true},
};

static struct fnx_mcap_writer *start(const char *path, const struct fnx_mcap_config *config)
{
	struct fnx_mcap_writer *writer;

	memset(&disk, 0, sizeof(disk));
	assert_int_equal(fnx_mcap_writer_open(path, config, &writer), 0);
	return writer;
}

TEST(messages_allocate_nothing_and_a_chunk_is_one_write)
{
	uint8_t data[3000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i / 100);
	for (int level = -1; level < 4; level++) {
		struct fnx_mcap_config config = {.chunk_size = 20000,
			.max_message_size = 3000,
			.compression = level < 0 ? FNX_MCAP_NONE : FNX_MCAP_ZSTD,
			.level = level * 3,
			.max_channels = MODEL_CHANNELS,
			.replace = true};
		struct fnx_mcap_writer *writer = start(model_path("alloc.mcap"), &config);
		struct fnx_mcap_writer_stats stats;
		size_t n_before;
		int failed = 0;

		for (size_t i = 0; i < MODEL_CHANNELS; i++)
			assert_int_equal(model_add_channel(writer, i), 0);
		n_before = n_allocations;
		disk.n_calls = 0;
		for (uint32_t i = 0; i < 20000; i++) {
			void *place;

			failed |= fnx_mcap_writer_message(writer,
				model_channel_id(i % MODEL_CHANNELS), i, i, i, data, i % 3000);
			failed |= fnx_mcap_writer_loan(writer, 8, &place);
			memcpy(place, &i, sizeof(i));
			failed |= fnx_mcap_writer_commit(writer, 1, i, i, i, 4);
			if (i % 500 == 0) /* chunks of all sizes */
				failed |= fnx_mcap_writer_flush(writer);
		}
		for (uint32_t i = 0; i < 5000; i++) /* the longest index a chunk can have */
			failed |= fnx_mcap_writer_message(writer, 1, i, i, i, NULL, 0);
		for (uint32_t i = 0; i < 1000; i++) {
			failed |= fnx_mcap_writer_message(writer, 1, i, i, i, data, 1);
			failed |= fnx_mcap_writer_flush(writer);
		}
		assert_int_equal(n_allocations, n_before);
		assert_int_equal(failed, 0);
		fnx_mcap_writer_stats(writer, &stats);
		assert_int_equal(stats.file.n_messages, 46000);
		assert_int_equal(disk.n_calls, stats.file.n_chunks);
		assert_int_equal(fnx_mcap_writer_close(writer), 0);
	}
}

TEST(a_message_larger_than_allowed_is_refused_and_counted)
{
	struct fnx_mcap_writer *writer = start(model_path("refuse.mcap"), &configs[0]);
	struct fnx_mcap_writer_stats stats;
	uint8_t data[701] = {0};
	uint32_t sequence = 77;
	void *place;

	assert_int_equal(fnx_mcap_writer_message(writer, 1, 0, 0, 0, data, 1), -ENOENT);
	assert_int_equal(model_add_channel(writer, 0), 0);
	assert_int_equal(fnx_mcap_writer_last_sequence(writer, 1, &sequence), FNX_MCAP_EMPTY);
	assert_int_equal(fnx_mcap_writer_last_sequence(writer, 2, &sequence), -ENOENT);
	assert_int_equal(sequence, 77);
	assert_int_equal(fnx_mcap_writer_message(writer, 1, 0, 0, 0, data, 701), -EMSGSIZE);
	assert_int_equal(fnx_mcap_writer_commit(writer, 1, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(fnx_mcap_writer_loan(writer, 5, &place), 0);
	assert_int_equal(fnx_mcap_writer_loan(writer, 5, &place), -EBUSY);
	assert_int_equal(fnx_mcap_writer_flush(writer), -EBUSY);
	assert_int_equal(fnx_mcap_writer_commit(writer, 1, 0, 0, 0, 6), -EINVAL);
	assert_int_equal(fnx_mcap_writer_loan(writer, 5, &place), 0);
	fnx_mcap_writer_abort(writer);
	assert_int_equal(fnx_mcap_writer_message(writer, 1, 42, 0, 0, data, 700), 0);
	assert_int_equal(fnx_mcap_writer_last_sequence(writer, 1, &sequence), 0);
	assert_int_equal(sequence, 42);
	fnx_mcap_writer_stats(writer, &stats);
	assert_int_equal(stats.n_refused, 4);
	assert_int_equal(stats.file.n_messages, 1);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	model_walk_one(model_path("refuse.mcap"));
}

TEST(an_id_stands_for_one_schema_and_one_channel)
{
	struct fnx_mcap_config config = {.max_channels = 2, .replace = true};
	struct fnx_mcap_writer *writer = start(model_path("ids.mcap"), &config);
	struct fnx_mcap_writer_stats before;
	struct fnx_mcap_writer_stats after;

	assert_int_equal(fnx_mcap_writer_add_schema(writer, 1, "a", "x", "1", 1), 0);
	assert_int_equal(fnx_mcap_writer_add_channel(writer, 7, 1, "t", "m", NULL, 0), 0);
	fnx_mcap_writer_stats(writer, &before);
	assert_int_equal(fnx_mcap_writer_add_schema(writer, 1, "a", "x", "1", 1), 0);
	assert_int_equal(fnx_mcap_writer_add_channel(writer, 7, 1, "t", "m", NULL, 0), 0);
	assert_int_equal(fnx_mcap_writer_add_schema(writer, 0, "a", "x", "1", 1), -EINVAL);
	assert_int_equal(fnx_mcap_writer_add_schema(writer, 1, "a", "x", "2", 1), -EEXIST);
	assert_int_equal(fnx_mcap_writer_add_channel(writer, 7, 1, "u", "m", NULL, 0), -EEXIST);
	assert_int_equal(fnx_mcap_writer_add_channel(writer, 8, 2, "u", "m", NULL, 0), -EINVAL);
	fnx_mcap_writer_stats(writer, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(fnx_mcap_writer_add_channel(writer, 8, 0, "u", "m", NULL, 0), 0);
	assert_int_equal(fnx_mcap_writer_add_channel(writer, 9, 0, "u", "m", NULL, 0), -ENOBUFS);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
}

TEST(a_file_that_is_there_or_being_written_is_not_written_over)
{
	const char *path = model_path("there.mcap");
	struct fnx_mcap_config config = {0};
	struct fnx_mcap_writer *other;
	struct fnx_mcap_writer *writer;

	memset(&disk, 0, sizeof(disk));
	assert_int_equal(fnx_mcap_writer_open(path, &config, &writer), 0);
	assert_int_equal(fnx_mcap_writer_open(path, &config, &other), -EEXIST);
	assert_int_equal(fnx_mcap_writer_reopen(path, &config, &other), -EWOULDBLOCK);
	config.replace = true;
	assert_int_equal(fnx_mcap_writer_open(path, &config, &other), -EWOULDBLOCK);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	assert_int_equal(fnx_mcap_writer_open(path, &config, &writer), 0);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	config.level = 1000;
	assert_int_equal(fnx_mcap_writer_open(path, &config, &writer), -EINVAL);
	assert_int_equal(
		fnx_mcap_writer_open(model_path("no/such.mcap"), &config, &writer), -ENOENT);
}

TEST(a_full_device_is_said_at_opening)
{
	struct fnx_mcap_writer *writer;

	memset(&disk, 0, sizeof(disk));
	assert_int_equal(fnx_mcap_writer_open("/dev/full", &configs[1], &writer), -ENOSPC);
}

/* Finds the writer's file among the open ones. */
static int find_fd(const char *path)
{
	char name[64];
	char target[512];

	for (int fd = 3; fd < 64; fd++) {
		ssize_t n;

		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		n = readlink(name, target, sizeof(target) - 1);
		if (n > 0 && (size_t)n == strlen(path) && memcmp(target, path, (size_t)n) == 0)
			return fd;
	}
	return -1;
}

TEST(a_device_that_becomes_full_loses_nothing_of_what_was_accepted)
{
	struct check_random random = check_random_seeded();
	char path[600];
	struct fnx_mcap_writer *writer;
	struct fnx_mcap_writer_stats stats;
	struct model *model = model_new();
	size_t n_refused = 0;
	int saved;
	int full = open("/dev/full", O_RDWR);
	int fd;

	assert_non_null(realpath(check_scratch_dir(), path));
	strcat(path, "/becomes.mcap");
	writer = start(path, &configs[1]);
	while (model->n_chunks < 3)
		assert_int_equal(model_step(model, writer, &random, 300), 0);
	fd = find_fd(path);
	assert_true(fd >= 0);
	saved = dup(fd);
	assert_int_equal(dup2(full, fd), fd);
	while (n_refused < 20) {
		int r = model_step(model, writer, &random, 300);

		assert_true(r == 0 || r == -ENOSPC);
		n_refused += r < 0;
	}
	assert_int_equal(fnx_mcap_writer_flush(writer), -ENOSPC);
	fnx_mcap_writer_stats(writer, &stats);
	assert_int_equal(stats.last_error, -ENOSPC);
	assert_true(stats.n_write_errors >= 20);
	assert_true(stats.n_refused > 0 && stats.n_refused <= n_refused);
	assert_int_equal(model_compare_file(model, path, model->chunks[2]), FNX_MCAP_CUT);
	assert_int_equal(dup2(saved, fd), fd);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(model_step(model, writer, &random, 300), 0);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	assert_int_equal(model_compare_file(model, path, model->n), FNX_MCAP_END);
	model_walk_one(path);
	close(saved);
	close(full);
	model_free(model);
}

/* A session of which writes [from, to) fail, each after a part. Whatever was accepted must be
 * there. */
static void check_failing_writes(size_t from, size_t to, struct check_random *random)
{
	const char *path = model_path("failing.mcap");
	const struct fnx_mcap_config *config = &configs[check_random_below(random, 2)];
	struct fnx_mcap_writer *writer = start(path, config);
	struct fnx_mcap_writer_stats stats;
	struct model *model = model_new();
	int closed;
	int r;

	disk.n_calls = 0;
	disk.fail_from = from;
	disk.fail_to = to;
	disk.part = check_random_below(random, 400);
	disk.half = check_random_below(random, 2) == 0;
	for (size_t i = 0; i < 60; i++) {
		r = model_step(model, writer, random, 300);
		assert_true(r == 0 || r == -ENOSPC);
	}
	fnx_mcap_writer_stats(writer, &stats);
	assert_true(stats.n_write_errors == 0 || stats.last_error == -ENOSPC);
	r = fnx_mcap_writer_flush(writer);
	assert_true(r == 0 || r == -ENOSPC);
	model_look(model, writer);
	closed = fnx_mcap_writer_close(writer);
	if (closed == 0) {
		assert_int_equal(model_compare_file(model, path, model->n), FNX_MCAP_END);
		model_walk_one(path);
	} else {
		size_t n = model->n_chunks ? model->chunks[model->n_chunks - 1] : 0;

		assert_int_equal(closed, -ENOSPC);
		/* The flush within close may have found the disk with room again. */
		if (r < 0 && model_compare_file(model, path, n) != FNX_MCAP_CUT)
			fail();
	}
	model_free(model);
}

TEST(each_write_may_fail_in_turn_and_nothing_accepted_is_lost)
{
	struct check_random random = check_random_seeded();

	for (size_t n = 0; n < 40; n++)
		check_failing_writes(n, n + 1 + n % 3, &random);
}

TEST(a_disk_that_stays_full_leaves_all_whole_chunks)
{
	struct check_random random = check_random_seeded();

	for (size_t n = 0; n < 25; n++)
		check_failing_writes(n, SIZE_MAX, &random);
}

TEST(a_torn_write_is_cut_off_and_what_is_written_then_is_whole)
{
	const char *path = model_path("torn.mcap");
	struct fnx_mcap_writer *writer = start(path, &configs[0]);
	struct fnx_mcap_writer_stats before;
	struct fnx_mcap_writer_stats stats;
	struct stat st;
	uint8_t data[9000] = {1};

	assert_int_equal(model_add_channel(writer, 1), 0);
	fnx_mcap_writer_stats(writer, &before);
	disk.n_calls = 0;
	disk.fail_to = 4;
	disk.part = 4000;
	assert_int_equal(
		fnx_mcap_writer_attachment(writer, "a", "b", 1, 1, data, sizeof(data)), -ENOSPC);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, before.file_size);
	disk.n_calls = 0;
	assert_int_equal(model_add_channel(writer, 2), -ENOSPC);
	assert_int_equal(fnx_mcap_writer_metadata(writer, "c", NULL, 0), -ENOSPC);
	fnx_mcap_writer_stats(writer, &stats);
	assert_int_equal(stats.n_write_errors, 3);
	assert_int_equal(stats.file_size, before.file_size);
	assert_memory_equal(&stats.file, &before.file, sizeof(stats.file));
	disk.fail_to = 0;
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	model_walk_one(path);
}

TEST(nothing_is_written_over_torn_bytes_that_could_not_be_cut_off)
{
	const char *path = model_path("stuck.mcap");
	struct fnx_mcap_writer *writer = start(path, &configs[0]);
	uint8_t data[9000] = {1};

	disk.n_calls = 0;
	disk.fail_to = 2;
	disk.part = 4000;
	disk.no_truncate = true;
	assert_int_equal(
		fnx_mcap_writer_attachment(writer, "a", "b", 1, 1, data, sizeof(data)), -ENOSPC);
	assert_int_equal(disk.n_calls, 2);
	assert_int_equal(model_add_channel(writer, 0), -EIO);
	assert_int_equal(disk.n_calls, 2);
	disk.no_truncate = false;
	assert_int_equal(model_add_channel(writer, 0), 0);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	model_walk_one(path);
}
