/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The track: where the animal can be, as a graph in the room and as a row of position bins.
 *
 * A track is a set of arms. Each arm is a polyline of named nodes in camera coordinates (cm), and
 * owns an inclusive range of position bins; bins that no arm owns are gaps and are never occupied.
 * Arms that share a node are joined there, so that a distance along the track exists between any
 * two bins. Or it is a grid of square bins, row by row, all of one arm; distances are then
 * straight. Sources that know a (segment, position on it) instead of x and y need no nodes: segment
 * k lies on arm `segment_arms[k]`.
 *
 * Pure arithmetic on plain memory: no file, no bus. Built once at start; look-ups allocate nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	FNX_TRACK_ARMS_MAX = 16,
	FNX_TRACK_ARM_NODES_MAX = 32,
	FNX_TRACK_SEGMENTS_MAX = 64,
	FNX_TRACK_BINS_MAX = 4096,
};

/* One arm as the rig states it. `node_x`/`node_y` (cm) run from the arm's first bin to its last. */
struct fnx_track_arm_config {
	uint32_t first_bin;
	uint32_t last_bin; /* inclusive */
	uint32_t n_target; /* how many of the arm's last bins form its target region, may be 0 */
	uint32_t n_nodes; /* 0: no place in the room, only (segment, position): all arms or none */
	double node_x[FNX_TRACK_ARM_NODES_MAX];
	double node_y[FNX_TRACK_ARM_NODES_MAX];
};

/* A room instead of arms: bin = row * n_columns + column, all of arm 0. */
struct fnx_track_grid {
	uint32_t n_columns, n_rows; /* 0: no grid */
	double x, y; /* cm: corner of bin 0; columns go along x, rows along y */
};

struct fnx_track_config {
	double bin_cm; /* length of a bin along the track */
	double max_distance_cm; /* farther than this from every edge: off the track; 0: never off */
	struct fnx_track_grid grid; /* then there are no arms */
	uint32_t n_arms;
	struct fnx_track_arm_config arms[FNX_TRACK_ARMS_MAX];
	uint32_t n_segments; /* 0: segment k is arm k */
	uint32_t segment_arms[FNX_TRACK_SEGMENTS_MAX];
};

/* A place on the track. */
struct fnx_place {
	int32_t bin; /* position bin, -1 when off the track */
	int32_t arm; /* arm that owns the bin, -1 when off the track */
	double along; /* 0..1 along the arm, 0 when off the track */
	double distance_cm; /* from (x, y) to the nearest point of the track, INFINITY where there
			     * is none or x or y is not finite; 0 for segments */
};

struct fnx_track;

/* Checks the configuration and builds the tables. -EINVAL: overlapping or reversed bin ranges, an
 * arm of zero length, too many bins, nodes for some arms only, arms that are not joined;
 * `ret_reason` (may be NULL) then points to a static sentence that says which rule was broken.
 * -ENOMEM. Not real-time. */
int fnx_track_new(const struct fnx_track_config *config, struct fnx_track **ret_track,
	const char **ret_reason);
struct fnx_track *fnx_track_free(struct fnx_track *track);

/* Number of bins: the highest last bin + 1, gaps included. */
uint32_t fnx_track_bins(const struct fnx_track *track);
uint32_t fnx_track_arms(const struct fnx_track *track);
/* Arm that owns each bin, -1 for gaps; [n_bins]. */
const int32_t *fnx_track_bin_arms(const struct fnx_track *track);
/* Is there such a bin, and no gap? */
int fnx_track_has_bin(const struct fnx_track *track, int32_t bin);
/* The configuration in force, for the arms' ranges and targets; a grid is one arm there. */
const struct fnx_track_config *fnx_track_config(const struct fnx_track *track);

/* Length of an arm, cm: of its polyline, else its bins times bin_cm. `arm` < fnx_track_arms. */
double fnx_track_arm_cm(const struct fnx_track *track, uint32_t arm);

/* Shortest way along the track between the centres of two bins, cm; NAN if either is a gap or out
 * of range. With nodes: through the graph, each arm's bins being equal parts of its polyline.
 * Without: the arms branch from the end of arm 0 and every bin is bin_cm long, so that two bins of
 * one arm, or of arm 0 and another, are the difference of their offsets from the start apart, and
 * two other arms meet at the end of arm 0. Not for the frame path of large tracks, but allocates
 * nothing. */
double fnx_track_distance_cm(const struct fnx_track *track, uint32_t a, uint32_t b);

/* Segment and position on it (0..1) to a bin: linspace(0, 1, n + 1) and searchsorted from the
 * right, the last bin closed; positions outside 0..1 are taken for the nearer end. Off the track
 * when the segment is unknown or the position is not finite. Frame path. */
struct fnx_place fnx_track_from_segment(
	const struct fnx_track *track, int32_t segment, double along);

/* A point of an arm, 0..1 along it, to its bin: as for segments. Frame path. */
struct fnx_place fnx_track_from_arm(const struct fnx_track *track, uint32_t arm, double along);

/* Where in the room a point of an arm lies, cm. false, outputs untouched: the track has no nodes,
 * or there is no such arm. `along` outside 0..1 is taken for the nearer end. Frame path. */
bool fnx_track_to_xy(
	const struct fnx_track *track, uint32_t arm, double along, double *ret_x, double *ret_y);

/* Nearest point of the track to x, y (cm); of equally near arms the first. Off the track (bin -1)
 * when farther than max_distance_cm or not finite. Frame path, O(edges). */
struct fnx_place fnx_track_from_xy(const struct fnx_track *track, double x, double y);
