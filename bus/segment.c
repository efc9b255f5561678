/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Creating and mapping the two files of a topic. Files are complete before they get their name, so
 * a reader that finds a name finds a whole segment. Space is reserved at once: a full file system
 * is an error here, and not a bus error in the middle of an experiment.
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

static int topic_path(
	char *path, size_t size, const struct fnx_bus *bus, const char *topic, const char *suffix)
{
	if ((size_t)snprintf(path, size, "%s/%s%s", bus->segment_dir, topic, suffix) >= size)
		return -ENAMETOOLONG;
	return 0;
}

/* Mapping
 * ------------------------------------------------------------------------------------------- */

#ifdef __SANITIZE_THREAD__
/*
 * ThreadSanitizer takes two addresses for two things, though they be one page of one file. So in
 * its build, and in that alone, one process maps each file once, and the sanitizer sees who touches
 * a frame when.
 */
#include <pthread.h>

static struct {
	dev_t dev;
	ino_t ino;
	int writable;
	unsigned n_users;
	void *memory;
} shared[256];
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

static void *map(int fd, size_t size, int writable)
{
	size_t unused = 256;
	struct stat st;
	void *memory = MAP_FAILED;

	if (fstat(fd, &st) < 0)
		return MAP_FAILED;
	pthread_mutex_lock(&shared_lock);
	for (size_t i = 0; i < 256 && memory == MAP_FAILED; i++) {
		if (!shared[i].n_users) {
			unused = i;
		} else if (shared[i].dev == st.st_dev && shared[i].ino == st.st_ino &&
			shared[i].writable >= writable) {
			shared[i].n_users++;
			memory = shared[i].memory;
		}
	}
	if (memory == MAP_FAILED)
		memory = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
			MAP_SHARED | MAP_POPULATE, fd, 0);
	else
		unused = 256;
	if (memory != MAP_FAILED && unused < 256) {
		shared[unused].dev = st.st_dev;
		shared[unused].ino = st.st_ino;
		shared[unused].writable = writable;
		shared[unused].memory = memory;
		shared[unused].n_users = 1;
	}
	pthread_mutex_unlock(&shared_lock);
	return memory;
}

static void unmap(void *memory, size_t size)
{
	unsigned n_users = 0;

	pthread_mutex_lock(&shared_lock);
	for (size_t i = 0; i < 256; i++)
		if (shared[i].n_users && shared[i].memory == memory)
			n_users = --shared[i].n_users;
	if (!n_users)
		munmap(memory, size);
	pthread_mutex_unlock(&shared_lock);
}
#else
static void *map(int fd, size_t size, int writable)
{
	return mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
		MAP_SHARED | MAP_POPULATE, fd, 0);
}

static void unmap(void *memory, size_t size)
{
	munmap(memory, size);
}
#endif

static int map_new(const char *path, size_t size, void **ret)
{
	void *memory;
	int fd, r;

	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	if (fd < 0)
		return -errno;
	do {
		r = -posix_fallocate(fd, 0, (off_t)size);
	} while (r == -EINTR);
	/* Whoever may enter the directory may read and join, whatever the umask. */
	if (!r && fchmod(fd, 0660) < 0)
		r = -errno;
	if (!r) {
		memory = map(fd, size, 1);
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

/* `ret_fd` may be NULL: the file is closed. */
static int map_existing(const char *path, int writable, void **ret, size_t *ret_size, int *ret_fd)
{
	struct stat st;
	void *memory;
	int fd, r = 0;

	fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
	} else if (!S_ISREG(st.st_mode) || st.st_size < (off_t)page_size) {
		r = -EBADMSG;
	} else {
		memory = map(fd, (size_t)st.st_size, writable);
		if (memory == MAP_FAILED)
			r = -errno;
		else
			*ret = memory, *ret_size = (size_t)st.st_size;
	}
	if (r || !ret_fd)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* Header
 * -------------------------------------------------------------------------------------------- */

static uint64_t new_epoch(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fill_header(struct fnx_segment *s, const struct fnx_topic_config *config)
{
	uint32_t n_entries = config->n_entries ? config->n_entries : 4 * config->n_slots;
	uint32_t power = 8;

	/* More entries than slots: a frame that found no slot takes an entry all the same. */
	while (power < n_entries || power <= config->n_slots)
		power *= 2;
	s->abi = FNX_SEGMENT_ABI;
	s->endian = FNX_SEGMENT_ENDIAN;
	s->schema_hash = config->schema_hash;
	s->created_ns = (int64_t)new_epoch();
	s->epoch = config->epoch ? config->epoch : (uint64_t)s->created_ns;
	s->publisher_pid = getpid();
	s->full = config->full;
	s->n_slots = config->n_slots;
	s->n_entries = power;
	s->slot_size = round_up(config->slot_size ? config->slot_size : 1, FNX_CACHE_LINE);
	s->schema_offset = FNX_SEGMENT_HEADER_SIZE;
	s->schema_size = config->schema_size;
	s->ledger_offset = round_up(s->schema_offset + s->schema_size, FNX_CACHE_LINE);
	s->pool_offset = round_up(s->ledger_offset + power * sizeof(struct fnx_entry), page_size);
	s->file_size =
		round_up(s->pool_offset + fnx_slot_stride(s->slot_size) * s->n_slots, page_size);
	s->bell_form = config->bell;
	snprintf(s->node, sizeof(s->node), "%s", config->node);
	snprintf(s->topic, sizeof(s->topic), "%s", config->name);
}

static int power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* Every size against the file's own, in an order in which no sum can overflow. */
int fnx_segment_check(const struct fnx_segment *s, size_t size)
{
	if (s->abi != FNX_SEGMENT_ABI || s->endian != FNX_SEGMENT_ENDIAN)
		return -EPROTO;
	if (s->file_size != size || s->n_slots < 2 || s->n_slots > FNX_SLOTS_MAX ||
		!power_of_two(s->n_entries) || s->n_entries <= s->n_slots ||
		s->n_entries > size / sizeof(struct fnx_entry) || s->slot_size % FNX_CACHE_LINE ||
		!s->slot_size || s->slot_size > size / s->n_slots)
		return -EBADMSG;
	if (s->schema_offset != FNX_SEGMENT_HEADER_SIZE || s->schema_size > size ||
		s->ledger_offset < s->schema_offset + s->schema_size || s->ledger_offset > size ||
		s->ledger_offset % FNX_CACHE_LINE || s->pool_offset > size ||
		s->pool_offset < s->ledger_offset + s->n_entries * sizeof(struct fnx_entry) ||
		s->pool_offset % FNX_CACHE_LINE ||
		fnx_slot_stride(s->slot_size) * s->n_slots > size - s->pool_offset)
		return -EBADMSG;
	if (s->full != FNX_FULL_WAIT && s->full != FNX_FULL_DROP)
		return -EBADMSG;
	if (!memchr(s->node, 0, sizeof(s->node)) || !memchr(s->topic, 0, sizeof(s->topic)) ||
		!fnx_name_valid(s->node) || !fnx_name_valid(s->topic))
		return -EBADMSG;
	return 0;
}

/* The numbers everything else is computed from, and the pointers that follow from them. `s` is a
 * private copy of the header, checked. */
static void derive(struct fnx_mapping *m, const struct fnx_segment *s)
{
	unsigned char *base = (unsigned char *)m->segment;

	m->epoch = s->epoch;
	m->schema_hash = s->schema_hash;
	m->slot_size = s->slot_size;
	m->slot_stride = fnx_slot_stride(s->slot_size);
	m->schema_size = s->schema_size;
	m->n_slots = s->n_slots;
	m->n_entries = s->n_entries;
	m->full = (enum fnx_full_policy)s->full;
	m->schema = base + s->schema_offset;
	m->ledger = (struct fnx_entry *)(void *)(base + s->ledger_offset);
	m->pool = base + s->pool_offset;
	memcpy(m->node, s->node, sizeof(m->node));
	memcpy(m->topic, s->topic, sizeof(m->topic));
}

int fnx_mapping_matches(const struct fnx_mapping *mapping, const struct fnx_topic_config *config)
{
	struct fnx_segment wanted = {.magic = 0};

	fill_header(&wanted, config);
	return mapping->schema_hash == wanted.schema_hash && !strcmp(mapping->node, wanted.node) &&
		mapping->schema_size == wanted.schema_size &&
		(!wanted.schema_size ||
			!memcmp(mapping->schema, config->schema, wanted.schema_size)) &&
		mapping->n_slots == wanted.n_slots && mapping->n_entries == wanted.n_entries &&
		mapping->slot_size == wanted.slot_size && mapping->full == config->full &&
		(!config->epoch || mapping->epoch == config->epoch);
}

/* Making and finding
 * --------------------------------------------------------------------------------- */

struct names {
	char data[512], subs[512], data_tmp[512], subs_tmp[512];
};

static int make_names(
	struct names *names, const struct fnx_bus *bus, const struct fnx_topic_config *config)
{
	char suffix[64];
	int r;

	snprintf(suffix, sizeof(suffix), ".tmp.%d.data", getpid());
	r = topic_path(names->data_tmp, sizeof(names->data_tmp), bus, config->name, suffix);
	snprintf(suffix, sizeof(suffix), ".tmp.%d.subs", getpid());
	if (!r)
		r = topic_path(names->subs_tmp, sizeof(names->subs_tmp), bus, config->name, suffix);
	if (!r)
		r = topic_path(names->data, sizeof(names->data), bus, config->name, ".data");
	if (!r)
		r = topic_path(names->subs, sizeof(names->subs), bus, config->name, ".subs");
	return r;
}

static void fill_files(struct fnx_mapping *m, const struct fnx_segment *header,
	const struct fnx_topic_config *config)
{
	const void *schema = config->schema;

	memcpy(m->segment, header, offsetof(struct fnx_segment, head));
	atomic_store_explicit(&m->segment->head, config->first_seq, memory_order_relaxed);
	atomic_store_explicit(&m->segment->released, config->first_seq, memory_order_relaxed);
	atomic_store_explicit(&m->segment->releasing, config->first_seq, memory_order_relaxed);
	atomic_store_explicit(&m->segment->watermark, INT64_MIN, memory_order_relaxed);
	if (header->schema_size)
		memcpy((unsigned char *)m->segment + header->schema_offset, schema,
			header->schema_size);
	m->subs->abi = FNX_SEGMENT_ABI;
	m->subs->epoch = header->epoch;
	atomic_store_explicit(&m->subs->magic, FNX_SUBS_MAGIC, memory_order_release);
	atomic_store_explicit(&m->segment->magic, FNX_SEGMENT_MAGIC, memory_order_release);
	derive(m, header);
}

int fnx_mapping_create(
	const struct fnx_bus *bus, const struct fnx_topic_config *config, struct fnx_mapping *ret)
{
	struct fnx_segment header = {.magic = 0};
	struct fnx_mapping m = {.subs_size = sizeof(struct fnx_subs), .subs_fd = -1};
	struct names names;
	void *memory;
	int r;

	r = make_names(&names, bus, config);
	if (r)
		return r;
	fill_header(&header, config);
	unlink(names.data_tmp);
	unlink(names.subs_tmp);
	m.segment_size = header.file_size;
	r = map_new(names.data_tmp, m.segment_size, &memory);
	if (r)
		return r;
	m.segment = memory;
	r = map_new(names.subs_tmp, m.subs_size, &memory);
	if (!r) {
		m.subs = memory;
		fill_files(&m, &header, config);
		/* .subs first: a reader opens .data, which says that the topic exists, before
		 * .subs. */
		if (rename(names.subs_tmp, names.subs) < 0)
			r = -errno;
		else if (rename(names.data_tmp, names.data) < 0)
			r = -errno, unlink(names.subs);
	}
	if (r) {
		unlink(names.data_tmp);
		unlink(names.subs_tmp);
		fnx_mapping_close(&m);
		return r;
	}
	*ret = m;
	return 0;
}

static int open_data(
	const struct fnx_bus *bus, const char *topic, int writable, struct fnx_mapping *m)
{
	struct fnx_segment header;
	char path[512];
	void *memory = NULL;
	int r;

	r = topic_path(path, sizeof(path), bus, topic, ".data");
	if (!r)
		r = map_existing(path, writable, &memory, &m->segment_size, NULL);
	if (r)
		return r;
	m->segment = memory;
	if (m->segment_size < FNX_SEGMENT_HEADER_SIZE ||
		atomic_load_explicit(&m->segment->magic, memory_order_acquire) != FNX_SEGMENT_MAGIC)
		return -EBADMSG;
	/* Copied, the copy checked, the copy used: the file may change under our eyes. */
	memcpy(&header, m->segment, offsetof(struct fnx_segment, head));
	r = fnx_segment_check(&header, m->segment_size);
	if (!r)
		derive(m, &header);
	return r;
}

static int open_subs(const struct fnx_bus *bus, const char *topic, struct fnx_mapping *m)
{
	char path[512];
	void *memory = NULL;
	int r;

	r = topic_path(path, sizeof(path), bus, topic, ".subs");
	if (!r)
		r = map_existing(path, 1, &memory, &m->subs_size, &m->subs_fd);
	if (r)
		return r;
	m->subs = memory;
	if (m->subs_size != sizeof(struct fnx_subs) ||
		atomic_load_explicit(&m->subs->magic, memory_order_acquire) != FNX_SUBS_MAGIC)
		return -EBADMSG;
	if (m->subs->abi != FNX_SEGMENT_ABI)
		return -EPROTO;
	/* A creator between its two renames; not there yet. */
	return m->subs->epoch == m->epoch ? 0 : -ENOENT;
}

int fnx_mapping_open(
	const struct fnx_bus *bus, const char *topic, int writable, struct fnx_mapping *ret)
{
	struct fnx_mapping m = {.subs_fd = -1};
	int r;

	r = open_data(bus, topic, writable, &m);
	if (!r)
		r = open_subs(bus, topic, &m);
	if (r) {
		fnx_mapping_close(&m);
		return r;
	}
	*ret = m;
	return 0;
}

void fnx_mapping_settle(struct fnx_mapping *mapping)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (mapping->subs_fd < 0)
		return;
	/* The mapping keeps the open file, and with it the locks, beyond its last descriptor. */
	fcntl(mapping->subs_fd, F_OFD_SETLK, &lock);
	close(mapping->subs_fd);
	mapping->subs_fd = -1;
}

int fnx_mapping_lock_record(const struct fnx_mapping *mapping, unsigned index)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)index, .l_len = 1};

	if (fcntl(mapping->subs_fd, F_OFD_SETLK, &lock) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

void fnx_mapping_close(struct fnx_mapping *mapping)
{
	if (mapping->segment)
		unmap(mapping->segment, mapping->segment_size);
	if (mapping->subs)
		unmap(mapping->subs, mapping->subs_size);
	fnx_mapping_settle(mapping);
	*mapping = (struct fnx_mapping){.subs_fd = -1};
}

void fnx_mapping_unlink(const struct fnx_bus *bus, const char *topic)
{
	char path[512];

	if (!topic_path(path, sizeof(path), bus, topic, ".data"))
		unlink(path);
	if (!topic_path(path, sizeof(path), bus, topic, ".subs"))
		unlink(path);
}
