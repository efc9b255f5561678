/* SPDX-License-Identifier: BSD-3-Clause */
/* Words for what a view of a topic shows. */
#pragma once

#include "bus/view.h"

/* The name of its schema: of this build, else as its description says, else its hash. The view has
 * FNX_VIEW_SCHEMA. `ret_name` has FNX_NAME_MAX bytes. */
void fnx_describe_schema(const struct fnx_view *view, char *ret_name);
/* "no such topic", "damaged" ... of what fnx_view_open answers, and subs_error. */
const char *fnx_describe_error(int error);
/* A node's name as a record has it: any byte that no name has becomes '?'. FNX_NAME_MAX bytes. */
void fnx_describe_name(const char *name, char *ret_name);
const char *fnx_describe_policy(uint8_t policy);
const char *fnx_describe_bell(uint32_t form);
const char *fnx_describe_entry(enum fnx_view_entry_state state);
