/* SPDX-License-Identifier: BSD-3-Clause */
/* Workers that are processes: attached, killed at every point, replaced. */
#include "bus/task.h"

#include "tests/unit/bus/task_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/prctl.h>

#include "bus/task_layout.h"

static int run_dying(const struct fnx_call *call, void *context)
{
	(void)call, (void)context;
	kill(getpid(), SIGKILL);
	return 0;
}

/* What COUNTING leaves in the memory of its task. */
struct count {
	_Atomic uint64_t n; /* how often it has run */
	_Atomic uint64_t pid; /* of the process that is at it, where it lingers */
};

enum {
	RUN_ON = 0,
	LINGER = 1, /* until it is killed */
	COUNT_WORDS = sizeof(struct count) / sizeof(uint64_t)
};

static int run_counting(const struct fnx_call *call, void *context)
{
	struct count *count = fnx_call_data(call, 0);

	(void)context;
	atomic_fetch_add(&count->n, 1);
	/* Long enough for a signal to find it at work, now and then. */
	for (unsigned i = 0; i < 1000000; i++)
		__asm__ volatile("");
	if (call->scalars[0] == LINGER) {
		atomic_store(&count->pid, (uint64_t)getpid());
		for (;;)
			pause();
	}
	return 0;
}

static int run_vandal(const struct fnx_call *call, void *context)
{
	(void)context;
	signal(SIGSEGV, SIG_DFL);
	*(volatile uint64_t *)(uintptr_t)call = 0;
	return 0;
}

enum {
	STIR,
	DYING,
	COUNTING,
	VANDAL,
	COPY
};

static const struct fnx_task_kernel worker_kernels[] = {
	{"vandal", 0, run_vandal, NULL, 0},
	{"counting", 0, run_counting, NULL, 0},
	{"stir", 0, run_stir, NULL, 0},
	{"dying", 0, run_dying, NULL, 0},
};

static int run_copy(const struct fnx_call *call, void *context)
{
	(void)context;
	memcpy(fnx_call_data(call, 1), fnx_call_data(call, 0), tensor_size(&call->tensors[0]) * 8);
	return 0;
}

static const struct fnx_task_kernel kernels[] = {
	{"stir", 0, NULL, NULL, 0},
	{"dying", 0, NULL, NULL, 0},
	{"counting", 0, NULL, NULL, 0},
	{"vandal", 0, NULL, NULL, 0},
	{"copy", 1, run_copy, NULL, 0},
};

static struct fnx_task_runtime *open_with(const struct fnx_bus *bus, unsigned n_processes)
{
	struct fnx_task_config config = {.bus = bus,
		.name = "tasks",
		.kinds = {{.name = "remote", .n_processes = n_processes},
			{.name = "here", .n_threads = 1}},
		.n_kinds = 2,
		.kernels = kernels,
		.n_kernels = 5,
		.window = 64,
		.consumed_window = 1024,
		.spin_ns = -1};

	return open_runtime(&config);
}

static int work(const struct fnx_bus *bus, int ready_fd)
{
	struct fnx_task_worker *worker;
	int r;

	/* It shares the owner's lock, and so would not see it die. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = fnx_task_worker_open(bus, "tasks", "remote", worker_kernels, 4, NULL, &worker);

	if (r)
		return 50;
	child_ready(ready_fd);
	r = fnx_task_worker_run(worker, -1);
	fnx_task_worker_close(worker);
	return r ? 51 : 0;
}

static struct child start_worker(const struct fnx_bus *bus)
{
	struct child child = child_start(work, bus);

	child_await(&child);
	return child;
}

/* Until the owner has noticed so many, and so many deaths. */
static void await_processes(struct fnx_task_runtime *rt, unsigned n, uint64_t n_died)
{
	int64_t deadline_ns = fixture_now_ns() + task_deadline_ns;
	struct fnx_task_stats stats;

	do {
		fnx_task_stats(rt, &stats);
		assert_true(fixture_now_ns() < deadline_ns);
		sched_yield();
	} while (stats.n_processes != n || stats.n_died != n_died);
}

static uint64_t submit(
	struct fnx_task_runtime *rt, uint32_t kernel, struct fnx_task_arg *args, unsigned n_args)
{
	uint64_t id = 0;

	assert_int_equal(fnx_task_submit(rt, kernel, args, n_args, &id), 0);
	return id;
}

TEST(a_process_that_attaches_runs_tasks_on_the_same_memory)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_runtime *rt = open_with(&bus, 2);
	struct child children[2] = {start_worker(&bus), start_worker(&bus)};
	uint64_t result[200][4], expected[4];
	struct fnx_call model = {.n_scalars = 2, .n_tensors = 1, .scalars = {1, 0}};

	for (unsigned i = 0; i < 200; i++) {
		struct fnx_task_arg made[] = {
			scalar(1), scalar(i), words(FNX_TASK_OUTPUT, NULL, 0, 4)};
		struct fnx_task_arg changed[] = {scalar(1), scalar(i), {.access = FNX_TASK_INOUT}};
		struct fnx_task_arg copied[] = {
			{.access = FNX_TASK_INPUT}, words(FNX_TASK_OUTPUT, result[i], 0, 4)};

		assert_int_equal(fnx_task_scope_begin(rt), 0);
		submit(rt, STIR, made, 3);
		changed[2].region = copied[0].region = made[2].region;
		submit(rt, STIR, changed, 3);
		submit(rt, COPY, copied, 2);
		fnx_task_scope_end(rt);
	}
	check_empty(rt);
	for (unsigned i = 0; i < 200; i++) {
		model.scalars[1] = i;
		model.tensors[0] = (struct fnx_call_tensor){
			.delta = (int64_t)((uintptr_t)expected - (uintptr_t)&model),
			.element_size = 8,
			.n_dims = 1,
			.access = FNX_TASK_OUTPUT,
			.shape = {4},
			.strides = {8}};
		stir_call(&model);
		model.tensors[0].access = FNX_TASK_INOUT;
		stir_call(&model);
		assert_memory_equal(result[i], expected, sizeof(expected));
	}
	fnx_task_runtime_close(rt);
	/* Told to go. */
	assert_int_equal(child_end(&children[0], 0), 0);
	assert_int_equal(child_end(&children[1], 0), 0);
}

TEST(memory_that_a_process_cannot_see_is_refused)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_runtime *rt = open_with(&bus, 1);
	uint64_t word = 0;
	struct fnx_task_arg args[] = {scalar(1), words(FNX_TASK_INOUT, &word, 0, 1)};

	assert_int_equal(fnx_task_submit(rt, STIR, args, 2, NULL), -EINVAL);
	fnx_task_runtime_close(rt);
}

TEST(a_worker_that_dies_fails_its_task_and_its_consumers_and_nothing_else)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_runtime *rt = open_with(&bus, 2);
	struct child first = start_worker(&bus), second;
	struct fnx_task_arg deadly[] = {words(FNX_TASK_OUTPUT, NULL, 0, 4)};
	struct fnx_task_arg reads[] = {scalar(1), {.access = FNX_TASK_INOUT}};
	struct fnx_task_arg other[] = {scalar(1), words(FNX_TASK_OUTPUT, NULL, 0, 4)};
	uint64_t died, consumer, independent, cause = 0;
	struct fnx_task_stats stats;

	await_processes(rt, 1, 0);
	assert_int_equal(fnx_task_scope_begin(rt), 0);
	died = submit(rt, DYING, deadly, 1);
	reads[1].region = deadly[0].region;
	consumer = submit(rt, STIR, reads, 2);
	independent = submit(rt, STIR, other, 2);
	assert_int_equal(child_end(&first, 0), -SIGKILL);
	second = start_worker(&bus);
	assert_int_equal(fnx_task_drain(rt, task_deadline_ns), 0);
	assert_int_equal(fnx_task_result(rt, died, &cause), -EOWNERDEAD);
	assert_int_equal(cause, died);
	cause = 0;
	assert_int_equal(fnx_task_result(rt, consumer, &cause), -EOWNERDEAD);
	assert_int_equal(cause, died);
	assert_int_equal(fnx_task_result(rt, independent, NULL), 0);
	fnx_task_scope_end(rt);
	check_empty(rt);
	fnx_task_stats(rt, &stats);
	assert_int_equal(stats.n_died, 1);
	assert_int_equal(stats.n_failed, 2);
	fnx_task_runtime_close(rt);
	assert_int_equal(child_end(&second, 0), 0);
}

TEST(a_task_that_its_worker_had_not_begun_is_run_by_another)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_runtime *rt = open_with(&bus, 1);
	struct child first = start_worker(&bus), second;
	struct fnx_task_arg args[] = {words(FNX_TASK_OUTPUT, NULL, 0, COUNT_WORDS), scalar(RUN_ON)};
	uint64_t id;
	int status;

	await_processes(rt, 1, 0);
	kill(first.pid, SIGSTOP);
	assert_int_equal(waitpid(first.pid, &status, WUNTRACED), first.pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(fnx_task_scope_begin(rt), 0);
	id = submit(rt, COUNTING, args, 2);
	assert_int_equal(fnx_task_state(rt, id), FNX_TASK_RUNNING);
	assert_int_equal(child_end(&first, SIGKILL), -SIGKILL);
	second = start_worker(&bus);
	assert_int_equal(fnx_task_wait(rt, id, task_deadline_ns), 0);
	assert_int_equal(fnx_task_result(rt, id, NULL), 0);
	fnx_task_scope_end(rt);
	check_empty(rt);
	fnx_task_runtime_close(rt);
	assert_int_equal(child_end(&second, 0), 0);
}

enum {
	N_KILLS = 40,
	PER_KILL = 16
};

/* Two workers, and tasks that count. */
struct slaughter {
	struct check_random random;
	const struct fnx_bus *bus;
	struct fnx_task_runtime *rt;
	struct child children[2];
	uint64_t owner; /* of the counts */
	struct count *counts; /* [PER_KILL] */
	uint64_t ids[PER_KILL];
	uint64_t n_failed, n_caught;
};

static void submit_counting(struct slaughter *it, unsigned i, uint64_t how)
{
	struct fnx_task_arg args[] = {
		words(FNX_TASK_INOUT, it->counts, i * COUNT_WORDS, COUNT_WORDS), scalar(how)};

	args[0].region.owner = it->owner;
	it->ids[i] = submit(it->rt, COUNTING, args, 2);
}

/* Kills whoever is at task i, once somebody is. */
static struct child *kill_at_it(struct slaughter *it, unsigned i)
{
	int64_t deadline_ns = fixture_now_ns() + task_deadline_ns;
	uint64_t pid;

	while (!(pid = atomic_load(&it->counts[i].pid))) {
		assert_true(fixture_now_ns() < deadline_ns);
		sched_yield();
	}
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	return &it->children[(pid_t)pid == it->children[1].pid];
}

/* Many tasks, and a kill among them: of one that is seen to be at its task, or of any at any time. */
static void kill_one(struct slaughter *it, int is_seen)
{
	unsigned kill_at = (unsigned)check_random_below(&it->random, PER_KILL);
	struct child *child = &it->children[check_random_below(&it->random, 2)];

	memset((void *)it->counts, 0, PER_KILL * sizeof(*it->counts));
	assert_int_equal(fnx_task_scope_begin(it->rt), 0);
	for (unsigned i = 0; i < PER_KILL; i++) {
		submit_counting(it, i, is_seen && i == kill_at ? LINGER : RUN_ON);
		for (uint64_t k = check_random_below(&it->random, 30000); k; k--)
			__asm__ volatile("");
		if (i != kill_at)
			continue;
		if (is_seen)
			child = kill_at_it(it, i);
		else
			kill(child->pid, SIGKILL);
	}
	assert_int_equal(child_end(child, 0), -SIGKILL);
	*child = start_worker(it->bus);
}

static void check_counts(struct slaughter *it)
{
	for (unsigned i = 0; i < PER_KILL; i++) {
		int r = fnx_task_result(it->rt, it->ids[i], NULL);
		uint64_t n = atomic_load(&it->counts[i].n);

		assert_true(r == 0 || r == -EOWNERDEAD);
		assert_true(n == 1 || (r && n == 0));
		it->n_failed += r != 0;
		/* Who lingers ends by being killed. */
		assert_true(r || !atomic_load(&it->counts[i].pid));
		it->n_caught += atomic_load(&it->counts[i].pid) != 0;
	}
}

TEST(no_task_runs_twice_and_none_is_lost_however_often_workers_are_killed)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_arg buffer[] = {
		words(FNX_TASK_OUTPUT, NULL, 0, PER_KILL * COUNT_WORDS), scalar(RUN_ON)};
	struct fnx_task_spec make = {.kernels = {COUNTING},
		.n_parts = 1,
		.args = buffer,
		.n_args = 2,
		.flags = FNX_TASK_HOLD};
	struct slaughter it = {
		.random = check_random_seeded(), .bus = &bus, .rt = open_with(&bus, 2)};
	struct fnx_task_stats stats;

	for (unsigned i = 0; i < 2; i++)
		it.children[i] = start_worker(&bus);
	assert_int_equal(fnx_task_submit_spec(it.rt, &make, &it.owner), 0);
	assert_int_equal(fnx_task_drain(it.rt, task_deadline_ns), 0);
	it.counts = buffer[0].region.base;
	for (unsigned round = 0; round < N_KILLS; round++) {
		kill_one(&it, round % 2);
		assert_int_equal(fnx_task_drain(it.rt, task_deadline_ns), 0);
		check_counts(&it);
		fnx_task_scope_end(it.rt);
	}
	fnx_task_drop(it.rt, it.owner);
	check_empty(it.rt);
	fnx_task_stats(it.rt, &stats);
	assert_int_equal(stats.n_died, N_KILLS);
	/* At the most one for each death, and one for each that was at it. */
	assert_int_equal(it.n_caught, N_KILLS / 2);
	assert_int_equal(stats.n_failed, it.n_failed);
	assert_in_range(it.n_failed, N_KILLS / 2, N_KILLS);
	print_message("%llu tasks failed\n", (unsigned long long)it.n_failed);
	fnx_task_runtime_close(it.rt);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(child_end(&it.children[i], 0), 0);
}

TEST(a_worker_cannot_write_on_the_graph)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_runtime *rt = open_with(&bus, 1);
	struct child child = start_worker(&bus);
	uint64_t id;

	assert_int_equal(fnx_task_scope_begin(rt), 0);
	id = submit(rt, VANDAL, NULL, 0);
	assert_int_equal(fnx_task_wait(rt, id, task_deadline_ns), 0);
	assert_int_equal(fnx_task_result(rt, id, NULL), -EOWNERDEAD);
	assert_int_not_equal(child_end(&child, 0), 0);
	fnx_task_scope_end(rt);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

static int own_until_killed(const struct fnx_bus *bus, int ready_fd)
{
	struct fnx_task_runtime *rt = open_with(bus, 1);

	(void)rt;
	child_ready(ready_fd);
	pause();
	return 0;
}

TEST(a_worker_learns_that_the_owner_has_died_and_a_sweep_removes_what_it_left)
{
	struct fnx_bus bus = fixture_bus();
	struct child owner = child_start(own_until_killed, &bus);
	struct fnx_task_worker *worker;
	struct fnx_task_runtime *rt;
	char path[256];

	child_await(&owner);
	assert_int_equal(
		fnx_task_worker_open(&bus, "tasks", "remote", worker_kernels, 4, NULL, &worker), 0);
	assert_int_equal(fnx_task_worker_run(worker, 1000000), -ETIMEDOUT);
	assert_int_equal(fnx_bus_sweep(&bus), 0);
	assert_int_equal(child_end(&owner, SIGKILL), -SIGKILL);
	assert_int_equal(fnx_task_worker_run(worker, -1), -EOWNERDEAD);
	fnx_task_worker_close(worker);
	assert_int_equal(
		fnx_task_worker_open(&bus, "tasks", "remote", worker_kernels, 4, NULL, &worker),
		-ENOENT);
	assert_int_equal(fnx_bus_path(bus.segment_dir, "tasks", ".tasks", path, sizeof(path)), 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(fnx_bus_sweep(&bus), 1);
	assert_int_equal(access(path, F_OK), -1);
	rt = open_with(&bus, 1);
	fnx_task_runtime_close(rt);
	assert_int_equal(access(path, F_OK), -1);
}

TEST(a_name_is_one_living_runtimes_and_a_dead_ones_is_taken_over)
{
	struct fnx_bus bus = fixture_bus();
	struct child owner = child_start(own_until_killed, &bus);
	struct fnx_task_config config = {.bus = &bus,
		.name = "tasks",
		.kinds = {{.name = "here", .n_threads = 1}},
		.n_kinds = 1,
		.kernels = &(struct fnx_task_kernel){"copy", 0, run_copy, NULL, 0},
		.n_kernels = 1};
	struct fnx_task_runtime *rt;

	child_await(&owner);
	assert_int_equal(fnx_task_runtime_open(&config, NULL, &rt), -EBUSY);
	assert_int_equal(child_end(&owner, SIGKILL), -SIGKILL);
	assert_int_equal(fnx_task_runtime_open(&config, NULL, &rt), 0);
	fnx_task_runtime_close(rt);
}

TEST(a_worker_without_a_kernel_or_a_place_or_of_no_kind_is_told_so)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_runtime *rt = open_with(&bus, 1);
	struct fnx_task_worker *worker, *second;
	char missing[FNX_NAME_MAX] = "";

	assert_int_equal(
		fnx_task_worker_open(&bus, "none", "remote", worker_kernels, 4, missing, &worker),
		-ENOENT);
	assert_int_equal(
		fnx_task_worker_open(&bus, "tasks", "none", worker_kernels, 4, missing, &worker),
		-ENOENT);
	assert_int_equal(
		fnx_task_worker_open(&bus, "tasks", "here", worker_kernels, 4, missing, &worker),
		-EUSERS);
	assert_int_equal(
		fnx_task_worker_open(&bus, "tasks", "remote", worker_kernels, 3, missing, &worker),
		-ENOSYS);
	assert_string_equal(missing, "dying");
	assert_int_equal(
		fnx_task_worker_open(&bus, "tasks", "remote", worker_kernels, 4, missing, &worker),
		0);
	assert_int_equal(
		fnx_task_worker_open(&bus, "tasks", "remote", worker_kernels, 4, missing, &second),
		-EUSERS);
	/* Who leaves of its own accord makes room, and is no death. */
	fnx_task_worker_close(worker);
	assert_int_equal(
		fnx_task_worker_open(&bus, "tasks", "remote", worker_kernels, 4, missing, &second),
		0);
	await_processes(rt, 1, 0);
	fnx_task_worker_close(second);
	fnx_task_runtime_close(rt);
}

TEST(a_file_that_is_no_runtime_is_refused)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_runtime *rt = open_with(&bus, 1);
	struct check_random random = check_random_seeded();
	static unsigned char header[sizeof(struct fnx_task_header)];
	struct fnx_task_worker *worker;
	char path[256], other[256];
	int r;

	assert_int_equal(fnx_bus_path(bus.segment_dir, "tasks", ".tasks", path, sizeof(path)), 0);
	assert_int_equal(fnx_bus_path(bus.segment_dir, "other", ".tasks", other, sizeof(other)), 0);
	for (unsigned i = 0; i < 300; i++) {
		FILE *in = fopen(path, "r"), *out = fopen(other, "w");
		size_t size = fread(header, 1, sizeof(header), in);

		header[check_random_below(&random, 480)] ^= (unsigned char)(1 << i % 8);
		fwrite(header, 1, check_random_below(&random, 4) ? size : size / 2, out);
		fclose(in);
		fclose(out);
		r = fnx_task_worker_open(&bus, "other", "remote", worker_kernels, 4, NULL, &worker);
		assert_true(r == -EBADMSG || r == -EPROTO || r == -ENOENT);
	}
	unlink(other);
	fnx_task_runtime_close(rt);
}

TEST(a_runtimes_file_is_as_large_as_its_sizes_say)
{
	struct check_random random = check_random_seeded();

	for (unsigned round = 0; round < 20; round++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_task_config config = {.bus = &bus,
			.name = "tasks",
			.kinds = {{.name = "here", .n_threads = 1}},
			.n_kinds = 1,
			.kernels = &(struct fnx_task_kernel){"copy", 0, run_copy, NULL, 0},
			.n_kernels = 1,
			.window = 8u << check_random_below(&random, 6),
			.heap_size = 1 + check_random_below(&random, 100000),
			.n_traced = (uint32_t)check_random_below(&random, 1000)};
		struct fnx_task_runtime *rt;
		char path[256];
		struct stat st;

		if (check_random_below(&random, 2))
			config.consumed_window = config.window << check_random_below(&random, 4);
		assert_int_equal(
			fnx_bus_path(bus.segment_dir, "tasks", ".tasks", path, sizeof(path)), 0);
		rt = open_runtime(&config);
		assert_int_equal(stat(path, &st), 0);
		assert_true((uint64_t)st.st_size == fnx_task_file_size(&config));
		fnx_task_runtime_close(rt);
	}
}

/* There may not be memory for both. */
TEST(what_a_dead_owner_left_is_gone_before_its_successor_takes_memory)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_runtime *rt;
	_Alignas(struct inotify_event) char events[4096];
	const struct inotify_event *first = (const void *)events;
	char path[256];
	int fd;

	assert_int_equal(fnx_bus_path(bus.segment_dir, "tasks", ".tasks", path, sizeof(path)), 0);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	assert_true(inotify_add_watch(fd, bus.segment_dir, IN_CREATE | IN_DELETE) >= 0);
	rt = open_with(&bus, 1);
	assert_true(read(fd, events, sizeof(events)) > 0);
	assert_true(first->mask & IN_DELETE);
	assert_string_equal(first->name, strrchr(path, '/') + 1);
	close(fd);
	fnx_task_runtime_close(rt);
}
