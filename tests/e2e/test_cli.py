# SPDX-License-Identifier: MIT
"""The command line itself: help, version, errors, and that every document it prints is one."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import time
import unicodedata

import pytest

COMMANDS = ["demo", "run", "gate", "proxy", "validate", "schema", "faults", "explain", "doctor", "recover", "status", "stop", "schedule", "serve", "compare"]
DATA_COMMANDS = ["data inject", "data revert", "data diff", "data profile", "data key", "data switch"]
METRICS_COMMANDS = ["metrics delete", "metrics send"]
GRAFANA_COMMANDS = ["grafana dashboard", "grafana alerts", "grafana push"]
HISTORY_COMMANDS = [f"history {word}" for word in
                    ("list", "show", "query", "trends", "compare", "summary", "export", "import", "prune")]

PLAN = """
experiments:
  - {name: slow, layer: model, fault_type: slow_inference, duration: 2s}
"""


@pytest.mark.parametrize("command", [[], ["data"], ["metrics"], ["history"], ["grafana"], *[name.split() for name in
                         COMMANDS + DATA_COMMANDS + METRICS_COMMANDS + HISTORY_COMMANDS + GRAFANA_COMMANDS]],
                         ids=lambda c: " ".join(c) or "chaoseater")
def test_help_fits_one_screen_and_ends_with_an_example(chaoseater, command):
    done = chaoseater(*command, "--help")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert len(lines) <= (24 if command else 30)
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("Usage: chaoseater")
    assert lines[-2] == "Example:"
    assert lines[-1].startswith("  chaoseater ")


def test_help_under_json_is_a_document(chaoseater):
    listed = json.loads(chaoseater("--help", "--json").stdout)["commands"]
    assert {command["name"] for command in listed if command["summary"]} == set(
        COMMANDS + DATA_COMMANDS + METRICS_COMMANDS + HISTORY_COMMANDS + GRAFANA_COMMANDS)
    for command in listed:
        document = json.loads(chaoseater(*command["name"].split(), "--help", "--json").stdout)
        assert document["name"] == command["name"] and document["operand"] == command["operand"]
        assert {"json", "help"} <= {option["name"] for option in document["options"]}


def test_help_names_every_command(chaoseater):
    text = chaoseater("--help").stdout
    assert re.findall(r"^  ([a-z]+) ", text, re.MULTILINE)[: len(COMMANDS)]
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", text, re.MULTILINE)


    group = json.loads(chaoseater("data", "--help", "--json").stdout)["commands"]
    assert [command["name"] for command in group] == DATA_COMMANDS


@pytest.mark.parametrize("command", COMMANDS + DATA_COMMANDS + METRICS_COMMANDS + HISTORY_COMMANDS)
def test_every_command_takes_json(chaoseater, command):
    assert "--json" in chaoseater(*command.split(), "--help").stdout


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
    assert all(re.match(r"(ok|no) |    +\S", line) for line in done.stdout.splitlines())
    # A path is not broken.
    assert all(len(line) <= 100 or max(map(len, line.split())) > 60 for line in done.stdout.splitlines())
    report = json.loads(chaoseater("doctor", "--json").stdout)
    assert len(report["checks"]) == len(re.findall(r"^(?:ok|no) ", done.stdout, re.MULTILINE)) > 0
    for check in report["checks"]:
        assert isinstance(check["ok"], bool)
        assert check["name"] and check["detail"] and check["needed_by"]


def test_status_and_recover_are_documents(chaoseater):
    assert json.loads(chaoseater("status", "--json").stdout) == {"live": [], "stopped": False}
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


SHORT = """
experiments:
  - {name: short, layer: model, fault_type: slow_inference, duration: 200ms, baseline: 500ms,
     parameters: {latency_ms: 20}}
"""


def test_a_report_that_cannot_be_written_costs_no_results(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(SHORT)
    done = chaoseater("run", "plan.yaml", "--report", "text=/dev/full", "--report", "json=kept.json", "--json")
    assert done.returncode == 4
    assert done.stderr == "chaoseater: cannot write the report '/dev/full': No space left on device\n"
    assert json.loads(done.stdout) == json.loads((tmp_path / "kept.json").read_text())
    assert len(json.loads(done.stdout)["runs"]) == 1


def test_a_report_that_nobody_reads_can_be_interrupted(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(SHORT)
    os.mkfifo(tmp_path / "pipe")
    process = chaoseater.start("run", "plan.yaml", "--report", "json=pipe", stderr=subprocess.PIPE)
    assert process.stderr.readline().startswith(b"[1/1] short")  # from here on nothing is left to do but the report
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        process.terminate()
        time.sleep(0.05)
    process.stderr.close()
    assert process.poll() in (-15, 143)


@pytest.mark.parametrize("path", ["dangling", "plan.yaml/report", "x" * 300])
def test_a_report_that_cannot_be_made_is_known_before_the_run(chaoseater, tmp_path, path):
    (tmp_path / "plan.yaml").write_text(SHORT)
    (tmp_path / "dangling").symlink_to("missing/report")
    done = chaoseater("run", "plan.yaml", "--report", f"json={path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("chaoseater: --report: cannot write ")


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_standard_stream_is_not_given_to_a_file(chaoseater, tmp_path, closed):
    """Else what is printed ends up in whatever is opened next: the journal."""
    reader, writer = os.pipe()
    os.mkfifo(tmp_path / "plan.yaml")
    process = chaoseater.start("validate", "plan.yaml", preexec_fn=lambda: os.close(closed))
    with open(tmp_path / "plan.yaml", "w") as plan:  # returns once the document is being read
        name = os.readlink(f"/proc/{process.pid}/fd/{closed}")
        plan.write(SHORT)
    assert process.wait(timeout=60) == (4 if closed == 1 else 0)
    assert name == "/dev/null"


def test_a_closed_stdout_is_an_error(chaoseater):
    process = chaoseater.start("faults", preexec_fn=lambda: os.close(1), stderr=subprocess.PIPE)
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 4
    assert errors == b"chaoseater: cannot write to standard output: Bad file descriptor\n"


def frames_on_a_terminal(chaoseater, columns, *args):
    """What a terminal so wide is told, line by line drawn over; the process has ended well."""
    try:
        terminal, stderr = pty.openpty()
    except OSError as error:
        pytest.skip(f"no terminals here: {error}")
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    env = {**chaoseater.env, "TERM": "xterm", "NO_COLOR": "1"}
    process = chaoseater.start(*args, env=env, stdout=subprocess.DEVNULL, stderr=stderr)
    os.close(stderr)
    seen = b""
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
    except OSError:  # how Linux says that nobody writes to it any more
        pass
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    return [line for frame in seen.decode().split("\r\x1b[K") for line in frame.split("\r\n") if line]


def width_of(text):
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


@pytest.mark.parametrize("columns, name", [(80, "é" * 100), (80, "b" + "x" * 198 + "e"), (80, "漢" * 66), (64, "b" + "x" * 198 + "e"),
                                           (301, "b" + "x" * 198 + "e"), (20, "short")])
def test_progress_on_a_terminal_fits_it_whatever_the_name(chaoseater, tmp_path, columns, name):
    (tmp_path / "plan.yaml").write_text(SHORT.replace("short", name))
    lines = frames_on_a_terminal(chaoseater, columns, "run", "plan.yaml")
    assert all(width_of(line) < columns for line in lines[:-1])
    if columns >= 64:  # all but the name is there, and of the name both ends
        assert width_of(lines[-1]) < columns and "passed" in lines[-1]
        for line in lines:
            assert line.startswith(f"[1/1] {name[0]}") and f"{name[-1]} (naive) " in line
            assert (f"{name[1]}...{name[1]}" in line) == (columns < 301)
        assert all(re.search(r" \w+ +#*\.* +\d+ %$", line) for line in lines[:-1])
        assert any(" observing " in line for line in lines)


def test_progress_tells_runs_of_one_experiment_apart(chaoseater, tmp_path):
    name = "b" + "x" * 198 + "e"
    (tmp_path / "plan.yaml").write_text(SHORT.replace("short", name).replace("200ms", "1s, repeat: 2"))
    lines = frames_on_a_terminal(chaoseater, 120, "run", "plan.yaml", "--parallel", "2")
    several = [line for line in lines if line.startswith("0/2 ended; ")]
    assert any(re.fullmatch(r"0/2 ended; bx+\.{3}x+e #[12] \(naive\) \w+ \d+ %, bx+\.{3}x+e #[12] \(naive\) \w+ \d+ %", line)
               for line in several), several
    ended = [line for line in lines if re.search(r" #[12] \(naive\) +passed +score ", line)]
    assert sorted(re.findall(r"^\[[12]/2\] bx+\.{3}x+e (#[12])", "\n".join(ended), re.M)) == ["#1", "#2"]
    assert all(width_of(line) < 120 for line in lines)
