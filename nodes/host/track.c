/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two forms of one track. For the way from x, y to a bin every arm is flattened into edges,
 * straight pieces that know how far along their arm they begin. For distances the ends of edges are
 * the vertices of a graph, whose all-pairs table is computed once; a bin hangs between the two ends
 * of the edge that holds its centre. The table has one row per vertex, not per bin: a track has few
 * corners and may have thousands of bins.
 */
#include "nodes/host/track.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	EDGES_MAX = FNX_TRACK_ARMS_MAX * (FNX_TRACK_ARM_NODES_MAX - 1),
};

/* Nodes nearer to each other than this are one place. */
static const double SAME_PLACE_CM = 1e-6;

struct edge {
	double x, y; /* where it begins */
	double dx, dy; /* from there to its end */
	double length_cm;
	double begins_cm; /* along the arm */
	uint32_t arm;
	uint32_t from, to; /* vertices */
};

/* Where a bin's centre lies in the graph. */
struct anchor {
	uint32_t edge;
	double offset_cm; /* from the beginning of the edge */
};

struct fnx_track {
	struct fnx_track_config config;
	uint32_t n_bins;
	uint32_t n_edges; /* 0: the arms have no nodes */
	uint32_t n_vertices;
	int32_t *bin_arms; /* [n_bins] */
	struct anchor *anchors; /* [n_bins], with nodes only */
	double *ways_cm; /* [n_vertices][n_vertices] */
	double arm_cm[FNX_TRACK_ARMS_MAX];
	uint32_t arm_edges[FNX_TRACK_ARMS_MAX + 1]; /* arm k owns edges [k], [k + 1) */
	double vertex_x[EDGES_MAX * 2];
	double vertex_y[EDGES_MAX * 2];
	struct edge edges[EDGES_MAX];
};

static const struct fnx_place OFF_TRACK = {.bin = -1, .arm = -1};

static bool is_grid(const struct fnx_track *track)
{
	return track->config.grid.n_columns > 0;
}

static uint32_t arm_bins(const struct fnx_track_arm_config *arm)
{
	return arm->last_bin - arm->first_bin + 1;
}

/* Rule that an arm breaks by itself, NULL: none. */
static const char *check_arm(const struct fnx_track_arm_config *arm)
{
	if (arm->first_bin > arm->last_bin)
		return "an arm's last bin comes before its first";
	if (arm->last_bin >= FNX_TRACK_BINS_MAX)
		return "an arm's last bin is above the largest number of bins";
	if (arm->n_target > arm_bins(arm))
		return "an arm's target region has more bins than the arm";
	if (arm->n_nodes == 1)
		return "an arm with a single node has no length";
	if (arm->n_nodes > FNX_TRACK_ARM_NODES_MAX)
		return "an arm has too many nodes";
	for (uint32_t i = 0; i < arm->n_nodes; i++)
		if (!isfinite(arm->node_x[i]) || !isfinite(arm->node_y[i]))
			return "a node's coordinates are not finite";
	return NULL;
}

static const char *check_grid(const struct fnx_track_config *config)
{
	const struct fnx_track_grid *grid = &config->grid;

	if (config->n_arms > 0 || config->n_segments > 0)
		return "a track is either arms or a grid";
	if (grid->n_columns == 0 || grid->n_rows == 0 || grid->n_columns > FNX_TRACK_BINS_MAX ||
		grid->n_rows > FNX_TRACK_BINS_MAX / grid->n_columns)
		return "a grid has no columns or rows, or more bins than there may be";
	if (!isfinite(grid->x) || !isfinite(grid->y))
		return "the corner of the grid is not finite";
	return NULL;
}

static const char *check_config(const struct fnx_track_config *config)
{
	if (!(config->bin_cm > 0.0) || !isfinite(config->bin_cm))
		return "the length of a bin is not above zero";
	if (!(config->max_distance_cm >= 0.0))
		return "the greatest distance from the track is below zero";
	if (config->grid.n_columns > 0 || config->grid.n_rows > 0)
		return check_grid(config);
	if (config->n_arms == 0 || config->n_arms > FNX_TRACK_ARMS_MAX)
		return "the track has no arms or too many";
	if (config->n_segments > FNX_TRACK_SEGMENTS_MAX)
		return "the track has too many segments";
	for (uint32_t i = 0; i < config->n_segments; i++)
		if (config->segment_arms[i] >= config->n_arms)
			return "a segment lies on an arm that is not there";
	for (uint32_t i = 0; i < config->n_arms; i++) {
		const struct fnx_track_arm_config *arm = &config->arms[i];
		const char *reason = check_arm(arm);

		if (reason)
			return reason;
		if ((arm->n_nodes == 0) != (config->arms[0].n_nodes == 0))
			return "some arms have nodes and others have none";
		for (uint32_t j = 0; j < i; j++)
			if (arm->first_bin <= config->arms[j].last_bin &&
				config->arms[j].first_bin <= arm->last_bin)
				return "the bins of two arms overlap";
	}
	return NULL;
}

static uint32_t vertex_at(struct fnx_track *track, double x, double y)
{
	uint32_t i = 0;

	while (i < track->n_vertices &&
		hypot(track->vertex_x[i] - x, track->vertex_y[i] - y) > SAME_PLACE_CM)
		i++;
	if (i == track->n_vertices) {
		track->vertex_x[i] = x;
		track->vertex_y[i] = y;
		track->n_vertices++;
	}
	return i;
}

/* Pieces without length are left out, so that every edge has a direction. */
static void build_arm(struct fnx_track *track, uint32_t k)
{
	const struct fnx_track_arm_config *arm = &track->config.arms[k];
	double length_cm = 0.0;

	track->arm_edges[k] = track->n_edges;
	for (uint32_t i = 0; i + 1 < arm->n_nodes; i++) {
		struct edge edge = {
			.x = arm->node_x[i],
			.y = arm->node_y[i],
			.dx = arm->node_x[i + 1] - arm->node_x[i],
			.dy = arm->node_y[i + 1] - arm->node_y[i],
			.begins_cm = length_cm,
			.arm = k,
		};

		edge.length_cm = hypot(edge.dx, edge.dy);
		if (edge.length_cm <= SAME_PLACE_CM)
			continue;
		edge.from = vertex_at(track, edge.x, edge.y);
		edge.to = vertex_at(track, arm->node_x[i + 1], arm->node_y[i + 1]);
		track->edges[track->n_edges++] = edge;
		length_cm += edge.length_cm;
	}
	track->arm_edges[k + 1] = track->n_edges;
	track->arm_cm[k] = arm->n_nodes > 0 ? length_cm : arm_bins(arm) * track->config.bin_cm;
}

/* Floyd and Warshall: once at start, over corners only. */
static void build_ways(struct fnx_track *track)
{
	const uint32_t n = track->n_vertices;
	double *ways_cm = track->ways_cm;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			ways_cm[i * n + j] = i == j ? 0.0 : (double)INFINITY;
	for (uint32_t i = 0; i < track->n_edges; i++) {
		const struct edge *edge = &track->edges[i];
		double way_cm = fmin(ways_cm[edge->from * n + edge->to], edge->length_cm);

		ways_cm[edge->from * n + edge->to] = way_cm;
		ways_cm[edge->to * n + edge->from] = way_cm;
	}
	for (uint32_t k = 0; k < n; k++)
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < n; j++)
				ways_cm[i * n + j] = fmin(ways_cm[i * n + j],
					ways_cm[i * n + k] + ways_cm[k * n + j]);
}

/* Edge that holds the point `at_cm` along the arm; at a corner the later one. */
static uint32_t edge_at(const struct fnx_track *track, uint32_t arm, double at_cm)
{
	uint32_t i = track->arm_edges[arm];

	while (i + 1 < track->arm_edges[arm + 1] && track->edges[i + 1].begins_cm <= at_cm)
		i++;
	return i;
}

static void build_bins(struct fnx_track *track)
{
	for (uint32_t i = 0; i < track->n_bins; i++)
		track->bin_arms[i] = -1;
	for (uint32_t k = 0; k < track->config.n_arms; k++) {
		const struct fnx_track_arm_config *arm = &track->config.arms[k];
		const uint32_t n = arm_bins(arm);

		for (uint32_t i = 0; i < n; i++) {
			struct anchor anchor;
			double at_cm = (i + 0.5) / n * track->arm_cm[k];

			track->bin_arms[arm->first_bin + i] = (int32_t)k;
			if (track->n_edges == 0)
				continue;
			anchor.edge = edge_at(track, k, at_cm);
			anchor.offset_cm = at_cm - track->edges[anchor.edge].begins_cm;
			track->anchors[arm->first_bin + i] = anchor;
		}
	}
}

/* Rule that the arms break together, NULL: none. */
static const char *check_graph(const struct fnx_track *track)
{
	for (uint32_t k = 0; k < track->config.n_arms; k++)
		if (!(track->arm_cm[k] > 0.0) || !isfinite(track->arm_cm[k]))
			return "an arm has no length or no end";
	for (uint32_t i = 0; i < track->n_vertices; i++)
		if (!isfinite(track->ways_cm[i]))
			return "an arm shares no node with the rest of the track";
	return NULL;
}

int fnx_track_new(const struct fnx_track_config *config, struct fnx_track **ret_track,
	const char **ret_reason)
{
	const char *reason = check_config(config);
	struct fnx_track *track = NULL;
	int r = -ENOMEM;

	if (reason) {
		r = -EINVAL;
		goto fail;
	}
	track = calloc(1, sizeof(*track));
	if (!track)
		goto fail;
	track->config = *config;
	if (is_grid(track)) {
		track->config.n_arms = 1;
		track->config.arms[0] = (struct fnx_track_arm_config){
			.last_bin = config->grid.n_columns * config->grid.n_rows - 1};
	}
	for (uint32_t k = 0; k < track->config.n_arms; k++) {
		if (track->config.arms[k].last_bin >= track->n_bins)
			track->n_bins = track->config.arms[k].last_bin + 1;
		build_arm(track, k);
	}
	track->bin_arms = calloc(track->n_bins, sizeof(*track->bin_arms));
	track->anchors = calloc(track->n_bins, sizeof(*track->anchors));
	track->ways_cm =
		calloc((size_t)track->n_vertices * track->n_vertices + 1, sizeof(*track->ways_cm));
	if (!track->bin_arms || !track->anchors || !track->ways_cm)
		goto fail;
	build_ways(track);
	reason = check_graph(track);
	if (reason) {
		r = -EINVAL;
		goto fail;
	}
	build_bins(track);
	*ret_track = track;
	return 0;

fail:
	fnx_track_free(track);
	if (reason && ret_reason)
		*ret_reason = reason;
	return r;
}

struct fnx_track *fnx_track_free(struct fnx_track *track)
{
	if (track) {
		free(track->bin_arms);
		free(track->anchors);
		free(track->ways_cm);
		free(track);
	}
	return NULL;
}

uint32_t fnx_track_bins(const struct fnx_track *track)
{
	return track->n_bins;
}

uint32_t fnx_track_arms(const struct fnx_track *track)
{
	return track->config.n_arms;
}

const int32_t *fnx_track_bin_arms(const struct fnx_track *track)
{
	return track->bin_arms;
}

int fnx_track_has_bin(const struct fnx_track *track, int32_t bin)
{
	return bin >= 0 && (uint32_t)bin < fnx_track_bins(track) && track->bin_arms[bin] >= 0;
}

const struct fnx_track_config *fnx_track_config(const struct fnx_track *track)
{
	return &track->config;
}

double fnx_track_arm_cm(const struct fnx_track *track, uint32_t arm)
{
	return track->arm_cm[arm];
}

/* Around through the ends of both edges, or straight on where they share one. */
static double graph_distance_cm(const struct fnx_track *track, uint32_t a, uint32_t b)
{
	const struct anchor *from = &track->anchors[a], *to = &track->anchors[b];
	const struct edge *from_edge = &track->edges[from->edge],
			  *to_edge = &track->edges[to->edge];
	const double from_cm[2] = {from->offset_cm, from_edge->length_cm - from->offset_cm};
	const double to_cm[2] = {to->offset_cm, to_edge->length_cm - to->offset_cm};
	const uint32_t from_ends[2] = {from_edge->from, from_edge->to};
	const uint32_t to_ends[2] = {to_edge->from, to_edge->to};
	double distance_cm = (double)INFINITY;

	if (from->edge == to->edge)
		distance_cm = fabs(from->offset_cm - to->offset_cm);
	for (uint32_t i = 0; i < 2; i++)
		for (uint32_t j = 0; j < 2; j++)
			distance_cm = fmin(distance_cm,
				from_cm[i] + to_cm[j] +
					track->ways_cm[from_ends[i] * track->n_vertices +
						to_ends[j]]);
	return distance_cm;
}

/* How far a bin lies from the start of arm 0. */
static double reach_cm(const struct fnx_track *track, uint32_t arm, uint32_t bin)
{
	const struct fnx_track_config *config = &track->config;
	const double bin_cm = config->bin_cm;
	double offset_cm = (bin - config->arms[arm].first_bin) * bin_cm;

	if (arm == 0)
		return offset_cm;
	return offset_cm + ((arm_bins(&config->arms[0]) - 1) * bin_cm + bin_cm);
}

static double branch_distance_cm(
	const struct fnx_track *track, uint32_t a_arm, uint32_t a, uint32_t b_arm, uint32_t b)
{
	const struct fnx_track_arm_config *arms = track->config.arms;

	if (a_arm == b_arm || a_arm == 0 || b_arm == 0)
		return fabs(reach_cm(track, a_arm, a) - reach_cm(track, b_arm, b));
	return ((a - arms[a_arm].first_bin) + (b - arms[b_arm].first_bin) + 1) *
		track->config.bin_cm;
}

static double straight_distance_cm(const struct fnx_track *track, uint32_t a, uint32_t b)
{
	const uint32_t n = track->config.grid.n_columns;

	return track->config.bin_cm *
		hypot((double)(a % n) - (double)(b % n), (double)(a / n) - (double)(b / n));
}

double fnx_track_distance_cm(const struct fnx_track *track, uint32_t a, uint32_t b)
{
	int32_t a_arm, b_arm;

	if (a >= track->n_bins || b >= track->n_bins)
		return (double)NAN;
	a_arm = track->bin_arms[a];
	b_arm = track->bin_arms[b];
	if (a_arm < 0 || b_arm < 0)
		return (double)NAN;
	if (is_grid(track))
		return straight_distance_cm(track, a, b);
	if (track->n_edges > 0)
		return graph_distance_cm(track, a, b);
	return branch_distance_cm(track, (uint32_t)a_arm, a, (uint32_t)b_arm, b);
}

/* The edges of the bins are k * (1 / n), as linspace computes them; the division gives the first
 * guess, the comparison with those edges the answer. */
static struct fnx_place place_on_arm(const struct fnx_track *track, uint32_t k, double along)
{
	const struct fnx_track_arm_config *arm = &track->config.arms[k];
	const uint32_t n = arm_bins(arm);
	const double step = 1.0 / n;
	uint32_t i;

	along = along < 0.0 ? 0.0 : along > 1.0 ? 1.0 : along;
	i = (uint32_t)(along * n);
	if (i >= n)
		i = n - 1;
	while (i > 0 && along < i * step)
		i--;
	while (i + 1 < n && along >= (i + 1) * step)
		i++;
	return (struct fnx_place){
		.bin = (int32_t)(arm->first_bin + i),
		.arm = (int32_t)k,
		.along = along,
	};
}

struct fnx_place fnx_track_from_arm(const struct fnx_track *track, uint32_t arm, double along)
{
	if (is_grid(track) || arm >= track->config.n_arms || !isfinite(along))
		return OFF_TRACK;
	return place_on_arm(track, arm, along);
}

struct fnx_place fnx_track_from_segment(
	const struct fnx_track *track, int32_t segment, double along)
{
	const struct fnx_track_config *config = &track->config;

	if (segment < 0)
		return OFF_TRACK;
	if (config->n_segments == 0)
		return fnx_track_from_arm(track, (uint32_t)segment, along);
	if ((uint32_t)segment >= config->n_segments)
		return OFF_TRACK;
	return fnx_track_from_arm(track, config->segment_arms[segment], along);
}

bool fnx_track_to_xy(
	const struct fnx_track *track, uint32_t arm, double along, double *ret_x, double *ret_y)
{
	const struct edge *edge;
	double at_cm, part;

	if (track->n_edges == 0 || arm >= track->config.n_arms)
		return false;
	at_cm = (along < 0.0 ? 0.0 : along > 1.0 ? 1.0 : along) * track->arm_cm[arm];
	edge = &track->edges[edge_at(track, arm, at_cm)];
	part = (at_cm - edge->begins_cm) / edge->length_cm;
	*ret_x = edge->x + part * edge->dx;
	*ret_y = edge->y + part * edge->dy;
	return true;
}

/* In bins from the edge where the grid begins; *ret_beyond: how far outside, in bins. */
static uint32_t place_on_side(double at, uint32_t n, double *ret_beyond)
{
	*ret_beyond = at < 0.0 ? -at : at > n ? at - n : 0.0;
	return at < 0.0 ? 0 : at >= n ? n - 1 : (uint32_t)at;
}

static struct fnx_place place_on_grid(const struct fnx_track *track, double x, double y)
{
	const struct fnx_track_grid *grid = &track->config.grid;
	const double bin_cm = track->config.bin_cm;
	double beyond_x, beyond_y;
	const uint32_t column = place_on_side((x - grid->x) / bin_cm, grid->n_columns, &beyond_x);
	const uint32_t row = place_on_side((y - grid->y) / bin_cm, grid->n_rows, &beyond_y);
	struct fnx_place place = OFF_TRACK;

	place.distance_cm = bin_cm * hypot(beyond_x, beyond_y);
	if (track->config.max_distance_cm == 0.0 ||
		place.distance_cm <= track->config.max_distance_cm) {
		place.bin = (int32_t)(row * grid->n_columns + column);
		place.arm = 0;
	}
	return place;
}

struct fnx_place fnx_track_from_xy(const struct fnx_track *track, double x, double y)
{
	const struct edge *nearest = NULL;
	double nearest_part = 0.0, distance2 = (double)INFINITY;
	struct fnx_place place = OFF_TRACK;

	place.distance_cm = (double)INFINITY;
	if (!isfinite(x) || !isfinite(y))
		return place;
	if (is_grid(track))
		return place_on_grid(track, x, y);
	for (uint32_t i = 0; i < track->n_edges; i++) {
		const struct edge *edge = &track->edges[i];
		double rx = x - edge->x, ry = y - edge->y;
		double part = (rx * edge->dx + ry * edge->dy) / (edge->length_cm * edge->length_cm);
		double d2;

		part = part < 0.0 ? 0.0 : part > 1.0 ? 1.0 : part;
		rx -= part * edge->dx;
		ry -= part * edge->dy;
		d2 = rx * rx + ry * ry;
		if (d2 < distance2) {
			distance2 = d2;
			nearest = edge;
			nearest_part = part;
		}
	}
	if (!nearest)
		return place;
	place.distance_cm = sqrt(distance2);
	if (track->config.max_distance_cm == 0.0 ||
		place.distance_cm <= track->config.max_distance_cm) {
		double at_cm = nearest->begins_cm + nearest_part * nearest->length_cm;
		double distance_cm = place.distance_cm;

		place = place_on_arm(track, nearest->arm, at_cm / track->arm_cm[nearest->arm]);
		place.distance_cm = distance_cm;
	}
	return place;
}
