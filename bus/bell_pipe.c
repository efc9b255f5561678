/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bell as a named pipe. The sleeper opens it for reading and writing, and so never sees the end
 * of file when its last ringer goes; ringers open it for writing only, and so learn from EPIPE that
 * nobody sleeps there.
 *
 * The name outlives the sleeper. A restarted node opens the same pipe, and ringers that had it open
 * reach the new node with no step of their own. Only where a sweep has removed the name in between
 * is there another pipe under it; a ringer that gets EPIPE looks once whether that is so.
 *
 * A socket pair or an eventfd cannot be found by name; a datagram socket costs twice as much per
 * ring.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/bell_form.h"

enum {
	PATH_SIZE = sizeof(((struct fnx_bus *)NULL)->run_dir) + FNX_NAME_MAX + 8,
	PIPE_CAPACITY = 4096, /* one page: more rings than that say nothing new */
};

struct pipe_bell {
	struct fnx_bell base;
};

/* Opens `path` if it is a pipe. -EEXIST: it is something else. */
static int open_pipe(const char *path, int flags, int *ret_fd)
{
	struct stat st;
	int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ELOOP ? -EEXIST : -errno;
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		close(fd);
		return -EEXIST;
	}
	*ret_fd = fd;
	return 0;
}

static int pipe_drain(struct fnx_bell *bell)
{
	char rings[PIPE_CAPACITY];
	int n_rings = 0;
	ssize_t n;

	/* Less than was asked for: it was all. What has come since keeps the descriptor readable.
	 */
	do {
		n = read(bell->fd, rings, sizeof(rings));
		if (n > 0)
			n_rings += (int)n;
	} while (n == (ssize_t)sizeof(rings) || (n < 0 && errno == EINTR));
	return n_rings;
}

static void pipe_close(struct fnx_bell *bell)
{
	close(bell->fd);
	free(bell);
}

int fnx_bell_open_pipe(const struct fnx_bus *bus, const char *node, struct fnx_bell **ret_bell)
{
	struct pipe_bell *bell;
	char path[PATH_SIZE];
	int fd = -1, r = fnx_bus_path(bus->run_dir, node, ".bell", path, sizeof(path));

	if (r < 0)
		return r;
	if (mkfifo(path, 0660) < 0 && errno != EEXIST)
		return -errno;
	r = open_pipe(path, O_RDWR, &fd);
	if (r < 0)
		return r == -EISDIR || r == -ENXIO ? -EEXIST : r;
	bell = malloc(sizeof(*bell));
	if (!bell) {
		close(fd);
		return -ENOMEM;
	}
	/* Refused when others have the pipe open with more in it; the size is a courtesy, not a
	 * need. */
	fcntl(fd, F_SETPIPE_SZ, PIPE_CAPACITY);
	bell->base = (struct fnx_bell){.drain = pipe_drain, .close = pipe_close, .fd = fd};
	*ret_bell = &bell->base;
	return 0;
}

static int open_to_ring(const struct fnx_bus *bus, const char *node, int *ret_fd)
{
	char path[PATH_SIZE];
	int r = fnx_bus_path(bus->run_dir, node, ".bell", path, sizeof(path));

	return r < 0 ? r : open_pipe(path, O_WRONLY, ret_fd);
}

/* The pipe under the name may be another than the one we hold: a sweep came between two lives of
 * the node. */
static int find_again(struct fnx_ringer *ringer)
{
	int fd = -1;

	if (open_to_ring(ringer->bus, ringer->node, &fd) < 0)
		return -EPIPE;
	close(ringer->fd);
	ringer->fd = fd;
	return 0;
}

static int write_ring(const struct fnx_ringer *ringer)
{
	ssize_t n;

	do {
		n = write(ringer->fd, "", 1);
	} while (n < 0 && errno == EINTR);
	/* A full pipe rings already. */
	return n < 0 && errno != EAGAIN ? -errno : 0;
}

static int pipe_ring(struct fnx_ringer *ringer)
{
	int r = write_ring(ringer);

	if (r != -EPIPE || find_again(ringer) < 0)
		return r;
	return write_ring(ringer);
}

static void pipe_ringer_close(struct fnx_ringer *ringer)
{
	close(ringer->fd);
}

/* Blocking SIGPIPE around each write would cost two more system calls per ring. */
static void ignore_sigpipe(void)
{
	struct sigaction action;

	if (sigaction(SIGPIPE, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
		action.sa_handler == SIG_DFL) {
		action.sa_handler = SIG_IGN;
		sigaction(SIGPIPE, &action, NULL);
	}
}

int fnx_ringer_open_pipe(const struct fnx_bus *bus, const char *node, struct fnx_ringer *ret_ringer)
{
	int fd = -1, r;

	ignore_sigpipe();
	r = open_to_ring(bus, node, &fd);
	if (r < 0)
		return r == -EEXIST || r == -EISDIR ? -ENXIO : r;
	*ret_ringer = (struct fnx_ringer){
		.ring = pipe_ring, .close = pipe_ringer_close, .bus = bus, .fd = fd};
	strcpy(ret_ringer->node, node);
	return 0;
}
