/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page is made under a temporary name and renamed when complete, so that a reader finds a whole
 * one or none. A restarted node takes over the page that is there: a monitor that has it mapped
 * follows the new life without asking. While that happens `magic` is 0.
 *
 * The file is allocated in full: on a tmpfs that has run out, a store to a hole would kill the
 * node.
 */
#include "bus/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATH_SIZE = sizeof(((struct fnx_bus *)NULL)->segment_dir) + FNX_NAME_MAX + 32,
	STEPS = 16, /* per power of two */
	STEP_BITS = 4,
};

/* Histogram
 * ------------------------------------------------------------------------------------------ */

static void raise_by_one(_Atomic uint64_t *count)
{
	/* One writer: no need for the price of a locked instruction. */
	atomic_store_explicit(
		count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int exponent;

	if (ns > UINT32_MAX)
		return FNX_HISTOGRAM_BUCKETS - 1;
	exponent = 63 - (unsigned int)__builtin_clzll(ns | 1);
	/* The STEP_BITS bits below the leading one. */
	return exponent * STEPS + (unsigned int)((ns << STEP_BITS >> exponent) & (STEPS - 1));
}

/* The largest duration that falls into a bucket. */
static uint64_t bucket_last(unsigned int bucket)
{
	uint64_t exponent = bucket / STEPS, step = bucket % STEPS;
	uint64_t first_of_next = ((STEPS + step + 1) << exponent) + STEPS - 1;

	return (first_of_next >> STEP_BITS) - 1;
}

void fnx_histogram_add(struct fnx_histogram *histogram, int64_t ns)
{
	uint64_t duration = ns > 0 ? (uint64_t)ns : 1;

	raise_by_one(&histogram->buckets[bucket_of(duration)]);
	fnx_peak_raise(&histogram->max_ns, duration);
	raise_by_one(&histogram->count);
}

uint64_t fnx_histogram_quantile(const struct fnx_histogram *histogram, double fraction)
{
	uint64_t counts[FNX_HISTOGRAM_BUCKETS], total = 0, seen = 0;
	uint64_t max_ns = atomic_load_explicit(&histogram->max_ns, memory_order_relaxed);
	double rank;

	/* `count` may be ahead or behind while the writer is at it: what is summed here is what
	 * counts. */
	for (unsigned int i = 0; i < FNX_HISTOGRAM_BUCKETS; i++) {
		counts[i] = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
		total += counts[i];
	}
	if (total == 0)
		return 0;
	rank = fraction * (double)total;
	for (unsigned int i = 0; i < FNX_HISTOGRAM_BUCKETS - 1; i++) {
		seen += counts[i];
		if (seen > 0 && (double)seen >= rank)
			return bucket_last(i) < max_ns ? bucket_last(i) : max_ns;
	}
	return max_ns;
}

/* Page
 * -----------------------------------------------------------------------------------------------
 */

/* NULL: see errno. */
static struct fnx_status *map_page(int fd, int protection)
{
	void *memory = mmap(NULL, sizeof(struct fnx_status), protection, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Maps the page at `path`. -EPROTO: it is not one of this build. */
static int open_page(const char *path, int writable, struct fnx_status **ret_status)
{
	struct fnx_status *status = NULL;
	struct stat st;
	int fd, r = 0;

	fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size != (off_t)sizeof(*status))
		r = -EPROTO;
	else if (writable)
		r = -posix_fallocate(fd, 0, (off_t)sizeof(*status));
	if (r == 0) {
		status = map_page(fd, writable ? PROT_READ | PROT_WRITE : PROT_READ);
		r = status ? 0 : -errno;
	}
	close(fd);
	if (!status)
		return r;
	/* Acquires what begin_life stored before the magic. */
	if (atomic_load_explicit(&status->magic, memory_order_acquire) != FNX_STATUS_MAGIC ||
		status->abi != FNX_STATUS_ABI) {
		fnx_status_close(status);
		return -EPROTO;
	}
	*ret_status = status;
	return 0;
}

static void begin_life(struct fnx_status *status, const char *node, uint32_t starts)
{
	atomic_store(&status->magic, 0);
	memset((char *)status + sizeof(status->magic), 0, sizeof(*status) - sizeof(status->magic));
	status->abi = FNX_STATUS_ABI;
	snprintf(status->name, sizeof(status->name), "%s", node);
	atomic_store(&status->pid, getpid());
	atomic_store(&status->starts, starts);
	atomic_store(&status->state, FNX_NODE_STARTING);
	atomic_store_explicit(&status->magic, FNX_STATUS_MAGIC, memory_order_release);
}

/* A page from which a predecessor's counters go on. The names of its topics are written again. */
static void go_on(struct fnx_status *status)
{
	atomic_store(&status->pid, getpid());
	atomic_fetch_add(&status->starts, 1);
	fnx_status_say(status, "%s", "");
	memset(status->realtime, 0, sizeof(status->realtime));
	atomic_store(&status->state, FNX_NODE_STARTING);
}

static int create_page(const char *path, const char *node, struct fnx_status **ret_status)
{
	char temporary[PATH_SIZE + 16];
	struct fnx_status *status = NULL;
	int fd, r;

	snprintf(temporary, sizeof(temporary), "%s.tmp.%d", path, (int)getpid());
	unlink(temporary);
	fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	if (fd < 0)
		return -errno;
	r = -posix_fallocate(fd, 0, (off_t)sizeof(*status));
	if (r == 0) {
		status = map_page(fd, PROT_READ | PROT_WRITE);
		r = status ? 0 : -errno;
	}
	close(fd);
	if (status) {
		begin_life(status, node, 1);
		r = rename(temporary, path) < 0 ? -errno : 0;
	}
	if (r < 0) {
		fnx_status_close(status);
		unlink(temporary);
		return r;
	}
	*ret_status = status;
	return 0;
}

static int take_page(
	const struct fnx_bus *bus, const char *node, int goes_on, struct fnx_status **ret)
{
	char path[PATH_SIZE];
	struct fnx_status *status;
	int r = fnx_bus_path(bus->segment_dir, node, ".status", path, sizeof(path));

	if (r < 0)
		return r;
	r = open_page(path, 1, &status);
	if (r == -ENOSPC)
		return r;
	/* Whatever else lies there, or is not ours to write: a page of our own takes its name. */
	if (r < 0)
		return create_page(path, node, ret);
	if (goes_on)
		go_on(status);
	else
		begin_life(status, node, atomic_load(&status->starts) + 1);
	*ret = status;
	return 0;
}

int fnx_status_create(const struct fnx_bus *bus, const char *node, struct fnx_status **ret)
{
	return take_page(bus, node, 0, ret);
}

int fnx_status_adopt(const struct fnx_bus *bus, const char *node, struct fnx_status **ret)
{
	return take_page(bus, node, 1, ret);
}

int fnx_status_open(const struct fnx_bus *bus, const char *node, const struct fnx_status **ret)
{
	char path[PATH_SIZE];
	struct fnx_status *status;
	int r = fnx_bus_path(bus->segment_dir, node, ".status", path, sizeof(path));

	if (r == 0)
		r = open_page(path, 0, &status);
	if (r < 0)
		return r == -ELOOP ? -EPROTO : r;
	*ret = status;
	return 0;
}

void fnx_status_say(struct fnx_status *status, const char *format, ...)
{
	char text[FNX_STATUS_TEXT_MAX] = "";
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* The last byte was 0 when the page began and is never written again. */
	memcpy(status->text, text, sizeof(text) - 1);
}

void fnx_status_close(const struct fnx_status *status)
{
	union {
		const struct fnx_status *constant;
		void *memory;
	} mapping = {.constant = status};

	if (status)
		munmap(mapping.memory, sizeof(*status));
}
