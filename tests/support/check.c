/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct CMUnitTest tests[512];
static size_t n_tests;
static char scratch_dir[256];

void check_register(const char *name, check_fn fn)
{
	if (n_tests == sizeof(tests) / sizeof(tests[0]))
		abort();
	tests[n_tests++] = (struct CMUnitTest){.name = name, .test_func = fn};
}

struct check_random check_random_seeded(void)
{
	const char *given = getenv("FORNIX_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec + (uint64_t)now.tv_sec;
	print_message("FORNIX_TEST_SEED=%llu\n", (unsigned long long)seed);
	return (struct check_random){seed};
}

uint64_t check_random_u64(struct check_random *random)
{
	uint64_t z = (random->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t check_random_below(struct check_random *random, uint64_t n)
{
	return check_random_u64(random) % n;
}

double check_random_unit(struct check_random *random)
{
	return (double)(check_random_u64(random) >> 11) * 0x1p-53;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_scratch_dir(void)
{
	if (nftw(scratch_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0)
		fprintf(stderr, "cannot remove %s: %s\n", scratch_dir, strerror(errno));
}

const char *check_scratch_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	if (scratch_dir[0])
		return scratch_dir;
	if (!tmp)
		tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(scratch_dir, sizeof(scratch_dir), "%s/fornix-test-XXXXXX", tmp);
	if (!mkdtemp(scratch_dir))
		abort();
	atexit(remove_scratch_dir);
	return scratch_dir;
}

const char *check_data(const char *name)
{
	static char path[1024];
	const char *given = getenv("FORNIX_DATA");

	if (given)
		snprintf(path, sizeof(path), "%s/%s", given, name);
	else
		snprintf(path, sizeof(path), "%s/../shared/%s", FNX_SOURCE_DIR, name);
	return access(path, R_OK) == 0 ? path : NULL;
}

int main(int argc, char **argv)
{
	char pattern[256];

	if (argc > 1) {
		snprintf(pattern, sizeof(pattern), "*%s*", argv[1]);
		cmocka_set_test_filter(pattern);
	}
	return _cmocka_run_group_tests(program_invocation_short_name, tests, n_tests, NULL, NULL) !=
		0;
}
