# SPDX-License-Identifier: MIT
"""A small machine with a whole Linux: Debian's cloud kernel and an initramfs made here, booted by QEMU without hardware support.

What it is for: kernels of development machines and containers often lack netem, control groups of version 2 or the device
mapper; in here they are. The kernel package is downloaded and unpacked into the build folder, never installed.
"""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

KERNEL = "linux-image-cloud-amd64"
BOOT_TIMEOUT = 540  # seconds, for all programs together, without hardware support on a busy machine

# In whatever order; what they need themselves is found and loaded first. Those that a kernel has built in are left out.
MODULES = """
ifb act_mirred cls_bpf cls_u32 sch_ingress sch_netem sch_tbf veth dummy tun
nf_tables nft_numgen nft_ct nft_queue nft_hash nfnetlink_queue nft_compat
ip_tables iptable_filter iptable_mangle ip6_tables ip6table_filter ip6table_mangle
xt_statistic xt_NFQUEUE xt_tcpudp xt_mark xt_multiport
dm-mod dm-flakey dm-delay loop fuse overlay
""".split()

# Programs that tests call, with the libraries that they load.
TOOLS = ["ip", "tc", "nft", "xtables-nft-multi", "xtables-legacy-multi"]
PLUGINS = ["/usr/lib/x86_64-linux-gnu/xtables"]  # of iptables

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mkdir -p /proc /sys /tmp /run /root /dev/shm
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
chmod 1777 /tmp
ln -s /proc/self/fd /dev/fd
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C CHAOSEATER_STATE_DIR=/tmp/state CHAOSEATER_LIBEXEC=/programs
export CHAOSEATER_TEST_SLOW_MACHINE=1
ip link set lo up
while read -r module; do insmod /modules/$module.ko || echo "# no module $module"; done < /modules/list
echo "+cpu +io +memory +pids" > /sys/fs/cgroup/cgroup.subtree_control
cd /
while read -r program; do
    echo "=== $program begins"
    /programs/$program < /dev/null 2>&1
    echo "=== $program ends with $?"
done < /programs/list
poweroff -f
"""


class Unavailable(Exception):
    """Why there can be no such machine here."""


def run(*command, **kwargs):
    return subprocess.run(command, capture_output=True, text=True, **kwargs)


# ---- the kernel


def fetch_kernel(folder):
    """The folder into which the newest kernel package is unpacked; a second call finds it there."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Unavailable("needs apt-get and dpkg-deb, which fetch Debian's kernel")
    found = re.search(r"Depends: (linux-image-\d\S*)", run("apt-cache", "depends", KERNEL).stdout)
    if not found:
        raise Unavailable(f"the package {KERNEL} is not known here")
    tree = folder / found[1]
    if not (tree / "boot").is_dir():
        part = Path(f"{tree}.part-{os.getpid()}")
        part.mkdir(parents=True)
        try:
            done = run("apt-get", "download", found[1], cwd=part, timeout=120)
            packages = list(part.glob("*.deb"))
            if done.returncode != 0 or not packages:
                raise Unavailable(f"the package {found[1]} could not be fetched: {done.stderr.strip()[-200:]}")
            subprocess.run(["dpkg-deb", "-x", packages[0], part], check=True)
            packages[0].unlink()
            part.rename(tree)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return tree


def modules_in_order(tree, names):
    """Paths of the modules and of all that they need, each after what it needs."""
    paths = {path.stem.replace("-", "_"): path for path in tree.rglob("*.ko")}
    order = []

    def add(name):
        path = paths.get(name.replace("-", "_"))
        if not path or path in order:
            return
        needed = re.search(rb"\0depends=([^\0]*)\0", b"\0" + path.read_bytes())
        for other in needed[1].decode().split(",") if needed and needed[1] else []:
            add(other)
        order.append(path)

    for name in names:
        add(name)
    return order


# ---- the initramfs


class Archive:
    """A cpio archive as the kernel unpacks it (newc)."""

    def __init__(self, file):
        self.file = file
        self.seen = set()

    def entry(self, name, mode, data=b""):
        # Some folders are links to others in Debian; here everything lies in the latter.
        name = re.sub(r"^(lib|lib64|sbin)/", r"usr/\1/", name.strip("/"))
        if not name or name in self.seen:
            return
        self.seen.add(name)
        self.folders_above(name)
        fields = [len(self.seen), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        self.padded(head + name.encode() + b"\0")
        self.padded(data)

    def padded(self, data):
        self.file.write(data + b"\0" * (-len(data) % 4))

    def folders_above(self, name):
        parent = os.path.dirname(name)
        if parent and parent not in self.seen:
            self.entry(parent, stat.S_IFDIR | 0o755)

    def program(self, path, name=None):
        """A program or a library, and the libraries that it names."""
        path = Path(path)
        self.entry(name or str(path), stat.S_IFREG | 0o755, path.resolve().read_bytes())
        for library in re.findall(r"(/\S+) \(0x", run("ldd", str(path)).stdout):
            self.entry(library, stat.S_IFREG | 0o755, Path(library).resolve().read_bytes())

    def end(self):
        self.entry("TRAILER!!!", 0)


def make_initramfs(path, tree, programs):
    busybox = shutil.which("busybox")
    if not busybox or "not a dynamic" not in run("ldd", busybox).stderr:
        raise Unavailable("needs busybox-static")
    with open(path, "wb") as file:
        archive = Archive(file)
        for link in ("lib", "lib64", "sbin"):
            archive.entry(link, stat.S_IFLNK | 0o777, f"usr/{link}".encode())
        archive.entry("init", stat.S_IFREG | 0o755, INIT.encode())
        # Busybox's own shell would call its own ip and tc, whatever lies in PATH.
        archive.program("/bin/dash", "bin/sh")
        archive.entry("bin/busybox", stat.S_IFREG | 0o755, Path(busybox).read_bytes())
        for folder in ("dev", "usr/lib64", "usr/sbin"):
            archive.entry(folder, stat.S_IFDIR | 0o755)
        modules = modules_in_order(tree, MODULES)
        for module in modules:
            archive.entry(f"modules/{module.name}", stat.S_IFREG | 0o644, module.read_bytes())
        archive.entry("modules/list", stat.S_IFREG | 0o644, "".join(f"{m.stem}\n" for m in modules).encode())
        for tool in TOOLS:
            found = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
            if found:
                archive.program(found)
        for name in [f"{v}tables{variant}{do}" for v in ("ip", "ip6") for variant in ("", "-legacy", "-nft") for do in ("", "-save", "-restore")]:
            multi = "xtables-legacy-multi" if "legacy" in name else "xtables-nft-multi"
            archive.entry(f"usr/sbin/{name}", stat.S_IFLNK | 0o777, multi.encode())
        for plugin in [file for folder in PLUGINS for file in Path(folder).glob("*.so")]:
            archive.program(plugin)
        for program in programs:
            archive.program(program, f"programs/{program.name}")
        archive.entry("programs/list", stat.S_IFREG | 0o644, "".join(f"{p.name}\n" for p in programs).encode())
        archive.end()


# ---- the machine


def boot(folder, programs):
    """Runs the programs, one after the other, in a new machine; returns all that it printed."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        raise Unavailable("needs qemu-system-x86")
    tree = fetch_kernel(folder)
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    initramfs = folder / f"initramfs-{os.getpid()}"
    try:
        make_initramfs(initramfs, tree, programs)
        command = [qemu, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot"]
        command += ["-nic", "none", "-kernel", str(kernel), "-initrd", str(initramfs)]
        command += ["-append", "console=ttyS0 quiet loglevel=0 panic=-1 psi=1 mitigations=off"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=BOOT_TIMEOUT)
            output = done.stdout
        except subprocess.TimeoutExpired as expired:
            output = expired.stdout or b""
    finally:
        initramfs.unlink(missing_ok=True)
    return output.decode(errors="replace").replace("\r", "")
