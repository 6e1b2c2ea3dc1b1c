# SPDX-License-Identifier: MIT
"""The documented modules: controller, orchestrator, observers, history, rollback, dashboards."""

import http.server
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import chaoseater
import pytest
from advanced_rollback import RollbackConfig, RollbackManager, RollbackStrategy
from chaos_controller import ChaosController, ChaosExperiment, ChaosLayer, ExperimentMetrics, ExperimentStatus
from experiment_history import ExperimentHistory
from face import PROGRAM, ROOT, SHORT, live, start
from fault_injectors.base_injector import BaseFaultInjector
from fault_injectors.data_injector import DataFaultInjector
from fault_injectors.infra_injector import InfrastructureFaultInjector
from fault_injectors.model_injector import ModelFaultInjector
from grafana_dashboard import GrafanaAlertManager, GrafanaDashboardGenerator
from observers.metrics_observer import LogObserver, MetricsObserver, PrometheusObserver
from orchestrator import ExperimentOrchestrator

QUICK = {name: value for name, value in SHORT.items() if name != "duration"}


@pytest.fixture
def controller():
    made = ChaosController()
    for layer, injector in ((ChaosLayer.DATA, DataFaultInjector()), (ChaosLayer.MODEL, ModelFaultInjector()),
                            (ChaosLayer.INFRASTRUCTURE, InfrastructureFaultInjector())):
        made.register_injector(layer, injector)
    return made


class Mine(BaseFaultInjector):
    """An injector of somebody's own."""

    def __init__(self, fails=False):
        self.done, self.fails = [], fails

    def inject(self, fault_type, parameters, duration):
        self.done.append(("inject", fault_type, parameters, duration))
        if self.fails:
            raise RuntimeError("it is broken")
        return {"accuracy_degradation": 10.0, "mine": 1}

    def rollback(self):
        self.done.append("rollback")

    def get_supported_faults(self):
        return ["my_fault"]


class Watching:
    def __init__(self):
        self.seen = []

    def on_experiment_start(self, experiment):
        self.seen.append(("start", experiment.status))

    def on_experiment_end(self, experiment):
        self.seen.append(("end", experiment.status))

    def collect_metrics(self, experiment):
        self.seen.append(("collect", experiment.status))
        return {"watched": 7}


# ---- names and shapes


def test_names_are_as_documented():
    assert [layer.value for layer in ChaosLayer] == ["data", "model", "infrastructure"]
    assert [status.value for status in ExperimentStatus] == ["pending", "running", "completed", "failed", "rollback"]
    assert set(ExperimentMetrics().to_dict()) == {"start_time", "end_time", "recovery_time", "accuracy_degradation", "pipeline_downtime",
                                                  "error_count", "custom_metrics"}
    one = ChaosExperiment("a", ChaosLayer.DATA, "missing_data")
    assert set(one.to_dict()) == {"name", "layer", "fault_type", "parameters", "duration", "status", "metrics", "rollback_strategy"}
    assert one.duration == 60 and one.status is ExperimentStatus.PENDING


def test_create_experiment_has_the_documented_defaults(controller):
    made = controller.create_experiment("a", ChaosLayer.DATA, "missing_data", {"missing_rate": 0.1})
    assert (made.duration, made.rollback_strategy) == (60, "auto") and controller.experiments == [made]
    assert controller.create_experiment("b", "model", "slow_inference", {}, 5, RollbackStrategy.GRADUAL).rollback_strategy == "gradual"


# ---- by the library


def test_an_experiment_really_runs(controller):
    watching = Watching()
    controller.register_observer(watching)
    made = controller.create_experiment("dirty", ChaosLayer.DATA, "data_corruption", {"corruption_rate": 0.3}, duration=0.3, **QUICK)
    metrics = controller.run_experiment(made)
    assert metrics is made.metrics and metrics.custom_metrics["watched"] == 7 and metrics.duration > 0.3
    assert made.status is ExperimentStatus.COMPLETED and made.result[0].verified
    assert "cells" in made.result[0].report["verification"]
    assert watching.seen == [("start", ExperimentStatus.RUNNING), ("collect", ExperimentStatus.ROLLBACK), ("end", ExperimentStatus.COMPLETED)]
    report = controller.get_experiment_report(made)
    assert set(report["summary"]) >= {"duration", "status", "resilience_score", "errors"}
    assert report["summary"]["resilience_score"] == made.result[0].score and report["experiment"]["name"] == "dirty"
    json.dumps(report)


@pytest.mark.parametrize("layer, fault, parameters", [
    ("model", "slow_inference", {"latency_ms": 20}), ("infrastructure", "network_latency", {"latency_ms": 20, "jitter_ms": 1})])
def test_the_other_layers_do_as_well(controller, layer, fault, parameters):
    made = controller.create_experiment(fault, layer, fault, parameters, duration=0.3, **QUICK)
    controller.run_experiment(made)
    assert made.result[0].verified and made.resilience_score is not None


def test_what_is_wrong_is_said_before_anything_starts(controller):
    watching = Watching()
    controller.register_observer(watching)
    for fault, parameters, sentence in (("missing_dat", {}, "missing_data"), ("missing_data", {"missing_rate": 2}, "0..1"),
                                        ("missing_data", {"rate": 2}, "missing_rate")):
        with pytest.raises(ValueError, match=sentence):
            controller.run_experiment(controller.create_experiment("a", ChaosLayer.DATA, fault, parameters))
    with pytest.raises(ValueError, match="no injector"):
        ChaosController().run_experiment(ChaosExperiment("a", ChaosLayer.DATA, "missing_data"))
    assert watching.seen == []


def test_what_failed_raises_and_is_told(controller):
    watching = Watching()
    controller.register_observer(watching)
    made = controller.create_experiment("gone", "infrastructure", "cpu_throttle", {}, duration=0.3, target={"pid": 999999999}, **QUICK)
    with pytest.raises(chaoseater.ChaosError, match="999999999"):
        controller.run_experiment(made)
    assert made.status is ExperimentStatus.FAILED and watching.seen[-1] == ("end", ExperimentStatus.FAILED)
    assert "999999999" in controller.get_experiment_report(made)["summary"]["error"]


def test_a_batch_goes_on_after_a_failure(controller, tmp_path):
    bad = controller.create_experiment("bad", ChaosLayer.DATA, "missing_data", {"missing_rate": 2})
    good = controller.create_experiment("good", ChaosLayer.DATA, "missing_data", {}, duration=0.3, **QUICK)
    measured = controller.run_batch([bad, good])
    assert measured == [bad.metrics, good.metrics] and good.status is ExperimentStatus.COMPLETED
    controller.export_metrics(tmp_path / "metrics.json")
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["summary"]["total_experiments"] == 2 and written["summary"]["completed"] == 1
    assert [report["experiment"]["name"] for report in written["experiments"]] == ["bad", "good"]


def test_the_configuration_is_that_of_a_document():
    controller = ChaosController({"pipeline": {"kind": "embedded", "profile": "hardened"}, "seed": 7})
    controller.register_injector(ChaosLayer.DATA, DataFaultInjector())
    made = controller.create_experiment("a", ChaosLayer.DATA, "missing_data", {}, duration=0.3, **QUICK)
    controller.run_experiment(made)
    assert made.result[0].profile == "hardened" and made.result.seed == 7


# ---- by injectors of one's own


def test_an_injector_of_ones_own(controller):
    mine = Mine()
    controller.register_injector(ChaosLayer.MODEL, mine)
    made = controller.create_experiment("own", ChaosLayer.MODEL, "my_fault", {"p": 1}, duration=0.05)
    metrics = controller.run_experiment(made)
    assert mine.done == [("inject", "my_fault", {"p": 1}, 0.05), "rollback"]
    assert metrics.accuracy_degradation == 10 and metrics.custom_metrics["mine"] == 1 and metrics.duration >= 0.05
    assert made.resilience_score == 97 and made.status is ExperimentStatus.COMPLETED
    with pytest.raises(ValueError, match="my_fault"):
        controller.run_experiment(controller.create_experiment("no", ChaosLayer.MODEL, "other"))


def test_a_broken_injector_is_rolled_back(controller):
    mine = Mine(fails=True)
    controller.register_injector(ChaosLayer.MODEL, mine)
    made = controller.create_experiment("own", ChaosLayer.MODEL, "my_fault", duration=60)
    with pytest.raises(RuntimeError, match="broken"):
        controller.run_experiment(made)
    assert mine.done[-1] == "rollback" and mine.done.count("rollback") == 1
    assert made.status is ExperimentStatus.FAILED and made.metrics.error_count == 1


def test_a_broken_observer_stops_nothing(controller, caplog):
    class Broken(Watching):
        def on_experiment_start(self, experiment):
            raise RuntimeError("observer")

        collect_metrics = on_experiment_start

    controller.register_observer(Broken())
    controller.register_injector(ChaosLayer.MODEL, Mine())
    made = controller.create_experiment("own", ChaosLayer.MODEL, "my_fault", duration=0)
    controller.run_experiment(made)
    assert made.status is ExperimentStatus.COMPLETED and "on_experiment_start of Broken failed" in caplog.text


def test_what_is_no_injector_or_observer_is_refused(controller):
    with pytest.raises(TypeError, match="no inject"):
        controller.register_injector(ChaosLayer.DATA, object())
    with pytest.raises(TypeError, match="no on_experiment_start"):
        controller.register_observer(object())


def test_the_longest_duration_counts_here_as_well(controller, monkeypatch):
    monkeypatch.setenv("CHAOSEATER_MAX_DURATION", "50ms")
    mine = Mine()
    controller.register_injector(ChaosLayer.MODEL, mine)
    made = controller.create_experiment("own", ChaosLayer.MODEL, "my_fault", duration=600)
    controller.run_experiment(made)
    assert mine.done[0][3] == 0.05 and made.metrics.custom_metrics["duration_cap"] == {"seconds": 0.05, "asked": 600}


OWN = """
import sys, threading, time
from chaos_controller import ChaosController, ChaosLayer
class Mine:
    def inject(self, *a): print("in", flush=True)
    def rollback(self): print("rolled back", flush=True)
    def validate(self, *a): return True
    def get_supported_faults(self): return ["f"]
c = ChaosController()
c.register_injector(ChaosLayer.DATA, Mine())
def work(): c.run_experiment(c.create_experiment("e", ChaosLayer.DATA, "f", {}, 600))
"""


@pytest.mark.parametrize("number, code", [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_roll_back(number, code):
    process = start(OWN + "work()")
    assert process.stdout.readline() == "in\n"
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert said == "rolled back\n" and process.returncode == code


def test_the_end_of_the_interpreter_rolls_back():
    process = start(OWN + "threading.Thread(target=work, daemon=True).start()\nsys.stdin.readline()")
    assert process.stdout.readline() == "in\n"
    said, _ = process.communicate("\n", timeout=60)
    assert said == "rolled back\n" and process.returncode == 0


def test_parameter_degradation_is_run_here(controller):
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True)
    injector = controller.injectors[ChaosLayer.MODEL]
    model = injector.wrap_model(LogisticRegression(max_iter=1000).fit(X, y))
    scores = []

    class Scores(Watching):
        def collect_metrics(self, experiment):
            scores.append((model.predict(X) == y).mean())

    controller.register_observer(Scores())
    controller.run_experiment(controller.create_experiment("worse", ChaosLayer.MODEL, "parameter_degradation", {"degradation_factor": 20}, 0))
    assert scores[0] < 0.9 < (model.predict(X) == y).mean()


def test_infrastructure_on_its_own():
    injector = InfrastructureFaultInjector()
    injector.inject("cpu_throttle", {"throttle_percent": 50}, 60)
    assert live()
    injector.rollback()
    injector.rollback()
    assert live() == []


# ---- observers


def test_metrics_are_kept_and_exported(controller, tmp_path):
    observer = MetricsObserver({"auto_export": str(tmp_path / "events.json")})
    controller.register_observer(observer)
    controller.register_injector(ChaosLayer.MODEL, Mine())
    controller.run_experiment(controller.create_experiment("own", ChaosLayer.MODEL, "my_fault", duration=0.1))
    assert [event["event"] for event in observer.get_metrics()] == ["start", "metrics", "end"]
    host = observer.get_metrics()[1]
    assert 0 < host["memory_percent"] < 100 and 0 <= host["cpu_percent"] <= 100 and 0 < host["disk_percent"] < 100
    written = json.loads((tmp_path / "events.json").read_text())
    assert [event["event"] for event in written["events"]] == ["start", "metrics", "end"]


def test_a_log_has_a_line_for_start_and_end(controller, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    controller.register_observer(LogObserver())
    controller.register_injector(ChaosLayer.MODEL, Mine(fails=True))
    with pytest.raises(RuntimeError):
        controller.run_experiment(controller.create_experiment("own\nline", ChaosLayer.MODEL, "my_fault", duration=0))
    lines = (tmp_path / "chaos_experiments.log").read_text().splitlines()
    assert len(lines) == 2 and "started" in lines[0] and "failed" in lines[1] and "it is broken" in lines[1]


class Gateway(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        self.server.got.append((self.command, self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.send_response(200)
        self.end_headers()

    do_POST = do_PUT

    def log_message(self, *args):
        pass


@pytest.fixture
def gateway():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    server.got = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_metrics_are_pushed(controller, gateway):
    url = f"http://127.0.0.1:{gateway.server_address[1]}"
    controller.register_observer(PrometheusObserver(url))
    controller.register_injector(ChaosLayer.MODEL, Mine())
    controller.run_experiment(controller.create_experiment('own "x"', ChaosLayer.MODEL, "my_fault", duration=0))
    (pushed,) = gateway.got
    assert 'chaos_accuracy_degradation_percent{layer="model",fault="my_fault"} 10.0' in pushed[2]
    assert "chaos_experiment_duration_seconds" in pushed[2] and pushed[1].startswith("/metrics/job@base64/")
    gateway.got.clear()
    controller.run_experiment(controller.create_experiment("ours", ChaosLayer.DATA, "missing_data", {}, duration=0.3, **QUICK))
    assert gateway.got and any("chaos_experiment_status" in body for _, _, body in gateway.got)


def test_a_gateway_out_of_reach_fails_nothing(controller, caplog):
    controller.register_observer(PrometheusObserver("http://127.0.0.1:1"))
    controller.register_injector(ChaosLayer.MODEL, Mine())
    made = controller.create_experiment("own", ChaosLayer.MODEL, "my_fault", duration=0)
    controller.run_experiment(made)
    assert made.status is ExperimentStatus.COMPLETED and "did not take the metrics" in caplog.text
    with pytest.raises(ValueError, match="no URL"):
        PrometheusObserver("localhost:9091")


# ---- the orchestrator


DOCUMENT = """
seed: 7
prometheus: {pushgateway_url: "http://127.0.0.1:1", job_name: mine}
experiments:
  - {name: first, layer: data, fault_type: missing_data, duration: 300ms, baseline: 300ms, tags: [from_file],
     parameters: {missing_rate: 0.0}}
  - {name: second, layer: model, fault_type: model_unavailable, duration: 300ms, baseline: 300ms}
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(DOCUMENT)
    return path


def test_a_document_is_run_as_it_stands(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    orchestrator = ExperimentOrchestrator(plan)
    assert [made.name for made in orchestrator.experiments] == ["first", "second"] and orchestrator.validate_experiments()
    assert any(isinstance(observer, PrometheusObserver) and observer.job_name == "mine" for observer in orchestrator.controller.observers)
    orchestrator.experiments[1].parameters["failure_rate"] = 0.5
    reports = orchestrator.run_all_experiments()
    assert [report["run"]["status"] for report in reports] == ["completed", "completed"]
    assert reports[0]["run"]["experiment"]["tags"] == ["from_file"] and reports[0]["run"]["recipe"]["seed"] == 7
    assert reports[1]["run"]["experiment"]["parameters"]["failure_rate"] == 0.5
    orchestrator.export_results()
    assert json.loads((tmp_path / "experiment_results.json").read_text())["summary"]["total_experiments"] == 2
    again = orchestrator.run_experiment_by_name("first")
    assert again["summary"]["status"] == "completed"
    with pytest.raises(ValueError, match="first, second"):
        orchestrator.run_experiment_by_name("third")


def test_the_gate(plan):
    orchestrator = ExperimentOrchestrator()
    assert not orchestrator.create_ci_cd_gate()
    orchestrator.load_experiments_from_config(str(plan))
    assert not orchestrator.create_ci_cd_gate(min_resilience_score=70.0)
    del orchestrator.experiments[1]
    assert orchestrator.create_ci_cd_gate(min_resilience_score=0.0)


def test_bad_documents_are_said(tmp_path, caplog):
    orchestrator = ExperimentOrchestrator()
    with pytest.raises(chaoseater.Unknown):
        orchestrator.load_experiments_from_config(tmp_path / "none.yaml")
    orchestrator.controller.create_experiment("bad", ChaosLayer.DATA, "missing_data", {"missing_rate": 7})
    assert not orchestrator.validate_experiments() and "0..1" in caplog.text
    with pytest.raises(ValueError, match="above 0"):
        orchestrator.schedule_experiments(0)


def test_a_schedule_goes_on_until_ctrl_c(plan):
    code = (f"import orchestrator\no = orchestrator.ExperimentOrchestrator({str(plan)!r})\ndel o.experiments[1]\n"
            "o.run_all_experiments = lambda: print('ran', flush=True)\no.schedule_experiments(0.01)\nprint('over')")
    process = start(code)
    assert [process.stdout.readline() for _ in range(3)] == ["ran\n"] * 3
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "over" and process.returncode == 0


def test_the_sample_runs_six(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "python" / "orchestrator.py"], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "CHAOSEATER_MAX_DURATION": "0.5"})
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "experiment_results.json").read_text())
    assert [(report["experiment"]["fault_type"], report["experiment"]["parameters"], report["run"]["verified"])
            for report in written["experiments"]] == [
        ("data_corruption", {"corruption_rate": 0.1}, True), ("distribution_drift", {"magnitude": 0.3}, True),
        ("model_drift", {"drift_rate": 0.15, "drift_type": "gradual"}, True),
        ("slow_inference", {"latency_ms": 500, "variance": 0.2}, True),
        ("network_latency", {"latency_ms": 100, "jitter_ms": 20}, True), ("memory_pressure", {"memory_mb": 512}, True)]
    assert all(report["run"]["duration_cap"]["seconds"] == 0.5 for report in written["experiments"])


# ---- history


def test_a_history_remembers_and_answers(controller, tmp_path):
    made = controller.create_experiment("dirty", ChaosLayer.DATA, "missing_data", {}, duration=0.3, **QUICK)
    controller.run_experiment(made)
    controller.register_injector(ChaosLayer.MODEL, Mine())
    own = controller.create_experiment("own", ChaosLayer.MODEL, "my_fault", {"p": 1}, duration=0)
    controller.run_experiment(own)
    with ExperimentHistory(tmp_path / "history.db") as history:
        first = history.save_experiment(made, made.resilience_score, tags=["nightly"])
        second = history.save_experiment(own, 55.0, ["mine", "nightly"])
        assert first != second and history.save_experiment(made, made.resilience_score) == first  # once is enough
        assert [run["id"] for run in history.query_experiments(layer="model")] == [second]
        assert {run["id"] for run in history.query_experiments(tag="nightly")} == {first, second}
        assert [run["name"] for run in history.query_experiments(name_pattern="irt")] == ["dirty"]
        found = history.query_experiments(name_pattern="ow%", fault_type="my_fault", status=ExperimentStatus.COMPLETED)
        assert [run["name"] for run in found] == ["own"]
        assert history.query_experiments(min_resilience_score=60)[0]["resilience_score"] >= 60
        assert len(history.query_experiments(limit=1)) == 1
        trends = history.get_experiment_trends("own", days=30)
        assert trends["total_runs"] == 1 and trends["avg_resilience_score"] == 55 and trends["success_rate"] == 1
        assert history.get_experiment_trends("never", 30)["total_runs"] == 0
        compared = history.compare_experiments([first, second])
        assert len(compared["experiments"]) == 2 and compared["metrics"]
        summary = history.get_summary_statistics()
        assert summary["total_experiments"] == 2 and summary["fault_type_distribution"] == {"missing_data": 1, "my_fault": 1}
        assert summary["avg_resilience_score"] == pytest.approx((made.resilience_score + 55) / 2) and "success_rate" in summary
        history.export_to_csv(tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").read_text().count("\n") == 3
    listed = json.loads(subprocess.run([PROGRAM, "history", "list", "--db", tmp_path / "history.db", "--json"], capture_output=True,
                                       text=True, check=True).stdout)
    assert {run["id"] for run in listed} == {first, second}


def test_what_is_no_history_is_said(tmp_path):
    (tmp_path / "no.db").write_text("this is no database, but it is long enough to be looked at as one " * 20)
    with pytest.raises(chaoseater.ChaosError):
        ExperimentHistory(tmp_path / "no.db").get_summary_statistics()
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (a)").connection.close()
    with pytest.raises(chaoseater.ChaosError):
        ExperimentHistory(tmp_path / "other.db").get_summary_statistics()


# ---- rollback


def config(strategy, **more):
    return RollbackConfig(strategy=strategy, **{"health_check_interval": 0, **more})


@pytest.mark.parametrize("strategy, steps", [
    (RollbackStrategy.IMMEDIATE, [100]), (RollbackStrategy.GRADUAL, [20, 40, 60, 80, 100]), (RollbackStrategy.CANARY, [10, 100]),
    (RollbackStrategy.BLUE_GREEN, [100]), (RollbackStrategy.CIRCUIT_BREAKER, [])])
def test_a_healthy_rollback(strategy, steps):
    asked = []
    manager = RollbackManager()
    assert manager.execute_rollback(config(strategy), lambda percentage=100: asked.append(percentage), lambda: True)
    assert asked == steps and [step.percentage for step in manager.steps] == steps and manager.reason == ""


@pytest.mark.parametrize("strategy, steps, done", [
    (RollbackStrategy.IMMEDIATE, [100], False), (RollbackStrategy.GRADUAL, [20], False), (RollbackStrategy.CANARY, [10], False),
    (RollbackStrategy.BLUE_GREEN, [100, 0], False), (RollbackStrategy.CIRCUIT_BREAKER, [100], False)])
def test_failing_checks_halt_it(strategy, steps, done):
    asked = []

    def check():
        raise OSError("down")

    assert RollbackManager().execute_rollback(config(strategy), lambda percentage=100: asked.append(percentage), check) is done
    assert asked == steps


def test_health_may_fail_half_way_and_up_to_the_threshold():
    asked = []

    def rollback(percentage=100):
        asked.append(percentage)

    manager = RollbackManager()
    assert not manager.execute_rollback(config(RollbackStrategy.GRADUAL), rollback, lambda: asked[-1] < 60)
    assert asked == [20, 40, 60] and "60 %" in manager.reason
    answers = iter([True, False, True] * 5)
    assert manager.execute_rollback(config(RollbackStrategy.GRADUAL, failure_threshold=0.5), rollback, lambda: next(answers))


def test_time_that_is_over_hurries():
    asked = []
    manager = RollbackManager()
    assert manager.execute_rollback(config(RollbackStrategy.GRADUAL, timeout_seconds=0.05, health_check_interval=60),
                                    lambda percentage=100: asked.append(percentage), lambda: True)
    assert asked[0] == 20 and asked[-1] == 100 and "timeout_seconds" in manager.reason


def test_bad_configurations_are_said():
    for wrong in ({"failure_threshold": 2}, {"canary_percentage": -1}, {"gradual_steps": 0}, {"timeout_seconds": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RollbackConfig(**wrong)
    assert RollbackConfig("canary").strategy is RollbackStrategy.CANARY


# ---- Grafana


def test_a_dashboard_has_the_documented_panels_and_those_of_ones_own(tmp_path):
    generator = GrafanaDashboardGenerator(dashboard_title="Mine")
    generator.add_custom_panel({"type": "text", "title": "Read me", "options": {"content": "hello"}})
    dashboard = generator.generate_complete_dashboard(datasource="Prom")
    kinds = {panel["type"] for panel in dashboard["panels"]}
    assert dashboard["title"] == "Mine" and kinds >= {"gauge", "stat", "timeseries", "heatmap", "piechart", "bargauge", "text"}
    assert any(panel.get("title") == "Read me" for panel in dashboard["panels"])
    assert [variable["current"]["value"] for variable in dashboard["templating"]["list"] if variable["type"] == "datasource"] == ["Prom"]
    generator.export_to_file(tmp_path / "dashboard.json")
    assert json.loads((tmp_path / "dashboard.json").read_text())["title"] == "Mine"
    with pytest.raises(ValueError, match="type"):
        generator.add_custom_panel({})


class Grafana(http.server.BaseHTTPRequestHandler):
    """Enforces the rules that Grafana's documentation states of these calls."""

    def handle_any(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        rules, folders = self.server.rules, self.server.folders
        path, _, _ = self.path.partition("?")
        if self.headers["Authorization"] != "Bearer secret":
            return self.say(401, {"message": "Invalid API key"})
        if (self.command, path) == ("GET", "/api/datasources"):
            return self.say(200, [{"uid": "loki", "name": "Loki", "type": "loki"},
                                   {"uid": "prom", "name": "Prom", "type": "prometheus", "isDefault": True}])
        if (self.command, path) == ("GET", "/api/folders"):
            return self.say(200, folders)
        if (self.command, path) == ("POST", "/api/folders"):
            folders.append({"uid": "f1", "title": body["title"]})
            return self.say(200, folders[-1])
        if path.startswith("/api/v1/provisioning/alert-rules"):
            uid = path.rpartition("/")[2] if self.command == "PUT" else body["uid"]
            if self.command == "PUT" and uid not in rules:
                return self.say(404, {})
            if self.command == "POST" and uid in rules:
                return self.say(409, {"message": "conflict"})
            missing = {"title", "ruleGroup", "folderUID", "condition", "data", "noDataState", "execErrState", "for"} - set(body)
            if missing or body["folderUID"] not in [folder["uid"] for folder in folders]:
                return self.say(400, {"message": f"missing {missing}"})
            rules[uid] = body
            return self.say(201 if self.command == "POST" else 200, body)
        return self.say(404, {})

    do_GET = do_POST = do_PUT = handle_any

    def say(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def grafana():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Grafana)
    server.rules, server.folders = {}, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_alert_rules_are_put_there_once(grafana):
    url = f"http://127.0.0.1:{grafana.server_address[1]}"
    manager = GrafanaAlertManager(url, "secret")
    for _ in range(2):
        assert manager.create_resilience_score_alert(min_score=70.0)
        assert manager.create_high_error_rate_alert(max_error_rate=0.1)
        assert manager.create_alert_rule("Mine", "up", 1, condition="lt")
    assert sorted(rule["title"] for rule in grafana.rules.values()) == ["High error rate", "Low resilience score", "Mine"]
    (low,) = (rule for rule in grafana.rules.values() if rule["title"] == "Low resilience score")
    assert low["data"][1]["model"]["conditions"][0]["evaluator"] == {"type": "lt", "params": [70.0]}
    assert low["data"][0]["datasourceUid"] == "prom" and low["folderUID"] == "f1"
    with pytest.raises(ValueError, match="condition"):
        manager.create_alert_rule("x", "up", 1, condition="around")


def test_grafana_may_refuse(grafana, caplog):
    url = f"http://127.0.0.1:{grafana.server_address[1]}"
    assert not GrafanaAlertManager(url, "wrong").create_resilience_score_alert() and "401" in caplog.text
    assert "wrong" not in caplog.text.replace("wrong version", "")
    assert not GrafanaAlertManager(url, "secret", datasource="nobody").create_resilience_score_alert() and "nobody" in caplog.text
    assert not GrafanaAlertManager("http://127.0.0.1:1", "secret").create_resilience_score_alert()
    assert not GrafanaDashboardGenerator().push_to_grafana("http://127.0.0.1:1", "secret")
    with pytest.raises(ValueError, match="no URL"):
        GrafanaAlertManager("localhost", "secret")
