/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/fornix/command_fixture.h"

#include <inttypes.h>

#include "bus/mcap.h"

static const char *const names[] = {"run", "node", "top", "echo", "get", "set", "check", "recover",
	"import-network", "version"};

enum {
	N_NAMES = sizeof(names) / sizeof(names[0])
};

/* Help
 * ------------------------------------------------------------------------------------------------
 */

TEST(help_has_a_line_for_each_command)
{
	static const char *const ways[] = {"help", "--help", "-h"};

	for (unsigned way = 0; way < 3; way++) {
		const struct said *said = FORNIX(ways[way]);

		assert_int_equal(said->status, 0);
		assert_string_equal(said->error, "");
		for (unsigned i = 0; i < N_NAMES; i++) {
			char line[32];

			snprintf(line, sizeof(line), "\n  %-8s  ", names[i]);
			says(said->out, line);
		}
		says(said->out, "examples:");
	}
}

TEST(each_command_helps_and_exits_well)
{
	for (unsigned i = 0; i < N_NAMES; i++) {
		const struct said *said;
		char start[32], usage[32];

		snprintf(start, sizeof(start), "fornix %s: ", names[i]);
		snprintf(usage, sizeof(usage), "\nusage: fornix %s", names[i]);
		said = FORNIX(names[i], "--help");
		assert_int_equal(said->status, 0);
		assert_string_equal(said->error, "");
		assert_int_equal(strncmp(said->out, start, strlen(start)), 0);
		says(said->out, usage);
		said = FORNIX("help", names[i]);
		assert_int_equal(said->status, 0);
		assert_int_equal(strncmp(said->out, start, strlen(start)), 0);
	}
}

TEST(help_fits_a_terminal)
{
	for (unsigned i = 0; i < N_NAMES; i++) {
		const char *text = FORNIX(names[i], "--help")->out;

		for (const char *end; *text && (end = strchr(text, '\n')); text = end + 1)
			if (end - text > 110)
				fail_msg("%s: %.*s", names[i], (int)(end - text), text);
	}
}

TEST(an_unknown_command_is_answered_with_the_known_ones)
{
	fails(FORNIX("jump"), 2,
		"unknown command jump; expected one of run node top ls inspect echo");
	fails(FORNIX("help", "jump"), 2, "unknown command jump");
	fails(FORNIX("--jump"), 2, "unknown command --jump");
}

TEST(no_command_at_all_is_wrong_use)
{
	const struct said *said = command_run((const char *const[]){NULL});

	assert_int_equal(said->status, 2);
	says(said->error, "usage: fornix COMMAND");
}

/* Version
 * --------------------------------------------------------------------------------------------- */

TEST(version_tells_what_two_builds_must_share)
{
	const struct said *said = FORNIX("version");
	char line[64];

	assert_int_equal(said->status, 0);
	assert_int_equal(
		strncmp(said->out, "fornix " FNX_VERSION "\n", strlen("fornix " FNX_VERSION "\n")),
		0);
	for (const struct fnx_schema *const *schema = fnx_schemas; *schema; schema++) {
		snprintf(line, sizeof(line), "%-12s %016" PRIx64 "\n", (*schema)->name,
			fnx_schema_hash(*schema));
		says(said->out, line);
	}
	says(FORNIX("--version")->out, FNX_VERSION);
	fails(FORNIX("version", "3"), 2, "unexpected argument 3");
}

/* Recover
 * --------------------------------------------------------------------------------------------- */

enum {
	MESSAGES = 1000
};

/* A recording of MESSAGES messages in many chunks. */
static const char *record(const char *name)
{
	const struct fnx_mcap_config config = {.chunk_size = 4096};
	static char path[300];
	struct fnx_mcap_writer *writer;

	snprintf(path, sizeof(path), "%s/%s", check_scratch_dir(), name);
	unlink(path);
	assert_int_equal(fnx_mcap_writer_open(path, &config, &writer), 0);
	assert_int_equal(fnx_mcap_writer_add_schema(writer, 1, "lfp", "jsonschema", "{}", 2), 0);
	assert_int_equal(fnx_mcap_writer_add_channel(writer, 1, 1, "lfp", "msgpack", NULL, 0), 0);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		char data[100] = "";

		snprintf(data, sizeof(data), "%u", i);
		assert_int_equal(fnx_mcap_writer_message(writer, 1, i, i * UINT64_C(1000000),
					 i * UINT64_C(1000000), data, sizeof(data)),
			0);
	}
	assert_int_equal(fnx_mcap_writer_close(writer), 0);
	return path;
}

static const char *fresh_path(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", check_scratch_dir(), name);
	unlink(path);
	return path;
}

static uint64_t n_messages(const char *path)
{
	struct fnx_mcap_reader *reader;
	struct fnx_mcap_stats stats;

	assert_int_equal(fnx_mcap_reader_open(path, &reader), 0);
	assert_int_equal(fnx_mcap_reader_summary(reader, &stats), 0);
	fnx_mcap_reader_close(reader);
	return stats.n_messages;
}

TEST(a_whole_recording_is_recovered_whole)
{
	const char *in = record("in.mcap"), *out = fresh_path("out.mcap");
	const struct said *said = FORNIX("recover", in, out);

	assert_int_equal(said->status, 0);
	says(said->out, "1000 messages of 1 topics, written within 0.999 s");
	says(said->out, "nothing was lost\n");
	assert_int_equal(n_messages(out), MESSAGES);
}

TEST(a_recording_that_was_cut_off_is_recovered_up_to_the_cut)
{
	const char *in = record("in.mcap"), *out = fresh_path("out.mcap");
	const struct said *said;
	struct stat st;
	uint64_t n;

	assert_int_equal(stat(in, &st), 0);
	assert_int_equal(truncate(in, st.st_size / 2), 0);
	said = FORNIX("recover", in, out);
	assert_int_equal(said->status, 0);
	says(said->out, "was cut off");
	says_not(said->out, "nothing was lost");
	n = n_messages(out);
	assert_in_range(n, 1, MESSAGES - 1);
}

TEST(a_file_that_is_there_is_not_written_over)
{
	const char *in = record("in.mcap");

	fails(FORNIX("recover", in, in), 1, "exists already");
	assert_int_equal(n_messages(in), MESSAGES);
}

TEST(what_is_no_recording_is_refused)
{
	const char *out = fresh_path("out.mcap");

	fails(FORNIX("recover", "/nowhere.mcap", out), 1, "No such file");
	fails(FORNIX("recover", "/proc/self/exe", out), 1, "is no MCAP file");
	assert_int_not_equal(access(out, F_OK), 0);
	fails(FORNIX("recover", "a.mcap"), 2, "expected IN.mcap and OUT.mcap");
}

/* Where output goes
 * ----------------------------------------------------------------------------------- */

TEST(a_reader_who_goes_away_kills_nobody)
{
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		char program[] = "fornix", word[] = "version", *argv[] = {program, word, NULL};

		dup2(fds[1], STDOUT_FILENO);
		status = fnx_commands_main(2, argv);
		fflush(stdout);
		_exit(status);
	}
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}
