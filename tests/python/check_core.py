# SPDX-License-Identifier: MIT
"""Errors, results, documents and runs."""

import json
import logging
import os
import pathlib
import pickle
import signal
import subprocess
import threading

import chaoseater
import pytest
from chaoseater import _core
from face import PROGRAM, ROOT, SHORT, experiment, live, start, wait_for


def test_errors_have_the_sentence_and_the_place_of_the_library(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("experiments:\n  - name: a\n    layer: data\n    fault_type: missing_dat\n")
    with pytest.raises(chaoseater.BadInput) as raised:
        chaoseater.run(path)
    said = subprocess.run([PROGRAM, "run", path], capture_output=True, text=True).stderr
    assert said == f"chaoseater: {raised.value}\n"
    assert raised.value.where == f"{path}:4:17" and "missing_data" in raised.value.message
    assert isinstance(raised.value, ValueError)


def test_errors_can_be_pickled():
    for kind in (chaoseater.BadInput, chaoseater.NotPossible, chaoseater.Unknown, chaoseater.Dirty, chaoseater.ChaosError):
        error = pickle.loads(pickle.dumps(kind("no", code=13, where="a:1")))
        assert type(error) is kind and (str(error), error.code, error.where) == ("a:1: no", 13, "a:1")


def test_what_is_not_there_is_said_with_the_nearest_name():
    with pytest.raises(chaoseater.Unknown, match="did you mean 'packet_loss'"):
        chaoseater.explain("paket_loss")
    with pytest.raises(chaoseater.Unknown, match="No such file"):
        chaoseater.run("nowhere.yaml")


def test_the_faults_are_those_of_the_program():
    listed = json.loads(subprocess.run([PROGRAM, "faults", "--json"], capture_output=True, text=True, check=True).stdout)
    assert [fault["name"] for fault in chaoseater.faults()] == [fault["name"] for fault in listed]
    assert chaoseater.explain("missing_data")["name"] == "missing_data"
    assert chaoseater.schema()["$schema"] and chaoseater.doctor()["checks"]
    assert chaoseater.__version__ == subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout.split()[1]


@pytest.mark.parametrize("document", [
    "experiments:\n  - {name: a, layer: data, fault_type: missing_data}\n",
    {"experiments": [{"name": "a", "layer": "data", "fault_type": "missing_data"}]},
    [{"name": "a", "layer": "data", "fault_type": "missing_data"}],
    ({"name": "a", "layer": "data", "fault_type": "missing_data"} for _ in range(1)),
], ids=["text", "mapping", "list", "generator"])
def test_a_document_may_be_given_in_many_ways(document):
    loaded = chaoseater.load(document, sets=["parameters.missing_rate=0.3"])
    (only,) = loaded["experiments"]
    assert only["name"] == "a" and only["parameters"]["missing_rate"] == 0.3 and only["duration"] == 60


def test_a_document_may_hold_what_others_call_numbers_and_texts():
    import numpy

    name = "ünï 🦖"
    loaded = chaoseater.load([{"name": name, "layer": "data", "fault_type": "missing_data", "duration": numpy.float32(2),
                               "parameters": {"missing_rate": numpy.float64(0.25), "columns": numpy.array(["age"])}}])
    assert loaded["experiments"][0]["name"] == name
    assert loaded["experiments"][0]["parameters"]["missing_rate"] == 0.25
    with pytest.raises(TypeError, match="object"):
        chaoseater.load([{"name": object()}])
    with pytest.raises(ValueError):
        chaoseater.load([{"name": "a", "layer": "data", "fault_type": "missing_data", "duration": float("nan")}])


def test_a_run_is_what_the_command_line_makes_of_the_document(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps({"seed": 7, "experiments": [experiment(), experiment("slow_inference", "model")]}))
    result = chaoseater.run(path)
    done = subprocess.run([PROGRAM, "run", path, "--json"], capture_output=True, text=True)
    theirs = json.loads(done.stdout)
    assert [run.name for run in result] == ["missing_data", "slow_inference"]
    assert result.exit_code == done.returncode and result.clean and result.seed == 7
    assert [run.report["fault"]["changed"] for run in result][0] == theirs["runs"][0]["fault"]["changed"]
    assert all(run.verified for run in result)


def test_a_result_is_a_table(tmp_path):
    result = chaoseater.run([experiment(seed=1)])
    assert "missing_data" in str(result) and "verdict" in str(result)
    assert repr(result).startswith("<chaoseater.Result: 1 run, score ")
    assert "<td>missing_data</td>" in result._repr_html_()
    frame = result.to_pandas()
    assert frame["experiment"].tolist() == ["missing_data"] and frame["score"].tolist() == [result[0].score]
    assert result.to_dict()["runs"][0]["verdict"] == result[0].verdict == result["missing_data"].verdict
    with pytest.raises(KeyError, match="there are: missing_data"):
        result["other"]
    result.write("html", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().lower().startswith("<!doctype html>")
    result.write("json", tmp_path / "report.json")
    assert chaoseater.read_result(tmp_path / "report.json").to_dict() == result.to_dict()
    with pytest.raises(chaoseater.ChaosError, match="papyrus"):
        result.write("papyrus")


def test_a_name_cannot_break_the_table():
    result = chaoseater.run([experiment(name="<script>alert(1)</script>")])
    assert "<script>" not in result._repr_html_()


def test_the_gate_opens_and_closes():
    result = chaoseater.run([experiment(parameters={"missing_rate": 0.0})])
    assert result.gate(0) and result.to_dict()["gate"]
    worse = chaoseater.run([experiment("model_unavailable", "model")])
    assert not worse.gate(99.9)
    with pytest.raises(AssertionError, match="model_unavailable"):
        worse.assert_gate(99.9)
    assert worse.exit_code == 1
    with pytest.raises(chaoseater.BadInput, match="0..100"):
        result.gate(101)


def test_progress_is_told_on_the_thread_that_asked():
    told = []
    chaoseater.run([experiment()], progress=lambda now: told.append((threading.get_ident(), now["phase"], now["experiment"])))
    assert {ident for ident, _, _ in told} == {threading.get_ident()}
    phases = [phase for _, phase, _ in told]
    assert phases.index("baseline") < phases.index("observing") < phases.index("ended")


def test_an_exception_of_progress_ends_the_run():
    class Enough(Exception):
        pass

    def progress(now):
        if now["phase"] == "observing":
            raise Enough

    with pytest.raises(Enough):
        chaoseater.run([experiment(duration="10m")], progress=progress)
    assert live() == []


def test_several_threads_may_run_at_once():
    results = {}

    def work(seed):
        results[seed] = chaoseater.run([experiment()], seed=seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((seed, result.seed, result.clean) for seed, result in results.items()) == [(n, n, True) for n in (1, 2, 3)]


INTERRUPTED = """
import chaoseater
try:
    chaoseater.run([{"name": "long", "layer": "data", "fault_type": "missing_data", "duration": "10m", "baseline": "200ms"}],
                   progress=lambda now: print(now["phase"], flush=True))
except KeyboardInterrupt:
    print("interrupted", chaoseater.status()["live"], flush=True)
"""


def until(process, phase):
    while process.stdout.readline().strip() != phase:
        assert process.poll() is None


def test_ctrl_c_undoes_and_raises():
    process = start(INTERRUPTED)
    until(process, "observing")
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "interrupted []" and process.returncode == 0, errors


def test_sigterm_undoes_and_ends():
    process = start(INTERRUPTED)
    until(process, "observing")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM and live() == []


def test_kill_9_undoes():
    process = start(INTERRUPTED)
    until(process, "observing")
    assert live()
    process.kill()
    process.communicate()
    wait_for(lambda: not live(), "the guard")


def test_what_a_document_says_is_logged(caplog):
    with caplog.at_level(logging.INFO, "chaoseater"):
        chaoseater.run({"prometheus": {}, "experiments": [experiment()]})
    assert any("pushgateway_url" in record.message and record.levelno == logging.WARNING for record in caplog.records)
    assert any(record.message.startswith("missing_data: ") for record in caplog.records)


def test_a_cut_duration_stands_in_the_report(monkeypatch):
    monkeypatch.setenv("CHAOSEATER_MAX_DURATION", "0.2")
    result = chaoseater.run([{**experiment(), "duration": 60}])
    assert result[0].report["duration_cap"] == {"seconds": 0.2, "asked": 60.0}


def test_the_lever_stops_and_is_released():
    chaoseater.stop()
    try:
        with pytest.raises(chaoseater.Stopped):
            chaoseater.run([experiment()])
    finally:
        assert chaoseater.stop(release=True)
    assert chaoseater.recover() == chaoseater.Recovery(0, 0, 0)


def test_chaos_toolkit_documents_are_named():
    with pytest.raises(chaoseater.NotPossible, match="Chaos Toolkit"):
        chaoseater.run(ROOT / "examples" / "chaostoolkit.json")


def test_the_command_line_comes_along():
    program = pathlib.Path(chaoseater.__file__).parent.parent.parent.parent.parent / "bin" / "chaoseater"
    said = subprocess.run([program, "faults"], capture_output=True, text=True, check=True).stdout
    assert "missing_data" in said


def test_the_history_is_the_one_of_the_program(tmp_path):
    chaoseater.run([experiment(name="remembered", tags=["py"])], seed=3)
    history = _core.history()
    (listed,) = json.loads(history.list(name="rem*", tag="py", min_score=0, limit=5))
    assert history.count(layer="data") == 1 and history.count(layer="model") == 0
    assert json.loads(history.show(listed["id"]))["experiment"]["name"] == "remembered"
    assert json.loads(history.trends("remembered"))["total_runs"] == 1
    assert json.loads(history.query("SELECT count(*) AS n FROM runs")) == [{"n": 1}]
    history.export("csv", str(tmp_path / "runs.csv"))
    assert "remembered" in (tmp_path / "runs.csv").read_text()
    assert history.results([listed["id"]]).exit_code() in (0, 1)
    for wrong in ({"limit": -1}, {"colour": "red"}):
        with pytest.raises((ValueError, TypeError)):
            history.list(**wrong)
    with pytest.raises(chaoseater.ChaosError):
        history.show("nobody")
    history.close()
    with pytest.raises(chaoseater.ChaosError, match="closed"):
        history.list()


def test_types_cannot_be_made_or_changed():
    with pytest.raises(TypeError):
        _core.Results()
    with pytest.raises(TypeError):
        _core.History.list = None


@pytest.mark.parametrize("arguments", [{}, {"text": "a", "path": "b"}, {"text": "a\n", "sets": "abc"}, {"text": "a\n", "sets": [1]},
                                       {"path": "a\0b"}, {"text": "a\n", "only": ["a\0b"]}, {"text": "a\n", "seed": -1},
                                       {"text": "a\n", "parallel": "x"}])
def test_wrong_arguments_of_the_core(arguments):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        _core.run(**arguments)


def test_malformed_text_is_an_error_with_a_place():
    for text in ("a: [\n", "\t\n", "experiments: 1\n", "{}\n", "\x01\n", "experiments:\n - &a [*a]\n"):
        with pytest.raises(chaoseater.BadInput):
            chaoseater.run(text)


def test_short_runs_leave_no_thread_and_no_child():
    before = threading.active_count()
    chaoseater.run([experiment(**SHORT)])
    assert threading.active_count() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
