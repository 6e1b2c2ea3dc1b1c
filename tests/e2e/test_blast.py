# SPDX-License-Identifier: MIT
"""`blast_radius`: nothing beyond it is hit, as a server, a batch job and the processes themselves see it; the same seed
chooses the same; and what is refused."""
import csv
import ctypes
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lab import Lab, wait_for


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


def write(lab, pipeline, *experiments, seed=7):
    path = lab.folder / "plan.yaml"
    path.write_text(json.dumps({"seed": seed, "pipeline": pipeline, "experiments": list(experiments)}))  # JSON is YAML
    return path


def run_one(lab, document, code=0):
    status, report = lab.run_json("run", document)
    assert status == code, report
    return report["runs"][0]


# ---- requests

REQUESTS = 200  # under the fault: two seconds of 100

@pytest.fixture
def server():
    """A model server that answers everything with 1, and keeps the ids of what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.server.ids.append(self.headers["X-Request-Id"])
            body = b'{"score": 1}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.ids = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def hit_requests(lab, server, radius, seed=7, **parameters):
    """The numbers of the requests under the fault that never came to the server, and the report."""
    (lab.folder / "data.csv").write_text("a,label\n" + "".join(f"{i},1\n" for i in range(50)))
    server.ids.clear()
    document = write(lab, {"kind": "http", "url": f"http://127.0.0.1:{server.server_port}/score", "protocol": "json", "rate": 100,
                           "request": '{"a": {{a}}}', "prediction": "$.score", "dataset": "data.csv", "label": "label"},
                     {"name": "gone", "layer": "model", "fault_type": "model_unavailable", "duration": "2s", "baseline": "500ms",
                      "blast_radius": radius, "parameters": parameters}, seed=seed)
    run = run_one(lab, document)
    assert run["verified"] and run["rollback"]["verified"]
    came = {int(match[1]) for id in server.ids if (match := re.fullmatch(r"f-(\d+)", id or ""))}
    others = {id for id in server.ids if id and re.fullmatch(r"[br]-\d+", id)}
    assert others, "healthy requests come to the server"
    return set(range(REQUESTS)) - came, run


def test_a_share_of_the_requests_is_hit_and_the_same_ones_again(lab, server):
    hit, run = hit_requests(lab, server, "30%")
    radius = run["blast_radius"]
    assert radius["of"] == "requests" and radius["mode"] == "percent" and radius["share"] == 0.3
    assert 35 <= len(hit) <= 85  # 60 of 200 are expected, with a deviation of 6.5
    assert radius["chosen"] == [len(hit)] and radius["eligible"] == REQUESTS
    assert run["metrics"]["error_count"] == len(hit)
    again, _ = hit_requests(lab, server, {"of": "requests", "mode": "percent", "value": 30})
    assert again == hit
    fewer, _ = hit_requests(lab, server, "10%")
    assert fewer < hit
    other, _ = hit_requests(lab, server, "30%", seed=8)
    assert other != hit


def test_the_share_of_the_fault_counts_within_the_radius(lab, server):
    wide, _ = hit_requests(lab, server, "all", share=0.5)
    narrow, run = hit_requests(lab, server, "50%", share=0.5)
    assert narrow < wide
    assert run["blast_radius"]["eligible"] == len(wide) and run["blast_radius"]["chosen"] == [len(narrow)]


def test_a_number_of_requests_are_the_first(lab, server):
    hit, run = hit_requests(lab, server, {"mode": "fixed", "value": 5})
    assert hit == {0, 1, 2, 3, 4}
    assert run["blast_radius"] == {"of": "requests", "mode": "fixed", "eligible": REQUESTS, "chosen": [5]}
    hit, _ = hit_requests(lab, server, "one")
    assert hit == {0}


def test_a_random_share_stays_below_its_bound(lab, server):
    hit, run = hit_requests(lab, server, {"mode": "random_max_percent", "value": 40})
    assert 0 < run["blast_radius"]["share"] <= 0.4
    assert len(hit) <= 110
    assert run["blast_radius"]["chosen"] == [len(hit)]


@pytest.mark.parametrize("fault, percent", [("slow_inference", 0.0001), ("model_unavailable", 1e-7), ("slow_inference", 1e-7)])
def test_a_share_that_is_no_request_is_inconclusive(lab, fault, percent):
    """With the second no probe could be hit either: that is neither a fault without effect nor something left behind."""
    run = run_one(lab, write(lab, {}, {"name": "x", "layer": "model", "fault_type": fault, "duration": "1s", "baseline": "500ms",
                                       "blast_radius": {"mode": "percent", "value": percent}}), code=4)
    assert (run["status"], run["verdict"]) == ("completed", "inconclusive"), run
    assert "the fault found nothing to hit" in run["reason"] and run["rollback"]["verified"]
    if percent == 0.0001:
        assert re.search(r"blast_radius: 0\.0001 percent of \d+ requests is none", run["reason"]), run["reason"]


# ---- rows


def changed_dataset(lab, fault, parameters, radius, seed=7):
    """The dataset as a trial under the fault found it, the original, and the report."""
    original = "id,a,b\n" + "".join(f"{i},{i * 7 % 101},{i * 3 % 17}\n" for i in range(200))
    (lab.folder / "data.csv").write_text(original)
    job = "import os, sys\nopen(sys.argv[1], 'a').write(open(os.environ['CHAOSEATER_DATASET']).read() + '\\f')\n"
    (lab.folder / "job.py").write_text(job)
    seen = lab.folder / f"seen-{len(list(lab.folder.iterdir()))}"
    document = write(lab, {"kind": "command", "command": [sys.executable, "job.py", str(seen)], "dataset": "data.csv", "trials": 1},
                     {"name": "rows", "layer": "data", "fault_type": fault, "duration": "100ms", "blast_radius": radius,
                      "parameters": parameters}, seed=seed)
    run = run_one(lab, document)
    assert run["verified"] and run["rollback"]["verified"]
    tables = [list(csv.reader(io.StringIO(text))) for text in seen.read_text().split("\f")[:-1]]
    before = list(csv.reader(io.StringIO(original)))
    changed = [table for table in tables if table != before]
    assert changed and tables[0] == before
    return changed[0], before, run


def rows_with_changes(changed, before):
    assert len(changed) == len(before)
    return {i for i, (row, was) in enumerate(zip(changed, before)) if row != was}


def test_only_chosen_rows_are_changed(lab):
    parameters = {"missing_rate": 1, "columns": ["a", "b"]}
    changed, before, run = changed_dataset(lab, "missing_data", parameters, "10%")
    rows = rows_with_changes(changed, before)
    assert len(rows) == 20
    assert all(changed[i][1:] == ["", ""] for i in rows)  # the same rows in every column
    assert run["blast_radius"] == {"of": "rows", "mode": "percent", "share": 0.1, "eligible": 200, "chosen": [20]}
    assert run["fault"]["eligible"] == 40
    more, _, _ = changed_dataset(lab, "missing_data", parameters, {"of": "rows", "mode": "fixed", "value": 50})
    assert rows < rows_with_changes(more, before) and len(rows_with_changes(more, before)) == 50
    other, _, _ = changed_dataset(lab, "missing_data", parameters, "10%", seed=8)
    assert rows_with_changes(other, before) != rows


def test_the_rate_counts_within_the_radius(lab):
    changed, before, run = changed_dataset(lab, "missing_data", {"missing_rate": 0.5, "columns": "a", "exact": True}, "50%")
    assert len(rows_with_changes(changed, before)) == 50  # half of half of 200
    assert run["fault"]["eligible"] == 100


def test_rows_are_dropped_within_the_radius(lab):
    changed, before, run = changed_dataset(lab, "row_drop", {"drop_rate": 1}, {"mode": "fixed", "value": 7})
    assert len(changed) == len(before) - 7
    assert run["blast_radius"]["chosen"] == [7]


# ---- processes

NAP = f"nap-{os.getpid()}"  # a name that nothing else has


@pytest.fixture
def naps(tmp_path):
    """Four processes of a name that nothing else has."""
    program = tmp_path / NAP
    program.symlink_to("/bin/sleep")
    processes = [subprocess.Popen([program, "600"], preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)) for _ in range(4)]
    for process in processes:
        wait_for(lambda: Lab.process_state(process.pid) == "S", "it sleeps")
    yield [process.pid for process in processes]
    for process in processes:
        process.kill()
        process.wait()


def stopped_by(lab, naps, radius, seed=7):
    """The processes that stood still at once while the run went on, and its report."""
    document = lab.document("node_failure", duration="1500ms", target={"process": NAP}, blast_radius=radius, seed=seed,
                            parameters={"failure_type": "hang", "mechanism": "stop"})
    process = lab.start("run", document, "--json")
    seen = set()
    while process.poll() is None:
        seen |= {pid for pid in naps if Lab.process_state(pid) == "T"}
    out, _ = process.communicate()
    assert {Lab.process_state(pid) for pid in naps} == {"S"}
    run = json.loads(out)["runs"][0]
    assert run["status"] == "completed" and run["verified"] and run["rollback"]["verified"], run
    return seen, run


@pytest.mark.parametrize("radius, count", [
    ("one", 1),
    ({"of": "processes", "mode": "fixed", "value": 3}, 3),
    ("50%", 2),
    ("all", 4),
], ids=["one", "fixed", "percent", "all"])
def test_exactly_the_chosen_processes_stand_still(lab, naps, radius, count):
    seen, run = stopped_by(lab, naps, radius)
    assert len(seen) == count
    assert run["blast_radius"]["eligible"] == 4
    assert run["blast_radius"]["chosen"] == [f"process {pid} ({NAP})" for pid in sorted(seen)]
    assert run["fault"]["changed"] == count


def test_the_dry_run_says_who_would_be_chosen(lab, naps):
    document = lab.document("node_failure", target={"process": NAP}, blast_radius="50%", parameters={"failure_type": "hang"})
    status, report = lab.run_json("run", document, "--dry-run")
    named = [pid for pid in naps if f"process {pid} " in report["runs"][0]["detail"]]
    assert status == 0 and len(named) == 2


def test_a_run_that_is_killed_lets_all_of_them_go(lab, naps):
    document = lab.document("node_failure", duration="60s", target={"process": NAP}, blast_radius="all",
                            parameters={"failure_type": "hang", "mechanism": "stop"})
    process = lab.start("run", document)
    wait_for(lambda: {Lab.process_state(pid) for pid in naps} == {"T"}, "all stand still")
    process.kill()
    process.communicate()
    wait_for(lambda: {Lab.process_state(pid) for pid in naps} == {"S"}, "none stands still")
    lab.clean_soon()


# ---- what is refused

SLOW = {"name": "x", "layer": "model", "fault_type": "slow_inference"}
HANG = {"name": "x", "layer": "infrastructure", "fault_type": "node_failure", "parameters": {"failure_type": "hang"}}
MISSING = {"name": "x", "layer": "data", "fault_type": "missing_data"}


@pytest.mark.parametrize("experiment, radius, sentence", [
    (SLOW, "101%", "value: 101 is no share in percent; mode percent takes a number above 0, up to 100"),
    (SLOW, "0%", "value: 0 is no share in percent; mode percent takes a number above 0, up to 100"),
    (SLOW, {"mode": "random_max_percent", "value": -1}, "value: -1 is outside"),
    (SLOW, {"mode": "fixed", "value": 0}, "value: 0 is not how many there are to be; mode fixed takes a whole number, 1 or more"),
    (SLOW, {"mode": "fixed", "value": 1.5}, "value: 1.5 is not how many there are to be"),
    (SLOW, {"mode": "fixed"}, "the key 'value' of blast_radius is missing; mode fixed takes a whole number, 1 or more"),
    (SLOW, {"mode": "percent"}, "the key 'value' of blast_radius is missing; mode percent takes a number above 0, up to 100"),
    (SLOW, {"mode": "random_max_percent"}, "the key 'value' of blast_radius is missing; mode random_max_percent takes"),
    (SLOW, {"mode": "one", "value": 1}, "value: mode one takes none"),
    (SLOW, {"mode": "some"}, "mode: 'some' is not one of one, all, fixed, percent, random_max_percent"),
    (SLOW, {"of": "users", "mode": "one"}, "of: 'users' is not one of requests, rows, processes"),
    (SLOW, {"of": "hosts", "mode": "one"}, "of: hosts come with runs over several hosts, which are not available in this version"),
    (SLOW, {"of": "regions", "mode": "one"}, "of: regions come with runs over several hosts"),
    (SLOW, {"of": "rows", "mode": "one"}, "blast_radius: slow_inference, with these parameters, acts on requests, not on rows"),
    (SLOW, {"of": "requests"}, "the key 'mode' of blast_radius is missing"),
    (SLOW, ["one"], "blast_radius: takes one, all, a share such as 30% or a mapping, not a list"),
    (SLOW, "most", "blast_radius: 'most' is not one, all, a share such as 30%, or a mapping such as {mode: fixed, value: 3}"),
    (SLOW, 3, "blast_radius: '3' is not one, all"),
    (HANG, "one", "blast_radius: processes are chosen among those that `target` names by process, unit, cgroup or container"),
    ({**HANG, "target": {"pid": 4711}}, "one", "blast_radius: processes are chosen among those"),
    (MISSING, {"of": "requests", "mode": "one"}, "blast_radius: missing_data, with these parameters, acts on rows, not on requests"),
    ({**MISSING, "parameters": {"stage": "serve"}}, {"of": "rows", "mode": "one"}, "acts on requests, not on rows"),
    ({"name": "x", "layer": "data", "fault_type": "schema_drift"}, "one", "acts on no requests, rows or processes"),
    ({"name": "x", "layer": "data", "fault_type": "latency_injection"}, "one", "acts on no requests, rows or processes"),
])
def test_a_radius_that_cannot_be_is_refused_with_its_place(lab, experiment, radius, sentence):
    done = lab.run("validate", write(lab, {}, {**experiment, "blast_radius": radius}))
    assert done.returncode == 2
    assert re.match(r"chaoseater: \S*plan\.yaml:1:\d+: ", done.stderr) and sentence in done.stderr, done.stderr


def test_a_batch_job_has_no_requests(lab):
    experiment = {"name": "x", "layer": "model", "fault_type": "batch_processing_failure", "blast_radius": "one"}
    done = lab.run("validate", write(lab, {"kind": "command", "command": "true"}, experiment))
    assert done.returncode == 2 and "blast_radius: a batch job has no requests" in done.stderr


def test_nobody_of_that_name_is_no_choice(lab):
    document = lab.document("node_failure", target={"process": "no-such-process"}, blast_radius="one", parameters={"failure_type": "hang"})
    done = lab.run("run", document)
    assert done.returncode == 4 and "no process is called 'no-such-process'" in done.stdout + done.stderr
