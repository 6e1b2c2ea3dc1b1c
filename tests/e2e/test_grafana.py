# SPDX-License-Identifier: MIT
"""Dashboard and alert rules: held against Grafana's own types, promtool, and a real Prometheus that has real runs."""
import contextlib
import http.server
import json
import math
import pathlib
import re
import shutil
import subprocess
import threading
import time
import urllib.parse

import pytest

import peers
from lab import Lab, wait_for
from test_prometheus import free_address, get, plan, program, server

yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed")

HERE = pathlib.Path(__file__).parent
SCHEMA = ["@grafana/schema@13.2.3", "ts-json-schema-generator@2.4.0", "ajv@8.20.0"]
MISSION = {"Resilience score": "gauge", "Experiment status": "stat", "Recovery time": "timeseries", "Error count": "timeseries",
           "Accuracy degradation": "timeseries", "Experiment duration": "heatmap", "Fault type distribution": "piechart",
           "Success rate by layer": "bargauge"}


def dashboard_of(chaoseater, *arguments):
    done = chaoseater("grafana", "dashboard", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def dashboard(chaoseater):
    return dashboard_of(chaoseater)


# ---- the dashboard's form ----


def test_it_has_the_panels_that_were_promised(dashboard):
    panels = {panel["title"]: panel["type"] for panel in dashboard["panels"]}
    assert panels.items() >= MISSION.items()
    assert panels.items() >= {"Fault intensity": "timeseries", "Score over time": "timeseries", "Worst faults": "table"}.items()
    beside = [panel["gridPos"] for panel in dashboard["panels"]
              if panel["title"] in ("Fault intensity", "Latency", "Accuracy")]
    assert len(beside) == 3 and len({place["y"] for place in beside}) == 1
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "job", "layer", "experiment"]
    assert dashboard["annotations"]["list"][1]["name"] == "Fault windows"


def cells(panel):
    place = panel["gridPos"]
    assert place["w"] > 0 and place["h"] > 0 and 0 <= place["x"] <= 24 - place["w"]
    return {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}


def check_rules(dashboard):
    """The documented rules for classic dashboards, which types do not tell."""
    assert dashboard["id"] is None and 0 < len(dashboard["uid"]) <= 40 and dashboard["title"] and dashboard["schemaVersion"] == 41
    assert not {"apiVersion", "kind", "spec"} & dashboard.keys()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids) and min(ids) > 0
    taken = set()
    for panel in dashboard["panels"]:
        assert not cells(panel) & taken, panel["title"]
        taken |= cells(panel)
        if panel["type"] == "row":
            assert panel["panels"] == [] and panel["collapsed"] is False
            continue
        for asks in [panel, *panel["targets"]]:
            assert asks["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        assert not steps or (steps[0]["value"] is None and None not in [step["value"] for step in steps[1:]])


def schema_faults(*dashboards):
    folder = peers.node_modules(*SCHEMA)
    done = subprocess.run(["node", HERE / "grafana_schema.mjs"], cwd=folder, input="\n".join(map(json.dumps, dashboards)),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_follows_the_rules(dashboard):
    check_rules(dashboard)


def test_it_is_valid_by_the_types_that_grafana_publishes(dashboard):
    broken = json.loads(json.dumps(dashboard))
    broken["graphTooltip"] = 7
    broken["nonsense"] = 1
    broken["panels"][1]["options"]["colorMode"] = "x"
    broken["panels"][3]["fieldConfig"]["defaults"]["custom"]["drawStyle"] = "crayon"
    faults = schema_faults(dashboard, broken)
    assert faults[0] == []
    assert len(faults[1]) == 4, faults[1]


def test_panels_of_one_s_own_are_added_beside_the_others(chaoseater):
    (chaoseater.folder / "one.json").write_text(json.dumps(
        {"type": "text", "title": "first", "options": {"mode": "markdown", "content": "x"}, "gridPos": {"x": 3, "y": 0, "w": 24, "h": 3}}))
    mine = {"type": "timeseries", "title": "m", "id": 1, "datasource": {"type": "loki", "uid": "l"}, "targets": []}
    (chaoseater.folder / "two.json").write_text(json.dumps([mine, mine | {"datasource": None}, mine | {"gridPos": {"w": 99, "h": -1}}]))
    usual = dashboard_of(chaoseater)
    made = dashboard_of(chaoseater, "--panel", "one.json", "--panel", "two.json", "--title", "Mine ü")
    assert made["title"] == "Mine ü" and made["uid"] == usual["uid"]
    count = len(usual["panels"])
    assert made["panels"][:count] == usual["panels"]
    row, first, *rest = made["panels"][count:]
    assert (row["type"], row["title"]) == ("row", "More")
    assert first["gridPos"] == {"x": 0, "y": row["gridPos"]["y"] + 1, "w": 24, "h": 3} and first["options"]["content"] == "x"
    assert first["datasource"]["uid"] == "${datasource}"
    assert [panel["datasource"] for panel in rest] == [mine["datasource"], None, mine["datasource"]]
    assert [(panel["gridPos"]["w"], panel["gridPos"]["h"]) for panel in rest] == [(12, 8)] * 3
    assert [panel["id"] for panel in made["panels"]] == list(range(1, len(made["panels"]) + 1))
    assert len(set().union(*map(cells, made["panels"]))) == sum(len(cells(panel)) for panel in made["panels"])


@pytest.mark.parametrize("text, says", [
    ("{", "mine.json"), ("[]x", "mine.json"), ("5", "\"type\""), ("{\"title\": \"x\"}", "\"type\""), ("[{\"type\": \"\"}]", "\"type\""),
    ("[[]]", "\"type\""), (None, "mine.json"),
])
def test_a_file_that_is_no_panel_is_refused(chaoseater, text, says):
    if text is not None:
        (chaoseater.folder / "mine.json").write_text(text)
    done = chaoseater("grafana", "dashboard", "--panel", "mine.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and "mine.json" in done.stderr and done.stderr.count("\n") == 1


def test_files_are_written_where_they_are_to_go(chaoseater, tmp_path):
    for what in ("dashboard", "alerts"):
        done = chaoseater("grafana", what, "-o", "out")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (chaoseater.folder / "out").read_text() == chaoseater("grafana", what).stdout
        done = chaoseater("grafana", what, "-o", "out", "--json")
        assert json.loads(done.stdout) == {"file": "out"}
        assert (chaoseater.folder / "out").read_text() == chaoseater("grafana", what, "-o", "-").stdout
        done = chaoseater("grafana", what, "-o", "/dev/full")
        assert done.returncode == 4 and "No space" in done.stderr and done.stderr.count("\n") == 1
        done = chaoseater("grafana", what, "-o", "no/such/out")
        assert done.returncode == 4 and "no/such/out" in done.stderr


# ---- the alert rules' form ----


@pytest.mark.parametrize("format", ["prometheus", "grafana"])
def test_the_yaml_says_what_the_json_says(chaoseater, format):
    text = chaoseater("grafana", "alerts", "--format", format).stdout
    assert yaml.safe_load(text) == json.loads(chaoseater("grafana", "alerts", "--format", format, "--json").stdout)


def test_promtool_takes_the_rules_and_they_do_what_they_say(chaoseater):
    promtool = program("promtool")
    rules = chaoseater("grafana", "alerts").stdout
    (chaoseater.folder / "rules.yml").write_text(rules)
    done = subprocess.run([promtool, "check", "rules", "rules.yml"], cwd=chaoseater.folder, capture_output=True, text=True)
    assert done.returncode == 0 and "SUCCESS: 9 rules found" in done.stdout, done.stdout + done.stderr
    tests = (HERE / "alert_rules_test.yml").read_text()
    (chaoseater.folder / "rules_test.yml").write_text(tests)
    done = subprocess.run([promtool, "test", "rules", "rules_test.yml"], cwd=chaoseater.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    fired = set(re.findall(r"alertname: (\w+)\n", tests))
    assert fired == {rule["alert"] for rule in yaml.safe_load(rules)["groups"][0]["rules"]}


def test_limits_are_what_was_asked_for(chaoseater):
    limits = ["--min-score", 85, "--max-error-rate", "0.02", "--max-recovery", "2m"]
    plain = yaml.safe_load(chaoseater("grafana", "alerts", *limits).stdout)["groups"][0]["rules"]
    exprs = {rule["alert"]: rule["expr"] for rule in plain}
    assert exprs["ChaosLowScore"] == "chaos_resilience_score < 85"
    assert exprs["ChaosHighErrorRate"].endswith(" > 0.02")
    assert exprs["ChaosSlowRecovery"] == "chaos_recovery_time_seconds > 120"
    assert "120 s is the most" in next(rule for rule in plain if rule["alert"] == "ChaosSlowRecovery")["annotations"]["description"]
    other = yaml.safe_load(chaoseater("grafana", "alerts", "--format", "grafana", *limits).stdout)["groups"][0]["rules"]
    evaluators = {rule["title"]: rule["data"][1]["model"]["conditions"][0]["evaluator"] for rule in other}
    assert evaluators["ChaosLowScore"] == {"type": "lt", "params": [85]}
    assert evaluators["ChaosHighErrorRate"] == {"type": "gt", "params": [0.02]}
    assert evaluators["ChaosNotPutBack"] == {"type": "within_range", "params": [3.5, 4.5]}


@pytest.mark.parametrize("arguments, says", [
    (["--format", "nagios"], "'nagios'"), (["--max-error-rate", "5"], "'5'"), (["--max-error-rate", "x"], "'x'"),
    (["--max-recovery", "soon"], "'soon'"), (["--min-score", "101"], "101"),
])
def test_wrong_limits_are_refused(chaoseater, arguments, says):
    done = chaoseater("grafana", "alerts", *arguments)
    assert (done.returncode, done.stdout) == (2, "") and says in done.stderr and done.stderr.count("\n") == 1


def check_grafana_rule(rule):
    """The documented rules for alert rules, in the file and in the API alike."""
    names = [query["refId"] for query in rule["data"]]
    assert len(set(names)) == len(names) and rule["condition"] in names
    assert 0 < len(rule["uid"]) <= 40 and re.fullmatch(r"[\w-]+", rule["uid"])
    assert rule["noDataState"] in ("OK", "NoData", "Alerting") and rule["execErrState"] in ("OK", "Error", "Alerting")
    for query in rule["data"]:
        span = query["relativeTimeRange"]
        assert query["model"]["refId"] == query["refId"]
        assert query["datasourceUid"] == "__expr__" or span["from"] > span["to"]
    threshold = rule["data"][-1]["model"]
    assert threshold["type"] == "threshold" and threshold["expression"] in names
    evaluator = threshold["conditions"][0]["evaluator"]
    assert len(evaluator["params"]) == {"gt": 1, "lt": 1, "within_range": 2}[evaluator["type"]]


def test_the_file_that_grafana_is_provisioned_with_follows_the_rules(chaoseater):
    document = yaml.safe_load(chaoseater("grafana", "alerts", "--format", "grafana", "--datasource", "mimir-1").stdout)
    assert document["apiVersion"] == 1
    (group,) = document["groups"]
    assert group.keys() == {"orgId", "name", "folder", "interval", "rules"} and re.fullmatch(r"\d+[sm]", group["interval"])
    keys = {"uid", "title", "condition", "data", "noDataState", "execErrState", "for", "annotations", "labels", "isPaused"}
    for rule in group["rules"]:
        assert rule.keys() == keys
        check_grafana_rule(rule)
        assert rule["data"][0]["datasourceUid"] == "mimir-1"
    assert len({rule["uid"] for rule in group["rules"]}) == len(group["rules"]) == 9


# ---- what they ask, asked of a real Prometheus ----


class Prometheus:
    def __init__(self, address):
        self.url = f"http://{address}/api/v1"

    def ask(self, path, **parameters):
        text, _ = get(f"{self.url}/{path}?{urllib.parse.urlencode(parameters)}")
        return json.loads(text)["data"]

    def now(self, expr):
        return [float(series["value"][1]) for series in self.ask("query", query=expr)["result"]]

    def range(self, expr, seconds=120):
        now = time.time()
        series = self.ask("query_range", query=expr, start=now - seconds, end=now, step=1)["result"]
        return [float(value) for one in series for _, value in one["values"]]


@contextlib.contextmanager
def files_served(folder):
    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = {"": "text/plain; version=0.0.4; charset=utf-8"}

        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        yield "127.0.0.1:%d" % files.server_port
        files.shutdown()


def run_a_job(lab):
    """Metrics of a pipeline's own come from a batch job; the file that its run has written, or none where it cannot run."""
    (lab.folder / "job.py").write_text("print('{\"accuracy\": 0.9, \"f1\": 0.5}')\n")
    (lab.folder / "job.yaml").write_text(json.dumps({
        "experiments": [{"name": "job", "layer": "infrastructure", "fault_type": "cpu_throttle", "duration": "1s", "baseline": "1s"}],
        "pipeline": {"kind": "command", "command": ["/usr/bin/python3", str(lab.folder / "job.py")], "metrics": "stdout"}}))
    (lab.folder / "files").mkdir()
    lab.run("run", "job.yaml", "--report", "prometheus=files/job.prom")
    text = (lab.folder / "files" / "job.prom").read_text()
    return "chaos_custom_metric" in text


@pytest.fixture(scope="module")
def prometheus():
    """A Prometheus that has watched runs from their start to their end."""
    with Lab() as lab, files_served(lab.folder / "files") as files:
        has_job = run_a_job(lab)
        runs, own = free_address(), free_address()
        plan(lab, "", "slow \"one\"", duration="2s", schedule="every 4s", parameters={"latency_ms": 30})
        (lab.folder / "prom.yml").write_text(json.dumps({
            "global": {"scrape_interval": "500ms"},
            "scrape_configs": [
                {"job_name": "chaos_eater", "static_configs": [{"targets": [runs]}]},
                {"job_name": "files", "metrics_path": "/job.prom", "static_configs": [{"targets": [files]}]}]}))
        lab.start("schedule", "plan.yaml", "--metrics", runs)
        with server("prometheus", "--config.file=prom.yml", f"--web.listen-address={own}", "--storage.tsdb.path=data",
                    ready=f"http://{own}/-/ready", folder=lab.folder):
            there = Prometheus(own)
            there.has_job = has_job
            live = ["chaos_fault_intensity_ratio", "chaos_guard_up", "chaos_live_latency_seconds{rank=\"p99\"}", "chaos_live_accuracy_ratio"]
            seen = [*(f"max_over_time({metric}[2m]) > 0" for metric in live),
                    "chaos_resilience_score{job=\"chaos_eater\"}", "chaos_experiment_status{job=\"files\"}"]
            wait_for(lambda: all(there.now(expr) for expr in seen), "runs have been watched", 60)
            yield there


def with_labels(expr, job=".*", layer=".*", experiment=".*"):
    """As Grafana fills in what its reader has picked."""
    for name, value in {"job": job, "layer": layer, "experiment": experiment}.items():
        expr = expr.replace(f"${name}", value)
    assert "$" not in expr and "@" not in expr
    return expr


def answer(prometheus, target, **picked):
    expr = with_labels(target["expr"], **picked)
    assert target["instant"] != target["range"]
    return prometheus.now(expr) if target["instant"] else prometheus.range(expr)


def test_every_panel_shows_something(prometheus, dashboard):
    asked = 0
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            if "chaos_custom_metric" in target["expr"] and not prometheus.has_job:
                continue
            values = answer(prometheus, target)
            assert any(map(math.isfinite, values)), (panel["title"], target["expr"], values)
            asked += 1
    assert asked > 30


def test_own_metrics_are_shown(prometheus, dashboard):
    if not prometheus.has_job:
        pytest.skip("no batch job can be run here")
    (panel,) = [panel for panel in dashboard["panels"] if "own metrics" in panel["title"]]
    assert answer(prometheus, panel["targets"][0], experiment="job") and not answer(prometheus, panel["targets"][0], experiment="slow.*")


@pytest.mark.parametrize("picked", [{"job": "nobody"}, {"layer": "nobody"}, {"experiment": "nobody"}])
def test_every_panel_shows_only_what_was_picked(prometheus, dashboard, picked):
    (name,) = picked
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            assert "$job" in target["expr"]
            if f"${name}" in target["expr"]:
                assert not answer(prometheus, target, **picked), (panel["title"], target["expr"])


def test_the_reader_has_something_to_pick_from(prometheus, dashboard):
    found = {}
    for variable in dashboard["templating"]["list"][1:]:
        series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
        found[variable["name"]] = prometheus.ask(f"label/{label}/values", **{"match[]": with_labels(series)})
    assert found["job"] == ["chaos_eater", "files"]
    assert found["layer"] == ["infrastructure", "model"]
    assert found["experiment"] == ["job", "slow \"one\""]


def test_fault_windows_are_marked(prometheus, dashboard):
    values = prometheus.range(with_labels(dashboard["annotations"]["list"][1]["expr"]))
    assert values and set(values) == {1}


def test_every_alert_asks_for_something_that_is_there(prometheus, chaoseater):
    plain = json.loads(chaoseater("grafana", "alerts", "--json").stdout)["groups"][0]["rules"]
    other = json.loads(chaoseater("grafana", "alerts", "--json", "--format", "grafana").stdout)["groups"][0]["rules"]
    assert len(plain) == len(other) == 9
    for rule, twin in zip(plain, other, strict=True):
        asks = twin["data"][0]["model"]["expr"]
        assert prometheus.range(asks), rule["alert"]
        assert asks in rule["expr"]
        prometheus.now(rule["expr"])


def test_a_prometheus_loads_the_rules(chaoseater, tmp_path):
    rules = json.loads(chaoseater("grafana", "alerts", "--json").stdout)
    (tmp_path / "rules.yml").write_text(chaoseater("grafana", "alerts").stdout)
    (tmp_path / "prom.yml").write_text("rule_files: [rules.yml]\n")
    own = free_address()
    with server("prometheus", "--config.file=prom.yml", f"--web.listen-address={own}", "--storage.tsdb.path=data",
                ready=f"http://{own}/-/ready", folder=tmp_path):
        loaded = Prometheus(own).ask("rules")["groups"][0]["rules"]
    assert [rule["name"] for rule in loaded] == [rule["alert"] for rule in rules["groups"][0]["rules"]]
    shutil.rmtree(tmp_path / "data")
