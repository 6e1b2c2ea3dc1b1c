# SPDX-License-Identifier: MIT
"""Model servers written here, in plain Python, from the published shapes of three that are not at hand as packages.

They are stand-ins, not the servers: what they answer is laid out as the documentation of TensorFlow Serving (REST),
Triton (Open Inference Protocol with the binary tensor extension) and TorchServe says, no more. All three hold one
classifier of Fisher's iris measurements (1936) in two versions, and count the requests that reach them.
"""
import http.server
import json
import math
import re
import struct
import threading

# A multinomial regression on two thirds of the rows; iris.csv has the others. Version 1 knows the sepal's width only.
WEIGHTS = {
    "2": ([[-0.40, 0.79, -2.24, -0.92], [0.32, -0.37, -0.02, -0.94], [0.07, -0.42, 2.25, 1.86]], [8.96, 2.55, -11.51]),
    "1": ([[0, 2.43, 0, 0], [0, -2.00, 0, 0], [0, -0.43, 0, 0]], [-7.59, 6.10, 1.49]),
}
NAMES = ["setosa", "versicolor", "virginica"]


def probabilities(row, version):
    weights, bias = WEIGHTS[version]
    powers = [math.exp(sum(w * x for w, x in zip(line, row)) + b) for line, b in zip(weights, bias)]
    return [power / sum(powers) for power in powers]


def best(scores):
    return scores.index(max(scores))


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def say(self, status, body, headers=None):
        self.send_response_only(status)  # no Server and Date: the same request has the same answer
        for name, value in (headers or {"Content-Type": "application/json"}).items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        body = self.server.double.get(self.path)
        self.say(404 if body is None else 200, body or b"{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        double = self.server.double
        with double.lock:
            double.requests.append((self.path, body))
        try:
            self.say(*double.post(self.path, self.headers, body))
        except Refused as refused:
            self.say(refused.status, double.error(refused.status, str(refused)))
        except (KeyError, TypeError, ValueError, struct.error) as error:
            self.say(400, double.error(400, f"cannot read the request: {error!r}"))


class Double:
    """Serves on the loopback from a thread of its own, until close()."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.double = self
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def route(self, pattern, path):
        """(model, version) of a path, by a pattern with groups of those names."""
        match = re.fullmatch(pattern, path.partition("?")[0])
        if not match or match["model"] != "iris":
            raise Refused(404, f"no model at {path}")
        version = match["version"] or "2"
        if version not in WEIGHTS:
            raise Refused(404, f"model iris has no version {version}")
        return version

    def error(self, status, message):
        return json.dumps({"error": message}).encode()

    def get(self, path):
        raise NotImplementedError

    def post(self, path, headers, body):
        raise NotImplementedError


class TensorFlowServing(Double):
    """POST /v1/models/iris[/versions/V]:predict, by rows ("instances") or by columns ("inputs"); scores of the classes."""

    PREDICT = r"/v1/models/(?P<model>\w+)(/versions/(?P<version>\w+))?:predict"

    def get(self, path):
        if not re.fullmatch(r"/v1/models/iris(/versions/[12])?", path):
            return None
        status = {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return json.dumps({"model_version_status": [status]}, indent=1).encode()

    def post(self, path, headers, body):
        version = self.route(self.PREDICT, path)
        request = json.loads(body)
        form, answer = ("instances", "predictions") if "instances" in request else ("inputs", "outputs")
        scores = [probabilities(row, version) for row in request[form]]
        lines = ", ".join("[" + ", ".join(f"{score:.9g}" for score in line) + "]" for line in scores)
        return 200, ('{\n    "%s": [%s\n    ]\n}' % (answer, lines)).encode()


class Triton(Double):
    """POST /v2/models/iris[/versions/V]/infer; outputs species (INT64), scores (FP32) and, if asked for, name (BYTES). GET
    /v2, its health, and what the model is.

    Tensors come and go as JSON, or as bytes behind it: then Inference-Header-Content-Length says how long the JSON is.
    """

    INFER = r"/v2/models/(?P<model>\w+)(/versions/(?P<version>\w+))?/infer"

    def get(self, path):
        if re.fullmatch(r"/v2/health/(live|ready)|/v2/models/iris(/versions/[12])?/ready", path):
            return b""
        if path == "/v2":
            return json.dumps({"name": "triton", "version": "2", "extensions": ["binary_tensor_data"]}).encode()
        if re.fullmatch(r"/v2/models/iris(/versions/[12])?", path):
            return json.dumps({"name": "iris", "versions": ["1", "2"], "platform": "", "inputs": [
                {"name": "input-0", "datatype": "FP64", "shape": [-1, 4]}], "outputs": [
                {"name": "species", "datatype": "INT64", "shape": [-1]},
                {"name": "scores", "datatype": "FP32", "shape": [-1, 3]}]}).encode()
        return None

    @staticmethod
    def rows(request, binary):
        columns = []
        for tensor in request["inputs"]:
            size = tensor.get("parameters", {}).get("binary_data_size")
            letter = {"FP64": "d", "FP32": "f"}[tensor["datatype"]]
            if size is None:
                data = tensor["data"]
                while isinstance(data[0], list):
                    data = [number for row in data for number in row]
            else:
                data = [number for number, in struct.iter_unpack("<" + letter, binary[:size])]
                binary = binary[size:]
            rows = tensor["shape"][0]
            width = len(data) // rows
            columns.append([data[i * width:(i + 1) * width] for i in range(rows)])
        return [[number for part in parts for number in part] for parts in zip(*columns)]

    @staticmethod
    def output(name, scores):
        if name == "species":
            return "INT64", [len(scores)], [best(line) for line in scores]
        if name == "scores":
            return "FP32", [len(scores), 3], [struct.unpack("<f", struct.pack("<f", s))[0] for line in scores for s in line]
        if name == "name":
            return "BYTES", [len(scores)], [NAMES[best(line)] for line in scores]
        raise Refused(400, f"unexpected inference output '{name}' for model 'iris'")

    @staticmethod
    def packed(datatype, data):
        if datatype == "BYTES":
            return b"".join(struct.pack("<I", len(text)) + text.encode() for text in data)
        return struct.pack("<%d%s" % (len(data), {"INT64": "q", "FP32": "f"}[datatype]), *data)

    def post(self, path, headers, body):
        version = self.route(self.INFER, path)
        length = int(headers.get("Inference-Header-Content-Length", len(body)))
        request = json.loads(body[:length])
        scores = [probabilities(row, version) for row in self.rows(request, body[length:])]
        all_binary = request.get("parameters", {}).get("binary_data_output", False)
        outputs, binary = [], b""
        for wanted in request.get("outputs") or [{"name": "species"}, {"name": "scores"}]:
            datatype, shape, data = self.output(wanted["name"], scores)
            output = {"name": wanted["name"], "datatype": datatype, "shape": shape}
            if wanted.get("parameters", {}).get("binary_data", all_binary):
                packed = self.packed(datatype, data)
                output["parameters"] = {"binary_data_size": len(packed)}
                binary += packed
            else:
                output["data"] = data
            outputs.append(output)
        answer = {"model_name": "iris", "model_version": version, "outputs": outputs}
        if "id" in request:
            answer["id"] = request["id"]
        text = json.dumps(answer, separators=(",", ":")).encode()
        if not binary:
            return 200, text
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": len(text)}
        return 200, text + binary, headers


class TorchServe(Double):
    """POST /predictions/iris[/V]: of a row of numbers, what its classifying handlers say, {"class": probability}, best first.

    The body is the handler's own affair; this one takes a row, rows, {"data": ...} or {"instances": ...}, or named columns.
    """

    PREDICT = r"/predictions/(?P<model>\w+)(/(?P<version>[\w.]+))?"
    COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]

    def get(self, path):
        return b'{\n  "status": "Healthy"\n}\n' if path == "/ping" else None

    def error(self, status, message):
        kind = {404: "ModelNotFoundException", 400: "BadRequestException"}[status]
        return json.dumps({"code": status, "type": kind, "message": message}, indent=2).encode()

    def named(self, row):
        return [float(row[name]) for name in self.COLUMNS] if isinstance(row, dict) else row

    def post(self, path, headers, body):
        version = self.route(self.PREDICT, path)
        request = json.loads(body)
        if isinstance(request, dict):
            request = next((request[key] for key in ("data", "instances") if key in request), request)
        one = isinstance(request, dict) or not isinstance(request[0], (list, dict))
        answers = []
        for row in [request] if one else request:
            scores = probabilities(self.named(row), version)
            order = sorted(range(3), key=lambda i: -scores[i])
            answers.append({str(i): scores[i] for i in order})
        return 200, json.dumps(answers[0] if one else answers, indent=2).encode()
