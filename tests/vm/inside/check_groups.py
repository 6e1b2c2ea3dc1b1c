# SPDX-License-Identifier: MIT
"""Limits of control groups of version 2 on real units: memory.high, devices by bpf, and what a killed controller leaves of
them and of limits that somebody else had set: nothing, and exactly those."""
import os
import pathlib

import pytest

from world import Disk, Unit, happened, kill, lab, number, until

MIB = 1 << 20


def reader(disk):
    """Reads one file over and over, so that the kernel's memory of it counts as the reader's."""
    return f"while :; do dd if={disk.mount}/file of=/dev/null bs=1M; done"


@pytest.fixture
def disk(tmp_path):
    with Disk(tmp_path, 96) as disk:
        (disk.mount / "file").write_bytes(os.urandom(MIB) * 48)
        os.sync()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
        yield disk


def in_use(unit):
    return int((unit.group / "memory.current").read_text())


def high(unit):
    return (unit.group / "memory.high").read_text().strip()


def stalled(unit):
    """Microseconds for which somebody in there waited for memory."""
    return int((unit.group / "memory.pressure").read_text().split("total=")[1].split()[0])


def test_memory_is_squeezed_and_given_back(disk):
    with Unit("ce-reader.service", reader(disk), MemoryHigh="300M") as unit, lab() as one:
        until(lambda: in_use(unit) > 48 * MIB, "the file is in memory")
        before, begun = unit.limits(), (number(unit.group / "memory.events", "high"), stalled(unit))
        assert (before["memory.high"], begun[0]) == (f"{300 * MIB}\n", 0)
        document = one.document("memory_pressure", target={"unit": unit.name}, duration="4s",
                                parameters={"memory_mb": 30, "group_floor_mb": 4})
        process = one.start("run", document, "--json")
        until(lambda: high(unit) != str(300 * MIB), "less memory is allowed", process)
        allowed = int(high(unit))
        assert allowed < 25 * MIB
        until(lambda: number(unit.group / "memory.events", "high") > 100, "the kernel takes memory away, again and again", process)
        until(lambda: in_use(unit) < allowed + 2 * MIB, "less is in use", process)
        done = happened(process)
        assert stalled(unit) > begun[1]
        assert unit.limits() == before and unit.main_pid() == unit.pid
        assert number(unit.group / "memory.events", "oom_kill") == 0
        until(lambda: in_use(unit) > 48 * MIB, "the file is in memory again")


def test_a_device_is_refused_to_the_target_alone(tmp_path):
    opens = "while :; do if true < /dev/full; then echo 1; else echo 0; fi > {0}.new; mv {0}.new {0}; sleep 0.05; done"
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    with Unit("ce-inside.service", opens.format(inside)) as unit, Unit("ce-outside.service", opens.format(outside)), lab() as one:
        before = unit.limits()
        until(lambda: inside.exists() and outside.exists() and inside.read_text() == "1\n", "the device opens")
        document = one.document("gpu_unavailable", target={"unit": unit.name}, duration="3s",
                                parameters={"devices": ["/dev/full"], "mechanism": "cgroup_bpf"})
        process = one.start("run", document, "--json")
        until(lambda: inside.read_text() == "0\n", "the device is refused", process)
        assert outside.read_text() == "1\n"
        done = happened(process)
        until(lambda: inside.read_text() == "1\n", "the device opens again")
        assert unit.limits() == before


# ---- who is killed

FAULTS = {
    "memory.high": ("memory_pressure", {"memory_mb": 30, "group_floor_mb": 4}),
    "cpu.max": ("cpu_throttle", {"throttle_percent": 75, "cpus": 1, "mechanism": "cgroup_v2"}),
    "cgroup.freeze": ("node_failure", {"failure_type": "hang", "mechanism": "freezer"}),
}


@pytest.mark.parametrize("file, everyone", [("memory.high", False), ("memory.high", True), ("cpu.max", False), ("cgroup.freeze", True)])
def test_a_killed_controller_leaves_what_was_there(disk, file, everyone):
    fault, parameters = FAULTS[file]
    limits = {"CPUQuota": "80%", "MemoryHigh": "300M", "MemoryMax": "400M", "IOWriteIOPSMax": f"{disk.device} 5000"}
    with Unit("ce-limited.service", reader(disk), **limits) as unit, lab() as one:
        until(lambda: in_use(unit) > 48 * MIB, "the file is in memory")
        before = unit.limits()
        assert before["cpu.max"] == "80000 100000\n" and before["memory.max"] == f"{400 * MIB}\n"
        assert before["io.max"].endswith(" rbps=max wbps=max riops=max wiops=5000\n")
        process = one.start("run", one.document(fault, target={"unit": unit.name}, parameters=parameters, duration="60s"))
        until(lambda: unit.limits()[file] != before[file], "the fault", process)
        kill(process, one, everyone)
        until(lambda: unit.limits() == before, f"all is back: {unit.limits()}, {before}")
        assert unit.main_pid() == unit.pid
