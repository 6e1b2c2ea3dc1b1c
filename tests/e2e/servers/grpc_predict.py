# SPDX-License-Identifier: MIT
"""grpc_predict.py: asks model servers by grpcio and Google's protobuf.

Each line of input is a job as JSON, and each job a client of its own: {"address", "kind", "timeout", "authorities", "gzip",
"at_once", "calls": [{"model", "version", "rows", "metadata"}, ...]}. The kind is typed (fp64_contents) or raw
(raw_input_contents); authorities (a PEM file) mean TLS; gzip says whether requests are compressed, and at_once how many of
them are under way on its one connection. Answers with one line: a list with {"code", "message", "fields", "seconds"} of each
call ("fields" are metadata), and when it is OK {"request", "response"} (the messages' bytes in hexadecimal), "model" and
{"shape", "numbers"} of the first output.
"""
import concurrent.futures
import importlib.util
import json
import pathlib
import struct
import sys
import time

import grpc

# KServe's compiled protocol alone: the package around it takes seconds to import.
folder = pathlib.Path(importlib.util.find_spec("kserve").submodule_search_locations[0]) / "protocol" / "grpc"
spec = importlib.util.spec_from_file_location("grpc_predict_v2_pb2", folder / "grpc_predict_v2_pb2.py")
protocol = importlib.util.module_from_spec(spec)
spec.loader.exec_module(protocol)


def request_of(model, version, rows, raw):
    numbers = [number for row in rows for number in row]
    tensor = protocol.ModelInferRequest.InferInputTensor(name="input-0", datatype="FP64", shape=[len(rows), len(rows[0])])
    request = protocol.ModelInferRequest(model_name=model, model_version=version, inputs=[tensor])
    if raw:
        request.raw_input_contents.append(struct.pack(f"<{len(numbers)}d", *numbers))
    else:
        request.inputs[0].contents.fp64_contents.extend(numbers)
    return request.SerializeToString()


def read(answer):
    response = protocol.ModelInferResponse.FromString(answer)
    output = response.outputs[0]
    numbers = [*{"INT64": output.contents.int64_contents, "FP64": output.contents.fp64_contents}[output.datatype]]
    if response.raw_output_contents:
        letter = {"INT64": "q", "FP64": "d"}[output.datatype]
        numbers += [number for number, in struct.iter_unpack("<" + letter, response.raw_output_contents[0])]
    return {"response": answer.hex(), "model": response.model_name, "shape": list(output.shape), "numbers": numbers}


def connect(job):
    if not job["authorities"]:
        return grpc.insecure_channel(job["address"])
    authorities = pathlib.Path(job["authorities"]).read_bytes()
    return grpc.secure_channel(job["address"], grpc.ssl_channel_credentials(authorities))


def ask(stub, job, model, rows, version="", metadata=None):
    request = request_of(model, version, rows, job["kind"] == "raw")
    compression = grpc.Compression.Gzip if job["gzip"] else grpc.Compression.NoCompression
    began = time.monotonic()
    try:
        answer, call = stub.with_call(request, timeout=job["timeout"], metadata=list((metadata or {}).items()),
                                      compression=compression)
        said = {"request": request.hex(), **read(answer)}
    except grpc.RpcError as error:
        call, said = error, {}
    fields = {**dict(call.initial_metadata() or ()), **dict(call.trailing_metadata() or ())}
    return {"code": call.code().name, "message": call.details(), "fields": {key: str(value) for key, value in fields.items()},
            "seconds": time.monotonic() - began, **said}


for line in sys.stdin:
    job = json.loads(line)
    with connect(job) as channel, concurrent.futures.ThreadPoolExecutor(job["at_once"]) as pool:
        stub = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answers = pool.map(lambda call: ask(stub, job, **call), job["calls"])
        print(json.dumps(list(answers)), flush=True)
