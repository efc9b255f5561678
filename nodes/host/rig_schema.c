/* SPDX-License-Identifier: BSD-3-Clause */
/* The keys of a rig file, as libcyaml wants to have them told. The structs themselves, and what
 * each key means, are in rig.h. */
#include "nodes/host/rig_schema.h"

const cyaml_strval_t fnx_rig_wait_names[3] = {
	{"sleep", FNX_WAIT_SLEEP}, {"adaptive", FNX_WAIT_ADAPTIVE}, {"spin", FNX_WAIT_SPIN}};
const cyaml_strval_t fnx_rig_bell_names[3] = {
	{"auto", FNX_BELL_AUTO}, {"pipe", FNX_BELL_PIPE}, {"zmq", FNX_BELL_ZMQ}};
const cyaml_strval_t fnx_rig_source_names[3] = {
	{"simulator", FNX_SOURCE_SIMULATOR}, {"nwb", FNX_SOURCE_NWB}, {"mcap", FNX_SOURCE_MCAP}};
const cyaml_strval_t fnx_rig_off_track_names[2] = {
	{"exclude", FNX_OFF_TRACK_EXCLUDE}, {"hold", FNX_OFF_TRACK_HOLD}};
const cyaml_strval_t fnx_rig_algorithm_names[2] = {
	{"one_state", FNX_DECODE_ONE_STATE}, {"classifier", FNX_DECODE_CLASSIFIER}};
const cyaml_strval_t fnx_rig_transition_names[3] = {{"uniform", FNX_TRANSITION_UNIFORM},
	{"random_walk", FNX_TRANSITION_RANDOM_WALK}, {"identity", FNX_TRANSITION_IDENTITY}};
const cyaml_strval_t fnx_rig_tick_names[2] = {{"clock", FNX_TICK_CLOCK}, {"lfp", FNX_TICK_LFP}};
const cyaml_strval_t fnx_rig_filter_names[3] = {
	{"iir", FNX_FILTER_IIR}, {"fir", FNX_FILTER_FIR}, {"taps", FNX_FILTER_TAPS}};
const cyaml_strval_t fnx_rig_detector_names[2] = {
	{"envelope", FNX_RIPPLE_ENVELOPE}, {"network", FNX_RIPPLE_NETWORK}};
const cyaml_strval_t fnx_rig_statistics_names[2] = {
	{"mean", FNX_STATISTICS_MEAN}, {"median", FNX_STATISTICS_MEDIAN}};
const cyaml_strval_t fnx_rig_resampling_names[2] = {
	{"pick", FNX_RESAMPLING_PICK}, {"filter", FNX_RESAMPLING_FILTER}};
const cyaml_strval_t fnx_rig_rule_names[4] = {{"replay", FNX_RULE_REPLAY},
	{"ripple", FNX_RULE_RIPPLE}, {"head_direction", FNX_RULE_HEAD_DIRECTION},
	{"combination", FNX_RULE_COMBINATION}};
const cyaml_strval_t fnx_rig_ripple_type_names[3] = {{"standard", FNX_RIPPLE_KIND_STANDARD},
	{"conditioning", FNX_RIPPLE_KIND_CONDITIONING}, {"content", FNX_RIPPLE_KIND_CONTENT}};
const cyaml_strval_t fnx_rig_actuator_names[5] = {{"log", FNX_ACTUATOR_LOG},
	{"zmq", FNX_ACTUATOR_ZMQ}, {"udp", FNX_ACTUATOR_UDP}, {"serial", FNX_ACTUATOR_SERIAL},
	{"trodes", FNX_ACTUATOR_TRODES}};

/* clang-format off */
#define O CYAML_FLAG_OPTIONAL
#define TEXT(s, m) CYAML_FIELD_STRING_PTR(#m, CYAML_FLAG_POINTER | O, struct s, m, 0, 1024)
#define TEXT_NEEDED(s, m) CYAML_FIELD_STRING_PTR(#m, CYAML_FLAG_POINTER, struct s, m, 1, 1024)
#define NUMBER(s, m) CYAML_FIELD_FLOAT(#m, O, struct s, m)
#define NUMBER_NEEDED(s, m) CYAML_FIELD_FLOAT(#m, CYAML_FLAG_DEFAULT, struct s, m)
#define COUNT(s, m) CYAML_FIELD_UINT(#m, O, struct s, m)
#define COUNT_NEEDED(s, m) CYAML_FIELD_UINT(#m, CYAML_FLAG_DEFAULT, struct s, m)
#define FLAG(s, m) CYAML_FIELD_BOOL(#m, O, struct s, m)
#define ENUM(s, m, names) CYAML_FIELD_ENUM(#m, CYAML_FLAG_STRICT | O, struct s, m, names, CYAML_ARRAY_LEN(names))
#define ENUM_NEEDED(s, m, names) CYAML_FIELD_ENUM(#m, CYAML_FLAG_STRICT, struct s, m, names, CYAML_ARRAY_LEN(names))
#define SECTION(s, m, f) CYAML_FIELD_MAPPING(#m, O, struct s, m, f)
#define NUMBERS(s, m, max) CYAML_FIELD_SEQUENCE_COUNT(#m, CYAML_FLAG_POINTER | O, struct s, m.values, m.n, &number_value, 0, max)
#define IDS(s, m, max) CYAML_FIELD_SEQUENCE_COUNT(#m, CYAML_FLAG_POINTER | O, struct s, m.values, m.n, &count_value, 0, max)
#define NAMES(s, m, max) CYAML_FIELD_SEQUENCE_COUNT(#m, CYAML_FLAG_POINTER | O, struct s, m.values, m.n, &name_value, 0, max)
#define LIST(s, m, v, max) CYAML_FIELD_SEQUENCE_COUNT(#m, CYAML_FLAG_POINTER | O, struct s, m, n_##m, v, 0, max)

static const cyaml_schema_value_t number_value = {CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, double)};
static const cyaml_schema_value_t count_value = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};
static const cyaml_schema_value_t name_value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 255)};

static const cyaml_schema_field_t bus_fields[] = {
	TEXT_NEEDED(fnx_rig_bus, name), TEXT(fnx_rig_bus, segment_dir), TEXT(fnx_rig_bus, run_dir),
	COUNT(fnx_rig_bus, slots), COUNT(fnx_rig_bus, grace_ms),
	ENUM(fnx_rig_bus, bell, fnx_rig_bell_names), ENUM(fnx_rig_bus, wait, fnx_rig_wait_names),
	COUNT(fnx_rig_bus, spin_us), COUNT(fnx_rig_bus, deadline_ms), FLAG(fnx_rig_bus, live),
	CYAML_FIELD_END};

static const cyaml_schema_field_t clock_fields[] = {
	NUMBER(fnx_rig_clock, rate_hz), COUNT(fnx_rig_clock, time_bin_samples), CYAML_FIELD_END};

static const cyaml_schema_field_t simulator_fields[] = {
	COUNT(fnx_rig_simulator, seed), NUMBER(fnx_rig_simulator, running_speed_cm_s),
	NUMBER(fnx_rig_simulator, place_field_cm), NUMBER(fnx_rig_simulator, peak_rate_hz),
	COUNT(fnx_rig_simulator, cells_per_group), NUMBER(fnx_rig_simulator, background_rate_hz),
	NUMBER(fnx_rig_simulator, noise_uv), NUMBER(fnx_rig_simulator, rest_s),
	NUMBER(fnx_rig_simulator, ripple_rate_hz), NUMBER(fnx_rig_simulator, replay_after_s),
	CYAML_FIELD_END};

static const cyaml_schema_field_t nwb_fields[] = {
	TEXT(fnx_rig_nwb, lfp), TEXT(fnx_rig_nwb, position), TEXT(fnx_rig_nwb, units),
	TEXT(fnx_rig_nwb, spike_events), NUMBER(fnx_rig_nwb, unit_mark_uv),
	NUMBER(fnx_rig_nwb, unit_mark_offset_uv), NUMBER(fnx_rig_nwb, position_scale),
	TEXT(fnx_rig_nwb, ripple_intervals),
	CYAML_FIELD_END};

static const cyaml_schema_field_t source_fields[] = {
	ENUM(fnx_rig_source, type, fnx_rig_source_names), TEXT(fnx_rig_source, file),
	NUMBER(fnx_rig_source, duration_s), NUMBER(fnx_rig_source, start_s), NUMBER(fnx_rig_source, speed),
	NUMBER(fnx_rig_source, paced_from_s),
	SECTION(fnx_rig_source, simulator, simulator_fields), SECTION(fnx_rig_source, nwb, nwb_fields),
	CYAML_FIELD_END};

static const cyaml_schema_field_t group_fields[] = {
	COUNT_NEEDED(fnx_rig_electrode_groups, id), COUNT(fnx_rig_electrode_groups, through),
	COUNT_NEEDED(fnx_rig_electrode_groups, n_channels),
	IDS(fnx_rig_electrode_groups, dead_channels, 32), CYAML_FIELD_END};
static const cyaml_schema_value_t group_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_electrode_groups, group_fields)};

static const cyaml_schema_field_t lfp_fields[] = {
	COUNT_NEEDED(fnx_rig_lfp, n_channels), NUMBER(fnx_rig_lfp, rate_hz), CYAML_FIELD_END};
static const cyaml_schema_field_t spikes_fields[] = {
	COUNT(fnx_rig_spikes, n_points), CYAML_FIELD_END};
static const cyaml_schema_field_t position_fields[] = {
	NUMBER(fnx_rig_position, rate_hz), NUMBER(fnx_rig_position, scale),
	NUMBERS(fnx_rig_position, smoothing, 256), CYAML_FIELD_END};

static const cyaml_schema_field_t track_node_fields[] = {
	TEXT_NEEDED(fnx_rig_track_node, name), NUMBER_NEEDED(fnx_rig_track_node, x),
	NUMBER_NEEDED(fnx_rig_track_node, y), CYAML_FIELD_END};
static const cyaml_schema_value_t track_node_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_track_node, track_node_fields)};
static const cyaml_schema_field_t track_arm_fields[] = {
	TEXT_NEEDED(fnx_rig_track_arm, name), NAMES(fnx_rig_track_arm, nodes, 32),
	CYAML_FIELD_SEQUENCE_COUNT("bins", CYAML_FLAG_POINTER, struct fnx_rig_track_arm, bins.values, bins.n,
		&count_value, 2, 2),
	COUNT(fnx_rig_track_arm, target_bins), CYAML_FIELD_END};
static const cyaml_schema_value_t track_arm_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_track_arm, track_arm_fields)};
static const cyaml_schema_field_t track_grid_fields[] = {
	NUMBER_NEEDED(fnx_rig_track_grid, x), NUMBER_NEEDED(fnx_rig_track_grid, y),
	COUNT_NEEDED(fnx_rig_track_grid, columns), COUNT_NEEDED(fnx_rig_track_grid, rows), CYAML_FIELD_END};
static const cyaml_schema_field_t track_fields[] = {
	NUMBER_NEEDED(fnx_rig_track, bin_cm), NUMBER(fnx_rig_track, max_distance_cm),
	ENUM(fnx_rig_track, off_track, fnx_rig_off_track_names),
	LIST(fnx_rig_track, nodes, &track_node_value, 1024),
	CYAML_FIELD_SEQUENCE_COUNT("arms", CYAML_FLAG_POINTER | O, struct fnx_rig_track, arms, n_arms, &track_arm_value, 1, 16),
	SECTION(fnx_rig_track, grid, track_grid_fields),
	IDS(fnx_rig_track, segment_arms, 64), CYAML_FIELD_END};

static const cyaml_schema_field_t filter_fields[] = {
	ENUM(fnx_rig_filter, type, fnx_rig_filter_names), COUNT(fnx_rig_filter, order),
	COUNT(fnx_rig_filter, n_taps), NUMBERS(fnx_rig_filter, band_hz, 2),
	NUMBER(fnx_rig_filter, transition_hz), NUMBERS(fnx_rig_filter, taps, 1024), CYAML_FIELD_END};
static const cyaml_schema_field_t ripple_fields[] = {
	IDS(fnx_rig_ripple, channels, 512), SECTION(fnx_rig_ripple, filter, filter_fields),
	SECTION(fnx_rig_ripple, smoothing, filter_fields), NUMBER(fnx_rig_ripple, standard),
	NUMBER(fnx_rig_ripple, conditioning), NUMBER(fnx_rig_ripple, content), NUMBER(fnx_rig_ripple, end),
	NUMBER(fnx_rig_ripple, max_speed_cm_s), COUNT(fnx_rig_ripple, max_samples),
	COUNT(fnx_rig_ripple, warm_up_samples), FLAG(fnx_rig_ripple, freeze),
	NUMBERS(fnx_rig_ripple, mean, 513), NUMBERS(fnx_rig_ripple, deviation, 513),
	TEXT(fnx_rig_ripple, seed_file), ENUM(fnx_rig_ripple, statistics, fnx_rig_statistics_names),
	IDS(fnx_rig_ripple, noise_channels, 64), NUMBER(fnx_rig_ripple, noise_threshold),
	NUMBER(fnx_rig_ripple, noise_ms), NUMBER(fnx_rig_ripple, artefact_uv),
	NUMBER(fnx_rig_ripple, blanking_ms), ENUM(fnx_rig_ripple, detector, fnx_rig_detector_names),
	TEXT(fnx_rig_ripple, weights), NUMBER(fnx_rig_ripple, threshold),
	NUMBER(fnx_rig_ripple, timeout_ms), NUMBER(fnx_rig_ripple, network_rate_hz),
	COUNT(fnx_rig_ripple, network_step), NUMBER(fnx_rig_ripple, calibration_s),
	ENUM(fnx_rig_ripple, resampling, fnx_rig_resampling_names),
	FLAG(fnx_rig_ripple, double_precision), CYAML_FIELD_END};

static const cyaml_schema_field_t encode_instance_fields[] = {
	TEXT(fnx_rig_encode_instance, name), IDS(fnx_rig_encode_instance, groups, 4096), CYAML_FIELD_END};
static const cyaml_schema_value_t encode_instance_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_encode_instance, encode_instance_fields)};
static const cyaml_schema_field_t encode_fields[] = {
	NUMBER(fnx_rig_encode, spike_amplitude_uv), COUNT(fnx_rig_encode, peak_neighbours),
	COUNT(fnx_rig_encode, capacity), NUMBER(fnx_rig_encode, min_speed_cm_s),
	NUMBER(fnx_rig_encode, kernel_uv), FLAG(fnx_rig_encode, gate),
	NUMBER(fnx_rig_encode, gate_deviations), COUNT(fnx_rig_encode, gate_min_marks),
	NUMBER(fnx_rig_encode, position_smoothing_cm), FLAG(fnx_rig_encode, single),
	NUMBER(fnx_rig_encode, mark_step_uv), FLAG(fnx_rig_encode, cut_off), COUNT(fnx_rig_encode, expansion_mib), NUMBER(fnx_rig_encode, merge_deviations),
	FLAG(fnx_rig_encode, freeze), LIST(fnx_rig_encode, instances, &encode_instance_value, 64),
	CYAML_FIELD_END};

static const cyaml_schema_value_t transition_value = {
	CYAML_VALUE_ENUM(CYAML_FLAG_STRICT, enum fnx_transition_kind, fnx_rig_transition_names, 3)};
static const cyaml_schema_field_t transition_row_fields[] = {
	CYAML_FIELD_SEQUENCE_COUNT("to", CYAML_FLAG_POINTER, struct fnx_rig_transition_row, to, n_to, &transition_value, 1, 8),
	CYAML_FIELD_END};
static const cyaml_schema_value_t transition_row_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_transition_row, transition_row_fields)};
static const cyaml_schema_field_t decode_fields[] = {
	ENUM(fnx_rig_decode, algorithm, fnx_rig_algorithm_names), ENUM(fnx_rig_decode, tick, fnx_rig_tick_names),
	COUNT(fnx_rig_decode, lfp_per_bin), COUNT(fnx_rig_decode, delay_samples),
	ENUM(fnx_rig_decode, transition, fnx_rig_transition_names), NUMBER(fnx_rig_decode, random_walk_cm),
	NUMBER(fnx_rig_decode, jump_probability), NUMBER(fnx_rig_decode, discrete_diagonal),
	CYAML_FIELD_SEQUENCE_COUNT("continuous", CYAML_FLAG_POINTER | O, struct fnx_rig_decode, continuous, n_states,
		&transition_row_value, 0, 8),
	NAMES(fnx_rig_decode, states, 8), FLAG(fnx_rig_decode, rates_hz), FLAG(fnx_rig_decode, rates_while_training), FLAG(fnx_rig_decode, log_space),
	FLAG(fnx_rig_decode, duplicates_per_group), NUMBER(fnx_rig_decode, likelihood_floor), NUMBER(fnx_rig_decode, min_speed_cm_s),
	NUMBER(fnx_rig_decode, credible_mass), COUNT(fnx_rig_decode, credible_max_bins), CYAML_FIELD_END};

static const cyaml_schema_field_t rule_fields[] = {
	TEXT_NEEDED(fnx_rig_rule, name), ENUM_NEEDED(fnx_rig_rule, type, fnx_rig_rule_names),
	COUNT(fnx_rig_rule, arm), NUMBER(fnx_rig_rule, threshold), NUMBER(fnx_rig_rule, other_arms_below),
	COUNT(fnx_rig_rule, window_bins), COUNT(fnx_rig_rule, min_groups),
	NUMBER(fnx_rig_rule, max_centre_distance_cm), NUMBER(fnx_rig_rule, max_speed_cm_s),
	COUNT(fnx_rig_rule, min_electrodes), NUMBER(fnx_rig_rule, window_ms), FLAG(fnx_rig_rule, consensus),
	ENUM(fnx_rig_rule, ripple_type, fnx_rig_ripple_type_names),
	NUMBERS(fnx_rig_rule, well, 2), NUMBERS(fnx_rig_rule, centre_well, 2),
	NUMBER(fnx_rig_rule, well_range_deg), NUMBER(fnx_rig_rule, steady_deg),
	NUMBER(fnx_rig_rule, min_duration_ms), FLAG(fnx_rig_rule, rotate_180),
	NAMES(fnx_rig_rule, all_of, 31), NAMES(fnx_rig_rule, any_of, 31), NAMES(fnx_rig_rule, none_of, 31),
	FLAG(fnx_rig_rule, component),
	COUNT(fnx_rig_rule, task), NUMBER(fnx_rig_rule, lockout_ms), CYAML_FIELD_END};
static const cyaml_schema_value_t rule_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_rule, rule_fields)};
static const cyaml_schema_field_t actuator_fields[] = {
	ENUM_NEEDED(fnx_rig_actuator, type, fnx_rig_actuator_names), TEXT(fnx_rig_actuator, endpoint),
	TEXT(fnx_rig_actuator, file), TEXT(fnx_rig_actuator, device), COUNT(fnx_rig_actuator, baud),
	TEXT(fnx_rig_actuator, text), FLAG(fnx_rig_actuator, reply), COUNT(fnx_rig_actuator, timeout_ms),
	CYAML_FIELD_END};
static const cyaml_schema_value_t actuator_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_actuator, actuator_fields)};
static const cyaml_schema_field_t dispatch_fields[] = {
	CYAML_FIELD_SEQUENCE_COUNT("rules", CYAML_FLAG_POINTER, struct fnx_rig_dispatch, rules, n_rules, &rule_value, 1, 32),
	NUMBER_NEEDED(fnx_rig_dispatch, lockout_ms), NUMBER_NEEDED(fnx_rig_dispatch, max_rate_per_min),
	FLAG(fnx_rig_dispatch, armed), FLAG(fnx_rig_dispatch, dry_run),
	COUNT(fnx_rig_dispatch, max_per_run), NUMBER(fnx_rig_dispatch, max_age_ms),
	NUMBER(fnx_rig_dispatch, stall_ms), NUMBER(fnx_rig_dispatch, blanking_ms),
	NUMBER(fnx_rig_dispatch, sham_fraction), COUNT(fnx_rig_dispatch, sham_seed),
	NUMBER(fnx_rig_dispatch, lease_s), COUNT(fnx_rig_dispatch, task_window),
	COUNT(fnx_rig_dispatch, task_consumed_window), COUNT(fnx_rig_dispatch, task_heap_kb),
	COUNT(fnx_rig_dispatch, task_trace), IDS(fnx_rig_dispatch, targets, 65536),
	LIST(fnx_rig_dispatch, actuators, &actuator_value, 8), CYAML_FIELD_END};

static const cyaml_schema_field_t record_fields[] = {
	TEXT(fnx_rig_record, file), NAMES(fnx_rig_record, topics, 80), FLAG(fnx_rig_record, compress),
	COUNT(fnx_rig_record, chunk_kb), CYAML_FIELD_END};
static const cyaml_schema_field_t tap_fields[] = {
	NAMES(fnx_rig_tap, topics, 80), NAMES(fnx_rig_tap, endpoints, 8),
	TEXT(fnx_rig_tap, curve_secret_file), CYAML_FIELD_END};

static const cyaml_schema_field_t node_fields[] = {
	TEXT_NEEDED(fnx_rig_node, name),
	CYAML_FIELD_ENUM_PTR("wait", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | O, struct fnx_rig_node, wait,
		fnx_rig_wait_names, 3),
	CYAML_FIELD_INT_PTR("cpu", CYAML_FLAG_POINTER | O, struct fnx_rig_node, cpu),
	CYAML_FIELD_INT("priority", O, struct fnx_rig_node, priority), CYAML_FIELD_END};
static const cyaml_schema_value_t node_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_node, node_fields)};
static const cyaml_schema_field_t topic_fields[] = {
	TEXT_NEEDED(fnx_rig_topic, name), COUNT_NEEDED(fnx_rig_topic, slots), CYAML_FIELD_END};
static const cyaml_schema_value_t topic_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_topic, topic_fields)};

static const cyaml_schema_field_t machine_fields[] = {
	TEXT_NEEDED(fnx_rig_machine, name), NAMES(fnx_rig_machine, nodes, 128),
	NAMES(fnx_rig_machine, topics, 160), TEXT(fnx_rig_machine, public_key_file),
	TEXT(fnx_rig_machine, secret_key_file), CYAML_FIELD_END};
static const cyaml_schema_value_t machine_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_machine, machine_fields)};
static const cyaml_schema_field_t link_fields[] = {
	CYAML_FIELD_SEQUENCE_COUNT("between", CYAML_FLAG_POINTER, struct fnx_rig_link, between.values, between.n,
		&name_value, 2, 2),
	TEXT_NEEDED(fnx_rig_link, endpoint), CYAML_FIELD_END};
static const cyaml_schema_value_t link_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct fnx_rig_link, link_fields)};

static const cyaml_schema_field_t rig_fields[] = {
	FLAG(fnx_rig, parity),
	CYAML_FIELD_MAPPING("bus", CYAML_FLAG_DEFAULT, struct fnx_rig, bus, bus_fields),
	SECTION(fnx_rig, clock, clock_fields),
	CYAML_FIELD_MAPPING("source", CYAML_FLAG_DEFAULT, struct fnx_rig, source, source_fields),
	LIST(fnx_rig, electrode_groups, &group_value, 4096), SECTION(fnx_rig, lfp, lfp_fields),
	SECTION(fnx_rig, spikes, spikes_fields), SECTION(fnx_rig, position, position_fields),
	SECTION(fnx_rig, track, track_fields), SECTION(fnx_rig, ripple, ripple_fields),
	SECTION(fnx_rig, encode, encode_fields), SECTION(fnx_rig, decode, decode_fields),
	SECTION(fnx_rig, dispatch, dispatch_fields), SECTION(fnx_rig, record, record_fields),
	SECTION(fnx_rig, tap, tap_fields), LIST(fnx_rig, nodes, &node_value, 128),
	LIST(fnx_rig, topics, &topic_value, 1000), LIST(fnx_rig, machines, &machine_value, 8),
	LIST(fnx_rig, links, &link_value, 28), CYAML_FIELD_END};
/* clang-format on */

const cyaml_schema_value_t fnx_rig_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct fnx_rig, rig_fields)};
