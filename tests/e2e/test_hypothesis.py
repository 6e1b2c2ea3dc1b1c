# SPDX-License-Identifier: MIT
"""The hypothesis of a steady state and the stop conditions of whole runs: what servers of the test saw and did meanwhile.

The Prometheus here is a double by the published shapes of its HTTP API; the last test asks a real one where there is one.
"""
import contextlib
import http.server
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from lab import Lab, wait_for


class Server:
    """Answers every path with what `answer(path, n)` says, n from 1: (status, text), or None to never answer."""

    def __init__(self, answer):
        self.asked, self.over = [], threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(time.monotonic())
                said = answer(self.path, len(outer.asked))
                if said is None:
                    outer.over.wait()
                    return
                body = said[1].encode()
                self.send_response(said[0])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.close()


def prometheus(path, n, value="1"):
    assert path.startswith("/api/v1/query?query=")
    sample = {"metric": {}, "value": [1795337000.1, value]}
    return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": [sample]}})


def experiment(**more):
    return {"name": "x", "layer": "model", "fault_type": "slow_inference", "duration": "500ms", "baseline": "500ms",
            "parameters": {"latency_ms": 60, "variance": 0}, **more}


def plan(lab, **more):
    path = lab.folder / "plan.yaml"
    path.write_text(json.dumps({"seed": 7, "pipeline": {"rate": 50, "rows": 300}, "experiments": [experiment(**more)]}))
    return path


def run(lab, **more):
    code, suite = lab.run_json("run", plan(lab, **more))
    return code, suite["runs"][0]


def http_probe(server, **more):
    return {"probe": "http", "url": server.url + "/", **more}


def test_a_hypothesis_that_holds_passes_and_says_what_was_seen():
    with Lab() as lab, Server(lambda path, n: (200, '{"ready": true}')) as server:
        (lab.folder / "there").write_text("yes\n")
        probes = [
            http_probe(server, expect={"status": 200}),
            http_probe(server, expect={"jsonpath": "$.ready", "equals": True}, mode="continuous", interval="50ms"),
            {"probe": "tcp", "host": "127.0.0.1", "port": server.server.server_port, "mode": "start"},
            {"probe": "command", "command": ["cat", "there"], "expect": "yes", "mode": "end"},
            {"probe": "file", "path": "there", "expect": "exists", "mode": "on_chaos", "interval": "50ms"},
            {"probe": "workload", "metric": "accuracy", "expect": {"min": 0.5}, "name": "it is right"},
        ]
        code, done = run(lab, steady_state=probes)
        assert (code, done["verdict"]) == (0, "passed"), done
        assert [probe["held"] for probe in done["steady_state"]] == [True] * 6
        assert [probe["probe"] for probe in done["steady_state"]] == ["http", "http", "tcp", "command", "file", "workload"]
        looks = [probe["looks"] for probe in done["steady_state"]]
        assert (looks[0], looks[2], looks[3], looks[5]) == (2, 1, 1, 2)
        assert looks[1] > 5 and looks[4] > 2
        assert done["steady_state"][5]["name"] == "it is right"
        assert done["stopped_by"] is None


@pytest.mark.parametrize("mode", ["start", "edge", "continuous"])
def test_one_that_fails_before_the_fault_skips_the_run(mode):
    with Lab() as lab, Server(lambda path, n: (503, "")) as server:
        code, done = run(lab, steady_state=[http_probe(server, mode=mode, failures=3, interval="20ms")])
        assert (code, done["status"], done["reason"]) == (6, "skipped", "baseline")
        assert "did not hold before anything was injected" in done["detail"] and "503" in done["detail"]
        assert len(server.asked) == 3
        assert not done["verified"]


def test_one_that_cannot_be_asked_before_the_fault_skips_the_run():
    probe = {"probe": "prometheus", "url": "http://127.0.0.1:1", "query": "up", "expect": 1}
    with Lab() as lab:
        code, done = run(lab, steady_state=[probe])
        assert (code, done["status"], done["reason"]) == (6, "skipped", "baseline")
        assert "could not be looked at before anything was injected" in done["detail"]


@pytest.mark.parametrize("mode", ["edge", "end", "continuous", "on_chaos"])
def test_one_that_fails_later_is_a_deviation_after_the_undo(mode):
    first_good = 0 if mode in ("end", "on_chaos") else 1
    with Lab() as lab, Server(lambda path, n: (200 if n <= first_good else 500, "")) as server:
        code, done = run(lab, steady_state=[http_probe(server, mode=mode, interval="50ms")])
        assert (code, done["status"], done["verdict"]) == (1, "completed", "deviated")
        assert "the hypothesis did not hold" in done["reason"] and "500" in done["reason"]
        assert done["rollback"]["verified"] and done["summary"]["resilience_score"] is not None
        assert done["steady_state"][0]["held"] is False


def test_monitoring_that_goes_away_is_no_deviation_and_the_fault_is_undone():
    with Lab() as lab, Server(lambda path, n: prometheus(path, n) if n == 1 else (502, "no JSON")) as server:
        code, done = run(lab, steady_state=[{"probe": "prometheus", "url": server.url, "query": "up", "expect": {"min": 1}}])
        assert (code, done["status"], done["verdict"]) == (4, "completed", "inconclusive")
        assert done["steady_state"][0]["held"] is None and done["steady_state"][0]["errors"] == 1
        assert "could not be looked at" in done["reason"]
        assert done["rollback"]["verified"]


def test_probes_that_hang_delay_neither_the_run_nor_its_undo():
    with Lab() as lab, Server(lambda path, n: (200, "") if n <= 5 else None) as server:
        probes = [http_probe(server, mode="continuous", interval="20ms", timeout="1h", name=f"p{i}") for i in range(5)]
        probes += [{"probe": "command", "command": "sleep 10000; true", "mode": "on_chaos", "timeout": "1h"}] * 5
        begun = time.monotonic()
        code, done = run(lab, steady_state=probes)
        assert time.monotonic() - begun < 100
        assert done["status"] == "completed" and done["rollback"]["verified"]
        assert done["rollback"]["seconds"] < 60
        lab.clean_soon()


def test_a_signal_ends_a_run_that_waits_for_a_probe():
    with Lab() as lab, Server(lambda path, n: None) as server:
        process = lab.start("run", plan(lab, steady_state=[http_probe(server, timeout="1h")]))
        wait_for(lambda: server.asked, "the probe asks")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        lab.clean_soon()


def test_a_crash_leaves_nothing_of_a_command_that_was_asked():
    with Lab() as lab:
        probe = {"probe": "command", "command": "sleep 10001 & setsid sleep 10002", "mode": "on_chaos", "timeout": "1h"}
        process = lab.start("run", plan(lab, duration="1h", steady_state=[probe]))
        wait_for(lambda: sum("sleep 1000" in line for line in lab.processes().values()) >= 2, "the command runs")
        process.kill()
        process.communicate()
        lab.clean_soon()


# ---- stop conditions ----


def test_a_metric_beyond_its_bound_stops_the_run():
    with Lab() as lab:
        code, done = run(lab, duration="1h", parameters={"latency_ms": 400, "variance": 0},
                         stop_when=[{"metric": "error_count", "above": 1e9}, {"metric": "p50_ms", "above": 300, "for": "200ms"}])
        assert (code, done["status"], done["verdict"]) == (3, "aborted", "inconclusive")
        assert done["stopped_by"]["condition"] == "p50_ms above 300 for 0.2 s"
        assert done["stopped_by"]["value"] > 300 and 0.2 < done["stopped_by"]["after"] < 60
        assert "p50_ms above 300" in done["reason"]
        assert done["rollback"]["verified"]


STANDING_SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def answers(url, timeout):
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status == 200
    except (TimeoutError, urllib.error.URLError):
        return False


def test_another_client_sees_the_fault_end_when_a_probe_stops_the_run():
    with Lab() as lab:
        server = subprocess.Popen([sys.executable, "-c", STANDING_SERVER], stdout=subprocess.PIPE, text=True)
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
            process = lab.start("run", "--json", plan(
                lab, layer="infrastructure", fault_type="node_failure", parameters={"failure_type": "hang"},
                target={"pid": server.pid}, duration="1h",
                stop_when=[{"probe": "http", "url": url, "timeout": "200ms", "interval": "100ms", "for": "1s"}]))
            wait_for(lambda: not answers(url, 0.2), "the server stands still")
            wait_for(lambda: answers(url, 1), "the server answers again")
            out, err = process.communicate(timeout=60)
            done = json.loads(out)["runs"][0]
            assert (process.returncode, done["status"]) == (3, "aborted"), (done, err)
            # Within an interval of the second that it had to hold, and the timeout of the look then under way.
            assert 1 <= done["stopped_by"]["after"] < 30
            assert done["rollback"]["verified"]
        finally:
            server.kill()
            server.communicate()


@pytest.mark.parametrize("condition, code, reason, says", [
    ({"probe": "prometheus", "url": "http://127.0.0.1:1", "query": "up", "expect": 1}, 4, "preflight", "could never stop"),
    ({"probe": "file", "path": "/no/such/file"}, 6, "baseline", "is met before anything was injected"),
    ({"metric": "throughput", "above": 1}, 6, "baseline", "is met before anything was injected"),
])
def test_a_stop_that_cannot_fire_or_fires_already_is_refused(condition, code, reason, says):
    with Lab() as lab:
        got, done = run(lab, stop_when=[condition])
        assert (got, done["status"], done["reason"]) == (code, "skipped", reason)
        assert says in done["detail"]


@pytest.mark.parametrize("last", ["1", "0"], ids=["unmet", "met, but not for long enough"])
def test_a_stop_condition_that_is_not_seen_any_more_stops(last):
    with Lab() as lab, Server(lambda path, n: prometheus(path, n, "1" if n < 10 else last) if n < 20 else (502, "")) as server:
        code, done = run(lab, duration="1h", stop_when=[{"probe": "prometheus", "url": server.url, "query": "up", "for": "1h",
                                                         "interval": "50ms", "expect": {"min": 1}}])
        assert (code, done["status"]) == (3, "aborted")
        assert done["stopped_by"]["value"] is None and done["stopped_by"]["after"] > 5
        assert done["stopped_by"]["condition"].endswith("could not be looked at any more")
        assert done["stopped_by"]["condition"] in done["reason"] and "not as expected" not in done["stopped_by"]["condition"]
        assert done["rollback"]["verified"]


def test_a_custom_metric_of_trials_stops_the_run():
    with Lab() as lab:
        (lab.folder / "job.sh").write_text("[ -e slow ] || { touch slow; echo '{\"accuracy\": 0.9, \"loss\": 1}'; exit; }\n"
                                           "echo '{\"accuracy\": 0.9, \"loss\": 5}'\n")
        path = lab.folder / "plan.yaml"
        path.write_text(json.dumps({
            "pipeline": {"kind": "command", "command": "sh job.sh", "metrics": "stdout", "accuracy": "accuracy", "trials": 1},
            "experiments": [experiment(layer="infrastructure", fault_type="cpu_throttle", parameters={},
                                       duration="60s", stop_when=[{"metric": "loss", "above": 2}])]}))
        code, suite = lab.run_json("run", path)
        done = suite["runs"][0]
        if done["status"] in ("failed", "skipped"):
            pytest.skip(done.get("detail") or done["reason"])
        assert (code, done["status"]) == (3, "aborted"), done
        assert done["stopped_by"]["value"] == 5


# ---- refused ----

BAD = [
    ("steady_state", '{probe: htp, url: "http://h"}', "'htp' is not one of", "did you mean 'http'?"),
    ("steady_state", '{probe: http, url: "http://h", mode: ege}', "mode: 'ege'", "did you mean 'edge'?"),
    ("steady_state", "{probe: tcp, host: h, port: 5, expect: {status: 200}}", "status: cannot match", ""),
    ("steady_state", "{probe: workload, metric: acuracy, expect: {min: 1}}", "metric: 'acuracy'", "did you mean 'accuracy'?"),
    ("steady_state", "{probe: workload, metric: accuracy, expect: {regex: a}}", "regex: cannot match", ""),
    ("steady_state", "{probe: file, path: a, expect: {min: 2, max: 1}}", "min: 2 is above max: 1", ""),
    ("steady_state", "{probe: file, path: a, expect: {regex: '('}}", "no POSIX extended regular expression", ""),
    ("steady_state", "{probe: file, path: a, expect: {jsonpath: 'a'}}", "begins with '$'", ""),
    ("steady_state", "{probe: file, path: a, expct: 5}", "unknown key 'expct'", "did you mean 'expect'?"),
    ("steady_state", "5", "each is a mapping", ""),
    ("steady_state", "{probe: workload, metric: accuracy, expect: {min: 1.5}}", "min: 1.5 cannot match: accuracy is in 0..1", ""),
    ("steady_state", "{probe: workload, metric: error_ratio, expect: {max: -0.1}}", "max: -0.1 cannot match: error_ratio is in 0..1", ""),
    ("steady_state", "{probe: workload, metric: p99_ms, expect: -1}", "equals: -1 cannot match: p99_ms is 0 or more", ""),
    ("steady_state", "{probe: workload, metric: accuracy, expect: {min: 0.9, max: 0.5}}", "min: 0.9 is above max: 0.5", ""),
    ("steady_state", '{probe: http, url: "http://h", expect: {status: 999}}', "status: 999 is outside 0..599", ""),
    ("steady_state", '{probe: http, url: "http://h", expect: {status: 99}}', "status: 99 is no status of an answer, which is in 200..599", ""),
    ("steady_state", '{probe: http, url: "http://h", expect: 999}', "expect: 999 is no status of an answer, which is in 200..599", "{equals: 999}"),
    ("steady_state", '{probe: http, url: "http://h", expect: -1}', "expect: -1 is no status of an answer", ""),
    ("steady_state", "{probe: command, command: 'true', expect: 999}", "expect: 999 is no exit code, which is in 0..255", "{equals: 999}"),
    ("stop_when", "{metric: error_ratio, above: 1}", "above: 1 could never stop: error_ratio is in 0..1", ""),
    ("stop_when", "{metric: accuracy, above: 1.5, below: 0.5}", "above: 1.5 could never stop: accuracy is in 0..1", ""),
    ("stop_when", "{metric: accuracy, below: 0}", "below: 0 could never stop: accuracy is in 0..1", ""),
    ("stop_when", "{metric: throughput, below: -3}", "below: -3 could never stop: throughput is 0 or more", ""),
    ("stop_when", "{metric: accuracy, below: 1.5}", "below: 1.5 would stop at any value: accuracy is in 0..1", ""),
    ("stop_when", "{metric: downtime, above: -1}", "above: -1 would stop at any value: downtime is 0 or more", ""),
    ("stop_when", "{probe: workload, metric: error_ratio, expect: {max: 1}}", "max: 1 could never stop: error_ratio is in 0..1", ""),
    ("stop_when", "{metric: p99_ms, above: 1, for: 31s}", "for: 31 s could never pass: the experiment is over after 30 s", ""),
    ("stop_when", "{probe: file, path: a, for: 31s}", "for: 31 s could never pass: the experiment is over after 30 s", ""),
    ("stop_when", "{metric: p99_ms, above: 2001}", "above: 2001 could never stop: p99_ms ends at the pipeline's timeout, 2000 ms", ""),
    ("stop_when", "{metric: max_ms, above: 5e3, below: 1}", "above: 5000 could never stop: max_ms ends at the pipeline's timeout", ""),
    ("stop_when", "{probe: workload, metric: p50_ms, expect: {max: 3000}}", "max: 3000 could never stop: p50_ms ends at the pipeline's", ""),
    ("stop_when", "{metric: p99_ms}", "needs `above` or `below`", ""),
    ("stop_when", "{metric: p99_ms, above: 1, below: 2}", "any value would stop", ""),
    ("stop_when", "{metric: p99_ms, above: 1, for: 5x}", "for: '5x'", ""),
    ("stop_when", "{probe: file, path: a, mode: edge}", "mode: a stop condition", ""),
]


@pytest.mark.parametrize("key, item, says, hint", BAD)
def test_what_cannot_be_is_refused_with_its_place(key, item, says, hint):
    with Lab() as lab:
        (lab.folder / "plan.yaml").write_text(
            f"experiments:\n  - name: x\n    layer: model\n    fault_type: slow_inference\n    duration: 30s\n    {key}:\n      - {item}\n")
        done = lab.run("validate", "plan.yaml")
        assert done.returncode == 2
        assert "plan.yaml:7:" in done.stderr and says in done.stderr and hint in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("item, more", [
    ({"metric": "accuracy", "above": 0.9, "below": 0.5, "for": "30s"}, {}),
    ({"metric": "error_ratio", "above": 0}, {}),
    ({"metric": "p99_ms", "above": 2000}, {}),
    ({"metric": "p99_ms", "above": 1, "for": "40s"}, {"rollback": {"strategy": "gradual", "timeout_seconds": "20s"}}),
])
def test_stop_conditions_that_can_be_met_are_fine(item, more):
    with Lab() as lab:
        done = lab.run("validate", plan(lab, duration="30s", stop_when=[item], **more))
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("setting, item, says", [
    ("duration=3s", {"metric": "p99_ms", "above": 1, "for": "5s"}, "for: 5 s could never pass: the experiment is over after 3 s"),
    ("pipeline.timeout=1s", {"metric": "p99_ms", "above": 1500}, "above: 1500 could never stop: p99_ms ends at the pipeline's timeout, 1000 ms"),
])
def test_what_set_makes_of_a_stop_condition_is_said_and_not_refused(setting, item, says):
    with Lab() as lab:
        path = plan(lab, duration="30s", stop_when=[item])
        assert lab.run("validate", path).stderr == ""
        done = lab.run("validate", path, "--set", setting)
        assert (done.returncode, done.stderr) == (0, f"chaoseater: --set {setting}: stop condition of experiment 'x': {says}\n")
        code, told = lab.run_json("validate", path, "--set", setting)
        assert code == 0 and told["notices"] == [f"--set {setting}: stop condition of experiment 'x': {says}"]
        assert lab.run("validate", path, "--set", setting, "--set", "duration=30s", "--set", "pipeline.timeout=2s").stderr == ""


def test_a_run_that_set_made_too_short_for_its_stop_condition_goes_its_way():
    with Lab() as lab:
        path = plan(lab, duration="30s", stop_when=[{"metric": "p99_ms", "above": 1000, "for": "20s"}])
        done = lab.run("run", path, "--set", "duration=300ms", "--set", "baseline=500ms")
        assert done.returncode == 0 and "could never pass" in done.stderr, done.stderr


def test_the_schema_knows_probes_and_stop_conditions():
    jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")
    yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed")
    with Lab() as lab:
        validator = jsonschema.Draft202012Validator(json.loads(lab.run("schema").stdout))
        good = experiment(
            steady_state=[{"probe": "http", "url": "http://h", "expect": 200},
                          {"probe": "command", "command": ["a", "b"], "expect": {"regex": "x"}, "failures": 3}],
            stop_when=[{"metric": "p99_ms", "above": 5, "for": "2s"},
                       {"probe": "tcp", "host": "h", "port": 5, "for": 2}])
        assert not list(validator.iter_errors({"experiments": [good]}))
        told = ("htp", "mode: ege", "expct", "each is a mapping", "needs `above`")  # what a schema can tell, too
        for key, item, says, _ in BAD:
            document = {"experiments": [experiment(**{key: [yaml.safe_load(item)]})]}
            if any(word in item or word in says for word in told):
                assert list(validator.iter_errors(document)), item


# ---- a real one ----


def test_a_real_prometheus():
    program = shutil.which("prometheus")
    if not program:
        pytest.skip("prometheus is not installed")
    with Lab() as lab:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % free.getsockname()[1]
        (lab.folder / "prom.yml").write_text(
            f'scrape_configs: [{{job_name: self, scrape_interval: 1s, static_configs: [{{targets: ["{address}"]}}]}}]\n')
        server = subprocess.Popen([program, "--config.file=prom.yml", f"--web.listen-address={address}",
                                   "--storage.tsdb.path=data"], cwd=lab.folder, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            def up():
                with contextlib.suppress(OSError):
                    with urllib.request.urlopen(f"http://{address}/api/v1/query?query=up", timeout=2) as answer:
                        return b'"1"' in answer.read()

            wait_for(up, "prometheus has scraped itself")
            probe = {"probe": "prometheus", "url": f"http://{address}"}
            code, done = run(lab, steady_state=[
                {**probe, "query": 'up{job="self"}', "expect": {"equals": 1}},
                {**probe, "query": "scalar(vector(2.5))", "expect": {"min": 2, "max": 3}},
                {**probe, "query": "sum(rate(prometheus_http_requests_total[1m])) >= 0", "expect": {"min": 0}, "failures": 30}])
            assert (code, done["verdict"]) == (0, "passed"), done
            code, done = run(lab, steady_state=[{**probe, "query": "no_such_metric", "expect": 1}])
            assert code == 6 and "yields nothing" in done["detail"]
            code, done = run(lab, steady_state=[{**probe, "query": "sum(", "expect": 1}])
            assert code == 6 and "the server says" in done["detail"]
        finally:
            server.kill()
            server.wait()
