/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/decode/smoother.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/rows.h"
#include "nodes/host/lanes.h"

static size_t n_values(const struct fnx_smoother *smoother)
{
	return (size_t)smoother->transition->n_states * smoother->transition->n_bins;
}

int fnx_smoother_init(struct fnx_smoother *smoother, const struct fnx_transition *transition)
{
	*smoother = (struct fnx_smoother){.transition = transition};
	smoother->future = calloc(n_values(smoother), sizeof(double));
	smoother->weighed = calloc(n_values(smoother), sizeof(double));
	smoother->scratch = aligned_alloc(
		FNX_LANES_ALIGN, fnx_transition_scratch(transition->n_bins) * sizeof(double));
	if (!smoother->future || !smoother->weighed || !smoother->scratch) {
		fnx_smoother_fini(smoother);
		return -ENOMEM;
	}
	fnx_smoother_forget(smoother);
	return 0;
}

void fnx_smoother_fini(struct fnx_smoother *smoother)
{
	free(smoother->future);
	free(smoother->weighed);
	free(smoother->scratch);
	*smoother = (struct fnx_smoother){0};
}

void fnx_smoother_forget(struct fnx_smoother *smoother)
{
	for (size_t i = 0; i < n_values(smoother); i++)
		smoother->future[i] = 1.0;
}

/* Transition @ (likelihood * future), its largest value 1. */
static void go_back(struct fnx_smoother *smoother, const double *likelihood)
{
	const struct fnx_transition *transition = smoother->transition;
	const uint32_t n = transition->n_bins;
	double largest;

	for (uint32_t k = 0; k < transition->n_states; k++)
		for (uint32_t i = 0; i < n; i++) {
			const double value = likelihood[i] * smoother->future[(size_t)k * n + i];

			smoother->weighed[(size_t)k * n + i] =
				isfinite(value) && transition->on_track[i] ? value : 0.0;
		}
	fnx_transition_back(transition, smoother->weighed, smoother->scratch, smoother->future);
	largest = transition->rows->max(smoother->future, n_values(smoother));
	if (largest >= DBL_MIN)
		transition->rows->divide(
			smoother->future, largest, n_values(smoother), smoother->future);
	else
		fnx_smoother_forget(smoother);
}

bool fnx_smoother_step(struct fnx_smoother *smoother, const double *posterior,
	const double *likelihood, double *ret_smoothed)
{
	const struct fnx_rows *rows = smoother->transition->rows;
	const size_t n = n_values(smoother);
	const double sum = rows->weigh(posterior, smoother->future, n, smoother->weighed);
	const bool agrees = sum >= DBL_MIN && sum <= DBL_MAX;

	if (agrees) {
		for (size_t i = 0; i < n; i++)
			ret_smoothed[i] =
				isnan(smoother->weighed[i]) ? 0.0 : smoother->weighed[i] / sum;
	} else {
		memmove(ret_smoothed, posterior, n * sizeof(double));
		fnx_smoother_forget(smoother);
	}
	go_back(smoother, likelihood);
	return agrees;
}
