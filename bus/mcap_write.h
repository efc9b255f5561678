/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writer's inside, for the files that make up the writer. Not for others to include.
 */
#pragma once

#include "bus/mcap_wire.h"

struct fnx_mcap_writer {
	int fd;
	bool is_file; /* and not a device: can be truncated */
	bool torn; /* bytes of a failed write lie behind `offset` and could not be cut off yet */
	uint64_t offset; /* the end of what is written, where the next record goes */
	uint32_t crc; /* of all bytes before it */

	size_t chunk_size;
	size_t max_message_size;
	enum fnx_mcap_compression compression;
	int level;
	uint16_t max_channels;

	/* The open chunk. */
	uint8_t *records;
	size_t records_size;
	size_t records_capacity;
	uint64_t n_records;
	uint64_t start_time_ns;
	uint64_t end_time_ns;
	bool loaned;
	size_t loan_size;

	/* The same, ready to be written: made once, however often the write has to be tried. */
	bool sealed;
	uint8_t head[64];
	size_t head_size;
	const uint8_t *image;
	size_t image_size;
	enum fnx_mcap_compression image_compression;
	struct mcap_bytes index; /* the message indexes */
	void *zstd_memory;
	void *zstd; /* lives in zstd_memory and never allocates */
	uint8_t *compressed;
	size_t compressed_capacity;

	struct mcap_catalog catalog;
	struct mcap_bytes chunk_indexes; /* as the summary will hold them */
	struct fnx_mcap_writer_stats stats;
};

/* What a ChunkIndex says of a chunk but for its message indexes. */
struct mcap_chunk_info {
	uint64_t offset; /* of the record */
	uint64_t size; /* of the record */
	uint64_t start_time_ns;
	uint64_t end_time_ns;
	enum fnx_mcap_compression compression;
	uint64_t compressed_size;
	uint64_t uncompressed_size;
};

static inline const char *mcap_compression_name(enum fnx_mcap_compression compression)
{
	return compression == FNX_MCAP_ZSTD ? "zstd" : "";
}

/* A writer with all its memory, on a file that it owns from then on, and nothing written. */
FNX_MUST_CHECK int fnx_mcap_writer_new(
	int fd, const struct fnx_mcap_config *config, struct fnx_mcap_writer **ret_writer);
/* Frees without writing; closes the file. */
void fnx_mcap_writer_free(struct fnx_mcap_writer *writer);
/* Answers -EWOULDBLOCK when another writer holds the file. */
FNX_MUST_CHECK int fnx_mcap_writer_lock(int fd);
FNX_MUST_CHECK int fnx_mcap_writer_begin(
	struct fnx_mcap_writer *writer, const char *profile, const char *library);
/* Makes room for messages of that size; the open chunk stays. */
FNX_MUST_CHECK int fnx_mcap_writer_allow(struct fnx_mcap_writer *writer, size_t max_message_size);
/* Appends all pieces or nothing. Overwrites the pieces' descriptions, not what they point to. */
FNX_MUST_CHECK int fnx_mcap_writer_append(
	struct fnx_mcap_writer *writer, struct iovec *pieces, size_t n_pieces);
/* Builds writer->index for these records, all of whose channels the catalog knows. */
FNX_MUST_CHECK int fnx_mcap_writer_index(
	struct fnx_mcap_writer *writer, const uint8_t *records, size_t size);
/* The most that the indexes of one of its own chunks can take. */
size_t fnx_mcap_writer_index_size(const struct fnx_mcap_writer *writer);
/* Notes a chunk for the summary. `index` holds its message indexes, that begin at index_offset. */
FNX_MUST_CHECK int fnx_mcap_writer_note_chunk(struct fnx_mcap_writer *writer,
	const struct mcap_chunk_info *info, uint64_t index_offset, const uint8_t *index,
	size_t index_size);
/* Writes the open chunk, which is not empty. Without a message to refuse the answer may be left:
 * what could not be written stays, and is counted. */
int fnx_mcap_writer_write_chunk(struct fnx_mcap_writer *writer);
/* DataEnd, summary, footer, magic. */
FNX_MUST_CHECK int fnx_mcap_writer_finish(struct fnx_mcap_writer *writer);
