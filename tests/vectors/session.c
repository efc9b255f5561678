/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A dimension that several files share is stated once and checked in each: the first file to have
 * it decides, so that a directory whose files belong to different sessions is refused and not
 * compared.
 */
#include "tests/vectors/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A dimension that any length will do for; the first file to have it decides. */
struct extent {
	const char *name;
	size_t n;
	bool known;
	bool may_be_none;
};

struct loader {
	const char *dir;
	struct session *session;
	char *error;
};

static const char *reason(int error)
{
	switch (error) {
	case -EINVAL:
		return "not a .npy file of a known kind";
	case -EBADMSG:
		return "shorter than its header says";
	default:
		return strerror(-error);
	}
}

/* The data of `name`, whose type is `type` ("f8") and whose shape is that of the extents; NULL
 * after an error. */
static const void *load(struct loader *loader, const char *name, const char *type, uint32_t n_dims,
	struct extent *const *extents)
{
	struct session *session = loader->session;
	struct fnx_npy *npy = &session->files[session->n_files];
	int r;

	if (loader->error[0])
		return NULL;
	r = fnx_npy_open_in(loader->dir, name, npy);
	if (r < 0) {
		snprintf(loader->error, SETTINGS_ERROR_SIZE, "%s/%s.npy: %s", loader->dir, name,
			reason(r));
		return NULL;
	}
	session->n_files++;
	if (npy->dtype != type[0] || npy->item_size != (uint32_t)(type[1] - '0') ||
		npy->n_dims != n_dims) {
		snprintf(loader->error, SETTINGS_ERROR_SIZE,
			"%s/%s.npy: %u-dimensional %c%u, expected %u-dimensional %s", loader->dir,
			name, npy->n_dims, npy->dtype, npy->item_size, n_dims, type);
		return NULL;
	}
	for (uint32_t i = 0; i < n_dims; i++) {
		if (!extents[i]->known)
			extents[i]->n = npy->shape[i];
		extents[i]->known = true;
		if (npy->shape[i] == extents[i]->n &&
			(npy->shape[i] > 0 || extents[i]->may_be_none))
			continue;
		snprintf(loader->error, SETTINGS_ERROR_SIZE,
			"%s/%s.npy: dimension %u is %zu, expected %zu %s", loader->dir, name, i,
			npy->shape[i], extents[i]->n, extents[i]->name);
		return NULL;
	}
	return npy->data;
}

static void check_rising(struct loader *loader, const char *name, const int64_t *times, size_t n)
{
	for (size_t i = 1; i < n && !loader->error[0]; i++)
		if (times[i] < times[i - 1])
			snprintf(loader->error, SETTINGS_ERROR_SIZE,
				"%s/%s.npy: time falls at row %zu", loader->dir, name, i);
}

static void check_values(struct loader *loader)
{
	const struct session *session = loader->session;
	const uint32_t n_segments = session->settings.track.n_segments;

	if (loader->error[0])
		return;
	check_rising(loader, "in_pos_t", session->position_time, session->n_positions);
	check_rising(loader, "in_spike_t", session->spike_time, session->n_spikes);
	check_rising(loader, "in_lfp_t", session->lfp_time, session->n_lfp);
	for (size_t i = 0; i < session->n_positions && !loader->error[0]; i++)
		if (session->segment[i] < 0 || (uint32_t)session->segment[i] >= n_segments)
			snprintf(loader->error, SETTINGS_ERROR_SIZE,
				"%s/in_pos_seg.npy: row %zu is segment %d, config.json has %u",
				loader->dir, i, session->segment[i], n_segments);
	if (!loader->error[0] &&
		session->n_time_bins != session->n_lfp / session->settings.lfp_per_bin)
		snprintf(loader->error, SETTINGS_ERROR_SIZE,
			"%s/out_post.npy: %zu time bins, %zu LFP samples make %zu", loader->dir,
			session->n_time_bins, session->n_lfp,
			session->n_lfp / session->settings.lfp_per_bin);
}

#define SHAPE(...) \
	(uint32_t)(sizeof((struct extent *[]){__VA_ARGS__}) / sizeof(struct extent *)), \
		(struct extent *[]) \
	{ \
		__VA_ARGS__ \
	}

static void load_all(struct loader *loader)
{
	struct session *s = loader->session;
	struct extent positions = {.name = "positions"}, spikes = {.name = "spikes"},
		      lfp = {.name = "samples"};
	struct extent likelihoods = {.name = "likelihoods", .may_be_none = true},
		      ripples = {.name = "messages", .may_be_none = true};
	struct extent time_bins = {.name = "time bins"}, points = {.name = "points"};
	struct extent channels = {
		.name = "electrodes of config.json", .n = s->settings.n_electrodes, .known = true};
	struct extent dims = {
		.name = "mark dimensions of config.json", .n = s->settings.n_dims, .known = true};
	struct extent bins = {
		.name = "position bins of config.json", .n = s->settings.n_bins, .known = true};
	struct extent states = {
		.name = "states of config.json", .n = s->settings.n_states, .known = true};
	struct extent two = {.name = "columns", .n = 2, .known = true},
		      four = {.name = "columns", .n = 4, .known = true};
	struct extent like = {.name = "columns", .n = LIKE_COLUMNS, .known = true},
		      ripple = {.name = "columns", .n = RIPPLE_COLUMNS, .known = true};
	struct extent post = {.name = "columns", .n = POST_COLUMNS, .known = true};

	s->position_time = load(loader, "in_pos_t", "i8", SHAPE(&positions));
	s->segment = load(loader, "in_pos_seg", "i4", SHAPE(&positions));
	s->along = load(loader, "in_pos_on", "f8", SHAPE(&positions));
	s->leds = load(loader, "in_pos_xy", "f8", SHAPE(&positions, &four));
	s->spike_time = load(loader, "in_spike_t", "i8", SHAPE(&spikes));
	s->spike_group = load(loader, "in_spike_group", "i4", SHAPE(&spikes));
	s->waveforms = load(loader, "in_spike_wave", "i2", SHAPE(&spikes, &dims, &points));
	s->lfp_time = load(loader, "in_lfp_t", "i8", SHAPE(&lfp));
	s->lfp = load(loader, "in_lfp", "i2", SHAPE(&lfp, &channels));
	s->speed = load(loader, "out_vel", "f8", SHAPE(&positions));
	s->position_bin = load(loader, "out_pos_bin", "i4", SHAPE(&positions));
	s->stored = load(loader, "out_encoding_spike", "b1", SHAPE(&spikes));
	s->like_meta = load(loader, "out_like_meta", "f8", SHAPE(&likelihoods, &like));
	s->like = load(loader, "out_like_hist", "f8", SHAPE(&likelihoods, &bins));
	s->filtered = load(loader, "out_filt", "f8", SHAPE(&lfp, &channels));
	s->envelope = load(loader, "out_env", "f8", SHAPE(&lfp, &channels));
	s->consensus = load(loader, "out_cons_z", "f8", SHAPE(&lfp, &two));
	s->ripples = load(loader, "out_ripple_msgs", "f8", SHAPE(&ripples, &ripple));
	s->posterior = load(loader, "out_post", "f8", SHAPE(&time_bins, &states, &bins));
	s->likelihood = load(loader, "out_lik", "f8", SHAPE(&time_bins, &bins));
	s->post_meta = load(loader, "out_post_meta", "f8", SHAPE(&time_bins, &post));
	s->n_positions = positions.n;
	s->n_spikes = spikes.n;
	s->n_lfp = lfp.n;
	s->n_likelihoods = likelihoods.n;
	s->n_ripples = ripples.n;
	s->n_time_bins = time_bins.n;
	s->n_channels = (uint32_t)channels.n;
	s->n_points = (uint32_t)points.n;
}

int session_open(const char *dir, struct session *session, char *error)
{
	struct loader loader = {.dir = dir, .session = session, .error = error};
	char path[4096];

	*session = (struct session){0};
	if (snprintf(path, sizeof(path), "%s/config.json", dir) >= (int)sizeof(path)) {
		snprintf(error, SETTINGS_ERROR_SIZE, "directory name is too long");
		return -1;
	}
	if (settings_read(path, &session->settings, error) < 0)
		return -1;
	load_all(&loader);
	check_values(&loader);
	if (!error[0])
		return 0;
	session_close(session);
	return -1;
}

void session_close(struct session *session)
{
	while (session->n_files > 0)
		fnx_npy_close(&session->files[--session->n_files]);
}
