/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A first try in a child process. libhdf5 checks little of what a damaged file tells it about
 * itself: flipped bits make it write beyond its memory or loop for ever. What would end the child
 * so is here an error.
 */
#pragma once

#include <stddef.h>

#include "bus/bus.h"

/*
 * Forks; the child runs `work(data)` and ends, silently, without core file, with a limit on
 * processor time and without real-time priority. Waits for it. 0: the child lived to the end of
 * `work`, whatever that found; -EBADMSG: HDF5 crashed, or went on for ever; -EINTR: someone
 * stopped the child; else the system's negative errno. `error` then says so in one line.
 *
 * What `work` does to memory is lost. Not real-time. It may be called in a process with other
 * threads as long as none of them uses HDF5.
 */
FNX_MUST_CHECK int fnx_nwb_probe(
	const char *path, void (*work)(void *data), void *data, char *error, size_t error_size);
