/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_vectors itself, run as a user would: on the small copies, and on copies of those that
 * somebody has damaged.
 */
#include "tests/support/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct outcome {
	int status;
	char out[8192];
	char err[1024];
};

static void read_all(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, size - 1, file);
	text[n] = '\0';
	fclose(file);
}

/* Runs check_vectors with up to two arguments. */
static struct outcome run(const char *first, const char *second)
{
	struct outcome outcome;
	char out[512], err[512];
	int status;
	pid_t pid;

	snprintf(out, sizeof(out), "%s/out", check_scratch_dir());
	snprintf(err, sizeof(err), "%s/err", check_scratch_dir());
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const int fd_out = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		const int fd_err = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		if (fd_out < 0 || fd_err < 0 || dup2(fd_out, 1) < 0 || dup2(fd_err, 2) < 0)
			_exit(99);
		execl(FNX_BINARY_DIR "/bin/check_vectors", "check_vectors", first, second, NULL);
		_exit(98);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	outcome.status = WEXITSTATUS(status);
	read_all(out, outcome.out, sizeof(outcome.out));
	read_all(err, outcome.err, sizeof(outcome.err));
	return outcome;
}

static const char *small(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), FNX_SOURCE_DIR "/tests/data/vectors/%s", name);
	return path;
}

/* Copies `from`, at most `size` bytes of it. */
static void copy_file(const char *from, const char *to, size_t size)
{
	static char text[1 << 20];
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	while (size > 0 &&
		(n = fread(text, 1, size < sizeof(text) ? size : sizeof(text), in)) > 0) {
		assert_int_equal(fwrite(text, 1, n, out), n);
		size -= n;
	}
	fclose(in);
	assert_int_equal(fclose(out), 0);
}

/* A copy of the small one-state session in a directory of its own. */
static const char *fresh_copy(void)
{
	static char dir[512];
	static int n;
	char from[1024], to[1024];
	struct dirent *entry;
	DIR *source;

	snprintf(dir, sizeof(dir), "%s/copy%d", check_scratch_dir(), n++);
	assert_int_equal(mkdir(dir, 0700), 0);
	source = opendir(small("dec"));
	assert_non_null(source);
	while ((entry = readdir(source))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(from, sizeof(from), "%s/%s", small("dec"), entry->d_name);
		snprintf(to, sizeof(to), "%s/%s", dir, entry->d_name);
		copy_file(from, to, SIZE_MAX);
	}
	closedir(source);
	return dir;
}

static const char *in(const char *dir, const char *name)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void assert_refused(const char *dir, const char *because)
{
	const struct outcome outcome = run(dir, NULL);
	const char *end = strchr(outcome.err, '\n');

	assert_int_equal(outcome.status, 2);
	assert_true(end && end[1] == '\0');
	if (!strstr(outcome.err, because))
		fail_msg("\"%s\" does not say \"%s\"", outcome.err, because);
	assert_string_equal(outcome.out, "");
}

TEST(the_small_sessions_are_within_their_bounds_in_both_precisions)
{
	const char *names[] = {"dec", "cls"};

	for (int i = 0; i < 2; i++) {
		assert_int_equal(run(small(names[i]), NULL).status, 0);
		assert_int_equal(run("--single", small(names[i])).status, 0);
	}
}

TEST(every_file_that_is_missing_truncated_or_not_an_array_is_named_in_one_line)
{
	const char *files[] = {"config.json", "in_pos_t.npy", "in_pos_seg.npy", "in_pos_on.npy",
		"in_pos_xy.npy", "in_spike_t.npy", "in_spike_group.npy", "in_spike_wave.npy",
		"in_lfp_t.npy", "in_lfp.npy", "out_vel.npy", "out_pos_bin.npy",
		"out_encoding_spike.npy", "out_like_meta.npy", "out_like_hist.npy", "out_filt.npy",
		"out_env.npy", "out_cons_z.npy", "out_post.npy", "out_lik.npy",
		"out_post_meta.npy"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const char *dir = fresh_copy();
		char original[1024];
		struct stat st;

		assert_int_equal(unlink(in(dir, files[i])), 0);
		assert_refused(dir, files[i]);
		snprintf(original, sizeof(original), "%s/%s", small("dec"), files[i]);
		assert_int_equal(stat(original, &st), 0);
		copy_file(original, in(dir, files[i]), (size_t)st.st_size - 5);
		assert_refused(dir, files[i]);
		copy_file("/proc/self/cmdline", in(dir, files[i]), SIZE_MAX);
		assert_refused(dir, files[i]);
	}
}

TEST(an_array_of_another_shape_or_type_is_refused)
{
	const char *dir = fresh_copy();
	char original[1024];

	snprintf(original, sizeof(original), "%s/out_vel.npy", small("dec"));
	copy_file(original, in(dir, "out_post_meta.npy"), SIZE_MAX);
	assert_refused(dir, "out_post_meta.npy: 1-dimensional f8, expected 2-dimensional f8");
	dir = fresh_copy();
	snprintf(original, sizeof(original), "%s/in_spike_t.npy", small("dec"));
	copy_file(original, in(dir, "in_lfp_t.npy"), SIZE_MAX);
	assert_refused(dir, "in_lfp.npy: dimension 0");
	dir = fresh_copy();
	snprintf(original, sizeof(original), "%s/config.json", small("cls"));
	copy_file(original, in(dir, "config.json"), SIZE_MAX);
	assert_refused(dir, "in_lfp.npy: dimension 1 is 2, expected 4 electrodes");
}

TEST(a_configuration_that_lacks_a_key_is_refused_by_its_name)
{
	const char *dir = fresh_copy();
	FILE *file = fopen(in(dir, "config.json"), "w");

	assert_non_null(file);
	fputs("{\"decoder_assignment\": {\"1\": [1]}}", file);
	fclose(file);
	assert_refused(dir, "trode_selection.ripples is missing");
	file = fopen(in(dir, "config.json"), "w");
	assert_non_null(file);
	fputs("{\"decoder_assignment\":\n {\"1\" [1]}}", file);
	fclose(file);
	assert_refused(dir, "config.json: line 2");
}

/* Adds one to the double `from_end` bytes before the end of the file. */
static void disturb(const char *path, long from_end, double by)
{
	FILE *file = fopen(path, "r+b");
	double value;

	assert_non_null(file);
	assert_int_equal(fseek(file, -from_end, SEEK_END), 0);
	assert_int_equal(fread(&value, sizeof(value), 1, file), 1);
	value += by;
	assert_int_equal(fseek(file, -from_end, SEEK_END), 0);
	assert_int_equal(fwrite(&value, sizeof(value), 1, file), 1);
	assert_int_equal(fclose(file), 0);
}

TEST(one_number_beyond_its_bound_fails_and_names_the_quantity)
{
	static const struct {
		const char *file;
		double by;
		const char *line;
	} cases[] = {
		{"out_post.npy", 6e-9, "FAIL  posteriors"},
		{"out_lik.npy", 6e-9, "FAIL  time bin likelihoods"},
		{"out_like_hist.npy", 2e-12, "FAIL  likelihood histograms"},
		{"out_vel.npy", 1e-6, "FAIL  speed"},
		{"out_filt.npy", 1e-6, "FAIL  filtered LFP"},
		{"out_env.npy", 1e-6, "FAIL  envelope"},
		{"out_like_meta.npy", 10.0, "FAIL  their credible intervals"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *dir = fresh_copy();
		struct outcome outcome;

		/* The last likelihood bin is in use; the first value from the end of any is as
		 * good. */
		disturb(in(dir, cases[i].file), 8, cases[i].by);
		outcome = run(dir, NULL);
		assert_int_equal(outcome.status, 1);
		if (!strstr(outcome.out, cases[i].line))
			fail_msg("%s: no \"%s\" in\n%s", cases[i].file, cases[i].line, outcome.out);
		assert_string_equal(outcome.err, "");
	}
}

TEST(help_is_given_and_anything_but_one_directory_is_refused)
{
	struct outcome outcome = run("--help", NULL);

	assert_int_equal(outcome.status, 0);
	assert_non_null(strstr(outcome.out, "usage: check_vectors"));
	assert_int_equal(run(NULL, NULL).status, 2);
	assert_int_equal(run("--quick", small("dec")).status, 2);
	assert_int_equal(run(small("dec"), small("cls")).status, 2);
	assert_refused("/nonexistent", "config.json");
}
