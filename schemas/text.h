/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may count as text: UTF-8 without 0 bytes. MessagePack calls its strings UTF-8 and Python
 * refuses a whole message for one stray byte, so nothing else goes out as a string and nothing else
 * is let in.
 */
#pragma once

#include <stddef.h>

/* Bytes of the longest beginning of `bytes` that is text. Reads at most `size` bytes, each where it
 * lies: a writer may change them meanwhile. */
size_t fnx_text_prefix(const char *bytes, size_t size);

/* 1 if all of it is text without control characters: fit for a terminal and for one line of a
 * log. */
int fnx_text_printable(const char *bytes, size_t size);

/* What others wrote: bounded by `size` with the closing 0, control characters as '?'. `to` may be
 * `from`. */
void fnx_text_copy(char *to, const char *from, size_t size);

/* 1 if it is 1..31 letters, digits and '_', and begins with no digit: fit for a field's name. */
int fnx_text_identifier(const char *bytes, size_t size);
