# SPDX-License-Identifier: BSD-3-Clause
"""Two real recordings: a rat's position decoded on a T-maze, and published ripples found. Passes where they are absent."""
import sys

from fornix import SANITIZED, SOURCE, data, run

r050, liu = data("data/r050_task.nwb"), data("data/liu2021_lfp.nwb")
if not r050 or not liu:
    print("no recordings on this machine")
    sys.exit(0)

found = run(SOURCE / "deploy/rigs/liu2021.yaml", "--source", liu)
print("liu2021: hits, misses, false alarms", found["ripple_hits"], found["ripple_misses"], found["ripple_false_alarms"])
assert found["ripple_hits"] == 27 and found["ripple_misses"] == 0

duration = ["--duration", 400] if SANITIZED else []
best = run(SOURCE / "deploy/rigs/r050.yaml", "--source", r050, "--speed", "max", *duration)
print("r050: median error", best["decode_error_cm_median"], "right arm", best["same_arm_fraction"])
if not SANITIZED:
    # What the published decoder reaches here is 9.9 cm and 0.813.
    assert best["decode_error_cm_median"] <= 5.5 and best["same_arm_fraction"] >= 0.92
    # The published decoder's own rows on this session: 9.9 cm and 0.813; one state 114.2 cm and 0.602.
    parity = [SOURCE / "deploy/rigs/r050_parity.yaml", "--source", r050, "--speed", "max"]
    classifier = run(*parity)
    print("r050, parity: median error", classifier["decode_error_cm_median"], "right arm", classifier["same_arm_fraction"])
    assert abs(classifier["decode_error_cm_median"] - 9.9) < 0.1
    assert abs(classifier["same_arm_fraction"] - 0.813) < 0.002
    one_state = run(*parity, "--set", "decode.algorithm=one_state")
    print("r050, parity, one state: median error", one_state["decode_error_cm_median"], "right arm",
          one_state["same_arm_fraction"])
    assert abs(one_state["decode_error_cm_median"] - 114.2) < 1
    assert abs(one_state["same_arm_fraction"] - 0.602) < 0.005
