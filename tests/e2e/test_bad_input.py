# SPDX-License-Identifier: MIT
"""Bad input: one sentence, with its place where there is one; the documented exit code; nothing left behind."""

import os
import re
import subprocess

import pytest

GOOD = """experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
    duration: 1s
    baseline: 1s
    parameters: {latency_ms: 100}
"""

# What is wrong: how the good document is changed, and what the sentence must say. Most have a place.
CASES = {
    "not_yaml": ("experiments: [", r"plan\.yaml:\d+:\d+: "),
    "tab_indentation": ("experiments:\n\t- name: x\n", r"plan\.yaml:2:\d+: "),
    "empty": ("", r"experiments"),
    "no_experiments": ("experiments: []\n", r"plan\.yaml:1:\d+: experiments: "),
    "a_scalar": ("chaos\n", r"plan\.yaml:1:1: "),
    "a_list": ("- chaos\n", r"plan\.yaml:1:1: "),
    "unknown_key": (GOOD.replace("duration:", "duratoin:"), r"plan\.yaml:5:5: .*'duratoin'.*'duration'"),
    "unknown_fault": (GOOD.replace("slow_inference", "slow_inferense"), r"plan\.yaml:4:17: .*'slow_inference'"),
    "wrong_layer": (GOOD.replace("layer: model", "layer: data"), r"plan\.yaml:\d+:\d+: .*model"),
    "unknown_layer": (GOOD.replace("layer: model", "layer: modle"), r"plan\.yaml:3:12: .*model"),
    "unknown_parameter": (GOOD.replace("latency_ms", "latency"), r"plan\.yaml:7:18: .*'latency'.*latency_ms"),
    "wrong_type": (GOOD.replace("latency_ms: 100", "latency_ms: fast"), r"plan\.yaml:7:30: latency_ms: .*fast"),
    "rate_above_one": (
        GOOD.replace("slow_inference", "prediction_corruption").replace("latency_ms: 100", "corruption_rate: 1.5"),
        r"plan\.yaml:7:35: corruption_rate: 1\.5 .*0.*1",
    ),
    "not_a_number": (GOOD.replace("latency_ms: 100", "latency_ms: .nan"), r"plan\.yaml:7:30: latency_ms: "),
    "overflow": (GOOD.replace("latency_ms: 100", "latency_ms: 1e999"), r"plan\.yaml:7:30: latency_ms: "),
    "duration_overflow": (GOOD.replace("duration: 1s", "duration: 1e300"), r"plan\.yaml:5:15: duration: "),
    "negative_duration": (GOOD.replace("duration: 1s", "duration: -1"), r"plan\.yaml:5:15: duration: "),
    "duplicate_key": (GOOD.replace("    baseline: 1s\n", "    duration: 2s\n"), r"plan\.yaml:6:5: .*duration"),
    "duplicate_name": (GOOD + GOOD.split("\n", 1)[1], r"plan\.yaml:8:11: .*slow"),
    "alias": ("a: &a [1]\nexperiments: *a\n", r"plan\.yaml:\d+:\d+: "),
    "deep_nesting": ("experiments: " + "[" * 100000 + "\n", r"plan\.yaml:1:\d+: "),
}


def bomb():
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    return "\n".join([*lines, "experiments: *a11", ""])


CASES["alias_bomb"] = (bomb(), r"plan\.yaml:\d+:\d+: ")


@pytest.mark.parametrize("name", CASES)
def test_a_bad_document_is_refused_with_its_place(chaoseater, tmp_path, name):
    text, sentence = CASES[name]
    (tmp_path / "plan.yaml").write_text(text)
    for command in ("validate", "run"):
        done = chaoseater(command, "plan.yaml", timeout=60)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert re.fullmatch(rf"chaoseater: .*{sentence}.*\n", done.stderr), done.stderr
        assert len(done.stderr.splitlines()) == 1 and len(done.stderr) < 800
    assert os.listdir(tmp_path) == ["plan.yaml"]


def test_a_binary_file_is_refused(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_bytes(b"\x7fELF\x00\x01\xff\xfe" * 1000)
    done = chaoseater("run", "plan.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"chaoseater: [^\n]+\n", done.stderr)


def test_a_folder_is_no_document(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").mkdir()
    done = chaoseater("run", "plan.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"chaoseater: [^\n]+\n", done.stderr)


def test_a_document_of_100_megabytes_is_refused_unread(chaoseater, tmp_path):
    with open(tmp_path / "plan.yaml", "w") as plan:
        plan.write(GOOD)
        plan.truncate(100 << 20)
    done = chaoseater("run", "plan.yaml", timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "16 MiB" in done.stderr


def test_a_state_folder_that_is_a_file_is_exit_4(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(GOOD)
    (tmp_path / "state").write_text("in the way\n")
    done = chaoseater("run", "plan.yaml")
    assert (done.returncode, done.stdout) == (4, "")
    assert re.fullmatch(r"chaoseater: [^\n]*state[^\n]*\n", done.stderr)
    assert (tmp_path / "state").read_text() == "in the way\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_state_folder_is_exit_4(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(GOOD)
    (tmp_path / "state").mkdir(mode=0o500)
    done = chaoseater("run", "plan.yaml")
    assert done.returncode == 4
    assert "state" in done.stdout + done.stderr


def test_an_out_folder_that_cannot_be_made_is_exit_2(chaoseater, tmp_path):
    (tmp_path / "file").write_text("")
    done = chaoseater("demo", "--out", "file/reports")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "chaoseater: cannot make the folder 'file/reports': Not a directory\n"


def test_an_unset_home_is_no_crash(chaoseater):
    env = {k: v for k, v in chaoseater.env.items() if k not in ("HOME", "CHAOSEATER_STATE_DIR")}
    done = chaoseater("doctor", env=env)
    assert done.returncode == 0


def test_set_is_checked_like_the_document(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text(GOOD)
    for assignment, says in [
        ("duration", "KEY=VALUE"),
        ("duratoin=3s", "duration"),
        ("duration=soon", "soon"),
        ("parameters.latency_ms=-5", "latency_ms"),
        ("parameters.latency=5", "latency"),
    ]:
        done = chaoseater("run", "plan.yaml", "--set", assignment)
        assert (done.returncode, done.stdout) == (2, ""), assignment
        assert says in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_closed_stdin_is_no_crash(chaoseater):
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" validate - <&-', chaoseater.program],
        env=chaoseater.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert re.fullmatch(r"chaoseater: [^\n]+\n", done.stderr)
