# SPDX-License-Identifier: MIT
"""The shapes that `--json` promises, and what may differ between two runs of one seed."""

import copy

PHASES = ("baseline", "fault", "rollback", "recovery")
STATUSES = {"completed", "aborted", "interrupted", "failed", "skipped", "dirty"}
VERDICTS = {"passed", "deviated", "inconclusive", "invalid"}

TEXT, NUMBER, WHOLE, BOOL = str, (int, float), int, bool
NULL = type(None)


def maybe(kind):
    return (kind if isinstance(kind, tuple) else (kind,)) + (NULL,)


EXPERIMENT = {
    "name": TEXT,
    "layer": TEXT,
    "fault_type": TEXT,
    "parameters": dict,
    "duration": NUMBER,
    "rollback_strategy": TEXT,
}
SUMMARY = {"duration": NUMBER, "status": TEXT, "resilience_score": maybe(NUMBER), "errors": maybe(WHOLE)}
METRICS = {
    "recovery_time": maybe(NUMBER),
    "accuracy_degradation": maybe(NUMBER),
    "pipeline_downtime": maybe(NUMBER),
    "error_count": maybe(WHOLE),
    "baseline_accuracy": maybe(NUMBER),
    "fault_accuracy": maybe(NUMBER),
    "latency_ms": dict,
    "operations": dict,
}
LATENCY = {"p50": maybe(NUMBER), "p90": maybe(NUMBER), "p99": maybe(NUMBER), "max": maybe(NUMBER)}
SCORE = {"formula": TEXT, "value": maybe(NUMBER), "terms": dict}
TERMS = {"downtime": maybe(NUMBER), "accuracy": maybe(NUMBER), "errors": maybe(NUMBER)}
FAULT = {"eligible": maybe(WHOLE), "selected": maybe(WHOLE), "changed": maybe(WHOLE), "skipped": dict}
ROLLBACK = {"strategy": TEXT, "steps": list, "seconds": NUMBER, "verified": BOOL}
STEP = {"at": NUMBER, "intensity": NUMBER, "healthy": maybe(BOOL)}
RUN = {
    "id": TEXT,
    "experiment": dict,
    "profile": maybe(TEXT),
    "status": TEXT,
    "verdict": TEXT,
    "verified": BOOL,
    "verification": maybe(TEXT),
    "summary": dict,
    "metrics": dict,
    "score": dict,
    "fault": dict,
    "rollback": dict,
    "started_at": TEXT,
    "ended_at": TEXT,
    "recipe": dict,
    "series": maybe(dict),
}
SUITE = {"version": TEXT, "seed": WHOLE, "runs": list, "summary": dict}
SUITE_SUMMARY = {
    "experiments": WHOLE,
    "completed": WHOLE,
    "failed": WHOLE,
    "mean_resilience_score": maybe(NUMBER),
    "verdicts": dict,
}


def check(value, shape, where):
    """Every key is there with a value of its kind; more keys are fine."""
    assert isinstance(value, dict), f"{where} is no object: {value!r}"
    for key, kind in shape.items():
        assert key in value, f"{where} lacks {key!r}; it has {sorted(value)}"
        assert isinstance(value[key], kind), f"{where}.{key} is {value[key]!r}"
        if isinstance(value[key], bool):
            assert kind is bool or bool in (kind if isinstance(kind, tuple) else (kind,)), f"{where}.{key}"


def check_run(run, where="run"):
    check(run, RUN, where)
    check(run["experiment"], EXPERIMENT, f"{where}.experiment")
    check(run["summary"], SUMMARY, f"{where}.summary")
    check(run["metrics"], METRICS, f"{where}.metrics")
    check(run["score"], SCORE, f"{where}.score")
    check(run["score"]["terms"], TERMS, f"{where}.score.terms")
    check(run["fault"], FAULT, f"{where}.fault")
    check(run["rollback"], ROLLBACK, f"{where}.rollback")
    for phase in PHASES:
        count = run["metrics"]["operations"][phase]
        latency = run["metrics"]["latency_ms"][phase]
        assert isinstance(count, int)
        check(latency, LATENCY, f"{where}.metrics.latency_ms.{phase}")
        assert all((count > 0) == (value is not None) for value in latency.values()), f"{where}.metrics: {phase}"
    for i, step in enumerate(run["rollback"]["steps"]):
        check(step, STEP, f"{where}.rollback.steps[{i}]")
    assert run["status"] in STATUSES
    assert run["verdict"] in VERDICTS
    assert run["summary"]["status"] == run["status"]
    assert run["score"]["value"] == run["summary"]["resilience_score"]
    assert run["started_at"].endswith("Z") and run["ended_at"].endswith("Z")
    assert run["started_at"] <= run["ended_at"]


def check_suite(suite):
    check(suite, SUITE, "suite")
    check(suite["summary"], SUITE_SUMMARY, "suite.summary")
    for i, run in enumerate(suite["runs"]):
        check_run(run, f"runs[{i}]")
    summary = suite["summary"]
    completed = sum(run["status"] == "completed" for run in suite["runs"])
    assert summary["experiments"] == len(suite["runs"])
    assert summary["completed"] == completed
    assert summary["failed"] == len(suite["runs"]) - completed
    assert sum(summary["verdicts"].values()) == len(suite["runs"])
    scores = [run["score"]["value"] for run in suite["runs"] if run["score"]["value"] is not None]
    mean = summary["mean_resilience_score"]
    assert (mean is None) == (not scores)
    assert not scores or abs(mean - sum(scores) / len(scores)) < 0.01


def score_by_hand(run):
    """The documented formula, term by term, from the measurements that the run reports."""
    metrics = run["metrics"]
    return max(
        0,
        100
        - min(40, metrics["pipeline_downtime"] / 10 * 40)
        - min(30, (metrics["accuracy_degradation"] or 0) * 30)
        - min(30, metrics["error_count"] * 5 * 30),
    )


def strip_times(suite):
    """The suite without anything that a clock has measured: what is left is the same for the same seed."""
    suite = copy.deepcopy(suite)
    for run in suite["runs"]:
        for key in ("id", "started_at", "ended_at"):
            del run[key]
        del run["summary"]["duration"]
        del run["series"]
        del run["metrics"]["latency_ms"]
        run["metrics"].pop("latency_histogram", None)  # not there when nothing was measured
        del run["metrics"]["recovery_time"]
        del run["rollback"]["seconds"]
        for step in run["rollback"]["steps"]:
            del step["at"]
        # The number of operations that were due while rollback and recovery went on is a time, too.
        for phase in ("rollback", "recovery"):
            for counts in ("operations", "failed_operations", "right_predictions"):
                del run["metrics"][counts][phase]
    return suite
