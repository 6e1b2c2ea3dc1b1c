# SPDX-License-Identifier: MIT
"""A host that works against a run: no room on the disk, no descriptors, a dataset that vanishes, a pipeline that is
killed, a controller that is stopped, a folder that cannot be removed, a machine that has been up for a month."""
import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from fingerprint import unchanged
from lab import Lab, wait_for


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


# ---- no room


def run_on_a_small_disk(lab, size, fill):
    """Runs with the state folder on a filesystem of its own, in a mount namespace of this test's own."""
    lab.state.mkdir()
    plan = lab.document("data_corruption")
    script = (f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(lab.state))} && "
              f"(dd if=/dev/zero of={shlex.quote(str(lab.state))}/ballast bs=1k count={fill} 2>/dev/null || true) && "
              f"{shlex.quote(str(lab.program))} run {shlex.quote(str(plan))}; code=$?; "
              f"find {shlex.quote(str(lab.state))} -type f ! -name ballast ! -name 'history.db*' -printf 'left: %p\\n' >&2; exit $code")
    probe = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", lab.state], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"no mount namespace for this user: {probe.stderr.strip()}")
    return subprocess.run(["unshare", "-Urm", "sh", "-c", script], env=lab.env, cwd=lab.folder, capture_output=True,
                          text=True, timeout=60)


def test_a_full_disk_ends_before_anything_is_touched(lab):
    result = run_on_a_small_disk(lab, "64k", fill=64)
    assert result.returncode == 4, result.stderr
    assert "No space left on device" in result.stdout + result.stderr
    assert not lab.processes()


def test_a_disk_that_fills_up_on_the_way_leaves_nothing(lab):
    result = run_on_a_small_disk(lab, "64k", fill=16)
    assert result.returncode == 4, result.stderr
    assert "No space left on device" in result.stdout
    assert "left: " not in result.stderr
    assert not lab.processes()


# ---- a dataset that vanishes


def test_a_dataset_that_vanishes_before_the_fault_is_a_failed_run(lab):
    process = lab.start("run", lab.document("data_corruption", baseline="1500ms", duration="1s"), "--json")
    dataset = wait_for(lambda: next((lab.state / "run").glob("*/dataset.csv"), None), "the dataset")
    wait_for(lambda: next((lab.state / "run").glob("*/models/*"), None), "the first model")
    dataset.unlink()
    out, err = process.communicate(timeout=60)
    run = json.loads(out)["runs"][0]
    assert process.returncode == 4, err
    assert run["status"] == "failed" and "dataset.csv" in run["reason"], run
    assert run["score"]["value"] is None
    assert not lab.leftovers()


def test_a_dataset_that_vanishes_under_the_fault_is_put_back(lab):
    process = lab.start("run", lab.document("data_corruption", duration="2s"), "--json")
    dataset = wait_for(lambda: next((lab.state / "run").glob("*/dataset.csv"), None), "the dataset")
    first = wait_for(lambda: dataset.exists() and dataset.stat().st_ino, "the dataset")
    wait_for(lambda: dataset.stat().st_ino != first, "the faulted dataset")
    dataset.unlink()
    out, err = process.communicate(timeout=60)
    run = json.loads(out)["runs"][0]
    assert run["rollback"]["verified"] is True, run
    assert run["status"] == "completed"
    assert not lab.leftovers()


# ---- a pipeline that dies


def test_a_pipeline_killed_from_outside_never_passes(lab):
    process = lab.start("run", lab.document("slow_inference", duration="3s", recovery_timeout="2s"), "--json")

    def pipeline():
        return [pid for pid, command in lab.processes().items() if "chaoseater-pipeline" in command]

    wait_for(lambda: len(pipeline()) >= 4, "the pipeline's processes")
    for pid in pipeline():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    out, err = process.communicate(timeout=60)
    run = json.loads(out)["runs"][0]
    assert run["verdict"] != "passed", run
    assert process.returncode != 0
    assert not lab.leftovers()


# ---- no descriptors


@pytest.mark.parametrize("limit", [40, 41, 42])
def test_a_hang_that_takes_every_descriptor_is_undone(lab, limit):
    """Every request that waits for the hanging server holds connections: none is left to undo with."""
    plan = lab.document("node_failure", parameters={"failure_type": "hang"}, recovery_timeout="1s")
    with unchanged():
        result = subprocess.run(["sh", "-c", f"ulimit -n {limit} && exec \"$0\" run \"$1\" --json", lab.program, plan],
                                env=lab.env, capture_output=True, text=True, timeout=60)
    run = json.loads(result.stdout)["runs"][0]
    assert run["status"] == "completed" and run["rollback"]["verified"] is True, run
    assert not lab.leftovers()


# ---- a controller that is stopped


@pytest.mark.parametrize("fault", ["data_corruption", "node_failure"])
def test_a_controller_stopped_beyond_its_time_finds_its_run_undone(lab, fault):
    hang = {"failure_type": "hang", "mechanism": "stop"}
    plan = lab.document(fault, parameters=hang if fault == "node_failure" else None, duration="2s",
                        recovery_timeout="500ms")
    document = json.loads(plan.read_text())
    document["pipeline"]["timeout"] = "200ms"
    plan.write_text(json.dumps(document))
    process = lab.start("run", plan, "--json", CHAOSEATER_SEAM_HURRY=1)

    def processes(word):
        return [pid for pid, command in lab.processes().items() if word in command]

    if fault == "node_failure":
        wait_for(lambda: any(lab.process_state(pid) == "T" for pid in processes("server")), "the fault")
    else:
        dataset = wait_for(lambda: next((lab.state / "run").glob("*/dataset.csv"), None), "the dataset")
        first = wait_for(lambda: dataset.exists() and dataset.stat().st_ino, "the dataset")
        wait_for(lambda: dataset.stat().st_ino != first, "the fault")
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: not processes("keeper") and not list((lab.state / "run").iterdir()), "the guard")
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    run = json.loads(out)["runs"][0]
    assert process.returncode == 4, err
    assert run["status"] == "failed" and "guard" in run["reason"], run
    assert run["score"]["value"] is None
    assert not lab.leftovers()


# ---- a folder that cannot be removed


def test_nothing_more_is_injected_after_a_run_that_could_not_be_undone(lab):
    """Something is mounted in the run's folder, in a mount namespace of this test's own: the folder cannot be removed."""
    plan = lab.document("slow_inference", repeat=3)
    script = (f"{shlex.quote(str(lab.program))} run {shlex.quote(str(plan))} --json & "
              "until set -- state/run/*/models && [ -d \"$1\" ]; do :; done; "
              "mkdir \"$1/pinned\" && mount -t tmpfs tmpfs \"$1/pinned\" && wait $!")
    probe = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", lab.folder], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"no mount namespace for this user: {probe.stderr.strip()}")
    result = subprocess.run(["unshare", "-Urm", "sh", "-c", script], env=lab.env, cwd=lab.folder, capture_output=True,
                            text=True, timeout=60)
    assert result.returncode == 5, result.stderr
    assert [run["status"] for run in json.loads(result.stdout)["runs"]] == ["dirty", "skipped", "skipped"]
    assert lab.run("recover").returncode == 0
    assert not lab.leftovers()


# ---- a machine that has been up for a month


def test_a_long_uptime_costs_no_memory(lab):
    """An injection that fails is measured, too: from when it was tried, not from when the machine was started."""
    month = ["unshare", "-rT", "--fork", "--monotonic", str(30 * 24 * 3600)]
    probe = subprocess.run([*month, "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"no time namespace for this user: {probe.stderr.strip()}")
    plan = lab.document("memory_pressure", parameters={"memory_mb": 64, "floor_mb": 16777216})
    # Started by a small program: a process begins with the peak of whoever started it.
    starter = ("import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
               "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run([sys.executable, "-c", starter, *month, lab.program, "run", plan], env=lab.env,
                          capture_output=True, text=True)
    code, kibibytes = map(int, done.stdout.split())
    assert code == 4, done.stderr
    assert kibibytes < 400 * 1024
