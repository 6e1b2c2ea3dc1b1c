# SPDX-License-Identifier: MIT
"""What is written about it works: every block of code of the documents, as it stands. Those for the shell are in test_package.py."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from face import ROOT

MISSION = pathlib.Path(os.environ.get("CHAOSEATER_MISSION") or ROOT.parent / "shared" / "mission" / "seed-readme.md")
FIRST_EXPERIMENTS = """
experiments:
  - {name: missing, layer: data, fault_type: missing_data, duration: 60, baseline: 300ms, parameters: {missing_rate: 0.0}}
  - {name: none_slow, layer: model, fault_type: slow_inference, duration: 60, baseline: 300ms, parameters: {latency_ms: 0}}
"""


def blocks_of(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a user would stand: the folder of the modules, with the files that the documents mention."""
    work = tmp_path / "python"
    shutil.copytree(ROOT / "python", work, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    (work / "chaos_tests.yaml").write_text(FIRST_EXPERIMENTS)
    (work / "plan.yaml").write_text(FIRST_EXPERIMENTS)
    monkeypatch.setenv("CHAOSEATER_MAX_DURATION", "0.5")
    return work


def run(folder, code, code_expected=0):
    """The block in a Python of its own, from within the folder, as a user runs it."""
    (folder / "block.py").write_text(code)
    done = subprocess.run([sys.executable, "block.py"], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == code_expected, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_the_blocks_of_the_mission_in_python(folder):
    if not MISSION.exists():
        pytest.skip(f"{MISSION.name} is not there")
    blocks = blocks_of(MISSION, "python")
    assert len(blocks) == 3
    basic, config, gate = blocks
    said = run(folder, basic)
    assert "'status': 'completed'" in said and "'resilience_score'" in said
    assert "is cut to it" in run(folder, config)  # every report mentions the environment's cap
    # The gate's block goes on where the one before has imported what it needs.
    assert "Deployment approved" in run(folder, "from orchestrator import ExperimentOrchestrator\n" + gate)
    (folder / "chaos_tests.yaml").write_text(FIRST_EXPERIMENTS.replace("slow_inference", "model_unavailable").replace("{latency_ms: 0}", "{}"))
    assert "Deployment blocked" in run(folder, "from orchestrator import ExperimentOrchestrator\n" + gate, 1)


def test_the_documents_of_the_mission(folder):
    if not MISSION.exists():
        pytest.skip(f"{MISSION.name} is not there")
    import chaoseater

    prometheus, config = blocks_of(MISSION, "yaml")
    loaded = chaoseater.load(prometheus + config)
    assert [experiment["name"] for experiment in loaded["experiments"]] == ["data_corruption_test", "slow_inference_test"]
    assert loaded["prometheus"]["job_name"] == "chaos_eater"


def test_the_blocks_of_our_own_document(folder):
    blocks = blocks_of(ROOT / "python" / "README.md", "python")
    assert len(blocks) == 6
    tests = blocks.pop()
    run(folder, "\n".join(blocks))
    (folder / "test_block.py").write_text(tests)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "test_block.py"], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "python").glob("*.py")), ids=lambda path: path.stem)
def test_examples(path, tmp_path, monkeypatch):
    monkeypatch.setenv("CHAOSEATER_MAX_DURATION", "0.5")
    pytest_run = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if path.name.startswith("test_") else []
    done = subprocess.run([sys.executable, *pytest_run, path], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
