# SPDX-License-Identifier: MIT
"""Runs, from the document to the report."""

import json
import os
import signal
import time

import pytest
from shapes import check_suite, score_by_hand, strip_times

SHORT = ["--set", "duration=1s", "--set", "baseline=1s"]

CONTROL = """
experiments:
  - name: nothing_happens
    layer: model
    fault_type: slow_inference
    duration: 1s
    baseline: 1s
    parameters: {latency_ms: 0, variance: 0}
"""

SEEDED = """
experiments:
  - name: some_predictions
    layer: model
    fault_type: prediction_corruption
    duration: 2s
    baseline: 1s
    parameters: {corruption_rate: 0.3, type: flip}
  - name: some_cells
    layer: data
    fault_type: data_corruption
    duration: 1s
    baseline: 1s
    parameters: {corruption_rate: 0.1}
"""


def everything_is_back(chaoseater):
    assert chaoseater("status").stdout == "nothing is live\n"


@pytest.fixture(scope="module")
def mission_run(chaoseater_module, mission):
    (chaoseater_module.folder / "mission.yaml").write_text(mission)
    return chaoseater_module("run", "mission.yaml", "--set", "duration=3s", "--seed", 1, "--json", timeout=180)


def test_the_mission_s_document_runs_unchanged(mission_run):
    assert mission_run.returncode in (0, 1)
    # Where its Pushgateway would be there may be none.
    assert all(line.startswith("chaoseater: metrics were not all pushed: ") for line in mission_run.stderr.splitlines())
    assert len(mission_run.stderr.splitlines()) <= 1
    suite = json.loads(mission_run.stdout)
    check_suite(suite)
    names = [run["experiment"]["name"] for run in suite["runs"]]
    assert names == ["data_corruption_test", "slow_inference_test"]
    for run in suite["runs"]:
        assert run["experiment"]["duration"] == 3
        assert run["status"] == "completed"
        assert run["verified"] and run["verification"]
        assert run["rollback"]["verified"]
        assert run["fault"]["changed"] > 0


def test_the_score_is_the_documented_formula(mission_run):
    for run in json.loads(mission_run.stdout)["runs"]:
        score, terms = run["score"]["value"], run["score"]["terms"]
        assert score == pytest.approx(score_by_hand(run), abs=0.01)
        assert score == pytest.approx(max(0, 100 - sum(terms.values())), abs=0.01)


def test_a_fault_leaves_its_mark_and_goes(mission_run):
    slow = json.loads(mission_run.stdout)["runs"][1]
    latency = slow["metrics"]["latency_ms"]
    assert latency["fault"]["p50"] > latency["baseline"]["p50"] + 300


def test_nothing_is_left_of_the_mission_s_run(mission_run, chaoseater_module):
    everything_is_back(chaoseater_module)


def test_a_dry_run_of_the_mission_s_document_says_what_would_happen(chaoseater, mission, tmp_path):
    (tmp_path / "mission.yaml").write_text(mission)
    done = chaoseater("run", "mission.yaml", "--dry-run")
    assert done.returncode == 0
    first, *plans = done.stdout.splitlines()
    assert first == "mission.yaml: 2 runs would begin; nothing was touched"
    assert len(plans) == 2 and all("on the pipeline under test" in plan for plan in plans)
    assert done.stderr == ""
    assert not (tmp_path / "state").exists()


def test_a_dry_run_counts_runs_and_says_which_could_not(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text("""experiments:
  - {name: twice, layer: model, fault_type: slow_inference, duration: 1, repeat: 2}
  - {name: lost, layer: infrastructure, fault_type: cpu_throttle, duration: 1, target: {process: no-such-process}}
""")
    done = chaoseater("run", "plan.yaml", "--dry-run")
    assert done.returncode == 4
    assert done.stdout.splitlines() == [
        "plan.yaml: 2 runs would begin, 1 could not; nothing was touched",
        "  twice #1: on the pipeline under test", "  twice #2: on the pipeline under test",
        "  lost could not: no process is called 'no-such-process'"]


def test_a_dry_run_touches_nothing(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(SEEDED)
    before = sorted(os.listdir(tmp_path))
    done = chaoseater("run", "plan.yaml", "--dry-run", "--report", "json=report.json", "--json")
    assert done.returncode == 0
    assert sorted(os.listdir(tmp_path)) == before
    assert [run["status"] for run in json.loads(done.stdout)["runs"]] == ["skipped", "skipped"]


def test_the_same_seed_gives_the_same_report(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(SEEDED)
    first, second, other = (
        json.loads(chaoseater("run", "plan.yaml", "--seed", seed, "--json").stdout) for seed in (7, 7, 8)
    )
    assert strip_times(first) == strip_times(second)
    assert first["seed"] == 7
    assert strip_times(first)["runs"] != strip_times(other)["runs"]


def test_a_control_run_does_not_deviate(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(CONTROL)
    done = chaoseater("run", "plan.yaml", "--json")
    (run,) = json.loads(done.stdout)["runs"]
    assert run["control"] is True
    assert (run["verdict"], run["metrics"]["error_count"]) == ("passed", 0)
    assert done.returncode == 0


def test_plain_output_has_a_table_and_one_line_for_each_run(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(CONTROL)
    done = chaoseater("run", "plan.yaml")
    assert done.returncode == 0
    assert "\033" not in done.stdout + done.stderr
    assert "nothing_happens" in done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("[1/1] nothing_happens (naive)")
    assert "passed" in done.stderr


def test_only_keeps_the_named_experiment(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(SEEDED)
    done = chaoseater("run", "plan.yaml", "--only", "some_predictions", "--json", *SHORT)
    assert [run["experiment"]["name"] for run in json.loads(done.stdout)["runs"]] == ["some_predictions"]


def test_reports_go_where_they_are_asked_to(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(CONTROL)
    done = chaoseater("run", "plan.yaml", "--json", "--report", "json=a.json", "--report=text=a.txt")
    assert done.returncode == 0
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(done.stdout)
    assert "nothing_happens" in (tmp_path / "a.txt").read_text()


def test_the_gate_opens_for_a_control_run(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(CONTROL)
    done = chaoseater("gate", "plan.yaml", "--min-score", 100, "--json")
    suite = json.loads(done.stdout)
    assert suite["gate"]["min_score"] == 100 and suite["gate"]["passed"]
    assert done.returncode == 0


def test_the_gate_holds_a_pipeline_that_does_not_survive(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(
        """
experiments:
  - name: model_gone
    layer: model
    fault_type: model_unavailable
    duration: 2s
    baseline: 1s
pipeline: {kind: embedded, profile: naive}
"""
    )
    done = chaoseater("gate", "plan.yaml", "--json")
    suite = json.loads(done.stdout)
    (run,) = suite["runs"]
    assert done.returncode == 1
    assert suite["gate"]["min_score"] == 70 and not suite["gate"]["passed"]
    assert run["verified"]
    assert run["metrics"]["error_count"] > 0
    assert run["metrics"]["pipeline_downtime"] == pytest.approx(2, abs=1)


@pytest.mark.parametrize(
    "number, code, send",
    [(signal.SIGINT, 130, os.kill), (signal.SIGTERM, 143, os.kill), (signal.SIGINT, 130, os.killpg)],
    ids=["SIGINT", "SIGTERM", "Ctrl-C, which every process of the terminal gets"],
)
def test_a_signal_ends_a_run_after_undo(chaoseater, tmp_path, number, code, send):
    (tmp_path / "plan.yaml").write_text(SEEDED)
    with open(tmp_path / "out.json", "w") as out:
        process = chaoseater.start(
            *("run", "plan.yaml", "--only", "some_cells", "--set", "duration=60s", "--json"),
            stdout=out,
            start_new_session=True,
        )
    try:
        wait_until_live(chaoseater, "restore-file")
        send(process.pid, number)
        send(process.pid, number)
        assert process.wait(timeout=60) == code
    finally:
        process.kill()
        process.wait()
    suite = json.loads((tmp_path / "out.json").read_text())
    assert [run["status"] for run in suite["runs"]] == ["interrupted"]
    assert suite["runs"][0]["rollback"]["verified"]
    everything_is_back(chaoseater)


def wait_until_live(chaoseater, op):
    """Returns once the fault's undo is noted; each look is a process, which paces the loop."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        live = json.loads(chaoseater("status", "--json").stdout)["live"]
        if any(note["op"] == op for note in live):
            return
    raise AssertionError(f"no {op} became live")


def test_the_demo_shows_both_profiles(chaoseater, tmp_path):
    done = chaoseater("demo", "--only", "slow_inference", "--seed", 3, "--out", "shown", *SHORT, timeout=180)
    assert done.returncode == 0
    assert "Reports: shown/report.txt, shown/report.json, shown/report.html" in done.stdout
    suite = json.loads((tmp_path / "shown" / "report.json").read_text())
    check_suite(suite)
    assert [run["profile"] for run in suite["runs"]] == ["naive", "hardened"]
    assert (tmp_path / "shown" / "report.txt").read_text() in done.stdout
