/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of `fornix`: each gets its name (for its errors) and what follows it, and returns
 * the exit status: 0 done, 1 failed, 2 wrong use. */
#pragma once

#include "nodes/host/host.h"

int fnx_command_run(int argc, char **argv);
int fnx_command_node(int argc, char **argv);
int fnx_command_top(int argc, char **argv);
int fnx_command_ls(int argc, char **argv);
int fnx_command_inspect(int argc, char **argv);
int fnx_command_doctor(int argc, char **argv);
int fnx_command_echo(int argc, char **argv);
int fnx_command_get(int argc, char **argv);
int fnx_command_set(int argc, char **argv);
int fnx_command_check(int argc, char **argv);
int fnx_command_decode(int argc, char **argv);
int fnx_command_keygen(int argc, char **argv);
int fnx_command_recover(int argc, char **argv);
int fnx_command_trace(int argc, char **argv);
int fnx_command_version(int argc, char **argv);

/* `fornix COMMAND [...]`: the whole of main(). */
int fnx_commands_main(int argc, char **argv);

/* Every node that a rig can have, NULL-terminated, sources first. */
extern const struct fnx_node_ops *const fnx_all_nodes[];

/* The name of the k-th node (from 0) of this kind, NULL: the rig asks for no k-th. */
const char *fnx_rig_node_name(
	const struct fnx_node_ops *ops, const struct fnx_rig *rig, unsigned k);

/* The executable fornix-<type> beside this one. 0, or negative errno. */
FNX_MUST_CHECK int fnx_executable_path(const char *type, char *ret_path, size_t size);
