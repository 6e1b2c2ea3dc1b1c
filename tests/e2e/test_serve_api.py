# SPDX-License-Identifier: MIT
"""The API of `chaoseater serve` is what its description says: schemathesis, from PyPI, makes up requests of every kind."""
import json
import re
import subprocess
import sys

import pytest

import peers
from lab import Lab
from serving import Serve
from test_serve import plan


@pytest.fixture(scope="module")
def serve():
    with Lab() as lab:
        assert lab.run("run", plan(lab, "one")).returncode == 0
        yield Serve(lab)


def schemathesis():
    def make(folder):
        peers.run(sys.executable, "-m", "venv", "--without-pip", folder)
        peers.run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q",
                  "--disable-pip-version-check", "schemathesis==4.32.5")

    return [peers.made_once("schemathesis", make) / "bin" / "python", "-m", "schemathesis.cli"]


@pytest.mark.parametrize("with_token", [True, False])
def test_every_answer_is_as_described(serve, with_token):
    """Without its check that all that the schema allows is accepted: that a text is a time, the schema does not say."""
    token = ["-H", f"Authorization: Bearer {serve.token}"] if with_token else []
    base = f"http://{serve.listen}"
    done = subprocess.run([*schemathesis(), "run", f"{base}/api/openapi.json", "--url", base, *token, "--exclude-path", "/api/v1/events",
                           "--exclude-checks", "positive_data_acceptance", "--max-examples", "40", "--seed", "7", "--no-color"],
                          capture_output=True, text=True, timeout=600, cwd=serve.lab.folder)
    assert done.returncode == 0, done.stdout[-16000:]
    assert re.search(r"Tested: 1[4-9]", done.stdout), done.stdout[-2000:]
    assert serve.get("/health")["status"] == "ok"
    serve.post("/api/v1/stop", {"release": True})


def test_the_description_has_every_route_and_no_other(serve, root):
    routes = re.findall(r'\{"(GET|POST)", "(/[^"]*)"', (root / "src" / "web" / "http.c").read_text())
    described = serve.get("/api/openapi.json")["paths"]
    page = {"/", *("/" + file.name for file in (root / "src" / "web" / "page").iterdir() if file.suffix != ".html")}
    here = {(method.lower(), path) for method, path in routes if path not in page}
    there = {(method, re.sub(r"\{\w+\}", "{}", path)) for path, methods in described.items() for method in methods}
    assert here == there
    assert page <= {path for _, path in routes}


def test_the_live_document_is_as_described(serve):
    """Schemathesis sees the one of a server on which nothing runs."""
    import jsonschema
    described = serve.get("/api/openapi.json")
    started = serve.post("/api/v1/suites", {"document": "demo", "only": ["slow_inference"]})
    assert started[0] == 202
    run = serve.wait_for_phase("observing")
    schema = {"$ref": "#/components/schemas/LiveRun", "components": described["components"]}
    jsonschema.validate(run, schema)
    suite = serve.get("/api/v1/live")["suites"][0]
    jsonschema.validate(json.loads(json.dumps(suite)), {"$ref": "#/components/schemas/Suite", "components": described["components"]})
    assert serve.post(f"/api/v1/suites/{started[1]['suite']}/abort", {})[0] == 202
    serve.wait_for_end()
