/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/format.h"

#include <errno.h>
#include <stdalign.h>

#include "schemas/param.h"
#include "schemas/spike.h"
#include "tests/unit/schemas/samples.h"

static struct fnx_layout spike_layout(void)
{
	const uint32_t extents[] = {2, 3};
	struct fnx_layout layout;

	assert_int_equal(fnx_layout_init(&layout, &fnx_spike_schema, extents), 0);
	return layout;
}

TEST(a_payload_becomes_one_line_with_units)
{
	const struct fnx_spike spike = {
		.uv_per_count = 0.195, .group = 7, .n_channels = 2, .n_points = 3};
	const float waveform[] = {1.0f, -2.5f, 3.0f, 4.0f, 5.0f, 6.0f};
	struct fnx_layout layout = spike_layout();
	alignas(8) char payload[48];
	char line[256];

	assert_int_equal(layout.size, sizeof(payload));
	memcpy(payload, &spike, sizeof(spike));
	memcpy(fnx_spike_put_waveform(&layout, payload), waveform, sizeof(waveform));
	fnx_layout_format(&layout, payload, line, sizeof(line), 3);
	assert_string_equal(line,
		"uv_per_count=0.195 uV group=7 n_channels=2 n_points=3 flags=0 "
		"waveform=[2x3: 1 -2.5 3 ...] count");
	fnx_layout_format(&layout, payload, line, sizeof(line), 0);
	assert_non_null(strstr(line, "[2x3: 1 -2.5 3 4 5 6] count"));
	fnx_layout_format(&layout, payload, line, sizeof(line), 6);
	assert_non_null(strstr(line, "[2x3: 1 -2.5 3 4 5 6] count"));
}

TEST(a_line_too_long_is_cut_and_its_length_told)
{
	struct fnx_layout layout = spike_layout();
	alignas(8) char payload[48] = {0};
	char full[256];
	size_t length = fnx_layout_format(&layout, payload, full, sizeof(full), 3);

	assert_int_equal(strlen(full), length);
	assert_int_equal(fnx_layout_format(&layout, payload, NULL, 0, 3), length);
	for (size_t size = 1; size <= length; size++) {
		char *line = malloc(size);

		assert_int_equal(fnx_layout_format(&layout, payload, line, size, 3), length);
		assert_int_equal(strlen(line), size - 1);
		assert_memory_equal(line, full, size - 1);
		free(line);
	}
}

TEST(a_text_cannot_steer_the_terminal)
{
	struct fnx_param param = {.value = 1.0, .node = "ripple", .name = "\x1b[2Jµ\r\n\xc2\x9b!"};
	struct fnx_layout layout;
	char line[256];

	assert_int_equal(fnx_layout_init(&layout, &fnx_param_schema, NULL), 0);
	memset(param.who, 'w', sizeof(param.who)); /* without a closing 0 */
	fnx_layout_format(&layout, &param, line, sizeof(line), 3);
	assert_non_null(strstr(line,
		"value=1 before=0 node=\"ripple\" name=\"?[2Jµ??"
		"?!\" who=\"www"));
	assert_int_equal(line[strlen(line) - 1], '"');
}

TEST(any_payload_of_any_schema_can_be_printed)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 200; round++) {
		struct random_schema sample;
		struct fnx_layout layout;
		char *payload, *line;
		size_t length;

		random_schema(&random, &sample);
		layout = random_layout(&random, &sample.schema);
		payload = random_payload(&random, &layout);
		for (uint32_t i = 0; i < layout.size; i++)
			if (check_random_below(&random, 2))
				payload[i] = (char)check_random_u64(&random);
		length = fnx_layout_format(&layout, payload, NULL, 0, 0);
		line = malloc(length + 1);
		assert_int_equal(fnx_layout_format(&layout, payload, line, length + 1, 0), length);
		assert_int_equal(strlen(line), length);
		for (size_t i = 0; i < length; i++)
			assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
		free(line);
		free(payload);
	}
}

TEST(the_record_type_of_a_spike_reads_so)
{
	struct fnx_layout layout = spike_layout();
	char text[4096];

	assert_int_equal(fnx_layout_dtype(&layout, text, sizeof(text)), 0);
	assert_string_equal(text,
		"{'names': ['uv_per_count', 'group', 'n_channels', 'n_points', 'flags', "
		"'waveform'], "
		"'formats': ['<f8', '<u4', '<u4', '<u4', '<u4', ('<f4', (2, 3))], "
		"'offsets': [0, 8, 12, 16, 20, 24], 'itemsize': 48}");
	assert_int_equal(fnx_layout_dtype(&layout, text, strlen(text)), -EMSGSIZE);
	assert_int_equal(fnx_layout_dtype(&layout, NULL, 0), -EMSGSIZE);
}

TEST(every_record_type_fits_4096_bytes)
{
	struct check_random random = check_random_seeded();
	char text[4096];

	for (size_t i = 0; fnx_schemas[i]; i++) {
		struct fnx_layout layout = random_layout(&random, fnx_schemas[i]);

		assert_int_equal(fnx_layout_dtype(&layout, text, sizeof(text)), 0);
	}
}
