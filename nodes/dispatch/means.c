/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/means.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "bus/fetch.h"
#include "bus/request.h"
#include "nodes/dispatch/echo.h"
#include "schemas/trodes.h"

#define ECHO_NS INT64_C(500000)

enum {
	TIMEOUT_MS = 100,
	HEAR_MS = 500, /* within this the central server says where it answers */
	BAUD = 115200,
	DATAGRAM_MAX = 4096,
	REPLY_MAX = 4096,
	DRAIN_NS = 200000, /* between two looks at whether a tty has sent all */
	FORGET_MAX = 16, /* answers to earlier tasks that are read before the next is sent */
};

struct fnx_means {
	enum fnx_actuator_type type;
	int timeout_ms;
	int reply;
	int fd; /* udp, serial; -1: not open */
	char *text, *device, *endpoint;
	speed_t speed;
	struct fnx_layout layout; /* udp without text */
	struct fnx_request *hardware; /* trodes; NULL: not found yet */
	int is_broken; /* serial: to be opened again */
	struct fnx_echo *echo; /* stage; NULL: none */
	int64_t next_echo_ns;
	int64_t end_ms; /* until then an answer to what was sent last is waited for */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int await(int fd, short events, int64_t end_ms)
{
	struct pollfd item = {.fd = fd, .events = events};

	for (;;) {
		int64_t left_ms = end_ms - now_ms();
		int r = poll(&item, 1, left_ms > 0 ? (int)left_ms : 0);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (left_ms <= 0)
			return -ETIMEDOUT;
	}
}

/* What came for an earlier task is no answer to the next. */
static void forget_answers(int fd)
{
	char bytes[256];

	for (unsigned i = 0; i < FORGET_MAX && read(fd, bytes, sizeof(bytes)) > 0; i++)
		;
}

static int await_answer(int fd, int64_t end_ms)
{
	char bytes[REPLY_MAX];
	int r = await(fd, POLLIN, end_ms);

	if (r)
		return r;
	/* Refused is only known by now. */
	return read(fd, bytes, sizeof(bytes)) < 0 ? -errno : 0;
}

/* udp ------------------------------------------------------------------------------------- */

static int open_udp(struct fnx_means *means, const char *endpoint)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
	const char *colon = endpoint ? strrchr(endpoint, ':') : NULL;
	struct addrinfo *found;
	char host[200];
	int r;

	if (!colon || colon == endpoint || !colon[1] || (size_t)(colon - endpoint) >= sizeof(host))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - endpoint), endpoint);
	if (getaddrinfo(host, colon + 1, &hints, &found))
		return -EINVAL;
	means->fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = means->fd < 0 || connect(means->fd, found->ai_addr, found->ai_addrlen) ? -errno : 0;
	freeaddrinfo(found);
	return r ? r : fnx_layout_init(&means->layout, &fnx_decision_schema, NULL);
}

static int write_datagram(const struct fnx_means *means, const struct fnx_act_command *command,
	char *ret_bytes, size_t *ret_size)
{
	const char *place;
	int n;

	if (!means->text[0])
		return fnx_codec_encode(&means->layout, &command->stamp, &command->decision,
			sizeof(command->decision), ret_bytes, DATAGRAM_MAX, ret_size);
	place = strstr(means->text, "{task}");
	n = place
		? snprintf(ret_bytes, DATAGRAM_MAX, "%.*s%" PRIu32 "%s", (int)(place - means->text),
			  means->text, command->decision.task, place + strlen("{task}"))
		: snprintf(ret_bytes, DATAGRAM_MAX, "%s", means->text);
	if (n < 0 || n >= DATAGRAM_MAX)
		return -EMSGSIZE;
	*ret_size = (size_t)n;
	return 0;
}

static int send_udp(struct fnx_means *means, const struct fnx_act_command *command)
{
	char bytes[DATAGRAM_MAX];
	size_t size;
	int r = write_datagram(means, command, bytes, &size);

	if (r)
		return r;
	if (means->reply)
		forget_answers(means->fd);
	/* Refused is what became of an earlier one. */
	if (send(means->fd, bytes, size, 0) < 0 &&
		(errno != ECONNREFUSED || send(means->fd, bytes, size, 0) < 0))
		return -errno;
	return means->reply ? FNX_MEANS_SENT : 0;
}

/* stage ----------------------------------------------------------------------------------- */

static int open_stage(struct fnx_means *means, int echoes)
{
	/* A machine that does not let a process talk to itself is slower, no more. */
	if (echoes)
		(void)!fnx_echo_open(&means->echo);
	return fnx_layout_init(&means->layout, &fnx_decision_schema, NULL);
}

/* As send_udp, to where nobody else listens, and seldom. */
static int send_nowhere(struct fnx_means *means, const struct fnx_act_command *command)
{
	char bytes[DATAGRAM_MAX];
	size_t size;
	int r = write_datagram(means, command, bytes, &size);

	if (r || !means->echo || command->stamp.publish_ns < means->next_echo_ns)
		return r;
	means->next_echo_ns = command->stamp.publish_ns + ECHO_NS;
	fnx_echo_call(means->echo);
	return 0;
}

/* serial ---------------------------------------------------------------------------------- */

static int find_speed(uint32_t baud, speed_t *ret_speed)
{
	static const struct {
		uint32_t baud;
		speed_t speed;
	} speeds[] = {{1200, B1200}, {2400, B2400}, {4800, B4800}, {9600, B9600}, {19200, B19200},
		{38400, B38400}, {57600, B57600}, {115200, B115200}, {230400, B230400},
		{460800, B460800}, {921600, B921600}, {1000000, B1000000}, {2000000, B2000000}};

	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++)
		if (speeds[i].baud == (baud ? baud : BAUD)) {
			*ret_speed = speeds[i].speed;
			return 0;
		}
	return -EINVAL;
}

static int open_tty(struct fnx_means *means)
{
	struct termios settings;
	int r = 0;

	means->fd = open(means->device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (means->fd < 0)
		return -errno;
	if (tcgetattr(means->fd, &settings)) {
		r = -errno;
	} else {
		cfmakeraw(&settings);
		settings.c_cflag |= CLOCAL | CREAD;
		cfsetspeed(&settings, means->speed);
		if (tcsetattr(means->fd, TCSANOW, &settings))
			r = -errno;
	}
	if (r) {
		close(means->fd);
		means->fd = -1;
	}
	return r;
}

static int await_sent(int fd, int64_t end_ms)
{
	const struct timespec pause = {.tv_nsec = DRAIN_NS};
	int n_left;

	for (;;) {
		if (ioctl(fd, TIOCOUTQ, &n_left))
			return -errno;
		if (!n_left)
			return 0;
		if (now_ms() >= end_ms)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
}

static int write_byte(const struct fnx_means *means, unsigned char byte, int may_wait)
{
	int r;

	while (write(means->fd, &byte, 1) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || !may_wait)
			return -errno;
		r = await(means->fd, POLLOUT, means->end_ms);
		/* Nothing was sent: this is no doubt. */
		if (r)
			return r == -ETIMEDOUT ? -EAGAIN : r;
	}
	return 0;
}

static int is_unplugged(int r)
{
	return r < 0 && r != -ETIMEDOUT && r != -EAGAIN;
}

static void close_tty(struct fnx_means *means)
{
	if (means->fd >= 0)
		close(means->fd);
	means->fd = -1;
	means->is_broken = 0;
}

static int send_serial(struct fnx_means *means, const struct fnx_act_command *command, int may_wait)
{
	int r;

	if (command->decision.task > 255)
		return -ERANGE;
	if (means->fd < 0)
		return -ENOTCONN;
	if (means->reply)
		forget_answers(means->fd);
	r = write_byte(means, (unsigned char)command->decision.task, may_wait);
	/* Closing may wait for the line to drain: that is for a thread which may. */
	means->is_broken = is_unplugged(r);
	if (may_wait && means->is_broken)
		close_tty(means);
	return r ? r : FNX_MEANS_SENT;
}

static int confirm_serial(struct fnx_means *means)
{
	int r = means->reply ? await_answer(means->fd, means->end_ms)
			     : await_sent(means->fd, means->end_ms);

	if (is_unplugged(r))
		close_tty(means);
	return r;
}

/* trodes ---------------------------------------------------------------------------------- */

static int find_hardware(struct fnx_means *means)
{
	char central[FNX_TRODES_ENDPOINT_MAX], hardware[FNX_TRODES_ENDPOINT_MAX];
	unsigned char bytes[REPLY_MAX], request[FNX_TRODES_REQUEST_MAX];
	struct fnx_request *asked = NULL;
	size_t size;
	int r;

	r = fnx_request_hear(means->endpoint, HEAR_MS, bytes, sizeof(bytes), &size);
	if (!r)
		r = fnx_trodes_decode_announcement(bytes, size, central);
	if (!r)
		r = fnx_request_open(central, &asked);
	if (!r)
		r = fnx_request_await(asked, HEAR_MS);
	if (!r)
		r = fnx_trodes_encode_get("trodes.hardware", request, sizeof(request), &size);
	if (!r)
		r = fnx_request_ask(asked, request, size, HEAR_MS, bytes, sizeof(bytes), &size);
	if (!r)
		r = fnx_trodes_decode_endpoint(bytes, size, hardware);
	fnx_request_close(asked);
	if (!r)
		r = fnx_request_open(hardware, &means->hardware);
	if (!r)
		r = fnx_request_await(means->hardware, HEAR_MS);
	if (r)
		means->hardware = fnx_request_close(means->hardware);
	return r;
}

static int tell_trodes(struct fnx_means *means, const struct fnx_act_command *command)
{
	unsigned char request[FNX_TRODES_REQUEST_MAX], reply[REPLY_MAX];
	size_t size;
	int r;

	if (!means->hardware)
		return -ENOTCONN;
	r = fnx_trodes_encode_shortcut(command->decision.task, request, sizeof(request), &size);
	if (!r)
		r = fnx_request_ask(means->hardware, request, size, means->timeout_ms, reply,
			sizeof(reply), &size);
	/* A long answer is one, too. */
	if (!r || r == -EMSGSIZE)
		return 0;
	/* It may have moved: it has another port after each start of the acquisition. */
	means->hardware = fnx_request_close(means->hardware);
	return r;
}

/* All of them ----------------------------------------------------------------------------- */

static char *copy_of(const char *text)
{
	return strdup(text ? text : "");
}

static int open_means(struct fnx_means *means, const struct fnx_actuator_config *config)
{
	int r;

	switch (config->type) {
	case FNX_ACTUATOR_TYPE_UDP:
		return open_udp(means, config->endpoint);
	case FNX_ACTUATOR_TYPE_SERIAL:
		r = find_speed(config->baud, &means->speed);
		return r ? r : open_tty(means);
	case FNX_ACTUATOR_TYPE_STAGE:
		return open_stage(means, config->echoes);
	case FNX_ACTUATOR_TYPE_TRODES:
		return means->endpoint[0] ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

int fnx_means_open(const struct fnx_actuator_config *config, struct fnx_means **ret_means)
{
	struct fnx_means *means = calloc(1, sizeof(*means));
	int r;

	if (!means)
		return -ENOMEM;
	means->type = config->type;
	means->fd = -1;
	means->reply = config->reply;
	means->timeout_ms = config->timeout_ms ? (int)config->timeout_ms : TIMEOUT_MS;
	means->text = copy_of(config->text);
	means->device = copy_of(config->device);
	means->endpoint = copy_of(config->endpoint);
	r = means->text && means->device && means->endpoint ? open_means(means, config) : -ENOMEM;
	if (r)
		fnx_means_close(means);
	else
		*ret_means = means;
	return r;
}

int fnx_means_prepare(struct fnx_means *means)
{
	if (means->type == FNX_ACTUATOR_TYPE_TRODES && !means->hardware)
		return find_hardware(means);
	if (means->type == FNX_ACTUATOR_TYPE_SERIAL) {
		if (means->is_broken)
			close_tty(means);
		return means->fd < 0 ? open_tty(means) : 0;
	}
	return 0;
}

int fnx_means_are_immediate(const struct fnx_means *means)
{
	return means->type == FNX_ACTUATOR_TYPE_UDP || means->type == FNX_ACTUATOR_TYPE_SERIAL ||
		means->type == FNX_ACTUATOR_TYPE_STAGE;
}

int fnx_means_send(struct fnx_means *means, const struct fnx_act_command *command, int may_wait)
{
	means->end_ms = now_ms() + means->timeout_ms;
	switch (means->type) {
	case FNX_ACTUATOR_TYPE_UDP:
		return send_udp(means, command);
	case FNX_ACTUATOR_TYPE_SERIAL:
		return send_serial(means, command, may_wait);
	case FNX_ACTUATOR_TYPE_STAGE:
		return send_nowhere(means, command);
	default:
		return tell_trodes(means, command);
	}
}

int fnx_means_confirm(struct fnx_means *means)
{
	return means->type == FNX_ACTUATOR_TYPE_SERIAL ? confirm_serial(means)
						       : await_answer(means->fd, means->end_ms);
}

int fnx_means_timeout_ms(const struct fnx_means *means)
{
	return means->timeout_ms;
}

void fnx_means_fetch(const struct fnx_means *means)
{
	fnx_fetch(means, sizeof(*means));
	if (means->text)
		fnx_fetch(means->text, strlen(means->text) + 1);
}

struct fnx_means *fnx_means_close(struct fnx_means *means)
{
	if (!means)
		return NULL;
	fnx_request_close(means->hardware);
	fnx_echo_close(means->echo);
	if (means->fd >= 0)
		close(means->fd);
	free(means->text);
	free(means->device);
	free(means->endpoint);
	free(means);
	return NULL;
}
