/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file of a recording: what stands in it beside the messages, and whether one that exists is
 * to be gone on with.
 *
 *	profile   fornix
 *	metadata  fornix: version, bus, source, source_file, clock_hz, clock_offset_ns
 *	rig.yaml  attachment: the rig file's text
 *	schema    one per channel: its name; encoding "fornix", the topic's description as
 *		  MessagePack
 *	channel   message encoding "msgpack"; metadata topic, node (who publishes it), epoch
 *	message   sequence: the frame's; times: Unix nanoseconds, publish time + clock_offset_ns
 *
 * A topic that began anew while it was being recorded, so that its sequence numbers start again,
 * gets another channel.
 */
#pragma once

#include "bus/mcap.h"
#include "nodes/host/rig.h"

enum {
	FNX_RECORDING_ERROR_MAX = 256
};

enum fnx_recording {
	FNX_RECORDING_FRESH = 0, /* nothing is there, or nothing that holds a message */
	FNX_RECORDING_OURS = 1, /* it has a channel of this session */
	FNX_RECORDING_OTHERS = 2, /* some other recording */
};

struct fnx_recording_topic {
	const char *name;
	const char *node; /* its publisher */
	uint64_t epoch;
	const char *schema_name;
	const void *schema; /* description, MessagePack */
	size_t schema_size;
};

/* Looks at the file and does not touch it. OURS: *ret_clock_offset_ns is what its times are made
 * with. -EBADMSG and other negative errno, with `error` saying what is wrong: something is there
 * that cannot be read. */
FNX_MUST_CHECK int fnx_recording_look(const char *path, const struct fnx_recording_topic *topics,
	size_t n_topics, int64_t *ret_clock_offset_ns, char *error);

enum {
	FNX_RECORDING_NO_RIG = 1
};

/* Writes what a new recording begins with. FNX_RECORDING_NO_RIG: the rig file could not be read,
 * all else was written. */
FNX_MUST_CHECK int fnx_recording_begin(
	struct fnx_mcap_writer *writer, const struct fnx_rig *rig, int64_t clock_offset_ns);

/* The topic's channel: the one that the file has, or else a new one. */
FNX_MUST_CHECK int fnx_recording_channel(
	struct fnx_mcap_writer *writer, const struct fnx_recording_topic *topic, uint16_t *ret_id);
