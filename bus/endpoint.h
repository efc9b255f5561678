/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Endpoints (tcp://, ipc:// with an absolute path, inproc://) and the CURVE keys that guard those
 * that can be reached from outside. A key file holds one key in Z85, 40 characters, and nothing but
 * white space behind them. All calls are [slow].
 */
#pragma once

#include "bus/bus.h"

enum {
	FNX_KEY_SIZE = 40, /* in Z85, without the closing 0 */
};

/* 1 for tcp://... */
int fnx_endpoint_is_tcp(const char *endpoint);
/* 1 for ipc://... */
int fnx_endpoint_is_ipc(const char *endpoint);
/* 0: it can be bound or connected to. -EPERM: it can be reached from outside, and `have_key` is 0;
 * -EINVAL: an ipc path that is not absolute; -EPROTONOSUPPORT: none of the three. */
FNX_MUST_CHECK int fnx_endpoint_check(const char *endpoint, int have_key);

/* The key in a file; FNX_KEY_SIZE + 1 bytes. `secret`: -EKEYREVOKED if others than its owner may
 * read it.
 * -EKEYREJECTED: the file holds no key; -ENOENT, -EACCES ... */
FNX_MUST_CHECK int fnx_key_read(const char *path, int secret, char *ret_key);
/* The public key that belongs to a secret one. */
FNX_MUST_CHECK int fnx_key_public(const char *secret, char *ret_public);
/* A new pair: the secret key in `path` (mode 0600), the public one in `path`.pub (0644). -EEXIST:
 * one of the files is there already; -EOPNOTSUPP: ZeroMQ was built without CURVE ... */
FNX_MUST_CHECK int fnx_key_generate(const char *path);
