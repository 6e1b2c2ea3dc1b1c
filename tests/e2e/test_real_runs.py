# SPDX-License-Identifier: MIT
"""`pipeline: {kind: http}` against real model servers: another model answers, the server crashes, its memory leaks.

What is a stand-in and no real server is said in model_servers.py.
"""
import contextlib
import json
import re
import socket

import pytest

from lab import Lab, read, wait_for
from ports import free_port
from test_real_servers import ACCURACY, OLD_ACCURACY

pytest.register_assert_rewrite("model_servers")
from model_servers import IRIS, LABEL, QUIET, mlflow_command  # noqa: E402

pytest_plugins = ["model_servers"]


def experiment(fault, layer="model", **parameters):
    """Every row once before the fault, and once under it."""
    return {"name": fault, "layer": layer, "fault_type": fault, "duration": "1s", "baseline": "1s", "parameters": parameters}


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab
        lab.clean_soon()


def run(lab, pipeline, *experiments, code=0):
    keys = {"kind": "http", "dataset": str(IRIS), "label": LABEL, "rate": 50, **pipeline}
    plan = lab.folder / "plan.yaml"
    plan.write_text(json.dumps({"seed": 7, "pipeline": keys, "experiments": list(experiments)}))  # JSON is YAML
    got, suite = lab.run_json("run", plan)
    assert got == code, suite
    return suite["runs"]


# {name: (server, the number of its door, keys, what is asked for instead)}
SERVERS = {
    "mlflow": ("mlflow_server", 0, {}, None),
    "kserve_v1": ("kserve_server", 0, {"model": "iris", "protocol": "kserve_v1"}, "iris_old"),
    "kserve_v2": ("kserve_server", 1, {"model": "iris"}, "iris_old"),
    "kserve_grpc": ("kserve_server", 3, {"model": "iris"}, "iris_old"),
    "tfserving": ("tfserving_double", 0, {"model": "iris"}, "1"),
    "triton": ("triton_double", 0, {"model": "iris", "version": "2"}, "1"),
    "torchserve": ("torchserve_double", 0, {"model": "iris"}, "1"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_the_older_model_is_as_bad_as_it_is(request, lab, name):
    server, number, keys, instead = SERVERS[name]
    instead = instead or request.getfixturevalue("mlflow_old_server").doors[0].url
    door = request.getfixturevalue(server).doors[number]
    url = door.url.replace("http", "h2c") if door.protocol == "oip_grpc" else door.url
    older, = run(lab, {"url": url, **keys}, experiment("wrong_version", fallback_model=instead))
    metrics = older["metrics"]
    assert (older["status"], older["verified"], older["rollback"]["verified"]) == ("completed", True, True), older
    assert older["pipeline"]["protocol"] == door.protocol
    assert metrics["operations"]["baseline"] == metrics["operations"]["fault"] == older["fault"]["changed"] == 50
    assert (metrics["baseline_accuracy"], metrics["fault_accuracy"]) == (ACCURACY, OLD_ACCURACY)


# ---- a server that ChaosEater starts


def is_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def mlflow(port):
    command, environment = mlflow_command("iris", port)
    return {"url": f"http://127.0.0.1:{port}", "command": command, "health": "/ping",
            "env": [f"{name}={value}" for name, value in {**QUIET, **environment}.items()]}


def test_a_started_server_crashes_and_comes_back(lab):
    port = free_port()
    crashed, = run(lab, mlflow(port), experiment("node_failure", "infrastructure", failure_type="crash"))
    assert crashed["verified"] and crashed["rollback"]["verified"] and crashed["verdict"] == "passed", crashed
    metrics = crashed["metrics"]
    assert metrics["baseline_accuracy"] == ACCURACY and metrics["error_count"] >= 45
    assert metrics["recovery_time"] is not None
    assert not is_open(port)


def test_a_started_server_leaks_memory(lab):
    """Its size is read here, too, from /proc."""
    port = free_port()
    leak = {**experiment("memory_leak", leak_rate_mb=100), "duration": "2s", "baseline": "2s"}
    keys = {"kind": "http", "dataset": str(IRIS), "label": LABEL, "rate": 50, **mlflow(port)}
    plan = lab.folder / "plan.yaml"
    plan.write_text(json.dumps({"seed": 7, "pipeline": keys, "experiments": [leak]}))
    process = lab.start("run", plan, "--json")
    server = wait_for(lambda: next((pid for pid, command in lab.processes().items() if "scoring_server" in command
                                    and "keeper" not in command and is_open(port)), None), "the server", 60)

    def resident():
        size = re.search(rb"^VmRSS:\s+(\d+) kB", read(f"/proc/{server}/status"), re.M)
        return int(size[1]) / 1024 if size else 0

    before = resident()
    most = max(iter(lambda: resident() if process.poll() is None else None, None), default=0)
    out, err = process.communicate(timeout=60)
    run_, = json.loads(out)["runs"]
    assert process.returncode == 0, (run_, err)
    assert run_["verified"] and run_["rollback"]["verified"], run_
    assert run_["metrics"]["fault_accuracy"] == ACCURACY and run_["metrics"]["error_count"] == 0
    assert most > before + 150
    assert not is_open(port)
