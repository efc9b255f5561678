#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What bench_kernels measures fornix against: the published decoder's formulas in NumPy, one call per
spike, time bin or sample as there. bench_kernels starts this, once, and asks.

    reference.py DIRECTORY      holds <case>.<array>.f64, raw doubles that bench_kernels wrote

On standard input, one question per line:
    check CASE          one call from the beginning; answers with its result, numbers on one line
    time CASE CALLS     so many calls; answers with the median of their times, ns

Needs numpy only. Written as a NumPy user would: whole arrays, nothing computed twice, no copies
that the formulas do not ask for.
"""
import os
import sys
import time

import numpy as np

DIRECTORY = sys.argv[1] if len(sys.argv) > 1 else "."
N_BINS = 41


def array(case, name):
    return np.fromfile(os.path.join(DIRECTORY, f"{case}.{name}.f64"))


class Encode:
    """The joint mark-position likelihood of one spike."""

    def __init__(self, case):
        self.mark = array(case, "mark")
        self.marks = array(case, "marks").reshape(-1, len(self.mark))
        self.positions = array(case, "positions").astype(np.float32)
        self.occupancy = array(case, "occupancy")
        self.edges = np.arange(N_BINS + 1.0)
        sigma = array(case, "kernel_uv")[0]
        self.k1 = 1 / (np.sqrt(2 * np.pi) * sigma)
        self.k2 = -0.5 / sigma**2

    def histogram(self, weights):
        return np.histogram(self.positions, bins=self.edges, weights=weights)[0]

    def call(self):
        squared_distance = np.sum(np.square(self.marks - self.mark), axis=1)
        hist = self.histogram(self.k1 * np.exp(squared_distance * self.k2))
        hist += 1e-7
        hist /= self.occupancy / np.nansum(self.occupancy)
        hist[~np.isfinite(hist)] = 0
        hist /= np.sum(hist)
        return hist


class EncodeBincount(Encode):
    """The same with the fastest histogram that NumPy has for whole bins."""

    def histogram(self, weights):
        return np.bincount(self.positions.astype(np.intp), weights=weights, minlength=N_BINS)


def matrix(kind, arms, distance, deviation):
    """A transition over position bins: rows sum to 1, gaps (arm -1) stay out."""
    on_track = arms >= 0
    if kind == "identity":
        steps = np.diag(on_track.astype(float))
    elif kind == "uniform":
        steps = np.outer(on_track, on_track).astype(float)
    else:
        steps = np.exp(-0.5 * (np.nan_to_num(distance) / deviation) ** 2)
        steps *= np.outer(on_track, on_track)
        steps *= (arms[:, None] == 0) | (arms == 0) | (arms[:, None] == arms)
    rows = steps.sum(axis=1, keepdims=True)
    return np.divide(steps, rows, out=np.zeros_like(steps), where=rows > 0)


class Decode:
    """One time bin."""

    KINDS = [["random_walk", "uniform", "identity"], ["uniform", "uniform", "uniform"],
             ["random_walk", "uniform", "identity"]]

    def __init__(self, case):
        self.dt, self.n_states, self.diagonal, deviation, n_groups = array(case, "config")
        self.n_states = int(self.n_states)
        arms = array(case, "arms")
        distance = array(case, "distance").reshape(len(arms), len(arms))
        kinds = self.KINDS if self.n_states > 1 else [["uniform"]]
        self.steps = [[matrix(kind, arms, distance, deviation) for kind in row] for row in kinds]
        self.between = np.full((self.n_states, self.n_states),
                               (1 - self.diagonal) / max(1, self.n_states - 1))
        np.fill_diagonal(self.between, self.diagonal)
        self.rates = np.ones((int(n_groups), len(arms)))
        self.occupancy = array(case, "occupancy")
        self.times = array(case, "times")
        self.groups = array(case, "groups").astype(int)
        self.positions = array(case, "positions").astype(int)
        self.hists = array(case, "hists").reshape(len(self.times), len(arms))
        self.posterior = np.full((self.n_states, len(arms)), 1 / (self.n_states * len(arms)))

    def call(self):
        _, first, counts = np.unique(self.times, return_index=True, return_counts=True)
        spikes = first[counts < 3]
        for i in spikes:
            self.rates[self.groups[i], self.positions[i]] += 1
        likelihood = np.ones(self.rates.shape[1])
        share = self.occupancy / np.nansum(self.occupancy)
        for rate in self.rates:
            likelihood *= np.exp(-self.dt * (rate / np.sum(rate)) / share)
            likelihood /= np.nansum(likelihood)
            likelihood[~np.isfinite(likelihood)] = 0
        for i in spikes:
            likelihood *= self.hists[i]
            likelihood /= np.sum(likelihood)
        if self.n_states == 1:
            prior = self.posterior @ self.steps[0][0]
        else:
            prior = np.zeros_like(self.posterior)
            for k in range(self.n_states):
                for j in range(self.n_states):
                    prior[k] += self.between[j, k] * (self.posterior[j] @ self.steps[j][k])
        self.posterior = likelihood * prior
        self.posterior /= np.nansum(self.posterior)
        total = self.posterior.sum(axis=0)
        self.decoded = np.argmax(total)
        self.credible = [np.searchsorted(np.cumsum(np.sort(x)[::-1]), 0.5) + 1
                         for x in (total, likelihood)]
        return self.posterior


class Ripple:
    """The envelope of one sample of all channels: sections in direct form I, square, taps, root."""

    def __init__(self, case):
        self.sections = array(case, "sections").reshape(-1, 5)
        self.taps = array(case, "taps")
        n_channels = int(array(case, "config")[0])
        self.samples = array(case, "samples").reshape(-1, n_channels)
        self.x = np.zeros((len(self.sections), 2, n_channels))
        self.y = np.zeros((len(self.sections), 2, n_channels))
        self.squares = np.zeros((len(self.taps), n_channels))
        self.at = 0

    def call(self):
        value = self.samples[self.at] * 0.195
        self.at = (self.at + 1) % len(self.samples)
        for (b0, b1, b2, a1, a2), x, y in zip(self.sections, self.x, self.y):
            out = b0 * value + b1 * x[0] + b2 * x[1] - a1 * y[0] - a2 * y[1]
            x[1], x[0] = x[0], value
            y[1], y[0] = y[0], out
            value = out
        self.squares[1:] = self.squares[:-1]
        self.squares[0] = value**2
        return np.sqrt(self.taps @ self.squares)


KINDS = {"encode": Encode, "encode_bincount": EncodeBincount, "decode": Decode, "ripple": Ripple}
cases = {}


def case_of(name):
    if name not in cases:
        kind, case = name.split(":")
        cases[name] = KINDS[kind](case)
    return cases[name]


def median_ns(call, n_calls):
    times = []
    for _ in range(n_calls):
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times))


def main():
    np.seterr(all="ignore")
    for line in sys.stdin:
        question, name, *calls = line.split()
        case = case_of(name)
        if question == "check":
            print(*(repr(float(value)) for value in np.ravel(case.call())), flush=True)
        else:
            print(median_ns(case.call, int(calls[0])), flush=True)


if __name__ == "__main__":
    main()
