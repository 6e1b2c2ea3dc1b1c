# SPDX-License-Identifier: MIT
"""`chaoseater proxy` under traffic that means it no good: nothing crashes, nothing leaks, and honest requests beside it
lose no byte and are never asked twice."""

import http.client
import json
import os
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hostile import Attacker, Upstream, body_of, calls, proc, reset
from lab import Lab, Proxy, wait_for

MIB = 1024  # of /proc's kB
ROUNDS = 24
IDLE = 10_000


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture
def upstream():
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def start(lab, upstream):
    return lambda *arguments: Proxy(lab, f"127.0.0.1:{upstream.port}", *arguments)


@pytest.fixture(scope="module")
def sanitized(build):
    options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text())
    return next(option["value"] for option in options if option["name"] == "b_sanitize") != "none"


def descriptors(proxy):
    return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))


def memory(proxy):
    return proc(proxy.process.pid, "VmRSS")


def ends(proxy, *, drained=True):
    """At SIGTERM, with exit 0 and no word of complaint."""
    code, out, err = proxy.stop()
    assert code == 0 and (err == "" or not drained), (code, err)
    return out


def test_nothing_is_left_of_an_attack_and_honest_requests_do_not_notice(start, upstream, sanitized):
    proxy = start("--fault", "slow_inference", "--param", "latency_ms=300", "--param", "variance=0", "--param", "path=^/held",
                  "--control", "127.0.0.1:0")
    attacker = Attacker(proxy.port, upstream, held=lambda: proxy.ask("GET", "/rules")[1][0]["changed"])
    assert attacker.ask("/echo") == 200
    before = descriptors(proxy)
    sizes, spent = [], time.monotonic()
    with calls(upstream, proxy.port), ThreadPoolExecutor(4) as pool:
        for _ in range(ROUNDS):
            for attack in [pool.submit(attack) for attack in attacker.all()]:
                attack.result(timeout=120)
            sizes.append(memory(proxy))
    # Some idle connections to the upstream stay, until it closes them.
    wait_for(lambda: descriptors(proxy) <= before + 40, "the descriptors of the attacks are closed")
    middle, last = max(sizes[: ROUNDS // 2]), max(sizes[ROUNDS // 2 :])
    print(f"{time.monotonic() - spent:.0f} s; resident after each round: {sizes} kB")
    assert sanitized or last <= middle + 2 * MIB
    assert {count for name, count in upstream.seen.items() if name.startswith("post-")} == {1}
    upstream.close()
    wait_for(lambda: descriptors(proxy) < before, "the last one to the upstream is closed")
    ends(proxy)


def test_an_upstream_that_never_answers_is_a_504(start, upstream):
    proxy = start("--upstream-timeout", "300ms")
    attacker = Attacker(proxy.port, upstream)
    before = descriptors(proxy)
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(attacker.ask, ["/never"] * 20)) == {504}
    wait_for(lambda: descriptors(proxy) == before, "its connections are closed")
    assert set(upstream.seen.values()) == {1}
    ends(proxy)


def test_an_answer_that_nobody_asked_for_reaches_nobody(start, upstream):
    proxy = start("--threads", "1")
    attacker = Attacker(proxy.port, upstream)
    for _ in range(20):
        upstream.told.clear()
        upstream.done.clear()
        assert attacker.ask("/later") == 200
        upstream.told.set()
        assert upstream.done.wait(60)
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        connection.request("GET", "/echo", headers={"X-Size": "10"})
        assert connection.getresponse().read() == body_of("", 10)
        connection.close()
    ends(proxy)


def test_a_request_that_may_do_harm_is_never_sent_twice(start, upstream):
    """The connection that it goes out on may have been closed a moment ago."""
    proxy = start("--threads", "1")
    attacker = Attacker(proxy.port, upstream)
    statuses = {}
    for _ in range(300):
        assert attacker.ask("/leave") == 200
        status = attacker.ask("/echo")
        statuses[attacker.last] = status
    seen = upstream.seen
    assert {(status, seen[name]) for name, status in statuses.items()} <= {(200, 1), (502, 0), (502, 1)}
    assert max(seen.values()) == 1
    ends(proxy)


def test_ten_thousand_idle_connections(start, upstream, sanitized):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 500:
        pytest.skip(f"this machine allows {hard} descriptors in a process")
    proxy = start()
    attacker = Attacker(proxy.port, upstream)
    assert attacker.ask("/echo") == 200
    before, empty = descriptors(proxy), memory(proxy)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    streams = []
    try:
        for n in range(IDLE):
            streams.append(attacker.connect())
            if n % 4 == 0:  # has asked once
                streams[-1].sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
                attacker.expect(200, streams[-1])
        wait_for(lambda: descriptors(proxy) >= before + IDLE, "all are accepted")
        full = memory(proxy)
        with calls(upstream, proxy.port):
            time.sleep(1)
        print(f"{IDLE} idle connections: {full / MIB:.1f} MiB resident, {empty / MIB:.1f} MiB without")
        assert sanitized or full < 100 * MIB
    finally:
        for stream in streams:
            reset(stream)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: descriptors(proxy) <= before + 8, "their descriptors are closed")
    ends(proxy)


def test_it_recovers_when_descriptors_ran_out_and_says_so_once(start, upstream):
    proxy = start("--control", "127.0.0.1:0", "--threads", "1")
    attacker = Attacker(proxy.port, upstream)
    assert attacker.ask("/echo") == 200
    before = descriptors(proxy)
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (before + 20, before + 20))
    for turn in range(3):
        streams = [attacker.connect() for _ in range(100)]
        refused = 0
        for stream in streams[40:]:  # more than it has descriptors for
            try:
                refused += stream.recv(1) == b""
            except ConnectionResetError:
                refused += 1
        assert refused == 60
        if turn == 0:  # nor is there one for another connection to the upstream: it has the one that is used now
            streams[0].sendall(b"POST /never HTTP/1.1\r\nHost: a\r\nX-Request-Id: never\r\n\r\n")
            wait_for(lambda: upstream.count("never"), "the upstream has the request")
            streams[1].sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"Too many open files" in attacker.expect(502, streams[1])[2]
        for stream in streams:
            reset(stream)
        wait_for(lambda: descriptors(proxy) <= before + 2, "they are closed")
        with calls(upstream, proxy.port, largest=100_000):
            time.sleep(0.3)
    assert "chaoseater_proxy_refused_total 0" not in proxy.ask("GET", "/metrics")[1]
    code, _, err = proxy.stop()
    assert code == 0
    assert err.count("out of file descriptors") == 1 and err.count("\n") == 1


def test_an_upstream_whose_name_is_not_known_blocks_nobody(start, upstream):
    proxy = start("--fault", "wrong_version", "--param", "fallback_model=http://nowhere.invalid:80", "--param", "path=^/v2/")
    attacker = Attacker(proxy.port, upstream)
    with calls(upstream, proxy.port), ThreadPoolExecutor(8) as pool:
        assert set(pool.map(attacker.ask, ["/v2/models/m/infer"] * 40)) == {502}
    ends(proxy)


def test_pipelined_requests_are_answered_in_their_order_with_faults_between(start, upstream):
    proxy = start("--seed", "7", "--fault", "model_unavailable", "--param", "failure_rate=0.3", "--fault", "slow_inference",
                  "--param", "latency_ms=3", "--param", "share=0.5")

    answered = {}

    def run(connection):
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as stream:
            names = [f"p-{connection}-{n}" for n in range(200)]
            request = "POST /echo HTTP/1.1\r\nHost: a\r\nX-Request-Id: {0}\r\nX-Size: {1}\r\nContent-Length: 3\r\n\r\nabc"
            stream.sendall("".join(request.format(name, n) for n, name in enumerate(names)).encode())
            for n, name in enumerate(names):
                response = http.client.HTTPResponse(Kept(stream))
                response.begin()
                body = response.read()
                assert response.status in (200, 503)
                assert response.status == 503 or body == body_of(name, n)
                answered[name] = response.status

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    seen = upstream.seen
    assert all(seen[name] == (status == 200) for name, status in answered.items())
    assert len(answered) == 800 and 160 < list(answered.values()).count(503) < 320
    ends(proxy)


class Kept:
    """A socket under several responses: each reads its own bytes only."""

    def __init__(self, stream):
        self.stream = stream

    def makefile(self, *_):
        return self

    def read(self, size):
        data = b""
        while len(data) < size and (piece := self.stream.recv(size - len(data))):
            data += piece
        return data

    def readline(self, _=None):
        line = b""
        while not line.endswith(b"\n"):
            line += self.stream.recv(1)
        return line

    def readinto(self, into):
        data = self.read(len(into))
        into[: len(data)] = data
        return len(data)

    def flush(self):
        pass

    def close(self):
        pass


def test_rules_come_and_go_under_load(start, upstream, sanitized):
    proxy = start("--control", "127.0.0.1:0", "--seed", "1")
    rules = [
        {"fault": "slow_inference", "parameters": {"latency_ms": 2, "variance": 0}, "share": 0.5},
        {"fault": "model_unavailable", "parameters": {"failure_rate": 1}, "filter": {"path": "^/other"}},
        {"fault": "prediction_corruption", "parameters": {"corruption_rate": 1}},
        {"fault": "model_drift", "filter": {"header": {"X-None": "x"}}},
        {"fault": "wrong_version", "parameters": {"fallback_model": "7"}, "filter": {"path": "^/v2/"}},
    ]
    stopping = threading.Event()

    def come_and_go(worker):
        changes = 0
        while not stopping.is_set():
            rule = dict(rules[changes % len(rules)], id=f"rule-{worker}-{changes}")
            status, answer = proxy.ask("POST", "/rules", rule)
            assert status == 201, answer
            assert proxy.ask("PATCH", f"/rules/{rule['id']}", {"intensity": 0.5})[0] == 200
            assert proxy.ask("DELETE", f"/rules/{rule['id']}")[0] == 204
            changes += 1
        return changes

    with ThreadPoolExecutor(2) as pool, calls(upstream, proxy.port, largest=500_000):
        changing = [pool.submit(come_and_go, worker) for worker in range(2)]
        time.sleep(2)
        middle = memory(proxy)
        time.sleep(3)
        last = memory(proxy)
        stopping.set()
        print(f"{sum(change.result() for change in changing)} rules came and went; {middle} kB, then {last} kB resident")
    assert proxy.ask("GET", "/rules") == (200, [])
    assert sanitized or last <= middle + 4 * MIB
    ends(proxy)


def test_it_ends_at_a_signal_whatever_its_clients_are_at(start, upstream):
    proxy = start("--drain", "1s", "--fault", "slow_inference", "--param", "latency_ms=600000", "--param", "variance=0",
                  "--param", "path=^/held")
    attacker = Attacker(proxy.port, upstream)
    streams = [attacker.send(data) for data in (
        b"", b"GET /", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        b"POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        b"POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Size: 5000000\r\n\r\n",
        b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    )]
    attacker.expect(101, streams[-1])
    assert streams[-2].recv(1) == b"H"
    began = time.monotonic()
    ends(proxy, drained=False)
    assert time.monotonic() - began < 30  # the request that is held would have taken 600 s
    for stream in streams:
        reset(stream)
