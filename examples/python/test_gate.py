# SPDX-License-Identifier: MIT
"""A gate in pytest: the pipeline may be deployed if the hardened profile keeps its score.

    pytest --chaos-seed 7 test_gate.py
"""

import pytest

PLAN = {
    "pipeline": {"kind": "embedded", "profile": "hardened"},
    "experiments": [
        {"name": "missing_cells", "layer": "data", "fault_type": "missing_data", "duration": "3s"},
        {"name": "slow_model", "layer": "model", "fault_type": "slow_inference", "duration": "3s", "parameters": {"latency_ms": 50}},
    ],
}


def test_the_pipeline_may_be_deployed(chaos):
    chaos.assert_gate(PLAN, min_score=70)


@pytest.mark.chaos("cpu_throttle", throttle_percent=30)
def test_sums_are_right_on_a_slow_machine():
    assert sum(range(1_000_000)) == 499_999_500_000
