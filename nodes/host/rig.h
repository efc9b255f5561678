/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rig file: one YAML that describes one experiment, loaded, checked and completed with
 * defaults.
 *
 * Every key that the file may hold is a field here under the same name, in the same nesting.
 * Unknown keys, wrong types, missing sections and values out of range are errors that name file,
 * line, key and what was expected; nothing is guessed. After loading, every field holds the value
 * in force.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fnx_wait {
	FNX_WAIT_SLEEP,
	FNX_WAIT_ADAPTIVE,
	FNX_WAIT_SPIN
};
enum fnx_bell_kind {
	FNX_BELL_AUTO,
	FNX_BELL_PIPE,
	FNX_BELL_ZMQ
};
enum fnx_source_type {
	FNX_SOURCE_SIMULATOR,
	FNX_SOURCE_NWB,
	FNX_SOURCE_MCAP
};
enum fnx_off_track {
	FNX_OFF_TRACK_EXCLUDE,
	FNX_OFF_TRACK_HOLD
};
enum fnx_decode_algorithm {
	FNX_DECODE_ONE_STATE,
	FNX_DECODE_CLASSIFIER
};
enum fnx_transition_kind {
	FNX_TRANSITION_UNIFORM,
	FNX_TRANSITION_RANDOM_WALK,
	FNX_TRANSITION_IDENTITY
};
enum fnx_tick {
	FNX_TICK_CLOCK,
	FNX_TICK_LFP
};
enum fnx_filter_kind {
	FNX_FILTER_IIR,
	FNX_FILTER_FIR,
	FNX_FILTER_TAPS
};
enum fnx_rule_kind {
	FNX_RULE_REPLAY,
	FNX_RULE_RIPPLE,
	FNX_RULE_HEAD_DIRECTION,
	FNX_RULE_COMBINATION
};
enum fnx_ripple_kind {
	FNX_RIPPLE_KIND_STANDARD,
	FNX_RIPPLE_KIND_CONDITIONING,
	FNX_RIPPLE_KIND_CONTENT
};
enum fnx_actuator_kind {
	FNX_ACTUATOR_LOG,
	FNX_ACTUATOR_ZMQ,
	FNX_ACTUATOR_UDP,
	FNX_ACTUATOR_SERIAL,
	FNX_ACTUATOR_TRODES
};

enum fnx_ripple_detector {
	FNX_RIPPLE_ENVELOPE = 0,
	FNX_RIPPLE_NETWORK
};

enum fnx_statistics_kind {
	FNX_STATISTICS_MEAN = 0,
	FNX_STATISTICS_MEDIAN
};

enum fnx_resampling {
	FNX_RESAMPLING_PICK = 0,
	FNX_RESAMPLING_FILTER
};

struct fnx_rig_numbers {
	double *values;
	uint32_t n;
};

struct fnx_rig_ids {
	uint32_t *values;
	uint32_t n;
};

struct fnx_rig_names {
	char **values;
	uint32_t n;
};

struct fnx_rig_bus {
	char *name; /* [A-Za-z0-9_-]+; names the segment directory and the sockets */
	char *segment_dir; /* default /dev/shm/fornix-<name> */
	char *run_dir; /* default $XDG_RUNTIME_DIR/fornix-<name>, else /tmp/fornix-<uid>-<name> */
	uint32_t
		slots; /* frames per pool unless the topic says otherwise; default 512, 16..65536 */
	uint32_t grace_ms; /* default 2000 */
	enum fnx_bell_kind bell; /* auto | pipe | zmq */
	enum fnx_wait wait; /* sleep | adaptive | spin: for nodes that do not say otherwise */
	uint32_t spin_us; /* adaptive: how long to spin before parking; default 50 */
	uint32_t deadline_ms; /* live: how long the ordered merge waits for a silent input; default
				 50 when live, else 0 = for ever */
	bool live; /* true: acquisition never waits (drop); default false: replay, back-pressure
		      (wait) */
};

struct fnx_rig_clock {
	double rate_hz; /* acquisition clock, default 30000 */
	uint32_t time_bin_samples; /* decoder's time bin, default 180 (6 ms) */
};

struct fnx_rig_simulator {
	uint64_t seed; /* default 1 */
	double running_speed_cm_s; /* default 40 */
	double place_field_cm; /* standard deviation of a place field, default 8 */
	double peak_rate_hz; /* per cell, default 15 */
	uint32_t cells_per_group; /* default 4 */
	double background_rate_hz; /* per group, spikes with no place, default 2 */
	double noise_uv; /* of each waveform and LFP sample, default 8 */
	double rest_s; /* stop at each end of the track, default 2 */
	double ripple_rate_hz; /* while at rest, default 0.8 */
	double replay_after_s; /* ripples carry replay from this session time on, default 0 */
};

struct fnx_rig_nwb {
	char *lfp; /* path of an ElectricalSeries; empty: found by itself; none: no LFP */
	char *position; /* path of a SpatialSeries; empty: found by itself; none: no position */
	char *units; /* path of a Units table; empty: found by itself; none: no units */
	char *spike_events; /* group that holds one SpikeEventSeries per electrode group; empty:
			       found by itself; none */
	double unit_mark_uv; /* mark of unit u: unit_mark_offset_uv + unit_mark_uv * u; default 100
			      */
	double unit_mark_offset_uv; /* default 100 */
	double position_scale; /* camera units to cm, default 1 */
	char *ripple_intervals; /* table of known ripples, with which a run's are compared; empty:
				   none */
};

struct fnx_rig_source {
	enum fnx_source_type type; /* simulator | nwb | mcap */
	char *file; /* for nwb and mcap */
	double duration_s; /* stop after this much session time; 0: all of it */
	double start_s; /* begin this far into the session; default 0 */
	double paced_from_s; /* as fast as possible up to here, whatever the speed; default 0 */
	double speed; /* 1: as recorded; 0: as fast as the slowest lossless reader */
	struct fnx_rig_simulator simulator;
	struct fnx_rig_nwb nwb;
};

/* Groups `id` to `through` (default: id) have `n_channels` channels each. */
struct fnx_rig_electrode_groups {
	uint32_t id;
	uint32_t through;
	uint32_t n_channels; /* 1..32 */
	struct fnx_rig_ids dead_channels; /* zeroed before the mark is taken; default none */
};

struct fnx_rig_lfp {
	uint32_t n_channels; /* 0: the rig has no LFP */
	double rate_hz; /* default 1500 */
};

struct fnx_rig_spikes {
	uint32_t n_points; /* samples per waveform, default 40 */
};

struct fnx_rig_position {
	double rate_hz; /* default 30 */
	double scale; /* camera units to cm, default 1 */
	struct fnx_rig_numbers smoothing; /* FIR taps, newest first; default [1] */
};

struct fnx_rig_track_node {
	char *name;
	double x, y; /* cm */
};

struct fnx_rig_track_arm {
	char *name;
	struct fnx_rig_names nodes; /* from the first bin to the last; may be empty */
	struct fnx_rig_ids bins; /* [first, last], inclusive */
	uint32_t target_bins; /* the arm's last bins that form its target region; default 0 */
};

struct fnx_rig_track_grid {
	double x, y; /* cm: corner of bin 0 */
	uint32_t columns, rows; /* of square bins of bin_cm; columns go along x */
};

struct fnx_rig_track {
	bool enabled; /* the section is present: there is a track to be on */
	double bin_cm;
	double max_distance_cm; /* default 0: never off the track */
	enum fnx_off_track off_track; /* exclude (default): no training, no occupancy; hold: the
					 last bin counts on */
	struct fnx_rig_track_node *nodes;
	uint32_t n_nodes;
	struct fnx_rig_track_arm *arms;
	uint32_t n_arms;
	struct fnx_rig_track_grid grid; /* a room instead of arms; default none */
	struct fnx_rig_ids segment_arms; /* default: segment k is arm k */
};

struct fnx_rig_filter {
	enum fnx_filter_kind type; /* iir (Butterworth) | fir (least squares) | taps */
	uint32_t order; /* iir: order; default 2 */
	uint32_t n_taps; /* fir */
	struct fnx_rig_numbers band_hz; /* [low, high] */
	double transition_hz; /* fir: width of the transition bands */
	struct fnx_rig_numbers taps; /* taps */
};

struct fnx_rig_ripple {
	bool enabled; /* the section is present: the node runs. Not a key of its own */
	struct fnx_rig_ids channels; /* LFP channels to use, default all */
	struct fnx_rig_filter filter; /* default iir order 2, [150, 250] */
	struct fnx_rig_filter smoothing; /* low-pass: fir, default 15 taps, band_hz [50, 55] (pass
					    to, stop from) */
	double standard, conditioning, content,
		end; /* thresholds, deviations above the mean; 3.5 3.75 4 0 */
	double max_speed_cm_s; /* default 4 */
	uint32_t max_samples; /* LFP samples, default 450 */
	uint32_t warm_up_samples; /* statistics only, no detection; default 0 */
	bool freeze; /* keep the seeded statistics */
	struct fnx_rig_numbers mean, deviation; /* seeds, one per channel and last the consensus
						   (network: channels only); default none */
	char *seed_file; /* the same from a file: a line for each, mean and deviation */
	enum fnx_statistics_kind statistics; /* mean (default): and deviation; median: and MAD */
	struct fnx_rig_ids noise_channels; /* LFP channels without ripples; default none */
	double noise_threshold; /* deviations; above it on one of these no ripple starts; 3.5 */
	double noise_ms; /* nor so long afterwards; default 20 */
	double artefact_uv; /* LFP beyond this is an artefact; default 0: none is */
	double blanking_ms; /* after one, or after stimulation when live, nothing starts and nothing
			       is learnt; default 0 */
	enum fnx_ripple_detector detector; /* envelope (default) | network */
	char *weights; /* network: a file that `fornix import-network` made */
	double threshold; /* network: of its output; default 0.7 */
	double timeout_ms; /* network: a ripple lasts at least so long; default 48 */
	double network_rate_hz; /* default 1250 */
	uint32_t network_step; /* samples at this rate between windows; default 0: half a window */
	double calibration_s; /* network: mean and deviation are learnt for so long, then stay; 0:
				 all along; default 60 */
	enum fnx_resampling resampling; /* network: pick (default) | filter */
	bool double_precision; /* network; default false */
};

struct fnx_rig_encode_instance {
	char *name; /* default encode.<k>, k from 1 */
	struct fnx_rig_ids groups; /* electrode groups whose spikes it takes */
};

struct fnx_rig_encode {
	bool enabled; /* as ripple */
	double spike_amplitude_uv; /* a spike counts only above this; default 60 */
	uint32_t peak_neighbours; /* channels around the peak channel that keep their value; default
				     2 */
	uint32_t capacity; /* marks per electrode group, default 25000 */
	double min_speed_cm_s; /* train while the animal moves at least this fast; default 4 */
	double kernel_uv; /* standard deviation of the mark kernel, default 20 */
	bool gate; /* n-cube gate, default true */
	double gate_deviations; /* default 1 */
	uint32_t gate_min_marks; /* default 10 */
	double position_smoothing_cm; /* Gaussian over position; default 0 = none */
	bool single; /* single-precision weights, default false */
	double mark_step_uv; /* microvolts per count of the amplifier: marks are kept as whole
				counts; default 0 = not */
	bool cut_off; /* pass over blocks of marks that are all far, default true unless parity */
	uint32_t expansion_mib; /* memory per group for local expansions; default 0 = none */
	double merge_deviations; /* marks this near each other become one, kernel deviations;
				    default 0 = none */
	bool freeze; /* no training */
	struct fnx_rig_encode_instance *instances;
	uint32_t n_instances; /* default: one that takes every group */
};

/* Transitions from one state to each, e.g. {to: [random_walk, uniform, identity]}. */
struct fnx_rig_transition_row {
	enum fnx_transition_kind *to;
	uint32_t n_to;
};

struct fnx_rig_decode {
	bool enabled; /* as ripple */
	enum fnx_decode_algorithm algorithm; /* one_state | classifier */
	enum fnx_tick
		tick; /* clock (default): every time bin; lfp: every lfp_per_bin-th LFP sample */
	uint32_t lfp_per_bin; /* default 9 */
	uint32_t delay_samples; /* a bin closes this long after its end; default 0 */
	enum fnx_transition_kind transition; /* one_state; default uniform */
	double random_walk_cm; /* standard deviation per time bin, default 6 */
	double jump_probability; /* of leaving the random walk for anywhere; default 0 */
	double discrete_diagonal; /* classifier, default 0.98 */
	struct fnx_rig_transition_row
		*continuous; /* classifier: [from][to]; default as the published one */
	uint32_t n_states; /* rows of `continuous`; default 3 */
	struct fnx_rig_names states; /* labels, default continuous fragmented stationary */
	bool rates_hz; /* firing rates in Hz and the bin's true length; default true unless parity
			*/
	bool rates_while_training; /* learnt from spikes that went into the model only; default true
				      unless parity */
	bool log_space; /* spikes multiply as sums of logarithms; default false */
	bool duplicates_per_group; /* default true unless parity */
	double likelihood_floor; /* of a flat likelihood; no spike takes a bin below; default 0.01,
				    0 in parity */
	double min_speed_cm_s; /* occupancy counts above this; default as encode */
	double credible_mass; /* default 0.5 */
	uint32_t credible_max_bins; /* a spike is good when its own interval is at most this;
				       default 5 */
};

struct fnx_rig_rule {
	char *name;
	enum fnx_rule_kind type; /* replay | ripple | head_direction | combination */
	uint32_t arm; /* replay: arm whose content counts */
	double threshold; /* replay: mean mass in the arm's target region */
	double other_arms_below; /* replay: every other arm's mean mass */
	uint32_t window_bins; /* replay: sliding mean over this many time bins */
	uint32_t min_groups; /* replay: distinct groups with good spikes within the window */
	double max_centre_distance_cm; /* replay: animal within this of the first bin; 0: anywhere
					*/
	double max_speed_cm_s; /* both: animal slower than this; 0: any speed */
	uint32_t min_electrodes; /* ripple: electrodes that started one within window_ms */
	double window_ms; /* ripple, combination */
	bool consensus; /* ripple: the consensus trace instead */
	enum fnx_ripple_kind ripple_type; /* ripple: which threshold starts one; default standard */
	struct fnx_rig_numbers
		well; /* head_direction: [x, y] of the well looked at, camera units */
	struct fnx_rig_numbers centre_well; /* head_direction: [x, y] of the one the animal is at */
	double well_range_deg; /* head_direction: head within this of the well's direction */
	double steady_deg; /* head_direction: and no more than this from side to side */
	double min_duration_ms; /* head_direction: for so long */
	bool rotate_180; /* head_direction: the second LED is the one at the back */
	struct fnx_rig_names all_of, any_of,
		none_of; /* combination: rules above it, true within window_ms */
	bool component; /* only a part of combinations: has no task of its own */
	uint32_t task; /* number handed to the actuators (e.g. a StateScript function) */
	double lockout_ms; /* of this rule */
};

struct fnx_rig_actuator {
	enum fnx_actuator_kind type; /* log | zmq | udp | serial | trodes */
	char *endpoint; /* zmq: PUSH connects here; udp: HOST:PORT; trodes: its central server */
	char *file; /* log: appended to; empty: standard error */
	char *device; /* serial */
	uint32_t baud; /* serial; 0: 115200 */
	char *text; /* udp: what is sent, {task} stands for the number; empty: the decision */
	bool reply; /* udp, serial: carried out only once an answer has come */
	uint32_t timeout_ms; /* how long carrying out may take; 0: 100 */
};

struct fnx_rig_dispatch {
	bool enabled; /* as ripple */
	struct fnx_rig_rule *rules;
	uint32_t n_rules;
	double lockout_ms; /* between any two tasks; mandatory */
	double max_rate_per_min; /* mandatory */
	bool armed; /* default false: decide and record, do not act */
	bool dry_run; /* default false; true: never act, whatever is armed */
	uint64_t max_per_run; /* tasks in one run; default 0: no limit */
	double max_age_ms; /* nothing is done about older data; default 100, 0: any age */
	double stall_ms; /* the source stands still when nothing comes for so long; default 200, 0:
			    not looked at */
	double blanking_ms; /* nothing is done for so long after a stall, a gap or a flagged frame;
			       default 100 */
	double sham_fraction; /* of the tasks, held back on purpose; default 0 */
	uint64_t sham_seed; /* which ones; default 1 */
	double lease_s; /* armed only while somebody says so again within this; default 0: no need
			 */
	uint32_t task_window; /* sizes of the task runtime's rings, see bus/task.h; default 1024 */
	uint32_t task_consumed_window; /* 0: four times task_window */
	uint32_t task_heap_kb; /* default 4: no task of dispatch has an output there */
	uint32_t task_trace; /* state changes that it keeps for `fornix trace`; default 0 */
	struct fnx_rig_ids targets; /* instructive: arms, one after the other; default none */
	struct fnx_rig_actuator *actuators;
	uint32_t n_actuators;
};

struct fnx_rig_record {
	char *file; /* empty: not started unless --record names one */
	struct fnx_rig_names topics; /* default: all */
	bool compress; /* zstd; default true */
	uint32_t chunk_kb; /* default 256 */
};

struct fnx_rig_tap {
	bool enabled; /* as ripple */
	struct fnx_rig_names topics; /* default: all */
	struct fnx_rig_names endpoints; /* default: ipc://<run dir>/tap.pub */
	char *curve_secret_file; /* for tcp endpoints */
};

/* Real-time set-up of one node. */
struct fnx_rig_node {
	char *name;
	enum fnx_wait *wait; /* NULL: bus.wait */
	int32_t *cpu; /* pin to this processor; NULL: any */
	int32_t priority; /* SCHED_FIFO 1..99; 0: ordinary scheduling */
};

struct fnx_rig_topic {
	char *name;
	uint32_t slots;
};

/* One of the machines that the rig's nodes are spread over. */
struct fnx_rig_machine {
	char *name;
	struct fnx_rig_names nodes; /* that run there */
	struct fnx_rig_names topics; /* that are to be had there whatever its nodes take, for nodes
					of your own; default none */
	char *public_key_file; /* CURVE, made by `fornix keygen`; all machines need it */
	char *secret_key_file; /* read on that machine alone */
};

/* Two machines that exchange topics. */
struct fnx_rig_link {
	struct fnx_rig_names between; /* the first one listens, the second one connects */
	char *endpoint; /* tcp://host:port, as the second one reaches the first; ipc, inproc */
};

struct fnx_rig {
	char *path; /* file it was read from, for messages */
	uint64_t hash; /* of its text and of what was overridden */
	bool parity; /* the ancestor's arithmetic, quirks included; default false */
	struct fnx_rig_bus bus;
	struct fnx_rig_clock clock;
	struct fnx_rig_source source;
	struct fnx_rig_electrode_groups *electrode_groups;
	uint32_t n_electrode_groups;
	struct fnx_rig_lfp lfp;
	struct fnx_rig_spikes spikes;
	struct fnx_rig_position position;
	struct fnx_rig_track track;
	struct fnx_rig_ripple ripple;
	struct fnx_rig_encode encode;
	struct fnx_rig_decode decode;
	struct fnx_rig_dispatch dispatch;
	struct fnx_rig_record record;
	struct fnx_rig_tap tap;
	struct fnx_rig_node *nodes;
	uint32_t n_nodes;
	struct fnx_rig_topic *topics;
	uint32_t n_topics;
	struct fnx_rig_machine *machines;
	uint32_t n_machines;
	struct fnx_rig_link *links;
	uint32_t n_links;
	char machine[48]; /* not in the file: the one that this is; empty: all nodes are here */
	struct fnx_rig_names
		await; /* not in the file: nodes that a source waits for before it begins */
};

enum {
	FNX_RIG_ERROR_MAX = 512,
	FNX_RIG_OVERRIDES_MAX = 64, /* that a program passes on: far more than there are keys */
};

/* Path that stands for the demonstration that is built in. */
#define FNX_RIG_DEMO "@demo"

/* Loads and checks a rig file. `overrides` ("source.speed=0"; see fnx_rig_override_keys) take
 * effect as if they stood in the file. On failure `error` (FNX_RIG_ERROR_MAX bytes) holds one line:
 * file:line: key: what was expected. -ENOENT, -EACCES: the file; -EINVAL: its content; -ENOMEM. */
int fnx_rig_load(const char *path, const char *const *overrides, size_t n_overrides,
	struct fnx_rig **ret_rig, char *error);
struct fnx_rig *fnx_rig_free(struct fnx_rig *rig);
/* Keys that may be overridden, NULL-terminated: source.type, source.file, source.speed,
 * source.duration_s, source.start_s, record.file, bus.name, bus.wait, bus.segment_dir, bus.run_dir,
 * machine, await. */
extern const char *const fnx_rig_override_keys[];
/* Number of channels of an electrode group, 0: the rig has no such group. */
uint32_t fnx_rig_group_channels(const struct fnx_rig *rig, uint32_t group);
/* The track in the form that nodes/host/track.h takes. 0, or -EINVAL with `error` set. */
struct fnx_track_config;
int fnx_rig_track(const struct fnx_rig *rig, struct fnx_track_config *ret_config, char *error);
