# SPDX-License-Identifier: MIT
"""Every fault of the model layer on live traffic: real model servers behind `chaoseater proxy`, real clients before it.

A matrix of doors (a protocol that a server speaks, and what its model answers) and faults. Each cell asks the server
directly and through the proxy, while the rule is there and when it is gone again. The proxies stand for the whole module;
rules come and go. What is a stand-in and no real server is said in model_servers.py.
"""
import gzip
import json
import math
import pathlib
import re
import subprocess

import pytest

import published_shapes
from lab import Lab, Proxy
from test_proxy_tls import Certificates
from test_real_servers import ACCURACY, OLD_ACCURACY, accuracy, features

pytest.register_assert_rewrite("model_servers")
from model_servers import GrpcDoor, V2Door  # noqa: E402

pytest_plugins = ["model_servers"]

HERE = pathlib.Path(__file__).resolve().parent
# {name: (server, the number of its door, model, what wrong_version asks for instead)}
DOORS = {
    "mlflow": ("mlflow_server", 0, "iris", None),
    "kserve_v1": ("kserve_server", 0, "iris", "iris_old"),
    "kserve_v1_scores": ("kserve_server", 0, "iris_scores", "iris_old"),
    "kserve_v2": ("kserve_server", 1, "iris", "iris_old"),
    "kserve_v2_scores": ("kserve_server", 1, "iris_scores", "iris_old"),
    "kserve_binary": ("kserve_server", 2, "iris_scores", "iris_old"),
    "kserve_grpc": ("kserve_server", 3, "iris", "iris_old"),
    "kserve_grpc_raw": ("kserve_server", 4, "iris_scores", "iris_old"),
    "tfserving": ("tfserving_double", 0, "iris", "1"),
    "triton": ("triton_double", 0, "iris", "iris/1"),
    "triton_binary": ("triton_double", 1, "iris", "1"),
    "torchserve": ("torchserve_double", 0, "iris", "1"),
}


def upstream_of(door):
    return ("h2c://" if door.protocol == "oip_grpc" else "http://") + door.address


@pytest.fixture(scope="module")
def proxies():
    """Of an upstream its proxy, in which rules are made through the control API."""
    with Lab() as lab:
        made = {}

        def proxy_before(door):
            upstream = upstream_of(door)
            if upstream not in made:
                made[upstream] = Proxy(lab, upstream, "--control", "127.0.0.1:0", "--seed", "7", "--mark")
            return made[upstream]

        yield proxy_before
        for proxy in made.values():
            assert proxy.stop()[0] == 0


class Way:
    """To one model: directly, and through a proxy."""

    def __init__(self, server, number, model, proxy_before):
        self.door = server.doors[number]
        self.model = model
        self.proxy = proxy_before(self.door)
        self.asked = 0

    def direct(self, rows, **which):
        return self.door.look(rows, **{"model": self.model, **which})

    def through(self, rows, headers=None, name=None, **which):
        self.asked += 1
        headers = {"X-Request-Id": name or f"r-{self.asked}", **(headers or {})}
        return self.door.look(rows, self.proxy.url, headers=headers, **{"model": self.model, **which})

    def add(self, fault, parameters):
        rule = {"id": "r", "fault": fault, "parameters": {key: str(value) for key, value in parameters.items()}}
        status, answer = self.proxy.ask("POST", "/rules", rule)
        assert status == 201, answer

    def counts(self):
        rule = self.proxy.ask("GET", "/rules/r")[1]
        return rule["eligible"], rule["selected"], rule["changed"]

    def skipped(self):
        """{reason: how many}"""
        return self.proxy.ask("GET", "/rules/r")[1]["skipped"]

    def last_hit(self):
        return self.proxy.ask("GET", "/hits?last=1")[1]

    def clear(self):
        assert self.proxy.ask("DELETE", "/rules")[0] == 204


@pytest.fixture
def way(request, proxies):
    server, number, model, _ = DOORS[request.param]
    way = Way(request.getfixturevalue(server), number, model, proxies)
    yield way
    way.clear()


every_door = pytest.mark.parametrize("way", DOORS, indirect=True)


@pytest.fixture(scope="module")
def rows(iris_rows):
    """Two of each class."""
    found = [[row for row, label in iris_rows if label == wanted][:2] for wanted in range(3)]
    return [row for pair in zip(*found) for row in pair]


# ---- what a fault does to the outputs of a row


def is_label(output):
    return len(output) == 1


def is_flipped(before, after):
    if is_label(before):
        return after[0] in (0, 1, 2) and after != before
    return sorted(after) == sorted(before) and after.index(max(after)) != before.index(max(before))


def is_another(before, after):
    """Drawn at random, so that a label may be the same again."""
    if is_label(before):
        return after[0] in (0, 1, 2)
    return after != before and sum(after) == pytest.approx(1, abs=1e-5)


def is_one(before, after):
    return after == ([1] if is_label(before) else [0, 1, 0])


def is_nan(before, after):
    return after == before if is_label(before) else all(map(math.isnan, after))


def is_noisy(before, after):
    """A label is another one then. Of scores nothing may be left but noise below 0: then they stay."""
    return after != before if is_label(before) else after == before or sum(after) == pytest.approx(1, abs=1e-5)


VALUES = {
    "random": ("prediction_corruption", {"corruption_rate": 1}, is_another),
    "flip": ("prediction_corruption", {"corruption_rate": 1, "type": "flip"}, is_flipped),
    "constant": ("prediction_corruption", {"corruption_rate": 1, "type": "constant", "value": "1"}, is_one),
    "nan": ("prediction_corruption", {"corruption_rate": 1, "type": "nan"}, is_nan),
    "drift": ("model_drift", {"drift_type": "sudden", "drift_rate": 1}, is_noisy),
    "drift_swap": ("model_drift", {"drift_type": "sudden", "drift_rate": 1, "operator": "swap"}, is_flipped),
}


def frame(seen):
    """What stands around the values of an answer: its text without numbers; of bytes, how many there are."""
    length = seen.fields.get("inference-header-content-length")
    if isinstance(seen.status, str) or length:
        return length, len(seen.body)
    return re.sub(rb"-?\b\d+(\.\d+)?([eE][-+]?\d+)?\b|NaN", b"#", seen.body)


@every_door
def test_untouched_it_is_the_same_answer(way, rows):
    honest, seen = way.direct(rows), way.through(rows)
    assert seen.status in (200, "OK") and seen.body == honest.body and len(seen.rows) == len(rows)
    own = {"date", "connection", "server", "keep-alive"}  # of uvicorn's moment, and of each connection
    assert {name: seen.fields.get(name) for name in seen.fields.keys() - own} == \
        {name: honest.fields.get(name) for name in honest.fields.keys() - own}


@every_door
@pytest.mark.parametrize("name", VALUES)
def test_values_are_falsified_and_nothing_else(way, rows, name):
    fault, parameters, as_meant = VALUES[name]
    honest = way.direct(rows)
    way.add(fault, parameters)
    seen = way.through(rows)
    assert seen.status == honest.status
    pairs = [pair for both in zip(honest.rows, seen.rows, strict=True) for pair in zip(*both, strict=True)]
    for before, after in pairs:
        assert as_meant(before, after), (before, after)
    assert frame(seen) == frame(honest)

    changed = sum(str(before) != str(after) for before, after in pairs)  # NaN is not NaN, but says so
    assert way.counts() == (len(pairs), len(pairs), changed)
    assert sum(way.skipped().values()) == len(pairs) - changed
    if changed:
        assert seen.fields["x-chaos-fault"] == fault
        assert way.last_hit()["id"] == f"r-{way.asked}" and way.last_hit()["fault"] == fault
    else:
        assert name == "nan" and seen.body == honest.body and "x-chaos-fault" not in seen.fields
    way.clear()
    assert way.through(rows).body == honest.body


@every_door
def test_an_answer_lacks_its_last_row(way, rows):
    honest = way.direct(rows)
    way.add("prediction_corruption", {"corruption_rate": 1, "type": "shape"})
    assert way.through(rows).rows == honest.rows[:-1]


@every_door
def test_a_stale_answer_is_that_of_the_request_before(way, rows):
    way.add("prediction_corruption", {"corruption_rate": 1, "type": "stale"})
    first, second = rows[:2], rows[2:4]
    assert way.through(first).body == way.direct(first).body
    assert way.through(second).rows == way.direct(first).rows != way.direct(second).rows
    assert way.through(first).rows == way.direct(second).rows, "what the server said, not what was sent on"


@every_door
def test_a_drift_begins_at_its_place(way, rows):
    honest = way.direct(rows)
    way.add("model_drift", {"drift_type": "sudden", "drift_rate": 1, "operator": "swap", "position": 3})
    assert [way.through(rows, name=f"d-{n}").body == honest.body for n in range(6)] == [True] * 3 + [False] * 3


@every_door
def test_a_prediction_comes_late(way, rows):
    honest = way.direct(rows)
    way.add("slow_inference", {"latency_ms": 400, "variance": 0})
    seen = way.through(rows)
    assert seen.body == honest.body and seen.seconds >= 0.4
    way.clear()
    way.add("slow_inference", {"latency_ms": 0, "body_ms": 450})
    seen = way.through(rows)
    assert seen.body == honest.body and seen.seconds >= 0.3
    way.clear()
    assert min(way.through(rows).seconds for _ in range(5)) < 0.3


# ---- a model that is not there


def own_error(way):
    """How the server itself says that a request makes no sense."""
    if way.door.protocol == "mlflow":
        return way.direct([["short"]])
    return way.direct([[5.1, 3.5, 1.4, 0.2]], model="nope")


# {mode: (parameters, HTTP status or what the client meets, gRPC status)}
UNAVAILABLE = {
    "error": ({}, 503, "UNAVAILABLE"),
    "error_500": ({"status": 500}, 500, "INTERNAL"),
    "quota": ({"mode": "quota", "quota": 0}, 429, "RESOURCE_EXHAUSTED"),
    "reset": ({"mode": "reset"}, "ConnectionResetError", "INTERNAL"),  # as gRPC calls a stream that is reset
    "refused": ({"mode": "refused"}, "ConnectionRefusedError", "UNAVAILABLE"),
    "partial": ({"mode": "partial"}, "ConnectionResetError", "INTERNAL"),
    "hang": ({"mode": "hang"}, "TimeoutError", "DEADLINE_EXCEEDED"),
}


@every_door
@pytest.mark.parametrize("mode", UNAVAILABLE)
def test_a_model_is_unavailable_in_its_own_words(way, rows, mode):
    parameters, http_end, grpc_end = UNAVAILABLE[mode]
    honest = way.direct(rows)
    way.add("model_unavailable", parameters)
    seen = way.through(rows, timeout=2 if mode == "hang" else 30)
    if way.door.protocol == "oip_grpc":
        assert seen.status == grpc_end
        if isinstance(http_end, int):
            assert "unavailable" in seen.error.lower() or "quota" in seen.error.lower(), seen.error
    elif isinstance(http_end, int):
        own = own_error(way)
        assert seen.status == http_end
        assert set(json.loads(seen.body)) <= set(json.loads(own.body))
        assert seen.fields["content-type"].partition(";")[0] == own.fields["content-type"].partition(";")[0]
        assert seen.fields["retry-after"] == "1"
    else:
        assert type(seen.error).__name__ == http_end, seen
    assert way.counts()[2] == 1
    way.clear()
    assert way.through(rows).body == honest.body


@every_door
def test_the_first_requests_fail_then_it_is_there_again(way, rows):
    way.add("model_unavailable", {"first": 2})
    assert [way.through(rows, name=f"f-{n}").status in (200, "OK") for n in range(4)] == [False, False, True, True]


@every_door
def test_batches_fail_as_a_whole(way, rows):
    way.add("batch_processing_failure", {"failure_rate": 1, "min_rows": 3})
    assert way.through(rows[:2]).body == way.direct(rows[:2]).body
    assert way.skipped() == {"fewer rows": 1}
    assert way.through(rows[:3]).status in (500, "INTERNAL")
    assert way.counts() == (1, 1, 1)


# ---- another model


@pytest.mark.parametrize("name", DOORS)
def test_another_model_answers(request, proxies, iris_rows, name):
    server, number, model, instead = DOORS[name]
    way = Way(request.getfixturevalue(server), number, model, proxies)
    if instead is None:
        instead = request.getfixturevalue("mlflow_old_server").doors[0].url
    way.add("wrong_version", {"fallback_model": instead})

    def accuracy_through_the_proxy():
        return accuracy(way.door.predict(features(iris_rows), way.proxy.url, model=way.model), iris_rows)

    try:
        assert accuracy_through_the_proxy() == OLD_ACCURACY
        assert way.counts()[2] >= 1
    finally:
        way.clear()
    assert accuracy_through_the_proxy() == ACCURACY


# ---- which requests


def feature(way):
    """The petal's length, as a request in that protocol names it."""
    return {"mlflow": "petal_length", "oip": '"input-0[2]"', "oip_grpc": '"input-0[2]"'}.get(way.door.protocol, '"[2]"')


@every_door
def test_filters_choose_requests(way, rows):
    short, long = [5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]
    path = re.escape(way.door.path(way.model, None))
    acme = {"X-Tenant": "acme"}
    # (filter, a request that it lets through, one that it does not)
    cases = [({"path": f"^{path}$"}, {}, None), ({"path": "^/nowhere"}, None, {}),
             ({"header": "X-Tenant: ^acme$"}, {"headers": acme}, {"headers": {"X-Tenant": "acmes"}}),
             ({"header": "x-tenant: ^a+b$"}, {"headers": {"X-Tenant": "a" * 300 + "b"}}, {"headers": {"X-Tenant": "a" * 300}}),
             ({"where": f"{feature(way)} > 5"}, {"rows": [long]}, {"rows": [short]}),
             ({"path": path, "header": "X-Tenant: .", "where": f"{feature(way)} > 5"}, {"rows": [short, long], "headers": acme},
              {"rows": [long]})]
    if way.door.protocol != "mlflow":
        cases.append(({"model": way.model}, {}, None))
        cases.append(({"model": "another"}, None, {}))
    for parameters, inside, outside in cases:
        way.add("model_unavailable", parameters)
        for which, reached in ((inside, True), (outside, False)):
            if which is not None:
                seen = way.through(which.pop("rows", rows), **which)
                assert (seen.status not in (200, "OK")) == reached, (parameters, seen)
        assert way.counts()[2] == (inside is not None)
        way.clear()


def test_the_same_seed_hits_the_same_requests_whatever_the_protocol(request, rows, tmp_path):
    names = [f"r-{n}" for n in range(40)]

    def one_by_one(door, url):
        return [door.look(rows[:1], url, headers={"X-Request-Id": name}).status for name in names]

    def at_once(door, url):
        calls = [{"rows": rows[:1], "metadata": {"x-request-id": name}} for name in names]
        return [call["code"] for call in door.ask_all(calls, url, at_once=8)]

    def hits(door, seed, name, ask=one_by_one):
        file = tmp_path / name
        with Lab() as lab:
            proxy = Proxy(lab, upstream_of(door), "--seed", seed, "--hits", file, "--fault", "model_unavailable",
                          "--param", "failure_rate=0.5", "--param", "share=0.8")
            failed = {name for name, status in zip(names, ask(door, proxy.url), strict=True) if status not in (200, "OK")}
            assert proxy.stop()[0] == 0
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert {line["id"] for line in lines} == failed and len(lines) == len(failed)
        assert {line["path"] for line in lines} == {door.path("iris", None)}
        return failed

    mlflow = request.getfixturevalue("mlflow_server").doors[0]
    kserve = request.getfixturevalue("kserve_server")
    first = hits(mlflow, "7", "a")
    assert 8 < len(first) < 24
    assert hits(mlflow, "7", "b") == hits(kserve.v2, "7", "c") == hits(kserve.grpc, "7", "d") == first
    assert hits(kserve.grpc, "7", "e", at_once) == first
    assert hits(kserve.grpc, "8", "f") != first


# ---- the clients that KServe comes with


@pytest.fixture(scope="module")
def kserve_client(serving_python):
    client = subprocess.Popen([serving_python, HERE / "servers" / "kserve_client.py"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)

    def ask(speaks, url, rows):
        client.stdin.write(json.dumps({"speaks": speaks, "url": url, "model": "iris", "rows": rows}) + "\n")
        client.stdin.flush()
        return json.loads(client.stdout.readline())

    yield ask
    client.communicate()


@pytest.mark.parametrize("speaks, way", [("v1", "kserve_v1"), ("v2", "kserve_v2"), ("grpc", "kserve_grpc")], indirect=["way"])
def test_kserve_s_own_clients_meet_the_faults(kserve_client, way, rows, speaks):
    def seen():
        return kserve_client(speaks, way.proxy.url, rows)

    honest = kserve_client(speaks, way.door.url, rows)
    assert seen() == honest and len(honest["classes"]) == len(rows)

    way.add("prediction_corruption", {"corruption_rate": 1, "type": "flip"})
    assert all(one != other for one, other in zip(seen()["classes"], honest["classes"], strict=True))
    way.clear()

    way.add("model_unavailable", {})
    failed = seen()
    assert "unavailable" in json.dumps(failed).lower() and "error" in failed
    # Over gRPC it tries three times before it gives up.
    assert way.counts()[2] == (3 if speaks == "grpc" else 1)
    way.clear()
    way.add("model_unavailable", {"first": 2})
    assert [seen() == honest for _ in range(3)] == ([True] * 3 if speaks == "grpc" else [False, False, True])


def test_grpc_goes_through_tls_on_both_sides(kserve_server, rows, tmp_path):
    certificates = Certificates(tmp_path)
    honest = kserve_server.grpc.look(rows)
    ours = ["--tls-cert", certificates.certificate, "--tls-key", certificates.key]
    with Lab() as lab:
        inner = Proxy(lab, upstream_of(kserve_server.grpc), *ours)
        outer = Proxy(lab, f"https://localhost:{inner.port}", "--upstream-ca", certificates.ca, *ours, "--control", "127.0.0.1:0")
        door = GrpcDoor(f"https://localhost:{outer.port}", authorities=certificates.ca)
        assert door.look(rows).body == honest.body
        flip = {"fault": "prediction_corruption", "parameters": {"corruption_rate": 1, "type": "flip"}}
        assert outer.ask("POST", "/rules", flip)[0] == 201
        assert all(one != other for one, other in zip(door.look(rows).rows, honest.rows, strict=True))
        assert outer.stop()[0] == inner.stop()[0] == 0


# ---- messages that are compressed, and would be


def test_a_compressed_message_is_left_alone(kserve_server, proxies, rows):
    way = Way(kserve_server, 3, "iris", proxies)
    way.door = GrpcDoor(way.door.url, gzip=True)
    honest = way.direct(rows)
    try:
        way.add("wrong_version", {"fallback_model": "iris_old"})
        assert way.through(rows).body == honest.body
        assert way.counts()[2] == 0 and way.skipped() == {"encoded": 1}
        way.clear()
        way.add("prediction_corruption", {"corruption_rate": 1, "type": "flip"})  # answers are not compressed
        assert all(one != other for one, other in zip(way.through(rows).rows, honest.rows, strict=True))
    finally:
        way.clear()



class Compressing(published_shapes.Triton):
    def post(self, path, headers, body):
        self.asked_for = headers.get("Accept-Encoding")
        status, answer, *more = super().post(path, headers, body)
        if "gzip" not in (self.asked_for or ""):
            return status, answer, *more
        fields = {**(more[0] if more else {"Content-Type": "application/json"}), "Content-Encoding": "gzip"}
        return status, gzip.compress(answer, mtime=0), fields


def test_answers_are_not_compressed_while_a_fault_reads_them(proxies, rows):
    server = Compressing()
    try:
        server.doors = [V2Door(server.url)]
        way = Way(server, 0, "iris", proxies)
        way.door.outputs = lambda answer: None  # of compressed bytes
        wanted = {"Accept-Encoding": "gzip"}
        honest = way.direct(rows, headers=wanted)
        assert honest.fields["content-encoding"] == "gzip"
        assert way.through(rows, headers=wanted).body == honest.body
        for fault, parameters, encoding in [("slow_inference", {"latency_ms": 1}, "gzip"),
                                            ("prediction_corruption", {"corruption_rate": 1, "type": "flip"}, "identity")]:
            way.add(fault, parameters)
            seen = way.through(rows, headers=wanted)
            assert server.asked_for == encoding
            assert way.counts()[2] == (2 * len(rows) if encoding == "identity" else 1)  # it has two outputs
            assert ("content-encoding" in seen.fields) == (encoding == "gzip")
            way.clear()
        assert way.through(rows, headers=wanted).body == honest.body and server.asked_for == "gzip"
    finally:
        server.close()


# ---- a protocol that does not match


@pytest.mark.parametrize("named, server, number", [("torchserve", "mlflow_server", 0), ("mlflow", "kserve_server", 1),
                                                   ("oip", "kserve_server", 0), ("kserve_v1", "tfserving_double", 0),
                                                   ("oip_grpc", "kserve_server", 3), ("mlflow", "kserve_server", 3)])
def test_a_protocol_that_is_named_is_the_only_one(request, rows, named, server, number):
    door = request.getfixturevalue(server).doors[number]
    honest = door.look(rows)
    matches = named == door.protocol
    with Lab() as lab:
        proxy = Proxy(lab, upstream_of(door), "--protocol", named, "--json", "--fault", "prediction_corruption",
                      "--param", "corruption_rate=1", "--param", "type=flip")
        assert (door.look(rows, proxy.url).body != honest.body) == matches
        code, out, _ = proxy.stop()
    rule, = json.loads(out)["rules"]
    assert code == 0 and (rule["changed"] > 0) == matches
    assert rule["skipped"] == ({} if matches else {"no prediction request": 1})
