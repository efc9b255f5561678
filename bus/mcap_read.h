/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reader's inside, for the files that make up the reader and those that read to write. Not for
 * others to include.
 */
#pragma once

#include "bus/mcap_wire.h"

enum {
	MCAP_WINDOW_SIZE = 64 << 10, /* at least */
};

enum mcap_reader_state {
	MCAP_READ_START, /* before magic and Header */
	MCAP_READ_DATA,
	MCAP_READ_SUMMARY, /* behind DataEnd */
	MCAP_READ_OVER, /* `answer` is the answer from now on */
};

/* The chunk whose messages are being delivered, or were last. */
struct mcap_reader_chunk {
	uint64_t offset; /* of the record */
	uint64_t size; /* of the record */
	uint64_t start_time_ns;
	uint64_t end_time_ns;
	enum fnx_mcap_compression compression;
	uint64_t compressed_size;
	const uint8_t *records; /* in `plain` if compressed, else in the window */
	uint64_t records_offset; /* in the file */
	size_t records_size;
	size_t at; /* of the next record in records */
	bool active;
};

struct fnx_mcap_reader {
	int fd;
	uint64_t file_size; /* when it was opened */
	struct fnx_mcap_limits limits;

	enum mcap_reader_state state;
	uint64_t offset; /* of the next record */
	uint64_t data_offset; /* behind the Header; 0: not there yet */
	bool linear; /* all from the first byte on was read, so `crc` is that of it */
	uint32_t crc; /* of all bytes before `offset`, in the data section */
	bool closed; /* DataEnd was seen */
	/* The last record was none that MessageIndexes stand behind: one that comes now has lost
	 * its chunk, to a flipped bit that made an extension of it. */
	bool indexless;
	uint64_t from_ns; /* earlier messages are not delivered */

	int answer; /* when OVER */
	struct fnx_mcap_error error;
	uint64_t skip_offset; /* the record behind the one at fault; 0: unknown */

	/* Bytes [window_offset, window_offset + window_size) of the file. */
	uint8_t *window;
	size_t window_capacity;
	size_t window_size;
	uint64_t window_offset;

	struct mcap_reader_chunk chunk;
	/* The largest chunk that the summary knows of, as it is stored and decompressed: buffers
	 * that have to grow take room for it at once, so that reading on allocates nothing more. */
	uint64_t largest_stored;
	uint64_t largest_plain;
	uint8_t *plain; /* where chunks are decompressed */
	size_t plain_capacity;
	void *zstd;

	char *header; /* profile, 0, library, 0 */
	const char *library;
	struct mcap_catalog catalog;
	struct fnx_mcap_stats stats;
	uint64_t n_zstd_chunks;
	bool chunked; /* there was a chunk */
};

/* A record of the file itself. */
struct mcap_record {
	uint8_t opcode;
	uint64_t offset;
	uint64_t size; /* with opcode and size */
	const uint8_t *body; /* NULL for attachments and unknown records, which are not held */
};

/* Takes the file over, whatever it answers. */
FNX_MUST_CHECK int fnx_mcap_reader_new(
	int fd, const struct fnx_mcap_limits *limits, struct fnx_mcap_reader **ret_reader);
/* Makes `answer` the reader's from now on, and returns it. */
int fnx_mcap_reader_over(
	struct fnx_mcap_reader *reader, int answer, const char *text, uint64_t offset);
int fnx_mcap_reader_damaged(struct fnx_mcap_reader *reader, const char *text, uint64_t offset);
/* The same for what is not the file's fault, and cannot be skipped. */
int fnx_mcap_reader_failed(struct fnx_mcap_reader *reader, int r, uint64_t offset);
/* The same for what the catalog answered, where that is not 0 or MCAP_KNOWN. */
FNX_MUST_CHECK int fnx_mcap_reader_noted(struct fnx_mcap_reader *reader, int r, uint64_t offset);
/* Makes the chunk of this record the reader's: decompressed, and its CRC found right. */
FNX_MUST_CHECK int fnx_mcap_reader_chunk(
	struct fnx_mcap_reader *reader, const struct mcap_record *record);
/* The next record of the file, checked and taken note of; a chunk is ready to be walked. 1; or what
 * fnx_mcap_reader_next answers instead of a message. */
FNX_MUST_CHECK int fnx_mcap_reader_step(
	struct fnx_mcap_reader *reader, struct mcap_record *ret_record);
/* The next message of the chunk: 1; 0: no more; negative errno. */
FNX_MUST_CHECK int fnx_mcap_reader_chunk_next(
	struct fnx_mcap_reader *reader, struct fnx_mcap_message *ret_message);
/* The message that a record of the file itself holds: 1; 0: not to be delivered; negative errno. */
FNX_MUST_CHECK int fnx_mcap_reader_message(struct fnx_mcap_reader *reader,
	const struct mcap_record *record, struct fnx_mcap_message *ret_message);
/* `n` bytes of the file, valid until the next fetch. -EIO where it ends before. */
FNX_MUST_CHECK int fnx_mcap_reader_fetch(
	struct fnx_mcap_reader *reader, uint64_t offset, uint64_t n, const uint8_t **ret_bytes);
/* What to allocate for `n` bytes: `largest` if that is enough and within `limit`. */
static inline size_t mcap_room(uint64_t n, uint64_t largest, uint64_t limit)
{
	return (size_t)(largest > n && largest <= limit ? largest : n);
}
/* Adds [offset, offset + n) to a CRC, piece by piece. */
FNX_MUST_CHECK int fnx_mcap_reader_crc(
	struct fnx_mcap_reader *reader, uint64_t offset, uint64_t n, uint32_t *crc);
/* Reading goes on at this record of the data section. */
void fnx_mcap_reader_jump(struct fnx_mcap_reader *reader, uint64_t offset);
/* Where the summary lies, by a footer that is valid with magic and CRC. 0; -ENODATA; -EIO, -ENOMEM.
 */
FNX_MUST_CHECK int fnx_mcap_reader_footer(struct fnx_mcap_reader *reader, uint64_t *ret_start,
	uint64_t *ret_offsets, uint64_t *ret_end);
