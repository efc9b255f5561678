/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why three bytes: a sweep that removes the lock file of a dead node must keep a node of that name
 * from starting between its look and its removal, and yet a node that starts then must wait a
 * moment, not be told that the name is taken. A claim that got its lock makes sure, by inode, that
 * the file still has its name.
 */
#include "bus/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATH_SIZE = sizeof(((struct fnx_bus *)NULL)->run_dir) + FNX_NAME_MAX + 8,
	BYTE_ALIVE = 0,
	BYTE_CLAIM = 1,
	BYTE_SWEEP = 2,
};

static int lock_bytes(int fd, int command, short type, off_t start, off_t n)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = n};

	if (fcntl(fd, command, &lock) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

/* 1: somebody else holds byte `start`. */
static int byte_is_locked(int fd, off_t start)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

static int open_lock(const struct fnx_bus *bus, const char *node, int flags, char *ret_path)
{
	int fd, r = fnx_bus_path(bus->run_dir, node, ".lock", ret_path, PATH_SIZE);

	if (r < 0)
		return r;
	fd = open(ret_path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0660);
	return fd < 0 ? -errno : fd;
}

/* 1: the open file is the one that has the name. */
static int has_name(int fd, const char *path)
{
	struct stat open_file, named;

	return fstat(fd, &open_file) == 0 && lstat(path, &named) == 0 &&
		open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

static int read_pid(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

static int write_pid(int fd)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) < 0)
		return -errno;
	return pwrite(fd, text, (size_t)length, 0) < 0 ? -errno : 0;
}

/* One try. -EAGAIN: try again. */
static int try_claim(int fd, const char *path, int *ret_pid)
{
	int r = lock_bytes(fd, F_OFD_SETLK, F_WRLCK, BYTE_ALIVE, 2);

	if (r == 0)
		return has_name(fd, path) ? write_pid(fd) : -EAGAIN;
	if (r != -EAGAIN)
		return r;
	r = byte_is_locked(fd, BYTE_ALIVE);
	if (r < 0)
		return r;
	if (r == 0) {
		/* A sweep: wait for its end, without holding what it asks for. */
		r = lock_bytes(fd, F_OFD_SETLKW, F_RDLCK, BYTE_SWEEP, 1);
		return r < 0 ? r : -EAGAIN;
	}
	if (ret_pid)
		*ret_pid = read_pid(fd);
	return -EBUSY;
}

int fnx_presence_claim(const struct fnx_bus *bus, const char *node,
	struct fnx_presence *ret_presence, int *ret_pid)
{
	char path[PATH_SIZE];
	int fd, r;

	do {
		fd = open_lock(bus, node, O_RDWR | O_CREAT, path);
		if (fd < 0)
			return fd;
		r = try_claim(fd, path, ret_pid);
		if (r < 0)
			close(fd);
	} while (r == -EAGAIN);
	if (r == 0)
		ret_presence->fd = fd;
	return r;
}

void fnx_presence_drop(struct fnx_presence *presence)
{
	if (presence->fd >= 0)
		close(presence->fd);
	presence->fd = -1;
}

int fnx_presence_check(const struct fnx_bus *bus, const char *node)
{
	char path[PATH_SIZE];
	int r, fd = open_lock(bus, node, O_RDONLY, path);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = byte_is_locked(fd, BYTE_ALIVE);
	close(fd);
	return r;
}

int fnx_presence_bar(const struct fnx_bus *bus, const char *node, struct fnx_presence *ret_presence)
{
	char path[PATH_SIZE];
	int fd, r;

	do {
		fd = open_lock(bus, node, O_RDWR | O_CREAT, path);
		if (fd < 0)
			return fd;
		r = lock_bytes(fd, F_OFD_SETLK, F_WRLCK, BYTE_CLAIM, 2);
		if (r == 0 && has_name(fd, path)) {
			ret_presence->fd = fd;
			return 0;
		}
		close(fd);
	} while (r == 0);
	return r == -EAGAIN ? -EBUSY : r;
}

int fnx_presence_unbar(
	const struct fnx_bus *bus, const char *node, struct fnx_presence *presence, int forget)
{
	char path[PATH_SIZE];
	struct stat st;
	int n_removed = 0;

	/* Empty: made by bar. */
	if (forget && fnx_bus_path(bus->run_dir, node, ".lock", path, sizeof(path)) == 0 &&
		fstat(presence->fd, &st) == 0 && unlink(path) == 0)
		n_removed = st.st_size > 0;
	fnx_presence_drop(presence);
	return n_removed;
}
