/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/fornix/command_fixture.h"

#include <jansson.h>

#include "schemas/position.h"

struct lab {
	struct fnx_bus bus;
	struct fnx_presence acquire, ripple;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
};

static void publish(struct lab *lab, int64_t time)
{
	const struct fnx_stamp stamp = {.sample_time = time,
		.ingress_ns = 1000,
		.publish_ns = 3500,
		.origin = (UINT64_C(2) << 56) | 41,
		.flags = FNX_FRAME_LATE};
	void *payload;

	assert_int_equal(fnx_publisher_loan(lab->pub, 0, &payload), 0);
	fnx_publisher_publish(lab->pub, sizeof(struct fnx_position), &stamp);
}

static struct lab lab_open(void)
{
	struct lab lab = {.bus = command_bus()};
	const struct fnx_subscriber_config config = {.topic = "position",
		.node = "ripple",
		.policy = FNX_LOSSLESS,
		.bell = FNX_BELL_FORM_PIPE};
	struct fnx_frame frame;
	struct fnx_gap gap;

	assert_int_equal(fnx_presence_claim(&lab.bus, "acquire", &lab.acquire, NULL), 0);
	assert_int_equal(fnx_presence_claim(&lab.bus, "ripple", &lab.ripple, NULL), 0);
	lab.pub = command_topic(&lab.bus, "position", &fnx_position_schema, 16, FNX_FULL_WAIT);
	assert_int_equal(fnx_subscriber_open(&lab.bus, &config, &lab.sub), 0);
	for (int i = 0; i < 12; i++)
		publish(&lab, 100 + i);
	assert_int_equal(fnx_subscriber_peek(lab.sub, &frame, &gap), FNX_FRAME);
	assert_int_equal(fnx_subscriber_hold(lab.sub, 0), 0);
	fnx_subscriber_release(lab.sub);
	return lab;
}

static void lab_close(struct lab *lab)
{
	fnx_subscriber_close(lab->sub);
	fnx_publisher_close(lab->pub);
	fnx_presence_drop(&lab->acquire);
	fnx_presence_drop(&lab->ripple);
	fnx_bus_remove(&lab->bus);
}

static unsigned n_lines_with(const char *text, const char *words)
{
	unsigned n = 0;

	for (; (text = strstr(text, words)); text++)
		n++;
	return n;
}

TEST(inspect_shows_header_readers_and_the_youngest_frames)
{
	struct lab lab = lab_open();
	const struct said *said = FORNIX("inspect", "position", "--entries", "5", ON(lab.bus));

	assert_int_equal(said->status, 0);
	says(said->out, "topic       position on bus test");
	says(said->out, "publisher   acquire (alive, process ");
	says(said->out, "schema      position (");
	says(said->out, "16 slots of ");
	says(said->out, "frames      12 published");
	says(said->out, "pool        11 of 16 slots in use");
	says(said->out, "\nripple       alive lossless no             1    11 ");
	says(said->out, "\n       11 published ");
	says(said->out, " 111 "); /* sample time of the youngest */
	says(said->out, " 2.5 us "); /* its hop */
	says(said->out, " 1:41 late");
	assert_int_equal(n_lines_with(said->out, " published "), 5);
	lab_close(&lab);
}

TEST(a_held_frame_stands_with_its_holder)
{
	struct lab lab = lab_open();
	json_t *whole =
		json_loads(FORNIX("inspect", "position", "--json", ON(lab.bus))->out, 0, NULL);
	json_t *reader = json_array_get(json_object_get(whole, "readers"), 0);

	assert_string_equal(json_string_value(json_object_get(reader, "life")), "alive");
	assert_int_equal(json_array_size(json_object_get(reader, "holds")), 1);
	assert_int_equal(json_integer_value(json_object_get(reader, "lag")), 11);
	assert_int_equal(json_array_size(json_object_get(whole, "ledger")), 8);
	assert_int_equal(json_integer_value(json_object_get(whole, "head")), 12);
	json_decref(whole);
	lab_close(&lab);
}

TEST(any_number_of_entries_is_at_most_what_there_is)
{
	struct lab lab = lab_open();

	assert_int_equal(n_lines_with(FORNIX("inspect", "position", "--entries",
					      "18446744073709551615", ON(lab.bus))
					      ->out,
				 " published "),
		12);
	assert_int_equal(
		n_lines_with(
			FORNIX("inspect", "position", "--entries", "0", ON(lab.bus))->out, "FRAME"),
		0);
	lab_close(&lab);
}

TEST(the_dead_are_inspected_like_the_living)
{
	struct lab lab = lab_open();
	const struct said *said;

	fnx_presence_drop(&lab.acquire);
	fnx_presence_drop(&lab.ripple);
	said = FORNIX("inspect", "position", ON(lab.bus));
	assert_int_equal(said->status, 0);
	says(said->out, "publisher   acquire (dead, ");
	says(said->out, "\nripple       dead ");
	says(FORNIX("inspect", "position", "--segment-dir", lab.bus.segment_dir, "--run-dir",
		     "/nowhere", "--bus", "test")
			->out,
		"frames      12 published");
	lab_close(&lab);
}

/* Flips bytes of both files in place, as a stray writer would, and cuts them. */
TEST(damage_is_told_and_never_ends_in_a_crash)
{
	/* The publisher is not what is tested here: it goes as the dead do, and stays in memory. */
	static struct lab lab;
	struct check_random random = check_random_seeded();
	const char *const suffixes[] = {"data", "subs"};

	lab = lab_open();
	for (int round = 0; round < 60; round++) {
		char path[300];
		int fd, status;

		snprintf(path, sizeof(path), "%s/position.%s", lab.bus.segment_dir,
			suffixes[round % 2]);
		fd = open(path, O_WRONLY);
		for (int i = 0; i < 8; i++) {
			unsigned char byte = (unsigned char)check_random_u64(&random);
			off_t at = (off_t)check_random_below(&random, round < 30 ? 16384 : 512);

			/* The magic stands, so that what is behind it is looked at. */
			assert_int_equal(pwrite(fd, &byte, 1, at < 8 ? 8 + at : at), 1);
		}
		close(fd);
		status = FORNIX("inspect", "position", "--entries", "9", ON(lab.bus))->status;
		assert_true(status == 0 || status == 1);
		status = FORNIX("ls", "--json", ON(lab.bus))->status;
		assert_int_equal(status, 0);
	}
	fnx_bus_remove(&lab.bus);
	fnx_presence_drop(&lab.acquire);
	fnx_presence_drop(&lab.ripple);
}

TEST(a_topic_that_is_not_there_is_told_with_those_that_are)
{
	struct lab lab = lab_open();

	fails(FORNIX("inspect", "lfp", ON(lab.bus)), 1,
		"there is no topic lfp; there are: position");
	fails(FORNIX("inspect", "../position", ON(lab.bus)), 1, "there is no topic ../position");
	lab_close(&lab);
}

TEST(wrong_use_of_inspect_is_told_in_one_line)
{
	fails(FORNIX("inspect"), 2, "expected one TOPIC");
	fails(FORNIX("inspect", "a", "b"), 2, "expected one TOPIC");
	fails(FORNIX("inspect", "a", "--entries", "-1"), 2, "--entries: expected a whole number");
	fails(FORNIX("inspect", "a", "--entries", "few"), 2, "--entries: expected a whole number");
}
