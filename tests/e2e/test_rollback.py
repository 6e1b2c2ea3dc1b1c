# SPDX-License-Identifier: MIT
"""Rollback strategies, as others see them: a client of the same route, the server behind it, and a second server.

The servers are in this process and note whom they answer. Operations of the workload are named by phase ("f-17" under the
fault, "r-17" during rollback, "v-17" during recovery), so what reached a server says what was done to whom.
"""
import contextlib
import http.client
import json
import os
import re
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from lab import Lab, lab_of, read, wait_for
from model_server import MLflow, Server
from test_http_pipeline import experiment, write

ROUTES = MLflow("class").routes()


class Double:
    """A model server that notes the names of the requests that it gets, and fails those of which `fails` says so."""

    def __init__(self, fails=lambda name: False):
        double = self
        self.names = []
        self.gaps = set()  # those with a value missing

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                name = self.headers.get("X-Request-Id") or ""
                double.names.append(name)
                if re.search(rb"\bnull\b|NaN", body):
                    double.gaps.add(name)
                status, value = (500, {}) if fails(name) else (200, ROUTES[self.path](json.loads(body)))
                answer = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self):
                self.send_response(200 if self.path in ROUTES else 404)
                value = ROUTES[self.path](None) if self.path in ROUTES else b""
                answer = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def of_phase(self, letter):
        """The numbers of the operations of that phase that came here."""
        return sorted(int(name[2:]) for name in self.names if re.fullmatch(rf"{letter}-\d+", name))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def lab():
    with lab_of("as_is") as lab:
        yield lab


SLOW = ("slow_inference", {"latency_ms": 400, "variance": 0})
DOWN = ("model_unavailable", {"failure_rate": 1.0})
GRADUAL = {"strategy": "gradual", "gradual_steps": 4, "health_check_interval": 1}


def plan(lab, double, fault, rollback, duration="1s", **pipeline):
    name, parameters = fault
    what = {**experiment(name, **parameters), "duration": duration, "rollback": rollback, "recovery_timeout": "20s"}
    return write(lab.folder, {"url": double.url, "timeout": "5s", **pipeline}, what)


def one(result):
    code, suite = result
    return code, suite["runs"][0], suite["runs"][0]["rollback"]


def shape(rollback):
    return [(round(step["intensity"], 3), step["healthy"], step.get("event")) for step in rollback["steps"]]


def check_course(rollback):
    """What holds for all of them."""
    steps = rollback["steps"]
    assert rollback["verified"] and steps[-1]["intensity"] == 0
    assert [s["at"] for s in steps] == sorted(s["at"] for s in steps)
    assert [s["intensity"] for s in steps] == sorted((s["intensity"] for s in steps), reverse=True)


# ---- another client


def listening_ports(pid):
    """Those on 127.0.0.1 of one process."""
    held = set()
    with contextlib.suppress(OSError):
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                held.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
    rows = [line.split() for line in read(f"/proc/{pid}/net/tcp").decode().splitlines()[1:]]
    return [int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held]


def watch(process, path, body):
    """[latency] of requests one after the other through the run's route, from before the fault until the run ends."""
    port = wait_for(lambda: listening_ports(process.pid), "the route listens")[0]
    latencies = []
    while process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            start = time.monotonic()
            connection.request("POST", path, body, {"Content-Type": "application/json", "X-Request-Id": "watch"})
            connection.getresponse().read()
            latencies.append(time.monotonic() - start)
        except OSError:
            break  # the run has ended
        finally:
            connection.close()
        time.sleep(0.005)
    return latencies


def finish(process):
    out, err = process.communicate(timeout=120)
    assert out, err
    return process.returncode, json.loads(out)


# ---- gradual


def test_gradual_is_seen_by_another_client(lab):
    with Double() as double:
        process = lab.start("run", plan(lab, double, SLOW, GRADUAL), "--json")
        seen = watch(process, "/invocations", b'{"inputs": [[5.1, 3.5, 1.4, 0.2]]}')
        code, run, rollback = one(finish(process))
    assert code == 0 and run["verdict"] == "passed", run["reason"]
    assert shape(rollback) == [(0.75, True, None), (0.5, True, None), (0.25, True, None), (0.0, True, None)]
    check_course(rollback)
    assert rollback["seconds"] >= 3
    # Nothing is sooner than its level asks: 400 ms under the fault, then 300, 200, 100, and none.
    under_fault = next(i for i, latency in enumerate(seen) if latency >= 0.4)
    firsts = [next(i for i, latency in enumerate(seen) if i > under_fault and latency < level)
              for level in (0.4, 0.3, 0.2, 0.1)]
    assert firsts == sorted(set(firsts)), seen
    for level, start, end in zip((0.4, 0.3, 0.2, 0.1), [under_fault, *firsts], firsts):
        assert min(seen[start:end]) >= level, (level, seen)


def test_gradual_steps_of_packets(lab):
    path = lab.document("network_latency", parameters={"latency_ms": 120, "jitter_ms": 0},
                        rollback={"strategy": "gradual", "gradual_steps": 2, "health_check_interval": 1})
    code, run, rollback = one(lab.run_json("run", path))
    if code == 4:
        pytest.skip(run["reason"])
    assert shape(rollback) == [(0.5, True, None), (0.0, True, None)]
    assert 60 <= run["metrics"]["latency_ms"]["rollback"]["p50"] < run["metrics"]["latency_ms"]["fault"]["p50"]


def test_gradual_pauses_and_gives_up_at_its_timeout(lab):
    def fails(name):  # during rollback, from the second step on
        return name.startswith("r-") and int(name[2:]) >= 60

    rollback = {**GRADUAL, "timeout_seconds": 4}
    with Double(fails) as double:
        code, run, rollback = one(lab.run_json("run", plan(lab, double, SLOW, rollback)))
    assert code == 0, run["reason"]
    assert shape(rollback)[-2:] == [(0.5, False, "paused"), (0.0, True, None)]
    assert (0.25, True, None) not in shape(rollback)
    check_course(rollback)
    assert rollback["reason"] == "not done within 4 s: immediate from there on"
    assert rollback["steps"][-1]["at"] >= 4
    assert run["metrics"]["error_count"] > 0


# ---- canary


def canary(lab, fails=lambda name: False, **more):
    with Double(fails) as double:
        rollback = {"strategy": "canary", "canary_percentage": 30, "health_check_interval": 2, **more}
        result = one(lab.run_json("run", plan(lab, double, DOWN, rollback)))
        return result, double


def test_canary_comes_first_and_is_stable(lab):
    (code, run, rollback), double = canary(lab)
    assert shape(rollback) == [(0.7, True, "spared"), (0.0, True, None)]
    check_course(rollback)
    came = double.of_phase("r")
    assert not double.of_phase("f") and len(double.of_phase("v")) > 0
    assert run["metrics"]["operations"]["rollback"] >= 80
    early = {number for number in came if number < 80}
    assert 80 * 0.15 < len(early) < 80 * 0.5, early  # 24 expected; of all operations nobody else
    (_, _, _), other = canary(lab)
    assert {number for number in other.of_phase("r") if number < 80} == early


def test_canary_of_a_data_fault(lab):
    keys = {"strategy": "canary", "canary_percentage": 30, "health_check_interval": 2}
    with Double() as double:
        path = plan(lab, double, ("missing_data", {"missing_rate": 1.0, "stage": "serve"}), keys)
        document = json.loads(path.read_text())
        document["experiments"][0]["layer"] = "data"
        path.write_text(json.dumps(document))
        code, run, rollback = one(lab.run_json("run", path))
    assert shape(rollback) == [(0.7, True, "spared"), (0.0, True, None)], run["reason"]
    assert all(f"f-{number}" in double.gaps for number in double.of_phase("f"))
    whole = [number for number in double.of_phase("r") if number < 80 and f"r-{number}" not in double.gaps]
    assert 80 * 0.15 < len(whole) < 80 * 0.5, whole
    assert not [number for number in double.of_phase("v") if f"v-{number}" in double.gaps]


def test_canary_that_is_not_well_is_given_up(lab):
    (code, run, rollback), double = canary(lab, lambda name: name.startswith("r-"), timeout_seconds=3)
    assert shape(rollback) == [(0.7, False, "spared"), (0.7, False, "paused"), (0.0, True, None)]
    assert rollback["reason"] == "not done within 3 s: immediate from there on"
    check_course(rollback)
    # A healthy share is all that was asked for: the others fail, which the fault makes them.
    assert double.of_phase("v")


def test_canary_of_what_cannot_be_shared_is_one_step(lab):
    path = lab.document("network_latency", rollback={"strategy": "canary", "health_check_interval": 0.5})
    code, run, rollback = one(lab.run_json("run", path))
    if code == 4:
        pytest.skip(run["reason"])
    assert rollback["strategy"] == "gradual" and shape(rollback) == [(0.9, True, None), (0.0, True, None)]
    assert rollback["reason"].startswith("canary is not possible, since no share of the traffic")


# ---- blue_green


def blue_green(lab, fails=lambda name: False, fault=DOWN, **more):
    with Double(fails) as double, Double() as standby:
        rollback = {"strategy": "blue_green", "standby": standby.url, "health_check_interval": 2, **more}
        return one(lab.run_json("run", plan(lab, double, fault, rollback))), double, standby


@pytest.mark.parametrize("fault", [DOWN, ("model_unavailable", {"failure_rate": 1.0, "mode": "refused"}), SLOW],
                         ids=["error", "refused", "slow"])
def test_traffic_is_at_the_standby_meanwhile(lab, fault):
    (code, run, rollback), double, standby = blue_green(lab, fault=fault)
    assert code == 0 or fault is not SLOW, run["reason"]
    assert shape(rollback) == [(1.0, True, "switched"), (0.0, True, None), (0.0, True, "switched_back")]
    check_course(rollback)
    assert len(standby.of_phase("r")) >= 80 and not standby.of_phase("f") and not standby.of_phase("v")
    assert not set(double.of_phase("r")) & set(standby.of_phase("r"))
    assert len(double.of_phase("r")) <= 5 and double.of_phase("v")
    assert double.names.count("probe-behind") >= 5
    assert run["metrics"]["recovery_time"] < 1.5


def test_the_embedded_pipeline_gets_a_standby_of_its_own(lab):
    path = lab.document("slow_inference", rollback={"strategy": "blue_green", "health_check_interval": 0.5})
    code, run, rollback = one(lab.run_json("run", path))
    assert code == 0, run["reason"]
    assert [step.get("event") for step in rollback["steps"]] == ["switched", None, "switched_back"]


def test_traffic_stays_at_the_standby_until_what_is_behind_is_well(lab):
    (code, run, rollback), double, standby = blue_green(lab, lambda name: name == "probe-behind", timeout_seconds=4)
    assert shape(rollback) == [(1.0, True, "switched"), (0.0, False, None), (0.0, False, "paused"), (0.0, True, "switched_back")]
    assert rollback["reason"] == "not done within 4 s: immediate from there on"
    assert len(standby.of_phase("r")) >= 150 and len(double.of_phase("r")) <= 5


def test_a_standby_that_is_not_there_is_refused_before_anything_is_done(lab):
    with Double() as gone:
        url = gone.url
    with Double() as double:
        path = plan(lab, double, SLOW, {"strategy": "blue_green", "standby": url})
        code, run, _ = one(lab.run_json("run", path))
        assert (code, run["status"], run["reason"]) == (4, "skipped", "preflight")
        assert "the standby cannot be used" in run["detail"], run
        assert not double.of_phase("b")


# ---- circuit_breaker


BREAKER = {"strategy": "circuit_breaker", "window": "2s", "cool_down": "500ms", "health_check_interval": 1}


def test_the_breaker_opens_before_the_duration_is_over(lab):
    with Double() as double:
        path = plan(lab, double, DOWN, BREAKER, duration="60s")
        start = time.monotonic()
        code, run, rollback = one(lab.run_json("run", path))
        took = time.monotonic() - start
    assert took < 50
    assert shape(rollback) == [(0.0, True, "opened"), (0.0, True, "half_open"), (0.0, True, "closed")]
    check_course(rollback)
    assert rollback["reason"].startswith("the circuit breaker opened: ")
    assert 10 <= run["metrics"]["operations"]["fault"] < 60 * 50 / 2
    assert len(double.of_phase("r")) >= 50 and not double.of_phase("f")


def test_a_breaker_opens_again_while_the_pipeline_is_not_well(lab):
    with Double(lambda name: name.startswith("r-") and int(name[2:]) < 80) as double:
        code, run, rollback = one(lab.run_json("run", plan(lab, double, DOWN, BREAKER, duration="60s")))
    events = [step["event"] for step in rollback["steps"]]
    assert events[:3] == ["opened", "half_open", "opened"] and events[-2:] == ["half_open", "closed"]
    check_course(rollback)


def test_a_breaker_heeds_the_hypothesis(lab):
    ready = lab.folder / "ready"
    ready.touch()
    with Double() as double:
        path = plan(lab, double, DOWN, BREAKER, duration="60s")
        document = json.loads(path.read_text())
        document["experiments"][0]["steady_state"] = [
            {"probe": "file", "path": str(ready), "expect": "exists", "mode": "continuous", "interval": "100ms"}]
        path.write_text(json.dumps(document))
        process = lab.start("run", path, "--json")
        wait_for(lambda: double.of_phase("r"), "the breaker opens")
        ready.unlink()
        wait_for(lambda: len(double.of_phase("r")) >= 120, "it was half open")  # which is 25 to 75 operations later
        ready.touch()
        code, run, rollback = one(finish(process))
    events = [step["event"] for step in rollback["steps"]]
    assert events[:3] == ["opened", "half_open", "opened"] and events[-2:] == ["half_open", "closed"]
    assert code == 1 and run["verdict"] == "deviated"


def test_a_breaker_that_never_closes_gives_up(lab):
    with Double(lambda name: name.startswith("r-")) as double:
        rollback = {**BREAKER, "timeout_seconds": 4}
        code, run, rollback = one(lab.run_json("run", plan(lab, double, DOWN, rollback, duration="60s")))
    events = [step["event"] for step in rollback["steps"]]
    assert "closed" not in events and events[-1] == "opened"
    assert rollback["reason"] == "not done within 4 s: immediate from there on"


@pytest.mark.parametrize("keys, fault", [({"strategy": "gradual", "gradual_steps": 3}, SLOW),
                                         ({"strategy": "circuit_breaker", "cool_down": "800ms", "window": "2s"}, DOWN)])
def test_a_check_that_the_timeout_cuts_short_is_not_well(lab, keys, fault):
    with Double() as double:
        rollback = {"health_check_interval": 1, "timeout_seconds": 1.5, **keys}
        code, run, rollback = one(lab.run_json("run", plan(lab, double, fault, rollback, duration="4s")))
    assert rollback["reason"] == "not done within 1.5 s: immediate from there on"
    assert not any(step.get("event") == "closed" for step in rollback["steps"])


def test_no_health_check_is_longer_than_the_timeout(lab):
    with Double() as double:
        done = lab.run("run", plan(lab, double, SLOW, {"strategy": "gradual", "timeout_seconds": 3}))
    assert done.returncode == 2
    assert "a health check of 5 s (health_check_interval) cannot end within timeout_seconds, 3 s" in done.stderr


def test_a_breaker_that_never_opens_is_immediate(lab):
    with Double() as double:
        code, run, rollback = one(lab.run_json("run", plan(lab, double, SLOW, BREAKER)))
    assert (rollback["strategy"], shape(rollback)) == ("immediate", [(0.0, True, None)])
    assert rollback["reason"] == "the circuit breaker never opened: immediate, at the end of the duration"
    assert run["metrics"]["operations"]["fault"] == 50


# ---- auto


def test_auto_is_immediate_and_says_why(lab):
    with Double() as double:
        code, run, rollback = one(lab.run_json("run", plan(lab, double, SLOW, {"strategy": "auto"})))
    assert (rollback["strategy"], shape(rollback)) == ("immediate", [(0.0, True, None)])
    assert rollback["reason"].startswith("auto: immediate, since the pipeline bore slow_inference")


@pytest.mark.parametrize("fault, picked", [(SLOW, "gradual"), (DOWN, "immediate")], ids=["bears", "breaks"])
def test_auto_takes_the_steps_that_are_asked_for_where_they_prolong_no_damage(lab, fault, picked):
    keys = {"strategy": "auto", "gradual_steps": 2, "health_check_interval": 0.5}
    with Double() as double:
        code, run, rollback = one(lab.run_json("run", plan(lab, double, fault, keys)))
    assert rollback["strategy"] == picked and rollback["reason"].startswith(f"auto: {picked}, since ")
    assert len(rollback["steps"]) == (2 if picked == "gradual" else 1)


# ---- it ends at once when it has to, and leaves nothing


def test_a_signal_in_the_middle_is_immediate(lab):
    with Double() as double:
        path = plan(lab, double, SLOW, {**GRADUAL, "health_check_interval": "100s", "timeout_seconds": 600})
        process = lab.start("run", path, "--json")
        wait_for(lambda: double.of_phase("r"), "rollback has begun")
        process.send_signal(signal.SIGTERM)
        code, run, rollback = one(finish(process))
    assert code == 143
    assert shape(rollback) == [(0.75, False, None), (0.0, True, None)]  # nobody has seen it healthy
    assert rollback["seconds"] < 60
    assert rollback["reason"] == "gradual gave way to immediate, since the run had to end"


def crash_plan(lab, case):
    fault, strategy = case
    keys = {"gradual": {"gradual_steps": 3}, "canary": {}, "blue_green": {}}[strategy]
    return lab.document(fault, rollback={"strategy": strategy, "health_check_interval": 0.2, **keys})


@pytest.mark.parametrize("case", [("network_latency", "gradual"), ("slow_inference", "canary"), ("slow_inference", "blue_green")],
                         ids=lambda case: case[1])
def test_a_crash_at_any_move_leaves_nothing(case):
    with Lab() as lab:
        steps = lab.folder / "steps"
        code, suite = lab.run_json("run", crash_plan(lab, case), CHAOSEATER_SEAM_COUNT=steps)
        if code == 4 and case[0] == "network_latency":
            pytest.skip(suite["runs"][0]["reason"])
        assert code == 0, suite
        numbers = [line.split(" ", 1)[0] for line in steps.read_text().splitlines() if " rollback: " in line]
        lab.clean_soon()
    assert len(numbers) >= 2
    for number in numbers:
        for both in ("", ":all"):
            with Lab() as lab:
                process = lab.start("run", crash_plan(lab, case), CHAOSEATER_SEAM_CRASH=number + both)
                process.communicate(timeout=120)
                assert process.returncode == -signal.SIGKILL, (number, both)
                if both:
                    assert lab.run("recover").returncode == 0
                lab.clean_soon()


# ---- documents


BAD = {
    "both": ({"rollback_strategy": "gradual", "rollback": {"strategy": "gradual"}}, "rollback_strategy: is short for"),
    "text": ({"rollback": "gradual"}, "rollback: takes a mapping such as {strategy: gradual}, not"),
    "unknown": ({"rollback": {"strategy": "slow"}}, "strategy: 'slow' is not one of"),
    "key": ({"rollback": {"gradual_step": 3}}, "did you mean 'gradual_steps'?"),
    "steps": ({"rollback": {"gradual_steps": 0}}, "gradual_steps: 0 is outside 1..100"),
    "threshold": ({"rollback": {"failure_threshold": 2}}, "failure_threshold: 2 is outside 0..1"),
    "standby": ({"rollback": {"strategy": "gradual", "standby": "http://127.0.0.1:1"}}, "standby: only blue_green has one"),
    "embedded": ({"rollback": {"strategy": "blue_green", "standby": "http://127.0.0.1:1"}}, "standby: only a pipeline of kind http"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_rollback_is_refused(lab, case):
    keys, message = BAD[case]
    result = lab.run("validate", lab.document("slow_inference", **keys))
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert re.search(r"plan\.yaml:1:\d+", result.stderr)


def test_a_server_needs_a_standby_to_be_named(lab):
    with Double() as double:
        path = plan(lab, double, SLOW, {"strategy": "blue_green"})
        result = lab.run("validate", path)
    assert result.returncode == 2 and "needs a second server" in result.stderr, result.stderr
