/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/host/topics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bus/merge.h"

struct names {
	char (*at)[FNX_NAME_MAX];
	unsigned n, max;
};

__attribute__((format(printf, 2, 3))) static void add(struct names *names, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (names->n < names->max)
		vsnprintf(names->at[names->n], FNX_NAME_MAX, format, args);
	va_end(args);
	names->n++;
}

unsigned fnx_rig_topics(const struct fnx_rig *rig, char (*at)[FNX_NAME_MAX], unsigned max)
{
	struct names names = {.at = at, .max = max};

	if (rig->track.enabled)
		add(&names, "position");
	if (rig->n_electrode_groups)
		add(&names, "spikes");
	if (rig->lfp.n_channels)
		add(&names, "lfp");
	if (rig->source.type == FNX_SOURCE_SIMULATOR)
		add(&names, "truth");
	for (uint32_t k = 0; rig->encode.enabled && k < rig->encode.n_instances; k++)
		add(&names, "likelihood.%u", k + 1);
	if (rig->decode.enabled)
		add(&names, "posterior");
	if (rig->ripple.enabled)
		add(&names, "ripple");
	if (rig->dispatch.enabled) {
		add(&names, "decision");
		add(&names, "decision.outcome");
	}
	return names.n;
}

unsigned fnx_rig_params(const struct fnx_rig *rig, char (*at)[FNX_NAME_MAX], unsigned max)
{
	struct names names = {.at = at, .max = max};

	if (rig->ripple.enabled)
		add(&names, "ripple.params");
	for (uint32_t k = 0; rig->encode.enabled && k < rig->encode.n_instances; k++)
		add(&names, "%s.params", rig->encode.instances[k].name);
	if (rig->decode.enabled)
		add(&names, "decode.params");
	if (rig->dispatch.enabled)
		add(&names, "dispatch.params");
	return names.n;
}

uint32_t fnx_rig_topic_slots(const struct fnx_rig *rig, const char *topic)
{
	for (uint32_t i = 0; i < rig->n_topics; i++)
		if (!strcmp(rig->topics[i].name, topic))
			return rig->topics[i].slots;
	return rig->bus.slots;
}

static int is_among(const char *name, char (*names)[FNX_NAME_MAX], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(name, names[i]))
			return 1;
	return 0;
}

static int is_listed(const char *name, const struct fnx_rig_names *list)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (!strcmp(name, list->values[i]))
			return 1;
	return 0;
}

static int declare(struct fnx_node *node, const struct fnx_rig_names *list,
	char (*names)[FNX_NAME_MAX], unsigned n, unsigned flags)
{
	for (unsigned i = 0; i < n; i++) {
		int r = list->n && !is_listed(names[i], list)
			? 0
			: fnx_node_input(node, names[i], NULL, flags);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Says what the rig has instead. */
static int refuse(struct fnx_node *node, const char *key, const char *found,
	char (*names)[FNX_NAME_MAX], unsigned n)
{
	char list[160] = "";
	size_t used = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t left = sizeof(list) - sizeof(", ...") - used;
		int length = snprintf(list + used, left, "%s%s", i ? ", " : "", names[i]);

		if (length < 0 || (size_t)length >= left) {
			strcpy(list + used, i ? ", ..." : "...");
			break;
		}
		used += (size_t)length;
	}
	return fnx_node_fail(node, -EINVAL, "%s: the rig has no topic %s; it has %s", key, found,
		n ? list : "none");
}

int fnx_node_input_topics(
	struct fnx_node *node, const struct fnx_rig_names *list, const char *key, unsigned flags)
{
	char names[FNX_RIG_TOPICS_MAX][FNX_NAME_MAX];
	const struct fnx_rig *rig = fnx_node_rig(node);
	unsigned n = fnx_rig_topics(rig, names, FNX_RIG_TOPICS_MAX), n_params;
	int r;

	if (n > FNX_RIG_TOPICS_MAX)
		n = FNX_RIG_TOPICS_MAX;
	n_params = fnx_rig_params(rig, names + n, FNX_RIG_TOPICS_MAX - n);
	if (n_params > FNX_RIG_TOPICS_MAX - n)
		n_params = FNX_RIG_TOPICS_MAX - n;
	for (uint32_t i = 0; i < list->n; i++)
		if (!is_among(list->values[i], names, n + n_params))
			return refuse(node, key, list->values[i], names, n + n_params);
	if (!list->n && !n)
		return fnx_node_fail(node, -EINVAL, "%s: the rig has no topics", key);
	r = declare(node, list, names, n, flags);
	/* Of a rig so large that not all fit, the parameters are what is left out. */
	if (!r && (list->n || n + n_params <= FNX_MERGE_INPUTS_MAX))
		r = declare(node, list, names + n, n_params, FNX_INPUT_ASIDE);
	return r;
}
