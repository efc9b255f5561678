/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counted by sockets rather than handed out as an object: no caller has use for a context without a
 * socket, and a count that only sockets move cannot be left unbalanced on an error path.
 */
#include "bus/context.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <zmq.h>

static_assert(
	sizeof(((struct sockaddr_un *)NULL)->sun_path) == FNX_SOCKET_PATH_MAX, "AF_UNIX on Linux");

/* Descriptors that a context and its first socket take (7), and as many again for what is opened
 * beside. */
enum {
	CONTEXT_DESCRIPTORS = 14
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *context;
static size_t n_sockets;
static pid_t owner;

#ifdef __SANITIZE_THREAD__
/* libzmq is not instrumented: its own ordering cannot be seen, and what it copies looks like a
 * race; nor is the cipher that it calls. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libzmq.so\nrace:libzmq.so\nrace:libsodium.so\n";
}
#endif

/* Where ZeroMQ cannot have the descriptors of its threads it aborts the process. Ask first. (It
 * also does so when a listener cannot accept for want of them: who runs a node sees to it that its
 * limit is high.) */
static int check_descriptors(void)
{
	int fds[CONTEXT_DESCRIPTORS], r = 0, n = 0;

	for (; n < CONTEXT_DESCRIPTORS; n++) {
		fds[n] = eventfd(0, EFD_CLOEXEC);
		if (fds[n] < 0) {
			r = -errno;
			break;
		}
	}
	while (n > 0)
		close(fds[--n]);
	return r;
}

static int context_make(void)
{
	int r = check_descriptors();

	if (r < 0)
		return r;
	context = zmq_ctx_new();
	if (!context)
		return -errno;
	owner = getpid();
	n_sockets = 0;
	return 0;
}

static void context_end(void)
{
	while (zmq_ctx_term(context) < 0 && errno == EINTR)
		;
	context = NULL;
}

int fnx_context_socket(int type, void **ret_socket)
{
	void *socket = NULL;
	int r = 0;

	pthread_mutex_lock(&lock);
	/* After fork() the old context is the parent's; the child can only let it lie. */
	if (!context || owner != getpid())
		r = context_make();
	if (r == 0) {
		socket = zmq_socket(context, type);
		if (socket)
			n_sockets++;
		else
			r = -errno;
		if (n_sockets == 0)
			context_end();
	}
	pthread_mutex_unlock(&lock);
	if (r < 0)
		return r;
	r = fnx_context_set(socket, ZMQ_LINGER, 0);
	if (r < 0) {
		fnx_context_close(socket);
		return r;
	}
	*ret_socket = socket;
	return 0;
}

void *fnx_context_close(void *socket)
{
	if (!socket)
		return NULL;
	pthread_mutex_lock(&lock);
	zmq_close(socket);
	if (--n_sockets == 0)
		context_end();
	pthread_mutex_unlock(&lock);
	return NULL;
}

int fnx_context_set(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int fnx_context_fd(void *socket, int *ret_fd)
{
	size_t size = sizeof(*ret_fd);

	return zmq_getsockopt(socket, ZMQ_FD, ret_fd, &size) < 0 ? -errno : 0;
}

int fnx_context_events(void *socket)
{
	int events = 0;
	size_t size = sizeof(events);

	return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) < 0 ? -errno : events;
}

static int address_of(const char *path, struct sockaddr_un *ret_address)
{
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	strcpy(ret_address->sun_path, path);
	return 0;
}

int fnx_context_bind_ipc(void *socket, const char *path)
{
	char endpoint[FNX_SOCKET_PATH_MAX + 8];
	struct sockaddr_un address;
	struct stat st;
	int r = address_of(path, &address);

	if (r < 0)
		return r;
	/* ZeroMQ removes whatever has the name before it binds. */
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return -EEXIST;
	snprintf(endpoint, sizeof(endpoint), "ipc://%s", path);
	return zmq_bind(socket, endpoint) < 0 ? -errno : 0;
}

int fnx_context_probe_ipc(const char *path)
{
	struct sockaddr_un address;
	int fd, r = address_of(path, &address);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: so many are waiting to be let in that somebody must be there. */
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno != EAGAIN)
		r = -errno;
	close(fd);
	return r;
}
