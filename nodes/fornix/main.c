/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/command.h"

int main(int argc, char **argv)
{
	return fnx_commands_main(argc, argv);
}
