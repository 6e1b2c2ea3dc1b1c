# SPDX-License-Identifier: MIT
"""dns_failure in whole runs: the embedded pipeline's gateway looks up its model server by name, and does not find it.

As root and as an ordinary user; the controller killed in the middle; and a target of the test's own, with a name server
of its own and a client that knows nothing of all this.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from lab import USERS, Lab, comm, lab_of, wait_for

MODES = {
    "nxdomain": {},
    "servfail": {},
    "timeout": {},
    "wrong_address": {"address": "192.0.2.7"},
}


@pytest.fixture(params=USERS)
def lab(request):
    with lab_of(request.param) as lab:
        yield lab


def run(lab, code=(0, 1), **parameters):
    path = lab.document("dns_failure", parameters=parameters, duration="1500ms", baseline="1s")
    got, suite = lab.run_json("run", path)
    assert got in code, suite
    return suite["runs"][0]


@pytest.mark.parametrize("mode", MODES)
def test_the_pipelines_names_fail_and_are_found_again(lab, mode):
    done = run(lab, failure_rate=1, mode=mode, **MODES[mode])
    assert done["status"] == "completed"
    assert done["verified"], done["verification"]
    assert re.match(rf"200 of 200 queries for 'model\.pipeline\.internal' to 127\.0\.0\.53 failed \({mode}\)",
                    done["verification"])
    assert done["rollback"]["verified"]
    assert done["fault"]["eligible"] == done["fault"]["changed"] > 0
    assert done["metrics"]["error_count"] > 0


def test_half_of_the_queries_fail(lab):
    done = run(lab)
    assert done["verified"], done["verification"]
    failed, sent = map(int, re.match(r"(\d+) of (\d+) queries", done["verification"]).groups())
    assert abs(failed - sent / 2) <= 4 * (sent / 4) ** 0.5 + 1
    assert 0 < done["fault"]["changed"] < done["fault"]["eligible"]


def test_a_fault_that_does_nothing_is_found_out(lab):
    path = lab.document("dns_failure", parameters={})
    code, suite = lab.run_json("run", path, CHAOSEATER_SEAM_NO_EFFECT=1)
    assert not suite["runs"][0]["verified"], suite
    assert code != 0


@pytest.mark.parametrize(("parameters", "says"), [
    ({"address": "somewhere"}, "address: 'somewhere' is no IPv4 or IPv6 address"),
    ({"mode": "nxdomian"}, "did you mean 'nxdomain'?"),
    ({"names": ["a..b"]}, "names: 'a..b' is no name such as example.com"),
    ({"failure_rate": 2}, "failure_rate: 2 is outside 0..1"),
])
def test_what_makes_no_sense_is_refused(lab, parameters, says):
    result = lab.run("run", lab.document("dns_failure", parameters=parameters))
    assert result.returncode == 2
    assert says in result.stderr


# ---- a target of the test's own


# Answers every query for an address with 10.1.2.3, in namespaces of its own; says so when it listens.
SERVER = """
import ctypes, fcntl, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def check(r):
    assert r == 0, ctypes.get_errno()
check(libc.unshare(0x00020000 | 0x40000000))
check(libc.mount(b"none", b"/", None, 0x44000, None))
check(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
with open("/tmp/resolv.conf", "w") as f:
    f.write("nameserver 127.0.0.53\\n")
check(libc.mount(b"/tmp/resolv.conf", b"/etc/resolv.conf", None, 0x1000, None))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 1))
s.bind(("127.0.0.53", 53))
print("up", flush=True)
while True:
    query, client = s.recvfrom(4096)
    end = query.index(b"\\0", 12) + 5
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4\\x0a\\1\\2\\3"
    s.sendto(query[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + query[12:end] + answer, client)
"""
# Looks a name up again and again, as programs do; a letter each time: '.' found, 'x' no such name, '?' else.
CLIENT = """
import socket, time
while True:
    try:
        said = "." if socket.gethostbyname("db.shop") == "10.1.2.3" else "?"
    except socket.gaierror as error:
        said = "x" if error.errno == socket.EAI_NONAME else "?"
    print(said, end="", flush=True)
    time.sleep(0.005)
"""


class Shop:
    """A process with a network and mounts of its own, and a client in there."""

    def __init__(self, folder):
        self.said = folder / "said"
        self.server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
        assert self.server.stdout.readline() == "up\n"
        enter = ["nsenter", "--target", str(self.server.pid), "--net", "--mount"]
        self.client = subprocess.Popen([*enter, sys.executable, "-c", CLIENT], stdout=self.said.open("w"))

    def answers(self):
        return self.said.read_text()

    def next_answers(self, n=20):
        before = len(self.answers())
        wait_for(lambda: len(self.answers()) >= before + n + 1, "the client's answers")
        return self.answers()[before + 1:]  # the one under way may be of before

    def rules(self):
        return subprocess.run(["nsenter", "--target", str(self.server.pid), "--net", "/usr/sbin/nft", "list", "ruleset"],
                              capture_output=True, text=True, check=True).stdout

    def mounts(self):
        return pathlib.Path(f"/proc/{self.server.pid}/mountinfo").read_text()

    def close(self):
        for process in (self.client, self.server):
            process.kill()
            process.wait()


@pytest.fixture
def root_lab():
    if os.geteuid() != 0:
        pytest.skip("needs root to make namespaces")
    with Lab() as lab:
        yield lab
        lab.clean_soon()


@pytest.fixture
def shop(root_lab):
    shop = Shop(root_lab.folder)
    yield shop
    shop.close()


def document(lab, shop, duration, **parameters):
    path = lab.folder / "shop.yaml"
    path.write_text(json.dumps({"seed": 7, "experiments": [
        {"name": "shop", "layer": "infrastructure", "fault_type": "dns_failure", "duration": duration, "baseline": "500ms",
         "target": {"pid": shop.server.pid}, "parameters": {"failure_rate": 1, **parameters}}]}))
    return path


MECHANISMS = ["redirect", "resolv_conf"]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_target_of_ones_own_is_hit_and_left_as_it_was(root_lab, shop, mechanism):
    before = shop.rules(), shop.mounts()
    code, suite = root_lab.run_json("run", document(root_lab, shop, "1s", mechanism=mechanism))
    done = suite["runs"][0]
    assert code in (0, 1), done
    assert done["verified"], done["verification"]
    assert done["verification"].endswith(f"by {mechanism}")
    assert (shop.rules(), shop.mounts()) == before
    assert set(shop.next_answers()) == {"."}
    assert set(shop.answers()) == {".", "x"}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("everyone", [False, True], ids=["controller", "controller_and_guard"])
def test_a_killed_controller_leaves_nothing(root_lab, shop, mechanism, everyone):
    before = shop.rules(), shop.mounts()
    process = root_lab.start("run", document(root_lab, shop, "60s", mechanism=mechanism))
    wait_for(lambda: (shop.rules(), shop.mounts()) != before, "the fault")
    if everyone:
        guards = [pid for pid in root_lab.processes() if comm(pid) == "ce-guard"]
        assert guards
        for pid in guards:
            os.kill(pid, signal.SIGKILL)
    process.kill()
    process.communicate()
    if everyone:
        assert root_lab.run("recover").returncode == 0
    wait_for(lambda: (shop.rules(), shop.mounts()) == before, "everything as it was")
    assert set(shop.next_answers()) == {"."}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_resolver_that_is_killed_alone_stops_nobody(root_lab, shop, mechanism):
    before = shop.rules(), shop.mounts()
    process = root_lab.start("run", document(root_lab, shop, "60s", mechanism=mechanism))
    wait_for(lambda: (shop.rules(), shop.mounts()) != before, "the fault")

    def agents():
        return [pid for pid in root_lab.processes() if comm(pid) == "ce-agent"]

    for pid in wait_for(agents, "the resolver"):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: (shop.rules(), shop.mounts()) == before, "everything as it was")
    assert set(shop.next_answers()) == {"."}
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert (shop.rules(), shop.mounts()) == before
