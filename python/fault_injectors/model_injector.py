# SPDX-License-Identifier: MIT
"""Faults of models: on what a served model answers, and on models that are objects of this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from chaoseater.models import FAULTS, Fault, Model, check, make

from fault_injectors.base_injector import LibraryInjector

__all__ = ["ModelFaultInjector"]


class ModelFaultInjector(LibraryInjector):
    """`wrap_model(model)` gives an object that behaves like the model, and suffers whatever fault is armed at that time.

    `inject` arms, `rollback` disarms. While a controller runs an experiment of this layer, its fault is armed as well.

    :param seed: makes the same choices again
    """

    layer = "model"
    only_here = ("parameter_degradation",)

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._armed: Fault | None = None

    def inject(self, fault_type: str, parameters: dict[str, Any], duration: float = 60) -> None:
        self.rollback()
        self._armed = make(fault_type, self.seed, **parameters)

    def rollback(self) -> None:
        armed, self._armed = self._armed, None
        if armed is not None:
            armed.end()

    def validate(self, fault_type: str, parameters: dict[str, Any]) -> bool:
        if not self.runs_in_library(fault_type):
            with contextlib.suppress(TypeError, ValueError):
                check(fault_type, parameters)
                return True
            return False
        return super().validate(fault_type, parameters)

    def wrap_model(self, model: Any) -> Model:
        """An object with that model's methods and attributes. Takes no copy of the model."""
        return Model(model, lambda: self._armed)

    @contextlib.contextmanager
    def during_run(self, fault_type: str, parameters: dict[str, Any], duration: float) -> Iterator[None]:
        arms = fault_type in FAULTS
        if arms:
            # What a served model knows and an object does not, a fallback by its name for instance, stays with the library.
            with contextlib.suppress(TypeError, ValueError):
                self.inject(fault_type, parameters, duration)
        try:
            yield
        finally:
            self.rollback()
