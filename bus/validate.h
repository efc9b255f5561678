/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Validate: what a topic's two files say, held against itself. For looking at a bus whose nodes are
 * dead, or may be: it reads the files, of whatever bytes, maps nothing, writes nothing and needs
 * nobody alive. On a living topic it may find what is true only for a moment (a frame between its
 * tag and its count); on one whose publisher is dead, what it finds is there.
 *
 * Repair is what a successor does when it takes a topic over.
 */
#pragma once

#include "bus/bus.h"

enum fnx_finding_severity {
	FNX_FINDING_NOTE = 1, /* left by a death; a successor, or whoever joins, puts it right */
	FNX_FINDING_DAMAGE =
		2, /* nothing that a publisher and its subscribers could have written */
};

enum fnx_finding_file {
	FNX_FINDING_DATA = 1, /* <topic>.data */
	FNX_FINDING_SUBS = 2, /* <topic>.subs */
	FNX_FINDING_STATUS = 3, /* <node>.status */
};

struct fnx_finding {
	enum fnx_finding_severity severity;
	enum fnx_finding_file file;
	uint64_t offset; /* bytes into the file */
	const char *text; /* one line, valid during the call */
};

typedef void (*fnx_finding_fn)(void *context, const struct fnx_finding *finding);

/* Looks at a topic. Returns the number of findings, 0: all is well; -ENOENT: no such topic;
 * -EINVAL: bad name; -ENOMEM, -EACCES ... `tell` may be NULL. [slow] */
FNX_MUST_CHECK int fnx_topic_validate(
	const struct fnx_bus *bus, const char *topic, fnx_finding_fn tell, void *context);
/* The same for a copy of the two files, `subs` NULL: it is not there. Any bytes. */
int fnx_topic_validate_bytes(const void *data, size_t data_size, const void *subs, size_t subs_size,
	fnx_finding_fn tell, void *context);
/* Looks at a node's status page. As above. [slow] */
FNX_MUST_CHECK int fnx_status_validate(
	const struct fnx_bus *bus, const char *node, fnx_finding_fn tell, void *context);
int fnx_status_validate_bytes(const void *page, size_t size, fnx_finding_fn tell, void *context);

/* Puts a dead publisher's topic in order as its successor would: the frame that was published and
 * not counted is counted, the pass that was cut short is ended, the readers that may not have been
 * rung are; subscribers keep their places. 0: done, or nothing was to be done; -EBUSY: its node
 * lives; -EBADMSG: damaged: only a new topic will do; -ENOENT. [slow] */
FNX_MUST_CHECK int fnx_topic_repair(const struct fnx_bus *bus, const char *topic);
