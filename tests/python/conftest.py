# SPDX-License-Identifier: MIT
"""The Python face, under the Python packages that its users have.

  tests/python/check_*.py   pytest, run in an environment of its own from PyPI in which the package is installed. Each test
                            function is a test here; a file is run once, when the first of its tests is.
  tests/python/test_*.py    ordinary pytest of the outside: packages, wheels, other Pythons

The environment is made once in the build folder, and skipped visibly where PyPI is out of reach.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))  # peers

import peers  # noqa: E402

BUILD = pathlib.Path(os.environ["CHAOSEATER_BUILD"])
# What users bring; at fixed versions, so that a failure is ours.
PACKAGES = ["numpy==2.3.5", "pandas==2.3.3", "pyarrow==26.0.1", "polars==2.1.0", "scipy==1.17.1", "scikit-learn==1.7.2", "pytest==8.4.2"]
TIMEOUT = 1200


def sanitizers():
    """The runtimes that have to be there before a Python which loads a library that was built with them."""
    linked = subprocess.run(["ldd", BUILD / "libchaoseater.so.0"], capture_output=True, text=True).stdout
    return [subprocess.run(["cc", f"-print-file-name=lib{name}.so"], capture_output=True, text=True).stdout.strip()
            for name in ("asan", "ubsan") if f"lib{name}.so" in linked]


def build_environment():
    flags = {"CFLAGS": "-fsanitize=address,undefined -O1 -g"} if sanitizers() else {}
    return {**os.environ, **flags, "CHAOSEATER_C_BUILD": str(BUILD)}


def copy_of_sources(folder):
    """python/ where a build leaves nothing in the repository; the sources of the C library are only linked to."""
    shutil.copytree(ROOT / "python", folder / "python", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    for name in ("meson.build", "meson_options.txt", "LICENSE", "include", "src", "cli", "man", "tools"):
        (folder / name).symlink_to(ROOT / name)
    return folder / "python"


def state_of_sources():
    """Changes whenever the package would."""
    state = hashlib.sha256(str((BUILD / "libchaoseater.so.0").stat().st_mtime_ns).encode())
    for path in sorted((ROOT / "python").rglob("*")):
        if path.is_file() and path.suffix in (".py", ".pyi", ".c", ".h", ".toml", ".in", ".yaml"):
            state.update(path.read_bytes())
    return state.hexdigest()[:16]


def python_with_the_face():
    """A Python with those packages and the one under test, as pip installs it."""
    def make(folder):
        peers.run(sys.executable, "-m", "venv", "--without-pip", folder)
        peers.run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q", "--disable-pip-version-check",
                  *PACKAGES)

    def install(folder):
        folder.mkdir()
        interpreter = packages / "bin" / "python"
        done = subprocess.run([sys.executable, "-m", "pip", "--python", interpreter, "install", "-q", "--disable-pip-version-check",
                               "--force-reinstall", "--no-deps", copy_of_sources(folder)], capture_output=True, text=True,
                              env=build_environment())
        assert done.returncode == 0, done.stderr[-4000:]

    packages = peers.made_once("python-users", make)
    peers.made_once(f"face-{state_of_sources()}", install)
    return packages / "bin" / "python"


def inner_environment(folder):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CHAOSEATER_", "XDG_", "PYTEST_"))}
    env |= {"HOME": str(folder), "CHAOSEATER_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(HERE), "LC_ALL": "C.UTF-8",
            "CHAOSEATER_BUILD": str(BUILD), "PYTHONDONTWRITEBYTECODE": "1"}
    runtimes = sanitizers()
    if runtimes:
        env |= {"LD_PRELOAD": ":".join(runtimes), "PYTHONMALLOC": "malloc",
                # freed memory is kept aside for a while, but not so much of it that leaks cannot be told from it
                "ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":detect_leaks=0:quarantine_size_mb=4"}
    return env


class CheckFile(pytest.File):
    """One file, run once in the other Python."""

    outcomes = None

    def collect(self):
        for name in re.findall(r"^(?:async )?def (test_\w+)", self.path.read_text(), re.MULTILINE):
            yield CheckTest.from_parent(self, name=name)

    def run(self):
        if self.outcomes is not None:
            return
        self.outcomes, self.output = {}, ""
        interpreter = python_with_the_face()
        with tempfile.TemporaryDirectory(prefix="chaoseater-face-") as folder:
            report = pathlib.Path(folder) / "report.xml"
            with open(pathlib.Path(folder) / "output", "w+") as output:
                done = subprocess.run(
                    [interpreter, "-m", "pytest", "--noconftest", "-p", "face", "-p", "no:cacheprovider", "-q", "-rs",
                     f"--rootdir={folder}", f"--junitxml={report}", self.path], cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, env=inner_environment(pathlib.Path(folder)), timeout=TIMEOUT)
                output.seek(0)
                self.output = f"exit code {done.returncode}\n{output.read()}"
            if report.exists():
                self.read(report)

    def read(self, report):
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            name = case.get("name").partition("[")[0]
            problem = next((child for child in case if child.tag in ("failure", "error")), None)
            skipped = next((child for child in case if child.tag == "skipped"), None)
            what = ("failed", problem.text) if problem is not None else ("skipped", skipped.get("message")) if skipped is not None else ("passed", "")
            self.outcomes.setdefault(name, []).append(what)


class CheckTest(pytest.Item):
    def runtest(self):
        self.parent.run()
        outcomes = self.parent.outcomes.get(self.name)
        if not outcomes:
            raise CheckFailed(f"was not run: {self.parent.output[-8000:]}")
        failed = [text for what, text in outcomes if what == "failed"]
        if failed:
            raise CheckFailed("\n\n".join(failed)[-8000:])
        if all(what == "skipped" for what, _ in outcomes):
            pytest.skip(outcomes[0][1])

    def repr_failure(self, excinfo):
        return str(excinfo.value) if isinstance(excinfo.value, CheckFailed) else super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, self.name


class CheckFailed(Exception):
    """A failure that is told by its text."""


def is_check(path):
    return path.parent == HERE and path.name.startswith("check_") and path.suffix == ".py"


def pytest_collect_file(file_path, parent):
    named = parent.session.isinitpath(file_path)  # then it is taken for a module, in any case
    return CheckFile.from_parent(parent, path=file_path) if is_check(file_path) and not named else None


def pytest_pycollect_makemodule(module_path, parent):
    return CheckFile.from_parent(parent, path=module_path) if is_check(module_path) else None
