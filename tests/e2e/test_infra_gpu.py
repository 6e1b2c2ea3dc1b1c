# SPDX-License-Identifier: MIT
"""gpu_unavailable: whole runs on the embedded pipeline, whose model server computes on a GPU or on the stand-in for one,
as root where the tests are root's, and as an ordinary user.
"""
import contextlib
import json
import mmap
import os
import struct
import subprocess

import pytest

from conftest import BUILD, ROOT
from lab import USERS, Lab, lab_of
from ports import free_port
from test_http_pipeline import experiment, refused, run_one, started, write

HELPERS = BUILD / "src" / "pipeline"
ANSWERS = {"no_device": (100, 0, 100), "out_of_memory": (0, 1, 2), "lost": (214, 0, 214)}


@pytest.fixture(params=USERS)
def lab(request):
    with lab_of(request.param) as lab:
        yield lab


def run(lab, profile="naive", code=(0, 1), environment={}, **parameters):
    path = lab.document("gpu_unavailable", parameters=parameters, profile=profile, duration="1s", baseline="1s")
    got, suite = lab.run_json("run", path, **environment)
    assert got in code, suite
    return suite["runs"][0]


def works(mechanism):
    """Whether the doctor says that this user has it."""
    checks = json.loads(subprocess.run([BUILD / "chaoseater", "doctor", "--json"], capture_output=True).stdout)["checks"]
    detail = next(check for check in checks if check["name"] == "gpu_unavailable")["detail"]
    return next(part for part in detail.split("; ") if part.startswith(mechanism))


def has_gpu():
    return os.path.exists("/dev/nvidiactl")


@pytest.mark.parametrize("mode", ANSWERS)
def test_the_gpu_is_gone_and_comes_back(lab, mode):
    done = run(lab, mode=mode)
    assert done["status"] == "completed" and done["verified"], done["verification"]
    assert done["rollback"]["verified"]
    if not has_gpu():
        assert done["verification"].startswith("stand-in accelerator: ")
        init, devices, memory = ANSWERS[mode]
        assert (f"the driver answers cuInit with {init}, counts {devices} devices and answers a request for memory with "
                f"{memory}") in done["verification"]
    assert done["verification"].endswith("; it is of no use to the model server")
    assert done["metrics"]["error_count"] > 0


@pytest.mark.parametrize("mechanism", ["cgroup_bpf", "cgroup_v1"])
def test_a_control_group_alone_takes_the_stand_in_away(lab, mechanism):
    if has_gpu():
        pytest.skip("a server that has opened the device of a GPU keeps it")
    if lab.user == "ordinary_user" or os.geteuid() != 0:
        done = run(lab, code=(4,), mechanism=mechanism)
        assert done["status"] == "failed" and done["reason"]
        return
    if "Permission denied" in works(mechanism) or "no " in works(mechanism):
        pytest.skip(works(mechanism))
    done = run(lab, mechanism=mechanism)
    assert done["verified"], done["verification"]
    assert (f"among its processes opening /dev/full fails: Operation not permitted ({mechanism}); it is of no use "
            "to the model server") in done["verification"]
    assert "cuInit" not in done["verification"]
    assert done["metrics"]["error_count"] > 0


@pytest.mark.parametrize("mode", ANSWERS)
def test_the_hardened_pipeline_computes_without_it(mode):
    with Lab() as lab:
        done = run(lab, profile="hardened", mode=mode)
        assert done["verified"] and done["verdict"] == "passed", done["verification"]
        assert done["metrics"]["error_count"] == 0
        assert done["metrics"]["fault_accuracy"] == done["metrics"]["baseline_accuracy"]


def test_what_does_not_act_is_found_out():
    with Lab() as lab:
        done = run(lab, code=(4,), environment={"CHAOSEATER_SEAM_NO_EFFECT": "1"})
        assert done["verified"] is False and done["verdict"] == "invalid"
        assert "the model server still has the use of it" in done["verification"]


def test_a_server_of_the_users_is_told_by_the_driver_alone(chaoseater, tmp_path):
    """One that has no GPU: there is nothing to be told, and that is said."""
    if has_gpu():
        pytest.skip("there is a GPU")
    path = write(tmp_path, started("mlflow", free_port()), experiment("gpu_unavailable", "infrastructure"))
    run = run_one(chaoseater, path, code=4)
    assert run["verdict"] == "inconclusive"
    assert "there is no driver 'libcuda.so.1' that could be asked" in json.dumps(run)


def test_a_server_that_has_not_loaded_the_library_is_refused(chaoseater, tmp_path):
    keys = started("mlflow", free_port())
    keys["command"] = ["env", "-u", "LD_PRELOAD"] + keys["command"]
    reason = refused(chaoseater, write(tmp_path, keys, experiment("gpu_unavailable", "infrastructure", mechanism="driver")))
    assert "has not loaded libchaoseater-gpu.so: its program is linked statically, or something drops LD_PRELOAD" in reason


@pytest.mark.parametrize("parameters, says", [
    ({"mode": "lost", "mechanism": "cgroup_v1"},
     "mechanism: a control group can only deny devices, which is mode no_device; mode 'lost' needs mechanism driver"),
    ({"devices": ["nvidia"]}, "'nvidia' is no device: neither MAJOR:MINOR, nor MAJOR:*, nor the file of one"),
])
def test_what_makes_no_sense_is_refused(parameters, says):
    with Lab() as lab:
        result = lab.run("run", lab.document("gpu_unavailable", parameters=parameters))
        assert result.returncode == 2 and says in result.stderr


# ---- programs that are linked with the driver

PROGRAM = """
#include <stdio.h>
int cuInit(unsigned); int cuDeviceGetCount(int *);
int ask(void) { int n = -5; int r = cuInit(0); cuDeviceGetCount(&n); return r * 10 + n; }
int main(void) { char c; while (scanf("%c", &c) == 1) { printf("%d\\n", ask()); fflush(stdout); } return 0; }
"""
LOADER = """
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
    int (*ask)(void) = (int (*)(void))dlsym(dlopen(argv[1], RTLD_NOW | RTLD_LOCAL), "ask");
    char c; while (scanf("%c", &c) == 1) { printf("%d\\n", ask()); fflush(stdout); } return 0; }
"""


@contextlib.contextmanager
def page(folder):
    """The page of the helpers as host/helper_layout.h has it; gives orders to the GPU's."""
    (folder / "helpers.page").write_bytes(struct.pack("<I", 0xce9a6e01) + bytes(4092))
    with open(folder / "helpers.page", "r+b") as file, mmap.mmap(file.fileno(), 4096) as memory:
        yield lambda mode: struct.pack_into("<I", memory, 4, mode)


@pytest.mark.parametrize("how", ["linked", "loaded_for_one"])
def test_a_program_that_is_linked_with_the_driver(tmp_path, how):
    cc = ["cc", "-I", ROOT / "src", "-D_GNU_SOURCE"]
    driver, program, library, loader = (tmp_path / name for name in ("libcuda.so.1", "program", "library.so", "loader"))
    subprocess.run([*cc, "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", driver,
                    ROOT / "src/pipeline/preload/accelerator.c"], check=True, timeout=60)
    (tmp_path / "p.c").write_text(PROGRAM)
    (tmp_path / "l.c").write_text(LOADER)
    rpath = f"-Wl,-rpath,{tmp_path}"
    subprocess.run([*cc, "-o", program, tmp_path / "p.c", driver, rpath], check=True, timeout=60)
    subprocess.run([*cc, "-shared", "-fPIC", "-o", library, tmp_path / "p.c", driver, rpath], check=True, timeout=60)
    subprocess.run([*cc, "-o", loader, tmp_path / "l.c"], check=True, timeout=60)
    command = [program] if how == "linked" else [loader, library]
    env = {**os.environ, "LD_PRELOAD": str(HELPERS / "libchaoseater-gpu.so"), "CHAOSEATER_HELPERS": str(tmp_path)}
    with page(tmp_path) as order, subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                   text=True, bufsize=0) as process:
        def ask():
            process.stdin.write("x")
            return int(process.stdout.readline())

        assert ask() == 1  # result 0, one device
        order(3)
        assert ask() == 2140 - 5
        order(0)
        assert ask() == 1
