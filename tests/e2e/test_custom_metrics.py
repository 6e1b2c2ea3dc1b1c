# SPDX-License-Identifier: MIT
"""Metrics that are not the workload's: what probes answer in numbers, and what a program that uses the library measures."""
import json
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import BUILD
from lab import Lab


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


def plan(lab, *names, probe=True, **more):
    depth = lab.folder / "depth"
    depth.write_text("7")
    probes = [{"probe": "command", "name": "queue \"depth\"", "command": f"cat {depth}", "expect": {"max": 100}, "mode": "continuous",
               "interval": "100ms"}] if probe else []
    path = lab.folder / "plan.yaml"
    path.write_text(json.dumps({"seed": 7, "pipeline": {"rate": 50, "rows": 300}, "experiments": [
        {"name": name, "layer": "model", "fault_type": "slow_inference", "duration": "1200ms", "baseline": "1200ms",
         "parameters": {"latency_ms": 30, "variance": 0}, "steady_state": probes, **more} for name in names]}))
    return path


def events(lab):
    return [json.loads(line) for line in (lab.folder / "events.jsonl").read_text().splitlines()]


def test_what_a_probe_answers_stands_wherever_the_workload_does(lab):
    code, report = lab.run_json("run", plan(lab, "one"), "--events", "events.jsonl", "--report", "html=page.html",
                                "--report", "prometheus=chaos.prom")
    assert code == 0
    name = 'queue "depth"'
    means = report["runs"][0]["metrics"]["custom"][name]
    assert {"baseline", "fault", "recovery"} <= set(means) and set(means.values()) == {7}
    assert {e["metrics"].get(name) for e in events(lab) if e["event"] == "sample" and e["phase"] == "observing"} == {7}
    page = (lab.folder / "page.html").read_text()
    assert "queue &quot;depth&quot;" in page or 'queue "depth"' in page.partition("measured besides, mean")[2]
    samples = [s for family in text_string_to_metric_families((lab.folder / "chaos.prom").read_text()) for s in family.samples]
    assert [s.value for s in samples if s.name == "chaos_custom_metric" and s.labels["metric"] == name and s.labels["phase"] == "fault"] == [7]
    listed = lab.run_json("history", "list", "--sort", name + "@fault")[1]
    assert listed[0][name + "@fault"] == 7


@pytest.mark.parametrize("parallel", [1, 2])
def test_an_observer_of_the_callers_is_a_metric_like_others(lab, parallel):
    path = plan(lab, "one", "two", probe=False)
    tool = BUILD / "tests" / "unit" / "observer_tool"
    result = subprocess.run([tool, path, str(parallel), lab.state], cwd=lab.folder, env=lab.env, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    runs = json.loads(result.stdout)["runs"]
    for run in runs:
        asked = run["metrics"]["custom"]["asked"]
        assert asked["baseline"] < asked["fault"]  # it counts
        assert "unknown" not in run["metrics"]["custom"]
    told = [e["metrics"]["asked"] for e in events(lab) if e["event"] == "sample" and e["run"] == 0]
    assert told == [float(n + 1) for n in range(len(told))] and len(told) >= 4
