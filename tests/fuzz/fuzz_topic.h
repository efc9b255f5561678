/* SPDX-License-Identifier: BSD-3-Clause */
/* What the drivers that disturb a topic share: bytes that say what happens, and the topic. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/topic.h"

enum {
	N_FRAMES = 21 /* that are published before it begins */
};

/* 0 follows the last byte, for ever. */
struct bytes {
	const uint8_t *at;
	const uint8_t *end;
};

static inline unsigned take(struct bytes *bytes)
{
	return bytes->at < bytes->end ? *bytes->at++ : 0;
}

static inline uint64_t take_u64(struct bytes *bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)take(bytes) << 8 * i;
	return value;
}

/* A word that stands where `before` stood: close to it, anything, or what the driver thinks does
 * harm. */
static inline uint64_t take_near(
	struct bytes *bytes, uint64_t before, uint64_t (*do_harm)(unsigned kind))
{
	unsigned kind = take(bytes);

	switch (kind % 4) {
	case 0:
		return before ^ (uint64_t)1 << (kind >> 2);
	case 1:
		return before + (kind >> 2) - 32;
	case 2:
		return do_harm(kind >> 2);
	default:
		return take_u64(bytes);
	}
}

static inline void must(int condition)
{
	if (!condition)
		abort();
}

/* Removed by whoever made it, at the end of the process. */
static inline void make_bus(struct fnx_bus *bus, const char *name)
{
	char directory[64];

	snprintf(directory, sizeof(directory), "/dev/shm/fuzz-%s-%d", name, (int)getpid());
	must(fnx_bus_init(bus, "fuzz", directory, directory) == 0);
	must(fnx_bus_create(bus, NULL) == 0);
}

/* The caller's publisher lives as long as the process, and stays reachable. */
static inline void make_topic(const struct fnx_bus *bus, struct fnx_publisher **ret_pub)
{
	const struct fnx_topic_config config = {.name = "topic",
		.node = "writer",
		.schema = "\x81\xa1s\x01",
		.schema_size = 4,
		.slot_size = 64,
		.n_slots = 8,
		.full = FNX_FULL_DROP,
		.bell = FNX_BELL_FORM_PIPE};

	must(fnx_publisher_open(bus, &config, ret_pub) == 0);
}

static inline void publish_frames(struct fnx_publisher *pub)
{
	for (int64_t i = 0; i < N_FRAMES; i++) {
		const struct fnx_stamp stamp = {.sample_time = i};
		void *payload;

		must(fnx_publisher_loan(pub, i, &payload) == 0);
		memset(payload, (int)i, 64);
		fnx_publisher_publish(pub, 64, &stamp);
	}
}
