/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/record/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nodes/host/demo.h"

enum {
	RIG_SIZE_MAX = 1 << 20
};

#define PROFILE "fornix"

static const char *value_of(const struct fnx_mcap_pair *pairs, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(pairs[i].key, key))
			return pairs[i].value;
	return "";
}

static int is_of(const struct fnx_mcap_channel *channel, const struct fnx_recording_topic *topic)
{
	char epoch[32];

	snprintf(epoch, sizeof(epoch), "%" PRIu64, topic->epoch);
	return !strcmp(channel->topic, topic->name) &&
		!strcmp(value_of(channel->metadata, channel->n_metadata, "epoch"), epoch);
}

/* What the first message's file is; its channels stand before it. */
static enum fnx_recording whose(const struct fnx_mcap_reader *reader,
	const struct fnx_recording_topic *topics, size_t n_topics, int64_t *ret_clock_offset_ns)
{
	const struct fnx_mcap_metadata *metadata;
	const struct fnx_mcap_channel *channel;
	const char *offset = "";
	int ours = 0;

	for (size_t i = 0; (channel = fnx_mcap_reader_channel_at(reader, i)); i++)
		for (size_t k = 0; k < n_topics; k++)
			ours |= is_of(channel, &topics[k]);
	for (size_t i = 0; (metadata = fnx_mcap_reader_metadata_at(reader, i)); i++)
		if (!strcmp(metadata->name, PROFILE))
			offset = value_of(metadata->pairs, metadata->n_pairs, "clock_offset_ns");
	if (!ours || !offset[0])
		return FNX_RECORDING_OTHERS;
	*ret_clock_offset_ns = strtoll(offset, NULL, 10);
	return FNX_RECORDING_OURS;
}

int fnx_recording_look(const char *path, const struct fnx_recording_topic *topics, size_t n_topics,
	int64_t *ret_clock_offset_ns, char *error)
{
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_message message;
	const char *profile;
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? FNX_RECORDING_FRESH : -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size == 0)
		return FNX_RECORDING_FRESH;
	r = fnx_mcap_reader_open(path, &reader);
	if (r)
		return r;
	r = fnx_mcap_reader_next(reader, &message);
	profile = fnx_mcap_reader_header(reader).profile;
	if (r == FNX_MCAP_MESSAGE)
		r = (int)whose(reader, topics, n_topics, ret_clock_offset_ns);
	else if (r >= 0)
		r = profile && !strcmp(profile, PROFILE) ? FNX_RECORDING_FRESH
							 : FNX_RECORDING_OTHERS;
	else
		snprintf(error, FNX_RECORDING_ERROR_MAX, "%s", fnx_mcap_reader_error(reader)->text);
	fnx_mcap_reader_close(reader);
	return r;
}

/* Attaches the rig file; what the command line changed in it is in the metadata. */
static int attach_rig(struct fnx_mcap_writer *writer, const struct fnx_rig *rig, uint64_t now_ns)
{
	size_t size = strlen(fnx_demo_rig);
	const char *text = fnx_demo_rig;
	char *read = NULL;
	int r;

	if (strcmp(rig->path, FNX_RIG_DEMO)) {
		FILE *file = fopen(rig->path, "re");

		if (!file)
			return FNX_RECORDING_NO_RIG;
		text = read = malloc(RIG_SIZE_MAX);
		size = read ? fread(read, 1, RIG_SIZE_MAX, file) : 0;
		r = !read ? -ENOMEM : ferror(file) ? FNX_RECORDING_NO_RIG : 0;
		fclose(file);
		if (r) {
			free(read);
			return r;
		}
	}
	r = fnx_mcap_writer_attachment(
		writer, "rig.yaml", "application/yaml", now_ns, 0, text, size);
	free(read);
	return r;
}

int fnx_recording_begin(
	struct fnx_mcap_writer *writer, const struct fnx_rig *rig, int64_t clock_offset_ns)
{
	static const char *const sources[] = {[FNX_SOURCE_SIMULATOR] = "simulator",
		[FNX_SOURCE_NWB] = "nwb",
		[FNX_SOURCE_MCAP] = "mcap"};
	char offset[32], rate[32];
	int r;

	snprintf(offset, sizeof(offset), "%" PRId64, clock_offset_ns);
	snprintf(rate, sizeof(rate), "%.17g", rig->clock.rate_hz);
	r = fnx_mcap_writer_metadata(writer, PROFILE,
		(struct fnx_mcap_pair[]){{"version", FNX_VERSION}, {"bus", rig->bus.name},
			{"source", sources[rig->source.type]},
			{"source_file", rig->source.file ? rig->source.file : ""},
			{"clock_hz", rate}, {"clock_offset_ns", offset}},
		6);
	return r ? r : attach_rig(writer, rig, (uint64_t)clock_offset_ns);
}

int fnx_recording_channel(
	struct fnx_mcap_writer *writer, const struct fnx_recording_topic *topic, uint16_t *ret_id)
{
	const struct fnx_mcap_channel *channel;
	char epoch[32];
	uint16_t id;
	int r;

	for (id = 1; (channel = fnx_mcap_writer_channel(writer, id)); id++) {
		if (is_of(channel, topic)) {
			*ret_id = id;
			return 0;
		}
	}
	snprintf(epoch, sizeof(epoch), "%" PRIu64, topic->epoch);
	r = fnx_mcap_writer_add_schema(
		writer, id, topic->schema_name, "fornix", topic->schema, topic->schema_size);
	if (!r)
		r = fnx_mcap_writer_add_channel(writer, id, id, topic->name, "msgpack",
			(struct fnx_mcap_pair[]){
				{"topic", topic->name}, {"node", topic->node}, {"epoch", epoch}},
			3);
	if (!r)
		*ret_id = id;
	return r;
}
