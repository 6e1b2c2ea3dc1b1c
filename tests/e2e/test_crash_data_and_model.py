# SPDX-License-Identifier: MIT
"""SIGKILL at every step of the data and model faults; of the controller, and of the guard too."""
import pytest

from crashes import DATA_AND_MODEL, HTTP, plan_of, sweep


@pytest.fixture(scope="module")
def plan():
    return plan_of([DATA_AND_MODEL, HTTP])


@pytest.mark.parametrize("everyone", [False, True], ids=["controller", "controller_and_guard"])
@pytest.mark.parametrize("case", DATA_AND_MODEL | HTTP)
def test_killed_at_every_step(plan, case, everyone):
    sweep(plan[case], case, everyone)
