/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/pack.h"

#include <errno.h>
#include <string.h>

static int write_bytes(void *data, const char *bytes, size_t n)
{
	struct fnx_pack *pack = data;

	if (n > pack->size - pack->used)
		return -EMSGSIZE;
	if (n)
		memcpy(pack->buffer + pack->used, bytes, n);
	pack->used += n;
	return 0;
}

void fnx_pack_init(struct fnx_pack *pack, void *buffer, size_t size)
{
	*pack = (struct fnx_pack){.buffer = buffer, .size = size};
	msgpack_packer_init(&pack->packer, pack, write_bytes);
}

int fnx_pack_text(struct fnx_pack *pack, const char *text, size_t size)
{
	return msgpack_pack_str_with_body(&pack->packer, text, size);
}

int fnx_pack_name(struct fnx_pack *pack, const char *name)
{
	return fnx_pack_text(pack, name, strlen(name));
}
