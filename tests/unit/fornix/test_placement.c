/* SPDX-License-Identifier: BSD-3-Clause */
/* Which topics go from one machine to another, held against what the nodes themselves declare. */
#include "tests/support/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/fornix/command.h"
#include "nodes/host/placement.h"
#include "nodes/host/topics.h"

enum {
	NODES_MAX = 16
};

static char error[FNX_RIG_ERROR_MAX];

/* The demonstration, with `text` behind it. */
static int load(const char *text, const char *machine, struct fnx_rig **ret_rig)
{
	char rig[16384], path[300], segments[300], runs[300], record[300], here[80];
	const char *overrides[5] = {segments, runs, record, here};
	FILE *file = fopen(FNX_SOURCE_DIR "/deploy/rigs/demo.yaml", "r");
	size_t n = fread(rig, 1, sizeof(rig) - 1, file);

	fclose(file);
	rig[n] = 0;
	snprintf(path, sizeof(path), "%s/rig.yaml", check_scratch_dir());
	file = fopen(path, "w");
	fputs(rig, file);
	fputs(text, file);
	fclose(file);
	snprintf(segments, sizeof(segments), "bus.segment_dir=%s/s", check_scratch_dir());
	snprintf(runs, sizeof(runs), "bus.run_dir=%s/r", check_scratch_dir());
	snprintf(record, sizeof(record), "record.file=%s/r.mcap", check_scratch_dir());
	snprintf(here, sizeof(here), "machine=%s", machine ? machine : "");
	return fnx_rig_load(path, overrides, machine ? 4 : 3, ret_rig, error);
}

static void refuses(const char *text, const char *words)
{
	struct fnx_rig *rig;

	assert_int_equal(load(text, NULL, &rig), -EINVAL);
	if (!strstr(error, words))
		fail_msg("expected \"%s\" in: %s", words, error);
}

static const char *const nodes[] = {
	"acquire", "ripple", "encode.1", "encode.2", "decode", "dispatch", "record", "tap"};

/* Node `alone` on one machine, all others on another. */
static struct fnx_rig *load_apart(const char *alone)
{
	char text[1000], others[500] = "";
	struct fnx_rig *rig;

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		if (strcmp(nodes[i], alone)) {
			strcat(others, others[0] ? ", " : "");
			strcat(others, nodes[i]);
		}
	snprintf(text, sizeof(text),
		"\nmachines:\n  - {name: one, nodes: [%s]}\n  - {name: rest, nodes: [%s]}\n"
		"links:\n  - {between: [rest, one], endpoint: \"inproc://x\"}\n",
		alone, others);
	if (load(text, "one", &rig))
		fail_msg("%s", error);
	return rig;
}

static const struct fnx_node_ops *ops_of(const struct fnx_rig *rig, const char *name)
{
	for (const struct fnx_node_ops *const *ops = fnx_all_nodes; *ops; ops++)
		for (unsigned k = 0; fnx_rig_node_name(*ops, rig, k); k++)
			if (!strcmp(fnx_rig_node_name(*ops, rig, k), name))
				return *ops;
	return NULL;
}

TEST(every_topic_that_a_node_takes_comes_to_its_machine_and_no_other)
{
	struct fnx_node *node = malloc(sizeof(*node));

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		char topics[FNX_RIG_TOPICS_MAX][FNX_NAME_MAX];
		struct fnx_rig *rig = load_apart(nodes[i]);
		unsigned n, n_found = 0;

		n = fnx_rig_topics_between(
			rig, &rig->machines[1], &rig->machines[0], topics, FNX_RIG_TOPICS_MAX);
		assert_int_equal(fnx_node_open(node, ops_of(rig, nodes[i]), rig, nodes[i]), 0);
		for (unsigned k = 0; k < node->n_inputs; k++) {
			unsigned t = 0;

			while (t < n && strcmp(topics[t], node->inputs[k].topic))
				t++;
			if (t == n)
				fail_msg("%s takes %s, which does not come", nodes[i],
					node->inputs[k].topic);
			n_found++;
			/* And it has the schema that the node expects. */
			assert_non_null(fnx_rig_topic_schema(topics[t]));
			if (node->inputs[k].schema)
				assert_ptr_equal(
					fnx_rig_topic_schema(topics[t]), node->inputs[k].schema);
		}
		assert_int_equal(n_found, n);
		fnx_node_close(node);
		fnx_rig_free(rig);
	}
	free(node);
}

TEST(monitors_alone_hold_nobody_up)
{
	struct fnx_rig *rig = load_apart("tap");

	assert_int_equal(fnx_rig_topic_is_lossless(rig, "posterior", &rig->machines[0]), 0);
	assert_int_equal(fnx_rig_topic_is_lossless(rig, "posterior", &rig->machines[1]), 1);
	fnx_rig_free(rig);
	rig = load_apart("record");
	assert_int_equal(fnx_rig_topic_is_lossless(rig, "posterior", &rig->machines[0]), 1);
	assert_int_equal(fnx_rig_topic_is_lossless(rig, "ripple.params", &rig->machines[0]), 0);
	fnx_rig_free(rig);
}

TEST(each_machine_runs_its_nodes_and_its_bridges)
{
	const struct fnx_rig_machine *peer;
	struct fnx_rig *rig = load_apart("decode");
	int listens;

	assert_int_equal(fnx_rig_node_is_here(rig, "decode"), 1);
	assert_int_equal(fnx_rig_node_is_here(rig, "acquire"), 0);
	assert_int_equal(fnx_rig_topic_is_here(rig, "posterior"), 1);
	assert_int_equal(fnx_rig_topic_is_here(rig, "likelihood.1"), 1);
	assert_int_equal(fnx_rig_topic_is_here(rig, "decision"), 0);
	assert_non_null(fnx_rig_link(rig, 0, &peer, &listens));
	assert_string_equal(peer->name, "rest");
	assert_int_equal(listens, 0);
	assert_null(fnx_rig_link(rig, 1, &peer, &listens));
	assert_ptr_equal(ops_of(rig, "bridge.rest"), fnx_all_nodes[7]);
	/* A source here would wait for what is here. */
	assert_int_equal(rig->await.n, 2);
	assert_string_equal(rig->await.values[0], "decode");
	assert_string_equal(rig->await.values[1], "bridge.rest");
	fnx_rig_free(rig);
}

TEST(without_the_name_of_a_machine_everything_is_here)
{
	struct fnx_rig *rig;

	assert_int_equal(load("\nmachines:\n  - {name: a, nodes: [acquire, ripple, encode.1, "
			      "encode.2, decode, dispatch, record, tap]}\n",
				 NULL, &rig),
		0);
	assert_null(fnx_rig_here(rig));
	assert_int_equal(fnx_rig_node_is_here(rig, "decode"), 1);
	assert_null(ops_of(rig, "bridge.a"));
	fnx_rig_free(rig);
	assert_int_equal(load("", "nowhere", &rig), -EINVAL);
	assert_non_null(strstr(error, "the rig has no machine \"nowhere\""));
}

#define A "\nmachines:\n  - {name: a, nodes: [acquire, ripple, encode.1, encode.2, record, tap]}\n"
#define B "  - {name: b, nodes: [decode, dispatch]}\n"
#define LINK(between, endpoint) "links:\n  - {between: " between ", endpoint: \"" endpoint "\"}\n"

TEST(what_cannot_be_is_refused_with_a_sentence)
{
	refuses(A, "expected node decode in the `nodes` of one machine");
	refuses(A "  - {name: b, nodes: [decode, dispatch, tap]}\n",
		"node tap stands more than once");
	refuses(A "  - {name: a, nodes: [decode, dispatch]}\n", "name: a stands twice");
	refuses(A "  - {name: \"b c\", nodes: [decode, dispatch]}\n", "name: expected at most 40");
	refuses(A "  - {name: b, nodes: [decode, dispatch, view]}\n", "the rig has no node view");
	refuses(A "  - {name: b, nodes: [decode, dispatch], topics: [x]}\n",
		"the rig has no topic x");
	refuses(A B, "needs topic position of machine a; expected a link between the two");
	refuses(A B LINK("[a, a]", "inproc://x"), "between: expected two machines");
	refuses(A B LINK("[a, c]", "inproc://x"), "between: the rig has no machine c");
	refuses(A B LINK("[a, b]", "udp://x"), "endpoint: expected tcp://HOST:PORT");
	refuses(A B LINK("[a, b]", "tcp://10.0.0.1:7770"),
		"can be reached from outside; expected public_key_file");
	refuses(A B LINK(
			"[a, b]", "inproc://x") "  - {between: [b, a], endpoint: \"inproc://y\"}\n",
		"have a link already");
}

TEST(faults_are_told_with_their_line)
{
	struct fnx_rig *rig;

	assert_int_equal(load(A B LINK("[a, c]", "inproc://x"), NULL, &rig), -EINVAL);
	assert_non_null(strstr(error, "rig.yaml:"));
	assert_non_null(strstr(error, ": links[0]: between: "));
}
