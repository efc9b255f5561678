/* SPDX-License-Identifier: BSD-3-Clause */
/* The demonstration rig, deploy/rigs/demo.yaml, as it was when this was built; 0-terminated. */
#pragma once

extern const char fnx_demo_rig[];
