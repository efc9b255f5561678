# SPDX-License-Identifier: BSD-3-Clause
"""After stimulation a live rig starts no ripple while it blanks; a replay does not listen, and gives the same numbers with it and without."""
from fornix import Run, WORK

RIG = """\
bus: {{name: blanking, live: {live}}}
source:
  type: simulator
  duration_s: 60
  simulator: {{ripple_rate_hz: 5}}
lfp: {{n_channels: 4, rate_hz: 1500}}
position: {{rate_hz: 30}}
track:
  bin_cm: 5
  nodes: [{{name: a, x: 0, y: 0}}, {{name: b, x: 30, y: 0}}]
  arms: [{{name: stem, nodes: [a, b], bins: [0, 5]}}]
ripple: {{warm_up_samples: 1500, blanking_ms: {blanking}}}
dispatch:
  armed: true
  lockout_ms: 50
  max_rate_per_min: 1000
  rules: [{{name: r, type: ripple, consensus: true, window_ms: 20, task: 1, lockout_ms: 50}}]
  actuators: [{{type: log, file: /dev/null}}]
"""


def ripples(live, blanking):
    rig = WORK / "blanking.yaml"
    rig.write_text(RIG.format(live=str(live).lower(), blanking=blanking))
    summary = Run(rig, "--speed", 20 if live else 0).finish()
    print(f"live {live}, blanking {blanking} ms: {summary['ripples']} ripples, {summary['decisions_acted']} acted upon")
    return summary["ripples"]


without = ripples(True, 0)
assert without > 20
# Ten seconds from each stimulation on.
assert 0 < ripples(True, 10000) < without / 2
assert ripples(False, 10000) == ripples(False, 0) > 20
