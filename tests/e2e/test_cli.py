# SPDX-License-Identifier: MIT
"""The command line itself: help, version, errors, and that every document it prints is one."""

import json
import re
import subprocess

import pytest

COMMANDS = ["demo", "run", "gate", "validate", "schema", "faults", "explain", "doctor", "recover", "status"]

PLAN = """
experiments:
  - {name: slow, layer: model, fault_type: slow_inference, duration: 2s}
"""


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]], ids=lambda c: " ".join(c) or "chaoseater")
def test_help_fits_one_screen_and_ends_with_an_example(chaoseater, command):
    done = chaoseater(*command, "--help")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("Usage: chaoseater")
    assert lines[-2] == "Example:"
    assert lines[-1].startswith("  chaoseater ")


def test_help_names_every_command(chaoseater):
    text = chaoseater("--help").stdout
    assert re.findall(r"^  ([a-z]+) ", text, re.MULTILINE)[: len(COMMANDS)]
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", text, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_json(chaoseater, command):
    assert "--json" in chaoseater(command, "--help").stdout


def test_version_is_the_library_s(chaoseater, root):
    declared = re.search(r"version: '([^']+)'", (root / "meson.build").read_text())[1]
    assert chaoseater("--version").stdout == f"chaoseater {declared}\n"


def test_schema_is_json_with_json_and_without(chaoseater):
    plain, asked = chaoseater("schema"), chaoseater("schema", "--json")
    assert plain.stdout == asked.stdout
    schema = json.loads(plain.stdout)
    assert schema["type"] == "object"
    assert "experiments" in schema["properties"]


def test_doctor_says_what_the_host_can_do(chaoseater):
    done = chaoseater("doctor")
    assert done.returncode == 0
    assert all(re.match(r"(ok|no) ", line) for line in done.stdout.splitlines())
    report = json.loads(chaoseater("doctor", "--json").stdout)
    assert len(report["checks"]) == len(done.stdout.splitlines()) > 0
    for check in report["checks"]:
        assert isinstance(check["ok"], bool)
        assert check["name"] and check["detail"] and check["needed_by"]


def test_status_and_recover_are_documents(chaoseater):
    assert json.loads(chaoseater("status", "--json").stdout) == {"live": []}
    assert json.loads(chaoseater("recover", "--json").stdout) == {
        "undone": 0,
        "failed": 0,
        "foreign": 0,
        "live": [],
    }


def test_state_dir_may_be_named(chaoseater, tmp_path):
    assert chaoseater("status", "--state-dir", tmp_path / "other").stdout == "nothing is live\n"


def test_validate_json(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN)
    document = json.loads(chaoseater("validate", "plan.yaml", "--json").stdout)
    assert document == {"file": "plan.yaml", "valid": True, "experiments": 1, "notices": []}


def test_a_document_may_come_from_standard_input(chaoseater):
    done = chaoseater("validate", "-", input=PLAN)
    assert (done.returncode, done.stdout) == (0, "-: 1 experiment, valid\n")


def test_errors_under_json_are_documents(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN.replace("2s", "soon"))
    done = chaoseater("run", "plan.yaml", "--json")
    assert (done.returncode, done.stderr) == (2, "")
    error = json.loads(done.stdout)["error"]
    assert set(error) == {"message", "where", "exit_code"}
    assert error["exit_code"] == 2
    assert error["where"] == "plan.yaml:3:70"
    assert "duration" in error["message"] and "soon" in error["message"]


def test_an_error_that_quotes_bytes_is_still_json(chaoseater):
    done = chaoseater("explain", b"\xff\xfe".decode("utf-8", "surrogateescape"), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["exit_code"] == 2


def test_the_same_error_for_people_is_one_line(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN.replace("2s", "soon"))
    done = chaoseater("run", "plan.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"chaoseater: plan\.yaml:3:70: duration: [^\n]+\n", done.stderr)


def test_only_an_unknown_experiment_names_the_known(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN)
    done = chaoseater("run", "plan.yaml", "--only", "slwo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'slwo'" in done.stderr and "slow" in done.stderr


def test_a_full_disk_behind_stdout_is_an_error(chaoseater):
    with open("/dev/full", "w") as full:
        done = chaoseater("faults", stdout=full)
    assert done.returncode == 4
    assert done.stderr == "chaoseater: cannot write to standard output: No space left on device\n"


def test_a_reader_that_has_seen_enough_is_none(chaoseater):
    process = chaoseater.start("schema", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert errors == b""
