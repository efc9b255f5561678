/* SPDX-License-Identifier: BSD-3-Clause */
/* When the source publishes what, on a virtual clock and with nobody to wait for. */
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "nodes/acquire/node.h"
#include "nodes/host/host.h"

enum {
	RATE_HZ = 30000,
	LFP_STEP = 20 /* samples from one LFP frame to the next */
};

struct source {
	struct fnx_rig *rig;
	struct fnx_node node;
	int64_t now_ns;
};

static void source_open(struct source *source, double speed, double paced_from_s)
{
	static unsigned n;
	char texts[4][300], error[FNX_RIG_ERROR_MAX];
	const char *overrides[] = {texts[0], texts[1], texts[2], texts[3]}, *missing;

	n++;
	snprintf(texts[0], sizeof(texts[0]), "source.speed=%g", speed);
	snprintf(texts[1], sizeof(texts[1]), "bus.segment_dir=%s/s%u", check_scratch_dir(), n);
	snprintf(texts[2], sizeof(texts[2]), "bus.run_dir=%s/r%u", check_scratch_dir(), n);
	snprintf(texts[3], sizeof(texts[3]), "source.duration_s=20");
	if (fnx_rig_load(FNX_RIG_DEMO, overrides, 4, &source->rig, error))
		fail_msg("%s", error);
	source->rig->source.paced_from_s = paced_from_s;
	source->now_ns = 1000;
	if (fnx_node_open(&source->node, &fnx_acquire_ops, source->rig, "acquire"))
		fail_msg("%s", source->node.error);
	assert_int_equal(fnx_node_subscribe(&source->node, &missing), 1);
	assert_int_equal(source->node.ops->start(source->node.self), 0);
	atomic_store(&source->node.status->state, FNX_NODE_READY);
}

static void source_close(struct source *source)
{
	struct fnx_bus bus = source->node.bus;

	fnx_node_close(&source->node);
	assert_int_equal(fnx_bus_remove(&bus), 0);
	fnx_rig_free(source->rig);
}

/* What has been promised of all topics by now: no frame before it is missing. */
static double session_s(struct source *source)
{
	enum fnx_drive why;

	do
		why = fnx_node_drive(&source->node, source->now_ns, 1000);
	while (why == FNX_DRIVE_MORE);
	assert_true(why == FNX_DRIVE_IDLE || why == FNX_DRIVE_ENDED);
	return (double)fnx_node_promised(&source->node, 0) / RATE_HZ;
}

static void assert_near(double s, double expected_s)
{
	if (!(s >= expected_s - 2.0 * LFP_STEP / RATE_HZ &&
		    s <= expected_s + 2.0 * LFP_STEP / RATE_HZ))
		fail_msg("%g s of the session, expected %g", s, expected_s);
}

TEST(up_to_paced_from_s_all_comes_at_once_and_then_at_the_rigs_speed)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 8; round++) {
		const double speed = 0.5 + 3.0 * check_random_unit(&random);
		const double from_s = 4.0 * check_random_unit(&random);
		double paced_s = 0.0;
		struct source source;

		source_open(&source, speed, from_s);
		assert_near(session_s(&source), from_s);
		for (int i = 0; i < 5; i++) {
			const double step_s = 0.5 * check_random_unit(&random);

			paced_s += step_s;
			source.now_ns += (int64_t)(step_s * 1e9);
			assert_near(session_s(&source), from_s + speed * paced_s);
		}
		source_close(&source);
	}
}

TEST(without_paced_from_s_the_pace_begins_with_the_session)
{
	struct source source;

	source_open(&source, 1.0, 0.0);
	assert_near(session_s(&source), 0.0);
	source.now_ns += 1000000000;
	assert_near(session_s(&source), 1.0);
	source_close(&source);
}
