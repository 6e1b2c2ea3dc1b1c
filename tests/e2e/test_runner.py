# SPDX-License-Identifier: MIT
"""`--retry-alone` of tests/conftest.py: what failed beside other tests is run again, alone, and what becomes of it."""
import os
import re
import shutil
import subprocess
import sys

import pytest

TESTS = """
import os, pytest
alone = "PYTEST_XDIST_WORKER" not in os.environ
@pytest.fixture
def cleaned():
    yield
    assert alone or {mends}
@pytest.fixture
def never_cleaned():
    yield
    assert {mends}
@pytest.mark.parametrize("i", range({shy}), ids=lambda i: f"no {{i}}")
def test_shy(i): assert alone
def test_cleaned(cleaned): pass
def test_never_cleaned(never_cleaned): pass
def test_fails(): assert {mends}, "PASSED tests/test_it.py::test_fails"
"""


@pytest.mark.parametrize("shy, mends, alone, last, code", [
    (0, True, "", "3 passed, 0 failed, 1 skipped", 0),
    (2, True, "no 0, no 1", "5 passed, 0 failed, 0 skipped", 0),
    (10, True, ", ".join(f"no {i}" for i in range(10)), "13 passed, 0 failed, 0 skipped", 0),
    (11, True, ", ".join(f"no {i}" for i in range(11)), "3 passed, 11 failed, 0 skipped", 1),
    (1, False, "no 0, test_cleaned", "3 passed, 2 failed, 0 skipped", 1),
])
def test_what_passes_alone_is_named_and_counted(root, tmp_path, shy, mends, alone, last, code):
    (tmp_path / "tests").mkdir()
    shutil.copy(root / "tests" / "conftest.py", tmp_path / "tests")
    (tmp_path / "tests" / "test_it.py").write_text(TESTS.format(shy=shy, mends=mends))
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-n", "1", "--retry-alone", "tests"],
                          cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    said = done.stdout.splitlines()
    start = max((n for n, line in enumerate(said) if line.startswith("passed only when run alone")), default=len(said))
    assert ", ".join(re.sub(r"  tests/test_it.py::(test_shy\[)?([\w ]+)\]?", r"\2", line) for line in said[start + 1:-1]) == alone
    assert (said[-1], done.returncode) == (last, code)
