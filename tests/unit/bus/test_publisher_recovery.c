/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Publishers and subscribers that die by SIGKILL, at random moments and after every number of
 * instructions, and what their successors and those who stay behind make of it. Long, since all of
 * them need the same dying children.
 */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#ifdef FNX_SANITIZED
enum {
	N_LIVES = 40,
	N_STEPPED = 6
};
#else
enum {
	N_LIVES = 250,
	N_STEPPED = 80
};
#endif

static pid_t fork_child(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void bury(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* It may have been killed; it may not have failed. */
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	else
		assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* A publisher's whole life, until it is killed. */
static void publish_until_killed(const struct fnx_bus *bus, const struct fnx_topic_config *config)
{
	struct fnx_publisher *pub;

	if (fnx_publisher_open(bus, config, &pub) || !fnx_publisher_adopted(pub))
		_exit(1);
	for (;;) {
		int r = publish_next(pub, 0);

		if (r == -EAGAIN)
			sched_yield();
		else if (r && r != -ENOBUFS)
			_exit(2);
	}
}

struct follower {
	struct fnx_bus bus;
	struct fnx_subscriber_config config;
	struct fnx_subscriber *sub;
	size_t slot_size;
	uint64_t next; /* not yet seen nor reported missing */
	uint64_t n_frames, n_gaps;
	int keeps; /* holds a frame now and then */
	unsigned n_held;
	struct fnx_frame held[FNX_HOLDS_MAX];
};

static void follow_open(struct follower *f)
{
	assert_int_equal(fnx_subscriber_open(&f->bus, &f->config, &f->sub), 0);
}

/* One look. 1: there was something. */
static int follow(struct follower *f, struct check_random *random)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	int r = fnx_subscriber_peek(f->sub, &frame, &gap);

	if (r == FNX_GAP) {
		assert_int_equal(gap.from, f->next);
		assert_true(gap.to > gap.from);
		f->next = gap.to;
		f->n_gaps++;
	} else if (r == FNX_FRAME) {
		assert_int_equal(frame.seq, f->next);
		assert_true(frame_right(&frame, f->slot_size));
		f->n_frames++;
		if (f->keeps && check_random_below(random, 50) == 0 && f->n_held < FNX_HOLDS_MAX) {
			assert_int_equal(fnx_subscriber_hold(f->sub, frame.seq), 0);
			f->held[f->n_held++] = frame;
		}
		if (check_random_below(random, 60) == 0 && f->n_held)
			fnx_subscriber_drop(f->sub, f->held[--f->n_held].seq);
		/* As it was, however long we took. */
		assert_true(frame_right(&frame, f->slot_size));
		fnx_subscriber_release(f->sub);
		f->next++;
	} else {
		assert_int_equal(r, FNX_NOTHING);
		return 0;
	}
	for (unsigned i = 0; i < f->n_held; i++)
		assert_true(frame_right(&f->held[i], f->slot_size));
	return 1;
}

static void follow_close(struct follower *f)
{
	for (unsigned i = 0; i < f->n_held; i++) {
		assert_true(frame_right(&f->held[i], f->slot_size));
		fnx_subscriber_drop(f->sub, f->held[i].seq);
	}
	fnx_subscriber_close(f->sub);
}

/* Many publishers one after the other, each killed at a moment of its own; `n` readers that stay.
 */
static void many_lives(struct follower *followers, unsigned n, const struct fnx_bus *bus,
	const struct fnx_topic_config *config)
{
	struct check_random random = check_random_seeded();
	uint64_t before = 0;

	for (unsigned k = 0; k < n; k++)
		followers[k].keeps = 1;
	for (unsigned life = 0; life < N_LIVES; life++) {
		uint64_t n_looks = check_random_below(&random, 400);
		pid_t pid = fork_child();

		if (!pid)
			publish_until_killed(bus, config);
		for (uint64_t i = 0; i < n_looks; i++) {
			unsigned k = (unsigned)check_random_below(&random, n);

			if (!follow(&followers[k], &random))
				sched_yield();
			/* A reader dies too, now and then; its holds die with it. */
			if (check_random_below(&random, 500) == 0) {
				die(followers[k].sub);
				followers[k].n_held = 0;
				follow_open(&followers[k]);
				assert_int_equal(fnx_subscriber_resumed(followers[k].sub), 1);
			}
		}
		kill(pid, SIGKILL);
		bury(pid);
		assert_true(followers[0].next >= before);
		before = followers[0].next;
	}
	for (unsigned k = 0; k < n; k++)
		while (follow(&followers[k], &random))
			;
}

static struct follower make_follower(
	const struct fnx_bus *bus, const char *node, enum fnx_policy policy, size_t slot_size)
{
	struct follower f = {
		.bus = *bus, .config = subscriber_config(node, policy), .slot_size = slot_size};

	follow_open(&f);
	return f;
}

TEST(a_lossless_subscriber_of_a_wait_publisher_misses_nothing_through_any_crash)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 24);
	struct follower followers[3];
	struct fnx_publisher *pub;

	config.slot_size = 1024;
	assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
	followers[0] = make_follower(&bus, "first", FNX_LOSSLESS, 1024);
	followers[1] = make_follower(&bus, "second", FNX_LOSSLESS, 1024);
	followers[2] = make_follower(&bus, "lossy", FNX_LOSSY, 1024);
	die(pub);
	many_lives(followers, 3, &bus, &config);

	assert_int_equal(followers[0].n_gaps, 0);
	assert_int_equal(followers[1].n_gaps, 0);
	assert_int_equal(followers[0].next, followers[1].next);
	assert_true(followers[0].n_frames > N_LIVES);
	for (unsigned i = 0; i < 3; i++)
		follow_close(&followers[i]);
	assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
	assert_int_equal(fnx_publisher_head(pub), followers[0].next);
	expect_all_slots(&bus, pub, 24);
	fnx_publisher_close(pub);
}

TEST(sequence_numbers_go_on_through_the_deaths_of_drop_publishers)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_topic_config config = topic_config(FNX_FULL_DROP, 8);
	struct fnx_subscriber *sub;
	struct follower followers[3];
	struct fnx_publisher *pub;
	uint64_t head;

	assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
	followers[0] = make_follower(&bus, "first", FNX_LOSSLESS, SLOT_SIZE);
	followers[1] = make_follower(&bus, "second", FNX_LOSSY, SLOT_SIZE);
	followers[2] = make_follower(&bus, "third", FNX_LOSSLESS, SLOT_SIZE);
	die(pub);
	many_lives(followers, 3, &bus, &config);

	assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
	head = fnx_publisher_head(pub);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(followers[i].next, head);
		follow_close(&followers[i]);
	}
	/* Every slot is still there: all eight can be kept at a time. */
	sub = open_subscriber(&bus, "keeper", FNX_LOSSY);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(publish_next(pub, 0), 0);
		expect_peek(sub, head + i, SLOT_SIZE);
		if (i < 7) {
			assert_int_equal(fnx_subscriber_hold(sub, head + i), 0);
			fnx_subscriber_release(sub);
		}
	}
	assert_int_equal(publish_next(pub, 0), -ENOBUFS);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

/* Every instruction
 * --------------------------------------------------------------------------------- */

/* What the stepped child does: what there is to do wrong. */
static void stepped_life(struct fnx_publisher *pub)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	(void)publish_next(pub, 0);
	_exit(0);
}

/* Runs the child for `n` instructions and kills it. Returns how many it ran. */
static unsigned long step_and_kill(pid_t pid, unsigned long n)
{
	unsigned long done = 0;
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	while (done < n) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			return done;
		done++;
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return done;
}

static unsigned long one_stepped_life(
	enum fnx_full_policy full, unsigned long n_instructions, struct check_random *random)
{
	enum {
		N_SLOTS = 5
	};
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, full, N_SLOTS);
	struct follower reader = make_follower(&bus, "reader", FNX_LOSSLESS, SLOT_SIZE);
	struct fnx_subscriber *keeper = open_subscriber(&bus, "keeper", FNX_LOSSY);
	struct fnx_frame kept, turn;
	unsigned long done;
	pid_t pid;

	/* A full pool; one slot kept beyond its turn, one that will be, and two that come free. */
	publish_n(pub, N_SLOTS);
	kept = expect_peek(keeper, 0, SLOT_SIZE);
	assert_int_equal(fnx_subscriber_hold(keeper, 0), 0);
	fnx_subscriber_release(keeper);
	turn = expect_peek(keeper, 1, SLOT_SIZE);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(follow(&reader, random), 1);
	publish_n(pub, 1);

	pid = fork_child();
	if (!pid)
		stepped_life(pub);
	done = step_and_kill(pid, n_instructions);
	die(pub);

	/* It is read what was published, before the successor comes and after. */
	while (follow(&reader, random))
		;
	pub = open_publisher(&bus, full, N_SLOTS);
	assert_int_equal(fnx_publisher_adopted(pub), 1);
	assert_int_equal(fnx_publisher_head(pub), reader.next);
	for (unsigned i = 0; i < 20; i++) {
		int r = publish_next(pub, 0);

		assert_true(r == 0 || (r == -EAGAIN && full == FNX_FULL_WAIT));
		while (follow(&reader, random))
			;
		assert_true(frame_right(&kept, SLOT_SIZE));
		assert_true(frame_right(&turn, SLOT_SIZE));
	}
	if (full == FNX_FULL_WAIT)
		assert_int_equal(reader.n_gaps, 0);
	assert_int_equal(fnx_publisher_head(pub), reader.next);
	fnx_subscriber_close(keeper);
	follow_close(&reader);
	if (full == FNX_FULL_WAIT)
		expect_all_slots(&bus, pub, N_SLOTS);
	fnx_publisher_close(pub);
	assert_true(fnx_bus_remove(&bus) >= 0);
	return done;
}

TEST(a_publisher_killed_after_any_number_of_instructions_leaves_what_a_successor_can_take_over)
{
	struct check_random random = check_random_seeded();

	for (unsigned i = 0; i < 2; i++) {
		enum fnx_full_policy full = i ? FNX_FULL_DROP : FNX_FULL_WAIT;
		unsigned long total = one_stepped_life(full, 1000000, &random);

		print_message("%lu instructions\n", total);
		assert_true(total > 100);
		for (unsigned k = 0; k < N_STEPPED; k++)
			one_stepped_life(full, check_random_below(&random, total), &random);
	}
}

static void stepped_end(struct fnx_publisher *pub)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	fnx_publisher_close(pub);
	_exit(0);
}

/* A publisher that dies while it leaves; a successor of the same or of another layout. */
static unsigned long one_stepped_end(unsigned long n_instructions, uint32_t n_slots)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 5);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS), *next;
	struct fnx_frame frame;
	struct fnx_gap gap;
	struct fnx_bell *bell;
	unsigned long done;
	pid_t pid;

	assert_int_equal(fnx_bell_open(&bus, "reader", FNX_BELL_FORM_PIPE, &bell), 0);
	publish_n(pub, 2);
	expect_frames(sub, 0, 2);
	assert_int_equal(fnx_subscriber_park(sub, INT64_MAX), 0);
	pid = fork_child();
	if (!pid)
		stepped_end(pub);
	done = step_and_kill(pid, n_instructions);
	die(pub);

	pub = open_publisher(&bus, FNX_FULL_WAIT, n_slots);
	/* The reader was woken, whatever became of its topic, and learns it. */
	assert_true(fnx_bell_drain(bell) > 0);
	fnx_subscriber_unpark(sub);
	if (fnx_publisher_adopted(pub)) {
		publish_n(pub, 1);
		expect_frame(sub, 2);
	} else {
		assert_int_equal(fnx_subscriber_peek(sub, &frame, &gap), FNX_MOVED);
	}
	next = open_subscriber(&bus, "other", FNX_LOSSLESS);
	publish_n(pub, 1);
	expect_frame(next, fnx_publisher_head(pub) - 1);
	fnx_subscriber_close(next);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	fnx_bell_close(bell);
	assert_true(fnx_bus_remove(&bus) >= 0);
	return done;
}

TEST(a_publisher_killed_after_any_number_of_instructions_of_its_leaving_leaves_no_reader_behind)
{
	struct check_random random = check_random_seeded();
	unsigned long total = one_stepped_end(1000000, 5);

	print_message("%lu instructions\n", total);
	assert_true(total > 100);
	for (unsigned k = 0; k < 2 * N_STEPPED; k++) {
		/* Evenly, and each time elsewhere. */
		unsigned long from = total * k / (2 * N_STEPPED);
		unsigned long to = total * (k + 1) / (2 * N_STEPPED);

		one_stepped_end(
			from + check_random_below(&random, to - from ? to - from : 1), 5 + k % 2);
	}
}

/* Subscribers
 * --------------------------------------------------------------------------------------- */

struct progress {
	_Atomic uint64_t done; /* all below was read */
	_Atomic uint64_t lives;
};

static void read_until_killed(const struct fnx_bus *bus, struct progress *progress)
{
	struct fnx_subscriber_config config = subscriber_config("reader", FNX_LOSSLESS);
	struct fnx_presence presence;
	struct fnx_subscriber *sub;
	struct fnx_frame frame;
	struct fnx_gap gap;
	int first = 1;

	if (fnx_presence_claim(bus, "reader", &presence, NULL) ||
		fnx_subscriber_open(bus, &config, &sub))
		_exit(1);
	atomic_fetch_add(&progress->lives, 1);
	for (;;) {
		int r = fnx_subscriber_peek(sub, &frame, &gap);
		uint64_t done = atomic_load(&progress->done);

		if (r == FNX_NOTHING) {
			sched_yield();
			continue;
		}
		if (r != FNX_FRAME || !frame_right(&frame, SLOT_SIZE))
			_exit(2);
		/* One frame may come twice: its reader died between having read it and saying so.
		 */
		if (frame.seq != done && !(first && frame.seq + 1 == done))
			_exit(3);
		first = 0;
		atomic_store(&progress->done, frame.seq + 1);
		fnx_subscriber_release(sub);
	}
}

TEST(a_subscriber_killed_at_any_moment_resumes_and_nothing_is_lost)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct progress *progress =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct check_random random = check_random_seeded();

	die(sub);
	for (unsigned life = 0; life < N_LIVES; life++) {
		uint64_t n_tries = check_random_below(&random, 300);
		pid_t pid = fork_child();

		if (!pid)
			read_until_killed(&bus, progress);
		while (n_tries--)
			if (publish_next(pub, fixture_now_ns()))
				sched_yield();
		kill(pid, SIGKILL);
		bury(pid);
	}
	assert_true(atomic_load(&progress->lives) > 0);
	sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	assert_int_equal(fnx_subscriber_resumed(sub), 1);
	assert_true(fnx_subscriber_next(sub) + 1 >= atomic_load(&progress->done));
	assert_true(fnx_subscriber_next(sub) <= atomic_load(&progress->done));
	expect_frames(sub, fnx_subscriber_next(sub), fnx_publisher_head(pub));
	fnx_subscriber_close(sub);
	expect_all_slots(&bus, pub, 8);
	fnx_publisher_close(pub);
	munmap(progress, 4096);
}

/* Joins as one of a few nodes, reads a little, leaves or is killed. */
static void come_and_go_until_killed(const struct fnx_bus *bus, unsigned seed)
{
	struct check_random random = {.state = seed};
	struct fnx_subscriber_config config;
	struct fnx_presence presence;
	char node[16];

	snprintf(node, sizeof(node), "guest-%u", seed % 4);
	if (fnx_presence_claim(bus, node, &presence, NULL))
		_exit(1);
	for (;;) {
		struct follower f = {.bus = *bus, .slot_size = SLOT_SIZE};
		int r;

		config = subscriber_config(
			node, check_random_below(&random, 3) ? FNX_LOSSLESS : FNX_LOSSY);
		config.start = FNX_START_OLDEST;
		r = fnx_subscriber_open(bus, &config, &f.sub);
		if (r)
			_exit(4);
		f.next = fnx_subscriber_next(f.sub);
		for (uint64_t n = check_random_below(&random, 50); n > 0; n--) {
			struct fnx_frame frame;
			struct fnx_gap gap;

			r = fnx_subscriber_peek(f.sub, &frame, &gap);
			if (r == FNX_GAP) {
				if (gap.from != f.next)
					_exit(5);
				/* A newcomer owes its start to nobody, and then it loses nothing.
				 */
				if (config.policy == FNX_LOSSLESS && !fnx_subscriber_resumed(f.sub))
					_exit(6);
				f.next = gap.to;
			}
			if (r != FNX_FRAME)
				continue;
			if (frame.seq != f.next++ || !frame_right(&frame, SLOT_SIZE))
				_exit(7);
			if (check_random_below(&random, 4) == 0)
				sched_yield();
			if (!frame_right(&frame, SLOT_SIZE))
				_exit(8);
			fnx_subscriber_release(f.sub);
		}
		fnx_subscriber_close(f.sub);
	}
}

TEST(guests_that_come_go_and_die_read_what_was_published_and_leave_every_place_free)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 100);
	struct check_random random = check_random_seeded();
	struct follower host = make_follower(&bus, "host", FNX_LOSSLESS, SLOT_SIZE);
	struct fnx_subscriber *subs[FNX_SUBSCRIBERS_MAX];
	struct fnx_presence presence;
	pid_t guests[4] = {0};
	char name[16];

	assert_int_equal(fnx_presence_claim(&bus, "host", &presence, NULL), 0);
	for (unsigned life = 0; life < N_LIVES; life++) {
		unsigned k = life % 4;

		guests[k] = fork_child();
		if (!guests[k])
			come_and_go_until_killed(&bus, life);
		for (uint64_t n = check_random_below(&random, 400); n > 0; n--) {
			(void)publish_next(pub, (int64_t)life * 200000000);
			follow(&host, &random);
			if (n % 16 == 0)
				sched_yield();
		}
		k = (k + 1) % 4;
		if (guests[k]) {
			kill(guests[k], SIGKILL);
			bury(guests[k]);
			guests[k] = 0;
		}
	}
	for (unsigned k = 0; k < 4; k++) {
		if (guests[k]) {
			kill(guests[k], SIGKILL);
			bury(guests[k]);
		}
		/* Whoever died has a place, which it takes up, or has none. */
		snprintf(name, sizeof(name), "guest-%u", k);
		subs[k] = open_subscriber(&bus, name, FNX_LOSSLESS);
		fnx_subscriber_close(subs[k]);
	}
	assert_int_equal(host.n_gaps, 0);
	follow_close(&host);
	fnx_presence_drop(&presence);
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		snprintf(name, sizeof(name), "last-%u", i);
		subs[i] = open_subscriber(&bus, name, FNX_LOSSLESS);
	}
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++)
		fnx_subscriber_close(subs[i]);
	expect_all_slots(&bus, pub, 100);
	fnx_publisher_close(pub);
}

/* Damage
 * -------------------------------------------------------------------------------------------- */

TEST(a_ledger_that_cannot_be_is_not_taken_over)
{
	for (unsigned change = 0; change < 8; change++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
		struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
		struct fnx_mapping map = open_mapping(&bus);
		struct fnx_frame frame;
		struct fnx_gap gap;

		publish_n(pub, 4);
		expect_frame(sub, 0);
		publish_n(pub, 1);
		die(pub);
		switch (change) {
		case 0:
			map.segment->released = 6;
			break;
		case 1:
			map.segment->head = UINT64_MAX;
			break;
		case 2:
			fnx_mapping_entry(&map, 2)->slot = 4;
			break;
		case 3:
			fnx_mapping_entry(&map, 2)->slot =
				atomic_load(&fnx_mapping_entry(&map, 3)->slot);
			break;
		case 4:
			fnx_mapping_entry(&map, 2)->tag = fnx_tag(18, FNX_ENTRY_PUBLISHED);
			break;
		case 5:
			map.segment->pinned[0].slot = UINT32_MAX;
			map.segment->pinned[0].seq_plus_1 = 1;
			break;
		case 6:
			map.segment->pinned[7].slot =
				atomic_load(&fnx_mapping_entry(&map, 3)->slot);
			map.segment->pinned[7].seq_plus_1 = 1;
			break;
		default:
			map.segment->head = 3 + 16;
		}
		pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
		assert_int_equal(fnx_publisher_adopted(pub), 0);
		expect_all_slots(&bus, pub, 4);
		/* Its readers come to the end of what there is, and are told. */
		for (unsigned i = 0; i < 10; i++) {
			int r = fnx_subscriber_peek(sub, &frame, &gap);

			if (r == FNX_MOVED)
				break;
			assert_true(r == FNX_FRAME || r == FNX_GAP || r == -EBADMSG);
			if (r != FNX_GAP)
				fnx_subscriber_release(sub);
			assert_true(i < 9);
		}
		fnx_mapping_close(&map);
		fnx_subscriber_close(sub);
		fnx_publisher_close(pub);
	}
}

TEST(a_frame_that_was_published_but_not_counted_is_found_by_the_successor)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);

	publish_n(pub, 3);
	map.segment->head = 2;
	die(pub);
	expect_frames(sub, 0, 3);
	die(sub);
	sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	assert_int_equal(fnx_subscriber_next(sub), 3);
	pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	assert_int_equal(fnx_publisher_adopted(pub), 1);
	assert_int_equal(fnx_publisher_head(pub), 3);
	publish_n(pub, 1);
	expect_frame(sub, 3);
	fnx_mapping_close(&map);
	fnx_subscriber_close(sub);
	expect_all_slots(&bus, pub, 4);
	fnx_publisher_close(pub);
}

TEST(a_pass_that_was_cut_short_is_ended_by_the_successor)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);
	struct fnx_subscriber *late;

	publish_n(pub, 4);
	expect_frames(sub, 0, 3);
	map.segment->releasing = 3;
	fnx_mapping_entry(&map, 0)->tag = fnx_tag(0, FNX_ENTRY_RELEASED);
	fnx_mapping_entry(&map, 1)->tag = fnx_tag(1, FNX_ENTRY_RELEASED);
	die(pub);
	late = open_subscriber_oldest(&bus, "late", FNX_LOSSLESS);
	expect_frame(late, 3);
	fnx_subscriber_close(late);
	pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	assert_int_equal(map.segment->released, 2);
	assert_int_equal(map.segment->releasing, 2);
	late = open_subscriber_oldest(&bus, "late", FNX_LOSSLESS);
	expect_frames(late, 2, 4);
	fnx_subscriber_close(late);
	fnx_mapping_close(&map);
	fnx_subscriber_close(sub);
	expect_all_slots(&bus, pub, 4);
	fnx_publisher_close(pub);
}

/* Whoever dies in the middle of a batch has published what it staged, told or not. */
TEST(a_batch_that_was_staged_and_not_flushed_is_found_by_the_successor)
{
	for (unsigned n_staged = 0; n_staged <= 4; n_staged++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
		struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
		struct fnx_mapping map = open_mapping(&bus);

		publish_n(pub, 3);
		for (unsigned i = 0; i < n_staged; i++)
			stage_next(pub);
		assert_int_equal(map.segment->head, 3);
		die(pub);
		/* A reader that was awake has them all, and dies before anybody counts them. */
		expect_frames(sub, 0, 3 + n_staged);
		die(sub);
		sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
		assert_int_equal(fnx_subscriber_next(sub), 3 + n_staged);
		pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
		assert_int_equal(fnx_publisher_adopted(pub), 1);
		assert_int_equal(fnx_publisher_head(pub), 3 + n_staged);
		assert_int_equal(map.segment->head, 3 + n_staged);
		publish_n(pub, 2);
		expect_frames(sub, 3 + n_staged, 5 + n_staged);
		fnx_mapping_close(&map);
		fnx_subscriber_close(sub);
		expect_all_slots(&bus, pub, 8);
		fnx_publisher_close(pub);
	}
}
