/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/acquire/node.h"

int main(int argc, char **argv)
{
	return fnx_host_main(argc, argv, &fnx_acquire_ops);
}
