# SPDX-License-Identifier: MIT
"""Programs that nobody here wrote, from PyPI and npm, at fixed versions, kept in the build folder."""
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

PYPI = ["pandas==2.3.3", "pyarrow==26.0.1", "polars==2.1.0", "duckdb==2.0.0", "scipy==1.17.1", "tab_err==0.2.1"]
FOLDER = pathlib.Path(os.environ["CHAOSEATER_BUILD"]) / "peers"


def run(*command, cwd=None):
    """Skips the test, with the last line of what was said, when the command fails."""
    try:
        done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"peers cannot be installed: {error}")
    if done.returncode != 0:
        pytest.skip(f"peers cannot be installed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def made_once(name, make):
    """A folder that is either complete or not there."""
    folder, unfinished = FOLDER / name, FOLDER / f"{name}.unfinished"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / f"{name}.lock", "w") as lock:  # tests may run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(folder)
    return folder


def python():
    """A Python that has the packages above."""
    def make(folder):
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q", "--disable-pip-version-check",
            *PYPI)

    return made_once("python", make) / "bin" / "python"


def node_modules(*packages):
    """The folder to run node in, with these packages of npm."""
    def make(folder):
        folder.mkdir()
        (folder / "package.json").write_text("{}")
        run("npm", "install", "--silent", "--no-audit", "--no-fund", *packages, cwd=folder)

    return made_once("node-" + "-".join(packages).translate(str.maketrans("@/", "__")), make)


# Threads of pyarrow's that are still at work abort a Python that takes itself apart.
END = """
import os, sys
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
"""


def script(interpreter, code, *arguments, cwd=None):
    """What a program in Python printed; it must have succeeded, and have closed what it wrote."""
    command = [str(interpreter), "-c", f"{code}\n{END}", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
