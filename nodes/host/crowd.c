/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a node may wait awake. One that looks for work on a core that another needs for the same
 * delays the very frame that it waits for, by a time slice. What counts is what the rig lets run,
 * not what happens to be running: so a node waits in the same way on every run.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "nodes/host/host.h"

struct crowd {
	const struct fnx_rig *rig;
	const char *node;
	int cpu; /* of the node, -1: any */
	unsigned n; /* nodes that wait awake */
	unsigned n_here; /* of those pinned to the node's own processor */
};

static const struct fnx_rig_node *wishes_of(const struct fnx_rig *rig, const char *name)
{
	for (uint32_t i = 0; i < rig->n_nodes; i++)
		if (!strcmp(rig->nodes[i].name, name))
			return &rig->nodes[i];
	return NULL;
}

static int cpu_of(const struct fnx_rig *rig, const char *name)
{
	const struct fnx_rig_node *wish = wishes_of(rig, name);

	return wish && wish->cpu ? *wish->cpu : -1;
}

static void count(struct crowd *crowd, const char *name)
{
	const struct fnx_rig_node *wish = wishes_of(crowd->rig, name);
	enum fnx_wait wait = wish && wish->wait ? *wish->wait : crowd->rig->bus.wait;

	if (wait == FNX_WAIT_SLEEP)
		return;
	crowd->n++;
	crowd->n_here += crowd->cpu >= 0 && cpu_of(crowd->rig, name) == crowd->cpu;
}

/* Those of the pipeline, and the node itself where it is none of them. */
static void count_all(struct crowd *crowd)
{
	const struct fnx_rig *rig = crowd->rig;
	const struct {
		const char *name;
		bool there;
	} nodes[] = {{"acquire", true}, {"ripple", rig->ripple.enabled},
		{"decode", rig->decode.enabled}, {"dispatch", rig->dispatch.enabled},
		{"record", rig->record.file && rig->record.file[0]}, {"tap", rig->tap.enabled}};
	int counted = 0;

	for (unsigned i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		if (!nodes[i].there)
			continue;
		count(crowd, nodes[i].name);
		counted |= !strcmp(nodes[i].name, crowd->node);
	}
	for (uint32_t i = 0; rig->encode.enabled && i < rig->encode.n_instances; i++) {
		count(crowd, rig->encode.instances[i].name);
		counted |= !strcmp(rig->encode.instances[i].name, crowd->node);
	}
	if (!counted)
		count(crowd, crowd->node);
}

int fnx_node_crowded(const struct fnx_node *node, char *ret_why, size_t size)
{
	struct crowd crowd = {.rig = node->rig, .node = node->name};
	unsigned n_cores = 1;
	cpu_set_t cpus;

	crowd.cpu = cpu_of(node->rig, node->name);
	count_all(&crowd);
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		n_cores = (unsigned)CPU_COUNT(&cpus);
	if (crowd.n_here > 1)
		snprintf(ret_why, size, "%u nodes would wait awake on cpu %d", crowd.n_here,
			crowd.cpu);
	else if (crowd.n > n_cores)
		snprintf(ret_why, size, "%u nodes would wait awake on %u cores", crowd.n, n_cores);
	else
		return 0;
	return 1;
}
