# SPDX-License-Identifier: MIT
"""kserve_client.py: asks model servers by KServe's own clients.

Each line of input is a question as JSON, {"speaks": "v1", "v2" or "grpc", "url", "model", "rows"}, and asked by a client of its
own; answers with a line {"classes"}, or {"error": the exception's name, "message"}.
"""
import asyncio
import json
import logging
import sys
import urllib.parse

from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

logging.disable()  # they log what they raise


def request_of(model, rows):
    tensor = InferInput("input-0", [len(rows), len(rows[0])], "FP64", data=[number for row in rows for number in row])
    return InferRequest(model_name=model, infer_inputs=[tensor])


async def by_grpc(url, model, rows):
    client = InferenceGRPCClient(urllib.parse.urlsplit(url).netloc)
    try:
        return (await client.infer(request_of(model, rows), timeout=20)).outputs[0].data
    finally:
        await client.close()


async def by_rest(speaks, url, model, rows):
    client = InferenceRESTClient(RESTConfig(protocol=speaks, timeout=20))
    try:
        data = {"instances": rows} if speaks == "v1" else request_of(model, rows)
        answer = await client.infer(url, data, model_name=model)
        return answer["predictions"] if speaks == "v1" else answer.outputs[0].data
    finally:
        await client.close()


def ask(speaks, url, model, rows):
    try:
        asked = by_grpc(url, model, rows) if speaks == "grpc" else by_rest(speaks, url, model, rows)
        return {"classes": [int(item) for item in asyncio.run(asked)]}
    except Exception as error:  # whatever they raise is what their users meet
        return {"error": type(error).__name__, "message": str(error)}


for line in sys.stdin:
    print(json.dumps(ask(**json.loads(line))), flush=True)
