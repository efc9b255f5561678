/* SPDX-License-Identifier: BSD-3-Clause */
/* One test for each sentence at the head of safety.h, and random walks against a list of all that
 * was done. */
#include "nodes/dispatch/safety.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "tests/support/check.h"

enum {
	ACTED = FNX_DECISION_ACTED,
	DISARMED = FNX_DECISION_DISARMED,
	DRY_RUN = FNX_DECISION_DRY_RUN,
	LOCKED_OUT = FNX_DECISION_LOCKED_OUT,
	RATE_LIMITED = FNX_DECISION_RATE_LIMITED,
	SILENT = FNX_SAFETY_SILENT,
	MANY = 1000,
};

static struct fnx_safety *safety_of(
	int64_t lockout, int64_t rule0, int64_t rule1, uint32_t max_tasks, int64_t per)
{
	const int64_t lockouts[] = {rule0, rule1};
	const struct fnx_safety_config config = {.n_rules = 2,
		.rule_lockouts_samples = lockouts,
		.lockout_samples = lockout,
		.max_tasks = max_tasks,
		.per_samples = per};
	struct fnx_safety *safety;

	assert_int_equal(fnx_safety_new(&config, &safety), 0);
	return safety;
}

static struct fnx_safety *armed(int64_t lockout, int64_t rule0, int64_t rule1)
{
	struct fnx_safety *safety = safety_of(lockout, rule0, rule1, MANY, 1);

	fnx_safety_set(safety, 1, 0);
	return safety;
}

TEST(disarmed_nothing_is_done)
{
	struct fnx_safety *safety = safety_of(0, 0, 0, MANY, 1); /* as it comes */

	for (int64_t t = 0; t < 100000; t += 10)
		assert_int_not_equal(
			fnx_safety_fire(safety, (uint32_t)(t / 10) & 1, t % 70 == 0, t), ACTED);
	fnx_safety_set(safety, 1, 0);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 100000), ACTED);
	fnx_safety_set(safety, 0, 0);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 200000), DISARMED);
	fnx_safety_free(safety);
}

static struct fnx_safety *sham_of(double fraction, uint64_t seed, uint64_t max_per_run)
{
	const int64_t lockouts[] = {0, 0};
	const struct fnx_safety_config config = {.n_rules = 2,
		.rule_lockouts_samples = lockouts,
		.lockout_samples = 10,
		.max_tasks = MANY,
		.per_samples = 1,
		.max_per_run = max_per_run,
		.sham_fraction = fraction,
		.sham_seed = seed};
	struct fnx_safety *safety;

	assert_int_equal(fnx_safety_new(&config, &safety), 0);
	fnx_safety_set(safety, 1, 0);
	return safety;
}

TEST(a_fraction_is_sham_which_ones_the_seed_says)
{
	struct fnx_safety *a = sham_of(0.25, 7, 0), *b = sham_of(0.25, 7, 0);
	struct fnx_safety *c = sham_of(0.25, 8, 0);
	int n_sham = 0, n_other = 0;

	for (int64_t t = 0; t < 1000000; t += 100) {
		int outcome = fnx_safety_fire(a, 0, 1, t);

		assert_true(outcome == ACTED || outcome == FNX_DECISION_SHAM);
		assert_int_equal(fnx_safety_fire(b, 0, 1, t), outcome);
		n_sham += outcome == FNX_DECISION_SHAM;
		n_other += fnx_safety_fire(c, 0, 1, t) != outcome;
	}
	/* Of 10000, five standard deviations either way. */
	assert_in_range(n_sham, 2500 - 217, 2500 + 217);
	assert_in_range(n_other, 3750 - 243, 3750 + 243);
	fnx_safety_free(a);
	fnx_safety_free(b);
	fnx_safety_free(c);
}

TEST(a_sham_task_counts_as_done)
{
	struct fnx_safety *safety = sham_of(1, 1, 3);

	assert_int_equal(fnx_safety_fire(safety, 0, 1, 1000), FNX_DECISION_SHAM);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 1009), LOCKED_OUT);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 1010), FNX_DECISION_SHAM);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 1020), FNX_DECISION_SHAM);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 1030), FNX_DECISION_RUN_LIMITED);
	fnx_safety_free(safety);
}

TEST(no_run_holds_more_than_its_allowance_and_none_after_what_was_done_is_lost)
{
	struct fnx_safety *safety = sham_of(0, 1, 100);
	int n_acted = 0;

	for (int64_t t = 0; t < 10000; t += 10)
		n_acted += fnx_safety_fire(safety, 0, 1, t) == ACTED;
	assert_int_equal(n_acted, 100);
	fnx_safety_free(safety);
	safety = sham_of(0, 1, 100);
	fnx_safety_restarted(safety, 0);
	for (int64_t t = 1000000; t < 1010000; t += 10)
		assert_int_not_equal(fnx_safety_fire(safety, 0, 1, t), ACTED);
	fnx_safety_free(safety);
}

TEST(in_a_dry_run_nothing_is_done_armed_or_not)
{
	for (int is_armed = 0; is_armed < 2; is_armed++) {
		struct fnx_safety *safety = safety_of(0, 0, 0, MANY, 1);

		fnx_safety_set(safety, is_armed, 1);
		for (int64_t t = 0; t < 1000; t++)
			assert_int_equal(fnx_safety_fire(safety, t & 1, 1, t), DRY_RUN);
		fnx_safety_free(safety);
	}
}

TEST(between_any_two_tasks_the_lock_out_passes)
{
	struct fnx_safety *safety = armed(100, 0, 0);

	assert_int_equal(fnx_safety_fire(safety, 0, 1, 1000), ACTED);
	assert_int_equal(
		fnx_safety_fire(safety, 1, 1, 1000), LOCKED_OUT); /* another rule, same frame */
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 1099), LOCKED_OUT);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 1100), ACTED);
	fnx_safety_free(safety);
}

TEST(between_two_tasks_of_one_rule_its_own_lock_out_passes)
{
	struct fnx_safety *safety = armed(100, 500, 0);

	assert_int_equal(fnx_safety_fire(safety, 0, 1, 1000), ACTED);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 1499), LOCKED_OUT);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 1200), ACTED); /* not its business */
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 1500), ACTED);
	fnx_safety_free(safety);
}

TEST(no_stretch_of_time_holds_more_tasks_than_allowed)
{
	struct fnx_safety *safety = safety_of(0, 0, 0, 3, 1000);

	fnx_safety_set(safety, 1, 0);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 0), ACTED);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 400), ACTED);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 999), ACTED);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 999), RATE_LIMITED);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 1000), ACTED); /* the first has left */
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 1399), RATE_LIMITED);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 1400), ACTED);
	fnx_safety_free(safety);
}

TEST(an_allowance_of_none_allows_none)
{
	struct fnx_safety *safety = safety_of(0, 0, 0, 0, 1000);

	fnx_safety_set(safety, 1, 0);
	for (int64_t t = 0; t < 1000000; t += 999)
		assert_int_equal(fnx_safety_fire(safety, 0, 1, t), RATE_LIMITED);
	fnx_safety_free(safety);
}

TEST(a_task_counts_from_the_moment_it_is_allowed)
{
	/* There is no way to take it back: whether actuators managed is not asked. */
	struct fnx_safety *safety = armed(100, 0, 0);

	fnx_safety_fire(safety, 0, 1, 1000);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 1050), LOCKED_OUT);
	fnx_safety_free(safety);
}

TEST(after_a_restart_everything_counts_as_just_done)
{
	struct fnx_safety *safety = safety_of(100, 0, 300, 3, 1000);

	fnx_safety_restarted(safety, 5000);
	fnx_safety_set(safety, 1, 0);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5000), LOCKED_OUT);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5099), LOCKED_OUT);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5100), RATE_LIMITED);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 5299), LOCKED_OUT);
	assert_int_equal(fnx_safety_fire(safety, 1, 1, 5999), RATE_LIMITED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fnx_safety_fire(safety, 0, 1, 6000 + 100 * i), ACTED);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 6300), RATE_LIMITED);
	fnx_safety_free(safety);
}

TEST(time_that_stands_still_or_goes_back_allows_nothing_sooner)
{
	struct fnx_safety *safety = safety_of(0, 0, 0, 2, 1000);

	fnx_safety_set(safety, 1, 0);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5000), ACTED);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 4999), LOCKED_OUT);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, INT64_MIN), LOCKED_OUT);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5000), ACTED);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5000), RATE_LIMITED);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, INT64_MAX), ACTED);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, INT64_MIN), LOCKED_OUT);
	fnx_safety_free(safety);
}

TEST(a_rule_that_stays_true_gets_one_task_per_lock_out)
{
	struct fnx_safety *safety = armed(0, 250, 0);
	uint32_t n_acted = 0, n_told = 0;

	for (int64_t t = 0; t < 1000; t++) {
		int outcome = fnx_safety_fire(safety, 0, t == 0, t);

		n_acted += outcome == ACTED;
		n_told += outcome != SILENT;
	}
	assert_int_equal(n_acted, 4);
	assert_int_equal(n_told, 4);
	fnx_safety_free(safety);
}

TEST(what_is_held_back_is_told_once_per_rising_edge)
{
	struct fnx_safety *safety = armed(1000, 0, 0);

	assert_int_equal(fnx_safety_fire(safety, 0, 1, 0), ACTED);
	for (int edge = 0; edge < 3; edge++)
		for (int64_t t = 100; t < 200; t++)
			assert_int_equal(fnx_safety_fire(safety, 1, t == 100, t),
				t == 100 ? LOCKED_OUT : SILENT);
	/* It was locked out when it became true, and has its turn when that ends. */
	assert_int_equal(fnx_safety_fire(safety, 1, 0, 999), SILENT);
	assert_int_equal(fnx_safety_fire(safety, 1, 0, 1000), ACTED);
	fnx_safety_free(safety);
}

TEST(a_disarmed_rule_is_told_once_per_rising_edge_whatever_else_is)
{
	struct fnx_safety *safety = safety_of(1000, 1000, 1000, 0, 1000);

	for (int64_t t = 0; t < 500; t++)
		assert_int_equal(
			fnx_safety_fire(safety, 0, t % 50 == 0, t), t % 50 ? SILENT : DISARMED);
	fnx_safety_free(safety);
}

TEST(a_rate_limit_is_told_though_the_stretch_had_its_task)
{
	struct fnx_safety *safety = safety_of(10, 0, 0, 1, 1000);

	fnx_safety_set(safety, 1, 0);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 0), ACTED);
	assert_int_equal(fnx_safety_fire(safety, 0, 0, 5), SILENT);
	assert_int_equal(fnx_safety_fire(safety, 0, 0, 10), RATE_LIMITED);
	assert_int_equal(fnx_safety_fire(safety, 0, 0, 11), SILENT);
	fnx_safety_free(safety);
}

TEST(arming_while_a_rule_is_true_lets_it_act)
{
	struct fnx_safety *safety = safety_of(100, 0, 0, MANY, 1);

	assert_int_equal(fnx_safety_fire(safety, 0, 1, 0), DISARMED);
	fnx_safety_set(safety, 1, 0);
	assert_int_equal(fnx_safety_fire(safety, 0, 0, 1), ACTED);
	fnx_safety_free(safety);
}

TEST(a_dry_run_holds_up_nothing_after_it)
{
	struct fnx_safety *safety = safety_of(1000, 1000, 1000, 1, 100000);

	fnx_safety_set(safety, 1, 1);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 0), DRY_RUN);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5), LOCKED_OUT);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5000), RATE_LIMITED);
	fnx_safety_set(safety, 1, 0);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5001), ACTED);
	fnx_safety_free(safety);
}

TEST(a_dry_run_that_follows_a_task_heeds_it)
{
	struct fnx_safety *safety = armed(1000, 0, 0);

	assert_int_equal(fnx_safety_fire(safety, 0, 1, 0), ACTED);
	fnx_safety_set(safety, 1, 1);
	assert_int_equal(fnx_safety_fire(safety, 0, 1, 5), LOCKED_OUT);
	fnx_safety_free(safety);
}

TEST(a_dry_run_tells_what_an_armed_run_would)
{
	struct check_random random = check_random_seeded();
	struct fnx_safety *dry = safety_of(100, 300, 150, 5, 5000);
	struct fnx_safety *wet = safety_of(100, 300, 150, 5, 5000);
	int64_t now = 0;

	fnx_safety_set(dry, (int)check_random_below(&random, 2), 1);
	fnx_safety_set(wet, 1, 0);
	for (int i = 0; i < 20000; i++) {
		uint32_t rule = (uint32_t)check_random_below(&random, 2);
		int outcome = fnx_safety_fire(
			wet, rule, 1, now += (int64_t)check_random_below(&random, 200));

		assert_int_equal(
			fnx_safety_fire(dry, rule, 1, now), outcome == ACTED ? DRY_RUN : outcome);
	}
	fnx_safety_free(dry);
	fnx_safety_free(wet);
}

/* Random walks ---------------------------------------------------------------------------- */

struct done {
	int64_t time;
	uint32_t rule;
};

static int allowed(const struct done *done, uint32_t n, uint32_t rule, int64_t now, int64_t lockout,
	const int64_t *lockouts, uint32_t max_tasks, int64_t per)
{
	uint32_t n_recent = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (now - done[i].time < lockout)
			return 0;
		if (done[i].rule == rule && now - done[i].time < lockouts[rule])
			return 0;
		n_recent += now - done[i].time < per;
	}
	return n_recent < max_tasks;
}

TEST(random_rules_are_allowed_exactly_what_a_list_of_all_tasks_allows)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 60; round++) {
		int64_t lockouts[] = {(int64_t)check_random_below(&random, 400),
			(int64_t)check_random_below(&random, 400)};
		int64_t lockout = (int64_t)check_random_below(&random, 300), now = -1000;
		int64_t per = 1 + (int64_t)check_random_below(&random, 20000);
		uint32_t max_tasks = (uint32_t)check_random_below(&random, 12), n = 0;
		struct fnx_safety *safety =
			safety_of(lockout, lockouts[0], lockouts[1], max_tasks, per);
		static struct done done[3000];
		int is_armed = 0, is_dry = 0;

		for (uint32_t i = 0; i < 3000; i++) {
			uint32_t rule = (uint32_t)check_random_below(&random, 2);
			int outcome, expected;

			if (check_random_below(&random, 40) == 0) {
				is_armed = check_random_below(&random, 4) != 0;
				is_dry = check_random_below(&random, 8) == 0;
				fnx_safety_set(safety, is_armed, is_dry);
			}
			now += (int64_t)check_random_below(&random, 200);
			expected = is_armed && !is_dry &&
				allowed(done, n, rule, now, lockout, lockouts, max_tasks, per);
			outcome = fnx_safety_fire(
				safety, rule, check_random_below(&random, 3) == 0, now);
			assert_int_equal(outcome == ACTED, expected);
			if (expected)
				done[n++] = (struct done){.time = now, .rule = rule};
		}
		fnx_safety_free(safety);
	}
}

/* Units ----------------------------------------------------------------------------------- */

TEST(a_lock_out_in_samples_is_never_shorter_than_in_milliseconds)
{
	assert_int_equal(fnx_safety_samples(250, 30000), 7500);
	assert_int_equal(fnx_safety_samples(0.1, 30000), 3);
	assert_int_equal(fnx_safety_samples(0.101, 30000), 4);
	assert_int_equal(fnx_safety_samples(1, 24414.0625), 25);
	assert_int_equal(fnx_safety_samples(0, 30000), 0);
	for (int ms = 1; ms < 20000; ms++)
		assert_int_equal(fnx_safety_samples(ms, 30000), 30 * (int64_t)ms);
	assert_true(fnx_safety_samples(1e300, 30000) == INT64_MAX);
}

TEST(a_rate_is_whole_tasks_per_minute_or_one_per_longer_time)
{
	static const struct {
		double rate;
		uint32_t max_tasks;
		int64_t per;
	} table[] = {{60, 60, 1800000}, {1, 1, 1800000}, {1.9, 1, 1800000}, {0.5, 1, 3600000},
		{0, 0, 1800000}, {-1, 0, 1800000}, {1e9, FNX_SAFETY_TASKS_MAX, 1800000}};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint32_t max_tasks;
		int64_t per;

		fnx_safety_rate(table[i].rate, 30000, &max_tasks, &per);
		assert_int_equal(max_tasks, table[i].max_tasks);
		assert_int_equal(per, table[i].per);
	}
}

TEST(limits_that_make_no_sense_are_refused)
{
	const int64_t good[] = {1, 1}, bad[] = {1, -1};
	struct fnx_safety_config config = {
		.n_rules = 2, .rule_lockouts_samples = bad, .max_tasks = 1, .per_samples = 1};
	struct fnx_safety *safety = NULL;

	assert_int_equal(fnx_safety_new(&config, &safety), -EINVAL);
	config.rule_lockouts_samples = good;
	config.lockout_samples = -1;
	assert_int_equal(fnx_safety_new(&config, &safety), -EINVAL);
	config.lockout_samples = 0;
	config.per_samples = 0;
	assert_int_equal(fnx_safety_new(&config, &safety), -EINVAL);
	config.per_samples = 1;
	config.max_tasks = FNX_SAFETY_TASKS_MAX + 1;
	assert_int_equal(fnx_safety_new(&config, &safety), -EINVAL);
	config.max_tasks = 1;
	config.n_rules = 0;
	assert_int_equal(fnx_safety_new(&config, &safety), -EINVAL);
	assert_null(safety);
}
