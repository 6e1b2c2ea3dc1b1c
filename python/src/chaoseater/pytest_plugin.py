# SPDX-License-Identifier: MIT
"""Chaos in pytest.

    @pytest.mark.chaos("network_latency", latency_ms=100, target={"peer": "127.0.0.1:6379"})
    def test_the_client_is_patient(): ...

    def test_the_pipeline_may_be_deployed(chaos):
        chaos.assert_gate("plan.yaml", min_score=70)

``--chaos-seed N`` makes every random choice again; the seed of a session stands in its header.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from . import data, runs
from .errors import ChaosError
from .faults import fault
from .results import GateFailed, Result

_SEED = pytest.StashKey[int]()


class Chaos:
    """The fixture `chaos`: what the package does, with the session's seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def inject(self, table: Any, name: str, **parameters: Any) -> Any:
        """:func:`chaoseater.inject`."""
        return data.inject(table, name, **{"seed": self.seed, **parameters})

    def fault(self, name: str, **arguments: Any) -> fault:
        """:class:`chaoseater.fault`."""
        return fault(name, **{"seed": self.seed, **arguments})

    def run(self, document: runs.Document, **arguments: Any) -> Result:
        """:func:`chaoseater.run`."""
        return runs.run(document, **{"seed": self.seed, **arguments})

    def assert_gate(self, what: runs.Document | Result, min_score: float = 70.0, **gate: Any) -> Result:
        """Runs a document, unless it is a result already, and fails the test when it may not be deployed."""
        __tracebackhide__ = True
        result = what if isinstance(what, Result) else self.run(what)
        try:
            result.assert_gate(min_score, **gate)
        except GateFailed as closed:
            pytest.fail(str(closed), pytrace=False)
        return result


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaoseater", "chaos engineering")
    group.addoption("--chaos-seed", type=int, metavar="N", help="seed of every random choice of chaos; drawn when none is given")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "chaos(fault, *, target=None, **parameters): the test runs while that fault of ChaosEater is live (chaoseater.fault)")
    asked = config.getoption("--chaos-seed")
    config.stash[_SEED] = random.SystemRandom().getrandbits(32) if asked is None else asked


def pytest_report_header(config: pytest.Config) -> str:
    return f"chaos: --chaos-seed {config.stash[_SEED]}"


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Chaos:
    """Faults and experiments with the session's seed."""
    return Chaos(request.config.stash[_SEED])


@pytest.fixture(autouse=True)
def _chaos_of_markers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every marker is a fault around the test, the innermost one nearest to it."""
    with ExitStack() as live:
        for marker in reversed(list(request.node.iter_markers("chaos"))):
            try:
                live.enter_context(fault(*marker.args, **{"seed": request.config.stash[_SEED], **marker.kwargs}))
            except (ChaosError, TypeError) as error:
                pytest.fail(f"chaos{marker.args}: {error}", pytrace=False)
        yield
