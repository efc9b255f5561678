/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/encode/node.h"
#include "nodes/host/command_line.h"
#include "nodes/host/placement.h"
#include "nodes/host/rig_schema.h"
#include "nodes/host/topics.h"

static int usage(void)
{
	printf("fornix check: checks a rig file and shows what it would run\n"
	       "\n"
	       "usage: fornix check RIG.yaml [--set KEY=VALUE]...\n"
	       "\n"
	       "  RIG.yaml         " FNX_RIG_DEMO " is the built-in demonstration\n"
	       "  --set KEY=VALUE  as if the rig file said so (see fornix run --help)\n"
	       "\n"
	       "Prints, with all defaults filled in: nodes, electrode groups, track, filters with "
	       "the delay they\n"
	       "cost, rules, topics with the memory they take; and what is allowed but odd. Opens "
	       "nothing.\n"
	       "Exit status: 0 the rig can be used, warnings or not; 2 it cannot, or wrong use.\n");
	return 0;
}

static int parse(int argc, char **argv, const char **ret_path, struct fnx_texts *ret_overrides)
{
	const struct fnx_option options[] = {
		fnx_option_texts("set", ret_overrides),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix check",
		.options = options,
		.words_min = 1,
		.words_max = 1,
		.expected = "one RIG.yaml"};
	int r = fnx_command_line_read(&line, argc, argv);

	*ret_path = line.words[0];
	return r;
}

/* Printing
 * -------------------------------------------------------------------------------------------- */

static void print_bus(const struct fnx_rig *rig)
{
	struct fnx_bus bus;

	printf("rig             %s%s\n", rig->path,
		rig->parity ? ", parity with the published decoder" : "");
	if (!fnx_bus_init(&bus, rig->bus.name, rig->bus.segment_dir, rig->bus.run_dir))
		printf("bus             %s: segments in %s, sockets in %s\n", bus.name,
			bus.segment_dir, bus.run_dir);
	printf("                %s; nodes %s\n",
		rig->bus.live ? "live: acquisition never waits, who is slow loses frames"
			      : "replay: the source waits for the slowest, nothing is lost",
		rig->bus.wait == FNX_WAIT_SLEEP          ? "sleep until a bell rings"
			: rig->bus.wait == FNX_WAIT_SPIN ? "spin"
							 : "spin a little, then sleep");
	printf("clock           %g Hz, time bin %u samples = %.3g ms\n", rig->clock.rate_hz,
		rig->clock.time_bin_samples,
		1e3 * rig->clock.time_bin_samples / rig->clock.rate_hz);
}

static void print_source(const struct fnx_rig *rig)
{
	const struct fnx_rig_source *source = &rig->source;

	printf("source          %s", fnx_rig_source_names[source->type].str);
	if (source->type != FNX_SOURCE_SIMULATOR)
		printf(" %s", source->file);
	if (source->start_s > 0)
		printf(", from %g s on", source->start_s);
	if (source->paced_from_s > 0 && source->speed > 0)
		printf(", paced from %g s on", source->paced_from_s);
	if (source->duration_s > 0)
		printf(", %g s", source->duration_s);
	if (source->speed > 0)
		printf(", at %g x real time\n", source->speed);
	else
		printf(", as fast as the slowest node\n");
}

static void print_groups(const struct fnx_rig *rig)
{
	uint32_t n_groups = 0, n_channels = 0;

	for (uint32_t i = 0; i < rig->n_electrode_groups; i++) {
		const struct fnx_rig_electrode_groups *groups = &rig->electrode_groups[i];
		uint32_t n = groups->through - groups->id + 1;

		printf("%-15s %u", i ? "" : "groups", groups->id);
		if (n > 1)
			printf(" to %u", groups->through);
		printf(": %u channels%s", groups->n_channels, n > 1 ? " each" : "");
		if (groups->dead_channels.n)
			printf(", %u of them dead", groups->dead_channels.n);
		putchar('\n');
		n_groups += n;
		n_channels += n * groups->n_channels;
	}
	if (n_groups)
		printf("                together %u electrode groups, %u channels, %u points per "
		       "waveform\n",
			n_groups, n_channels, rig->spikes.n_points);
	if (rig->lfp.n_channels)
		printf("lfp             %u channels at %g Hz\n", rig->lfp.n_channels,
			rig->lfp.rate_hz);
	if (rig->track.enabled)
		printf("position        %g Hz, %g cm per unit, smoothed over %u samples\n",
			rig->position.rate_hz, rig->position.scale, rig->position.smoothing.n);
}

static void print_nodes(const struct fnx_rig *rig)
{
	printf("\nnodes\n");
	for (const struct fnx_node_ops *const *ops = fnx_all_nodes; *ops; ops++)
		for (unsigned k = 0; fnx_rig_node_name(*ops, rig, k); k++) {
			const char *name = fnx_rig_node_name(*ops, rig, k);
			const struct fnx_rig_node *node = NULL;

			for (uint32_t i = 0; i < rig->n_nodes; i++)
				if (!strcmp(rig->nodes[i].name, name))
					node = &rig->nodes[i];
			printf("  %-20s %s", name, (*ops)->summary);
			if (node && node->wait)
				printf("; wait %s", fnx_rig_wait_names[*node->wait].str);
			if (node && node->cpu)
				printf("; processor %d", *node->cpu);
			if (node && node->priority)
				printf("; real-time priority %d", node->priority);
			putchar('\n');
		}
}

static void print_track(const struct fnx_check *check)
{
	const struct fnx_rig_track *track = &check->rig->track;

	if (!check->track)
		return;
	printf("\ntrack: %u bins of %g cm%s\n", fnx_track_bins(check->track), track->bin_cm,
		track->n_nodes || track->grid.columns ? "" : ", known by segments");
	if (track->grid.columns)
		printf("  a grid of %u columns and %u rows, from x %g, y %g cm\n",
			track->grid.columns, track->grid.rows, track->grid.x, track->grid.y);
	for (uint32_t i = 0; i < track->n_arms; i++) {
		const struct fnx_rig_track_arm *arm = &track->arms[i];

		printf("  arm %-2u %-12s bins %4u to %4u  %7.1f cm", i, arm->name,
			arm->bins.values[0], arm->bins.values[1],
			fnx_track_arm_cm(check->track, i));
		if (arm->target_bins)
			printf("  target: bins %u to %u",
				arm->bins.values[1] - arm->target_bins + 1, arm->bins.values[1]);
		putchar('\n');
	}
	if (track->max_distance_cm > 0)
		printf("  farther than %g cm from it: off the track\n", track->max_distance_cm);
}

static void print_decoder(const struct fnx_rig *rig)
{
	if (rig->encode.enabled)
		printf("\nencoders: spikes above %g uV, kernel %g uV%s, %u marks per group, "
		       "training "
		       "above %g cm/s\n",
			rig->encode.spike_amplitude_uv, rig->encode.kernel_uv,
			rig->encode.cut_off ? " cut off at 1e-7" : "", rig->encode.capacity,
			rig->encode.min_speed_cm_s);
	if (rig->encode.enabled && rig->encode.mark_step_uv > 0)
		printf("  marks are whole steps of %g uV, of which the kernel has %.4g\n",
			rig->encode.mark_step_uv, rig->encode.kernel_uv / rig->encode.mark_step_uv);
	if (rig->encode.enabled && rig->encode.expansion_mib > 0)
		printf("  sums of weights are expanded, in %u MiB per group\n",
			rig->encode.expansion_mib);
	for (uint32_t i = 0; rig->encode.enabled && i < rig->encode.n_instances; i++) {
		const struct fnx_rig_encode_instance *instance = &rig->encode.instances[i];

		printf("  %-20s groups", instance->name);
		for (uint32_t k = 0; k < instance->groups.n; k++)
			printf(" %u", instance->groups.values[k]);
		putchar('\n');
	}
	if (!rig->decode.enabled)
		return;
	printf("decoder: %s", fnx_rig_algorithm_names[rig->decode.algorithm].str);
	for (uint32_t i = 0;
		rig->decode.algorithm == FNX_DECODE_CLASSIFIER && i < rig->decode.states.n; i++)
		printf("%s %s", i ? "," : ":", rig->decode.states.values[i]);
	putchar('\n');
}

static void print_rule(const struct fnx_rig *rig, const struct fnx_rig_rule *rule)
{
	printf("  %-20s task %u: ", rule->name, rule->task);
	if (rule->type == FNX_RULE_REPLAY)
		printf("mean mass in the target of arm %s above %g, in other arms below %g, over "
		       "%u bins (%.3g ms), %u groups",
			rig->track.arms[rule->arm].name, rule->threshold, rule->other_arms_below,
			rule->window_bins,
			1e3 * rule->window_bins * rig->clock.time_bin_samples / rig->clock.rate_hz,
			rule->min_groups);
	else if (rule->type == FNX_RULE_HEAD_DIRECTION)
		printf("head within %g degrees of a well, steady to %g, for %g ms",
			rule->well_range_deg, rule->steady_deg, rule->min_duration_ms);
	else if (rule->type == FNX_RULE_COMBINATION)
		printf("%u rules all, %u any, %u none of them, within %g ms", rule->all_of.n,
			rule->any_of.n, rule->none_of.n, rule->window_ms);
	else if (rule->consensus)
		printf("ripple of the consensus");
	else
		printf("ripples on %u of %u channels within %g ms", rule->min_electrodes,
			fnx_check_ripple_channels(rig), rule->window_ms);
	if (rule->max_centre_distance_cm > 0)
		printf(", animal within %g cm of the start", rule->max_centre_distance_cm);
	if (rule->max_speed_cm_s > 0)
		printf(", slower than %g cm/s", rule->max_speed_cm_s);
	printf("; then not for %g ms\n", rule->lockout_ms);
}

static void print_limits(const struct fnx_rig *rig)
{
	const struct fnx_rig_dispatch *dispatch = &rig->dispatch;

	if (rig->source.speed > 0 && dispatch->max_age_ms > 0)
		printf("  nothing is done about data older than %g ms\n", dispatch->max_age_ms);
	else
		printf("  data of any age counts\n");
	if (dispatch->max_per_run)
		printf("  at most %llu in one run\n", (unsigned long long)dispatch->max_per_run);
	if (dispatch->sham_fraction > 0)
		printf("  %g of the tasks are sham\n", dispatch->sham_fraction);
	if (dispatch->lease_s > 0)
		printf("  armed only while somebody says so again within %g s\n",
			dispatch->lease_s);
	if (dispatch->targets.n)
		printf("  instructive: %u targets\n", dispatch->targets.n);
}

static void print_dispatch(const struct fnx_rig *rig)
{
	const struct fnx_rig_dispatch *dispatch = &rig->dispatch;

	if (!dispatch->enabled)
		return;
	printf("\ndispatch: %s, at most %g per minute, %g ms between any two\n",
		dispatch->dry_run         ? "dry run, nothing acts"
			: dispatch->armed ? "ARMED"
					  : "not armed, decides and records",
		dispatch->max_rate_per_min, dispatch->lockout_ms);
	print_limits(rig);
	for (uint32_t i = 0; i < dispatch->n_rules; i++)
		print_rule(rig, &dispatch->rules[i]);
	for (uint32_t i = 0; i < dispatch->n_actuators; i++)
		printf("  actuator %u           %s %s\n", i,
			fnx_rig_actuator_names[dispatch->actuators[i].type].str,
			dispatch->actuators[i].device             ? dispatch->actuators[i].device
				: dispatch->actuators[i].endpoint ? dispatch->actuators[i].endpoint
				: dispatch->actuators[i].file     ? dispatch->actuators[i].file
								  : "to standard error");
}

static void print_between(const struct fnx_rig *rig, const struct fnx_rig_link *link, unsigned from)
{
	char topics[FNX_RIG_TOPICS_MAX][FNX_NAME_MAX];
	const struct fnx_rig_machine *ends[2] = {NULL};
	unsigned n;

	for (uint32_t i = 0; i < rig->n_machines; i++)
		for (int k = 0; k < 2; k++)
			if (!strcmp(rig->machines[i].name, link->between.values[k]))
				ends[k] = &rig->machines[i];
	n = fnx_rig_topics_between(rig, ends[from], ends[!from], topics, FNX_RIG_TOPICS_MAX);
	printf("    %s to %s:", ends[from]->name, ends[!from]->name);
	for (unsigned i = 0; i < n && i < FNX_RIG_TOPICS_MAX; i++)
		printf(" %s", topics[i]);
	printf("%s\n", n ? "" : " nothing");
}

static void print_machines(const struct fnx_rig *rig)
{
	if (!rig->n_machines)
		return;
	printf("\nmachines%s%s\n", rig->machine[0] ? "; this is " : "", rig->machine);
	for (uint32_t i = 0; i < rig->n_machines; i++) {
		printf("  %-20s", rig->machines[i].name);
		for (uint32_t k = 0; k < rig->machines[i].nodes.n; k++)
			printf(" %s", rig->machines[i].nodes.values[k]);
		putchar('\n');
	}
	for (uint32_t i = 0; i < rig->n_links; i++) {
		printf("  %s listens at %s, %s connects\n", rig->links[i].between.values[0],
			rig->links[i].endpoint, rig->links[i].between.values[1]);
		print_between(rig, &rig->links[i], 0);
		print_between(rig, &rig->links[i], 1);
	}
}

/* Checking
 * -------------------------------------------------------------------------------------------- */

static int build_track(struct fnx_check *check, char *error)
{
	struct fnx_track_config *config;
	const char *reason = "out of memory";
	int r;

	if (!check->rig->track.enabled)
		return 0;
	config = malloc(sizeof(*config));
	r = config ? fnx_rig_track(check->rig, config, error) : -ENOMEM;
	if (!r) {
		r = fnx_track_new(config, &check->track, &reason);
		if (r)
			snprintf(error, FNX_RIG_ERROR_MAX, "track: %s", reason);
	}
	free(config);
	return r;
}

static int build_filters(struct fnx_check *check, char *error)
{
	const char *reason = "out of memory";
	int r;

	if (!check->rig->ripple.enabled)
		return 0;
	check->design = malloc(sizeof(*check->design));
	r = check->design ? fnx_ripple_design(check->rig, check->design, &reason) : -ENOMEM;
	if (r)
		snprintf(error, FNX_RIG_ERROR_MAX, "%s", reason);
	return r;
}

static int check_encoders(const struct fnx_check *check, char *error)
{
	const struct fnx_rig_encode *encode = &check->rig->encode;
	int r = 0;

	if (!encode->enabled || !check->track)
		return 0;
	for (uint32_t i = 0; i < encode->n_instances; i++)
		for (uint32_t k = 0; k < encode->instances[i].groups.n && !r; k++)
			r = fnx_encode_check_group(check->rig,
				encode->instances[i].groups.values[k], fnx_track_bins(check->track),
				error, FNX_RIG_ERROR_MAX);
	return r;
}

static void print(struct fnx_check *check)
{
	print_bus(check->rig);
	print_source(check->rig);
	print_groups(check->rig);
	print_nodes(check->rig);
	print_track(check);
	fnx_check_print_filters(check);
	print_decoder(check->rig);
	print_dispatch(check->rig);
	print_machines(check->rig);
	fnx_check_print_topics(check);
	fnx_check_print_warnings(check);
}

int fnx_command_check(int argc, char **argv)
{
	struct fnx_texts overrides = {.n = 0};
	const char *path;
	struct fnx_check check = {.rig = NULL};
	char error[FNX_RIG_ERROR_MAX];
	struct fnx_rig *rig;
	int r;

	r = parse(argc, argv, &path, &overrides);
	if (r)
		return r > 0 ? usage() : 2;
	r = fnx_rig_load(path, overrides.at, overrides.n, &rig, error);
	if (r) {
		fprintf(stderr, "fornix check: %s\n", error);
		return 2;
	}
	check.rig = rig;
	r = build_track(&check, error);
	if (!r)
		r = build_filters(&check, error);
	if (!r)
		r = check_encoders(&check, error);
	if (r)
		fprintf(stderr, "fornix check: %s: %s\n", path, error);
	else
		print(&check);
	if (check.n_refusals > 0)
		fprintf(stderr, "fornix check: %s: cannot be run: see \"will refuse\" above\n",
			path);
	fnx_track_free(check.track);
	free(check.design);
	fnx_rig_free(rig);
	return r || check.n_refusals > 0 ? 2 : 0;
}
