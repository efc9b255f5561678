/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Redis Streams: XADD and a blocking XREAD over a UNIX socket, with a server of our own that keeps
 * nothing on disk. At full speed commands are pipelined and entries read a hundred at a time.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "tests/bench/peers.h"

enum {
	PIPELINE = 64,
};

struct end {
	struct bench_run *run;
	redisContext *context;
	const char *out_stream, *in_stream;
	unsigned char *out;
	unsigned unanswered;
	redisReply *reply; /* of the last XREAD */
	size_t next; /* entry of it */
	char last_id[48];
};

static void path_of(const struct bench_run *run, char *path, size_t size)
{
	snprintf(path, size, "%s/redis", run->plan.dir);
}

static redisContext *connect_to(const struct bench_run *run)
{
	char path[BENCH_DIR_MAX + 16];
	struct timeval timeout = {.tv_sec = 10};

	path_of(run, path, sizeof(path));
	return redisConnectUnixWithTimeout(path, timeout);
}

static int prepare(struct bench_run *run)
{
	char path[BENCH_DIR_MAX + 16];
	int64_t until_ns = bench_now() + INT64_C(5000000000);
	pid_t pid;

	path_of(run, path, sizeof(path));
	pid = fork();
	if (pid == 0) {
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path,
			"--save", "", "--appendonly", "no", "--logfile", "/dev/null", "--dir",
			run->plan.dir, (char *)NULL);
		_exit(127);
	}
	run->plan.daemon = pid;
	while (access(path, F_OK) < 0) {
		if (bench_now() > until_ns || waitpid(pid, NULL, WNOHANG) == pid)
			return -ENOENT;
		poll(NULL, 0, 2);
	}
	return 0;
}

static void clean(struct bench_run *run)
{
	char path[BENCH_DIR_MAX + 16];

	if (run->plan.daemon > 0) {
		kill(run->plan.daemon, SIGKILL);
		waitpid(run->plan.daemon, NULL, 0);
	}
	run->plan.daemon = 0;
	path_of(run, path, sizeof(path));
	unlink(path);
}

static int open_end(struct bench_run *run, unsigned index, void **ret_end)
{
	struct end *end = calloc(1, sizeof(*end));

	if (!end)
		return -ENOMEM;
	*end = (struct end){.run = run,
		.out_stream = index ? "back" : "there",
		.in_stream = index ? "there" : "back",
		.last_id = "0"};
	end->context = connect_to(run);
	end->out = calloc(1, run->plan.size);
	*ret_end = end;
	return end->context && !end->context->err && end->out ? 0 : -EIO;
}

static struct bench_message *loan(void *handle)
{
	struct end *end = handle;

	return (struct bench_message *)(void *)end->out;
}

static int flush(void *handle)
{
	struct end *end = handle;
	void *reply;

	for (; end->unanswered; end->unanswered--) {
		if (redisGetReply(end->context, &reply) != REDIS_OK)
			return -EIO;
		freeReplyObject(reply);
	}
	return 0;
}

/* Kept whole: a stream that is cut may lose what a slow reader has not read. */
static int send_message(void *handle)
{
	struct end *end = handle;

	if (redisAppendCommand(end->context, "XADD %s * m %b", end->out_stream, end->out,
		    (size_t)end->run->plan.size) != REDIS_OK)
		return -EIO;
	return ++end->unanswered < PIPELINE ? 0 : flush(end);
}

/* Entries of the one stream that was asked for: [[name, [[id, [field, value]], ...]]]. */
static redisReply *entries_of(redisReply *reply)
{
	return reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 1
		? reply->element[0]->element[1]
		: NULL;
}

static const struct bench_message *receive(void *handle)
{
	struct end *end = handle;
	redisReply *entries = entries_of(end->reply), *entry;

	while (!entries || end->next == entries->elements) {
		if (end->reply)
			freeReplyObject(end->reply);
		end->next = 0;
		end->reply = redisCommand(end->context, "XREAD COUNT 100 BLOCK 5000 STREAMS %s %s",
			end->in_stream, end->last_id);
		entries = entries_of(end->reply);
		if (!entries)
			return NULL;
	}
	entry = entries->element[end->next++];
	snprintf(end->last_id, sizeof(end->last_id), "%s", entry->element[0]->str);
	return (const struct bench_message *)(const void *)entry->element[1]->element[1]->str;
}

static void close_end(void *handle)
{
	struct end *end = handle;

	if (end->reply)
		freeReplyObject(end->reply);
	redisFree(end->context);
	free(end->out);
	free(end);
}

const struct bench_peer bench_redis = {
	.name = "Redis Streams",
	.how = "XADD, XREAD BLOCK, UNIX socket, no disk; at full speed 64 commands in a pipeline",
	.kinds = BENCH_PING_PONG | BENCH_STREAM | BENCH_FAN_OUT | BENCH_PACED,
	.prepare = prepare,
	.clean = clean,
	.open = open_end,
	.loan = loan,
	.send = send_message,
	.flush = flush,
	.receive = receive,
	.close = close_end,
};
