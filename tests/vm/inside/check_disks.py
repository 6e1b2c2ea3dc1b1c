# SPDX-License-Identifier: MIT
"""storage_bottleneck by io.max and disk_full on disks of the device mapper: the limit is that of the disk on which the folder
lies, as the kernel counts what is carried out there."""
import errno
import json
import os
import sys
import time

import pytest

from lab import LAYERS
from world import GROUPS, Disk, finished, happened, kill, lab, ours, until

# Writes past the kernel's memory of files, to where a file has its bytes already.
JOB = """
import json, mmap, os
block, file = mmap.mmap(-1, 4096), os.open("block", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
for _ in range({count}):
    os.pwrite(file, block, 0)
print(json.dumps({{"accuracy": 1}}))
"""


@pytest.fixture
def disk(tmp_path):
    with Disk(tmp_path) as disk:
        yield disk


def start(one, disk, count=700, **parameters):
    """A batch job that works on the disk, under that fault."""
    (one.folder / "job.py").write_text(JOB.format(count=count))
    pipeline = {"kind": "command", "command": [sys.executable, str(one.folder / "job.py")], "accuracy": "accuracy",
                "workdir": str(disk.mount), "timeout": "60s"}
    experiment = {"name": "disk", "layer": LAYERS["storage_bottleneck"], "fault_type": "storage_bottleneck",
                  "duration": "3s", "parameters": {"mechanism": "cgroup", **parameters}}
    path = one.folder / "plan.yaml"
    path.write_text(json.dumps({"seed": 7, "experiments": [experiment], "pipeline": pipeline}))
    return one.start("run", path, "--json")


def limits(disk):
    """What our groups say of that disk, or of any other."""
    return [line for line in ours("io.max").values() if line]


def keeps_rate(disk, asked):
    """Once in a few looks it is what was asked, by 5 %; never more than that and what the kernel lets through at a time."""
    for _ in range(3):
        before, begun = disk.writes(), time.monotonic()
        time.sleep(2)
        carried_out, took = disk.writes() - before, time.monotonic() - begun
        assert carried_out <= 1.05 * asked * took + asked / 10
        if 0.95 * asked * took <= carried_out <= 1.05 * asked * took:
            return True
    return False


def test_operations_per_second_are_those_that_were_asked(disk):
    with lab() as one:
        process = start(one, disk, count=800, iops_limit=100)
        until(lambda: limits(disk), "a limit", process)
        assert limits(disk) == [f"{disk.number} rbps=max wbps=max riops=100 wiops=100"]
        assert keeps_rate(disk, 100)
        happened(process)
        assert not ours("io.max")


def test_a_disk_that_is_slow_already_is_told(tmp_path):
    with Disk(tmp_path, table="0 {sectors} delay {loop} 0 60") as disk, lab() as one:
        done = finished(start(one, disk, count=20, iops_limit=100))
        assert "so a limit of 100 changes nothing" in done["reason"], done


def test_a_disk_that_fails_is_told(tmp_path):
    with Disk(tmp_path) as disk:
        sectors = disk.size_mb * 2048
        with lab() as one:
            disk.load(f"0 {sectors} flakey {disk.loop} 0 0 100 1 error_writes")
            done = finished(start(one, disk, count=0, iops_limit=100))
            disk.load(f"0 {sectors} linear {disk.loop} 0")
            assert "cannot be written to: Input/output error" in done["reason"], done


def refuses(disk):
    """The error with which the disk refuses what somebody else would write; None: it has room."""
    path = disk.mount / "mine"
    try:
        path.write_bytes(b"x" * 4096)
    except OSError as error:
        return error.errno
    finally:
        path.unlink(missing_ok=True)
    return None


def test_a_filesystem_of_its_own_is_filled_up(disk):
    with lab() as one:
        before = disk.free()
        document = one.document("disk_full", target={"path": str(disk.mount)}, duration="3s", parameters={})
        process = one.start("run", document, "--json")
        until(lambda: refuses(disk) == errno.ENOSPC, "the disk is full", process)
        done = happened(process)
        assert done["verification"].endswith("0 bytes are free there (by ballast)")
        until(lambda: disk.free() == before and refuses(disk) is None, "all is free again")


def test_a_killed_controller_leaves_room(disk):
    with lab() as one:
        before = disk.free()
        process = one.start("run", one.document("disk_full", target={"path": str(disk.mount)}, duration="60s", parameters={}))
        until(lambda: disk.free() == 0, "the disk is full", process)
        kill(process, one, everyone=True)
        until(lambda: disk.free() == before, "all is free again")


@pytest.fixture
def home():
    """A control group with the test in it, and with it whatever the test starts."""
    (GROUPS / "cgroup.subtree_control").write_text("+io")  # systemd has no need of it now
    procs = GROUPS / open("/proc/self/cgroup").read().strip().removeprefix("0::/") / "cgroup.procs"
    folder = GROUPS / "ce-home"
    folder.mkdir()
    (folder / "cgroup.procs").write_text(str(os.getpid()))
    yield folder
    for pid in (folder / "cgroup.procs").read_text().split():
        procs.write_text(pid)
    folder.rmdir()


@pytest.mark.parametrize("everyone", [False, True], ids=["controller", "controller_and_guard"])
def test_a_killed_controller_leaves_the_limit_that_was_there(disk, home, everyone):
    """On the very disk."""
    (home / "io.max").write_text(f"{disk.number} wiops=5000")
    before = (home / "io.max").read_text()
    assert before == f"{disk.number} rbps=max wbps=max riops=max wiops=5000\n"
    with lab() as one:
        process = start(one, disk, count=3000, iops_limit=100)
        until(lambda: limits(disk), "a limit", process)
        kill(process, one, everyone)
        until(lambda: not ours("io.max"), "our group has gone")
        assert (home / "io.max").read_text() == before
