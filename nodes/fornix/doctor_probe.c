/* SPDX-License-Identifier: BSD-3-Clause */
/* What only the kernel can say, asked without changing anything for this process. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "nodes/fornix/command.h"
#include "nodes/fornix/doctor.h"

enum {
	CLOCK_READINGS = 10000,
	LOCKED_MIB = 256, /* a rig of many nodes and topics */
};

/* In a thread of its own, which takes what it was granted along when it ends. */
static void *try_real_time(void *argument)
{
	struct fnx_probe *probe = argument;
	const struct sched_param param = {.sched_priority = 1};

	probe->fifo_error = sched_setscheduler(0, SCHED_FIFO, &param) < 0 ? errno : 0;
	probe->timer_slack_error = prctl(PR_SET_TIMERSLACK, 1) < 0 ? errno : 0;
	return NULL;
}

static uint64_t limit_of(__rlimit_resource_t resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return 0;
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

/* Locked on fault, and never touched: no memory is taken. */
static int try_memory_lock(void)
{
	size_t size = (size_t)LOCKED_MIB << 20;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int error;

	if (memory == MAP_FAILED)
		return errno;
	error = mlock2(memory, size, MLOCK_ONFAULT) < 0 ? errno : 0;
	munmap(memory, size);
	return error;
}

static double clock_cost_ns(void)
{
	int64_t begun_ns = fnx_node_now(), ended_ns = begun_ns;

	for (int i = 0; i < CLOCK_READINGS; i++)
		ended_ns = fnx_node_now();
	return (double)(ended_ns - begun_ns) / CLOCK_READINGS;
}

void fnx_probe_take(struct fnx_probe *ret_probe)
{
	struct fnx_probe probe = {.fifo_error = EAGAIN, .timer_slack_error = EAGAIN};
	struct statvfs shm;
	cpu_set_t cpus;
	pthread_t thread;

	if (!pthread_create(&thread, NULL, try_real_time, &probe))
		pthread_join(thread, NULL);
	probe.rtprio_limit = limit_of(RLIMIT_RTPRIO);
	probe.memlock_limit = limit_of(RLIMIT_MEMLOCK);
	probe.memlock_error = try_memory_lock();
	probe.n_cpus =
		sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : (unsigned)CPU_COUNT(&cpus);
	if (!statvfs("/dev/shm", &shm)) {
		probe.shm_size = (uint64_t)shm.f_blocks * shm.f_frsize;
		probe.shm_free = (uint64_t)shm.f_bavail * shm.f_frsize;
	}
	probe.clock_ns = clock_cost_ns();
	*ret_probe = probe;
}
