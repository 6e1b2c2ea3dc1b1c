# SPDX-License-Identifier: MIT
"""storage_bottleneck and disk_full by way of system calls that are answered: whole runs of the embedded pipeline, of a model
server and of a batch job that ChaosEater starts, as root where the tests are root's, and as an ordinary user; and what is left
when the controller, the guard or the process that answers is killed.
"""
import json
import os
import re
import signal
import struct
import sys

import pytest

from lab import LAYERS, USERS, comm, wait_for
from ports import free_port
from test_http_pipeline import IRIS, SERVER
from test_infra_storage import lab_with_fuse

CASES = {
    "slow": ("storage_bottleneck", {"iops_limit": 40}, r"by syscalls: ([\d.]+) per second \(limit 40.0,"),
    "late": ("storage_bottleneck", {"iops_limit": 0, "latency_ms": 20}, r"median [\d.]+ ms \(asked 20.00\)"),
    "failing": ("storage_bottleneck", {"iops_limit": 0, "error_rate": 1, "errno": "EIO", "operations": "write"},
                r"did (\d+) writes of 4 KiB by syscalls: \1 failed with EIO"),
    "full": ("disk_full", {}, r"8 of 8 writes of a witness in the target's folder failed with ENOSPC"),
}


@pytest.fixture(params=USERS)
def lab(request):
    with lab_with_fuse(request.param) as lab:
        answers = lab.run("doctor").stdout
        if "syscalls: system calls can be answered" not in " ".join(answers.split()):
            pytest.skip("system calls cannot be answered here")
        yield lab


def run(lab, path, code=(0, 1), **environment):
    got, suite = lab.run_json("run", path, **environment)
    assert got in code, suite
    return suite["runs"][0]


def check(done, says):
    assert done["status"] == "completed" and done["verified"], done
    assert re.search(says, done["verification"]), done["verification"]
    assert done["rollback"]["verified"]
    assert done["fault"]["eligible"] >= done["fault"]["changed"] > 0


# ---- the embedded pipeline


@pytest.mark.parametrize("profile", ["naive", "hardened"])
@pytest.mark.parametrize("case", CASES)
def test_the_embedded_pipeline_is_hit(lab, case, profile):
    fault, parameters, says = CASES[case]
    path = lab.document(fault, parameters={**parameters, "mechanism": "syscalls"}, profile=profile, duration="1500ms",
                        baseline="1s")
    done = run(lab, path)
    check(done, says)
    if case in ("failing", "full"):
        assert (done["metrics"]["error_count"] > 0) == (profile == "naive")


def test_auto_comes_to_it_last(lab):
    done = run(lab, lab.document("storage_bottleneck", parameters={"iops_limit": 40}, duration="1500ms"))
    assert done["verified"], done
    by = "fuse" if lab.has_fuse else "syscalls"
    assert f"by {by}: " in done["verification"]


@pytest.mark.parametrize("case", CASES)
def test_a_fault_that_does_nothing_is_found_out(lab, case):
    fault, parameters, _ = CASES[case]
    path = lab.document(fault, parameters={**parameters, "mechanism": "syscalls"})
    assert not run(lab, path, code=(4,), CHAOSEATER_SEAM_NO_EFFECT="1")["verified"]


# ---- what else ChaosEater starts


def document(lab, case, pipeline):
    fault, parameters, _ = CASES[case]
    work = lab.folder / "work"
    work.mkdir()
    experiment = {"name": "disk", "layer": LAYERS[fault], "fault_type": fault, "duration": "1500ms", "baseline": "1s",
                  "parameters": {**parameters, "mechanism": "syscalls"}}
    path = lab.folder / "plan.yaml"
    (lab.folder / "iris.csv").write_text(IRIS)
    path.write_text(json.dumps({"seed": 7, "experiments": [experiment], "pipeline": {"workdir": str(work), **pipeline}}))
    return path


# Keeps what it learned, if it can.
JOB = """
import json, os
with open("kept", "w") as file:
    file.write("x" * 5000)
    file.flush()
    os.fsync(file.fileno())
print(json.dumps({"accuracy": len(open("kept").read()) / 5000}))
"""


@pytest.mark.parametrize("case", CASES)
def test_a_batch_job_is_hit(lab, case):
    pipeline = {"kind": "command", "command": [sys.executable, str(lab.folder / "job.py")], "accuracy": "accuracy",
                "timeout": "60s"}
    (lab.folder / "job.py").write_text(JOB)
    done = run(lab, document(lab, case, pipeline))
    check(done, CASES[case][2])
    assert (done["metrics"]["error_count"] > 0) == (case in ("failing", "full"))
    assert (lab.folder / "work" / "kept").stat().st_size == 5000


@pytest.mark.parametrize("case", ["slow", "full"])
def test_a_model_server_is_hit(lab, case):
    port = free_port()
    pipeline = {"kind": "http", "dataset": "iris.csv", "label": "species", "url": f"http://127.0.0.1:{port}",
                "command": [sys.executable, str(SERVER), "mlflow", str(port)]}
    done = run(lab, document(lab, case, pipeline))
    check(done, CASES[case][2])
    assert done["metrics"]["error_count"] == 0  # it keeps no files


def test_what_it_did_not_start_it_does_not_answer(lab):
    work = lab.folder / "work"
    work.mkdir()
    done = run(lab, lab.document("disk_full", parameters={"mechanism": "syscalls"}, target={"path": str(work)}), code=(4,))
    assert "was not started by ChaosEater" in done["reason"]


# ---- who is killed


def armed(lab):
    pages = list(lab.state.rglob("door.page"))
    starts = [page.read_bytes()[:8] for page in pages]  # one that is being made is still empty
    return any(len(start) == 8 and struct.unpack("II", start)[1] == 1 for start in starts)


@pytest.mark.parametrize("everyone", [False, True], ids=["controller", "controller_and_guard"])
@pytest.mark.parametrize("case", ["late", "full"])
def test_a_killed_controller_leaves_nothing(lab, case, everyone):
    fault, parameters, _ = CASES[case]
    process = lab.start("run", lab.document(fault, parameters={**parameters, "mechanism": "syscalls"}, duration="60s"))
    wait_for(lambda: armed(lab), "the fault")
    if everyone:
        guards = [pid for pid in lab.processes() if comm(pid) == "ce-guard"]
        assert guards
        for pid in guards:
            os.kill(pid, signal.SIGKILL)
    os.kill(next(pid for pid, line in lab.processes().items() if " run " in line and comm(pid) == "chaoseater"), signal.SIGKILL)
    process.communicate()
    if everyone:
        assert lab.run("recover").returncode == 0
    lab.clean_soon()


@pytest.mark.parametrize("who", ["ce-porter", "ce-substitute"])
def test_one_who_answers_is_killed_alone(lab, who):
    path = lab.document("disk_full", parameters={"mechanism": "syscalls"}, duration="8s")
    process = lab.start("run", path, "--json")
    wait_for(lambda: armed(lab), "the fault")
    victims = [pid for pid in lab.processes() if comm(pid) == who]
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    done = json.loads(out)["runs"][0]
    assert process.returncode in (0, 1, 4), done
    assert done["rollback"]["verified"]
    if who == "ce-substitute":
        assert done["verified"] and done["metrics"]["error_count"] > 100
    assert done["metrics"]["recovery_time"] is not None or process.returncode == 4
