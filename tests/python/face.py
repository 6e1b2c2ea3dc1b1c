# SPDX-License-Identifier: MIT
"""What the checks of the Python face have in common: a plugin of the pytest that runs them."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = pathlib.Path(os.environ["CHAOSEATER_BUILD"]) / "chaoseater"
SHORT = {"duration": "300ms", "baseline": "300ms", "recovery_timeout": "5s"}


def experiment(fault="missing_data", layer="data", name=None, **more):
    """One that is over soon."""
    return {"name": name or fault, "layer": layer, "fault_type": fault, **SHORT, **more}


def wait_for(condition, what, seconds=60):
    """Waits until condition() is true; the value it returned."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.005)
    return value


def start(code, **more):
    """A Python of its own that runs that code."""
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **more)


def live():
    """What the command line says is live now."""
    done = subprocess.run([PROGRAM, "status", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["live"]


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """A state folder for each test, in which nothing may be left."""
    folder = tmp_path / "state"
    monkeypatch.setenv("CHAOSEATER_STATE_DIR", str(folder))
    yield folder
    assert live() == [], "still live after the test"
    if folder.exists():
        left = [path for part in ("journal", "run") for path in (folder / part).glob("*") if not path.name.endswith(".lock")]
        assert left == [], "left in the state folder"
