/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both are connected to each other: nobody else's datagram is taken for one of ours.
 */
#include "nodes/dispatch/echo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct fnx_echo {
	int from, to;
};

static int open_end(struct sockaddr_in *ret_at)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
		getsockname(fd, (struct sockaddr *)&at, &size)) {
		int r = -errno;

		close(fd);
		return r;
	}
	*ret_at = at;
	return fd;
}

static int open_both(struct fnx_echo *echo)
{
	struct sockaddr_in from, to;
	char byte;

	echo->from = open_end(&from);
	if (echo->from < 0)
		return echo->from;
	echo->to = open_end(&to);
	if (echo->to < 0)
		return echo->to;
	if (connect(echo->from, (struct sockaddr *)&to, sizeof(to)) ||
		connect(echo->to, (struct sockaddr *)&from, sizeof(from)))
		return -errno;
	/* Somebody else's may have come before that. */
	while (recv(echo->to, &byte, sizeof(byte), 0) >= 0)
		;
	return 0;
}

int fnx_echo_open(struct fnx_echo **ret_echo)
{
	struct fnx_echo *echo = malloc(sizeof(*echo));
	int r;

	if (!echo)
		return -ENOMEM;
	*echo = (struct fnx_echo){.from = -1, .to = -1};
	r = open_both(echo);
	if (r)
		fnx_echo_close(echo);
	else
		*ret_echo = echo;
	return r;
}

int fnx_echo_call(struct fnx_echo *echo)
{
	char byte = 0;

	return send(echo->from, &byte, sizeof(byte), 0) == sizeof(byte) &&
		recv(echo->to, &byte, sizeof(byte), 0) == sizeof(byte);
}

struct fnx_echo *fnx_echo_close(struct fnx_echo *echo)
{
	if (!echo)
		return NULL;
	if (echo->from >= 0)
		close(echo->from);
	if (echo->to >= 0)
		close(echo->to);
	free(echo);
	return NULL;
}
