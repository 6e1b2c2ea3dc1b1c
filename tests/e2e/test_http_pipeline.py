# SPDX-License-Identifier: MIT
"""`pipeline: {kind: http}`: whole runs against a model server, for each protocol and kind of fault; what is refused, and
how; and what is left when ChaosEater is killed (nothing).

The server is model_server.py, written from the published shapes of the protocols; test_http_pipeline_real.py has real ones,
and gRPC.
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest

from lab import Lab, wait_for
from ports import free_port

SERVER = str(pathlib.Path(__file__).with_name("model_server.py"))
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
IRIS = (EXAMPLES / "iris.csv").read_text()
NUMBERS = {"setosa": "0", "versicolor": "1", "virginica": "2"}


def is_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def server(protocol, *arguments):
    port = free_port()
    process = subprocess.Popen([sys.executable, SERVER, protocol, str(port), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == f"serving {protocol} at {port}\n"
        yield port
    finally:
        process.kill()
        process.communicate()


def experiment(fault, layer="model", **parameters):
    return {"name": fault, "layer": layer, "fault_type": fault, "duration": "1s", "baseline": "1s", "parameters": parameters}


SLOW = experiment("slow_inference", latency_ms=60)


def write(folder, pipeline, *experiments, data=IRIS, name="plan.yaml"):
    (folder / "iris.csv").write_text(data)
    pipeline = {"kind": "http", "dataset": "iris.csv", "label": "species", **pipeline}
    pipeline = {key: value for key, value in pipeline.items() if value is not None}
    document = {"seed": 7, "pipeline": pipeline, "experiments": list(experiments or [SLOW])}
    (folder / name).write_text(json.dumps(document, indent=1))  # JSON is YAML
    return folder / name


def run_one(chaoseater, *args, code=0):
    done = chaoseater("run", *args, "--json", timeout=120)
    suite = json.loads(done.stdout)
    assert done.returncode == code, suite
    return suite["runs"][0]


# ---- protocols


PROTOCOLS = {
    "oip": ({"model": "iris"}, ["--answer", "class"]),
    "kserve_v1": ({"model": "iris"}, ["--answer", "class"]),
    "mlflow": ({}, ["--answer", "class"]),
    "torchserve": ({"model": "iris"}, ["--answer", "scores"]),
    "json": (
        {
            "protocol": "json",
            "request": '{"flower": {"petal_length": {{petal_length}}, "petal_width": {{petal_width}}}}',
            "prediction": "$.result[0].flower",
        },
        ["--answer", "class"],
    ),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_of_each_protocol_is_driven(chaoseater, tmp_path, protocol):
    keys, arguments = PROTOCOLS[protocol]
    with server(protocol, *arguments) as port:
        url = f"http://127.0.0.1:{port}" + ("/score" if protocol == "json" else "")
        run = run_one(chaoseater, write(tmp_path, {"url": url, **keys}))
    assert run["pipeline"] == {"kind": "http", "url": url, "protocol": protocol}
    assert run["profile"] is None
    assert (run["status"], run["verdict"], run["verified"]) == ("completed", "passed", True)
    assert run["metrics"]["operations"]["baseline"] == run["metrics"]["operations"]["fault"] == 50
    assert run["metrics"]["baseline_accuracy"] == run["metrics"]["fault_accuracy"] > 0.9
    latency = run["metrics"]["latency_ms"]
    assert latency["fault"]["p50"] >= 48  # 60 ms, less 20 %, whatever the machine adds
    assert run["fault"]["eligible"] == run["fault"]["changed"] == 50


@pytest.mark.parametrize("answer", ["index", "scores"])
def test_numbers_become_classes_by_labels(chaoseater, tmp_path, answer):
    with server("oip", "--answer", answer) as port:
        keys = {"url": f"http://127.0.0.1:{port}", "model": "iris", "labels": list(NUMBERS)}
        run = run_one(chaoseater, write(tmp_path, keys))
    assert run["metrics"]["baseline_accuracy"] > 0.9


def test_a_score_becomes_a_class_at_the_threshold(chaoseater, tmp_path):
    data = re.sub("setosa|versicolor|virginica", lambda name: str(int(name[0] == "virginica")), IRIS)
    accuracies = {}
    with server("oip", "--answer", "score") as port:
        for threshold in (0.5, 0.2, 0.95):
            keys = {"url": f"http://127.0.0.1:{port}", "model": "iris", "threshold": threshold}
            run = run_one(chaoseater, write(tmp_path, keys, data=data))
            accuracies[threshold] = run["metrics"]["baseline_accuracy"]
    assert accuracies[0.5] > 0.9
    # The server says 0.1, 0.3 and 0.9: at 0.2 the versicolors count as virginicas, at 0.95 nothing does.
    assert 0.5 < accuracies[0.2] < 0.75 and 0.5 < accuracies[0.95] < 0.75


def test_a_regression_is_right_within_its_tolerance(chaoseater, tmp_path):
    data = re.sub("setosa|versicolor|virginica", lambda name: {"setosa": "0", "versicolor": "1.05", "virginica": "2.5"}[name[0]], IRIS)
    with server("oip", "--answer", "index") as port:
        keys = {"url": f"http://127.0.0.1:{port}", "model": "iris", "task": "regression"}
        near = run_one(chaoseater, write(tmp_path, keys, data=data))
        far = run_one(chaoseater, write(tmp_path, {**keys, "tolerance": 0.25}, data=data))
    # 0 is met, 1 is 5 % off 1.05, and 2 is 20 % off 2.5.
    assert 0.6 < near["metrics"]["baseline_accuracy"] < 0.7
    assert far["metrics"]["baseline_accuracy"] > 0.9


def test_prefix_and_host_are_kept_on_every_way(chaoseater, tmp_path):
    port = free_port()
    host = f"localhost:{port}"
    command = [sys.executable, SERVER, "kserve_v1", str(port), "--prefix", "/models/a", "--host", host, "--late", "0.3"]
    keys = {"url": f"http://{host}/models/a/", "model": "iris", "command": command, "health": "/models/a/health"}
    run = run_one(chaoseater, write(tmp_path, keys))
    assert run["verdict"] == "passed" and run["metrics"]["error_count"] == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A PEM file with a certificate for localhost that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True)
    path = folder / "both.pem"
    path.write_text((folder / "cert").read_text() + (folder / "key").read_text())
    return path


def test_a_server_may_speak_tls(chaoseater, tmp_path, certificate):
    with server("oip", "--tls", str(certificate)) as port:
        keys = {"url": f"https://localhost:{port}", "model": "iris", "ca": str(certificate)}
        run = run_one(chaoseater, write(tmp_path, keys))
        assert run["pipeline"]["protocol"] == "oip" and run["verdict"] == "passed" and run["verified"]
        assert run["metrics"]["error_count"] == 0
        del keys["ca"]
        reason = refused(chaoseater, write(tmp_path, {**keys, "protocol": "oip", "timeout": "500ms"}))
    assert reason.startswith(f"model server at https://localhost:{port}: ") and "certificate" in reason


def test_rows_may_be_json_lines(chaoseater, tmp_path):
    names, *rows = [line.split(",") for line in IRIS.splitlines()]
    lines = [json.dumps({**dict(zip(names, map(float, row[:-1]))), "species": row[-1]}) for row in rows]
    plan = {"model": "iris", "dataset": "rows.jsonl"}
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    with server("kserve_v1") as port:
        run = run_one(chaoseater, write(tmp_path, {"url": f"http://127.0.0.1:{port}", **plan}))
    assert run["metrics"]["baseline_accuracy"] > 0.9


# ---- faults


def test_predictions_are_corrupted(chaoseater, tmp_path):
    with server("oip") as port:
        path = write(tmp_path, {"url": f"http://127.0.0.1:{port}", "model": "iris"},
                     experiment("prediction_corruption", corruption_rate=0.5))
        run = run_one(chaoseater, path)
        again = run_one(chaoseater, path)
    assert run["verified"] and run["rollback"]["verified"]
    assert run["metrics"]["accuracy_degradation"] > 0.15 and run["metrics"]["error_count"] == 0
    assert run["fault"] == again["fault"]
    assert run["metrics"]["fault_accuracy"] == again["metrics"]["fault_accuracy"]


def test_the_model_is_unavailable(chaoseater, tmp_path):
    with server("mlflow") as port:
        run = run_one(chaoseater, write(tmp_path, {"url": f"http://127.0.0.1:{port}"}, experiment("model_unavailable")))
    assert run["verified"] and run["metrics"]["error_count"] >= 50 and run["metrics"]["pipeline_downtime"] >= 1


def test_values_are_missing_in_live_requests(chaoseater, tmp_path):
    with server("mlflow") as port:
        path = write(tmp_path, {"url": f"http://127.0.0.1:{port}"},
                     experiment("missing_data", "data", missing_rate=0.5, stage="serve"))
        run = run_one(chaoseater, path)
    assert run["verified"] and run["metrics"]["accuracy_degradation"] > 0.05
    assert run["fault"]["eligible"] == 200


def started(protocol, port, *arguments):
    return {"url": f"http://127.0.0.1:{port}", "command": [sys.executable, SERVER, protocol, str(port), *arguments]}


@pytest.mark.parametrize("line", [False, True], ids=["program", "line"])
def test_a_started_server_crashes_and_comes_back(chaoseater, tmp_path, line):
    port = free_port()
    keys = started("mlflow", port, "--workers", "2")
    if line:  # sh stays between us and the server
        keys["command"] = " ".join(keys["command"]) + "; true"
    run = run_one(chaoseater, write(tmp_path, keys, experiment("node_failure", "infrastructure", failure_type="crash")))
    assert run["verified"] and run["rollback"]["verified"] and run["verdict"] == "passed"
    assert "is gone from /proc and nothing serves" in run["verification"]
    assert run["metrics"]["error_count"] >= 45 and run["metrics"]["recovery_time"] is not None
    assert not is_open(port)


def test_a_started_server_hangs_and_goes_on(chaoseater, tmp_path):
    port = free_port()
    path = write(tmp_path, {**started("mlflow", port), "timeout": "500ms"},
                 experiment("node_failure", "infrastructure", failure_type="hang"))
    run = run_one(chaoseater, path)
    assert run["verified"] and run["rollback"]["verified"] and run["verdict"] == "passed"
    assert run["metrics"]["error_count"] >= 20
    assert not is_open(port)


def test_a_started_server_may_live_in_namespaces(chaoseater, tmp_path):
    port = free_port()
    path = write(tmp_path, {**started("mlflow", port), "isolation": "namespaces"},
                 experiment("node_failure", "infrastructure", failure_type="crash"))
    done = chaoseater("run", path, "--json", timeout=120)
    run = json.loads(done.stdout)["runs"][0]
    if "namespaces" in (run.get("reason") or ""):
        pytest.skip(run["reason"])
    assert run["verified"] and run["verdict"] == "passed", run
    assert "mount" in run["isolation"] and not is_open(port)


def test_the_command_has_its_folder_and_environment(chaoseater, tmp_path):
    port = free_port()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "serve").write_text(f'#!/bin/sh\nexec {sys.executable} {SERVER} mlflow "$PORT"\n')
    (tmp_path / "bin" / "serve").chmod(0o755)
    keys = {"url": f"http://127.0.0.1:{port}", "command": "./serve", "workdir": "bin", "env": [f"PORT={port}"]}
    other = tmp_path / "elsewhere"
    other.mkdir()
    done = chaoseater("run", write(tmp_path, keys), "--json", cwd=other)
    assert done.returncode == 0, done.stdout


# ---- what is refused


PIPELINE = {"url": "http://127.0.0.1:1", "protocol": "mlflow"}
JSON = {"url": "http://127.0.0.1:1", "protocol": "json", "request": '{"x": {{petal_width}}}', "prediction": "$.x"}
# {name: (keys, what is said; PLACE is that of the key named first, or of the pipeline)}: exit 2 before anything runs.
DOCUMENTS = {
    "another_kind": ({**PIPELINE, "profile": "naive"}, "profile", "profile: belongs to kind embedded, and this pipeline is of kind http"),
    "no_url": ({}, None, "the key 'url' of pipeline is missing: kind http needs it (url, dataset and label)"),
    "no_label": ({**PIPELINE, "label": None}, None, "the key 'label' of pipeline is missing: kind http needs it (url, dataset and label)"),
    "url_scheme": ({"url": "ftp://a"}, "url", "url: 'ftp://a' is none of http://host:port/prefix"),
    "grpc_protocol": ({"url": "h2c://a", "protocol": "oip"}, "protocol", "protocol: what is asked at h2c://host:port is oip_grpc"),
    "grpc_url": ({"url": "http://a", "protocol": "oip_grpc"}, "protocol", "protocol: oip_grpc needs a url of the form h2c://host:port"),
    "grpc_health": ({"url": "h2c://a", "health": "/health"}, "health", "health: is asked over HTTP/1.1, which 'h2c://a' is not for"),
    "url_port": ({"url": "http://a:b/"}, "url", "url: 'a:b' is no address: 'b' is no port, which is 0 to 65535"),
    "url_query": ({"url": "http://a/?x=1"}, "url", "url: 'http://a/?x=1' has a query or a fragment; it ends with the path that all requests have in common"),
    "protocol": ({**PIPELINE, "protocol": "kserve"}, "protocol", "protocol: 'kserve' is not one of auto, oip, oip_grpc, kserve_v1, mlflow, torchserve, json"),
    "no_template": ({**JSON, "request": None}, None, "the key 'request' of pipeline is missing: protocol: json needs it (request and prediction)"),
    "prediction": ({**PIPELINE, "prediction": "$.x"}, "prediction", "prediction: makes sense only with protocol: json, and it is mlflow"),
    "tolerance": ({**PIPELINE, "tolerance": 0.1}, "tolerance", "tolerance: makes sense only with task: regression, and it is classification"),
    "env": ({**PIPELINE, "env": ["A=1"]}, "env", "env: makes sense only with the key 'command'"),
    "env_form": ({**PIPELINE, "command": "x", "env": ["A"]}, "env", "env: 'A' is not of the form NAME=value"),
    "health": ({**PIPELINE, "health": "health"}, "health", "health: 'health' does not begin with a slash"),
    "one_label": ({**PIPELINE, "labels": ["a"]}, "labels", "labels: one class alone leaves nothing to predict"),
}


def place(path, key):
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith(f'  "{key}": '):
            return f"{path}:{number}:{len(key) + 7}: "
    number = lines.index(' "pipeline": {') + 1
    return f"{path}:{number}:{lines[number - 1].index('{') + 1}: "


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_bad_document_is_refused_with_its_place(chaoseater, tmp_path, name):
    keys, key, sentence = DOCUMENTS[name]
    path = write(tmp_path, keys)
    for command in ("validate", "run"):
        done = chaoseater(command, path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"chaoseater: {place(path, key)}{sentence}"), done.stderr
        assert done.stderr.count("\n") == 1


def test_keys_of_http_are_none_of_embedded(chaoseater, tmp_path):
    path = write(tmp_path, {"kind": "embedded", "dataset": None, "label": None, "url": "http://127.0.0.1:1"})
    done = chaoseater("validate", path)
    assert done.returncode == 2
    assert done.stderr == f"chaoseater: {place(path, 'url')}url: belongs to kind http, and this pipeline is of kind embedded\n"


def test_set_reaches_the_keys(chaoseater, tmp_path):
    path = write(tmp_path, PIPELINE)
    done = chaoseater("validate", path, "--set", "pipeline.labell=x")
    assert done.returncode == 2 and "unknown key 'labell' of pipeline; did you mean 'label'?" in done.stderr
    done = chaoseater("run", path, "--set", "pipeline.label=specie", "--dry-run")
    assert done.returncode == 2 and done.stderr.startswith("chaoseater: --set pipeline.label=specie: label: ")


# {name: (keys, data, place, what is said)}: what only the files tell; exit 2 before anything runs.
FILES = {
    "no_dataset": ({**PIPELINE, "dataset": "irs.csv"}, IRIS, "dataset", "dataset: cannot read '{folder}/irs.csv': No such file or directory"),
    "no_label": ({**PIPELINE, "label": "specis"}, IRIS, "label", "label: '{folder}/iris.csv' has no column 'specis'; did you mean 'species'? (there are: sepal_length, sepal_width, petal_length, petal_width, species)"),
    "no_rows": (PIPELINE, IRIS.split("\n")[0] + "\n", "dataset", "dataset: '{folder}/iris.csv' has no rows"),
    "empty_label": (PIPELINE, "a,species\n1,x\n2,\n", None, "iris.csv:3: column 'species' is empty: every row needs its label"),
    "parquet": (PIPELINE, "PAR1....PAR1", "dataset", "dataset: '{folder}/iris.csv' is parquet; labelled rows are read from CSV or JSON lines"),
    "text_in_regression": ({**PIPELINE, "task": "regression"}, IRIS, "label", "label: a regression needs numbers, and row 1 of '{folder}/iris.csv' has 'setosa'"),
    "labels_lack_one": ({**PIPELINE, "labels": ["setosa", "versicolour", "virginica"]}, IRIS, "labels", "labels: row 2 of '{folder}/iris.csv' has 'versicolor', which is none of them; is it 'versicolour'?"),
    "no_model": ({**PIPELINE, "protocol": "oip"}, IRIS, None, "a request of protocol oip has to name a model"),
    "template_column": ({**JSON, "request": '{"x": {{petal}}}'}, IRIS, "request", "request: template:1:7: the dataset has no feature column 'petal'"),
    "template_json": ({**JSON, "request": '{"x": {{petal_width}}'}, IRIS, "request", "request: template:1:"),
    "prediction_path": ({**JSON, "prediction": "$.x["}, IRIS, "prediction", "prediction: "),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files_are_refused_before_anything_runs(chaoseater, tmp_path, name):
    keys, data, key, sentence = FILES[name]
    path = write(tmp_path, keys, data=data)
    assert chaoseater("validate", path).returncode == 0
    for options in ([], ["--dry-run"]):
        done = chaoseater("run", path, *options)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        wanted = sentence.format(folder=tmp_path)
        assert wanted in done.stderr and done.stderr.count("\n") == 1, done.stderr
        if key:
            assert done.stderr.startswith(f"chaoseater: {place(path, key)}{wanted}"), done.stderr


def refused(chaoseater, path, code=4):
    """The one sentence of a run that could not begin."""
    run = run_one(chaoseater, path, code=code)
    assert (run["status"], run["verdict"], run["score"]["value"]) == ("failed", "inconclusive", None)
    assert chaoseater("status").stdout == "nothing is live\n"
    return run["reason"]


def test_an_unreachable_server_is_said(chaoseater, tmp_path):
    port = free_port()
    path = write(tmp_path, {"url": f"http://127.0.0.1:{port}", "protocol": "mlflow", "timeout": "200ms"})
    assert refused(chaoseater, path) == (
        f"model server at http://127.0.0.1:{port}: cannot connect to 127.0.0.1:{port}: Connection refused")


# {name: (protocol of the server, its options, keys, what is said)}
SERVERS = {
    "nothing_known": ("json", [], {}, "it is not to be told what it speaks: name its `protocol` (oip, kserve_v1, mlflow, torchserve or json), or its `model`"),
    "model_missing": ("oip", [], {}, "it speaks oip, which asks for a model by its name: name it by `model`"),
    "model_unknown": ("oip", [], {"model": "irs"}, "it speaks oip, but has no model 'irs'"),
    "wrong_protocol": ("kserve_v1", [], {"protocol": "mlflow", "timeout": "300ms"}, "it answers a request to /invocations with status 404: '{\"error\": \"nothing is at /invocations\"}'"),
    "wrong_path": ("json", [], {"protocol": "json", "path": "/score", "request": '{"flower": {"petal_length": {{petal_length}}, "petal_width": 1}}', "prediction": "$.result[0].fruit"}, "no prediction can be read from its answer '{\"result\": [{\"flower\": \"setosa\"}]}': "),
    "bad_request": ("json", [], {"protocol": "json", "path": "/score", "request": '{"fruit": {{petal_length}}}', "prediction": "$.x"}, "it answers a request to /score with status 400: '{\"error\": \"bad request: KeyError('flower')\"}'"),
    "index_of_a_class": ("oip", ["--answer", "index"], {"model": "iris"}, "the server answers with numbers such as 0, and the labels are texts such as 'setosa': name the classes in the server's order by `labels`"),
    "text_for_a_regression": ("oip", [], {"model": "iris", "task": "regression", "numbers": True}, "the server answers 'setosa', and a regression needs a number"),
    "health": ("oip", ["--late", "100"], {"model": "iris", "health": "/health", "timeout": "200ms"}, "health: /health answers with status 503"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_not_understood_is_no_victim(chaoseater, tmp_path, name):
    protocol, options, keys, sentence = SERVERS[name]
    keys = dict(keys)
    data = re.sub("setosa|versicolor|virginica", lambda m: NUMBERS[m[0]], IRIS) if keys.pop("numbers", False) else IRIS
    with server(protocol, *options) as port:
        url = f"http://127.0.0.1:{port}{keys.pop('path', '')}"
        reason = refused(chaoseater, write(tmp_path, {"url": url, **keys}, data=data))
    assert reason.startswith(f"model server at {url}: {sentence}"), reason


@pytest.mark.parametrize("fault, layer, parameters, sentence", [
    ("missing_data", "data", {}, "is not trained by ChaosEater, so missing_data cannot act on what it learns from; data faults that take `stage: serve` act on its requests"),
    ("node_failure", "infrastructure", {}, "was not started by ChaosEater, so node_failure has no process to act on; pipeline.command would start it, "
     "and target names one that runs"),
])
def test_a_fault_that_has_nothing_to_act_on_is_refused(chaoseater, tmp_path, fault, layer, parameters, sentence):
    with server("mlflow") as port:
        path = write(tmp_path, {"url": f"http://127.0.0.1:{port}"}, experiment(fault, layer, **parameters))
        assert refused(chaoseater, path) == f"model server at http://127.0.0.1:{port} {sentence}"


def test_a_command_that_dies_has_its_last_words(chaoseater, tmp_path):
    port = free_port()
    keys = started("mlflow", port, "--die", "there is no model here")
    assert refused(chaoseater, write(tmp_path, keys)) == (
        f"model server at http://127.0.0.1:{port}: the command ended with exit code 1; its last words: 'there is no model here'")


def test_a_command_that_is_none_is_said(chaoseater, tmp_path):
    keys = {"url": f"http://127.0.0.1:{free_port()}", "command": ["no-such-server", "--port", "1"]}
    reason = refused(chaoseater, write(tmp_path, keys))
    assert "the command ended with exit code 127; its last words: 'sh: 1: exec: no-such-server: not found'" in reason


def test_a_command_that_is_too_slow_is_ended(chaoseater, tmp_path):
    port = free_port()
    keys = {**started("mlflow", port, "--late", "100"), "health": "/health", "start_timeout": "1s"}
    assert refused(chaoseater, write(tmp_path, keys)).endswith(
        "the command runs and does not serve in time: health: /health answers with status 503; "
        f"its last words: 'serving mlflow at {port}'")
    assert not is_open(port)


def test_a_server_that_dies_meanwhile_is_not_left_of_the_fault(tmp_path):
    hits = tmp_path / "hits.jsonl"
    port = free_port()
    with Lab() as lab:
        victim = subprocess.Popen([sys.executable, SERVER, "mlflow", str(port)], stdout=subprocess.PIPE, text=True)
        assert victim.stdout.readline()
        path = write(tmp_path, {"url": f"http://127.0.0.1:{port}"}, {**SLOW, "duration": "4s", "recovery_timeout": "500ms"})
        run = lab.start("run", path, "--json", "--hits", hits)
        # By then it has been verified, which looks for a second at most.
        wait_for(lambda: hits.exists() and hits.read_text().count("\n") > 100, "the fault is live")
        victim.kill()
        victim.communicate()
        out, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    (run,) = json.loads(out)["runs"]
    assert (run["verdict"], run["rollback"]["verified"]) == ("deviated", True)
    assert "not back within" in run["reason"]


def test_a_port_in_use_is_not_taken_for_the_command_s(chaoseater, tmp_path):
    with server("mlflow") as port:
        reason = refused(chaoseater, write(tmp_path, started("mlflow", port)))
    assert reason == f"model server at http://127.0.0.1:{port}: something serves there already: end it, or leave out `command`"


# ---- killed


def listening(pids):
    """The TCP ports at which these processes listen."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
                    inodes |= {match[1]} if match else set()
    ports = set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        field = line.split()
        if field[3] == "0A" and field[9] in inodes:
            ports.add(int(field[1].rpartition(":")[2], 16))
    return ports


@pytest.mark.parametrize("everyone", [False, True], ids=["controller", "controller_and_guard"])
def test_nothing_is_left_of_a_killed_run(everyone):
    with Lab() as lab:
        port = free_port()
        keys = started("mlflow", port, "--workers", "3")
        path = write(lab.folder, keys, {**SLOW, "duration": "60s", "baseline": "60s"})
        process = lab.start("run", path)
        wait_for(lambda: is_open(port), "the server serves")
        wait_for(lambda: len(listening([process.pid])) == 1, "the proxy listens")
        ports = listening([process.pid]) | {port}
        assert len([command for command in lab.processes().values() if "model_server" in command]) == 4
        guards = [pid for pid in lab.processes() if pid != process.pid and parent(pid) == process.pid]
        for pid in [process.pid, *(guards if everyone else [])]:
            if pid == process.pid or "keeper" not in pathlib.Path(f"/proc/{pid}/comm").read_text():
                os.kill(pid, signal.SIGKILL)
        process.communicate()
        wait_for(lambda: not lab.processes(), f"still there: {lab.processes()}")
        assert not any(map(is_open, ports))
        if everyone:
            assert lab.run("recover").returncode == 0
        lab.clean_soon()


def parent(pid):
    with contextlib.suppress(OSError, IndexError):
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def test_a_signal_ends_the_wait_for_a_server():
    with Lab() as lab:
        port = free_port()
        keys = {**started("mlflow", port, "--late", "100"), "health": "/health"}
        process = lab.start("run", write(lab.folder, keys))
        wait_for(lambda: is_open(port), "the server is there")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 143
        lab.clean_soon()
