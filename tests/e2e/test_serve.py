# SPDX-License-Identifier: MIT
"""`chaoseater serve`: the API, who may use it, what it shows of real suites, and how they are started and ended."""
import json
import os
import signal
import socket
import stat
import urllib.parse

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab import Lab, wait_for
from serving import Events, Serve


def plan(lab, *names, path="chaos.yaml", **more):
    experiments = [{"name": name, "layer": "model", "fault_type": "slow_inference", "duration": "400ms", "baseline": "400ms",
                    "parameters": {"latency_ms": 60, "variance": 0}, **more} for name in names]
    (lab.folder / path).write_text(json.dumps({"seed": 7, "pipeline": {"rate": 50, "rows": 300}, "experiments": experiments}))
    return path


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.kept_folders.append(str(lab.state / "watch"))
        yield lab


# ---- the page and its surroundings ----

def test_every_answer_is_guarded(lab):
    serve = Serve(lab)
    for path, kind in [("/", "text/html"), ("/app.js", "text/javascript"), ("/app.css", "text/css"), ("/health", "application/json"),
                       ("/api/openapi.json", "application/json"), ("/nothing", "application/json")]:
        status, headers, _ = serve.ask("GET", path)
        assert status == (404 if path == "/nothing" else 200)
        assert headers["content-type"].startswith(kind)
        assert "default-src 'none'" in headers["content-security-policy"] and "'unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert serve.get("/health")["status"] == "ok"
    assert serve.ask("HEAD", "/health")[0] == 200


@pytest.mark.parametrize("method, path, body, status, says", [
    ("GET", "/api/v1/nothing", None, 404, "there is no '/api/v1/nothing'"),
    ("PUT", "/api/v1/runs", b"", 405, "this takes GET, HEAD, and no PUT"),
    ("GET", "/api/v1/suites", None, 405, "this takes POST, and no GET"),
    ("GET", "/api/v1/runs?min_score=high", None, 400, "min_score: 'high' is no number"),
    ("GET", "/api/v1/runs?limit=1001", None, 400, "limit: '1001' is no whole number in 0..1000"),
    ("GET", "/api/v1/runs?limit=0", None, 400, "limit: '0' is no whole number in 1..1000"),
    ("GET", "/api/v1/runs?sort=beauty", None, 400, "beauty"),
    ("GET", "/api/v1/runs?since=soon", None, 400, "soon"),
    ("GET", "/api/v1/runs/none", None, 404, "no run in the history is called 'none'"),
    ("GET", "/api/v1/runs/none/report", None, 404, "no run in the history is called 'none'"),
    ("GET", "/api/v1/compare?a=x", None, 400, "b: has to be given"),
    ("GET", "/api/v1/trends", None, 400, "name: has to be given"),
    ("POST", "/api/v1/suites", b"{", 400, "the body"),
    ("POST", "/api/v1/suites", [], 400, "the body is no JSON object"),
    ("POST", "/api/v1/suites", {}, 400, "document: has to be given"),
    ("POST", "/api/v1/suites", {"document": "/etc/passwd"}, 404, "there is no document '/etc/passwd' that may be run from here"),
    ("POST", "/api/v1/suites", {"document": "demo", "set": []}, 400, "unknown key 'set'"),
    ("POST", "/api/v1/suites", {"document": "demo", "seed": -1}, 400, "seed: is no whole number"),
    ("POST", "/api/v1/suites", {"document": "demo", "only": "x"}, 400, "only: is no list"),
    ("POST", "/api/v1/suites/none/abort", {}, 404, "no suite 'none' goes on"),
    ("POST", "/api/v1/stop", {"release": 1}, 400, "'release'"),
    ("POST", "/api/v1/stop", {"x": "y" * 70000}, 413, "the body is longer than 65536 bytes"),
])
def test_what_cannot_be_is_refused_in_one_sentence(lab, method, path, body, status, says):
    serve = Serve(lab)
    headers = {"Content_Type": "application/json"} if isinstance(body, bytes) else {}
    found, answered, answer = serve.ask(method, path, body, True, **headers)
    assert found == status, answer
    assert says in answer["error"]["message"] and answer["error"]["status"] == status
    assert found != 405 or answered["allow"]


def test_a_body_that_is_no_json_is_refused(lab):
    """What a form of another page may send."""
    serve = Serve(lab)
    assert serve.ask("POST", "/api/v1/stop", b"release=true", True, Content_Type="application/x-www-form-urlencoded")[0] == 415
    assert serve.ask("POST", "/api/v1/stop", b"{}", True, Content_Type="text/plain")[0] == 415


# ---- who may ----

ACTIONS = [("/api/v1/suites", {"document": "demo"}), ("/api/v1/suites/x/abort", {}), ("/api/v1/stop", {})]


@pytest.mark.parametrize("token", [False, "0" * 64, "short"])
def test_actions_need_the_token(lab, token):
    serve = Serve(lab)
    for path, body in ACTIONS:
        status, headers, answer = serve.ask("POST", path, body, token)
        assert status == 401 and headers["www-authenticate"] == "Bearer"
        assert "the token is missing or wrong" in answer["error"]["message"]
    assert not (lab.state / "stop").exists()
    assert serve.get("/api/v1/status")["authorized"] is False
    assert serve.ask("GET", "/api/v1/status", token=True)[2]["authorized"] is True


@pytest.mark.parametrize("headers, status", [
    ({"Host": "evil.example"}, 403),
    ({"Host": "127.0.0.1.evil.example:1"}, 403),
    ({"Host": "localhost:9999"}, 200),  # through a tunnel
    ({"Host": "[::1]"}, 200),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
])
def test_pages_of_others_are_kept_out(lab, headers, status):
    serve = Serve(lab)
    assert serve.ask("GET", "/api/v1/runs", **headers)[0] == status
    assert serve.ask("POST", "/api/v1/stop", {"release": True}, True, **headers)[0] == status
    own = {"Origin": f"http://{serve.listen}"}
    assert serve.ask("POST", "/api/v1/stop", {"release": True}, True, **own)[0] == 200


def test_beyond_loopback_reading_needs_the_token_too(lab):
    serve = Serve(lab, listen="0.0.0.0:0")
    serve.host = "127.0.0.1"
    for path in ["/api/v1/runs", "/api/v1/status", "/api/v1/live", "/metrics", "/api/v1/events"]:
        assert serve.ask("GET", path)[0] == 401, path
    assert serve.ask("GET", "/api/v1/runs", token=True)[0] == 200
    assert serve.ask("GET", "/metrics", token=True)[0] == 200
    for path in ["/", "/app.js", "/health"]:  # nothing to see there
        assert serve.ask("GET", path)[0] == 200, path
    events = Events(serve, path=f"/api/v1/events?token={serve.token}")
    assert events.status == 200
    events.close()


def test_the_token_is_kept_and_nobody_elses(lab):
    first = Serve(lab)
    token, file = first.token, lab.state / "serve.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.read_text() == token + "\n" and len(token) == 64
    assert first.url == f"http://{first.listen}/#token={token}"
    assert first.stop() == (0, "")
    second = Serve(lab)
    assert second.token == token
    second.stop()
    file.chmod(0o644)
    refused = lab.run("serve", "--listen", "127.0.0.1:0")
    assert refused.returncode == 2 and "can be read by others" in refused.stderr
    file.chmod(0o600)
    file.write_text("secret\n")
    refused = lab.run("serve", "--listen", "127.0.0.1:0")
    assert refused.returncode == 2 and "holds no token" in refused.stderr


# ---- what goes on ----

def test_a_suite_is_started_shown_and_recorded(lab):
    serve = Serve(lab, plan(lab, "one", "two"))
    events = Events(serve)
    assert events.status == 200 and events.headers["content-type"] == "text/event-stream"
    assert serve.get("/api/v1/status")["documents"] == [{"name": "chaos.yaml", "experiments": 2},
                                                        {"name": "demo", "experiments": 29}]
    status, started = serve.post("/api/v1/suites", {"document": "chaos.yaml", "only": ["two"], "seed": 11})
    assert status == 202
    suite = serve.wait_for_end()[0]
    assert (suite["suite"], suite["pid"], suite["document"], suite["exit_code"]) == (started["suite"], started["pid"], "chaos.yaml", 0)
    [run] = suite["runs"]
    assert (run["experiment"], run["state"], run["status"], run["verdict"]) == ("two", "ended", "completed", "passed")
    assert run["samples"] and suite["seed"] == 11
    wait_for(lambda: events.named("suite_ended"), "the end was told")
    assert [e["phase"] for e in events.named("phase")][:3] == ["preflight", "baseline", "injecting"]
    assert events.named("run_ended")[0]["record"]["id"] == run["id"]
    ids = [int(event["id"]) for event in events.events]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    listed = serve.get("/api/v1/runs")
    assert listed["total"] == 1 and listed["runs"][0]["id"] == run["id"]
    shown = serve.get(f"/api/v1/runs/{run['id']}")
    assert shown["experiment"]["name"] == "two" and shown["metrics"]["operations"]["fault"] > 0
    assert b"two" in serve.get(f"/api/v1/runs/{run['id']}/document")
    events.close()


def test_a_suite_that_somebody_else_started_is_shown_too(lab):
    serve = Serve(lab)
    process = lab.start("run", plan(lab, "theirs", duration="60s"))
    run = serve.wait_for_phase("observing")
    assert run["experiment"] == "theirs" and run["state"] == "running"
    [suite] = serve.get("/api/v1/live")["suites"]
    assert suite["document"] is None and suite["pid"] == process.pid
    wait_for(lambda: [s for s in serve.runs()[0]["samples"] if s["intensity"] == 1], "samples of the fault")
    # It can be ended from here as well, and is undone.
    assert serve.post(f"/api/v1/suites/{suite['suite']}/abort", {})[0] == 202
    process.communicate(timeout=60)
    assert process.returncode == 130
    ended = serve.wait_for_end()[0]
    assert ended["exit_code"] == 130 and ended["runs"][0]["status"] == "interrupted"
    assert serve.post(f"/api/v1/suites/{suite['suite']}/abort", {})[0] == 404


def test_a_suite_that_is_killed_is_lost_and_said_so(lab):
    serve = Serve(lab)
    process = lab.start("run", plan(lab, "theirs", duration="60s"))
    serve.wait_for_phase("observing")
    process.kill()
    suite = serve.wait_for_end()[0]
    assert suite["lost"] is True and suite["exit_code"] is None and suite["runs"][0]["status"] == "lost"
    metrics = families(serve)
    assert value(metrics, "chaos_experiment_status", experiment="theirs") == 3


def test_events_go_on_where_a_client_was(lab):
    serve = Serve(lab, plan(lab, "one"))
    serve.post("/api/v1/suites", {"document": "chaos.yaml"})
    serve.wait_for_end()
    first = Events(serve, last=0)
    wait_for(lambda: first.named("suite_ended"), "all of it")
    middle = first.events[len(first.events) // 2]
    second = Events(serve, last=middle["id"])
    wait_for(lambda: second.named("suite_ended"), "the rest")
    told = [e for e in second.events if e["event"] != "hello"]
    assert told == [e for e in first.events if e["event"] != "hello" and int(e["id"]) > int(middle["id"])]
    fresh = Events(serve)
    wait_for(lambda: fresh.events, "a greeting")
    assert fresh.events[0]["event"] == "hello" and fresh.events[0]["id"] == told[-1]["id"]
    for client in (first, second, fresh):
        client.close()


def test_the_lever_is_pulled_and_released(lab):
    serve = Serve(lab, plan(lab, "one", duration="60s"))
    serve.post("/api/v1/suites", {"document": "chaos.yaml"})
    serve.wait_for_phase("observing")
    assert serve.post("/api/v1/stop", {}) == (200, {"stopped": True})
    assert serve.wait_for_end()[0]["exit_code"] == 3
    assert serve.get("/api/v1/status")["stopped"] is True
    status, answer = serve.post("/api/v1/suites", {"document": "chaos.yaml"})
    assert status == 409 and "`chaoseater stop` was called" in answer["error"]["message"]
    assert serve.post("/api/v1/stop", {"release": True}) == (200, {"stopped": False})
    assert serve.post("/api/v1/suites", {"document": "chaos.yaml"})[0] == 202


def test_a_document_that_is_of_no_use_says_why(lab):
    serve = Serve(lab, plan(lab, "one"))
    (lab.folder / "chaos.yaml").write_text("experiments:\n  - {name: x, fault_type: nonsense, duration: 1}\n")
    assert "chaos.yaml:2" in serve.get("/api/v1/status")["documents"][0]["error"]
    status, answer = serve.post("/api/v1/suites", {"document": "chaos.yaml"})
    assert status == 400 and "it was not started: chaos.yaml:2" in answer["error"]["message"]


def test_the_end_of_the_server_undoes_what_it_started(lab):
    serve = Serve(lab, plan(lab, "one", duration="60s"))
    serve.post("/api/v1/suites", {"document": "chaos.yaml"})
    serve.wait_for_phase("observing")
    events = Events(serve)
    assert serve.stop(signal.SIGINT)[0] == 0
    wait_for(lambda: events.ended, "clients are let go")
    assert not list((lab.state / "watch").iterdir())
    wait_for(lambda: not lab.processes(), "nothing runs any more")
    report = json.loads(lab.run("history", "list", "--json").stdout)
    assert [run["status"] for run in report] == ["interrupted"]


def test_a_server_that_is_killed_takes_its_suites_along(lab):
    serve = Serve(lab, plan(lab, "one", duration="60s"))
    serve.post("/api/v1/suites", {"document": "chaos.yaml"})
    serve.wait_for_phase("observing")
    serve.process.kill()
    wait_for(lambda: not lab.processes(), "nothing runs any more")
    assert json.loads(lab.run("status", "--json").stdout)["live"] == []
    # The next one finds the socket of the one that is gone, and minds it not.
    again = Serve(lab, "chaos.yaml")
    plan(lab, "one")
    assert again.post("/api/v1/suites", {"document": "chaos.yaml"})[0] == 202
    again.wait_for_end()
    assert len(list((lab.state / "watch").iterdir())) == 1


def test_two_servers_see_the_same(lab):
    one, two = Serve(lab, plan(lab, "both")), Serve(lab)
    one.post("/api/v1/suites", {"document": "chaos.yaml"})
    first, second = one.wait_for_end()[0], two.wait_for_end()[0]
    assert first["suite"] == second["suite"] and first["runs"] == second["runs"]


# ---- history ----

@pytest.fixture(scope="module")
def past():
    """A server with three runs in its history."""
    with Lab() as lab:
        plan(lab, "fast", tags=["nightly"])
        names = ["plain", "<script>alert(1)</script>"]
        path = plan(lab, *names, path="more.yaml")
        assert lab.run("run", "chaos.yaml").returncode == 0
        assert lab.run("run", path).returncode == 0
        yield Serve(lab)


@pytest.mark.parametrize("query, names", [
    ({}, ["<script>alert(1)</script>", "plain", "fast"]),
    ({"name": "pla*"}, ["plain"]),
    ({"tag": "nightly"}, ["fast"]),
    ({"layer": "data"}, []),
    ({"status": "completed", "verdict": "passed", "fault": "slow_inference", "profile": "naive", "sort": "name", "limit": 2,
      "offset": 1}, ["fast", "plain"]),
    ({"max_score": 0}, []),
    ({"min_score": 1, "since": "1h", "until": ""}, ["<script>alert(1)</script>", "plain", "fast"]),
])
def test_the_history_is_filtered(past, query, names):
    listed = past.get("/api/v1/runs", **query)
    assert [run["name"] for run in listed["runs"]] == names
    assert listed["total"] == (3 if "limit" in query else len(names))


def test_a_run_is_shown_as_the_command_shows_it(past):
    run = past.get("/api/v1/runs")["runs"][-1]["id"]
    for path, command in [(f"/api/v1/runs/{run}", ["show", run]), ("/api/v1/trends?name=fast", ["trends", "fast"]),
                          ("/api/v1/compare?a=fast&b=plain", ["compare", "fast", "plain"]), ("/api/v1/summary", ["summary"])]:
        assert past.get(path) == json.loads(past.lab.run("history", *command, "--json").stdout), path


def test_a_report_is_a_page_of_its_own_that_runs_nothing(past):
    run = past.get("/api/v1/runs")["runs"][0]["id"]
    status, headers, body = past.ask("GET", f"/api/v1/runs/{run}/report")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert "script-src" not in headers["content-security-policy"] and "default-src 'none'" in headers["content-security-policy"]
    assert b"<script>alert" not in body and b"&lt;script&gt;alert(1)" in body


def test_a_name_in_a_path_may_be_anything(past):
    name = urllib.parse.quote("<script>alert(1)</script>", safe="")
    status, _, answer = past.ask("GET", f"/api/v1/runs/{name}")
    assert status in (200, 404)  # it has a slash
    assert past.ask("GET", "/api/v1/runs/%00%ff")[0] == 404


@pytest.mark.parametrize("what, status, says", [
    (b"not a database, and long enough to be taken for one" * 40, 500, "the history"),
])
def test_a_history_that_is_none_is_said_to_be_none(lab, what, status, says):
    (lab.state).mkdir(parents=True, exist_ok=True)
    (lab.state / "history.db").write_bytes(what)
    serve = Serve(lab)
    found, _, answer = serve.ask("GET", "/api/v1/runs")
    assert found == status and says in answer["error"]["message"]
    assert serve.get("/health")["status"] == "ok"


# ---- metrics ----

def families(serve):
    return list(text_string_to_metric_families(serve.get("/metrics").decode()))


def value(metrics, name, **labels):
    found = [s.value for family in metrics for s in family.samples if s.name == name and labels.items() <= s.labels.items()]
    return found[0] if found else None


def test_metrics_are_those_of_what_runs(lab):
    serve = Serve(lab, plan(lab, "one", duration="60s"))
    serve.post("/api/v1/suites", {"document": "chaos.yaml"})
    serve.wait_for_phase("observing")
    wait_for(lambda: (value(families(serve), "chaos_live_latency_seconds", rank="p50") or 0) > 0.05, "the fault in the latency")
    metrics = families(serve)
    assert value(metrics, "chaos_experiment_status", experiment="one") == 1
    assert value(metrics, "chaos_fault_intensity_ratio", experiment="one") == 1
    assert value(metrics, "chaos_guard_up", experiment="one") == 1
    assert value(metrics, "chaos_journal_live_entries") >= 1
    status, headers, body = serve.ask("GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text") and body.endswith(b"# EOF\n")
    [suite] = serve.get("/api/v1/live")["suites"]
    serve.post(f"/api/v1/suites/{suite['suite']}/abort", {})
    serve.wait_for_end()
    metrics = families(serve)
    assert value(metrics, "chaos_experiment_status", experiment="one") == 3
    assert value(metrics, "chaos_live_latency_seconds", experiment="one") is None


# ---- the command ----

@pytest.mark.parametrize("arguments, code, says", [
    (["--listen", "nowhere"], 2, "nowhere"),
    (["--listen", "unix:/tmp/x"], 2, "is no address that a browser can reach"),
    (["missing.yaml"], 2, "missing.yaml"),
])
def test_what_cannot_be_served_is_refused(lab, arguments, code, says):
    result = lab.run("serve", *arguments)
    assert result.returncode == code and says in result.stderr


def test_an_address_that_is_taken_is_exit_4(lab):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = lab.run("serve", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.returncode == 4 and "in use" in result.stderr
    assert not list((lab.state / "watch").iterdir())


def test_a_client_that_never_reads_costs_nothing(lab):
    serve = Serve(lab, plan(lab, "one"))
    lazy = [socket.create_connection((serve.host, serve.port)) for _ in range(20)]
    for client in lazy:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: {serve.listen}\r\n\r\n".encode())
    for _ in range(2):
        assert serve.post("/api/v1/suites", {"document": "chaos.yaml"})[0] == 202
        wait_for(lambda: all(s["ended"] for s in serve.get("/api/v1/live")["suites"]), "ended")
    assert os.path.exists(f"/proc/{serve.process.pid}")
    for client in lazy:
        client.close()
    assert serve.stop()[0] == 0
