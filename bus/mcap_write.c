/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The open chunk is a buffer in which messages are laid down as they will stand in the file, so
 * that a loan hands out the very place. The buffer ends max_message_size behind chunk_size: a chunk
 * is closed once it has reached its size, never before a message, and a loan therefore always finds
 * room.
 *
 *	empty -> loan, commit -> ... -> size reached, or flush -> sealed -> written -> empty
 *	                                                            | write failed: stays sealed
 *
 * Every write goes to `offset` by its number, not to the file's end. So a write that stopped
 * half-way (full disk) leaves nothing to undo: the torn bytes are cut off, or else the next write
 * tries that first.
 */
#include "bus/mcap_write.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* A context in memory of our own is the one kind that is known never to allocate later. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

enum {
	DEFAULT_CHUNK_SIZE = 1 << 20,
	DEFAULT_INDEX_SIZE = 4 << 20,
	DEFAULT_MAX_CHANNELS = 1024,
	DEFAULT_LEVEL = 3,
	MAX_SIZE = 1 << 30,
	MESSAGE_HEAD_SIZE = MCAP_HEAD_SIZE + MCAP_MESSAGE_SIZE,
};

static int take_memory(struct fnx_mcap_writer *writer, size_t index_size)
{
	size_t zstd_size;
	int r;

	r = fnx_mcap_writer_allow(writer, writer->max_message_size);
	if (r == 0)
		r = fnx_mcap_bytes_reserve(&writer->index, fnx_mcap_writer_index_size(writer));
	if (r == 0)
		r = fnx_mcap_bytes_reserve(&writer->chunk_indexes, index_size);
	if (r < 0 || writer->compression != FNX_MCAP_ZSTD)
		return r;
	zstd_size = ZSTD_estimateCCtxSize(writer->level);
	writer->zstd_memory = aligned_alloc(64, (zstd_size + 63) / 64 * 64);
	if (!writer->zstd_memory)
		return -ENOMEM;
	writer->zstd = ZSTD_initStaticCCtx(writer->zstd_memory, zstd_size);
	return writer->zstd ? 0 : -ENOMEM;
}

int fnx_mcap_writer_allow(struct fnx_mcap_writer *writer, size_t max_message_size)
{
	size_t capacity = writer->chunk_size + MESSAGE_HEAD_SIZE + max_message_size;
	uint8_t *memory;

	assert(!writer->loaned && !writer->sealed);
	if (capacity > writer->records_capacity) {
		memory = realloc(writer->records, capacity);
		if (!memory)
			return -ENOMEM;
		writer->records = memory;
		writer->records_capacity = capacity;
	}
	if (writer->compression == FNX_MCAP_ZSTD &&
		ZSTD_compressBound(capacity) > writer->compressed_capacity) {
		memory = realloc(writer->compressed, ZSTD_compressBound(capacity));
		if (!memory)
			return -ENOMEM;
		writer->compressed = memory;
		writer->compressed_capacity = ZSTD_compressBound(capacity);
	}
	writer->max_message_size = max_message_size;
	return 0;
}

int fnx_mcap_writer_new(
	int fd, const struct fnx_mcap_config *config, struct fnx_mcap_writer **ret_writer)
{
	struct fnx_mcap_writer *writer;
	struct stat st;
	int r;

	if (config->chunk_size > MAX_SIZE || config->max_message_size > MAX_SIZE ||
		config->level > ZSTD_maxCLevel() || config->level < ZSTD_minCLevel() ||
		(config->compression != FNX_MCAP_NONE && config->compression != FNX_MCAP_ZSTD))
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return -ENOMEM;
	writer->fd = -1;
	writer->is_file = S_ISREG(st.st_mode);
	writer->chunk_size = config->chunk_size ? config->chunk_size : DEFAULT_CHUNK_SIZE;
	writer->max_message_size =
		config->max_message_size ? config->max_message_size : writer->chunk_size;
	writer->compression = config->compression;
	writer->level = config->level ? config->level : DEFAULT_LEVEL;
	writer->max_channels = config->max_channels ? config->max_channels : DEFAULT_MAX_CHANNELS;
	writer->catalog.max_size = SIZE_MAX / 8;
	r = take_memory(writer, config->index_size ? config->index_size : DEFAULT_INDEX_SIZE);
	if (r < 0) {
		fnx_mcap_writer_free(writer);
		return r;
	}
	writer->fd = fd;
	*ret_writer = writer;
	return 0;
}

void fnx_mcap_writer_free(struct fnx_mcap_writer *writer)
{
	if (writer->fd >= 0)
		close(writer->fd);
	fnx_mcap_catalog_fini(&writer->catalog);
	fnx_mcap_bytes_fini(&writer->chunk_indexes);
	fnx_mcap_bytes_fini(&writer->index);
	free(writer->zstd_memory);
	free(writer->compressed);
	free(writer->records);
	free(writer);
}

int fnx_mcap_writer_lock(int fd)
{
	/* Where the file system knows no locks there is nothing to find out. */
	return flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK ? -EWOULDBLOCK : 0;
}

int fnx_mcap_writer_begin(struct fnx_mcap_writer *writer, const char *profile, const char *library)
{
	struct mcap_bytes bytes = {0};
	struct iovec piece;
	size_t begin;
	int r;

	fnx_mcap_bytes_add(&bytes, fnx_mcap_magic, MCAP_MAGIC_SIZE);
	begin = fnx_mcap_bytes_begin(&bytes, MCAP_HEADER);
	fnx_mcap_bytes_string(&bytes, profile ? profile : "");
	fnx_mcap_bytes_string(&bytes, library ? library : "fornix");
	fnx_mcap_bytes_end(&bytes, begin);
	piece = (struct iovec){bytes.data, bytes.size};
	r = bytes.error ? bytes.error : fnx_mcap_writer_append(writer, &piece, 1);
	fnx_mcap_bytes_fini(&bytes);
	return r;
}

int fnx_mcap_writer_open(
	const char *path, const struct fnx_mcap_config *config, struct fnx_mcap_writer **ret_writer)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | (config->replace ? 0 : O_EXCL);
	struct fnx_mcap_writer *writer;
	int fd = open(path, flags, 0644);
	int r;

	if (fd < 0)
		return -errno;
	r = fnx_mcap_writer_lock(fd);
	if (r == 0)
		r = fnx_mcap_writer_new(fd, config, &writer);
	if (r < 0) {
		close(fd);
		goto remove;
	}
	if (writer->is_file && ftruncate(fd, 0) < 0)
		r = -errno;
	if (r == 0)
		r = fnx_mcap_writer_begin(writer, config->profile, config->library);
	if (r == 0) {
		*ret_writer = writer;
		return 0;
	}
	fnx_mcap_writer_free(writer);
remove:
	if (!config->replace)
		unlink(path); /* it is ours: O_EXCL made it */
	return r;
}

static void cut_torn(struct fnx_mcap_writer *writer)
{
	writer->torn = writer->is_file && ftruncate(writer->fd, (off_t)writer->offset) < 0;
}

static int write_all(
	struct fnx_mcap_writer *writer, struct iovec *pieces, size_t n_pieces, uint64_t *ret_done)
{
	while (n_pieces > 0) {
		ssize_t n;

		if (pieces[0].iov_len == 0) {
			pieces++, n_pieces--;
			continue;
		}
		n = pwritev(writer->fd, pieces, (int)n_pieces, (off_t)(writer->offset + *ret_done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		*ret_done += (uint64_t)n;
		while (n_pieces > 0 && (size_t)n >= pieces[0].iov_len) {
			n -= (ssize_t)pieces[0].iov_len;
			pieces++, n_pieces--;
		}
		if (n > 0) {
			pieces[0].iov_base = (uint8_t *)pieces[0].iov_base + n;
			pieces[0].iov_len -= (size_t)n;
		}
	}
	return 0;
}

int fnx_mcap_writer_append(struct fnx_mcap_writer *writer, struct iovec *pieces, size_t n_pieces)
{
	uint32_t crc = writer->crc;
	uint64_t done = 0;
	int r = 0;

	assert(n_pieces <= 8);
	for (size_t i = 0; i < n_pieces; i++)
		crc = (uint32_t)crc32_z(crc, pieces[i].iov_base, pieces[i].iov_len);
	if (writer->torn)
		cut_torn(writer);
	if (writer->torn)
		r = -EIO;
	if (r == 0)
		r = write_all(writer, pieces, n_pieces, &done);
	if (r < 0) {
		writer->stats.n_write_errors++;
		writer->stats.last_error = r;
		if (done > 0)
			cut_torn(writer);
		return r;
	}
	writer->offset += done;
	writer->crc = crc;
	return 0;
}

static int append_bytes(struct fnx_mcap_writer *writer, const struct mcap_bytes *bytes)
{
	struct iovec piece = {bytes->data, bytes->size};

	return bytes->error ? bytes->error : fnx_mcap_writer_append(writer, &piece, 1);
}

int fnx_mcap_writer_add_schema(struct fnx_mcap_writer *writer, uint16_t id, const char *name,
	const char *encoding, const void *data, size_t size)
{
	struct mcap_bytes bytes = {0};
	size_t begin;
	int r;

	if (id == 0 || size > UINT32_MAX)
		return -EINVAL;
	begin = fnx_mcap_bytes_begin(&bytes, MCAP_SCHEMA);
	fnx_mcap_bytes_u16(&bytes, id);
	fnx_mcap_bytes_string(&bytes, name);
	fnx_mcap_bytes_string(&bytes, encoding);
	fnx_mcap_bytes_u32(&bytes, (uint32_t)size);
	fnx_mcap_bytes_add(&bytes, data, size);
	fnx_mcap_bytes_end(&bytes, begin);
	r = bytes.error;
	if (r == 0)
		r = fnx_mcap_catalog_schema(
			&writer->catalog, bytes.data + MCAP_HEAD_SIZE, bytes.size - MCAP_HEAD_SIZE);
	if (r == 0) {
		r = append_bytes(writer, &bytes);
		if (r < 0)
			fnx_mcap_catalog_undo(&writer->catalog, &writer->catalog.schemas);
	}
	fnx_mcap_bytes_fini(&bytes);
	return r == MCAP_KNOWN ? 0 : r;
}

int fnx_mcap_writer_add_channel(struct fnx_mcap_writer *writer, uint16_t id, uint16_t schema_id,
	const char *topic, const char *message_encoding, const struct fnx_mcap_pair *metadata,
	size_t n_metadata)
{
	struct mcap_bytes bytes = {0};
	size_t begin;
	int r;

	if (writer->catalog.channels.n >= writer->max_channels &&
		!mcap_list_get(&writer->catalog.channels, id))
		return -ENOBUFS;
	begin = fnx_mcap_bytes_begin(&bytes, MCAP_CHANNEL);
	fnx_mcap_bytes_u16(&bytes, id);
	fnx_mcap_bytes_u16(&bytes, schema_id);
	fnx_mcap_bytes_string(&bytes, topic);
	fnx_mcap_bytes_string(&bytes, message_encoding);
	fnx_mcap_bytes_pairs(&bytes, metadata, n_metadata);
	fnx_mcap_bytes_end(&bytes, begin);
	r = bytes.error;
	if (r == 0)
		r = fnx_mcap_catalog_channel(
			&writer->catalog, bytes.data + MCAP_HEAD_SIZE, bytes.size - MCAP_HEAD_SIZE);
	if (r == 0) {
		r = append_bytes(writer, &bytes);
		if (r < 0)
			fnx_mcap_catalog_undo(&writer->catalog, &writer->catalog.channels);
	}
	fnx_mcap_bytes_fini(&bytes);
	return r == MCAP_KNOWN ? 0 : r == -ENOENT ? -EINVAL : r;
}

int fnx_mcap_writer_attachment(struct fnx_mcap_writer *writer, const char *name,
	const char *media_type, uint64_t log_time_ns, uint64_t create_time_ns, const void *data,
	size_t size)
{
	struct mcap_bytes bytes = {0};
	size_t body_size;
	uint8_t tail[4];
	uint32_t crc;
	int r;

	fnx_mcap_bytes_begin(&bytes, MCAP_ATTACHMENT);
	fnx_mcap_bytes_u64(&bytes, log_time_ns);
	fnx_mcap_bytes_u64(&bytes, create_time_ns);
	fnx_mcap_bytes_string(&bytes, name);
	fnx_mcap_bytes_string(&bytes, media_type);
	body_size = bytes.size - MCAP_HEAD_SIZE;
	fnx_mcap_bytes_u64(&bytes, size);
	r = bytes.error;
	if (r == 0)
		r = fnx_mcap_catalog_attachment(&writer->catalog, writer->offset,
			bytes.data + MCAP_HEAD_SIZE, body_size, size);
	if (r == 0) {
		put_u64(bytes.data + 1, bytes.size - MCAP_HEAD_SIZE + size + sizeof(tail));
		crc = (uint32_t)crc32_z(
			0, bytes.data + MCAP_HEAD_SIZE, bytes.size - MCAP_HEAD_SIZE);
		if (size > 0)
			crc = (uint32_t)crc32_z(crc, data, size);
		put_u32(tail, crc);
		r = fnx_mcap_writer_append(writer,
			(struct iovec[]){{bytes.data, bytes.size},
				{size > 0 ? (void *)(uintptr_t)data : tail, size},
				{tail, sizeof(tail)}},
			3);
		if (r < 0)
			fnx_mcap_catalog_undo(&writer->catalog, &writer->catalog.attachments);
	}
	fnx_mcap_bytes_fini(&bytes);
	return r;
}

int fnx_mcap_writer_metadata(struct fnx_mcap_writer *writer, const char *name,
	const struct fnx_mcap_pair *pairs, size_t n_pairs)
{
	struct mcap_bytes bytes = {0};
	size_t begin = fnx_mcap_bytes_begin(&bytes, MCAP_METADATA);
	int r;

	fnx_mcap_bytes_string(&bytes, name);
	fnx_mcap_bytes_pairs(&bytes, pairs, n_pairs);
	fnx_mcap_bytes_end(&bytes, begin);
	r = bytes.error;
	if (r == 0)
		r = fnx_mcap_catalog_metadata(&writer->catalog, writer->offset,
			bytes.data + MCAP_HEAD_SIZE, bytes.size - MCAP_HEAD_SIZE);
	if (r == 0) {
		r = append_bytes(writer, &bytes);
		if (r < 0)
			fnx_mcap_catalog_undo(&writer->catalog, &writer->catalog.metadata);
	}
	fnx_mcap_bytes_fini(&bytes);
	return r;
}

int fnx_mcap_writer_loan(struct fnx_mcap_writer *writer, size_t max_size, void **ret_data)
{
	int r = 0;

	if (writer->loaned)
		return -EBUSY;
	if (max_size > writer->max_message_size)
		r = -EMSGSIZE;
	else if (writer->sealed || writer->records_size >= writer->chunk_size)
		r = fnx_mcap_writer_flush(writer);
	if (r < 0) {
		writer->stats.n_refused++;
		return r;
	}
	writer->loaned = true;
	writer->loan_size = max_size;
	*ret_data = writer->records + writer->records_size + MESSAGE_HEAD_SIZE;
	return 0;
}

void fnx_mcap_writer_abort(struct fnx_mcap_writer *writer)
{
	writer->loaned = false;
}

static void count_message(struct fnx_mcap_writer *writer, struct fnx_mcap_channel *channel,
	uint32_t sequence, uint64_t log_time_ns)
{
	struct fnx_mcap_stats *file = &writer->stats.file;

	channel->n_messages++;
	channel->last_sequence = sequence;
	if (writer->n_records == 0 || log_time_ns < writer->start_time_ns)
		writer->start_time_ns = log_time_ns;
	if (writer->n_records == 0 || log_time_ns > writer->end_time_ns)
		writer->end_time_ns = log_time_ns;
	if (file->n_messages == 0 || log_time_ns < file->first_log_time_ns)
		file->first_log_time_ns = log_time_ns;
	if (file->n_messages == 0 || log_time_ns > file->last_log_time_ns)
		file->last_log_time_ns = log_time_ns;
	writer->n_records++;
	file->n_messages++;
}

int fnx_mcap_writer_commit(struct fnx_mcap_writer *writer, uint16_t channel_id, uint32_t sequence,
	uint64_t log_time_ns, uint64_t publish_time_ns, size_t size)
{
	struct mcap_entry *entry = mcap_list_get(&writer->catalog.channels, channel_id);
	bool valid = writer->loaned && size <= writer->loan_size;
	uint8_t *at = writer->records + writer->records_size;

	writer->loaned = false;
	if (!valid || !entry) {
		writer->stats.n_refused++;
		return valid ? -ENOENT : -EINVAL;
	}
	at[0] = MCAP_MESSAGE;
	put_u64(at + 1, MCAP_MESSAGE_SIZE + size);
	put_u16(at + 9, channel_id);
	put_u32(at + 11, sequence);
	put_u64(at + 15, log_time_ns);
	put_u64(at + 23, publish_time_ns);
	writer->records_size += MESSAGE_HEAD_SIZE + size;
	count_message(writer, &entry->channel, sequence, log_time_ns);
	/* An error is counted there, and the next loan meets it again: this message is kept. */
	if (writer->records_size >= writer->chunk_size)
		fnx_mcap_writer_write_chunk(writer);
	return 0;
}

int fnx_mcap_writer_messagev(struct fnx_mcap_writer *writer, uint16_t channel_id, uint32_t sequence,
	uint64_t log_time_ns, uint64_t publish_time_ns, const struct iovec *pieces, size_t n_pieces)
{
	size_t size = 0;
	void *data;
	uint8_t *at;
	int r;

	for (size_t i = 0; i < n_pieces; i++) {
		if (__builtin_add_overflow(size, pieces[i].iov_len, &size))
			size = SIZE_MAX; /* is refused below, and overflows again */
	}
	r = fnx_mcap_writer_loan(writer, size, &data);
	if (r < 0)
		return r;
	at = data;
	for (size_t i = 0; i < n_pieces; i++) {
		if (pieces[i].iov_len > 0)
			memcpy(at, pieces[i].iov_base, pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	return fnx_mcap_writer_commit(
		writer, channel_id, sequence, log_time_ns, publish_time_ns, size);
}

int fnx_mcap_writer_message(struct fnx_mcap_writer *writer, uint16_t channel_id, uint32_t sequence,
	uint64_t log_time_ns, uint64_t publish_time_ns, const void *data, size_t size)
{
	struct iovec piece = {(void *)(uintptr_t)data, size};

	return fnx_mcap_writer_messagev(
		writer, channel_id, sequence, log_time_ns, publish_time_ns, &piece, 1);
}

int fnx_mcap_writer_sync(struct fnx_mcap_writer *writer)
{
	int r = fnx_mcap_writer_flush(writer);

	if (r < 0)
		return r;
	return fdatasync(writer->fd) < 0 ? -errno : 0;
}

int fnx_mcap_writer_close(struct fnx_mcap_writer *writer)
{
	int fd;
	int r;

	if (!writer)
		return 0;
	fnx_mcap_writer_abort(writer);
	r = fnx_mcap_writer_flush(writer);
	if (r == 0)
		r = fnx_mcap_writer_finish(writer);
	fd = writer->fd;
	writer->fd = -1;
	fnx_mcap_writer_free(writer);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int fnx_mcap_writer_last_sequence(
	const struct fnx_mcap_writer *writer, uint16_t channel_id, uint32_t *ret_sequence)
{
	const struct mcap_entry *entry = mcap_list_get(&writer->catalog.channels, channel_id);

	if (!entry)
		return -ENOENT;
	if (entry->channel.n_messages == 0)
		return FNX_MCAP_EMPTY;
	*ret_sequence = entry->channel.last_sequence;
	return 0;
}

const struct fnx_mcap_channel *fnx_mcap_writer_channel(
	const struct fnx_mcap_writer *writer, uint16_t channel_id)
{
	const struct mcap_entry *entry = mcap_list_get(&writer->catalog.channels, channel_id);

	return entry ? &entry->channel : NULL;
}

void fnx_mcap_writer_stats(
	const struct fnx_mcap_writer *writer, struct fnx_mcap_writer_stats *ret_stats)
{
	*ret_stats = writer->stats;
	ret_stats->file.n_schemas = (uint32_t)writer->catalog.schemas.n;
	ret_stats->file.n_channels = (uint32_t)writer->catalog.channels.n;
	ret_stats->file.n_attachments = (uint32_t)writer->catalog.attachments.n;
	ret_stats->file.n_metadata = (uint32_t)writer->catalog.metadata.n;
	ret_stats->file_size = writer->offset;
	ret_stats->n_unflushed = writer->n_records;
}
