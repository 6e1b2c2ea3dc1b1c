# SPDX-License-Identifier: MIT
"""What a fault could leave behind on a host, as a set of lines: two fingerprints that are equal mean that nothing is.

Other tests run beside this one, and what they do comes and goes. So a leftover is what is new and stays.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess

from lab import wait_for

# Of each control group, where the hierarchy has it.
LIMITS = ("cpu.max", "cpu.cfs_quota_us", "memory.max", "memory.high", "memory.limit_in_bytes", "io.max", "cgroup.freeze",
          "freezer.state", "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device",
          "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device", "devices.list", "cgroup.subtree_control")
SYSCTLS = ("net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/ipv4/tcp_limit_output_bytes", "kernel/hostname",
           "vm/overcommit_memory", "fs/lease-break-time")


def output_of(*command):
    if not shutil.which(command[0]):
        return []
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.splitlines()


def folder_of(line):
    """Of a line about a control group; '' for others."""
    return line.removeprefix("group ").split(": ")[0].rsplit("/", 1)[0] if "/sys/fs/cgroup" in line else ""


def is_ours(line, groups):
    """Groups of somebody else's come and go; what is compared are ours, and the limits of those that were there all the time."""
    folder = folder_of(line)
    return not folder or "chaoseater" in line or (not line.startswith("group ") and folder in groups)


def control_groups():
    lines = set()
    for folder, _, files in os.walk("/sys/fs/cgroup"):
        lines.add(f"group {folder}")
        for name in LIMITS:
            if name in files:
                with contextlib.suppress(OSError):
                    lines.add(f"{folder}/{name}: {pathlib.Path(folder, name).read_text().strip()}")
    return lines


def network():
    lines = set()
    for line in output_of("ip", "-o", "-d", "link"):
        lines.add("link " + line.split(": ", 1)[1])
    for interface in os.listdir("/sys/class/net"):
        for hook in ("root", "ingress", "egress"):
            lines.update(f"filter {interface} {hook} {line}"
                         for line in output_of("tc", "filter", "show", "dev", interface, hook))
    lines.update("qdisc " + line for line in output_of("tc", "qdisc", "show"))
    lines.update("nft " + line for line in output_of("nft", "list", "ruleset"))
    for program in ("iptables-legacy-save", "ip6tables-legacy-save"):
        lines.update(f"{program} {line.split(' [')[0]}" for line in output_of(program) if not line.startswith("#"))
    return lines


def bpf():
    return {f"bpf {line.strip()}" for line in output_of("bpftool", "link", "list") if line[:1].isdigit()}


def fingerprint():
    mounts = {"mount " + line.split(" ", 2)[2] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()}
    loops = {"loop " + line for line in output_of("losetup", "--list", "--noheadings")}
    names = {f"namespace {name}" for name in (os.listdir("/run/netns") if os.path.isdir("/run/netns") else [])}
    sysctls = {f"{name}: {pathlib.Path('/proc/sys', name).read_text()}" for name in SYSCTLS
               if pathlib.Path("/proc/sys", name).exists()}
    return control_groups() | network() | bpf() | mounts | loops | names | sysctls


# Before any test ran: what is there now has to be there at every end.
AT_START = fingerprint()


@contextlib.contextmanager
def unchanged(seconds=60):
    """Whatever happens inside leaves nothing behind."""
    before = fingerprint()
    yield
    groups = {line.removeprefix("group ") for line in before & fingerprint() if line.startswith("group ")}
    new = {line for line in fingerprint() - before if is_ours(line, groups)}

    def all_gone():
        nonlocal new
        new &= fingerprint()
        return not new

    wait_for(all_gone, f"left behind: {sorted(new)}", seconds)
    gone = {line for line in AT_START - fingerprint() if is_ours(line, groups) and "chaoseater" not in line}

    def all_back():
        nonlocal gone
        gone -= fingerprint()
        return not {line for line in gone if not folder_of(line) or os.path.isdir(folder_of(line))}

    wait_for(all_back, f"no longer there: {sorted(gone)}", seconds)
