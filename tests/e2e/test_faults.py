# SPDX-License-Identifier: MIT
"""`faults` and `explain` say the same, and say it all."""

import json

import pytest

PARAMETER_KEYS = {"name", "type", "default", "min", "max", "unit", "choices", "doc", "required"}
LAYERS = ["data", "model", "infrastructure"]


def known_faults(root):
    text = (root / "src" / "faults" / "faults.list.h").read_text()
    return [line[len("CE_FAULT(") : -1] for line in text.splitlines() if line.startswith("CE_FAULT(")]


@pytest.fixture(scope="module")
def listed(chaoseater_module):
    return json.loads(chaoseater_module("faults", "--json").stdout)


def test_every_fault_is_listed_layer_by_layer(listed, root):
    assert [fault["name"] for fault in listed] == known_faults(root)
    layers = [fault["layer"] for fault in listed]
    assert layers == sorted(layers, key=LAYERS.index)


def test_every_fault_is_fully_described(listed):
    for fault in listed:
        assert set(fault) >= {"name", "layer", "summary", "available", "reason", "parameters"}
        assert fault["summary"] and not fault["summary"].endswith(".")
        assert fault["available"] == (fault["reason"] is None)
        for parameter in fault["parameters"]:
            assert set(parameter) >= PARAMETER_KEYS, (fault["name"], parameter)
            assert parameter["doc"].endswith("."), (fault["name"], parameter["name"])


def test_the_list_for_people_has_the_same_faults(chaoseater, listed):
    text = chaoseater("faults").stdout
    for fault in listed:
        assert f"  {fault['name']} " in text
        assert fault["summary"] in text
    assert [line for line in text.splitlines() if line in LAYERS] == LAYERS


def test_every_fault_is_explained(chaoseater, listed):
    for fault in listed:
        done = chaoseater("explain", fault["name"])
        assert done.returncode == 0
        assert done.stdout.startswith(fault["name"])
        for parameter in fault["parameters"]:
            assert parameter["name"] in done.stdout
        assert json.loads(chaoseater("explain", fault["name"], "--json").stdout) == fault


def test_the_example_in_an_explanation_is_valid(chaoseater, listed, tmp_path):
    for fault in listed:
        text = chaoseater("explain", fault["name"]).stdout
        example = text[text.index("Example:") :].splitlines()[1:]
        (tmp_path / "plan.yaml").write_text("\n".join(example) + "\n")
        done = chaoseater("validate", "plan.yaml")
        assert (done.returncode, done.stderr) == (0, ""), fault["name"]


def test_the_mission_s_parameters_have_its_names_and_defaults(listed):
    """Scripts and documents written for the first description of ChaosEater rely on these."""
    promised = {
        "data_corruption": {"corruption_rate": 0.1, "columns": None},
        "missing_data": {"missing_rate": 0.2, "columns": None},
        "schema_drift": {"drift_type": "add_column", "column_name": "unexpected_column", "old_name": None, "new_name": None},
        "distribution_drift": {"magnitude": 0.5, "columns": None},
        "outlier_injection": {"outlier_rate": 0.05, "magnitude": 3.0, "columns": None},
        "duplicate_records": {"duplication_rate": 0.1},
        "latency_injection": {"delay_ms": 1000},
        "slow_inference": {"latency_ms": 500, "variance": 0.2},
        "prediction_corruption": {"corruption_rate": 0.1, "type": "random"},
        "model_drift": {"drift_rate": 0.1, "drift_type": "gradual"},
        "model_unavailable": {"failure_rate": 1.0},
        "batch_processing_failure": {"failure_rate": 0.2},
        "node_failure": {"failure_type": "crash"},
        "memory_pressure": {"memory_mb": 1024},
    }
    for fault in listed:
        parameters = {parameter["name"]: parameter for parameter in fault["parameters"]}
        for name, default in promised.get(fault["name"], {}).items():
            assert name in parameters, (fault["name"], name)
            if isinstance(default, str):
                assert parameters[name]["default"] == default
            elif default is not None:
                assert float(parameters[name]["default"]) == default
