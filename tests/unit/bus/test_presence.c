/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/presence.h"

#include "tests/unit/bus/bus_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

static int hold_for_good(const struct fnx_bus *bus, int ready_fd)
{
	struct fnx_presence presence;

	if (fnx_presence_claim(bus, "node", &presence, NULL) < 0)
		return 1;
	child_ready(ready_fd);
	pause();
	return 0;
}

TEST(a_name_is_held_by_one_until_it_is_dropped)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_presence first, second;
	int pid = -1;

	assert_int_equal(fnx_presence_check(&bus, "node"), 0);
	assert_int_equal(fnx_presence_claim(&bus, "node", &first, &pid), 0);
	assert_int_equal(pid, -1);
	assert_int_equal(fnx_presence_check(&bus, "node"), 1);
	assert_int_equal(fnx_presence_check(&bus, "other"), 0);
	assert_int_equal(fnx_presence_claim(&bus, "node", &second, &pid), -EBUSY);
	assert_int_equal(pid, getpid());
	assert_int_equal(fnx_presence_claim(&bus, "node", &second, NULL), -EBUSY);
	fnx_presence_drop(&first);
	fnx_presence_drop(&first);
	assert_int_equal(fnx_presence_check(&bus, "node"), 0);
	assert_int_equal(fnx_presence_claim(&bus, "node", &second, &pid), 0);
	fnx_presence_drop(&second);
}

TEST(a_killed_process_is_dead_at_once_and_its_name_is_free)
{
	struct fnx_bus bus = fixture_bus();

	for (int i = 0; i < 50; i++) {
		struct child child = child_start(hold_for_good, &bus);
		struct fnx_presence presence;
		int pid = 0;

		child_await(&child);
		assert_int_equal(fnx_presence_check(&bus, "node"), 1);
		assert_int_equal(fnx_presence_claim(&bus, "node", &presence, &pid), -EBUSY);
		assert_int_equal(pid, child.pid);
		assert_int_equal(child_end(&child, SIGKILL), -SIGKILL);
		assert_int_equal(fnx_presence_check(&bus, "node"), 0);
	}
}

/* Many want the name; whoever has it knows that it is alone. */

struct contest {
	struct fnx_bus bus;
	_Atomic int n_claiming;
	_Atomic int holders;
	_Atomic int n_won;
	_Atomic int broken;
};

static void *compete(void *argument)
{
	struct contest *contest = argument;

	for (int i = 0; i < 3000; i++) {
		struct fnx_presence presence;
		int r = fnx_presence_claim(&contest->bus, "node", &presence, NULL);

		if (r == -EBUSY)
			continue;
		if (r < 0 || atomic_fetch_add(&contest->holders, 1) != 0)
			atomic_store(&contest->broken, 1);
		if (fnx_presence_check(&contest->bus, "node") != 1)
			atomic_store(&contest->broken, 2);
		atomic_fetch_add(&contest->n_won, 1);
		atomic_fetch_sub(&contest->holders, 1);
		fnx_presence_drop(&presence);
	}
	atomic_fetch_sub(&contest->n_claiming, 1);
	return NULL;
}

/* What a sweep does to a lock file, and nothing else: the shorter, the more often in the way. */
static void *bury(void *argument)
{
	struct contest *contest = argument;
	struct fnx_presence bar;

	while (atomic_load(&contest->n_claiming) > 0) {
		int r = fnx_presence_bar(&contest->bus, "node", &bar);

		if (r == 0)
			fnx_presence_unbar(&contest->bus, "node", &bar, 1);
		else if (r != -EBUSY)
			atomic_store(&contest->broken, 3);
	}
	return NULL;
}

TEST(threads_that_compete_while_others_sweep_hold_a_name_one_at_a_time)
{
	struct contest contest = {.bus = fixture_bus(), .n_claiming = 3};
	pthread_t threads[5];
	int before = n_descriptors();

	for (int i = 0; i < 5; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, i < 3 ? compete : bury, &contest), 0);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(contest.broken, 0);
	assert_true(contest.n_won > 0);
	assert_int_equal(n_descriptors(), before);
}

static void *claim_in_time(void *argument)
{
	struct contest *contest = argument;
	struct fnx_presence presence;
	int r = fnx_presence_claim(&contest->bus, "node", &presence, NULL);

	atomic_store(&contest->n_won, r == 0 ? 1 : -1);
	if (r == 0)
		fnx_presence_drop(&presence);
	return NULL;
}

TEST(a_claim_waits_for_a_sweep_and_is_not_told_that_the_name_is_taken)
{
	struct contest contest = {.bus = fixture_bus()};
	struct fnx_presence bar, second;
	pthread_t thread;

	assert_int_equal(fnx_presence_bar(&contest.bus, "node", &bar), 0);
	assert_int_equal(fnx_presence_check(&contest.bus, "node"), 0);
	assert_int_equal(fnx_presence_bar(&contest.bus, "node", &second), -EBUSY);
	assert_int_equal(pthread_create(&thread, NULL, claim_in_time, &contest), 0);
	assert_int_equal(fnx_presence_unbar(&contest.bus, "node", &bar, 1), 0);
	pthread_join(thread, NULL);
	assert_int_equal(contest.n_won, 1);
}

TEST(the_living_cannot_be_barred)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_presence presence, bar;

	assert_int_equal(fnx_presence_claim(&bus, "node", &presence, NULL), 0);
	assert_int_equal(fnx_presence_bar(&bus, "node", &bar), -EBUSY);
	fnx_presence_drop(&presence);
	assert_int_equal(fnx_presence_bar(&bus, "node", &bar), 0);
	assert_int_equal(fnx_presence_unbar(&bus, "node", &bar, 1), 1);
}

TEST(what_cannot_be_opened_is_said_and_costs_no_descriptor)
{
	struct fnx_bus bus = fixture_bus(), none = bus, file = bus;
	struct fnx_presence presence = {.fd = -1};
	struct rlimit limit;
	int before = n_descriptors();
	char path[256];

	strcat(none.run_dir, "none");
	assert_int_equal(fnx_bus_path(bus.run_dir, "n", ".lock", path, sizeof(path)), 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	strcat(file.run_dir, "/n.lock");
	assert_int_equal(fnx_presence_claim(&none, "n", &presence, NULL), -ENOENT);
	assert_int_equal(fnx_presence_check(&none, "n"), 0);
	assert_int_equal(fnx_presence_claim(&file, "n", &presence, NULL), -ENOTDIR);
	assert_int_equal(fnx_presence_check(&file, "n"), -ENOTDIR);
	assert_int_equal(fnx_presence_claim(&bus, "a/b", &presence, NULL), -EINVAL);
	assert_int_equal(fnx_presence_check(&bus, ".n"), -EINVAL);
	limit = limit_descriptors(0);
	assert_int_equal(fnx_presence_claim(&bus, "m", &presence, NULL), -EMFILE);
	assert_int_equal(fnx_presence_check(&bus, "n"), -EMFILE);
	lift_limit(&limit);
	unlink(path);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(fnx_presence_claim(&bus, "n", &presence, NULL), -ELOOP);
	assert_int_equal(presence.fd, -1);
	assert_int_equal(n_descriptors(), before);
}
