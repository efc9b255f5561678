/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/bus.h"

#include "tests/unit/bus/bus_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "bus/bell.h"
#include "bus/control.h"
#include "bus/presence.h"
#include "bus/segment.h"
#include "bus/state.h"
#include "bus/status.h"

TEST(a_name_has_1_to_47_plain_characters_and_no_leading_dot)
{
	char longest[FNX_NAME_MAX + 1];
	static const char *const good[] = {"a", "lfp", "encode.0", "A-z_9", "a..b", "-"};
	static const char *const bad[] = {
		"", ".", "..", ".a", "a/b", "a b", "a\n", "\xc3\xa4", "a:b"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(fnx_name_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(fnx_name_valid(bad[i]));
	memset(longest, 'x', sizeof(longest));
	longest[47] = 0;
	assert_true(fnx_name_valid(longest));
	longest[47] = 'x';
	longest[48] = 0;
	assert_false(fnx_name_valid(longest));
}

TEST(directories_default_to_shared_memory_and_to_the_users_runtime_directory)
{
	const char *before = getenv("XDG_RUNTIME_DIR");
	char *kept = before ? strdup(before) : NULL;
	char expected[80];
	struct fnx_bus bus;

	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(fnx_bus_init(&bus, "lab", NULL, NULL), 0);
	assert_string_equal(bus.name, "lab");
	assert_string_equal(bus.segment_dir, "/dev/shm/fornix-lab");
	assert_string_equal(bus.run_dir, "/run/user/7/fornix-lab");
	unsetenv("XDG_RUNTIME_DIR");
	snprintf(expected, sizeof(expected), "/tmp/fornix-%u-lab", getuid());
	assert_int_equal(fnx_bus_init(&bus, "lab", NULL, NULL), 0);
	assert_string_equal(bus.run_dir, expected);
	if (kept)
		setenv("XDG_RUNTIME_DIR", kept, 1);
	free(kept);
}

TEST(a_bus_that_cannot_be_named_leaves_the_struct_alone)
{
	struct fnx_bus bus = {.name = "kept"};
	char deep[200], here[256];

	memset(deep, 'd', sizeof(deep));
	deep[0] = '/';
	deep[sizeof(deep) - 1] = 0;
	assert_int_equal(fnx_bus_init(&bus, "a/b", NULL, NULL), -EINVAL);
	assert_int_equal(fnx_bus_init(&bus, "a", "", NULL), -EINVAL);
	assert_int_equal(fnx_bus_init(&bus, "a", deep, NULL), -ENAMETOOLONG);
	assert_int_equal(fnx_bus_init(&bus, "a", NULL, deep + 0), -ENAMETOOLONG);
	assert_string_equal(bus.name, "kept");
	assert_int_equal(fnx_bus_path("/d", "n", ".x", here, 7), 0);
	assert_string_equal(here, "/d/n.x");
	assert_int_equal(fnx_bus_path("/d", "n", ".x", here, 6), -ENAMETOOLONG);
	assert_int_equal(fnx_bus_path("/d", "..", ".x", here, sizeof(here)), -EINVAL);
}

TEST(a_relative_directory_is_taken_from_the_current_one)
{
	struct fnx_bus bus;
	char here[4096], expected[4200];

	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(chdir("/tmp"), 0);
	assert_int_equal(fnx_bus_init(&bus, "a", "s", "r"), 0);
	assert_int_equal(chdir(here), 0);
	snprintf(expected, sizeof(expected), "/tmp/s");
	assert_string_equal(bus.segment_dir, expected);
	assert_string_equal(bus.run_dir, "/tmp/r");
}

TEST(directories_are_made_for_the_group_whatever_the_umask_and_removed_with_the_bus)
{
	struct fnx_bus bus;
	struct stat st;
	mode_t before = umask(077);

	bus = fixture_bus();
	umask(before);
	assert_int_equal(stat(bus.segment_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0770);
	assert_int_equal(stat(bus.run_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0770);
	assert_int_equal(fnx_bus_create(&bus, NULL), 0);
	assert_int_equal(fnx_bus_remove(&bus), 0);
	assert_int_equal(stat(bus.segment_dir, &st), -1);
	assert_int_equal(stat(bus.run_dir, &st), -1);
	assert_int_equal(fnx_bus_remove(&bus), 0);
	assert_int_equal(fnx_bus_sweep(&bus), -ENOENT);
}

TEST(a_directory_that_cannot_be_had_is_named)
{
	struct fnx_bus bus = fixture_bus();
	const char *fault = NULL;
	int before = n_descriptors();
	struct rlimit limit;

	assert_int_equal(fnx_bus_remove(&bus), 0);
	assert_int_equal(mkdir(bus.segment_dir, 0700), 0);
	close(open(bus.run_dir, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(fnx_bus_create(&bus, &fault), -ENOTDIR);
	assert_ptr_equal(fault, bus.run_dir);
	assert_int_equal(unlink(bus.run_dir), 0);
	assert_int_equal(symlink("/tmp", bus.run_dir), 0);
	assert_int_equal(fnx_bus_create(&bus, &fault), -ENOTDIR);
	assert_int_equal(unlink(bus.run_dir), 0);
	assert_int_equal(rmdir(bus.segment_dir), 0);
	assert_int_equal(mkdir(bus.segment_dir, 0700), 0);
	assert_int_equal(chmod(bus.segment_dir, 0777), 0);
	assert_int_equal(fnx_bus_create(&bus, &fault), -EPERM);
	assert_ptr_equal(fault, bus.segment_dir);
	assert_int_equal(rmdir(bus.segment_dir), 0);
	limit = limit_descriptors(0);
	assert_int_equal(fnx_bus_create(&bus, &fault), -EMFILE);
	lift_limit(&limit);
	assert_int_equal(access(bus.segment_dir, F_OK), -1);
	assert_int_equal(symlink("/tmp", bus.run_dir), 0);
	assert_int_equal(fnx_bus_create(&bus, &fault), -ENOTDIR);
	assert_int_equal(access(bus.segment_dir, F_OK), -1);
	assert_int_equal(unlink(bus.run_dir), 0);
	strcat(bus.segment_dir, "/none/deeper");
	assert_int_equal(fnx_bus_create(&bus, &fault), -ENOENT);
	assert_ptr_equal(fault, bus.segment_dir);
	assert_int_equal(n_descriptors(), before);
}

/* Sweep
 * ---------------------------------------------------------------------------------------------- */

static void make_file(const char *dir, const char *name, const void *bytes, size_t size)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static void make_segment(const struct fnx_bus *bus, const char *file, const char *node)
{
	static struct fnx_segment segment;
	char making[64], from[400], to[400];

	segment = (struct fnx_segment){.magic = FNX_SEGMENT_MAGIC};
	snprintf(segment.node, sizeof(segment.node), "%s", node);
	snprintf(making, sizeof(making), "x.tmp.%d.data", getpid());
	make_file(bus->segment_dir, making, &segment, sizeof(segment));
	snprintf(from, sizeof(from), "%s/%s", bus->segment_dir, making);
	snprintf(to, sizeof(to), "%s/%s", bus->segment_dir, file);
	assert_int_equal(rename(from, to), 0);
}

static int exists(const char *dir, const char *name)
{
	char path[400];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return lstat(path, &st) == 0;
}

static int n_files(const char *dir)
{
	DIR *d = opendir(dir);
	int n = -2;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* All that a node leaves in the two directories. */
static int live_full_life(const struct fnx_bus *bus, int ready_fd)
{
	struct fnx_presence presence;
	struct fnx_bell *bell;
	struct fnx_control *control;
	struct fnx_status *status;
	struct fnx_state *state;

	assert_int_equal(fnx_presence_claim(bus, "node", &presence, NULL), 0);
	assert_int_equal(fnx_state_open(bus, "node", 0, &state), 0);
	assert_int_equal(fnx_bell_open(bus, "node", FNX_BELL_FORM_PIPE, &bell), 0);
	assert_int_equal(fnx_bell_open(bus, "node", FNX_BELL_FORM_ZMQ, &bell), 0);
	assert_int_equal(fnx_control_open(bus, "node", &control), 0);
	assert_int_equal(fnx_status_create(bus, "node", &status), 0);
	make_segment(bus, "topic.data", "node");
	make_file(bus->segment_dir, "topic.subs", "", 0);
	child_ready(ready_fd);
	pause();
	return 0;
}

TEST(a_sweep_leaves_the_living_alone_and_removes_all_that_the_killed_left)
{
	struct fnx_bus bus = fixture_bus();
	struct child child = child_start(live_full_life, &bus);
	int before = n_descriptors();

	child_await(&child);
	assert_int_equal(n_files(bus.segment_dir), 4);
	assert_int_equal(n_files(bus.run_dir), 4);
	assert_int_equal(fnx_bus_sweep(&bus), 0);
	assert_int_equal(n_files(bus.segment_dir), 4);
	assert_int_equal(n_files(bus.run_dir), 4);
	assert_int_equal(child_end(&child, SIGKILL), -SIGKILL);
	assert_int_equal(fnx_bus_sweep(&bus), 8);
	assert_int_equal(n_files(bus.segment_dir), 0);
	assert_int_equal(n_files(bus.run_dir), 0);
	assert_int_equal(fnx_bus_sweep(&bus), 0);
	assert_int_equal(n_descriptors(), before - 1);
}

TEST(a_sweep_of_one_dead_node_among_living_ones_removes_its_files_only)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_presence presence, bus_presence;
	struct fnx_status *status;

	assert_int_equal(fnx_presence_claim(&bus, "bus", &bus_presence, NULL), 0);
	assert_int_equal(fnx_presence_claim(&bus, "alive", &presence, NULL), 0);
	assert_int_equal(fnx_status_create(&bus, "alive", &status), 0);
	fnx_status_close(status);
	assert_int_equal(fnx_status_create(&bus, "dead", &status), 0);
	fnx_status_close(status);
	make_segment(&bus, "a.data", "alive");
	make_file(bus.segment_dir, "a.subs", "", 0);
	make_segment(&bus, "d.data", "dead");
	make_file(bus.segment_dir, "d.subs", "", 0);
	make_file(bus.segment_dir, "orphan.subs", "", 0);
	assert_int_equal(fnx_bus_sweep(&bus), 4);
	assert_true(exists(bus.segment_dir, "a.data"));
	assert_true(exists(bus.segment_dir, "a.subs"));
	assert_true(exists(bus.segment_dir, "alive.status"));
	assert_int_equal(n_files(bus.segment_dir), 3);
	assert_int_equal(n_files(bus.run_dir), 2);
	fnx_presence_drop(&presence);
	fnx_presence_drop(&bus_presence);
	assert_int_equal(fnx_bus_remove(&bus), 0);
}

TEST(segments_too_short_or_of_a_wrong_magic_or_without_a_publisher_are_leftovers)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	struct fnx_presence presence;
	char path[400];

	for (int i = 0; i < 200; i++) {
		unsigned char bytes[300];
		size_t size = check_random_below(&random, sizeof(bytes));
		uint64_t magic = FNX_SEGMENT_MAGIC;

		for (size_t k = 0; k < size; k++)
			bytes[k] = (unsigned char)(check_random_u64(&random) | 0x80);
		if (i % 2 && size >= sizeof(magic))
			memcpy(bytes, &magic, sizeof(magic));
		make_file(bus.segment_dir, "t.data", bytes, size);
		assert_int_equal(fnx_bus_sweep(&bus), 1);
	}
	/* Too short, although all that is there says that its publisher lives. */
	assert_int_equal(fnx_presence_claim(&bus, "node", &presence, NULL), 0);
	make_segment(&bus, "t.data", "node");
	snprintf(path, sizeof(path), "%s/t.data", bus.segment_dir);
	assert_int_equal(fnx_bus_sweep(&bus), 0);
	assert_int_equal(truncate(path, 140), 0);
	assert_int_equal(fnx_bus_sweep(&bus), 1);
	fnx_presence_drop(&presence);
	assert_int_equal(fnx_bus_sweep(&bus), 1);
	make_segment(&bus, "t.data", "../x");
	assert_int_equal(fnx_bus_sweep(&bus), 1);
}

TEST(half_made_files_go_with_their_maker_and_not_before)
{
	struct fnx_bus bus = fixture_bus();
	char mine[3][64];

	snprintf(mine[0], sizeof(mine[0]), "n.status.tmp.%d", getpid());
	snprintf(mine[1], sizeof(mine[1]), "t.tmp.%d.data", getpid());
	snprintf(mine[2], sizeof(mine[2]), "t.tmp.%d.subs", getpid());
	for (int i = 0; i < 3; i++)
		make_file(bus.segment_dir, mine[i], "half", 4);
	/* Between the two renames of a topic that is being made. */
	make_file(bus.segment_dir, "t.subs", "", 0);
	/* No process can have these. */
	make_file(bus.segment_dir, "n.status.tmp.2147483646", "half", 4);
	make_file(bus.segment_dir, "t.tmp.2147483646.data", "half", 4);
	make_file(bus.segment_dir, "t.tmp.2147483646.subs", "half", 4);
	make_file(bus.segment_dir, "u.subs", "", 0);
	assert_int_equal(fnx_bus_sweep(&bus), 4);
	assert_int_equal(n_files(bus.segment_dir), 4);
	for (int i = 0; i < 3; i++)
		assert_true(exists(bus.segment_dir, mine[i]));
	assert_true(exists(bus.segment_dir, "t.subs"));
	assert_int_equal(fnx_bus_remove(&bus), 0);
}

TEST(a_sweep_and_a_removal_touch_nothing_that_no_bus_makes)
{
	static const char *const foreign[] = {"notes.txt", "lock", ".lock", ".data", "data",
		"x.data.bak", "x.bell2", "a b.lock", "n.status.tmp.", "n.status.tmp.12x",
		"n.tmp.12", ".n.status.tmp.2147483646"};
	enum {
		N_FOREIGN = sizeof(foreign) / sizeof(foreign[0])
	};
	struct fnx_bus bus = fixture_bus();
	const char *dirs[] = {bus.segment_dir, bus.run_dir};
	char elsewhere[256], link_path[300], kept[300];

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", check_scratch_dir());
	mkdir(elsewhere, 0700);
	make_file(elsewhere, "kept.data", "", 0);
	snprintf(kept, sizeof(kept), "%s/kept.data", elsewhere);
	for (int d = 0; d < 2; d++) {
		for (int i = 0; i < N_FOREIGN; i++)
			make_file(dirs[d], foreign[i], "", 0);
		/* Names of ours, but not of our kind: links, and a directory. */
		snprintf(link_path, sizeof(link_path), "%s/%s", dirs[d], d ? "l.lock" : "l.data");
		assert_int_equal(symlink(kept, link_path), 0);
		snprintf(link_path, sizeof(link_path), "%s/%s", dirs[d], d ? "m.bell" : "m.status");
		assert_int_equal(symlink(elsewhere, link_path), 0);
		snprintf(link_path, sizeof(link_path), "%s/%s", dirs[d], d ? "d.ctl" : "d.subs");
		assert_int_equal(mkdir(link_path, 0700), 0);
	}
	/* Ours by name, in the other directory. */
	make_file(bus.segment_dir, "n.lock", "", 0);
	make_file(bus.run_dir, "t.data", "", 0);
	assert_int_equal(fnx_bus_sweep(&bus), 0);
	assert_int_equal(fnx_bus_remove(&bus), -ENOTEMPTY);
	assert_int_equal(n_files(bus.segment_dir), N_FOREIGN + 4);
	assert_int_equal(n_files(bus.run_dir), N_FOREIGN + 4);
	assert_true(exists(elsewhere, "kept.data"));
	unlink(kept);
	rmdir(elsewhere);
}

TEST(a_directory_that_became_a_link_is_not_swept)
{
	struct fnx_bus bus = fixture_bus(), other = fixture_bus();

	make_file(other.segment_dir, "t.data", "", 0);
	assert_int_equal(rmdir(bus.segment_dir), 0);
	assert_int_equal(symlink(other.segment_dir, bus.segment_dir), 0);
	assert_int_equal(fnx_bus_sweep(&bus), -ENOTDIR);
	assert_int_equal(fnx_bus_remove(&bus), -ENOTDIR);
	assert_true(exists(other.segment_dir, "t.data"));
	unlink(bus.segment_dir);
}

TEST(both_directories_may_be_one)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_presence presence;

	assert_int_equal(fnx_bus_remove(&bus), 0);
	strcpy(bus.segment_dir, bus.run_dir);
	assert_int_equal(fnx_bus_create(&bus, NULL), 0);
	assert_int_equal(fnx_presence_claim(&bus, "node", &presence, NULL), 0);
	make_segment(&bus, "t.data", "node");
	assert_int_equal(fnx_bus_sweep(&bus), 0);
	fnx_presence_drop(&presence);
	assert_int_equal(fnx_bus_sweep(&bus), 2);
	make_segment(&bus, "t.data", "node");
	assert_int_equal(fnx_bus_remove(&bus), 0);
}

/* A node that starts while it is being swept must never lose what it has made. */

struct start_race {
	struct fnx_bus bus;
	_Atomic int end;
	_Atomic int n_swept;
	_Atomic int n_passes;
};

static void *sweep_all_the_time(void *argument)
{
	struct start_race *race = argument;

	while (!atomic_load(&race->end)) {
		atomic_fetch_add(&race->n_swept, fnx_bus_sweep(&race->bus));
		atomic_fetch_add(&race->n_passes, 1);
	}
	return NULL;
}

TEST(a_node_that_starts_during_a_sweep_keeps_its_bell_and_its_page)
{
	struct start_race race = {.bus = fixture_bus()};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, sweep_all_the_time, &race), 0);
	for (int i = 0; i < 300; i++) {
		int n_passes;
		struct fnx_presence presence;
		struct fnx_bell *bell;
		struct fnx_status *status;

		assert_int_equal(fnx_presence_claim(&race.bus, "node", &presence, NULL), 0);
		assert_int_equal(fnx_bell_open(&race.bus, "node", FNX_BELL_FORM_PIPE, &bell), 0);
		assert_int_equal(fnx_status_create(&race.bus, "node", &status), 0);
		make_segment(&race.bus, "t.data", "node");
		assert_true(exists(race.bus.run_dir, "node.lock"));
		assert_true(exists(race.bus.run_dir, "node.bell"));
		assert_true(exists(race.bus.segment_dir, "node.status"));
		assert_true(exists(race.bus.segment_dir, "t.data"));
		fnx_status_close(status);
		fnx_bell_close(bell);
		fnx_presence_drop(&presence);
		/* Now and then dead for long enough to be swept as a whole. */
		n_passes = atomic_load(&race.n_passes);
		while (i % 4 == 0 && atomic_load(&race.n_passes) < n_passes + 2)
			sched_yield();
	}
	atomic_store(&race.end, 1);
	pthread_join(thread, NULL);
	assert_true(race.n_swept >= 75);
}

TEST(a_sweep_without_descriptors_says_so)
{
	struct fnx_bus bus = fixture_bus();
	int before = n_descriptors();

	make_segment(&bus, "t.data", "dead");
	for (int n = 0; n < 6; n++) {
		struct rlimit limit = limit_descriptors(n);
		int r = fnx_bus_sweep(&bus);

		lift_limit(&limit);
		assert_true(n < 3 ? r == -EMFILE : r >= 0);
		assert_int_equal(n_descriptors(), before);
	}
	fnx_bus_sweep(&bus);
	assert_int_equal(fnx_bus_remove(&bus), 0);
}
