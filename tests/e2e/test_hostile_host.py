# SPDX-License-Identifier: MIT
"""A host that works against a run: no room on the disk, a dataset that vanishes, a pipeline that is killed."""
import json
import os
import shlex
import signal
import subprocess

import pytest

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
              f"find {shlex.quote(str(lab.state))} -type f ! -name ballast >&2; exit $code")
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
    assert str(lab.state) not in result.stderr, "files are left"
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
