# SPDX-License-Identifier: MIT
"""The JSON Schema and the validator come from the same tables; here they are asked the same questions."""

import json
import re
from pathlib import Path

import pytest

jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")
yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "document.md").read_text(), re.MULTILINE | re.DOTALL)

EXPERIMENT = {"name": "x", "layer": "model", "fault_type": "slow_inference"}
HTTP = {"kind": "http", "url": "http://127.0.0.1:1", "dataset": "a.csv", "label": "y"}


def pipeline(**keys):
    keys = {**HTTP, **keys}
    return {"experiments": [EXPERIMENT], "pipeline": {key: value for key, value in keys.items() if value is not ...}}


def job(**keys):
    return pipeline(**{"url": ..., "dataset": ..., "label": ..., "kind": "command", "command": "./train.sh", **keys})


BAD = {
    "no_experiments": {},
    "empty": {"experiments": []},
    "unknown_key": {"experiments": [EXPERIMENT], "paralel": 2},
    "unknown_experiment_key": {"experiments": [EXPERIMENT | {"paramters": {}}]},
    "name_missing": {"experiments": [{"layer": "model", "fault_type": "slow_inference"}]},
    "name_empty": {"experiments": [EXPERIMENT | {"name": ""}]},
    "name_too_long": {"experiments": [EXPERIMENT | {"name": "x" * 201}]},
    "tag_empty": {"experiments": [EXPERIMENT | {"tags": ["a", ""]}]},
    "unknown_fault": {"experiments": [EXPERIMENT | {"fault_type": "volcano"}]},
    "wrong_layer": {"experiments": [EXPERIMENT | {"layer": "data"}]},
    "duration_zero": {"experiments": [EXPERIMENT | {"duration": 0}]},
    "duration_unit": {"experiments": [EXPERIMENT | {"duration": "3x"}]},
    "duration_too_long": {"experiments": [EXPERIMENT | {"duration": 100000}]},
    "strategy": {"experiments": [EXPERIMENT | {"rollback_strategy": "canry"}]},
    "two_rollbacks": {"experiments": [EXPERIMENT | {"rollback_strategy": "canary", "rollback": {"strategy": "canary"}}]},
    "rollback_steps": {"experiments": [EXPERIMENT | {"rollback": {"gradual_steps": 0}}]},
    "rollback_key": {"experiments": [EXPERIMENT | {"rollback": {"steps": 3}}]},
    "repeat": {"experiments": [EXPERIMENT | {"repeat": 1001}]},
    "seed": {"experiments": [EXPERIMENT | {"seed": -1}]},
    "tags": {"experiments": [EXPERIMENT | {"tags": {"a": 1}}]},
    "parameters": {"experiments": [EXPERIMENT | {"parameters": 5}]},
    "rate": {"experiments": [EXPERIMENT | {"parameters": {"variance": 1.5}}]},
    "rate_as_text": {"experiments": [EXPERIMENT | {"parameters": {"variance": "0.5"}}]},
    "parameter_of_another_fault": {"experiments": [EXPERIMENT | {"parameters": {"corruption_rate": 0.1}}]},
    "profile": {"experiments": [EXPERIMENT], "pipeline": {"profile": "brave"}},
    "prometheus": {"experiments": [EXPERIMENT], "prometheus": {"url": "x"}},
    "http_without_url": pipeline(url=...),
    "http_with_url_null": pipeline(url=None),
    "http_without_label": pipeline(label=...),
    "http_with_profile": pipeline(profile="naive"),
    "embedded_with_url": {"experiments": [EXPERIMENT], "pipeline": {"url": "http://127.0.0.1:1"}},
    "json_without_request": pipeline(protocol="json", prediction="$.x"),
    "json_without_prediction": pipeline(protocol="json", request="{}"),
    "prediction_without_json": pipeline(prediction="$.x"),
    "tolerance_of_a_class": pipeline(tolerance=0.1),
    "threshold_of_a_number": pipeline(task="regression", threshold=0.1),
    "workdir_without_command": pipeline(workdir="/tmp"),
    "protocol": pipeline(protocol="soap"),
    "command_without_command": job(command=...),
    "command_with_rate": job(rate=5),
    "command_with_url": job(url="http://127.0.0.1:1"),
    "command_with_label_alone": job(label="y"),
    "command_isolation": job(isolation="docker"),
    "command_private_without_namespaces": job(isolation="none", network="private"),
    "http_with_trials": pipeline(trials=3),
    "http_isolation_without_command": pipeline(isolation="none"),
}
GOOD = {
    "least": {"experiments": [EXPERIMENT]},
    "everything": {
        "seed": 7,
        "pipeline": {"profile": "hardened"},
        "prometheus": {"pushgateway_url": "http://localhost:9091"},
        "experiments": [
            EXPERIMENT
            | {
                "duration": "90s",
                "baseline": 2.5,
                "recovery_timeout": "1m",
                "rollback_strategy": "immediate",
                "seed": None,
                "tags": ["a", 2024],
                "repeat": 3,
                "parameters": {"variance": 0},
            }
        ],
    },
    "nothing_given": {"experiments": [EXPERIMENT | {"parameters": None, "tags": None}], "pipeline": None},
    "http": pipeline(),
    "http_with_nulls": pipeline(model=None, prediction=None, command=None, workdir=None, profile=...),
    "http_with_command": pipeline(command=["a", "b"], workdir="/tmp", env=["A=1"], start_timeout="5s"),
    "http_json": pipeline(protocol="json", request='{"a": {{a}}}', prediction="$.x", labels=["a", "b"]),
    "http_regression": pipeline(task="regression", tolerance=0.2, version=2),
    "command": job(),
    "command_with_all": job(dataset="a.csv", label="y", workdir="/tmp", env=["A=1"], metrics="out.json", accuracy="eval.accuracy",
                            timeout="24h", trials=5, isolation="namespaces", network="private"),
    "command_with_nulls": job(url=None, dataset=None, metrics=None, accuracy=None),
    "http_in_namespaces": pipeline(command=["a", "b"], isolation="namespaces"),
    "alias_of_the_layer": {"experiments": [{"name": "n", "layer": "infra", "fault_type": "node_failure"}]},
}


@pytest.fixture(scope="module")
def schema(chaoseater_module):
    done = chaoseater_module("schema")
    assert done.returncode == 0, done.stderr
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def valid(chaoseater, document):
    done = chaoseater("validate", "-", input=json.dumps(document))  # JSON is YAML
    assert done.returncode in (0, 2), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("name", GOOD)
def test_both_accept(chaoseater, schema, name):
    assert valid(chaoseater, GOOD[name])
    schema.validate(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_both_refuse(chaoseater, schema, name):
    assert not valid(chaoseater, BAD[name])
    assert not schema.is_valid(BAD[name])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_schema_accepts_the_example(schema, example):
    schema.validate(yaml.safe_load(example.read_text()))


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_of_the_reference_is_a_document(chaoseater, schema, block):
    done = chaoseater("validate", "-", input=block)
    assert done.returncode == 0, done.stderr
    schema.validate(yaml.safe_load(block))


def test_the_reference_names_every_key(schema):
    page = (ROOT / "docs" / "document.md").read_text()
    properties = schema.schema["properties"]
    keys = {*properties, *properties["pipeline"]["properties"], *properties["prometheus"]["properties"]}
    keys |= set(properties["experiments"]["items"]["properties"])
    assert not [key for key in keys if f"`{key}`" not in page]
