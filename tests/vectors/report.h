/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What check_vectors found: the largest error of each quantity and its bound, or how many of those
 * that must be equal are not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum quantity {
	QUANTITY_BINS,
	QUANTITY_SPEED,
	QUANTITY_FILTERED,
	QUANTITY_ENVELOPE,
	QUANTITY_CONSENSUS,
	QUANTITY_RIPPLES,
	QUANTITY_RIPPLE_Z,
	QUANTITY_STORED,
	QUANTITY_LIKELIHOODS,
	QUANTITY_LIKELIHOOD_CREDIBLE,
	QUANTITY_HISTOGRAM,
	QUANTITY_TIME_BINS,
	QUANTITY_SPIKE_COUNT,
	QUANTITY_LIKELIHOOD,
	QUANTITY_POSTERIOR,
	QUANTITY_CREDIBLE,
	QUANTITIES
};

struct finding {
	size_t n_compared;
	double worst; /* largest error, or number of unequal values */
	size_t worst_at; /* row of the largest error, or of the first unequal value */
};

struct report {
	bool single;
	struct finding findings[QUANTITIES];
};

/* `error` of row `row`; NaN counts as infinite. */
void report_error(struct report *report, enum quantity quantity, double error, size_t row);
void report_equal(struct report *report, enum quantity quantity, bool equal, size_t row);
/* How many there are must be equal, too. */
void report_count(struct report *report, enum quantity quantity, size_t n, size_t n_expected);
/* 0 where both are NaN, infinity where one is. */
double difference(double a, double b);
/* Bound of a quantity, 0 for those that must be equal. */
double report_bound(const struct report *report, enum quantity quantity);
/* One line per quantity; true: all within their bounds. */
bool report_print(const struct report *report, FILE *file);
