# SPDX-License-Identifier: MIT
"""What `make install` puts down works on its own, and the header serves C99 and C++."""

import json
import os
import subprocess

import pytest

PLAN = """
experiments:
  - {name: slow, layer: model, fault_type: slow_inference, duration: 1s, baseline: 1s}
"""


@pytest.fixture(scope="module")
def prefix(tmp_path_factory, root):
    prefix = tmp_path_factory.mktemp("prefix")
    done = subprocess.run(
        ["make", "install", f"PREFIX={prefix}", "BUILD=build-install"],
        cwd=root,
        env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "DESTDIR", "SAN", "BUILD")},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return prefix


@pytest.fixture
def clean_env(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CHAOSEATER_", "LD_"))}
    return {**env, "CHAOSEATER_STATE_DIR": str(tmp_path / "state")}


def test_the_installed_program_runs_an_experiment(prefix, clean_env, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN)
    done = subprocess.run(
        [prefix / "bin" / "chaoseater", "run", "plan.yaml", "--json"],
        cwd=tmp_path,
        env=clean_env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert run["status"] == "completed" and run["verified"]


def test_the_installed_program_leaks_by_the_installed_helper(prefix, clean_env, tmp_path):
    """The helper is loaded by a server that the program starts, so it has to be found from there."""
    (helper,) = prefix.rglob("libchaoseater-leak.so")
    done = subprocess.run(
        [prefix / "bin" / "chaoseater", "doctor", "--json"],
        cwd=tmp_path,
        env=clean_env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    check = next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "leak_helper")
    assert check["ok"] and check["detail"] == str(helper)
    (tmp_path / "plan.yaml").write_text(PLAN.replace("slow_inference", "memory_leak"))
    done = subprocess.run(
        [prefix / "bin" / "chaoseater", "run", "plan.yaml", "--json"],
        cwd=tmp_path,
        env=clean_env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    (run,) = json.loads(done.stdout)["runs"]
    assert run["verified"] and run["rollback"]["verified"], run


def test_the_man_page_is_installed_and_reads(prefix):
    (page,) = prefix.rglob("chaoseater.1*")
    assert page.parent.name == "man1"


def test_a_program_builds_against_the_installed_library(prefix, clean_env, tmp_path):
    (tmp_path / "user.c").write_text(
        '#include <chaoseater.h>\nint main(void) { return puts(ce_version()) < 0 || ce_fault_count() == 0; }\n'
    )
    (library,) = [path for path in prefix.rglob("libchaoseater.so")]
    subprocess.run(
        ["cc", "-std=c99", "-o", "user", "user.c", f"-I{prefix}/include", f"-L{library.parent}", "-lchaoseater"],
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    done = subprocess.run(
        [tmp_path / "user"],
        env={**clean_env, "LD_LIBRARY_PATH": str(library.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "compiler",
    [["gcc", "-xc", "-std=c99"], ["gcc", "-xc", "-std=c17"], ["g++", "-xc++", "-std=c++11"]],
    ids=["C99", "C17", "C++11"],
)
def test_the_header_compiles_on_its_own(root, compiler):
    done = subprocess.run(
        [*compiler, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", root / "include", "-"],
        input="#include <chaoseater.h>\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
