# SPDX-License-Identifier: MIT
"""SIGKILL of the target while an infrastructure fault is live: of the process that serves, which its supervisor starts again, and
of the whole pipeline, which nobody does.

The run ends by itself and says what became of the target; nothing is left, and the host is as it was.
"""
import concurrent.futures
import contextlib
import json
import os
import signal
import time

import pytest
from crashes import INFRASTRUCTURE, WORKERS
from fingerprint import unchanged
from lab import Lab, wait_for

OURS = 2  # the first notes of a run are its folder and its pipeline; what follows is the fault's
# But for the fault that is such a SIGKILL itself, and has nothing that is live.
CASES = [case for case in INFRASTRUCTURE if case != "node_failure"]
# What a run may end with, by exit code: passed, deviated, or a fault that could not be seen because its target was gone.
CLEAR = {0: ("passed",), 1: ("deviated", "degraded"), 4: ("invalid", "inconclusive")}


def is_live(lab, process):
    """Whether what the fault does is noted, and it is past that; also when the run has ended, which is looked at later."""
    def has_settled(path):
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes().count(b'"type":"note"') > OURS and time.time() - path.stat().st_mtime > 0.2
        return False
    return process.poll() is not None or any(map(has_settled, (lab.state / "journal").glob("*.cej")))


def kill(lab, who):
    found = [pid for pid, command in lab.processes().items() if f"chaoseater-pipeline {who}" in command]
    for pid in sorted(found):  # the supervisor before those that it would start again
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def lose_target(case, who):
    """What was wrong, '' or None (it cannot be brought about here)."""
    fault, parameters = INFRASTRUCTURE[case]
    with Lab() as lab:
        path = lab.document(fault, parameters=parameters, duration="2s", recovery_timeout="1s")
        process = lab.start("run", path, "--json")
        wait_for(lambda: is_live(lab, process), "the fault is live")
        killed = kill(lab, who)
        out, err = process.communicate(timeout=120)
        run = json.loads(out)["runs"][0]
        if not killed and process.returncode == 4:
            return None
        said = {key: run.get(key) for key in ("status", "verdict", "reason", "verified")}
        if not killed:
            return f"{who}: nothing was killed: {said}"
        if run["verdict"] not in CLEAR.get(process.returncode, ()):
            return f"{who}: it ended with {process.returncode}: {said} {err}"
        if run["verdict"] != "passed" and (not run["reason"] or run["reason"].rstrip().endswith(":")):
            return f"{who}: no reason is given: {said}"
        try:
            lab.clean_soon()
        except AssertionError as error:
            return f"{who}: {error}"
    return ""


@pytest.mark.parametrize("case", CASES)
def test_the_target_is_killed(case):
    with unchanged(), concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        wrong = list(pool.map(lambda who: lose_target(case, who), ["server", ""]))
    if None in wrong:
        pytest.skip("it cannot be brought about here")
    assert not any(wrong), "\n".join(filter(None, wrong))
