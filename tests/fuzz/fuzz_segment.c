/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A topic's `.data` as a subscriber, or whoever validates it, finds it: any bytes in its header and
 * ledger, written before it joins or between two of its accesses. It may be refused, told of gaps
 * and of damaged entries; it may not read outside of the file, nor go on without end.
 *
 * The topic is made once, and what was written is taken back after each execution. (A file that is
 * cut short while it is mapped is not played: that ends a process on every system.)
 */
#include <errno.h>

#include "bus/segment.h"
#include "bus/validate.h"
#include "tests/fuzz/fuzz_topic.h"
#include "tests/support/shared_access.h"

enum {
	STEPS_MAX = 64,
	PENDING_MAX = 16,
	UNDO_MAX = 1024,
	ACCESSES_MAX = 100000,
};

struct scribble {
	uint64_t due;
	size_t word;
	uint64_t value;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fnx_bus bus;
static struct fnx_mapping map;
static struct scribble pending[PENDING_MAX], undos[UNDO_MAX];
static unsigned n_pending, n_undos;
static uint64_t n_accesses;

static _Atomic uint64_t *word_at(size_t word)
{
	return (_Atomic uint64_t *)(void *)map.segment + word;
}

static void write_pending(void)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n_pending; i++) {
		const struct scribble *s = &pending[i];

		if (s->due > n_accesses) {
			pending[kept++] = *s;
		} else if (n_undos < UNDO_MAX) {
			undos[n_undos++] =
				(struct scribble){0, s->word, shared_raw_load(word_at(s->word), 8)};
			shared_raw_store(word_at(s->word), 8, s->value);
		}
	}
	n_pending = kept;
}

static void step_access(void)
{
	must(++n_accesses < ACCESSES_MAX || !map.segment);
	if (n_pending)
		write_pending();
}

uint64_t shared_load(const volatile void *at, size_t size, int order)
{
	(void)order;
	step_access();
	return shared_raw_load(at, size);
}

void shared_store(volatile void *at, size_t size, uint64_t value, int order)
{
	(void)order;
	step_access();
	shared_raw_store(at, size, value);
}

uint64_t shared_exchange(volatile void *at, size_t size, uint64_t value, int order)
{
	uint64_t before = shared_load(at, size, order);

	shared_raw_store(at, size, value);
	return before;
}

uint64_t shared_add(volatile void *at, size_t size, uint64_t value, int order)
{
	uint64_t before = shared_load(at, size, order);

	shared_raw_store(at, size, before + value);
	return before;
}

uint64_t shared_or(volatile void *at, size_t size, uint64_t bits, int order)
{
	uint64_t before = shared_load(at, size, order);

	shared_raw_store(at, size, before | bits);
	return before;
}

uint64_t shared_and(volatile void *at, size_t size, uint64_t bits, int order)
{
	uint64_t before = shared_load(at, size, order);

	shared_raw_store(at, size, before & bits);
	return before;
}

int shared_compare_exchange(volatile void *at, size_t size, uint64_t expected, uint64_t value,
	int order, uint64_t *ret_found)
{
	*ret_found = shared_load(at, size, order);
	if (*ret_found != expected)
		return 0;
	shared_raw_store(at, size, value);
	return 1;
}

void shared_fence(int order)
{
	(void)order;
}

static void make_world(void)
{
	static struct fnx_publisher *pub; /* lives as long as the world */

	make_bus(&bus, "segment");
	make_topic(&bus, &pub);
	publish_frames(pub);
	n_accesses = 0;
	must(fnx_mapping_open(&bus, "topic", 1, &map) == 0);
}

static void leave_world(void)
{
	(void)fnx_bus_remove(&bus);
}

/* Steps ------------------------------------------------------------------------------ */

static uint64_t other_entry(unsigned kind)
{
	return fnx_tag(N_FRAMES - 16 + (kind >> 2), (enum fnx_entry_state)(kind & 3));
}

static void plan_scribble(struct bytes *r)
{
	size_t ledger = (size_t)((char *)map.ledger - (char *)map.segment) / 8;
	unsigned where = take(r), when = take(r);
	size_t word = where % 2 ? ledger + where / 2 * 2 + when % 2 : where / 2 % 80;

	if (n_pending < PENDING_MAX)
		pending[n_pending++] = (struct scribble){n_accesses + when / 2 % 32, word,
			take_near(r, shared_raw_load(word_at(word), 8), other_entry)};
	write_pending();
}

static unsigned read_bytes(const void *bytes, size_t size)
{
	const volatile unsigned char *at = bytes;
	unsigned sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += at[i];
	return sum;
}

static void peek(struct fnx_subscriber *sub, unsigned op)
{
	struct fnx_frame frame;
	struct fnx_gap gap = {.from = 0};
	int answer = fnx_subscriber_peek(sub, &frame, &gap);

	if (answer == FNX_GAP)
		must(gap.to > gap.from);
	if (answer == FNX_FRAME) {
		must(frame.length <= 64);
		(void)read_bytes(frame.payload, frame.length);
		if (op & 1)
			(void)!fnx_subscriber_hold(sub, frame.seq);
	}
	if (answer == FNX_FRAME || answer == -EBADMSG)
		fnx_subscriber_release(sub);
	if (op & 2)
		fnx_subscriber_drop(sub, fnx_subscriber_next(sub) - 1);
}

static void use(struct fnx_subscriber *sub, unsigned op)
{
	const void *schema;
	size_t size;

	switch (op % 4) {
	case 0:
		(void)fnx_subscriber_lag(sub);
		if (!fnx_subscriber_park(sub, INT64_MAX)) {
			(void)fnx_subscriber_overslept(sub);
			fnx_subscriber_unpark(sub);
		}
		break;
	case 1:
		schema = fnx_subscriber_schema(sub, &size);
		(void)read_bytes(schema, size);
		(void)fnx_subscriber_watermark(sub, NULL);
		(void)fnx_subscriber_end(sub);
		break;
	default:
		for (unsigned n = 1 + (op >> 5); n > 0; n--)
			peek(sub, op >> 2);
	}
}

static struct fnx_subscriber *join(unsigned op)
{
	const struct fnx_subscriber_config config = {.topic = "topic",
		.node = "reader",
		.policy = (enum fnx_policy)(1 + op % 3),
		.start = op & 8 ? FNX_START_OLDEST : FNX_START_NEXT,
		.bell = FNX_BELL_FORM_PIPE,
		.lazy = op >> 4 & 1};
	struct fnx_subscriber *sub = NULL;

	must(fnx_subscriber_open(&bus, &config, &sub) <= 0);
	return sub;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes r = {data, data + size};
	struct fnx_subscriber *sub = NULL;

	if (!map.segment) {
		make_world();
		atexit(leave_world);
	}
	n_accesses = 0;
	n_pending = n_undos = 0;
	for (unsigned i = 0; i < STEPS_MAX && r.at < r.end; i++) {
		unsigned op = take(&r);

		if (op % 4 == 0)
			plan_scribble(&r);
		else if (!sub)
			sub = join(op >> 2);
		else
			use(sub, op >> 2);
	}
	(void)fnx_topic_validate_bytes(
		map.segment, map.segment_size, map.subs, map.subs_size, NULL, NULL);
	fnx_subscriber_close(sub);
	n_pending = 0;
	while (n_undos > 0) {
		n_undos--;
		shared_raw_store(word_at(undos[n_undos].word), 8, undos[n_undos].value);
	}
	memset((void *)map.subs->records, 0, sizeof(map.subs->records[0]));
	return 0;
}
