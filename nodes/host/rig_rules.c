/* SPDX-License-Identifier: BSD-3-Clause */
/* Defaults and ranges of the rig file's scalar keys. A key that may be given on the command line
 * must stand here too. */
#include <float.h>
#include <stddef.h>

#include "nodes/host/rig_schema.h"

/* clang-format off */
#define AT(m) #m, offsetof(struct fnx_rig, m)
#define NUMBER(m, value, min, max) {AT(m), FNX_RULE_NUMBER, value, min, max, NULL, NULL, 0}
#define COUNT(m, value, min, max) {AT(m), FNX_RULE_COUNT, value, min, max, NULL, NULL, 0}
#define FLAG(m, value) {AT(m), FNX_RULE_FLAG, value, 0, 1, NULL, NULL, 0}
#define ENUM(m, value, names) {AT(m), FNX_RULE_ENUM, value, 0, 0, NULL, names, CYAML_ARRAY_LEN(names)}
#define TEXT(m, text) {AT(m), FNX_RULE_TEXT, 0, 0, 0, text, NULL, 0}

const struct fnx_rig_rule_entry fnx_rig_rules[] = {
	FLAG(parity, 0),
	TEXT(bus.name, NULL), TEXT(bus.segment_dir, NULL), TEXT(bus.run_dir, NULL),
	COUNT(bus.slots, 512, 16, 65536), COUNT(bus.grace_ms, 2000, 0, 3600000),
	ENUM(bus.bell, FNX_BELL_AUTO, fnx_rig_bell_names), ENUM(bus.wait, FNX_WAIT_SLEEP, fnx_rig_wait_names),
	COUNT(bus.spin_us, 50, 0, 100000), COUNT(bus.deadline_ms, 0, 0, 3600000), FLAG(bus.live, 0),
	NUMBER(clock.rate_hz, 30000, 1, 1e6), COUNT(clock.time_bin_samples, 180, 1, 10000000),
	ENUM(source.type, FNX_SOURCE_SIMULATOR, fnx_rig_source_names), TEXT(source.file, ""),
	NUMBER(source.duration_s, 0, 0, 1e7), NUMBER(source.start_s, 0, 0, 1e7), NUMBER(source.speed, 1, 0, 1e6),
	NUMBER(source.paced_from_s, 0, 0, 1e7),
	{AT(source.simulator.seed), FNX_RULE_COUNT64, 1, 0, 9e15, NULL, NULL, 0},
	NUMBER(source.simulator.running_speed_cm_s, 40, 1, 500), NUMBER(source.simulator.place_field_cm, 8, 0.1, 1000),
	NUMBER(source.simulator.peak_rate_hz, 15, 0, 500), COUNT(source.simulator.cells_per_group, 4, 0, 64),
	NUMBER(source.simulator.background_rate_hz, 2, 0, 500), NUMBER(source.simulator.noise_uv, 8, 0, 1000),
	NUMBER(source.simulator.rest_s, 2, 0, 3600), NUMBER(source.simulator.ripple_rate_hz, 0.8, 0, 5),
	NUMBER(source.simulator.replay_after_s, 0, 0, 1e7),
	TEXT(source.nwb.lfp, ""), TEXT(source.nwb.position, ""), TEXT(source.nwb.units, ""),
	TEXT(source.nwb.spike_events, ""), NUMBER(source.nwb.unit_mark_uv, 100, -1e6, 1e6),
	NUMBER(source.nwb.unit_mark_offset_uv, 100, -1e6, 1e6), NUMBER(source.nwb.position_scale, 1, 1e-9, 1e9),
	TEXT(source.nwb.ripple_intervals, ""),
	COUNT(lfp.n_channels, 0, 0, 4096), NUMBER(lfp.rate_hz, 1500, 1, 1e6), COUNT(spikes.n_points, 40, 1, 1024),
	NUMBER(position.rate_hz, 30, 0.1, 1e5), NUMBER(position.scale, 1, 1e-9, 1e9),
	NUMBER(track.bin_cm, 5, 1e-3, 1e4), NUMBER(track.max_distance_cm, 0, 0, 1e6),
	ENUM(track.off_track, FNX_OFF_TRACK_EXCLUDE, fnx_rig_off_track_names),
	ENUM(ripple.filter.type, FNX_FILTER_IIR, fnx_rig_filter_names), COUNT(ripple.filter.order, 2, 1, 8),
	COUNT(ripple.filter.n_taps, 31, 3, 1023), NUMBER(ripple.filter.transition_hz, 10, 1e-3, 1e5),
	ENUM(ripple.smoothing.type, FNX_FILTER_FIR, fnx_rig_filter_names), COUNT(ripple.smoothing.order, 2, 1, 8),
	COUNT(ripple.smoothing.n_taps, 15, 3, 1023), NUMBER(ripple.smoothing.transition_hz, 5, 1e-3, 1e5),
	NUMBER(ripple.standard, 3.5, -100, 1000), NUMBER(ripple.conditioning, 3.75, -100, 1000),
	NUMBER(ripple.content, 4, -100, 1000), NUMBER(ripple.end, 0, -100, 1000),
	NUMBER(ripple.max_speed_cm_s, 4, 0, 1e6), COUNT(ripple.max_samples, 450, 1, 10000000),
	COUNT(ripple.warm_up_samples, 0, 0, 4000000000.0), FLAG(ripple.freeze, 0),
	TEXT(ripple.seed_file, ""), ENUM(ripple.statistics, FNX_STATISTICS_MEAN, fnx_rig_statistics_names),
	NUMBER(ripple.noise_threshold, 3.5, -100, 1000), NUMBER(ripple.noise_ms, 20, 0, 60000),
	NUMBER(ripple.artefact_uv, 0, 0, 1e6), NUMBER(ripple.blanking_ms, 0, 0, 60000),
	ENUM(ripple.detector, FNX_RIPPLE_ENVELOPE, fnx_rig_detector_names), TEXT(ripple.weights, ""),
	NUMBER(ripple.threshold, 0.7, 0, 1), NUMBER(ripple.timeout_ms, 48, 0, 60000),
	NUMBER(ripple.network_rate_hz, 1250, 1, 1e6), COUNT(ripple.network_step, 0, 0, 1000000),
	NUMBER(ripple.calibration_s, 60, 0, 1e6), ENUM(ripple.resampling, FNX_RESAMPLING_PICK, fnx_rig_resampling_names),
	FLAG(ripple.double_precision, 0),
	NUMBER(encode.spike_amplitude_uv, 60, -1e6, 1e6), COUNT(encode.peak_neighbours, 2, 0, 32),
	COUNT(encode.capacity, 25000, 1, 16777216), NUMBER(encode.min_speed_cm_s, 4, 0, 1e6),
	NUMBER(encode.kernel_uv, 20, 1e-6, 1e6), FLAG(encode.gate, 1), NUMBER(encode.gate_deviations, 1, 0, 1e6),
	COUNT(encode.gate_min_marks, 10, 0, 16777216), NUMBER(encode.position_smoothing_cm, 0, 0, 1e4),
	FLAG(encode.single, 0), NUMBER(encode.mark_step_uv, 0, 0, 1e6), FLAG(encode.cut_off, 1),
	COUNT(encode.expansion_mib, 0, 0, 65536),
	NUMBER(encode.merge_deviations, 0, 0, 1), FLAG(encode.freeze, 0),
	ENUM(decode.algorithm, FNX_DECODE_CLASSIFIER, fnx_rig_algorithm_names),
	ENUM(decode.tick, FNX_TICK_CLOCK, fnx_rig_tick_names), COUNT(decode.lfp_per_bin, 9, 1, 1000000),
	COUNT(decode.delay_samples, 0, 0, 10000000),
	ENUM(decode.transition, FNX_TRANSITION_UNIFORM, fnx_rig_transition_names),
	NUMBER(decode.random_walk_cm, 6, 1e-3, 1e6), NUMBER(decode.jump_probability, 0, 0, 1),
	NUMBER(decode.discrete_diagonal, 0.98, 0, 1), FLAG(decode.rates_hz, 1), FLAG(decode.rates_while_training, 1), FLAG(decode.duplicates_per_group, 1),
	FLAG(decode.log_space, 0),
	NUMBER(decode.likelihood_floor, 0.01, 0, 1), NUMBER(decode.min_speed_cm_s, 4, 0, 1e6), NUMBER(decode.credible_mass, 0.5, 1e-6, 1),
	COUNT(decode.credible_max_bins, 5, 1, 4096),
	NUMBER(dispatch.lockout_ms, 0, 0, 1e9), NUMBER(dispatch.max_rate_per_min, 0, 0, 1e6),
	FLAG(dispatch.armed, 0), FLAG(dispatch.dry_run, 0),
	{AT(dispatch.max_per_run), FNX_RULE_COUNT64, 0, 0, 1e15, NULL, NULL, 0},
	NUMBER(dispatch.max_age_ms, 100, 0, 3600e3), NUMBER(dispatch.stall_ms, 200, 0, 3600e3),
	NUMBER(dispatch.blanking_ms, 100, 0, 3600e3), NUMBER(dispatch.sham_fraction, 0, 0, 1),
	{AT(dispatch.sham_seed), FNX_RULE_COUNT64, 1, 0, 9e15, NULL, NULL, 0},
	NUMBER(dispatch.lease_s, 0, 0, 3600),
	COUNT(dispatch.task_window, 1024, 64, 1048576), COUNT(dispatch.task_consumed_window, 0, 0, 1048576),
	COUNT(dispatch.task_heap_kb, 4, 4, 1048576), COUNT(dispatch.task_trace, 0, 0, 16777216),
	TEXT(record.file, ""), FLAG(record.compress, 1), COUNT(record.chunk_kb, 256, 16, 65536),
	TEXT(tap.curve_secret_file, ""),
};
/* clang-format on */

const size_t fnx_rig_n_rules = CYAML_ARRAY_LEN(fnx_rig_rules);
