/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MessagePack into a buffer of fixed size, by msgpack-c's packer. Inside schemas/ only.
 *
 * Each msgpack_pack_x() and each call here returns 0 or -EMSGSIZE once the buffer is full; so
 * `r = r ? r : next(...)` chains them and the first failure stays.
 */
#pragma once

#include <msgpack.h>

#include "schemas/schema.h"

struct fnx_pack {
	msgpack_packer packer;
	char *buffer;
	size_t size;
	size_t used;
};

/* `pack` must stay where it is: its packer points back at it. */
void fnx_pack_init(struct fnx_pack *pack, void *buffer, size_t size);

int fnx_pack_text(struct fnx_pack *pack, const char *text, size_t size);
int fnx_pack_name(struct fnx_pack *pack, const char *name);
