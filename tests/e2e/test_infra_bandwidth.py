# SPDX-License-Identifier: MIT
"""bandwidth_limit in whole runs: on the embedded pipeline, as root and as an ordinary user; and on a target of the test's
own that has queueing disciplines and filters already, with the controller killed, and with two limits at once.
"""
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from lab import USERS, Lab, lab_of, wait_for


@pytest.fixture(params=USERS)
def lab(request):
    with lab_of(request.param) as lab:
        yield lab


def run(lab, **parameters):
    path = lab.document("bandwidth_limit", parameters=parameters, duration="1500ms", baseline="1s")
    code, suite = lab.run_json("run", path)
    assert code in (0, 1), suite
    done = suite["runs"][0]
    assert done["status"] == "completed", done
    assert done["verified"], done["verification"]
    assert done["rollback"]["verified"]
    return done


@pytest.mark.parametrize("rate, mbit", [("2mbit", 2), ("500kBps", 4), ("4000000", 4)])
def test_packets_that_enter_are_limited(lab, rate, mbit):
    done = run(lab, rate=rate)
    match = re.match(r"tbf: \d+ datagrams in arrived at ([\d.]+) Mbit/s of ([\d.]+) \(sent at ([\d.]+)\)", done["verification"])
    assert match, done["verification"]
    # The pipeline's own traffic takes its share.
    assert 0.3 * mbit < float(match[1]) < 1.1 * mbit
    assert float(match[2]) == mbit
    assert done["fault"]["eligible"] >= done["fault"]["changed"] > 0


def test_each_direction_has_a_limit_of_its_own(lab):
    done = run(lab, rate="4mbit", direction="both")
    match = re.match(r"tbf: \d+ datagrams in arrived at ([\d.]+) Mbit/s of 4 .*; \d+ datagrams out arrived at ([\d.]+) Mbit/s of 4",
                     done["verification"])
    assert match, done["verification"]
    assert all(1.2 < float(rate) < 4.4 for rate in match.groups())


def test_a_fault_that_does_nothing_is_found_out(lab):
    code, suite = lab.run_json("run", lab.document("bandwidth_limit", parameters={}), CHAOSEATER_SEAM_NO_EFFECT=1)
    assert not suite["runs"][0]["verified"], suite
    assert code != 0


def test_no_limit_is_a_control_run(lab):
    code, suite = lab.run_json("run", lab.document("bandwidth_limit", parameters={"rate": "unlimited"}))
    assert code == 0 and suite["runs"][0]["control"], suite


@pytest.mark.parametrize("rate, says", [
    ("fast", "rate: 'fast' is no rate: write a number with bit, kbit, mbit, gbit"),
    ("-1mbit", "rate: '-1mbit' is no rate"),
    ("10mbits", "rate: '10mbits' is no rate"),
    ("10Mbps", "rate: '10Mbps' may be bits or bytes: write mbit or MBps"),
    ("0mbit", "rate: '0mbit' is not between 1kbit and 1000gbit"),
    ("1e30gbit", "rate: '1e30gbit' is not between"),
    ("nan", "rate: 'nan' is no rate"),
    ("", "rate: '' is no rate"),
])
def test_what_is_no_rate_is_refused(lab, rate, says):
    result = lab.run("run", lab.document("bandwidth_limit", parameters={"rate": rate}))
    assert result.returncode == 2
    assert says in result.stderr


# ---- a target of the test's own

TARGET = """
import ctypes, fcntl, os, socket, struct, time
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x40000000) == 0, ctypes.get_errno()
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, struct.pack("16sH14x", b"lo", 1))
print("up", flush=True)
time.sleep(1000)
"""
THEIRS = """
ip link add va type veth peer name vb
ip link set va addrgenmode none
ip link set vb addrgenmode none
ip link set va up
ip link set vb up
tc qdisc add dev va root handle 5: tbf rate 9mbit burst 9k latency 10ms
tc qdisc add dev va clsact
tc filter add dev va ingress protocol ip pref 3 u32 match ip src 10.9.9.9 classid 1:1
"""


class Target:
    """A process in a network namespace of its own, in which somebody has set up something."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", TARGET], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "up\n"
        self.inside = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", "sh", "-ec"]
        subprocess.run([*self.inside, THEIRS], check=True)

    def state(self):
        command = ("ip -d link; tc qdisc show; for i in lo va vb; do for h in ingress egress; do tc filter show dev $i $h; "
                   "tc chain show dev $i $h; done; done")
        return subprocess.run([*self.inside, command], capture_output=True, text=True, check=False).stdout

    def limits(self):
        """Of ours: devices, and queueing disciplines on them."""
        state = self.state()
        return len(re.findall(r"^\d+: ce\w+:", state, re.MULTILINE)), len(re.findall(r"qdisc tbf ce\w+:", state))

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def target():
    if os.geteuid() != 0 or not shutil.which("tc") or not shutil.which("nsenter"):
        pytest.skip("setting up another network namespace needs root, tc and nsenter")
    target = Target()
    try:
        yield target
    finally:
        target.end()


@pytest.fixture
def root_lab():
    with Lab() as lab:
        yield lab
        lab.clean_soon()


other_lab = root_lab  # two runs of one state folder never bring one fault upon one thing


def start(lab, target, name, **parameters):
    path = lab.document("bandwidth_limit", name=name, parameters=parameters, duration="60s", baseline="500ms",
                        target={"pid": target.process.pid})
    return lab.start("run", path, "--json")


def stop(process):
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


@pytest.mark.parametrize("ends_first", [0, 1])
def test_two_limits_on_one_target_end_in_either_order(root_lab, other_lab, target, ends_first):
    before = target.state()
    assert "tbf 5:" in before and "u32" in before
    runs = [start(root_lab, target, "first.yaml", rate="8mbit")]
    wait_for(lambda: target.limits() == (1, 1), "the first limit stands")
    runs.append(start(other_lab, target, "second.yaml", rate="4mbit"))
    wait_for(lambda: target.limits() == (1, 2), "the second limit stands")
    stop(runs[ends_first])
    assert target.limits() == (1, 2)
    stop(runs[1 - ends_first])
    assert target.state() == before


def test_a_controller_that_is_killed_leaves_nothing(root_lab, target):
    before = target.state()
    process = start(root_lab, target, "plan.yaml", direction="both")
    wait_for(lambda: target.limits() == (2, 2), "both limits stand")
    process.kill()
    process.wait()
    wait_for(lambda: target.state() == before, "everything is as it was")


def test_a_target_that_ends_takes_its_limit_along(root_lab, target):
    process = start(root_lab, target, "plan.yaml")
    wait_for(lambda: target.limits() == (1, 1), "the limit stands")
    target.end()
    stop(process)
    assert root_lab.run("status").returncode == 0
