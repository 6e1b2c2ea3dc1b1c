# SPDX-License-Identifier: MIT
"""cpu_throttle, node_failure and memory_pressure in whole runs: on the embedded pipeline, as root and as an ordinary user, and on
processes and control groups of the test's own, which are looked at from outside.
"""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from lab import USERS, Lab, lab_of, wait_for

GROUPS = pathlib.Path("/sys/fs/cgroup")
# A process with a child: both spin.
SPIN = [sys.executable, "-c", "import os\nos.fork()\nwhile True: pass"]
FOR_EVER = [sys.executable, "-c", "import signal\nwhile True: signal.pause()"]


@pytest.fixture(params=USERS)
def lab(request):
    with lab_of(request.param) as lab:
        yield lab


@pytest.fixture
def own_lab():
    with Lab() as lab:
        yield lab


def plan(lab, *experiments, duration="1s", **target):
    """A document of several experiments, each a fault with its parameters, on one target."""
    path = lab.folder / "plan.yaml"
    path.write_text(json.dumps({
        "seed": 7,
        "pipeline": {"kind": "embedded", "rate": 50, "rows": 1000},
        "experiments": [{"name": f"test_{i}", "layer": "infrastructure", "fault_type": fault, "duration": duration,
                         "baseline": "500ms", "parameters": parameters, **({"target": target} if target else {})}
                        for i, (fault, parameters) in enumerate(experiments)],
    }))
    return path


def run_all(lab, document):
    code, report = lab.run_json("run", document, timeout=240)
    for run in report["runs"]:
        assert run["verified"] and run["status"] == "completed", run
    lab.clean_soon()
    return [run["verification"] for run in report["runs"]]


@contextlib.contextmanager
def process(command, **how):
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **how) as started:
        try:
            yield started
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)


def text(path):
    with contextlib.suppress(OSError):
        return pathlib.Path(path).read_text()
    return ""


def children(pid):
    return [int(child) for child in text(f"/proc/{pid}/task/{pid}/children").split()]


def ticks(pids):
    def of(pid):
        fields = text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12]) if fields else 0
    return sum(map(of, pids))


def share(pids, seconds=1.0):
    """Percent of one processor that they use together, by the kernel's ticks."""
    before, begun = ticks(pids), time.monotonic()
    time.sleep(seconds)
    return 100 * (ticks(pids) - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begun)


def states(pids):
    return [Lab.process_state(pid) for pid in pids]


# ---- the embedded pipeline


def test_every_service_is_throttled_slow_hangs_and_crashes(lab):
    seen = run_all(lab, plan(
        lab,
        ("cpu_throttle", {"throttle_percent": 80}),
        ("cpu_throttle", {"throttle_percent": 60, "mechanism": "duty", "target_service": "pipeline"}),
        ("cpu_throttle", {"throttle_percent": 50, "mode": "burn", "cores": 1}),
        ("node_failure", {"failure_type": "slow"}),
        ("node_failure", {"failure_type": "hang", "target_service": "gateway"}),
        ("node_failure", {"failure_type": "hang", "target_service": "pipeline", "mechanism": "stop"}),
        ("node_failure", {"failure_type": "crash", "target_service": "gateway"}),
    ))
    assert "may use 20.0 % of 1 processor" in seen[0]
    assert "(duty)" in seen[1] and "may use 40.0 %" in seen[1]
    assert "1 processes of ours want 50.0 %" in seen[2]
    assert "may use 10.0 %" in seen[3]
    assert "stands still" in seen[4] and "SIGSTOP" in seen[5] and "gone from /proc" in seen[6]


def test_a_fault_without_effect_is_invalid(own_lab):
    document = plan(own_lab, ("cpu_throttle", {"throttle_percent": 80}),
                    ("cpu_throttle", {"throttle_percent": 80, "mechanism": "duty"}))
    code, report = own_lab.run_json("run", document, timeout=240, CHAOSEATER_SEAM_NO_EFFECT=1)
    assert code == 4
    assert [run["verdict"] for run in report["runs"]] == ["invalid", "invalid"]
    own_lab.clean_soon()


# ---- a process of somebody else's


@pytest.fixture(params=["auto", "duty"])
def mechanism(request):
    return request.param


def test_a_process_and_its_child_get_what_is_left_to_them(own_lab, mechanism):
    with process(SPIN) as victim:
        pids = [victim.pid, *wait_for(lambda: children(victim.pid), "the child")]
        before = [text(f"/proc/{pid}/cgroup") for pid in pids]
        document = plan(own_lab, ("cpu_throttle", {"throttle_percent": 75, "cpus": 1, "mechanism": mechanism}),
                        duration="20s", pid=victim.pid)
        run = own_lab.start("run", document, "--json")
        wait_for(lambda: [text(f"/proc/{pid}/cgroup") for pid in pids] != before or "T" in states(pids), "the fault", 60)
        # All together in a control group, each of them in the cycle; the first look may catch the beginning.
        most = 25 + 2 if mechanism == "auto" and "T" not in states(pids) else 2 * 25 + 10
        wait_for(lambda: 4 < share(pids) <= most, "a share as asked", 60)
        out, err = run.communicate(timeout=120)
        # Whether the run itself saw it, a busy machine may keep a duty cycle from being told.
        assert json.loads(out)["runs"][0]["verified"] or mechanism == "duty", (out, err)
        assert [text(f"/proc/{pid}/cgroup") for pid in pids] == before
        assert "T" not in states(pids)
        wait_for(lambda: share(pids) > most, "their old share", 60)
    own_lab.clean_soon()


@pytest.mark.parametrize("parameters", [
    {"fault": "cpu_throttle", "throttle_percent": 90},
    {"fault": "cpu_throttle", "throttle_percent": 90, "mechanism": "duty"},
    {"fault": "node_failure", "failure_type": "hang"},
    {"fault": "node_failure", "failure_type": "hang", "mechanism": "stop"},
], ids=lambda p: "-".join(str(value) for value in p.values()))
def test_a_killed_controller_leaves_nothing(own_lab, parameters):
    parameters = dict(parameters)
    fault = parameters.pop("fault")
    with process(SPIN) as victim:
        pids = [victim.pid, *wait_for(lambda: children(victim.pid), "the child")]
        before = [text(f"/proc/{pid}/cgroup") for pid in pids]
        run = own_lab.start("run", plan(own_lab, (fault, parameters), duration="60s", pid=victim.pid))
        wait_for(lambda: [text(f"/proc/{pid}/cgroup") for pid in pids] != before or "T" in states(pids), "the fault", 60)
        run.kill()
        wait_for(lambda: [text(f"/proc/{pid}/cgroup") for pid in pids] == before, "their old groups")
        wait_for(lambda: "T" not in states(pids) and share(pids, 0.3) > 40, "their old share", 60)
    own_lab.clean_soon()


def test_what_would_stay_dead_is_not_killed(own_lab):
    with process(FOR_EVER) as victim:
        code, report = own_lab.run_json("run", plan(own_lab, ("node_failure", {"failure_type": "crash"}), pid=victim.pid))
        assert code == 4 and "would stay dead" in json.dumps(report)
        assert victim.poll() is None
        document = plan(own_lab, ("node_failure", {"failure_type": "crash", "restart": "none"}), pid=victim.pid)
        assert "meant to stay so" in run_all(own_lab, document)[0]
        assert victim.wait(timeout=60) == -signal.SIGKILL


def test_a_command_line_starts_it_again(own_lab):
    mark = f"chaoseater-test-{os.getpid()}"
    script = own_lab.folder / "serve.sh"
    script.write_text(f"#!/bin/sh\n# {mark}\nwhile :; do sleep 0.1; done\n")
    script.chmod(0o755)
    with process([script]) as victim:
        document = plan(own_lab, ("node_failure", {"failure_type": "crash", "restart": f"{script} & echo $! > {script}.pid"}),
                        pid=victim.pid)
        try:
            assert "rollback runs `restart`" in run_all_but_marked(own_lab, document, script)[0]
            assert victim.wait(timeout=60) == -signal.SIGKILL
            again = int(text(f"{script}.pid"))
            assert Lab.process_state(again) not in ("", "Z")
        finally:
            with contextlib.suppress(ValueError, ProcessLookupError):
                os.kill(int(text(f"{script}.pid")), signal.SIGKILL)


def run_all_but_marked(lab, document, script):
    """As run_all(); the program that was started again is no leftover, and is ended by the test."""
    code, report = lab.run_json("run", document, timeout=240)
    assert report["runs"][0]["verified"] and report["runs"][0]["status"] == "completed", report
    wait_for(lambda: all(str(script) in command or "sleep" in command for command in lab.processes().values()), "the rest")
    return [run["verification"] for run in report["runs"]]


def test_a_supervisor_that_starts_it_again_is_named(own_lab):
    supervise = ["sh", "-c", 'while :; do "$@"; done', "sh", *FOR_EVER]
    with process(supervise, stderr=subprocess.DEVNULL) as supervisor:
        victim = wait_for(lambda: children(supervisor.pid), "the supervised")[0]
        wait_for(lambda: b"signal.pause" in pathlib.Path(f"/proc/{victim}/cmdline").read_bytes(), "its program")
        document = plan(own_lab, ("node_failure", {"failure_type": "crash", "restart": "owner"}), pid=victim)
        seen = run_all(own_lab, document)[0]
        assert f"process {victim} is gone" in seen
        assert f"by its parent, process {supervisor.pid} (sh)" in seen or "its owner is to start it again" in seen
        assert children(supervisor.pid) and children(supervisor.pid)[0] != victim


# ---- a control group of somebody else's


@contextlib.contextmanager
def group(controller, settings, *pids):
    top = GROUPS / controller
    if os.geteuid() != 0 or not (top / "cgroup.procs").exists():
        pytest.skip(f"no control groups of version 1 with {controller} can be made here")
    own = text("/proc/self/cgroup")
    home = top / next(line.split(":", 2)[2] for line in own.splitlines() if controller in line.split(":")[1].split(",")).lstrip("/")
    folder = home / f"ce-test-{os.getpid()}"
    folder.mkdir()
    try:
        for name, value in settings.items():
            (folder / name).write_text(value)
        for pid in pids:
            (folder / "cgroup.procs").write_text(str(pid))
        yield folder
    finally:
        for pid in text(folder / "cgroup.procs").split():
            with contextlib.suppress(OSError):
                (home / "cgroup.procs").write_text(pid)
        wait_for(lambda: remove(folder), "the group's end")


def remove(folder):
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def test_the_quota_of_a_group_is_lowered_and_put_back_exactly(own_lab):
    with process(SPIN) as victim:
        pids = [victim.pid, *wait_for(lambda: children(victim.pid), "the child")]
        with group("cpu", {"cpu.cfs_period_us": "50000", "cpu.cfs_quota_us": "20000"}, *pids) as folder:
            names = ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
            run = own_lab.start("run", plan(own_lab, ("cpu_throttle", {}), cgroup=str(folder)), "--json")
            # Half of what it had: of 0.4 processors.
            wait_for(lambda: [int(text(folder / name)) for name in names] == [20000, 100000], "the quota", 60)
            out, err = run.communicate(timeout=120)
            assert json.loads(out)["runs"][0]["verified"], (out, err)
            assert "of 0.4 processors" in json.loads(out)["runs"][0]["verification"]
            assert [int(text(folder / name)) for name in names] == [20000, 50000]
            assert not [name for name in os.listdir(folder) if (folder / name).is_dir()]


def test_the_memory_of_a_group_is_squeezed_and_its_limit_put_back(own_lab):
    # 64 MiB of a file in its cache, which the kernel can take back.
    fill = ("import os, sys, time\npath = sys.argv[1]\nf = open(path, 'wb')\nf.write(b'x' * (64 << 20))\nf.flush()\n"
            "os.fsync(f.fileno())\nopen(path + '.done', 'w').close()\nwhile True: time.sleep(1)")
    path = own_lab.folder / "cached"
    wait = f"import sys\nsys.stdin.read(1)\n{fill}"
    with subprocess.Popen([sys.executable, "-c", wait, path], stdin=subprocess.PIPE) as victim:
        try:
            with group("memory", {"memory.limit_in_bytes": str(512 << 20)}, victim.pid) as folder:
                victim.stdin.close()
                wait_for(lambda: os.path.exists(f"{path}.done"), "the file")
                used = int(text(folder / "memory.usage_in_bytes"))
                document = plan(own_lab, ("memory_pressure", {"memory_mb": 32}), cgroup=str(folder))
                run = own_lab.start("run", document, "--json")
                wait_for(lambda: int(text(folder / "memory.limit_in_bytes")) < used - (28 << 20), "the limit", 60)
                wait_for(lambda: int(text(folder / "memory.usage_in_bytes")) < used - (28 << 20), "less memory")
                out, err = run.communicate(timeout=120)
                assert json.loads(out)["runs"][0]["verified"], (out, err)
                assert int(text(folder / "memory.limit_in_bytes")) == 512 << 20
        finally:
            victim.kill()


# ---- what is refused


@pytest.mark.parametrize("fault,parameters,says", [
    ("cpu_throttle", {"throttle_percent": 100}, "failure_type hang"),
    ("cpu_throttle", {"throttle_percent": 101}, "throttle_percent"),
    ("cpu_throttle", {"cores": 2}, "cores: only mode burn"),
    ("cpu_throttle", {"mode": "burn", "mechanism": "duty"}, "mechanism: only mode quota"),
    ("node_failure", {"failure_type": "slow", "mechanism": "freezer"}, "auto, cgroup_v2, cgroup_v1, duty"),
    ("node_failure", {"failure_type": "hang", "restart": "none"}, "restart: only failure_type crash"),
    ("node_failure", {"failure_type": "crash", "target_service": "pipeline"}, "one service at a time"),
    ("node_failure", {"target_service": "database"}, "'database' is not one of server, gateway"),
])
def test_what_does_not_go_together_is_refused(own_lab, fault, parameters, says):
    result = own_lab.run("validate", plan(own_lab, (fault, parameters)))
    assert result.returncode == 2 and says in result.stderr


def test_restart_is_for_targets_that_are_named(own_lab):
    code, report = own_lab.run_json("run", plan(own_lab, ("node_failure", {"restart": "none"})))
    assert code == 4 and "started again by ChaosEater" in json.dumps(report)
    own_lab.clean_soon()
