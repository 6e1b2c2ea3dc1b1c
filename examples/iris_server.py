# SPDX-License-Identifier: MIT
"""A stand-in for your model server, so that http_server.yaml runs anywhere: rules on iris flowers, over the Open
Inference Protocol (v2, REST). python3 iris_server.py PORT
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def predict(flower):
    length, width = flower.get("petal_length") or 0, flower.get("petal_width") or 0
    return "setosa" if length < 2.5 else "versicolor" if length < 4.9 and width < 1.7 else "virginica"


def read_flower(inputs):
    """One tensor of all columns, or one for each."""
    if len(inputs) == 1:
        return dict(zip(COLUMNS, inputs[0]["data"]))
    return {tensor["name"]: tensor["data"][0] for tensor in inputs}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        known = {"/v2/health/ready": {"ready": True}, "/v2/models/iris": {"name": "iris", "versions": ["1"]}}
        self.answer(200 if self.path in known else 404, known.get(self.path, {"error": "not found"}))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v2/models/iris/infer":
            return self.answer(404, {"error": "not found"})
        try:
            species = predict(read_flower(json.loads(body)["inputs"]))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            return self.answer(400, {"error": f"bad request: {error}"})
        output = {"name": "species", "shape": [1], "datatype": "BYTES", "data": [species]}
        return self.answer(200, {"model_name": "iris", "model_version": "1", "outputs": [output]})

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
