/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/acquire/nwb_intervals.h"

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static const struct fnx_status *find_page(const struct fnx_crew *crew, const char *name)
{
	for (unsigned i = 0; i < crew->n_members; i++)
		if (!strcmp(crew->members[i].name, name))
			return crew->members[i].status;
	return NULL;
}

static double session_s(const struct fnx_crew *crew)
{
	const struct fnx_status *page = find_page(crew, "acquire");
	int64_t first, last;

	/* Where the source is on another machine: what has come from there. */
	for (unsigned i = 0; i < crew->n_members && !page; i++)
		if (crew->members[i].ops->relay)
			page = crew->members[i].status;
	if (!page)
		return 0;
	first = atomic_load(&page->first_sample_time);
	last = atomic_load(&page->sample_time);
	return first == INT64_MIN ? 0 : (double)(last - first) / crew->rig->clock.rate_hz;
}

static uint64_t topic_frames(const struct fnx_crew *crew, const char *topic)
{
	for (unsigned i = 0; i < crew->n_members; i++) {
		const struct fnx_status *page = crew->members[i].status;

		for (uint32_t k = 0; page && k < page->n_outputs; k++)
			if (!strcmp(page->outputs[k].name, topic))
				return load(&page->outputs[k].frames);
	}
	return 0;
}

/* Ripples found against ripples known
 * -------------------------------------------------------------- */

/* A known ripple is hit by an onset from this long before its start to its end. */
static const double hit_before_s = 0.05;

static void judge_ripples(
	struct fnx_summary *summary, const struct fnx_crew *crew, const struct fnx_score *score)
{
	const struct fnx_rig *rig = crew->rig;
	uint64_t n_onsets = load(&score->n_onsets);
	double *starts, *stops;
	char error[FNX_STATUS_TEXT_MAX];
	size_t n;

	if (rig->source.type != FNX_SOURCE_NWB || !rig->source.nwb.ripple_intervals[0] ||
		!rig->ripple.enabled)
		return;
	if (fnx_nwb_intervals(rig->source.file, rig->source.nwb.ripple_intervals, error,
		    sizeof(error), &starts, &stops, &n)) {
		fprintf(stderr, "fornix: %s\n", error);
		return;
	}
	summary->has_ripple_truth = 1;
	summary->ripple_false_alarms = n_onsets;
	for (size_t i = 0; i < n; i++) {
		int hit = 0;

		for (uint64_t k = 0; k < n_onsets; k++) {
			double at = (double)score->onsets[k] / rig->clock.rate_hz;

			if (at < starts[i] - hit_before_s || at > stops[i])
				continue;
			hit = 1;
			summary->ripple_false_alarms--;
		}
		summary->ripple_hits += (uint64_t)hit;
		summary->ripple_misses += (uint64_t)!hit;
	}
	free(starts);
	free(stops);
}

void fnx_summary_gather(struct fnx_summary *summary, const struct fnx_crew *crew,
	const struct fnx_score *score, int64_t started_ns, int64_t ended_ns)
{
	memset(summary, 0, sizeof(*summary));
	summary->session_s = session_s(crew);
	summary->wall_s = started_ns ? (double)(ended_ns - started_ns) / 1e9 : 0;
	summary->spikes = topic_frames(crew, "spikes");
	for (unsigned i = 0; i < crew->n_members; i++) {
		const struct fnx_status *page = crew->members[i].status;

		if (!page)
			continue;
		summary->missed_wakes += load(&page->missed_wakes);
		for (uint32_t k = 0; k < page->n_inputs; k++) {
			summary->gaps += load(&page->inputs[k].gaps);
			summary->missed += load(&page->inputs[k].missed);
			summary->late += load(&page->inputs[k].late);
			summary->bad += load(&page->inputs[k].bad);
		}
		for (uint32_t k = 0; k < page->n_outputs; k++)
			summary->drops +=
				load(&page->outputs[k].dropped) + load(&page->outputs[k].lapped);
	}
	if (fnx_score_error(score, crew->rig, &summary->error))
		summary->error = (struct fnx_score_error){
			.median_cm = NAN, .chance_cm = NAN, .same_arm = NAN};
	judge_ripples(summary, crew, score);
}

void fnx_summary_progress(const struct fnx_crew *crew, const struct fnx_score *score,
	int64_t started_ns, char *line, size_t size)
{
	double session = session_s(crew), wall = (double)(fnx_node_now() - started_ns) / 1e9;
	uint64_t frames = 0, gaps = 0;

	for (unsigned i = 0; i < crew->n_members; i++) {
		const struct fnx_status *page = crew->members[i].status;

		for (uint32_t k = 0; page && k < page->n_outputs; k++)
			frames += load(&page->outputs[k].frames);
		for (uint32_t k = 0; page && k < page->n_inputs; k++)
			gaps += load(&page->inputs[k].gaps);
	}
	snprintf(line, size,
		"%8.1f s  %6.1f x real time  %9" PRIu64 " frames  %" PRIu64 " gaps  %5" PRIu64
		" ripples  %4" PRIu64 " decisions  decoded bin %3d, actual %3d",
		session, wall > 0 ? session / wall : 0, frames, gaps, load(&score->ripples),
		load(&score->decisions), atomic_load(&score->decoded_bin),
		atomic_load(&score->position_bin));
}

static void print_latency(const char *what, const struct fnx_histogram *histogram)
{
	if (!load(&histogram->count))
		return;
	printf("  %-24s p50 %8.1f us   p99 %8.1f us   p99.9 %8.1f us   max %8.1f us\n", what,
		(double)fnx_histogram_quantile(histogram, 0.5) / 1e3,
		(double)fnx_histogram_quantile(histogram, 0.99) / 1e3,
		(double)fnx_histogram_quantile(histogram, 0.999) / 1e3,
		(double)load(&histogram->max_ns) / 1e3);
}

static void print_decoding(const struct fnx_summary *summary, const struct fnx_score *score)
{
	if (load(&score->posteriors))
		printf("decoding        %" PRIu64 " posteriors from %" PRIu64
		       " likelihoods of %" PRIu64 " spikes\n",
			load(&score->posteriors), load(&score->likelihoods), summary->spikes);
	if (!isnan(summary->error.median_cm))
		printf("                median error %.1f cm (chance %.1f cm), right arm %.1f %% "
		       "of the time\n"
		       "                (second half, animal moving on the track: %" PRIu64
		       " time bins)\n",
			summary->error.median_cm, summary->error.chance_cm,
			100 * summary->error.same_arm, summary->error.n);
}

void fnx_summary_print(const struct fnx_summary *summary, const struct fnx_crew *crew,
	const struct fnx_score *score)
{
	printf("session         %.1f s in %.1f s: %.1f x real time\n", summary->session_s,
		summary->wall_s, summary->wall_s > 0 ? summary->session_s / summary->wall_s : 0);
	print_decoding(summary, score);
	if (crew->rig->ripple.enabled)
		printf("ripples         %" PRIu64 "\n", load(&score->ripples));
	if (summary->has_ripple_truth)
		printf("                %" PRIu64 " of the known ones found, %" PRIu64
		       " missed, %" PRIu64 " false alarms\n",
			summary->ripple_hits, summary->ripple_misses, summary->ripple_false_alarms);
	if (crew->rig->dispatch.enabled)
		printf("decisions       %" PRIu64 ", %" PRIu64 " acted upon\n",
			load(&score->decisions), load(&score->acted));
	if (load(&score->judged))
		printf("                %" PRIu64 " of %" PRIu64
		       " for the arm that was being replayed\n",
			load(&score->right_arm), load(&score->judged));
	printf("lost            %" PRIu64 " gaps, %" PRIu64 " dropped, %u nodes restarted\n",
		summary->gaps, summary->drops, crew->restarts);
	if (summary->late || summary->bad)
		printf("                %" PRIu64 " frames after their turn, %" PRIu64
		       " of bad data (fornix top says whose)\n",
			summary->late, summary->bad);
	if (crew->rig->source.speed > 0) {
		printf("latency         from the sample that made it possible:\n");
		print_latency("spike to posterior", &score->spike_to_posterior);
		print_latency("lfp to ripple", &score->lfp_to_ripple);
		print_latency("posterior to decision", &score->posterior_to_decision);
	}
}

/* JSON
 * -----------------------------------------------------------------------------------------------
 */

static json_t *json_latency(const struct fnx_histogram *histogram)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:I}", "p50",
		(double)fnx_histogram_quantile(histogram, 0.5) / 1e3, "p99",
		(double)fnx_histogram_quantile(histogram, 0.99) / 1e3, "p999",
		(double)fnx_histogram_quantile(histogram, 0.999) / 1e3, "max",
		(double)load(&histogram->max_ns) / 1e3, "n", (json_int_t)load(&histogram->count));
}

static json_t *json_number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static void add_pages(json_t *root, const struct fnx_crew *crew)
{
	json_t *frames = json_object(), *heap = json_object(), *realtime = json_object();

	for (unsigned i = 0; i < crew->n_members; i++) {
		const struct fnx_crew_member *member = &crew->members[i];

		for (uint32_t k = 0; member->status && k < member->status->n_outputs; k++)
			json_object_set_new(frames, member->status->outputs[k].name,
				json_integer((json_int_t)load(&member->status->outputs[k].frames)));
		if (!member->status)
			continue;
		json_object_set_new(heap, member->name,
			json_integer((json_int_t)load(&member->status->heap_allocations)));
		json_object_set_new(realtime, member->name, json_string(member->status->realtime));
	}
	json_object_set_new(root, "frames", frames);
	json_object_set_new(root, "heap_allocations_after_start", heap);
	json_object_set_new(root, "realtime", realtime);
}

static void add_counts(json_t *root, const struct fnx_summary *summary, const struct fnx_crew *crew,
	const struct fnx_score *score)
{
	const struct {
		const char *key;
		uint64_t value;
	} table[] = {
		{"gaps", summary->gaps},
		{"missed", summary->missed},
		{"drops", summary->drops},
		{"late", summary->late},
		{"bad", summary->bad},
		{"missed_wakes", summary->missed_wakes},
		{"restarts", crew->restarts},
		{"spikes", summary->spikes},
		{"likelihoods", load(&score->likelihoods)},
		{"posteriors", load(&score->posteriors)},
		{"ripples", load(&score->ripples)},
		{"decisions", load(&score->decisions)},
		{"decisions_acted", load(&score->acted)},
		{"decisions_judged", load(&score->judged)},
		{"decisions_right_arm", load(&score->right_arm)},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		json_object_set_new(root, table[i].key, json_integer((json_int_t)table[i].value));
	if (!summary->has_ripple_truth)
		return;
	json_object_set_new(root, "ripple_hits", json_integer((json_int_t)summary->ripple_hits));
	json_object_set_new(
		root, "ripple_misses", json_integer((json_int_t)summary->ripple_misses));
	json_object_set_new(root, "ripple_false_alarms",
		json_integer((json_int_t)summary->ripple_false_alarms));
}

int fnx_summary_write_json(const struct fnx_summary *summary, const struct fnx_crew *crew,
	const struct fnx_score *score, const char *path)
{
	json_t *root = json_object();
	char digest[20];
	int r;

	snprintf(digest, sizeof(digest), "%016" PRIx64, load(&score->digest));
	json_object_set_new(root, "version", json_string(FNX_VERSION));
	json_object_set_new(root, "session_s", json_real(summary->session_s));
	json_object_set_new(root, "wall_s", json_real(summary->wall_s));
	json_object_set_new(root, "real_time_factor",
		json_real(summary->wall_s > 0 ? summary->session_s / summary->wall_s : 0));
	add_counts(root, summary, crew, score);
	json_object_set_new(root, "decode_error_cm_median", json_number(summary->error.median_cm));
	json_object_set_new(root, "decode_error_cm_chance", json_number(summary->error.chance_cm));
	json_object_set_new(root, "same_arm_fraction", json_number(summary->error.same_arm));
	json_object_set_new(root, "latency_us",
		json_pack("{s:o, s:o, s:o}", "spike_to_posterior",
			json_latency(&score->spike_to_posterior), "lfp_to_ripple",
			json_latency(&score->lfp_to_ripple), "posterior_to_decision",
			json_latency(&score->posterior_to_decision)));
	add_pages(root, crew);
	json_object_set_new(root, "posterior_digest", json_string(digest));
	errno = EIO;
	r = json_dump_file(root, path, JSON_INDENT(2)) ? -errno : 0;
	json_decref(root);
	return r;
}
