/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables of /intervals in an NWB file: when something lasted, such as ripples that someone marked.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bus/bus.h"

/*
 * Reads start_time and stop_time (seconds) of the table at `table`, e.g.
 * "intervals/published_ripples", in the order of the file. Both arrays have `ret_n` values and are
 * the caller's to free().
 *
 * Not real-time; on the thread that uses HDF5. 0; or a negative errno as in nwb_file.h, and `error`
 * (of `error_size` bytes) holds one line that names the file, the object, what was expected and
 * what was found.
 */
FNX_MUST_CHECK int fnx_nwb_intervals(const char *path, const char *table, char *error,
	size_t error_size, double **ret_starts_s, double **ret_stops_s, size_t *ret_n);
