/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/fornix/command_fixture.h"

#include <poll.h>

#include "bus/control.h"
#include "nodes/host/host.h"
#include "schemas/control.h"
#include "schemas/param.h"

/* A node with two parameters
 * ------------------------------------------------------------------------- */

static double threshold = 3.5, freeze = 0;

static int thresholder_open(struct fnx_node *node, void **ret_self)
{
	*ret_self = NULL;
	return fnx_node_param(node, "threshold", &threshold, -100, 1000, "uV", "onset above this") |
		fnx_node_param(node, "freeze", &freeze, 0, 1, "", "1: statistics stay");
}

static const struct fnx_node_ops thresholder = {.type = "thresholder", .open = thresholder_open};

struct lab {
	struct fnx_bus bus;
	pid_t pid;
};

static void serve(const struct fnx_rig *rig, int ready_fd)
{
	struct fnx_node *node = calloc(1, sizeof(*node));
	struct pollfd fd = {.events = POLLIN};

	alarm(2 * CHECK_PATIENCE_S);
	if (fnx_node_open(node, &thresholder, rig, "thresholder"))
		_exit(99);
	fd.fd = fnx_control_fd(node->control);
	fnx_node_serve(node); /* arms the descriptor's edge */
	if (write(ready_fd, "r", 1) != 1)
		_exit(99);
	do {
		poll(&fd, 1, -1);
	} while (!fnx_node_serve(node));
	fnx_node_close(node);
	free(node);
}

static struct lab lab_open(void)
{
	struct lab lab = {.bus = command_bus()};
	char segment_dir[200], run_dir[120], error[FNX_RIG_ERROR_MAX], byte;
	const char *overrides[] = {"bus.name=test", segment_dir, run_dir};
	struct fnx_rig *rig;
	int fds[2];

	snprintf(segment_dir, sizeof(segment_dir), "bus.segment_dir=%s", lab.bus.segment_dir);
	snprintf(run_dir, sizeof(run_dir), "bus.run_dir=%s", lab.bus.run_dir);
	assert_int_equal(fnx_rig_load(FNX_RIG_DEMO, overrides, 3, &rig, error), 0);
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	lab.pid = fork();
	if (lab.pid == 0) {
		serve(rig, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	fnx_rig_free(rig);
	return lab;
}

static void lab_close(struct lab *lab)
{
	const struct fnx_pair stop[] = {fnx_pair_text("op", "stop")};
	unsigned char body[64], reply[64];
	size_t size;
	int status;

	assert_int_equal(fnx_map_encode(stop, 1, body, sizeof(body), &size), 0);
	assert_int_equal(fnx_control_request(&lab->bus, "thresholder", body, size, 10000, reply,
				 sizeof(reply), &size),
		0);
	assert_int_equal(waitpid(lab->pid, &status, 0), lab->pid);
	assert_int_equal(status, 0);
	fnx_bus_remove(&lab->bus);
}

/* Getting and setting
 * --------------------------------------------------------------------------------- */

TEST(get_lists_all_parameters_with_unit_range_and_meaning)
{
	struct lab lab = lab_open();
	const struct said *said = FORNIX("get", "thresholder", ON(lab.bus));

	assert_int_equal(said->status, 0);
	says(said->out, "threshold  3.5 ");
	says(said->out, " uV ");
	says(said->out, "(-100 to 1000)");
	says(said->out, "onset above this\n");
	says(said->out, "freeze     0 ");
	lab_close(&lab);
}

TEST(get_of_one_parameter_begins_with_its_value)
{
	struct lab lab = lab_open();
	const struct said *said = FORNIX("get", "thresholder", "threshold", ON(lab.bus));

	assert_int_equal(said->status, 0);
	assert_int_equal(strncmp(said->out, "3.5 ", 4), 0);
	lab_close(&lab);
}

TEST(what_was_set_is_in_force_and_says_what_was)
{
	struct lab lab = lab_open();
	const struct said *said = FORNIX("set", "thresholder", "threshold", "0.1", ON(lab.bus));

	assert_int_equal(said->status, 0);
	assert_string_equal(said->out, "thresholder threshold: 0.1, before 3.5\n");
	said = FORNIX("get", "thresholder", "threshold", ON(lab.bus));
	assert_int_equal(strncmp(said->out, "0.1 ", 4), 0);
	lab_close(&lab);
}

TEST(numbers_below_zero_are_no_options)
{
	struct lab lab = lab_open();

	says(FORNIX("set", "thresholder", "threshold", "-2.5", ON(lab.bus))->out,
		"-2.5, before 3.5");
	says(FORNIX("set", ON(lab.bus), "thresholder", "threshold", "-.5")->out,
		"-0.5, before -2.5");
	says(FORNIX("set", ON(lab.bus), "--", "thresholder", "threshold", "-1e1")->out,
		"-10, before -0.5");
	lab_close(&lab);
}

TEST(true_and_false_are_numbers)
{
	struct lab lab = lab_open();

	says(FORNIX("set", "thresholder", "freeze", "true", ON(lab.bus))->out,
		"freeze: 1, before 0");
	says(FORNIX("set", "thresholder", "freeze", "false", ON(lab.bus))->out,
		"freeze: 0, before 1");
	lab_close(&lab);
}

TEST(who_changed_a_parameter_is_told)
{
	struct lab lab = lab_open();
	const struct said *said;
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	host[20] = 0;
	FORNIX("set", "thresholder", "threshold", "4", ON(lab.bus));
	said = FORNIX("echo", "thresholder.params", "--count", "1", ON(lab.bus));
	assert_int_equal(said->status, 0);
	says(said->out, "value=4 before=3.5 node=\"thresholder\" name=\"threshold\" who=\"");
	says(said->out, "@");
	says(said->out, host);
	lab_close(&lab);
}

/* What goes wrong
 * ------------------------------------------------------------------------------------- */

TEST(what_a_node_refuses_changes_nothing)
{
	struct lab lab = lab_open();

	fails(FORNIX("set", "thresholder", "threshold", "1001", ON(lab.bus)), 1,
		"a number from -100 to 1000 uV");
	fails(FORNIX("set", "thresholder", "treshold", "4", ON(lab.bus)), 1, "no such parameter");
	fails(FORNIX("get", "thresholder", "treshold", ON(lab.bus)), 1, "no such parameter");
	fails(FORNIX("set", "thresholder", "threshold", "high", ON(lab.bus)), 2,
		"a number, true or false, found \"high\"");
	fails(FORNIX("set", "thresholder", "threshold", "nan", ON(lab.bus)), 2,
		"a number, true or false");
	fails(FORNIX("set", "thresholder", "threshold", "", ON(lab.bus)), 2,
		"a number, true or false");
	assert_int_equal(
		strncmp(FORNIX("get", "thresholder", "threshold", ON(lab.bus))->out, "3.5 ", 4), 0);
	lab_close(&lab);
}

TEST(an_unknown_node_is_answered_with_the_known_ones)
{
	struct lab lab = lab_open();

	fails(FORNIX("get", "tresholder", ON(lab.bus)), 1,
		"no node tresholder; it has: thresholder");
	fails(FORNIX("set", "../x", "a", "1", ON(lab.bus)), 1, "it has: thresholder");
	lab_close(&lab);
}

TEST(a_stopped_node_is_told_from_an_unknown_one)
{
	struct lab lab = lab_open();

	kill(lab.pid, SIGKILL);
	waitpid(lab.pid, NULL, 0);
	/* Its socket is still there: it may be about to return. */
	fails(FORNIX("get", "thresholder", ON(lab.bus)), 1, "thresholder does not answer");
	assert_true(fnx_bus_sweep(&lab.bus) > 0);
	fails(FORNIX("get", "thresholder", ON(lab.bus)), 1, "no node thresholder");
	fnx_bus_remove(&lab.bus);
}

TEST(wrong_use_of_get_and_set_is_told_in_one_line)
{
	fails(FORNIX("get"), 2, "expected NODE");
	fails(FORNIX("get", "a", "b", "c"), 2, "expected NODE");
	fails(FORNIX("set", "a", "b"), 2, "expected NODE, KEY and VALUE");
	fails(FORNIX("set", "a", "b", "1", "2", "3"), 2, "expected NODE, KEY and VALUE");
	fails(FORNIX("set", "a", "b", "1", "--bus"), 2,
		"fornix set: option '--bus' requires an argument");
}
