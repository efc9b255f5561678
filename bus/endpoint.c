/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zmq.h>

static int has_scheme(const char *endpoint, const char *scheme)
{
	return strncmp(endpoint, scheme, strlen(scheme)) == 0;
}

int fnx_endpoint_is_tcp(const char *endpoint)
{
	return has_scheme(endpoint, "tcp://");
}

int fnx_endpoint_is_ipc(const char *endpoint)
{
	return has_scheme(endpoint, "ipc://");
}

/* 1 for tcp://localhost:port, tcp://127.x.x.x:port and tcp://[::1]:port, and for nothing that
 * merely looks so. */
static int is_loopback(const char *endpoint)
{
	const char *host = endpoint + strlen("tcp://"), *colon = strrchr(host, ':');
	char text[64];
	struct in_addr address4;
	struct in6_addr address6;
	size_t size = colon ? (size_t)(colon - host) : 0;

	if (size == 0 || size >= sizeof(text))
		return 0;
	memcpy(text, host, size);
	text[size] = 0;
	if (strcmp(text, "localhost") == 0)
		return 1;
	if (inet_pton(AF_INET, text, &address4) == 1)
		return ntohl(address4.s_addr) >> 24 == 127;
	if (text[0] != '[' || text[size - 1] != ']')
		return 0;
	text[size - 1] = 0;
	return inet_pton(AF_INET6, text + 1, &address6) == 1 && IN6_IS_ADDR_LOOPBACK(&address6);
}

int fnx_endpoint_check(const char *endpoint, int have_key)
{
	if (fnx_endpoint_is_tcp(endpoint))
		return have_key || is_loopback(endpoint) ? 0 : -EPERM;
	if (fnx_endpoint_is_ipc(endpoint))
		return endpoint[strlen("ipc://")] == '/' ? 0 : -EINVAL;
	return has_scheme(endpoint, "inproc://") ? 0 : -EPROTONOSUPPORT;
}

/* Keys
 * ----------------------------------------------------------------------------------------------
 */

int fnx_key_read(const char *path, int secret, char *ret_key)
{
	char text[FNX_KEY_SIZE + 16] = "";
	unsigned char binary[32];
	struct stat st;
	ssize_t n;
	int r = 0, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0 || fstat(fd, &st) < 0)
		r = -errno;
	else if (secret && S_ISREG(st.st_mode) && st.st_mode & (S_IRWXG | S_IRWXO))
		r = -EKEYREVOKED;
	close(fd);
	if (r == 0 &&
		(n < FNX_KEY_SIZE ||
			text[FNX_KEY_SIZE + strspn(text + FNX_KEY_SIZE, " \t\r\n")] != 0))
		r = -EKEYREJECTED;
	text[FNX_KEY_SIZE] = 0;
	if (r == 0 && !zmq_z85_decode(binary, text))
		r = -EKEYREJECTED;
	if (r == 0)
		memcpy(ret_key, text, FNX_KEY_SIZE + 1);
	explicit_bzero(text, sizeof(text));
	explicit_bzero(binary, sizeof(binary));
	return r;
}

int fnx_key_public(const char *secret, char *ret_public)
{
	if (!zmq_has("curve"))
		return -EOPNOTSUPP;
	return zmq_curve_public(ret_public, secret) < 0 ? -EKEYREJECTED : 0;
}

static int write_key(const char *path, const char *key, mode_t mode)
{
	char line[FNX_KEY_SIZE + 2];
	int r = 0, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	snprintf(line, sizeof(line), "%s\n", key);
	if (fchmod(fd, mode) < 0 || write(fd, line, sizeof(line) - 1) != (ssize_t)sizeof(line) - 1)
		r = errno ? -errno : -EIO;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	explicit_bzero(line, sizeof(line));
	if (r < 0)
		unlink(path);
	return r;
}

int fnx_key_generate(const char *path)
{
	char public[FNX_KEY_SIZE + 1], secret[FNX_KEY_SIZE + 1], public_path[4096];
	int r;

	if ((size_t)snprintf(public_path, sizeof(public_path), "%s.pub", path) >=
		sizeof(public_path))
		return -ENAMETOOLONG;
	if (zmq_curve_keypair(public, secret) < 0)
		return errno == ENOTSUP ? -EOPNOTSUPP : -errno;
	r = write_key(path, secret, 0600);
	if (r == 0) {
		r = write_key(public_path, public, 0644);
		if (r < 0)
			unlink(path);
	}
	explicit_bzero(secret, sizeof(secret));
	return r;
}
