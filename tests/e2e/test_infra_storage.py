# SPDX-License-Identifier: MIT
"""storage_bottleneck and disk_full in whole runs: on the disk of the embedded pipeline, as root, as an ordinary user, and as one
who may open /dev/fuse; and on a folder of the test's own, in which a program writes that knows nothing of all this, while
the controller, the guard, or the process that serves the folder is killed.

Every mount is made in mount namespaces of the test's own.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys

import pytest

from lab import USERS, Lab, comm, lab_of, wait_for


def with_dev_fuse(mode):
    """The command that starts others where /dev/fuse has that mode, whatever it has outside."""
    return ["unshare", "--mount", "sh", "-c", f"""
mount --make-rprivate / && mkdir -p dev && mount -t tmpfs dev dev && mknod -m {mode} dev/fuse c 10 229 &&
mount --bind dev/fuse /dev/fuse && exec "$0" "$@"
"""]


def may_use_fuse():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def lab_with_fuse(user):
    """A lab whose `has_fuse` says whether that user may open /dev/fuse: "with_dev_fuse" is an ordinary user who may."""
    prefix = []
    if user != "as_is" and os.path.exists("/dev/fuse"):
        prefix = with_dev_fuse(666 if user == "with_dev_fuse" else 600)
    elif user == "with_dev_fuse":
        pytest.skip("there is no /dev/fuse")
    with lab_of("as_is" if user == "as_is" else "ordinary_user", *prefix) as lab:
        lab.has_fuse = may_use_fuse() if user == "as_is" else user == "with_dev_fuse"
        yield lab


@pytest.fixture(params=[*USERS, "with_dev_fuse"])
def lab(request):
    with lab_with_fuse(request.param) as lab:
        yield lab


def run(lab, fault, code=(0, 1), environment=None, **parameters):
    path = lab.document(fault, parameters=parameters, duration="1500ms", baseline="1s")
    got, suite = lab.run_json("run", path, **(environment or {}))
    assert got in code, suite
    return suite["runs"][0]


def needs_fuse(lab):
    if not lab.has_fuse:
        pytest.skip("this user cannot open /dev/fuse")


# ---- the embedded pipeline


def test_the_pipelines_disk_becomes_slow(lab):
    needs_fuse(lab)
    done = run(lab, "storage_bottleneck", iops_limit=30, mechanism="fuse")
    assert done["status"] == "completed" and done["verified"], done
    rate, limit = map(float, re.search(r"by fuse: ([\d.]+) per second \(limit ([\d.]+),", done["verification"]).groups())
    assert limit == 30 and rate <= 1.05 * 30 + 3
    assert done["rollback"]["verified"]
    assert done["fault"]["eligible"] >= done["fault"]["changed"] > 0


def test_a_share_of_what_it_writes_fails(lab):
    needs_fuse(lab)
    done = run(lab, "storage_bottleneck", iops_limit=0, error_rate=0.5, errno="EDQUOT", operations="write", mechanism="fuse")
    assert done["verified"], done["verification"]
    assert re.search(r"\d+ failed with EDQUOT \(asked 50.0 %\)", done["verification"])
    assert done["metrics"]["error_count"] > 0


def test_each_operation_takes_longer(lab):
    needs_fuse(lab)
    done = run(lab, "storage_bottleneck", iops_limit=0, latency_ms=20, mechanism="fuse")
    assert done["verified"], done["verification"]
    assert float(re.search(r"median ([\d.]+) ms \(asked 20.00\)", done["verification"])[1]) >= 20


@pytest.mark.parametrize("mechanism", ["auto", "ballast", "fuse"])
def test_the_pipelines_disk_is_full(lab, mechanism):
    if mechanism == "fuse":
        needs_fuse(lab)
    done = run(lab, "disk_full", mechanism=mechanism)
    assert done["status"] == "completed" and done["verified"], done
    by = "fuse" if mechanism == "fuse" else "ballast"
    assert done["verification"] == ("8 of 8 writes of a witness in the target's folder failed with ENOSPC, and 0 bytes are "
                                    f"free there (by {by})")
    assert done["metrics"]["error_count"] > 0
    assert done["rollback"]["verified"]


def test_some_of_it_is_left(lab):
    done = run(lab, "disk_full", leave_mb=4)
    assert done["verified"], done["verification"]
    assert re.match(r"[34]\.\d MiB are free in the target's folder, 4.0 were to be left", done["verification"])


@pytest.mark.parametrize(("fault", "parameters"), [
    ("storage_bottleneck", {"iops_limit": 0}),
    ("storage_bottleneck", {"iops_limit": 0, "error_rate": 0, "errno": "EROFS"}),
])
def test_nothing_is_a_control_run(lab, fault, parameters):
    needs_fuse(lab)
    done = run(lab, fault, **parameters)
    assert done["control"] and done["metrics"]["error_count"] == 0


@pytest.mark.parametrize(("fault", "parameters"), [
    ("storage_bottleneck", {"mechanism": "fuse"}),
    ("storage_bottleneck", {"iops_limit": 0, "error_rate": 0.5, "mechanism": "fuse"}),
    ("storage_bottleneck", {"iops_limit": 0, "latency_ms": 50, "mechanism": "fuse"}),
    ("disk_full", {"mechanism": "fuse"}),
    ("disk_full", {"mechanism": "ballast"}),
])
def test_a_fault_that_does_nothing_is_found_out(lab, fault, parameters):
    if parameters["mechanism"] == "fuse":
        needs_fuse(lab)
    done = run(lab, fault, code=(4,), environment={"CHAOSEATER_SEAM_NO_EFFECT": "1"}, **parameters)
    assert not done["verified"], done


def test_who_may_not_use_fuse_is_told_so(lab):
    if lab.has_fuse:
        pytest.skip("this user may")
    result = lab.run("run", lab.document("storage_bottleneck", parameters={"mechanism": "fuse"}))
    assert result.returncode == 4
    assert "fuse: this user cannot open /dev/fuse: Permission denied" in result.stdout.replace("\n    ", " ")


# ---- bad input


@pytest.fixture
def plain_lab():
    with Lab() as lab:
        yield lab
        lab.clean_soon()


@pytest.mark.parametrize(("fault", "parameters", "says"), [
    ("storage_bottleneck", {"errno": "EWHAT"}, "errno: 'EWHAT' is not one of EIO, ENOSPC"),
    ("disk_full", {"errno": "28"}, "errno: '28' is not one of EIO, ENOSPC"),
    ("storage_bottleneck", {"bytes_per_second": "1 apple"}, "bytes_per_second: '1 apple' is no number of bytes"),
    ("storage_bottleneck", {"bytes_per_second": "MB"}, "bytes_per_second: 'MB' is no number of bytes"),
    ("storage_bottleneck", {"error_rate": 1.5}, "error_rate: 1.5 is outside 0..1"),
    ("storage_bottleneck", {"operations": "writ"}, "did you mean 'write'?"),
    ("storage_bottleneck", {"mechanism": "cgroup", "latency_ms": 5}, "latency_ms needs fuse or syscalls"),
    ("storage_bottleneck", {"mechanism": "cgroup", "operations": "fsync"}, "operations fsync needs fuse"),
    ("disk_full", {"mechanism": "fuse", "leave_mb": 5}, "leave_mb: only mechanism ballast"),
    ("disk_full", {"mechanism": "ballast", "errno": "EDQUOT"}, "answers ENOSPC, not EDQUOT"),
])
def test_what_makes_no_sense_is_refused(plain_lab, fault, parameters, says):
    result = plain_lab.run("run", plain_lab.document(fault, parameters=parameters))
    assert result.returncode == 2
    assert says in result.stderr


# ---- a folder of the test's own


# Writes a line and reads it back, again and again, as programs do; a letter each time: '.' well, else the error.
WRITER = """
import errno, os, sys, time
while True:
    try:
        with open(sys.argv[1], "w") as f:
            f.write("hello")
            f.flush()
            os.fsync(f.fileno())
        with open(sys.argv[1]) as f:
            print("." if f.read() == "hello" else "<wrong>", end="", flush=True)
    except OSError as error:
        print(f"<{errno.errorcode[error.errno]}>", end="", flush=True)
    time.sleep(0.005)
"""


class Disk:
    """A small filesystem in a mount namespace that only this test knows, and a program that writes there."""

    def __init__(self, lab):
        self.folder = lab.folder / "disk"
        self.folder.mkdir()
        self.said = lab.folder / "said"
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c",
             'mount -t tmpfs -o size=8m disk "$0" && mkdir "$0/data" && echo up && exec sleep 600', self.folder],
            stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "up\n"
        self.enter = ["nsenter", "--target", str(self.holder.pid), "--mount"]
        self.data = self.folder / "data"
        inside = self.inside()
        (inside / "kept").write_bytes(os.urandom(100000))
        (inside / "kept").chmod(0o640)
        (inside / "link").symlink_to("kept")
        self.writer = subprocess.Popen([*self.enter, sys.executable, "-c", WRITER, self.data / "written"],
                                       stdout=self.said.open("w"))
        self.next_words()

    def inside(self):
        return pathlib.Path(f"/proc/{self.holder.pid}/root{self.data}")

    def words(self):
        return re.findall(r"\.|<\w+>", self.said.read_text())

    def next_words(self, n=20):
        before = len(self.words())
        wait_for(lambda: len(self.words()) > before + n, "the writer")
        return self.words()[before + 1:]  # the one under way may be of before

    def state(self):
        """All that is there, but for what the writer is at."""
        found = {}
        for path in sorted(self.inside().rglob("*")):
            if path.name != "written":
                info = path.lstat()
                content = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
                found[path.name] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, hashlib.sha256(content).hexdigest())
        return found

    def mounts(self):
        return pathlib.Path(f"/proc/{self.holder.pid}/mountinfo").read_text()

    def free(self):
        fs = os.statvfs(self.inside())
        return fs.f_bavail

    def close(self):
        for process in (self.writer, self.holder):
            process.kill()
            process.wait()


@pytest.fixture
def own():
    """(lab, disk): its runs take place where the disk is."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make mounts")
    if not may_use_fuse():
        pytest.skip("there is no /dev/fuse")
    with Lab() as lab:
        disk = Disk(lab)
        lab.prefix = disk.enter
        try:
            yield lab, disk
        finally:
            disk.close()
        lab.clean_soon()


CASES = {
    "slow": ("storage_bottleneck", {"iops_limit": 50, "mechanism": "fuse"}),
    "failing": ("storage_bottleneck", {"iops_limit": 0, "error_rate": 1, "errno": "EIO", "mechanism": "fuse"}),
    "full": ("disk_full", {"mechanism": "fuse"}),
    "ballast": ("disk_full", {"i_know": True, "mechanism": "ballast"}),
}


def document(lab, disk, case, duration, **more):
    fault, parameters = CASES[case]
    path = lab.folder / "disk.yaml"
    path.write_text(json.dumps({"seed": 7, "experiments": [
        {"name": "disk", "layer": "infrastructure", "fault_type": fault, "duration": duration, "baseline": "500ms",
         "target": {"path": str(disk.data)}, "parameters": {**parameters, **more}}]}))
    return path


def check_as_before(disk, before):
    mounts, files, free = before
    wait_for(lambda: disk.mounts() == mounts, "the mounts as they were")
    wait_for(lambda: abs(disk.free() - free) < 16, "the space as it was")
    assert set(disk.next_words()) == {"."}
    assert disk.state() == files


def look(disk):
    return disk.mounts(), disk.state(), disk.free()


def hit(disk, before):
    return disk.mounts() != before[0] or disk.free() == 0


@pytest.mark.parametrize("case", CASES)
def test_a_folder_is_hit_and_left_as_it_was(own, case):
    lab, disk = own
    before = look(disk)
    code, suite = lab.run_json("run", document(lab, disk, case, "1s"))
    done = suite["runs"][0]
    assert code in (0, 1), done
    assert done["verified"], done["verification"]
    check_as_before(disk, before)
    said = set(disk.words())
    # Who gives room free may get it back even on a full disk.
    expected = {"slow": [{"."}], "failing": [{".", "<EIO>"}], "full": [{".", "<ENOSPC>"}],
                "ballast": [{"."}, {".", "<ENOSPC>"}]}
    assert said in expected[case]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("everyone", [False, True], ids=["controller", "controller_and_guard"])
def test_a_killed_controller_leaves_nothing(own, case, everyone):
    lab, disk = own
    before = look(disk)
    process = lab.start("run", document(lab, disk, case, "60s"))
    wait_for(lambda: hit(disk, before), "the fault")
    if everyone:
        guards = [pid for pid in lab.processes() if comm(pid) == "ce-guard"]
        assert guards
        for pid in guards:
            os.kill(pid, signal.SIGKILL)
    process.kill()
    process.communicate()
    if everyone:
        assert lab.run("recover").returncode == 0
    check_as_before(disk, before)
    lab.clean_soon()


@pytest.mark.parametrize(("case", "who"), [("slow", "ce-fuse"), ("failing", "ce-fuse"), ("slow", "ce-agent"),
                                           ("full", "ce-agent"), ("ballast", "ce-ballast")])
def test_a_server_that_is_killed_alone_stops_nobody(own, case, who):
    lab, disk = own
    before = look(disk)
    process = lab.start("run", document(lab, disk, case, "8s"))
    wait_for(lambda: hit(disk, before), "the fault")
    mine = [pid for pid in lab.processes() if comm(pid) == who]
    assert len(mine) == 1
    os.kill(mine[0], signal.SIGKILL)
    wait_for(lambda: not hit(disk, before), "the fault's end")
    assert set(disk.next_words()) == {"."}
    process.communicate(timeout=60)
    assert process.returncode in (0, 1, 3, 4)  # whatever it makes of that, it is not dirty
    check_as_before(disk, before)


@pytest.mark.parametrize(("case", "more", "says"), [
    ("ballast", {"i_know": False}, "ballast: the target's filesystem is not there for the target alone"),
    ("ballast", {"leave_mb": 1000}, "not more than is to be left"),
    ("slow", {"mechanism": "cgroup"}, "does not have processes that storage_bottleneck could act on"),
])
def test_what_cannot_be_done_is_refused(own, case, more, says):
    lab, disk = own
    before = look(disk)
    result = lab.run("run", document(lab, disk, case, "1s", **more))
    assert result.returncode in (2, 4)
    said = re.sub(r"\n +", " ", result.stdout + result.stderr)
    assert says in said
    check_as_before(disk, before)


def test_its_own_state_is_not_mounted_over(own):
    lab, disk = own
    path = document(lab, disk, "slow", "1s")
    path.write_text(path.read_text().replace(str(disk.data), str(lab.folder)))
    result = lab.run("run", path)
    assert result.returncode in (2, 4)
    assert "chaoseater" in result.stdout.lower() + result.stderr.lower()
    assert "fuse.chaoseater" not in disk.mounts()
