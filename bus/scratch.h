/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scratch memory that is never allocated per tick: a grow-only, 64-byte aligned buffer that is NOT
 * zeroed between loans. Whoever borrows one must overwrite all that it reads. Tests call
 * fnx_scratch_poison_loans(1): from then on every loan is filled with NaN patterns first, and
 * results must not change.
 *
 * One thread per scratch. Reserve at start-up; a loan within the reserve allocates nothing.
 */
#pragma once

#include "bus/bus.h"

struct fnx_scratch {
	void *memory;
	size_t size;
	size_t n_grown; /* times a loan exceeded the reserve */
};

void fnx_scratch_init(struct fnx_scratch *scratch);
/* -ENOMEM. Touches every page, so that the frame path takes no fault. */
FNX_MUST_CHECK int fnx_scratch_reserve(struct fnx_scratch *scratch, size_t size);
/* At least `size` bytes, valid until the next loan; NULL only when it had to grow and memory is
 * out. */
void *fnx_scratch_loan(struct fnx_scratch *scratch, size_t size);
void fnx_scratch_fini(struct fnx_scratch *scratch);
void fnx_scratch_poison_loans(int on);
