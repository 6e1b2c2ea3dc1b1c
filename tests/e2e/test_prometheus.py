# SPDX-License-Identifier: MIT
"""Metrics: what a run pushes, keeps, serves and writes, read back by the real programs and by the clients' own parser."""
import base64
import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest

from lab import Lab, wait_for

ALWAYS = """
chaos_experiment_duration_seconds chaos_experiment_status chaos_recovery_time_seconds chaos_accuracy_degradation_percent
chaos_accuracy_degradation_ratio chaos_error_count chaos_run_errors chaos_resilience_score chaos_score_points_lost
chaos_pipeline_downtime_seconds chaos_experiment_verdict chaos_experiment_verified chaos_experiment_end_time_seconds
chaos_fault_intensity_ratio chaos_request_duration_seconds_bucket chaos_operations chaos_operation_errors
chaos_accuracy_ratio chaos_fault_units chaos_rollback_duration_seconds chaos_rollback_verified chaos_build_info""".split()
HOST = ["chaos_journal_live_entries", "chaos_journal_failed_entries", "chaos_stop_engaged"]
HOSTILE = 'a/b "c" \\ ü {}'


def free_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % taken.getsockname()[1]


def get(url, method="GET", **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=5) as answer:
        return answer.read().decode(), answer.headers


def program(name):
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


@contextlib.contextmanager
def server(name, *arguments, ready, folder):
    process = subprocess.Popen([program(name), *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_ready():
        assert process.poll() is None, f"{name} has ended"
        with contextlib.suppress(OSError):
            get(ready)
            return True
    try:
        wait_for(is_ready, f"{name} is ready")
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def gateway(folder, address=None):
    address = address or free_address()
    with server("prometheus-pushgateway", f"--web.listen-address={address}", "--persistence.file=gateway.data", ready=f"http://{address}/-/ready", folder=folder):
        yield f"http://{address}"


class Double:
    """A gateway that answers every call with the same status, or never; what it was told."""

    def __init__(self, status=200, headers=(), address="127.0.0.1:0"):
        double = self
        self.calls = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
                double.calls.append((self.path, body, self.headers))
                if status is None:
                    self.rfile.read(1)
                    return
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_DELETE = do_PUT

            def log_message(self, *_):
                pass

        host, port = address.split(":")
        self.server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:%d" % self.server.server_port
        self.url = f"http://{self.address}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def bodies(self, path):
        return [body for told, body, _ in self.calls if told == path]


def plan(lab, url, *names, fault="slow_inference", parameters=None, job="chaos_eater", **more):
    experiments = [{"name": name, "layer": "model", "fault_type": fault, "duration": "500ms", "baseline": "500ms",
                    "parameters": {"latency_ms": 30} if parameters is None else parameters, **more} for name in names]
    document = {"seed": 7, "experiments": experiments, "pipeline": {"kind": "embedded", "rate": 50, "rows": 1000}}
    if url:
        document["prometheus"] = {"pushgateway_url": url, "job_name": job}
    (lab.folder / "plan.yaml").write_text(json.dumps(document))
    return "plan.yaml"


def kept(lab):
    return sorted((lab.state / "metrics").glob("*.json"))


def parse(text, open_metrics=False):
    """{(name, labels): value}, by the client library's own parser."""
    pytest.importorskip("prometheus_client", reason="python3-prometheus-client is not installed")
    if open_metrics:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    else:
        from prometheus_client.parser import text_string_to_metric_families
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text) for sample in family.samples}


def value(samples, name, **labels):
    found = [value for (sample, pairs), value in samples.items() if sample == name and set(labels.items()) <= set(pairs)]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def group(name, job="chaos_eater"):
    return f"/metrics/job/{job}/experiment/{name}"


# ---- formats ----


def lint(text):
    done = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if line]


def test_a_report_is_what_a_collector_reads():
    with Lab() as lab:
        done = lab.run("run", plan(lab, "", HOSTILE), "--report", "prometheus=chaos.prom")
        assert done.returncode in (0, 1), done.stderr
        path = lab.folder / "chaos.prom"
        assert path.stat().st_mode & 0o777 == 0o644
        assert [found.name for found in lab.folder.glob("chaos.prom*")] == ["chaos.prom"]
        samples = parse(path.read_text())
        who = {"experiment": HOSTILE, "layer": "model", "fault": "slow_inference"}
        assert value(samples, "chaos_experiment_status", **who) == 2
        assert value(samples, "chaos_request_duration_seconds_bucket", phase="fault", le="+Inf", **who) \
            == value(samples, "chaos_operations", phase="fault", **who) > 10
        buckets = [value(samples, "chaos_request_duration_seconds_bucket", phase="fault", le=le) for le in ("0.01", "0.025", "1.0")]
        assert buckets == sorted(buckets) and buckets[-1] > buckets[0] == 0  # 30 ms more
        assert {name for name, _ in samples} >= set(ALWAYS)
        code, complaints = lint(path.read_text())
        # Two names are promised; they have twins without fault.
        assert code == 3 and complaints
        assert {line.split()[0] for line in complaints} <= {"chaos_error_count", "chaos_accuracy_degradation_percent"}, complaints


def test_the_json_of_a_run_has_the_histogram_and_gives_it_back():
    with Lab() as lab:
        code, report = lab.run_json("run", plan(lab, "", "x"), "--report", "prometheus=here.prom", "--parallel", 1)
        beside_code, beside = lab.run_json("run", plan(lab, "", "x", "y", repeat=1), "--parallel", 2)
        assert code == beside_code == 0
        for run in [*report["runs"], *beside["runs"]]:  # also of runs in processes of their own
            histogram = run["metrics"]["latency_histogram"]
            assert histogram["fault"]["within"][-1] == run["metrics"]["operations"]["fault"]
            assert len(histogram["le"]) == len(histogram["fault"]["within"])


# ---- pushing ----


def test_a_run_is_pushed_scraped_and_asked_for():
    with Lab() as lab, gateway(lab.folder) as url:
        address = free_address()
        (lab.folder / "prom.yml").write_text(
            "scrape_configs: [{job_name: push, honor_labels: true, scrape_interval: 1s, "
            f"static_configs: [{{targets: ['{urllib.parse.urlsplit(url).netloc}']}}]}}]\n")
        done = lab.run("run", plan(lab, url, "plain", HOSTILE, job="a/job"))
        assert done.returncode in (0, 1) and done.stderr.count("metrics") == 0, done.stderr
        assert not kept(lab)
        with server("prometheus", "--config.file=prom.yml", f"--web.listen-address={address}", "--storage.tsdb.path=data",
                    ready=f"http://{address}/-/ready", folder=lab.folder):

            def ask(query):
                text, _ = get(f"http://{address}/api/v1/query?query={urllib.parse.quote(query)}")
                return {sample["metric"].get("experiment", ""): float(sample["value"][1])
                        for sample in json.loads(text)["data"]["result"]}

            wait_for(lambda: ask("up").get("") == 1, "the gateway has been scraped", 20)
            for name in ALWAYS:
                if name != "chaos_build_info":
                    assert set(ask(f"{name}{{job='a/job'}}")) == {"plain", HOSTILE}, name
            for name in ["chaos_build_info", *HOST]:
                assert set(ask(name)) == {""}, name
            assert ask("chaos_experiment_status") == {"plain": 2, HOSTILE: 2}
            assert ask("chaos_fault_intensity_ratio") == {"plain": 0, HOSTILE: 0}
            assert not ask("chaos_guard_up")
            p50 = ask("histogram_quantile(0.5, sum by (experiment, le) (chaos_request_duration_seconds_bucket{phase='fault'}))")
            assert all(0.025 < seconds < 0.1 for seconds in p50.values()), p50

        # Deleted on request, and once more.
        for _ in range(2):
            done = lab.run("metrics", "delete", HOSTILE, "--gateway", url, "--job", "a/job")
            assert done.returncode == 0, done.stderr
        samples = parse(get(f"{url}/metrics")[0])
        assert {dict(labels).get("experiment") for name, labels in samples if name == "chaos_experiment_status"} == {"plain"}


def test_what_goes_on_is_pushed_while_it_goes_on():
    with Lab() as lab, Double() as double:
        process = lab.start("run", plan(lab, double.url, "x", duration="30s"), "--json")

        def live():
            return [body for body in double.bodies(group("x")) if "chaos_fault_intensity_ratio" in body and "le=" not in body]

        wait_for(lambda: any(value(parse(body), "chaos_fault_intensity_ratio") == 1 for body in live()), "the fault is told")
        samples = parse(live()[-1])
        assert value(samples, "chaos_experiment_status") == 1
        assert value(samples, "chaos_guard_up") == 1
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        samples = parse(double.bodies(group("x"))[-1])
        assert value(samples, "chaos_experiment_status") == 3
        assert value(samples, "chaos_fault_intensity_ratio") == 0
        wait_for(lambda: not lab.processes(), "everything has ended")


def test_experiments_side_by_side_are_pushed_too():
    with Lab() as lab, Double() as double:
        done = lab.run("run", plan(lab, double.url, "x", "y"), "--parallel", 2)
        assert done.returncode == 0, done.stderr
        for name in "xy":
            first, last = double.bodies(group(name))[0], double.bodies(group(name))[-1]
            assert value(parse(first), "chaos_experiment_status") == 1
            assert value(parse(last), "chaos_experiment_status") == 2
            assert value(parse(last), "chaos_request_duration_seconds_count", phase="fault") > 10


def test_a_run_that_is_killed_is_told_to_have_failed():
    with Lab() as lab, Double() as double:
        process = lab.start("run", plan(lab, double.url, "x", duration="60s"))
        wait_for(lambda: any("chaos_fault_intensity_ratio" in body and value(parse(body), "chaos_fault_intensity_ratio") == 1
                             for body in double.bodies(group("x"))), "the fault is told")
        process.kill()
        process.communicate()
        wait_for(lambda: value(parse(double.bodies(group("x"))[-1]), "chaos_experiment_status") == 3, "its end is told")
        lab.run("recover")
        wait_for(lambda: not lab.processes(), "everything has ended")


@pytest.mark.parametrize("status", [400, 401, 409, 412, 500, 503, 307])
def test_a_gateway_that_refuses_fails_nothing(status):
    headers = [("Location", "http://127.0.0.1:1/")] if status == 307 else []
    with Lab() as lab:
        with Double(status, headers) as double:
            done = lab.run("run", plan(lab, double.url, "x"))
            assert done.returncode == 0
            (warning,) = [line for line in done.stderr.splitlines() if "metrics" in line]
            assert warning.startswith("chaoseater: metrics were not all pushed: ") and f"status {status}" in warning
            assert len(kept(lab)) == 2  # the experiment and the host
        # What was kept is sent with the next run that pushes there.
        with Double(200, address=double.address) as better:
            done = lab.run("run", plan(lab, better.url, "y"))
            assert done.returncode == 0 and "metrics" not in done.stderr
            assert value(parse(better.bodies(group("x"))[-1]), "chaos_experiment_status") == 2
            assert better.bodies(group("y")) and not kept(lab)


def test_a_gateway_that_is_not_there_fails_nothing():
    with Lab() as lab:
        url = f"http://{free_address()}"
        done = lab.run("run", plan(lab, url, "x"))
        assert done.returncode == 0
        (warning,) = [line for line in done.stderr.splitlines() if "metrics" in line]
        assert url in warning and "refused" in warning and str(lab.state / "metrics") in warning
        assert len(kept(lab)) == 2
        lab.run("run", plan(lab, url, "x"))
        assert len(kept(lab)) == 2  # the newer in the place of the older
        done = lab.run("metrics", "send", "--gateway", url)
        assert done.returncode == 4 and "refused" in done.stderr
        with Double(address=url.removeprefix("http://")) as double:
            done = lab.run("metrics", "send", "--gateway", url)
            assert (done.returncode, done.stdout) == (0, "2 sent, 0 left\n")
            assert len(double.bodies(group("x"))) == 1 and not kept(lab)


def test_a_gateway_that_hangs_does_not_delay_a_run():
    with Lab() as lab, Double(None) as double:
        code, report = lab.run_json("run", plan(lab, double.url, "x"))
        assert code == 0 and len(kept(lab)) == 2
        # Neither what is measured nor the whole of it waits for the gateway.
        assert report["runs"][0]["verdict"] == "passed"
        assert double.calls


def test_a_password_is_used_and_never_shown():
    with Lab() as lab, Double(401) as double:
        secret = "s3cr%21et"
        url = double.url.replace("http://", f"http://me:{secret}@")
        done = lab.run("run", plan(lab, url, "x"), "--json")
        login = base64.b64encode(b"me:s3cr!et").decode()
        assert double.calls and {headers["Authorization"] for _, _, headers in double.calls} == {f"Basic {login}"}
        shown = done.stdout + done.stderr + "".join(path.read_text() for path in kept(lab))
        assert "s3cr" not in shown and login not in shown
        done = lab.run("run", plan(lab, f"ftp://me:{secret}@h", "x"))
        assert done.returncode == 2 and "s3cr" not in done.stderr
        assert "plan.yaml:1:" in done.stderr


def test_a_pipeline_s_own_metrics_are_pushed():
    with Lab() as lab, Double() as double:
        script = lab.folder / "job.py"
        script.write_text("import json\nprint(json.dumps({'accuracy': 0.9, 'a \"b\"\\nc': 0.5}))\n")
        (lab.folder / "plan.yaml").write_text(json.dumps({
            "experiments": [{"name": "x", "layer": "infrastructure", "fault_type": "cpu_throttle", "duration": "1s",
                             "baseline": "1s", "parameters": {}}],
            "pipeline": {"kind": "command", "command": ["/usr/bin/python3", str(script)], "metrics": "stdout"},
            "prometheus": {"pushgateway_url": double.url}}))
        done = lab.run("run", "plan.yaml")
        if done.returncode == 4:
            pytest.skip(done.stdout)
        samples = parse(double.bodies(group("x"))[-1])
        assert value(samples, "chaos_custom_metric", metric='a "b"\nc', phase="baseline") == 0.5


# ---- serving ----


def test_a_schedule_serves_metrics_in_both_formats():
    with Lab() as lab:
        address = free_address()
        plan(lab, "", "x", schedule="every 1s")
        process = lab.start("schedule", "plan.yaml", "--metrics", address)
        url = f"http://{address}/metrics"

        def ended():
            with contextlib.suppress(OSError):
                return "chaos_resilience_score" in get(url)[0]

        wait_for(ended, "a run has ended")
        plain, headers = get(url)
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert value(parse(plain), "chaos_experiment_status", experiment="x") in (0, 1, 2)
        assert value(parse(plain), "chaos_stop_engaged") == 0
        text, headers = get(url, Accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
        assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert text.endswith("# EOF\n")
        samples = parse(text, open_metrics=True)
        assert {name for name, _ in samples} >= {*ALWAYS, *HOST}
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(url, method="POST")
        assert refused.value.code == 405
        # A real one takes it as it is.
        own = free_address()
        (lab.folder / "prom.yml").write_text(
            f"scrape_configs: [{{job_name: s, scrape_interval: 1s, static_configs: [{{targets: ['{address}']}}]}}]\n")
        with server("prometheus", "--config.file=prom.yml", f"--web.listen-address={own}", "--storage.tsdb.path=data",
                    ready=f"http://{own}/-/ready", folder=lab.folder):
            wait_for(lambda: '"1"' in get(f"http://{own}/api/v1/query?query=up")[0], "it has been scraped", 20)
            assert "slow_inference" in get(f"http://{own}/api/v1/query?query=chaos_resilience_score")[0]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 143 and f"metrics at {url}" in err


def test_an_address_that_cannot_be_served_at_is_said_so():
    with Lab() as lab, socket.socket() as taken:
        plan(lab, "", "x", schedule="every 1h")
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = lab.run("schedule", "plan.yaml", "--metrics", "127.0.0.1:%d" % taken.getsockname()[1])
        assert done.returncode == 4 and done.stderr.count("\n") == 1
        done = lab.run("schedule", "plan.yaml", "--metrics", "nonsense")
        assert done.returncode == 2 and "nonsense" in done.stderr


@pytest.mark.parametrize("arguments, says", [
    (["delete", "x"], "--gateway URL"),
    (["send"], "--gateway URL"),
    (["delete", "x", "--gateway", "ftp://u:secret@h"], "'ftp://h'"),
    (["send", "--gateway", "h2c://h:1"], "HTTP/2"),
])
def test_wrong_usage_is_said_in_one_sentence(arguments, says):
    with Lab() as lab:
        done = lab.run("metrics", *arguments)
        assert done.returncode == 2 and says in done.stderr
        assert done.stderr.count("\n") == 1 and "secret" not in done.stderr
