# SPDX-License-Identifier: MIT
"""Every example is valid, and does what it says."""

import json
from pathlib import Path

import pytest
from shapes import check_suite

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.yaml"))
QUICK = ["--set", "duration=1500ms", "--set", "baseline=1s"]


def test_there_is_an_example_for_every_fault(chaoseater, root):
    listed = json.loads(chaoseater("faults", "--json").stdout)
    missing = [fault["name"] for fault in listed if not (root / "examples" / f"{fault['name']}.yaml").exists()]
    assert not missing


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_is_valid(chaoseater, example):
    done = chaoseater("validate", example)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(", valid\n")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(chaoseater, example):
    done = chaoseater("run", example, *QUICK, "--seed", 1, "--json", timeout=300)
    suite = json.loads(done.stdout)
    assert done.returncode in (0, 1), suite
    check_suite(suite)
    for run in suite["runs"]:
        assert run["status"] == "completed"
        assert run["verified"] or run.get("control")
        assert run["rollback"]["verified"]
        before = run["metrics"]["baseline_accuracy"]
        assert before is None or before > 0.8, "an example that is wrong already has nothing to lose"
    assert chaoseater("status").stdout == "nothing is live\n"


def test_the_readme_of_the_examples_names_each(root):
    text = (root / "examples" / "README.md").read_text()
    missing = [path.name for path in EXAMPLES if f"`{path.name}`" not in text and f"({path.name})" not in text]
    assert not missing
