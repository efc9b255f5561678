/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as an MCAP file: read to the end with every damaged record skipped, looked at, sought
 * in, recovered, and gone on with. What recovery and reopening make of them must read without a
 * flaw.
 */
#include "bus/mcap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small enough that no input can ask for much memory. */
static const struct fnx_mcap_limits limits = {
	.max_record_size = 1 << 20, .max_chunk_size = 1 << 20, .max_catalog_size = 1 << 20};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static int fill(int fd, const uint8_t *data, size_t size)
{
	return ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size;
}

static void read_all(const char *path)
{
	struct fnx_mcap_message message;
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_stats stats = {0};
	volatile uint8_t sum = 0;
	int r;

	require(fnx_mcap_reader_open_limited(path, &limits, &reader) == 0);
	do {
		r = fnx_mcap_reader_next(reader, &message);
		for (size_t i = 0; r == FNX_MCAP_MESSAGE && i < message.size; i++)
			sum = (uint8_t)(sum + ((const uint8_t *)message.data)[i]);
		if (r < 0 && fnx_mcap_reader_skip(reader) == 0)
			r = FNX_MCAP_MESSAGE;
	} while (r == FNX_MCAP_MESSAGE);
	if (fnx_mcap_reader_summary(reader, &stats) == 0)
		sum = (uint8_t)stats.n_messages;
	if (fnx_mcap_reader_seek(reader, stats.n_messages) == 0)
		while (fnx_mcap_reader_next(reader, &message) == FNX_MCAP_MESSAGE)
			sum = (uint8_t)message.sequence;
	fnx_mcap_reader_close(reader);
}

/* Returns the number of messages in a file that must be without a flaw. */
static uint64_t count(const char *path)
{
	struct fnx_mcap_message message;
	struct fnx_mcap_reader *reader;
	uint64_t n = 0;
	int r;

	require(fnx_mcap_reader_open(path, &reader) == 0);
	while ((r = fnx_mcap_reader_next(reader, &message)) == FNX_MCAP_MESSAGE)
		n++;
	require(r == FNX_MCAP_END);
	fnx_mcap_reader_close(reader);
	return n;
}

static void recover(const char *path)
{
	struct fnx_mcap_recover_stats stats;
	char out[64];

	snprintf(out, sizeof(out), "/dev/shm/fuzz-mcap-%d.mcap", (int)getpid());
	if (fnx_mcap_recover(path, out, &stats) != 0)
		return;
	require(count(out) == stats.file.n_messages);
	require(unlink(out) == 0);
}

static void go_on(const char *path)
{
	struct fnx_mcap_config config = {.chunk_size = 1000};
	struct fnx_mcap_writer_stats stats;
	struct fnx_mcap_writer *writer;

	if (fnx_mcap_writer_reopen(path, &config, &writer) != 0)
		return;
	fnx_mcap_writer_stats(writer, &stats);
	require(fnx_mcap_writer_close(writer) == 0);
	require(count(path) == stats.file.n_messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	char path[64];

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	require(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	require(fill(fd, data, size));
	read_all(path);
	recover(path);
	go_on(path);
	return 0;
}
