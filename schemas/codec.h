/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The codec: a payload with its clocks as one MessagePack map, and back. One codec for every
 * message, led by the layout.
 *
 *	{"seq": 7, "sample_time": 30000, "ingress_ns": .., "publish_ns": .., "frame_flags": 0,
 *	 "uv_per_count": 0.195, "group": 3, ...,
 *	 "waveform": {"nd": true, "type": "<f4", "shape": [4, 40], "data": <bin>}}
 *
 * Numbers take MessagePack's smallest form, text goes out without its padding. The flags of the
 * frame are "frame_flags" because messages have "flags" of their own. In Python:
 *
 *	def array(o):
 *	    if not o.get("nd"):
 *	        return o
 *	    return np.frombuffer(o["data"], o["type"]).reshape(o["shape"])
 *
 *	message = msgpack.unpackb(data, object_hook=array)
 *
 * These are the keys and values of msgpack-numpy, which looks for keys of type bytes: give it
 * raw=True. What it writes itself is decoded here, too.
 *
 * Text is UTF-8 of at most size - 1 bytes, the rest zeros. What a payload holds beyond (broken
 * UTF-8, no closing 0) is cut off when encoding.
 *
 * With this header come description.h (a schema as bytes) and format.h (a payload for people).
 */
#pragma once

#include "schemas/description.h"
#include "schemas/format.h"
#include "schemas/schema.h"

enum {
	/* Objects that one decode can tell apart, where a map of n pairs counts 2n and an array n.
	 * What goes beyond is skipped where its key is unknown, and refused elsewhere. */
	FNX_CODEC_OBJECTS = 2048,
};

/* What goes with a payload. */
struct fnx_codec_stamp {
	uint64_t seq;
	int64_t sample_time; /* samples of the acquisition clock */
	int64_t ingress_ns; /* CLOCK_MONOTONIC */
	int64_t publish_ns; /* CLOCK_MONOTONIC */
	uint32_t flags; /* of the frame */
};

struct fnx_codec_decoder;

/* Bytes that are enough for every message of this layout. */
size_t fnx_codec_bound(const struct fnx_layout *layout);

/* Any thread; allocates nothing, locks nothing. `length` must be the layout's size. Safe while
 * another process writes to the payload: values may then mix, never more. -EINVAL: wrong length;
 * -EMSGSIZE: the buffer is too small (never with fnx_codec_bound()), its content then undefined. */
FNX_MUST_CHECK int fnx_codec_encode(const struct fnx_layout *layout,
	const struct fnx_codec_stamp *stamp, const void *payload, size_t length, void *buffer,
	size_t size, size_t *ret_size);

/* Memory for decodes, one at a time; start-up only. -ENOMEM. */
FNX_MUST_CHECK int fnx_codec_decoder_new(struct fnx_codec_decoder **ret);
/* NULL is fine. Returns NULL. */
struct fnx_codec_decoder *fnx_codec_decoder_free(struct fnx_codec_decoder *decoder);

/* Decodes by name, in any order; unknown keys are skipped. Overwrites all layout->size bytes at
 * `payload`, the gaps between arrays with zeros. Trusts nothing in `data`; allocates nothing, locks
 * nothing.
 * -ENODATA: a field or a part of the stamp is missing; -EBADMSG: not one MessagePack map, a key
 * twice, or a value whose type, shape or size is not the field's, or too large for it. */
FNX_MUST_CHECK int fnx_codec_decode(const struct fnx_layout *layout,
	struct fnx_codec_decoder *decoder, const void *data, size_t size,
	struct fnx_codec_stamp *ret_stamp, void *payload);

/* 1 if a key is one of the stamp's, which no field may bear. */
int fnx_codec_reserved(const char *name);
