"""Makes the files beside it: python3 generate.py [vectors/cls]

Needs numpy and scipy. Filter designs of SciPy, as text, one filter per line:

    butterworth.txt  order low_hz high_hz rate_hz, then b0 b1 b2 a1 a2 of each section
    firls.txt        n_taps n_bands rate_hz, then low_hz high_hz gain_low gain_high weight of each
                     band, then the taps
    response.txt     order low_hz high_hz rate_hz frequency_hz, then gain, phase, group delay (samples)

With a directory of vectors also excerpt/: the first samples of that session, as far as its second
ripple, in the same files (out_env every 50th sample).
"""
import os
import sys

import numpy as np
import scipy.signal as sig

HERE = os.path.dirname(os.path.abspath(__file__))
N_EXCERPT = 9000


def line(*parts):
    return " ".join(repr(float(x)) if isinstance(x, float) else str(x) for p in parts for x in p) + "\n"


def sections(order, low, high, rate):
    return sig.iirfilter(order, [low, high], btype="bandpass", ftype="butter", output="sos", fs=rate)


def butterworth():
    cases = [
        (2, 150.0, 250.0, 1500.0),
        (1, 150.0, 250.0, 1500.0),
        (2, 100.0, 200.0, 1250.0),
        (3, 80.0, 250.0, 1000.0),
        (4, 150.0, 250.0, 30000.0),
        (5, 6.0, 10.0, 1500.0),
        (6, 300.0, 6000.0, 30000.0),
        (7, 120.0, 180.0, 2000.0),
        (8, 140.0, 260.0, 1500.0),
        (2, 10.0, 700.0, 1500.0),
        (3, 10.0, 700.0, 1500.0),
        (5, 4.0, 600.0, 1250.0),
    ]
    with open(os.path.join(HERE, "butterworth.txt"), "w") as out:
        for case in cases:
            sos = sections(*case)
            out.write(line(case, (float(x) for x in sos[:, [0, 1, 2, 4, 5]].ravel())))
    with open(os.path.join(HERE, "response.txt"), "w") as out:
        for case in cases[:6]:
            for f in (0.31 * case[1], case[1], 0.5 * (case[1] + case[2]), case[2], 1.1 * case[2]):
                sos = sections(*case)
                h = sig.sosfreqz(sos, worN=[f], fs=case[3])[1][0]
                delay = sum(sig.group_delay((s[:3], s[3:]), w=[f], fs=case[3])[1][0] for s in sos)
                out.write(line(case, [float(f), float(abs(h)), float(np.angle(h)), float(delay)]))


def firls():
    cases = [
        (15, [0, 50, 55, 750], [1, 1, 0, 0], None, 1500),
        (13, [0, 50, 55, 625], [1, 1, 0, 0], None, 1250),
        (1, [0, 50, 55, 750], [1, 1, 0, 0], None, 1500),
        (3, [0, 100, 200, 500], [1, 1, 0, 0], [1, 5], 1000),
        (31, [0, 140, 150, 250, 260, 750], [0, 0, 1, 1, 0, 0], None, 1500),
        (101, [0, 140, 150, 250, 260, 750], [0, 0, 1, 1, 0, 0], [10, 1, 10], 1500),
        (255, [0, 140, 150, 250, 260, 750], [0, 0, 1, 1, 0, 0], None, 1500),
        (41, [0, 750], [0, 1], None, 1500),
        (73, [0, 100, 110, 200, 215, 350, 360, 500], [1, 0.5, 0, 0, 2, 1, 0.1, 0.3], [1, 2, 3, 4], 1000),
    ]
    with open(os.path.join(HERE, "firls.txt"), "w") as out:
        for n_taps, edges, desired, weight, rate in cases:
            n_bands = len(edges) // 2
            taps = sig.firls(n_taps, edges, desired, weight=weight, fs=rate)
            weight = weight or [1] * n_bands
            bands = [
                float(x)
                for k in range(n_bands)
                for x in (*edges[2 * k : 2 * k + 2], *desired[2 * k : 2 * k + 2], weight[k])
            ]
            out.write(line([n_taps, n_bands, float(rate)], bands, (float(x) for x in taps)))


def excerpt(source):
    target = os.path.join(HERE, "excerpt")
    os.makedirs(target, exist_ok=True)
    load = lambda name: np.load(os.path.join(source, name + ".npy"))
    save = lambda name, data: np.save(os.path.join(target, name + ".npy"), data)
    times = load("in_lfp_t")[:N_EXCERPT]
    n_positions = np.searchsorted(load("in_pos_t"), times[-1], side="right")
    messages = load("out_ripple_msgs")
    save("in_lfp", load("in_lfp")[:N_EXCERPT])
    save("in_lfp_t", times.astype("<i4"))
    save("in_pos_t", load("in_pos_t")[:n_positions])
    save("out_vel", load("out_vel")[:n_positions])
    save("out_filt", load("out_filt")[:N_EXCERPT:50])
    save("out_env", load("out_env")[:N_EXCERPT:50])
    save("out_ripple_msgs", messages[messages[:, 0] <= times[-1]])


butterworth()
firls()
if len(sys.argv) > 1:
    excerpt(sys.argv[1])
