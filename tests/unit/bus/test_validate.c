/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/validate.h"

#include "bus/status.h"
#include "tests/unit/bus/topic_fixture.h"

struct findings {
	unsigned notes, damages;
	uint64_t offset; /* of the last */
	enum fnx_finding_file file;
	char text[200];
};

static void note(void *context, const struct fnx_finding *finding)
{
	struct findings *findings = context;

	if (finding->severity == FNX_FINDING_NOTE)
		findings->notes++;
	else
		findings->damages++;
	findings->offset = finding->offset;
	findings->file = finding->file;
	snprintf(findings->text, sizeof(findings->text), "%s", finding->text);
}

static struct findings validate(const struct fnx_bus *bus)
{
	struct findings findings = {.notes = 0};
	int n = fnx_topic_validate(bus, "topic", note, &findings);

	assert_true(n >= 0);
	assert_int_equal(n, findings.notes + findings.damages);
	return findings;
}

static void expect_well(const struct fnx_bus *bus)
{
	struct findings findings = validate(bus);

	if (findings.notes + findings.damages)
		fail_msg("offset %llu: %s", (unsigned long long)findings.offset, findings.text);
}

TEST(a_topic_in_use_is_found_well_after_each_step)
{
	for (unsigned i = 0; i < 2; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub =
			open_publisher(&bus, i ? FNX_FULL_DROP : FNX_FULL_WAIT, 5);
		struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);

		expect_well(&bus);
		for (unsigned n = 0; n < 200; n++) {
			struct fnx_frame frame;
			struct fnx_gap gap;

			(void)publish_next(pub, 0);
			expect_well(&bus);
			if (n % 3 == 0 && fnx_subscriber_peek(sub, &frame, &gap) == FNX_FRAME) {
				expect_well(&bus);
				fnx_subscriber_release(sub);
			}
		}
		fnx_subscriber_close(sub);
		expect_well(&bus);
		die(pub);
		expect_well(&bus);
	}
}

TEST(a_topic_that_is_not_there_is_said)
{
	struct fnx_bus bus = fixture_bus();

	assert_int_equal(fnx_topic_validate(&bus, "topic", NULL, NULL), -ENOENT);
	assert_int_equal(fnx_topic_validate(&bus, "../x", NULL, NULL), -EINVAL);
	assert_int_equal(fnx_topic_repair(&bus, "topic"), -ENOENT);
	assert_int_equal(fnx_status_validate(&bus, "node", NULL, NULL), -ENOENT);
}

TEST(each_kind_of_damage_is_found_at_its_place)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);
	struct fnx_segment *s = map.segment;
	struct fnx_record *record = &map.subs->records[0];
	const struct {
		void *at;
		size_t size;
		uint64_t value;
	} damages[] = {
		{&s->magic, 8, 1},
		{&s->abi, 4, 99},
		{&s->n_slots, 4, 1 << 20},
		{&s->released, 8, 1000},
		{&s->releasing, 8, 1000},
		{&map.ledger[2].tag, 8, 3 << 2 | 1},
		{&map.ledger[2].slot, 4, 8},
		{&map.ledger[3].slot, 4, map.ledger[2].slot},
		{&map.ledger[3].length, 4, SLOT_SIZE + 1},
		{&map.ledger[5].tag, 8, 77},
		{&map.subs->magic, 8, 0},
		{&map.subs->sleepers, 8, UINT64_C(1) << 63},
		{&record->state, 4, 7},
		{&record->policy, 1, 0},
		{&record->node[0], 8, '/'},
		{&record->parked, 4, 3},
		{&record->cursor, 8, 1000},
		{&record->hazards[3], 8, 1000},
	};

	publish_n(pub, 5);
	for (unsigned i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		uint64_t before = 0;
		struct findings findings;

		memcpy(&before, damages[i].at, damages[i].size);
		expect_well(&bus);
		memcpy(damages[i].at, &damages[i].value, damages[i].size);
		findings = validate(&bus);
		memcpy(damages[i].at, &before, damages[i].size);
		if (findings.damages != 1)
			fail_msg("damage %u: %u found", i, findings.damages);
		/* Sizes are told of all together. */
		if (i > 2)
			assert_true(findings.offset ==
				(uint64_t)((char *)damages[i].at -
					(findings.file == FNX_FINDING_DATA ? (char *)s
									   : (char *)map.subs)));
	}
	expect_well(&bus);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	fnx_mapping_close(&map);
}

TEST(what_a_death_leaves_is_noted_and_repaired_and_then_read_on)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub = open_subscriber_oldest(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);
	struct findings findings;

	publish_n(pub, 5);
	die(pub);
	/* Published, and not counted; a pass that gave up frame 0 and did not live to say so. */
	atomic_store(&map.segment->head, 4);
	expect_frame(sub, 0);
	atomic_store(&map.segment->releasing, 1);
	atomic_store(&map.ledger[0].tag, fnx_tag(0, FNX_ENTRY_RELEASED));
	findings = validate(&bus);
	assert_int_equal(findings.damages, 0);
	assert_int_equal(findings.notes, 3);
	assert_int_equal(fnx_topic_repair(&bus, "topic"), 0);
	expect_well(&bus);
	assert_int_equal(atomic_load(&map.segment->head), 5);
	assert_int_equal(atomic_load(&map.segment->released), 1);
	expect_frames(sub, 1, 5);
	assert_int_equal(fnx_topic_repair(&bus, "topic"), 0);
	pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	assert_int_equal(fnx_publisher_adopted(pub), 1);
	fnx_subscriber_close(sub);
	expect_all_slots(&bus, pub, 8);
	fnx_publisher_close(pub);
	fnx_mapping_close(&map);
}

TEST(what_cannot_be_repaired_or_lives_is_left_alone)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_mapping map = open_mapping(&bus);
	struct fnx_presence presence;

	assert_int_equal(fnx_presence_claim(&bus, "writer", &presence, NULL), 0);
	assert_int_equal(fnx_topic_repair(&bus, "topic"), -EBUSY);
	fnx_presence_drop(&presence);
	publish_n(pub, 5);
	die(pub);
	atomic_store(&map.ledger[2].slot, 99);
	assert_int_equal(fnx_topic_repair(&bus, "topic"), -EBADMSG);
	assert_int_equal(validate(&bus).damages, 1);
	fnx_mapping_close(&map);
}

TEST(any_bytes_are_looked_at_without_harm)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 8);
	struct fnx_mapping map = open_mapping(&bus);
	unsigned char *data, *subs;
	uint64_t n_found = 0;

	publish_n(pub, 30);
	data = malloc(map.segment_size);
	subs = malloc(map.subs_size);
	assert_true(data && subs);
	for (unsigned n = 0; n < 3000; n++) {
		size_t data_size = map.segment_size, subs_size = map.subs_size;
		int found;

		memcpy(data, map.segment, data_size);
		memcpy(subs, map.subs, subs_size);
		for (uint64_t k = check_random_below(&random, 20); k > 0; k--) {
			/* Half of them in the fields of the header. */
			size_t at = check_random_below(&random, k % 2 ? 600 : data_size);

			data[at] = (unsigned char)check_random_u64(&random);
			subs[check_random_below(&random, subs_size)] =
				(unsigned char)check_random_u64(&random);
		}
		if (n % 8 == 0)
			data_size = check_random_below(&random, data_size);
		if (n % 8 == 1)
			subs_size = check_random_below(&random, subs_size);
		found = fnx_topic_validate_bytes(
			data, data_size, n % 16 ? subs : NULL, subs_size, NULL, NULL);
		assert_true(found >= 0);
		n_found += (uint64_t)found;
		assert_true(fnx_status_validate_bytes(data, data_size, NULL, NULL) > 0);
	}
	assert_true(n_found > 3000);
	free(data);
	free(subs);
	fnx_mapping_close(&map);
	fnx_publisher_close(pub);
}

TEST(a_status_page_is_found_well_and_each_damage_at_its_place)
{
	struct fnx_bus bus = fixture_bus();
	struct findings findings = {.notes = 0};
	struct fnx_status *status;

	assert_int_equal(fnx_status_create(&bus, "node", &status), 0);
	fnx_histogram_add(&status->turn, 100);
	assert_int_equal(fnx_status_validate(&bus, "node", note, &findings), 0);
	status->state = 9;
	assert_int_equal(fnx_status_validate(&bus, "node", note, &findings), 1);
	assert_int_equal(findings.offset, offsetof(struct fnx_status, state));
	status->state = FNX_NODE_READY;
	status->n_inputs = 1;
	assert_int_equal(fnx_status_validate(&bus, "node", note, &findings), 1);
	assert_int_equal(findings.offset, offsetof(struct fnx_status, inputs));
	status->n_inputs = FNX_STATUS_TOPICS_MAX + 1;
	assert_int_equal(fnx_status_validate(&bus, "node", note, &findings), 1);
	status->n_inputs = 0;
	status->turn.count = 5;
	assert_int_equal(fnx_status_validate(&bus, "node", note, &findings), 1);
	assert_int_equal(findings.offset, offsetof(struct fnx_status, turn));
	status->magic = 0;
	assert_int_equal(fnx_status_validate(&bus, "node", note, &findings), 1);
	assert_int_equal(findings.notes, 1);
	fnx_status_close(status);
}
