# SPDX-License-Identifier: MIT
"""`chaoseater proxy`: seen by ordinary HTTP clients, in front of a server of Python's library."""

import http.client
import http.server
import json
import re
import signal
import socket
import threading
import time

import pytest
from lab import Lab, Proxy, wait_for

SCORES = [0.125, 0.25, 0.5, 0.8312]


class Model(http.server.BaseHTTPRequestHandler):
    """Answers in the Open Inference Protocol; its predictions say nothing about the request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms behind its head

    def do_POST(self):
        self.server.seen.append(self.path)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {
            "model_name": "m",
            "outputs": [{"name": "score", "datatype": "FP64", "shape": [len(SCORES)], "data": SCORES}],
        }
        self.answer(json.dumps(answer).encode())

    def do_GET(self):
        self.answer(b'{"ready": true}')

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("x-LOWER-upper", "kept as it is")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen, self.bodies = [], []  # paths, and bodies, of POSTs

    def handle_error(self, *_):  # a client that went away is what these tests are about
        pass


@pytest.fixture(scope="module")
def model():
    server = Server(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture
def start(lab, model):
    return lambda *arguments: Proxy(lab, f"127.0.0.1:{model.server_address[1]}", *arguments)


def predictions_of(body):
    return json.loads(body)["outputs"][0]["data"]


# ---- passing, and ending


def test_what_no_rule_touches_comes_through_byte_for_byte(start, model):
    def raw(port):
        with socket.create_connection(("127.0.0.1", port)) as stream:
            stream.sendall(b"GET /v2 HTTP/1.1\r\nhOsT: here\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: stream.recv(65536), b""))

    proxy = start()
    without_date = [re.sub(rb"\r\nDate: [^\r]*", b"", raw(port)) for port in (model.server_address[1], proxy.port)]
    assert b"x-LOWER-upper: kept as it is\r\n" in without_date[0]
    assert without_date[0].replace(b"Connection: close\r\n", b"") == without_date[1].replace(b"Connection: close\r\n", b"")
    assert proxy.stop()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(start, number):
    proxy = start("--json", "--seed", "5")
    connection = proxy.connect()
    for n in range(3):
        assert proxy.predict(connection, f"r-{n}")[0].status == 200
    code, out, _ = proxy.stop(number)
    result = json.loads(out)
    assert code == 0
    assert result["requests"] == result["responses"] == 3
    assert result["connections"] == 1 and result["errors"] == 0
    assert result["drained"] is True and result["seed"] == 5
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))


def test_what_is_under_way_is_answered_before_it_ends(start):
    proxy = start("--control", "127.0.0.1:0", "--fault", "slow_inference", "--param", "latency_ms=700")
    connection = proxy.connect()
    connection.request("POST", "/v2/models/m/infer", b"{}")
    wait_for(lambda: proxy.ask("GET", "/rules")[1][0]["changed"] == 1, "the request is held")
    proxy.process.send_signal(signal.SIGTERM)
    assert connection.getresponse().status == 200
    assert proxy.process.wait(timeout=60) == 0


def test_an_upstream_that_is_not_there_is_a_502_with_a_sentence(lab):
    with socket.socket() as taken:  # bound, not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        proxy = Proxy(lab, f"127.0.0.1:{taken.getsockname()[1]}")
        response, body = proxy.predict(proxy.connect(), "r-0")
    assert response.status == 502
    assert b"Cannot connect to the upstream" in body
    assert proxy.stop()[0] == 0


# ---- faults


def test_a_share_is_of_requests_and_the_seed_says_which(start, tmp_path):
    def hit_by(seed, name):
        hits = tmp_path / name
        proxy = start("--seed", seed, "--hits", hits, "--fault", "model_unavailable", "--param", "failure_rate=0.5")
        connections = [proxy.connect() for _ in range(4)]
        failed = set()
        for n in range(400):
            if proxy.predict(connections[n % 4], f"r-{n}")[0].status == 503:
                failed.add(f"r-{n}")
        assert proxy.stop()[0] == 0
        noted = [json.loads(line) for line in hits.read_text().splitlines()]
        assert {hit["id"] for hit in noted} == failed
        assert all(hit["fault"] == hit["rule"] == "model_unavailable" and hit["action"] for hit in noted)
        return failed

    first = hit_by("7", "a.jsonl")
    assert 150 < len(first) < 250, "half of the requests, though there are only four connections"
    assert hit_by("7", "b.jsonl") == first
    assert hit_by("8", "c.jsonl") != first


def test_a_delay_is_felt_by_a_client(start):
    proxy = start("--fault", "slow_inference", "--param", "latency_ms=300", "--param", "variance=0",
                  "--param", "path=^/v2/models/slow/")
    connection = proxy.connect()

    def seconds(path):
        begun = time.monotonic()
        assert proxy.predict(connection, "r", path)[0].status == 200
        return time.monotonic() - begun

    assert min(seconds("/v2/models/slow/infer") for _ in range(3)) >= 0.3
    assert min(seconds("/v2/models/m/infer") for _ in range(5)) < 0.3
    assert proxy.stop()[0] == 0


def test_a_falsified_prediction_changes_nothing_but_its_digits(start, model):
    proxy = start("--fault", "prediction_corruption", "--param", "corruption_rate=1", "--param", "type=flip", "--mark")
    direct = http.client.HTTPConnection("127.0.0.1", model.server_address[1])
    _, honest = proxy.predict(direct, "r-0")
    response, false = proxy.predict(proxy.connect(), "r-0")
    assert predictions_of(false) == pytest.approx([1 - score for score in SCORES], abs=1e-12)
    assert re.sub(rb"0\.\d+", b"#", false) == re.sub(rb"0\.\d+", b"#", honest)
    assert response.getheader("X-Chaos-Fault") == "prediction_corruption"
    assert response.getheader("x-LOWER-upper") == "kept as it is"
    assert proxy.stop()[0] == 0


def test_values_of_live_requests_go_missing(start, tmp_path, model):
    (tmp_path / "columns.csv").write_text("age,income\n20,1.5\n60,2.5\n")
    proxy = start("--stats", tmp_path / "columns.csv", "--hits", tmp_path / "hits.jsonl",
                  "--fault", "missing_data", "--param", "missing_rate=1", "--param", "columns=age")
    tensors = [{"name": name, "shape": [1], "datatype": "FP64", "data": [40.5]} for name in ("age", "income")]
    connection = proxy.connect()
    connection.request("POST", "/v2/models/m/infer", json.dumps({"inputs": tensors}))
    assert connection.getresponse().status == 200
    tensors[0]["data"] = [None]
    assert json.loads(model.bodies[-1]) == {"inputs": tensors}
    assert proxy.stop()[0] == 0
    assert "changed 1 value" in (tmp_path / "hits.jsonl").read_text()


def test_whatever_its_name_a_request_is_counted_and_noted(start, tmp_path):
    proxy = start("--hits", tmp_path / "hits.jsonl", "--fault", "model_unavailable", "--json")
    names = ["probe-1", "b-1", "f-1", "\u00e9", '"']
    connection = proxy.connect()
    for name in names:
        assert proxy.predict(connection, name)[0].status == 503
    (rule,) = json.loads(proxy.stop()[1])["rules"]
    noted = [json.loads(line)["id"] for line in (tmp_path / "hits.jsonl").read_text().splitlines()]
    assert noted[:3] + noted[4:] == names[:3] + names[4:] and rule["changed"] == len(noted) == len(names)


def test_wrong_version_asks_for_another_one(start, model):
    proxy = start("--fault", "wrong_version", "--param", "fallback_model=3")
    model.seen.clear()
    proxy.predict(proxy.connect(), "r-0")
    assert model.seen == ["/v2/models/m/versions/3/infer"]
    assert proxy.stop()[0] == 0


def test_wrong_version_asks_another_server(start, lab):
    other = Server(("127.0.0.1", 0), Model)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    proxy = start("--fault", "wrong_version", "--param", f"fallback_model=http://127.0.0.1:{other.server_address[1]}",
                  "--param", "share=0.5", "--seed", "1")
    connection = proxy.connect()
    for n in range(40):
        assert proxy.predict(connection, f"r-{n}")[0].status == 200
    assert 8 < len(other.seen) < 32
    assert proxy.stop()[0] == 0
    other.shutdown()
    other.server_close()


# ---- the control API


@pytest.fixture
def controlled(start):
    proxy = start("--control", "127.0.0.1:0", "--seed", "7")
    yield proxy
    assert proxy.stop()[0] == 0


def test_rules_come_change_and_go_under_traffic(controlled):
    connection = controlled.connect()
    assert controlled.ask("GET", "/rules") == (200, [])
    assert controlled.predict(connection, "r-0")[0].status == 200

    status, rule = controlled.ask("POST", "/rules", {
        "id": "down", "fault": "model_unavailable", "parameters": {"failure_rate": 1, "status": 500},
        "share": 1, "filter": {"header": {"X-Tenant": "^a"}, "path": "infer$"},
    })
    assert status == 201
    assert rule["id"] == "down" and rule["filter"] == {"header": {"X-Tenant": "^a"}, "path": "infer$"}
    assert controlled.predict(connection, "r-1")[0].status == 200
    assert controlled.predict(connection, "r-2", **{"X-Tenant": "abc"})[0].status == 500

    status, rule = controlled.ask("PATCH", "/rules/down", {"parameters": {"status": 503}})
    assert status == 200 and rule["parameters"]["status"] == 503 and rule["changed"] == 1
    assert controlled.predict(connection, "r-3", **{"X-Tenant": "abc"})[0].status == 503
    assert controlled.ask("PATCH", "/rules/down", {"intensity": 0})[1]["intensity"] == 0
    assert controlled.predict(connection, "r-4", **{"X-Tenant": "abc"})[0].status == 200
    assert controlled.ask("PATCH", "/rules/down", {"intensity": 1})[0] == 200

    status, hits = controlled.ask("GET", "/hits")
    noted = [json.loads(line) for line in hits.splitlines()]
    assert [hit["id"] for hit in noted] == ["r-2", "r-3"]
    assert set(noted[0]) == {"n", "id", "rule", "fault", "at", "connection", "path", "action"}
    assert len(controlled.ask("GET", "/hits?last=1")[1]["id"]) > 0

    metrics = controlled.ask("GET", "/metrics")[1]
    assert "chaoseater_proxy_requests_total 5" in metrics
    assert 'chaoseater_rule_changed_total{rule="down",fault="model_unavailable"} 2' in metrics

    assert controlled.ask("DELETE", "/rules/down") == (204, "")
    assert controlled.predict(connection, "r-5", **{"X-Tenant": "abc"})[0].status == 200
    assert controlled.ask("GET", "/health")[1]["status"] == "ok"


def test_taking_a_rule_away_lets_go_of_what_it_held(controlled):
    assert controlled.ask("POST", "/rules", {"fault": "slow_inference", "parameters": {"latency_ms": 600000, "variance": 0}})[0] == 201
    connection = controlled.connect()
    connection.request("POST", "/v2/models/m/infer", b"{}")
    wait_for(lambda: controlled.ask("GET", "/rules")[1][0]["changed"] == 1, "the request is held")
    assert controlled.ask("DELETE", "/rules/slow_inference")[0] == 204
    assert connection.getresponse().status == 200


@pytest.mark.parametrize("document, status, words", [
    ({"fault": "slow_inferense"}, 400, "slow_inference"),
    ({"fault": "slow_inference", "parameters": {"latency_m": 3}}, 400, "latency_ms"),
    ({"fault": "slow_inference", "parameters": {"latency_ms": -3}}, 400, "latency_ms"),
    ({"fault": "slow_inference", "share": 2}, 400, "share"),
    ({"fault": "slow_inference", "filter": {"path": "("}}, 400, "path"),
    ({"fault": "slow_inference", "filter": {"pth": "x"}}, 400, "path"),
    ({"fault": "slow_inference", "intensity": 3}, 400, "intensity"),
    ({"fault": "memory_leak"}, 400, "needs a run"),
    ({"fault": "node_failure"}, 400, "needs a run"),
    ({"fault": "missing_data", "parameters": {"where": "age >"}}, 400, "where"),
    ({"fault": "slow_inference", "share": 0.5, "parameters": {"share": 0.1}}, 400, "one of them"),
    ({"fault": "slow_inference", "filter": {"path": "a"}, "parameters": {"path": "b"}}, 400, "one of them"),
    ({}, 400, "fault"),
    ([], 400, "object"),
    ({"id": "no/slash", "fault": "slow_inference"}, 400, "id"),
    ({"id": "there", "fault": "slow_inference"}, 409, "there"),
])
def test_a_rule_that_is_wrong_is_refused_with_a_sentence(controlled, document, status, words):
    controlled.ask("POST", "/rules", {"id": "there", "fault": "slow_inference", "parameters": {"latency_ms": 1}})
    got, answer = controlled.ask("POST", "/rules", document)
    assert got == status, answer
    assert words in answer["error"]
    assert [rule["id"] for rule in controlled.ask("GET", "/rules")[1]] == ["there"]


def test_requests_that_make_no_sense_are_refused(controlled):
    assert controlled.ask("GET", "/nowhere")[0] == 404
    assert controlled.ask("GET", "/rules/none")[0] == 404
    assert controlled.ask("PUT", "/rules", {})[0] == 405
    assert controlled.ask("POST", "/health", {})[0] == 405
    assert controlled.ask("GET", "/rules", None, Origin="http://example.org")[0] == 403


def test_a_change_that_cannot_be_leaves_the_rule_as_it_was(controlled):
    controlled.ask("POST", "/rules", {"id": "r", "fault": "model_unavailable", "parameters": {"status": 500}})
    assert controlled.ask("PATCH", "/rules/r", {"parameters": {"status": 5000}})[0] == 400
    assert controlled.ask("PATCH", "/rules/r", {"fault": "slow_inference"})[0] == 400
    assert controlled.predict(controlled.connect(), "r-0")[0].status == 500


def test_a_change_keeps_what_it_does_not_change(controlled):
    def rule(name, kind):
        return {"id": name, "fault": "prediction_corruption", "parameters": {"corruption_rate": 1, "type": kind}}

    connection = controlled.connect()
    flipped_then_biased = pytest.approx([(1 - score) * 1.5 for score in SCORES], abs=1e-12)
    assert [controlled.ask("POST", "/rules", rule(*names))[0] for names in [("a", "flip"), ("b", "bias")]] == [201, 201]
    assert predictions_of(controlled.predict(connection, "r-0")[1]) == flipped_then_biased
    assert controlled.ask("PATCH", "/rules/a", {"filter": {"path": "infer$"}})[0] == 200
    assert [rule["id"] for rule in controlled.ask("GET", "/rules")[1]] == ["a", "b"]
    assert predictions_of(controlled.predict(connection, "r-1")[1]) == flipped_then_biased

    assert controlled.ask("PATCH", "/rules/a", {"intensity": 0.5})[0] == 200
    rule = controlled.ask("PATCH", "/rules/a", {"parameters": {"type": "random"}})[1]
    assert (rule["intensity"], rule["eligible"]) == (0.5, 2 * len(SCORES))


def test_a_rule_that_cannot_be_put_back_is_gone_and_the_answer_says_so(controlled, tmp_path):
    delays = tmp_path / "delays"
    delays.write_text("1\n")
    parameters = {"distribution": "recorded", "file": str(delays)}
    assert controlled.ask("POST", "/rules", {"id": "r", "fault": "slow_inference", "parameters": parameters})[0] == 201
    delays.unlink()
    status, answer = controlled.ask("PATCH", "/rules/r", {"share": 0.5})
    assert status == 400 and "the rule is gone" in answer["error"] and str(delays) in answer["error"]
    assert controlled.ask("GET", "/rules") == (200, [])
    assert controlled.predict(controlled.connect(), "r-0")[0].status == 200


# ---- what it is told


@pytest.mark.parametrize("arguments, code, words", [
    (["--listen", "127.0.0.1:0"], 2, "--upstream"),
    (["--listen", "nonsense", "--upstream", "127.0.0.1:1"], 2, "nonsense"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:99999"], 2, "99999"),
    (["--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1/prefix"], 2, "has a path"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--fault", "memory_leak"], 2, "needs a run"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--fault", "missing_data"], 2, "--stats FILE"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--fault", "slow_inferenc"], 2, "slow_inference"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--fault", "slow_inference", "--param", "latency_m=1"], 2, "latency_ms"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--protocol", "soap"], 2, "soap"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--protocol", "json"], 2, "path to the prediction"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--protocol", "json", "--prediction", "$.["], 2, "$.["),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--tls-cert", "x.pem"], 2, "--tls-key"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--drain", "soon"], 2, "drain"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--hits", "/nowhere/x"], 2, "/nowhere/x"),
    (["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--protocol", "mlflow", "--fault", "wrong_version",
      "--param", "fallback_model=2"], 2, "URL"),
])
def test_bad_input_is_one_sentence_and_an_exit_code(lab, arguments, code, words):
    done = lab.run("proxy", *arguments, timeout=30)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_sentence_and_exit_4(lab, model):
    port = model.server_address[1]
    done = lab.run("proxy", "--listen", f"127.0.0.1:{port}", "--upstream", "127.0.0.1:1", timeout=30)
    assert done.returncode == 4
    assert str(port) in done.stderr and done.stderr.count("\n") == 1


def test_it_takes_no_port_with_it_when_it_is_killed(start):
    proxy = start("--fault", "slow_inference")
    proxy.process.kill()
    proxy.process.wait()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))


def test_hits_that_cannot_be_written_are_told_with_all_that_was_counted(start):
    proxy = start("--json", "--hits", "/dev/full", "--fault", "model_unavailable")
    assert proxy.predict(proxy.connect(), "r-0")[0].status == 503
    code, out, err = proxy.stop()
    assert code == 4
    assert json.loads(out)["hits_lost"] is True and json.loads(out)["requests"] == 1
    assert "/dev/full" in err
