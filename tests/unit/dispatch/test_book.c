/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/book.h"

#include <errno.h>
#include <string.h>

#include "tests/support/check.h"

static struct fnx_act_command command_of(uint64_t seq)
{
	return (struct fnx_act_command){.stamp = {.seq = seq, .sample_time = 30 * (int64_t)seq},
		.decision = {.rule = 1, .task = (uint32_t)seq, .cause_publish_ns = 5}};
}

static struct fnx_book_giver take_over(struct fnx_book *book)
{
	struct fnx_book_giver giver;

	fnx_book_take_over(&giver, book, 0);
	return giver;
}

static uint64_t give(struct fnx_book_giver *giver, uint64_t seq)
{
	const struct fnx_act_command command = command_of(seq);
	uint64_t n = UINT64_MAX;

	assert_int_equal(fnx_book_give(giver, &command, &n), 0);
	return n;
}

TEST(an_outcome_says_which_decision_it_is_about_and_what_became_of_it)
{
	static struct fnx_book book;
	struct fnx_book_giver giver;
	struct fnx_outcome outcome;

	memset(&book, 0, sizeof(book));
	giver = take_over(&book);
	assert_int_equal(fnx_book_next(&book, 3, &outcome), 0);
	assert_true(give(&giver, 7) == 0);
	assert_int_equal(fnx_book_next(&book, 3, &outcome), 0);
	book.acts[0].told_ns = 11;
	fnx_book_end(&book, 0, FNX_OUTCOME_UNCONFIRMED, -ETIMEDOUT, 12);
	assert_int_equal(fnx_book_next(&book, 3, &outcome), 1);
	assert_true(outcome.decision_seq == 7 && outcome.decision_sample_time == 210);
	assert_true(outcome.told_ns == 11 && outcome.ended_ns == 12);
	assert_int_equal(outcome.cause_publish_ns, 5);
	assert_int_equal(outcome.fate, FNX_OUTCOME_UNCONFIRMED);
	assert_int_equal(outcome.error, -ETIMEDOUT);
	assert_int_equal(outcome.actuator, 3);
	assert_int_equal(outcome.rule, 1);
	assert_int_equal(outcome.task, 7);
}

TEST(acts_are_reported_in_the_order_in_which_they_were_given)
{
	static struct fnx_book book;
	struct fnx_book_giver giver;
	struct fnx_outcome outcome;

	memset(&book, 0, sizeof(book));
	giver = take_over(&book);
	give(&giver, 1);
	give(&giver, 2);
	fnx_book_end(&book, 1, FNX_OUTCOME_TOLD, 0, 1);
	assert_int_equal(fnx_book_next(&book, 0, &outcome), 0);
	fnx_book_end(&book, 0, FNX_OUTCOME_FAILED, -EIO, 1);
	for (int64_t seq = 1; seq <= 2; seq++) {
		assert_int_equal(fnx_book_next(&book, 0, &outcome), 1);
		assert_true(outcome.decision_seq == seq);
		fnx_book_reporting(&book, 0);
		fnx_book_reported(&book);
	}
	assert_int_equal(fnx_book_next(&book, 0, &outcome), 0);
	assert_int_equal(fnx_book_is_idle(&book), 1);
}

TEST(a_place_is_taken_again_when_its_act_was_reported_and_not_before)
{
	static struct fnx_book book;
	struct fnx_book_giver giver;
	struct fnx_act_command command = command_of(FNX_BOOK_ACTS);
	uint64_t n;

	memset(&book, 0, sizeof(book));
	giver = take_over(&book);
	for (uint64_t i = 0; i < FNX_BOOK_ACTS; i++)
		fnx_book_end(&book, give(&giver, i), FNX_OUTCOME_TOLD, 0, 1);
	assert_int_equal(fnx_book_give(&giver, &command, &n), -ENOBUFS);
	assert_int_equal(book.refused, 1);
	fnx_book_reporting(&book, 0);
	fnx_book_reported(&book);
	assert_int_equal(fnx_book_give(&giver, &command, &n), 0);
	assert_true(n == FNX_BOOK_ACTS);
}

/* A topic, as far as a book cares. */
struct topic {
	uint64_t head;
	uint32_t n_published[3]; /* outcomes of each decision */
};

enum {
	N_STEPS = 3
};

/* Reports all it can, and is killed before step `last` of the three that each report takes. */
static void report(struct fnx_book *book, struct topic *topic, unsigned last)
{
	struct fnx_outcome outcome;
	unsigned step = 0;

	while (fnx_book_next(book, 0, &outcome)) {
		if (step++ == last)
			return;
		fnx_book_reporting(book, topic->head);
		if (step++ == last)
			return;
		topic->n_published[outcome.decision_seq]++;
		topic->head++;
		if (step++ == last)
			return;
		fnx_book_reported(book);
	}
}

TEST(each_outcome_is_published_once_whenever_the_reporter_is_killed)
{
	/* Killed, and killed again in the successor, at every pair of moments. */
	for (unsigned first = 0; first <= 3 * N_STEPS; first++)
		for (unsigned second = 0; second <= 3 * N_STEPS; second++) {
			static struct fnx_book book;
			struct topic topic = {.head = 0};
			struct fnx_book_giver giver;

			memset(&book, 0, sizeof(book));
			giver = take_over(&book);
			for (uint64_t i = 0; i < 3; i++)
				give(&giver, i);
			fnx_book_end(&book, 0, FNX_OUTCOME_TOLD, 0, 1);
			fnx_book_end(&book, 1, FNX_OUTCOME_TOLD, 0, 1);
			report(&book, &topic, first);
			/* Another actuator's may have come in between. */
			topic.head += first % 2;
			giver = take_over(&book);
			fnx_book_resume_reports(&book, topic.head - first % 2);
			report(&book, &topic, second);
			giver = take_over(&book);
			fnx_book_resume_reports(&book, topic.head);
			report(&book, &topic, UINT32_MAX);
			for (unsigned i = 0; i < 3; i++)
				assert_int_equal(topic.n_published[i], 1);
			assert_true(book.reported == 3 && book.ended == 3);
			assert_int_equal(book.fates[FNX_OUTCOME_LOST], 1);
			assert_true(giver.given_before == 3);
		}
}
