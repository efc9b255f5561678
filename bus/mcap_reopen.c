/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reader and writer together: going on with a file, and saving what a damaged one still holds.
 *
 * Reopening reads the whole file. Nothing less gives the CRC of the data section, the last sequence
 * numbers (they stand in the messages alone) and the knowledge that what we are about to append to
 * is sound. Only when all of that is there, and all memory taken, is the file touched.
 *
 * A file that was not closed may end within the message indexes of its last chunk, or before the
 * first of them. So where that chunk is the last thing in it, its indexes are cut off too and
 * written anew.
 */
#include "bus/mcap_read.h"
#include "bus/mcap_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The scan of a file that shall be appended to. */
struct scan {
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_writer *writer;
	struct mcap_chunk_info chunk; /* the last one */
	bool chunk_open; /* nothing but message indexes has followed it */
	uint32_t chunk_crc; /* of the file up to its end */
	struct mcap_bytes index; /* its message indexes */
	uint64_t end; /* of the last record of the data section */
	uint32_t crc; /* of the file up to there */
};

static int end_chunk(struct scan *scan)
{
	if (!scan->chunk_open)
		return 0;
	scan->chunk_open = false;
	return fnx_mcap_writer_note_chunk(scan->writer, &scan->chunk,
		scan->chunk.offset + scan->chunk.size, scan->index.data, scan->index.size);
}

static int scan_chunk(struct scan *scan)
{
	const struct mcap_reader_chunk *chunk = &scan->reader->chunk;
	struct fnx_mcap_message message;
	int r;

	scan->chunk = (struct mcap_chunk_info){
		.offset = chunk->offset,
		.size = chunk->size,
		.start_time_ns = chunk->start_time_ns,
		.end_time_ns = chunk->end_time_ns,
		.compression = chunk->compression,
		.compressed_size = chunk->compressed_size,
		.uncompressed_size = chunk->records_size,
	};
	scan->chunk_open = true;
	scan->index.size = 0;
	do {
		r = fnx_mcap_reader_chunk_next(scan->reader, &message);
	} while (r == 1);
	scan->chunk_crc = scan->reader->crc;
	return r;
}

static int scan_record(struct scan *scan, const struct mcap_record *record)
{
	struct fnx_mcap_reader *reader = scan->reader;
	struct fnx_mcap_message message;
	int r = 0;

	if (reader->state == MCAP_READ_SUMMARY)
		return 0; /* will be written anew, and so will DataEnd */
	if (record->opcode != MCAP_MESSAGE_INDEX)
		r = end_chunk(scan);
	if (r == 0 && record->opcode == MCAP_CHUNK)
		r = scan_chunk(scan);
	if (r == 0 && record->opcode == MCAP_MESSAGE_INDEX && scan->chunk_open) {
		fnx_mcap_bytes_add(
			&scan->index, record->body - MCAP_HEAD_SIZE, (size_t)record->size);
		r = scan->index.error;
	}
	if (r == 0 && record->opcode == MCAP_MESSAGE) {
		r = fnx_mcap_reader_message(reader, record, &message);
		r = r < 0 ? r : 0;
	}
	scan->end = reader->offset;
	scan->crc = reader->crc;
	return r;
}

/* 0: `end` and `crc` say where to go on; negative errno: not to be appended to. */
static int scan_file(struct scan *scan)
{
	struct mcap_record record;
	int r;

	while ((r = fnx_mcap_reader_step(scan->reader, &record)) == 1) {
		r = scan_record(scan, &record);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	return scan->reader->closed ? end_chunk(scan) : 0;
}

/* What the reader learned becomes the writer's. */
static int take_over(struct scan *scan)
{
	struct fnx_mcap_writer *writer = scan->writer;
	struct fnx_mcap_reader *reader = scan->reader;
	uint32_t n_chunks = writer->stats.file.n_chunks;
	size_t n_channels = reader->catalog.channels.n;

	writer->catalog = reader->catalog;
	writer->catalog.max_size = SIZE_MAX / 8;
	reader->catalog = (struct mcap_catalog){0};
	writer->stats.file = reader->stats;
	writer->stats.file.n_chunks = n_chunks;
	writer->offset = scan->end;
	writer->crc = scan->crc;
	writer->stats.n_bytes_dropped = reader->file_size - scan->end;
	if (n_channels > writer->max_channels)
		writer->max_channels = n_channels > UINT16_MAX ? UINT16_MAX : (uint16_t)n_channels;
	/* Room for the indexes of a chunk of ours, with all these channels. */
	writer->index.size = 0;
	return fnx_mcap_bytes_reserve(&writer->index, fnx_mcap_writer_index_size(writer));
}

/* The last chunk's message indexes may be missing in part: makes them anew, behind the chunk. */
static int prepare_last_index(struct scan *scan)
{
	struct fnx_mcap_reader *reader = scan->reader;
	struct mcap_record record;
	int r;

	fnx_mcap_reader_jump(reader, scan->chunk.offset);
	r = fnx_mcap_reader_step(reader, &record);
	if (r != 1)
		return r < 0 ? r : -EBADMSG;
	r = fnx_mcap_writer_index(scan->writer, reader->chunk.records, reader->chunk.records_size);
	if (r < 0)
		return r;
	scan->writer->offset = scan->chunk.offset + scan->chunk.size;
	scan->writer->crc = scan->chunk_crc;
	return fnx_mcap_writer_note_chunk(scan->writer, &scan->chunk, scan->writer->offset,
		scan->writer->index.data, scan->writer->index.size);
}

static int go_on(struct scan *scan, const struct fnx_mcap_config *config)
{
	struct fnx_mcap_writer *writer = scan->writer;
	bool anew = scan->reader->data_offset == 0;
	bool last_index = scan->chunk_open;
	struct iovec piece;
	int r;

	if (anew)
		scan->end = 0;
	r = take_over(scan);
	if (r == 0 && last_index)
		r = prepare_last_index(scan);
	if (r < 0)
		return r;
	if (ftruncate(writer->fd, (off_t)writer->offset) < 0)
		return -errno;
	if (anew)
		return fnx_mcap_writer_begin(writer, config->profile, config->library);
	if (!last_index)
		return 0;
	piece = (struct iovec){writer->index.data, writer->index.size};
	return fnx_mcap_writer_append(writer, &piece, 1);
}

int fnx_mcap_writer_reopen(
	const char *path, const struct fnx_mcap_config *config, struct fnx_mcap_writer **ret_writer)
{
	struct scan scan = {0};
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int reader_fd;
	int r;

	if (fd < 0)
		return -errno;
	r = fnx_mcap_writer_lock(fd);
	if (r == 0)
		r = fnx_mcap_writer_new(fd, config, &scan.writer);
	if (r < 0) {
		close(fd);
		return r;
	}
	reader_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	r = reader_fd < 0 ? -errno : fnx_mcap_reader_new(reader_fd, NULL, &scan.reader);
	if (r == 0)
		r = scan_file(&scan);
	if (r == 0)
		r = go_on(&scan, config);
	fnx_mcap_reader_close(scan.reader);
	fnx_mcap_bytes_fini(&scan.index);
	if (r < 0) {
		fnx_mcap_writer_free(scan.writer);
		return r;
	}
	*ret_writer = scan.writer;
	return 0;
}

/* Recovery: what was found in the old file and is not yet in the new one. */
struct copy {
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_writer *writer; /* NULL until the old file's Header is known */
	const char *out_path;
	bool created;
	size_t n_schemas;
	size_t n_channels;
	size_t n_attachments;
	size_t n_metadata;
};

static int open_copy(struct copy *copy)
{
	struct fnx_mcap_header header = fnx_mcap_reader_header(copy->reader);
	struct fnx_mcap_config config = {
		.profile = header.profile,
		.library = header.library,
		.max_channels = UINT16_MAX,
		.compression = copy->reader->n_zstd_chunks > 0 ? FNX_MCAP_ZSTD : FNX_MCAP_NONE,
	};
	int r = fnx_mcap_writer_open(copy->out_path, &config, &copy->writer);

	copy->created = r == 0;
	return r;
}

static int copy_attachment(struct copy *copy, size_t index)
{
	const struct fnx_mcap_attachment *attachment =
		fnx_mcap_reader_attachment_at(copy->reader, index);
	size_t size = (size_t)attachment->data_size;
	void *data = malloc(size ? size : 1);
	int r;

	if (!data)
		return -ENOMEM;
	r = fnx_mcap_reader_attachment_data(copy->reader, index, 0, data, size);
	if (r == 0)
		r = fnx_mcap_writer_attachment(copy->writer, attachment->name,
			attachment->media_type, attachment->log_time_ns, attachment->create_time_ns,
			data, size);
	free(data);
	return r;
}

static int copy_catalog(struct copy *copy)
{
	const struct mcap_catalog *catalog = &copy->reader->catalog;
	int r = 0;

	for (; r == 0 && copy->n_schemas < catalog->schemas.n; copy->n_schemas++) {
		const struct fnx_mcap_schema *schema =
			&catalog->schemas.entries[copy->n_schemas]->schema;

		r = fnx_mcap_writer_add_schema(copy->writer, schema->id, schema->name,
			schema->encoding, schema->data, schema->size);
	}
	for (; r == 0 && copy->n_channels < catalog->channels.n; copy->n_channels++) {
		const struct fnx_mcap_channel *channel =
			&catalog->channels.entries[copy->n_channels]->channel;

		r = fnx_mcap_writer_add_channel(copy->writer, channel->id, channel->schema_id,
			channel->topic, channel->message_encoding, channel->metadata,
			channel->n_metadata);
	}
	for (; r == 0 && copy->n_metadata < catalog->metadata.n; copy->n_metadata++) {
		const struct fnx_mcap_metadata *metadata =
			&catalog->metadata.entries[copy->n_metadata]->metadata;

		r = fnx_mcap_writer_metadata(
			copy->writer, metadata->name, metadata->pairs, metadata->n_pairs);
	}
	for (; r == 0 && copy->n_attachments < catalog->attachments.n; copy->n_attachments++)
		r = copy_attachment(copy, copy->n_attachments);
	return r;
}

static int copy_message(struct copy *copy, const struct fnx_mcap_message *message)
{
	int r = 0;

	if (message->size > copy->writer->max_message_size) {
		r = fnx_mcap_writer_flush(copy->writer);
		if (r == 0)
			r = fnx_mcap_writer_allow(copy->writer, message->size);
	}
	if (r < 0)
		return r;
	return fnx_mcap_writer_message(copy->writer, message->channel->id, message->sequence,
		message->log_time_ns, message->publish_time_ns, message->data, message->size);
}

/* Everything up to where no way leads on. Damage is counted; negative errno is ours. */
static int copy_file(struct copy *copy, struct fnx_mcap_recover_stats *stats)
{
	struct fnx_mcap_reader *reader = copy->reader;
	struct fnx_mcap_message message;
	int answer;
	int r;

	do {
		answer = fnx_mcap_reader_next(reader, &message);
		if (answer == -ENOMEM || answer == -EIO || answer == -EOPNOTSUPP)
			return answer;
		if (answer < 0 && reader->data_offset == 0)
			return answer;
		if (answer < 0 && stats->n_damaged++ == 0)
			stats->first_error = reader->error;
		r = copy->writer ? 0 : open_copy(copy);
		if (r == 0)
			r = copy_catalog(copy);
		if (r == 0 && answer == FNX_MCAP_MESSAGE)
			r = copy_message(copy, &message);
		if (r < 0)
			return r;
		if (answer < 0 && fnx_mcap_reader_skip(reader) == 0)
			answer = FNX_MCAP_MESSAGE;
	} while (answer == FNX_MCAP_MESSAGE);
	stats->cut = answer == FNX_MCAP_CUT;
	/* Bytes behind DataEnd are no loss: the summary is made anew. */
	if (!reader->closed)
		stats->n_bytes_lost = reader->file_size - reader->error.offset;
	return 0;
}

int fnx_mcap_recover(
	const char *in_path, const char *out_path, struct fnx_mcap_recover_stats *ret_stats)
{
	struct fnx_mcap_recover_stats stats = {0};
	struct fnx_mcap_writer_stats written = {0};
	struct copy copy = {.out_path = out_path};
	int closed;
	int r;

	r = fnx_mcap_reader_open(in_path, &copy.reader);
	if (r < 0)
		return r;
	r = copy_file(&copy, &stats);
	if (r == 0)
		r = fnx_mcap_writer_flush(copy.writer);
	if (r == 0)
		fnx_mcap_writer_stats(copy.writer, &written);
	closed = fnx_mcap_writer_close(copy.writer);
	r = r < 0 ? r : closed;
	fnx_mcap_reader_close(copy.reader);
	if (r < 0) {
		if (copy.created)
			unlink(out_path);
		return r;
	}
	stats.file = written.file;
	*ret_stats = stats;
	return 0;
}
