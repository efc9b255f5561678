/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Smooths the posteriors of a recording: reads it once, keeping its posteriors in a temporary file
 * ($TMPDIR, else /tmp; as large as they are), goes back through that, and writes a new recording
 * with the topic posterior.smoothed: the same messages at the same times, of which posterior,
 * decoded_bin, decoded_arm and credible_posterior are those of the smoother. Memory does not grow
 * with the session.
 */
#pragma once

#include "nodes/fornix/score.h"

struct fnx_smooth_options {
	const char *in; /* the recording */
	const char *out; /* must not exist */
	const char *rig; /* rig file, NULL: the one that the recording holds */
	const char *const *overrides; /* as fnx_rig_load takes them */
	size_t n_overrides;
	/* Called now and then with the part done, 0..1; NULL: nobody asks. */
	void (*progress)(double part);
};

struct fnx_smooth_result {
	uint64_t n_posteriors;
	uint64_t n_gaps; /* places where time bins are missing: the smoother starts anew there */
	uint64_t n_excluded; /* time bins that what follows excludes; left as they were */
	bool cut; /* the recording ends in the middle */
	struct fnx_score_error filtered, smoothed;
};

enum {
	FNX_SMOOTH_ERROR_MAX = 640
};

/* 0, or negative errno with `error` [FNX_SMOOTH_ERROR_MAX] saying in one line what is wrong, and
 * no file at `out` that was not there before. */
FNX_MUST_CHECK int fnx_smooth(const struct fnx_smooth_options *options,
	struct fnx_smooth_result *ret_result, char *error);
