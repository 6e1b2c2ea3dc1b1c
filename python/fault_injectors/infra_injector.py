# SPDX-License-Identifier: MIT
"""Faults of the infrastructure: of networks, processors, memory, disks, clocks and processes."""

from __future__ import annotations

from typing import Any

import chaoseater

from fault_injectors.base_injector import LibraryInjector

__all__ = ["InfrastructureFaultInjector"]


class InfrastructureFaultInjector(LibraryInjector):
    """Within a controller: on the pipeline under test. On its own, `inject` brings a fault upon `target` for real, and returns
    when it has been seen to take effect.

    :param target: as in documents, ``{"peer": "127.0.0.1:6379"}``; None: this process and all below it
    """

    layer = "infrastructure"

    def __init__(self, target: dict[str, Any] | None = None) -> None:
        self.target = target
        self._fault: chaoseater.fault | None = None

    def inject(self, fault_type: str, parameters: dict[str, Any], duration: float = 60) -> None:
        self.rollback()
        fault = chaoseater.fault(fault_type, target=self.target, duration=duration, **parameters)
        fault.__enter__()
        self._fault = fault

    def rollback(self) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            fault.__exit__(None, None, None)
