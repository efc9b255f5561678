/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/bridge/node.h"

int main(int argc, char **argv)
{
	return fnx_host_main(argc, argv, &fnx_bridge_ops);
}
