/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names, directories, and what is left in them.
 *
 * A sweep works on descriptors of the two directories and on plain names within them, never on
 * paths, so that nothing it does can land elsewhere. A file is removed only if its name and its
 * kind are those that a bus makes, and only while its node is barred from starting (presence.h):
 * otherwise a node that starts in between would lose its new bell to a sweep that had found it
 * dead.
 */
#include "bus/bus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/presence.h"
#include "bus/segment.h"

/* Names
 * ---------------------------------------------------------------------------------------------- */

int fnx_name_valid(const char *name)
{
	size_t size =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");

	return size > 0 && size < FNX_NAME_MAX && name[size] == 0 && name[0] != '.';
}

static int print_path(char *ret_path, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int print_path(char *ret_path, size_t size, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(ret_path, size, format, arguments);
	va_end(arguments);
	return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

int fnx_bus_path(const char *dir, const char *name, const char *suffix, char *ret_path, size_t size)
{
	char path[512];
	int r;

	if (!fnx_name_valid(name))
		return -EINVAL;
	r = print_path(path, sizeof(path), "%s/%s%s", dir, name, suffix);
	if (r < 0)
		return r;
	if (strlen(path) >= size)
		return -ENAMETOOLONG;
	strcpy(ret_path, path);
	return 0;
}

static int absolute(const char *dir, char *ret_dir, size_t size)
{
	char here[4096];

	if (dir[0] == 0)
		return -EINVAL;
	if (dir[0] == '/')
		return print_path(ret_dir, size, "%s", dir);
	if (!getcwd(here, sizeof(here)))
		return -errno;
	return print_path(ret_dir, size, "%s/%s", here, dir);
}

static int default_run_dir(const char *name, char *ret_dir, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (runtime && runtime[0] == '/')
		return print_path(ret_dir, size, "%s/fornix-%s", runtime, name);
	return print_path(ret_dir, size, "/tmp/fornix-%u-%s", (unsigned int)getuid(), name);
}

int fnx_bus_init(
	struct fnx_bus *bus, const char *name, const char *segment_dir, const char *run_dir)
{
	struct fnx_bus b = {0};
	int r;

	if (!fnx_name_valid(name))
		return -EINVAL;
	strcpy(b.name, name);
	if (segment_dir)
		r = absolute(segment_dir, b.segment_dir, sizeof(b.segment_dir));
	else
		r = print_path(b.segment_dir, sizeof(b.segment_dir), "/dev/shm/fornix-%s", name);
	if (r == 0 && run_dir)
		r = absolute(run_dir, b.run_dir, sizeof(b.run_dir));
	else if (r == 0)
		r = default_run_dir(name, b.run_dir, sizeof(b.run_dir));
	if (r < 0)
		return r;
	*bus = b;
	return 0;
}

/* Directories
 * ---------------------------------------------------------------------------------------- */

static int in_group(gid_t group)
{
	gid_t groups[256];
	int n = getgroups(256, groups);

	if (group == getegid())
		return 1;
	for (int i = 0; i < n; i++) {
		if (groups[i] == group)
			return 1;
	}
	return 0;
}

/* A directory that we found: in a public place anybody may have put it there, to feed us frames. */
static int check_trust(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_mode & S_IWOTH)
		return -EPERM;
	if (st.st_uid == geteuid() || st.st_uid == 0)
		return 0;
	return (st.st_mode & S_IWGRP) && in_group(st.st_gid) ? 0 : -EPERM;
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	return fd;
}

static int check_dir(const char *path, int is_ours)
{
	int r, fd = open_dir(path);

	if (fd < 0)
		return fd;
	if (is_ours)
		r = fchmod(fd, 0770) < 0 ? -errno : 0;
	else
		r = check_trust(fd);
	if (r == 0 && faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* 1: made; 0: it was there; negative: no directory that was not there before. */
static int create_dir(const char *path)
{
	int r, made = mkdir(path, 0770) == 0;

	if (!made && errno != EEXIST)
		return -errno;
	r = check_dir(path, made);
	if (r < 0 && made)
		rmdir(path);
	return r < 0 ? r : made;
}

int fnx_bus_create(const struct fnx_bus *bus, const char **ret_path)
{
	const char *fault = bus->segment_dir;
	int made = create_dir(fault), r = made;

	if (made >= 0) {
		fault = bus->run_dir;
		r = create_dir(fault);
		if (r < 0 && made)
			rmdir(bus->segment_dir);
	}
	if (r < 0 && ret_path)
		*ret_path = fault;
	return r < 0 ? r : 0;
}

/* Leftovers
 * ------------------------------------------------------------------------------------------ */

enum kind {
	DATA,
	SUBS,
	STATUS,
	STATE,
	PAGE_IN_MAKING,
	TASKS,
	BELL,
	ZBELL,
	CTL,
	PUB,
	LOCK,
	N_KINDS
};

static const struct pattern {
	const char *suffix;
	mode_t type;
	int in_run_dir;
} patterns[N_KINDS] = {
	[DATA] = {".data", S_IFREG, 0},
	[SUBS] = {".subs", S_IFREG, 0},
	[STATUS] = {".status", S_IFREG, 0},
	[STATE] = {".state", S_IFREG, 0},
	[PAGE_IN_MAKING] = {".status.tmp.", S_IFREG, 0},
	[TASKS] = {".tasks", S_IFREG, 0},
	[BELL] = {".bell", S_IFIFO, 1},
	[ZBELL] = {".zbell", S_IFSOCK, 1},
	[CTL] = {".ctl", S_IFSOCK, 1},
	[PUB] = {".pub", S_IFSOCK, 1},
	[LOCK] = {".lock", S_IFREG, 1},
};

/* A file of a bus, as its name tells. */
struct leftover {
	enum kind kind;
	const char *name;
	char stem[FNX_NAME_MAX + 32]; /* node, topic, or <topic>.tmp.<pid> of one in the making */
	pid_t maker; /* of a file in the making; else 0 */
};

struct dirs {
	const struct fnx_bus *bus;
	int fds[2]; /* segments, run */
};

/* The process id behind the last ".tmp."; 0 if there is none. */
static pid_t maker_of(const char *name)
{
	const char *mark = NULL;
	char *end;
	long pid;

	for (const char *next = strstr(name, ".tmp."); next; next = strstr(next + 1, ".tmp."))
		mark = next;
	if (!mark)
		return 0;
	mark += strlen(".tmp.");
	if (mark[0] < '1' || mark[0] > '9')
		return 0;
	pid = strtol(mark, &end, 10);
	return *end == 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static int stem_of(const char *name, const struct pattern *pattern, struct leftover *leftover)
{
	size_t size = strlen(name), suffix = strlen(pattern->suffix);

	if (pattern == &patterns[PAGE_IN_MAKING]) {
		leftover->maker = maker_of(name);
		return leftover->maker != 0 && name[0] != '.' && strstr(name, pattern->suffix);
	}
	if (size <= suffix || strcmp(name + size - suffix, pattern->suffix) != 0)
		return 0;
	size -= suffix;
	if (size >= sizeof(leftover->stem))
		return 0;
	memcpy(leftover->stem, name, size);
	leftover->stem[size] = 0;
	if (pattern == &patterns[DATA] || pattern == &patterns[SUBS])
		leftover->maker = maker_of(leftover->stem);
	return fnx_name_valid(leftover->stem) || (leftover->maker && leftover->stem[0] != '.');
}

/* 1 if a bus makes files of that name and kind in this directory. */
static int recognise(
	const struct dirs *dirs, int in_run_dir, const char *name, struct leftover *ret_leftover)
{
	struct stat st;

	if (fstatat(dirs->fds[in_run_dir], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	for (enum kind kind = 0; kind < N_KINDS; kind++) {
		struct leftover leftover = {.kind = kind, .name = name};

		if (patterns[kind].in_run_dir == in_run_dir &&
			(st.st_mode & S_IFMT) == patterns[kind].type &&
			stem_of(name, &patterns[kind], &leftover)) {
			*ret_leftover = leftover;
			return 1;
		}
	}
	return 0;
}

typedef int (*leftover_fn)(
	const struct dirs *dirs, const struct leftover *leftover, const char *wanted);

/* Calls `fn` for each file of the bus in one directory; the sum of what it returns, or a negative
 * errno. */
static int for_each(const struct dirs *dirs, int in_run_dir, leftover_fn fn, const char *wanted)
{
	struct leftover leftover;
	struct dirent *entry;
	int n = 0, fd = openat(dirs->fds[in_run_dir], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		n = -errno;
		if (fd >= 0)
			close(fd);
		return n;
	}
	while ((entry = readdir(dir))) {
		if (recognise(dirs, in_run_dir, entry->d_name, &leftover))
			n += fn(dirs, &leftover, wanted);
	}
	closedir(dir);
	return n;
}

static int remove_one(const struct dirs *dirs, const struct leftover *leftover)
{
	int dir = dirs->fds[patterns[leftover->kind].in_run_dir];

	return unlinkat(dir, leftover->name, 0) == 0;
}

static int process_lives(pid_t pid)
{
	return kill(pid, 0) == 0 || errno == EPERM;
}

/* Name of the node that publishes a segment; -EBADMSG if that cannot be told. */
static int publisher_of(const struct dirs *dirs, const char *name, char *ret_node)
{
	union {
		uint64_t magic;
		char bytes[offsetof(struct fnx_segment, node) + FNX_NAME_MAX];
	} header;
	const char *node = header.bytes + offsetof(struct fnx_segment, node);
	int fd = openat(dirs->fds[0], name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pread(fd, &header, sizeof(header), 0);
	close(fd);
	if (n != (ssize_t)sizeof(header) || header.magic != FNX_SEGMENT_MAGIC ||
		!memchr(node, 0, FNX_NAME_MAX) || !fnx_name_valid(node))
		return -EBADMSG;
	strcpy(ret_node, node);
	return 0;
}

/* Removes a file of `node`, unless that lives. */
static int bury(const struct dirs *dirs, const struct leftover *leftover, const char *node)
{
	struct fnx_presence presence;
	char publisher[FNX_NAME_MAX];
	int n = 0;

	if (fnx_presence_bar(dirs->bus, node, &presence) < 0)
		return 0;
	if (leftover->kind == LOCK)
		return fnx_presence_unbar(dirs->bus, node, &presence, 1);
	/* A segment may have changed hands before the bar was up. */
	if (leftover->kind != DATA ||
		(publisher_of(dirs, leftover->name, publisher) == 0 &&
			strcmp(publisher, node) == 0))
		n = remove_one(dirs, leftover);
	fnx_presence_unbar(dirs->bus, node, &presence, 0);
	return n;
}

/* Of a topic in the making: 1 while its maker is alive. */
static int is_maker_at_work(
	const struct dirs *dirs, const struct leftover *leftover, const char *topic)
{
	size_t size = strlen(topic);

	(void)dirs;
	return leftover->kind == DATA && leftover->maker != 0 && process_lives(leftover->maker) &&
		strncmp(leftover->stem, topic, size) == 0 &&
		strncmp(leftover->stem + size, ".tmp.", 5) == 0;
}

/* A table of subscribers without its segment: of a topic that is gone, or whose maker has yet to
 * put the segment beside it. */
static int sweep_subs(const struct dirs *dirs, const struct leftover *leftover)
{
	char data[FNX_NAME_MAX + 48];

	if (leftover->maker && process_lives(leftover->maker))
		return 0;
	if (for_each(dirs, 0, is_maker_at_work, leftover->stem) != 0)
		return 0;
	snprintf(data, sizeof(data), "%s%s", leftover->stem, patterns[DATA].suffix);
	if (faccessat(dirs->fds[0], data, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
		return 0;
	return remove_one(dirs, leftover);
}

static int sweep_data(const struct dirs *dirs, const struct leftover *leftover)
{
	char node[FNX_NAME_MAX];
	int r = publisher_of(dirs, leftover->name, node);

	if (r == 0)
		return bury(dirs, leftover, node);
	if (r != -EBADMSG || (leftover->maker && process_lives(leftover->maker)))
		return 0;
	return remove_one(dirs, leftover);
}

/* The memory of a task runtime, which its owner keeps locked. */
static int sweep_tasks(const struct dirs *dirs, const struct leftover *leftover)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	struct stat opened, named;
	int r, fd;

	fd = openat(dirs->fds[0], leftover->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 0;
	r = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
	/* A successor may have taken the name meanwhile. */
	r = r && fstat(fd, &opened) == 0 &&
		fstatat(dirs->fds[0], leftover->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
	close(fd);
	return r ? remove_one(dirs, leftover) : 0;
}

/* First of two passes: all but what the second needs to see, or removes. */
static int sweep_one(const struct dirs *dirs, const struct leftover *leftover, const char *wanted)
{
	(void)wanted;
	switch (leftover->kind) {
	case DATA:
		return sweep_data(dirs, leftover);
	case PAGE_IN_MAKING:
		return process_lives(leftover->maker) ? 0 : remove_one(dirs, leftover);
	case TASKS:
		return sweep_tasks(dirs, leftover);
	case STATUS:
	case STATE:
	case BELL:
	case ZBELL:
	case CTL:
	case PUB:
		return bury(dirs, leftover, leftover->stem);
	default:
		return 0;
	}
}

static int sweep_rest(const struct dirs *dirs, const struct leftover *leftover, const char *wanted)
{
	(void)wanted;
	if (leftover->kind == SUBS)
		return sweep_subs(dirs, leftover);
	return leftover->kind == LOCK ? bury(dirs, leftover, leftover->stem) : 0;
}

static int remove_any(const struct dirs *dirs, const struct leftover *leftover, const char *wanted)
{
	(void)wanted;
	return remove_one(dirs, leftover);
}

static int dirs_open(const struct fnx_bus *bus, struct dirs *ret_dirs)
{
	struct dirs dirs = {.bus = bus};

	dirs.fds[0] = open_dir(bus->segment_dir);
	if (dirs.fds[0] < 0)
		return dirs.fds[0];
	dirs.fds[1] = open_dir(bus->run_dir);
	if (dirs.fds[1] < 0) {
		close(dirs.fds[0]);
		return dirs.fds[1];
	}
	*ret_dirs = dirs;
	return 0;
}

int fnx_bus_sweep(const struct fnx_bus *bus)
{
	leftover_fn passes[] = {sweep_one, sweep_rest};
	struct dirs dirs;
	int n = 0, r = dirs_open(bus, &dirs);

	if (r < 0)
		return r;
	for (int i = 0; i < 4 && r >= 0; i++) {
		r = for_each(&dirs, i % 2, passes[i / 2], NULL);
		n += r > 0 ? r : 0;
	}
	close(dirs.fds[0]);
	close(dirs.fds[1]);
	return r < 0 ? r : n;
}

static int empty_dir(const struct fnx_bus *bus, const char *path, int in_run_dir)
{
	struct dirs dirs = {.bus = bus, .fds = {-1, -1}};
	int r, fd = open_dir(path);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	dirs.fds[in_run_dir] = fd;
	r = for_each(&dirs, in_run_dir, remove_any, NULL);
	close(fd);
	return r < 0 ? r : 0;
}

static int remove_dir(const char *path)
{
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

int fnx_bus_remove(const struct fnx_bus *bus)
{
	int results[4];

	/* Emptied before removed: both may be one. */
	results[0] = empty_dir(bus, bus->segment_dir, 0);
	results[1] = empty_dir(bus, bus->run_dir, 1);
	results[2] = remove_dir(bus->segment_dir);
	results[3] = remove_dir(bus->run_dir);
	for (int i = 0; i < 4; i++) {
		if (results[i] < 0)
			return results[i];
	}
	return 0;
}
