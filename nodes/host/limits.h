/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits of a node's arithmetic to which its rig is held before it starts: the arithmetic knows no
 * rig, and the rig no node. */
#pragma once

enum {
	/* encode: kernel_uv over mark_step_uv, see FNX_BLOCK_UNUSED_I16 */
	FNX_COUNTS_PER_DEVIATION_MAX = 270,
	/* encode: channels of a group whose sums are expanded */
	FNX_EXPANSION_DIMS_MAX = 4,
};
