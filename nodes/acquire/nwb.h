/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The source `nwb`: a session in an NWB file (HDF5), played back as events. source.h declares
 * its table of operations, fnx_source_nwb.
 *
 * What it plays, and where it finds it when rig->source.nwb does not say. A key that says `none`
 * leaves the kind out; several candidates are an error that names them and the key.
 *
 *	lfp           the ElectricalSeries under /processing/ecephys/LFP, else under
 *	              /acquisition; not looked for where the rig has no LFP channels.
 *	              Data [n] or [n][channels]
 *	position      the SpatialSeries under /processing/behavior, but for those in a
 *	              CompassDirection or EyeTracking. Data [n], [n][1], [n][2] or [n][3]: x alone
 *	              (y is 0), or x and y first
 *	units         the Units table /units: sorted spikes
 *	spike_events  every SpikeEventSeries under /acquisition or /processing, all in one group.
 *	              Data [n][channels][points], or [n][points] of one channel
 *
 * Units and spike_events exclude each other; neither is looked for where the other is named, nor
 * where the rig has no electrode groups. Ids of electrode groups: see nwb_groups.h. Each must be
 * in the rig, with enough channels. A snippet may not be longer than the rig's spikes.n_points.
 * The rate of the LFP must be the rig's lfp.rate_hz within one per cent.
 *
 * Times: t seconds are sample llround(t * clock.rate_hz); t = 0 is the reference time of the
 * file. What happens to time stamps that go back: see nwb_series.h. The session begins with the
 * earliest event of all that is played; source.start_s and duration_s count from there.
 *
 * Values:
 *	LFP, snippets  counts as stored, uv_per_count = conversion * 1e6; channel_conversion and
 *	               offset, where the file has any, are in the counts
 *	units          waveform [1][1] = unit_mark_offset_uv + unit_mark_uv * number of the unit,
 *	               uv_per_count 1: the number is the mark, so that what decodes clusterless
 *	               spikes decodes sorted ones
 *	position       (stored * conversion + offset) * source.nwb.position_scale, whatever the
 *	               `unit` of the file, which the notice tells; NAN where x or y is not
 *	               finite. acquire multiplies by position.scale
 *
 * A damaged file is an error even where it makes libhdf5 crash: `open` first tries all that the
 * session will read in a child process (nwb_probe.h), and so reads the file twice.
 *
 * Thread: one thread opens, reads and closes, and nothing else in the process uses HDF5 meanwhile:
 * HDF5 is not thread safe. Real-time: `next` allocates nothing and makes no system call once LFP
 * and snippets are wholly in memory; they are, from `open` on, as long as they take at most
 * limits.preload_size. Beyond that `next` reads a block now and then, and HDF5 may allocate inside.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bus/bus.h"
#include "nodes/acquire/source.h"

/* 0 anywhere: the default. */
struct fnx_nwb_limits {
	size_t preload_size; /* bytes of LFP and snippets held whole, in all; default 512 MiB */
	size_t block_size; /* bytes of a block of what is not; default 4 MiB */
	uint64_t max_times; /* spikes of units, time stamps of a series; default 2^26 */
	uint64_t max_positions; /* default 2^24 */
};

/* As fnx_source_nwb.open, with other limits; NULL: the defaults. More than the limits is -EFBIG. */
FNX_MUST_CHECK int fnx_source_nwb_open_limited(const struct fnx_rig *rig,
	const struct fnx_nwb_limits *limits, struct fnx_source **ret_source, char *error,
	size_t error_size);

/* What was found, in one line for the log: each series with its unit, rate and count, the electrode
 * groups with their ids, and what is odd (time stamps that went back, a unit of position that the
 * rig's scales do not make cm of). Valid until the source is closed. */
const char *fnx_source_nwb_notice(const struct fnx_source *source);
