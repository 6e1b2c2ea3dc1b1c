# SPDX-License-Identifier: MIT
"""A small machine with a whole Linux: Debian's cloud kernel and an initramfs made here, booted by QEMU without hardware support.

What it is for: kernels of development machines and containers often lack netem, control groups of version 2 or the device
mapper; in here they are. The kernel package is downloaded and unpacked into the build folder, never installed.

There are two of them: one runs programs, one after the other; in the other one systemd is pid 1, and Python runs in a unit.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
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
TOOLS = ["ip", "tc", "nft", "xtables-nft-multi", "xtables-legacy-multi", "mkfs.ext4"]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PLUGINS = ["/usr/lib/x86_64-linux-gnu/xtables"]  # of iptables

SETUP = """#!/bin/busybox sh
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
            with contextlib.suppress(OSError):  # another process was quicker
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

    def entry(self, name, mode, data=b"", mtime=0):
        # Some folders are links to others in Debian; here everything lies in the latter.
        name = re.sub(r"^(lib|lib64|sbin)/", r"usr/\1/", name.strip("/"))
        if not name or name in self.seen:
            return
        self.seen.add(name)
        self.folders_above(name)
        fields = [len(self.seen), mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        self.padded(head + name.encode() + b"\0")
        self.padded(data)

    def padded(self, data):
        self.file.write(data + b"\0" * (-len(data) % 4))

    def folders_above(self, name):
        parent = os.path.dirname(name)
        if parent and parent not in self.seen:
            self.entry(parent, stat.S_IFDIR | 0o755)

    def link(self, name, to):
        self.entry(name, stat.S_IFLNK | 0o777, str(to).encode())

    def text(self, name, text):
        self.entry(name, stat.S_IFREG | 0o755, text.encode())

    def copy(self, path, name=None):
        """With its time, by which Python knows whether what it has compiled is of today."""
        path = Path(path)
        self.entry(name or str(path), stat.S_IFREG | 0o755, path.resolve().read_bytes(), int(path.stat().st_mtime))

    def program(self, path, name=None):
        """A program or a library, and the libraries that it names."""
        self.copy(path, name)
        for library in re.findall(r"(/\S+) \(0x", run("ldd", str(path)).stdout):
            self.copy(library)

    def tree(self, folder, left_out=(), name=None):
        """A folder with all that is in it, but for what is called so."""
        for path in sorted(Path(folder).rglob("*")):
            if not path.is_file() or not set(path.relative_to(folder).parts).isdisjoint(left_out):
                continue
            add = self.program if path.suffix in (".so", "") else self.copy
            add(path, f"{name or folder}/{path.relative_to(folder)}")

    def end(self):
        self.entry("TRAILER!!!", 0)


def add_system(archive, tree, init):
    """What both machines have: busybox, the modules, a few tools."""
    busybox = shutil.which("busybox")
    if not busybox or "not a dynamic" not in run("ldd", busybox).stderr:
        raise Unavailable("needs busybox-static")
    for link in ("lib", "lib64", "sbin"):
        archive.link(link, f"usr/{link}")
    archive.text("init", init)
    # Busybox's own shell would call its own ip and tc, whatever lies in PATH.
    archive.program("/bin/dash", "bin/sh")
    archive.copy(busybox, "bin/busybox")
    for folder in ("dev", "usr/lib64", "usr/sbin"):
        archive.entry(folder, stat.S_IFDIR | 0o755)
    modules = modules_in_order(tree, MODULES)
    for module in modules:
        archive.copy(module, f"modules/{module.name}")
    archive.text("modules/list", "".join(f"{m.stem}\n" for m in modules))
    for found in filter(None, (shutil.which(tool, path=PATH) for tool in TOOLS)):
        archive.program(found)
    for name in [f"{v}tables{variant}{do}" for v in ("ip", "ip6") for variant in ("", "-legacy", "-nft") for do in ("", "-save", "-restore")]:
        archive.link(f"usr/sbin/{name}", "xtables-legacy-multi" if "legacy" in name else "xtables-nft-multi")
    for plugin in [file for folder in PLUGINS for file in Path(folder).glob("*.so")]:
        archive.program(plugin)


# ---- the machine


def boot(folder, init, add):
    """Starts a new machine with the files that add(archive) adds, and runs `init` in it; returns all that it printed."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        raise Unavailable("needs qemu-system-x86")
    tree = fetch_kernel(folder)
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    initramfs = folder / f"initramfs-{os.getpid()}"
    try:
        with open(initramfs, "wb") as file:
            archive = Archive(file)
            add_system(archive, tree, SETUP + init)
            add(archive)
            archive.end()
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


# ---- the machine that runs programs

RUN_PROGRAMS = """
cd /
while read -r program; do
    echo "=== $program begins"
    /programs/$program < /dev/null 2>&1
    echo "=== $program ends with $?"
done < /programs/list
poweroff -f
"""


def run_programs(folder, programs):
    """Runs the programs, one after the other, in a new machine; returns all that it printed."""

    def add(archive):
        for program in programs:
            archive.program(program, f"programs/{program.name}")
        archive.text("programs/list", "".join(f"{p.name}\n" for p in programs))

    return boot(folder, RUN_PROGRAMS, add)


# ---- the machine that runs systemd

SYSTEMD = "/lib/systemd/systemd"
BEGIN_SYSTEMD = f"""
exec {SYSTEMD} --unit=tests.service --show-status=no
"""
# As pid 1 starts it: below system.slice, beside the units that the tests write.
TESTS_UNIT = """
[Unit]
DefaultDependencies=no

[Service]
Type=oneshot
WorkingDirectory=/checkout
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C CHAOSEATER_BUILD=/build
Environment=PYTHONPATH={path}:/checkout/tests/e2e
ExecStart=/bin/sh -c '{python} -m pytest {options} {tests} > /dev/console 2>&1; cat /tmp/report.xml > /dev/console; poweroff -f'
"""
PYTEST_OPTIONS = "-p no:cacheprovider -v --tb=short --durations=0 --junitxml=/tmp/report.xml"
# What Python needs besides itself, where it is there: another version may need something else.
PACKAGES = ["pytest", "_pytest", "pluggy", "iniconfig", "packaging", "attr", "attrs", "py", "exceptiongroup", "tomli", "pygments"]
NOT_OF_PYTHON = {"test", "tests", "lib2to3", "idlelib", "ensurepip", "tkinter", "turtledemo", "pydoc_data", "dist-packages",
                 "site-packages"} | {path.name for path in Path(sysconfig.get_path("stdlib")).glob("config-*")}
SYSTEMD_TOOLS = ["systemctl", "dmsetup", "losetup", "mount", "umount", "dd", "truncate"]


def add_python(archive):
    """The Python that runs this, with pytest; returns where its packages lie."""
    python = Path(sys.executable).resolve()
    archive.program(python)
    archive.tree(sysconfig.get_path("stdlib"), NOT_OF_PYTHON)
    folders = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if not spec or not spec.origin:
            continue
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            archive.tree(origin.parent)
            origin = origin.parent
        else:
            archive.copy(origin)
        if str(origin.parent) not in folders:
            folders.append(str(origin.parent))
    return python, folders


def run_under_systemd(folder, root, build, files):
    """Runs those of the files of tests/vm/inside that are called check_*.py, with pytest, in a new machine whose pid 1 is
    systemd; returns all that it printed: pytest's words, and its report in XML."""
    if not Path(SYSTEMD).exists():
        raise Unavailable("needs systemd")

    def add(archive):
        archive.program(SYSTEMD)
        for tool in SYSTEMD_TOOLS:
            found = shutil.which(tool, path=PATH)
            if not found:
                raise Unavailable(f"needs {tool}")
            archive.program(found)
        python, path = add_python(archive)
        archive.program(build / "chaoseater", "build/chaoseater")
        programs = build / "src" / "pipeline"
        archive.tree(programs, [path.name for path in programs.iterdir() if path.suffix in (".p", ".a")], "/build/src/pipeline")
        for name in ("conftest.py", "e2e/lab.py", *(f"vm/inside/{file}" for file in files)):
            archive.copy(root / "tests" / name, f"checkout/tests/{name}")
        archive.text("etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        archive.text("etc/machine-id", "00000000000000000000000000000001\n")
        tests = " ".join(f"tests/vm/inside/{file}" for file in files if file.startswith("check_"))
        unit = TESTS_UNIT.format(python=python, options=PYTEST_OPTIONS, path=":".join(path), tests=tests)
        archive.text("etc/systemd/system/tests.service", unit)

    return boot(folder, BEGIN_SYSTEMD, add)
