# SPDX-License-Identifier: MIT
"""Model servers for tests of the model layer, with labelled rows to ask them about.

Real ones, installed from PyPI at fixed versions into the build folder, started once per session on the loopback:
mlflow_server, mlflow_old_server, kserve_server. Stand-ins by published shapes: tfserving_double, triton_double,
torchserve_double. A module that wants them says pytest_plugins = ["model_servers"].

Every server has `doors`: a URL with the protocol that is spoken there. door.predict(rows, base=...) asks through any other
URL, such as that of a proxy before the server, and returns the predicted class of each row; door.look(rows, base=...) is one
request about all rows, and what was seen of it. All of them know the model iris; the versions and other models that each
has are said at its fixture.
"""
import atexit
import csv
import dataclasses
import functools
import http.client
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

import peers
import published_shapes
from ports import free_port

# mlflow-skinny is MLflow without its tracking server: the scoring server, which is what is tested here, is the same.
PYPI = ["mlflow-skinny==3.17.2", "kserve==0.21.0", "scikit-learn==1.9.1", "pandas==2.3.3"]
HERE = pathlib.Path(__file__).resolve().parent
IRIS = HERE / "iris.csv"  # rows that no model was fitted on; the label is in the column species
LABEL = "species"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONDONTWRITEBYTECODE": "1"}


def labelled_rows():
    """(features, label) of each row of IRIS."""
    with IRIS.open() as file:
        return [([float(cell) for cell in row[:-1]], int(row[-1])) for row in list(csv.reader(file))[1:]]


COLUMNS = IRIS.read_text().partition("\n")[0].split(",")[:-1]


def python():
    """A Python that has the packages above."""
    def make(folder):
        peers.run(sys.executable, "-m", "venv", "--without-pip", folder)
        peers.run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q",
                  "--disable-pip-version-check", *PYPI)

    return peers.made_once("model-servers", make) / "bin" / "python"


def models():
    """A folder with the models of servers/train.py, in MLflow's format."""
    interpreter = python()

    def make(folder):
        subprocess.run([interpreter, HERE / "servers" / "train.py", folder, IRIS], env={**os.environ, **QUIET}, check=True,
                       capture_output=True, timeout=300)

    return peers.made_once("model-servers-iris", make)


# ---- asking


@dataclasses.dataclass
class Answer:
    status: int
    headers: object
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclasses.dataclass
class Seen:
    """One request, alike for all protocols: what its client got."""

    status: object  # the HTTP status, or gRPC's name for its own
    body: bytes = b""  # over gRPC, the message
    fields: dict = dataclasses.field(default_factory=dict)  # by names in lower case
    rows: list = None  # for each row its outputs, each a list of numbers; None when there are none
    error: object = None  # why no answer came: an exception
    seconds: float = 0.0


def best(scores):
    return scores.index(max(scores))


class Door:
    """REST. A subclass says how a request is written and where the outputs stand in the answer."""

    protocol = None  # as chaoseater names it

    def __init__(self, url, model="iris"):
        self.url = url
        self.model = model

    @property
    def address(self):
        """HOST:PORT"""
        return urllib.parse.urlsplit(self.url).netloc

    def path(self, model, version):
        raise NotImplementedError

    def body(self, rows):
        raise NotImplementedError

    def outputs(self, answer):
        """Of each row its outputs, each as a list: a class, or the scores of all."""
        raise NotImplementedError

    def headers(self):
        return {"Content-Type": "application/json"}

    def ask(self, rows, base=None, model=None, version=None, headers=None, timeout=30):
        """One request about all rows; an Answer, whatever its status."""
        path = self.path(model or self.model, version)
        request = urllib.request.Request((base or self.url) + path, self.body(rows), {**self.headers(), **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def predict(self, rows, base=None, **which):
        answer = self.ask(rows, base, **which)
        assert answer.status == 200, (answer.status, answer.body)
        return [first[0] if len(first) == 1 else best(first) for first, *_ in self.outputs(answer)]

    def look(self, rows, base=None, **which):
        began = time.monotonic()
        try:
            answer = self.ask(rows, base, **which)
        except (OSError, http.client.HTTPException) as error:
            return Seen(None, error=getattr(error, "reason", error), seconds=time.monotonic() - began)
        fields = {name.lower(): value for name, value in answer.headers.items()}
        return Seen(answer.status, answer.body, fields, self.outputs(answer) if answer.status == 200 else None,
                    seconds=time.monotonic() - began)


class MLflowDoor(Door):
    protocol = "mlflow"

    def path(self, model, version):
        return "/invocations"

    def body(self, rows):
        return json.dumps({"dataframe_split": {"columns": COLUMNS, "data": rows}}).encode()

    def outputs(self, answer):
        return [[[item]] for item in answer.json["predictions"]]


class V1Door(Door):
    """KServe v1, TensorFlow Serving: classes, or the scores of all classes."""

    protocol = "kserve_v1"

    def path(self, model, version):
        return f"/v1/models/{model}" + (f"/versions/{version}" if version else "") + ":predict"

    def body(self, rows):
        return json.dumps({"instances": rows}).encode()

    def outputs(self, answer):
        return [[item if isinstance(item, list) else [item]] for item in answer.json["predictions"]]


def by_row(shape, data):
    width = len(data) // shape[0]
    return [data[at:at + width] for at in range(0, len(data), width)]


class V2Door(Door):
    """Open Inference Protocol. `binary`: with tensors as bytes behind the JSON."""

    protocol = "oip"

    def __init__(self, url, model="iris", binary=False):
        super().__init__(url, model)
        self.binary = binary

    def path(self, model, version):
        return f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"

    def numbers(self, rows):
        return [number for row in rows for number in row]

    def header(self, rows):
        tensor = {"name": "input-0", "shape": [len(rows), len(rows[0])], "datatype": "FP64"}
        if not self.binary:
            return json.dumps({"inputs": [{**tensor, "data": self.numbers(rows)}]}).encode()
        tensor["parameters"] = {"binary_data_size": 8 * len(self.numbers(rows))}
        return json.dumps({"parameters": {"binary_data_output": True}, "inputs": [tensor]}).encode()

    def body(self, rows):
        numbers = self.numbers(rows) if self.binary else []
        return self.header(rows) + struct.pack(f"<{len(numbers)}d", *numbers)

    def ask(self, rows, base=None, model=None, version=None, headers=None, timeout=30):
        if self.binary:
            headers = {"Content-Type": "application/octet-stream", **(headers or {}),
                       "Inference-Header-Content-Length": str(len(self.header(rows)))}
        return super().ask(rows, base, model, version, headers, timeout)

    @staticmethod
    def tensors(answer):
        """{name: (datatype, shape, values)} of an answer's outputs."""
        length = answer.headers["Inference-Header-Content-Length"]
        end = int(length) if length else len(answer.body)
        found = {}
        for output in json.loads(answer.body[:end])["outputs"]:
            data = output.get("data")
            if data is None:
                size = output["parameters"]["binary_data_size"]
                letter = {"FP64": "d", "FP32": "f", "INT64": "q"}[output["datatype"]]
                data = [value for value, in struct.iter_unpack("<" + letter, answer.body[end:end + size])]
                end += size
            found[output["name"]] = (output["datatype"], output["shape"], data)
        return found

    def outputs(self, answer):
        tensors = [by_row(shape, data) for _, shape, data in self.tensors(answer).values()]
        return [list(row) for row in zip(*tensors, strict=True)]


@functools.cache
def grpc_client():
    """One process for all that is asked by gRPC: importing grpcio takes longer than most tests."""
    client = subprocess.Popen([python(), HERE / "servers" / "grpc_predict.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
    atexit.register(client.communicate)  # it ends with its input
    return client


class GrpcDoor(Door):
    """The same as gRPC, by grpcio. `raw`: with raw_input_contents, which are answered alike. `gzip`: compressed requests."""

    protocol = "oip_grpc"

    def __init__(self, url, model="iris", raw=False, gzip=False, authorities=None):
        super().__init__(url, model)
        self.raw = raw
        self.gzip = gzip
        self.authorities = authorities  # a PEM file: TLS

    def path(self, model, version):
        return "/inference.GRPCInferenceService/ModelInfer"

    def ask_all(self, calls, base=None, timeout=30, at_once=1):
        """What servers/grpc_predict.py says of each call: a dict of its arguments."""
        client = grpc_client()
        job = {"address": urllib.parse.urlsplit(base or self.url).netloc, "kind": "raw" if self.raw else "typed",
               "timeout": timeout, "gzip": self.gzip, "authorities": self.authorities and str(self.authorities),
               "at_once": at_once, "calls": [{"model": self.model, **call} for call in calls]}
        client.stdin.write(json.dumps(job) + "\n")
        client.stdin.flush()
        return json.loads(client.stdout.readline())

    def calls(self, rows, base=None, model=None):
        """One call for each row."""
        return self.ask_all([{"rows": [row], "model": model or self.model} for row in rows], base)

    def predict(self, rows, base=None, model=None):
        calls = self.calls(rows, base, model)
        assert all(call["code"] == "OK" for call in calls), calls
        return [best(call["numbers"]) if len(call["numbers"]) > 1 else call["numbers"][0] for call in calls]

    def look(self, rows, base=None, model=None, version=None, headers=None, timeout=30):
        metadata = {name.lower(): value for name, value in (headers or {}).items()}
        call, = self.ask_all([{"rows": rows, "model": model or self.model, "version": version or "", "metadata": metadata}],
                             base, timeout)
        seen = Seen(call["code"], fields=call["fields"], error=call["message"] or None, seconds=call["seconds"])
        if call["code"] == "OK":
            seen.body = bytes.fromhex(call["response"])
            seen.rows = [[row] for row in by_row(call["shape"], call["numbers"])]
        return seen


class TorchServeDoor(Door):
    protocol = "torchserve"

    def path(self, model, version):
        return f"/predictions/{model}" + (f"/{version}" if version else "")

    def body(self, rows):
        return json.dumps(rows).encode()

    def outputs(self, answer):
        return [[[scores[name] for name in sorted(scores)]] for scores in answer.json]


# ---- servers


class Server:
    """A program that serves at its doors; it leads a process group of its own, which ends as a whole."""

    def __init__(self, command, doors, log, **environment):
        self.doors = doors
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen([str(word) for word in command], env={**os.environ, **QUIET, **environment},
                                            cwd=log.parent, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                            start_new_session=True)
        try:
            self.wait_until_it_predicts()
        except BaseException:
            self.close()
            raise

    def wait_until_it_predicts(self, seconds=120):
        """At every door: they open one after the other, and one can stay shut while others are open."""
        deadline = time.monotonic() + seconds
        (row, _), *_ = labelled_rows()
        for door in self.doors:
            while not (seen := door.look([row], timeout=10)).rows:
                said = self.log.read_text(errors="replace")[-2000:]
                assert self.process.poll() is None, f"the server ended with {self.process.returncode}: {said}"
                assert time.monotonic() < deadline, f"{door.protocol} at {door.url} after {seconds} s: {seen}; {said}"
                time.sleep(0.05)

    def close(self):
        """The leader stays a zombie until all are told to end, so that no other process can have its number meanwhile."""
        if self.process.returncode is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while not os.waitid(os.P_PID, self.process.pid, ended) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def started(make, ports, tries=3):
    """make() with so many ports; again with others when that server ends, or one of its doors stays shut."""
    for left in reversed(range(tries)):
        try:
            return make(*(free_port() for _ in range(ports)))
        except AssertionError:
            if not left:
                raise


def mlflow_command(model, port):
    """The process that `mlflow models serve` would start through a shell, and what its environment has to have."""
    command = [python(), "-m", "uvicorn", "--host", "127.0.0.1", "--port", port, "--workers", "1",
               "mlflow.pyfunc.scoring_server.app:app"]
    return [str(word) for word in command], {"__pyfunc_model_path__": str(models() / model)}


def mlflow(model, folder):
    def make(port):
        command, environment = mlflow_command(model, port)
        return Server(command, [MLflowDoor(f"http://127.0.0.1:{port}")], folder / "log", **environment)

    return started(make, 1)


def kserve(folder):
    def make(http, grpc):
        rest, channel = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}"
        doors = [V1Door(rest), V2Door(rest), V2Door(rest, binary=True), GrpcDoor(channel), GrpcDoor(channel, raw=True)]
        server = Server([python(), HERE / "servers" / "kserve_iris.py", models(), http, grpc], doors, folder / "log")
        server.v1, server.v2, server.binary, server.grpc, server.grpc_raw = doors
        return server

    return started(make, 2)


def served(server):
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def iris_rows():
    return labelled_rows()


@pytest.fixture(scope="session")
def serving_python():
    """A Python with everything that the real servers need: scikit-learn, MLflow, KServe, grpcio, protobuf."""
    return python()


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory):
    """One model, and no way to name another."""
    yield from served(mlflow("iris", tmp_path_factory.mktemp("mlflow")))


@pytest.fixture(scope="session")
def mlflow_old_server(tmp_path_factory):
    """A second one, whose model is plainly worse."""
    yield from served(mlflow("iris_old", tmp_path_factory.mktemp("mlflow-old")))


@pytest.fixture(scope="session")
def kserve_server(tmp_path_factory):
    """Models iris and iris_old (worse), which answer with classes, and iris_scores. It knows no versions. Doors: v1, v2,
    binary (v2 with binary tensors), grpc, grpc_raw."""
    yield from served(kserve(tmp_path_factory.mktemp("kserve")))


@pytest.fixture(scope="session")
def tfserving_double():
    """Versions 1 (worse) and 2, as all stand-ins."""
    server = published_shapes.TensorFlowServing()
    server.doors = [V1Door(server.url)]
    yield from served(server)


@pytest.fixture(scope="session")
def triton_double():
    server = published_shapes.Triton()
    server.doors = [V2Door(server.url), V2Door(server.url, binary=True)]
    yield from served(server)


@pytest.fixture(scope="session")
def torchserve_double():
    server = published_shapes.TorchServe()
    server.doors = [TorchServeDoor(server.url)]
    yield from served(server)
