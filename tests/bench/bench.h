/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the bench of message passing has in common: a measurement is a plan, carried out by one
 * writer and its readers, each a process of its own (or a thread, for what works in threads alone),
 * over one peer. All peers get the same plan, the same pinning and the same clock.
 *
 * Every message begins with struct bench_message. The rest of it is carried, or shared, but neither
 * filled nor looked at: what is measured is the way, not memcpy by the application.
 */
#pragma once

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
	BENCH_READERS_MAX = 63,
	BENCH_SAMPLES_MAX = 1 << 17,
	BENCH_DIR_MAX = 64,
	BENCH_FLOOR_SLOTS = 4096,
};

#define BENCH_END UINT64_MAX /* seq of a writer's last message */

enum bench_kind {
	BENCH_PING_PONG = 1u << 0,
	BENCH_STREAM = 1u << 1, /* as fast as it goes, to one reader */
	BENCH_FAN_OUT = 1u << 2, /* the same, to several, each of which gets everything */
	BENCH_PACED = 1u << 3, /* one message per millisecond */
};

enum bench_place {
	BENCH_PINNED, /* the writer on the first core, readers on the second */
	BENCH_FREE,
};

/* What is to be done. Lies in the run's shared file. */
struct bench_plan {
	char peer[24];
	char dir[BENCH_DIR_MAX]; /* for sockets and the like; short */
	unsigned id; /* differs from run to run */
	enum bench_kind kind;
	enum bench_place place;
	int spin; /* nobody sleeps */
	int fifo; /* SCHED_FIFO */
	uint32_t n_readers;
	uint64_t size; /* bytes */
	int64_t budget_ns; /* how long to measure */
	int64_t warm_up_ns;
	int64_t period_ns; /* paced */
	int fds[8]; /* of the floors: event descriptors or pipes, [2 x way] */
	int daemon; /* process id of a server that takes part, 0: none */
};

struct bench_message {
	uint64_t seq;
	int64_t sent_ns; /* CLOCK_MONOTONIC */
};

/* One of the processes (0: the writer). Written by it alone. */
struct bench_result {
	_Alignas(64) int64_t cpu_ns;
	uint64_t n; /* messages in all */
	/* At full speed: what the writer sent from `first_ns` on counts until a reader has it all.
	 */
	int64_t first_ns;
	uint64_t n_counted;
	int64_t last_ns;
	uint64_t n_wrong; /* messages out of sequence */
	int failed; /* negative errno, or -1 */
};

struct bench_floor_slot {
	_Alignas(64) _Atomic uint64_t seq_plus_1;
	struct bench_message message;
};

/* A run's shared file, mapped by all who take part. */
struct bench_run {
	struct bench_plan plan;
	_Alignas(64) _Atomic uint32_t n_ready;
	_Atomic uint32_t n_done;
	_Alignas(64) _Atomic uint32_t words[2][16]; /* of the floors, one per way */
	struct bench_result results[1 + BENCH_READERS_MAX];
	uint64_t n_samples;
	int64_t samples[BENCH_SAMPLES_MAX]; /* ns */
	struct bench_floor_slot slots[2][BENCH_FLOOR_SLOTS];
};

/* A way of passing messages. Calls return 0 or a negative number. */
struct bench_peer {
	const char *name;
	const char *how; /* one line on how it is set up */
	unsigned kinds; /* enum bench_kind */
	int spins; /* has a way of waiting that does not sleep */
	int only_spins;
	int threads; /* works within one process only */
	int launched; /* starts its processes itself: `launch` */
	uint64_t size_max; /* bytes; 0: any */
	/* Before the processes are born, in their parent; and after they have died. May be NULL. */
	int (*prepare)(struct bench_run *run);
	void (*clean)(struct bench_run *run);
	int (*launch)(struct bench_run *run, const char *program, const char *path);
	/* In process `index` (0: the writer). In ping-pong both sides send and receive. */
	int (*open)(struct bench_run *run, unsigned index, void **ret_end);
	struct bench_message *(*loan)(void *end); /* NULL: failed */
	int (*send)(void *end);
	int (*flush)(void *end); /* may be NULL */
	/* Waits. Valid until release. NULL: failed. */
	const struct bench_message *(*receive)(void *end);
	void (*release)(void *end); /* may be NULL */
	void (*close)(void *end);
};

/* NULL-terminated; those that this build has. */
extern const struct bench_peer *const bench_peers[];
const struct bench_peer *bench_peer_find(const char *name);

/* A signal that ends the run; 0: go on. */
extern volatile sig_atomic_t bench_interrupted;
/* 1: signals that end programs are noted there, so that what lies in files can be removed; 0: they
 * end this process, a child that has nothing to remove. */
void bench_heed_signals(int heed);

/* What process `index` does, from opening to the end. */
void bench_role(struct bench_run *run, const struct bench_peer *peer, unsigned index);
/* Carries out the plan in `run`. 0, or negative when somebody failed. */
int bench_carry_out(struct bench_run *run, const char *program, const char *path);

static inline int64_t bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static inline void bench_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}
