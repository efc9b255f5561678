/* SPDX-License-Identifier: BSD-3-Clause */
/* A window through the network CNN1D_1 (16 samples of 8 channels, seven convolutions with
 * normalisation and leaky ReLU, a dense sigmoid), with weights of no meaning: for kernel_cases. */
#pragma once

#include "tests/bench/kernel_cases.h"

void *bench_network_open(const struct bench_case *bench, const char *directory);
void bench_network_close(void *self);
void bench_network_call(void *self);
const double *bench_network_result(void *self, size_t *ret_n);
