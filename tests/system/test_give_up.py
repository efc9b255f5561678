# SPDX-License-Identifier: BSD-3-Clause
"""A node that is killed from outside is started again however often; one that dies of itself, again and again, ends the run."""
import contextlib
import os
import signal
import time

from fornix import DEADLINE_S, Run, select_a_moment

NODE = "encode.1"
ENOUGH = 25  # strikes; a run puts up with ten deaths in a row


def strike(it, how, enough):
    """Strikes the node as soon as it lives, then its successors, until `enough(strikes)`."""
    deadline = time.monotonic() + DEADLINE_S
    last, n = None, 0
    while not enough(n):
        assert time.monotonic() < deadline, f"after {n} strikes:\n{it.process.kill() or it.output()}"
        pid = it.children().get(NODE)
        if pid and pid != last:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
            last, n = pid, n + 1
        select_a_moment()


# Hardly a spike in all this time, so this node gets no further.
it = Run("--duration", 3600, "--speed", 0.001)
strike(it, signal.SIGKILL, lambda n: n == ENOUGH)
it.wait_for(lambda: NODE in it.children(), "the node once more")
# SIGABRT: the one of these signals that no sanitizer keeps for itself.
strike(it, signal.SIGABRT, lambda n: it.process.poll() is not None)
text = it.output()
print(text)
assert f"{NODE} dies again and again (Aborted)" in text
assert it.process.returncode == 1
it.assert_nothing_left()
