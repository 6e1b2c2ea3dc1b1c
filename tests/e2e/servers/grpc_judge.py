# SPDX-License-Identifier: MIT
"""grpc_judge.py TOOL: lets TOOL (tests/unit/grpc_tool.c) edit ModelInferResponse messages, and Google's protobuf judge them.

Edited messages must be, byte for byte, what protobuf writes for the new values; others must read as it reads them.
"""
import importlib.util
import pathlib
import random
import struct
import subprocess
import sys

folder = pathlib.Path(importlib.util.find_spec("kserve").submodule_search_locations[0]) / "protocol" / "grpc"
spec = importlib.util.spec_from_file_location("grpc_predict_v2_pb2", folder / "grpc_predict_v2_pb2.py")
protocol = importlib.util.module_from_spec(spec)
spec.loader.exec_module(protocol)

# type: (field of its typed contents, letter of its raw ones)
TYPES = {
    "BOOL": ("bool_contents", "?"), "BYTES": ("bytes_contents", None),
    "INT8": ("int_contents", "b"), "INT16": ("int_contents", "h"), "INT32": ("int_contents", "i"),
    "INT64": ("int64_contents", "q"), "UINT8": ("uint_contents", "B"), "UINT16": ("uint_contents", "H"),
    "UINT32": ("uint_contents", "I"), "UINT64": ("uint64_contents", "Q"),
    "FP16": (None, "e"), "FP32": ("fp32_contents", "f"), "FP64": ("fp64_contents", "d"),
}
draw = random.Random(5)


def value(kind):
    if kind == "BOOL":
        return draw.random() < 0.5
    if kind == "BYTES":
        return bytes(draw.choices(b"abc", k=draw.choice([0, 1, 5, 130])))
    if kind.startswith("FP"):
        return draw.randrange(-1000, 1000) / 4
    bits = int(kind.lstrip("UINT"))
    return draw.choice([0, 1, draw.randrange(2**bits) if kind[0] == "U" else draw.randrange(-2**(bits - 1), 2**(bits - 1))])


def changed(kind, old):
    return {"BOOL": old, "BYTES": b"77"}.get(kind, 77)


def packed(kind, values):
    if kind == "BYTES":
        return b"".join(struct.pack("<I", len(text)) + text for text in values)
    return struct.pack(f"<{len(values)}{TYPES[kind][1]}", *values)


class Response:
    def __init__(self):
        self.raw = draw.random() < 0.5
        self.name, self.version, self.id = draw.choice(["", "m", "m" * 130]), draw.choice(["", "1"]), draw.choice(["", "id"])
        self.tensors = []
        for _ in range(draw.randrange(1, 4)):
            kind = draw.choice([kind for kind in TYPES if self.raw or TYPES[kind][0]])
            shape = [draw.choice([1, 2, 3, 40, 129]), *draw.choice([[], [1], [3]])]
            self.tensors.append((kind, shape, [value(kind) for _ in range(shape[0] * (shape + [1])[1])]))

    def message(self, tensors=None, name=None, version=None):
        message = protocol.ModelInferResponse(model_name=name or self.name, model_version=version or self.version, id=self.id)
        for i, (kind, shape, values) in enumerate(tensors or self.tensors):
            output = message.outputs.add(name=f"output-{i}", datatype=kind, shape=shape)
            output.parameters["note"].int64_param = 300
            if self.raw:
                message.raw_output_contents.append(packed(kind, values))
            else:
                getattr(output.contents, TYPES[kind][0]).extend(values)
        return message

    def edited(self):
        """Every other value of the whole message."""
        tensors, at = [], 0
        for kind, shape, values in self.tensors:
            tensors.append((kind, shape, [changed(kind, old) if (at + i) % 2 == 0 else old for i, old in enumerate(values)]))
            at += len(values)
        return self.message(tensors)

    def shortened(self):
        tensors = [(kind, [shape[0] - 1, *shape[1:]], values[:len(values) // shape[0] * (shape[0] - 1)])
                   for kind, shape, values in self.tensors]
        return self.message(tensors)


def framed(messages):
    return b"".join(struct.pack("=I", len(message)) + message for message in messages)


def unframed(data):
    while data:
        size, = struct.unpack_from("=I", data)
        yield data[4:4 + size]
        data = data[4 + size:]


responses = [Response() for _ in range(400)]
done = subprocess.run([sys.argv[1]], input=framed(response.message().SerializeToString() for response in responses),
                      stdout=subprocess.PIPE, check=True)
remade = unframed(done.stdout)
read = protocol.ModelInferResponse.FromString
for response in responses:
    edited, shortened, renamed = next(remade), next(remade), next(remade)
    assert edited == response.edited().SerializeToString(), response.tensors
    assert read(shortened) == response.shortened(), response.tensors
    assert read(renamed) == response.message(name="another", version="12"), response.tensors
assert next(remade, None) is None
print(len(responses), "responses agree")
