# SPDX-License-Identifier: MIT
"""What experiments came to over time, in an SQLite database: the same that ``chaoseater history`` reads."""

from __future__ import annotations

import json
import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import chaoseater
from chaoseater import _core

if TYPE_CHECKING:
    from chaos_controller import ChaosExperiment

__all__ = ["ExperimentHistory"]


class ExperimentHistory:
    """A history of its own at `db_path`, which is made if it is not there. Several processes and threads may use it at once."""

    def __init__(self, db_path: str | os.PathLike[str] = "chaos_experiments.db") -> None:
        self.db_path = os.fspath(db_path)
        self._core = _core.history(self.db_path, None, True)

    def save_experiment(self, experiment: ChaosExperiment, resilience_score: float | None = None,
                        tags: Iterable[str] | None = None) -> str:
        """Remembers an experiment that has been run; its id there. `resilience_score` stands in the place of its own."""
        run = _run_of(experiment, resilience_score, list(tags or ()))
        report = {"version": chaoseater.__version__, "seed": run["recipe"]["seed"], "runs": [run], "summary": {}, "gate": None}
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump(report, file, default=str)
            file.flush()
            self._core.import_(file.name)
        return str(run["id"])

    def query_experiments(
        self,
        layer: str | None = None,
        fault_type: str | None = None,
        status: str | None = None,
        name_pattern: str | None = None,
        min_resilience_score: float | None = None,
        max_resilience_score: float | None = None,
        tag: str | None = None,
        since: str | None = None,
        until: str | None = None,
        sort: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """The newest first, unless `sort` says otherwise ("resilience_score:desc", "name"). A pattern without wildcards is looked
        for anywhere in the name."""
        found: list[dict[str, Any]] = json.loads(self._core.list(
            layer=_value(layer), fault=fault_type, status=_value(status), name=_pattern(name_pattern), tag=tag, since=since,
            until=until, sort=sort, limit=limit, min_score=min_resilience_score, max_score=max_resilience_score))
        return found

    def get_experiment_trends(self, name: str, days: int = 30) -> dict[str, Any]:
        """How the experiment of that name has done in the last days."""
        try:
            trends: dict[str, Any] = json.loads(self._core.trends(name, days))
        except chaoseater.Unknown:
            return {"name": name, "days": days, "runs": [], "total_runs": 0, "avg_resilience_score": None, "success_rate": None}
        return {**trends, "avg_resilience_score": trends["mean"]}

    def compare_experiments(self, ids: Iterable[str]) -> dict[str, Any]:
        """Those runs side by side: their metrics, the differences from the first, and which is best."""
        compared: dict[str, Any] = json.loads(self._core.compare([str(id_) for id_ in ids]))
        return {**compared, "experiments": compared["runs"]}

    def get_summary_statistics(self) -> dict[str, Any]:
        """Of all experiments."""
        summary: dict[str, Any] = json.loads(self._core.summary())
        return {
            **summary,
            "total_experiments": summary["runs"],
            "avg_resilience_score": summary["mean_resilience_score"],
            "fault_type_distribution": _counts(summary["by_fault"]),
        }

    def export_to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes them all as a table."""
        self._core.export("csv", os.fspath(path))

    def close(self) -> None:
        self._core.close()

    def __enter__(self) -> ExperimentHistory:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _value(word: Any) -> str | None:
    """The text of an enumeration's member, or of a text."""
    return getattr(word, "value", word)


def _pattern(text: str | None) -> str | None:
    if text is None:
        return None
    text = text.replace("%", "*")
    return text if re.search(r"[*?\[]", text) else f"*{text}*"


def _counts(by_fault: Any) -> dict[str, int]:
    if isinstance(by_fault, Mapping):
        return {name: entry["runs"] if isinstance(entry, Mapping) else entry for name, entry in by_fault.items()}
    return {entry["name"]: entry["runs"] for entry in by_fault}


def _time(seconds: float | None) -> str:
    at = datetime.fromtimestamp(seconds or 0.0, timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _run_of(experiment: ChaosExperiment, score: float | None, tags: list[str]) -> dict[str, Any]:
    """A run as reports have it."""
    if experiment.result is not None and len(experiment.result):
        run: dict[str, Any] = json.loads(json.dumps(experiment.result[0].report))
    else:
        run = _run_without_library(experiment)
    if tags:
        run["experiment"]["tags"] = [*(run["experiment"].get("tags") or ()), *tags]
    if score is not None:
        run["score"]["value"] = float(score)
        run["summary"]["resilience_score"] = float(score)
    return run


def _run_without_library(experiment: ChaosExperiment) -> dict[str, Any]:
    metrics, done = experiment.metrics, experiment.status.value == "completed"
    began = datetime.fromtimestamp(metrics.start_time or 0.0, timezone.utc)
    return {
        "id": f"{began:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}",
        "experiment": {**experiment.to_dict(), "tags": []},
        "pipeline": {"kind": "command"},
        "profile": None,
        "status": "completed" if done else "failed",
        "verdict": "passed" if done else "inconclusive",
        "reason": experiment.error,
        "control": False,
        "verified": done,
        "verification": "brought about by an injector in Python",
        "summary": {"duration": metrics.duration, "status": experiment.status.value,
                    "resilience_score": experiment.resilience_score, "errors": metrics.error_count},
        "metrics": {"recovery_time": metrics.recovery_time, "accuracy_degradation": metrics.accuracy_degradation,
                    "pipeline_downtime": metrics.pipeline_downtime, "error_count": metrics.error_count, "baseline_accuracy": None,
                    "fault_accuracy": None},
        "score": {"formula": "documented/1", "value": experiment.resilience_score,
                  "terms": {"downtime": 0.0, "accuracy": 0.0, "errors": 0.0}},
        "fault": {"eligible": 0, "selected": 0, "changed": 0, "skipped": {}},
        "rollback": {"strategy": experiment.rollback_strategy, "steps": [], "seconds": metrics.recovery_time, "verified": done,
                     "reason": None},
        "started_at": _time(metrics.start_time),
        "ended_at": _time(metrics.end_time),
        "recipe": {"seed": 0, "fault": experiment.fault_type, "parameters": experiment.parameters},
    }
