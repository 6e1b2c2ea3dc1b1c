# SPDX-License-Identifier: MIT
"""Runs as traces and metrics of OpenTelemetry, and as annotations in Grafana: what is sent is held against the protocol's
own definition (opentelemetry-proto, from PyPI) and the documented rules of the annotation API; no real collector and no
real Grafana stand behind it."""
import contextlib
import http.server
import json
import subprocess
import sys
import threading

import pytest

import peers
from lab import Lab

TOKEN = "secret-of-a-service-account"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        double = self.server.double
        status, answer = double.answer(self.path, dict(self.headers), body)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(text)

    def log_message(self, *args):
        pass


class Double:
    """Takes what is as it should be. `says`: another status and answer, until it is emptied."""

    def __init__(self):
        self.taken, self.refused, self.says = [], [], None
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.double = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path, headers, body):
        document = json.loads(body)
        if self.says:
            self.refused.append((path, document))
            return self.says
        status, answer = self.check(path, headers, document)
        (self.taken if status == 200 else self.refused).append((path, document))
        return status, answer

    def check(self, path, headers, document):
        """The rules of POST /api/annotations; a collector is asked of nothing but the path and the type."""
        if headers.get("Content-Type") != "application/json":
            return 415, {}
        if path in ("/v1/traces", "/v1/metrics"):
            return 200, {}
        if path != "/api/annotations":
            return 404, {"message": "Not found"}
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        allowed = {"dashboardUID": str, "panelId": int, "time": int, "timeEnd": int, "tags": list, "text": str}
        fine = all(key in allowed and isinstance(value, allowed[key]) for key, value in document.items())
        return (200, {"id": 1, "message": "Annotation added"}) if fine and document.get("text") else (400, {"message": "Bad request data"})

    def bodies(self, path):
        return [document for at, document in self.taken if at == path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def double():
    with contextlib.closing(Double()) as double:
        yield double


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.kept_folders.append(str(lab.state / "metrics"))
        yield lab


def plan(lab, *names, **sections):
    path = lab.folder / "plan.yaml"
    path.write_text(json.dumps({"seed": 7, "pipeline": {"rate": 50, "rows": 300}, **sections, "experiments": [
        {"name": name, "layer": "model", "fault_type": "slow_inference", "duration": "500ms", "baseline": "500ms",
         "parameters": {"latency_ms": 30, "variance": 0}} for name in names]}))
    return path


def nanoseconds(text):
    import datetime
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(at.timestamp() * 1000) * 10**6


def proto_python():
    def make(folder):
        peers.run(sys.executable, "-m", "venv", "--without-pip", folder)
        peers.run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q",
                  "--disable-pip-version-check", "opentelemetry-proto==1.38.0")

    return peers.made_once("opentelemetry-proto", make) / "bin" / "python"


PARSE = """
import json, sys
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
for path, body in json.load(sys.stdin):
    kind = ExportTraceServiceRequest if path == "/v1/traces" else ExportMetricsServiceRequest
    json_format.ParseDict(body, kind())
print("fine")
"""


def hexless(value):
    """OTLP's JSON has ids in hexadecimal; protobuf's own JSON has bytes in base64. Nothing else differs."""
    import base64
    if isinstance(value, dict):
        return {key: base64.b64encode(bytes.fromhex(item)).decode() if key in ("traceId", "spanId", "parentSpanId") else hexless(item)
                for key, item in value.items()}
    return [hexless(item) for item in value] if isinstance(value, list) else value


def test_a_run_is_a_trace_and_its_phases_are_spans(lab, double):
    code, report = lab.run_json("run", plan(lab, "one", "two", opentelemetry={"endpoint": double.url, "service_name": "ours"}))
    assert code == 0
    traces = double.bodies("/v1/traces")
    assert len(traces) == 2
    for body, run in zip(traces, report["runs"]):
        [resource] = body["resourceSpans"]
        assert {"key": "service.name", "value": {"stringValue": "ours"}} in resource["resource"]["attributes"]
        root, *phases = resource["scopeSpans"][0]["spans"]
        assert root["name"] == run["experiment"]["name"] and "parentSpanId" not in root
        assert root["status"] == {"code": 1, "message": ""}
        assert [span["name"] for span in phases] == [phase["phase"] for phase in run["series"]["phases"]]
        ids = {span["spanId"] for span in (root, *phases)}
        assert len(ids) == len(phases) + 1 and all(len(bytes.fromhex(i)) == 8 for i in ids)
        assert {span["traceId"] for span in (root, *phases)} == {root["traceId"]} and len(bytes.fromhex(root["traceId"])) == 16
        begin, end = int(root["startTimeUnixNano"]), int(root["endTimeUnixNano"])
        assert abs(begin - nanoseconds(run["started_at"])) < 10**6 and abs(end - nanoseconds(run["ended_at"])) < 10**6
        for span in phases:
            assert span["parentSpanId"] == root["spanId"]
            assert begin <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) <= end + 10**6
        window = next(span for span in phases if span["name"] == "fault")
        assert int(window["endTimeUnixNano"]) - int(window["startTimeUnixNano"]) >= 500 * 10**6
        events = next(span for span in phases if span["name"] == "rollback")["events"]
        assert len(events) == len(run["rollback"]["steps"])
    assert traces[0]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] != \
        traces[1]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]


def test_metrics_are_those_of_the_registry(lab, double):
    code, report = lab.run_json("run", plan(lab, 'a "b" \\c', opentelemetry={"endpoint": double.url}), "--report", "prometheus=chaos.prom")
    assert code == 0
    [body] = double.bodies("/v1/metrics")
    metrics = {metric["name"]: metric for metric in body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    from prometheus_client.parser import text_string_to_metric_families
    families = {family.name: family for family in text_string_to_metric_families((lab.folder / "chaos.prom").read_text())}
    of_the_host = {"chaos_build_info", "chaos_journal_live_entries", "chaos_journal_failed_entries", "chaos_stop_engaged"}
    assert set(metrics) == set(families) - of_the_host - {"chaos_build"}
    for name, metric in metrics.items():
        if "gauge" in metric:
            sent = sorted((tuple(sorted((a["key"], a["value"]["stringValue"]) for a in point["attributes"])), point["asDouble"])
                          for point in metric["gauge"]["dataPoints"])
            assert sent == sorted((tuple(sorted(s.labels.items())), s.value) for s in families[name].samples), name
    [histogram] = [metric["histogram"] for metric in metrics.values() if "histogram" in metric]
    for point in histogram["dataPoints"]:
        assert sum(map(int, point["bucketCounts"])) == int(point["count"])
        assert len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1
        assert point["explicitBounds"] == sorted(point["explicitBounds"])
    assert report["runs"][0]["status"] == "completed"


def test_the_protocols_own_definition_takes_it(lab, double):
    python = proto_python()
    assert lab.run("run", plan(lab, "one", opentelemetry={"endpoint": double.url})).returncode == 0
    done = subprocess.run([python, "-c", PARSE], input=json.dumps(hexless([list(pair) for pair in double.taken])), capture_output=True,
                          text=True, timeout=120)
    assert done.stdout == "fine\n", done.stderr[-2000:]
    assert len(double.taken) == 2


def test_an_annotation_covers_the_fault(lab, double):
    code, report = lab.run_json("run", plan(lab, "one", grafana={"url": double.url, "dashboard": "chaos"}), GRAFANA_TOKEN=TOKEN)
    assert code == 0
    [sent] = double.bodies("/api/annotations")
    [window] = [phase for phase in report["runs"][0]["series"]["phases"] if phase["phase"] == "fault"]
    began = nanoseconds(report["runs"][0]["series"]["began_at"]) / 1e6
    assert abs(sent["time"] - (began + 1e3 * window["begin"])) <= 2 and abs(sent["timeEnd"] - (began + 1e3 * window["end"])) <= 2
    assert sent["tags"] == ["chaoseater", "model", "slow_inference"] and sent["dashboardUID"] == "chaos"
    assert sent["text"].startswith("one: slow_inference, passed, score ")


def test_headers_that_log_in_come_from_the_environment(lab, double):
    heads = []
    check = double.check
    double.check = lambda path, headers, document: (heads.append(headers), check(path, headers, document))[1]
    path = plan(lab, "one", opentelemetry={"endpoint": double.url, "headers_env": "MINE"})
    assert lab.run("run", path, MINE="x-key=abc=, x-team=ml").returncode == 0
    assert all(head["x-key"] == "abc=" and head["x-team"] == "ml" for head in heads) and len(heads) == 2


# ---- what goes wrong: never more than a warning, and nothing is lost ----

SECTIONS = {"opentelemetry": "endpoint", "grafana": "url"}


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("says", [(401, {"message": "no"}), (429, {}), (503, {})])
def test_what_is_refused_for_now_is_kept_and_sent_later(lab, double, section, says):
    path = plan(lab, "one", **{section: {SECTIONS[section]: double.url}})
    double.says = says
    result = lab.run("run", path, GRAFANA_TOKEN=TOKEN)
    assert result.returncode == 0 and "passed" in result.stdout
    assert f"answered with status {says[0]}" in result.stderr and "they are kept in" in result.stderr
    assert TOKEN not in result.stderr and all(TOKEN not in file.read_text() for file in (lab.state / "metrics").iterdir())
    first = {json.dumps(document, sort_keys=True) for _, document in double.refused}
    double.says = None
    result = lab.run("run", path, GRAFANA_TOKEN=TOKEN)
    assert result.returncode == 0 and result.stderr.count("kept in") == 0
    assert first <= {json.dumps(document, sort_keys=True) for _, document in double.taken}
    assert len(double.taken) == 2 * len(first)
    assert not list((lab.state / "metrics").glob("*.json"))


def test_who_cannot_be_reached_costs_a_warning(lab, double):
    double.close()
    result = lab.run("run", plan(lab, "one", opentelemetry={"endpoint": double.url}, grafana={"url": double.url}))
    assert result.returncode == 0
    assert "traces and metrics were not all sent" in result.stderr and "annotations were not all sent" in result.stderr
    assert len(list((lab.state / "metrics").glob("*.json"))) == 3


@pytest.mark.parametrize("says, words", [
    ((400, {"message": "bad"}), "answered with status 400"),
    ((200, {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}), "did not take all: too old"),
])
def test_what_will_never_be_taken_is_said_and_not_kept(lab, double, says, words):
    double.says = says
    result = lab.run("run", plan(lab, "one", opentelemetry={"endpoint": double.url}))
    assert result.returncode == 0
    assert "traces and metrics were not all taken" in result.stderr and words in result.stderr
    assert not list((lab.state / "metrics").glob("*.json"))
    assert len(double.refused) == 2  # each once


@pytest.mark.parametrize("section, place, says", [
    ({"opentelemetry": {"endpoint": "ftp://x"}}, "endpoint", "endpoint: "),
    ({"opentelemetry": {}}, "", "endpoint"),
    ({"opentelemetry": {"endpoint": "http://h", "header": "x"}}, "", "unknown key 'header' of opentelemetry"),
    ({"grafana": {"url": 5}}, "url", "url"),
    ({"grafana": {"url": "http://h", "token": "x"}}, "", "unknown key 'token' of grafana"),
])
def test_a_section_that_is_wrong_is_refused_with_its_place(lab, section, place, says):
    result = lab.run("run", plan(lab, "one", **section))
    assert result.returncode == 2 and says in result.stderr and "plan.yaml:1:" in result.stderr
