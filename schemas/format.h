/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A payload for people, and its record type for NumPy. For terminals and tools, not for the frame
 * path.
 */
#pragma once

#include "schemas/schema.h"

/* One line, `speed=3.2 cm/s rule_name="ripple" waveform=[4x40: 1 2 3 ...] count`, without a newline
 * and with a closing 0; of an array at most `max_items` values (0: all). Control characters in
 * texts become '?'. Returns the length of the whole line as snprintf does: what is >= size was cut
 * to fit. */
size_t fnx_layout_format(const struct fnx_layout *layout, const void *payload, char *buffer,
	size_t size, unsigned max_items);

/* A Python dict that np.dtype() takes (and ast.literal_eval() reads): names, formats, offsets,
 * itemsize. With a closing 0. -EMSGSIZE: does not fit, buffer then undefined; 4096 bytes are enough
 * for every message. */
FNX_MUST_CHECK int fnx_layout_dtype(const struct fnx_layout *layout, char *buffer, size_t size);
