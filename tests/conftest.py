# SPDX-License-Identifier: MIT
"""Collects every kind of test that ChaosEater has, and ends with one line that sums them up.

  tests/unit/test_*.c   a program of the build, in the Test Anything Protocol; each of its lines is a test
  tests/golden/*.t      a command, and exactly what it prints; the format is at GoldenTest below
  tests/e2e/test_*.py   ordinary pytest, with the fixtures at the end of this file

CHAOSEATER_BUILD names the build folder (default: build-test). Every process gets a state folder of its own.
With --retry-alone, what failed is run once more at the end, alone.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("CHAOSEATER_BUILD", ROOT / "build-test")).resolve()
PROGRAM_TIMEOUT = 600  # seconds; sanitizers on a busy machine are slow
SANITIZER_EXIT = 99  # apart from every exit code of our own
SANITIZER_LOGS = Path(tempfile.mkdtemp(prefix="chaoseater-sanitizers-"))


def pipeline_folder():
    """Where the build has put the program that the embedded pipeline's processes run."""
    for path in BUILD.rglob("chaoseater-pipeline"):
        if path.is_file():
            return path.parent
    return BUILD


# What every process under test inherits, whoever starts it.
os.environ["CHAOSEATER_BUILD"] = str(BUILD)
os.environ["CHAOSEATER_LIBEXEC"] = str(pipeline_folder())
for sanitizer in ("ASAN", "UBSAN", "TSAN"):
    os.environ[f"{sanitizer}_OPTIONS"] = (
        f"log_path={SANITIZER_LOGS}/{sanitizer.lower()}:exitcode={SANITIZER_EXIT}:print_stacktrace=1"
    )
# The helper that leaks is loaded before the sanitizer's runtime; it has nothing to do with it.
os.environ["ASAN_OPTIONS"] += ":verify_asan_link_order=0"


def environment(folder):
    """What a process under test sees: nothing of the caller's settings, everything under `folder`."""
    kept = ("CHAOSEATER_BUILD", "CHAOSEATER_LIBEXEC", "CHAOSEATER_DUCKDB")
    env = {k: v for k, v in os.environ.items() if k in kept or not k.startswith(("CHAOSEATER_", "XDG_"))}
    env.update(
        HOME=str(folder),
        LC_ALL="C.UTF-8",
        TERM="dumb",
        CHAOSEATER_STATE_DIR=str(Path(folder) / "state"),
    )
    return env


# ---- sanitizers: a report of any process, children included, fails the test in which it was written


# LeakSanitizer says this when it looks at a thread that is just ending; it has found nothing.
HARMLESS = re.compile(r"^==\d+==Unable to get registers from thread \d+\.\n", re.MULTILINE)


def take_sanitizer_reports():
    reports = ""
    for path in sorted(SANITIZER_LOGS.iterdir()):
        reports += HARMLESS.sub("", path.read_text(errors="replace"))
        path.unlink()
    return reports


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    found = take_sanitizer_reports() if call.when == "call" else ""
    if found:
        report.outcome = "failed"
        report.longrepr = found[:8000]


class TestFailed(Exception):
    """A failure that is told by its text; Python's stack would say nothing about it."""

    __test__ = False


# ---- unit programs


class UnitFile(pytest.File):
    """One program, run once, when the first of its tests is."""

    lines = None

    def collect(self):
        names = re.findall(r"^\s*TEST\((\w+)\)", self.path.read_text(), re.MULTILINE)
        for name in names:
            yield UnitTest.from_parent(self, name=name)
        yield UnitProgram.from_parent(self, name="program", expected=names)

    def run(self):
        if self.lines is not None:
            return
        self.lines, self.plan, self.complaint = {}, None, None
        program = BUILD / "tests" / "unit" / self.path.stem
        if not program.exists():
            self.complaint = f"{program} was not built"
            return
        with tempfile.TemporaryDirectory(prefix="chaoseater-unit-") as folder:
            try:
                done = subprocess.run(
                    [program],
                    cwd=ROOT,
                    env=environment(folder),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=PROGRAM_TIMEOUT,
                )
                output, code = done.stdout, done.returncode
            except subprocess.TimeoutExpired as expired:
                output, code = expired.stdout or b"", None
        self.read(output.decode(errors="replace"), code)

    def read(self, output, code):
        notes = []
        failed = False
        for line in output.splitlines():
            match = re.fullmatch(r"(not )?ok \d+ - (\w+)(?: # SKIP (.*))?", line)
            if match:
                failed = failed or bool(match[1])
                self.lines[match[2]] = (not match[1], match[3], "\n".join(notes))
                notes = []
            elif re.fullmatch(r"1\.\.\d+", line):
                self.plan = int(line[3:])
            else:
                notes.append(line)
        tail = "\n".join(output.splitlines()[-30:])
        if code is None:
            self.complaint = f"did not end within {PROGRAM_TIMEOUT} s:\n{tail}"
        elif code < 0:
            self.complaint = f"was ended by {signal.Signals(-code).name}:\n{tail}"
        elif self.plan != len(self.lines):
            self.complaint = f"ran {len(self.lines)} tests of {self.plan or 'an unknown number'}:\n{tail}"
        elif code != (1 if failed else 0):
            self.complaint = f"exited with {code}:\n{tail}"


class UnitItem(pytest.Item):
    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, TestFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, self.name


class UnitTest(UnitItem):
    def runtest(self):
        self.parent.run()
        if self.name not in self.parent.lines:
            if self.parent.complaint:
                raise TestFailed(f"did not get so far: the program {self.parent.complaint}")
            pytest.skip("not in this build")
        passed, skip_reason, notes = self.parent.lines[self.name]
        if not passed:
            raise TestFailed(notes or "failed without a word")
        if skip_reason is not None:
            pytest.skip(skip_reason)


class UnitProgram(UnitItem):
    """That the program ran all its tests and ended as it should, and that no test goes uncounted."""

    def __init__(self, *, expected, **kwargs):
        super().__init__(**kwargs)
        self.expected = expected

    def runtest(self):
        self.parent.run()
        if self.parent.complaint:
            raise TestFailed(f"the program {self.parent.complaint}")
        unknown = set(self.parent.lines) - set(self.expected)
        if unknown:
            raise TestFailed(f"not written as TEST(name): {', '.join(sorted(unknown))}")


# ---- golden tests


class GoldenFile(pytest.File):
    def collect(self):
        yield GoldenTest.from_parent(self, name=self.path.stem)


class GoldenTest(UnitItem):
    """
    # Comment lines.
    $ chaoseater validate plan.yaml      the command, run in a new folder that holds the files below
    ! 2                                  its exit code (default 0)
    --- stdout                           exactly what it prints (default: nothing)
    --- stderr                           likewise
    --- file plan.yaml                   a file that it finds; as many as are needed
    """

    def read(self):
        command, code, sections, current = None, 0, {}, None
        for line in self.path.read_text().splitlines(keepends=True):
            if line.startswith("--- "):
                current = line[4:].strip()
                sections[current] = ""
            elif current is not None:
                sections[current] += line
            elif line.startswith("$ "):
                command = shlex.split(line[2:])
            elif line.startswith("! "):
                code = int(line[2:])
            elif line.strip() and not line.startswith("#"):
                raise TestFailed(f"{self.path.name}: neither comment, command nor section: {line}")
        if not command or command[0] != "chaoseater":
            raise TestFailed(f"{self.path.name}: no line `$ chaoseater ...`")
        return command, code, sections

    def runtest(self):
        command, code, sections = self.read()
        with tempfile.TemporaryDirectory(prefix="chaoseater-golden-") as folder:
            work = Path(folder) / "work"
            work.mkdir()
            for section, text in sections.items():
                if section.startswith("file "):
                    (work / section[5:]).write_text(text)
            done = subprocess.run(
                [BUILD / "chaoseater", *command[1:]],
                cwd=work,
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
            )
        got = {
            "exit": str(done.returncode),
            "stdout": done.stdout.decode(errors="replace"),
            "stderr": done.stderr.decode(errors="replace"),
        }
        want = {
            "exit": str(code),
            "stdout": sections.get("stdout", ""),
            "stderr": sections.get("stderr", ""),
        }
        different = [f"{k}\n  wanted: {want[k]!r}\n  got:    {got[k]!r}" for k in want if got[k] != want[k]]
        if different:
            raise TestFailed("\n".join([shlex.join(command), *different]))


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".c" and file_path.name.startswith("test_") and file_path.parent.name == "unit":
        return UnitFile.from_parent(parent, path=file_path)
    if file_path.suffix == ".t" and file_path.parent.name == "golden":
        return GoldenFile.from_parent(parent, path=file_path)
    return None


# ---- --retry-alone: what failed beside other tests is tried once more without them


MOST_ALONE = 10  # more tests than these do not fail for want of a machine of their own
PASSED_ALONE = pytest.StashKey[list]()


def pytest_addoption(parser):
    parser.addoption("--retry-alone", action="store_true", help="run what failed again at the end, one after the other")


def broken(config):
    """Reports of everything that did not go well."""
    stats = config.pluginmanager.get_plugin("terminalreporter").stats
    return stats.get("failed", []) + stats.get("error", [])


def passed_of(tests, config):
    """Runs them in a process of their own, and shows what it says."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rpfE", *tests]
    output = subprocess.run(command, cwd=config.rootpath, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    config.pluginmanager.get_plugin("terminalreporter").write_line("\nagain, alone:\n" + output)
    # "PASSED name", and "FAILED name - why": what passed and then failed to clean up is among both.
    said = [line.partition(" ") for line in output.splitlines()]
    good = {name for word, _, name in said if word == "PASSED"}
    bad = [f"{name} - " for word, _, name in said if word in ("FAILED", "ERROR")]
    return [test for test in tests if test in good and not any(name.startswith(f"{test} - ") for name in bad)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    config = session.config
    if not config.option.retry_alone or hasattr(config, "workerinput") or exitstatus != pytest.ExitCode.TESTS_FAILED:
        return
    tests = list(dict.fromkeys(report.nodeid for report in broken(config) if isinstance(report, pytest.TestReport)))
    alone = config.stash[PASSED_ALONE] = passed_of(tests, config) if tests else []
    if len(alone) <= MOST_ALONE and all(report.nodeid in alone for report in broken(config)):
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter, config):
    """By now the first failures have been shown."""
    alone = config.stash.get(PASSED_ALONE, [])
    if len(alone) > MOST_ALONE:
        return
    passed = {report.nodeid: report for report in broken(config) if report.nodeid in alone}
    stats = terminalreporter.stats
    for kind in ("failed", "error", "passed"):
        kept = [report for report in stats.pop(kind, []) if report.nodeid not in passed]
        kept += passed.values() if kind == "passed" else []
        if kept:
            stats[kind] = kept


# ---- the whole


def pytest_unconfigure(config):
    shutil.rmtree(SANITIZER_LOGS, ignore_errors=True)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not config.option.collectonly:
        count = {kind: len(reports) for kind, reports in reporter.stats.items()}
        failed = count.get("failed", 0) + count.get("error", 0)
        if alone := config.stash.get(PASSED_ALONE, []):
            too_many = f", and more than {MOST_ALONE} are too many" if len(alone) > MOST_ALONE else ""
            reporter.write_line("\n  ".join([f"passed only when run alone{too_many}:", *alone]))
        reporter.write_line(f"{count.get('passed', 0)} passed, {failed} failed, {count.get('skipped', 0)} skipped")


# ---- fixtures for tests/e2e


class Chaoseater:
    """Runs the program under test; its state lies in `folder`/state."""

    def __init__(self, folder):
        self.program = BUILD / "chaoseater"
        self.env = environment(folder)
        self.folder = Path(folder)
        self.state = self.folder / "state"
        if not self.program.exists():
            pytest.fail(f"{self.program} was not built; `make test` builds it", pytrace=False)

    def __call__(self, *args, timeout=120, **kwargs):
        kwargs.setdefault("cwd", self.folder)
        kwargs.setdefault("env", self.env)
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([self.program, *map(str, args)], text=True, timeout=timeout, **kwargs)

    def start(self, *args, **kwargs):
        """The same without waiting; the caller sees to its end."""
        kwargs.setdefault("cwd", self.folder)
        kwargs.setdefault("env", self.env)
        return subprocess.Popen([self.program, *map(str, args)], stdin=subprocess.DEVNULL, **kwargs)


@pytest.fixture
def chaoseater(tmp_path):
    return Chaoseater(tmp_path)


@pytest.fixture(scope="module")
def chaoseater_module(tmp_path_factory):
    """For runs whose result several tests of a module look at."""
    return Chaoseater(tmp_path_factory.mktemp("module"))


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def build():
    return BUILD


@pytest.fixture(scope="session")
def mission(root):
    """The experiment document that the project's first description shows: its YAML blocks, byte for byte."""
    described = root.parent / "shared" / "mission" / "seed-readme.md"
    if not described.exists():
        return (root / "examples" / "mission.yaml").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", described.read_text(), re.MULTILINE | re.DOTALL)
    return "\n".join(blocks)
