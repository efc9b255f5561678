/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is looked at, in files. A file that is not there is no fault: kernels and containers differ;
 * what cannot be seen is said to be unknown.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/fornix/cells.h"
#include "nodes/fornix/command.h"
#include "nodes/fornix/doctor.h"
#include "nodes/fornix/proc.h"

enum {
	TEXT_SIZE = 65536,
	WORD_SIZE = 64,
	SLOW_EXIT_US = 50, /* from idle: as long as a whole hop */
	SHM_FREE_MIB = 256,
	IRQS_TOLD = 3,
};

void fnx_doctor_add(struct fnx_doctor *doctor, const char *what, enum fnx_verdict verdict,
	const char *remedy, const char *format, ...)
{
	struct fnx_finding *finding;
	va_list args;

	if (doctor->n == FNX_FINDINGS_MAX)
		return;
	finding = &doctor->findings[doctor->n++];
	*finding = (struct fnx_finding){.what = what, .verdict = verdict};
	snprintf(finding->remedy, sizeof(finding->remedy), "%s", remedy ? remedy : "");
	va_start(args, format);
	vsnprintf(finding->found, sizeof(finding->found), format, args);
	va_end(args);
}

/* Parsing
 * ---------------------------------------------------------------------------------------------- */

int fnx_cpu_list_has(const char *list, unsigned cpu)
{
	while (isdigit((unsigned char)*list)) {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (cpu >= first && cpu <= last)
			return 1;
		list = *end == ',' ? end + 1 : end;
	}
	return 0;
}

int fnx_choice(const char *text, char *ret_word, size_t size)
{
	const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;

	if (!close)
		return 0;
	snprintf(ret_word, size, "%.*s", (int)(close - open - 1), open + 1);
	return 1;
}

unsigned fnx_interrupt_cpus(const char *heading)
{
	unsigned n = 0;
	const char *end = heading + strcspn(heading, "\n");

	while ((heading = strstr(heading, "CPU")) && heading < end && n < FNX_DOCTOR_CPUS) {
		n++;
		heading += 3;
	}
	return n;
}

int fnx_interrupt_parse(const char *line, unsigned n_cpus, struct fnx_interrupt *ret_interrupt)
{
	struct fnx_interrupt interrupt = {.n_cpus = 0};
	const char *at = line + strspn(line, " \t"), *colon = strchr(at, ':');
	size_t length;

	if (!colon || colon == at || (size_t)(colon - at) >= sizeof(interrupt.name))
		return 0;
	memcpy(interrupt.name, at, (size_t)(colon - at));
	at = colon + 1;
	while (interrupt.n_cpus < n_cpus && interrupt.n_cpus < FNX_DOCTOR_CPUS) {
		char *end;
		const char *digits = at + strspn(at, " \t");

		if (!isdigit((unsigned char)*digits))
			break;
		interrupt.counts[interrupt.n_cpus++] = strtoull(digits, &end, 10);
		at = end;
	}
	at += strspn(at, " \t");
	length = strcspn(at, "\n");
	snprintf(interrupt.device, sizeof(interrupt.device), "%.*s", (int)length, at);
	*ret_interrupt = interrupt;
	return interrupt.n_cpus > 0;
}

/* Files
 * ---------------------------------------------------------------------------------------------- */

/* The first line of a file below the root. 0: there is none. */
static int word(const struct fnx_doctor *doctor, const char *path, char *text, size_t size)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s%s", doctor->root, path);
	text[0] = 0;
	if (fnx_file_text(whole, text, size) < 0 && !text[0])
		return 0;
	text[strcspn(text, "\n")] = 0;
	return 1;
}

/* All of it; the caller frees. NULL: there is none. */
static char *whole_text(const struct fnx_doctor *doctor, const char *path)
{
	char whole[512], *text = malloc(TEXT_SIZE);

	snprintf(whole, sizeof(whole), "%s%s", doctor->root, path);
	if (text && fnx_file_text(whole, text, TEXT_SIZE) < 0 && !text[0]) {
		free(text);
		text = NULL;
	}
	return text;
}

/* Processors
 * ---------------------------------------------------------------------------------------------- */

static void check_governor(struct fnx_doctor *doctor)
{
	char path[128], text[WORD_SIZE];
	unsigned n = 0, n_slow = 0;
	char slow[WORD_SIZE] = "";

	for (unsigned cpu = 0; cpu < FNX_DOCTOR_CPUS; cpu++) {
		snprintf(path, sizeof(path),
			"/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu);
		if (!word(doctor, path, text, sizeof(text)))
			continue;
		n++;
		if (!strcmp(text, "performance"))
			continue;
		n_slow++;
		memcpy(slow, text, sizeof(slow));
	}
	if (!n)
		fnx_doctor_add(
			doctor, "governor", FNX_GOOD, NULL, "no frequency scaling to be seen here");
	else if (n_slow)
		fnx_doctor_add(doctor, "governor", FNX_LACKS,
			"sudo cpupower frequency-set -g performance",
			"%u of %u processors are governed by %s: the first frames after a pause "
			"are slow",
			n_slow, n, slow);
	else
		fnx_doctor_add(doctor, "governor", FNX_GOOD, NULL, "performance, all %u", n);
}

static void check_idle(struct fnx_doctor *doctor)
{
	char path[128], text[WORD_SIZE], name[WORD_SIZE] = "", deepest[WORD_SIZE] = "";
	unsigned long most_us = 0;
	int n = 0;

	for (unsigned state = 0; state < 16; state++) {
		unsigned long us;

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cpuidle/state%u/disable",
			state);
		if (word(doctor, path, text, sizeof(text)) && strcmp(text, "0"))
			continue;
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cpuidle/state%u/latency",
			state);
		if (!word(doctor, path, text, sizeof(text)))
			continue;
		n++;
		us = strtoul(text, NULL, 10);
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cpuidle/state%u/name",
			state);
		word(doctor, path, name, sizeof(name));
		if (us < most_us)
			continue;
		most_us = us;
		memcpy(deepest, name, sizeof(deepest));
	}
	if (!n)
		fnx_doctor_add(doctor, "idle states", FNX_GOOD, NULL, "none to be seen from here");
	else
		fnx_doctor_add(doctor, "idle states", most_us > SLOW_EXIT_US ? FNX_FAIR : FNX_GOOD,
			most_us > SLOW_EXIT_US ? "sudo cpupower idle-set -D 50" : NULL,
			"the deepest in use, %s, takes %lu us to leave", deepest, most_us);
}

/* Processors that the rig pins nodes to, as a list; empty: none. */
static void pinned_cpus(const struct fnx_rig *rig, char *list, size_t size)
{
	size_t used = 0;

	list[0] = 0;
	for (uint32_t i = 0; rig && i < rig->n_nodes && used < size; i++) {
		const struct fnx_rig_node *node = &rig->nodes[i];

		if (node->cpu && *node->cpu >= 0 && !fnx_cpu_list_has(list, (unsigned)*node->cpu))
			used += (size_t)snprintf(
				list + used, size - used, "%s%d", used ? "," : "", *node->cpu);
	}
}

static void check_isolation(struct fnx_doctor *doctor)
{
	char isolated[WORD_SIZE] = "", nohz[WORD_SIZE] = "", pinned[WORD_SIZE];
	char remedy[FNX_DOCTOR_TEXT + WORD_SIZE];
	int lacks = 0;

	word(doctor, "/sys/devices/system/cpu/isolated", isolated, sizeof(isolated));
	word(doctor, "/sys/devices/system/cpu/nohz_full", nohz, sizeof(nohz));
	if (!isdigit((unsigned char)nohz[0]))
		nohz[0] = 0; /* "(null)" */
	pinned_cpus(doctor->rig, pinned, sizeof(pinned));
	for (unsigned cpu = 0; cpu < FNX_DOCTOR_CPUS; cpu++)
		lacks |= fnx_cpu_list_has(pinned, cpu) && !fnx_cpu_list_has(isolated, cpu);
	snprintf(remedy, sizeof(remedy),
		"kernel command line: isolcpus=managed_irq,domain,%s nohz_full=%s rcu_nocbs=%s",
		pinned[0] ? pinned : "1", pinned[0] ? pinned : "1", pinned[0] ? pinned : "1");
	fnx_doctor_add(doctor, "isolation",
		lacks                 ? FNX_LACKS
			: isolated[0] ? FNX_GOOD
				      : FNX_FAIR,
		lacks || !isolated[0] ? remedy : NULL, "isolated %s, without tick %s%s%s",
		isolated[0] ? isolated : "none", nohz[0] ? nohz : "none",
		pinned[0] ? "; the rig pins nodes to " : "", pinned);
}

static unsigned spinning_nodes(const struct fnx_rig *rig)
{
	unsigned n = 0;

	for (unsigned i = 0; fnx_all_nodes[i]; i++) {
		const char *name;

		for (unsigned k = 0; (name = fnx_rig_node_name(fnx_all_nodes[i], rig, k)); k++) {
			enum fnx_wait wait = rig->bus.wait;

			for (uint32_t j = 0; j < rig->n_nodes; j++)
				if (!strcmp(rig->nodes[j].name, name) && rig->nodes[j].wait)
					wait = *rig->nodes[j].wait;
			n += wait == FNX_WAIT_SPIN;
		}
	}
	return n;
}

static void check_spinning(struct fnx_doctor *doctor)
{
	unsigned n_cpus = doctor->probe.n_cpus, n;

	if (!doctor->rig) {
		fnx_doctor_add(doctor, "processors", FNX_GOOD, NULL, "%u to work on", n_cpus);
		return;
	}
	n = spinning_nodes(doctor->rig);
	if (n >= n_cpus && n)
		fnx_doctor_add(doctor, "processors", FNX_LACKS,
			"wait: sleep, of bus or of nodes, in the rig",
			"%u, and %u nodes that spin: one is needed for all others", n_cpus, n);
	else
		fnx_doctor_add(doctor, "processors", FNX_GOOD, NULL, "%u, and %u nodes that spin",
			n_cpus, n);
}

/* A quota stops a busy process for the rest of its period. */
static void check_quota(struct fnx_doctor *doctor)
{
	char text[WORD_SIZE];

	if (!word(doctor, "/sys/fs/cgroup/cpu.max", text, sizeof(text)) || !strncmp(text, "max", 3))
		fnx_doctor_add(doctor, "quota", FNX_GOOD, NULL, "none on processor time");
	else
		fnx_doctor_add(doctor, "quota", FNX_LACKS,
			"CPUQuota= (nothing) in the unit, or a container without --cpus",
			"%s us of processor time, then everybody is stopped", text);
}

/* Interrupts
 * ---------------------------------------------------------------------------------------------- */

struct busy {
	uint64_t count;
	struct fnx_interrupt interrupt;
};

/* Devices' interrupts that have come to the pinned processors, most first. Numbered ones only:
 * timers and the kernel's own calls cannot be moved. */
static unsigned busiest(
	char *text, unsigned n_cpus, const char *pinned, struct busy busy[IRQS_TOLD])
{
	struct fnx_interrupt *interrupt = malloc(sizeof(*interrupt));
	unsigned n = 0;
	char *line, *rest;

	for (line = strtok_r(text, "\n", &rest); interrupt && line;
		line = strtok_r(NULL, "\n", &rest)) {
		uint64_t count = 0;
		unsigned i;

		if (!fnx_interrupt_parse(line, n_cpus, interrupt) ||
			!isdigit((unsigned char)interrupt->name[0]))
			continue;
		for (unsigned cpu = 0; cpu < interrupt->n_cpus; cpu++)
			if (fnx_cpu_list_has(pinned, cpu))
				count += interrupt->counts[cpu];
		for (i = n; i > 0 && busy[i - 1].count < count; i--)
			if (i < IRQS_TOLD)
				busy[i] = busy[i - 1];
		if (!count || i == IRQS_TOLD)
			continue;
		busy[i] = (struct busy){.count = count, .interrupt = *interrupt};
		if (n < IRQS_TOLD)
			n++;
	}
	free(interrupt);
	return n;
}

static void tell_interrupts(
	struct fnx_doctor *doctor, const struct busy *busy, unsigned n, const char *pinned)
{
	char found[200] = "", remedy[FNX_DOCTOR_TEXT];
	size_t used = 0;

	for (unsigned i = 0; i < n && used < sizeof(found); i++)
		used += (size_t)snprintf(found + used, sizeof(found) - used,
			"%s%s (%.20s, %" PRIu64 ")", i ? ", " : "", busy[i].interrupt.name,
			busy[i].interrupt.device, busy[i].count);
	snprintf(remedy, sizeof(remedy),
		"echo 0 | sudo tee /proc/irq/%s/smp_affinity_list, for each; and stop irqbalance, "
		"or IRQBALANCE_BANNED_CPULIST=%.60s in /etc/default/irqbalance",
		busy[0].interrupt.name, pinned);
	fnx_doctor_add(doctor, "interrupts", FNX_LACKS, remedy, "come to processors %s: %s", pinned,
		found);
}

static void check_interrupts(struct fnx_doctor *doctor)
{
	char pinned[WORD_SIZE], *text = whole_text(doctor, "/proc/interrupts");
	struct busy *busy = calloc(IRQS_TOLD, sizeof(*busy));
	unsigned n_cpus, n = 0;

	pinned_cpus(doctor->rig, pinned, sizeof(pinned));
	n_cpus = text ? fnx_interrupt_cpus(text) : 0;
	if (!text || !busy || !n_cpus) {
		fnx_doctor_add(doctor, "interrupts", FNX_GOOD, NULL, "none to be seen from here");
	} else if (!pinned[0]) {
		fnx_doctor_add(doctor, "interrupts", FNX_GOOD, NULL,
			"no node is pinned to a processor: none to keep them from");
	} else {
		n = busiest(text, n_cpus, pinned, busy);
		if (n)
			tell_interrupts(doctor, busy, n, pinned);
		else
			fnx_doctor_add(doctor, "interrupts", FNX_GOOD, NULL,
				"no device's come to processors %s", pinned);
	}
	free(busy);
	free(text);
}

/* Kernel
 * ---------------------------------------------------------------------------------------------- */

/* "none voluntary (full)" */
static void choose_preemption(const char *text, char *word, size_t size)
{
	const char *open = strchr(text, '(');

	if (open)
		snprintf(word, size, "%.*s", (int)strcspn(open + 1, ")"), open + 1);
}

static void check_preemption(struct fnx_doctor *doctor)
{
	char version[512], command_line[2048], text[FNX_DOCTOR_TEXT], chosen[WORD_SIZE] = "";

	word(doctor, "/proc/version", version, sizeof(version));
	word(doctor, "/proc/cmdline", command_line, sizeof(command_line));
	if (word(doctor, "/sys/kernel/realtime", text, sizeof(text)) && text[0] == '1') {
		fnx_doctor_add(doctor, "kernel", FNX_GOOD, NULL, "PREEMPT_RT");
		return;
	}
	/* For root only, where the kernel tells at all. */
	if (word(doctor, "/sys/kernel/debug/sched/preempt", text, sizeof(text)))
		choose_preemption(text, chosen, sizeof(chosen));
	if (strstr(version, "PREEMPT_RT"))
		fnx_doctor_add(doctor, "kernel", FNX_GOOD, NULL, "PREEMPT_RT");
	else if (!strcmp(chosen, "full") || strstr(command_line, "preempt=full"))
		fnx_doctor_add(doctor, "kernel", FNX_GOOD, NULL, "preempt=full");
	else if (strstr(version, "PREEMPT_DYNAMIC"))
		fnx_doctor_add(doctor, "kernel", FNX_FAIR, "kernel command line: preempt=full",
			"PREEMPT_DYNAMIC, not set to full");
	else if (strstr(version, " PREEMPT "))
		fnx_doctor_add(doctor, "kernel", FNX_GOOD, NULL, "PREEMPT");
	else
		fnx_doctor_add(doctor, "kernel", FNX_FAIR, "sudo apt install linux-image-rt-amd64",
			"does not preempt itself: system calls of others hold nodes up");
}

static void check_clock(struct fnx_doctor *doctor)
{
	char source[WORD_SIZE];
	/* These are read without a system call. */
	static const char *const fast[] = {
		"tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"};
	int is_fast = 0;

	if (!word(doctor, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		    source, sizeof(source)))
		snprintf(source, sizeof(source), "of unknown source");
	for (unsigned i = 0; i < sizeof(fast) / sizeof(fast[0]); i++)
		is_fast |= !strcmp(source, fast[i]);
	is_fast |= doctor->probe.clock_ns > 0 && doctor->probe.clock_ns < 200;
	fnx_doctor_add(doctor, "clock", is_fast ? FNX_GOOD : FNX_LACKS,
		is_fast ? NULL : "kernel command line: tsc=reliable clocksource=tsc",
		"%s, %.0f ns a reading", source, doctor->probe.clock_ns);
}

static void check_throttling(struct fnx_doctor *doctor)
{
	char text[WORD_SIZE];
	int has_spinner = doctor->rig && spinning_nodes(doctor->rig) > 0;

	if (!word(doctor, "/proc/sys/kernel/sched_rt_runtime_us", text, sizeof(text)) ||
		text[0] == '-')
		fnx_doctor_add(doctor, "throttling", FNX_GOOD, NULL,
			"real-time threads are never held back");
	else
		fnx_doctor_add(doctor, "throttling", has_spinner ? FNX_LACKS : FNX_GOOD,
			has_spinner ? "sudo sysctl kernel.sched_rt_runtime_us=-1" : NULL,
			"a real-time thread gets %s us of each second%s", text,
			has_spinner ? ", and nodes spin" : ", enough for nodes that sleep");
}

/* Memory
 * ---------------------------------------------------------------------------------------------- */

static void check_huge_pages(struct fnx_doctor *doctor)
{
	char text[WORD_SIZE], chosen[WORD_SIZE];

	if (!word(doctor, "/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text)) ||
		!fnx_choice(text, chosen, sizeof(chosen)))
		fnx_doctor_add(doctor, "huge pages", FNX_GOOD, NULL, "none that come unasked");
	else if (!strcmp(chosen, "always"))
		fnx_doctor_add(doctor, "huge pages", FNX_LACKS,
			"echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
			"always: the kernel may stop a node to gather memory");
	else
		fnx_doctor_add(doctor, "huge pages", FNX_GOOD, NULL, "%s", chosen);
}

static void check_swap(struct fnx_doctor *doctor)
{
	char *text = whole_text(doctor, "/proc/swaps");
	const char *second = text ? strchr(text, '\n') : NULL;

	if (second && second[1])
		fnx_doctor_add(doctor, "swap", FNX_FAIR,
			"sudo swapoff -a, and its line out of /etc/fstab",
			"in use: what is not locked in memory may be paged out");
	else
		fnx_doctor_add(doctor, "swap", FNX_GOOD, NULL, "none");
	free(text);
}

static void check_memory_lock(struct fnx_doctor *doctor)
{
	char limit[FNX_CELL_MAX] = "no limit";
	uint64_t bytes = doctor->probe.memlock_limit;
	int error = doctor->probe.memlock_error;

	if (bytes != UINT64_MAX)
		fnx_cell_bytes(limit, bytes);
	fnx_doctor_add(doctor, "memory lock", error ? FNX_LACKS : FNX_GOOD,
		error ? "@fornix - memlock unlimited in /etc/security/limits.d/fornix.conf, then "
			"log in anew; units: LimitMEMLOCK=infinity"
		      : NULL,
		"%s (limit %s)", error ? strerror(error) : "granted", limit);
}

static void check_shared_memory(struct fnx_doctor *doctor)
{
	char size[FNX_CELL_MAX], left[FNX_CELL_MAX];
	int lacks = doctor->probe.shm_free < (uint64_t)SHM_FREE_MIB << 20;

	fnx_cell_bytes(size, doctor->probe.shm_size);
	fnx_cell_bytes(left, doctor->probe.shm_free);
	fnx_doctor_add(doctor, "/dev/shm", lacks ? FNX_LACKS : FNX_GOOD,
		lacks ? "sudo mount -o remount,size=2G /dev/shm; containers: --shm-size 2g" : NULL,
		"%s, %s of them free", size, left);
}

/* Limits
 * ---------------------------------------------------------------------------------------------- */

static void check_real_time(struct fnx_doctor *doctor)
{
	const struct fnx_probe *probe = &doctor->probe;

	if (!probe->fifo_error)
		fnx_doctor_add(doctor, "SCHED_FIFO", FNX_GOOD, NULL, "granted (limit %" PRIu64 ")",
			probe->rtprio_limit);
	else
		fnx_doctor_add(doctor, "SCHED_FIFO", FNX_LACKS,
			"@fornix - rtprio 95 in /etc/security/limits.d/fornix.conf, then log in "
			"anew; units: LimitRTPRIO=95",
			"refused: %s (limit %" PRIu64 ")", strerror(probe->fifo_error),
			probe->rtprio_limit);
}

static void check_timer_slack(struct fnx_doctor *doctor)
{
	int error = doctor->probe.timer_slack_error;

	if (error)
		fnx_doctor_add(doctor, "timer slack", FNX_LACKS,
			"allow prctl(PR_SET_TIMERSLACK) in the container's seccomp profile",
			"cannot be set: %s", strerror(error));
	else
		fnx_doctor_add(doctor, "timer slack", FNX_GOOD, NULL, "nodes set it to 1 ns");
}

void fnx_doctor_check(struct fnx_doctor *doctor)
{
	check_spinning(doctor);
	check_governor(doctor);
	check_idle(doctor);
	check_isolation(doctor);
	check_interrupts(doctor);
	check_quota(doctor);
	check_preemption(doctor);
	check_clock(doctor);
	check_real_time(doctor);
	check_throttling(doctor);
	check_timer_slack(doctor);
	check_memory_lock(doctor);
	check_shared_memory(doctor);
	check_huge_pages(doctor);
	check_swap(doctor);
}
