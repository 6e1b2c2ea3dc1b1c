# SPDX-License-Identifier: MIT
"""A real fault around a block of code."""

import asyncio
import os
import signal
import socket
import socketserver
import threading
import time

import chaoseater
import pytest
from face import live, start, wait_for

HALF = {"throttle_percent": 50}


def share_of_a_processor(seconds=1.0):
    """What a busy loop gets of a processor."""
    began, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        pass
    return (time.process_time() - used) / (time.perf_counter() - began)


def test_a_block_runs_under_a_fault():
    with chaoseater.fault("cpu_throttle", **HALF) as held:
        assert live()
        assert share_of_a_processor() < 0.6  # less where other tests run beside this one
    assert live() == []
    assert share_of_a_processor(0.3) > 0.65  # other tests run beside this one
    assert "50" in held.report["verification"] and held.run.verified and held.run.fault == "cpu_throttle"


def test_an_exception_ends_the_block_and_the_fault():
    with pytest.raises(ZeroDivisionError), chaoseater.fault("cpu_throttle", **HALF):
        assert live()
        1 / 0
    assert live() == []


def test_a_decorated_function_runs_under_a_fault():
    @chaoseater.fault("cpu_throttle", **HALF)
    def work(a, *, b):
        """Works."""
        return a + b, bool(live())

    assert work.__doc__ == "Works." and live() == []
    assert work(1, b=2) == (3, True)
    assert work(3, b=4) == (7, True)
    assert live() == []


def test_the_same_for_coroutines():
    @chaoseater.fault("cpu_throttle", **HALF)
    async def work():
        return bool(live())

    async def all_of_it():
        async with chaoseater.fault("cpu_throttle", **HALF) as held:
            assert live()
        assert held.run.verified and live() == []
        return await work()

    assert asyncio.run(all_of_it()) is True
    assert live() == []


def test_a_cancelled_task_leaves_nothing():
    async def all_of_it():
        async def work():
            async with chaoseater.fault("cpu_throttle", **HALF):
                inside.set()
                await asyncio.sleep(600)

        inside = asyncio.Event()
        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(all_of_it())
    assert live() == []


def round_trip(connection):
    began = time.perf_counter()
    connection.send(b"x")
    assert connection.recv(1) == b"x"
    return time.perf_counter() - began


class Echo(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while data := self.request.recv(1):
            self.request.send(data)


def test_a_peer_is_far_away():
    if os.getuid() != 0:
        pytest.skip("packets in the host's network are root's")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address
        with socket.create_connection((host, port), timeout=30) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                with chaoseater.fault("network_latency", latency_ms=40, jitter_ms=0, target={"peer": f"{host}:{port}"}):
                    far = min(round_trip(client) for _ in range(3))
            except chaoseater.NotPossible as error:
                pytest.skip(str(error))
            assert far >= 0.04
            assert min(round_trip(client) for _ in range(5)) < 0.03
        server.shutdown()


BLOCK = """
import chaoseater, time
with chaoseater.fault("cpu_throttle", throttle_percent=50):
    print("inside", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_ends_in_the_block_leaves_nothing(number):
    process = start(BLOCK)
    assert process.stdout.readline() == "inside\n", process.communicate()
    assert live()
    process.send_signal(number)
    process.communicate(timeout=60)
    wait_for(lambda: not live(), "the end of the fault")


def test_a_child_that_outlives_the_process_does_not_hold_the_fault():
    process = start(BLOCK.replace("time.sleep", """import os
    child = os.fork()
    print(child, flush=True) if child else (os.close(1), os.close(2))
    time.sleep"""))
    assert process.stdout.readline() == "inside\n", process.communicate()
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.communicate(timeout=60)
        wait_for(lambda: not live(), "the end of the fault")
    finally:
        os.kill(child, signal.SIGKILL)


def test_who_holds_the_fault_may_be_killed():
    with pytest.raises(chaoseater.ChaosError, match="has gone"):
        with chaoseater.fault("cpu_throttle", **HALF):
            holders = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_holder(pid)]
            assert holders
            for pid in holders:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not live(), "the guard")


def is_holder(pid):
    """Of this test, as others run beside it, and not one of those that it has made, such as the guard."""
    try:
        comm, line = open(f"/proc/{pid}/comm").read(), open(f"/proc/{pid}/cmdline").read()
        there = f"CHAOSEATER_STATE_DIR={os.environ['CHAOSEATER_STATE_DIR']}" in open(f"/proc/{pid}/environ").read().split("\0")
    except OSError:
        return False
    return "chaoseater._hold" in line and there and not comm.startswith("ce-")


@pytest.mark.parametrize("name, arguments, kind, sentence", [
    ("cpu_throtle", {}, chaoseater.Unknown, "did you mean 'cpu_throttle'"),
    ("cpu_throttle", {"throtle_percent": 1}, ValueError, "throttle_percent"),
    ("cpu_throttle", {"throttle_percent": 200}, chaoseater.BadInput, "100"),
    ("cpu_throttle", {"target": {"pidd": 1}}, chaoseater.BadInput, "pid"),
    ("missing_data", {}, chaoseater.BadInput, "chaoseater.inject"),
    ("slow_inference", {}, chaoseater.BadInput, "chaoseater.wrap_model"),
    ("node_failure", {}, chaoseater.BadInput, "name a target"),
])
def test_what_is_wrong_is_said_before_the_block(name, arguments, kind, sentence):
    with pytest.raises(kind, match=sentence):
        chaoseater.fault(name, **arguments)


def test_what_cannot_be_done_is_said_and_the_block_does_not_run():
    with pytest.raises(chaoseater.NotPossible, match="target names what does"):
        with chaoseater.fault("network_latency"):
            raise AssertionError("the block ran")
    with pytest.raises(chaoseater.ChaosError, match="999999999"):
        with chaoseater.fault("cpu_throttle", target={"pid": 999999999}):
            raise AssertionError("the block ran")


def test_a_fault_may_end_before_the_block():
    with chaoseater.fault("cpu_throttle", duration="300ms", **HALF) as held:
        wait_for(lambda: not live(), "the end of its duration")
    assert held.run.verified


def test_a_module_beside_the_program_is_not_taken_for_ours(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('wrong json')")
    monkeypatch.chdir(tmp_path)
    with chaoseater.fault("cpu_throttle", **HALF):
        assert live()
