# SPDX-License-Identifier: MIT
"""Runs that must not say what they did not see: a fault without effect, a fault of nothing, a signal, a dead guard."""
import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess

import pytest

from lab import LAYERS, Lab, read, wait_for

NOTHING = {
    "data_corruption": {"corruption_rate": 0},
    "missing_data": {"missing_rate": 0},
    "slow_inference": {"latency_ms": 0},
    "prediction_corruption": {"corruption_rate": 0},
    "model_drift": {"drift_rate": 0},
    "model_unavailable": {"failure_rate": 0},
    "wrong_version": {"fallback_model": "1", "share": 0},
    "memory_leak": {"leak_rate_mb": 0},
    "batch_processing_failure": {"failure_rate": 0},
    "memory_pressure": {"memory_mb": 0},
    "network_latency": {"latency_ms": 0, "jitter_ms": 0},
    "packet_loss": {"loss_rate": 0},
    "bandwidth_limit": {"rate": "unlimited"},
    "dns_failure": {"failure_rate": 0},
    "cpu_throttle": {"throttle_percent": 0},
    "clock_skew": {"offset": "0s"},
    "storage_bottleneck": {"iops_limit": 0},
}


@pytest.mark.parametrize("fault", LAYERS)
def test_a_fault_that_takes_no_effect_is_invalid(fault):
    with Lab() as lab:
        code, suite = lab.run_json("run", lab.document(fault, duration="1s"), CHAOSEATER_SEAM_NO_EFFECT=1)
        run = suite["runs"][0]
        assert run["verdict"] == "invalid", run
        assert run["verified"] is False
        assert run["score"]["value"] is None
        assert code == 4
        assert not lab.leftovers()


@contextlib.contextmanager
def busy_neighbours():
    """Three for each processor, and no longer than the test may take."""
    spin = ["timeout", "240", "sh", "-c", "while :; do :; done"]
    started = [subprocess.Popen(spin, stdin=subprocess.DEVNULL, start_new_session=True)
               for _ in range(3 * len(os.sched_getaffinity(0)))]
    try:
        yield
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize("parameters", [{"throttle_percent": 75}, {"throttle_percent": 75, "mechanism": "duty"},
                                        {"throttle_percent": 10, "mode": "burn"}], ids=lambda p: p.get("mechanism") or p.get("mode"))
def test_a_busy_neighbour_is_no_throttle(parameters):
    """They leave the target about a quarter of a processor: what the first of these would, too."""
    with Lab() as lab, busy_neighbours():
        plan = lab.document("cpu_throttle", parameters=parameters)
        run = lab.run_json("run", plan, CHAOSEATER_SEAM_NO_EFFECT=1)[1]["runs"][0]
        assert run["verdict"] == "invalid" and run["verified"] is False, run
        run = lab.run_json("run", plan)[1]["runs"][0]
        assert run["verified"] is True, run


@pytest.mark.parametrize("fault", NOTHING)
def test_a_fault_of_nothing_is_a_control_run(fault):
    with Lab() as lab:
        code, suite = lab.run_json("run", lab.document(fault, parameters=NOTHING[fault]))
        run = suite["runs"][0]
        assert run["control"] is True
        assert run["verdict"] == "passed", run
        assert run["score"]["value"] == 100
        assert code == 0


def control_runs(count):
    with Lab() as lab:
        plan = lab.document("slow_inference", parameters={"latency_ms": 0}, repeat=count)
        return lab.run_json("run", plan, timeout=600)[1]["runs"]


def test_a_hundred_control_runs_do_not_deviate():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # beside all other tests
        runs = [run for runs in pool.map(control_runs, [50] * 2) for run in runs]
    assert len(runs) == 100
    wrong = [run for run in runs if run["verdict"] != "passed" or run["score"]["value"] != 100]
    assert not wrong, json.dumps(wrong[0], indent=2)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_undoes_and_says_so(number, code):
    with Lab() as lab:
        process = lab.start("run", lab.document("data_corruption", duration="60s", repeat=2), "--json")
        dataset = wait_for(lambda: next((lab.state / "run").glob("*/dataset.csv"), None), "the dataset")
        first = wait_for(lambda: dataset.exists() and dataset.stat().st_ino, "the dataset")
        wait_for(lambda: dataset.stat().st_ino != first, "the fault")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        run, other = json.loads(out)["runs"]
        assert run["status"] == "interrupted"
        assert run["rollback"]["verified"] is True
        assert other["status"] == "interrupted" and other["reason"].startswith("not started")
        assert not lab.leftovers()


def test_a_killed_controller_leaves_nothing():
    """Not at a chosen step, but in the middle of observing."""
    with Lab() as lab:
        process = lab.start("run", lab.document("memory_pressure", duration="60s"))
        wait_for(lambda: "end-process" in lab.run("status", "--json").stdout, "something live")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        lab.clean_soon()
        assert lab.run("status").stdout == "nothing is live\n"


def guard_of(lab):
    return wait_for(lambda: [pid for pid in lab.processes() if read(f"/proc/{pid}/comm") == b"ce-guard\n"], "the guard")[0]


def check_failed_for_want_of_a_guard(lab, process):
    out, err = process.communicate(timeout=60)
    run = json.loads(out)["runs"][0]
    assert process.returncode == 4, err
    assert run["status"] == "failed" and "guard" in run["reason"], run
    assert not lab.leftovers()
    return run


def test_nothing_is_injected_without_a_guard():
    with Lab() as lab:
        process = lab.start("run", lab.document("memory_pressure", baseline="2s"), "--json")
        guard = guard_of(lab)
        wait_for(lambda: next((lab.state / "run").glob("*/models/*"), None), "the first model")
        os.kill(guard, signal.SIGKILL)
        run = check_failed_for_want_of_a_guard(lab, process)
        assert run["metrics"]["operations"]["fault"] == 0


def test_a_fault_is_undone_at_once_when_its_guard_is_gone():
    with Lab() as lab:
        process = lab.start("run", lab.document("memory_pressure", duration="60s"), "--json")
        wait_for(lambda: [pid for pid in lab.processes() if read(f"/proc/{pid}/comm") == b"ce-hog\n"], "the fault")
        os.kill(guard_of(lab), signal.SIGKILL)
        run = check_failed_for_want_of_a_guard(lab, process)
        assert run["rollback"]["verified"] is True
