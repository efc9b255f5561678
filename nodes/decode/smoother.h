/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smoother: what all of a recorded session says about each time bin, where the filter's
 * posterior holds only what came before (forward-backward).
 *
 *	smoothed[t] = posterior[t] * future[t], normalised
 *	future[t - 1] = transition @ (likelihood[t] * future[t]), the last one flat
 *
 * It goes backwards through what the filter has published. Where nothing remains of the product
 * (the filter started anew there) the past and the future are taken as two sessions.
 *
 * Arithmetic on plain memory, all taken by init; one thread at a time. Not parity: the published
 * decoder has no smoother.
 */
#pragma once

#include <stdbool.h>

#include "nodes/decode/transition.h"

struct fnx_smoother {
	const struct fnx_transition *transition;
	double *future; /* [n_states][n_bins] */
	double *weighed; /* [n_states][n_bins] work */
	double *scratch;
};

/* `transition` must outlive it. -ENOMEM. Not real-time. */
int fnx_smoother_init(struct fnx_smoother *smoother, const struct fnx_transition *transition);
void fnx_smoother_fini(struct fnx_smoother *smoother);

/* The future is not known: behind the session's last time bin, and before a gap. */
void fnx_smoother_forget(struct fnx_smoother *smoother);

/* One time bin, the one before the last that was given. `posterior` [n_states][n_bins] and
 * `likelihood` [n_bins] as the decoder published them; ret_smoothed [n_states][n_bins] may be
 * `posterior`. False: the past and what follows exclude each other, ret_smoothed is the posterior.
 */
bool fnx_smoother_step(struct fnx_smoother *smoother, const double *posterior,
	const double *likelihood, double *ret_smoothed);
