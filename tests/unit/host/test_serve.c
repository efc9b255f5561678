/* SPDX-License-Identifier: BSD-3-Clause */
/* Control requests to a node, well-formed and otherwise: a thread asks, the test's own thread is
 * the node. */
#include "tests/unit/host/node_fixture.h"

#include <math.h>
#include <pthread.h>

#include "bus/control.h"
#include "schemas/control.h"
#include "schemas/param.h"

enum {
	BODY_MAX = 2048,
	FUZZ_ROUNDS = 1500
};

static struct lab lab;
static struct fnx_node node;
static struct script script;
static struct fnx_subscriber *params;
static double threshold, flag;

/* One request on its way. */
struct errand {
	unsigned char body[BODY_MAX], reply[FNX_CONTROL_BODY_MAX];
	size_t size, reply_size;
	int result;
	_Atomic int done;
};

static int declare(struct script *self)
{
	int r = fnx_node_param(self->node, "threshold", &threshold, -2, 10, "uV", "onset");

	return r ? r : fnx_node_param(self->node, "flag", &flag, 0, 1, "flag", "yes or no");
}

static void begin(void)
{
	lab_open(&lab);
	threshold = 3.5;
	flag = 0;
	script = (struct script){.outputs = {"out"}, .open = declare};
	script_begin(&lab, &script, "node", &node);
	params = lab_subscriber(&lab, "node.params");
}

static void end(void)
{
	fnx_subscriber_close(params);
	fnx_node_close(&node);
	lab_close(&lab);
}

static void *run_errand(void *argument)
{
	struct errand *errand = argument;

	errand->result = fnx_control_request(&lab.bus, "node", errand->body, errand->size,
		CHECK_PATIENCE_MS, errand->reply, sizeof(errand->reply), &errand->reply_size);
	atomic_store(&errand->done, 1);
	return NULL;
}

/* Returns what serve did: 1 once it was told to stop. `reply` points into `errand`. */
static int ask(struct errand *errand, struct fnx_map *reply)
{
	struct pollfd waits = {.fd = fnx_control_fd(node.control), .events = POLLIN};
	pthread_t thread;
	int stop = 0;

	errand->done = 0;
	assert_int_equal(pthread_create(&thread, NULL, run_errand, errand), 0);
	while (!atomic_load(&errand->done)) {
		poll(&waits, 1, 1);
		stop |= fnx_node_serve(&node);
	}
	pthread_join(thread, NULL);
	assert_int_equal(errand->result, 0);
	assert_int_equal(fnx_map_decode(reply, errand->reply, errand->reply_size), 0);
	return stop;
}

static int ask_pairs(
	struct errand *errand, const struct fnx_pair *pairs, size_t n, struct fnx_map *reply)
{
	assert_int_equal(
		fnx_map_encode(pairs, n, errand->body, sizeof(errand->body), &errand->size), 0);
	return ask(errand, reply);
}

static void expect_refusal(const struct fnx_map *reply, const char *sentence)
{
	char error[200];
	bool ok = true;

	assert_int_equal(fnx_map_flag(reply, "ok", &ok), 0);
	assert_false(ok);
	assert_int_equal(fnx_map_text(reply, "error", error, sizeof(error)), 0);
	if (!strstr(error, sentence))
		fail_msg("\"%s\" does not say \"%s\"", error, sentence);
}

static void expect_number(const struct fnx_map *reply, const char *key, double expected)
{
	double value = NAN;
	bool ok = false;

	assert_int_equal(fnx_map_flag(reply, "ok", &ok), 0);
	assert_true(ok);
	assert_int_equal(fnx_map_number(reply, key, &value), 0);
	assert_true(value == expected);
}

static int next_param(struct fnx_param *ret_param)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	if (fnx_subscriber_peek(params, &frame, &gap) != FNX_FRAME)
		return 0;
	memcpy(ret_param, frame.payload, sizeof(*ret_param));
	fnx_subscriber_release(params);
	return 1;
}

/* Getting and setting ---------------------------------------------------------------- */

TEST(get_tells_one_parameter_in_full_or_all_of_them)
{
	const struct fnx_pair one[] = {
		fnx_pair_text("op", "get"), fnx_pair_text("key", "threshold")};
	static struct errand errand;
	struct fnx_map reply;
	char text[64];

	begin();
	assert_int_equal(ask_pairs(&errand, one, 2, &reply), 0);
	expect_number(&reply, "value", 3.5);
	expect_number(&reply, "min", -2);
	expect_number(&reply, "max", 10);
	assert_int_equal(fnx_map_text(&reply, "unit", text, sizeof(text)), 0);
	assert_string_equal(text, "uV");
	assert_int_equal(fnx_map_text(&reply, "meaning", text, sizeof(text)), 0);
	assert_string_equal(text, "onset");
	ask_pairs(&errand, one, 1, &reply);
	expect_number(&reply, "threshold", 3.5);
	expect_number(&reply, "flag", 0);
	end();
}

TEST(set_takes_effect_is_answered_and_told_on_the_params_topic)
{
	const struct fnx_pair request[] = {fnx_pair_text("op", "set"),
		fnx_pair_text("key", "threshold"), fnx_pair_number("value", 4.25),
		fnx_pair_text("who", "anna")};
	const struct fnx_pair integer[] = {
		fnx_pair_text("op", "set"), fnx_pair_text("key", "flag"), fnx_pair_int("value", 1)};
	static struct errand errand;
	struct fnx_param param;
	struct fnx_map reply;

	begin();
	ask_pairs(&errand, request, 4, &reply);
	expect_number(&reply, "before", 3.5);
	expect_number(&reply, "value", 4.25);
	assert_true(threshold == 4.25);
	assert_int_equal(script.n_changes, 1);
	assert_int_equal(next_param(&param), 1);
	assert_true(param.value == 4.25 && param.before == 3.5);
	assert_string_equal(param.node, "node");
	assert_string_equal(param.name, "threshold");
	assert_string_equal(param.who, "anna");
	ask_pairs(&errand, integer, 3, &reply);
	expect_number(&reply, "value", 1);
	assert_true(flag == 1);
	assert_int_equal(next_param(&param), 1);
	assert_string_equal(param.name, "flag");
	assert_string_equal(param.who, "unknown");
	assert_int_equal(next_param(&param), 0);
	end();
}

static void expect_unchanged(void)
{
	struct fnx_param param;

	assert_true(threshold == 3.5 && flag == 0);
	assert_int_equal(script.n_changes, 0);
	assert_int_equal(next_param(&param), 0);
}

TEST(a_flag_takes_no_fraction)
{
	const struct fnx_pair request[] = {fnx_pair_text("op", "set"), fnx_pair_text("key", "flag"),
		fnx_pair_number("value", 0.5)};
	static struct errand errand;
	struct fnx_map reply;

	begin();
	ask_pairs(&errand, request, 3, &reply);
	expect_refusal(&reply, "flag takes a whole number from 0 to 1 flag");
	expect_unchanged();
	end();
}

TEST(what_a_parameter_does_not_take_is_refused_with_its_range_and_changes_nothing)
{
	const struct fnx_pair wrong[] = {fnx_pair_number("value", 10.001),
		fnx_pair_number("value", -2.001), fnx_pair_number("value", (double)NAN),
		fnx_pair_number("value", (double)INFINITY), fnx_pair_text("value", "4"),
		fnx_pair_flag("value", true), fnx_pair_nil("value"), fnx_pair_number("valeu", 4),
		fnx_pair_uint("value", UINT64_MAX), fnx_pair_int("value", INT64_MIN)};
	static struct errand errand;
	struct fnx_map reply;

	begin();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const struct fnx_pair request[] = {
			fnx_pair_text("op", "set"), fnx_pair_text("key", "threshold"), wrong[i]};

		ask_pairs(&errand, request, 3, &reply);
		expect_refusal(&reply, "threshold takes a number from -2 to 10 uV");
		expect_unchanged();
	}
	end();
}

TEST(what_is_not_understood_is_refused_with_what_was_expected)
{
	const struct fnx_pair unknown[] = {fnx_pair_text("op", "set"),
		fnx_pair_text("key", "treshold"), fnx_pair_number("value", 4)};
	const struct fnx_pair no_op[] = {fnx_pair_text("verb", "set")};
	const struct fnx_pair other_op[] = {fnx_pair_text("op", "halt")};
	const struct fnx_pair number_key[] = {fnx_pair_text("op", "get"), fnx_pair_int("key", 1)};
	static struct errand errand;
	struct fnx_map reply;

	begin();
	ask_pairs(&errand, unknown, 3, &reply);
	expect_refusal(&reply, "no such parameter");
	ask_pairs(&errand, no_op, 1, &reply);
	expect_refusal(&reply, "expected a MessagePack map with op");
	ask_pairs(&errand, other_op, 1, &reply);
	expect_refusal(&reply, "unknown op; expected get, set, stats or stop");
	ask_pairs(&errand, number_key, 2, &reply);
	expect_refusal(&reply, "key is not a text");
	errand.size = 0;
	ask(&errand, &reply);
	expect_refusal(&reply, "expected a MessagePack map");
	expect_unchanged();
	end();
}

TEST(stats_name_every_topic_and_stop_is_answered_and_passed_on)
{
	const struct fnx_pair request[] = {fnx_pair_text("op", "stats")};
	const struct fnx_pair stop[] = {fnx_pair_text("op", "stop")};
	static struct errand errand;
	struct fnx_map reply;
	bool ok = false;

	begin();
	script_publish(&script, 0, 5, 1);
	assert_int_equal(ask_pairs(&errand, request, 1, &reply), 0);
	expect_number(&reply, "out.out", 1);
	expect_number(&reply, "state", FNX_NODE_READY);
	assert_int_equal(ask_pairs(&errand, stop, 1, &reply), 1);
	assert_int_equal(fnx_map_flag(&reply, "ok", &ok), 0);
	assert_true(ok);
	end();
}

/* Hostile bodies --------------------------------------------------------------------- */

/* What a body says, by the codec alone: 1 and the value if it is a well-formed set of a parameter
 * within its range. */
static int is_proper_set(const struct errand *errand, double **ret_param, double *ret_value)
{
	char op[16], key[64];
	struct fnx_map map;

	if (fnx_map_decode(&map, errand->body, errand->size) ||
		fnx_map_text(&map, "op", op, sizeof(op)) || strcmp(op, "set") ||
		fnx_map_text(&map, "key", key, sizeof(key)) ||
		fnx_map_number(&map, "value", ret_value))
		return 0;
	if (!strcmp(key, "threshold") && *ret_value >= -2 && *ret_value <= 10)
		*ret_param = &threshold;
	else if (!strcmp(key, "flag") && (*ret_value == 0 || *ret_value == 1))
		*ret_param = &flag;
	else
		return 0;
	return 1;
}

static void make_hostile(struct errand *errand, struct check_random *random)
{
	double value = (check_random_unit(random) - 0.3) * 3;
	const struct fnx_pair pairs[] = {fnx_pair_text("op", "set"),
		fnx_pair_text("key", check_random_below(random, 2) ? "threshold" : "flag"),
		fnx_pair_number("value", check_random_below(random, 2) ? value : rint(value)),
		fnx_pair_text("who", "mallory")};
	uint64_t kind = check_random_below(random, 4), n;

	assert_int_equal(
		fnx_map_encode(pairs, 4, errand->body, sizeof(errand->body), &errand->size), 0);
	if (kind == 0) {
		errand->size = check_random_below(random, sizeof(errand->body));
		for (size_t i = 0; i < errand->size; i++)
			errand->body[i] = (unsigned char)check_random_u64(random);
		return;
	}
	n = check_random_below(random, 4);
	for (uint64_t i = 0; i < n; i++)
		errand->body[check_random_below(random, errand->size)] =
			(unsigned char)check_random_u64(random);
	if (kind == 1)
		errand->size = check_random_below(random, errand->size);
	if (kind == 2)
		errand->body[errand->size++] = (unsigned char)check_random_u64(random);
}

TEST(no_body_changes_a_parameter_unless_it_is_a_well_formed_set)
{
	struct check_random random = check_random_seeded();
	static struct errand errand;
	struct fnx_param param;
	struct fnx_map reply;
	unsigned n_proper = 0;

	begin();
	for (unsigned round = 0; round < FUZZ_ROUNDS; round++) {
		double expected_threshold = threshold, expected_flag = flag, value = 0;
		double *changed = NULL;
		int proper;
		bool ok = false;

		make_hostile(&errand, &random);
		proper = is_proper_set(&errand, &changed, &value);
		if (changed == &threshold)
			expected_threshold = value;
		if (changed == &flag)
			expected_flag = value;
		ask(&errand, &reply);
		assert_int_equal(fnx_map_flag(&reply, "ok", &ok), 0);
		/* Bits for bits. */
		assert_memory_equal(&threshold, &expected_threshold, sizeof(threshold));
		assert_memory_equal(&flag, &expected_flag, sizeof(flag));
		assert_int_equal(next_param(&param), proper);
		if (proper)
			assert_true(ok && param.value == value);
		n_proper += (unsigned)proper;
	}
	print_message("%u of %u bodies were well-formed sets\n", n_proper, FUZZ_ROUNDS);
	assert_in_range(n_proper, FUZZ_ROUNDS / 50, FUZZ_ROUNDS - FUZZ_ROUNDS / 50);
	end();
}
