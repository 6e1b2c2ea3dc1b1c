# SPDX-License-Identifier: MIT
"""The stream of events: in a file, on standard output, and at the sockets of who watches."""
import contextlib
import fcntl
import json
import os
import signal
import socket
import threading

import pytest

from lab import Lab, wait_for

PHASES = ["preflight", "baseline", "injecting", "verifying", "observing", "rolling_back", "verifying_undo", "recovering"]
OF_A_RUN = {"run_started", "phase", "sample", "run_ended"}


def plan(lab, *names, **more):
    """Runs of a second and a half each, so that there are samples."""
    experiments = [{"name": name, "layer": "model", "fault_type": "slow_inference", "duration": "1s", "baseline": "600ms",
                    "parameters": {"latency_ms": 60, "variance": 0}, **more} for name in names]
    path = lab.folder / "events.yaml"
    path.write_text(json.dumps({"seed": 7, "pipeline": {"rate": 50, "rows": 300}, "experiments": experiments}))
    return path


def parse(text):
    return [json.loads(line) for line in text.splitlines()]


def named(events, name, run=None):
    return [event for event in events if event["event"] == name and run in (None, event.get("run"))]


class Watcher:
    """Somebody who watches, and reads only when asked to."""

    def __init__(self, lab, name="someone.sock"):
        folder = lab.state / "watch"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / name
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.text = b""

    def read(self):
        self.listener.settimeout(60)
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(60)
        while piece := self.connection.recv(65536):
            self.text += piece
        return parse(self.text.decode())

    def read_aside(self):
        thread = threading.Thread(target=self.read, daemon=True)
        thread.start()
        return thread

    def so_far(self):
        return parse(self.text.rpartition(b"\n")[0].decode())

    def close(self):
        self.listener.close()
        with contextlib.suppress(AttributeError):
            self.connection.close()


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


def check_order(events, runs, report):
    """What has to hold of every stream: begin, runs that are whole and in order, end."""
    assert events[0]["event"] == "suite_started" and events[-1]["event"] == "suite_ended"
    assert len({event["suite"] for event in events}) == 1
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    assert [run["experiment"] for run in events[0]["runs"]] == runs
    assert [run["run"] for run in events[0]["runs"]] == list(range(len(runs)))
    for i, run in enumerate(report["runs"]):
        of_run = [event for event in events if event["event"] in OF_A_RUN and event["run"] == i]
        assert of_run[0]["event"] == "run_started" and of_run[-1]["event"] == "run_ended"
        assert {event["id"] for event in of_run} == {run["id"]}
        assert [event["phase"] for event in named(of_run, "phase")] == PHASES
        assert of_run[-1]["record"] == run


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_file_of_events_tells_the_whole_suite_in_order(lab, parallel):
    path = plan(lab, "one", "two")
    code, report = lab.run_json("run", path, "--events", "events.jsonl", "--parallel", parallel)
    events = parse((lab.folder / "events.jsonl").read_text())
    assert code == 0
    check_order(events, ["one", "two"], report)
    assert events[-1]["exit_code"] == 0 and events[-1]["signal"] == 0 and events[-1]["warning"] is None


def test_samples_measure_what_the_fault_does(lab):
    code, report = lab.run_json("run", plan(lab, "slow", duration="2s", baseline="1200ms"), "--events", "events.jsonl")
    samples = named(parse((lab.folder / "events.jsonl").read_text()), "sample")
    before = [s for s in samples if s["phase"] == "baseline" and s["operations"] > 0]
    under = [s for s in samples if s["phase"] == "observing" and s["elapsed"] > before[-1]["elapsed"] + 1]
    assert code == 0 and before and under
    assert all(s["intensity"] == 0 and s["p50_ms"] < 50 for s in before), before
    assert all(s["intensity"] == 1 and s["p50_ms"] > 55 and s["p99_ms"] >= s["p50_ms"] for s in under), under
    assert all(s["errors"] == 0 and 0 < s["accuracy"] <= 1 and s["throughput"] > 0 for s in under)
    assert all(0 <= s["fraction"] <= 1 for s in samples)
    gaps = [b["elapsed"] - a["elapsed"] for a, b in zip(samples, samples[1:])]
    assert min(gaps) >= 0.5 - 1e-6, gaps
    assert report["runs"][0]["verdict"] == "passed"


def test_standard_output_has_nothing_but_events(lab):
    result = lab.run("run", plan(lab, "one"), "--events", "-")
    events = parse(result.stdout)
    assert result.returncode == 0
    assert [event["event"] for event in events][:2] == ["suite_started", "run_started"]
    assert events[-1]["event"] == "suite_ended"


def test_a_file_is_added_to(lab):
    path = plan(lab, "one", duration="300ms", baseline="300ms")
    for _ in range(2):
        assert lab.run("run", path, "--events", "events.jsonl").returncode == 0
    events = parse((lab.folder / "events.jsonl").read_text())
    assert len({event["suite"] for event in events}) == 2
    assert [event["event"] for event in events if event["event"].startswith("suite_")] == ["suite_started", "suite_ended"] * 2


def test_an_interrupted_suite_says_so(lab):
    path = plan(lab, "one", "two", duration="30s")
    process = lab.start("run", path, "--events", "events.jsonl")
    file = lab.folder / "events.jsonl"
    wait_for(lambda: file.exists() and '"observing"' in file.read_text(), "the fault is live")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    events = parse(file.read_text())
    assert process.returncode == 130
    assert events[-1]["event"] == "suite_ended" and events[-1]["signal"] == 2 and events[-1]["exit_code"] == 130
    # Also the one that the suite did not come to.
    assert [e["record"]["status"] for e in named(events, "run_ended")] == ["interrupted", "interrupted"]
    lab.clean_soon()


def test_an_experiment_of_the_chaos_toolkit_has_events_too(lab):
    path = lab.folder / "toolkit.json"
    true = {"name": "a", "provider": {"type": "process", "path": "true"}}
    path.write_text(json.dumps({"title": "theirs", "description": "d", "method": [{"type": "action", **true}],
                                "steady-state-hypothesis": {"title": "t", "probes": [{"type": "probe", "tolerance": 0, **true}]}}))
    code, report = lab.run_json("run", path, "--events", "events.jsonl")
    events = parse((lab.folder / "events.jsonl").read_text())
    assert code == 0
    assert events[0]["runs"][0]["experiment"] == "theirs" and events[0]["runs"][0]["fault_type"] == "chaostoolkit"
    assert named(events, "phase") and named(events, "run_ended")[0]["record"] == report["runs"][0]
    assert events[-1]["event"] == "suite_ended" and events[-1]["exit_code"] == 0


# ---- who watches ----

def test_a_watcher_is_told_the_same_as_the_file(lab):
    watcher = Watcher(lab)
    thread = watcher.read_aside()
    code, report = lab.run_json("run", plan(lab, "one"), "--events", "events.jsonl")
    thread.join(60)
    told = parse(watcher.text.decode())
    assert code == 0 and told == parse((lab.folder / "events.jsonl").read_text())
    check_order(told, ["one"], report)


def test_a_watcher_that_comes_later_gets_the_past_without_samples(lab):
    process = lab.start("run", plan(lab, "one", duration="30s"), "--events", "events.jsonl")
    file = lab.folder / "events.jsonl"
    wait_for(lambda: file.exists() and file.read_text().count('"sample"') > 3, "samples were said")
    watcher = Watcher(lab)
    thread = watcher.read_aside()
    wait_for(lambda: named(watcher.so_far(), "sample"), "the watcher is told")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    thread.join(60)
    told, written = watcher.so_far(), parse(file.read_text())
    assert len(named(told, "sample")) < len(named(written, "sample"))
    assert [e for e in told if e["event"] != "sample"] == [e for e in written if e["event"] != "sample"]
    assert told[-1]["event"] == "suite_ended"


def test_the_suite_is_known_by_the_credentials_of_its_connection(lab):
    watcher = Watcher(lab)
    process = lab.start("run", plan(lab, "one"), "--events", "events.jsonl")
    watcher.listener.settimeout(60)
    connection, _ = watcher.listener.accept()
    pid = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")
    with connection.makefile() as lines:
        assert json.loads(lines.readline())["pid"] == process.pid == pid
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_watcher_that_never_reads_is_in_nobodys_way(lab):
    watcher = Watcher(lab)
    names = [f"{'n' * 90}{i}" for i in range(4)]
    code, report = lab.run_json("run", plan(lab, *names, duration="300ms", baseline="300ms"), "--events", "events.jsonl")
    assert code == 0
    check_order(parse((lab.folder / "events.jsonl").read_text()), names, report)
    watcher.close()


def test_the_socket_of_one_that_has_gone_is_removed(lab):
    gone = Watcher(lab, "gone.sock")
    gone.close()
    assert lab.run("run", plan(lab, "one", duration="300ms", baseline="300ms")).returncode == 0
    assert not gone.path.exists()


def test_a_dry_run_says_nothing(lab):
    watcher = Watcher(lab)
    assert lab.run("run", plan(lab, "one"), "--dry-run", "--events", "events.jsonl").returncode == 0
    assert not (lab.folder / "events.jsonl").exists()
    watcher.listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        watcher.listener.accept()


# ---- what goes wrong ----

@pytest.mark.parametrize("options, says", [
    (["--events", "-", "--json"], "--events: '-' cannot go to standard output, where --json prints"),
    (["--events", "-", "--report", "tap=-"], "'tap=-' is the second one for standard output"),
    (["--events", "no/such/events.jsonl"], "--events: cannot write 'no/such/events.jsonl': folder 'no/such': No such file"),
    (["--events", "."], "--events: '.' is a folder"),
    (["--events", "x", "--hits", "x"], "--events: 'x' is the file of --hits; each takes a file of its own"),
    (["--events", "x", "--report", "json=x"], "--report: 'x' is the file of --events; each takes a file of its own"),
])
def test_a_file_that_cannot_be_is_refused_before_anything_runs(lab, options, says):
    result = lab.run("run", plan(lab, "one"), *options)
    assert result.returncode == 2
    assert says in result.stderr + result.stdout


def test_a_full_disk_costs_events_and_nothing_else(lab):
    result = lab.run("run", plan(lab, "one", duration="300ms", baseline="300ms"), "--events", "/dev/full")
    assert result.returncode == 0
    assert "events are missing in '/dev/full': No space left on device" in result.stderr
    assert "passed" in result.stdout


def test_a_reader_that_leaves_costs_events_and_nothing_else(lab):
    process = lab.start("run", plan(lab, "one"), "--events", "-", "--report", "json=report.json")
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    error = process.stderr.read()
    assert process.wait(60) == 0
    assert "events are missing in '-': Broken pipe" in error
    assert json.loads((lab.folder / "report.json").read_text())["runs"][0]["verdict"] == "passed"


def test_a_reader_that_is_too_slow_costs_events_and_nothing_else(lab):
    pipe = lab.folder / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    result = lab.run("run", plan(lab, "one", duration="300ms", baseline="300ms"), "--events", "pipe")
    os.close(reader)
    assert result.returncode == 0
    assert "events are missing in 'pipe': its reader is too slow" in result.stderr


def test_a_pipe_without_a_reader_is_refused(lab):
    os.mkfifo(lab.folder / "pipe")
    result = lab.run("run", plan(lab, "one"), "--events", "pipe")
    assert result.returncode == 4
    assert "cannot write events to 'pipe': nobody reads it" in result.stderr
