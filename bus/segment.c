/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Creating and mapping the two files of a topic. Files are complete before they get their name, so a reader
 * that finds a name finds a whole segment. Space is reserved at once: a full file system is an error here, and
 * not a bus error in the middle of an experiment.
 */
#include "bus/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const size_t page_size = 4096;

static size_t round_up(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static int topic_path(char *path, size_t size, const struct fnx_bus *bus, const char *topic,
	const char *suffix)
{
	if ((size_t)snprintf(path, size, "%s/%s%s", bus->segment_dir, topic, suffix) >= size)
		return -ENAMETOOLONG;
	return 0;
}

static int map_new(const char *path, size_t size, void **ret)
{
	void *memory;
	int fd, r;

	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	if (fd < 0)
		return -errno;
	r = -posix_fallocate(fd, 0, (off_t)size);
	if (!r) {
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
		if (memory == MAP_FAILED)
			r = -errno;
		else
			*ret = memory;
	}
	close(fd);
	if (r)
		unlink(path);
	return r;
}

static uint64_t new_epoch(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The numbers everything else is computed from, and the pointers that follow from them. */
static void derive(struct fnx_mapping *m)
{
	const struct fnx_segment *s = m->segment;
	unsigned char *base = (unsigned char *)m->segment;

	m->epoch = s->epoch;
	m->slot_size = s->slot_size;
	m->schema_size = s->schema_size;
	m->n_slots = s->n_slots;
	m->n_entries = s->n_entries;
	m->full = (enum fnx_full_policy)s->full;
	m->schema = base + s->schema_offset;
	m->ledger = (struct fnx_entry *)(void *)(base + s->ledger_offset);
	m->pool = base + s->pool_offset;
}

static void fill_header(struct fnx_segment *s, const struct fnx_topic_config *config)
{
	uint32_t n_entries = config->n_entries ? config->n_entries : 4 * config->n_slots;
	uint32_t power = 8;

	while (power < n_entries || power < config->n_slots)
		power *= 2;
	s->abi = FNX_SEGMENT_ABI;
	s->endian = FNX_SEGMENT_ENDIAN;
	s->schema_hash = config->schema_hash;
	s->epoch = new_epoch();
	s->created_ns = (int64_t)s->epoch;
	s->publisher_pid = getpid();
	s->full = config->full;
	s->n_slots = config->n_slots;
	s->n_entries = power;
	s->slot_size = round_up(config->slot_size ? config->slot_size : 1, FNX_CACHE_LINE);
	s->schema_offset = FNX_SEGMENT_HEADER_SIZE;
	s->schema_size = config->schema_size;
	s->ledger_offset = round_up(s->schema_offset + s->schema_size, FNX_CACHE_LINE);
	s->pool_offset = round_up(s->ledger_offset + power * sizeof(struct fnx_entry), page_size);
	s->file_size = round_up(s->pool_offset + s->slot_size * s->n_slots, page_size);
	s->bell_form = config->bell;
	snprintf(s->node, sizeof(s->node), "%s", config->node);
	snprintf(s->topic, sizeof(s->topic), "%s", config->name);
}

int fnx_mapping_create(
	const struct fnx_bus *bus, const struct fnx_topic_config *config, struct fnx_mapping *ret)
{
	char data[512], subs[512], data_tmp[512], subs_tmp[512], suffix[64];
	struct fnx_segment header = {.magic = 0};
	struct fnx_mapping m = {.subs_size = sizeof(struct fnx_subs)};
	void *memory;
	int r;

	snprintf(suffix, sizeof(suffix), ".tmp.%d.data", getpid());
	r = topic_path(data_tmp, sizeof(data_tmp), bus, config->name, suffix);
	snprintf(suffix, sizeof(suffix), ".tmp.%d.subs", getpid());
	if (!r)
		r = topic_path(subs_tmp, sizeof(subs_tmp), bus, config->name, suffix);
	if (!r)
		r = topic_path(data, sizeof(data), bus, config->name, ".data");
	if (!r)
		r = topic_path(subs, sizeof(subs), bus, config->name, ".subs");
	if (r)
		return r;

	fill_header(&header, config);
	unlink(data_tmp);
	unlink(subs_tmp);
	m.segment_size = header.file_size;
	r = map_new(data_tmp, m.segment_size, &memory);
	if (r)
		return r;
	m.segment = memory;
	memcpy(memory, &header, offsetof(struct fnx_segment, head));
	r = map_new(subs_tmp, m.subs_size, &memory);
	if (r) {
		munmap(m.segment, m.segment_size);
		unlink(data_tmp);
		return r;
	}
	m.subs = memory;
	m.subs->abi = FNX_SEGMENT_ABI;
	m.subs->epoch = header.epoch;
	atomic_store_explicit(&m.segment->watermark, INT64_MIN, memory_order_relaxed);
	derive(&m);
	memcpy((unsigned char *)m.segment + header.schema_offset, config->schema, config->schema_size);
	atomic_store_explicit(&m.subs->magic, FNX_SUBS_MAGIC, memory_order_release);
	atomic_store_explicit(&m.segment->magic, FNX_SEGMENT_MAGIC, memory_order_release);

	/* .subs first: a reader opens .data, which says that the topic exists, before .subs. */
	if (rename(subs_tmp, subs) < 0 || rename(data_tmp, data) < 0) {
		r = -errno;
		unlink(data_tmp);
		unlink(subs_tmp);
		fnx_mapping_close(&m);
		return r;
	}
	*ret = m;
	return 0;
}

static int map_existing(const char *path, int writable, void **ret, size_t *ret_size)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	struct stat st;
	void *memory;
	int fd, r = 0;

	fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
	} else if (!S_ISREG(st.st_mode) || st.st_size < (off_t)page_size) {
		r = -EBADMSG;
	} else {
		memory = mmap(NULL, (size_t)st.st_size, prot, MAP_SHARED | MAP_POPULATE, fd, 0);
		if (memory == MAP_FAILED)
			r = -errno;
		else
			*ret = memory, *ret_size = (size_t)st.st_size;
	}
	close(fd);
	return r;
}

static int power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* Every size against the file's own, in an order in which no sum can overflow. */
static int check_header(const struct fnx_segment *s, size_t size)
{
	if (size < FNX_SEGMENT_HEADER_SIZE ||
		atomic_load_explicit(&s->magic, memory_order_acquire) != FNX_SEGMENT_MAGIC)
		return -EBADMSG;
	if (s->abi != FNX_SEGMENT_ABI || s->endian != FNX_SEGMENT_ENDIAN)
		return -EPROTO;
	if (s->file_size != size || s->n_slots < 2 || s->n_slots > FNX_SLOTS_MAX ||
		!power_of_two(s->n_entries) || s->n_entries < s->n_slots ||
		s->n_entries > size / sizeof(struct fnx_entry) || s->slot_size % FNX_CACHE_LINE ||
		!s->slot_size || s->slot_size > size / s->n_slots)
		return -EBADMSG;
	if (s->schema_offset != FNX_SEGMENT_HEADER_SIZE || s->schema_size > size ||
		s->ledger_offset < s->schema_offset + s->schema_size || s->ledger_offset > size ||
		s->ledger_offset % FNX_CACHE_LINE || s->pool_offset > size ||
		s->pool_offset < s->ledger_offset + s->n_entries * sizeof(struct fnx_entry) ||
		s->pool_offset % FNX_CACHE_LINE || s->slot_size * s->n_slots > size - s->pool_offset)
		return -EBADMSG;
	if (s->full != FNX_FULL_WAIT && s->full != FNX_FULL_DROP)
		return -EBADMSG;
	if (!memchr(s->node, 0, sizeof(s->node)) || !memchr(s->topic, 0, sizeof(s->topic)) ||
		!fnx_name_valid(s->node))
		return -EBADMSG;
	return 0;
}

int fnx_mapping_open(
	const struct fnx_bus *bus, const char *topic, int writable, struct fnx_mapping *ret)
{
	struct fnx_mapping m = {.segment = NULL};
	char path[512];
	void *memory;
	int r;

	r = topic_path(path, sizeof(path), bus, topic, ".data");
	if (!r)
		r = map_existing(path, writable, &memory, &m.segment_size);
	if (r)
		return r;
	m.segment = memory;
	r = check_header(m.segment, m.segment_size);
	if (!r) {
		derive(&m);
		r = topic_path(path, sizeof(path), bus, topic, ".subs");
	}
	if (!r) {
		r = map_existing(path, 1, &memory, &m.subs_size);
		if (!r)
			m.subs = memory;
		/* .data without .subs: a creator between its two renames; not there yet. */
	}
	if (!r && (m.subs_size != sizeof(struct fnx_subs) ||
			  atomic_load_explicit(&m.subs->magic, memory_order_acquire) != FNX_SUBS_MAGIC))
		r = -EBADMSG;
	if (!r && m.subs->epoch != m.epoch)
		r = -ENOENT; /* a creator between its two renames; not there yet */
	if (r) {
		fnx_mapping_close(&m);
		return r;
	}
	*ret = m;
	return 0;
}

void fnx_mapping_close(struct fnx_mapping *mapping)
{
	if (mapping->segment)
		munmap(mapping->segment, mapping->segment_size);
	if (mapping->subs)
		munmap(mapping->subs, mapping->subs_size);
	*mapping = (struct fnx_mapping){.segment = NULL};
}

void fnx_mapping_unlink(const struct fnx_bus *bus, const char *topic)
{
	char path[512];

	if (!topic_path(path, sizeof(path), bus, topic, ".data"))
		unlink(path);
	if (!topic_path(path, sizeof(path), bus, topic, ".subs"))
		unlink(path);
}
