/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/state.h"

#include "tests/unit/bus/bus_fixture.h"

#include <fcntl.h>
#include <sys/mman.h>

enum {
	PIECES_MAX = 12,
	LOG_SIZE = 1 << 16,
};

struct pieces {
	unsigned n;
	size_t sizes[PIECES_MAX], aligns[PIECES_MAX];
	unsigned char *memory[PIECES_MAX];
};

static struct pieces draw_pieces(struct check_random *random)
{
	struct pieces pieces = {.n = 1 + (unsigned)check_random_below(random, PIECES_MAX)};

	for (unsigned i = 0; i < pieces.n; i++) {
		pieces.sizes[i] =
			1 + check_random_below(random, check_random_below(random, 3) ? 300 : 20000);
		pieces.aligns[i] = (size_t)1 << check_random_below(random, 10);
	}
	return pieces;
}

static int take_pieces(struct fnx_state *own, struct pieces *pieces)
{
	for (unsigned i = 0; i < pieces->n; i++) {
		pieces->memory[i] = fnx_state_alloc(own, pieces->sizes[i], pieces->aligns[i]);
		if (!pieces->memory[i])
			break;
		assert_int_equal((uintptr_t)pieces->memory[i] % pieces->aligns[i], 0);
	}
	return fnx_state_seal(own, LOG_SIZE);
}

/* Opens, takes the pieces and seals; what the state is. */
static struct fnx_state *live(const struct fnx_bus *bus, uint64_t hash, struct pieces *pieces)
{
	struct fnx_state *own;

	assert_int_equal(fnx_state_open(bus, "node", hash, &own), 0);
	assert_int_equal(take_pieces(own, pieces), 0);
	return own;
}

static void state_path(const struct fnx_bus *bus, char *ret_path)
{
	snprintf(ret_path, 300, "%s/node.state", bus->segment_dir);
}

TEST(a_successor_finds_what_was_committed_and_nothing_else)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 60; round++) {
		struct fnx_bus bus = fixture_bus();
		struct pieces pieces = draw_pieces(&random);
		unsigned char *models[PIECES_MAX];
		struct fnx_state *own = live(&bus, 7, &pieces);

		assert_int_equal(fnx_state_origin(own), FNX_STATE_NEW);
		for (unsigned i = 0; i < pieces.n; i++) {
			models[i] = calloc(1, pieces.sizes[i]);
			assert_memory_equal(pieces.memory[i], models[i], pieces.sizes[i]);
		}
		for (int life = 0; life < 6; life++) {
			for (uint64_t n = check_random_below(&random, 30); n; n--) {
				unsigned i = (unsigned)check_random_below(&random, pieces.n);
				size_t at = check_random_below(&random, pieces.sizes[i]);
				size_t left = pieces.sizes[i] - at;
				size_t size =
					check_random_below(&random, (left < 90 ? left : 90) + 1);
				int stays = check_random_below(&random, 4) != 0;

				fnx_journal_touch(
					fnx_state_journal(own), pieces.memory[i] + at, size);
				memset(pieces.memory[i] + at, (int)n, size);
				if (!stays)
					continue;
				fnx_journal_commit(fnx_state_journal(own));
				for (unsigned k = 0; k < pieces.n; k++)
					memcpy(models[k], pieces.memory[k], pieces.sizes[k]);
			}
			fnx_state_close(own, 1);
			own = live(&bus, 7, &pieces);
			assert_int_equal(fnx_state_origin(own), FNX_STATE_RESUMED);
			for (unsigned i = 0; i < pieces.n; i++)
				assert_memory_equal(pieces.memory[i], models[i], pieces.sizes[i]);
		}
		fnx_state_close(own, 0);
		own = live(&bus, 7, &pieces);
		assert_int_equal(fnx_state_origin(own), FNX_STATE_NEW);
		fnx_state_close(own, 0);
		for (unsigned i = 0; i < pieces.n; i++)
			free(models[i]);
	}
}

TEST(a_successor_of_another_layout_begins_anew_and_knows_it)
{
	struct fnx_bus bus = fixture_bus();
	struct pieces pieces = {.n = 1, .sizes = {100}, .aligns = {8}};
	struct fnx_state *own = live(&bus, 1, &pieces);

	pieces.memory[0][0] = 1;
	fnx_state_close(own, 1);
	own = live(&bus, 2, &pieces);
	assert_int_equal(fnx_state_origin(own), FNX_STATE_OTHER);
	assert_int_equal(pieces.memory[0][0], 0);
	fnx_state_close(own, 0);
}

TEST(a_successor_that_asks_for_other_pieces_is_told_to_begin_again)
{
	struct fnx_bus bus = fixture_bus();
	struct pieces pieces = {.n = 2, .sizes = {100, 200}, .aligns = {8, 8}};
	struct pieces others[] = {{.n = 1, .sizes = {100}, .aligns = {8}},
		{.n = 2, .sizes = {200, 100}, .aligns = {8, 8}},
		{.n = 2, .sizes = {100, 200}, .aligns = {8, 4}},
		{.n = 3, .sizes = {100, 200, 100000}, .aligns = {8, 8, 8}}};
	struct fnx_state *own;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		fnx_state_close(live(&bus, 1, &pieces), 1);
		assert_int_equal(fnx_state_open(&bus, "node", 1, &own), 0);
		assert_int_equal(take_pieces(own, &others[i]), -ESTALE);
		fnx_state_close(own, 0);
	}
}

TEST(a_state_that_was_never_sealed_is_no_state)
{
	struct fnx_bus bus = fixture_bus();
	struct pieces pieces = {.n = 1, .sizes = {100}, .aligns = {8}};
	struct fnx_state *own;

	assert_int_equal(fnx_state_open(&bus, "node", 1, &own), 0);
	assert_non_null(fnx_state_alloc(own, 100, 8));
	fnx_state_close(own, 1);
	own = live(&bus, 1, &pieces);
	assert_int_equal(fnx_state_origin(own), FNX_STATE_NEW);
	fnx_state_close(own, 0);
}

TEST(a_change_that_did_not_fit_the_log_costs_the_state_and_says_so)
{
	struct fnx_bus bus = fixture_bus();
	struct pieces pieces = {.n = 1, .sizes = {2 * LOG_SIZE}, .aligns = {8}};
	struct fnx_state *own = live(&bus, 1, &pieces);

	fnx_journal_touch(fnx_state_journal(own), pieces.memory[0], 2 * LOG_SIZE);
	fnx_state_close(own, 1);
	own = live(&bus, 1, &pieces);
	assert_int_equal(fnx_state_origin(own), FNX_STATE_BROKEN);
	fnx_journal_touch(fnx_state_journal(own), pieces.memory[0], 2 * LOG_SIZE);
	fnx_journal_commit(fnx_state_journal(own));
	fnx_state_close(own, 1);
	own = live(&bus, 1, &pieces);
	assert_int_equal(fnx_state_origin(own), FNX_STATE_RESUMED);
	assert_int_equal(fnx_journal_overflows(fnx_state_journal(own)), 1);
	fnx_state_close(own, 0);
}

static void damage(const char *path, struct check_random *random)
{
	int fd = open(path, O_RDWR);
	off_t size = lseek(fd, 0, SEEK_END);

	assert_true(fd >= 0);
	if (check_random_below(random, 4) == 0) {
		assert_int_equal(
			ftruncate(fd, (off_t)check_random_below(random, (uint64_t)size * 2)), 0);
	} else {
		for (uint64_t n = 1 + check_random_below(random, 3); n; n--) {
			unsigned char byte = (unsigned char)check_random_u64(random);
			/* Header, or the log's, or anywhere. */
			uint64_t where = check_random_below(random, 3);
			uint64_t at = where == 0 ? check_random_below(random, 128)
				: where == 1
				? (uint64_t)size - LOG_SIZE - 4096 + check_random_below(random, 256)
				: check_random_below(random, (uint64_t)size);

			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		}
	}
	close(fd);
}

TEST(any_bytes_in_the_file_are_taken_over_or_replaced_and_never_a_crash)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	unsigned counts[5] = {0};
	char path[300];

	state_path(&bus, path);
	for (int round = 0; round < 1500; round++) {
		struct pieces pieces = {.n = 2, .sizes = {100, 5000}, .aligns = {8, 64}};
		struct fnx_state *own = live(&bus, 1, &pieces);

		fnx_journal_touch(fnx_state_journal(own), pieces.memory[1], 300);
		fnx_journal_touch(fnx_state_journal(own), pieces.memory[0], 100);
		fnx_state_close(own, 1);
		damage(path, &random);
		if (fnx_state_open(&bus, "node", 1, &own))
			fail();
		if (take_pieces(own, &pieces) == -ESTALE) {
			fnx_state_close(own, 0);
			continue;
		}
		counts[fnx_state_origin(own)]++;
		memset(pieces.memory[0], 1, 100);
		memset(pieces.memory[1], 1, 5000);
		fnx_state_close(own, 0);
	}
	assert_in_range(counts[FNX_STATE_RESUMED], 50, 1500);
	assert_in_range(counts[FNX_STATE_DAMAGED], 50, 1500);
}

TEST(what_lies_there_in_its_place_is_not_written_to)
{
	struct fnx_bus bus = fixture_bus();
	struct pieces pieces = {.n = 1, .sizes = {100}, .aligns = {8}};
	struct fnx_state *own;
	char path[300], elsewhere[300], text[4] = "";
	int fd;

	state_path(&bus, path);
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", bus.run_dir);
	fd = open(elsewhere, O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(symlink(elsewhere, path), 0);
	own = live(&bus, 1, &pieces);
	memset(pieces.memory[0], 1, 100);
	fnx_state_close(own, 0);
	assert_int_equal(pread(fd, text, 4, 0), 3);
	assert_string_equal(text, "abc");
	close(fd);
	assert_int_equal(fnx_state_open(&bus, "no/de", 1, &own), -EINVAL);
	snprintf(bus.segment_dir, sizeof(bus.segment_dir), "%s/none", check_scratch_dir());
	assert_int_equal(fnx_state_open(&bus, "node", 1, &own), -ENOENT);
}

TEST(neither_memory_nor_descriptors_are_left_over)
{
	struct fnx_bus bus = fixture_bus();
	struct pieces pieces = {.n = 2, .sizes = {100, 100000}, .aligns = {8, 64}};
	int before = n_descriptors();

	for (int i = 0; i < 50; i++)
		fnx_state_close(live(&bus, (uint64_t)i / 3, &pieces), i % 5 != 0);
	assert_int_equal(n_descriptors(), before);
}

TEST(validate_says_of_a_file_what_a_successor_would_find)
{
	struct fnx_bus bus = fixture_bus();
	struct pieces pieces = {.n = 1, .sizes = {100}, .aligns = {8}};
	struct fnx_state *own = live(&bus, 1, &pieces);
	size_t size = fnx_state_size(own);
	char path[300];
	void *file;
	int fd;

	state_path(&bus, path);
	fd = open(path, O_RDWR);
	file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(file != MAP_FAILED);
	assert_int_equal(fnx_state_validate(file, size), 0);
	assert_int_equal(fnx_state_validate(file, size - 1), -EBADMSG);
	fnx_journal_touch(fnx_state_journal(own), pieces.memory[0], 8);
	assert_int_equal(fnx_state_validate(file, size), 1);
	fnx_journal_commit(fnx_state_journal(own));
	assert_int_equal(fnx_state_validate(file, size), 0);
	((struct fnx_state_header *)file)->abi++;
	assert_int_equal(fnx_state_validate(file, size), -EPROTO);
	munmap(file, size);
	close(fd);
	fnx_state_close(own, 0);
}
