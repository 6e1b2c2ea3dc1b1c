#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A history of 100,000 runs: how long each command takes, from exec to exit.

    bench/history.py [BUILD-FOLDER]        RUNS=100000 ROUNDS=7 by default

The bar is 100 ms for each listing and trend. One real run is varied: 50 experiments, each nightly for years, with scores
that change. The median of the rounds is printed, with the least and the greatest; a busy machine spoils them.
"""
import copy
import datetime
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

EXPERIMENTS, PIECE = 50, 5000
PLAN = """experiments:
  - {name: slow, layer: model, fault_type: slow_inference, duration: 500ms, baseline: 500ms, tags: [nightly]}
"""
FAULTS = [("data", "missing_data"), ("model", "slow_inference"), ("infrastructure", "disk_full"), ("model", "model_drift")]
COMMANDS = [
    ["list"],
    ["list", "--name", "experiment-07"],
    ["list", "--name", "*-1?"],
    ["list", "--layer", "infrastructure", "--status", "completed", "--verdict", "deviated"],
    ["list", "--fault", "model_drift", "--min-score", "40", "--max-score", "41"],
    ["list", "--tag", "rare"],
    ["list", "--since", "7d"],
    ["list", "--sort", "resilience_score:asc"],
    ["list", "--sort", "recovery_time"],
    ["list", "--sort", "p99_ms@fault"],
    ["list", "--sort", "baseline_accuracy:asc"],
    ["show", "last"],
    ["trends", "experiment-07"],
    ["trends", "experiment-07", "--days", "0"],
    ["compare", "experiment-07", "experiment-08"],
    ["summary"],
    ["summary", "--since", "30d"],
    ["query", "SELECT fault_type, avg(resilience_score) FROM runs GROUP BY fault_type"],
    ["export", "-o", "runs.csv"],
]


def varied(run, number, now):
    layer, fault = FAULTS[number % EXPERIMENTS % len(FAULTS)]
    name = f"experiment-{number % EXPERIMENTS:02}"
    started = now - datetime.timedelta(hours=number // EXPERIMENTS, seconds=number % EXPERIMENTS)
    score = max(0.0, min(100.0, random.gauss(80 if number < 40000 else 65, 8)))
    run = copy.deepcopy(run)
    run["id"] = f"{started:%Y%m%dT%H%M%S}-{number:08x}"
    run["experiment"].update(name=name, layer=layer, fault_type=fault, tags=["nightly"] + ["rare"] * (number % 5000 == 0))
    run["verdict"] = "passed" if score > 60 else "deviated"
    run["score"]["value"] = run["summary"]["resilience_score"] = score
    run["metrics"]["recovery_time"] = random.uniform(0, 5)
    run["metrics"]["latency_ms"]["fault"]["p99"] = random.uniform(10, 90)
    run["metrics"]["baseline_accuracy"] = random.uniform(0.8, 1)
    run["started_at"] = run["ended_at"] = f"{started:%Y-%m-%dT%H:%M:%S}.000Z"
    run["series"] = None  # what is listed or trended does not read them
    return run


def fill(chaoseater, folder, count):
    (folder / "plan.yaml").write_text(PLAN)
    done = chaoseater("run", "plan.yaml", "--json", "--db", "none")
    (run,) = json.loads(done.stdout)["runs"]
    now, seconds = datetime.datetime.now(datetime.timezone.utc), 0
    for first in range(0, count, PIECE):
        runs = [varied(run, number, now) for number in range(first, min(first + PIECE, count))]
        (folder / "piece.json").write_text(json.dumps({"seed": 7, "runs": runs}))
        start = time.perf_counter()
        chaoseater("history", "import", "piece.json")
        seconds += time.perf_counter() - start
    return seconds


def main():
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve() / "chaoseater"
    count, rounds = int(os.environ.get("RUNS", 100000)), int(os.environ.get("ROUNDS", 7))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chaoseater-bench-"))
    env = dict(os.environ, CHAOSEATER_STATE_DIR=str(folder / "state"))
    random.seed(7)

    def chaoseater(*arguments):
        return subprocess.run([program, *arguments], cwd=folder, env=env, check=True, capture_output=True, text=True)

    try:
        seconds = fill(chaoseater, folder, count)
        size = (folder / "state" / "history.db").stat().st_size
        print(f"{count} runs imported in {seconds:.1f} s ({count / seconds:.0f} a second), {size / 2**20:.0f} MiB")
        for command in COMMANDS:
            times = []
            for _ in range(rounds):
                start = time.perf_counter()
                chaoseater("history", *command, *(["--json"] if command[0] != "export" else []))
                times.append((time.perf_counter() - start) * 1000)
            print(f"{statistics.median(times):7.1f} ms ({min(times):.1f} to {max(times):.1f})  history {' '.join(command)}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
