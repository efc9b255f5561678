/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of a runtime: made under its own name, locked before it has a size, its magic stored
 * last; checked by whoever maps it. */
#include "bus/task_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/task_runtime.h"

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

void fnx_task_layout(struct fnx_task_header *h)
{
	h->slots_offset = round_up(sizeof(*h), FNX_TASK_PAGE);
	h->main_offset = round_up(h->slots_offset + h->window * sizeof(uint64_t), FNX_TASK_PAGE);
	h->entries_offset =
		round_up(h->main_offset + (uint64_t)h->window * FNX_TASK_SLOT_SIZE, FNX_TASK_PAGE);
	h->trace_offset =
		h->entries_offset + (uint64_t)h->consumed_window * sizeof(struct fnx_task_entry);
	h->boxes_offset =
		round_up(h->trace_offset + (uint64_t)h->n_traced * sizeof(struct fnx_task_event),
			FNX_TASK_PAGE);
	h->heap_offset = round_up(h->boxes_offset + sizeof(struct fnx_task_boxes), FNX_TASK_PAGE);
	h->file_size = round_up(h->heap_offset + h->heap_size, FNX_TASK_PAGE);
}

static int is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

int fnx_task_layout_check(const struct fnx_task_header *copy, size_t file_size)
{
	struct fnx_task_header expected = *copy;

	if (copy->abi != FNX_TASK_ABI || copy->endian != FNX_TASK_ENDIAN)
		return -EPROTO;
	if (!is_power_of_two(copy->window) || !is_power_of_two(copy->consumed_window) ||
		(copy->n_traced && !is_power_of_two(copy->n_traced)) ||
		copy->heap_size > INT64_MAX / 2 || copy->n_kinds > FNX_TASK_KINDS_MAX ||
		copy->n_kernels > FNX_TASK_KERNELS_MAX)
		return -EBADMSG;
	fnx_task_layout(&expected);
	if (memcmp(&expected.slots_offset, &copy->slots_offset,
		    offsetof(struct fnx_task_header, reserved) -
			    offsetof(struct fnx_task_header, slots_offset)) ||
		copy->file_size != file_size)
		return -EBADMSG;
	return 0;
}

/* Locks
 * -------------------------------------------------------------------------------------------- */

static int set_lock(int fd, unsigned byte, short type)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

int fnx_task_lock(int fd, unsigned byte)
{
	return set_lock(fd, byte, F_WRLCK);
}

void fnx_task_unlock(int fd, unsigned byte)
{
	(void)set_lock(fd, byte, F_UNLCK);
}

int fnx_task_is_locked(int fd, unsigned byte)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

/* Mapping
 * ------------------------------------------------------------------------------------------ */

static int file_path(const struct fnx_bus *bus, const char *name, char *ret_path, size_t size)
{
	if (!fnx_name_valid(name))
		return -EINVAL;
	return fnx_bus_path(bus->segment_dir, name, ".tasks", ret_path, size);
}

/* -EBUSY: the runtime that has the name lives. */
static int check_name_free(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = fnx_task_is_locked(fd, 0);
	close(fd);
	return r == 1 ? -EBUSY : r;
}

static int fill_file(struct fnx_task_mapping *m, int fd, const struct fnx_task_header *header)
{
	int r = fnx_task_lock(fd, 0);

	if (r)
		return r;
	do {
		r = -posix_fallocate(fd, 0, (off_t)header->file_size);
	} while (r == -EINTR);
	if (!r && fchmod(fd, 0660) < 0)
		r = -errno;
	if (r)
		return r;
	m->base = mmap(
		NULL, header->file_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	return m->base == MAP_FAILED ? -errno : 0;
}

static void fill_header(struct fnx_task_mapping *m, const struct fnx_task_header *header)
{
	struct fnx_task_header *shared = (void *)m->base;

	memcpy((char *)shared + sizeof(shared->magic), (const char *)header + sizeof(shared->magic),
		sizeof(*shared) - sizeof(shared->magic));
	atomic_store_explicit(&shared->magic, FNX_TASK_MAGIC, memory_order_release);
	memcpy(&m->header, shared, sizeof(*shared));
	m->size = header->file_size;
}

static int create_anonymous(
	const struct fnx_task_header *header, struct fnx_task_mapping *ret_mapping)
{
	struct fnx_task_mapping m = {.fd = -1};

	m.base = mmap(NULL, header->file_size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (m.base == MAP_FAILED)
		return -errno;
	fill_header(&m, header);
	*ret_mapping = m;
	return 0;
}

int fnx_task_map_create(const struct fnx_bus *bus, const char *name,
	const struct fnx_task_header *header, struct fnx_task_mapping *ret_mapping, char *ret_path,
	size_t path_size)
{
	struct fnx_task_mapping m = {.fd = -1};
	int r;

	ret_path[0] = 0;
	if (!bus)
		return create_anonymous(header, ret_mapping);
	r = file_path(bus, name, ret_path, path_size);
	if (r >= 0)
		r = check_name_free(ret_path);
	if (r < 0)
		return r;
	/* What a dead owner left, half made or whole, is of use to nobody, and there may not be
	 * memory for both. */
	unlink(ret_path);
	m.fd = open(ret_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	if (m.fd < 0)
		return -errno;
	r = fill_file(&m, m.fd, header);
	if (r) {
		unlink(ret_path);
		fnx_task_map_close(&m);
		return r;
	}
	/* Now it is one. */
	fill_header(&m, header);
	*ret_mapping = m;
	return 0;
}

static int map_file(struct fnx_task_mapping *m, int writable)
{
	const struct fnx_task_header *shared;
	uint64_t magic;
	struct stat st;

	if (fstat(m->fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && !st.st_size)
		return -ENOENT; /* in the making */
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(*shared))
		return -EBADMSG;
	m->size = (size_t)st.st_size;
	m->base = mmap(NULL, m->size, PROT_READ, MAP_SHARED | MAP_POPULATE, m->fd, 0);
	if (m->base == MAP_FAILED) {
		m->base = NULL;
		return -errno;
	}
	shared = (const void *)m->base;
	magic = atomic_load_explicit(&shared->magic, memory_order_acquire);
	if (magic != FNX_TASK_MAGIC)
		return magic ? -EBADMSG : -ENOENT;
	memcpy(&m->header, shared, sizeof(*shared));
	for (unsigned i = 0; i < FNX_TASK_KERNELS_MAX; i++)
		m->header.kernels[i].name[FNX_NAME_MAX - 1] = 0;
	if (fnx_task_layout_check(&m->header, m->size))
		return fnx_task_layout_check(&m->header, m->size);
	/* The graph stays read-only. */
	if (writable &&
		mprotect(m->base + m->header.boxes_offset, m->size - m->header.boxes_offset,
			PROT_READ | PROT_WRITE) < 0)
		return -errno;
	return 0;
}

int fnx_task_map_open(const struct fnx_bus *bus, const char *name, int writable,
	struct fnx_task_mapping *ret_mapping)
{
	struct fnx_task_mapping m = {.fd = -1};
	char path[256];
	int r = file_path(bus, name, path, sizeof(path));

	if (r < 0)
		return r;
	m.fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (m.fd < 0)
		return -errno;
	r = map_file(&m, writable);
	if (r) {
		fnx_task_map_close(&m);
		return r;
	}
	*ret_mapping = m;
	return 0;
}

void fnx_task_map_close(struct fnx_task_mapping *mapping)
{
	if (mapping->base && mapping->base != MAP_FAILED)
		munmap(mapping->base, mapping->size);
	if (mapping->fd >= 0)
		close(mapping->fd);
	*mapping = (struct fnx_task_mapping){.fd = -1};
}
