/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What looks at a topic from outside, dead or alive: bus/validate.h and bus/view.h, over files of
 * which any words may be anything and which may be cut short. Whatever they find, they come to an
 * end, read nothing beyond, and say the same twice.
 *
 * The topic is made once, and what was written is taken back after each execution.
 */
#include "bus/segment.h"
#include "bus/validate.h"
#include "bus/view.h"
#include "tests/fuzz/fuzz_topic.h"

enum {
	WORDS_MAX = 64,
};

struct undo {
	uint64_t *at;
	uint64_t value;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fnx_bus bus;
static struct fnx_mapping map;
static struct undo undos[WORDS_MAX];
static unsigned n_undos;

static void leave_world(void)
{
	(void)fnx_bus_remove(&bus);
}

static void make_world(void)
{
	const struct fnx_subscriber_config reader = {.topic = "topic",
		.node = "reader",
		.policy = FNX_LOSSLESS,
		.start = FNX_START_NEXT,
		.bell = FNX_BELL_FORM_PIPE};
	/* Static: they live as long as the world. */
	static struct fnx_publisher *pub;
	static struct fnx_subscriber *sub;

	make_bus(&bus, "validate");
	atexit(leave_world);
	make_topic(&bus, &pub);
	must(fnx_subscriber_open(&bus, &reader, &sub) == 0);
	publish_frames(pub);
	must(fnx_mapping_open(&bus, "topic", 1, &map) == 0);
}

static uint64_t large(unsigned kind)
{
	return UINT64_MAX - kind;
}

/* A word of the header, of the pinned slots, of the ledger, or of `.subs`. */
static uint64_t *take_word(struct bytes *r)
{
	unsigned where = take(r), word = take(r);

	switch (where % 4) {
	case 0:
		return (uint64_t *)(void *)map.segment + word % 80;
	case 1:
		return (uint64_t *)(void *)map.segment->pinned + word;
	case 2:
		return (uint64_t *)(void *)map.ledger + word;
	default:
		return (uint64_t *)(void *)map.subs +
			(where / 4 % 2 ? FNX_SUBS_HEADER_SIZE / 8 + word : word % 32);
	}
}

static void look(void)
{
	struct fnx_view_entry entry;
	struct fnx_view *view;

	if (fnx_view_open(&bus, "topic", FNX_VIEW_LEDGER | FNX_VIEW_SCHEMA, &view))
		return;
	must(view->n_subscribers <= FNX_SUBSCRIBERS_MAX);
	must(view->n_pinned <= FNX_PINNED_MAX && view->n_used <= (uint64_t)view->n_slots);
	for (uint64_t back = 0; back <= view->n_entries && back < 200; back++)
		(void)!fnx_view_entry(view, view->head - back, &entry);
	for (unsigned i = 0; i < view->n_subscribers; i++)
		must(view->subscribers[i].n_held <= FNX_HOLDS_MAX &&
			strnlen(view->subscribers[i].node, FNX_NAME_MAX) < FNX_NAME_MAX);
	fnx_view_close(view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes r = {data, data + size};
	size_t data_size, subs_size;
	unsigned how;
	int found;

	if (!map.segment)
		make_world();
	how = take(&r);
	n_undos = 0;
	while (r.at < r.end && n_undos < WORDS_MAX) {
		uint64_t *word = take_word(&r);

		undos[n_undos++] = (struct undo){word, *word};
		*word = take_near(&r, *word, large);
	}
	/* Cut short, now and then, at any byte. */
	data_size = how & 1 ? map.segment_size : (how * 2654435761u) % (map.segment_size + 1);
	subs_size = how & 2 ? map.subs_size : (how * 40503u) % (map.subs_size + 1);
	found = fnx_topic_validate_bytes(map.segment, data_size, how & 4 ? map.subs : NULL,
		how & 4 ? subs_size : 0, NULL, NULL);
	must(found ==
		fnx_topic_validate_bytes(map.segment, data_size, how & 4 ? map.subs : NULL,
			how & 4 ? subs_size : 0, NULL, NULL));
	if (how & 8)
		look();
	while (n_undos > 0) {
		n_undos--;
		*undos[n_undos].at = undos[n_undos].value;
	}
	return 0;
}
