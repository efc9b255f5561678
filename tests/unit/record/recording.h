/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads a recording of lab.h's session back. */
#pragma once

#include "bus/mcap.h"
#include "tests/unit/record/lab.h"

struct recording {
	uint64_t n[LAB_TOPICS]; /* messages per topic */
	uint64_t n_all;
	int end; /* FNX_MCAP_END or FNX_MCAP_CUT */
};

/* Checks each message against what was published; `contiguous`: each sequence number must be there
 * exactly once. */
__attribute__((unused)) static struct recording recording_read(
	const struct lab *lab, const char *path, int contiguous)
{
	struct recording recording = {.end = 0};
	struct fnx_codec_decoder *decoder;
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_message message;
	uint64_t payload[LAB_PAYLOAD_MAX / 8], expected[LAB_PAYLOAD_MAX / 8];
	int64_t last_time = INT64_MIN;

	assert_int_equal(fnx_codec_decoder_new(&decoder), 0);
	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	while ((recording.end = fnx_mcap_reader_next(reader, &message)) == FNX_MCAP_MESSAGE) {
		struct fnx_codec_stamp stamp;
		unsigned kind = 0;

		while (kind < LAB_TOPICS && strcmp(lab->topics[kind].name, message.channel->topic))
			kind++;
		assert_true(kind < LAB_TOPICS);
		assert_int_equal(fnx_codec_decode(&lab->topics[kind].layout, decoder, message.data,
					 message.size, &stamp, payload),
			0);
		assert_int_equal(message.sequence, stamp.seq);
		lab_fill(&lab->topics[kind], kind, stamp.seq, expected);
		assert_memory_equal(payload, expected, lab->topics[kind].layout.size);
		if (contiguous) {
			assert_int_equal(stamp.seq, recording.n[kind]);
			assert_true(stamp.sample_time >= last_time);
		}
		last_time = stamp.sample_time;
		recording.n[kind]++;
		recording.n_all++;
	}
	assert_true(recording.end >= 0);
	fnx_mcap_reader_close(reader);
	fnx_codec_decoder_free(decoder);
	return recording;
}
