/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A book holds when the last tasks were done: the last of all, the last of each rule, and as
 * many as the rate allows. The oldest of those says whether one more would be too many. There
 * are two books: of what was done, and of what would have been done in a dry run; a task that
 * is done is entered in both, so that a dry run may begin at any time.
 */
#include "nodes/dispatch/safety.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/fetch.h"
#include "bus/journal.h"

struct moment {
	int64_t known; /* 0: no */
	int64_t time;
};

struct book {
	struct moment *last; /* of all tasks */
	struct moment *last_of_rule; /* [n_rules] */
	struct moment *tasks; /* [max_tasks] a ring, `oldest` first */
	uint64_t *oldest;
	uint64_t *count; /* of this run */
	struct fnx_journal *journal;
};

struct fnx_safety {
	struct fnx_safety_config config;
	int64_t *lockouts_samples; /* [n_rules] */
	int armed, dry_run;
	struct book done, supposed;
	uint32_t *told; /* [n_rules] bit per outcome: not to be told again in this stretch */
	void *memory, *owned;
};

static int is_valid(const struct fnx_safety_config *config)
{
	if (!config->n_rules || config->lockout_samples < 0 ||
		config->max_tasks > FNX_SAFETY_TASKS_MAX || config->per_samples < 1 ||
		!(config->sham_fraction >= 0 && config->sham_fraction <= 1))
		return 0;
	for (uint32_t i = 0; i < config->n_rules; i++)
		if (config->rule_lockouts_samples[i] < 0)
			return 0;
	return 1;
}

static size_t book_size(const struct fnx_safety_config *config)
{
	return (1 + (size_t)config->n_rules + config->max_tasks) * sizeof(struct moment) +
		2 * sizeof(uint64_t);
}

size_t fnx_safety_memory_size(const struct fnx_safety_config *config)
{
	if (!config->n_rules || config->max_tasks > FNX_SAFETY_TASKS_MAX)
		return 0;
	return 2 * book_size(config) + (config->n_rules + 1) / 2 * 2 * sizeof(uint32_t);
}

static void *lay_out_book(struct book *book, const struct fnx_safety_config *config, void *memory)
{
	book->journal = config->journal;
	book->oldest = memory;
	book->count = book->oldest + 1;
	book->last = (struct moment *)(void *)(book->count + 1);
	book->last_of_rule = book->last + 1;
	book->tasks = book->last_of_rule + config->n_rules;
	return book->tasks + config->max_tasks;
}

/* What a predecessor left may be any bytes. */
static int is_sound(const struct book *book, const struct fnx_safety_config *config)
{
	return *book->oldest < config->max_tasks || *book->oldest == 0;
}

int fnx_safety_new(const struct fnx_safety_config *config, struct fnx_safety **ret_safety)
{
	struct fnx_safety *safety;
	size_t size;

	if (!is_valid(config))
		return -EINVAL;
	size = fnx_safety_memory_size(config);
	safety = calloc(1, sizeof(*safety));
	if (!safety)
		return -ENOMEM;
	safety->config = *config;
	safety->lockouts_samples = calloc(config->n_rules, sizeof(*safety->lockouts_samples));
	if (!config->memory)
		safety->owned = calloc(1, size);
	safety->memory = config->memory ? config->memory : safety->owned;
	if (!safety->lockouts_samples || !safety->memory) {
		fnx_safety_free(safety);
		return -ENOMEM;
	}
	if (config->memory && !config->resumed)
		memset(safety->memory, 0, size);
	safety->told = lay_out_book(
		&safety->supposed, config, lay_out_book(&safety->done, config, safety->memory));
	if (!is_sound(&safety->done, config) || !is_sound(&safety->supposed, config)) {
		fnx_safety_free(safety);
		return -EBADMSG;
	}
	for (uint32_t i = 0; i < config->n_rules; i++)
		safety->lockouts_samples[i] = config->rule_lockouts_samples[i];
	safety->config.rule_lockouts_samples = safety->lockouts_samples;
	*ret_safety = safety;
	return 0;
}

struct fnx_safety *fnx_safety_free(struct fnx_safety *safety)
{
	if (!safety)
		return NULL;
	free(safety->lockouts_samples);
	free(safety->owned);
	free(safety);
	return NULL;
}

void fnx_safety_set(struct fnx_safety *safety, int armed, int dry_run)
{
	safety->armed = armed;
	safety->dry_run = dry_run;
}

/* Less than `samples` ago, or not in the past at all. */
static int is_recent(const struct moment *moment, int64_t samples, int64_t now)
{
	int64_t age;

	if (!moment->known)
		return 0;
	if (__builtin_sub_overflow(now, moment->time, &age))
		return now < moment->time;
	return age < samples;
}

/* Why a task may not be done now; FNX_DECISION_ACTED: it may. */
static int refusal(
	const struct fnx_safety *safety, const struct book *book, uint32_t rule, int64_t now)
{
	const struct fnx_safety_config *config = &safety->config;

	if (is_recent(book->last, config->lockout_samples, now) ||
		is_recent(&book->last_of_rule[rule], config->rule_lockouts_samples[rule], now))
		return FNX_DECISION_LOCKED_OUT;
	if (!config->max_tasks || is_recent(&book->tasks[*book->oldest], config->per_samples, now))
		return FNX_DECISION_RATE_LIMITED;
	if (config->max_per_run && *book->count >= config->max_per_run)
		return FNX_DECISION_RUN_LIMITED;
	return FNX_DECISION_ACTED;
}

static struct moment later(struct moment moment, int64_t now)
{
	if (!moment.known || now > moment.time)
		moment = (struct moment){.known = 1, .time = now};
	return moment;
}

static void set(struct book *book, struct moment *place, struct moment moment)
{
	fnx_journal_touch(book->journal, place, sizeof(*place));
	*place = moment;
}

static void enter(
	struct book *book, const struct fnx_safety_config *config, uint32_t rule, int64_t now)
{
	fnx_journal_touch(book->journal, book->count, sizeof(*book->count));
	*book->count += 1;
	set(book, book->last, later(*book->last, now));
	set(book, &book->last_of_rule[rule], later(book->last_of_rule[rule], now));
	if (!config->max_tasks)
		return;
	/* Should time have gone back, the task stands where the last one does: entries never fall.
	 */
	set(book, &book->tasks[*book->oldest], *book->last);
	fnx_journal_touch(book->journal, book->oldest, sizeof(*book->oldest));
	*book->oldest = *book->oldest + 1 == config->max_tasks ? 0 : *book->oldest + 1;
}

void fnx_safety_restarted(struct fnx_safety *safety, int64_t now)
{
	struct book *books[] = {&safety->done, &safety->supposed};

	fnx_journal_touch(
		safety->config.journal, safety->memory, fnx_safety_memory_size(&safety->config));
	for (uint32_t k = 0; k < 2; k++) {
		*books[k]->count = UINT64_MAX / 2; /* how many there were nobody knows */
		*books[k]->last = later(*books[k]->last, now);
		for (uint32_t i = 0; i < safety->config.n_rules; i++)
			books[k]->last_of_rule[i] = later(books[k]->last_of_rule[i], now);
		for (uint32_t i = 0; i < safety->config.max_tasks; i++)
			books[k]->tasks[i] = *books[k]->last;
	}
}

/* Of the finalizer of splitmix64: each bit of what goes in changes half of those that come out. */
static uint64_t scatter(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static int is_sham(const struct fnx_safety_config *config, uint32_t rule, int64_t now)
{
	uint64_t drawn = scatter(scatter(scatter(config->sham_seed) ^ (uint64_t)now) ^ rule);

	return (double)(drawn >> 11) * 0x1p-53 < config->sham_fraction;
}

/* What becomes of the task; a task that is done is entered. */
static int decide(struct fnx_safety *safety, uint32_t rule, int64_t now)
{
	int outcome;

	if (!safety->armed && !safety->dry_run)
		return FNX_DECISION_DISARMED;
	outcome = refusal(safety, safety->dry_run ? &safety->supposed : &safety->done, rule, now);
	if (outcome != FNX_DECISION_ACTED)
		return outcome;
	enter(&safety->supposed, &safety->config, rule, now);
	if (safety->dry_run)
		return FNX_DECISION_DRY_RUN;
	enter(&safety->done, &safety->config, rule, now);
	return is_sham(&safety->config, rule, now) ? FNX_DECISION_SHAM : FNX_DECISION_ACTED;
}

int fnx_safety_tell(struct fnx_safety *safety, uint32_t rule, int rose, int outcome)
{
	int is_trial = outcome == FNX_DECISION_ACTED || outcome == FNX_DECISION_SHAM;
	uint32_t *told = &safety->told[rule];
	uint32_t bit = UINT32_C(1) << outcome;

	fnx_journal_touch(safety->config.journal, told, sizeof(*told));
	if (rose)
		*told = 0;
	if (!is_trial && *told & bit)
		return FNX_SAFETY_SILENT;
	*told |= bit;
	if (is_trial || outcome == FNX_DECISION_DRY_RUN)
		*told |= UINT32_C(1) << FNX_DECISION_LOCKED_OUT;
	return outcome;
}

int fnx_safety_fire(struct fnx_safety *safety, uint32_t rule, int rose, int64_t now)
{
	return fnx_safety_tell(safety, rule, rose, decide(safety, rule, now));
}

static void fetch_book(const struct book *book, const struct fnx_safety_config *config)
{
	const unsigned char *begin = (const void *)book->oldest, *end = (const void *)book->tasks;

	fnx_fetch(begin, (size_t)(end - begin));
	if (config->max_tasks)
		fnx_fetch(&book->tasks[*book->oldest], sizeof(book->tasks[0]));
}

void fnx_safety_fetch(const struct fnx_safety *safety)
{
	uint32_t n_rules = safety->config.n_rules;

	fnx_fetch(safety, sizeof(*safety));
	fetch_book(&safety->supposed, &safety->config);
	fetch_book(&safety->done, &safety->config);
	fnx_fetch(safety->told, n_rules * sizeof(safety->told[0]));
	fnx_fetch(safety->lockouts_samples, n_rules * sizeof(safety->lockouts_samples[0]));
}

void fnx_safety_rate(
	double max_rate_per_min, double clock_hz, uint32_t *ret_max_tasks, int64_t *ret_per_samples)
{
	double minutes = max_rate_per_min > 0 && max_rate_per_min < 1 ? 1 / max_rate_per_min : 1;
	double tasks = max_rate_per_min > 0 && max_rate_per_min < 1 ? 1 : floor(max_rate_per_min);

	*ret_max_tasks = !(tasks > 0)          ? 0
		: tasks < FNX_SAFETY_TASKS_MAX ? (uint32_t)tasks
					       : (uint32_t)FNX_SAFETY_TASKS_MAX;
	*ret_per_samples = fnx_safety_samples(minutes * 60e3, clock_hz);
}

int64_t fnx_safety_samples(double ms, double clock_hz)
{
	/* A product that should be whole may lie a rounding error above. */
	double samples = ceil(ms / 1000 * clock_hz * (1 - 1e-15));

	return samples > 0 ? samples < 9e18 ? (int64_t)samples : INT64_MAX : 0;
}
