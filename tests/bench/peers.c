/* SPDX-License-Identifier: BSD-3-Clause */
/* Those of peers.h that this build has. */
#include "tests/bench/peers.h"

#include <string.h>

const struct bench_peer *const bench_peers[] = {
	&bench_fornix,
	&bench_floor_line,
	&bench_floor_two_lines,
	&bench_floor_eventfd,
	&bench_floor_pipe,
	&bench_floor_futex,
	&bench_zmq,
	&bench_zmq_inproc,
#ifdef BENCH_HAVE_ICEORYX
	&bench_iceoryx,
#endif
#ifdef BENCH_HAVE_NNG
	&bench_nng,
#endif
#ifdef BENCH_HAVE_DDS
	&bench_dds,
#endif
#ifdef BENCH_HAVE_REDIS
	&bench_redis,
#endif
#ifdef BENCH_HAVE_MPI
	&bench_mpi,
#endif
	NULL,
};

const struct bench_peer *bench_peer_find(const char *name)
{
	for (unsigned i = 0; bench_peers[i]; i++)
		if (strcmp(bench_peers[i]->name, name) == 0)
			return bench_peers[i];
	return NULL;
}
