/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MCAP files (https://mcap.dev/spec): a writer that only appends, a reader that trusts nothing, and
 * what brings the two together after a crash. Knows bytes, topics and times; never what a message
 * means.
 *
 *	magic, Header,
 *	Schema, Channel, Attachment, Metadata, (Chunk MessageIndex*) in any order, DataEnd,
 *	Schema*, Channel*, Statistics, ChunkIndex*, AttachmentIndex*, MetadataIndex*,
 *	SummaryOffset*, Footer, magic
 *
 * What the writer does with the freedom the format leaves:
 *   - Schemas, channels, attachments and metadata are records of the file itself, written when they
 *     are added; chunks hold messages alone. So every whole chunk of a cut file finds its channels
 *     before it.
 *   - A chunk and its message indexes are one write. After kill -9 everything up to the last whole
 *     chunk is readable, and no file is ever written other than at its end.
 *   - A chunk that compression would not make smaller is stored as it is.
 *
 * One thread per writer and per reader. Times are nanoseconds since whatever epoch the file's user
 * chose. Unless said otherwise results are 0 or a negative errno, of the system or of this list:
 *	-EBADMSG: the file is damaged: its bytes are not MCAP, or a CRC does not match;
 *	-EFBIG: a record exceeds the reader's limits;
 *	-EOPNOTSUPP: a chunk is compressed with lz4 or something unknown.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "bus/bus.h"

enum fnx_mcap_answer {
	FNX_MCAP_END = 0, /* the file ends as it should */
	FNX_MCAP_MESSAGE = 1, /* there is a message */
	FNX_MCAP_CUT = 2, /* the file ends in the middle; all before the cut was delivered */
	FNX_MCAP_EMPTY = 3, /* the channel has no message yet */
};

enum fnx_mcap_compression {
	FNX_MCAP_NONE,
	FNX_MCAP_ZSTD,
};

struct fnx_mcap_pair {
	const char *key;
	const char *value;
};

struct fnx_mcap_schema {
	uint16_t id; /* never 0 */
	const char *name;
	const char *encoding;
	const void *data;
	size_t size;
};

struct fnx_mcap_channel {
	uint16_t id;
	uint16_t schema_id; /* 0: none */
	const char *topic;
	const char *message_encoding;
	const struct fnx_mcap_pair *metadata;
	size_t n_metadata;
	uint64_t n_messages; /* so far */
	uint32_t last_sequence; /* of the last one, if there is any */
};

struct fnx_mcap_attachment {
	uint64_t log_time_ns;
	uint64_t create_time_ns; /* 0: unknown */
	const char *name;
	const char *media_type;
	uint64_t data_offset; /* in the file */
	uint64_t data_size;
};

struct fnx_mcap_metadata {
	const char *name;
	const struct fnx_mcap_pair *pairs;
	size_t n_pairs;
};

struct fnx_mcap_message {
	const struct fnx_mcap_channel *channel;
	uint32_t sequence;
	uint64_t log_time_ns;
	uint64_t publish_time_ns;
	const void *data; /* unaligned */
	size_t size;
};

struct fnx_mcap_stats {
	uint64_t n_messages;
	uint32_t n_schemas;
	uint32_t n_channels;
	uint32_t n_attachments;
	uint32_t n_metadata;
	uint32_t n_chunks;
	uint64_t first_log_time_ns; /* earliest; 0 without messages */
	uint64_t last_log_time_ns; /* latest */
};

/* Writer */

struct fnx_mcap_writer;

/* Zero stands for the default, in brackets. */
struct fnx_mcap_config {
	const char *profile; /* of the Header [""] */
	const char *library; /* of the Header ["fornix"] */
	size_t chunk_size; /* a chunk is written when its messages reach this size [1 MiB], at most
			      1 GiB */
	size_t max_message_size; /* larger payloads are refused [chunk_size], at most 1 GiB */
	enum fnx_mcap_compression compression;
	int level; /* of zstd [3] */
	uint16_t max_channels; /* [1024] */
	size_t index_size; /* room for chunk indexes [4 MiB: 10,000 chunks of 35 channels]; a
			    * recording that outgrows it doubles it, the one allocation after
			    * opening */
	bool replace; /* write over an existing file rather than answer -EEXIST */
};

struct fnx_mcap_writer_stats {
	struct fnx_mcap_stats file; /* all that was accepted, in the file or in the open chunk */
	uint64_t file_size; /* bytes that are in the file */
	uint64_t n_unflushed; /* messages in the open chunk */
	uint64_t n_refused; /* messages not accepted: a full disk, too large, an unknown channel */
	uint64_t n_write_errors;
	int last_error; /* negative errno of the last of them, or 0 */
	uint64_t n_bytes_dropped; /* that reopening cut off behind the last whole record */
};

/* Creates the file and writes its header. Takes all memory that messages will need: about
 * chunk_size + max_message_size, twice that with zstd. -EEXIST; -EWOULDBLOCK: another writer has it
 * open; -EINVAL. */
FNX_MUST_CHECK int fnx_mcap_writer_open(const char *path, const struct fnx_mcap_config *config,
	struct fnx_mcap_writer **ret_writer);

/*
 * Goes on with a file that was cut or closed: reads all of it, removes what follows the last whole
 * record of the data section (a torn record; or DataEnd, summary and footer), knows its schemas,
 * channels, counts and last sequences from then on, and appends. An empty or header-less cut file
 * starts anew; otherwise profile and library stay what they were. A damaged file is refused and not
 * touched (see fnx_mcap_recover). -ENOENT; -EBADMSG; -EFBIG; -EOPNOTSUPP; -EWOULDBLOCK.
 */
FNX_MUST_CHECK int fnx_mcap_writer_reopen(const char *path, const struct fnx_mcap_config *config,
	struct fnx_mcap_writer **ret_writer);

/* Adding what the file has already, byte for byte, is done at once; an id with another content is
 * -EEXIST. Strings are UTF-8. -EINVAL: schema id 0, or a channel whose schema is not there;
 * -ENOBUFS: more than max_channels. On a write error nothing was added. */
FNX_MUST_CHECK int fnx_mcap_writer_add_schema(struct fnx_mcap_writer *writer, uint16_t id,
	const char *name, const char *encoding, const void *data, size_t size);
FNX_MUST_CHECK int fnx_mcap_writer_add_channel(struct fnx_mcap_writer *writer, uint16_t id,
	uint16_t schema_id, const char *topic, const char *message_encoding,
	const struct fnx_mcap_pair *metadata, size_t n_metadata);

FNX_MUST_CHECK int fnx_mcap_writer_attachment(struct fnx_mcap_writer *writer, const char *name,
	const char *media_type, uint64_t log_time_ns, uint64_t create_time_ns, const void *data,
	size_t size);
FNX_MUST_CHECK int fnx_mcap_writer_metadata(struct fnx_mcap_writer *writer, const char *name,
	const struct fnx_mcap_pair *pairs, size_t n_pairs);

/*
 * A message by copy, from one piece or from several. 0: it is in the open chunk, and in the file
 * when that is flushed or has reached chunk_size. Where a full chunk cannot be written it is kept,
 * the message after it is refused with the error, and each further message tries the write again.
 * Allocates nothing; enters the kernel once per chunk. -EMSGSIZE; -ENOENT: unknown channel; -EBUSY:
 * a loan is out.
 */
FNX_MUST_CHECK int fnx_mcap_writer_message(struct fnx_mcap_writer *writer, uint16_t channel_id,
	uint32_t sequence, uint64_t log_time_ns, uint64_t publish_time_ns, const void *data,
	size_t size);
FNX_MUST_CHECK int fnx_mcap_writer_messagev(struct fnx_mcap_writer *writer, uint16_t channel_id,
	uint32_t sequence, uint64_t log_time_ns, uint64_t publish_time_ns,
	const struct iovec *pieces, size_t n_pieces);

/* A message written in place: up to max_size bytes inside the chunk, unaligned, until commit (which
 * ends the loan whatever it answers) or abort. Answers as fnx_mcap_writer_message; commit: -EINVAL:
 * no loan, or size > max_size. */
FNX_MUST_CHECK int fnx_mcap_writer_loan(
	struct fnx_mcap_writer *writer, size_t max_size, void **ret_data);
FNX_MUST_CHECK int fnx_mcap_writer_commit(struct fnx_mcap_writer *writer, uint16_t channel_id,
	uint32_t sequence, uint64_t log_time_ns, uint64_t publish_time_ns, size_t size);
void fnx_mcap_writer_abort(struct fnx_mcap_writer *writer);

/* Puts the open chunk into the file: from then on kill -9 cannot take it away. On an error the
 * chunk is kept and may be flushed again. -EBUSY: a loan is out. */
FNX_MUST_CHECK int fnx_mcap_writer_flush(struct fnx_mcap_writer *writer);

/* The same, and waits until the disk has it: from then on a power cut cannot either. Blocks. */
FNX_MUST_CHECK int fnx_mcap_writer_sync(struct fnx_mcap_writer *writer);

/* Flushes, writes DataEnd, summary, footer; frees the writer whatever it answers. On an error the
 * file is a cut one, that is readable up to its last whole chunk; who wants to try again flushes
 * first. NULL is done. */
int fnx_mcap_writer_close(struct fnx_mcap_writer *writer);

/* The sequence number of the last message accepted on that channel, before reopening or since.
 * -ENOENT; FNX_MCAP_EMPTY. */
FNX_MUST_CHECK int fnx_mcap_writer_last_sequence(
	const struct fnx_mcap_writer *writer, uint16_t channel_id, uint32_t *ret_sequence);
/* NULL: unknown. Valid until close. */
const struct fnx_mcap_channel *fnx_mcap_writer_channel(
	const struct fnx_mcap_writer *writer, uint16_t channel_id);
void fnx_mcap_writer_stats(
	const struct fnx_mcap_writer *writer, struct fnx_mcap_writer_stats *ret_stats);

/* Reader */

struct fnx_mcap_reader;

/* What the reader will take into memory at most; zero stands for the default, in brackets.
 * Attachments are not limited: they are read where they lie. */
struct fnx_mcap_limits {
	size_t max_record_size; /* one record, compressed [2 GiB] */
	size_t max_chunk_size; /* the records of a chunk, uncompressed [2 GiB] */
	size_t max_catalog_size; /* all schemas, channels, metadata and attachment names together
				    [64 MiB] */
};

struct fnx_mcap_error {
	int error; /* negative errno, or FNX_MCAP_CUT; 0: none */
	const char *text; /* what is wrong */
	uint64_t offset; /* of the record at fault in the file */
};

struct fnx_mcap_header {
	const char *profile;
	const char *library;
};

/* Reads no more than the size of the file, so any content can be opened; next tells what it is. */
FNX_MUST_CHECK int fnx_mcap_reader_open(const char *path, struct fnx_mcap_reader **ret_reader);
FNX_MUST_CHECK int fnx_mcap_reader_open_limited(const char *path,
	const struct fnx_mcap_limits *limits, struct fnx_mcap_reader **ret_reader);
void fnx_mcap_reader_close(struct fnx_mcap_reader *reader);

/*
 * The next message in file order, valid until the next call: FNX_MCAP_MESSAGE, FNX_MCAP_END,
 * FNX_MCAP_CUT; -EBADMSG, -EFBIG, -EOPNOTSUPP, -EIO, -ENOMEM. The last five are repeated by every
 * further call. Needs no summary. No message of a chunk is delivered before the CRC of the chunk
 * was found right; damage outside of chunks shows at the end, as -EBADMSG from the CRC of the data
 * section. A file may have its messages outside of chunks, but not behind one as well.
 */
FNX_MUST_CHECK int fnx_mcap_reader_next(
	struct fnx_mcap_reader *reader, struct fnx_mcap_message *ret_message);

/* After -EBADMSG, -EFBIG or -EOPNOTSUPP: steps over the record at fault, where its frame is whole.
 * 0, or the same error again if there is no way on. */
FNX_MUST_CHECK int fnx_mcap_reader_skip(struct fnx_mcap_reader *reader);

/*
 * From now on next delivers the messages with log_time_ns >= this, in file order, and counts anew.
 * With a summary it starts at the first chunk that has such a message, without it from the
 * beginning of the file. The CRC of the data section is not checked then.
 */
FNX_MUST_CHECK int fnx_mcap_reader_seek(struct fnx_mcap_reader *reader, uint64_t log_time_ns);

/* The Statistics of the summary, without reading the file; learns the summary's schemas and
 * channels. -ENODATA: no (valid) summary. */
FNX_MUST_CHECK int fnx_mcap_reader_summary(
	struct fnx_mcap_reader *reader, struct fnx_mcap_stats *ret_stats);

const struct fnx_mcap_error *fnx_mcap_reader_error(const struct fnx_mcap_reader *reader);
/* What was found so far. What the pointers name is valid until close; NULL: index or id unknown. */
struct fnx_mcap_header fnx_mcap_reader_header(const struct fnx_mcap_reader *reader);
void fnx_mcap_reader_stats(const struct fnx_mcap_reader *reader, struct fnx_mcap_stats *ret_stats);
const struct fnx_mcap_schema *fnx_mcap_reader_schema(
	const struct fnx_mcap_reader *reader, uint16_t id);
const struct fnx_mcap_channel *fnx_mcap_reader_channel(
	const struct fnx_mcap_reader *reader, uint16_t id);
const struct fnx_mcap_schema *fnx_mcap_reader_schema_at(
	const struct fnx_mcap_reader *reader, size_t index);
const struct fnx_mcap_channel *fnx_mcap_reader_channel_at(
	const struct fnx_mcap_reader *reader, size_t index);
const struct fnx_mcap_attachment *fnx_mcap_reader_attachment_at(
	const struct fnx_mcap_reader *reader, size_t index);
const struct fnx_mcap_metadata *fnx_mcap_reader_metadata_at(
	const struct fnx_mcap_reader *reader, size_t index);

/* Copies `size` bytes of an attachment's data, from `offset` on. -ENOENT; -EINVAL: beyond its end
 */
FNX_MUST_CHECK int fnx_mcap_reader_attachment_data(const struct fnx_mcap_reader *reader,
	size_t index, uint64_t offset, void *data, size_t size);

/* Recovery */

struct fnx_mcap_recover_stats {
	struct fnx_mcap_stats file; /* of the new file */
	bool cut; /* the old one ended in the middle */
	uint64_t n_damaged; /* records that had to be left out */
	uint64_t n_bytes_lost; /* at the end of the old file, where no record could be made out */
	struct fnx_mcap_error first_error;
};

/* Writes a whole file with summary to out_path from whatever in_path still holds: same header, ids,
 * sequences and times, same compression. in_path is only read. -EEXIST: out_path is there. On an
 * error out_path is removed; damage of the input is no error. */
FNX_MUST_CHECK int fnx_mcap_recover(
	const char *in_path, const char *out_path, struct fnx_mcap_recover_stats *ret_stats);
