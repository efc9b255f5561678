/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads protocol buffers field by field, without a description of the messages. Bytes may be
 * anything: nothing is read beyond the end.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes from `at` to before `end`. */
struct fnx_span {
	const uint8_t *at, *end;
};

enum fnx_proto_wire {
	FNX_PROTO_VARINT = 0,
	FNX_PROTO_FIXED64 = 1,
	FNX_PROTO_BYTES = 2,
	FNX_PROTO_FIXED32 = 5,
};

struct fnx_proto_field {
	uint32_t number;
	enum fnx_proto_wire wire;
	uint64_t value; /* of a number */
	struct fnx_span bytes; /* of text, bytes or a message within */
};

/* Takes a variable-length number off the front. 0; -EBADMSG: cut off, or longer than 64 bits. */
int fnx_span_varint(struct fnx_span *span, uint64_t *ret_value);
/* Takes `size` bytes off the front. -EBADMSG: there are fewer. */
int fnx_span_take(struct fnx_span *span, uint64_t size, struct fnx_span *ret_bytes);
/* Little-endian. -EBADMSG: cut off. */
int fnx_span_u32(struct fnx_span *span, uint32_t *ret_value);
/* Takes the next field off the front. 1; 0: the message has ended; -EBADMSG. */
int fnx_proto_next(struct fnx_span *message, struct fnx_proto_field *ret_field);
