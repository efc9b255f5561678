/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bus: a name, a directory of segments and a directory of sockets. No daemon: whoever opens a bus
 * creates the directories that are missing; whoever finds them empty on leaving may remove them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FNX_MUST_CHECK __attribute__((warn_unused_result))

enum {
	FNX_NAME_MAX = 48, /* of buses, nodes and topics, with the closing 0 */
	FNX_SUBSCRIBERS_MAX = 63, /* per topic */
	FNX_CACHE_LINE = 64,
};

struct fnx_bus {
	char name[FNX_NAME_MAX];
	char segment_dir[160]; /* of .data and .subs files; tmpfs, else every frame costs a disk */
	char run_dir[80]; /* of locks, bells and sockets; short, since a socket's path has at most
			     107 bytes */
};

/* Names may hold letters, digits, '_', '-' and '.', and do not begin with '.'. 1 if so. */
int fnx_name_valid(const char *name);

/* Fills in the names. `segment_dir` and `run_dir` may be NULL: /dev/shm/fornix-<name>;
 * $XDG_RUNTIME_DIR/ fornix-<name>, or /tmp/fornix-<uid>-<name> where that is not set. A relative
 * directory is taken from the current one. -EINVAL: bad name; -ENAMETOOLONG. */
FNX_MUST_CHECK int fnx_bus_init(
	struct fnx_bus *bus, const char *name, const char *segment_dir, const char *run_dir);

/* <dir>/<name><suffix>, for a file of the node or topic `name`. -EINVAL: bad name; -ENAMETOOLONG.
 */
FNX_MUST_CHECK int fnx_bus_path(
	const char *dir, const char *name, const char *suffix, char *ret_path, size_t size);

/* Creates both directories (mode 0770, whatever the umask) if need be; their parents must exist.
 * -EACCES, -EROFS, -ENOSPC, -ENOENT, -ENOTDIR (also for a symbolic link) ...; -EPERM: the directory
 * exists and lets everybody, or a stranger, write in it. `ret_path` (may be NULL) then points to
 * the directory at fault, and none is left that was not there before. */
FNX_MUST_CHECK int fnx_bus_create(const struct fnx_bus *bus, const char **ret_path);

/* Removes what dead owners left behind: segments whose publisher is dead, status pages, bells,
 * sockets and locks of dead nodes, half-made files. Only for one who holds the bus (see
 * presence.h); nodes may start meanwhile. Follows no symbolic link and leaves alone what no bus
 * makes. Returns the number of files removed, or a negative errno. */
int fnx_bus_sweep(const struct fnx_bus *bus);

/* Removes everything of this bus, dead or alive, and both directories. For one who holds the bus,
 * at the end of a run. -ENOTEMPTY: a directory stays, since it holds files that no bus makes. A bus
 * that is not there is removed. */
int fnx_bus_remove(const struct fnx_bus *bus);
