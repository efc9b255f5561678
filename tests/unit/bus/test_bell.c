/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/bell.h"

#include "tests/unit/bus/bus_fixture.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

static const enum fnx_bell_form forms[] = {FNX_BELL_FORM_PIPE, FNX_BELL_FORM_ZMQ};

/* Of these, how many are tried from forked children: a sanitizer's allocator has locks that a fork
 * beside ZeroMQ's threads may find taken, and leaves taken in the child for ever. */
enum {
#ifdef FNX_SANITIZED
	N_FORKED_FORMS = 1,
#else
	N_FORKED_FORMS = 2,
#endif
};
static enum fnx_bell_form form; /* of children */

static struct fnx_bell *open_bell(const struct fnx_bus *bus, enum fnx_bell_form f)
{
	struct fnx_bell *bell;

	assert_int_equal(fnx_bell_open(bus, "sleeper", f, &bell), 0);
	return bell;
}

static struct fnx_ringer open_ringer(const struct fnx_bus *bus, enum fnx_bell_form f, int pid)
{
	struct fnx_ringer ringer;

	assert_int_equal(fnx_ringer_open(bus, "sleeper", f, pid, &ringer), 0);
	return ringer;
}

/* A ring has come: the bell may also wake for a ringer's arrival, and drain then finds none. */
static int rung_within(struct fnx_bell *bell, int timeout_ms)
{
	int64_t end = fixture_now_ns() + (int64_t)timeout_ms * 1000000;
	int n = fnx_bell_drain(bell);

	while (n == 0 && fixture_now_ns() < end) {
		if (wait_readable(fnx_bell_fd(bell), timeout_ms))
			n = fnx_bell_drain(bell);
	}
	return n > 0;
}

TEST(a_ring_wakes_a_poll_and_drain_silences_it)
{
	for (int i = 0; i < 2; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_bell *bell = open_bell(&bus, forms[i]);
		struct fnx_ringer ringer = open_ringer(&bus, forms[i], getpid());

		fnx_bell_drain(bell);
		assert_false(wait_readable(fnx_bell_fd(bell), 0));
		assert_int_equal(fnx_ringer_ring(&ringer), 0);
		assert_true(wait_readable(fnx_bell_fd(bell), CHECK_PATIENCE_MS));
		assert_int_equal(fnx_bell_drain(bell), 1);
		assert_int_equal(fnx_bell_drain(bell), 0);
		assert_false(wait_readable(fnx_bell_fd(bell), 0));
		fnx_ringer_close(&ringer);
		assert_false(fnx_ringer_is_open(&ringer));
		assert_null(fnx_bell_close(bell));
	}
}

TEST(a_hundred_thousand_rings_to_one_who_does_not_look_neither_block_nor_pile_up)
{
	for (int i = 0; i < 2; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_bell *bell = open_bell(&bus, forms[i]);
		struct fnx_ringer ringer = open_ringer(&bus, forms[i], getpid());
		size_t before = mallinfo2().uordblks;
		int n;

		for (int k = 0; k < 100000; k++)
			assert_int_equal(fnx_ringer_ring(&ringer), 0);
		assert_true(mallinfo2().uordblks < before + 65536);
		n = fnx_bell_drain(bell);
		assert_true(n >= 1 && n <= 65536);
		assert_int_equal(fnx_bell_drain(bell), 0);
		assert_false(wait_readable(fnx_bell_fd(bell), 0));
		assert_int_equal(fnx_ringer_ring(&ringer), 0);
		assert_true(rung_within(bell, CHECK_PATIENCE_MS));
		fnx_ringer_close(&ringer);
		fnx_bell_close(bell);
	}
}

/* The bus's own way of parking, with a counter for a topic
 * ------------------------------------------- */

enum {
	HANDSHAKES = 10000
};

struct handshake {
	_Alignas(64) _Atomic uint32_t published;
	_Alignas(64) _Atomic uint32_t parked;
	_Alignas(64) _Atomic uint32_t seen;
	_Alignas(64) _Atomic uint32_t sleeps;
	_Atomic uint32_t rings;
	_Atomic uint32_t lost;
	struct fnx_bell *bell;
	struct fnx_bus bus;
	enum fnx_bell_form form;
	uint64_t seed;
	int sleeper_pid;
};

static void sleep_until_all_is_seen(struct handshake *h)
{
	uint32_t seen = 0;

	while (seen < HANDSHAKES && !atomic_load(&h->lost)) {
		uint32_t published = atomic_load(&h->published);

		if (published > seen) {
			seen = published;
			atomic_store(&h->seen, seen);
			continue;
		}
		atomic_store(&h->parked, 1);
		if (atomic_load(&h->published) == seen) {
			atomic_fetch_add(&h->sleeps, 1);
			if (!wait_readable(fnx_bell_fd(h->bell), CHECK_PATIENCE_MS))
				atomic_store(&h->lost, seen + 1);
			fnx_bell_drain(h->bell);
		}
		atomic_store(&h->parked, 0);
	}
}

static void publish_and_ring(struct handshake *h)
{
	struct check_random random = {h->seed};
	struct fnx_ringer ringer = open_ringer(&h->bus, h->form, h->sleeper_pid);

	for (uint32_t i = 1; i <= HANDSHAKES && !atomic_load(&h->lost); i++) {
		atomic_store(&h->published, i);
		if (atomic_exchange(&h->parked, 0)) {
			atomic_fetch_add(&h->rings, 1);
			assert_int_equal(fnx_ringer_ring(&ringer), 0);
		}
		/* At times in a burst, at times when the sleeper has looked, at times when it is
		 * parked. */
		if (check_random_below(&random, 4) == 0)
			continue;
		while (atomic_load(&h->seen) < i && !atomic_load(&h->lost))
			sched_yield();
		if (check_random_below(&random, 2) == 0)
			continue;
		while (!atomic_load(&h->parked) && i < HANDSHAKES && !atomic_load(&h->lost))
			sched_yield();
	}
	fnx_ringer_close(&ringer);
}

static void *publisher_thread(void *h)
{
	publish_and_ring(h);
	return NULL;
}

static struct handshake *handshake_new(enum fnx_bell_form f, uint64_t seed)
{
	struct handshake *h =
		mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(h != MAP_FAILED);
	h->bus = fixture_bus();
	h->form = f;
	h->seed = seed;
	h->sleeper_pid = getpid();
	return h;
}

static void handshake_check(struct handshake *h)
{
	assert_int_equal(atomic_load(&h->lost), 0);
	assert_int_equal(atomic_load(&h->seen), HANDSHAKES);
	assert_true(atomic_load(&h->sleeps) > HANDSHAKES / 8);
	assert_true(atomic_load(&h->rings) <= atomic_load(&h->sleeps) + HANDSHAKES);
	munmap(h, sizeof(*h));
}

TEST(no_wake_up_is_lost_between_threads)
{
	struct check_random random = check_random_seeded();

	for (int i = 0; i < 2; i++) {
		struct handshake *h = handshake_new(forms[i], check_random_u64(&random));
		pthread_t thread;

		h->bell = open_bell(&h->bus, forms[i]);
		assert_int_equal(pthread_create(&thread, NULL, publisher_thread, h), 0);
		sleep_until_all_is_seen(h);
		pthread_join(thread, NULL);
		fnx_bell_close(h->bell);
		handshake_check(h);
	}
}

static struct handshake *shared; /* with children */

static int sleeper_process(const struct fnx_bus *bus, int ready_fd)
{
	shared->bell = open_bell(bus, shared->form);
	child_ready(ready_fd);
	sleep_until_all_is_seen(shared);
	fnx_bell_close(shared->bell);
	return atomic_load(&shared->lost) ? 1 : 0;
}

TEST(no_wake_up_is_lost_between_processes)
{
	struct check_random random = check_random_seeded();

	for (int i = 0; i < N_FORKED_FORMS; i++) {
		struct child child;

		shared = handshake_new(forms[i], check_random_u64(&random));
		child = child_start(sleeper_process, &shared->bus);
		shared->sleeper_pid = child.pid;
		child_await(&child);
		publish_and_ring(shared);
		assert_int_equal(child_end(&child, 0), 0);
		handshake_check(shared);
	}
}

/* Lives and deaths
 * ----------------------------------------------------------------------------------- */

static int sleep_once(const struct fnx_bus *bus, int ready_fd)
{
	struct fnx_bell *bell = open_bell(bus, form);
	int rung;

	child_ready(ready_fd);
	rung = rung_within(bell, CHECK_PATIENCE_MS);
	fnx_bell_close(bell);
	return rung ? 0 : 1;
}

static int sleep_for_good(const struct fnx_bus *bus, int ready_fd)
{
	open_bell(bus, form);
	child_ready(ready_fd);
	pause();
	return 0;
}

TEST(the_first_ring_after_opening_arrives_in_another_process)
{
	for (int i = 0; i < 100; i++) {
		struct fnx_bus bus = fixture_bus();
		struct child child;
		struct fnx_ringer ringer;

		form = forms[i % N_FORKED_FORMS];
		child = child_start(sleep_once, &bus);
		child_await(&child);
		ringer = open_ringer(&bus, form, child.pid);
		assert_int_equal(fnx_ringer_ring(&ringer), 0);
		assert_int_equal(child_end(&child, 0), 0);
		fnx_ringer_close(&ringer);
	}
}

/* Waits to be let on; then sleeps until `published` is raised, and then for good. A wake that finds
 * nothing is none. */
static int sleep_until_published(const struct fnx_bus *bus, int ready_fd)
{
	struct fnx_bell *bell;
	uint32_t seen;

	raise(SIGSTOP);
	seen = atomic_load(&shared->published);
	bell = open_bell(bus, form);
	child_ready(ready_fd);
	while (atomic_load(&shared->published) == seen) {
		if (!wait_readable(fnx_bell_fd(bell), CHECK_PATIENCE_MS))
			return 1;
		fnx_bell_drain(bell);
	}
	child_ready(ready_fd);
	pause();
	return 0;
}

/* All lives of the node are forked beforehand: a context's threads and fork() do not go together.
 */
static void start_lives(const struct fnx_bus *bus, struct child *children, int n)
{
	int status;

	for (int i = 0; i < n; i++) {
		children[i] = child_start(sleep_until_published, bus);
		assert_int_equal(waitpid(children[i].pid, &status, WUNTRACED), children[i].pid);
		assert_true(WIFSTOPPED(status));
	}
}

/* One ring per life, and nothing else, has to wake each of them; rings to the dead come in between.
 */
TEST(a_ringer_reaches_each_successor_of_a_killed_node)
{
	enum {
		LIVES = 30
	};
	struct child lives[LIVES];

	for (int i = 0; i < N_FORKED_FORMS; i++) {
		struct fnx_ringer ringer = {.ring = NULL};

		form = forms[i];
		shared = handshake_new(form, 0);
		start_lives(&shared->bus, lives, LIVES);
		for (int life = 0; life < LIVES; life++) {
			kill(lives[life].pid, SIGCONT);
			child_await(&lives[life]);
			if (!fnx_ringer_is_open(&ringer))
				ringer = open_ringer(&shared->bus, form, lives[life].pid);
			atomic_fetch_add(&shared->published, 1);
			assert_int_equal(fnx_ringer_ring(&ringer), 0);
			child_await(&lives[life]);
			assert_int_equal(child_end(&lives[life], SIGKILL), -SIGKILL);
			for (int k = 0; k < life % 5; k++)
				assert_int_equal(fnx_ringer_ring(&ringer), i == 0 ? -EPIPE : 0);
		}
		fnx_ringer_close(&ringer);
		munmap(shared, sizeof(*shared));
	}
}

TEST(a_ringer_within_the_process_learns_of_closing_and_of_reopening)
{
	for (int i = 0; i < 2; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_bell *bell = open_bell(&bus, forms[i]);
		struct fnx_ringer ringer = open_ringer(&bus, forms[i], getpid());

		for (int life = 0; life < 50; life++) {
			assert_int_equal(fnx_ringer_ring(&ringer), 0);
			assert_true(rung_within(bell, CHECK_PATIENCE_MS));
			assert_int_equal(fnx_ringer_ring(&ringer), 0);
			bell = fnx_bell_close(bell);
			assert_int_equal(fnx_ringer_ring(&ringer), -EPIPE);
			bell = open_bell(&bus, forms[i]);
			fnx_bell_drain(bell);
		}
		fnx_ringer_close(&ringer);
		fnx_bell_close(bell);
	}
}

/* So that a ring which went down with a broken connection is made up for when it is mended. */
TEST(a_zeromq_bell_wakes_when_a_ringer_has_connected_though_it_has_not_rung)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_bell *bell = open_bell(&bus, FNX_BELL_FORM_ZMQ);
	struct fnx_ringer ringer;

	fnx_bell_drain(bell);
	assert_false(wait_readable(fnx_bell_fd(bell), 0));
	ringer = open_ringer(&bus, FNX_BELL_FORM_ZMQ, 1);
	assert_true(wait_readable(fnx_bell_fd(bell), CHECK_PATIENCE_MS));
	assert_int_equal(fnx_bell_drain(bell), 0);
	fnx_ringer_close(&ringer);
	fnx_bell_close(bell);
}

#ifndef __SANITIZE_THREAD__ /* which bears no new thread in the child of a process that had some \
			     */
TEST(a_child_forked_beside_a_living_context_gets_one_of_its_own)
{
	struct fnx_bus bus = fixture_bus(), other = fixture_bus();
	struct fnx_bell *bell = open_bell(&bus, FNX_BELL_FORM_ZMQ);
	struct fnx_ringer near = open_ringer(&bus, FNX_BELL_FORM_ZMQ, getpid()), far;
	struct child child;

	form = FNX_BELL_FORM_ZMQ;
	child = child_start(sleep_once, &other);
	child_await(&child);
	far = open_ringer(&other, FNX_BELL_FORM_ZMQ, child.pid);
	assert_int_equal(fnx_ringer_ring(&far), 0);
	assert_int_equal(child_end(&child, 0), 0);
	fnx_bell_drain(bell);
	assert_int_equal(fnx_ringer_ring(&near), 0);
	assert_true(rung_within(bell, CHECK_PATIENCE_MS));
	fnx_ringer_close(&far);
	fnx_ringer_close(&near);
	fnx_bell_close(bell);
}
#endif

TEST(a_pipe_stays_silent_when_its_last_ringer_goes)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_bell *bell = open_bell(&bus, FNX_BELL_FORM_PIPE);
	struct fnx_ringer ringer = open_ringer(&bus, FNX_BELL_FORM_PIPE, getpid());

	fnx_ringer_close(&ringer);
	assert_false(wait_readable(fnx_bell_fd(bell), 0));
	assert_int_equal(fnx_bell_drain(bell), 0);
	fnx_bell_close(bell);
}

TEST(a_pipe_ringer_finds_the_new_pipe_when_a_sweep_has_removed_the_old_one)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_bell *bell = open_bell(&bus, FNX_BELL_FORM_PIPE);
	struct fnx_ringer ringer = open_ringer(&bus, FNX_BELL_FORM_PIPE, getpid());

	fnx_bell_close(bell);
	assert_int_equal(fnx_bus_sweep(&bus), 1);
	assert_int_equal(fnx_ringer_ring(&ringer), -EPIPE);
	bell = open_bell(&bus, FNX_BELL_FORM_PIPE);
	assert_int_equal(fnx_ringer_ring(&ringer), 0);
	assert_int_equal(fnx_bell_drain(bell), 1);
	fnx_ringer_close(&ringer);
	fnx_bell_close(bell);
}

TEST(a_process_id_that_is_only_by_chance_ours_still_reaches_the_other_process)
{
	struct fnx_bus bus = fixture_bus();
	struct child child;
	struct fnx_ringer ringer;

	form = FNX_BELL_FORM_ZMQ;
	child = child_start(sleep_once, &bus);
	child_await(&child);
	ringer = open_ringer(&bus, form, getpid());
	assert_int_equal(fnx_ringer_ring(&ringer), 0);
	assert_int_equal(child_end(&child, 0), 0);
	fnx_ringer_close(&ringer);
}

/* Refusals
 * ------------------------------------------------------------------------------------------- */

TEST(a_ringer_is_told_that_there_is_no_bell_yet)
{
	for (int i = 0; i < N_FORKED_FORMS; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_ringer ringer;
		struct child child;

		assert_int_equal(
			fnx_ringer_open(&bus, "sleeper", forms[i], getpid(), &ringer), -ENOENT);
		form = forms[i];
		child = child_start(sleep_for_good, &bus);
		child_await(&child);
		assert_int_equal(child_end(&child, SIGKILL), -SIGKILL);
		assert_int_equal(
			fnx_ringer_open(&bus, "sleeper", forms[i], child.pid, &ringer), -ENXIO);
	}
}

TEST(bad_names_and_bad_directories_are_refused_and_cost_no_descriptor)
{
	char deep[80];
	struct fnx_bus bus = fixture_bus(), none = bus, file = bus, longer = bus;
	int before = n_descriptors();
	struct fnx_bell *bell;
	struct fnx_ringer ringer;

	strcat(none.run_dir, "none");
	strcat(file.run_dir, "/x.lock");
	close(open(file.run_dir, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	memset(deep, 'd', sizeof(deep));
	deep[0] = '/';
	deep[sizeof(deep) - 1] = 0;
	strcpy(longer.run_dir, deep);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fnx_bell_open(&bus, "../x", forms[i], &bell), -EINVAL);
		assert_int_equal(fnx_ringer_open(&bus, "", forms[i], 1, &ringer), -EINVAL);
		assert_int_equal(fnx_bell_open(&none, "n", forms[i], &bell), -ENOENT);
		assert_int_equal(fnx_ringer_open(&none, "n", forms[i], 1, &ringer), -ENOENT);
		assert_int_equal(fnx_bell_open(&file, "n", forms[i], &bell), -ENOTDIR);
		assert_int_equal(fnx_ringer_open(&file, "n", forms[i], 1, &ringer), -ENOTDIR);
	}
	assert_int_equal(
		fnx_bell_open(&longer, "a-node-with-a-rather-long-name", FNX_BELL_FORM_ZMQ, &bell),
		-ENAMETOOLONG);
	assert_int_equal(fnx_bell_open(&bus, "n", (enum fnx_bell_form)7, &bell), -EINVAL);
	assert_int_equal(n_descriptors(), before);
}

TEST(what_is_no_bell_is_neither_replaced_nor_rung)
{
	static const char *const suffixes[] = {".bell", ".zbell"};
	struct fnx_bus bus = fixture_bus();
	char path[256];
	struct fnx_bell *bell;
	struct fnx_ringer ringer;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			fnx_bus_path(bus.run_dir, "n", suffixes[i], path, sizeof(path)), 0);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		assert_int_equal(fnx_bell_open(&bus, "n", forms[i], &bell), -EEXIST);
		assert_int_equal(fnx_ringer_open(&bus, "n", forms[i], 1, &ringer), -ENXIO);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink("/dev/null", path), 0);
		assert_int_equal(fnx_bell_open(&bus, "n", forms[i], &bell), -EEXIST);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(fnx_bell_open(&bus, "n", forms[i], &bell), -EEXIST);
		assert_int_equal(fnx_ringer_open(&bus, "n", forms[i], 1, &ringer), -ENXIO);
		assert_int_equal(rmdir(path), 0);
	}
}

TEST(with_any_number_of_descriptors_left_opening_works_or_says_why_not)
{
	struct fnx_bus bus = fixture_bus();
	int before = n_descriptors();

	for (int i = 0; i < 2; i++) {
		struct fnx_bell *bell;
		struct fnx_ringer ringer;
		int r = -EMFILE, opened = 0;

		for (int n = 0; n < 40 && opened < 2; n++) {
			struct rlimit limit = limit_descriptors(n);

			r = fnx_bell_open(&bus, "n", forms[i], &bell);
			if (r == 0) {
				r = fnx_ringer_open(&bus, "n", forms[i], getpid(), &ringer);
				if (r == 0) {
					opened++;
					assert_int_equal(fnx_ringer_ring(&ringer), 0);
					fnx_ringer_close(&ringer);
				}
				fnx_bell_close(bell);
			}
			lift_limit(&limit);
			assert_true(r == 0 || r == -EMFILE);
			assert_int_equal(n_descriptors(), before);
		}
		assert_int_equal(opened, 2);
	}
}

static void ignore_signal(int signal)
{
	(void)signal;
}

TEST(opening_a_ringer_keeps_sigpipe_from_killing_and_leaves_a_handler_alone)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_bell *bell = open_bell(&bus, FNX_BELL_FORM_PIPE);
	struct fnx_ringer ringer;
	struct sigaction before, now, handled = {.sa_handler = ignore_signal};

	sigaction(SIGPIPE, NULL, &before);
	signal(SIGPIPE, SIG_DFL);
	ringer = open_ringer(&bus, FNX_BELL_FORM_PIPE, getpid());
	fnx_bell_close(bell);
	assert_int_equal(fnx_ringer_ring(&ringer), -EPIPE);
	fnx_ringer_close(&ringer);
	sigaction(SIGPIPE, NULL, &now);
	assert_ptr_equal(now.sa_handler, SIG_IGN);

	bell = open_bell(&bus, FNX_BELL_FORM_PIPE);
	sigaction(SIGPIPE, &handled, NULL);
	fnx_ringer_close(&ringer);
	sigaction(SIGPIPE, &before, &now);
	assert_ptr_equal(now.sa_handler, handled.sa_handler);
	fnx_bell_close(bell);
}

TEST(opening_and_closing_a_thousand_times_leaves_nothing_open)
{
	struct fnx_bus bus = fixture_bus();
	int before = n_descriptors();

	for (int i = 0; i < 1000; i++) {
		enum fnx_bell_form f = forms[i % 2];
		struct fnx_bell *bell = open_bell(&bus, f);
		struct fnx_ringer ringer = open_ringer(&bus, f, i % 4 < 2 ? getpid() : 1);

		fnx_ringer_ring(&ringer);
		fnx_ringer_close(&ringer);
		fnx_bell_close(bell);
	}
	assert_int_equal(n_descriptors(), before);
	assert_int_equal(fnx_bus_remove(&bus), 0);
}

/* The context is shared, and goes with its last user, whichever thread that is. */
static void *open_and_close(void *argument)
{
	struct fnx_bus *bus = argument;
	char node[FNX_NAME_MAX];

	snprintf(node, sizeof(node), "node-%d", (int)gettid());
	for (int i = 0; i < 100; i++) {
		struct fnx_bell *bell;
		struct fnx_ringer ringer;

		assert_int_equal(fnx_bell_open(bus, node, FNX_BELL_FORM_ZMQ, &bell), 0);
		assert_int_equal(
			fnx_ringer_open(bus, node, FNX_BELL_FORM_ZMQ, getpid(), &ringer), 0);
		assert_int_equal(fnx_ringer_ring(&ringer), 0);
		assert_true(rung_within(bell, CHECK_PATIENCE_MS));
		fnx_ringer_close(&ringer);
		fnx_bell_close(bell);
	}
	return NULL;
}

TEST(threads_may_open_and_close_bells_at_the_same_time)
{
	struct fnx_bus bus = fixture_bus();
	pthread_t threads[4];
	int before = n_descriptors();

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &bus), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(n_descriptors(), before);
}

TEST(strangers_who_shout_into_a_zeromq_bell_do_not_break_it)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_bell *bell = open_bell(&bus, FNX_BELL_FORM_ZMQ);
	struct check_random random = check_random_seeded();
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct fnx_ringer ringer;

	assert_int_equal(fnx_bus_path(bus.run_dir, "sleeper", ".zbell", address.sun_path,
				 sizeof(address.sun_path)),
		0);
	for (int i = 0; i < 50; i++) {
		unsigned char junk[512];
		size_t size = 1 + check_random_below(&random, sizeof(junk));
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		for (size_t k = 0; k < size; k++)
			junk[k] = (unsigned char)check_random_u64(&random);
		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_true(send(fd, junk, size, MSG_NOSIGNAL) > 0);
		close(fd);
	}
	ringer = open_ringer(&bus, FNX_BELL_FORM_ZMQ, 1);
	assert_int_equal(fnx_ringer_ring(&ringer), 0);
	assert_true(rung_within(bell, CHECK_PATIENCE_MS));
	fnx_ringer_close(&ringer);
	fnx_bell_close(bell);
}
