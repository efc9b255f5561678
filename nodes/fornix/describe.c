/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/describe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schemas/description.h"
#include "schemas/schema.h"

void fnx_describe_name(const char *name, char *ret_name)
{
	size_t n = strnlen(name, FNX_NAME_MAX - 1);

	for (size_t i = 0; i < n; i++)
		ret_name[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
	ret_name[n] = 0;
}

void fnx_describe_schema(const struct fnx_view *view, char *ret_name)
{
	struct fnx_description *description;

	for (const struct fnx_schema *const *schema = fnx_schemas; *schema; schema++)
		if (fnx_schema_hash(*schema) == view->schema_hash) {
			snprintf(ret_name, FNX_NAME_MAX, "%s", (*schema)->name);
			return;
		}
	if (view->schema &&
		!fnx_description_decode(view->schema, view->schema_size, &description)) {
		fnx_describe_name(description->schema.name, ret_name);
		fnx_description_free(description);
		return;
	}
	snprintf(ret_name, FNX_NAME_MAX, "%016" PRIx64, view->schema_hash);
}

const char *fnx_describe_error(int error)
{
	switch (error) {
	case -ENOENT:
		return "not there";
	case -EBADMSG:
		return "damaged";
	case -EPROTO:
		return "of another build";
	default:
		return strerror(-error);
	}
}

const char *fnx_describe_policy(uint8_t policy)
{
	switch (policy) {
	case FNX_LOSSLESS:
		return "lossless";
	case FNX_LOSSY:
		return "lossy";
	case FNX_LATEST:
		return "latest";
	default:
		return "?";
	}
}

const char *fnx_describe_bell(uint32_t form)
{
	switch (form) {
	case FNX_BELL_FORM_PIPE:
		return "pipe";
	case FNX_BELL_FORM_ZMQ:
		return "zmq";
	default:
		return "?";
	}
}

const char *fnx_describe_entry(enum fnx_view_entry_state state)
{
	switch (state) {
	case FNX_VIEW_ENTRY_PUBLISHED:
		return "published";
	case FNX_VIEW_ENTRY_RELEASED:
		return "released";
	case FNX_VIEW_ENTRY_DROPPED:
		return "dropped";
	default:
		return "being written";
	}
}
