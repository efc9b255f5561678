/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session in an NWB file, open: every kind of event as a stream with a cursor, cut to what the
 * rig wants to see of it. Inside of the source `nwb`; not for others to include.
 */
#pragma once

#include "nodes/acquire/nwb.h"
#include "nodes/acquire/nwb_series.h"
#include "nodes/acquire/nwb_units.h"

enum {
	NWB_NOTICE_SIZE = 8192,
};

struct nwb_cursor {
	uint64_t at, end;
};

struct nwb_positions {
	struct nwb_series series;
	struct nwb_cursor cursor;
	double *values; /* [n][n_columns], as stored */
	uint32_t n_columns;
};

struct nwb_lfp {
	struct nwb_series series;
	struct nwb_cursor cursor;
	struct nwb_rows rows;
	uint32_t n_channels;
};

/* One SpikeEventSeries. */
struct nwb_snippets {
	struct nwb_series series;
	struct nwb_cursor cursor;
	struct nwb_rows rows;
	uint32_t group;
	uint32_t n_channels;
	uint32_t n_points;
};

/* What the rig does not play is zeros, and so has a cursor at its end. */
struct nwb_session {
	struct nwb_file file;
	struct fnx_nwb_limits limits; /* all given */
	double clock_hz;
	struct fnx_source_info info;
	struct nwb_groups groups;
	struct nwb_positions positions;
	struct nwb_units units;
	struct nwb_cursor units_cursor;
	struct nwb_snippets *snippets; /* by group id */
	uint32_t n_snippets;
	struct nwb_lfp lfp;
};

/* Opens rig->source.file into a zeroed session with `limits` set. On failure session->file.error
 * holds the line; close it in any case. Not real-time. */
FNX_MUST_CHECK int fnx_nwb_session_open(struct nwb_session *session, const struct fnx_rig *rig);
void fnx_nwb_session_close(struct nwb_session *session);
/* Whether LFP and snippets are wholly in memory, so that the file is not read any more. */
bool fnx_nwb_session_is_held(const struct nwb_session *session);

bool fnx_nwb_has_lfp(const struct nwb_session *session);
bool fnx_nwb_has_positions(const struct nwb_session *session);
bool fnx_nwb_has_units(const struct nwb_session *session);

/* What was found and what of it is odd, in one line: see fnx_source_nwb_notice. */
void fnx_nwb_notice(const struct nwb_session *session, const struct fnx_rig *rig,
	char ret_notice[NWB_NOTICE_SIZE]);
