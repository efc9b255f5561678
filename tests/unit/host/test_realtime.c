/* SPDX-License-Identifier: BSD-3-Clause */
/* What the real-time set-up says of itself. It is done in a child, which gives up the right to it
 * where it is to be refused: neither limits nor locks outlive the test. */
#include "tests/unit/host/node_fixture.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	NOBODY = 65534,
	IMPOSSIBLE_CPU = 1000
};

static struct lab lab;
static struct fnx_node node;
static struct script script;
static double speed = 1; /* of the rig's source */

static void give_up_rights(void)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_MEMLOCK, &none) || setrlimit(RLIMIT_RTPRIO, &none) ||
		(geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY)))
		_exit(1);
}

/* status->realtime, as it is set up in a child; returns the child's exit status. */
static int apply(struct fnx_rig_node *wish, int refused, int (*check)(void))
{
	pid_t pid;
	int status;

	lab_open(&lab);
	lab.rig.source.speed = speed;
	lab.rig.nodes = wish;
	lab.rig.n_nodes = 1;
	script = (struct script){.outputs = {"out"}};
	script_begin(&lab, &script, "node", &node);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (refused)
			give_up_rights();
		fnx_realtime_apply(&node);
		_exit(check ? check() : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void end(void)
{
	fnx_node_close(&node);
	lab_close(&lab);
}

static void expect_text(const char *sentence)
{
	if (!strstr(node.status->realtime, sentence))
		fail_msg("\"%s\" does not say \"%s\"", node.status->realtime, sentence);
}

TEST(what_is_refused_is_told_with_the_remedy_and_the_node_runs_on)
{
	int32_t cpu = IMPOSSIBLE_CPU;
	char name[] = "node";
	struct fnx_rig_node wish = {.name = name, .cpu = &cpu, .priority = 10};

	assert_int_equal(apply(&wish, 1, NULL), 0);
#ifndef FNX_SANITIZED
	/* Sanitizers lock nothing, and say that they did. */
	expect_text("memory lock refused (Operation not permitted; raise LimitMEMLOCK), ");
#endif
	expect_text("cpu 1000 refused (Invalid argument; is there such a cpu?), ");
	expect_text("SCHED_FIFO 10 refused (Operation not permitted; raise LimitRTPRIO)");
	end();
}

static int32_t allowed_cpu;

static int has_moved(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) != 1 ||
		!CPU_ISSET((size_t)allowed_cpu, &cpus);
}

TEST(what_is_granted_is_in_force_and_told)
{
	char name[] = "node";
	struct fnx_rig_node wish = {.name = name, .cpu = &allowed_cpu};
	char text[32];
	cpu_set_t cpus;

	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	for (allowed_cpu = 0; !CPU_ISSET((size_t)allowed_cpu, &cpus);)
		allowed_cpu++;
	assert_int_equal(apply(&wish, 0, has_moved), 0);
	snprintf(text, sizeof(text), ", cpu %d", allowed_cpu);
	expect_text(text);
	assert_null(strstr(node.status->realtime, "SCHED_FIFO"));
	end();
}

TEST(a_node_for_which_the_rig_wishes_nothing_asks_for_locked_memory_alone)
{
	int32_t cpu = IMPOSSIBLE_CPU;
	char name[] = "another";
	struct fnx_rig_node wish = {.name = name, .cpu = &cpu, .priority = 10};

	assert_int_equal(apply(&wish, 0, NULL), 0);
	expect_text("memory lock");
	assert_null(strchr(node.status->realtime, ','));
	end();
}

static int takes_no_core_from_others(void)
{
	return sched_getscheduler(0) == SCHED_BATCH;
}

TEST(nodes_of_a_session_without_pace_take_no_core_from_each_other)
{
	char name[] = "another";
	struct fnx_rig_node wish = {.name = name};

	speed = 0;
	assert_int_equal(apply(&wish, 0, takes_no_core_from_others), 1);
	expect_text("SCHED_BATCH, since the session has no pace");
	end();
	speed = 2;
	assert_int_equal(apply(&wish, 0, takes_no_core_from_others), 0);
	end();
	speed = 1;
}

TEST(how_a_node_waits_is_its_own_wish_or_else_the_buses)
{
	enum fnx_wait spin = FNX_WAIT_SPIN;
	char name[] = "node";
	struct fnx_rig_node wish = {.name = name};

	lab_open(&lab);
	lab.rig.bus.wait = FNX_WAIT_ADAPTIVE;
	lab.rig.nodes = &wish;
	lab.rig.n_nodes = 1;
	script = (struct script){.outputs = {"out"}};
	script_begin(&lab, &script, "node", &node);
	assert_int_equal(fnx_node_wait(&node), FNX_WAIT_ADAPTIVE);
	wish.wait = &spin;
	assert_int_equal(fnx_node_wait(&node), FNX_WAIT_SPIN);
	end();
}

/* The node and a source, both of which would wait awake. */
static enum fnx_wait awake;
static int32_t shared_cpu;
static char names[2][8] = {"node", "acquire"};
static struct fnx_rig_node wishes[2] = {
	{.name = names[0], .wait = &awake}, {.name = names[1], .wait = &awake}};

static void begin_crowd(int32_t *cpu)
{
	awake = FNX_WAIT_ADAPTIVE;
	wishes[0].cpu = wishes[1].cpu = cpu;
	lab_open(&lab);
	lab.rig.source.speed = speed;
	lab.rig.nodes = wishes;
	lab.rig.n_nodes = 2;
	script = (struct script){.outputs = {"out"}};
	script_begin(&lab, &script, "node", &node);
}

TEST(nobody_waits_awake_on_a_processor_to_which_another_such_node_is_pinned)
{
	char why[64];

	begin_crowd(&shared_cpu);
	assert_int_equal(fnx_node_crowded(&node, why, sizeof(why)), 1);
	assert_string_equal(why, "2 nodes would wait awake on cpu 0");
	/* One that sleeps takes no core from anybody. */
	awake = FNX_WAIT_SLEEP;
	assert_int_equal(fnx_node_crowded(&node, why, sizeof(why)), 0);
	end();
}

TEST(where_more_nodes_would_wait_awake_than_there_are_cores_an_adaptive_one_sleeps_and_says_so)
{
	cpu_set_t before, one;

	begin_crowd(NULL);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	for (unsigned i = 0; CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &before))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	fnx_realtime_apply(&node);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_true(node.crowded);
	expect_text("sleeps at once, since 2 nodes would wait awake on 1 cores");
	end();
}
