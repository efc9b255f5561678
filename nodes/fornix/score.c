/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bins are kept one by one, since only at the end is it known which half is the second. Their
 * memory is reserved address space, taken by the page as a run goes on.
 */
#include "nodes/fornix/score.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "nodes/host/placement.h"
#include "nodes/host/track.h"
#include "schemas/decision.h"
#include "schemas/likelihood.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"
#include "schemas/truth.h"

enum {
	PAIRS_MAX = 8 << 20, /* 14 hours of running, in 6 ms bins */
	ONSETS_MAX = 1 << 20,
	REPLAY_GRACE_SAMPLES =
		3000, /* a decision this soon after a replay's end still speaks of it: 0.1 s */
};

/* Speed above which the animal counts as moving, cm/s; as in the published scores. */
static const double moving_cm_s = 5;

struct score_node {
	struct fnx_node *node;
	struct fnx_score *score;
	int posterior, ripple, decision, truth, first_likelihood, last_likelihood;
	int32_t replay_arm; /* the latest replay's */
	int64_t replay_end; /* INT64_MAX while it lasts */
};

static struct fnx_score *used;

void fnx_score_use(struct fnx_score *score)
{
	used = score;
}

static void *reserve(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int fnx_score_init(struct fnx_score *score)
{
	memset(score, 0, sizeof(*score));
	score->pairs_capacity = PAIRS_MAX;
	score->onsets_capacity = ONSETS_MAX;
	score->pairs = reserve(PAIRS_MAX * sizeof(*score->pairs));
	score->onsets = reserve(ONSETS_MAX * sizeof(*score->onsets));
	score->decoded_bin = score->position_bin = -1;
	score->digest = UINT64_C(0xcbf29ce484222325);
	if (score->pairs && score->onsets)
		return 0;
	fnx_score_fini(score);
	return -ENOMEM;
}

void fnx_score_fini(struct fnx_score *score)
{
	if (score->pairs)
		munmap(score->pairs, PAIRS_MAX * sizeof(*score->pairs));
	if (score->onsets)
		munmap(score->onsets, ONSETS_MAX * sizeof(*score->onsets));
	score->pairs = NULL;
	score->onsets = NULL;
}

static void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* FNV-1a over words of 8 bytes: every bit of every posterior, in order. */
static uint64_t mix(uint64_t digest, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	for (; size >= 8; at += 8, size -= 8) {
		uint64_t word;

		memcpy(&word, at, 8);
		digest = (digest ^ word) * UINT64_C(0x100000001b3);
		digest ^= digest >> 29;
	}
	for (; size; at++, size--)
		digest = (digest ^ *at) * UINT64_C(0x100000001b3);
	return digest;
}

void fnx_score_posterior(struct fnx_score *score, const struct fnx_posterior *message)
{
	uint64_t n = score->n_pairs;

	count(&score->posteriors);
	if (message->position_bin < 0 || message->decoded_bin < 0 ||
		message->position_bin > INT16_MAX || message->decoded_bin > INT16_MAX ||
		message->speed <= moving_cm_s || n == score->pairs_capacity)
		return;
	score->pairs[n].decoded = (int16_t)message->decoded_bin;
	score->pairs[n].actual = (int16_t)message->position_bin;
	score->pairs[n].time_bin = (uint32_t)score->posteriors;
	atomic_store_explicit(&score->n_pairs, n + 1, memory_order_release);
}

static void take_posterior(struct score_node *self, const struct fnx_frame *frame)
{
	const struct fnx_posterior *message = frame->payload;
	struct fnx_score *score = self->score;
	uint64_t digest = score->digest;

	digest = mix(digest, &frame->stamp.sample_time, sizeof(frame->stamp.sample_time));
	score->digest = mix(digest, frame->payload, frame->length);
	score->decoded_bin = message->decoded_bin;
	score->position_bin = message->position_bin;
	fnx_histogram_add(
		&score->spike_to_posterior, frame->stamp.publish_ns - frame->stamp.ingress_ns);
	fnx_score_posterior(score, message);
}

static void take_ripple(struct score_node *self, const struct fnx_frame *frame)
{
	const struct fnx_ripple *message = frame->payload;
	struct fnx_score *score = self->score;
	uint64_t n = score->n_onsets;

	fnx_histogram_add(&score->lfp_to_ripple, frame->stamp.publish_ns - frame->stamp.ingress_ns);
	if (message->channel != FNX_RIPPLE_CONSENSUS || message->type != FNX_RIPPLE_STANDARD)
		return;
	count(&score->ripples);
	if (n < score->onsets_capacity) {
		score->onsets[n] = frame->stamp.sample_time;
		atomic_store_explicit(&score->n_onsets, n + 1, memory_order_release);
	}
}

static void take_decision(struct score_node *self, const struct fnx_frame *frame)
{
	const struct fnx_decision *message = frame->payload;
	struct fnx_score *score = self->score;

	count(&score->decisions);
	fnx_histogram_add(
		&score->posterior_to_decision, frame->stamp.publish_ns - message->cause_publish_ns);
	if (message->outcome != FNX_DECISION_ACTED)
		return;
	count(&score->acted);
	if (self->truth < 0 || message->arm < 0)
		return;
	count(&score->judged);
	if (message->arm == self->replay_arm &&
		frame->stamp.sample_time - REPLAY_GRACE_SAMPLES <= self->replay_end)
		count(&score->right_arm);
}

static void take_truth(struct score_node *self, const struct fnx_frame *frame)
{
	const struct fnx_truth *message = frame->payload;

	if (message->replay_arm >= 0) {
		self->replay_arm = message->replay_arm;
		self->replay_end = INT64_MAX;
	} else if (self->replay_end == INT64_MAX) {
		self->replay_end = frame->stamp.sample_time;
	}
}

static void score_frame(void *data, unsigned input, const struct fnx_frame *frame)
{
	struct score_node *self = data;
	int i = (int)input;

	if (i == self->posterior)
		take_posterior(self, frame);
	else if (i == self->ripple)
		take_ripple(self, frame);
	else if (i == self->decision)
		take_decision(self, frame);
	else if (i == self->truth)
		take_truth(self, frame);
	else if (((const struct fnx_likelihood *)frame->payload)->status == FNX_LIKELIHOOD_VALID)
		count(&self->score->likelihoods);
}

static int open_inputs(struct score_node *self, const struct fnx_rig *rig)
{
	struct fnx_node *node = self->node;
	char topic[FNX_NAME_MAX];
	int r = 0;

	self->posterior = self->ripple = self->decision = self->truth = -1;
	if (rig->source.type == FNX_SOURCE_SIMULATOR && fnx_rig_topic_is_here(rig, "truth"))
		self->truth = r = fnx_node_input(node, "truth", &fnx_truth_schema, 0);
	for (uint32_t i = 0; r >= 0 && rig->encode.enabled && i < rig->encode.n_instances; i++) {
		snprintf(topic, sizeof(topic), "likelihood.%u", i + 1);
		if (fnx_rig_topic_is_here(rig, topic))
			r = fnx_node_input(node, topic, &fnx_likelihood_schema, 0);
	}
	if (r >= 0 && rig->decode.enabled && fnx_rig_topic_is_here(rig, "posterior"))
		self->posterior = r = fnx_node_input(node, "posterior", &fnx_posterior_schema, 0);
	if (r >= 0 && rig->ripple.enabled && fnx_rig_topic_is_here(rig, "ripple"))
		self->ripple = r = fnx_node_input(node, "ripple", &fnx_ripple_schema, 0);
	if (r >= 0 && rig->dispatch.enabled && fnx_rig_topic_is_here(rig, "decision"))
		self->decision = r = fnx_node_input(node, "decision", &fnx_decision_schema, 0);
	return r < 0 ? r : 0;
}

static int score_open(struct fnx_node *node, void **ret_self)
{
	struct score_node *self = calloc(1, sizeof(*self));
	int r;

	if (!self)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	self->node = node;
	self->score = used;
	self->replay_arm = -1;
	self->replay_end = INT64_MIN / 2;
	r = open_inputs(self, fnx_node_rig(node));
	if (r)
		free(self);
	else
		*ret_self = self;
	return r;
}

static void score_close(void *self)
{
	free(self);
}

/* The second half
 * ----------------------------------------------------------------------------------- */

static size_t second_half(const struct fnx_score *score)
{
	size_t first = 0;

	while (first < score->n_pairs && score->pairs[first].time_bin < score->posteriors / 2)
		first++;
	return first;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Fisher-Yates with a fixed seed: the same session has the same chance level. */
static void shuffle(int16_t *values, size_t n)
{
	uint64_t state = 1;

	for (size_t i = n; i > 1; i--) {
		size_t k;
		int16_t swapped;

		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		k = (size_t)((state >> 33) % i);
		swapped = values[i - 1];
		values[i - 1] = values[k];
		values[k] = swapped;
	}
}

static double median_error(const struct fnx_track *track, const int16_t *decoded,
	const int16_t *actual, size_t n, double *errors)
{
	for (size_t i = 0; i < n; i++)
		errors[i] = fnx_track_distance_cm(track, (uint32_t)decoded[i], (uint32_t)actual[i]);
	return median(errors, n);
}

/* The pairs that name bins of the track: what was published may be anything. */
static size_t take_apart(const struct fnx_score_pair *pairs, size_t n,
	const struct fnx_track *track, int16_t *ret_decoded, int16_t *ret_actual)
{
	size_t n_taken = 0;

	for (size_t i = 0; i < n; i++) {
		if (!fnx_track_has_bin(track, pairs[i].decoded) ||
			!fnx_track_has_bin(track, pairs[i].actual))
			continue;
		ret_decoded[n_taken] = pairs[i].decoded;
		ret_actual[n_taken++] = pairs[i].actual;
	}
	return n_taken;
}

static void judge(const struct fnx_track *track, const int16_t *decoded, int16_t *actual, size_t n,
	double *errors, struct fnx_score_error *ret_error)
{
	const int32_t *arms = fnx_track_bin_arms(track);
	size_t same = 0;

	for (size_t i = 0; i < n; i++)
		same += arms[decoded[i]] == arms[actual[i]];
	ret_error->n = n;
	ret_error->same_arm = (double)same / (double)n;
	ret_error->median_cm = median_error(track, decoded, actual, n, errors);
	shuffle(actual, n);
	ret_error->chance_cm = median_error(track, decoded, actual, n, errors);
}

int fnx_score_error(
	const struct fnx_score *score, const struct fnx_rig *rig, struct fnx_score_error *ret_error)
{
	struct fnx_score_error error = {.median_cm = NAN, .chance_cm = NAN, .same_arm = NAN};
	size_t first = second_half(score), n = atomic_load(&score->n_pairs) - first;
	struct fnx_track_config *config = malloc(sizeof(*config));
	double *errors = malloc((n + 1) * sizeof(*errors));
	int16_t *decoded = malloc((n + 1) * sizeof(*decoded));
	int16_t *actual = malloc((n + 1) * sizeof(*actual));
	struct fnx_track *track = NULL;
	char text[FNX_RIG_ERROR_MAX];
	int r = -ENOMEM;

	if (config && errors && decoded && actual)
		r = rig->track.enabled && n ? fnx_rig_track(rig, config, text) : 1;
	if (!r)
		r = fnx_track_new(config, &track, NULL);
	if (!r) {
		n = take_apart(score->pairs + first, n, track, decoded, actual);
		if (n > 0)
			judge(track, decoded, actual, n, errors, &error);
	}
	fnx_track_free(track);
	free(config);
	free(errors);
	free(decoded);
	free(actual);
	if (r >= 0)
		*ret_error = error;
	return r < 0 ? r : 0;
}

const struct fnx_node_ops fnx_score_ops = {
	.type = "score",
	.summary = "keeps the figures of a run",
	.open = score_open,
	.frame = score_frame,
	.close = score_close,
};
