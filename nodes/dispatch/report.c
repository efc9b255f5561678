/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What became of each act, from the actuators' books (book.h): to the topic decision.outcome with the
 * next frame or passing of time, and to people when something failed.
 *
 * Each outcome is published once, whatever happens to the node in between: before, the book notes
 * which frame of the topic it will be.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "nodes/dispatch/dispatch.h"
#include "schemas/outcome.h"

#define LAST_MOMENT_NS INT64_C(5000000)

static struct fnx_book *book_of(const struct dispatch *dispatch, uint32_t i)
{
	return fnx_actuator_giver(fnx_team_actuator(dispatch->team, i))->book;
}

/* 0: there is no slot now. */
static int publish(
	struct dispatch *dispatch, struct fnx_book *book, const struct fnx_outcome *outcome)
{
	unsigned output = (unsigned)dispatch->outcomes;
	void *payload = fnx_node_loan(dispatch->node, output);

	if (!payload)
		return 0;
	memcpy(payload, outcome, sizeof(*outcome));
	fnx_book_reporting(book, fnx_node_published(dispatch->node, output));
	fnx_node_publish(dispatch->node, output, dispatch->last_sample);
	fnx_book_reported(book);
	return 1;
}

/* 0: there is no slot for what is known. */
static int report(struct dispatch *dispatch)
{
	unsigned room = FNX_DISPATCH_OUTCOMES;

	for (uint32_t i = 0; i < fnx_team_n(dispatch->team); i++) {
		struct fnx_book *book = book_of(dispatch, i);
		struct fnx_outcome outcome;

		for (; room && fnx_book_next(book, i, &outcome); room--)
			if (!publish(dispatch, book, &outcome))
				return 0;
	}
	return 1;
}

void fnx_dispatch_report(struct dispatch *dispatch)
{
	(void)report(dispatch);
}

static int is_reported(const struct dispatch *dispatch)
{
	struct fnx_outcome outcome;

	for (uint32_t i = 0; i < fnx_team_n(dispatch->team); i++)
		if (fnx_book_next(book_of(dispatch, i), i, &outcome))
			return 0;
	return 1;
}

int fnx_dispatch_report_last(struct dispatch *dispatch)
{
	/* Asked first: what ends meanwhile is then found. */
	int busy = fnx_team_is_busy(dispatch->team);

	if (!report(dispatch)) {
		/* Live, every slot may be held, by readers who do not come back. */
		poll(NULL, 0, (int)(LAST_MOMENT_NS / 1000000));
		return fnx_node_now() < dispatch->patience_ns ? FNX_AGAIN : FNX_DONE;
	}
	if (!is_reported(dispatch))
		return FNX_AGAIN;
	if (!busy)
		return FNX_DONE;
	fnx_team_tend(dispatch->team, fnx_node_now());
	fnx_team_await(dispatch->team, LAST_MOMENT_NS);
	/* What is not known by now is said to be so, before nobody is left to say it. */
	if (fnx_node_now() >= dispatch->patience_ns)
		fnx_team_give_up(dispatch->team);
	return FNX_AGAIN;
}

/* To people ------------------------------------------------------------------------------- */

static const char *why(const struct fnx_actuator_counts *counts)
{
	return counts->fates[FNX_OUTCOME_UNKNOWN]
		? "of one or more it is not known; the process was killed, or the actuator hung"
		: counts->fates[FNX_OUTCOME_LOST]        ? "the process was killed"
		: counts->fates[FNX_OUTCOME_UNCONFIRMED] ? "of one or more no answer came in time"
		: counts->fates[FNX_OUTCOME_EXPIRED]     ? "their turn came too late"
		: !counts->fates[FNX_OUTCOME_FAILED]     ? "too many at once"
		: counts->error == -EAGAIN || counts->error == -ENOTCONN ? "nobody takes them"
		: counts->error == -EBUSY                                ? "the actuator hangs"
									 : strerror(-counts->error);
}

void fnx_dispatch_say_failures(struct dispatch *dispatch)
{
	for (uint32_t i = 0; i < fnx_team_n(dispatch->team); i++) {
		struct fnx_actuator_counts counts =
			fnx_actuator_counts(fnx_team_actuator(dispatch->team, i));
		uint64_t failures = counts.refused;

		for (unsigned fate = FNX_OUTCOME_TOLD + 1; fate < FNX_OUTCOME_FATES; fate++)
			failures += counts.fates[fate];
		if (failures == dispatch->failures_said[i])
			continue;
		dispatch->failures_said[i] = failures;
		fnx_node_say(dispatch->node,
			"actuator %s: %llu of %llu tasks were not carried out (%s)",
			fnx_dispatch_place(&dispatch->rig->dispatch.actuators[i]),
			(unsigned long long)failures,
			(unsigned long long)(counts.given + counts.refused), why(&counts));
	}
}

void fnx_dispatch_say_latencies(struct dispatch *dispatch)
{
	for (uint32_t i = 0; i < fnx_team_n(dispatch->team); i++) {
		struct fnx_actuator_latency latency =
			fnx_actuator_latency(fnx_team_actuator(dispatch->team, i));

		if (latency.n)
			fnx_node_say(dispatch->node,
				"actuator %s: %llu carried out, told %.1f us after the frame that "
				"caused them (p50; p99 %.1f, p99.9 %.1f)",
				fnx_dispatch_place(&dispatch->rig->dispatch.actuators[i]),
				(unsigned long long)latency.n, latency.p50_us, latency.p99_us,
				latency.p999_us);
	}
}

void fnx_dispatch_say_tasks(struct dispatch *dispatch)
{
	struct fnx_task_stats stats;
	char rings[256] = "";
	size_t used = 0;

	fnx_task_stats(fnx_team_runtime(dispatch->team), &stats);
	for (unsigned i = 0; i <= FNX_TASK_RING_HEAP; i++) {
		const struct fnx_task_ring_stats *ring = &stats.rings[i];

		used += (size_t)snprintf(rings + used, sizeof(rings) - used,
			"; %s ring: at most %" PRIu64 " of %" PRIu64 ", blocked for %.1f ms",
			fnx_task_ring_name(i), ring->high_water, ring->size,
			(double)ring->blocked_ns / 1e6);
	}
	fnx_node_say(dispatch->node, "tasks: %" PRIu64 "%s", stats.n_submitted, rings);
}
