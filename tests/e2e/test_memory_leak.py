# SPDX-License-Identifier: MIT
"""memory_leak in a model server of the user's that ChaosEater starts: what such a server needs, and what is said when it
has not got it. (In the embedded pipeline it is one of test_effects.py.)
"""
import contextlib
import subprocess

import pytest

from lab import Lab, read, wait_for
from test_effects import resident_of
from ports import free_port
from test_http_pipeline import experiment, listening, refused, run_one, server, started, write

LEAK = experiment("memory_leak", leak_rate_mb=64, limit_mb=64)


@contextlib.contextmanager
def running(keys, *experiments):
    """A run of it, and the process that serves."""
    with Lab() as lab:
        path = write(lab.folder, keys, *experiments)
        process = lab.start("run", path, "--json")
        port = int(keys["url"].rpartition(":")[2])
        pid = wait_for(lambda: [pid for pid in lab.processes() if port in listening([pid])], "the server")[0]
        yield lab, process, pid


@pytest.mark.parametrize("line", [False, True], ids=["program", "line"])
def test_a_started_server_leaks_and_gives_it_back(line):
    keys = started("mlflow", free_port(), "--workers", "2")
    if line:  # sh stays between us and the server
        keys["command"] = " ".join(keys["command"]) + "; true"
    with running(keys, LEAK) as (lab, process, pid):
        before = resident_of(pid)
        sizes = [before]

        def gone():
            sizes.append(resident_of(pid))
            return sizes[-1] == 0

        wait_for(gone, "the end of the run")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out, err)
        assert '"verified": true' in out and f"serving process {pid} holds" in out
        assert before + 50 < max(sizes) < before + 100
        assert sizes[-2] < before + 30  # its own threads have grown, too
        lab.clean_soon()


def test_what_the_document_preloads_is_loaded_as_well(tmp_path):
    marker = tmp_path / "marker.so"
    subprocess.run(["cc", "-shared", "-o", marker, "-xc", "/dev/null"], check=True, timeout=60)
    keys = {**started("mlflow", free_port()), "env": [f"LD_PRELOAD={marker}"]}
    with running(keys, LEAK) as (_, process, pid):
        maps = read(f"/proc/{pid}/maps").decode()
        assert str(marker) in maps and "libchaoseater-leak.so" in maps
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out, err)


def test_the_helper_is_loaded_for_this_fault_only():
    with running(started("mlflow", free_port())) as (_, process, pid):
        assert "libchaoseater-leak" not in read(f"/proc/{pid}/maps").decode()
        process.communicate(timeout=60)


def test_the_state_folder_may_be_named_relatively():
    """The server works in another folder than ChaosEater."""
    keys = {**started("mlflow", free_port()), "workdir": "work"}
    with Lab() as lab:
        (lab.folder / "work").mkdir()
        path = write(lab.folder, keys, LEAK)
        code, suite = lab.run_json("run", path, "--state-dir", "state")
        assert code == 0, suite


def test_a_server_without_the_helper_is_refused(chaoseater, tmp_path):
    keys = started("mlflow", free_port())
    keys["command"] = ["env", "-u", "LD_PRELOAD"] + keys["command"]
    reason = refused(chaoseater, write(tmp_path, keys, LEAK))
    assert "has not loaded the helper that leaks: its program is linked statically, or something drops LD_PRELOAD" in reason


def test_a_server_that_chaoseater_did_not_start_is_refused(chaoseater, tmp_path):
    with server("mlflow") as port:
        reason = refused(chaoseater, write(tmp_path, {"url": f"http://127.0.0.1:{port}"}, LEAK))
    assert reason.endswith("was not started by ChaosEater, so it has not loaded what memory_leak acts through; "
                           "pipeline.command would start it")


def test_a_helper_that_is_not_there_is_said(chaoseater, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    chaoseater.env["CHAOSEATER_LIBEXEC"] = str(empty)
    reason = refused(chaoseater, write(tmp_path, started("mlflow", free_port()), LEAK))
    assert reason.endswith(f"CHAOSEATER_LIBEXEC is '{empty}', but libchaoseater-leak.so is not in there")


def test_the_floor_leaves_nothing_to_leak(chaoseater, tmp_path):
    path = write(tmp_path, started("mlflow", free_port()), experiment("memory_leak", leak_rate_mb=10, floor_mb=16777216))
    run = run_one(chaoseater, path, code=4)
    assert run["verdict"] == "inconclusive" and "nothing may leak: " in run["reason"]
