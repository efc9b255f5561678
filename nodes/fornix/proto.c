/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/proto.h"

#include <errno.h>

int fnx_span_varint(struct fnx_span *span, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte;

		if (span->at == span->end)
			return -EBADMSG;
		byte = *span->at++;
		if (shift == 63 && byte > 1)
			return -EBADMSG;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret_value = value;
			return 0;
		}
	}
	return -EBADMSG;
}

int fnx_span_take(struct fnx_span *span, uint64_t size, struct fnx_span *ret_bytes)
{
	if (size > (uint64_t)(span->end - span->at))
		return -EBADMSG;
	*ret_bytes = (struct fnx_span){span->at, span->at + size};
	span->at += size;
	return 0;
}

/* Little-endian, `n` bytes. */
static int take_fixed(struct fnx_span *span, unsigned n, uint64_t *ret_value)
{
	struct fnx_span bytes;
	uint64_t value = 0;

	if (fnx_span_take(span, n, &bytes))
		return -EBADMSG;
	for (unsigned i = 0; i < n; i++)
		value |= (uint64_t)bytes.at[i] << (8 * i);
	*ret_value = value;
	return 0;
}

int fnx_span_u32(struct fnx_span *span, uint32_t *ret_value)
{
	uint64_t value;
	int r = take_fixed(span, 4, &value);

	if (!r)
		*ret_value = (uint32_t)value;
	return r;
}

int fnx_proto_next(struct fnx_span *message, struct fnx_proto_field *ret_field)
{
	uint64_t key, size;
	int r;

	if (message->at == message->end)
		return 0;
	r = fnx_span_varint(message, &key);
	if (r || key >> 3 == 0 || key >> 3 > UINT32_MAX)
		return -EBADMSG;
	*ret_field = (struct fnx_proto_field){
		.number = (uint32_t)(key >> 3), .wire = (enum fnx_proto_wire)(key & 7)};
	switch (ret_field->wire) {
	case FNX_PROTO_VARINT:
		r = fnx_span_varint(message, &ret_field->value);
		break;
	case FNX_PROTO_FIXED64:
		r = take_fixed(message, 8, &ret_field->value);
		break;
	case FNX_PROTO_FIXED32:
		r = take_fixed(message, 4, &ret_field->value);
		break;
	case FNX_PROTO_BYTES:
		r = fnx_span_varint(message, &size);
		if (!r)
			r = fnx_span_take(message, size, &ret_field->bytes);
		break;
	default:
		r = -EBADMSG;
		break;
	}
	return r ? r : 1;
}
