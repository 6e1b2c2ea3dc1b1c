# SPDX-License-Identifier: MIT
"""Delay, loss and a share of the processor time at once on one target of the test's own: three runs that know nothing of each other.

All three are felt while all three are live, and each goes without the others, whatever the order; one of the runs is killed.
"""
import contextlib
import os
import signal

import pytest
import test_infra_network as network
from fingerprint import unchanged
from lab import Lab, wait_for
from test_infra_cpu import children, share, text

# What answers questions has a child that is always busy.
BUSY = network.TARGET.replace('print("up", flush=True)', '''if os.fork() == 0:
    while os.getppid() > 1:
        pass
    os._exit(0)
print("up", flush=True)''')
FAULTS = {
    "network_latency": {"latency_ms": 60, "jitter_ms": 0},
    "packet_loss": {"loss_rate": 0.4},
    "cpu_throttle": {"throttle_percent": 75, "cpus": 1},
}
ORDERS = [
    ["network_latency", "packet_loss", "cpu_throttle"],
    ["packet_loss", "cpu_throttle", "network_latency"],
    ["cpu_throttle", "network_latency", "packet_loss"],
    ["cpu_throttle", "packet_loss", "network_latency"],
]


class BusyTarget(network.Target):
    def __init__(self, monkeypatch):
        monkeypatch.setattr(network, "TARGET", BUSY)
        super().__init__()
        self.child = wait_for(lambda: children(self.process.pid), "the busy child")[0]

    def feels(self, fault):
        if fault == "cpu_throttle":
            return share([self.child], 0.5) <= 25 + 10
        return self.is_slow(60) if fault == "network_latency" else self.is_lossy()

    def groups(self):
        return [text(f"/proc/{pid}/cgroup") for pid in (self.process.pid, self.child)]

    def end(self):
        super().end()
        wait_for(lambda: not os.path.exists(f"/proc/{self.child}"), "the busy child has ended")


@pytest.fixture
def target(monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("looking into another network namespace needs root")
    target = BusyTarget(monkeypatch)
    try:
        yield target
    finally:
        target.end()


def end(run, number=signal.SIGINT):
    run.send_signal(number)
    run.communicate(timeout=60)


def end_in(order, labs, target):
    """False: a busy machine has kept a run from seeing its own fault, so that it ended before its turn."""
    runs = {}

    def all_felt():
        for fault, parameters in FAULTS.items():
            if fault not in runs or runs[fault].poll() is not None:
                runs[fault] = network.start(labs[fault], fault, target, "120s", f"{fault}.yaml", **parameters)
        return all(map(target.feels, FAULTS)) and all(run.poll() is None for run in runs.values())

    wait_for(all_felt, "all of them are felt at once", 90)
    for fault, number in zip(order, [signal.SIGINT, signal.SIGKILL, signal.SIGINT]):
        run = runs.pop(fault)
        if run.poll() is not None:
            for other in runs.values():
                end(other)
            return False
        end(run, number)
        wait_for(lambda: not target.feels(fault), f"{fault} is over", 60)  # noqa: B023
        wait_for(lambda: all(map(target.feels, runs)) or any(run.poll() is not None for run in runs.values()),
                 f"{list(runs)} are felt still", 60)
    return True


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(name.split("_")[1] for name in order))
def test_three_faults_on_one_target_end_in_any_order(target, order):
    with unchanged(), contextlib.ExitStack() as stack:
        labs = {fault: stack.enter_context(Lab()) for fault in FAULTS}
        rules, groups = target.rules(), target.groups()
        assert any(end_in(order, labs, target) for _ in range(3))
        wait_for(lambda: target.rules() == rules and target.groups() == groups, "everything is as it was")
        for lab in labs.values():
            lab.clean_soon()
