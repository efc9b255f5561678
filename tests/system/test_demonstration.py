# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration trains, decodes and stimulates, in separate processes, loses nothing and leaves nothing behind."""
import signal

from fornix import SANITIZED, Run, run

it = Run("--duration", 36000)
most = {}


def all_running():
    global most
    children = it.children()
    most = children if len(children) > len(most) else most
    return len(most) >= 7


# The demonstration itself is over in half a second, and nobody need have looked meanwhile.
it.wait_for(all_running, "seven nodes in processes of their own")
it.process.send_signal(signal.SIGINT)
it.finish()
it.assert_nothing_left()
print(sorted(most))

summary = run()
print({k: v for k, v in summary.items() if k not in ("realtime",)})

assert {"acquire", "ripple", "encode.1", "encode.2", "decode", "dispatch", "tap"} <= set(most)
assert summary["gaps"] == 0 and summary["drops"] == 0 and summary["restarts"] == 0
assert summary["missed_wakes"] == 0
# A posterior for every 6 ms of the session, but for the first and the last, which it may cut.
assert abs(summary["posteriors"] - summary["session_s"] / 0.006) <= 2
assert summary["frames"]["posterior"] == summary["posteriors"]
assert summary["same_arm_fraction"] >= 0.9
assert summary["decode_error_cm_median"] < summary["decode_error_cm_chance"] / 2
assert summary["ripples"] > 20
assert summary["decisions_acted"] >= 5
assert summary["decisions_right_arm"] >= 0.9 * summary["decisions_judged"] > 0
if not SANITIZED:
    assert summary["real_time_factor"] > 1
    assert all(count == 0 for count in summary["heap_allocations_after_start"].values())
