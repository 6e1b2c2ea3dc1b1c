# SPDX-License-Identifier: MIT
"""The effect of every fault, witnessed by programs that are not ours while a run goes on.

curl asks the pipeline, Python's csv module and awk read its dataset, /proc shows its processes. After the run each
witness sees again what it saw before, or nothing of the run at all.
"""
import csv
import json
import pathlib
import re
import subprocess

import pytest

from lab import Lab, read, wait_for


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


# ---- witnesses


def listening_ports(pid):
    """TCP ports on 127.0.0.1 that the process listens on, as the kernel tells."""
    inodes = set()
    for link in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink()))
        except OSError:
            continue
        if match:
            inodes.add(match[1])
    ports = []
    for line in read("/proc/net/tcp").decode().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            ports.append(int(fields[1].split(":")[1], 16))
    return ports


def dataset_of(lab):
    return wait_for(lambda: next((lab.state / "run").glob("*/dataset.csv"), None), "the dataset")


def request_for(dataset, row=0):
    """An inference request for one row of the dataset, made without the pipeline's help."""
    with open(dataset, newline="") as file:
        record = list(csv.DictReader(file))[row]
    inputs = []
    for name, value in record.items():
        if name in ("churn", "spend"):
            continue
        try:
            inputs.append({"name": name, "shape": [1], "datatype": "FP64", "data": [float(value)]})
        except ValueError:
            inputs.append({"name": name, "shape": [1], "datatype": "BYTES", "data": [value]})
    return json.dumps({"inputs": inputs})


class Curl:
    """curl in front of the pipeline of a running lab."""

    def __init__(self, lab, process):
        self.port = wait_for(lambda: listening_ports(process.pid), "the pipeline's port")[0]
        self.body = request_for(dataset_of(lab))

    def __call__(self, patience=30):
        """(status, seconds, prediction); status 0 when there was no answer."""
        result = subprocess.run(
            ["curl", "-s", "-m", str(patience), "-w", "\n%{http_code} %{time_total}", "-H", "Content-Type: application/json",
             "-d", self.body, f"http://127.0.0.1:{self.port}/v2/models/churn/infer"],
            capture_output=True, text=True, timeout=60)
        body, _, figures = result.stdout.rpartition("\n")
        status, seconds = figures.split()
        prediction = None
        if status == "200":
            prediction = json.loads(body)["outputs"][0]["data"][0]
        return int(status), float(seconds), prediction


def finish(lab, process):
    """The run's only RUN, once it has ended well and left nothing behind."""
    out, err = process.communicate(timeout=120)
    assert process.returncode in (0, 1), (process.returncode, err, out)
    lab.clean_soon()
    run = json.loads(out)["runs"][0]
    assert run["status"] == "completed" and run["verified"] is True, run
    assert run["rollback"]["verified"] is True
    return run


def start(lab, fault, **kwargs):
    kwargs.setdefault("duration", "4s")
    return lab.start("run", lab.document(fault, **kwargs), "--json")


# ---- data


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("fault, parameters", [("data_corruption", {"corruption_rate": 0.2}),
                                               ("missing_data", {"missing_rate": 0.2})])
def test_other_programs_read_the_faulted_dataset(lab, fault, parameters):
    process = start(lab, fault, parameters=parameters)
    dataset = dataset_of(lab)
    wait_for(lambda: dataset.exists() and dataset.stat().st_size > 0, "the dataset")
    original = wait_for(lambda: lab.run("status", "--json").stdout and rows_of(dataset), "its rows")
    first = dataset.stat().st_ino
    wait_for(lambda: dataset.stat().st_ino != first, "the faulted dataset in its place")
    faulted = rows_of(dataset)
    empty = subprocess.run(["awk", "-F,", "{for (i = 1; i <= NF; i++) if ($i == \"\") n++} END {print n + 0}", dataset],
                           capture_output=True, text=True, check=True).stdout
    run = finish(lab, process)

    assert faulted[0] == original[0] and len(faulted) == len(original)
    differ = [(i, k) for i, row in enumerate(original) for k, cell in enumerate(row) if cell != faulted[i][k]]
    assert len(differ) == run["fault"]["changed"] > 0
    share = len(differ) / run["fault"]["eligible"]
    assert 0.17 < share < 0.23
    assert (int(empty) == len(differ)) == (fault == "missing_data")
    assert original[0].index("churn") not in {k for _, k in differ}


@pytest.mark.parametrize("fault", ["data_corruption", "missing_data"])
def test_live_requests_are_faulted_for_other_clients_too(lab, fault):
    rate = "corruption_rate" if fault == "data_corruption" else "missing_rate"
    process = start(lab, fault, parameters={rate: 1.0, "stage": "serve"}, baseline="4s")
    curl = Curl(lab, process)
    status, _, before = curl()
    assert status == 200
    wait_for(lambda: curl()[2] != before, "a prediction from faulted features")
    run = finish(lab, process)
    assert run["fault"]["changed"] > 0


# ---- model


def test_curl_waits_for_slow_predictions(lab):
    process = start(lab, "slow_inference", parameters={"latency_ms": 300, "variance": 0}, baseline="4s")
    curl = Curl(lab, process)
    assert min(curl()[1] for _ in range(3)) < 0.3
    wait_for(lambda: 0.3 <= curl()[1] < 0.6, "an answer as late as was asked")
    run = finish(lab, process)
    assert run["metrics"]["latency_ms"]["fault"]["p50"] >= 297  # a quantile is good to 1 %


def test_curl_gets_corrupted_predictions(lab):
    process = start(lab, "prediction_corruption", parameters={"corruption_rate": 1.0, "type": "flip"}, baseline="4s")
    curl = Curl(lab, process)
    before = curl()[2]
    after = wait_for(lambda: (answer := curl())[2] != before and answer, "a flipped prediction")[2]
    assert abs(after - (1 - before)) < 1e-6
    run = finish(lab, process)
    assert run["fault"]["changed"] == run["fault"]["eligible"] > run["metrics"]["operations"]["fault"]  # curl counts too


def test_curl_gets_no_prediction_from_an_unavailable_model(lab):
    process = start(lab, "model_unavailable", baseline="4s")
    curl = Curl(lab, process)
    assert curl()[0] == 200
    wait_for(lambda: curl()[0] == 503, "a 503")
    run = finish(lab, process)
    assert run["metrics"]["error_count"] >= run["metrics"]["operations"]["fault"]
    assert run["metrics"]["pipeline_downtime"] >= 3.5


def test_the_hardened_pipeline_answers_while_its_model_is_unavailable(lab):
    process = start(lab, "model_unavailable", profile="hardened")
    run = finish(lab, process)
    assert run["metrics"]["error_count"] == 0
    assert run["metrics"]["operations"]["fault"] == 200


def test_curl_sees_predictions_drift_for_good(lab):
    process = start(lab, "model_drift", parameters={"drift_type": "sudden", "drift_rate": 1, "operator": "bias", "amount": 5},
                    baseline="4s")
    curl = Curl(lab, process)
    before = curl()[2]
    after = wait_for(lambda: (answer := curl())[2] != before and answer, "a drifted prediction")[2]
    assert abs(after - (before + 5)) < 1e-6
    assert curl()[2] == after
    assert finish(lab, process)["metrics"]["accuracy_degradation"] > 0


def test_curl_s_batch_fails_as_a_whole(lab):
    process = start(lab, "batch_processing_failure", parameters={"failure_rate": 1}, baseline="4s")
    curl = Curl(lab, process)
    assert curl()[0] == 200
    wait_for(lambda: curl()[0] == 500, "a failed batch")
    run = finish(lab, process)
    assert run["metrics"]["error_count"] >= run["metrics"]["operations"]["fault"]


def test_curl_is_answered_by_another_version(lab):
    process = start(lab, "wrong_version", parameters={"fallback_model": "1"}, baseline="4s")
    curl = Curl(lab, process)
    status, _, before = curl()
    assert status == 200
    status, _, after = wait_for(lambda: (answer := curl())[2] != before and answer, "another prediction")
    assert status == 200 and curl()[2] == after
    run = finish(lab, process)
    assert run["fault"]["changed"] == run["fault"]["eligible"] >= run["metrics"]["operations"]["fault"]


def server_of(lab):
    def find():
        return [pid for pid, command in lab.processes().items() if re.search(r"chaoseater-pipeline server\b", command)]

    return wait_for(find, "the model server")[0]


def resident_of(pid):
    """In MiB; 0 when it is gone."""
    size = re.search(rb"^VmRSS:\s+(\d+) kB", read(f"/proc/{pid}/status"), re.M)
    return int(size[1]) / 1024 if size else 0


def kept_from_forks(pid):
    """In MiB: what no child of the process gets a copy of, as the kernel marks it."""
    sizes = re.findall(rb"^Rss: +(\d+) kB\n(?:(?!VmFlags)\w+: .*\n)*VmFlags:.* dc", read(f"/proc/{pid}/smaps"), re.M)
    return sum(map(int, sizes)) / 1024


def test_the_model_server_really_leaks_and_gives_it_back(lab):
    process = start(lab, "memory_leak", parameters={"leak_rate_mb": 64, "limit_mb": 96}, baseline="4s")
    pid = server_of(lab)
    assert Curl(lab, process)()[0] == 200
    before = resident_of(pid)
    assert kept_from_forks(pid) == 0
    wait_for(lambda: kept_from_forks(pid) == 96, "a server that has leaked 96 MiB")
    most = resident_of(pid)
    assert most >= before + 80  # the rest is its own doing
    wait_for(lambda: kept_from_forks(pid) == 0, "that it gives them back")
    after = resident_of(pid)  # 0 when the run was so quick that it has ended
    assert after <= most - 80
    run = finish(lab, process)
    assert run["fault"]["changed"] == 1
    assert f"serving process {pid} holds" in run["verification"]


# ---- infrastructure


def test_a_crashed_server_is_gone_and_comes_back(lab):
    process = start(lab, "node_failure", parameters={"failure_type": "crash"}, baseline="1s")
    pid = server_of(lab)
    wait_for(lambda: lab.process_state(pid) in ("", "Z"), "the server's end")
    run = finish(lab, process)
    assert run["metrics"]["error_count"] > 0
    assert run["metrics"]["recovery_time"] is not None


@pytest.mark.parametrize("mechanism", ["stop", "auto"])
def test_a_hanging_server_stands_still(lab, mechanism):
    process = start(lab, "node_failure", parameters={"failure_type": "hang", "mechanism": mechanism}, baseline="1s")
    pid = server_of(lab)

    def ticks():
        fields = read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    if mechanism == "stop":
        wait_for(lambda: lab.process_state(pid) == "T", "the stopped server")
    curl = Curl(lab, process)
    wait_for(lambda: curl(patience=1)[0] == 0, "a request without an answer")
    before = ticks()
    assert curl(patience=1)[0] == 0
    assert ticks() == before
    run = finish(lab, process)
    assert run["metrics"]["error_count"] > 0


def test_memory_is_really_taken(lab):
    process = start(lab, "memory_pressure", parameters={"memory_mb": 96})

    wait_for(lambda: any(resident_of(pid) >= 96 for pid in lab.processes()), "a process that holds 96 MiB")
    finish(lab, process)
