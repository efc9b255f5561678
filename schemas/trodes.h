/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of the Trodes network (version 2) that are needed to have a StateScript function run:
 * each one MessagePack object, strings as str.
 *
 *	central server, published	{"replyEndpoint": "tcp://127.0.0.1:50001"}
 *	to that endpoint		{"tag": "get", "name": "trodes.hardware", "endpoint": ""}
 *	its answer			"tcp://127.0.0.1:50002", or "" while there is none
 *	to that endpoint		["tag", "HRSCTrig", {"fn": 14}]
 *	its answer			anything
 *
 * Nothing here allocates.
 */
#pragma once

#include "schemas/schema.h"

enum {
	FNX_TRODES_REQUEST_MAX = 256,
	FNX_TRODES_ENDPOINT_MAX = 200, /* with the closing 0 */
};

/* Each: -EMSGSIZE when the buffer is too small. */
FNX_MUST_CHECK int fnx_trodes_encode_get(
	const char *service, void *buffer, size_t size, size_t *ret_size);
FNX_MUST_CHECK int fnx_trodes_encode_shortcut(
	uint32_t function, void *buffer, size_t size, size_t *ret_size);
/* Trusts nothing in `data`. -EBADMSG: no such message; -EMSGSIZE: the endpoint does not fit into
 * FNX_TRODES_ENDPOINT_MAX bytes. Keys other than replyEndpoint are passed over if flat. */
FNX_MUST_CHECK int fnx_trodes_decode_announcement(
	const void *data, size_t size, char *ret_endpoint);
/* -ENOENT: no such service yet. */
FNX_MUST_CHECK int fnx_trodes_decode_endpoint(const void *data, size_t size, char *ret_endpoint);
