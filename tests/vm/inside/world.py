# SPDX-License-Identifier: MIT
"""What the tests in the machine with systemd act on: units, a disk of the device mapper, and what the kernel says of both."""
import contextlib
import json
import os
import pathlib
import shlex
import signal
import subprocess
import time

from lab import Lab, wait_for

UNITS = pathlib.Path("/run/systemd/system")
GROUPS = pathlib.Path("/sys/fs/cgroup")

# What units run.
STAY = "while :; do sleep 1; done"
SPIN = "while :; do :; done"


def run(*command):
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout


# ---- units


class Unit:
    """A service of systemd's own that runs a line of shell."""

    def __init__(self, name, script=STAY, **settings):
        self.name = name
        self.file = UNITS / name
        lines = [f"{key}={value}" for key, value in settings.items()]
        UNITS.mkdir(parents=True, exist_ok=True)
        self.file.write_text("\n".join(["[Unit]", "DefaultDependencies=no", "[Service]", *lines, "StandardOutput=null",
                                        f"ExecStart=/bin/sh -c {shlex.quote(script)}"]) + "\n")

    def __enter__(self):
        run("systemctl", "daemon-reload")
        run("systemctl", "start", self.name)
        self.pid = self.main_pid()
        return self

    def __exit__(self, *_):
        run("systemctl", "kill", "--signal=KILL", self.name) if self.main_pid() else None
        subprocess.run(["systemctl", "stop", self.name], check=False, capture_output=True)
        subprocess.run(["systemctl", "reset-failed", self.name], check=False, capture_output=True)
        self.file.unlink()
        run("systemctl", "daemon-reload")

    def ask(self, what):
        return run("systemctl", "show", f"--property={what}", "--value", self.name).strip()

    def main_pid(self):
        return int(self.ask("MainPID"))

    def restarts(self):
        return int(self.ask("NRestarts"))

    @property
    def group(self):
        return GROUPS / "system.slice" / self.name

    def limits(self):
        """What its control group says of itself, and what is below it: exactly what a fault must leave as it was."""
        files = ("cpu.max", "memory.high", "memory.max", "io.max", "cgroup.freeze", "cgroup.type", "cgroup.subtree_control")
        said = {name: (self.group / name).read_text() for name in files if (self.group / name).exists()}
        return said | {"below": sorted(path.name for path in self.group.iterdir() if path.is_dir())}


def number(path, key):
    """Of a line "KEY NUMBER"."""
    lines = dict(line.split() for line in path.read_text().splitlines() if len(line.split()) == 2)
    return int(lines[key])


def ours(file):
    """{folder of a control group of ours: what its file says}."""
    return {folder: (folder / file).read_text().strip() for folder in GROUPS.rglob("chaoseater-*") if (folder / file).exists()}


def processor_share(group, seconds):
    """Of one processor, as the kernel counts what the group has used."""
    used, begun = number(group / "cpu.stat", "usage_usec"), time.monotonic()
    time.sleep(seconds)
    return (number(group / "cpu.stat", "usage_usec") - used) / 1e6 / (time.monotonic() - begun)


# ---- disks


class Disk:
    """A filesystem on a disk of the device mapper, which lies on a loop device in memory."""

    def __init__(self, folder, size_mb=64, table="0 {sectors} linear {loop} 0"):
        self.folder, self.size_mb, self.table = pathlib.Path(folder), size_mb, table
        self.mount = self.folder / "disk"
        self.name = f"ce-test-{os.getpid()}"

    def __enter__(self):
        self.mount.mkdir()
        image = self.folder / "image"
        sectors = self.size_mb * 2048
        with contextlib.ExitStack() as undo:
            run("truncate", "-s", f"{self.size_mb}M", image)
            self.loop = run("losetup", "--find", "--show", image).strip()
            undo.callback(run, "losetup", "--detach", self.loop)
            run("dmsetup", "create", self.name, "--table", f"0 {sectors} linear {self.loop} 0")
            undo.callback(run, "dmsetup", "remove", "--retry", self.name)
            # Nobody makes the link in /dev/mapper: there is no udev in here.
            self.number = run("dmsetup", "info", "-c", "--noheadings", "-o", "devno", self.name).strip()
            self.device = f"/dev/dm-{self.number.split(':')[1]}"
            run("mkfs.ext4", "-q", "-O", "^has_journal", self.device)
            self.load(self.table.format(sectors=sectors, loop=self.loop))
            run("mount", self.device, self.mount)
            undo.callback(run, "umount", self.mount)
            self.undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        self.undo.close()

    def load(self, table):
        """Another table under the same disk."""
        run("dmsetup", "suspend", "--nolockfs", self.name)
        run("dmsetup", "load", self.name, "--table", table)
        run("dmsetup", "resume", self.name)

    def writes(self):
        """How many the disk has carried out, as the kernel counts them."""
        return int(pathlib.Path(f"/sys/dev/block/{self.number}/stat").read_text().split()[4])

    def free(self):
        """Blocks that anybody may have; a few more are ext4's own."""
        return os.statvfs(self.mount).f_bavail


# ---- runs


class QuietLab(Lab):
    """The pipeline that serves beside the target has nothing to do with it, and little to do."""

    def document(self, *arguments, **more):
        return super().document(*arguments, **{"rate": 5, "baseline": "200ms", **more})


def host():
    """What faults on processes and disks could leave, beside the target's own limits."""
    mounts = [line.split(" ", 2)[2] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted(mounts), sorted(GROUPS.rglob("chaoseater-*"))


@contextlib.contextmanager
def lab():
    """A lab after which nothing is left: no process and no file of the run, and the host as it was."""
    before = host()
    with QuietLab() as one:
        yield one
        one.clean_soon()
        until(lambda: host() == before, f"the host as it was: {before}")


def finished(process):
    """The one run of a suite that was started with --json."""
    out, err = process.communicate(timeout=120)
    assert out, err
    return json.loads(out)["runs"][0]


def happened(process):
    """The same, of a fault that was seen and undone. (What it did to the quiet pipeline is not the question.)"""
    done = finished(process)
    assert done["status"] == "completed" and done["verified"] and done["rollback"]["verified"], done
    return done


def kill(process, lab, everyone):
    """SIGKILL of the controller, and of its guard too; then what was noted is undone by `recover`."""
    guards = [pid for pid in lab.processes() if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "ce-guard"]
    assert guards
    for pid in guards if everyone else []:
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.communicate()
    if everyone:
        result = lab.run("recover")
        assert result.returncode == 0, (result.stdout, result.stderr)


def until(condition, what, process=None):
    """Waits for that; with a process: for as long as it runs."""

    def look():
        found = condition()
        assert found or not process or process.poll() is None, f"the run ended before: {what}: {process.communicate()}"
        return found

    return wait_for(look, what, 60)
