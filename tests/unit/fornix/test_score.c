/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/score.h"

#include <math.h>

#include "nodes/host/rig.h"
#include "schemas/posterior.h"
#include "tests/support/check.h"

static struct fnx_rig *demo(void)
{
	char error[FNX_RIG_ERROR_MAX];
	struct fnx_rig *rig;

	if (fnx_rig_load(FNX_RIG_DEMO, NULL, 0, &rig, error))
		fail_msg("%s", error);
	return rig;
}

static void say(struct fnx_score *score, int32_t decoded, int32_t actual, double speed)
{
	const struct fnx_posterior message = {
		.decoded_bin = decoded, .position_bin = actual, .speed = speed};

	fnx_score_posterior(score, &message);
}

static struct fnx_score_error error_of(const struct fnx_score *score, const struct fnx_rig *rig)
{
	struct fnx_score_error error;

	assert_int_equal(fnx_score_error(score, rig, &error), 0);
	return error;
}

TEST(the_second_half_is_judged_while_the_animal_runs)
{
	struct fnx_rig *rig = demo();
	struct fnx_score score = {0};
	struct fnx_score_error error;

	assert_int_equal(fnx_score_init(&score), 0);
	for (int i = 0; i < 9; i++)
		say(&score, 8, 0, 20); /* the first half */
	for (int i = 0; i < 5; i++)
		say(&score, 3, 3, 20);
	for (int i = 0; i < 4; i++)
		say(&score, 8, 0, 0); /* stands still */
	say(&score, 3, 5, 20);
	say(&score, 3, -1, 20); /* nowhere */
	error = error_of(&score, rig);
	assert_int_equal(error.n, 6);
	assert_true(error.median_cm == 0 && error.same_arm == 1);
	assert_int_equal(atomic_load(&score.posteriors), 20);
	fnx_score_fini(&score);
	fnx_rig_free(rig);
}

TEST(bins_that_the_track_does_not_have_are_left_out)
{
	struct fnx_rig *rig = demo();
	struct fnx_score score = {0};
	struct fnx_score_error error;

	assert_int_equal(fnx_score_init(&score), 0);
	say(&score, INT16_MAX, 3, 20);
	say(&score, 3, 20000, 20);
	say(&score, 65536 + 3, 3, 20);
	say(&score, 3, INT32_MAX, 20);
	say(&score, 10, 10, 20); /* between two arms */
	error = error_of(&score, rig);
	assert_int_equal(error.n, 0);
	assert_true(isnan(error.median_cm) && isnan(error.same_arm));
	say(&score, 3, 3, 20);
	say(&score, 4, 4, 20);
	say(&score, INT32_MAX, 3, 20);
	error = error_of(&score, rig);
	assert_int_equal(error.n, 2);
	assert_true(error.median_cm == 0 && error.same_arm == 1);
	fnx_score_fini(&score);
	fnx_rig_free(rig);
}
