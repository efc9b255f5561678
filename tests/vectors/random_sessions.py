# SPDX-License-Identifier: BSD-3-Clause
"""Random sessions for check_vectors: python3 random_sessions.py CHECK_VECTORS [SEED]

Writes directories of vectors whose inputs and configuration are drawn at random (numbers of groups,
channels, states, arms; capacity, gate, delays, duplicate time stamps) and whose outputs are
computed here, by the ancestor's formulas in NumPy and SciPy, the slow and obvious way. Then runs
check_vectors on each. The seed is printed; needs numpy and scipy.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy.signal as signal

UV = 0.195
N_SESSIONS = 4


def random_track(rng):
    """Arms of random length with gaps between them; several segments per arm."""
    arms, start = [], 0
    for _ in range(rng.integers(1, 5)):
        end = start + int(rng.integers(1, 15))
        arms.append([start, end])
        start = end + 1 + int(rng.integers(0, 5))
    more = [int(rng.integers(len(arms))) for _ in range(rng.integers(3))]
    return arms, arms[-1][1] + 1, list(range(len(arms))) + more


def random_config(rng):
    arms, n_bins, segments = random_track(rng)
    n_groups, n_states = int(rng.integers(1, 13)), int(rng.integers(1, 5))
    groups = [int(g) for g in rng.permutation(100)[:n_groups]]
    dims = int(rng.integers(1, 13))
    classifier = bool(rng.integers(2))
    kinds = ['random_walk', 'uniform', 'identity']
    return {
        'trode_selection': {'ripples': [int(e) for e in rng.permutation(50)[:rng.integers(1, 7)]],
                            'decoding': groups},
        'decoder_assignment': {'1': groups},
        'algorithm': 'clusterless_classifier' if classifier else 'clusterless_decoder',
        'preloaded_model': False, 'frozen_model': False,
        'clusterless_decoder': {'state_labels': ['state'], 'transmat_bias': 1},
        'clusterless_classifier': {
            'state_labels': [f's{k}' for k in range(n_states)],
            'discrete_transition': {'type': ['strong_diagonal'],
                                    'diagonal': float(rng.uniform(.5, 1))},
            'continuous_transition': {
                'type': [[str(k) for k in rng.choice(kinds, n_states)] for _ in range(n_states)],
                'cm_per_bin': 5, 'gaussian_std': float(rng.uniform(3, 12))}},
        'sampling_rate': {'spikes': 30000, 'lfp': 1500, 'position': 30},
        'encoder': {
            'spk_amp': 60, 'mark_dim': dims,
            'use_channel_dist_from_max_amp': int(rng.integers(0, 4)),
            'bufsize': int(rng.choice([20, 101, 25000])), 'vel_thresh': 4.0,
            'position': {'lower': 0, 'upper': n_bins, 'num_bins': n_bins, 'arm_ids': segments,
                         'arm_coords': arms},
            'mark_kernel': {'mean': 0, 'std': float(rng.choice([19.5, 20, 30])),
                            'use_filter': bool(rng.integers(2)), 'n_std': int(rng.integers(1, 3)),
                            'n_marks_min': int(rng.integers(1, 12))},
            'dead_channels':
                {str(groups[0]): [int(rng.integers(dims))]} if rng.integers(2) else {}},
        'decoder': {'bufsize': 2000, 'time_bin': {'samples': int(rng.choice([120, 180])),
                                                 'delay_samples': int(rng.choice([0, 60, 180]))}},
        'ripples': {
            'max_ripple_samples': int(rng.integers(20, 200)), 'vel_thresh': 20.0,
            'freeze_stats': False,
            'filter': {'type': 'iir', 'order': int(rng.integers(1, 4)), 'crit_freqs': [150, 250],
                       'kwargs': {'btype': 'bandpass', 'ftype': 'butter'}},
            'smoothing_filter': {'num_taps': 15, 'band_edges': [50, 55], 'desired': [1, 0]},
            'threshold': {'standard': 2.5, 'conditioning': 3, 'content': 3.5, 'end': 0}},
        'kinematics': {'smooth_x': True, 'smooth_y': True, 'smooth_speed': False,
                       'smoothing_filter': [.31, .29, .25, .15], 'scale_factor': .2644},
        'cred_interval': {'val': .5, 'max_num': 5}}


def random_inputs(rng, config):
    """Running to and fro along random segments with stops; spikes whose shape depends on place."""
    duration = 240000
    n_segments = len(config['encoder']['position']['arm_ids'])
    t = np.arange(137, duration, 1000)
    pace = np.where((np.arange(len(t)) // 60) % 3 < 2, .04, 0.)
    phase = np.cumsum(pace * rng.uniform(.5, 1.5, len(t)))
    seg = ((phase.astype(int)) * 7 % n_segments).astype(np.int32)
    on = np.clip(phase % 1 + rng.normal(0, .01, len(t)), 0, 1)
    on[rng.integers(len(t), size=3)] = 1.
    xy = np.stack([phase * 300, phase * 100, phase * 300 + 3, phase * 100 + 2], 1)
    xy += rng.normal(0, .2, xy.shape)
    groups, dims = config['decoder_assignment']['1'], config['encoder']['mark_dim']
    st = np.sort(rng.integers(0, duration, 1500))
    repeat = rng.integers(1, len(st) - 3, 60)
    st[repeat] = st[repeat - 1]
    st[repeat[:20] + 1] = st[repeat[:20] - 1]
    st = np.sort(st)
    sg = rng.choice(groups + [1000], len(st)).astype(np.int32)
    shape = np.exp(-.5 * ((np.arange(40) - 12) / 3.) ** 2)
    where = np.searchsorted(t, st, side='right') - 1
    centre = (seg[where] * 3 + sg) % dims
    amp = 700 * np.exp(-.4 * np.abs(np.arange(dims)[None] - centre[:, None]))
    amp *= rng.uniform(.9, 1.1, (len(st), 1))
    amp[rng.integers(len(st), size=50)] *= .2
    amp *= np.where(rng.random(amp.shape) < .1, -1.2, 1)
    wave = (amp[:, :, None] * shape + rng.normal(0, 15, (len(st), dims, 40))).astype(np.int16)
    lt = np.arange(0, duration, 20)
    n_lfp = len(config['trode_selection']['ripples'])
    lfp = rng.normal(0, 200, (len(lt), n_lfp))
    for start in rng.integers(1000, len(lt) - 200, 12):
        lfp[start:start + 120] += 900 * np.sin(2 * np.pi * 200 * np.arange(120) / 1500)[:, None]
    return dict(in_pos_t=t.astype(np.int64), in_pos_seg=seg, in_pos_on=on, in_pos_xy=xy,
                in_spike_t=st.astype(np.int64), in_spike_group=sg, in_spike_wave=wave,
                in_lfp_t=lt.astype(np.int64), in_lfp=lfp.astype(np.int16))


def kinematics(config, i):
    taps = np.array(config['kinematics']['smoothing_filter'])
    scale = config['kinematics']['scale_factor']
    mid = np.stack([(i['in_pos_xy'][:, 0] + i['in_pos_xy'][:, 2]) / 2,
                    (i['in_pos_xy'][:, 1] + i['in_pos_xy'][:, 3]) / 2], 1)
    last, window, speed = mid[0], np.zeros((len(taps), 2)), np.zeros(len(mid))
    for k in range(1, len(mid)):
        window = np.vstack([mid[k] * scale, window[:-1]])
        now = (taps[:, None] * window).sum(0)
        speed[k] = np.hypot(*(now - last)) / (1 / 30)
        last = now
    position = config['encoder']['position']
    bins = []
    for s, p in zip(i['in_pos_seg'], i['in_pos_on']):
        a, z = position['arm_coords'][position['arm_ids'][s]]
        n = z - a + 1
        bins.append(a + min(np.searchsorted(np.linspace(0, 1, n + 1), p, side='right') - 1, n - 1))
    return speed, np.array(bins, dtype=np.int32)


def ripples(config, i, speed):
    c = config['ripples']
    sos = signal.iirfilter(c['filter']['order'], c['filter']['crit_freqs'], btype='bandpass',
                           ftype='butter', output='sos', fs=1500)
    filt = signal.sosfilt(sos, i['in_lfp'] * UV, axis=0)
    taps = signal.firls(15, [0, 50, 55, 750], [1, 1, 0, 0], fs=1500)
    with np.errstate(invalid='ignore'):
        env = np.sqrt(signal.lfilter(taps, 1, filt ** 2, axis=0))
    n_traces = env.shape[1] + 1
    traces = np.hstack([env, env.mean(1, keepdims=True)])
    names = config['trode_selection']['ripples'] + [-1]
    mean, m2, messages, cons = np.zeros(n_traces), np.zeros(n_traces), [], []
    count, seen, th = np.zeros(n_traces, int), np.zeros((n_traces, 3), bool), c['threshold']
    where = np.searchsorted(i['in_pos_t'], i['in_lfp_t'], side='right') - 1
    for k, e in enumerate(traces):
        d = e - mean
        mean = mean + d / (k + 1)
        m2 = m2 + d * (e - mean)
        with np.errstate(all='ignore'):
            sd = np.sqrt(m2 / (k + 1))
            z = (e - mean) / sd
        cons.append((i['in_lfp_t'][k], z[-1]))
        v = speed[where[k]] if where[k] >= 0 else 0
        for j in range(n_traces):
            def send(kind):
                messages.append((i['in_lfp_t'][k], names[j], kind, j == n_traces - 1,
                                 np.nan if kind == 3 else z[j]))
            if count[j] == 0:
                if e[j] > mean[j] + th['standard'] * sd[j] and v < c['vel_thresh']:
                    send(0)
                    count[j] = 1
                continue
            count[j] += 1
            for kind, name in ((1, 'conditioning'), (2, 'content')):
                if e[j] > mean[j] + th[name] * sd[j] and not seen[j, kind]:
                    send(kind)
                    seen[j, kind] = True
            if e[j] <= mean[j] + th['end'] * sd[j] or count[j] >= c['max_ripple_samples']:
                send(3)
                count[j], seen[j] = 0, False
    return filt, env, np.array(cons), np.array(messages, dtype=float).reshape(-1, 5)


def mark_of(config, group, wave):
    w = wave * UV
    w[config['encoder']['dead_channels'].get(str(group), [])] = 0
    m = w[:, np.argmax(w[np.argmax(w.max(1))])]
    d = config['encoder']['use_channel_dist_from_max_amp']
    if len(m) > 2 * d + 1:
        a, keep = np.argmax(np.abs(m)), m.copy()
        m = np.zeros_like(m)
        m[max(0, a - d):a + d + 1] = keep[max(0, a - d):a + d + 1]
    return m


def credible(p, value):
    return np.searchsorted(np.cumsum(np.sort(p)[::-1]), value) + 1


def transitions(config, gap):
    arms, n = config['encoder']['position']['arm_coords'], config['encoder']['position']['num_bins']
    flat = np.outer(~gap, ~gap) / (~gap).sum()
    if config['algorithm'] == 'clusterless_decoder':
        return [[flat]], np.ones((1, 1))
    c = config['clusterless_classifier']
    cm, sigma = c['continuous_transition']['cm_per_bin'], c['continuous_transition']['gaussian_std']
    label, at = np.full(n, -1), np.full(n, np.nan)
    for k, (a, z) in enumerate(arms):
        label[a:z + 1] = k
        at[a:z + 1] = np.arange(z - a + 1) * cm + (0 if k == 0 else arms[0][1] * cm + cm)
    walk = np.zeros((n, n))
    for a in range(n):
        if label[a] >= 0:
            reach = (label >= 0) if label[a] == 0 else (label == 0) | (label == label[a])
            walk[a, reach] = np.exp(-.5 * ((at[reach] - at[a]) / sigma) ** 2)
            walk[a] /= walk[a].sum()
    kinds = {'random_walk': walk, 'uniform': flat, 'identity': np.diag((~gap).astype(float))}
    types, diagonal = c['continuous_transition']['type'], c['discrete_transition']['diagonal']
    s = len(types)
    discrete = np.full((s, s), (1 - diagonal) / max(s - 1, 1))
    np.fill_diagonal(discrete, diagonal if s > 1 else 1.)
    return [[kinds[k] for k in row] for row in types], discrete


class Model:
    def __init__(self, capacity, dims):
        self.marks, self.bins, self.index = np.zeros((capacity, dims)), np.zeros(capacity, int), 0

    def add(self, mark, position):
        capacity = len(self.marks)
        full = self.index >= capacity
        if not full or self.index % 2 == 0:
            self.marks[self.index % capacity], self.bins[self.index % capacity] = mark, position
        self.index += 3 if full else 1

    def likelihood(self, mark, occupancy, kernel):
        n, sd = min(self.index, len(self.marks)), kernel['std']
        m = self.marks[:n]
        reach = kernel['n_std'] * sd
        if n == 0 or kernel['use_filter'] and np.sum(
                np.all((m > mark - reach) & (m < mark + reach), axis=1)) < kernel['n_marks_min']:
            return None
        w = np.exp(-((m - mark) ** 2).sum(1) / (2 * sd * sd)) / (np.sqrt(2 * np.pi) * sd)
        h = np.bincount(self.bins[:n], weights=w, minlength=len(occupancy)) + 1e-7
        with np.errstate(all='ignore'):
            h = h / (occupancy / np.nansum(occupancy))
        h[~np.isfinite(h)] = 0
        return h / h.sum()


def encode_and_decode(config, i, speed, bins):
    e, value = config['encoder'], config['cred_interval']['val']
    n_bins, groups = e['position']['num_bins'], config['decoder_assignment']['1']
    gap = np.ones(n_bins, bool)
    for a, z in e['position']['arm_coords']:
        gap[a:z + 1] = False
    models = {g: Model(e['bufsize'], e['mark_dim']) for g in groups}
    rates = {g: np.ones(n_bins) for g in groups}
    occ_encoder, occ_decoder = np.zeros(n_bins), np.ones(n_bins)
    steps, discrete = transitions(config, gap)
    n_states = len(steps)
    post = np.full((n_states, n_bins), 1 / (n_states * n_bins))
    stored, likes, metas, waiting = np.zeros(len(i['in_spike_t']), bool), [], [], []
    posts, lks, post_metas, position, velocity = [], [], [], 0, 0.
    time_bin = config['decoder']['time_bin']
    width, delay = time_bin['samples'], time_bin['delay_samples']
    events = sorted([(t, 0, k) for k, t in enumerate(i['in_pos_t'])] +
                    [(t, 1, k) for k, t in enumerate(i['in_spike_t'])] +
                    [(t, 2, k) for k, t in enumerate(i['in_lfp_t'])])
    for t, kind, k in events:
        training = velocity >= e['vel_thresh']
        if kind == 0:
            position, velocity = bins[k], speed[k]
            if velocity >= e['vel_thresh']:
                for o in (occ_encoder, occ_decoder):
                    o[position] += 1
                    o[gap] = np.nan
        elif kind == 1:
            g = int(i['in_spike_group'][k])
            if g not in models:
                continue
            mark = mark_of(config, g, i['in_spike_wave'][k])
            if not mark.max() > e['spk_amp']:
                continue
            h = models[g].likelihood(mark, occ_encoder, e['mark_kernel'])
            if h is not None:
                likes.append(h)
                metas.append((k, t, g, position, credible(h, value)))
                waiting.append((t, g, position, h))
            if training:
                stored[k] = True
                models[g].add(mark, position)
        elif (k + 1) % (width // 20) == 0:
            left, right = t - delay - width, t - delay
            spikes = [s for s in waiting if left <= s[0] < right]
            waiting = [s for s in waiting if s[0] >= right]
            times = [s[0] for s in spikes]
            spikes = [s for n, s in enumerate(spikes)
                      if times.count(s[0]) < 3 and times.index(s[0]) == n]
            for s in spikes:
                rates[s[1]][s[2]] += 1
            lk, share = np.ones(n_bins), occ_decoder / np.nansum(occ_decoder)
            for g in groups:
                lk = lk * np.exp(-width / 30000 * (rates[g] / rates[g].sum()) / share)
                lk = lk / np.nansum(lk)
                lk[~np.isfinite(lk)] = 0
            for s in spikes:
                lk = lk * s[3]
                lk = lk / lk.sum()
            prior = [sum(discrete[a, b] * (post[a] @ steps[a][b]) for a in range(n_states))
                     for b in range(n_states)]
            post = lk * np.array(prior)
            post = post / np.nansum(post)
            posts.append(post)
            lks.append(lk)
            post_metas.append((t, left, right, len(spikes), credible(post.sum(0), value),
                               credible(lk, value), velocity))
    return dict(out_encoding_spike=stored, out_like_hist=np.array(likes).reshape(-1, n_bins),
                out_like_meta=np.array(metas, dtype=float).reshape(-1, 5), out_post=np.array(posts),
                out_lik=np.array(lks), out_post_meta=np.array(post_metas, dtype=float))


def write_session(rng, directory):
    config = random_config(rng)
    arrays = random_inputs(rng, config)
    speed, bins = kinematics(config, arrays)
    filt, env, cons, messages = ripples(config, arrays, speed)
    arrays |= encode_and_decode(config, arrays, speed, bins)
    arrays |= dict(out_vel=speed, out_pos_bin=bins, out_filt=filt, out_env=env, out_cons_z=cons,
                   out_ripple_msgs=messages)
    with open(os.path.join(directory, 'config.json'), 'w') as file:
        json.dump(config, file)
    for name, array in arrays.items():
        np.save(os.path.join(directory, name + '.npy'), np.ascontiguousarray(array))
    print(f"{config['algorithm']}: {len(config['decoder_assignment']['1'])} groups of "
          f"{config['encoder']['mark_dim']} channels, {env.shape[1]} LFP channels, "
          f"{config['encoder']['position']['num_bins']} bins, "
          f"{len(arrays['out_like_hist'])} likelihoods, "
          f"{arrays['out_encoding_spike'].sum()} stored, {len(messages)} ripple messages, "
          f"{int(np.isnan(arrays['out_post']).any((1, 2)).sum())} NaN posteriors", flush=True)


def main():
    check_vectors = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 2 ** 32
    print(f'seed {seed}')
    failures = 0
    for n in range(N_SESSIONS):
        with tempfile.TemporaryDirectory() as directory:
            write_session(np.random.default_rng([seed, n]), directory)
            for options in ([], ['--single']):
                done = subprocess.run([check_vectors, *options, directory],
                                      capture_output=True, text=True)
                if done.returncode != 0:
                    failures += 1
                    print(*options, done.stdout, done.stderr, sep='\n')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
