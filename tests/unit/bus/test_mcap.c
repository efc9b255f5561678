/* SPDX-License-Identifier: BSD-3-Clause */
/* What is written is what is read; what is cut or damaged is said to be. */
#include "tests/unit/bus/test_mcap_model.h"

#include <errno.h>

static const struct fnx_mcap_config small = {
	.profile = "x-fornix", .chunk_size = 300, .max_message_size = 700, .replace = true};
static const struct fnx_mcap_config small_zstd = {.profile = "x-fornix",
	.chunk_size = 300,
	.max_message_size = 700,
	.compression = FNX_MCAP_ZSTD,
	.level = 3,
	.replace = true};

static struct model *write_session(const char *path, const struct fnx_mcap_config *config,
	struct check_random *random, size_t n_steps, size_t max_size)
{
	struct model *model = model_new();
	struct fnx_mcap_writer *writer;

	assert_int_equal(fnx_mcap_writer_open(path, config, &writer), 0);
	for (size_t i = 0; i < n_steps; i++)
		assert_int_equal(model_step(model, writer, random, max_size), 0);
	assert_int_equal(fnx_mcap_writer_flush(writer), 0);
	model_look(model, writer);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	return model;
}

TEST(random_files_come_back_as_they_were)
{
	struct check_random random = check_random_seeded();
	char *paths[40];

	for (size_t i = 0; i < 40; i++) {
		struct fnx_mcap_config config = {
			.chunk_size = 1 + check_random_below(&random, i % 4 ? 3000 : 200000),
			.max_message_size = 1 + check_random_below(&random, 5000),
			.compression = i % 2 ? FNX_MCAP_ZSTD : FNX_MCAP_NONE,
			.level = (int)check_random_below(&random, 6) - 1,
			.index_size = 1,
		};
		struct fnx_mcap_reader *reader;
		struct fnx_mcap_stats stats;
		struct fnx_mcap_stats summary;
		struct model *model;
		char name[32];

		snprintf(name, sizeof(name), "random%zu.mcap", i);
		paths[i] = strdup(model_path(name));
		model = write_session(paths[i], &config, &random, check_random_below(&random, 800),
			config.max_message_size);
		assert_int_equal(fnx_mcap_reader_open(paths[i], &reader), 0);
		assert_int_equal(fnx_mcap_reader_summary(reader, &summary), 0);
		assert_int_equal(model_compare(model, reader, 0, model->n), FNX_MCAP_END);
		assert_int_equal(fnx_mcap_reader_error(reader)->error, 0);
		fnx_mcap_reader_stats(reader, &stats);
		assert_memory_equal(&stats, &summary, sizeof(stats));
		assert_int_equal(stats.n_messages, model->n);
		assert_int_equal(stats.n_chunks, model->n_chunks);
		assert_int_equal(stats.n_channels, model->n_channels);
		assert_int_equal(stats.n_attachments, model->n_attachments);
		assert_int_equal(stats.n_metadata, model->n_metadata);
		fnx_mcap_reader_close(reader);
		model_free(model);
	}
	model_walk(paths, 40);
	for (size_t i = 0; i < 40; i++)
		free(paths[i]);
}

TEST(a_file_tells_its_schemas_channels_attachments_and_metadata)
{
	const char *path = model_path("catalog.mcap");
	struct fnx_mcap_pair pairs[] = {{"unit", "\xc2\xb5V"}, {"trodes", ""}};
	const struct fnx_mcap_attachment *attachment;
	const struct fnx_mcap_metadata *metadata;
	const struct fnx_mcap_channel *channel;
	const struct fnx_mcap_schema *schema;
	struct fnx_mcap_message message;
	struct fnx_mcap_writer *writer;
	struct fnx_mcap_reader *reader;
	char data[4] = "";

	assert_int_equal(fnx_mcap_writer_open(path, &small, &writer), 0);
	assert_int_equal(fnx_mcap_writer_add_schema(writer, 9, "lfp", "x", "\0\1\2", 3), 0);
	assert_int_equal(
		fnx_mcap_writer_add_channel(writer, 500, 9, "lfp/1", "msgpack", pairs, 2), 0);
	assert_int_equal(
		fnx_mcap_writer_attachment(writer, "rig", "text/yaml", 5, 6, "abcd", 4), 0);
	assert_int_equal(fnx_mcap_writer_metadata(writer, "build", pairs, 1), 0);
	assert_int_equal(fnx_mcap_writer_message(writer, 500, 3, 10, 11, "hello", 5), 0);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);

	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_MESSAGE);
	assert_int_equal(message.size, 5);
	assert_memory_equal(message.data, "hello", 5);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_END);
	assert_string_equal(fnx_mcap_reader_header(reader).profile, "x-fornix");
	assert_string_equal(fnx_mcap_reader_header(reader).library, "fornix");
	schema = fnx_mcap_reader_schema(reader, 9);
	assert_ptr_equal(schema, fnx_mcap_reader_schema_at(reader, 0));
	assert_string_equal(schema->name, "lfp");
	assert_string_equal(schema->encoding, "x");
	assert_int_equal(schema->size, 3);
	assert_memory_equal(schema->data, "\0\1\2", 3);
	channel = fnx_mcap_reader_channel_at(reader, 0);
	assert_ptr_equal(channel, fnx_mcap_reader_channel(reader, 500));
	assert_string_equal(channel->topic, "lfp/1");
	assert_string_equal(channel->message_encoding, "msgpack");
	assert_int_equal(channel->schema_id, 9);
	assert_int_equal(channel->n_messages, 1);
	assert_int_equal(channel->last_sequence, 3);
	assert_int_equal(channel->n_metadata, 2);
	assert_string_equal(channel->metadata[0].value, "\xc2\xb5V");
	assert_string_equal(channel->metadata[1].key, "trodes");
	attachment = fnx_mcap_reader_attachment_at(reader, 0);
	assert_string_equal(attachment->name, "rig");
	assert_string_equal(attachment->media_type, "text/yaml");
	assert_int_equal(attachment->data_size, 4);
	assert_int_equal(fnx_mcap_reader_attachment_data(reader, 0, 1, data, 3), 0);
	assert_memory_equal(data, "bcd", 3);
	assert_int_equal(fnx_mcap_reader_attachment_data(reader, 0, 2, data, 3), -EINVAL);
	assert_int_equal(fnx_mcap_reader_attachment_data(reader, 1, 0, data, 0), -ENOENT);
	metadata = fnx_mcap_reader_metadata_at(reader, 0);
	assert_string_equal(metadata->name, "build");
	assert_int_equal(metadata->n_pairs, 1);
	assert_string_equal(metadata->pairs[0].key, "unit");
	assert_null(fnx_mcap_reader_metadata_at(reader, 1));
	assert_null(fnx_mcap_reader_schema(reader, 8));
	assert_null(fnx_mcap_reader_channel(reader, 501));
	fnx_mcap_reader_close(reader);
}

static void check_all_cuts(const struct fnx_mcap_config *config, struct check_random *random)
{
	const char *whole = model_path("whole.mcap");
	const char *path = model_path("cut.mcap");
	struct model *model = write_session(whole, config, random, 40, 200);
	size_t size;
	uint8_t *bytes = model_load(whole, &size);

	model_save(path, bytes, size);
	assert_int_equal(model_compare_file(model, path, model->n), FNX_MCAP_END);
	for (size_t cut = size; cut-- > 0;) {
		assert_int_equal(truncate(path, (off_t)cut), 0);
		assert_int_equal(
			model_compare_file(model, path, model_whole(model, bytes, size, cut)),
			FNX_MCAP_CUT);
	}
	free(bytes);
	model_free(model);
}

TEST(a_file_cut_at_any_byte_gives_all_whole_chunks_and_says_that_it_is_cut)
{
	struct check_random random = check_random_seeded();

	check_all_cuts(&small, &random);
	check_all_cuts(&small_zstd, &random);
}

TEST(a_tail_of_zeros_is_a_cut)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("zeros.mcap");
	struct model *model = write_session(path, &small, &random, 60, 200);
	size_t size;
	uint8_t *bytes = model_load(path, &size);
	size_t end = 8;

	while (bytes[end] != 0x0f) {
		uint64_t body;

		memcpy(&body, bytes + end + 1, sizeof(body));
		end += 9 + body;
	}
	memset(bytes + end, 0, size - end);
	model_save(path, bytes, size);
	assert_int_equal(model_compare_file(model, path, model->n), FNX_MCAP_CUT);
	bytes[size - 1] = 1;
	model_save(path, bytes, size);
	assert_int_equal(model_compare_file(model, path, model->n), -EBADMSG);
	free(bytes);
	model_free(model);
}

/* Whatever was done to the file: what it delivers was written, in that order. */
static void check_damaged(const struct model *model, const char *path)
{
	struct fnx_mcap_stats stats;
	struct fnx_mcap_message message;
	struct fnx_mcap_reader *reader;
	size_t at = 0;
	int skips = 0;
	int r;

	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	for (;;) {
		r = fnx_mcap_reader_next(reader, &message);
		if (r < 0) {
			assert_int_equal(fnx_mcap_reader_error(reader)->error, r);
			assert_non_null(fnx_mcap_reader_error(reader)->text);
			if (fnx_mcap_reader_skip(reader) < 0)
				break;
			assert_true(++skips < 100);
			continue;
		}
		if (r != FNX_MCAP_MESSAGE)
			break;
		while (at < model->n && !model_equal(&model->messages[at], &message))
			at++;
		assert_true(at < model->n);
		at++;
	}
	r = fnx_mcap_reader_summary(reader, &stats);
	assert_true(r == 0 || r == -ENODATA || r == -EIO);
	assert_int_equal(fnx_mcap_reader_seek(reader, 1200), 0);
	while (fnx_mcap_reader_next(reader, &message) == FNX_MCAP_MESSAGE)
		assert_true(message.log_time_ns >= 1200);
	fnx_mcap_reader_close(reader);
}

static void check_all_flips(const struct fnx_mcap_config *config, struct check_random *random)
{
	const char *whole = model_path("whole.mcap");
	const char *path = model_path("flip.mcap");
	struct model *model = write_session(whole, config, random, 40, 200);
	size_t size;
	uint8_t *bytes = model_load(whole, &size);
	int fd;

	model_save(path, bytes, size);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	for (size_t i = 0; i < size; i++) {
		uint8_t masks[3] = {0xff, (uint8_t)(1u << check_random_below(random, 8)), 0x80};

		for (size_t k = 0; k < 3; k++) {
			uint8_t flipped = bytes[i] ^ masks[k];

			assert_int_equal(pwrite(fd, &flipped, 1, (off_t)i), 1);
			check_damaged(model, path);
		}
		assert_int_equal(pwrite(fd, &bytes[i], 1, (off_t)i), 1);
	}
	assert_int_equal(model_compare_file(model, path, model->n), FNX_MCAP_END);
	close(fd);
	free(bytes);
	model_free(model);
}

TEST(a_file_with_any_byte_changed_never_delivers_what_was_not_written)
{
	struct check_random random = check_random_seeded();

	check_all_flips(&small, &random);
	check_all_flips(&small_zstd, &random);
}

TEST(no_changed_byte_of_a_whole_file_goes_unnoticed)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("noticed.mcap");
	struct model *model = write_session(path, &small_zstd, &random, 40, 200);
	size_t size;
	uint8_t *bytes = model_load(path, &size);

	for (size_t i = 0; i < size; i++) {
		struct fnx_mcap_message message;
		struct fnx_mcap_reader *reader;
		int r;

		bytes[i] ^= 0x10;
		model_save(path, bytes, size);
		assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
		do {
			r = fnx_mcap_reader_next(reader, &message);
		} while (r == FNX_MCAP_MESSAGE);
		assert_true(r != FNX_MCAP_END);
		fnx_mcap_reader_close(reader);
		bytes[i] ^= 0x10;
	}
	free(bytes);
	model_free(model);
}

TEST(bytes_behind_the_end_are_damage)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("behind.mcap");
	struct model *model = write_session(path, &small, &random, 20, 100);
	FILE *file = fopen(path, "ab");

	fputc('x', file);
	fclose(file);
	assert_int_equal(model_compare_file(model, path, model->n), -EBADMSG);
	model_free(model);
}

TEST(what_is_no_mcap_file_is_refused_with_a_text)
{
	const char *path = model_path("other.bin");
	struct fnx_mcap_message message;
	struct fnx_mcap_reader *reader;

	model_save(path, "SQLite format 3\0 and so on", 26);
	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), -EBADMSG);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), -EBADMSG);
	assert_int_equal(fnx_mcap_reader_skip(reader), -EBADMSG);
	assert_string_equal(fnx_mcap_reader_error(reader)->text, "not an MCAP file");
	fnx_mcap_reader_close(reader);
	assert_int_equal(fnx_mcap_reader_open(model_path("absent.mcap"), &reader), -ENOENT);
	assert_int_equal(fnx_mcap_reader_open(check_scratch_dir(), &reader), -EISDIR);
}

/* A header, a channel without schema, and a chunk with one message and this compression, unclosed.
 */
static size_t put_lz4_file(uint8_t *bytes)
{
	static const uint8_t head[] = "\x89MCAP0\r\n"
				      "\x01\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				      "\x04\x10\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				      "\x06\x2d\0\0\0\0\0\0\0";
	static const uint8_t chunk[] = "\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x1f\0\0\0\0\0\0\0"
				       "\0\0\0\0\3\0\0\0lz4\2\0\0\0\0\0\0\0ab";

	memcpy(bytes, head, sizeof(head) - 1);
	memcpy(bytes + sizeof(head) - 1, chunk, sizeof(chunk) - 1);
	return sizeof(head) - 1 + sizeof(chunk) - 1;
}

TEST(lz4_is_refused_by_name_and_can_be_skipped)
{
	const char *path = model_path("lz4.mcap");
	struct fnx_mcap_message message;
	struct fnx_mcap_reader *reader;
	uint8_t bytes[256];

	model_save(path, bytes, put_lz4_file(bytes));
	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), -EOPNOTSUPP);
	assert_string_equal(
		fnx_mcap_reader_error(reader)->text, "lz4 compression is not supported");
	assert_int_equal(fnx_mcap_reader_error(reader)->offset, 50);
	assert_int_equal(fnx_mcap_reader_skip(reader), 0);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_CUT);
	fnx_mcap_reader_close(reader);
}

TEST(what_exceeds_the_limits_is_refused_and_can_be_skipped)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("limits.mcap");
	struct fnx_mcap_config config = {.compression = FNX_MCAP_ZSTD, .replace = true};
	struct fnx_mcap_limits limits[] = {
		{.max_record_size = 30}, {.max_chunk_size = 10}, {.max_catalog_size = 10}};
	struct model *model = write_session(path, &config, &random, 100, 500);

	for (size_t i = 0; i < 3; i++) {
		struct fnx_mcap_message message;
		struct fnx_mcap_reader *reader;
		int skips = 0;

		assert_int_equal(fnx_mcap_reader_open_limited(path, &limits[i], &reader), 0);
		assert_int_equal(fnx_mcap_reader_next(reader, &message), -EFBIG);
		while (fnx_mcap_reader_next(reader, &message) < 0 &&
			fnx_mcap_reader_skip(reader) == 0)
			assert_true(++skips < 100);
		fnx_mcap_reader_close(reader);
	}
	model_free(model);
}

TEST(seeking_finds_the_same_messages_with_and_without_a_summary)
{
	struct check_random random = check_random_seeded();
	const char *paths[2] = {model_path("seek.mcap"), model_path("seek_cut.mcap")};
	struct model *model = write_session(paths[0], &small_zstd, &random, 400, 200);
	size_t size;
	uint8_t *bytes = model_load(paths[0], &size);

	model_save(paths[1], bytes, size - 4);
	for (size_t file = 0; file < 2; file++) {
		struct fnx_mcap_reader *reader;

		assert_int_equal(fnx_mcap_reader_open(paths[file], &reader), 0);
		for (size_t turn = 0; turn < 50; turn++) {
			uint64_t span_ns = model->now_ns - 900;
			uint64_t from_ns = turn ? 950 + check_random_below(&random, span_ns) : 0;
			struct fnx_mcap_message message;
			struct fnx_mcap_stats stats;
			size_t n = 0;

			assert_int_equal(fnx_mcap_reader_seek(reader, from_ns), 0);
			for (size_t i = 0; i < model->n; i++) {
				if (model->messages[i].log_time_ns < from_ns)
					continue;
				assert_int_equal(
					fnx_mcap_reader_next(reader, &message), FNX_MCAP_MESSAGE);
				assert_true(model_equal(&model->messages[i], &message));
				n++;
				if (check_random_below(&random, 100) == 0)
					break;
			}
			fnx_mcap_reader_stats(reader, &stats);
			assert_int_equal(stats.n_messages, n);
			assert_true(stats.n_attachments <= model->n_attachments);
		}
		fnx_mcap_reader_close(reader);
	}
	free(bytes);
	model_free(model);
}

TEST(looking_at_the_summary_does_not_disturb_reading)
{
	struct check_random random = check_random_seeded();
	const char *path = model_path("look.mcap");
	struct fnx_mcap_config config = {.chunk_size = 100000, .max_message_size = 9000};
	struct model *model = write_session(path, &config, &random, 500, 9000);
	struct fnx_mcap_message message;
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_stats stats;

	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	for (size_t i = 0; i < model->n; i++) {
		assert_int_equal(fnx_mcap_reader_summary(reader, &stats), 0);
		assert_int_equal(stats.n_messages, model->n);
		assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_MESSAGE);
		assert_true(model_equal(&model->messages[i], &message));
	}
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_END);
	fnx_mcap_reader_close(reader);
	model_free(model);
}

static size_t count_foreign(const char *name)
{
	static const uint64_t times_ns[] = {100, 110, 120, 130, 5};
	struct fnx_mcap_message message;
	struct fnx_mcap_reader *reader;
	char path[512];
	size_t n = 0;
	int r;

	snprintf(path, sizeof(path), "%s/tests/data/mcap/%s", FNX_SOURCE_DIR, name);
	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	while ((r = fnx_mcap_reader_next(reader, &message)) == FNX_MCAP_MESSAGE) {
		assert_true(n < 5);
		assert_int_equal(message.log_time_ns, times_ns[n]);
		assert_int_equal(message.publish_time_ns, times_ns[n] + 1);
		assert_int_equal(message.sequence, n < 4 ? n : 9);
		assert_int_equal(message.size, n < 4 ? 8 : 0);
		assert_string_equal(message.channel->topic, n < 4 ? "lfp/1" : "text");
		n++;
	}
	assert_int_equal(r, FNX_MCAP_END);
	assert_string_equal(fnx_mcap_reader_header(reader).library, "make.py");
	fnx_mcap_reader_close(reader);
	return n;
}

TEST(files_laid_out_by_other_writers_are_read)
{
	assert_int_equal(count_foreign("unchunked.mcap"), 5);
	assert_int_equal(count_foreign("inside.mcap"), 5);
	assert_int_equal(count_foreign("no_crc.mcap"), 5);
	assert_int_equal(count_foreign("empty.mcap"), 0);
}

TEST(files_laid_out_by_other_writers_are_gone_on_with)
{
	const char *names[] = {"unchunked", "inside", "no_crc", "empty"};

	for (size_t i = 0; i < 4; i++) {
		struct fnx_mcap_writer_stats stats;
		struct fnx_mcap_message message;
		struct fnx_mcap_writer *writer;
		struct fnx_mcap_reader *reader;
		const char *path = model_path(names[i]);
		char source[512];
		uint8_t *bytes;
		uint32_t sequence = 0;
		size_t size;
		size_t n = 0;
		int r;

		snprintf(source, sizeof(source), "%s/tests/data/mcap/%s.mcap", FNX_SOURCE_DIR,
			names[i]);
		bytes = model_load(source, &size);
		model_save(path, bytes, size);
		free(bytes);
		assert_int_equal(fnx_mcap_writer_reopen(path, &small_zstd, &writer), 0);
		fnx_mcap_writer_stats(writer, &stats);
		assert_int_equal(stats.file.n_messages, i < 3 ? 5 : 0);
		r = fnx_mcap_writer_last_sequence(writer, 2, &sequence);
		assert_int_equal(r, i < 3 ? 0 : -ENOENT);
		assert_int_equal(sequence, i < 3 ? 3 : 0);
		assert_int_equal(model_add_channel(writer, 1), 0);
		assert_int_equal(
			fnx_mcap_writer_message(writer, model_channel_id(1), 1, 1, 1, "", 1), 0);
		assert_int_equal(fnx_mcap_writer_close(writer), 0);
		assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
		while ((r = fnx_mcap_reader_next(reader, &message)) == FNX_MCAP_MESSAGE)
			n++;
		assert_int_equal(r, FNX_MCAP_END);
		assert_int_equal(n, stats.file.n_messages + 1);
		fnx_mcap_reader_close(reader);
	}
}

TEST(a_chunk_without_crc_may_hold_anything)
{
	const char *path = model_path("no_crc.mcap");
	size_t size;
	uint8_t *bytes = model_load(FNX_SOURCE_DIR "/tests/data/mcap/no_crc.mcap", &size);

	for (size_t i = 0; i < size; i++) {
		for (unsigned mask = 1; mask < 256; mask = 2 * mask + 1) {
			struct fnx_mcap_message message;
			struct fnx_mcap_reader *reader;
			size_t n = 0;
			int r;

			bytes[i] ^= (uint8_t)mask;
			model_save(path, bytes, size);
			assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
			while ((r = fnx_mcap_reader_next(reader, &message)) == FNX_MCAP_MESSAGE) {
				const uint8_t *data = message.data;

				/* Touched, so that a sanitizer sees where they lie. */
				assert_true(
					message.size == 0 || data[0] + data[message.size - 1] >= 0);
				assert_true(++n <= 5);
			}
			fnx_mcap_reader_close(reader);
			bytes[i] ^= (uint8_t)mask;
		}
	}
	free(bytes);
}

TEST(a_damaged_attachment_is_named_and_can_be_skipped)
{
	const char *path = model_path("attachment.mcap");
	struct fnx_mcap_message message;
	struct fnx_mcap_writer *writer;
	struct fnx_mcap_reader *reader;
	uint8_t *bytes;
	uint8_t *at;
	size_t size;

	assert_int_equal(fnx_mcap_writer_open(path, &small, &writer), 0);
	assert_int_equal(model_add_channel(writer, 0), 0);
	assert_int_equal(fnx_mcap_writer_attachment(writer, "a", "b", 1, 2, "needle", 6), 0);
	assert_int_equal(fnx_mcap_writer_message(writer, 1, 1, 1, 1, "x", 1), 0);
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	bytes = model_load(path, &size);
	at = memmem(bytes, size, "needle", 6);
	assert_non_null(at);
	at[0] = 'N';
	model_save(path, bytes, size);
	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), -EBADMSG);
	assert_string_equal(
		fnx_mcap_reader_error(reader)->text, "the CRC of an attachment is wrong");
	assert_int_equal(fnx_mcap_reader_skip(reader), 0);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_MESSAGE);
	assert_int_equal(fnx_mcap_reader_next(reader, &message), FNX_MCAP_END);
	assert_null(fnx_mcap_reader_attachment_at(reader, 0));
	fnx_mcap_reader_close(reader);
	free(bytes);
}
