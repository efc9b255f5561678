/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fetching: memory that will soon be used is brought into this processor's cache, by whoever has
 * nothing to do until then. A byte of each line is read: a prefetch is a hint, which a processor may
 * drop where it does not know the page either, and virtual ones do drop it.
 */
#pragma once

#include "bus/bus.h"

/* Changes nothing. What is read is not looked at, so that others may write there meanwhile. [frame] */
__attribute__((no_sanitize("thread"))) static inline void fnx_fetch(const void *memory, size_t size)
{
	const volatile unsigned char *bytes = memory;

	if (!size)
		return;
	for (size_t at = 0; at < size; at += FNX_CACHE_LINE)
		(void)bytes[at];
	(void)bytes[size - 1];
}
