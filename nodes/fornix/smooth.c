/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/smooth.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/mcap.h"
#include "nodes/decode/setup.h"
#include "nodes/decode/smoother.h"
#include "nodes/host/credible.h"
#include "schemas/codec.h"
#include "schemas/posterior.h"

enum {
	RIG_SIZE_MAX = 1 << 20,
	TELL_EVERY = 512, /* records, between two calls of progress */
};

#define TOPIC "posterior"
#define SMOOTHED "posterior.smoothed"

/* What stands before each payload in the temporary file. */
struct record {
	struct fnx_codec_stamp stamp;
	uint64_t log_time_ns, publish_time_ns;
	uint32_t sequence, channel;
};

struct smooth {
	const struct fnx_smooth_options *options;
	struct fnx_smooth_result result;
	char *error;
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_writer *writer;
	struct fnx_codec_decoder *decoder;
	struct fnx_description *description;
	const struct fnx_layout *layout;
	const struct fnx_mcap_schema *schema;
	struct fnx_rig *rig;
	struct fnx_track *track;
	struct fnx_decode_setup setup;
	struct fnx_transition transition;
	struct fnx_smoother smoother;
	struct fnx_score filtered, smoothed;
	int spill; /* the temporary file */
	size_t record_size; /* with its payload */
	struct record *record, *later; /* the one at hand, the one after it */
	double *total, *work; /* [n_bins] */
	unsigned char *buffer;
	size_t buffer_size;
};

__attribute__((format(printf, 3, 4))) static int fail(
	struct smooth *smooth, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(smooth->error, FNX_SMOOTH_ERROR_MAX, format, args);
	va_end(args);
	return error;
}

static int fail_errno(struct smooth *smooth, int error, const char *what)
{
	return fail(smooth, error, "%s: %s", what, strerror(-error));
}

static int no_memory(struct smooth *smooth)
{
	return fail(smooth, -ENOMEM, "out of memory");
}

static void tell(const struct smooth *smooth, double part)
{
	if (smooth->options->progress)
		smooth->options->progress(part);
}

/* The temporary file
 * --------------------------------------------------------------------------------- */

static int open_spill(struct smooth *smooth)
{
	const char *directory = getenv("TMPDIR");
	char path[4096];

	snprintf(path, sizeof(path), "%s/fornix-smooth.XXXXXX",
		directory && *directory ? directory : "/tmp");
	smooth->spill = mkostemp(path, O_CLOEXEC);
	if (smooth->spill < 0)
		return fail_errno(smooth, -errno, path);
	unlink(path);
	return 0;
}

static int transfer(struct smooth *smooth, struct record *record, uint64_t at, bool writes)
{
	char *bytes = (char *)record;

	for (size_t done = 0; done < smooth->record_size;) {
		const size_t left = smooth->record_size - done;
		const off_t from = (off_t)(at * smooth->record_size + done);
		const ssize_t n = writes ? pwrite(smooth->spill, bytes + done, left, from)
					 : pread(smooth->spill, bytes + done, left, from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_errno(smooth, n < 0 ? -errno : -EIO, "temporary file");
		done += (size_t)n;
	}
	return 0;
}

static struct fnx_posterior *payload_of(struct record *record)
{
	return (struct fnx_posterior *)(record + 1);
}

/* Reading
 * ------------------------------------------------------------------------------------------- */

static int learn_layout(struct smooth *smooth, const struct fnx_mcap_channel *channel)
{
	int r;

	smooth->schema = fnx_mcap_reader_schema(smooth->reader, channel->schema_id);
	if (!smooth->schema || strcmp(smooth->schema->encoding, "fornix"))
		return fail(smooth, -EPROTO, "%s: its posteriors were not recorded by fornix",
			smooth->options->in);
	r = fnx_description_decode(
		smooth->schema->data, smooth->schema->size, &smooth->description);
	if (r)
		return fail(
			smooth, r, "%s: topic " TOPIC " cannot be understood", smooth->options->in);
	if (fnx_schema_hash(&smooth->description->schema) != fnx_schema_hash(&fnx_posterior_schema))
		return fail(smooth, -EPROTO,
			"%s: recorded by another version of fornix: its posteriors have other "
			"fields",
			smooth->options->in);
	smooth->layout = &smooth->description->layout;
	smooth->record_size = (sizeof(struct record) + smooth->layout->size + 7) / 8 * 8;
	smooth->record = calloc(1, smooth->record_size);
	smooth->later = calloc(1, smooth->record_size);
	smooth->buffer_size = fnx_codec_bound(smooth->layout);
	smooth->buffer = malloc(smooth->buffer_size);
	return smooth->record && smooth->later && smooth->buffer ? 0 : no_memory(smooth);
}

static int keep(struct smooth *smooth, const struct fnx_mcap_message *message)
{
	struct record *record;
	int r = smooth->layout ? 0 : learn_layout(smooth, message->channel);

	if (r)
		return r;
	record = smooth->record;
	r = fnx_codec_decode(smooth->layout, smooth->decoder, message->data, message->size,
		&record->stamp, payload_of(record));
	if (r)
		return fail(smooth, -EBADMSG, "%s: posterior %" PRIu64 " is no message of fornix",
			smooth->options->in, smooth->result.n_posteriors);
	record->log_time_ns = message->log_time_ns;
	record->publish_time_ns = message->publish_time_ns;
	record->sequence = message->sequence;
	record->channel = message->channel->id;
	fnx_score_posterior(&smooth->filtered, payload_of(record));
	return transfer(smooth, record, smooth->result.n_posteriors++, true);
}

static int read_all(struct smooth *smooth)
{
	struct fnx_mcap_message message;
	int r;

	while ((r = fnx_mcap_reader_next(smooth->reader, &message)) == FNX_MCAP_MESSAGE) {
		if (strcmp(message.channel->topic, TOPIC))
			continue;
		r = keep(smooth, &message);
		if (r)
			return r;
		if (smooth->result.n_posteriors % TELL_EVERY == 0)
			tell(smooth, 0.0);
	}
	if (r < 0)
		return fail(smooth, r, "%s: %s", smooth->options->in,
			fnx_mcap_reader_error(smooth->reader)->text);
	smooth->result.cut = r == FNX_MCAP_CUT;
	if (smooth->result.n_posteriors == 0)
		return fail(smooth, -ENODATA, "%s: no topic " TOPIC " in it", smooth->options->in);
	return 0;
}

/* The rig
 * ------------------------------------------------------------------------------------------- */

/* Copies the recording's rig file to where it can be loaded from. */
static int extract_rig(struct smooth *smooth, char *path, size_t size)
{
	const struct fnx_mcap_attachment *attachment;
	const char *directory = getenv("TMPDIR");
	size_t i = 0;
	void *text;
	int fd, r;

	while ((attachment = fnx_mcap_reader_attachment_at(smooth->reader, i)) &&
		strcmp(attachment->name, "rig.yaml"))
		i++;
	if (!attachment || attachment->data_size > RIG_SIZE_MAX)
		return fail(smooth, -ENODATA,
			"%s: holds no rig file; name one with --rig FILE.yaml",
			smooth->options->in);
	text = malloc(attachment->data_size + 1);
	if (!text)
		return no_memory(smooth);
	r = fnx_mcap_reader_attachment_data(smooth->reader, i, 0, text, attachment->data_size);
	snprintf(path, size, "%s/fornix-rig.XXXXXX", directory && *directory ? directory : "/tmp");
	fd = r ? -1 : mkostemp(path, O_CLOEXEC);
	if (!r && fd < 0)
		r = -errno;
	if (!r && write(fd, text, attachment->data_size) != (ssize_t)attachment->data_size)
		r = -EIO;
	if (fd >= 0)
		close(fd);
	free(text);
	return r ? fail_errno(smooth, r, "rig.yaml") : 0;
}

static int load_rig(struct smooth *smooth)
{
	const struct fnx_smooth_options *options = smooth->options;
	char path[4096] = "", error[FNX_RIG_ERROR_MAX];
	int r = options->rig ? 0 : extract_rig(smooth, path, sizeof(path));

	if (r)
		return r;
	r = fnx_rig_load(options->rig ? options->rig : path, options->overrides,
		options->n_overrides, &smooth->rig, error);
	if (path[0])
		unlink(path);
	return r ? fail(smooth, r, "%s", error) : 0;
}

static int build_transition(struct smooth *smooth)
{
	struct fnx_track_config *config = malloc(sizeof(*config));
	char error[FNX_RIG_ERROR_MAX] = "the rig has no track";
	int r = -EINVAL;

	if (!config)
		return no_memory(smooth);
	if (smooth->rig->track.enabled && smooth->rig->decode.enabled)
		r = fnx_rig_track(smooth->rig, config, error);
	if (!r)
		r = fnx_track_new(config, &smooth->track, NULL);
	free(config);
	if (r)
		return fail(smooth, r, "%s: %s", smooth->rig->path, error);
	r = fnx_decode_setup_init(&smooth->setup, smooth->rig, smooth->track);
	if (!r)
		r = fnx_transition_init(&smooth->transition, &smooth->setup.transition);
	if (!r)
		r = fnx_smoother_init(&smooth->smoother, &smooth->transition);
	return r ? fail_errno(smooth, r, "decode") : 0;
}

static int open_rig(struct smooth *smooth)
{
	const uint32_t *extents = smooth->layout->extents;
	int r = load_rig(smooth);

	if (!r)
		r = build_transition(smooth);
	if (r)
		return r;
	if (extents[fnx_posterior_n_bins] != smooth->setup.n_bins ||
		extents[fnx_posterior_n_states] != smooth->setup.n_states)
		return fail(smooth, -EINVAL,
			"%s has posteriors of %u states and %u bins, the rig %u and %u",
			smooth->options->in, extents[fnx_posterior_n_states],
			extents[fnx_posterior_n_bins], smooth->setup.n_states,
			smooth->setup.n_bins);
	smooth->total = calloc(smooth->setup.n_bins, sizeof(double));
	smooth->work = calloc(smooth->setup.n_bins, sizeof(double));
	return smooth->total && smooth->work ? 0 : no_memory(smooth);
}

/* Backwards
 * ----------------------------------------------------------------------------------------- */

static bool follows(struct record *record, struct record *later)
{
	return record->channel == later->channel &&
		payload_of(record)->bin_end == payload_of(later)->bin_start;
}

static void measure(struct smooth *smooth, struct fnx_posterior *message)
{
	const uint32_t n = smooth->setup.n_bins;
	const double *posterior = fnx_posterior_get_posterior(smooth->layout, message);
	uint32_t best = 0;

	for (uint32_t i = 0; i < n; i++) {
		smooth->total[i] = 0.0;
		for (uint32_t k = 0; k < smooth->setup.n_states; k++)
			smooth->total[i] += posterior[(size_t)k * n + i];
		best = smooth->total[i] > smooth->total[best] ? i : best;
	}
	message->decoded_bin = (int32_t)best;
	message->decoded_arm = fnx_track_bin_arms(smooth->track)[best];
	message->credible_posterior = fnx_credible_bins(
		smooth->total, n, smooth->rig->decode.credible_mass, smooth->work);
}

static int go_back(struct smooth *smooth)
{
	const uint64_t n = smooth->result.n_posteriors;

	for (uint64_t i = n; i-- > 0;) {
		struct record *swap = smooth->later;
		struct fnx_posterior *message;
		double *posterior;
		int r;

		smooth->later = smooth->record;
		smooth->record = swap;
		r = transfer(smooth, smooth->record, i, false);
		if (r)
			return r;
		if (i + 1 < n && !follows(smooth->record, smooth->later)) {
			fnx_smoother_forget(&smooth->smoother);
			smooth->result.n_gaps++;
		}
		message = payload_of(smooth->record);
		posterior = fnx_posterior_put_posterior(smooth->layout, message);
		if (!fnx_smoother_step(&smooth->smoother, posterior,
			    fnx_posterior_get_likelihood(smooth->layout, message), posterior))
			smooth->result.n_excluded++;
		measure(smooth, message);
		r = transfer(smooth, smooth->record, i, true);
		if (r)
			return r;
		if (i % TELL_EVERY == 0)
			tell(smooth, 0.5 * (double)(n - i) / (double)n);
	}
	return 0;
}

/* Writing
 * ------------------------------------------------------------------------------------------- */

static int copy_rig(struct smooth *smooth)
{
	const struct fnx_mcap_attachment *attachment;
	void *text;
	int r = 0;

	for (size_t i = 0; !r && (attachment = fnx_mcap_reader_attachment_at(smooth->reader, i));
		i++) {
		if (strcmp(attachment->name, "rig.yaml") || attachment->data_size > RIG_SIZE_MAX)
			continue;
		text = malloc(attachment->data_size + 1);
		r = text ? fnx_mcap_reader_attachment_data(
				   smooth->reader, i, 0, text, attachment->data_size)
			 : -ENOMEM;
		if (!r)
			r = fnx_mcap_writer_attachment(smooth->writer, attachment->name,
				attachment->media_type, attachment->log_time_ns,
				attachment->create_time_ns, text, attachment->data_size);
		free(text);
	}
	return r;
}

static int begin_file(struct smooth *smooth)
{
	const struct fnx_mcap_metadata *metadata;
	int r = 0;

	for (size_t i = 0; !r && (metadata = fnx_mcap_reader_metadata_at(smooth->reader, i)); i++)
		r = fnx_mcap_writer_metadata(
			smooth->writer, metadata->name, metadata->pairs, metadata->n_pairs);
	if (!r)
		r = copy_rig(smooth);
	if (!r)
		r = fnx_mcap_writer_add_schema(smooth->writer, 1, smooth->schema->name, "fornix",
			smooth->schema->data, smooth->schema->size);
	if (!r)
		r = fnx_mcap_writer_add_channel(smooth->writer, 1, 1, SMOOTHED, "msgpack",
			(struct fnx_mcap_pair[]){{"topic", SMOOTHED}, {"node", "smoother"}}, 2);
	return r;
}

static int write_record(struct smooth *smooth, struct record *record)
{
	size_t size;
	int r = fnx_codec_encode(smooth->layout, &record->stamp, payload_of(record),
		smooth->layout->size, smooth->buffer, smooth->buffer_size, &size);

	if (!r)
		r = fnx_mcap_writer_message(smooth->writer, 1, record->sequence,
			record->log_time_ns, record->publish_time_ns, smooth->buffer, size);
	return r;
}

static int write_all(struct smooth *smooth)
{
	const struct fnx_mcap_config config = {.profile = "fornix", .compression = FNX_MCAP_ZSTD};
	const uint64_t n = smooth->result.n_posteriors;
	int closed, r = fnx_mcap_writer_open(smooth->options->out, &config, &smooth->writer);

	if (r)
		return fail_errno(smooth, r, smooth->options->out);
	r = begin_file(smooth);
	for (uint64_t i = 0; !r && i < n; i++) {
		r = transfer(smooth, smooth->record, i, false);
		if (!r)
			r = write_record(smooth, smooth->record);
		fnx_score_posterior(&smooth->smoothed, payload_of(smooth->record));
		if (i % TELL_EVERY == 0)
			tell(smooth, 0.5 + 0.5 * (double)i / (double)n);
	}
	closed = fnx_mcap_writer_close(smooth->writer);
	if (!r)
		r = closed;
	if (!r)
		return 0;
	unlink(smooth->options->out);
	return fail_errno(smooth, r, smooth->options->out);
}

/* All of it
 * ----------------------------------------------------------------------------------------- */

static int open_all(struct smooth *smooth)
{
	int r = fnx_mcap_reader_open(smooth->options->in, &smooth->reader);

	if (r)
		return fail_errno(smooth, r, smooth->options->in);
	if (access(smooth->options->out, F_OK) == 0)
		return fail(smooth, -EEXIST, "%s exists already; it will not be overwritten",
			smooth->options->out);
	if (fnx_codec_decoder_new(&smooth->decoder) || fnx_score_init(&smooth->filtered) ||
		fnx_score_init(&smooth->smoothed))
		return no_memory(smooth);
	return open_spill(smooth);
}

static void close_all(struct smooth *smooth)
{
	fnx_smoother_fini(&smooth->smoother);
	fnx_transition_fini(&smooth->transition);
	fnx_decode_setup_fini(&smooth->setup);
	fnx_track_free(smooth->track);
	fnx_rig_free(smooth->rig);
	fnx_score_fini(&smooth->filtered);
	fnx_score_fini(&smooth->smoothed);
	fnx_codec_decoder_free(smooth->decoder);
	fnx_description_free(smooth->description);
	if (smooth->reader)
		fnx_mcap_reader_close(smooth->reader);
	if (smooth->spill >= 0)
		close(smooth->spill);
	free(smooth->record);
	free(smooth->later);
	free(smooth->total);
	free(smooth->work);
	free(smooth->buffer);
}

int fnx_smooth(
	const struct fnx_smooth_options *options, struct fnx_smooth_result *ret_result, char *error)
{
	struct smooth smooth = {.options = options, .error = error, .spill = -1};
	int r = open_all(&smooth);

	if (!r)
		r = read_all(&smooth);
	if (!r)
		r = open_rig(&smooth);
	if (!r)
		r = go_back(&smooth);
	if (!r)
		r = write_all(&smooth);
	if (!r &&
		(fnx_score_error(&smooth.filtered, smooth.rig, &smooth.result.filtered) ||
			fnx_score_error(&smooth.smoothed, smooth.rig, &smooth.result.smoothed)))
		r = no_memory(&smooth);
	close_all(&smooth);
	if (!r)
		*ret_result = smooth.result;
	return r;
}
