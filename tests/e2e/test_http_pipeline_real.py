# SPDX-License-Identifier: MIT
"""`pipeline: {kind: http}` against model servers as they come: MLflow and KServe, over REST and gRPC, and stand-ins for the
others. What was measured must be what the server's own client finds: an accuracy of 0.94 on these rows.
"""
import json
import pathlib

import pytest

pytest_plugins = ["model_servers"]

IRIS, LABEL = pathlib.Path(__file__).with_name("iris.csv"), "species"

ROWS = 50
ACCURACY = 0.94


def run(chaoseater, tmp_path, pipeline, fault="slow_inference", **parameters):
    experiment = {"name": fault, "layer": "model", "fault_type": fault, "duration": "1s", "baseline": "1s",
                  "parameters": parameters}
    pipeline = {"kind": "http", "dataset": str(IRIS), "label": LABEL, "rate": ROWS, **pipeline}
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps({"seed": 7, "pipeline": pipeline, "experiments": [experiment]}))  # JSON is YAML
    done = chaoseater("run", path, "--json", timeout=120)
    suite = json.loads(done.stdout)
    assert done.returncode in (0, 1), suite
    return suite["runs"][0]


def url_of(server, scheme="http", protocol=None):
    door = next(door for door in server.doors if protocol in (None, door.protocol))
    return door.url.replace("http", scheme, 1)


CASES = {
    "mlflow": ("mlflow_server", "http", None, {}, "mlflow"),
    "kserve": ("kserve_server", "http", "oip", {"model": "iris"}, "oip"),
    "kserve_v1": ("kserve_server", "http", "oip", {"model": "iris", "protocol": "kserve_v1"}, "kserve_v1"),
    "kserve_grpc": ("kserve_server", "h2c", "oip_grpc", {"model": "iris"}, "oip_grpc"),
    "kserve_scores": ("kserve_server", "http", "oip", {"model": "iris_scores"}, "oip"),
    "kserve_grpc_scores": ("kserve_server", "h2c", "oip_grpc", {"model": "iris_scores"}, "oip_grpc"),
    "tensorflow_serving": ("tfserving_double", "http", None, {"model": "iris"}, "kserve_v1"),
    "triton": ("triton_double", "http", None, {"model": "iris", "version": "2"}, "oip"),
    "torchserve": ("torchserve_double", "http", None, {"model": "iris"}, "torchserve"),
}


@pytest.fixture(params=CASES)
def case(request):
    fixture, scheme, door, keys, protocol = CASES[request.param]
    return {"url": url_of(request.getfixturevalue(fixture), scheme, door), **keys}, protocol


def test_what_is_measured_is_what_the_server_does(chaoseater, tmp_path, case):
    keys, protocol = case
    done = run(chaoseater, tmp_path, keys, latency_ms=80)
    assert done["pipeline"] == {"kind": "http", "url": keys["url"], "protocol": protocol}
    assert (done["status"], done["verdict"], done["verified"]) == ("completed", "passed", True), done["reason"]
    assert done["metrics"]["baseline_accuracy"] == done["metrics"]["fault_accuracy"] == ACCURACY
    assert done["metrics"]["error_count"] == 0
    assert done["fault"]["eligible"] == done["fault"]["changed"] == ROWS


def test_predictions_are_corrupted_on_the_wire(chaoseater, tmp_path, case):
    keys, _ = case
    done = run(chaoseater, tmp_path, keys, "prediction_corruption", corruption_rate=0.5)
    assert done["verified"] and done["rollback"]["verified"], done["verification"]
    assert done["metrics"]["accuracy_degradation"] > 0.1 and done["metrics"]["error_count"] == 0


def test_a_grpc_server_is_unavailable(chaoseater, tmp_path, kserve_server):
    done = run(chaoseater, tmp_path, {"url": url_of(kserve_server, "h2c", "oip_grpc"), "model": "iris"}, "model_unavailable")
    assert done["verified"] and done["rollback"]["verified"], done["verification"]
    assert done["metrics"]["error_count"] >= ROWS


@pytest.mark.parametrize("model, says", [
    ("nope", "it answers a request to /inference.GRPCInferenceService/ModelInfer with grpc-status 5: 'Model with name nope does not exist.'"),
])
def test_what_a_grpc_server_refuses_is_quoted(chaoseater, tmp_path, kserve_server, model, says):
    url = url_of(kserve_server, "h2c", "oip_grpc")
    path = tmp_path / "plan.yaml"
    experiment = {"name": "x", "layer": "model", "fault_type": "slow_inference"}
    pipeline = {"kind": "http", "url": url, "model": model, "dataset": str(IRIS), "label": LABEL, "timeout": "500ms"}
    path.write_text(json.dumps({"pipeline": pipeline, "experiments": [experiment]}))
    done = chaoseater("run", path, "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["runs"][0]["reason"] == f"model server at {url}: {says}"
