# SPDX-License-Identifier: MIT
"""Suites: which experiments run, in which order, beside which others, after which; what an interruption leaves to do."""
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest

from lab import Lab, wait_for

QUICK = {"slow_inference": ("model", {"latency_ms": 60, "variance": 0}),
         "missing_data": ("data", {"missing_rate": 0.3}),
         "node_failure": ("infrastructure", {"failure_type": "hang"}),
         "model_unavailable": ("model", {"failure_rate": 0.5})}


def experiment(name, fault="slow_inference", **more):
    layer, parameters = QUICK[fault]
    return {"name": name, "layer": layer, "fault_type": fault, "duration": "300ms", "baseline": "300ms",
            "parameters": parameters, **more}


def plan(lab, *experiments, **document):
    path = lab.folder / "suite.yaml"
    path.write_text(json.dumps({"seed": 7, "pipeline": {"rate": 50, "rows": 300}, "experiments": experiments, **document}))
    return path


def names(suite):
    return [run["experiment"]["name"] for run in suite["runs"]]


def endings(suite):
    return {run["experiment"]["name"]: (run["status"], run["verdict"]) for run in suite["runs"]}


def deviating(name, **more):
    """Every request fails, and the hypothesis minds."""
    fails = {"probe": "workload", "metric": "error_ratio", "expect": {"max": 0.1}, "mode": "on_chaos", "interval": "50ms"}
    return experiment(name, "model_unavailable", steady_state=[fails],
                      **{**more, "parameters": {"failure_rate": 1}, "duration": "1s"})


# ---- which ----

@pytest.mark.parametrize("options, expected", [
    (["--only", "tag:nightly"], ["a", "c"]),
    (["--only", "layer:data"], ["b"]),
    (["--only", "layer:infra"], ["c"]),
    (["--skip", "a"], ["b", "c"]),
    (["--only", "tag:nightly", "--skip", "layer:model"], ["c"]),
    (["--only", "a", "--only", "b"], ["a", "b"]),
])
def test_selectors(options, expected):
    with Lab() as lab:
        path = plan(lab, experiment("a", tags=["nightly"]), experiment("b", "missing_data"),
                    experiment("c", "node_failure", tags="nightly"))
        code, suite = lab.run_json("run", path, "--dry-run", *options)
        assert (code, names(suite)) == (0, expected)
        tags = {"a": ["nightly"], "b": [], "c": ["nightly"]}
        assert all(run["experiment"]["tags"] == tags[run["experiment"]["name"]] for run in suite["runs"])


@pytest.mark.parametrize("options, sentence", [
    (["--only", "tag:nightly"], "--only: no experiment has the tag 'nightly'; did you mean 'nightl'? (there are: nightl)"),
    (["--skip", "layer:dat"], "--skip: no experiment is of the layer 'dat'; did you mean 'data'?"),
    (["--skip", "layer:model"], "--skip: no experiment is left to run"),
])
def test_a_selector_that_means_nothing_is_refused(options, sentence):
    with Lab() as lab:
        result = lab.run("run", plan(lab, experiment("a", tags=["nightl"])), *options)
        assert result.returncode == 2
        assert sentence in result.stderr


@pytest.mark.parametrize("command", ["run", "gate", "schedule"])
@pytest.mark.parametrize("count", [0, 65, 1000])
def test_as_many_at_once_as_the_document_may_say(command, count):
    with Lab() as lab:
        result = lab.run(command, plan(lab, experiment("a"), schedule="@daily"), "--parallel", count)
        assert (result.returncode, result.stderr) == (2, f"chaoseater: --parallel: '{count}' is not a whole number from 1 to 64\n")


def test_a_random_order_is_the_seeds():
    with Lab() as lab:
        path = plan(lab, *[experiment(f"e{i}") for i in range(12)], order="random")
        orders = [names(lab.run_json("run", path, "--dry-run", "--seed", seed)[1]) for seed in (1, 1, 2)]
        assert orders[0] == orders[1] != orders[2]
        assert sorted(orders[0]) == sorted(orders[2]) == sorted(f"e{i}" for i in range(12))


# ---- after which ----

def test_what_depends_on_a_failure_is_not_started_and_the_rest_is():
    with Lab() as lab:
        path = plan(lab, experiment("last", depends_on=["worst"]), deviating("worst"), experiment("other"))
        code, suite = lab.run_json("run", path)
        assert names(suite) == ["last", "worst", "other"]
        assert endings(suite) == {"worst": ("completed", "deviated"), "last": ("skipped", "inconclusive"),
                                  "other": ("completed", "passed")}
        assert suite["runs"][0]["detail"] == "not started: it depends on 'worst', which did not pass"
        assert code == 4


def test_fail_fast_ends_the_suite():
    with Lab() as lab:
        path = plan(lab, deviating("worst"), experiment("other"), experiment("another"))
        suite = lab.run_json("run", path, "--fail-fast")[1]
        assert [ending[0] for ending in endings(suite).values()] == ["completed", "skipped", "skipped"]
        assert suite["runs"][2]["detail"] == "not started: 'worst' did not pass, and the suite was to fail fast"
        assert [ending[0] for ending in endings(lab.run_json("run", path)[1]).values()] == ["completed"] * 3


@pytest.mark.parametrize("needs, sentence", [
    ({"a": ["c"], "b": ["a"], "c": ["b"]}, "goes round in a circle: a -> c -> b -> a"),
    ({"b": "b"}, "goes round in a circle: b -> b"),
    ({"c": ["bb"]}, "depends_on: no experiment is called 'bb'; did you mean 'b'?"),
])
def test_dependencies_that_cannot_be_met_are_refused(needs, sentence):
    with Lab() as lab:
        path = plan(lab, *[experiment(name, **({"depends_on": needs[name]} if name in needs else {})) for name in "abc"])
        result = lab.run("validate", path)
        assert result.returncode == 2
        assert sentence in result.stderr
        assert "suite.yaml:1:" in result.stderr


# ---- beside which ----

def spans(suite):
    return {run["experiment"]["name"]: (run["started_at"], run["ended_at"]) for run in suite["runs"]}


def overlap(a, b):
    return a[0] < b[1] and b[0] < a[1]


def test_experiments_of_their_own_run_beside_each_other():
    with Lab() as lab:
        path = plan(lab, *[experiment(name, duration="1s") for name in "abcd"], parallel=4)
        code, suite = lab.run_json("run", path)
        assert code == 0
        assert names(suite) == list("abcd")
        at = spans(suite)
        assert all(overlap(at[x], at[y]) for x in "abcd" for y in "abcd")
        assert not lab.leftovers()


def test_one_by_one_and_beside_each_other_come_to_the_same():
    with Lab() as lab:
        path = plan(lab, experiment("a"), experiment("b", "missing_data"), experiment("c", "model_unavailable"),
                    experiment("d", "node_failure"))
        one = lab.run_json("run", path)[1]
        four = lab.run_json("run", path, "--parallel", 4)[1]
        assert endings(one) == endings(four)
        assert names(one) == names(four)
        for x, y in zip(one["runs"], four["runs"]):
            assert x["fault"]["selected"] == y["fault"]["selected"]
            assert x["recipe"] == y["recipe"]
            # A failed request costs the same wherever it runs; a slot of downtime may go either way.
            assert abs(x["score"]["value"] - y["score"]["value"]) <= 10


@contextlib.contextmanager
def sleeper():
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_experiments_on_one_target_wait_for_each_other():
    with Lab() as lab, sleeper() as process:
        target = {"pid": process.pid}
        path = plan(lab, *[experiment(name, "node_failure", target=target, duration="500ms") for name in "ab"],
                    experiment("c", duration="2s"), parallel=3)
        code, suite = lab.run_json("run", path)
        at = spans(suite)
        assert code == 0, suite
        assert not overlap(at["a"], at["b"])
        assert overlap(at["a"], at["c"])


def test_one_that_crashes_takes_nothing_along():
    with Lab() as lab:
        path = plan(lab, experiment("a", duration="60s"), experiment("b", duration="2s"), parallel=2)
        process = lab.start("run", path, "--json")
        run_of_a = wait_for(lambda: controller_of(lab, process.pid), "the run")
        os.kill(run_of_a, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
        suite = json.loads(out)
        ended = endings(suite)
        assert sorted(status for status, _ in ended.values()) == ["completed", "failed"], (ended, err)
        failed = next(run for run in suite["runs"] if run["status"] == "failed")
        assert "signal 9; what it had changed is put back" in failed["reason"]
        assert process.returncode == 4
        lab.clean_soon()


def controller_of(lab, suite):
    """A process that runs an experiment for that suite: a child of it, with children of its own."""
    parents = {}
    for pid in lab.processes():
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                parents[pid] = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
    busy = set(parents.values())
    return next((pid for pid, parent in sorted(parents.items()) if parent == suite and pid in busy), None)


def test_the_end_of_a_suite_is_the_end_of_its_runs():
    with Lab() as lab:
        path = plan(lab, *[experiment(name, duration="60s") for name in "abc"], parallel=3)
        process = lab.start("run", path, "--json")
        # Before it has a guard, a run that is killed leaves an empty journal.
        wait_for(lambda: len({note["run"] for note in json.loads(lab.run("status", "--json").stdout)["live"]}) == 3, "the runs")
        process.kill()
        process.communicate()
        lab.clean_soon()


# ---- interruptions ----

def interrupt_after(lab, process, ended, how):
    """Sends the signal once so many runs have been kept."""
    def kept():
        return [line for file in lab.state.glob("suite-*.jsonl") for line in file.read_text().splitlines()]
    wait_for(lambda: len(kept()) > ended, f"{ended} runs to end", 60)
    process.send_signal(how)
    return process.communicate(timeout=60)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("parallel", [1, 2])
def test_an_interrupted_suite_goes_on_where_it_was(how, parallel):
    with Lab() as lab:
        path = plan(lab, *[experiment(f"e{i}") for i in range(5)], seed=None)
        process = lab.start("run", path, "--parallel", parallel, "--json")
        interrupt_after(lab, process, 2, how)
        # Killed before it has a guard, a run leaves an empty journal, which the next one removes.
        wait_for(lambda: not lab.processes(), "the end of all")
        resumed = lab.run("run", path, "--resume", "--json")
        suite = json.loads(resumed.stdout)
        assert resumed.returncode == 0
        assert re.search(r"^chaoseater: --resume: [2-4] runs had ended before, the rest was run$", resumed.stderr, re.M)
        assert names(suite) == [f"e{i}" for i in range(5)]
        starts = sorted(run["started_at"] for run in suite["runs"])
        assert len({run["recipe"]["seed"] for run in suite["runs"]}) == 1, "the seed of the interrupted suite"
        assert not lab.leftovers()
        again = lab.run("run", path, "--resume", "--json")
        assert "--resume: no interrupted suite of this document, all of it was run" in again.stderr
        assert min(run["started_at"] for run in json.loads(again.stdout)["runs"]) > starts[-1], "nothing is kept of a suite that has ended"


def old_kept(lab, count, days, word):
    """Files of that many suites that were never resumed, each a second older than the one before."""
    files = []
    for i in range(count):
        file = lab.state / f"suite-{word}{i:012}.jsonl"
        file.write_text('{"seed": 1}\n')
        at = time.time() - days * 86400 - i - 1
        os.utime(file, (at, at))
        files.append(file)
    return files


def test_what_nobody_resumed_goes_with_time():
    with Lab() as lab:
        path = plan(lab, experiment("a", duration="60s"), experiment("b"))
        lab.state.mkdir(exist_ok=True)
        old, new = old_kept(lab, 3, 30, "0abc"), old_kept(lab, 40, 0, "1abc")
        other, folder = lab.state / "suite-notes.txt", lab.state / "suite-folder.jsonl"
        other.write_text("mine")
        folder.mkdir()
        for file in (other, folder):
            os.utime(file, (1, 1))
        process = lab.start("run", path, "--events", "-")
        wait_for(lambda: '"run_started"' in process.stdout.readline(), "the run")
        mine = [file for file in lab.state.glob("suite-*.jsonl") if file not in (*old, *new, folder)]
        assert len(mine) == 1 and not any(file.exists() for file in old)
        assert [file.exists() for file in new] == [True] * 31 + [False] * 9  # the 32nd is that of this suite
        assert other.exists() and folder.exists()
        # Of a suite that goes on, nothing goes, however old it looks.
        os.utime(mine[0], (1, 1))
        assert lab.run("run", plan(lab, experiment("c", "missing_data", repeat=2))).returncode == 0
        assert mine[0].exists()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert mine[0].exists(), "it may be resumed"
        os.utime(mine[0], (1, 1))
        assert lab.run("run", plan(lab, experiment("c", "missing_data", repeat=2))).returncode == 0
        assert not mine[0].exists()


def test_the_lever_ends_a_suite_and_refuses_the_next():
    with Lab() as lab:
        path = plan(lab, experiment("a", duration="60s"), experiment("b"))
        process = lab.start("run", path, "--json")
        wait_for(lambda: json.loads(lab.run("status", "--json").stdout)["live"], "something live")
        assert lab.run("stop").returncode == 0
        out, err = process.communicate(timeout=30)
        assert process.returncode == 3, err
        assert [status for status, _ in endings(json.loads(out)).values()] == ["aborted", "aborted"]
        assert "stop --release" in lab.run("status").stdout
        refused = lab.run("run", path)
        assert refused.returncode == 3
        assert "stop --release" in refused.stderr
        assert lab.run("stop", "--release").returncode == 0
        code, suite = lab.run_json("run", path, "--set", "duration=300ms")
        assert code == 0
        assert not lab.leftovers()


# ---- whatever happens ----

@pytest.mark.parametrize("seed", range(6))
def test_every_experiment_is_reported_once_and_nothing_is_left(seed):
    """Random suites with failures, crashes and signals."""
    rng = random.Random(seed)
    with Lab() as lab:
        experiments = []
        for i in range(rng.randint(2, 6)):
            earlier = [e["name"] for e in experiments]
            more = {"depends_on": rng.sample(earlier, 1)} if earlier and rng.random() < 0.3 else {}
            make = deviating if rng.random() < 0.2 else lambda name, **m: experiment(name, rng.choice(list(QUICK)), **m)
            experiments.append(make(f"e{i}", **more))
        path = plan(lab, *experiments, parallel=rng.randint(1, 3), fail_fast=rng.random() < 0.2,
                    order=rng.choice(["document", "random"]))
        process = lab.start("run", path, "--json")
        what = rng.choice(["nothing", "signal", "crash"])
        if what != "nothing":
            for _ in range(rng.randint(1, 3)):
                victim = wait_for(lambda: process.poll() is not None or controller_of(lab, process.pid) or
                                  json.loads(lab.run("status", "--json").stdout)["live"], "a run")
            if what == "signal" and process.poll() is None:
                process.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM]))
            elif what == "crash" and not isinstance(victim, (bool, list)):
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        out, err = process.communicate(timeout=120)
        suite = json.loads(out)
        assert sorted(names(suite)) == sorted(e["name"] for e in experiments), err
        assert process.returncode in (0, 1, 4, 130, 143), err
        lab.clean_soon()
