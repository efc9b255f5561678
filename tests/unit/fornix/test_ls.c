/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/fornix/command_fixture.h"

#include <jansson.h>

#include "bus/status.h"
#include "schemas/position.h"

struct lab {
	struct fnx_bus bus;
	struct fnx_presence presence;
	struct fnx_status *status;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
};

static struct lab lab_open(void)
{
	struct lab lab = {.bus = command_bus()};
	const struct fnx_subscriber_config config = {.topic = "position",
		.node = "ripple",
		.policy = FNX_LOSSLESS,
		.bell = FNX_BELL_FORM_PIPE};
	const struct fnx_stamp stamp = {.sample_time = 7};
	void *payload;

	assert_int_equal(fnx_presence_claim(&lab.bus, "acquire", &lab.presence, NULL), 0);
	assert_int_equal(fnx_status_create(&lab.bus, "acquire", &lab.status), 0);
	atomic_store(&lab.status->state, FNX_NODE_RUNNING);
	lab.pub = command_topic(&lab.bus, "position", &fnx_position_schema, 16, FNX_FULL_WAIT);
	assert_int_equal(fnx_subscriber_open(&lab.bus, &config, &lab.sub), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fnx_publisher_loan(lab.pub, 0, &payload), 0);
		fnx_publisher_publish(lab.pub, sizeof(struct fnx_position), &stamp);
	}
	return lab;
}

static void lab_close(struct lab *lab)
{
	fnx_subscriber_close(lab->sub);
	fnx_publisher_close(lab->pub);
	fnx_status_close(lab->status);
	fnx_presence_drop(&lab->presence);
	fnx_bus_remove(&lab->bus);
}

TEST(ls_lists_nodes_and_topics_with_their_readers)
{
	struct lab lab = lab_open();
	const struct said *said = FORNIX("ls", ON(lab.bus));

	assert_int_equal(said->status, 0);
	says(said->out, "bus test: alive, 1 nodes, 1 topics");
	says(said->out, "  acquire        running ");
	says(said->out,
		"  position       acquire    position           3    16    3    0  ripple\n");
	says_not(said->out, "dead");
	lab_close(&lab);
}

TEST(a_dead_bus_is_listed_with_what_it_left)
{
	struct lab lab = lab_open();
	const struct said *said;

	fnx_presence_drop(&lab.presence);
	said = FORNIX("ls", ON(lab.bus));
	assert_int_equal(said->status, 0);
	says(said->out, "bus test: dead, 1 nodes, 1 topics");
	says(said->out, "  acquire        DEAD ");
	says(said->out, "acquire (dead)");
	says(FORNIX("ls", "--segment-dir", lab.bus.segment_dir, "--run-dir", "/nowhere", "--bus",
		     "test")
			->out,
		"dead, or of somebody else");
	lab_close(&lab);
}

TEST(a_damaged_topic_is_listed_as_damaged)
{
	struct lab lab = lab_open();
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/odd.data", lab.bus.segment_dir);
	file = fopen(path, "w");
	fputs("no topic", file);
	fclose(file);
	says(FORNIX("ls", ON(lab.bus))->out, "  odd            (damaged)");
	lab_close(&lab);
}

TEST(ls_tells_scripts_the_same)
{
	struct lab lab = lab_open();
	json_t *whole = json_loads(FORNIX("ls", "--json", ON(lab.bus))->out, 0, NULL);
	json_t *bus = json_array_get(json_object_get(whole, "buses"), 0);
	json_t *topic = json_array_get(json_object_get(bus, "topics"), 0);

	assert_true(json_is_true(json_object_get(bus, "alive")));
	assert_string_equal(json_string_value(json_object_get(topic, "name")), "position");
	assert_int_equal(json_integer_value(json_object_get(topic, "frames")), 3);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(topic, "readers"), 0)), "ripple");
	json_decref(whole);
	lab_close(&lab);
}

/* Whatever buses there are on the machine that runs the test. */
TEST(without_options_every_bus_of_the_machine_is_listed)
{
	const struct said *said = FORNIX("ls");

	assert_int_equal(said->status, 0);
	says(said->out, "bus ");
	assert_string_equal(said->error, "");
	assert_int_equal(FORNIX("ls", "--json")->status, 0);
}

TEST(wrong_use_of_ls_is_told_in_one_line)
{
	fails(FORNIX("ls", "lab"), 2, "unexpected argument lab");
	fails(FORNIX("ls", "--twice"), 2, "unrecognized option");
	fails(FORNIX("ls", "--bus", "there-is-no-such-bus"), 1, "there is no bus");
}
