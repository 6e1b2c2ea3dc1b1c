# SPDX-License-Identifier: MIT
"""SIGKILL of the controller at every step of the infrastructure faults: the guard undoes."""
import pytest

from crashes import INFRASTRUCTURE, plan_of, sweep


@pytest.fixture(scope="module")
def plan():
    return plan_of([INFRASTRUCTURE])


@pytest.mark.parametrize("case", INFRASTRUCTURE)
def test_killed_at_every_step(plan, case):
    sweep(plan[case], case, everyone=False)
