# SPDX-License-Identifier: MIT
"""A small model server that speaks each of the REST protocols: rules on iris flowers, no learning.

  model_server.py PROTOCOL PORT [--answer class|index|scores|score] [--die SECONDS] [--health FILE]

oip, kserve_v1, mlflow, torchserve and json answer with the name of a class, its index, the scores of all classes, or the
score of one. What it is asked about is read from the request as the protocol has it: by name, or in the order of iris.csv.
Written from the published shapes of these protocols.
"""
import argparse
import json
import os
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CLASSES = ["setosa", "versicolor", "virginica"]
COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
MODEL = "iris"


def classify(features):
    """The index of the class. A missing value counts as 0, as a careless server would have it."""
    length, width = (float(features.get(name) or 0) for name in ("petal_length", "petal_width"))
    return 0 if length < 2.5 else 1 if length < 4.9 and width < 1.7 else 2


def spelled(index, answer):
    if answer == "class":
        return CLASSES[index]
    if answer == "index":
        return index
    if answer == "score":  # of being a virginica
        return [0.1, 0.3, 0.9][index]
    return [0.9 if i == index else 0.05 for i in range(3)]


class Bad(Exception):
    pass


def rows_by_order(rows):
    return [dict(zip(COLUMNS, row)) if isinstance(row, list) else row for row in rows]


class Protocol:
    """{path: (method, function of the request's JSON)}."""

    def __init__(self, answer):
        self.answer = answer

    def predict(self, rows):
        return [spelled(classify(row), self.answer) for row in rows]


class Oip(Protocol):
    def routes(self):
        return {
            "/v2/health/live": lambda _: {"live": True},
            "/v2/health/ready": lambda _: {"ready": True},
            f"/v2/models/{MODEL}": lambda _: {"name": MODEL, "versions": ["1"], "platform": "rules", "inputs": [], "outputs": []},
            f"/v2/models/{MODEL}/ready": lambda _: {"ready": True},
            f"/v2/models/{MODEL}/infer": self.infer,
        }

    def infer(self, request):
        inputs = request["inputs"]
        if len(inputs) == 1:
            flat = inputs[0]["data"]
            flat = flat[0] if isinstance(flat[0], list) else flat
            row = dict(zip(COLUMNS, flat))
        else:
            row = {tensor["name"]: tensor["data"][0] for tensor in inputs}
        value = self.predict([row])[0]
        kind = "BYTES" if self.answer == "class" else "INT64" if self.answer == "index" else "FP64"
        data = value if isinstance(value, list) else [value]
        shape = [1, len(data)] if isinstance(value, list) else [1]
        output = {"name": "output-0", "shape": shape, "datatype": kind, "data": data}
        return {"model_name": MODEL, "model_version": "1", "outputs": [output]}


class KServeV1(Protocol):
    def routes(self):
        return {
            f"/v1/models/{MODEL}": lambda _: {"name": MODEL, "ready": True},
            f"/v1/models/{MODEL}:predict": lambda request: {"predictions": self.predict(rows_by_order(request["instances"]))},
        }


class MLflow(Protocol):
    def routes(self):
        return {"/ping": lambda _: b"\n", "/version": lambda _: b"2.9.2", "/invocations": self.invoke}

    def invoke(self, request):
        if "dataframe_split" in request:
            frame = request["dataframe_split"]
            rows = [dict(zip(frame["columns"], row)) for row in frame["data"]]
        elif "dataframe_records" in request:
            rows = request["dataframe_records"]
        else:
            rows = rows_by_order(request.get("inputs") or request.get("instances"))
        return {"predictions": self.predict(rows)}


class TorchServe(Protocol):
    def routes(self):
        return {"/ping": lambda _: {"status": "Healthy"}, f"/predictions/{MODEL}": self.handle}

    def handle(self, request):
        rows = request if isinstance(request, list) else [request]
        rows = rows[0] if rows and isinstance(rows[0], list) and isinstance(rows[0][0], list) else rows
        value = self.predict(rows_by_order(rows))[0]
        return dict(zip(CLASSES, value)) if self.answer == "scores" else value


class Json(Protocol):
    def routes(self):
        return {"/score": lambda request: {"result": [{"flower": self.predict([request["flower"]])[0]}]}}


PROTOCOLS = {"oip": Oip, "kserve_v1": KServeV1, "mlflow": MLflow, "torchserve": TorchServe, "json": Json}


def handler(routes, arguments, ready_at):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_):
            pass

        def answer(self, status, value):
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle_request(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            path = self.path
            if arguments.prefix:
                if not path.startswith(arguments.prefix + "/"):
                    return self.answer(404, {"error": f"nothing is at {path}"})
                path = path[len(arguments.prefix):]
            if arguments.host and self.headers.get("Host") != arguments.host:
                return self.answer(421, {"error": f"not for {self.headers.get('Host')}"})
            if path == "/health":
                late = time.monotonic() < ready_at
                return self.answer(503 if late else 200, {"status": "starting" if late else "up"})
            route = routes.get(path)
            if not route:
                return self.answer(404, {"error": f"nothing is at {path}"})
            try:
                return self.answer(200, route(json.loads(body) if body else {}))
            except (KeyError, ValueError, TypeError, IndexError) as error:
                return self.answer(400, {"error": f"bad request: {error!r}"})

        do_GET = do_POST = handle_request

    return Handler


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("port", type=int)
    parser.add_argument("--answer", default="class", choices=["class", "index", "scores", "score"])
    parser.add_argument("--prefix", default="")
    parser.add_argument("--host", help="the only Host that is served")
    parser.add_argument("--tls", help="PEM file with certificate and key")
    parser.add_argument("--late", type=float, default=0, help="seconds until /health says so")
    parser.add_argument("--die", help="says this, and ends")
    parser.add_argument("--workers", type=int, default=0, help="processes that only wait, in a session of their own")
    arguments = parser.parse_args()
    if arguments.die:
        sys.exit(arguments.die)
    for _ in range(arguments.workers):
        if os.fork() == 0:
            os.setsid()
            threading.Event().wait()
    routes = PROTOCOLS[arguments.protocol](arguments.answer).routes()
    server = Server(("127.0.0.1", arguments.port), handler(routes, arguments, time.monotonic() + arguments.late))
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"serving {arguments.protocol} at {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
