/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/task.h"

#include "tests/unit/fornix/command_fixture.h"

#include <jansson.h>

/* Commands run in forked children. In one of a process with threads LeakSanitizer waits for threads
 * that are not there, and then takes what they would refer to for lost. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static int run_nothing(const struct fnx_call *call, void *context)
{
	(void)call, (void)context;
	return 0;
}

static const struct fnx_task_kernel kernels[] = {{"nothing", 0, run_nothing, NULL, 0}};

static struct fnx_task_runtime *open_runtime(const struct fnx_bus *bus, uint32_t n_traced)
{
	struct fnx_task_config config = {.bus = bus,
		.name = "tasks",
		.kinds = {{.name = "compute", .n_threads = 1}},
		.n_kinds = 1,
		.kernels = kernels,
		.n_kernels = 1,
		.n_traced = n_traced};
	struct fnx_task_runtime *rt = NULL;

	assert_int_equal(fnx_task_runtime_open(&config, NULL, &rt), 0);
	return rt;
}

static void run_chain(struct fnx_task_runtime *rt, unsigned n)
{
	static uint64_t word;
	struct fnx_task_arg arg = {
		.access = FNX_TASK_INOUT, .region = {.base = &word, .element_size = 8}};

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fnx_task_submit(rt, 0, &arg, 1, NULL), 0);
	assert_int_equal(fnx_task_drain(rt, -1), 0);
}

static const char *text_of(const json_t *event, const char *key)
{
	const char *text = json_string_value(json_object_get(event, key));

	return text ? text : "";
}

/* Of one task: begins and ends of its states in their order, each once, at times that rise. */
static unsigned count_states(const json_t *events, const char *id)
{
	static const char *const expected[] = {"bpending", "epending", "bready", "eready",
		"brunning", "erunning", "bcompleted", "ecompleted", "breleased", "ereleased"};
	double last = 0;
	unsigned n = 0;

	for (size_t i = 0; i < json_array_size(events); i++) {
		const json_t *event = json_array_get(events, i);
		double ts = json_number_value(json_object_get(event, "ts"));
		char got[32];

		if (strcmp(text_of(event, "cat"), "task") || strcmp(text_of(event, "id"), id))
			continue;
		snprintf(got, sizeof(got), "%s%s", text_of(event, "ph"), text_of(event, "name"));
		assert_true(n < 10);
		assert_string_equal(got, expected[n]);
		assert_true(ts >= last);
		last = ts;
		n++;
	}
	return n;
}

static unsigned count_phase(const json_t *events, const char *phase)
{
	unsigned n = 0;

	for (size_t i = 0; i < json_array_size(events); i++)
		n += !strcmp(text_of(json_array_get(events, i), "ph"), phase);
	return n;
}

TEST(a_trace_holds_every_state_of_every_task_as_json)
{
	struct fnx_bus bus = command_bus();
	struct fnx_task_runtime *rt = open_runtime(&bus, 1024);
	const struct said *said;
	const json_t *events;
	json_t *root;

	run_chain(rt, 10);
	said = FORNIX("trace", "tasks", ON(bus));
	assert_int_equal(said->status, 0);
	says(said->error, "80 state changes");
	root = json_loads(said->out, 0, NULL);
	assert_non_null(root);
	events = json_object_get(root, "traceEvents");
	for (unsigned i = 1; i <= 10; i++) {
		char id[8];

		snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(count_states(events, id), 10);
	}
	assert_int_equal(count_phase(events, "B"), 10);
	assert_int_equal(count_phase(events, "E"), 10);
	assert_int_equal(count_phase(events, "M"), 1);
	json_decref(root);
	fnx_task_runtime_close(rt);
}

TEST(a_small_trace_keeps_the_last_changes_and_says_how_many_are_gone)
{
	struct fnx_bus bus = command_bus();
	struct fnx_task_runtime *rt = open_runtime(&bus, 16);
	const struct said *said;
	json_t *root;
	char path[200];

	run_chain(rt, 10);
	snprintf(path, sizeof(path), "%s/trace.json", check_scratch_dir());
	said = FORNIX("trace", "tasks", "--out", path, ON(bus));
	assert_int_equal(said->status, 0);
	says(said->error, "16 state changes; 64 before them were overwritten");
	root = json_load_file(path, 0, NULL);
	assert_non_null(root);
	json_decref(root);
	/* What is there is not overwritten. */
	fails(FORNIX("trace", "tasks", "--out", path, ON(bus)), 1, "File exists");
	fnx_task_runtime_close(rt);
}

TEST(what_cannot_be_traced_is_said_in_one_line)
{
	struct fnx_bus bus = command_bus();
	struct fnx_task_runtime *rt = open_runtime(&bus, 0);

	fails(FORNIX("trace", "tasks", ON(bus)), 1, "without a trace");
	fails(FORNIX("trace", "none", ON(bus)), 1, "no task runtime none; it has: tasks");
	fails(FORNIX("trace", ON(bus)), 2, "expected one NAME");
	fnx_task_runtime_close(rt);
}
