# SPDX-License-Identifier: MIT
"""Two invocations of chaoseater at once: a fault that one has brought upon something, the other does not bring upon it, too."""
import contextlib
import json
import re

import pytest
from lab import Lab, wait_for
from test_http_pipeline import experiment, server, write
from test_suite import sleeper

TIME = {"duration": "60s", "baseline": "300ms"}
SHORT = {"duration": "300ms", "baseline": "300ms"}


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab
        lab.clean_soon()


def document(lab, process, time, name="plan.yaml", count=1, **more):
    """Experiments that make one process of the host stand still."""
    hang = {"layer": "infrastructure", "fault_type": "node_failure", "target": {"pid": process.pid},
            "parameters": {"failure_type": "hang", "mechanism": "stop"}, **time}
    path = lab.folder / name
    path.write_text(json.dumps({"pipeline": {"rate": 50, "rows": 300}, **more,
                                "experiments": [{"name": f"{path.stem}_{i}", **hang} for i in range(count)]}))
    return path


def stands(process):
    return Lab.process_state(process.pid) == "T"


def journals(lab):
    return list((lab.state / "journal").glob("*.cej"))


@contextlib.contextmanager
def acted_on(lab, path, process, *options):
    """A run that has made the process stand still, and is ended."""
    first = lab.start("run", path, "--json", *options)
    wait_for(lambda: stands(process) or first.poll() is not None, "the first run's fault")
    assert stands(process), first.communicate()
    try:
        yield first
    finally:
        if first.poll() is None:
            first.terminate()
            first.communicate(timeout=60)
    assert not stands(process)


def assert_refused(code, suite, thing, who, fault="node_failure"):
    run = suite["runs"][0]
    assert (code, run["status"], run["reason"], run["verdict"]) == (4, "skipped", "preflight", "inconclusive"), run
    sentence = f"{re.escape(thing)} is under {fault} by another run \\({who}, process \\d+\\): each would take the other's effect for its own"
    assert re.fullmatch(sentence, run["detail"]), run["detail"]
    assert not run["verified"]


@pytest.mark.parametrize("options", [[], ["--parallel", "2"]], ids=["one by one", "beside each other"])
def test_one_target_is_acted_on_by_one_run(lab, options):
    with sleeper() as process:
        slow, quick = document(lab, process, TIME, "slow.yaml"), document(lab, process, SHORT, "quick.yaml", count=2)
        with acted_on(lab, slow, process, *options) as first:
            before = journals(lab)
            code, suite = lab.run_json("run", quick, *options)
            assert len(suite["runs"]) == 2
            assert_refused(code, suite, f"process {process.pid} (sleep)", "slow_0")
            assert stands(process)  # nor was anything put back
            assert journals(lab) == before
            if not options:
                said = lab.run_json("run", quick, "--dry-run")[1]["runs"][0]
                assert f"is under node_failure by another run (slow_0, process {first.pid})" in said["detail"]
            assert lab.run("gate", quick, *options).returncode == 4
        code, suite = lab.run_json("run", quick, *options)
        assert (code, [run["verified"] for run in suite["runs"]]) == (0, [True, True]), suite


def test_runs_on_different_targets_run_at_once(lab):
    with sleeper() as one, sleeper() as other:
        with acted_on(lab, document(lab, one, TIME, "one.yaml"), one) as first:
            code, suite = lab.run_json("run", document(lab, other, SHORT, "other.yaml"))
            assert (code, suite["runs"][0]["verified"]) == (0, True), suite
            assert first.poll() is None and stands(one)


def test_another_fault_may_be_brought_upon_the_same_thing(lab):
    with sleeper() as process:
        waits = document(lab, process, TIME, "waits.yaml")
        plan = json.loads(waits.read_text())
        plan["experiments"][0] |= {"fault_type": "cpu_throttle", "parameters": {"throttle_percent": 0}}
        waits.write_text(json.dumps(plan))
        with acted_on(lab, document(lab, process, TIME, "hangs.yaml"), process):
            second = lab.start("run", waits, "--json")
            wait_for(lambda: len(journals(lab)) == 2 or second.poll() is not None, "the second run")
            assert second.poll() is None, second.communicate()
            second.terminate()
            second.communicate(timeout=60)


def test_a_pipeline_of_its_own_is_in_nobodys_way(lab):
    with sleeper() as process, acted_on(lab, document(lab, process, TIME), process):
        code, suite = lab.run_json("run", lab.document("slow_inference", "own.yaml"))
        assert (code, suite["runs"][0]["verified"]) == (0, True), suite


@pytest.mark.parametrize("options", [[], ["--parallel", "2"]], ids=["one by one", "beside each other"])
def test_after_a_kill_the_target_is_free_once_it_is_back(lab, options):
    with sleeper() as process:
        with acted_on(lab, document(lab, process, TIME), process, *options) as first:
            first.kill()
            first.communicate()
            code, suite = lab.run_json("run", document(lab, process, SHORT, "next.yaml"))
            assert (code, suite["runs"][0]["verified"]) == (0, True), suite


def test_a_suite_that_goes_on_leaves_alone_what_another_run_took_meanwhile(lab):
    """The suite is at its first experiment when the other run takes the second one's target."""
    with sleeper() as one, sleeper() as other:
        first = document(lab, one, {**TIME, "duration": "3s"}, "first.yaml")
        plan = json.loads(first.read_text())
        plan["experiments"] += json.loads(document(lab, other, SHORT, "second.yaml").read_text())["experiments"]
        first.write_text(json.dumps(plan))
        suite = lab.start("run", first, "--json")
        wait_for(lambda: stands(one), "the suite's first fault")
        with acted_on(lab, document(lab, other, TIME, "other.yaml"), other):
            out, err = suite.communicate(timeout=60)
            runs = json.loads(out)["runs"]
            assert [run["status"] for run in runs] == ["completed", "skipped"], (runs, err)
            assert runs[1]["detail"].startswith(f"process {other.pid} (sleep) is under node_failure by another run (other_0, ")


def test_one_server_is_driven_by_one_run(lab):
    with server("mlflow", "--answer", "class") as port:
        url = f"http://127.0.0.1:{port}"
        slow = write(lab.folder, {"url": url}, {**experiment("slow_inference", latency_ms=60), "duration": "60s"}, name="slow.yaml")
        quick = write(lab.folder, {"url": url}, name="quick.yaml")
        first = lab.start("run", slow, "--json")
        wait_for(lambda: journals(lab), "the first run")
        code, suite = lab.run_json("run", quick)
        assert_refused(code, suite, f"server {url}", "slow_inference", "slow_inference")
        first.terminate()
        first.communicate(timeout=60)
        code, suite = lab.run_json("run", quick)
        assert (code, suite["runs"][0]["verified"]) == (0, True), suite


def test_of_two_that_begin_together_one_runs(lab):
    with sleeper() as process:
        path = document(lab, process, {**SHORT, "duration": "2s"})
        both = [lab.start("run", path, "--json") for _ in range(2)]
        ended = [(json.loads(run.communicate(timeout=60)[0])["runs"][0], run.returncode) for run in both]
        seen = sorted((code, run["status"], run["verified"]) for run, code in ended)
        assert seen == [(0, "completed", True), (4, "skipped", False)], ended
