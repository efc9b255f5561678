/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/decode/node.h"

int main(int argc, char **argv)
{
	return fnx_host_main(argc, argv, &fnx_decode_ops);
}
