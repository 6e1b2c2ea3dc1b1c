# SPDX-License-Identifier: MIT
"""A private place to run chaoseater in, and what can be seen of it from outside.

Every process that a run starts inherits CHAOSEATER_STATE_DIR, so this lab finds them all in /proc, and nothing but them.
"""
import contextlib
import functools
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import BUILD, Chaoseater

# Small and certain to be seen within a second. A fault that is not listed is run with its defaults.
PARAMETERS = {
    "data_corruption": {"corruption_rate": 0.3},
    "missing_data": {"missing_rate": 0.3},
    "slow_inference": {"latency_ms": 60, "variance": 0.1},
    "prediction_corruption": {"corruption_rate": 0.5},
    "model_drift": {"drift_type": "sudden", "drift_rate": 0.5},
    "wrong_version": {"fallback_model": "1"},
    "memory_leak": {"leak_rate_mb": 64},
    "memory_pressure": {"memory_mb": 64},
    "network_latency": {"latency_ms": 60, "jitter_ms": 5},
    "packet_loss": {"loss_rate": 0.3},
}
# {fault: layer}: every fault that the program under test has.
LAYERS = {fault["name"]: fault["layer"] for fault in
          json.loads(subprocess.run([BUILD / "chaoseater", "faults", "--json"], capture_output=True, check=True).stdout)}

NOBODY = 65534
AS_NOBODY = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]


def wait_for(condition, what, seconds=60):
    """Waits until condition() is true; the value it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.005)


def read(path):
    with contextlib.suppress(OSError):
        return pathlib.Path(path).read_bytes()
    return b""


def comm(pid):
    """What a process calls itself; "" when it has gone."""
    return read(f"/proc/{pid}/comm").decode().strip()


class Lab(Chaoseater):
    def __init__(self):
        super().__init__(tempfile.mkdtemp(prefix="chaoseater-lab-"))
        self.started = []
        self.prefix = []  # a command that starts the one behind it
        self.kept_folders = [str(self.state), str(self.state / "journal"), str(self.state / "run")]

    def document(self, fault, name="plan.yaml", profile="naive", duration="500ms", baseline="500ms", parameters=None,
                 rate=50, **more):
        path = self.folder / name
        experiment = {
            "name": fault + "_test",
            "layer": LAYERS[fault],
            "fault_type": fault,
            "duration": duration,
            "baseline": baseline,
            "parameters": PARAMETERS.get(fault, {}) if parameters is None else parameters,
            **more,
        }
        # JSON is YAML.
        path.write_text(json.dumps({"seed": 7, "experiments": [experiment],
                                    "pipeline": {"kind": "embedded", "profile": profile, "rate": rate, "rows": 1000}}))
        return path

    def start(self, *arguments, **environment):
        env = dict(self.env, **{key: str(value) for key, value in environment.items()})
        process = subprocess.Popen([*self.prefix, self.program, *map(str, arguments)], cwd=self.folder, env=env, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.started.append(process)
        return process

    def run(self, *arguments, timeout=120, **environment):
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run_json(self, *arguments, **kwargs):
        result = self.run(*arguments, "--json", **kwargs)
        assert result.stdout, (result.returncode, result.stderr)
        return result.returncode, json.loads(result.stdout)

    # What can be seen from outside.

    def processes(self):
        """{pid: command line} of everything that runs on behalf of this lab."""
        marker = f"CHAOSEATER_STATE_DIR={self.state}".encode()
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or marker not in read(f"/proc/{entry}/environ").split(b"\0"):
                continue
            if self.process_state(entry) not in ("", "Z", "X"):
                found[int(entry)] = read(f"/proc/{entry}/cmdline").replace(b"\0", b" ").decode()
        return found

    @staticmethod
    def process_state(pid):
        text = read(f"/proc/{pid}/stat").decode(errors="replace")
        return text.rpartition(")")[2].split()[0] if ")" in text else ""

    def leftovers(self):
        """Everything that should not be there once nothing runs: processes, files, control groups."""
        left = [f"process {pid}: {command}" for pid, command in self.processes().items()]
        for folder, _, files in os.walk(self.state):  # which does not mind folders that vanish meanwhile
            # What `run --resume` would go on from is there to stay, and so is the history.
            left += [f"file {folder}/{name}" for name in files if not name.startswith(("suite-", "history.db"))]
            left += [f"folder {folder}"] if folder not in self.kept_folders else []
        return left

    def clean_soon(self, seconds=60):
        wait_for(lambda: not self.leftovers(), f"still there: {self.leftovers()}", seconds)

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- users


@functools.cache
def nobody_can_run_it():
    command = [*AS_NOBODY, BUILD / "chaoseater", "--version"]
    return subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def needs_nobody():
    """Skips the test where nothing can be run as an ordinary user."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    if not nobody_can_run_it():
        pytest.skip("the build lies where only root may look")


class OrdinaryLab(Lab):
    """A lab whose runs are an ordinary user's. `prefix`: a command of root's that they are started by."""

    def __init__(self, *prefix):
        super().__init__()
        self.prefix = [*prefix, *AS_NOBODY]

    def start(self, *arguments, **environment):
        for folder, _, files in os.walk(self.folder):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                with contextlib.suppress(FileNotFoundError):  # another run's
                    os.lchown(path, NOBODY, NOBODY)
        return super().start(*arguments, **environment)


USERS = ["as_is", "ordinary_user"]


@contextlib.contextmanager
def lab_of(user, *prefix):
    """A lab of whoever runs the tests, or of an ordinary user; nothing may be left in it at the end."""
    if user == "ordinary_user":
        needs_nobody()
    with (OrdinaryLab(*prefix) if user == "ordinary_user" else Lab()) as lab:
        lab.user = user
        yield lab
        lab.clean_soon()


class Proxy:
    """`chaoseater proxy` before an upstream."""

    def __init__(self, lab, upstream, *arguments):
        self.process = lab.start("proxy", "--listen", "127.0.0.1:0", "--upstream", upstream, *arguments)
        self.port, self.control = self.read_ports("--control" in arguments)

    def read_ports(self, has_control):
        def port_in(line):
            assert line, self.process.communicate()
            return int(re.search(r"127\.0\.0\.1:(\d+)", line)[1])

        stream = self.process.stderr if "--json" in self.process.args else self.process.stdout
        first = port_in(stream.readline())
        return first, port_in(stream.readline()) if has_control else None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def predict(self, connection, name, path="/v2/models/m/infer", **headers):
        connection.request("POST", path, b'{"inputs": []}', {"X-Request-Id": name, **headers})
        response = connection.getresponse()
        return response, response.read()

    def ask(self, method, path, document=None, **headers):
        """The control API: status, and the JSON that came back."""
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=60)
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        with contextlib.suppress(ValueError):
            return response.status, json.loads(text)
        return response.status, text

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err
