/* SPDX-License-Identifier: BSD-3-Clause */
/* Machines made of files: the doctor is shown a proc and a sys of the test's own. */
#include "tests/unit/fornix/command_fixture.h"

#include <jansson.h>
#include <math.h>

#include "nodes/fornix/doctor.h"
#include "nodes/fornix/proc.h"

static char root[300];

static void put(const char *path, const char *text)
{
	char whole[600];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = strchr(whole + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(whole, 0700);
		*slash = '/';
	}
	file = fopen(whole, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* Another machine each time. */
static void new_machine(void)
{
	static int n;

	snprintf(root, sizeof(root), "%s/machine%d", check_scratch_dir(), n++);
	mkdir(root, 0700);
}

static struct fnx_doctor examine(const struct fnx_rig *rig)
{
	struct fnx_doctor doctor = {.root = root,
		.rig = rig,
		.probe = {.n_cpus = 4,
			.memlock_limit = UINT64_MAX,
			.rtprio_limit = 95,
			.shm_size = UINT64_C(8) << 30,
			.shm_free = UINT64_C(8) << 30,
			.clock_ns = 25}};

	fnx_doctor_check(&doctor);
	return doctor;
}

static const struct fnx_finding *finding(const struct fnx_doctor *doctor, const char *what)
{
	for (unsigned i = 0; i < doctor->n; i++)
		if (!strcmp(doctor->findings[i].what, what))
			return &doctor->findings[i];
	fail_msg("nothing found about %s", what);
	abort();
}

static void found(const char *what, enum fnx_verdict verdict, const char *words, const char *remedy)
{
	struct fnx_doctor doctor = examine(NULL);
	const struct fnx_finding *it = finding(&doctor, what);

	says(it->found, words);
	says(it->remedy, remedy);
	assert_int_equal(it->verdict, verdict);
	if (verdict == FNX_GOOD)
		assert_string_equal(it->remedy, "");
	else
		assert_true(it->remedy[0] != 0);
}

TEST(a_machine_that_tells_nothing_lacks_nothing_in_its_files)
{
	struct fnx_doctor doctor;

	new_machine();
	doctor = examine(NULL);
	for (unsigned i = 0; i < doctor.n; i++)
		assert_true(doctor.findings[i].verdict != FNX_LACKS);
	assert_true(doctor.n >= 15);
}

TEST(a_governor_that_saves_power_is_found_on_any_processor)
{
	new_machine();
	put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
	found("governor", FNX_GOOD, "performance, all 1", "");
	put("/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave\n");
	found("governor", FNX_LACKS, "1 of 2 processors are governed by powersave",
		"cpupower frequency-set -g performance");
}

TEST(the_deepest_idle_state_that_is_enabled_counts)
{
	new_machine();
	put("/sys/devices/system/cpu/cpu0/cpuidle/state0/latency", "2\n");
	put("/sys/devices/system/cpu/cpu0/cpuidle/state0/name", "C1\n");
	put("/sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "133\n");
	put("/sys/devices/system/cpu/cpu0/cpuidle/state1/name", "C6\n");
	found("idle states", FNX_FAIR, "C6, takes 133 us", "cpupower idle-set -D");
	put("/sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "1\n");
	found("idle states", FNX_GOOD, "C1, takes 2 us", "");
}

TEST(huge_pages_that_come_unasked_are_found)
{
	new_machine();
	put("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
	found("huge pages", FNX_LACKS, "always", "echo madvise | sudo tee");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	found("huge pages", FNX_GOOD, "madvise", "");
}

TEST(swap_that_is_in_use_is_found)
{
	new_machine();
	put("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
	found("swap", FNX_GOOD, "none", "");
	put("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1 0 -2\n");
	found("swap", FNX_FAIR, "in use", "swapoff -a");
}

TEST(the_kernels_preemption_is_read_from_its_version_and_command_line)
{
	new_machine();
	put("/proc/version", "Linux version 6.1 #1 SMP Debian\n");
	found("kernel", FNX_FAIR, "does not preempt itself", "linux-image-rt-amd64");
	put("/proc/version", "Linux version 6.1 #1 SMP PREEMPT_DYNAMIC Debian\n");
	found("kernel", FNX_FAIR, "PREEMPT_DYNAMIC", "preempt=full");
	put("/proc/cmdline", "quiet preempt=full\n");
	found("kernel", FNX_GOOD, "preempt=full", "");
	put("/proc/cmdline", "quiet\n");
	put("/sys/kernel/debug/sched/preempt", "none voluntary (full)\n");
	found("kernel", FNX_GOOD, "preempt=full", "");
	put("/proc/version", "Linux version 6.1 #1 SMP PREEMPT_RT Debian\n");
	found("kernel", FNX_GOOD, "PREEMPT_RT", "");
}

TEST(a_quota_on_processor_time_is_found)
{
	new_machine();
	put("/sys/fs/cgroup/cpu.max", "max 100000\n");
	found("quota", FNX_GOOD, "none", "");
	put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
	found("quota", FNX_LACKS, "50000 100000 us", "CPUQuota");
}

TEST(what_the_kernel_refuses_comes_with_the_line_to_write)
{
	struct fnx_doctor doctor = {.root = root, .probe = {.n_cpus = 1}};

	new_machine();
	doctor.probe.fifo_error = EPERM;
	doctor.probe.memlock_error = ENOMEM;
	doctor.probe.timer_slack_error = EPERM;
	doctor.probe.clock_ns = 900;
	doctor.probe.shm_free = 1 << 20;
	fnx_doctor_check(&doctor);
	says(finding(&doctor, "SCHED_FIFO")->found, "refused: Operation not permitted");
	says(finding(&doctor, "SCHED_FIFO")->remedy, "rtprio 95 in /etc/security/limits.d/");
	says(finding(&doctor, "memory lock")->remedy, "memlock unlimited in /etc/security/");
	says(finding(&doctor, "clock")->remedy, "clocksource=tsc");
	says(finding(&doctor, "/dev/shm")->remedy, "remount,size=2G /dev/shm");
	assert_int_equal(finding(&doctor, "timer slack")->verdict, FNX_LACKS);
	assert_int_equal(finding(&doctor, "/dev/shm")->verdict, FNX_LACKS);
}

/* Rigs
 * ---------------------------------------------------------------------------------------------- */

static struct fnx_rig *rig_of(const char *text)
{
	static const char *const spinning[] = {"bus.wait=spin"};
	char error[FNX_RIG_ERROR_MAX] = "";
	struct fnx_rig *rig;

	if (fnx_rig_load(FNX_RIG_DEMO, spinning, !strcmp(text, "spin"), &rig, error))
		fail_msg("%s", error);
	return rig;
}

TEST(more_spinning_nodes_than_processors_are_found)
{
	struct fnx_rig *rig = rig_of("spin");
	struct fnx_doctor doctor;

	new_machine();
	put("/proc/sys/kernel/sched_rt_runtime_us", "950000\n");
	doctor = examine(rig);
	assert_int_equal(finding(&doctor, "processors")->verdict, FNX_LACKS);
	says(finding(&doctor, "processors")->found, "nodes that spin");
	says(finding(&doctor, "throttling")->remedy, "sched_rt_runtime_us=-1");
	fnx_rig_free(rig);
	rig = rig_of("sleep");
	doctor = examine(rig);
	says(finding(&doctor, "processors")->found, "4, and 0 nodes that spin");
	assert_int_equal(finding(&doctor, "throttling")->verdict, FNX_GOOD);
	fnx_rig_free(rig);
}

TEST(pinned_processors_should_be_isolated_and_without_interrupts)
{
	struct fnx_rig *rig = rig_of("sleep");
	struct fnx_rig_node pinned = {.name = (char[]){"ripple"}, .cpu = &(int32_t){2}};
	struct fnx_rig with = *rig;
	struct fnx_doctor doctor;

	with.nodes = &pinned;
	with.n_nodes = 1;
	new_machine();
	put("/sys/devices/system/cpu/isolated", "\n");
	put("/proc/interrupts",
		"           CPU0       CPU1       CPU2       CPU3\n"
		"  24:        900          0          5          0  PCI-MSI 1-edge  eth0\n"
		"  25:          0          0         77          0  PCI-MSI 2-edge  nvme0q1\n"
		" LOC:       1000       1000       1000       1000  Local timer interrupts\n");
	doctor = examine(&with);
	assert_int_equal(finding(&doctor, "isolation")->verdict, FNX_LACKS);
	says(finding(&doctor, "isolation")->remedy, "isolcpus=managed_irq,domain,2 nohz_full=2");
	assert_int_equal(finding(&doctor, "interrupts")->verdict, FNX_LACKS);
	/* The busiest first; the local timer is nobody's to move. */
	says(finding(&doctor, "interrupts")->found,
		"processors 2: 25 (PCI-MSI 2-edge  nvme, 77), 24 ");
	says_not(finding(&doctor, "interrupts")->found, "LOC");
	says(finding(&doctor, "interrupts")->remedy, "/proc/irq/25/smp_affinity_list");
	put("/sys/devices/system/cpu/isolated", "1-3\n");
	put("/proc/interrupts",
		"           CPU0       CPU1       CPU2\n"
		"  24:        900          0          0  PCI-MSI eth0\n");
	doctor = examine(&with);
	assert_int_equal(finding(&doctor, "isolation")->verdict, FNX_GOOD);
	assert_int_equal(finding(&doctor, "interrupts")->verdict, FNX_GOOD);
	fnx_rig_free(rig);
}

/* Parsing
 * ---------------------------------------------------------------------------------------------- */

TEST(lists_of_processors_are_read_as_the_kernel_writes_them)
{
	static const struct {
		const char *list;
		unsigned cpu;
		int has;
	} cases[] = {{"", 0, 0}, {"0", 0, 1}, {"0", 1, 0}, {"0-3", 3, 1}, {"0-3", 4, 0},
		{"0-1,4,6-7", 4, 1}, {"0-1,4,6-7", 5, 0}, {"0-1,4,6-7", 7, 1}, {"(null)", 0, 0},
		{"3-", 3, 0}, {",1", 1, 0}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(fnx_cpu_list_has(cases[i].list, cases[i].cpu), cases[i].has);
}

TEST(any_text_can_stand_where_interrupts_are_expected)
{
	struct check_random random = check_random_seeded();
	static const char letters[] = "0123456789: \tCPUx\n-";
	struct fnx_interrupt interrupt;
	char text[200];

	assert_int_equal(fnx_interrupt_parse(" 24:  7  8  PCI eth0\n", 2, &interrupt), 1);
	assert_int_equal(interrupt.counts[1], 8);
	assert_string_equal(interrupt.device, "PCI eth0");
	assert_int_equal(fnx_interrupt_parse("ERR: 3", 4, &interrupt), 1);
	assert_int_equal(interrupt.n_cpus, 1);
	assert_int_equal(fnx_interrupt_parse("24 7", 1, &interrupt), 0);
	for (int round = 0; round < 20000; round++) {
		size_t n = check_random_below(&random, sizeof(text));

		for (size_t i = 0; i < n; i++)
			text[i] = letters[check_random_below(&random, sizeof(letters) - 1)];
		text[n] = 0;
		if (fnx_interrupt_parse(text, fnx_interrupt_cpus(text), &interrupt))
			assert_true(interrupt.n_cpus <= FNX_DOCTOR_CPUS);
	}
}

TEST(processor_time_is_read_behind_any_name_of_a_process)
{
	const char *stat = "7 (a) b (c) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1";

	assert_true(fabs(fnx_proc_stat_cpu(stat, 100) - 2) < 1e-9);
	assert_true(isnan(fnx_proc_stat_cpu("", 100)));
	assert_true(isnan(fnx_proc_stat_cpu("7 (a) S 1", 100)));
	assert_true(
		fnx_proc_field("a:\t1\nvoluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:"
			       "\t7\n",
			"voluntary_ctxt_switches") == 42);
	assert_true(isnan(fnx_proc_field("b: 1\n", "a")));
	assert_true(isnan(fnx_proc_field("a: x\n", "a")));
}

/* Waking
 * ---------------------------------------------------------------------------------------------- */

TEST(every_ring_of_a_measurement_is_heard_once_or_is_late)
{
	struct fnx_wake *wake = calloc(1, sizeof(*wake));
	unsigned n = 50;

	assert_int_equal(fnx_wake_measure(wake, n, 0, NULL), 0);
	assert_true(wake->n_cases >= 2);
	for (unsigned i = 0; i < wake->n_cases; i++) {
		const struct fnx_wake_case *test = &wake->cases[i];

		assert_in_range(test->n, 1, n + 1);
		assert_int_equal(test->latency.count, test->n);
	}
	assert_non_null(fnx_wake_find(wake, "eventfd", 1, 0));
	assert_non_null(fnx_wake_find(wake, "bell", 1, 0));
	assert_null(fnx_wake_find(wake, "bell", 1, 1));
	free(wake);
}

static void advises(int64_t same_ns, int64_t other_ns, const char *words)
{
	struct fnx_wake *wake = calloc(1, sizeof(*wake));
	char line[FNX_DOCTOR_TEXT];

	wake->cases[wake->n_cases++] = (struct fnx_wake_case){.how = "bell", .same_core = 1};
	if (other_ns)
		wake->cases[wake->n_cases++] = (struct fnx_wake_case){.how = "bell"};
	for (unsigned i = 0; i < wake->n_cases; i++)
		fnx_histogram_add(&wake->cases[i].latency, i ? other_ns : same_ns);
	fnx_wake_advise(wake, line, sizeof(line));
	says(line, words);
	free(wake);
}

TEST(placement_follows_the_measurement)
{
	advises(2000, 30000, "give both the same `cpu`");
	advises(30000, 5000, "give them different `cpu`s");
	advises(10000, 11000, "leave nodes unpinned");
	advises(10000, 0, "one processor");
}

/* Command
 * ---------------------------------------------------------------------------------------------- */

TEST(the_exit_status_says_whether_something_is_lacking)
{
	const struct said *said;

	new_machine();
	put("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
	said = FORNIX("doctor", "--root", root);
	assert_int_equal(said->status, 1);
	says(said->out, "LACKS  huge pages   always");
	says(said->out, "> echo madvise | sudo tee");
	says_not(said->out, "placement");
}

TEST(the_doctor_tells_scripts_the_same)
{
	const struct said *said = FORNIX("doctor", "--quick", "--json");
	json_t *whole = json_loads(said->out, 0, NULL);
	json_t *wake = json_object_get(whole, "wake"), *it;
	size_t i;
	int lacks = 0;

	json_array_foreach(json_object_get(whole, "findings"), i, it) lacks |=
		!strcmp(json_string_value(json_object_get(it, "verdict")), "lacks");
	assert_int_equal(said->status, lacks);
	assert_true(json_array_size(json_object_get(wake, "cases")) >= 2);
	assert_true(json_string_length(json_object_get(wake, "placement")) > 0);
	json_decref(whole);
}

TEST(wrong_use_of_the_doctor_is_told_in_one_line)
{
	fails(FORNIX("doctor", "a.yaml", "b.yaml"), 2, "unexpected argument b.yaml");
	fails(FORNIX("doctor", "/nowhere/lab.yaml"), 2, "/nowhere/lab.yaml");
	fails(FORNIX("doctor", "--slow"), 2, "unrecognized option");
}
