#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""From SIGKILL of the controller to the last undo, for every fault.

    bench/crash_undo.py [BUILD-FOLDER]        ROUNDS=10 by default

The clock stops when the guard has put everything back and removed the run's journal, which is after the last undo, the
end of the pipeline's processes and the removal of the run's folder. The bar is 10 ms. A busy machine spoils it.
"""
import os
import pathlib
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


def crash(program, fault):
    """Milliseconds until the journal is gone."""
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
    begun = time.monotonic()
    run.send_signal(signal.SIGKILL)
    while journals[0].exists():
        time.sleep(0.0002)
        if time.monotonic() > begun + 10:
            sys.exit(f"{fault}: not undone after 10 s")
    took = (time.monotonic() - begun) * 1000
    run.wait()
    shutil.rmtree(folder)
    return took


def main():
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve() / "chaoseater"
    rounds = int(os.environ.get("ROUNDS", "10"))
    print(f"{'SIGKILL to last undo, ms':24}{'min':>8}{'median':>8}{'max':>8}   of {rounds}")
    for fault in FAULTS:
        took = sorted(crash(program, fault) for _ in range(rounds))
        print(f"{fault:24}{took[0]:8.1f}{statistics.median(took):8.1f}{took[-1]:8.1f}", flush=True)


if __name__ == "__main__":
    main()
