# SPDX-License-Identifier: MIT
"""`target:`: what a fault acts on instead of the pipeline, or why it does not."""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from lab import AS_NOBODY, Lab, lab_of, wait_for


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture
def bystander(tmp_path):
    """A process that somebody runs on this host, called so that nothing else is."""
    processes = []

    def start(name):
        program = tmp_path / name
        if not program.exists():
            program.symlink_to("/bin/sleep")
        process = subprocess.Popen([program, "600"], preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL))
        processes.append(process)
        wait_for(lambda: Lab.process_state(process.pid) == "S", "the bystander sleeps")
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def dry_run(lab, target, fault="node_failure"):
    document = lab.document(fault, target=target)
    status, report = lab.run_json("run", document, "--dry-run")
    return status, report["runs"][0]["detail"]


def test_what_is_found_would_run(lab, bystander):
    process = bystander("ce-found")
    for target in ({"pid": process.pid}, {"process": "ce-found"}, {"process": {"name": "ce-found", "user": str(os.getuid())}}):
        document = lab.document("node_failure", target=target, parameters={"failure_type": "hang"})
        status, report = lab.run_json("run", document, "--dry-run")
        assert status == 0
    assert report["runs"][0]["detail"].startswith(f"dry run: nothing was touched; it would act on process {process.pid} ")


@pytest.mark.parametrize("target, sentence", [
    ({"process": "no-such-process"}, "no process is called 'no-such-process'"),
    ({"process": {"name": "sleep", "user": "no-such-user"}}, "no user is called 'no-such-user'"),
    ({"unit": "no-such-unit"}, "no control group belongs to unit 'no-such-unit'"),
    ({"cgroup": "/no/such/group"}, "there is no control group '/no/such/group'"),
    ({"container": "0123456789ab"}, "no control group belongs to container '0123456789ab'"),
    ({"container": "web"}, "container: 'web' is not 12 or more hexadecimal digits of an id"),
])
def test_what_is_not_there_is_said(lab, target, sentence):
    assert dry_run(lab, target) == (4, sentence)


def test_what_has_the_name_in_its_command_line_is_pointed_at(lab, bystander):
    process = bystander("ce-hinted")
    reason = dry_run(lab, {"process": "hinted"})[1]
    assert reason.startswith(f"no process is called 'hinted'; 1 has it in its command line: pid {process.pid} (")
    assert reason.endswith("; target.pid names one")


@pytest.mark.parametrize("fault, target, sentence", [
    ("network_latency", {"path": "/"}, "target.path names no packets, and network_latency acts on packets"),
    ("disk_full", {"interface": "lo"}, "target.interface names no files, and disk_full acts on files"),
    ("node_failure", {"path": "/"}, "target.path names no processes, and node_failure acts on processes"),
])
def test_a_target_of_another_kind_is_said_to_be_that(lab, fault, target, sentence):
    status, reason = dry_run(lab, target, fault)
    assert status == 4
    assert reason.startswith(sentence)


@pytest.mark.parametrize("fault, parameters, sentence", [
    ("node_failure", {"failure_type": "crash", "slow_percent": 50}, "slow_percent: 50 plays no part with failure_type crash"),
    ("node_failure", {"failure_type": "hang", "slow_percent": 50}, "slow_percent: 50 plays no part with failure_type hang"),
    ("node_failure", {"failure_type": "hang", "restart": "owner"}, "restart: only failure_type crash has something to restart"),
    ("dns_failure", {"mode": "timeout", "address": "192.0.2.7"}, "address: '192.0.2.7' plays no part with mode timeout"),
    ("memory_pressure", {"mechanism": "hog", "group_floor_mb": 4}, "group_floor_mb: 4 plays no part with mechanism hog"),
    ("memory_pressure", {"mechanism": "limit", "floor_mb": 4}, "floor_mb: 4 plays no part with mechanism limit"),
    ("network_latency", {"jitter_ms": 0, "correlation": 0.5}, "correlation: 0.5 plays no part with jitter_ms 0"),
])
def test_parameters_that_play_no_part_are_refused(lab, fault, parameters, sentence):
    result = lab.run("validate", lab.document(fault, parameters=parameters))
    assert result.returncode == 2
    assert sentence in result.stderr


def test_several_of_that_name_are_listed(lab, bystander):
    one, other = bystander("ce-several"), bystander("ce-several")
    status, reason = dry_run(lab, {"process": "ce-several"})
    assert status == 4
    assert "2 processes are called 'ce-several'" in reason
    assert str(one.pid) in reason and str(other.pid) in reason


def test_what_the_operator_stands_on_is_denied(lab):
    status, reason = dry_run(lab, {"pid": os.getpid()})
    assert status == 4
    assert "ChaosEater itself runs below it" in reason and "i_know: true" in reason


@pytest.mark.parametrize("target, place, sentence", [
    ({"pid": 7, "unit": "x"}, True, "target: names two things, pid and unit; it takes one"),
    ({"pid": 0}, True, "pid: 0 is outside 1..2147483647"),
    ({"prozess": "x"}, True, "unknown key 'prozess' of target; did you mean 'process'?"),
    ({"process": {"user": "x"}}, True, "the key 'name' of process is missing"),
    ({"pipeline": False}, True, "target: names nothing"),
    ("x", True, "target: takes a mapping"),
])
def test_bad_keys_are_refused_with_their_place(lab, target, place, sentence):
    result = lab.run("validate", lab.document("node_failure", target=target))
    assert result.returncode == 2
    assert sentence in result.stderr
    assert ("plan.yaml:1:" in result.stderr) == place


def test_only_infrastructure_faults_take_another_target(lab):
    result = lab.run("validate", lab.document("missing_data", target={"pid": 7}))
    assert result.returncode == 2
    assert "target: missing_data acts on the pipeline under test" in result.stderr


def test_a_target_from_the_command_line(lab, bystander):
    process = bystander("ce-cli")
    document = lab.document("node_failure", parameters={"failure_type": "hang"})
    status, report = lab.run_json("run", document, "--dry-run", "--set", f"target.pid={process.pid}")
    assert status == 0
    assert report["runs"][0]["detail"].startswith(f"dry run: nothing was touched; it would act on process {process.pid} ")
    result = lab.run("validate", document, "--set", "target.prozess=x")
    assert result.returncode == 2
    assert "--set target.prozess=x: unknown key 'prozess' of target" in result.stderr


def test_a_process_of_the_hosts_hangs_and_goes_on(lab, bystander):
    process = bystander("ce-hangs")
    document = lab.document("node_failure", target={"pid": process.pid}, parameters={"failure_type": "hang", "mechanism": "stop"})
    run = lab.start("run", document, "--json")
    wait_for(lambda: Lab.process_state(process.pid) == "T", "the target stands still")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    report = json.loads(out)["runs"][0]
    assert report["verified"] and report["rollback"]["verified"]
    assert Lab.process_state(process.pid) == "S"
    assert report["target"] == f"process {process.pid} (ce-hangs)"


def test_a_target_that_is_gone_by_the_time_of_injection(lab, bystander):
    process = bystander("ce-gone")
    document = lab.document("node_failure", target={"process": "ce-gone"}, baseline="2s", parameters={"failure_type": "hang"})
    run = lab.start("run", document, "--json")
    wait_for(lambda: any("server" in command for command in lab.processes().values()), "the pipeline runs")
    process.kill()
    process.wait()
    out, err = run.communicate(timeout=60)
    assert run.returncode == 4, err
    assert "the target has gone since it was looked for" in json.loads(out)["runs"][0]["reason"]
    lab.clean_soon()


# ---- places of somebody else's

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make network namespaces and to become another user")


@pytest.fixture
def server_in_a_network(tmp_path):
    """A web server in a network namespace of its own, in which there is nothing else: its process."""
    server = f"ip link set lo up && exec {sys.executable} -m http.server 8000 --bind 127.0.0.1 --directory {tmp_path}"
    process = subprocess.Popen(["unshare", "--net", "sh", "-c", server], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: b":1F40 " in open(f"/proc/{process.pid}/net/tcp", "rb").read(), "the server listens")
    yield process
    process.kill()
    process.wait()


def rules_in(process):
    return subprocess.run(["nsenter", "-t", str(process.pid), "-n", "nft", "list", "ruleset"], capture_output=True, text=True,
                          check=True).stdout


@NEEDS_ROOT
@pytest.mark.skipif(not shutil.which("nft"), reason="nft is not there to look with")
def test_two_delays_on_one_target_add_up(lab, server_in_a_network):
    """Of runs of two state folders, which know nothing of each other."""
    target, parameters = {"pid": server_in_a_network.pid}, {"latency_ms": 30, "jitter_ms": 0, "mechanism": "nfqueue"}
    first = lab.document("network_latency", "first.yaml", target=target, parameters=parameters, duration="14s")
    runs = [lab.start("run", first, "--json")]
    wait_for(lambda: "queue" in rules_in(server_in_a_network).lower(), "the first delay's rules")
    with Lab() as other:
        second = other.document("network_latency", "second.yaml", target=target, parameters=parameters, baseline="3s")
        runs.append(other.start("run", second, "--json"))
        for run in runs:
            out, err = run.communicate(timeout=60)
            assert json.loads(out)["runs"][0]["verified"], (out, err)
        other.clean_soon()
    assert rules_in(server_in_a_network) == ""
    lab.clean_soon()


@NEEDS_ROOT
def test_without_a_name_server_nothing_is_injected_and_nothing_dirty(lab, server_in_a_network):
    status, report = lab.run_json("run", lab.document("dns_failure", target={"pid": server_in_a_network.pid}))
    assert (status, report["runs"][0]["status"]) == (4, "failed"), report["runs"][0]
    lab.clean_soon()


@NEEDS_ROOT
def test_the_devices_of_a_process_of_the_hosts(lab, bystander):
    parameters = {"devices": ["/dev/full"], "mechanism": "cgroup_bpf"}
    document = lab.document("gpu_unavailable", target={"pid": bystander("ce-device").pid}, parameters=parameters)
    status, report = lab.run_json("run", document)
    assert (status, report["runs"][0]["verified"]) == (0, True), report["runs"][0]
    lab.clean_soon()


@pytest.mark.parametrize("fault", ["network_latency", "packet_loss", "bandwidth_limit", "network_partition"])
def test_packets_of_the_host_are_not_an_ordinary_user_s_to_touch(fault):
    with lab_of("ordinary_user") as lab:
        server = subprocess.Popen([*AS_NOBODY, sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"], cwd="/",
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: any(link.startswith("socket:") for link in links(server.pid)), "the server listens")
            document = lab.document(fault, target={"pid": server.pid})
            for _ in range(2):  # the second run finds nothing of the first
                status, report = lab.run_json("run", document)
                run = report["runs"][0]
                assert (status, run["status"]) == (4, "failed"), run
                assert "packets in the host's network namespace are root's to touch" in run["reason"]
        finally:
            server.kill()
            server.wait()


def links(pid):
    """What its descriptors are, as far as can be seen."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass
    return found
