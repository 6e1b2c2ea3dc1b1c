#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""From SIGKILL of the controller to the last undo, for every fault.

    bench/crash_undo.py [BUILD-FOLDER]        ROUNDS=5 by default

"fault" is until the guard has recorded the last undo of what the fault itself changed; the bar is 10 ms. Faults on
traffic change nothing outside the process that died. "all" is until the journal is gone: the pipeline's processes have
ended, too, and the run's folder is removed. A busy machine spoils both.
"""
import json
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

# What a fault needs besides its defaults; every other one runs with them.
PARAMETERS = {
    "data_corruption": {"corruption_rate": 0.3},
    "schema_drift": {"drift_type": "remove_column", "column_name": "tenure_months"},
    "wrong_version": {"fallback_model": "1"},
    "memory_pressure": {"memory_mb": 128},
}
# Further ways in which a fault is brought about, each of which puts back something else.
WAYS = [
    ("node_failure", {"failure_type": "hang"}), ("node_failure", {"failure_type": "hang", "mechanism": "stop"}),
    ("packet_loss", {"mechanism": "nft"}), ("packet_loss", {"mechanism": "iptables"}),
    ("network_partition", {"mechanism": "iptables"}), ("dns_failure", {"mechanism": "resolv_conf"}),
    ("cpu_throttle", {"mechanism": "duty"}), ("gpu_unavailable", {"mechanism": "cgroup_bpf"}),
    ("gpu_unavailable", {"mechanism": "cgroup_v1"}), ("disk_full", {"mechanism": "fuse"}),
    ("storage_bottleneck", {"mechanism": "syscalls"}),
]
DOCUMENT = """experiments:
  - {{name: x, layer: {layer}, fault_type: {fault}, duration: 60s, baseline: 500ms, parameters: {parameters}}}
"""  # JSON is YAML


OURS = 2  # the first notes of a run are its folder and its pipeline; what follows is the fault's


def fault_notes(journal):
    """Ids of the fault's notes, and of those that are undone."""
    noted = {int(i) for i in re.findall(rb'"type":"note","id":(\d+)', journal) if int(i) > OURS}
    undone = {int(i) for i in re.findall(rb'"type":"(?:undone|foreign|settled)","id":(\d+)', journal)}
    return noted, noted & undone


def crash(program, layer, fault, parameters):
    """Milliseconds until the fault is undone (None: it left nothing to undo), and until the journal is gone."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chaoseater-bench-"))
    plan = folder / "plan.yaml"
    plan.write_text(DOCUMENT.format(layer=layer, fault=fault, parameters=json.dumps(parameters)))
    env = dict(os.environ, CHAOSEATER_STATE_DIR=str(folder / "state"))
    run = subprocess.Popen([program, "run", plan], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    # Four seconds in, every fault has been seen and is live; what is live is what matters, not when it began.
    time.sleep(4)
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
    rounds = int(os.environ.get("ROUNDS", "5"))
    print(f"ms after SIGKILL, {rounds} rounds          fault: min   median      max     all: min   median      max")
    listed = json.loads(subprocess.run([program, "faults", "--json"], capture_output=True, check=True).stdout)
    layers = {fault["name"]: fault["layer"] for fault in listed if fault["available"]}
    ways = [(fault, PARAMETERS.get(fault, {})) for fault in layers] + [way for way in WAYS if way[0] in layers]
    for fault, parameters in ways:
        took = [crash(program, layers[fault], fault, parameters) for _ in range(rounds)]
        name = fault + "".join(f" {value}" for key, value in parameters.items() if key in ("mechanism", "failure_type"))
        print(f"{name:28}{figures([t[0] for t in took])}   {figures([t[1] for t in took])}", flush=True)


if __name__ == "__main__":
    main()
