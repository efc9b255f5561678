/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/fornix/command_fixture.h"

#include <jansson.h>
#include <pty.h>
#include <sys/mman.h>

#include "bus/status.h"
#include "schemas/position.h"

/* A node that only has a page. */
struct page {
	struct fnx_presence presence;
	struct fnx_status *status;
};

static struct page page_open(const struct fnx_bus *bus, const char *name)
{
	struct page page;

	assert_int_equal(fnx_presence_claim(bus, name, &page.presence, NULL), 0);
	assert_int_equal(fnx_status_create(bus, name, &page.status), 0);
	atomic_store(&page.status->first_sample_time, INT64_MIN);
	atomic_store(&page.status->started_ns, fnx_node_now() - INT64_C(10000000000));
	return page;
}

static void page_close(struct page *page)
{
	fnx_status_close(page->status);
	fnx_presence_drop(&page->presence);
}

static void add_output(struct page *page, const char *topic, uint64_t frames)
{
	uint32_t i = atomic_fetch_add(&page->status->n_outputs, 1);

	snprintf(page->status->outputs[i].name, FNX_NAME_MAX, "%s", topic);
	atomic_store(&page->status->outputs[i].frames, frames);
}

static void add_input(struct page *page, const char *topic, uint64_t frames)
{
	uint32_t i = atomic_fetch_add(&page->status->n_inputs, 1);

	snprintf(page->status->inputs[i].name, FNX_NAME_MAX, "%s", topic);
	atomic_store(&page->status->inputs[i].frames, frames);
}

/* A bus with a source that is 3 s into its session and a node that reads it. */
struct lab {
	struct fnx_bus bus;
	struct page acquire, ripple;
};

static struct lab lab_open(void)
{
	struct lab lab = {.bus = command_bus()};

	lab.acquire = page_open(&lab.bus, "acquire");
	lab.ripple = page_open(&lab.bus, "a-ripple");
	atomic_store(&lab.acquire.status->state, FNX_NODE_RUNNING);
	atomic_store(&lab.acquire.status->first_sample_time, 60000);
	atomic_store(&lab.acquire.status->sample_time, 150000);
	add_output(&lab.acquire, "lfp", 15000);
	add_output(&lab.acquire, "spikes", 1234567);
	atomic_store(&lab.ripple.status->state, FNX_NODE_RUNNING);
	atomic_store(&lab.ripple.status->sample_time, 120000);
	atomic_store(&lab.ripple.status->wakes, 4711);
	add_input(&lab.ripple, "lfp", 14990);
	for (int i = 0; i < 100; i++) {
		fnx_histogram_add(&lab.ripple.status->latency, i == 99 ? 800000 : 50000);
		fnx_histogram_add(&lab.ripple.status->hops[0], i == 99 ? 700000 : 30000);
		fnx_histogram_add(&lab.ripple.status->inputs[0].age, i == 99 ? 600000 : 40000);
	}
	return lab;
}

static void lab_close(struct lab *lab)
{
	page_close(&lab->acquire);
	page_close(&lab->ripple);
	fnx_bus_remove(&lab->bus);
}

/* The line that begins so. */
static const char *line_of(const struct said *said, const char *name)
{
	static char line[1024];
	const char *at = said->out;

	for (; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (!strncmp(at, name, strlen(name)) && at[strlen(name)] == ' ') {
			snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
			return line;
		}
	fail_msg("no line of %s in:\n%s", name, said->out);
	return NULL;
}

TEST(a_table_shows_each_node_and_each_topic)
{
	struct lab lab = lab_open();
	const struct said *said = FORNIX("top", "--once", ON(lab.bus));
	char pid[16];

	snprintf(pid, sizeof(pid), " %d ", (int)getpid());
	assert_int_equal(said->status, 0);
	says(said->out, "bus test: 2 nodes, 2 topics");
	says(line_of(said, "acquire"), "running");
	says(line_of(said, "acquire"), pid);
	says(line_of(said, "acquire"), " 3.0s ");
	says(line_of(said, "acquire"), " 1.25M ");
	says(line_of(said, "a-ripple"), " 2.0s ");
	says(line_of(said, "a-ripple"), " 4711 ");
	says(line_of(said, "a-ripple"), " 14990 ");
	says(line_of(said, "a-ripple"), " 800.0 ");
	says(line_of(said, "lfp"), " 15000 ");
	says(line_of(said, "lfp"), " acquire");
	says(line_of(said, "spikes"), " 1234567 ");
	says_not(said->out, "\x1b");
	says_not(said->out, "dead");
	lab_close(&lab);
}

TEST(each_hop_is_told_apart)
{
	struct lab lab = lab_open();
	const char *line;

	atomic_store(&lab.ripple.status->inputs[0].peak_depth, 17);
	line = line_of(FORNIX("top", "--once", ON(lab.bus)), "lfp > a-ripple");
	says(line, " 14990 ");
	says(line, " 17 ");
	says(line, " 700.0 ");
	says(line, " 600.0");
	lab_close(&lab);
}

/* Frames that were not there when the reader looked at last. */
static void publish_position(struct fnx_publisher *pub)
{
	const struct fnx_stamp stamp = {.sample_time = 1};
	void *payload;

	assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
	fnx_publisher_publish(pub, 8, &stamp);
}

TEST(depth_and_slots_are_those_of_the_topic_itself)
{
	struct lab lab = lab_open();
	struct fnx_publisher *pub =
		command_topic(&lab.bus, "lfp", &fnx_position_schema, 16, FNX_FULL_WAIT);
	const struct fnx_subscriber_config config = {.topic = "lfp",
		.node = "a-ripple",
		.policy = FNX_LOSSLESS,
		.bell = FNX_BELL_FORM_PIPE};
	struct fnx_subscriber *sub;
	const struct said *said;
	char text[16];

	assert_int_equal(fnx_subscriber_open(&lab.bus, &config, &sub), 0);
	for (int i = 0; i < 9; i++)
		publish_position(pub);
	said = FORNIX("top", "--once", ON(lab.bus));
	assert_int_equal(
		sscanf(line_of(said, "lfp > a-ripple"), "lfp > a-ripple %*s %*s %15s", text), 1);
	assert_string_equal(text, "9");
	assert_int_equal(sscanf(line_of(said, "lfp"), "lfp %*s %*s 16 %15s", text), 1);
	assert_string_equal(text, "9");
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	lab_close(&lab);
}

TEST(top_tells_scripts_all_of_it)
{
	struct lab lab = lab_open();
	const struct said *said = FORNIX("top", "--once", "--json", ON(lab.bus));
	json_t *whole = json_loads(said->out, 0, NULL), *hop, *node;

	assert_int_equal(said->status, 0);
	assert_non_null(whole);
	assert_int_equal(json_array_size(json_object_get(whole, "nodes")), 2);
	assert_int_equal(json_array_size(json_object_get(whole, "topics")), 2);
	hop = json_array_get(json_object_get(whole, "hops"), 0);
	assert_int_equal(json_integer_value(json_object_get(hop, "frames")), 14990);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(hop, "hop"), "max_ns")), 700000);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(hop, "age"), "count")), 100);
	node = json_array_get(json_object_get(whole, "nodes"), 0);
	assert_string_equal(json_string_value(json_object_get(node, "name")), "acquire");
	json_decref(whole);
	lab_close(&lab);
}

/* What a terminal `columns` wide shows of the first table, on a pseudo-terminal. */
static void on_terminal(
	const struct lab *lab, unsigned short columns, const char *keys, char *text, size_t size)
{
	const struct winsize window = {.ws_col = columns, .ws_row = 24};
	const char *words[] = {"fornix", "top", ON(lab->bus), NULL};
	size_t used = 0;
	int master, status;
	pid_t pid = forkpty(&master, NULL, NULL, &window);
	ssize_t n;

	assert_true(pid >= 0);
	if (pid == 0) {
		static char texts[8][512];
		char *argv[9] = {NULL};

		alarm(2 * CHECK_PATIENCE_S);
		for (int i = 0; i < 8; i++) {
			snprintf(texts[i], sizeof(texts[i]), "%s", words[i]);
			argv[i] = texts[i];
		}
		status = fnx_commands_main(8, argv);
		fflush(NULL);
		_exit(status);
	}
	/* The keys are pressed when the first table's last line is there. */
	while (used < size - 1 && (n = read(master, text + used, size - 1 - used)) > 0) {
		used += (size_t)n;
		text[used] = 0;
		if (*keys && strstr(text, "\x1b[7m")) {
			assert_int_equal(write(master, keys, 1), 1);
			keys++;
		}
	}
	text[used] = 0;
	close(master);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The longest line between two line ends, escapes not counted. */
static int longest(const char *text)
{
	int length = 0, most = 0;

	for (; *text; text++) {
		if (*text == '\x1b') {
			while (*text && !(*text >= 'A' && *text <= 'Z') &&
				!(*text >= 'a' && *text <= 'z'))
				text++;
			length = *text == 'H' ? 0 : length;
		} else if (*text == '\n' || *text == '\r') {
			length = 0;
		} else if (++length > most) {
			most = length;
		}
	}
	return most;
}

TEST(a_terminal_is_filled_and_given_back_as_it_was)
{
	static const unsigned short widths[] = {40, 80, 97, 160};
	static char text[SAID_MAX];
	struct lab lab = lab_open();

	for (unsigned i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		on_terminal(&lab, widths[i], "q", text, sizeof(text));
		assert_int_equal(longest(text), widths[i]); /* that of the line of keys */
		says(text, "\x1b[?1049h");
		says(strstr(text, "\x1b[?1049h"), "\x1b[?25h\x1b[?1049l");
		says(text, "LAT99");
		if (widths[i] == 160)
			says(text, "QUEUE%");
		else
			says_not(text, "QUEUE%");
	}
	lab_close(&lab);
}

TEST(keys_choose_tables_and_end_it)
{
	static char text[SAID_MAX];
	struct lab lab = lab_open();

	on_terminal(&lab, 80, "hq", text, sizeof(text));
	says(text, "HOP50");
	on_terminal(&lab, 80, "\x03", text, sizeof(text));
	says(text, "\x1b[?1049l");
	on_terminal(&lab, 80, "?qq", text, sizeof(text));
	says(text, "Any key goes back");
	lab_close(&lab);
}

TEST(sources_stand_first)
{
	struct lab lab = lab_open();
	const struct said *said = FORNIX("top", "--once", ON(lab.bus));

	assert_true(strstr(said->out, "\nacquire ") < strstr(said->out, "\na-ripple "));
	lab_close(&lab);
}

TEST(rates_are_means_since_the_start_in_the_first_table)
{
	struct lab lab = lab_open();
	const struct said *said = FORNIX("top", "--once", ON(lab.bus));
	double rate;

	assert_int_equal(sscanf(line_of(said, "lfp"), "lfp 15000 %lf", &rate), 1);
	/* 15000 frames in 10 s and what the test takes. */
	assert_true(rate > 700 && rate <= 1500);
	lab_close(&lab);
}

/* Its predecessors' counts may go on in its own. */
TEST(a_node_that_was_started_again_has_no_mean_since_its_start)
{
	struct lab lab = lab_open();
	char rate[16];

	atomic_store(&lab.acquire.status->starts, 2);
	assert_int_equal(sscanf(line_of(FORNIX("top", "--once", ON(lab.bus)), "lfp"),
				 "lfp 15000 %15s", rate),
		1);
	assert_string_equal(rate, "-");
	lab_close(&lab);
}

TEST(another_clock_gives_another_session_time)
{
	struct lab lab = lab_open();

	says(line_of(FORNIX("top", "--once", "--clock-rate", "20000", ON(lab.bus)), "acquire"),
		" 4.5s ");
	lab_close(&lab);
}

TEST(a_dead_node_is_called_dead_with_its_last_words)
{
	struct lab lab = lab_open();
	const struct said *said;

	fnx_status_say(lab.ripple.status, "restarted after a gap");
	fnx_presence_drop(&lab.ripple.presence);
	said = FORNIX("top", "--once", ON(lab.bus));
	assert_int_equal(said->status, 0);
	line_of(said, "a-ripple DEAD");
	says(said->out, "a-ripple is dead (process");
	says(said->out, "restarted after a gap");
	lab_close(&lab);
}

TEST(a_node_that_failed_says_why)
{
	struct lab lab = lab_open();
	const struct said *said;

	fnx_status_say(lab.ripple.status, "the filters\x1b[31m cannot be used");
	atomic_store(&lab.ripple.status->state, FNX_NODE_FAILED);
	fnx_presence_drop(&lab.ripple.presence);
	said = FORNIX("top", "--once", ON(lab.bus));
	line_of(said, "a-ripple FAILED");
	says(said->out, "a-ripple has failed: the filters?[31m cannot be used");
	says_not(said->out, "dead");
	lab_close(&lab);
}

TEST(a_node_that_stopped_in_good_order_is_not_dead)
{
	struct lab lab = lab_open();
	const struct said *said;

	atomic_store(&lab.ripple.status->state, FNX_NODE_STOPPED);
	fnx_presence_drop(&lab.ripple.presence);
	said = FORNIX("top", "--once", ON(lab.bus));
	says(line_of(said, "a-ripple"), " stopped ");
	says_not(said->out, "dead");
	lab_close(&lab);
}

TEST(what_must_be_zero_is_told_in_words_when_it_is_not)
{
	struct lab lab = lab_open();
	const struct said *said;

	atomic_store(&lab.ripple.status->missed_wakes, 2);
	atomic_store(&lab.ripple.status->heap_allocations, 3);
	atomic_store(&lab.ripple.status->inputs[0].late, 4);
	atomic_store(&lab.ripple.status->inputs[0].bad, 7);
	atomic_store(&lab.ripple.status->inputs[0].gaps, 5);
	atomic_store(&lab.ripple.status->inputs[0].missed, 66);
	said = FORNIX("top", "--once", ON(lab.bus));
	says(said->out, "a-ripple overslept 2 times");
	says(said->out, "a-ripple allocated memory 3 times");
	says(said->out, "a-ripple got 4 frames after their turn");
	says(said->out, "a-ripple got 7 frames of bad data");
	says(line_of(said, "a-ripple running"), "    5     66 ");
	lab_close(&lab);
}

TEST(a_page_of_nonsense_does_no_harm)
{
	struct lab lab = lab_open();
	struct check_random random = check_random_seeded();
	unsigned char *bytes = (unsigned char *)lab.ripple.status;

	for (int round = 0; round < 20; round++) {
		for (size_t i = sizeof(uint64_t) + sizeof(uint32_t); i < sizeof(*lab.ripple.status);
			i++)
			bytes[i] = round == 0 ? 0xff : (unsigned char)check_random_u64(&random);
		assert_int_equal(FORNIX("top", "--once", ON(lab.bus))->status, 0);
	}
	lab_close(&lab);
}

TEST(a_file_that_is_no_page_is_passed_over)
{
	struct lab lab = lab_open();
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/odd.status", lab.bus.segment_dir);
	file = fopen(path, "w");
	fputs("no page", file);
	fclose(file);
	says(FORNIX("top", "--once", ON(lab.bus))->out, "bus test: 2 nodes");
	lab_close(&lab);
}

TEST(a_bus_without_nodes_has_none)
{
	struct fnx_bus bus = command_bus();

	says(FORNIX("top", "--once", ON(bus))->out, "bus test: 0 nodes, 0 topics");
	fnx_bus_remove(&bus);
}

/* Rates of the second table are of the second between the two. */
TEST(the_table_is_drawn_again_until_ctrl_c)
{
	struct lab lab = lab_open();
	struct running running = command_start((const char *const[]){"top", ON(lab.bus), NULL});
	const struct said *said;

	await_said(&running, "spikes");
	atomic_store(&lab.acquire.status->outputs[0].frames, 15500);
	await_said(&running, " 15500 ");
	kill(running.pid, SIGINT);
	said = command_end(&running);
	assert_int_equal(said->status, 0);
	assert_string_equal(said->error, "");
	lab_close(&lab);
}

TEST(top_ends_with_the_bus)
{
	struct lab lab = lab_open();
	struct running running = command_start((const char *const[]){"top", ON(lab.bus), NULL});
	const struct said *said;

	await_said(&running, "spikes");
	fnx_bus_remove(&lab.bus);
	said = command_end(&running);
	assert_int_equal(said->status, 0);
	says(said->out, "bus test has ended");
	lab_close(&lab);
}

TEST(a_bus_that_is_not_there_is_told_in_one_line)
{
	struct fnx_bus bus = command_bus();

	fnx_bus_remove(&bus);
	fails(FORNIX("top", "--once", ON(bus)), 1, "there is no bus test in ");
	fails(FORNIX("top", "--once", "--bus", "there-is-no-such-bus"), 1, "; there are: ");
}

TEST(a_run_directory_elsewhere_is_told_so)
{
	struct lab lab = lab_open();

	fails(FORNIX("top", "--once", "--segment-dir", lab.bus.segment_dir, "--run-dir",
		      "/nowhere"),
		1, "no sockets in /nowhere; say --run-dir");
	lab_close(&lab);
}

TEST(a_segment_directory_of_ones_own_names_the_bus)
{
	struct lab lab = lab_open();

	/* .../s<number> */
	says(FORNIX("top", "--once", "--segment-dir", lab.bus.segment_dir, "--run-dir",
		     lab.bus.run_dir)
			->out,
		"bus s");
	lab_close(&lab);
}

TEST(wrong_use_of_top_is_told_in_one_line)
{
	fails(FORNIX("top", "lab"), 2, "unexpected argument lab");
	fails(FORNIX("top", "--clock-rate", "fast"), 2, "--clock-rate: expected Hz, found fast");
	fails(FORNIX("top", "--clock-rate", "0"), 2, "--clock-rate");
	fails(FORNIX("top", "--twice"), 2, "unrecognized option");
}
