/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_vectors DIR: pushes a session of the ancestor's through the cores that the nodes use
 * (kinematics, track, ripple, encoder, decoder, all in parity mode) in order of time, and compares
 * what comes out with what came out of the ancestor. At equal times positions come first, then
 * spikes, then LFP.
 *
 * Exit status: 0 all within their bounds, 1 something is not, 2 the directory cannot be used.
 */
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/acquire/kinematics.h"
#include "nodes/decode/state_space.h"
#include "nodes/encode/mark.h"
#include "nodes/encode/model.h"
#include "nodes/host/credible.h"
#include "nodes/host/occupancy.h"
#include "nodes/host/track.h"
#include "nodes/ripple/butterworth.h"
#include "nodes/ripple/detector.h"
#include "nodes/ripple/envelope.h"
#include "nodes/ripple/firls.h"
#include "tests/vectors/report.h"
#include "tests/vectors/session.h"

static const double UV_PER_COUNT = 0.195;
/* Below this a speed has no relative error worth the name, cm/s. */
static const double SLOWEST = 1e-3;

/* The ring in which the ancestor's decoder keeps the spikes that reach it. */
struct arrivals {
	struct fnx_decode_spike *spikes; /* [n] in the order of the ring */
	double *likelihoods; /* [n][n_bins] */
	uint32_t n, next;
	struct fnx_decode_spike *batch; /* [n] those of a time bin */
};

struct run {
	const struct session *session;
	const struct settings *settings;
	struct report *report;
	int32_t *bin_arms; /* [n_bins] */
	double *scratch; /* [n_bins] */
	struct fnx_track *track;
	struct fnx_kinematics kinematics;
	struct fnx_envelope *envelope;
	struct fnx_detector *detector;
	struct fnx_detector_event *events;
	float *counts; /* [n_channels], or a waveform */
	double *filtered, *band; /* [n_channels] */
	double *filtered_scale, *band_scale; /* [n_channels] largest of the ancestor's */
	struct fnx_occupancy occupancy; /* the encoders' */
	struct fnx_model *models[SETTINGS_GROUPS_MAX];
	void *model_scratch;
	struct fnx_state_space space;
	struct arrivals arrivals;
	int32_t position_bin;
	double speed;
	size_t n_likelihoods, n_ripples, n_time_bins;
};

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "check_vectors: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	exit(2);
}

static void must(int result, const char *what)
{
	if (result < 0)
		die("%s: config.json asks for what cannot be had (%s)", what, strerror(-result));
}

static void *memory(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		die("out of memory");
	return p;
}

static double largest_of(const double *values, size_t n, size_t stride)
{
	double largest = 0.0;

	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, fabs(values[i * stride]));
	return largest > 0.0 ? largest : 1.0;
}

static void begin_position(struct run *run)
{
	const struct settings *settings = run->settings;
	const char *why = "";
	uint32_t n_track;

	if (fnx_track_new(&settings->track, &run->track, &why) < 0)
		die("encoder.position: config.json: %s", why);
	n_track = fnx_track_bins(run->track);
	if (n_track > settings->n_bins)
		die("encoder.position: config.json: an arm ends beyond num_bins");
	for (uint32_t i = 0; i < settings->n_bins; i++)
		run->bin_arms[i] = i < n_track ? fnx_track_bin_arms(run->track)[i] : -1;
	must(fnx_kinematics_init(&run->kinematics, &settings->kinematics), "kinematics");
}

static void begin_ripple(struct run *run)
{
	const struct settings *settings = run->settings;
	const struct session *session = run->session;
	const uint32_t n = session->n_channels;
	struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];
	double *taps = memory(settings->n_smoothing_taps, sizeof(double));

	must(fnx_butterworth_band_pass(settings->filter_order, settings->band_hz[0],
		     settings->band_hz[1], settings->lfp_rate_hz, sections),
		"ripples.filter");
	must(fnx_firls_low_pass(settings->n_smoothing_taps, settings->smoothing_hz[0],
		     settings->smoothing_hz[1], settings->lfp_rate_hz, taps),
		"ripples.smoothing_filter");
	must(fnx_envelope_new(&(struct fnx_envelope_config){.n_channels = n,
				      .n_sections = settings->filter_order,
				      .sections = sections,
				      .n_smoothing_taps = settings->n_smoothing_taps,
				      .smoothing_taps = taps,
				      .parity = true},
		     &run->envelope),
		"ripples.filter");
	must(fnx_detector_new(
		     &(struct fnx_detector_config){
			     .n_channels = n, .parity = true, .params = settings->ripple},
		     &run->detector),
		"ripples");
	free(taps);
	run->events = memory(fnx_detector_events_max(run->detector), sizeof(*run->events));
	run->filtered = memory(n, sizeof(double));
	run->band = memory(n, sizeof(double));
	run->filtered_scale = memory(n, sizeof(double));
	run->band_scale = memory(n, sizeof(double));
	for (uint32_t c = 0; c < n; c++) {
		run->filtered_scale[c] = largest_of(session->filtered + c, session->n_lfp, n);
		run->band_scale[c] = largest_of(session->envelope + c, session->n_lfp, n);
	}
}

static int find_group(const struct settings *settings, int32_t id)
{
	for (uint32_t g = 0; g < settings->n_groups; g++)
		if (settings->groups[g] == (uint32_t)id)
			return (int)g;
	return -1;
}

/* A group that has fewer spikes than the capacity never reaches it, and needs memory for those
 * only. */
static uint32_t capacity_of(const struct run *run, uint32_t group)
{
	uint32_t n = 0;

	for (size_t i = 0; i < run->session->n_spikes; i++)
		n += find_group(run->settings, run->session->spike_group[i]) == (int)group;
	if (n > run->settings->capacity)
		return run->settings->capacity;
	return n > 0 ? n : 1;
}

static void begin_encoder(struct run *run)
{
	const struct settings *settings = run->settings;
	size_t scratch_size = 0;

	must(fnx_occupancy_init(&run->occupancy,
		     &(struct fnx_occupancy_config){.n_bins = settings->n_bins,
			     .bin_arms = run->bin_arms,
			     .initial = 0.0,
			     .parity = true}),
		"encoder");
	for (uint32_t g = 0; g < settings->n_groups; g++) {
		must(fnx_model_new(&(struct fnx_model_config){.n_dims = settings->n_dims,
					   .n_bins = settings->n_bins,
					   .capacity = capacity_of(run, g),
					   .kernel_uv = settings->kernel_uv,
					   .gate = settings->gate,
					   .gate_deviations = settings->gate_deviations,
					   .gate_min_marks = settings->gate_min_marks,
					   .single = run->report->single},
			     &run->models[g]),
			"encoder");
		scratch_size = fnx_model_scratch_size(run->models[g]);
	}
	run->model_scratch = aligned_alloc(64, (scratch_size + 63) / 64 * 64);
	if (!run->model_scratch)
		die("out of memory");
}

static void begin_decoder(struct run *run)
{
	const struct settings *settings = run->settings;
	const size_t n_bins = settings->n_bins, n = settings->spike_buffer;
	double *distance = memory(n_bins * n_bins, sizeof(double));

	fnx_transition_parity_distances(
		settings->n_bins, run->bin_arms, settings->bin_cm, distance);
	must(fnx_state_space_init(&run->space,
		     &(struct fnx_state_space_config){
			     .transition = {.n_bins = settings->n_bins,
				     .bin_arms = run->bin_arms,
				     .n_states = settings->n_states,
				     .steps = settings->steps,
				     .discrete_diagonal = settings->discrete_diagonal,
				     .distance_cm = distance,
				     .random_walk_cm = settings->random_walk_cm,
				     .through_first_arm = true},
			     .n_groups = settings->n_groups,
			     .max_spikes = settings->spike_buffer,
			     .time_bin_s = settings->time_bin_samples / settings->spike_rate_hz,
			     .credible_mass = settings->credible_mass,
			     .credible_max_bins = settings->credible_max_bins,
			     .parity = true}),
		"decoder");
	free(distance);
	run->arrivals.n = settings->spike_buffer;
	run->arrivals.spikes = memory(n, sizeof(struct fnx_decode_spike));
	run->arrivals.batch = memory(n, sizeof(struct fnx_decode_spike));
	run->arrivals.likelihoods = memory(n * n_bins, sizeof(double));
}

static void begin(struct run *run)
{
	const struct session *session = run->session;
	const size_t n_waveform = (size_t)session->n_points * session->settings.n_dims;

	run->settings = &session->settings;
	run->bin_arms = memory(session->settings.n_bins, sizeof(int32_t));
	run->scratch = memory(session->settings.n_bins, sizeof(double));
	run->counts = memory(
		n_waveform > session->n_channels ? n_waveform : session->n_channels, sizeof(float));
	begin_position(run);
	begin_ripple(run);
	begin_encoder(run);
	begin_decoder(run);
}

static void end(struct run *run)
{
	for (uint32_t g = 0; g < run->settings->n_groups; g++)
		fnx_model_free(run->models[g]);
	fnx_state_space_fini(&run->space);
	fnx_occupancy_fini(&run->occupancy);
	fnx_detector_free(run->detector);
	fnx_envelope_free(run->envelope);
	fnx_track_free(run->track);
	free(run->arrivals.spikes);
	free(run->arrivals.batch);
	free(run->arrivals.likelihoods);
	free(run->model_scratch);
	free(run->events);
	free(run->filtered);
	free(run->band);
	free(run->filtered_scale);
	free(run->band_scale);
	free(run->counts);
	free(run->bin_arms);
	free(run->scratch);
}

static bool is_training(const struct run *run)
{
	return fabs(run->speed) >= run->settings->min_speed_cm_s && !run->settings->frozen;
}

static void position_step(struct run *run, size_t i)
{
	const struct session *session = run->session;
	const double *leds = session->leds + 4 * i, expected = session->speed[i];
	struct fnx_kinematics_out out;

	fnx_kinematics_step(&run->kinematics, session->position_time[i], leds[0], leds[1], leds[2],
		leds[3], &out);
	run->speed = out.speed;
	run->position_bin =
		fnx_track_from_segment(run->track, session->segment[i], session->along[i]).bin;
	report_equal(run->report, QUANTITY_BINS, run->position_bin == session->position_bin[i], i);
	report_error(run->report, QUANTITY_SPEED,
		difference(out.speed, expected) / fmax(fabs(expected), SLOWEST), i);
	if (is_training(run)) {
		fnx_occupancy_add(&run->occupancy, run->position_bin);
		fnx_state_space_occupy(&run->space, run->position_bin);
	}
}

/* Equal, or the cumulative sum comes so near to the mass that the last digits decide. */
static bool same_credible(
	const struct run *run, const double *distribution, double expected, enum quantity precision)
{
	const double mass = run->settings->credible_mass;
	const double margin = 2.0 * run->settings->n_bins * report_bound(run->report, precision);
	const uint32_t n = run->settings->n_bins;

	return fnx_credible_bins(distribution, n, mass - margin, run->scratch) <= expected &&
		fnx_credible_bins(distribution, n, mass + margin, run->scratch) >= expected;
}

static void likelihood_sent(struct run *run, size_t i, uint32_t group)
{
	const struct session *session = run->session;
	const uint32_t n_bins = run->settings->n_bins;
	const size_t k = run->n_likelihoods++;
	const double *meta = session->like_meta + k * LIKE_COLUMNS;
	const double *expected = session->like + k * n_bins;
	struct arrivals *arrivals = &run->arrivals;
	double *likelihood = arrivals->likelihoods + (size_t)arrivals->next * n_bins;
	struct fnx_decode_spike *spike = &arrivals->spikes[arrivals->next];

	*spike = (struct fnx_decode_spike){.sample_time = session->spike_time[i],
		.group = group,
		.position_bin = run->position_bin,
		.credible_bins = fnx_credible_bins(
			likelihood, n_bins, run->settings->credible_mass, run->scratch),
		.likelihood = likelihood};
	arrivals->next = (arrivals->next + 1) % arrivals->n;
	if (k >= session->n_likelihoods)
		return;
	report_equal(run->report, QUANTITY_LIKELIHOODS,
		meta[LIKE_SPIKE] == (double)i &&
			meta[LIKE_TIME] == (double)session->spike_time[i] &&
			meta[LIKE_GROUP] == session->spike_group[i] &&
			meta[LIKE_BIN] == run->position_bin,
		k);
	report_equal(run->report, QUANTITY_LIKELIHOOD_CREDIBLE,
		same_credible(run, likelihood, meta[LIKE_CREDIBLE], QUANTITY_HISTOGRAM), k);
	for (uint32_t b = 0; b < n_bins; b++)
		report_error(
			run->report, QUANTITY_HISTOGRAM, difference(likelihood[b], expected[b]), k);
}

static bool spike_stored(struct run *run, size_t i)
{
	const struct session *session = run->session;
	const struct settings *settings = run->settings;
	const int group = find_group(settings, session->spike_group[i]);
	const size_t n_values = (size_t)settings->n_dims * session->n_points;
	double mark[FNX_MARK_DIMS_MAX], *likelihood;
	struct fnx_mark_config config = {.n_channels = settings->n_dims,
		.neighbours = settings->neighbours,
		.amplitude_uv = settings->spike_amplitude_uv};

	if (group < 0)
		return false;
	config.dead_channels = settings->dead_channels[group];
	for (size_t k = 0; k < n_values; k++)
		run->counts[k] = session->waveforms[i * n_values + k];
	if (fnx_mark_from_waveform(&config, run->counts, session->n_points, session->n_points,
		    UV_PER_COUNT, mark) != FNX_MARK_ACCEPTED)
		return false;
	likelihood = run->arrivals.likelihoods + (size_t)run->arrivals.next * settings->n_bins;
	if (fnx_model_likelihood(run->models[group], mark, run->occupancy.share, run->model_scratch,
		    likelihood) == FNX_ENCODE_VALID)
		likelihood_sent(run, i, (uint32_t)group);
	return is_training(run) && fnx_model_add(run->models[group], mark, run->position_bin) >= 0;
}

static void spike_step(struct run *run, size_t i)
{
	report_equal(
		run->report, QUANTITY_STORED, spike_stored(run, i) == run->session->stored[i], i);
}

static void compare_ripple(struct run *run, size_t i, const struct fnx_detector_event *event)
{
	const struct session *session = run->session;
	const size_t k = run->n_ripples++;
	const double *expected = session->ripples + k * RIPPLE_COLUMNS;
	const bool is_consensus = event->channel == FNX_DETECTOR_CONSENSUS;
	const double electrode = is_consensus ? -1.0 : run->settings->electrodes[event->channel];

	if (k >= session->n_ripples)
		return;
	report_equal(run->report, QUANTITY_RIPPLES,
		expected[RIPPLE_TIME] == (double)session->lfp_time[i] &&
			expected[RIPPLE_ELECTRODE] == electrode &&
			expected[RIPPLE_TYPE] == event->type &&
			expected[RIPPLE_IS_CONSENSUS] == is_consensus,
		k);
	report_error(run->report, QUANTITY_RIPPLE_Z, difference(event->z, expected[RIPPLE_Z]), k);
}

static void ripple_step(struct run *run, size_t i)
{
	const struct session *session = run->session;
	const uint32_t n = session->n_channels;
	size_t n_events;

	for (uint32_t c = 0; c < n; c++)
		run->counts[c] = session->lfp[i * n + c];
	fnx_envelope_step(run->envelope, run->counts, UV_PER_COUNT, run->filtered, run->band);
	for (uint32_t c = 0; c < n; c++) {
		report_error(run->report, QUANTITY_FILTERED,
			difference(run->filtered[c], session->filtered[i * n + c]) /
				run->filtered_scale[c],
			i);
		report_error(run->report, QUANTITY_ENVELOPE,
			difference(run->band[c], session->envelope[i * n + c]) / run->band_scale[c],
			i);
	}
	n_events = fnx_detector_step(run->detector, run->band, run->speed, run->events);
	report_error(run->report, QUANTITY_CONSENSUS,
		difference(fnx_detector_z(run->detector, n), session->consensus[2 * i + 1]), i);
	for (size_t k = 0; k < n_events; k++)
		compare_ripple(run, i, &run->events[k]);
}

static uint32_t spikes_between(const struct run *run, int64_t left, int64_t right)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < run->arrivals.n; i++) {
		const struct fnx_decode_spike *spike = &run->arrivals.spikes[i];

		if (spike->likelihood && spike->sample_time >= left && spike->sample_time < right)
			run->arrivals.batch[n++] = *spike;
	}
	return n;
}

static void compare_time_bin(struct run *run, size_t i, int64_t left, int64_t right,
	const struct fnx_decode_result *result)
{
	const struct session *session = run->session;
	const size_t t = run->n_time_bins++;
	const uint32_t n_bins = run->settings->n_bins, n_states = run->settings->n_states;
	const double *meta = session->post_meta + t * POST_COLUMNS;
	const double *posterior = session->posterior + t * n_states * n_bins;
	const double *likelihood = session->likelihood + t * n_bins;
	double *total = memory(n_bins, sizeof(double));

	report_equal(run->report, QUANTITY_TIME_BINS,
		meta[POST_TIME] == (double)session->lfp_time[i] &&
			meta[POST_LEFT] == (double)left && meta[POST_RIGHT] == (double)right,
		t);
	report_error(run->report, QUANTITY_SPEED,
		difference(run->speed, meta[POST_SPEED]) / fmax(fabs(meta[POST_SPEED]), SLOWEST),
		t);
	report_equal(run->report, QUANTITY_SPIKE_COUNT,
		meta[POST_SPIKES] == (double)result->n_spikes, t);
	for (uint32_t b = 0; b < n_bins; b++)
		report_error(run->report, QUANTITY_LIKELIHOOD,
			difference(result->likelihood[b], likelihood[b]), t);
	for (uint32_t b = 0; b < n_states * n_bins; b++) {
		report_error(run->report, QUANTITY_POSTERIOR,
			difference(result->posterior[b], posterior[b]), t);
		total[b % n_bins] += result->posterior[b];
	}
	report_equal(run->report, QUANTITY_CREDIBLE,
		same_credible(run, total, meta[POST_CREDIBLE], QUANTITY_POSTERIOR) &&
			same_credible(run, result->likelihood, meta[POST_CREDIBLE_LIKELIHOOD],
				QUANTITY_LIKELIHOOD),
		t);
	free(total);
}

static void lfp_step(struct run *run, size_t i)
{
	const struct settings *settings = run->settings;
	const int64_t right = run->session->lfp_time[i] - settings->delay_samples;
	const int64_t left = right - settings->time_bin_samples;
	struct fnx_decode_result result;

	ripple_step(run, i);
	if ((i + 1) % settings->lfp_per_bin != 0)
		return;
	fnx_state_space_tick(
		&run->space, run->arrivals.batch, spikes_between(run, left, right), &result);
	compare_time_bin(run, i, left, right, &result);
}

static void run_all(struct run *run)
{
	const struct session *s = run->session;
	size_t position = 0, spike = 0, lfp = 0;

	for (;;) {
		const int64_t never = INT64_MAX;
		const int64_t p = position < s->n_positions ? s->position_time[position] : never;
		const int64_t k = spike < s->n_spikes ? s->spike_time[spike] : never;
		const int64_t l = lfp < s->n_lfp ? s->lfp_time[lfp] : never;

		if (p != never && p <= k && p <= l)
			position_step(run, position++);
		else if (k != never && k <= l)
			spike_step(run, spike++);
		else if (l != never)
			lfp_step(run, lfp++);
		else
			break;
	}
	report_count(run->report, QUANTITY_LIKELIHOODS, run->n_likelihoods, s->n_likelihoods);
	report_count(run->report, QUANTITY_RIPPLES, run->n_ripples, s->n_ripples);
}

static const char usage[] = "usage: check_vectors [--single] DIR\n"
			    "Runs the session in DIR (config.json, in_*.npy) in parity mode and "
			    "compares with its out_*.npy.\n"
			    "  --single  single-precision weights, with their bounds\n"
			    "  --help    this text\n"
			    "Exit status: 0 within all bounds, 1 not, 2 DIR cannot be used.\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"single", no_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {0}};
	static struct session session;
	static struct run run;
	static struct report report;
	char error[SETTINGS_ERROR_SIZE] = "";
	int option;
	bool good;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (option != 's')
			return 2;
		report.single = true;
	}
	if (optind != argc - 1)
		die("one directory is needed (check_vectors --help)");
	if (session_open(argv[optind], &session, error) < 0)
		die("%s", error);
	run.session = &session;
	run.report = &report;
	begin(&run);
	run_all(&run);
	good = report_print(&report, stdout);
	end(&run);
	session_close(&session);
	return good ? 0 : 1;
}
