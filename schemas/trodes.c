/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/trodes.h"

#include <errno.h>
#include <string.h>

#include "schemas/control.h"
#include "schemas/pack.h"
#include "schemas/text.h"

int fnx_trodes_encode_get(const char *service, void *buffer, size_t size, size_t *ret_size)
{
	const struct fnx_pair pairs[] = {fnx_pair_text("tag", "get"),
		fnx_pair_text("name", service), fnx_pair_text("endpoint", "")};

	return fnx_map_encode(pairs, 3, buffer, size, ret_size);
}

int fnx_trodes_encode_shortcut(uint32_t function, void *buffer, size_t size, size_t *ret_size)
{
	struct fnx_pack pack;
	int r;

	fnx_pack_init(&pack, buffer, size);
	r = msgpack_pack_array(&pack.packer, 3);
	r = r ? r : fnx_pack_name(&pack, "tag");
	r = r ? r : fnx_pack_name(&pack, "HRSCTrig");
	r = r ? r : msgpack_pack_map(&pack.packer, 1);
	r = r ? r : fnx_pack_name(&pack, "fn");
	r = r ? r : msgpack_pack_uint32(&pack.packer, function);
	if (!r)
		*ret_size = pack.used;
	return r;
}

int fnx_trodes_decode_announcement(const void *data, size_t size, char *ret_endpoint)
{
	struct fnx_map map;
	int r = fnx_map_decode(&map, data, size);

	if (!r)
		r = fnx_map_text(&map, "replyEndpoint", ret_endpoint, FNX_TRODES_ENDPOINT_MAX);
	return r == -EMSGSIZE ? r : r ? -EBADMSG : 0;
}

/* Where the text of one str begins, and its length; -EBADMSG: this is no str and nothing but. */
static int find_text(const unsigned char *data, size_t size, size_t *ret_at, size_t *ret_length)
{
	size_t at = 1, length;

	if (!size)
		return -EBADMSG;
	if ((data[0] & 0xe0) == 0xa0) {
		length = data[0] & 0x1f;
	} else if (data[0] == 0xd9 && size > 1) {
		at = 2;
		length = data[1];
	} else if (data[0] == 0xda && size > 2) {
		at = 3;
		length = (size_t)data[1] << 8 | data[2];
	} else {
		return -EBADMSG;
	}
	if (size - at != length)
		return -EBADMSG;
	*ret_at = at;
	*ret_length = length;
	return 0;
}

int fnx_trodes_decode_endpoint(const void *data, size_t size, char *ret_endpoint)
{
	const char *bytes = data;
	size_t at, length;
	int r = find_text(data, size, &at, &length);

	if (r)
		return r;
	if (!length)
		return -ENOENT;
	if (length >= FNX_TRODES_ENDPOINT_MAX)
		return -EMSGSIZE;
	if (!fnx_text_printable(bytes + at, length))
		return -EBADMSG;
	memcpy(ret_endpoint, bytes + at, length);
	ret_endpoint[length] = 0;
	return 0;
}
