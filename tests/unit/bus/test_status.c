/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/status.h"

#include "tests/unit/bus/bus_fixture.h"

#include <fcntl.h>

static int histogram_compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

TEST(a_quantile_is_at_most_a_sixteenth_above_the_sorted_truth)
{
	struct check_random random = check_random_seeded();
	static const double fractions[] = {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0};

	for (int round = 0; round < 200; round++) {
		struct fnx_histogram histogram = {0};
		size_t n = 1 + check_random_below(&random, 500);
		int64_t values[500];

		for (size_t i = 0; i < n; i++) {
			values[i] = 1 +
				(int64_t)check_random_below(
					&random, UINT64_C(1) << check_random_below(&random, 33));
			fnx_histogram_add(&histogram, values[i]);
		}
		qsort(values, n, sizeof(values[0]), histogram_compare);
		assert_int_equal(histogram.count, n);
		assert_int_equal(histogram.max_ns, values[n - 1]);
		for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++) {
			size_t rank = (size_t)(fractions[i] * (double)n);
			uint64_t truth, told = fnx_histogram_quantile(&histogram, fractions[i]);

			rank += (double)rank < fractions[i] * (double)n;
			truth = (uint64_t)values[rank ? rank - 1 : 0];
			assert_true(told >= truth);
			assert_true(told <= truth + truth / 16);
		}
	}
}

TEST(durations_beyond_both_ends_are_counted_at_the_ends)
{
	struct fnx_histogram histogram = {0};

	assert_int_equal(fnx_histogram_quantile(&histogram, 0.5), 0);
	fnx_histogram_add(&histogram, -5);
	fnx_histogram_add(&histogram, 0);
	fnx_histogram_add(&histogram, 1);
	assert_int_equal(fnx_histogram_quantile(&histogram, 1.0), 1);
	fnx_histogram_add(&histogram, INT64_MAX);
	fnx_histogram_add(&histogram, (INT64_C(1) << 32) - 1);
	assert_int_equal(fnx_histogram_quantile(&histogram, 1.0), INT64_MAX);
	assert_int_equal(fnx_histogram_quantile(&histogram, 0.6), 1);
	assert_int_equal(histogram.count, 5);
}

static int live_and_wait(const struct fnx_bus *bus, int ready_fd)
{
	struct fnx_status *status;

	if (fnx_status_create(bus, "node", &status) < 0)
		return 1;
	atomic_store(&status->state, FNX_NODE_RUNNING);
	atomic_store(&status->outputs[3].frames, 77);
	fnx_status_say(status, "last words");
	child_ready(ready_fd);
	pause();
	return 0;
}

TEST(the_last_words_of_a_killed_node_can_be_read)
{
	struct fnx_bus bus = fixture_bus();
	struct child child = child_start(live_and_wait, &bus);
	const struct fnx_status *status;

	child_await(&child);
	assert_int_equal(child_end(&child, SIGKILL), -SIGKILL);
	assert_int_equal(fnx_status_open(&bus, "node", &status), 0);
	assert_string_equal(status->text, "last words");
	assert_string_equal(status->name, "node");
	assert_int_equal(status->pid, child.pid);
	assert_int_equal(status->state, FNX_NODE_RUNNING);
	assert_int_equal(status->outputs[3].frames, 77);
	fnx_status_close(status);
}

TEST(a_restarted_node_takes_its_page_over_and_watchers_follow)
{
	struct fnx_bus bus = fixture_bus();
	const struct fnx_status *watched;
	struct fnx_status *status;

	assert_int_equal(fnx_status_create(&bus, "node", &status), 0);
	assert_int_equal(status->starts, 1);
	assert_int_equal(status->state, FNX_NODE_STARTING);
	assert_int_equal(fnx_status_open(&bus, "node", &watched), 0);
	for (uint32_t life = 2; life < 5; life++) {
		atomic_store(&status->wakes, 5);
		fnx_histogram_add(&status->turn, 1000);
		fnx_status_say(status, "life %u", life - 1);
		fnx_status_close(status);
		assert_int_equal(fnx_status_create(&bus, "node", &status), 0);
		assert_int_equal(watched->starts, life);
		assert_int_equal(watched->wakes, 0);
		assert_int_equal(watched->turn.count, 0);
		assert_string_equal(watched->text, "");
		assert_string_equal(watched->name, "node");
	}
	fnx_status_close(status);
	fnx_status_close(watched);
	fnx_status_close(NULL);
}

TEST(the_counters_of_a_page_that_is_adopted_go_on)
{
	struct fnx_bus bus = fixture_bus();
	const struct fnx_status *watched;
	struct fnx_status *status;

	assert_int_equal(fnx_status_adopt(&bus, "node", &status), 0);
	assert_int_equal(status->starts, 1);
	assert_int_equal(status->wakes, 0);
	assert_int_equal(fnx_status_open(&bus, "node", &watched), 0);
	for (uint32_t life = 2; life < 5; life++) {
		atomic_fetch_add(&status->wakes, 5);
		atomic_store(&status->state, FNX_NODE_RUNNING);
		fnx_histogram_add(&status->turn, 1000);
		fnx_status_say(status, "life %u", life - 1);
		fnx_status_close(status);
		assert_int_equal(fnx_status_adopt(&bus, "node", &status), 0);
		assert_int_equal(watched->starts, life);
		assert_int_equal(watched->wakes, 5 * (life - 1));
		assert_int_equal(watched->turn.count, life - 1);
		assert_int_equal(watched->state, FNX_NODE_STARTING);
		assert_string_equal(watched->text, "");
		assert_string_equal(watched->name, "node");
	}
	fnx_status_close(status);
	fnx_status_close(watched);
}

TEST(a_text_of_any_length_stays_within_its_field)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_status *status;
	char longest[1000];

	assert_int_equal(fnx_status_create(&bus, "node", &status), 0);
	strcpy(status->realtime, "untouched");
	for (size_t size = 0; size < sizeof(longest); size += 51) {
		memset(longest, 'x', size);
		longest[size] = 0;
		fnx_status_say(status, "%s", longest);
		assert_int_equal(strlen(status->text), size < 255 ? size : 255);
	}
	fnx_status_say(status, "short");
	assert_string_equal(status->text, "short");
	assert_string_equal(status->realtime, "untouched");
	fnx_status_close(status);
}

static void write_page(const struct fnx_bus *bus, const void *bytes, size_t size)
{
	char path[256];
	int fd;

	assert_int_equal(fnx_bus_path(bus->segment_dir, "node", ".status", path, sizeof(path)), 0);
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

TEST(what_is_no_page_of_this_build_is_refused_to_readers_and_replaced_by_its_node)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	static unsigned char bytes[sizeof(struct fnx_status) + 64];
	int before = n_descriptors();

	for (int i = 0; i < 100; i++) {
		size_t size = i == 0 ? 0
			: i % 2      ? sizeof(struct fnx_status)
				     : check_random_below(&random, sizeof(bytes) + 1);
		const struct fnx_status *read_only;
		struct fnx_status *status;

		for (size_t k = 0; k < sizeof(bytes); k += 8) {
			uint64_t word = check_random_u64(&random);

			memcpy(bytes + k, &word, 8);
		}
		write_page(&bus, bytes, size);
		assert_int_equal(fnx_status_open(&bus, "node", &read_only), -EPROTO);
		assert_int_equal(fnx_status_create(&bus, "node", &status), 0);
		assert_int_equal(status->starts, 1);
		fnx_status_close(status);
	}
	assert_int_equal(n_descriptors(), before);
}

TEST(a_page_of_another_version_is_refused)
{
	struct fnx_bus bus = fixture_bus();
	const struct fnx_status *read_only;
	struct fnx_status *status;

	assert_int_equal(fnx_status_create(&bus, "node", &status), 0);
	status->abi++;
	assert_int_equal(fnx_status_open(&bus, "node", &read_only), -EPROTO);
	status->abi--;
	assert_int_equal(fnx_status_open(&bus, "node", &read_only), 0);
	fnx_status_close(read_only);
	fnx_status_close(status);
}

TEST(a_symbolic_link_is_never_followed_to_a_page)
{
	struct fnx_bus bus = fixture_bus();
	const struct fnx_status *read_only;
	struct fnx_status *status, *other;
	char path[256], target[256];

	assert_int_equal(fnx_status_create(&bus, "other", &other), 0);
	assert_int_equal(
		fnx_bus_path(bus.segment_dir, "other", ".status", target, sizeof(target)), 0);
	assert_int_equal(fnx_bus_path(bus.segment_dir, "node", ".status", path, sizeof(path)), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(fnx_status_open(&bus, "node", &read_only), -EPROTO);
	assert_int_equal(fnx_status_create(&bus, "node", &status), 0);
	assert_string_equal(other->name, "other");
	assert_int_equal(other->starts, 1);
	fnx_status_close(status);
	fnx_status_close(other);
}

TEST(a_page_that_cannot_be_made_is_said_and_nothing_is_left)
{
	struct fnx_bus bus = fixture_bus(), none = bus, file = bus;
	const struct fnx_status *read_only = NULL;
	struct fnx_status *status = NULL;
	struct rlimit limit, no_files, files;
	int before = n_descriptors();

	assert_int_equal(fnx_status_open(&bus, "node", &read_only), -ENOENT);
	assert_int_equal(fnx_status_create(&bus, "no/de", &status), -EINVAL);
	strcat(none.segment_dir, "none");
	assert_int_equal(fnx_status_create(&none, "node", &status), -ENOENT);
	assert_int_equal(fnx_status_create(&bus, "x", &status), 0);
	fnx_status_close(status);
	strcat(file.segment_dir, "/x.status");
	assert_int_equal(fnx_status_create(&file, "node", &status), -ENOTDIR);
	assert_int_equal(fnx_status_open(&file, "node", &read_only), -ENOTDIR);

	limit = limit_descriptors(0);
	assert_int_equal(fnx_status_create(&bus, "node", &status), -EMFILE);
	assert_int_equal(fnx_status_open(&bus, "node", &read_only), -EMFILE);
	lift_limit(&limit);

	/* No room for the page, as on a full tmpfs. */
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &files);
	no_files = (struct rlimit){.rlim_cur = 1024, .rlim_max = files.rlim_max};
	setrlimit(RLIMIT_FSIZE, &no_files);
	assert_int_equal(fnx_status_create(&bus, "node", &status), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &files);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(fnx_status_open(&bus, "node", &read_only), -ENOENT);
	assert_null(read_only);
	assert_int_equal(n_descriptors(), before);
	assert_int_equal(fnx_bus_remove(&bus), 0);
}
