/* SPDX-License-Identifier: BSD-3-Clause */
/* param: a parameter changed while a node ran. Published by each node on <node>.params. */
#pragma once

#include "schemas/schema.h"

#define FNX_PARAM_EXTENTS(EXTENT)
#define FNX_PARAM_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(double, value, "", "in force from the next frame on") \
	SCALAR(double, before, "", "in force until then") \
	TEXT(node, 32, "node") \
	TEXT(name, 64, "parameter, as in the rig file") \
	TEXT(who, 64, "who asked")

#define FNX_SCHEMA_SELF param
FNX_SCHEMA(param, FNX_PARAM_EXTENTS, FNX_PARAM_FIELDS)
#undef FNX_SCHEMA_SELF
