/* SPDX-License-Identifier: BSD-3-Clause */
/* fornix get, fornix set: a node's parameters, over its control socket (nodes/host/serve.c has the
 * other end). */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bus/control.h"
#include "nodes/fornix/command.h"
#include "nodes/fornix/locate.h"
#include "schemas/control.h"

enum {
	PATIENCE_MS = 3000,
	TEXT_MAX = 200,
	WHO_MAX = 64
};

struct call {
	const char *command; /* "fornix get" */
	struct fnx_locate locate;
	struct fnx_bus bus;
	const char *node;
	struct fnx_map reply; /* points into `bytes` */
	unsigned char bytes[FNX_CONTROL_BODY_MAX];
};

/* Asking
 * ---------------------------------------------------------------------------------------------- */

static int complain(struct call *call, int error)
{
	char before[240];
	struct fnx_names nodes;

	if (error == -ETIMEDOUT) {
		fprintf(stderr, "%s: %s does not answer; is it alive? `fornix top` tells\n",
			call->command, call->node);
		return 1;
	}
	if ((error != -ENOENT && error != -EINVAL) ||
		fnx_names_find(&nodes, call->bus.segment_dir, "", FNX_NODE_SUFFIX)) {
		fprintf(stderr, "%s: cannot ask %s: %s\n", call->command, call->node,
			strerror(-error));
		return 1;
	}
	snprintf(before, sizeof(before), "%s: bus %s has no node %.48s%s; it has: ", call->command,
		call->bus.name, call->node,
		fnx_names_have(&nodes, call->node) ? " that takes requests (it has stopped)" : "");
	fnx_names_complain(&nodes, before);
	fnx_names_free(&nodes);
	return 1;
}

/* 0: call->reply holds the answer; 1 after saying what went wrong. */
static int ask(struct call *call, const struct fnx_pair *pairs, size_t n)
{
	unsigned char body[1024];
	char why[TEXT_MAX];
	size_t size;
	bool ok;
	int r;

	r = fnx_map_encode(pairs, n, body, sizeof(body), &size);
	if (r) {
		fprintf(stderr, "%s: the request is too long or no UTF-8\n", call->command);
		return 1;
	}
	r = fnx_control_request(&call->bus, call->node, body, size, PATIENCE_MS, call->bytes,
		sizeof(call->bytes), &size);
	if (r)
		return complain(call, r);
	if (fnx_map_decode(&call->reply, call->bytes, size) ||
		fnx_map_flag(&call->reply, "ok", &ok)) {
		fprintf(stderr, "%s: %s answered something that cannot be read\n", call->command,
			call->node);
		return 1;
	}
	if (ok)
		return 0;
	if (fnx_map_text(&call->reply, "error", why, sizeof(why)))
		snprintf(why, sizeof(why), "it does not say why");
	fprintf(stderr, "%s: %s: %s\n", call->command, call->node, why);
	return 1;
}

/* Getting
 * --------------------------------------------------------------------------------------------- */

struct param {
	char key[TEXT_MAX], unit[TEXT_MAX], meaning[TEXT_MAX];
	double value, min, max;
};

static int get_one(struct call *call, const char *key, struct param *ret_param)
{
	const struct fnx_pair request[] = {fnx_pair_text("op", "get"), fnx_pair_text("key", key)};
	struct param param;
	int r;

	r = ask(call, request, 2);
	if (r)
		return r;
	snprintf(param.key, sizeof(param.key), "%s", key);
	if (fnx_map_number(&call->reply, "value", &param.value) ||
		fnx_map_number(&call->reply, "min", &param.min) ||
		fnx_map_number(&call->reply, "max", &param.max) ||
		fnx_map_text(&call->reply, "unit", param.unit, sizeof(param.unit)) ||
		fnx_map_text(&call->reply, "meaning", param.meaning, sizeof(param.meaning))) {
		fprintf(stderr, "%s: %s comes from another version of fornix\n", call->command,
			call->node);
		return 1;
	}
	*ret_param = param;
	return 0;
}

/* The value comes first, so that scripts can cut it off. */
static void print_param(const struct param *param)
{
	char range[64], number[32];

	snprintf(number, sizeof(number), "%.15g", param->value);
	snprintf(range, sizeof(range), "(%g to %g)", param->min, param->max);
	printf("%-12s %-8s %-20s %s\n", number, param->unit[0] ? param->unit : "-", range,
		param->meaning);
}

static int print_key(struct call *call, const char *key)
{
	struct param param;
	int r = get_one(call, key, &param);

	if (!r)
		print_param(&param);
	return r;
}

static int print_all(struct call *call)
{
	const struct fnx_pair request[] = {fnx_pair_text("op", "get")};
	char(*keys)[TEXT_MAX];
	uint32_t n = 0;
	int r, width = 0;

	r = ask(call, request, 1);
	if (r)
		return r;
	keys = calloc(FNX_MAP_PAIRS_MAX, sizeof(*keys));
	if (!keys)
		return complain(call, -ENOMEM);
	for (uint32_t i = 0; i < call->reply.n_pairs; i++) {
		const struct fnx_pair *pair = &call->reply.pairs[i];

		if (pair->value.type != FNX_VALUE_DOUBLE || pair->key_length >= TEXT_MAX)
			continue; /* ok */
		memcpy(keys[n++], pair->key, pair->key_length);
		width = (int)pair->key_length > width ? (int)pair->key_length : width;
	}
	if (!n)
		printf("%s has no parameters\n", call->node);
	for (uint32_t i = 0; i < n && !r; i++) {
		struct param param;

		r = get_one(call, keys[i], &param);
		if (!r) {
			printf("%-*s  ", width, keys[i]);
			print_param(&param);
		}
	}
	free(keys);
	return r;
}

/* Setting
 * --------------------------------------------------------------------------------------------- */

static void name_oneself(char *who)
{
	const struct passwd *user = getpwuid(getuid());
	char host[256] = "localhost";

	if (gethostname(host, sizeof(host) - 1))
		snprintf(host, sizeof(host), "localhost");
	snprintf(who, WHO_MAX, "%.20s@%.28s %d", user ? user->pw_name : "unknown", host,
		(int)getpid());
}

static int parse_value(const char *text, double *ret_value)
{
	char *end;
	double value;

	if (!strcasecmp(text, "true") || !strcasecmp(text, "false")) {
		*ret_value = !strcasecmp(text, "true");
		return 0;
	}
	value = strtod(text, &end);
	if (end == text || *end || !isfinite(value))
		return -EINVAL;
	*ret_value = value;
	return 0;
}

static int set_one(struct call *call, const char *key, const char *text)
{
	char who[WHO_MAX];
	double value, before;
	int r;

	if (parse_value(text, &value)) {
		fprintf(stderr, "%s: expected a number, true or false, found \"%s\"\n",
			call->command, text);
		return 2;
	}
	name_oneself(who);
	r = ask(call,
		(const struct fnx_pair[]){fnx_pair_text("op", "set"), fnx_pair_text("key", key),
			fnx_pair_number("value", value), fnx_pair_text("who", who),
			/* guarded parameters want it said twice */
			fnx_pair_int("check", fnx_control_check(key, value))},
		5);
	if (r)
		return r;
	if (fnx_map_number(&call->reply, "before", &before) ||
		fnx_map_number(&call->reply, "value", &value)) {
		fprintf(stderr, "%s: %s comes from another version of fornix\n", call->command,
			call->node);
		return 1;
	}
	printf("%s %s: %.15g, before %.15g\n", call->node, key, value, before);
	return 0;
}

/* Commands
 * -------------------------------------------------------------------------------------------- */

static int usage_get(void)
{
	printf("fornix get: shows a node's parameters\n"
	       "\n"
	       "usage: fornix get NODE [KEY] [options]\n"
	       "\n"
	       "Without KEY, all: name, value in force, unit, range, meaning. With KEY, that one: "
	       "value, unit,\n"
	       "range, meaning.\n"
	       "\n" FNX_LOCATE_HELP);
	return 0;
}

static int usage_set(void)
{
	printf("fornix set: changes a parameter while the node runs\n"
	       "\n"
	       "usage: fornix set NODE KEY VALUE [options]\n"
	       "\n"
	       "VALUE is a number, true or false, and is in force from the node's next frame on. "
	       "Recordings hold\n"
	       "the change, and who made it. `fornix get NODE` lists the keys.\n"
	       "\n" FNX_LOCATE_HELP);
	return 0;
}

static int command(int argc, char **argv, struct call *call, struct fnx_command_line *line,
	int (*usage)(void),
	int (*carry_out)(struct call *call, const struct fnx_command_line *line))
{
	const struct fnx_option options[] = {FNX_LOCATE_OPTIONS(&call->locate), {.name = NULL}};
	int r;

	call->command = line->program;
	line->options = options;
	r = fnx_command_line_read(line, argc, argv);
	if (r)
		return r > 0 ? usage() : 2;
	r = fnx_locate_bus(call->command, &call->locate, &call->bus);
	if (r)
		return r;
	call->node = line->words[0];
	return carry_out(call, line);
}

static int get(struct call *call, const struct fnx_command_line *line)
{
	return line->n_words == 2 ? print_key(call, line->words[1]) : print_all(call);
}

static int set(struct call *call, const struct fnx_command_line *line)
{
	return set_one(call, line->words[1], line->words[2]);
}

int fnx_command_get(int argc, char **argv)
{
	struct fnx_command_line line = {.program = "fornix get",
		.words_min = 1,
		.words_max = 2,
		.expected = "NODE, or NODE and KEY"};
	struct call *call = calloc(1, sizeof(*call));
	int r = call ? command(argc, argv, call, &line, usage_get, get) : 1;

	free(call);
	return r;
}

int fnx_command_set(int argc, char **argv)
{
	struct fnx_command_line line = {.program = "fornix set",
		.words_min = 3,
		.words_max = 3,
		.expected = "NODE, KEY and VALUE"};
	struct call *call = calloc(1, sizeof(*call));
	int r = call ? command(argc, argv, call, &line, usage_set, set) : 1;

	free(call);
	return r;
}
