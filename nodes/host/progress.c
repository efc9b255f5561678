/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state's hash covers the rig file as it was read, with what the command line overrode, the
 * node's name and the build: a successor that would compute anything else begins anew.
 */
#include "nodes/host/progress.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <math.h>
#include <string.h>

#include "nodes/host/host.h"

enum {
	LOG_SIZE = 64 << 10, /* what the host and a modest node change between two commits */
};

/* Opening
 * ------------------------------------------------------------------------------------------- */

static void mix(uint64_t *hash, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < size; i++)
		*hash = (*hash ^ at[i]) * UINT64_C(0x100000001b3);
}

/* The linker's identifier of the program, which differs whenever a byte of it does. */
static int mix_build(struct dl_phdr_info *info, size_t size, void *hash)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const unsigned char *at =
			(const unsigned char *)(info->dlpi_addr + segment->p_vaddr);
		const unsigned char *end = at + segment->p_memsz;

		if (segment->p_type != PT_NOTE)
			continue;
		while (at + sizeof(ElfW(Nhdr)) <= end) {
			const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)(const void *)at;
			const unsigned char *name = at + sizeof(*note);
			const unsigned char *data = name + ((note->n_namesz + 3u) & ~3u);

			if (data + note->n_descsz > end)
				break;
			if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
				!memcmp(name, "GNU", 4))
				mix(hash, data, note->n_descsz);
			at = data + ((note->n_descsz + 3u) & ~3u);
		}
	}
	return 1; /* the first is the program itself */
}

static uint64_t layout_hash(const struct fnx_node *node)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	size_t size = sizeof(struct fnx_progress);

	mix(&hash, &node->rig->hash, sizeof(node->rig->hash));
	mix(&hash, &size, sizeof(size));
	mix(&hash, node->name, strlen(node->name));
	mix(&hash, FNX_VERSION, strlen(FNX_VERSION));
	dl_iterate_phdr(mix_build, &hash);
	return hash;
}

static const char *why_new(enum fnx_state_origin origin)
{
	return origin == FNX_STATE_OTHER      ? "is of another rig or another build"
		: origin == FNX_STATE_DAMAGED ? "is damaged"
		: origin == FNX_STATE_BROKEN  ? "was being changed beyond what its journal holds"
					      : NULL;
}

int fnx_progress_open(struct fnx_node *node)
{
	int r = fnx_state_open(&node->bus, node->name, layout_hash(node), &node->state);

	if (!r) {
		node->remembers = fnx_state_origin(node->state) == FNX_STATE_RESUMED;
		node->why_new = why_new(fnx_state_origin(node->state));
		node->progress =
			fnx_state_alloc(node->state, sizeof(*node->progress), FNX_CACHE_LINE);
		r = node->progress ? 0 : -ENOMEM;
	}
	if (r)
		return fnx_node_fail(node, r, "cannot create a state file in %s: %s",
			node->bus.segment_dir, strerror(-r));
	node->restarted = node->remembers;
	if (node->remembers)
		return 0;
	node->progress->time = (struct fnx_progress_time){
		.until = INT64_MIN,
		.passed = INT64_MIN,
		.advanced_to = INT64_MIN,
		.watermark = INT64_MIN,
	};
	return 0;
}

void *fnx_node_state(struct fnx_node *node, size_t size, size_t align)
{
	void *memory = fnx_state_alloc(node->state, size, align);

	node->learns = 1;
	if (!memory)
		fnx_node_fail(node, -ENOMEM, "there is no room in %s for %zu bytes of state",
			node->bus.segment_dir, size);
	return memory;
}

void fnx_node_journal_room(struct fnx_node *node, size_t size)
{
	node->journal_room += size;
}

struct fnx_journal *fnx_node_journal(struct fnx_node *node)
{
	return &node->journal;
}

int fnx_node_remembers(const struct fnx_node *node)
{
	return node->remembers;
}

int fnx_node_forgot(const struct fnx_node *node)
{
	return node->restarted && !node->remembers && node->had_begun;
}

static void restore_params(struct fnx_node *node)
{
	for (unsigned i = 0; i < node->n_params; i++) {
		double value = node->progress->params[i];

		/* Whoever may write to the directory may have written nonsense. */
		if (isfinite(value) && value >= node->params[i].min && value <= node->params[i].max)
			*node->params[i].value = value;
	}
	if (node->n_params && node->ops->changed)
		node->ops->changed(node->self);
}

int fnx_progress_seal(struct fnx_node *node)
{
	int r;

	for (unsigned i = 0; i < node->n_params && !node->remembers; i++)
		node->progress->params[i] = *node->params[i].value;
	r = fnx_state_seal(node->state, LOG_SIZE + node->journal_room);
	if (r)
		return fnx_node_fail(node, r, "cannot %s the state file in %s: %s",
			r == -ESTALE ? "take over" : "create", node->bus.segment_dir, strerror(-r));
	node->journal = *fnx_state_journal(node->state);
	/* One that remembers where it was does not go back behind what it has committed. */
	for (unsigned i = 0; i < node->n_outputs && node->remembers && node->learns; i++)
		node->outputs[i].tail.count = 0;
	if (node->remembers)
		restore_params(node);
	return 0;
}

/* Resuming
 * ------------------------------------------------------------------------------------------ */

void fnx_progress_resume_output(struct fnx_node *node, unsigned index)
{
	struct fnx_node_output_state *output = &node->outputs[index];
	uint64_t head = fnx_publisher_head(output->pub);
	uint64_t committed = node->progress->heads[index];

	node->had_begun |= head > 0;
	fnx_publisher_tail(output->pub, &output->tail);
	/* Sources count for themselves what was published of their session. */
	if (!node->remembers || node->ops->produce)
		return;
	output->repeat = committed < head ? committed : head;
	output->repeat_end = head;
}

void fnx_progress_resume_input(struct fnx_node *node, unsigned index)
{
	struct fnx_node_input_state *input = &node->inputs[index];
	struct fnx_progress_input *progress = fnx_progress_input(node, index);
	uint64_t epoch = fnx_subscriber_epoch(input->sub), next;

	node->had_begun |=
		fnx_subscriber_resumed(input->sub) && fnx_subscriber_next(input->sub) > 0;
	input->owed = (struct fnx_gap){0};
	if (progress->epoch == epoch && !(input->flags & FNX_INPUT_LAZY))
		fnx_subscriber_skip(input->sub, progress->next);
	next = fnx_subscriber_next(input->sub);
	/* Lazy: what was not made safe comes again, and must not count twice. */
	if (progress->epoch == epoch && next < progress->next)
		progress->frames -= progress->next - next < progress->frames ? progress->next - next
									     : progress->frames;
	/* A gap of which the predecessor had seen the beginning, or was evicted meanwhile. */
	if (progress->epoch == epoch && next > progress->next)
		input->owed = (struct fnx_gap){
			.from = progress->next, .to = next, .reason = FNX_GAP_LAPPED};
	else
		progress->next = next;
	progress->epoch = epoch;
	node->owes |= input->owed.to > 0;
	fnx_journal_commit(&node->journal);
	fnx_progress_show(node, index);
}

void fnx_progress_resume_time(struct fnx_node *node)
{
	const struct fnx_progress_time *time = &node->progress->time;

	if (!node->remembers)
		return;
	/* What a lazy input brings again is not late. */
	for (unsigned i = 0; i < node->n_inputs; i++)
		if (node->inputs[i].flags & FNX_INPUT_LAZY)
			return;
	node->merge.until = time->until;
	node->merge.passed = time->passed;
	node->merge.ingress_ns = time->ingress_ns;
	node->advanced_to = time->advanced_to;
	node->watermark = time->watermark;
	node->watermark_ingress_ns = time->watermark_ingress_ns;
}

/* On the frame path
 * --------------------------------------------------------------------------------- */

struct fnx_progress_input *fnx_progress_input(struct fnx_node *node, unsigned input)
{
	struct fnx_progress_input *progress = &node->progress->inputs[input];

	fnx_journal_touch(&node->journal, progress, sizeof(*progress));
	return progress;
}

void fnx_progress_commit(struct fnx_node *node)
{
	struct fnx_progress *progress = node->progress;

	fnx_journal_touch(&node->journal, &progress->time, sizeof(progress->time));
	progress->time = (struct fnx_progress_time){
		.until = node->merge.until,
		.passed = node->merge.passed,
		.ingress_ns = node->merge.ingress_ns,
		.advanced_to = node->advanced_to,
		.watermark = node->watermark,
		.watermark_ingress_ns = node->watermark_ingress_ns,
	};
	for (unsigned i = 0; i < node->n_outputs; i++) {
		uint64_t head = fnx_publisher_head(node->outputs[i].pub);

		if (progress->heads[i] == head)
			continue;
		fnx_journal_touch(&node->journal, &progress->heads[i], sizeof(head));
		progress->heads[i] = head;
	}
	fnx_journal_commit(&node->journal);
}

static void show(_Atomic uint64_t *shown, uint64_t count)
{
	atomic_store_explicit(shown, count, memory_order_relaxed);
}

void fnx_progress_show(struct fnx_node *node, unsigned input)
{
	const struct fnx_progress_input *progress = &node->progress->inputs[input];
	struct fnx_status_topic *status = &node->status->inputs[input];

	show(&status->frames, progress->frames);
	show(&status->gaps, progress->gaps);
	show(&status->missed, progress->missed);
	show(&status->late, progress->late);
	show(&status->bad, progress->bad);
}
