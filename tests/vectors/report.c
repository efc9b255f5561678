/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounds in double precision: what the reference reaches from the formulas alone, rounded up; the
 * ancestor sums its histograms by differences of a cumulative sum, which costs it 1e-8 relative in
 * nearly empty bins and explains the posterior's. In single precision the errors of a likelihood's
 * many weights mostly cancel; a time bin multiplies several likelihoods, and a state that stays
 * where it is carries their errors on, which is what the tenfold is for.
 */
#include "tests/vectors/report.h"

#include <math.h>

static const struct {
	const char *name;
	const char *measure; /* NULL: must be equal */
	double bound, bound_single;
} quantities[QUANTITIES] = {
	[QUANTITY_BINS] = {"position bins", NULL, 0, 0},
	[QUANTITY_SPEED] = {"speed", "relative", 1e-9, 1e-9},
	[QUANTITY_FILTERED] = {"filtered LFP", "of the channel's largest", 1e-9, 1e-9},
	[QUANTITY_ENVELOPE] = {"envelope", "of the channel's largest", 1e-9, 1e-9},
	[QUANTITY_CONSENSUS] = {"consensus z", "absolute", 1e-9, 1e-9},
	[QUANTITY_RIPPLES] = {"ripple messages", NULL, 0, 0},
	[QUANTITY_RIPPLE_Z] = {"ripple message z", "absolute", 1e-9, 1e-9},
	[QUANTITY_STORED] = {"stored-spike flags", NULL, 0, 0},
	[QUANTITY_LIKELIHOODS] = {"likelihoods sent", NULL, 0, 0},
	[QUANTITY_LIKELIHOOD_CREDIBLE] = {"their credible intervals", NULL, 0, 0},
	[QUANTITY_HISTOGRAM] = {"likelihood histograms", "absolute", 1e-12, 1e-6},
	[QUANTITY_TIME_BINS] = {"time bins", NULL, 0, 0},
	[QUANTITY_SPIKE_COUNT] = {"spike counts", NULL, 0, 0},
	[QUANTITY_LIKELIHOOD] = {"time bin likelihoods", "absolute", 5e-9, 1e-5},
	[QUANTITY_POSTERIOR] = {"posteriors", "absolute", 5e-9, 1e-5},
	[QUANTITY_CREDIBLE] = {"credible intervals", NULL, 0, 0},
};

double difference(double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b) ? 0.0 : (double)INFINITY;
	return a == b ? 0.0 : fabs(a - b);
}

void report_error(struct report *report, enum quantity quantity, double error, size_t row)
{
	struct finding *finding = &report->findings[quantity];

	finding->n_compared++;
	if (isnan(error))
		error = (double)INFINITY;
	if (error > finding->worst) {
		finding->worst = error;
		finding->worst_at = row;
	}
}

void report_equal(struct report *report, enum quantity quantity, bool equal, size_t row)
{
	struct finding *finding = &report->findings[quantity];

	finding->n_compared++;
	if (equal)
		return;
	if (finding->worst == 0.0)
		finding->worst_at = row;
	finding->worst += 1.0;
}

void report_count(struct report *report, enum quantity quantity, size_t n, size_t n_expected)
{
	struct finding *finding = &report->findings[quantity];
	const size_t fewer = n < n_expected ? n : n_expected;

	if (n == n_expected)
		return;
	if (finding->worst == 0.0)
		finding->worst_at = fewer;
	finding->worst += (double)(n + n_expected - 2 * fewer);
}

double report_bound(const struct report *report, enum quantity quantity)
{
	return report->single ? quantities[quantity].bound_single : quantities[quantity].bound;
}

bool report_print(const struct report *report, FILE *file)
{
	bool good = true;

	for (int i = 0; i < QUANTITIES; i++) {
		const struct finding *finding = &report->findings[i];
		const double bound = report_bound(report, (enum quantity)i);
		const bool within = finding->worst <= bound;

		good = good && within;
		fprintf(file, "%-4s  %-25s %9zu compared  ", within ? "ok" : "FAIL",
			quantities[i].name, finding->n_compared);
		if (quantities[i].measure)
			fprintf(file, "largest error %.2e %s, bound %.0e", finding->worst,
				quantities[i].measure, bound);
		else
			fprintf(file, "%.0f unequal", finding->worst);
		if (finding->worst > 0.0)
			fprintf(file, quantities[i].measure ? " (row %zu)" : " (first: row %zu)",
				finding->worst_at);
		fprintf(file, "\n");
	}
	return good;
}
