/* SPDX-License-Identifier: BSD-3-Clause */
/* Mean and deviation of each trace from a text file: a line for each, `MEAN DEVIATION` in uV; what
 * follows a # and empty lines do not count. At start-up only. */
#pragma once

#include <stdint.h>

enum {
	FNX_SEEDS_ERROR_MAX = 400
};

/* Exactly `n` lines. On failure `error` (FNX_SEEDS_ERROR_MAX bytes) holds one line, file:line: what
 * was expected. Negative errno of the file; -EINVAL: its content. */
int fnx_seeds_read(
	const char *path, uint32_t n, double *ret_mean, double *ret_deviation, char *error);
