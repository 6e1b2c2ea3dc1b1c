# SPDX-License-Identifier: MIT
"""The tests of inside/, in a machine whose pid 1 is systemd: whole runs of chaoseater against real units, control groups of
version 2 with their limits, and disks of the device mapper.

Each test function of inside/check_*.py is a test of this file; what pytest said of it in there is said again here.
"""

import ast
import xml.etree.ElementTree

import pytest

import machine


def functions_of(path):
    return [node.name for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def pytest_generate_tests(metafunc):
    files = sorted((metafunc.config.rootpath / "tests" / "vm" / "inside").glob("check_*.py"))
    cases = [(path.stem, name) for path in files for name in functions_of(path)]
    metafunc.parametrize("file,function", cases, ids=[f"{file}-{function}" for file, function in cases])


@pytest.fixture(scope="module")
def results(build, root):
    files = sorted(path.name for path in (root / "tests" / "vm" / "inside").glob("*.py"))
    try:
        output = machine.run_under_systemd(build / "vm", root, build, files)
    except machine.Unavailable as reason:
        pytest.skip(str(reason))
    begin, end = output.find("<testsuites>"), output.rfind("</testsuites>")
    cases = [] if end < 0 else xml.etree.ElementTree.fromstring(output[begin:end + len("</testsuites>")]).iter("testcase")
    return list(cases), output


def test_in_a_machine(results, file, function):
    cases, output = results
    mine = [case for case in cases if case.get("classname").endswith(file) and case.get("name").split("[")[0] == function]
    if not mine:
        pytest.fail(f"did not get so far:\n{output[-3000:]}", pytrace=False)
    bad = [f"{case.get('name')}: {child.text}" for case in mine for child in case if child.tag in ("failure", "error")]
    if bad:
        pytest.fail("\n".join(bad), pytrace=False)
    skipped = [child.get("message") for case in mine for child in case if child.tag == "skipped"]
    if len(skipped) == len(mine):
        pytest.skip(skipped[0])
