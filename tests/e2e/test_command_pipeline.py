# SPDX-License-Identifier: MIT
"""`pipeline: {kind: command}`: whole runs of a batch job; what is refused, and how; that nothing of it is left, however a
run ends; and what its namespaces keep from it and let through.

The job is written here, of nothing but Python's standard library.
"""
import contextlib
import json
import os
import random
import signal
import sys
import time

import pytest

from lab import LAYERS, Lab, lab_of, wait_for

# Two classes whose numbers lie apart: a nearest centre finds nearly all of them, and zeros lead it astray.
JOB = '''
import csv, json, os, sys, time
rows = list(csv.DictReader(open(os.environ["CHAOSEATER_DATASET"])))
def number(text):
    try:
        return float(text)
    except ValueError:
        return 0.0
training, test = [r for i, r in enumerate(rows) if i % 3], rows[::3]
centres = {}
for kind in sorted({r["kind"] for r in training}):
    of = [r for r in training if r["kind"] == kind]
    centres[kind] = [sum(number(r[c]) for r in of) / len(of) for c in ("a", "b")]
def guess(r):
    return min(centres, key=lambda k: sum((number(r[c]) - m) ** 2 for c, m in zip(("a", "b"), centres[k])))
right = sum(guess(r) == r["kind"] for r in test)
print("reading", len(rows), "rows")
print("all is well", file=sys.stderr)
print(json.dumps({"accuracy": right / len(test), "rows": len(rows), "eval": {"tests": len(test)}, "note": "x"}))
'''


def rows(count=240):
    generator = random.Random(1)
    lines = ["a,b,kind"]
    for i in range(count):
        middle = 10 if i % 2 else 14
        lines.append(f"{generator.gauss(middle, 1):.3f},{generator.gauss(middle, 1):.3f},{'xy'[i % 2]}")
    return "\n".join(lines) + "\n"


def experiment(fault, **parameters):
    return {"name": fault, "layer": LAYERS[fault], "fault_type": fault, "duration": "200ms", "parameters": parameters}


MISSING = experiment("missing_data", missing_rate=0.4)


def write(folder, pipeline, *experiments, job=JOB, name="plan.yaml"):
    (folder / "job.py").write_text(job)
    (folder / "data.csv").write_text(rows())
    pipeline = {"kind": "command", "command": [sys.executable, "job.py"], "dataset": "data.csv", "label": "kind",
                "accuracy": "accuracy", "timeout": "60s", **pipeline}
    pipeline = {key: value for key, value in pipeline.items() if value is not None}
    document = {"seed": 7, "pipeline": pipeline, "experiments": list(experiments or [MISSING])}
    (folder / name).write_text(json.dumps(document, indent=1))  # JSON is YAML
    return folder / name


def run_one(chaoseater, *args, code=0):
    done = chaoseater("run", *args, "--json", timeout=180)
    suite = json.loads(done.stdout)
    assert done.returncode == code, suite
    return suite["runs"][0]


# ---- whole runs


def test_data_faults_act_on_what_the_trials_read(chaoseater, tmp_path):
    path = write(tmp_path, {})
    before = (tmp_path / "data.csv").read_bytes()
    run = run_one(chaoseater, path)
    metrics = run["metrics"]
    assert run["verified"] and run["rollback"]["verified"] and run["verdict"] == "passed"
    assert run["verification"].endswith("differ in data.csv; the next trial reads that file")
    assert run["pipeline"]["kind"] == "command" and run["pipeline"]["command"].endswith("job.py")
    assert metrics["baseline_accuracy"] > 0.9 and metrics["accuracy_degradation"] > 0.1
    assert metrics["operations"]["baseline"] == 3 and metrics["operations"]["fault"] >= 3
    assert metrics["operations"]["rollback"] == 0 and metrics["operations"]["recovery"] >= 1
    assert metrics["error_count"] == 0 and metrics["pipeline_downtime"] == 0 and metrics["recovery_time"] is not None
    assert metrics["custom"] == {"rows": {"baseline": 240, "fault": 240, "recovery": 240},
                                 "eval.tests": {"baseline": 80, "fault": 80, "recovery": 80}}
    assert metrics["latency_ms"]["baseline"]["max"] > 5
    assert (tmp_path / "data.csv").read_bytes() == before


@pytest.mark.parametrize("fault", [name for name, layer in LAYERS.items() if layer == "data"])
def test_every_data_fault_acts_on_the_copy(chaoseater, tmp_path, fault):
    parameters = {"delay_ms": 300} if fault == "latency_injection" else {}
    run = run_one(chaoseater, write(tmp_path, {"trials": 1}, experiment(fault, **parameters)))
    assert run["verified"] and run["rollback"]["verified"], run
    assert (tmp_path / "data.csv").read_text() == rows()


def test_a_slow_dataset_lengthens_the_trials(chaoseater, tmp_path):
    run = run_one(chaoseater, write(tmp_path, {"trials": 1}, experiment("latency_injection", delay_ms=1500)))
    latency = run["metrics"]["latency_ms"]
    assert latency["fault"]["max"] > 1400 and latency["baseline"]["max"] < latency["fault"]["max"]


def test_a_throttled_processor_lengthens_the_trials(chaoseater, tmp_path):
    if "cpu_throttle" not in LAYERS:
        pytest.skip("there is no fault that takes processor time away")
    job = "import time\nx = 0\nwhile time.process_time() < 0.3:\n    x += 1\n"
    path = write(tmp_path, {"trials": 1, "accuracy": None, "dataset": None, "label": None},
                 experiment("cpu_throttle", throttle_percent=90), job=job)
    done = chaoseater("run", path, "--json", timeout=180)
    run = json.loads(done.stdout)["runs"][0]
    assert run["verified"], run
    assert run["metrics"]["latency_ms"]["fault"]["max"] > 1000


def test_a_share_of_the_trials_is_killed(chaoseater, tmp_path):
    path = write(tmp_path, {"trials": 6}, {**experiment("batch_processing_failure", failure_rate=0.5), "duration": "100ms"})
    run = run_one(chaoseater, path)
    fault = run["fault"]
    assert run["verified"] and "the command was ended by signal 9" in run["verification"]
    assert fault["eligible"] == run["metrics"]["operations"]["fault"] >= 6
    assert run["metrics"]["error_count"] == fault["changed"] == fault["selected"] > 0
    assert run["metrics"]["pipeline_downtime"] >= 0.1 * fault["changed"]
    if fault["eligible"] == 6:  # the same names are hit again
        again = run_one(chaoseater, path)
        assert again["metrics"]["operations"]["fault"] != 6 or again["fault"]["changed"] == fault["changed"]


def test_a_fault_that_was_not_there_measures_nothing(chaoseater, tmp_path, monkeypatch):
    monkeypatch.setitem(chaoseater.env, "CHAOSEATER_SEAM_NO_EFFECT", "1")
    for fault in (MISSING, experiment("batch_processing_failure", failure_rate=0.9)):
        run = run_one(chaoseater, write(tmp_path, {"trials": 1}, fault), code=4)
        assert run["verdict"] == "invalid" and run["metrics"]["operations"]["fault"] == 0
        assert run["score"]["value"] is None


def test_metrics_come_from_a_file_that_this_trial_has_written(chaoseater, tmp_path):
    job = JOB.replace("print(json.dumps(", 'print("no json")\nopen("out.json", "w").write(json.dumps(')
    path = write(tmp_path, {"metrics": "out.json", "trials": 1}, job=job)
    (tmp_path / "out.json").write_text('{"accuracy": 0.1, "old": 1}')
    os.utime(tmp_path / "out.json", (1, 1))
    run = run_one(chaoseater, path)
    assert run["metrics"]["baseline_accuracy"] > 0.9 and "old" not in run["metrics"]["custom"]
    assert run["metrics"]["custom"]["rows"]["fault"] == 240


def test_a_job_without_metrics_has_its_exit_code_and_its_time(chaoseater, tmp_path):
    path = write(tmp_path, {"accuracy": None, "command": "echo done"},
                 experiment("batch_processing_failure", failure_rate=1))
    run = run_one(chaoseater, path)
    assert run["metrics"]["baseline_accuracy"] is None and "custom" not in run["metrics"]
    assert run["metrics"]["error_count"] == run["metrics"]["operations"]["fault"] >= 3


def test_the_command_has_its_folder_and_environment(chaoseater, tmp_path):
    (tmp_path / "sub").mkdir()
    job = '''
import json, os
assert os.getcwd().endswith("/sub") and os.environ["WHAT"] == "a b"
assert open(os.environ["CHAOSEATER_DATASET"]).read(1) == "a"
print(json.dumps({"accuracy": 1}))
'''
    path = write(tmp_path, {"workdir": "sub", "env": ["WHAT=a b"], "command": f"{sys.executable} ../job.py", "trials": 1},
                 job=job)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = chaoseater("run", path, "--json", cwd=elsewhere)
    assert done.returncode == 0, done.stdout


# ---- namespaces


LOOK = '''
import json, os
inodes = {name: os.stat("/proc/self/ns/" + name).st_ino for name in ("net", "mnt", "pid")}
json.dump({"uid": os.getuid(), "pids": sum(name.isdigit() for name in os.listdir("/proc")), **inodes}, open("seen.json", "w"))
print('{"accuracy": 1}')
'''


def look(chaoseater, folder, **keys):
    run = run_one(chaoseater, write(folder, {"trials": 1, **keys}, job=LOOK))
    return run["isolation"], json.loads((folder / "seen.json").read_text())


def own(name):
    return os.stat("/proc/self/ns/" + name).st_ino


def test_a_job_has_mounts_and_pids_of_its_own(chaoseater, tmp_path):
    isolation, seen = look(chaoseater, tmp_path)
    if isolation.startswith("none"):
        pytest.skip(isolation)
    assert seen["uid"] == os.getuid() and seen["net"] == own("net") and seen["mnt"] != own("mnt")
    if "pid" in isolation:
        assert seen["pid"] != own("pid") and seen["pids"] < 10


def test_a_job_without_isolation_is_a_plain_process(chaoseater, tmp_path):
    isolation, seen = look(chaoseater, tmp_path, isolation="none")
    assert isolation.startswith("none") and [seen[name] for name in ("net", "mnt", "pid")] == [
        own("net"), own("mnt"), own("pid")]


def test_a_private_network_is_the_jobs_alone(chaoseater, tmp_path):
    isolation, seen = look(chaoseater, tmp_path, network="private")
    assert "network" in isolation and seen["net"] != own("net")


def test_an_ordinary_user_has_all_of_it():
    with lab_of("ordinary_user") as lab:
        path = write(lab.folder, {"trials": 1, "network": "private"}, MISSING,
                     experiment("batch_processing_failure", failure_rate=0.9), job=JOB)
        _, suite = lab.run_json("run", path, timeout=180)
        first, second = suite["runs"]
        assert first["verified"] and first["metrics"]["accuracy_degradation"] > 0.1, first
        assert second["verified"] and second["metrics"]["error_count"] > 0, second
        assert "user" in first["isolation"]


# ---- what goes wrong


# {name: (keys, job, what is said, exit code)}
TROUBLE = {
    "exit_code": ({}, "import sys\nsys.exit('no luck')", "a trial failed; the command ended with exit code 1; its last words: 'no luck'", 6),
    "silent": ({}, "raise SystemExit(3)", "a trial failed; the command ended with exit code 3 without a word", 6),
    "timeout": ({"timeout": "300ms"}, "import time\ntime.sleep(1000)", "a trial failed; the command took longer than timeout, 0.3 s, and was killed", 6),
    "no_program": ({"command": ["no-such-program", "x"]}, "", "a trial failed; the command ended with exit code 127; its last words: ", 6),
    "no_metrics": ({}, "", "a trial failed; the trial reported no metrics: its stdout is empty", 6),
    "not_json": ({}, "print('accuracy: 1')", "a trial failed; the last line of its stdout is not valid JSON: ", 6),
    "no_object": ({}, "print('[1]')", "a trial failed; the last line of its stdout is no JSON object such as ", 6),
    "unknown_metric": ({"accuracy": "acuracy"}, "print('{\"accuracy\": 1, \"f1\": 2}')", "a trial failed; accuracy: among its metrics is no number 'acuracy'; they are: accuracy, f1", 6),
    "percent": ({}, "print('{\"accuracy\": 93}')", "a trial failed; accuracy: 'accuracy' is 93, and a share of what is right is at most 1", 6),
    "no_file": ({"metrics": "no.json"}, "", "a trial failed; the trial left no metrics: cannot read '", 6),
    "old_file": ({"metrics": "data.csv"}, "", "a trial failed; the trial left no metrics: '", 6),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_a_job_that_fails_is_no_baseline(chaoseater, tmp_path, name):
    keys, job, sentence, code = TROUBLE[name]
    path = write(tmp_path, keys, job='open("runs", "a").write("x")\n' + job)
    os.utime(tmp_path / "data.csv", (1, 1))
    run = run_one(chaoseater, path, code=code)
    assert run["status"] == "skipped" and run["reason"] == "baseline"
    assert sentence in run["detail"] and "\n" not in run["detail"], run["detail"]
    if name != "no_program":
        assert (tmp_path / "runs").read_text() == "x"  # it is not tried again


# {name: (keys, experiment, what is said)}: the run has begun, and the fault cannot act.
LACKS = {
    "serve": ({}, experiment("missing_data", stage="serve"), "answers no requests, so missing_data acts on its dataset only: leave out `stage: serve`"),
    "no_dataset": ({"dataset": None, "label": None}, MISSING, "has no dataset that missing_data could act on: pipeline.dataset names one"),
    "model": ({}, experiment("slow_inference"), "answers no requests: slow_inference acts on pipelines of kind embedded and http"),
    "leak": ({}, experiment("memory_leak"), "has no process that goes on for memory_leak to act in"),
    "batch_mode": ({}, experiment("batch_processing_failure", mode="hang"), "is run as trials, which are killed: min_rows, mode and the filters are for requests"),
}


@pytest.mark.parametrize("name", LACKS)
def test_a_fault_that_cannot_act_says_what_is_lacking(chaoseater, tmp_path, name):
    keys, fault, sentence = LACKS[name]
    run = run_one(chaoseater, write(tmp_path, {"trials": 1, **keys}, fault), code=4)
    assert run["status"] == "failed" and sentence in run["reason"], run["reason"]


# {name: (keys, key that the place is of, what is said)}: exit 2 before anything runs.
DOCUMENTS = {
    "no_command": ({"command": None}, None, "the key 'command' of pipeline is missing: kind command needs it (command)"),
    "empty": ({"command": []}, "command", "command: is empty, and it is what is put under test"),
    "rate": ({"rate": 5}, "rate", "rate: belongs to kind embedded or http, and this pipeline is of kind command"),
    "url": ({"url": "http://a"}, "url", "url: belongs to kind http, and this pipeline is of kind command"),
    "env": ({"env": ["A"]}, "env", "env: 'A' is not of the form NAME=value"),
    "trials": ({"trials": 0}, "trials", "trials: 0 is outside 1..1000"),
    "label": ({"dataset": None}, "label", "label: makes sense only with the key 'dataset'"),
    "network": ({"network": "private", "isolation": "none"}, "network", "network: private is a namespace, and isolation: none allows for none"),
    "isolation": ({"isolation": "docker"}, "isolation", "isolation: 'docker' is not one of auto, namespaces, none"),
}
FILES = {
    "dataset": ({"dataset": "no.csv"}, "dataset", "dataset: cannot read '"),
    "dataset_folder": ({"dataset": "."}, "dataset", "dataset: '"),
    "label_column": ({"label": "species"}, "label", "label: '"),
    "workdir": ({"workdir": "nowhere"}, "workdir", "workdir: cannot go to '"),
    "workdir_file": ({"workdir": "data.csv"}, "workdir", "workdir: '"),
}


def place(path, key):
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith(f'  "{key}": '):
            return f"{path}:{number}:{len(key) + 7}: "
    number = lines.index(' "pipeline": {') + 1
    return f"{path}:{number}:{lines[number - 1].index('{') + 1}: "


@pytest.mark.parametrize("name", DOCUMENTS | FILES)
def test_a_bad_document_is_refused_with_its_place(chaoseater, tmp_path, name):
    keys, key, sentence = (DOCUMENTS | FILES)[name]
    path = write(tmp_path, keys)
    for command in ("validate", "run")[name in FILES:]:
        done = chaoseater(command, path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"chaoseater: {place(path, key)}{sentence}"), done.stderr
        assert done.stderr.count("\n") == 1


# ---- ends


# It says when it runs, and starts others that want to outlive it.
STUBBORN = '''
import os, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["setsid", "sleep", "1000"])
open("runs", "a").write("x")
slow = os.environ.get("SLOW_FROM")
if slow and os.path.getsize("runs") >= int(slow):
    time.sleep(1000)
print('{"accuracy": 1}')
'''


def runs_of(lab):
    with contextlib.suppress(OSError):
        return (lab.folder / "runs").stat().st_size
    return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("at", [1, 2, 3], ids=["baseline", "fault", "recovery"])
def test_a_signal_ends_a_long_trial_at_once(at, number):
    with Lab() as lab:
        path = write(lab.folder, {"trials": 1, "env": [f"SLOW_FROM={at}"], "timeout": "10m"},
                     {**MISSING, "duration": "10ms"}, job=STUBBORN)
        process = lab.start("run", path, "--json")
        wait_for(lambda: runs_of(lab) >= at, "the trial that takes long")
        begun = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - begun < 30  # the trial would have taken 1000 s
        assert process.returncode == 128 + number, err
        run = json.loads(out)["runs"][0]
        assert run["status"] == "interrupted" and run["metrics"]["error_count"] in (None, 0)
        assert not lab.leftovers()


def test_killed_at_every_step_leaves_nothing():
    def plan(lab):
        return write(lab.folder, {"trials": 1}, {**MISSING, "duration": "10ms"}, job=STUBBORN)

    with Lab() as lab:
        count = lab.folder / "steps"
        assert lab.run("run", plan(lab), CHAOSEATER_SEAM_COUNT=count).returncode in (0, 1)
        assert not lab.leftovers()
        steps = [line.split(" ", 1)[1] for line in count.read_text().splitlines()]
    noted = next(i for i, what in enumerate(steps) if what.startswith("journal: note")) + 1
    for step in range(1, len(steps) + 1):
        for everyone in (False, True):
            with Lab() as lab:
                guarded = step >= noted and not everyone
                result = lab.run("run", plan(lab), CHAOSEATER_SEAM_CRASH=f"{step}{'' if guarded else ':all'}")
                assert result.returncode == -signal.SIGKILL, (step, result.returncode)
                if not guarded:
                    assert lab.run("recover").returncode == 0, steps[step - 1]
                lab.clean_soon()


@pytest.mark.parametrize("isolation", ["auto", "none"])
def test_nothing_outlives_a_run_killed_in_a_trial(isolation):
    with Lab() as lab:
        path = write(lab.folder, {"trials": 1, "isolation": isolation, "env": ["SLOW_FROM=1"]}, job=STUBBORN)
        process = lab.start("run", path)
        wait_for(lambda: runs_of(lab) >= 1, "the trial")
        process.kill()
        process.communicate()
        lab.clean_soon()


def test_a_node_that_is_killed_comes_back(chaoseater, tmp_path):
    path = write(tmp_path, {"trials": 2}, {**experiment("node_failure", failure_type="crash"), "duration": "300ms"})
    done = chaoseater("run", path, "--json", timeout=180)
    run = json.loads(done.stdout)["runs"][0]
    assert run["verified"] and run["rollback"]["verified"] and run["verdict"] == "passed", run
    assert run["metrics"]["error_count"] == run["metrics"]["operations"]["fault"] >= 2
