# SPDX-License-Identifier: MIT
"""What came of a suite: a table where people look, the whole report where programs do."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import _core
from .errors import ChaosError

if TYPE_CHECKING:
    import pandas

__all__ = ["GateFailed", "Result", "Run", "read_result"]


class GateFailed(ChaosError, AssertionError):
    """A result that may not be deployed; the text says which experiment lacks what."""


@dataclass(frozen=True)
class Run:
    """One run of one experiment."""

    name: str
    layer: str
    fault: str
    profile: str
    status: str
    verdict: str
    score: float | None
    """0..100; None: nothing was measured."""
    verified: bool | None
    reason: str
    """Why it did not pass, in a sentence; "" if it did."""
    report: dict[str, Any]
    """All that the JSON report says about it."""

    @classmethod
    def of(cls, report: dict[str, Any]) -> Run:
        """The run that a report of the C library tells of."""
        experiment = report["experiment"]
        return cls(
            name=experiment["name"],
            layer=experiment["layer"],
            fault=experiment["fault_type"],
            profile=report.get("profile") or "",
            status=report["status"],
            verdict=report.get("verdict") or "",
            score=(report.get("score") or {}).get("value"),
            verified=report.get("verified"),
            reason=report.get("reason") or "",
            report=report,
        )

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured, by the names of the report."""
        metrics: dict[str, Any] = self.report.get("metrics") or {}
        return metrics

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    def row(self) -> dict[str, Any]:
        """What a table says about it."""
        return {
            "experiment": self.name,
            "layer": self.layer,
            "fault": self.fault,
            "profile": self.profile,
            "status": self.status,
            "verdict": self.verdict,
            "score": self.score,
            "verified": self.verified,
            "recovery_time": self.metrics.get("recovery_time"),
            "accuracy_degradation": self.metrics.get("accuracy_degradation"),
            "pipeline_downtime": self.metrics.get("pipeline_downtime"),
            "error_count": self.metrics.get("error_count"),
            "reason": self.reason,
        }


class Result(Sequence[Run]):
    """The runs of a suite, in the order of the document. ``print(result)`` shows them as a table."""

    def __init__(self, core: _core.Results) -> None:
        self._core = core

    # ---- as a whole

    @property
    def exit_code(self) -> int:
        """How a command that ran this suite should exit: 0 passed, 1 deviated or below the gate, 3 aborted, 4 failed,
        5 something could not be put back, 6 not healthy before anything was injected."""
        return self._core.exit_code()

    @property
    def clean(self) -> bool:
        """Whether every run was completed, verified and left nothing behind, whatever its verdict."""
        return self._core.clean()

    @property
    def passed(self) -> bool:
        return self.exit_code == 0

    @property
    def score(self) -> float | None:
        """The mean of the scores; None when no run has one."""
        scores = [run.score for run in self if run.score is not None]
        return sum(scores) / len(scores) if scores else None

    @property
    def problems(self) -> list[str]:
        """What is missing in files and gateways that were to be told, a sentence each."""
        return self._core.problems()

    @property
    def seed(self) -> int:
        """Makes the same choices again."""
        seed: int = self._report["seed"]
        return seed

    # ---- the runs

    @cached_property
    def _report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self._core.write("json"))
        return report

    @cached_property
    def _runs(self) -> list[Run]:
        return [Run.of(run) for run in self._report["runs"]]

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            return self._named(which)
        return self._runs[which]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def _named(self, name: str) -> Run:
        for run in self._runs:
            if run.name == name:
                return run
        names = ", ".join(dict.fromkeys(run.name for run in self._runs))
        raise KeyError(f"no run of '{name}'; there are: {names}")

    # ---- shown and written

    def to_dict(self) -> dict[str, Any]:
        """The whole report, as ``chaoseater run --json`` prints it."""
        report: dict[str, Any] = json.loads(self._core.write("json"))
        return report

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each run."""
        import pandas

        return pandas.DataFrame([run.row() for run in self])

    def write(self, format: str = "text", path: str | os.PathLike[str] | None = None) -> str:
        """The report in a format ("text", "json", "html", "markdown", "junit", ...), which is also put into a file."""
        text = self._core.write(format)
        if path is not None:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
        return text

    def __str__(self) -> str:
        return self._core.write("text").rstrip("\n")

    def __repr__(self) -> str:
        score = "no score" if self.score is None else f"score {self.score:.1f}"
        return f"<chaoseater.Result: {len(self)} run{'' if len(self) == 1 else 's'}, {score}, exit code {self.exit_code}>"

    def _repr_html_(self) -> str:
        columns = ("experiment", "fault", "verdict", "score", "recovery_time", "error_count", "reason")
        head = "".join(f"<th>{html.escape(column.replace('_', ' '))}</th>" for column in columns)
        rows = "".join("<tr>" + "".join(f"<td>{_cell(run.row()[column])}</td>" for column in columns) + "</tr>" for run in self)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    # ---- the gate

    def gate(self, min_score: float = 70.0, *, on: str = "each", baseline: Result | None = None, max_drop: float = 0.0) -> bool:
        """Whether this may be deployed: every run measured, verified, put back and passed, and with that score.

        `on` is what has to have it: "each" run, the mean of each "layer", or the "mean" of all. With `baseline` no
        experiment may have lost more than `max_drop` points since. The report says from now on what the gate said.
        """
        passed = self._core.gate(min_score, on, baseline._core if baseline else None, max_drop) == 0
        self.__dict__.pop("_report", None)
        return passed

    def assert_gate(self, min_score: float = 70.0, *, on: str = "each", baseline: Result | None = None,
                    max_drop: float = 0.0) -> None:
        """The same for tests: raises :class:`GateFailed`, an AssertionError that shows the table."""
        if not self.gate(min_score, on=on, baseline=baseline, max_drop=max_drop):
            raise GateFailed(f"the gate of {min_score:g} points is closed\n{self}")


def read_result(path: str | os.PathLike[str]) -> Result:
    """A report that was written as JSON."""
    return Result(_core.results_read(os.fspath(path)))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))
