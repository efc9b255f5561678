/* SPDX-License-Identifier: BSD-3-Clause */
/* The published decoder's own numbers for whole sessions, and an excerpt of one that is always
 * here. */
#include "nodes/ripple/butterworth.h"
#include "nodes/ripple/detector.h"
#include "nodes/ripple/envelope.h"
#include "nodes/ripple/firls.h"

#include "tests/support/check.h"
#include "tests/support/npy.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	N_CHANNELS_MAX = 4
};

struct session {
	struct fnx_npy lfp, lfp_t, position_t, speed, filtered, envelope, messages, consensus_z;
	size_t stride; /* filtered and envelope hold every stride-th sample */
};

static struct fnx_npy open_npy(const char *dir, const char *name)
{
	struct fnx_npy npy;

	if (fnx_npy_open_in(dir, name, &npy) < 0)
		fail_msg("cannot read %s/%s.npy", dir, name);
	return npy;
}

static void session_open(struct session *session, const char *dir, size_t stride)
{
	session->lfp = open_npy(dir, "in_lfp");
	session->lfp_t = open_npy(dir, "in_lfp_t");
	session->position_t = open_npy(dir, "in_pos_t");
	session->speed = open_npy(dir, "out_vel");
	session->filtered = open_npy(dir, "out_filt");
	session->envelope = open_npy(dir, "out_env");
	session->messages = open_npy(dir, "out_ripple_msgs");
	session->consensus_z = (struct fnx_npy){0};
	if (stride == 1)
		session->consensus_z = open_npy(dir, "out_cons_z");
	session->stride = stride;
	assert_true(session->lfp.shape[1] <= N_CHANNELS_MAX);
	assert_int_equal(session->envelope.shape[1], session->lfp.shape[1]);
}

static void session_close(struct session *session)
{
	fnx_npy_close(&session->lfp);
	fnx_npy_close(&session->lfp_t);
	fnx_npy_close(&session->position_t);
	fnx_npy_close(&session->speed);
	fnx_npy_close(&session->filtered);
	fnx_npy_close(&session->envelope);
	fnx_npy_close(&session->messages);
	fnx_npy_close(&session->consensus_z);
}

/* Relative to the value, or to `size` where the value is nearly 0. */
static void assert_close(double value, double expected, double size)
{
	if (isnan(value) && isnan(expected))
		return;
	if (!(fabs(value - expected) <= 1e-9 * fmax(fabs(expected), 1e-3 * size)))
		fail_msg("%.17g, not %.17g", value, expected);
}

static struct fnx_envelope *new_envelope(uint32_t n_channels)
{
	struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];
	struct fnx_envelope *envelope;
	double smoothing[15];

	assert_int_equal(fnx_butterworth_band_pass(2, 150, 250, 1500, sections), 0);
	assert_int_equal(fnx_firls_low_pass(15, 50, 55, 1500, smoothing), 0);
	assert_int_equal(fnx_envelope_new(&(struct fnx_envelope_config){.n_channels = n_channels,
						  .n_sections = 2,
						  .sections = sections,
						  .n_smoothing_taps = 15,
						  .smoothing_taps = smoothing,
						  .parity = true},
				 &envelope),
		0);
	return envelope;
}

static struct fnx_detector *new_detector(uint32_t n_channels)
{
	struct fnx_detector_config config = {
		.n_channels = n_channels, .parity = true, .params = fnx_detector_params_default};
	struct fnx_detector *detector;

	assert_int_equal(fnx_detector_new(&config, &detector), 0);
	return detector;
}

/* Checks `n` events of time `t` against the messages from `*at` on. */
static void check_events(const struct fnx_detector_event *events, size_t n, double t,
	const struct fnx_npy *messages, size_t *at)
{
	for (size_t i = 0; i < n; i++, ++*at) {
		const double *message = (const double *)messages->data + *at * 5;
		bool consensus = events[i].channel == FNX_DETECTOR_CONSENSUS;

		assert_true(*at < messages->shape[0]);
		assert_true(message[0] == t);
		assert_true(message[1] == (consensus ? -1 : events[i].channel + 1));
		assert_true(message[2] == (double)events[i].type);
		assert_true(message[3] == consensus);
		assert_close(events[i].z, message[4], 0);
	}
}

static void run_session(const struct session *session)
{
	uint32_t n = (uint32_t)session->lfp.shape[1];
	struct fnx_envelope *chain = new_envelope(n);
	struct fnx_detector *detector = new_detector(n);
	size_t n_positions = 0, n_messages = 0;

	for (size_t i = 0; i < session->lfp.shape[0]; i++) {
		struct fnx_detector_event
			events[(N_CHANNELS_MAX + 1) * FNX_DETECTOR_EVENTS_PER_TRACE];
		double filtered[N_CHANNELS_MAX], envelope[N_CHANNELS_MAX];
		double t = fnx_npy_double(&session->lfp_t, i), speed = 0;
		float counts[N_CHANNELS_MAX];
		size_t n_events;

		for (uint32_t c = 0; c < n; c++)
			counts[c] = (float)fnx_npy_double(&session->lfp, i * n + c);
		assert_int_equal(fnx_envelope_step(chain, counts, 0.195, filtered, envelope), 0);
		for (uint32_t c = 0; c < n && i % session->stride == 0; c++) {
			size_t at = i / session->stride * n + c;

			assert_close(filtered[c], fnx_npy_double(&session->filtered, at), 1);
			assert_close(envelope[c], fnx_npy_double(&session->envelope, at), 0);
		}
		while (n_positions < session->position_t.n_items &&
			fnx_npy_double(&session->position_t, n_positions) <= t)
			n_positions++;
		if (n_positions > 0)
			speed = fnx_npy_double(&session->speed, n_positions - 1);
		n_events = fnx_detector_step(detector, envelope, speed, events);
		check_events(events, n_events, t, &session->messages, &n_messages);
		if (session->consensus_z.data)
			assert_close(fnx_detector_z(detector, n),
				fnx_npy_double(&session->consensus_z, i * 2 + 1), 1);
	}
	assert_int_equal(n_messages, session->messages.shape[0]);
	print_message("%zu samples of %u channels, %zu messages equal\n", session->lfp.shape[0], n,
		n_messages);
	fnx_envelope_free(chain);
	fnx_detector_free(detector);
}

static void run_shared(const char *name)
{
	const char *dir = check_data(name);
	struct session session;

	if (!dir) {
		print_message("%s is not here; the excerpt stands for it\n", name);
		return;
	}
	session_open(&session, dir, 1);
	run_session(&session);
	session_close(&session);
}

TEST(the_session_of_two_electrodes_is_reproduced)
{
	run_shared("vectors/dec");
}

TEST(the_session_of_four_electrodes_is_reproduced)
{
	run_shared("vectors/cls");
}

TEST(the_excerpt_is_reproduced)
{
	struct session session;

	session_open(&session, FNX_SOURCE_DIR "/tests/data/ripple/excerpt", 50);
	run_session(&session);
	session_close(&session);
}

/* The reader that all of the above rests on. */
static const char *write_npy(const char *header, size_t n_data)
{
	static char path[512];
	unsigned char head[10] = {
		0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)strlen(header)};
	static const int16_t data[8] = {1, -2, 3, -4, 5, -6, 7, -8};
	FILE *file;

	snprintf(path, sizeof(path), "%s/a.npy", check_scratch_dir());
	file = fopen(path, "we");
	assert_non_null(file);
	fwrite(head, 1, sizeof(head), file);
	fwrite(header, 1, strlen(header), file);
	fwrite(data, 1, n_data, file);
	fclose(file);
	return path;
}

TEST(an_npy_file_is_read_by_its_header)
{
	struct fnx_npy npy;

	assert_int_equal(fnx_npy_open(write_npy("{'descr': '<i2', 'fortran_order': False, "
						"'shape': (2, 4), }\n",
					      16),
				 &npy),
		0);
	assert_true(npy.dtype == 'i' && npy.item_size == 2 && npy.n_dims == 2 && npy.n_items == 8);
	assert_true(npy.shape[0] == 2 && npy.shape[1] == 4 && npy.shape[2] == 1);
	assert_true(fnx_npy_double(&npy, 3) == -4);
	fnx_npy_close(&npy);
	assert_null(npy.data);
}

TEST(an_npy_file_of_another_kind_or_cut_short_is_refused)
{
	struct fnx_npy npy = {.n_items = 77};

	assert_int_equal(fnx_npy_open("/nonexistent/a.npy", &npy), -ENOENT);
	assert_int_equal(fnx_npy_open(write_npy("{'descr': '<i2', 'fortran_order': False, "
						"'shape': (2, 4), }\n",
					      15),
				 &npy),
		-EBADMSG);
	assert_int_equal(fnx_npy_open(write_npy("{'descr': '<i2', 'fortran_order': True, "
						"'shape': (2, 4), }\n",
					      16),
				 &npy),
		-EINVAL);
	assert_int_equal(fnx_npy_open(write_npy("{'descr': '<c8', 'fortran_order': False, "
						"'shape': (1,), }\n",
					      16),
				 &npy),
		-EINVAL);
	assert_int_equal(npy.n_items, 77);
}
