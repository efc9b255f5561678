/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may connect: ZeroMQ asks a handler in the same context for each CURVE client, and this is it.
 * A listener has a domain of its own and admits one key. Domains that are not registered admit
 * everybody, as ZeroMQ does by itself (the tap).
 *
 * One thread per process answers, started with the first domain, ended with the last. Internal to
 * bus/. Calls may be made from any thread; [slow].
 */
#pragma once

#include "bus/bus.h"

struct fnx_zap;

/* `public_key`: of the one client, in Z85. -EADDRINUSE: somebody else in this process has a handler
 * ... */
FNX_MUST_CHECK int fnx_zap_open(
	const char *domain, const char *public_key, struct fnx_zap **ret_zap);
struct fnx_zap *fnx_zap_close(struct fnx_zap *zap);
/* Clients that were turned away by this domain. */
uint64_t fnx_zap_refused(const struct fnx_zap *zap);
