/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every decoder of schemas/ on arbitrary bytes. The first byte chooses: a message of each schema, a
 * description, a control map. What is accepted must survive being encoded and decoded again.
 */
#include <stdlib.h>
#include <string.h>

#include "schemas/codec.h"
#include "schemas/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

static void try_message(const struct fnx_schema *schema, const uint8_t *data, size_t size)
{
	static struct fnx_codec_decoder *decoder;
	static uint64_t payload[512], again[512];
	static char buffer[8192], line[65536];
	const uint32_t extents[FNX_SCHEMA_EXTENTS_MAX] = {2, 3, 1, 1};
	struct fnx_codec_stamp stamp;
	struct fnx_layout layout;
	size_t length;

	if (!decoder)
		must(fnx_codec_decoder_new(&decoder) == 0);
	must(fnx_layout_init(&layout, schema, extents) == 0 && layout.size <= sizeof(payload));
	must(fnx_codec_bound(&layout) <= sizeof(buffer));
	memset(payload, 0xa5, sizeof(payload));
	if (fnx_codec_decode(&layout, decoder, data, size, &stamp, payload) < 0)
		return;
	must(fnx_layout_format(&layout, payload, line, sizeof(line), 0) < sizeof(line));
	must(fnx_codec_encode(
		     &layout, &stamp, payload, layout.size, buffer, sizeof(buffer), &length) == 0);
	memset(again, 0x5a, sizeof(again));
	must(fnx_codec_decode(&layout, decoder, buffer, length, &stamp, again) == 0);
	must(memcmp(payload, again, layout.size) == 0);
}

static void try_description(const uint8_t *data, size_t size)
{
	static char buffer[FNX_DESCRIPTION_MAX], text[65536];
	struct fnx_description *description, *again;
	size_t length;

	if (fnx_description_decode(data, size, &description) < 0)
		return;
	must(fnx_layout_dtype(&description->layout, text, sizeof(text)) == 0);
	if (fnx_description_encode(&description->layout, buffer, sizeof(buffer), &length) == 0) {
		must(fnx_description_decode(buffer, length, &again) == 0);
		must(fnx_schema_hash(&again->schema) == fnx_schema_hash(&description->schema));
		must(again->layout.size == description->layout.size);
		fnx_description_free(again);
	}
	fnx_description_free(description);
}

static void try_map(const uint8_t *data, size_t size)
{
	static char buffer[65536];
	struct fnx_map map;
	size_t length;

	if (fnx_map_decode(&map, data, size) < 0)
		return;
	if (fnx_map_encode(map.pairs, map.n_pairs, buffer, sizeof(buffer), &length) == 0)
		must(fnx_map_decode(&map, buffer, length) == 0);
	else
		must(size > sizeof(buffer) / 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = 0;

	while (fnx_schemas[n])
		n++;
	if (size == 0)
		return 0;
	if (data[0] < n)
		try_message(fnx_schemas[data[0]], data + 1, size - 1);
	else if (data[0] == n)
		try_description(data + 1, size - 1);
	else
		try_map(data + 1, size - 1);
	return 0;
}
