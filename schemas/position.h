/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * position: where the animal is, once per tracking sample. Published by acquire. The raw
 * coordinates travel with the computed ones, so that a recording can be replayed with other
 * kinematics.
 */
#pragma once

#include "schemas/schema.h"

enum {
	/* the camera saw the animal in this sample */
	FNX_POSITION_TRACKED = 1u << 0,
	/* and it is on the track */
	FNX_POSITION_ON_TRACK = 1u << 1,
};

#define FNX_POSITION_EXTENTS(EXTENT)
#define FNX_POSITION_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(double, x, "cm", "smoothed position") \
	SCALAR(double, y, "cm", "smoothed position") \
	SCALAR(double, speed, "cm/s", "speed between smoothed positions") \
	SCALAR(double, along, "", "position along the arm, 0 to 1") \
	SCALAR(double, distance, "cm", "from the track's nearest point") \
	SCALAR(double, raw_x, "px", "first LED as tracked") \
	SCALAR(double, raw_y, "px", "first LED as tracked") \
	SCALAR(double, raw_x2, "px", "second LED as tracked") \
	SCALAR(double, raw_y2, "px", "second LED as tracked") \
	SCALAR(double, raw_along, "", "position on the segment as tracked, 0 to 1") \
	SCALAR(int32_t, raw_segment, "", "track segment as tracked, -1 where not given") \
	SCALAR(int32_t, bin, "bin", \
		"linear position bin; off the track -1, or the last if so set") \
	SCALAR(int32_t, arm, "", "arm that owns the bin, -1 off the track") \
	SCALAR(uint32_t, flags, "", "1 tracked, 2 on the track")

#define FNX_SCHEMA_SELF position
FNX_SCHEMA(position, FNX_POSITION_EXTENTS, FNX_POSITION_FIELDS)
#undef FNX_SCHEMA_SELF
