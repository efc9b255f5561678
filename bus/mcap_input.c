/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reader's file: a window that moves over it by pread, as large as the record in it needs, and
 * the one place where an end, a cut or an error becomes the answer that is repeated from then on.
 */
#include "bus/mcap_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static const struct fnx_mcap_limits default_limits = {
	.max_record_size = (size_t)2 << 30,
	.max_chunk_size = (size_t)2 << 30,
	.max_catalog_size = 64u << 20,
};

int fnx_mcap_reader_new(
	int fd, const struct fnx_mcap_limits *limits, struct fnx_mcap_reader **ret_reader)
{
	struct fnx_mcap_reader *reader;
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = S_ISDIR(st.st_mode) ? -EISDIR : -ESPIPE;
	reader = r == 0 ? calloc(1, sizeof(*reader)) : NULL;
	if (!reader) {
		close(fd);
		return r < 0 ? r : -ENOMEM;
	}
	reader->fd = fd;
	reader->file_size = (uint64_t)st.st_size;
	reader->limits = limits ? *limits : default_limits;
	if (!reader->limits.max_record_size)
		reader->limits.max_record_size = default_limits.max_record_size;
	if (!reader->limits.max_chunk_size)
		reader->limits.max_chunk_size = default_limits.max_chunk_size;
	if (!reader->limits.max_catalog_size)
		reader->limits.max_catalog_size = default_limits.max_catalog_size;
	reader->catalog.max_size = reader->limits.max_catalog_size;
	reader->linear = true;
	*ret_reader = reader;
	return 0;
}

int fnx_mcap_reader_open_limited(
	const char *path, const struct fnx_mcap_limits *limits, struct fnx_mcap_reader **ret_reader)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fnx_mcap_reader_new(fd, limits, ret_reader);
}

int fnx_mcap_reader_open(const char *path, struct fnx_mcap_reader **ret_reader)
{
	return fnx_mcap_reader_open_limited(path, NULL, ret_reader);
}

void fnx_mcap_reader_close(struct fnx_mcap_reader *reader)
{
	if (!reader)
		return;
	close(reader->fd);
	fnx_mcap_catalog_fini(&reader->catalog);
	ZSTD_freeDCtx(reader->zstd);
	free(reader->header);
	free(reader->plain);
	free(reader->window);
	free(reader);
}

int fnx_mcap_reader_over(
	struct fnx_mcap_reader *reader, int answer, const char *text, uint64_t offset)
{
	reader->state = MCAP_READ_OVER;
	reader->answer = answer;
	reader->chunk.active = false;
	if (answer != FNX_MCAP_END)
		reader->error = (struct fnx_mcap_error){answer, text, offset};
	return answer;
}

int fnx_mcap_reader_damaged(struct fnx_mcap_reader *reader, const char *text, uint64_t offset)
{
	return fnx_mcap_reader_over(reader, -EBADMSG, text, offset);
}

int fnx_mcap_reader_failed(struct fnx_mcap_reader *reader, int r, uint64_t offset)
{
	reader->skip_offset = 0;
	return fnx_mcap_reader_over(
		reader, r, r == -ENOMEM ? "out of memory" : "cannot read the file", offset);
}

int fnx_mcap_reader_noted(struct fnx_mcap_reader *reader, int r, uint64_t offset)
{
	switch (r) {
	case 0:
	case MCAP_KNOWN:
		return 0;
	case -EBADMSG:
		return fnx_mcap_reader_damaged(
			reader, "malformed Schema, Channel, Attachment or Metadata", offset);
	case -ENOENT:
		return fnx_mcap_reader_damaged(reader, "a Channel's schema is unknown", offset);
	case -EEXIST:
		return fnx_mcap_reader_damaged(reader, "two records of one id differ", offset);
	case -EFBIG:
		return fnx_mcap_reader_over(
			reader, r, "schemas, channels and metadata exceed the limit", offset);
	default:
		return fnx_mcap_reader_failed(reader, r, offset);
	}
}

static int read_all(
	int fd, void *data, size_t size, size_t least, uint64_t offset, size_t *ret_done)
{
	size_t done = 0;

	while (done < least) {
		ssize_t n = pread(fd, (uint8_t *)data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	*ret_done = done;
	return 0;
}

int fnx_mcap_reader_fetch(
	struct fnx_mcap_reader *reader, uint64_t offset, uint64_t n, const uint8_t **ret_bytes)
{
	size_t wanted = n > MCAP_WINDOW_SIZE ? n : MCAP_WINDOW_SIZE;
	int r;

	if (offset >= reader->window_offset &&
		offset - reader->window_offset <= reader->window_size &&
		n <= reader->window_size - (offset - reader->window_offset)) {
		*ret_bytes = reader->window + (offset - reader->window_offset);
		return 0;
	}
	reader->window_size = 0;
	if (wanted > reader->window_capacity) {
		size_t capacity = mcap_room(wanted, reader->largest_stored, reader->file_size);

		free(reader->window);
		reader->window_capacity = 0;
		reader->window = malloc(capacity);
		if (!reader->window)
			return -ENOMEM;
		reader->window_capacity = capacity;
	}
	/* A large record is read alone, a small one with what follows it. */
	r = read_all(reader->fd, reader->window, wanted, n, offset, &reader->window_size);
	if (r < 0) {
		reader->window_size = 0;
		return r;
	}
	reader->window_offset = offset;
	*ret_bytes = reader->window;
	return 0;
}

int fnx_mcap_reader_crc(struct fnx_mcap_reader *reader, uint64_t offset, uint64_t n, uint32_t *crc)
{
	while (n > 0) {
		uint64_t piece = n < MCAP_WINDOW_SIZE ? n : MCAP_WINDOW_SIZE;
		const uint8_t *bytes;
		int r = fnx_mcap_reader_fetch(reader, offset, piece, &bytes);

		if (r < 0)
			return r;
		*crc = (uint32_t)crc32_z(*crc, bytes, piece);
		offset += piece;
		n -= piece;
	}
	return 0;
}
