# SPDX-License-Identifier: MIT
"""SIGKILL at every journal write and every change to the world, for every fault.

A run reports its steps (a seam of the test build), then is repeated and killed at the first step, the second, and so
on. In the first sweep only the controller dies and the guard undoes; in the second both die and `chaoseater recover`
undoes. Afterwards no process and no file of the run is left, and the host is as it was: control groups and their limits, rules,
queueing disciplines, bpf links, mounts, namespaces, loop devices. (The first steps come before the guard: a controller that dies
there leaves an empty journal, which recover removes.)

The steps before the injection are the same for every fault, so they are swept once for each kind of pipeline: the embedded
one, and a model server that the run starts, of which nothing is left either, nor of its port. The sweeps are several files of
tests, because files are what runs side by side.
"""
import concurrent.futures
import signal

import pytest
from fingerprint import unchanged
from lab import LAYERS, PARAMETERS, Lab
from ports import free_port
from test_http_pipeline import experiment, is_open, started, write

WORKERS = 3
CASES = {fault: (fault, PARAMETERS.get(fault, {})) for fault in LAYERS}
CASES["node_failure_hang"] = ("node_failure", {"failure_type": "hang"})
CASES["node_failure_slow"] = ("node_failure", {"failure_type": "slow"})
# The other ways in which some faults are brought about.
MECHANISMS = {
    "packet_loss": ["nft", "iptables", "nfqueue"],
    "network_partition": ["iptables"],
    "dns_failure": ["resolv_conf"],
    "cpu_throttle": ["duty"],
    "gpu_unavailable": ["cgroup_bpf", "cgroup_v1"],
    "disk_full": ["fuse", "syscalls"],
    "storage_bottleneck": ["syscalls"],
}
CASES |= {f"{fault}_{mechanism}": (fault, PARAMETERS.get(fault, {}) | {"mechanism": mechanism})
          for fault, mechanisms in MECHANISMS.items() for mechanism in mechanisms}
CASES["missing_data_serve"] = ("missing_data", {"missing_rate": 0.3, "stage": "serve"})
HTTP = {
    "http_memory_leak": ("memory_leak", {"leak_rate_mb": 64}),
    "http_node_failure": ("node_failure", {"failure_type": "crash"}),
    "http_node_failure_hang": ("node_failure", {"failure_type": "hang"}),
}

INFRASTRUCTURE = {case: way for case, way in CASES.items() if LAYERS[way[0]] == "infrastructure"}
DATA_AND_MODEL = {case: way for case, way in CASES.items() if case not in INFRASTRUCTURE}


def document(lab, case):
    """The document, and the port that is to be closed afterwards; None: it is nobody's."""
    if case in CASES:
        fault, parameters = CASES[case]
        return lab.document(fault, parameters=parameters), None
    fault, parameters = HTTP[case]
    port = free_port()
    short = {**experiment(fault, LAYERS[fault], **parameters), "duration": "500ms", "baseline": "500ms"}
    return write(lab.folder, {**started("mlflow", port), "timeout": "500ms"}, short), port


def steps_of(case):
    """[(number, what)] in the order in which one run reaches them; none where this host or this user cannot do it."""
    with Lab() as lab:
        count = lab.folder / "steps"
        for _ in range(3):  # on a busy machine not every effect is seen every time
            count.unlink(missing_ok=True)
            result = lab.run("run", document(lab, case)[0], CHAOSEATER_SEAM_COUNT=count)
            if result.returncode in (0, 1):
                break
        assert result.returncode in (0, 1, 4), result.stderr
        if result.returncode == 4:
            return []
        assert not lab.leftovers()
        return [(int(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in count.read_text().splitlines()]


def common_steps(all_steps):
    names = [[what for _, what in steps] for steps in all_steps]
    n = 0
    while all(len(list_) > n and list_[n] == names[0][n] for list_ in names):
        n += 1
    return n


def plan_of(kinds):
    """{case: [(step to crash at, whether the guard is there)]}; the common first steps under one case of each kind only."""
    planned = {}
    for cases in kinds:
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            steps = dict(zip(cases, pool.map(steps_of, cases)))
        common = common_steps([steps for steps in steps.values() if steps])
        assert common > 0
        first = next(case for case in cases if steps[case])
        noted = next(n for n, what in steps[first] if what.startswith("journal: note"))
        planned |= {case: [(n, n >= noted) for n, _ in steps[case] if case == first or n > common] for case in cases}
    return planned


def crash(case, step, guarded):
    """Kills a run at a step, and the guard with it unless `guarded`; what was wrong afterwards, or ''."""
    with Lab() as lab:
        path, port = document(lab, case)
        process = lab.start("run", path, CHAOSEATER_SEAM_CRASH=f"{step}{'' if guarded else ':all'}")
        process.communicate(timeout=120)
        if process.returncode != -signal.SIGKILL:
            return f"step {step}: the run was not killed but ended with {process.returncode}"
        try:
            if not guarded:
                result = lab.run("recover")
                if result.returncode != 0:
                    return f"step {step}: recover: {result.returncode} {result.stdout} {result.stderr}"
            lab.clean_soon()
            if port and is_open(port):
                return f"step {step}: the server's port is open"
            again = lab.run("recover", "--json")
            if again.returncode != 0 or '"undone": 0' not in again.stdout:
                return f"step {step}: a second recover still found something: {again.stdout}"
        except AssertionError as error:
            return f"step {step}: {error}"
    return ""


def sweep(steps, case, everyone):
    """Crashes a case at each of its steps: the controller alone, or the guard with it."""
    if not steps:
        pytest.skip("it cannot be brought about here")
    with unchanged(), concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        wrong = list(pool.map(lambda at: crash(case, at[0], at[1] and not everyone), steps))
    assert not any(wrong), "\n".join(filter(None, wrong))
