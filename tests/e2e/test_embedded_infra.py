# SPDX-License-Identifier: MIT
"""The embedded pipeline under trouble that no fault of ChaosEater makes: the test itself fills its disk and stops its
resolver, from inside its namespaces. naive is hurt, hardened is not.

What can be tested with the library is in tests/unit/test_pipeline_places.c and test_pipeline_services.c; here those run as
an ordinary user, too.
"""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from conftest import BUILD
from lab import AS_NOBODY, Lab, needs_nobody, read, wait_for

UNIT_TESTS = ["test_pipeline_places", "test_pipeline_services"]


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


def document(lab, profile, duration="6s", **pipeline):
    """A control run: nothing is broken by ChaosEater, and so nothing gets better at its end."""
    path = lab.document("slow_inference", profile=profile, duration=duration, recovery_timeout="1s",
                        parameters={"latency_ms": 0, "variance": 0})
    plan = json.loads(path.read_text())
    plan["pipeline"].update({"timeout": "10s"} | pipeline)
    path.write_text(json.dumps(plan))
    return path


def role(lab, name):
    """Pid of the pipeline's process in that role; None: there is none."""
    for pid, command in lab.processes().items():
        words = command.split()
        if len(words) > 1 and words[0].endswith("chaoseater-pipeline") and words[1] == name:
            return pid
    return None


def inside(pid, *command):
    """Runs a command where that process lives."""
    return subprocess.run(["nsenter", f"--target={pid}", "--user", "--mount", "--net", "--preserve-credentials", *command],
                          check=False, capture_output=True, text=True)


def run_with_trouble(lab, profile, trouble):
    """The only run of a control experiment, in whose fault phase the trouble was made."""
    process = lab.start("run", document(lab, profile), "--json")
    wait_for(lambda: role(lab, "gateway"), "a gateway")
    isolated = os.readlink(f"/proc/{role(lab, 'gateway')}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    if not isolated:
        process.communicate(timeout=60)
        pytest.skip("the pipeline has no namespaces of its own here")
    # Operations of the fault phase have names of their own.
    wait_for(lambda: b" f-" in read(disk_from_here(lab) / "requests.log"), "an operation of the fault phase")
    trouble(lab)
    out, err = process.communicate(timeout=60)
    assert out, err
    return json.loads(out)["runs"][0]


def disk_from_here(lab):
    """The pipeline's disk as the server sees it."""
    return next(pathlib.Path(f"/proc/{role(lab, 'server')}/root{lab.state}/run").glob("*/disk"))


def fill_disk(lab):
    server, disk = role(lab, "server"), disk_from_here(lab)
    ballast = "/" + str((disk / "ballast").relative_to(f"/proc/{server}/root"))
    result = inside(server, "dd", "if=/dev/zero", f"of={ballast}", "bs=64k")
    assert "No space left" in result.stderr


def stop_resolver(lab):
    os.kill(role(lab, "resolver"), signal.SIGSTOP)


@pytest.mark.parametrize("trouble", [fill_disk, stop_resolver])
def test_naive_is_hurt(lab, trouble):
    run = run_with_trouble(lab, "naive", trouble)
    assert run["metrics"]["error_count"] > 0
    lab.clean_soon()


@pytest.mark.parametrize("trouble", [fill_disk, stop_resolver])
def test_hardened_is_not(lab, trouble):
    run = run_with_trouble(lab, "hardened", trouble)
    assert run["metrics"]["error_count"] == 0
    assert run["metrics"]["operations"]["fault"] > 0
    lab.clean_soon()


def test_inference_takes_the_processor_time_that_is_asked_for(lab):
    _, result = lab.run_json("run", document(lab, "naive", "500ms", inference_time="20ms", rate=10))
    assert result["runs"][0]["metrics"]["latency_ms"]["baseline"]["p50"] >= 20


@pytest.mark.parametrize("name", UNIT_TESTS)
def test_an_ordinary_user_has_it_all(name):
    needs_nobody()
    result = subprocess.run([*AS_NOBODY, BUILD / "tests" / "unit" / name], capture_output=True, text=True, check=False,
                            timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "\nok " in "\n" + result.stdout
