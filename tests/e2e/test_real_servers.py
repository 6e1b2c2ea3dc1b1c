# SPDX-License-Identifier: MIT
"""Model servers as they come, asked directly: they run here, and answer in the shapes that the model layer is made for.

What is asserted of the stand-ins is only that they are consistent with themselves and with the real servers.
"""
import pathlib
import struct
import subprocess

import pytest

pytest_plugins = ["model_servers"]

SERVERS = ["mlflow_server", "kserve_server", "tfserving_double", "triton_double", "torchserve_double"]
# Of the rows that were held out; set by the classifiers, not by the servers.
ACCURACY, OLD_ACCURACY = 0.94, 0.58


def accuracy(predicted, rows):
    return sum(got == label for got, (_, label) in zip(predicted, rows, strict=True)) / len(rows)


def features(rows):
    return [row for row, _ in rows]


@pytest.fixture
def server(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_every_door_predicts_the_held_out_rows_alike(server, iris_rows):
    for door in server.doors:
        predicted = door.predict(features(iris_rows))
        assert accuracy(predicted, iris_rows) == ACCURACY, (door.protocol, predicted)


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_an_answer_is_the_same_bytes_every_time(server, iris_rows):
    rows = features(iris_rows)[:3]
    for door in server.doors:
        if door.protocol == "oip_grpc":
            first, second = [[call["response"] for call in door.calls(rows)] for _ in range(2)]
        else:
            first, second = [door.ask(rows).body for _ in range(2)]
        assert first == second


def test_the_older_models_are_worse(mlflow_old_server, kserve_server, tfserving_double, triton_double, torchserve_double,
                                    iris_rows):
    rows = features(iris_rows)
    answers = [mlflow_old_server.doors[0].predict(rows)]
    answers += [door.predict(rows, model="iris_old") for door in kserve_server.doors]
    answers += [double.doors[0].predict(rows, version="1") for double in (tfserving_double, triton_double, torchserve_double)]
    assert [accuracy(predicted, iris_rows) for predicted in answers] == [OLD_ACCURACY] * len(answers)


# ---- MLflow


def test_mlflow_wraps_predictions_and_names_its_errors(mlflow_server):
    door = mlflow_server.doors[0]
    answer = door.ask([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
    assert (answer.status, answer.body) == (200, b'{"predictions": [0, 2]}')
    assert answer.headers["Content-Type"] == "application/json"
    refused = door.ask([["short"]])
    assert refused.status == 400 and set(refused.json) >= {"error_code", "message"}
    assert refused.json["error_code"] == "BAD_REQUEST"


# ---- KServe


def test_kserve_answers_v1(kserve_server):
    answer = kserve_server.v1.ask([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
    assert (answer.status, answer.body) == (200, b'{"predictions":[0,2]}')
    scores = kserve_server.v1.ask([[5.1, 3.5, 1.4, 0.2]], model="iris_scores").json["predictions"]
    assert len(scores) == 1 and sum(scores[0]) == pytest.approx(1)
    unknown = kserve_server.v1.ask([[5.1, 3.5, 1.4, 0.2]], model="nope")
    assert (unknown.status, set(unknown.json)) == (404, {"error"})


def test_kserve_answers_v2(kserve_server):
    answer = kserve_server.v2.ask([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
    assert answer.status == 200 and answer.json["model_name"] == "iris"
    assert kserve_server.v2.tensors(answer) == {"species": ("INT64", [2], [0, 2])}
    unknown = kserve_server.v2.ask([[5.1, 3.5, 1.4, 0.2]], model="nope")
    assert (unknown.status, set(unknown.json)) == (404, {"error"})
    versioned = kserve_server.v2.ask([[5.1, 3.5, 1.4, 0.2]], version="2")
    assert versioned.status == 501, "KServe's own server serves no versions"


def test_kserve_puts_binary_tensors_behind_the_json(kserve_server):
    rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
    answer = kserve_server.binary.ask(rows, model="iris_scores")
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert answer.status == 200 and len(answer.body) == length + 2 * 3 * 8
    datatype, shape, scores = kserve_server.binary.tensors(answer)["scores"]
    assert (datatype, shape) == ("FP64", [2, 3])
    as_json = kserve_server.v2.tensors(kserve_server.v2.ask(rows, model="iris_scores"))["scores"][2]
    assert scores == as_json


def test_kserve_answers_grpc_in_the_form_it_was_asked_in(kserve_server):
    rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
    typed = kserve_server.grpc.calls(rows, model="iris_scores")
    raw = kserve_server.grpc_raw.calls(rows, model="iris_scores")
    assert [call["shape"] for call in typed + raw] == [[1, 3]] * 4
    assert [call["numbers"] for call in typed] == [call["numbers"] for call in raw]
    for one, other in zip(typed, raw):
        scores = struct.pack("<3d", *one["numbers"])
        # Typed: contents (5) hold fp64_contents (7). Raw: raw_output_contents (6) ends the message.
        assert bytes([5 << 3 | 2, 26, 7 << 3 | 2, 24]) + scores in bytes.fromhex(one["response"])
        assert bytes.fromhex(other["response"]).endswith(bytes([6 << 3 | 2, 24]) + scores)
    unknown = kserve_server.grpc.calls(rows[:1], model="nope")
    assert [(call["code"], call["message"]) for call in unknown] == [("NOT_FOUND", "Model with name nope does not exist.")]


def test_edited_grpc_messages_are_what_protobuf_would_write(serving_python, build):
    judge = pathlib.Path(__file__).parent / "servers" / "grpc_judge.py"
    done = subprocess.run([serving_python, judge, build / "tests" / "unit" / "grpc_tool"], capture_output=True, text=True,
                          timeout=300)
    assert (done.returncode, done.stdout) == (0, "400 responses agree\n"), done.stderr


# ---- stand-ins


def test_the_stand_ins_score_as_the_real_classifier_does(kserve_server, tfserving_double, triton_double, iris_rows):
    rows = features(iris_rows)
    real = kserve_server.v1.ask(rows, model="iris_scores").json["predictions"]
    by_row = tfserving_double.doors[0].ask(rows).json["predictions"]
    _, shape, flat = triton_double.doors[1].tensors(triton_double.doors[1].ask(rows))["scores"]
    assert shape == [len(rows), 3]
    for i, line in enumerate(real):
        assert by_row[i] == pytest.approx(line, abs=0.02)  # its weights are rounded
        assert flat[3 * i:3 * i + 3] == pytest.approx(by_row[i], rel=1e-6)


@pytest.mark.parametrize("server", ["tfserving_double", "triton_double", "torchserve_double"], indirect=True)
def test_the_stand_ins_refuse_what_they_do_not_have(server):
    for which in ({"model": "nope"}, {"version": "9"}):
        answer = server.doors[0].ask([[5.1, 3.5, 1.4, 0.2]], **which)
        assert answer.status == 404 and ("error" in answer.json or answer.json["code"] == 404)
