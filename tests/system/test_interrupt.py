# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C ends a paced run in good order: a summary, exit status 0, nothing left behind. In processes and in threads."""
import signal

from fornix import Run

for mode in ([], ["--threads"]):
    it = Run("--speed", 1, *mode)
    it.wait_for(lambda: "s" in (words := it.process.stdout.readline().split()[:2]) and float(words[0]) > 1, "progress")
    it.process.send_signal(signal.SIGINT)
    summary = it.finish()
    it.assert_nothing_left()
    print(mode, summary["session_s"], summary["posteriors"])
    assert summary["posteriors"] > 0 and summary["gaps"] == 0
