# SPDX-License-Identifier: MIT
"""Suites of experiments: from documents, again and again, and as a gate for deployments.

``python orchestrator.py`` runs a sample of six experiments, two of each layer, and writes experiment_results.json;
``python orchestrator.py plan.yaml`` those of a document.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Any

import chaoseater

from chaos_controller import ChaosController, ChaosExperiment, ChaosLayer, ExperimentStatus, FaultInjector
from fault_injectors.data_injector import DataFaultInjector
from fault_injectors.infra_injector import InfrastructureFaultInjector
from fault_injectors.model_injector import ModelFaultInjector
from observers.metrics_observer import MetricsObserver, PrometheusObserver

__all__ = ["ExperimentOrchestrator", "main"]

log = logging.getLogger("chaoseater")


class ExperimentOrchestrator:
    """A controller with the injectors of ChaosEater, and a list of experiments.

    :param config_file: a document to begin with
    """

    def __init__(self, config_file: str | os.PathLike[str] | None = None) -> None:
        self.controller = ChaosController()
        injectors: dict[ChaosLayer, FaultInjector] = {
            ChaosLayer.DATA: DataFaultInjector(), ChaosLayer.MODEL: ModelFaultInjector(),
            ChaosLayer.INFRASTRUCTURE: InfrastructureFaultInjector()}
        for layer, injector in injectors.items():
            self.controller.register_injector(layer, injector)
        self.controller.register_observer(MetricsObserver())
        if config_file is not None:
            self.load_experiments_from_config(config_file)

    @property
    def experiments(self) -> list[ChaosExperiment]:
        """Those that are run, in this order."""
        return self.controller.experiments

    # ---- documents

    def load_experiments_from_config(self, path: str | os.PathLike[str]) -> list[ChaosExperiment]:
        """Adds the experiments of a document, all of whose keys count. The key `prometheus` registers an observer that pushes."""
        document = chaoseater.load(os.fspath(path))
        added = []
        for loaded in document["experiments"]:
            experiment = self.controller.create_experiment(
                loaded["name"], loaded["layer"], loaded["fault_type"], loaded["parameters"], loaded["duration"],
                loaded["rollback_strategy"])
            experiment.loaded_from(path)
            added.append(experiment)
        prometheus = document.get("prometheus") or {}
        if prometheus.get("pushgateway_url"):
            self.controller.register_observer(PrometheusObserver(prometheus["pushgateway_url"], prometheus["job_name"]))
        return added

    # ---- running

    def run_all_experiments(self) -> list[dict[str, Any]]:
        """Runs them all, and returns their reports; a failing one does not stop the rest."""
        self.controller.run_batch(self.experiments)
        return [self.controller.get_experiment_report(experiment) for experiment in self.experiments]

    def run_experiment_by_name(self, name: str) -> dict[str, Any]:
        """Runs one and returns its report. Raises what kept it from being completed."""
        for experiment in self.experiments:
            if experiment.name == name:
                self.controller.run_experiment(experiment)
                return self.controller.get_experiment_report(experiment)
        names = ", ".join(experiment.name for experiment in self.experiments) or "none"
        raise ValueError(f"no experiment is called '{name}'; there are: {names}")

    def schedule_experiments(self, interval_seconds: float = 3600) -> None:
        """Runs them all, now and then again each time that so many seconds have passed since the last beginning, until Ctrl-C.

        Cron expressions, time zones and missed runs are the business of ``chaoseater schedule``.
        """
        if not interval_seconds > 0:
            raise ValueError(f"interval_seconds: {interval_seconds!r} is not above 0")
        try:
            while True:
                began = time.monotonic()
                self.run_all_experiments()
                time.sleep(max(0.0, began + interval_seconds - time.monotonic()))
        except KeyboardInterrupt:
            log.info("the schedule was ended")

    def validate_experiments(self) -> bool:
        """Whether all of them could be run; what is wrong is logged."""
        valid = True
        for experiment in self.experiments:
            try:
                self.controller.check_experiment(experiment)
            except (chaoseater.ChaosError, TypeError, ValueError) as error:
                log.error("%s: %s", experiment.name, error)
                valid = False
        return valid

    # ---- what came of it

    def create_ci_cd_gate(self, min_resilience_score: float = 70.0) -> bool:
        """Whether this may be deployed: every experiment was measured, verified and put back, and has that score. Those that have
        not been run are run now. Nothing to run is no reason to deploy."""
        for experiment in self.experiments:
            if experiment.status is ExperimentStatus.PENDING:
                self.controller.run_batch([experiment])
        closed = [experiment.name for experiment in self.experiments if not _passes(experiment, min_resilience_score)]
        for name in closed:
            log.warning("the gate of %g points is closed by %s", min_resilience_score, name)
        return bool(self.experiments) and not closed

    def export_results(self, path: str | os.PathLike[str] = "experiment_results.json") -> None:
        """Writes the reports of all experiments, and totals, as JSON."""
        self.controller.export_metrics(path)


def _passes(experiment: ChaosExperiment, min_score: float) -> bool:
    if experiment.status is not ExperimentStatus.COMPLETED:
        return False
    if experiment.result is not None:
        return experiment.result.gate(min_score)
    return (experiment.resilience_score or 0.0) >= min_score


def sample(orchestrator: ExperimentOrchestrator) -> None:
    """Six experiments, two of each layer."""
    for name, layer, fault_type, parameters in (
        ("data_corruption_test", ChaosLayer.DATA, "data_corruption", {"corruption_rate": 0.1}),
        ("distribution_drift_test", ChaosLayer.DATA, "distribution_drift", {"magnitude": 0.3}),
        ("model_drift_test", ChaosLayer.MODEL, "model_drift", {"drift_rate": 0.15, "drift_type": "gradual"}),
        ("slow_inference_test", ChaosLayer.MODEL, "slow_inference", {"latency_ms": 500, "variance": 0.2}),
        ("network_latency_test", ChaosLayer.INFRASTRUCTURE, "network_latency", {"latency_ms": 100, "jitter_ms": 20}),
        ("memory_pressure_test", ChaosLayer.INFRASTRUCTURE, "memory_pressure", {"memory_mb": 512}),
    ):
        orchestrator.controller.create_experiment(name, layer, fault_type, parameters, duration=10)


def _row(report: dict[str, Any]) -> str:
    experiment, summary = report["experiment"], report["summary"]
    score = summary["resilience_score"]
    verdict = report.get("run", {}).get("verdict") or summary["status"]
    return f"{experiment['name']:<26} {experiment['layer']:<15} {verdict:<13} {'-' if score is None else f'{score:5.1f}':>5}  " \
           f"{summary['errors']:>6}  {summary['duration']:6.1f} s"


def main(arguments: list[str] | None = None) -> int:
    """The command line. 0: all were completed; 1: some were not; 2: no such document, or a bad one."""
    words = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if len(words) > 1 or any(word.startswith("-") for word in words):
        print("usage: python orchestrator.py [PLAN.yaml]", file=sys.stderr)
        return 0 if words in (["-h"], ["--help"]) else 2
    orchestrator = ExperimentOrchestrator()
    try:
        if words:
            orchestrator.load_experiments_from_config(words[0])
        else:
            sample(orchestrator)
    except chaoseater.ChaosError as error:
        print(f"orchestrator: {error}", file=sys.stderr)
        return 2
    reports = orchestrator.run_all_experiments()
    print(f"{'experiment':<26} {'layer':<15} {'verdict':<13} score  errors      took")
    for report in reports:
        print(_row(report))
    orchestrator.export_results("experiment_results.json")
    print("experiment_results.json has the details")
    return 0 if all(experiment.status is ExperimentStatus.COMPLETED for experiment in orchestrator.experiments) else 1


if __name__ == "__main__":
    sys.exit(main())
