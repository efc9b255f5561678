/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of `fornix`: each gets what follows its name and returns the exit status. 0 done, 1 failed, 2 wrong use. */
#pragma once

#include "nodes/host/host.h"

int fnx_command_run(int argc, char **argv);
int fnx_command_top(int argc, char **argv);
int fnx_command_echo(int argc, char **argv);
int fnx_command_get(int argc, char **argv);
int fnx_command_set(int argc, char **argv);
int fnx_command_check(int argc, char **argv);
int fnx_command_recover(int argc, char **argv);
int fnx_command_version(int argc, char **argv);

/* Every node that a rig can have, NULL-terminated, sources first. */
extern const struct fnx_node_ops *const fnx_all_nodes[];
