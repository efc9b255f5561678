/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large a state is shows only when all its pieces have been asked for, and yet a piece must not
 * move once it is handed out, and all must lie in one stretch for the journal. So a stretch of
 * addresses is reserved first, the file is mapped into it page by page as it grows, and the seal
 * gives the rest back.
 *
 * The file is allocated in full: on a tmpfs that has run out, a store to a hole would kill the
 * node.
 *
 * A file of another layout is never written to: it is unlinked and another takes its name. So
 * whoever still has the old one mapped sees nothing torn.
 */
#include "bus/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert(offsetof(struct fnx_state_header, hash) == 16, "layout");
static_assert(offsetof(struct fnx_state_header, data_size) == 32, "layout");
static_assert(offsetof(struct fnx_state_header, log_offset) == 40, "layout");
static_assert(offsetof(struct fnx_state_header, node) == 64, "layout");
static_assert(sizeof(struct fnx_state_header) <= FNX_STATE_HEADER_SIZE, "layout");

#define RESERVE_MAX (UINT64_C(1) << 36)
#define RESERVE_MIN (UINT64_C(1) << 26)

enum {
	ENDIAN = 0x01020304,
	PAGE = 4096, /* of the layout; the machine's may be larger */
	PATH_SIZE = sizeof(((struct fnx_bus *)NULL)->segment_dir) + FNX_NAME_MAX + 32,
};

struct fnx_state {
	char path[PATH_SIZE];
	unsigned char *memory; /* the file from its beginning */
	size_t reserved; /* addresses; file_size once sealed */
	size_t mapped; /* of the file */
	size_t end; /* of the pieces handed out, in the file */
	size_t data_end; /* of a predecessor's */
	uint64_t requests;
	int fd; /* -1 once sealed */
	int sealed;
	enum fnx_state_origin origin;
	struct fnx_journal journal;
};

static struct fnx_state_header *header_of(const struct fnx_state *state)
{
	return (struct fnx_state_header *)(void *)state->memory;
}

static size_t rounded(size_t size, size_t unit)
{
	return (size + unit - 1) / unit * unit;
}

static void mix(uint64_t *hash, uint64_t word)
{
	for (int i = 0; i < 8; i++, word >>= 8)
		*hash = (*hash ^ (word & 0xff)) * UINT64_C(0x100000001b3);
}

/* Looking
 * ------------------------------------------------------------------------------------------------
 */

/* Copies the header and checks every size in it against the file. */
static int read_header(const void *file, size_t size, struct fnx_state_header *ret)
{
	const struct fnx_state_header *shared = file;

	if (size < FNX_STATE_HEADER_SIZE)
		return -EBADMSG;
	/* acquire: pairs with the seal */
	if (atomic_load_explicit(&shared->magic, memory_order_acquire) != FNX_STATE_MAGIC)
		return -EBADMSG;
	memcpy(ret, file, sizeof(*ret));
	if (ret->abi != FNX_STATE_ABI || ret->endian != ENDIAN)
		return -EPROTO;
	if (ret->file_size != size || ret->log_offset > size || ret->log_offset % PAGE ||
		ret->log_size != size - ret->log_offset ||
		ret->log_offset < FNX_STATE_HEADER_SIZE ||
		ret->data_size > ret->log_offset - FNX_STATE_HEADER_SIZE)
		return -EBADMSG;
	return 0;
}

int fnx_state_validate(const void *file, size_t size)
{
	struct fnx_state_header header;
	int r = read_header(file, size, &header);

	if (r)
		return r;
	return fnx_journal_validate(
		(const unsigned char *)file + header.log_offset, header.log_size, header.data_size);
}

/* Taking over
 * -------------------------------------------------------------------------------------------- */

/* Maps a predecessor's file. 0; -ENOENT: there is none, or it was never sealed; -EBADMSG: it is
 * none. */
static int map_old(struct fnx_state *state, size_t *ret_size)
{
	int fd = open(state->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	void *memory;
	int r = 0;

	if (fd < 0)
		return errno == ELOOP ? -EBADMSG : -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size < FNX_STATE_HEADER_SIZE)
		r = -EBADMSG;
	/* A hole in it would kill us later. */
	else if (st.st_blocks < st.st_size / 512)
		r = -posix_fallocate(fd, 0, st.st_size);
	if (!r) {
		memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_POPULATE, fd, 0);
		r = memory == MAP_FAILED ? -errno : 0;
	}
	close(fd);
	if (r)
		return r;
	state->memory = memory;
	state->reserved = state->mapped = *ret_size = (size_t)st.st_size;
	if (!atomic_load_explicit(&header_of(state)->magic, memory_order_relaxed))
		return -ENOENT;
	return 0;
}

static void unmap(struct fnx_state *state)
{
	if (state->memory)
		munmap(state->memory, state->reserved);
	state->memory = NULL;
	state->reserved = state->mapped = 0;
}

static enum fnx_state_origin judge(int error)
{
	return error == -ENOENT       ? FNX_STATE_NEW
		: error == -EPROTO    ? FNX_STATE_OTHER
		: error == -EOVERFLOW ? FNX_STATE_BROKEN
				      : FNX_STATE_DAMAGED;
}

/* 0: state->origin says what became of it; only with RESUMED is anything mapped. */
static void resume(struct fnx_state *state, const char *node, uint64_t hash)
{
	struct fnx_state_header header;
	size_t size = 0;
	int r = map_old(state, &size);

	if (!r)
		r = read_header(state->memory, size, &header);
	if (!r && (header.hash != hash || strncmp(header.node, node, FNX_NAME_MAX) != 0))
		r = -EPROTO;
	if (!r)
		r = fnx_journal_recover(&state->journal, state->memory + header.log_offset,
			header.log_size, state->memory + FNX_STATE_HEADER_SIZE, header.data_size);
	if (r < 0) {
		state->origin = judge(r);
		unmap(state);
		return;
	}
	state->origin = FNX_STATE_RESUMED;
	state->data_end = FNX_STATE_HEADER_SIZE + header.data_size;
}

/* Making
 * -------------------------------------------------------------------------------------------------
 */

static int reserve(struct fnx_state *state)
{
	for (uint64_t size = RESERVE_MAX; size >= RESERVE_MIN; size /= 2) {
		void *memory = mmap(
			NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (memory == MAP_FAILED)
			continue;
		state->memory = memory;
		state->reserved = size;
		return 0;
	}
	return -ENOMEM;
}

/* The file is to be `size` bytes long at least, mapped. */
static int grow(struct fnx_state *state, size_t size)
{
	size_t more;
	int r;

	if (size > state->reserved)
		return -ENOMEM;
	size = rounded(size, (size_t)sysconf(_SC_PAGESIZE));
	if (size <= state->mapped)
		return 0;
	more = size - state->mapped;
	r = posix_fallocate(state->fd, (off_t)state->mapped, (off_t)more);
	if (r)
		return -r;
	if (mmap(state->memory + state->mapped, more, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED | MAP_POPULATE, state->fd,
		    (off_t)state->mapped) == MAP_FAILED)
		return -errno;
	state->mapped = size;
	return 0;
}

static int create(struct fnx_state *state, const char *node, uint64_t hash)
{
	struct fnx_state_header *header;
	int r;

	if (unlink(state->path) < 0 && errno != ENOENT)
		return -errno;
	state->fd = open(state->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (state->fd < 0)
		return -errno;
	r = reserve(state);
	if (!r)
		r = grow(state, FNX_STATE_HEADER_SIZE);
	if (r)
		return r;
	header = header_of(state);
	header->abi = FNX_STATE_ABI;
	header->endian = ENDIAN;
	header->hash = hash;
	snprintf(header->node, sizeof(header->node), "%s", node);
	return 0;
}

int fnx_state_open(
	const struct fnx_bus *bus, const char *node, uint64_t hash, struct fnx_state **ret)
{
	struct fnx_state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return -ENOMEM;
	state->fd = -1;
	state->end = FNX_STATE_HEADER_SIZE;
	state->requests = UINT64_C(0xcbf29ce484222325);
	r = fnx_bus_path(bus->segment_dir, node, ".state", state->path, sizeof(state->path));
	if (r < 0) {
		free(state);
		return r;
	}
	resume(state, node, hash);
	if (state->origin != FNX_STATE_RESUMED)
		r = create(state, node, hash);
	if (r < 0) {
		fnx_state_close(state, 0);
		return r;
	}
	*ret = state;
	return 0;
}

enum fnx_state_origin fnx_state_origin(const struct fnx_state *state)
{
	return state->origin;
}

void *fnx_state_alloc(struct fnx_state *state, size_t size, size_t align)
{
	size_t from = rounded(state->end, align ? align : 1);

	assert(!state->sealed && align <= PAGE && (align & (align - 1)) == 0);
	/* Counted also where it fails, so that seal fails as well. */
	mix(&state->requests, size);
	mix(&state->requests, align);
	if (size > RESERVE_MAX || from > RESERVE_MAX)
		return NULL;
	if (state->origin == FNX_STATE_RESUMED ? from + size > state->data_end
					       : grow(state, from + size) < 0)
		return NULL;
	state->end = from + size;
	return state->memory + from;
}

static int seal_new(struct fnx_state *state, size_t log_size)
{
	struct fnx_state_header *header = header_of(state);
	size_t log = rounded(state->end, PAGE);
	int r;

	r = grow(state, log + log_size + FNX_JOURNAL_HEADER_SIZE);
	if (r)
		return r;
	log_size = state->mapped - log;
	r = fnx_journal_init(&state->journal, state->memory + log, log_size,
		state->memory + FNX_STATE_HEADER_SIZE, state->end - FNX_STATE_HEADER_SIZE);
	if (r)
		return r;
	munmap(state->memory + state->mapped, state->reserved - state->mapped);
	state->reserved = state->mapped;
	close(state->fd);
	state->fd = -1;
	header->requests = state->requests;
	header->data_size = state->end - FNX_STATE_HEADER_SIZE;
	header->log_offset = log;
	header->log_size = log_size;
	header->file_size = state->mapped;
	/* release: everything that a successor will rely on is there */
	atomic_store_explicit(&header->magic, FNX_STATE_MAGIC, memory_order_release);
	return 0;
}

int fnx_state_seal(struct fnx_state *state, size_t log_size)
{
	int r = 0;

	assert(!state->sealed);
	if (state->origin != FNX_STATE_RESUMED)
		r = seal_new(state, log_size);
	else if (state->requests != header_of(state)->requests || state->end != state->data_end)
		r = -ESTALE;
	state->sealed = !r;
	return r;
}

struct fnx_journal *fnx_state_journal(struct fnx_state *state)
{
	return state->sealed ? &state->journal : NULL;
}

size_t fnx_state_size(const struct fnx_state *state)
{
	return state->mapped;
}

struct fnx_state *fnx_state_close(struct fnx_state *state, int keep)
{
	if (!state)
		return NULL;
	if (!keep)
		unlink(state->path);
	unmap(state);
	if (state->fd >= 0)
		close(state->fd);
	free(state);
	return NULL;
}
