/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/tap/node.h"

#include "tests/unit/record/lab.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fnx_node *open_node(struct lab *lab)
{
	struct fnx_node *node;

	if (lab_node_open(lab, &fnx_tap_ops, "tap", &node))
		fail_msg("%s", node->error);
	return node;
}

static pid_t start_script(const char *endpoint, const char *n, const char *topic_1,
	const char *topic_2, int *ret_output)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 1);
		close(fds[0]);
		close(fds[1]);
		execl("/usr/bin/python3", "python3", FNX_SOURCE_DIR "/tests/unit/tap/read.py",
			endpoint, n, topic_1, topic_2, NULL);
		_exit(127);
	}
	close(fds[1]);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	*ret_output = fds[0];
	return pid;
}

/* A line as read.py prints it is what was published. */
static void check_line(const struct lab *lab, const char *line)
{
	uint64_t payload[LAB_PAYLOAD_MAX / 8];
	const struct fnx_position *position = (const void *)payload;
	const struct fnx_spike *spike = (const void *)payload;
	unsigned long long seq;
	long long time;
	double raw_x, sum, expected = 0;
	unsigned group, kind = 0;
	char topic[64];

	assert_int_equal(
		sscanf(line, "%63s %llu %lld %lf %u %lf", topic, &seq, &time, &raw_x, &group, &sum),
		6);
	while (strcmp(lab->topics[kind].name, topic)) {
		kind++;
		assert_true(kind < LAB_TOPICS);
	}
	lab_fill(&lab->topics[kind], kind, seq, payload);
	if (kind == 0) {
		assert_true(raw_x == position->raw_x);
		return;
	}
	assert_int_equal(kind, 1);
	assert_int_equal(group, spike->group);
	for (uint32_t i = 0; i < LAB_CHANNELS * LAB_POINTS; i++)
		expected += (double)fnx_spike_get_waveform(&lab->topics[1].layout, payload)[i];
	assert_true(fabs(sum - expected) < 1e-9);
}

TEST(a_script_with_zmq_and_msgpack_reads_what_was_published)
{
	struct lab *lab = lab_new("tap: {}\n");
	struct check_random random = check_random_seeded();
	struct fnx_node *node = open_node(lab);
	int64_t deadline = lab_deadline();
	char endpoint[160], text[32768];
	int status, output, n_lines = 0;
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	snprintf(endpoint, sizeof(endpoint), "ipc://%s/tap.pub", lab->bus.run_dir);
	pid = start_script(endpoint, "200", "position", "spikes", &output);
	/* The session goes on until the script has enough. */
	while ((n = read(output, text + used, sizeof(text) - 1 - used)) != 0) {
		assert_true(n > 0 || errno == EAGAIN);
		assert_true(fnx_node_now() < deadline);
		used += n > 0 ? (size_t)n : 0;
		lab_session(lab, &random, 5, lab_node_turn, node);
		lab_node_turn(node);
	}
	text[used] = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n_lines++)
		check_line(lab, line);
	assert_int_equal(n_lines, 200);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(output);
	lab_node_close(node);
	lab_free(lab);
}

TEST(a_tap_that_stands_still_holds_nobody_up_and_counts_what_it_missed)
{
	struct lab *lab = lab_new("tap: {}\n");
	struct check_random random = check_random_seeded();
	struct fnx_node *node = open_node(lab);
	uint64_t missed = 0, taken = 0;

	for (int i = 0; i < 20 * LAB_SLOTS; i++)
		assert_int_equal(lab_step(lab, &random), 0);
	lab_advance(lab, FNX_END);
	lab_node_turn(node);
	for (unsigned kind = 0; kind < LAB_TOPICS; kind++) {
		const struct fnx_status_topic *status = &node->status->inputs[kind];

		assert_int_equal(atomic_load(&status->gaps), 0);
		missed += atomic_load(&status->missed);
		taken += atomic_load(&status->frames);
		assert_int_equal(atomic_load(&status->missed) + atomic_load(&status->frames),
			fnx_publisher_head(lab->topics[kind].pub));
	}
	assert_true(missed > 0 && taken > 0);
	assert_int_equal(fnx_node_drive(node, fnx_node_now(), 16), FNX_DRIVE_ENDED);
	lab_node_close(node);
	lab_free(lab);
}

TEST(a_topic_that_the_rig_does_not_have_cannot_be_tapped)
{
	struct lab *lab = lab_new("tap: {topics: [spikes, nonsense]}\n");
	struct fnx_node *node;

	assert_int_equal(lab_node_open(lab, &fnx_tap_ops, "tap", &node), -EINVAL);
	assert_string_equal(node->error,
		"tap.topics: the rig has no topic nonsense; it has position, spikes, lfp, truth");
	free(node);
	lab_free(lab);
}

TEST(an_endpoint_that_others_can_reach_needs_a_key)
{
	struct lab *lab = lab_new("tap: {endpoints: [\"tcp://0.0.0.0:45651\"]}\n");
	struct fnx_node *node;

	assert_int_equal(lab_node_open(lab, &fnx_tap_ops, "tap", &node), -EPERM);
	assert_string_equal(node->error,
		"tap.endpoints: tcp://0.0.0.0:45651 can be reached from outside; "
		"expected a key in tap.curve_secret_file");
	free(node);
	lab_free(lab);
}

TEST(an_endpoint_that_is_none_is_told)
{
	struct lab *lab = lab_new("tap: {endpoints: [\"pigeon://loft\"]}\n");
	struct fnx_node *node;

	assert_true(lab_node_open(lab, &fnx_tap_ops, "tap", &node) < 0);
	assert_non_null(strstr(node->error, "tap.endpoints: cannot publish at pigeon://loft: "));
	free(node);
	lab_free(lab);
}
