#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""From SIGKILL of the controller to the last undo, for every fault.

    bench/crash_undo.py [BUILD-FOLDER]        ROUNDS=10 by default

"fault" is until the guard has recorded the last undo of what the fault itself changed; the bar is 10 ms. Faults on
traffic change nothing outside the process that died. "all" is until the journal is gone: the pipeline's processes have
ended, too, and the run's folder is removed. A busy machine spoils both.
"""
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

FAULTS = {
    "data_corruption": "{corruption_rate: 0.3}",
    "missing_data": "{missing_rate: 0.3}",
    "slow_inference": "{latency_ms: 100}",
    "prediction_corruption": "{corruption_rate: 0.3}",
    "model_unavailable": "{}",
    "node_failure": "{failure_type: hang}",
    "memory_pressure": "{memory_mb: 128}",
}
LAYERS = {"data_corruption": "data", "missing_data": "data", "slow_inference": "model",
          "prediction_corruption": "model", "model_unavailable": "model", "node_failure": "infrastructure",
          "memory_pressure": "infrastructure"}
DOCUMENT = """experiments:
  - {{name: x, layer: {layer}, fault_type: {fault}, duration: 60s, baseline: 500ms, parameters: {parameters}}}
"""


OURS = 2  # the first notes of a run are its folder and its pipeline; what follows is the fault's


def fault_notes(journal):
    """Ids of the fault's notes, and of those that are undone."""
    noted = {int(i) for i in re.findall(rb'"type":"note","id":(\d+)', journal) if int(i) > OURS}
    undone = {int(i) for i in re.findall(rb'"type":"(?:undone|foreign|settled)","id":(\d+)', journal)}
    return noted, noted & undone


def crash(program, fault):
    """Milliseconds until the fault is undone (None: it left nothing to undo), and until the journal is gone."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chaoseater-bench-"))
    plan = folder / "plan.yaml"
    plan.write_text(DOCUMENT.format(layer=LAYERS[fault], fault=fault, parameters=FAULTS[fault]))
    env = dict(os.environ, CHAOSEATER_STATE_DIR=str(folder / "state"))
    run = subprocess.Popen([program, "run", plan], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    # Two seconds in, every fault has been live for a second; what is live is what matters, not when it began.
    time.sleep(2)
    journals = list((folder / "state" / "journal").glob("*.cej"))
    assert run.poll() is None and len(journals) == 1, "the run has ended by itself"
    noted, _ = fault_notes(journals[0].read_bytes())
    undone_at = None
    begun = time.monotonic()
    run.send_signal(signal.SIGKILL)
    while True:
        now = time.monotonic()
        try:
            content = journals[0].read_bytes()
        except FileNotFoundError:
            break
        if undone_at is None and fault_notes(content)[1] == noted:
            undone_at = now
        if now > begun + 10:
            sys.exit(f"{fault}: not undone after 10 s")
        time.sleep(0.0002)
    run.wait()
    shutil.rmtree(folder)
    return ((undone_at or now) - begun) * 1000 if noted else None, (now - begun) * 1000


def figures(values):
    if None in values:
        return f"{'nothing to undo':>27}"
    return f"{min(values):9.1f}{statistics.median(values):9.1f}{max(values):9.1f}"


def main():
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve() / "chaoseater"
    rounds = int(os.environ.get("ROUNDS", "10"))
    print(f"ms after SIGKILL, {rounds} rounds      fault: min   median      max     all: min   median      max")
    for fault in FAULTS:
        took = [crash(program, fault) for _ in range(rounds)]
        print(f"{fault:24}{figures([t[0] for t in took])}   {figures([t[1] for t in took])}", flush=True)


if __name__ == "__main__":
    main()
