# SPDX-License-Identifier: MIT
"""network_latency, packet_loss and network_partition in whole runs.

On the embedded pipeline, as root and as an ordinary user; and on a target of the test's own, with a client that measures
what packets see and knows nothing of all this: while two faults are at work, when the controller is killed, and when the
process that causes the fault is.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from lab import USERS, Lab, lab_of, wait_for

MEANS = r"(netem|nfqueue|bpf|nft|iptables): "


@pytest.fixture(params=USERS)
def lab(request):
    with lab_of(request.param) as lab:
        yield lab


def run(lab, fault, **parameters):
    path = lab.document(fault, parameters=parameters, duration="1500ms", baseline="1s")
    code, suite = lab.run_json("run", path)
    assert code in (0, 1), suite
    done = suite["runs"][0]
    assert done["status"] == "completed", done
    assert done["verified"], done["verification"]
    assert done["rollback"]["verified"]
    return done


def test_packets_take_longer(lab):
    done = run(lab, "network_latency", latency_ms=40, jitter_ms=5)
    match = re.match(MEANS + r"\d+ datagrams in took ([\d.]+) ms more \(p50; .* asked: 40\.00; accuracy", done["verification"])
    assert match, done["verification"]
    # Processors are shared: later is possible, earlier is not.
    assert 36 <= float(match[2]) < 200
    assert done["fault"]["eligible"] == done["fault"]["changed"] > 0


def test_both_directions_take_longer(lab):
    done = run(lab, "network_latency", latency_ms=20, jitter_ms=0, direction="both", keep_order=False)
    match = re.match(MEANS + r"\d+ datagrams in took ([\d.]+) ms more .*; \d+ datagrams out took ([\d.]+) ms more",
                     done["verification"])
    assert match, done["verification"]
    assert all(19 <= float(took) < 150 for took in match.groups()[1:])


@pytest.mark.parametrize("mechanism", ["auto", "nft"])
def test_packets_are_lost(lab, mechanism):
    done = run(lab, "packet_loss", loss_rate=0.2, mechanism=mechanism)
    match = re.match(MEANS + r"(\d+) of (\d+) datagrams did not arrive, .*\(asked: 20\.0,", done["verification"])
    assert match, done["verification"]
    lost, sent = int(match[2]), int(match[3])
    assert abs(lost - 0.2 * sent) <= 4 * (sent * 0.2 * 0.8) ** 0.5 + 1
    assert mechanism in ("auto", match[1])


@pytest.mark.parametrize("parameters, says", [
    ({}, r"of \d+ connections that were tried 0 were answered, 0 refused"),
    ({"action": "reject"}, r"of (\d+) connections that were tried 0 were answered, \1 refused, 0 timed out"),
    ({"direction": "in"}, r"0 were answered, 0 refused"),
    ({"direction": "out", "mechanism": "nft"}, r"0 were answered, 0 refused"),
    ({"blocked_hosts": ["10.0.0.0/8", "127.0.0.0/8"]}, r"0 of 200 datagrams between the target and a host that is cut off"),
    ({"blocked_hosts": ["localhost"]}, "0 of"),
])
def test_hosts_are_cut_off(lab, parameters, says):
    done = run(lab, "network_partition", **parameters)
    assert re.match(MEANS, done["verification"])
    assert re.search(says, done["verification"]), done["verification"]
    assert done["metrics"]["error_count"] > 0


def test_others_than_those_that_are_cut_off_notice_nothing(lab):
    done = run(lab, "network_partition", blocked_hosts=["10.1.2.3"])
    assert done["metrics"]["error_count"] == 0


@pytest.mark.parametrize("fault", ["network_latency", "packet_loss", "network_partition"])
def test_a_fault_that_does_nothing_is_found_out(lab, fault):
    path = lab.document(fault, parameters={})
    code, suite = lab.run_json("run", path, CHAOSEATER_SEAM_NO_EFFECT=1)
    assert not suite["runs"][0]["verified"], suite
    assert code != 0


@pytest.mark.parametrize("fault, parameters", [
    ("network_latency", {"latency_ms": 0, "jitter_ms": 0}),
    ("packet_loss", {"loss_rate": 0}),
])
def test_nothing_asked_is_a_control_run(lab, fault, parameters):
    code, suite = lab.run_json("run", lab.document(fault, parameters=parameters))
    assert code == 0 and suite["runs"][0]["control"], suite


@pytest.mark.parametrize("fault, parameters, says", [
    ("network_latency", {"latency_ms": -1}, "latency_ms: -1 is outside 0..600000"),
    ("network_latency", {"mechanism": "nft"}, "mechanism: 'nft' is not one of auto, netem, nfqueue"),
    ("packet_loss", {"loss_rate": 1.5}, "loss_rate: 1.5 is outside 0..1"),
    ("packet_loss", {"corrupt_rate": 0.1, "mechanism": "nft"}, "corrupt_rate: only mechanism netem can do that, not nft"),
    ("packet_loss", {"correlation": 0.5, "mechanism": "iptables"},
     "correlation: only mechanisms netem and nfqueue remember the last packet, iptables does not"),
    ("network_partition", {"blocked_hosts": ["10.0.0.0/33"]}, "blocked_hosts: '10.0.0.0/33' is"),
    ("network_partition", {"action": "refuse"}, "action: 'refuse' is not one of drop, reject"),
])
def test_what_makes_no_sense_is_refused(lab, fault, parameters, says):
    result = lab.run("run", lab.document(fault, parameters=parameters))
    assert result.returncode == 2
    assert says in result.stderr


def test_a_host_that_nobody_knows_is_said_to_be_that(lab):
    code, suite = lab.run_json("run", lab.document("network_partition", parameters={"blocked_hosts": ["no.such.host.invalid"]}))
    assert code != 0
    assert "blocked_hosts: 'no.such.host.invalid' cannot be looked up" in suite["runs"][0]["reason"]


# ---- a target of the test's own

# In network and user namespaces of its own: echoes datagrams, and asks itself all the time from another port. A line for
# each question: the milliseconds until its answer, or "lost".
TARGET = """
import ctypes, fcntl, os, select, socket, struct, time
libc = ctypes.CDLL(None, use_errno=True)
uid = os.geteuid()
assert libc.unshare(0x10000000 | 0x40000000) == 0, ctypes.get_errno()
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"0 {uid} 1")
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(server, 0x8914, struct.pack("16sH14x", b"lo", 1))
server.bind(("127.0.0.1", 7100))
listener = socket.socket()
listener.bind(("127.0.0.1", 7100))
listener.listen(128)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(("127.0.0.1", 7100))
print("up", flush=True)
number, sent, asked = 0, {}, 0
while True:
    now = time.monotonic()
    if now - asked >= 0.01:
        number, asked = number + 1, now
        sent[number] = now
        try:
            client.send(str(number).encode())
        except OSError:
            pass
    for old in [n for n, at in sent.items() if now - at > 0.4]:
        del sent[old]
        print("lost", flush=True)
    for s in select.select([server, client, listener], [], [], 0.002)[0]:
        if s is listener:
            listener.accept()[0].close()
        elif s is server:
            data, peer = server.recvfrom(64)
            if data.isdigit() and len(data) < 9:
                try:
                    server.sendto(data, peer)
                except OSError:
                    pass
        else:
            try:
                at = sent.pop(int(client.recv(64)), None)
            except OSError:
                at = None
            if at:
                print((time.monotonic() - at) * 1000, flush=True)
"""


class Target:
    """What its client has seen lately."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", TARGET], stdout=subprocess.PIPE, text=True)
        self.seen = []
        assert self.process.stdout.readline() == "up\n"
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.seen.append(None if line == "lost\n" else float(line))

    def fresh(self, count=20):
        """What the next questions see; those that are on their way already say nothing."""
        first = len(self.seen) + 5
        wait_for(lambda: len(self.seen) >= first + count, "the client goes on")
        return self.seen[first:first + count]

    def is_fast(self):
        times = self.fresh()
        return None not in times and sorted(times)[len(times) // 2] < 20

    def is_slow(self, least):
        times = [took for took in self.fresh() if took is not None]
        return times and min(times) >= least

    def is_lossy(self):
        return None in self.fresh(40)

    def rules(self):
        """Everything that is set up in its network namespace."""
        inside = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"]
        commands = (["nft", "list", "ruleset"], ["tc", "qdisc", "show"], ["tc", "filter", "show", "dev", "lo", "ingress"],
                    ["ip", "-d", "link", "show"], ["iptables-legacy-save"], ["ip6tables-legacy-save"])
        return "\n".join(subprocess.run(inside + command, capture_output=True, text=True, check=False).stdout
                         for command in commands if shutil.which(command[0]))

    def add_rules(self):
        rules = ("table inet theirs { chain c { type filter hook prerouting priority -310; udp dport 9 drop; }; "
                 "chain o { type filter hook output priority 0; tcp sport 9 counter; }; }")
        subprocess.run(["nsenter", f"--net=/proc/{self.process.pid}/ns/net", "nft", "-f", "-"], input=rules, text=True, check=True)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


@pytest.fixture
def target():
    if os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("nsenter"):
        pytest.skip("looking at the rules of another network namespace needs root, nft and nsenter")
    target = Target()
    try:
        target.add_rules()
        yield target
    finally:
        target.end()


@pytest.fixture
def root_lab():
    with Lab() as lab:
        yield lab
        lab.clean_soon()


other_lab = root_lab  # runs of one state folder leave each other's targets alone


def start(lab, fault, target, duration, name, **parameters):
    path = lab.document(fault, name=name, parameters=parameters, duration=duration, baseline="500ms",
                        target={"pid": target.process.pid})
    return lab.start("run", path, "--json")


@pytest.mark.parametrize("ends_first", ["network_latency", "packet_loss"])
def test_two_faults_on_one_target_compose_and_end_in_either_order(root_lab, other_lab, target, ends_first):
    before = target.rules()
    assert "dport 9 drop" in before
    wait_for(target.is_fast, "the target as it is")
    ends_last = "packet_loss" if ends_first == "network_latency" else "network_latency"
    parameters = {"network_latency": {"latency_ms": 40, "jitter_ms": 0}, "packet_loss": {"loss_rate": 0.4}}
    effect = {"network_latency": lambda: target.is_slow(40), "packet_loss": target.is_lossy}
    last = start(root_lab, ends_last, target, "60s", "last.yaml", **parameters[ends_last])
    wait_for(effect[ends_last], f"{ends_last} is felt")
    first = start(other_lab, ends_first, target, "60s", "first.yaml", **parameters[ends_first])
    wait_for(effect[ends_first], f"{ends_first} is felt")
    assert effect[ends_last]()
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    wait_for(lambda: not effect[ends_first](), f"{ends_first} is over")
    assert effect[ends_last]()
    last.send_signal(signal.SIGINT)
    last.communicate(timeout=60)
    wait_for(target.is_fast, "everything is as it was")
    assert target.rules() == before


FAULTS = [
    ("network_latency", {"latency_ms": 60, "jitter_ms": 0, "mechanism": "nfqueue"}, lambda target: target.is_slow(60)),
    ("packet_loss", {"loss_rate": 0.5, "mechanism": "nft"}, Target.is_lossy),
    ("packet_loss", {"loss_rate": 0.5}, Target.is_lossy),
    ("network_partition", {}, lambda target: set(target.fresh()) == {None}),
]


@pytest.mark.parametrize("fault, parameters, is_felt", FAULTS)
def test_a_controller_that_is_killed_leaves_nothing(root_lab, target, fault, parameters, is_felt):
    before = target.rules()
    process = start(root_lab, fault, target, "60s", "plan.yaml", **parameters)
    wait_for(lambda: is_felt(target), f"{fault} is felt")
    process.kill()
    process.wait()
    wait_for(target.is_fast, "everything is as it was")
    wait_for(lambda: target.rules() == before, "the rules are as they were")


def agents(lab):
    """The processes that cause its faults, by what they call themselves."""
    def name(pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                return comm.read().strip()
        except OSError:
            return ""
    return [pid for pid in lab.processes() if name(pid) == "ce-agent"]


@pytest.mark.parametrize("fault, parameters, is_felt", FAULTS)
def test_an_agent_that_dies_alone_lets_everything_pass(root_lab, target, fault, parameters, is_felt):
    before = target.rules()
    process = start(root_lab, fault, target, "60s", "plan.yaml", **parameters)
    wait_for(lambda: is_felt(target), f"{fault} is felt")
    killed = agents(root_lab)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_for(target.is_fast, "everything flows, long before the run ends", 30)
    assert target.rules() == before
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
