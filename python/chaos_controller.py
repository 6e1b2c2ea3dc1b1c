# SPDX-License-Identifier: MIT
"""Experiments, and a controller that runs them.

    controller = ChaosController()
    controller.register_injector(ChaosLayer.DATA, DataFaultInjector())
    experiment = controller.create_experiment("dirty_data", ChaosLayer.DATA, "data_corruption", {"corruption_rate": 0.1})
    metrics = controller.run_experiment(experiment)

Injectors of ChaosEater have whole experiments run by the C library, on the pipeline under test: the embedded one unless the
controller's configuration names another. Injectors of your own are run here, and rolled back on every exit that the process
survives.
"""

from __future__ import annotations

import atexit
import contextlib
import enum
import json
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import chaoseater

from fault_injectors.base_injector import LibraryInjector
from observers.metrics_observer import PrometheusObserver

__all__ = ["ChaosController", "ChaosExperiment", "ChaosLayer", "ExperimentMetrics", "ExperimentStatus", "FaultInjector",
           "Observer"]

log = logging.getLogger("chaoseater")


class ChaosLayer(enum.Enum):
    DATA = "data"
    MODEL = "model"
    INFRASTRUCTURE = "infrastructure"


class ExperimentStatus(enum.Enum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    ROLLBACK = "rollback"
    """What it did is being put back."""


class FaultInjector(Protocol):
    """What an injector of your own has to have."""

    def inject(self, fault_type: str, parameters: dict[str, Any], duration: float) -> Any: ...
    def rollback(self) -> Any: ...
    def validate(self, fault_type: str, parameters: dict[str, Any]) -> bool: ...
    def get_supported_faults(self) -> list[str]: ...


class Observer(Protocol):
    """What an observer of your own has to have. A mapping from an optional collect_metrics(experiment), which is asked at the end
    of the fault, is added to the metrics."""

    def on_experiment_start(self, experiment: ChaosExperiment) -> Any: ...
    def on_experiment_end(self, experiment: ChaosExperiment) -> Any: ...


@dataclass
class ExperimentMetrics:
    """What was measured. Times of day are seconds since 1970, durations are seconds."""

    start_time: float | None = None
    end_time: float | None = None
    recovery_time: float | None = None
    accuracy_degradation: float = 0.0
    """In percentage points."""
    pipeline_downtime: float = 0.0
    error_count: int = 0
    custom_metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def duration(self) -> float:
        return 0.0 if self.start_time is None or self.end_time is None else self.end_time - self.start_time

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def add(self, measured: Any) -> None:
        """Takes over what a mapping says: known names are the fields, others are custom metrics."""
        if not isinstance(measured, Mapping):
            return
        for name, value in measured.items():
            if name in ("recovery_time", "accuracy_degradation", "pipeline_downtime", "error_count") and value is not None:
                setattr(self, name, value)
            elif name == "custom_metrics" and isinstance(value, Mapping):
                self.custom_metrics.update(value)
            else:
                self.custom_metrics[name] = value


@dataclass(frozen=True)
class _Source:
    """Where an experiment was read, and what was read: what has been changed since is set anew."""

    path: str
    duration: float
    parameters: dict[str, Any]

    def changes(self, experiment: ChaosExperiment) -> list[str]:
        changed = {f"parameters.{name}": value for name, value in experiment.parameters.items()
                   if name not in self.parameters or self.parameters[name] != value}
        if experiment.duration != self.duration:
            changed["duration"] = experiment.duration
        return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in changed.items()]


@dataclass
class ChaosExperiment:
    """One experiment, and what came of it."""

    name: str
    layer: ChaosLayer
    fault_type: str
    parameters: dict[str, Any] = field(default_factory=dict)
    duration: float = 60
    status: ExperimentStatus = ExperimentStatus.PENDING
    metrics: ExperimentMetrics = field(default_factory=ExperimentMetrics)
    rollback_strategy: str = "auto"
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Other keys of an experiment in a document: baseline, target, seed, steady_state, ..."""
    result: chaoseater.Result | None = field(default=None, repr=False)
    """What the C library says about it; None when it was not the library's to run."""
    error: str = ""
    """Why it failed, in a sentence."""
    _source: _Source | None = field(default=None, repr=False)

    def loaded_from(self, path: str | os.PathLike[str]) -> None:
        """Says that this is an experiment of that document, whose other keys count as well."""
        self._source = _Source(os.path.abspath(path), self.duration, dict(self.parameters))

    @property
    def resilience_score(self) -> float | None:
        """0..100; None: nothing was measured."""
        if self.result is not None:
            return self.result[0].score if len(self.result) else None
        if self.metrics.end_time is None:
            return None
        return score_of(self.metrics)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "layer": self.layer.value,
            "fault_type": self.fault_type,
            "parameters": dict(self.parameters),
            "duration": self.duration,
            "status": self.status.value,
            "metrics": self.metrics.to_dict(),
            "rollback_strategy": self.rollback_strategy,
        }

    def check(self) -> None:
        """Raises what the C library says is wrong with it."""
        if self._source is None:
            chaoseater.load([self.document()])
        else:
            chaoseater.load(self._source.path, only=[self.name], sets=self._source.changes(self))

    def document(self) -> dict[str, Any]:
        """The same as an experiment of a document."""
        return {"name": self.name, "layer": self.layer.value, "fault_type": self.fault_type, "parameters": self.parameters,
                "duration": self.duration, "rollback_strategy": self.rollback_strategy, **self.options}


def score_of(metrics: ExperimentMetrics) -> float:
    """The documented formula, for experiments that the library does not score: 100, less at most 40 for downtime and 30 each for
    accuracy and errors."""
    lost = min(40.0, metrics.pipeline_downtime / 10 * 40)
    lost += min(30.0, max(0.0, metrics.accuracy_degradation) / 100 * 30)
    lost += min(30.0, metrics.error_count * 5 * 30.0)
    return max(0.0, 100 - lost)


class ChaosController:
    """Runs experiments, one after the other.

    :param config: the sections ``pipeline``, ``prometheus``, ``opentelemetry`` and ``grafana`` of a document, its ``seed``, and
        ``state_dir`` and ``db`` as of :func:`chaoseater.run`
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config = dict(config or {})
        self.injectors: dict[ChaosLayer, FaultInjector] = {}
        self.observers: list[Observer] = []
        self.experiments: list[ChaosExperiment] = []

    # ---- what there is

    def register_injector(self, layer: ChaosLayer, injector: FaultInjector) -> None:
        """Has that injector bring about the faults of a layer, in the place of the one before."""
        for method in ("inject", "rollback", "validate", "get_supported_faults"):
            if not callable(getattr(injector, method, None)):
                raise TypeError(f"{type(injector).__name__} has no {method}(), which an injector needs")
        self.injectors[ChaosLayer(layer)] = injector

    def register_observer(self, observer: Observer) -> None:
        """Has that observer told of the start and the end of each experiment."""
        for method in ("on_experiment_start", "on_experiment_end"):
            if not callable(getattr(observer, method, None)):
                raise TypeError(f"{type(observer).__name__} has no {method}(), which an observer needs")
        self.observers.append(observer)

    def create_experiment(
        self,
        name: str,
        layer: ChaosLayer | str,
        fault_type: str,
        parameters: Mapping[str, Any] | None = None,
        duration: float = 60,
        rollback_strategy: Any = None,
        **options: Any,
    ) -> ChaosExperiment:
        """An experiment of this controller, which has not been run. `options` are other keys of an experiment in a document."""
        experiment = ChaosExperiment(name, ChaosLayer(layer), fault_type, dict(parameters or {}), duration,
                                     rollback_strategy=str(getattr(rollback_strategy, "value", rollback_strategy) or "auto"),
                                     options=options)
        self.experiments.append(experiment)
        return experiment

    # ---- running

    def run_experiment(self, experiment: ChaosExperiment) -> ExperimentMetrics:
        """Runs it for real. Raises what kept it from being completed, after everything has been put back."""
        injector = self.check_experiment(experiment)
        experiment.metrics, experiment.result, experiment.error = ExperimentMetrics(start_time=time.time()), None, ""
        experiment.status = ExperimentStatus.RUNNING
        try:
            self._tell("on_experiment_start", experiment)
            if isinstance(injector, LibraryInjector) and injector.runs_in_library(experiment.fault_type):
                with injector.during_run(experiment.fault_type, experiment.parameters, experiment.duration):
                    self._run_in_library(experiment)
            else:
                self._run_here(experiment, injector)
            experiment.status = ExperimentStatus.COMPLETED
        except BaseException as error:
            experiment.status = ExperimentStatus.FAILED
            experiment.error = experiment.error or str(error) or type(error).__name__
            raise
        finally:
            if experiment.metrics.end_time is None:
                experiment.metrics.end_time = time.time()
            self._tell("on_experiment_end", experiment)
        return experiment.metrics

    def run_batch(self, experiments: Iterable[ChaosExperiment]) -> list[ExperimentMetrics]:
        """Runs them one after the other; a failed one, whose status says so, does not stop the rest."""
        measured = []
        for experiment in experiments:
            try:
                self.run_experiment(experiment)
            except Exception as error:
                log.error("%s: %s", experiment.name, error)
            measured.append(experiment.metrics)
        return measured

    def check_experiment(self, experiment: ChaosExperiment) -> FaultInjector:
        """Who would bring it about; raises what is wrong with it."""
        injector = self.injectors.get(experiment.layer)
        if injector is None:
            raise ValueError(f"no injector is registered for the layer {experiment.layer.value}")
        if isinstance(injector, LibraryInjector) and injector.runs_in_library(experiment.fault_type):
            experiment.check()
        elif not injector.validate(experiment.fault_type, experiment.parameters):
            raise ValueError(f"{type(injector).__name__} does not accept {experiment.fault_type} with {experiment.parameters}; it "
                             f"has {', '.join(injector.get_supported_faults())}")
        return injector

    def _tell(self, what: str, experiment: ChaosExperiment) -> None:
        for observer in self.observers:
            try:
                getattr(observer, what)(experiment)
            except Exception:
                log.exception("%s of %s failed", what, type(observer).__name__)

    def _collect(self, experiment: ChaosExperiment) -> None:
        for observer in self.observers:
            collect = getattr(observer, "collect_metrics", None)
            if callable(collect):
                try:
                    experiment.metrics.add(collect(experiment))
                except Exception:
                    log.exception("collect_metrics of %s failed", type(observer).__name__)

    # ---- by the library

    def _document(self, experiment: ChaosExperiment) -> dict[str, Any]:
        sections = ("pipeline", "prometheus", "opentelemetry", "grafana", "seed")
        shared = {name: self.config[name] for name in sections if self.config.get(name) is not None}
        for observer in self.observers:
            if isinstance(observer, PrometheusObserver):
                shared.setdefault("prometheus", observer.section())
        return {**shared, "experiments": [experiment.document()]}

    def _run_in_library(self, experiment: ChaosExperiment) -> None:
        collected = False

        def progress(now: dict[str, Any]) -> None:
            nonlocal collected
            if now["phase"] in ("rolling_back", "recovering") and not collected:
                collected = True
                experiment.status = ExperimentStatus.ROLLBACK
                self._collect(experiment)

        where = {"progress": progress, "state_dir": self.config.get("state_dir"), "db": self.config.get("db")}
        source = experiment._source
        if source is None:
            result = chaoseater.run(self._document(experiment), **where)
        else:
            result = chaoseater.run(source.path, only=[experiment.name], sets=source.changes(experiment), **where)
        if not collected:
            self._collect(experiment)
        run = result[0]
        experiment.result = result
        experiment.metrics.add({name: value for name, value in run.metrics.items() if name in _MEASURED})
        experiment.metrics.custom_metrics.update(run.metrics.get("custom") or {})
        experiment.metrics.custom_metrics.update(
            {name: value for name, value in run.metrics.items() if name not in _MEASURED and isinstance(value, (int, float))})
        if run.report.get("duration_cap"):
            experiment.metrics.custom_metrics["duration_cap"] = run.report["duration_cap"]
        if run.status not in ("completed", "aborted"):
            raise chaoseater.ChaosError(f"{experiment.name}: {run.status}: {run.reason}")
        if run.status == "aborted":
            raise chaoseater.Stopped(f"{experiment.name}: {run.reason}")

    # ---- here

    def _run_here(self, experiment: ChaosExperiment, injector: FaultInjector) -> None:
        duration = capped(experiment)
        rolled_back_at = 0.0

        def undo() -> None:
            nonlocal rolled_back_at
            experiment.status = ExperimentStatus.ROLLBACK
            began = time.monotonic()
            injector.rollback()
            rolled_back_at = time.monotonic() - began

        with undone_on_every_exit(undo):
            began = time.monotonic()
            try:
                experiment.metrics.add(injector.inject(experiment.fault_type, dict(experiment.parameters), duration))
                time.sleep(max(0.0, began + duration - time.monotonic()))
            except Exception:
                experiment.metrics.error_count += 1
                raise
            finally:
                self._collect(experiment)
        if experiment.metrics.recovery_time is None:
            experiment.metrics.recovery_time = rolled_back_at

    # ---- reports

    def get_experiment_report(self, experiment: ChaosExperiment) -> dict[str, Any]:
        """What was run and what came of it; "run" is what the C library reports, if it was the library's to run."""
        report = {
            "experiment": experiment.to_dict(),
            "summary": {
                "duration": experiment.metrics.duration,
                "status": experiment.status.value,
                "resilience_score": experiment.resilience_score,
                "errors": experiment.metrics.error_count,
            },
        }
        if experiment.error:
            report["summary"]["error"] = experiment.error
        if experiment.result is not None and len(experiment.result):
            report["run"] = experiment.result[0].report
        return report

    def export_metrics(self, path: str | os.PathLike[str]) -> None:
        """Writes the reports of all experiments, and totals, as JSON."""
        scores = [score for experiment in self.experiments if (score := experiment.resilience_score) is not None]
        by_status = {status.value: sum(experiment.status is status for experiment in self.experiments)
                     for status in ExperimentStatus}
        summary = {
            "total_experiments": len(self.experiments),
            **by_status,
            "average_resilience_score": sum(scores) / len(scores) if scores else None,
            "total_errors": sum(experiment.metrics.error_count for experiment in self.experiments),
        }
        reports = [self.get_experiment_report(experiment) for experiment in self.experiments]
        Path(path).write_text(json.dumps({"experiments": reports, "summary": summary}, indent=2, default=str) + "\n")


_MEASURED = ("recovery_time", "accuracy_degradation", "pipeline_downtime", "error_count")


# ---- experiments that are run here


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}


def seconds_of(time_: Any) -> float:
    """Seconds, from a number or from a text such as "500ms"."""
    found = re.fullmatch(r"\s*([0-9.]+)\s*(us|ms|s|m|h|d|)\s*", str(time_))
    if not found:
        raise chaoseater.BadInput(f"{time_!r} is no time: expected seconds, or a number with a unit (ms, s, m, h)")
    return float(found[1]) * _UNITS[found[2]]


def capped(experiment: ChaosExperiment) -> float:
    """Its duration, which CHAOSEATER_MAX_DURATION may cut; then its metrics say so."""
    duration, longest = seconds_of(experiment.duration), os.environ.get("CHAOSEATER_MAX_DURATION")
    if not longest or duration <= seconds_of(longest):
        return duration
    experiment.metrics.custom_metrics["duration_cap"] = {"seconds": seconds_of(longest), "asked": duration}
    return seconds_of(longest)


@contextlib.contextmanager
def undone_on_every_exit(undo: Callable[[], object]) -> Iterator[None]:
    """Calls `undo` once when the block is left: by its end, an exception, Ctrl-C, SIGTERM, SIGHUP, or the end of the interpreter
    while a daemon thread is in it."""
    lock, done = threading.Lock(), False

    def once() -> None:
        nonlocal done
        with lock:
            if done:
                return
            done = True
        undo()

    atexit.register(once)
    try:
        with _signals_as_exits():
            try:
                yield
            finally:
                once()
    finally:
        atexit.unregister(once)


@contextlib.contextmanager
def _signals_as_exits() -> Iterator[None]:
    """Signals that would end the process at once leave the block first; only the main thread can see to that."""
    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = []
    if threading.current_thread() is threading.main_thread():
        numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
