/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each system call and each allocation of opening something fails in turn: the first, the second,
 * and so on until all goes well. Whatever fails, opening says so or does without; it keeps no
 * descriptor, no memory and no file.
 *
 * The calls are wrapped at link time (-Wl,--wrap), so that it is the bus's own calls that fail, and
 * not those of a library.
 */
#include "tests/unit/bus/topic_fixture.h"

#include "bus/control.h"
#include "bus/mcap.h"
#include "bus/status.h"
#include "bus/validate.h"

#include <fcntl.h>
#include <sys/mman.h>

enum {
	CALLS_MAX = 2000
};

static long countdown; /* calls until one fails; 0: none does */
static int failed; /* one did */
static long n_blocks; /* of memory, in use by the bus */

static int fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return 0;
	failed = 1;
	return 1;
}

/* Wrapped calls ----------------------------------------------------------------------- */

#define WRAP(type, name, error, answer, arguments, names) \
	type __real_##name arguments; \
	type __wrap_##name arguments; \
	type __wrap_##name arguments \
	{ \
		if (fails()) { \
			errno = error; \
			return answer; \
		} \
		return __real_##name names; \
	}

WRAP(int, fstat, EIO, -1, (int fd, struct stat *st), (fd, st))
WRAP(int, ftruncate, EIO, -1, (int fd, off_t size), (fd, size))
WRAP(int, fchmod, EPERM, -1, (int fd, mode_t mode), (fd, mode))
WRAP(int, posix_fallocate, ENOSPC, ENOSPC, (int fd, off_t at, off_t size), (fd, at, size))
WRAP(int, rename, ENOSPC, -1, (const char *from, const char *to), (from, to))
WRAP(int, mkdir, ENOSPC, -1, (const char *path, mode_t mode), (path, mode))
WRAP(int, mkfifo, ENOSPC, -1, (const char *path, mode_t mode), (path, mode))
WRAP(ssize_t, pwrite, ENOSPC, -1, (int fd, const void *bytes, size_t n, off_t at),
	(fd, bytes, n, at))
WRAP(void *, mmap, ENOMEM, MAP_FAILED,
	(void *at, size_t size, int protection, int flags, int fd, off_t offset),
	(at, size, protection, flags, fd, offset))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
void __wrap_free(void *memory);

int __wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	unsigned mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
	va_end(arguments);
	if (fails()) {
		errno = EMFILE;
		return -1;
	}
	return __real_open(path, flags, mode);
}

int __wrap_fcntl(int fd, int command, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (fails()) {
		errno = ENOLCK;
		return -1;
	}
	return __real_fcntl(fd, command, argument);
}

static void *counted(void *memory)
{
	n_blocks += memory != NULL;
	return memory;
}

void *__wrap_calloc(size_t n, size_t size)
{
	errno = ENOMEM;
	return fails() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_malloc(size_t size)
{
	errno = ENOMEM;
	return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_realloc(void *memory, size_t size)
{
	void *larger;

	errno = ENOMEM;
	larger = fails() ? NULL : __real_realloc(memory, size);
	n_blocks += larger && !memory;
	return larger;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	errno = ENOMEM;
	return fails() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *memory)
{
	n_blocks -= memory != NULL;
	__real_free(memory);
}

/* What is opened ---------------------------------------------------------------------- */

/* Opens and closes. The answer of opening. */
typedef int (*scene_fn)(const struct fnx_bus *bus);

static int a_bus(const struct fnx_bus *bus)
{
	struct fnx_bus other;
	char segments[200], run[100];
	int r;

	snprintf(segments, sizeof(segments), "%s/other", bus->segment_dir);
	snprintf(run, sizeof(run), "%s/other", bus->run_dir);
	r = fnx_bus_init(&other, "other", segments, run);
	if (!r)
		r = fnx_bus_create(&other, NULL);
	countdown = 0;
	/* The first directory may be there without the second; removing takes both. */
	if (fnx_bus_remove(&other) < 0)
		return -EIO;
	return r;
}

static int a_topic(const struct fnx_bus *bus)
{
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 4);
	struct fnx_publisher *pub = NULL;
	int r = fnx_publisher_open(bus, &config, &pub);

	countdown = 0;
	assert_true((r == 0) == (pub != NULL));
	fnx_publisher_close(pub);
	return r;
}

static int a_topic_of_the_dead(const struct fnx_bus *bus)
{
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 4);
	struct fnx_publisher *pub = NULL;
	long left = countdown, blocks;
	int r;

	countdown = 0;
	die(open_publisher(bus, FNX_FULL_WAIT, 4));
	blocks = n_blocks;
	countdown = left;
	r = fnx_publisher_open(bus, &config, &pub);
	countdown = 0;
	/* What the dead one had is not to be counted against its successor. */
	if (pub)
		fnx_publisher_close(pub);
	else
		fnx_mapping_unlink(bus, "topic");
	assert_int_equal(n_blocks, blocks);
	n_blocks -= 2;
	return r;
}

static int a_subscriber(const struct fnx_bus *bus)
{
	struct fnx_subscriber_config config = subscriber_config("reader", FNX_LOSSLESS);
	struct fnx_subscriber *sub = NULL;
	struct fnx_publisher *pub;
	long left = countdown;
	int r;

	countdown = 0;
	pub = open_publisher(bus, FNX_FULL_WAIT, 4);
	countdown = left;
	r = fnx_subscriber_open(bus, &config, &sub);
	countdown = 0;
	/* Nobody is left behind in the table. */
	assert_int_equal(fnx_publisher_readers(pub), r == 0);
	fnx_subscriber_close(sub);
	assert_int_equal(fnx_publisher_readers(pub), 0);
	fnx_publisher_close(pub);
	return r;
}

static int a_presence(const struct fnx_bus *bus)
{
	struct fnx_presence presence = {.fd = -1};
	int r = fnx_presence_claim(bus, "node", &presence, NULL);

	countdown = 0;
	fnx_presence_drop(&presence);
	return r;
}

static int a_bell(const struct fnx_bus *bus)
{
	struct fnx_bell *bell = NULL;
	int r = fnx_bell_open(bus, "node", FNX_BELL_FORM_PIPE, &bell);

	countdown = 0;
	assert_true((r == 0) == (bell != NULL));
	if (bell)
		fnx_bell_close(bell);
	return r;
}

static int a_ringer(const struct fnx_bus *bus)
{
	struct fnx_ringer ringer = {.ring = NULL};
	struct fnx_bell *bell;
	long left = countdown;
	int r;

	countdown = 0;
	assert_int_equal(fnx_bell_open(bus, "node", FNX_BELL_FORM_PIPE, &bell), 0);
	countdown = left;
	r = fnx_ringer_open(bus, "node", FNX_BELL_FORM_PIPE, getpid(), &ringer);
	countdown = 0;
	assert_true((r == 0) == fnx_ringer_is_open(&ringer));
	fnx_ringer_close(&ringer);
	fnx_bell_close(bell);
	return r;
}

static int a_control(const struct fnx_bus *bus)
{
	struct fnx_control *control = NULL;
	int r = fnx_control_open(bus, "node", &control);

	countdown = 0;
	assert_true((r == 0) == (control != NULL));
	fnx_control_close(control);
	return r;
}

static int a_status_page(const struct fnx_bus *bus)
{
	struct fnx_status *status = NULL;
	char path[300];
	int r = fnx_status_create(bus, "node", &status);

	countdown = 0;
	fnx_status_close(status);
	/* It outlives its node. */
	snprintf(path, sizeof(path), "%s/node.status", bus->segment_dir);
	assert_int_equal(unlink(path) == 0, r == 0);
	return r;
}

static int a_recording(const struct fnx_bus *bus)
{
	const struct fnx_mcap_config config = {.chunk_size = 4096};
	struct fnx_mcap_writer *writer = NULL;
	char path[300];
	int r;

	snprintf(path, sizeof(path), "%s/file.mcap", bus->segment_dir);
	r = fnx_mcap_writer_open(path, &config, &writer);
	countdown = 0;
	assert_true((r == 0) == (writer != NULL));
	if (writer)
		assert_int_equal(fnx_mcap_writer_close(writer), 0);
	assert_int_equal(unlink(path) == 0, r == 0);
	return r;
}

static int a_validation(const struct fnx_bus *bus)
{
	struct fnx_publisher *pub;
	long left = countdown;
	int r;

	countdown = 0;
	pub = open_publisher(bus, FNX_FULL_WAIT, 4);
	countdown = left;
	r = fnx_topic_validate(bus, "topic", NULL, NULL);
	if (!r)
		r = fnx_topic_repair(bus, "topic");
	countdown = 0;
	fnx_publisher_close(pub);
	return r;
}

/* In turn ----------------------------------------------------------------------------- */

static unsigned n_files(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		const char *suffix = strrchr(entry->d_name, '.');

		/* These two stay by design: whoever comes next opens them again. */
		n += !suffix || (strcmp(suffix, ".lock") && strcmp(suffix, ".bell"));
	}
	closedir(dir);
	return n;
}

static void each_call_fails_in_turn(scene_fn scene)
{
	struct fnx_bus bus = fixture_bus();
	unsigned refused = 0, segments, run;
	long n;

	/* What a first use allocates for good. */
	assert_int_equal(scene(&bus), 0);
	segments = n_files(bus.segment_dir);
	run = n_files(bus.run_dir);
	for (n = 1; n < CALLS_MAX; n++) {
		int descriptors = n_descriptors(), r;
		long blocks = n_blocks;

		countdown = n;
		failed = 0;
		r = scene(&bus);
		countdown = 0;
		if (r > 0 || (r < 0 && !failed))
			fail_msg("call %ld: the answer is %d", n, r);
		refused += r < 0;
		if (n_descriptors() != descriptors)
			fail_msg("call %ld fails: %d descriptors are left open", n,
				n_descriptors() - descriptors);
		if (n_blocks != blocks)
			fail_msg("call %ld fails: %ld pieces of memory are left", n,
				n_blocks - blocks);
		if (n_files(bus.segment_dir) != segments || n_files(bus.run_dir) != run)
			fail_msg("call %ld fails: a file is left", n);
		if (!failed)
			break;
	}
	print_message("%ld calls, %u of them needed\n", n - 1, refused);
	assert_true(n > 1 && n < CALLS_MAX && refused > 0);
}

#define EACH_CALL_OF_OPENING(what) \
	TEST(each_call_of_opening_##what##_may_fail) \
	{ \
		each_call_fails_in_turn(what); \
	}

EACH_CALL_OF_OPENING(a_bus)
EACH_CALL_OF_OPENING(a_topic)
EACH_CALL_OF_OPENING(a_topic_of_the_dead)
EACH_CALL_OF_OPENING(a_subscriber)
EACH_CALL_OF_OPENING(a_presence)
EACH_CALL_OF_OPENING(a_bell)
EACH_CALL_OF_OPENING(a_ringer)
EACH_CALL_OF_OPENING(a_control)
EACH_CALL_OF_OPENING(a_status_page)
EACH_CALL_OF_OPENING(a_recording)
EACH_CALL_OF_OPENING(a_validation)
