/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Open MPI, shared-memory transport: blocking send and receive. Its processes are born by mpirun,
 * which runs this program again (--rank FILE). It waits without sleeping, but yields.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mpi.h>

#include "tests/bench/peers.h"

struct end {
	struct bench_run *run;
	int index;
	unsigned char *out, *in;
};

static int launch(struct bench_run *run, const char *program, const char *path)
{
	char n[16];
	int null = open("/dev/null", O_RDWR);

	dup2(null, 1);
	dup2(null, 2);
	snprintf(n, sizeof(n), "%u", 1 + run->plan.n_readers);
	execlp("mpirun", "mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none",
		"--mca", "btl", "self,vader", "-n", n, program, "--rank", path, (char *)NULL);
	return -errno;
}

static int open_end(struct bench_run *run, unsigned index, void **ret_end)
{
	struct end *end = calloc(1, sizeof(*end));

	if (!end)
		return -ENOMEM;
	end->run = run;
	end->index = (int)index;
	end->out = calloc(1, run->plan.size);
	end->in = calloc(1, run->plan.size);
	*ret_end = end;
	return end->out && end->in ? 0 : -ENOMEM;
}

static struct bench_message *loan(void *handle)
{
	struct end *end = handle;

	return (struct bench_message *)(void *)end->out;
}

static int send_message(void *handle)
{
	struct end *end = handle;

	return MPI_Send(end->out, (int)end->run->plan.size, MPI_BYTE, !end->index, 0,
		       MPI_COMM_WORLD) == MPI_SUCCESS
		? 0
		: -EIO;
}

static const struct bench_message *receive(void *handle)
{
	struct end *end = handle;

	if (MPI_Recv(end->in, (int)end->run->plan.size, MPI_BYTE, !end->index, 0, MPI_COMM_WORLD,
		    MPI_STATUS_IGNORE) != MPI_SUCCESS)
		return NULL;
	return (const struct bench_message *)(const void *)end->in;
}

static void close_end(void *handle)
{
	struct end *end = handle;

	free(end->out);
	free(end->in);
	free(end);
}

const struct bench_peer bench_mpi = {
	.name = "Open MPI",
	.how = "shared memory (vader), blocking send and receive",
	.kinds = BENCH_PING_PONG | BENCH_STREAM,
	.spins = 1,
	.only_spins = 1,
	.launched = 1,
	.launch = launch,
	.open = open_end,
	.loan = loan,
	.send = send_message,
	.receive = receive,
	.close = close_end,
};

int bench_mpi_rank(struct bench_run *run)
{
	int rank = -1, r = MPI_Init(NULL, NULL);

	if (r == MPI_SUCCESS)
		r = MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	if (r != MPI_SUCCESS || rank < 0 || rank > (int)run->plan.n_readers)
		return -EIO;
	bench_role(run, &bench_mpi, (unsigned)rank);
	return MPI_Finalize() == MPI_SUCCESS ? 0 : -EIO;
}
