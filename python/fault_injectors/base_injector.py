# SPDX-License-Identifier: MIT
"""What every injector can do, and what those of ChaosEater share."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import chaoseater

__all__ = ["BaseFaultInjector", "LibraryInjector"]


class BaseFaultInjector(abc.ABC):
    """The protocol of injectors. A controller takes any object with these four methods; this class is a help, not a must.

    A controller calls `inject`, waits until `duration` seconds have passed, and calls `rollback`: in any case, once, and on every
    exit that the process survives.
    """

    @abc.abstractmethod
    def inject(self, fault_type: str, parameters: dict[str, Any], duration: float) -> Any:
        """Brings the fault about. A mapping that it returns is added to the metrics of the experiment."""

    @abc.abstractmethod
    def rollback(self) -> Any:
        """Puts everything back. Must do no harm when there is nothing to put back."""

    def validate(self, fault_type: str, parameters: dict[str, Any]) -> bool:
        """Whether `inject` would accept that."""
        return fault_type in self.get_supported_faults()

    @abc.abstractmethod
    def get_supported_faults(self) -> list[str]:
        """The names of the faults that it has."""


class LibraryInjector(BaseFaultInjector):
    """The faults of one layer of the C library. A controller has it run whole experiments with them: on the pipeline under test,
    with journal, guard, verification and score."""

    layer: str
    only_here: tuple[str, ...] = ()
    """Faults that act on objects of Python alone, and are none of the library's."""

    def get_supported_faults(self) -> list[str]:
        listed = [fault["name"] for fault in chaoseater.faults() if fault["layer"] == self.layer]
        return listed + list(self.only_here)

    def runs_in_library(self, fault_type: str) -> bool:
        """Whether an experiment with that fault is the library's to run."""
        return fault_type not in self.only_here

    def check(self, fault_type: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with all defaults; raises what is wrong with them, in a sentence."""
        document = {"experiments": [{"name": fault_type, "layer": self.layer, "fault_type": fault_type,
                                     "parameters": dict(parameters)}]}
        checked: dict[str, Any] = chaoseater.load(document)["experiments"][0]["parameters"]
        return checked

    def validate(self, fault_type: str, parameters: dict[str, Any]) -> bool:
        try:
            self.check(fault_type, parameters)
        except (chaoseater.ChaosError, TypeError, ValueError):
            return False
        return True

    @contextlib.contextmanager
    def during_run(self, fault_type: str, parameters: dict[str, Any], duration: float) -> Iterator[None]:
        """What it does beside an experiment that the library runs."""
        yield
