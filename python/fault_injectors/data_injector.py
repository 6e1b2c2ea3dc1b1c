# SPDX-License-Identifier: MIT
"""Faults of data: in what a pipeline is trained on or asked, and in tables of this process."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator
from typing import Any

import chaoseater

from fault_injectors.base_injector import LibraryInjector

__all__ = ["DataFaultInjector"]


class DataFaultInjector(LibraryInjector):
    """`apply_fault(df)` gives a table with the armed fault in it. `inject` arms, `rollback` disarms. While a controller runs an
    experiment of this layer, its fault is armed as well.

    :param seed: makes the same choices again; each call makes others
    """

    layer = "data"

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(random.SystemRandom().getrandbits(64) if seed is None else seed)
        self._armed: tuple[str, dict[str, Any]] | None = None

    def inject(self, fault_type: str, parameters: dict[str, Any] | None = None, duration: float = 60) -> None:
        self.check(fault_type, parameters or {})
        self._armed = fault_type, dict(parameters or {})

    def rollback(self) -> None:
        self._armed = None

    def apply_fault(self, table: Any) -> Any:
        """A table of pandas, polars, pyarrow, or anything with ``__arrow_c_stream__``; without an armed fault it comes back as it
        is."""
        if self._armed is None:
            return table
        fault_type, parameters = self._armed
        if fault_type == "duplicate_records" and "exact" not in parameters:
            parameters = _whole_rows(parameters, len(table))
        return chaoseater.inject(table, fault_type, seed=self._random.getrandbits(64), **parameters)

    @contextlib.contextmanager
    def during_run(self, fault_type: str, parameters: dict[str, Any], duration: float) -> Iterator[None]:
        self.inject(fault_type, parameters, duration)
        try:
            yield
        finally:
            self.rollback()


def _whole_rows(parameters: dict[str, Any], rows: int) -> dict[str, Any]:
    """The documented number of duplicates: the share of the rows, rounded down."""
    rate = float(parameters.get("duplication_rate", 0.1))
    return {**parameters, "exact": True, "duplication_rate": math.floor(rows * rate) / rows if rows else 0.0}
