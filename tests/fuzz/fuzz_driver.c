/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target without libFuzzer, so that the suite needs no clang: over each file of its
 * corpus, over the file's prefixes, and over random changes of them.
 *
 *	fuzz_x [--runs N] [--seconds S] [--seed SEED] [--max-len BYTES] FILE|DIRECTORY...
 *
 * It stops at whichever of N and S comes first. An input that makes the target fail is written to
 * ./crash-<seed>-<run>; give that file as FILE to see it again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

enum {
	SIZE_MAX_BYTES = 1 << 16,
	CORPUS_MAX = 4096,
	CHANGES_MAX = 8,
};

struct input {
	uint8_t *data;
	size_t size;
};

static struct input corpus[CORPUS_MAX];
static size_t n_corpus, max_len = 512;
static uint64_t seed, state, n_runs;
static const uint8_t *running;
static size_t running_size;

const char *__asan_default_options(void)
{
	return "abort_on_error=1";
}

static uint64_t draw(void)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static size_t below(size_t n)
{
	return (size_t)(draw() % n);
}

/* Failing
 * ------------------------------------------------------------------------------------------- */

static void keep_input(int signal)
{
	char path[96];
	int fd;

	/* What fails after the last input, such as a leak, is no input's. */
	if (!running)
		raise(signal);
	snprintf(path, sizeof(path), "crash-%" PRIu64 "-%" PRIu64, seed, n_runs);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0 && write(fd, running, running_size) == (ssize_t)running_size)
		fprintf(stderr, "signal %d; the input is in %s\n", signal, path);
	raise(signal);
}

static void catch_failures(void)
{
	static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	struct sigaction action = {.sa_handler = keep_input, .sa_flags = (int)SA_RESETHAND};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

/* Running
 * ------------------------------------------------------------------------------------------- */

static void run(const uint8_t *data, size_t size)
{
	running = data;
	running_size = size;
	LLVMFuzzerTestOneInput(data, size);
	n_runs++;
	running = NULL;
}

/* In memory of its exact size, so that a sanitizer sees the first byte too many. */
static void run_exact(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	run(copy, size);
	free(copy);
}

static size_t start_from(uint8_t *data)
{
	size_t size;

	if (n_corpus && below(4)) {
		const struct input *input = &corpus[below(n_corpus)];

		size = input->size < max_len ? input->size : max_len;
		memcpy(data, input->data, size);
		return size;
	}
	size = below(max_len + 1);
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)draw();
	return size;
}

static size_t change(uint8_t *data, size_t size)
{
	size_t at = size ? below(size) : 0, n;

	switch (below(6)) {
	case 0: /* one bit */
		if (size)
			data[at] ^= (uint8_t)(1u << below(8));
		return size;
	case 1: /* one byte */
		if (size)
			data[at] = (uint8_t)draw();
		return size;
	case 2: /* cut */
		return below(2) ? at : size;
	case 3: /* take out */
		n = size ? 1 + below(size - at) : 0;
		memmove(data + at, data + at + n, size - at - n);
		return size - n;
	case 4: /* put in */
		n = 1 + below(8);
		if (size + n > max_len)
			return size;
		memmove(data + at + n, data + at, size - at);
		for (size_t i = 0; i < n; i++)
			data[at + i] = (uint8_t)draw();
		return size + n;
	default: /* the end of another */
		if (n_corpus) {
			const struct input *other = &corpus[below(n_corpus)];
			size_t from = other->size ? below(other->size) : 0;

			n = other->size - from;
			if (at + n > max_len)
				n = max_len - at;
			memcpy(data + at, other->data + from, n);
			return at + n;
		}
		return size;
	}
}

static void run_random(void)
{
	static uint8_t data[SIZE_MAX_BYTES];
	size_t size = start_from(data);

	for (size_t n = below(CHANGES_MAX); n > 0; n--)
		size = change(data, size);
#ifdef FNX_SANITIZED
	run_exact(data, size);
#else
	run(data, size);
#endif
}

/* Corpus
 * -------------------------------------------------------------------------------------------- */

static void add_file(const char *path)
{
	static uint8_t data[SIZE_MAX_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data));
	struct input *input = &corpus[n_corpus];

	if (n < 0 || n_corpus == CORPUS_MAX) {
		fprintf(stderr, "%s: %s\n", path, n < 0 ? strerror(errno) : "one too many");
		exit(1);
	}
	close(fd);
	input->data = malloc(n ? (size_t)n : 1);
	if (!input->data)
		abort();
	memcpy(input->data, data, (size_t)n);
	input->size = (size_t)n;
	n_corpus++;
}

static void add(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	char name[4096];

	if (!dir) {
		add_file(path);
		return;
	}
	while ((entry = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (entry->d_name[0] != '.')
			add_file(name);
	}
	closedir(dir);
}

static void run_corpus(void)
{
	for (size_t i = 0; i < n_corpus; i++) {
		size_t step = 1 + corpus[i].size / 256;

		for (size_t size = 0; size < corpus[i].size; size += step)
			run_exact(corpus[i].data, size);
		run_exact(corpus[i].data, corpus[i].size);
	}
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
	double started = now_s(), seconds = 1e9;
	uint64_t wanted = 0;

	seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	for (int i = 1; i < argc; i++) {
		if (i + 1 < argc && !strcmp(argv[i], "--runs"))
			wanted = strtoull(argv[++i], NULL, 0);
		else if (i + 1 < argc && !strcmp(argv[i], "--seconds"))
			seconds = strtod(argv[++i], NULL);
		else if (i + 1 < argc && !strcmp(argv[i], "--seed"))
			seed = strtoull(argv[++i], NULL, 0);
		else if (i + 1 < argc && !strcmp(argv[i], "--max-len"))
			max_len = strtoull(argv[++i], NULL, 0) % SIZE_MAX_BYTES;
		else
			add(argv[i]);
	}
	state = seed;
	catch_failures();
	run_corpus();
	for (uint64_t i = 0; i < wanted && (i % 256 || now_s() - started < seconds); i++)
		run_random();
	printf("seed %" PRIu64 ": %" PRIu64 " executions, %.0f per second\n", seed, n_runs,
		(double)n_runs / (now_s() - started));
	for (size_t i = 0; i < n_corpus; i++)
		free(corpus[i].data);
	return 0;
}
