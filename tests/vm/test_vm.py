# SPDX-License-Identifier: MIT
"""Programs of tests/unit, run again in a machine whose kernel has all that they want: netem, control groups of version 2 ...

To have a program run here too, add its name to PROGRAMS; a test that takes long without hardware support may skip itself where
CHAOSEATER_TEST_SLOW_MACHINE is set. Each of its TESTs is a test of this file; one that skips itself is
skipped here too, and says why. A program that brings a whole kernel down fails alone: those after it "did not get so far".
"""

import re

import pytest

import machine

PROGRAMS = [
    "test_tc",
    "test_netem",
    "test_bpf",
    "test_group",
    "test_cpu",
    "test_devices",
    "test_io_limit",
    "test_ballast",
    "test_memory_limit",
]


def names_of(program, root):
    source = (root / "tests" / "unit" / f"{program}.c").read_text()
    return re.findall(r"^\s*TEST\((\w+)\)", source, re.MULTILINE)


def pytest_generate_tests(metafunc):
    root = metafunc.config.rootpath
    cases = [(program, name) for program in PROGRAMS for name in names_of(program, root)]
    metafunc.parametrize("program,name", cases, ids=[f"{program}-{name}" for program, name in cases])


def read(output):
    """{program: {test: (passed, reason for which it was skipped, what it said before)}}"""
    results, current, notes = {}, None, []
    for line in output.splitlines():
        begins = re.fullmatch(r".*=== (\w+) begins", line)
        if begins:
            current, notes = results.setdefault(begins[1], {}), []
            continue
        ok = re.fullmatch(r"(not )?ok \d+ - (\w+)(?: # SKIP (.*))?", line)
        if ok and current is not None:
            current[ok[2]] = (not ok[1], ok[3], "\n".join(notes))
            notes = []
        else:
            notes.append(line)
    return results


@pytest.fixture(scope="module")
def results(build):
    programs = [build / "tests" / "unit" / name for name in PROGRAMS]
    try:
        output = machine.run_programs(build / "vm", [path for path in programs if path.exists()])
    except machine.Unavailable as reason:
        pytest.skip(str(reason))
    return read(output), output


def test_in_a_machine(results, build, program, name):
    if not (build / "tests" / "unit" / program).exists():
        pytest.fail(f"{program} was not built", pytrace=False)
    read_results, output = results
    if name not in read_results.get(program, {}):
        pytest.fail(f"did not get so far:\n{output[-3000:]}", pytrace=False)
    passed, skipped, notes = read_results[program][name]
    if not passed:
        pytest.fail(notes or "failed without a word", pytrace=False)
    if skipped is not None:
        pytest.skip(skipped)
