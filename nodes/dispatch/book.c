/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/book.h"

#include <errno.h>
#include <string.h>

static struct fnx_act_key key_of(const struct fnx_act_command *command)
{
	return (struct fnx_act_key){.seq_plus_1 = command->stamp.seq + 1,
		.sample_time = command->stamp.sample_time,
		.rule = command->decision.rule};
}

static int is_same(const struct fnx_act_key *a, const struct fnx_act_key *b)
{
	return a->seq_plus_1 == b->seq_plus_1 && a->sample_time == b->sample_time &&
		a->rule == b->rule;
}

static uint32_t state_of(const struct fnx_act *act)
{
	return atomic_load_explicit(&act->state, memory_order_acquire);
}

static int has_ended(uint32_t state)
{
	return state >= FNX_ACT_ENDED && state < (uint32_t)FNX_ACT_ENDED + FNX_OUTCOME_FATES;
}

/* Taking over ----------------------------------------------------------------------------- */

void fnx_book_take_over(struct fnx_book_giver *giver, struct fnx_book *book, int keep_given)
{
	uint64_t given = atomic_load(&book->given), reported = atomic_load(&book->reported);

	giver->book = book;
	giver->given_before = given;
	memcpy(giver->refused_before, book->last_refused, sizeof(book->last_refused));
	giver->has_refused_before = 0;
	for (unsigned i = 0; i < FNX_BOOK_REFUSED_KEPT; i++)
		giver->has_refused_before |= giver->refused_before[i].seq_plus_1 != 0;
	/* Nonsense, or nothing. */
	if (given < reported || given - reported > FNX_BOOK_ACTS) {
		atomic_store(&book->reported, given);
		reported = given;
	}
	atomic_store(&book->ended, given);
	for (uint64_t n = reported; n < given; n++) {
		uint32_t state = state_of(fnx_book_act(book, n));

		if (has_ended(state))
			continue;
		atomic_fetch_sub(&book->ended, 1);
		if (!keep_given || (state != FNX_ACT_GIVEN && state != FNX_ACT_BEGUN))
			fnx_book_end(book, n,
				state == FNX_ACT_BEGUN ? FNX_OUTCOME_UNKNOWN : FNX_OUTCOME_LOST, 0,
				0);
	}
}

/* Giving ---------------------------------------------------------------------------------- */

int fnx_book_was_given(const struct fnx_book_giver *giver, const struct fnx_act_command *command)
{
	const struct fnx_act_key key = key_of(command);
	uint64_t given = atomic_load_explicit(&giver->book->given, memory_order_relaxed);
	/* Those of the predecessor's that are still there. */
	uint64_t from = given > FNX_BOOK_ACTS ? given - FNX_BOOK_ACTS : 0;

	for (uint64_t n = from; n < giver->given_before; n++) {
		const struct fnx_act_key other = key_of(&fnx_book_act(giver->book, n)->command);

		if (is_same(&other, &key))
			return 1;
	}
	return 0;
}

static int was_refused(const struct fnx_book_giver *giver, const struct fnx_act_key *key)
{
	for (unsigned i = 0; i < FNX_BOOK_REFUSED_KEPT; i++)
		if (is_same(&giver->refused_before[i], key))
			return 1;
	return 0;
}

int fnx_book_give(
	struct fnx_book_giver *giver, const struct fnx_act_command *command, uint64_t *ret_n)
{
	struct fnx_book *book = giver->book;
	const struct fnx_act_key key = key_of(command);
	uint64_t given = atomic_load_explicit(&book->given, memory_order_relaxed);
	uint64_t reported = atomic_load_explicit(&book->reported, memory_order_relaxed);
	struct fnx_act *act = fnx_book_act(book, given);

	if (fnx_book_was_given(giver, command))
		return 1;
	if (giver->has_refused_before && was_refused(giver, &key))
		return -ENOBUFS;
	if (given - reported == FNX_BOOK_ACTS) {
		uint64_t n = atomic_load_explicit(&book->refused, memory_order_relaxed);

		book->last_refused[n % FNX_BOOK_REFUSED_KEPT] = key;
		atomic_store_explicit(&book->refused, n + 1, memory_order_relaxed);
		return -ENOBUFS;
	}
	act->command = *command;
	atomic_store_explicit(&act->error, 0, memory_order_relaxed);
	atomic_store_explicit(&act->begun_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&act->told_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&act->ended_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&act->state, FNX_ACT_GIVEN, memory_order_release);
	/* From here on it is given, whatever becomes of the giver. */
	atomic_store_explicit(&book->given, given + 1, memory_order_release);
	*ret_n = given;
	return 0;
}

/* Ending and reporting -------------------------------------------------------------------- */

void fnx_book_end(
	struct fnx_book *book, uint64_t n, enum fnx_outcome_fate fate, int error, int64_t now_ns)
{
	struct fnx_act *act = fnx_book_act(book, n);

	atomic_store_explicit(&act->error, error, memory_order_relaxed);
	atomic_store_explicit(&act->ended_ns, now_ns, memory_order_relaxed);
	/* Counted first: whoever sees that it has ended sees the count. */
	atomic_fetch_add_explicit(&book->fates[fate], 1, memory_order_release);
	atomic_store_explicit(
		&act->state, (uint32_t)FNX_ACT_ENDED + (uint32_t)fate, memory_order_release);
	atomic_fetch_add_explicit(&book->ended, 1, memory_order_release);
}

int fnx_book_is_idle(const struct fnx_book *book)
{
	return atomic_load_explicit(&book->ended, memory_order_acquire) ==
		atomic_load_explicit(&book->given, memory_order_relaxed);
}

int fnx_book_next(const struct fnx_book *book, uint32_t actuator, struct fnx_outcome *ret_outcome)
{
	uint64_t n = atomic_load_explicit(&book->reported, memory_order_relaxed);
	const struct fnx_act *act = &book->acts[n % FNX_BOOK_ACTS];
	uint32_t state;

	if (n == atomic_load_explicit(&book->given, memory_order_relaxed))
		return 0;
	state = state_of(act);
	if (!has_ended(state))
		return 0;
	*ret_outcome = (struct fnx_outcome){
		.decision_seq = (int64_t)act->command.stamp.seq,
		.decision_sample_time = act->command.stamp.sample_time,
		.cause_publish_ns = act->command.decision.cause_publish_ns,
		.begun_ns = atomic_load_explicit(&act->begun_ns, memory_order_relaxed),
		.told_ns = atomic_load_explicit(&act->told_ns, memory_order_relaxed),
		.ended_ns = atomic_load_explicit(&act->ended_ns, memory_order_relaxed),
		.actuator = actuator,
		.fate = state - FNX_ACT_ENDED,
		.error = atomic_load_explicit(&act->error, memory_order_relaxed),
		.rule = act->command.decision.rule,
		.task = act->command.decision.task,
	};
	return 1;
}

/* What a killed process has stored is there in program order; release keeps the compiler to it. */
void fnx_book_reporting(struct fnx_book *book, uint64_t seq)
{
	atomic_store_explicit(&book->reporting_seq, seq, memory_order_release);
	atomic_store_explicit(&book->reporting,
		atomic_load_explicit(&book->reported, memory_order_relaxed) + 1,
		memory_order_release);
}

void fnx_book_reported(struct fnx_book *book)
{
	atomic_store_explicit(&book->reported,
		atomic_load_explicit(&book->reported, memory_order_relaxed) + 1,
		memory_order_release);
}

void fnx_book_resume_reports(struct fnx_book *book, uint64_t head)
{
	uint64_t reported = atomic_load(&book->reported);

	if (atomic_load(&book->reporting) == reported + 1 && reported < atomic_load(&book->given) &&
		atomic_load(&book->reporting_seq) < head)
		atomic_store(&book->reported, reported + 1);
	/* If it was not published, that frame will be another's. */
	atomic_store(&book->reporting, 0);
}
