# SPDX-License-Identifier: MIT
"""What experiments did to the host, and where that is told: to files, and to Prometheus."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaos_controller import ChaosExperiment

__all__ = ["LogObserver", "MetricsObserver", "PrometheusObserver"]

log = logging.getLogger("chaoseater")


def _processor_times() -> tuple[int, int]:
    """Clock ticks that all processors were busy, and in all, since the host was started."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _memory() -> tuple[int, int]:
    """Bytes that are in use, and in all."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kib = {words[0].rstrip(":"): int(words[1]) for words in lines}
    return (kib["MemTotal"] - kib["MemAvailable"]) * 1024, kib["MemTotal"] * 1024


class MetricsObserver:
    """Keeps events: the start of each experiment, its metrics with those of the host, its end.

    :param config: with ``auto_export``, a path, the events are written there at the end of each experiment
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config = dict(config or {})
        self.events: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._busy: dict[int, tuple[int, int]] = {}  # processor times at the start, by experiment

    def on_experiment_start(self, experiment: ChaosExperiment) -> None:
        self._busy[id(experiment)] = _processor_times()
        self._add("start", experiment, layer=experiment.layer.value, fault_type=experiment.fault_type,
                  parameters=dict(experiment.parameters), duration=experiment.duration)

    def collect_metrics(self, experiment: ChaosExperiment) -> dict[str, float]:
        """The host since the experiment's start, in percent."""
        busy, total = _processor_times()
        busy_before, total_before = self._busy.get(id(experiment), (0, 0))
        used, memory = _memory()
        disk = os.statvfs("/")
        measured = {
            "cpu_percent": 100 * (busy - busy_before) / max(1, total - total_before),
            "memory_percent": 100 * used / memory,
            "disk_percent": 100 * (1 - disk.f_bavail / disk.f_blocks),
        }
        self._add("metrics", experiment, **measured)
        return measured

    def on_experiment_end(self, experiment: ChaosExperiment) -> None:
        self._busy.pop(id(experiment), None)
        self._add("end", experiment, status=experiment.status.value, resilience_score=experiment.resilience_score,
                  metrics=experiment.metrics.to_dict(), error=experiment.error)
        path = self.config.get("auto_export")
        if path:
            self.export_metrics("chaos_metrics.json" if path is True else path)

    def get_metrics(self) -> list[dict[str, Any]]:
        """All events so far."""
        with self._lock:
            return [dict(event) for event in self.events]

    def export_metrics(self, path: str | os.PathLike[str]) -> None:
        """Writes all events so far as JSON."""
        Path(path).write_text(json.dumps({"events": self.get_metrics()}, indent=2, default=str) + "\n")

    def _add(self, what: str, experiment: ChaosExperiment, **more: Any) -> None:
        with self._lock:
            self.events.append({"event": what, "time": time.time(), "experiment": experiment.name, **more})


class PrometheusObserver:
    """Pushes the metrics of each experiment to a Pushgateway, with the labels experiment, layer and fault.

    Experiments that the C library runs are pushed by it, during and after the run: an orchestrator tells it to. A gateway that is
    out of reach never fails an experiment.
    """

    def __init__(self, pushgateway_url: str, job_name: str = "chaos_eater") -> None:
        if urllib.parse.urlsplit(pushgateway_url).scheme not in ("http", "https"):
            raise ValueError(f"pushgateway_url: {pushgateway_url!r} is no URL; expected http://host:9091")
        self.pushgateway_url = pushgateway_url.rstrip("/")
        self.job_name = job_name

    def section(self) -> dict[str, str]:
        """The same as the section `prometheus` of a document."""
        return {"pushgateway_url": self.pushgateway_url, "job_name": self.job_name}

    def on_experiment_start(self, experiment: ChaosExperiment) -> None:
        pass

    def on_experiment_end(self, experiment: ChaosExperiment) -> None:
        if experiment.result is None:
            self.push(experiment)

    def push(self, experiment: ChaosExperiment) -> bool:
        """Pushes what is known of an experiment; whether the gateway took it."""
        group = "/".join(f"{label}@base64/{_base64(value)}" for label, value in
                         (("job", self.job_name), ("experiment", experiment.name)))
        request = urllib.request.Request(f"{self.pushgateway_url}/metrics/{group}", _exposition(experiment).encode(), method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=5):
                return True
        except (urllib.error.URLError, OSError) as error:
            log.warning("the Pushgateway %s did not take the metrics of %s: %s", self.pushgateway_url, experiment.name, error)
            return False


def _base64(text: str) -> str:
    import base64

    return base64.urlsafe_b64encode(text.encode()).decode() or "="


def _exposition(experiment: ChaosExperiment) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in
                      (("layer", experiment.layer.value), ("fault", experiment.fault_type)))
    metrics = experiment.metrics
    values = {
        "chaos_experiment_duration_seconds": metrics.duration,
        "chaos_experiment_status": 1 if experiment.status.value == "completed" else 0,
        "chaos_recovery_time_seconds": metrics.recovery_time,
        "chaos_accuracy_degradation_percent": metrics.accuracy_degradation,
        "chaos_error_count": metrics.error_count,
        "chaos_resilience_score": experiment.resilience_score,
    }
    return "".join(f"# TYPE {name} gauge\n{name}{{{labels}}} {float(value)!r}\n" for name, value in values.items() if value is not None)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class LogObserver:
    """Writes a line to a file at the start and at the end of each experiment."""

    def __init__(self, log_file: str | os.PathLike[str] = "chaos_experiments.log") -> None:
        self.log_file = Path(log_file)

    def on_experiment_start(self, experiment: ChaosExperiment) -> None:
        self._write(f"{experiment.name}: started: {experiment.layer.value}/{experiment.fault_type} for {experiment.duration} s")

    def on_experiment_end(self, experiment: ChaosExperiment) -> None:
        score = experiment.resilience_score
        said = f"{experiment.name}: {experiment.status.value}, score {'-' if score is None else f'{score:.1f}'}, " \
               f"{experiment.metrics.error_count} errors"
        self._write(f"{said}: {experiment.error}" if experiment.error else said)

    def _write(self, line: str) -> None:
        with open(self.log_file, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {' '.join(line.splitlines())}\n")
