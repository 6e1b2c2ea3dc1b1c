# SPDX-License-Identifier: MIT
"""How something of your own is put back: at once, in steps, in one place first, or by switching over.

    manager = RollbackManager()
    config = RollbackConfig(RollbackStrategy.CANARY, canary_percentage=10)
    manager.execute_rollback(config, rollback_fn=lambda percentage=100: deploy_old(percentage), health_check=is_healthy)

Faults of ChaosEater have the same strategies in their experiments (``rollback_strategy``); whatever happens there, the journal
puts them back.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["RollbackConfig", "RollbackManager", "RollbackStep", "RollbackStrategy"]

log = logging.getLogger("chaoseater")


class RollbackStrategy(enum.Enum):
    IMMEDIATE = "immediate"
    """All of it at once."""
    GRADUAL = "gradual"
    """In equal steps."""
    CANARY = "canary"
    """A part first, and the rest if that part is healthy."""
    BLUE_GREEN = "blue_green"
    """All of it at once, and back again if it is not healthy."""
    CIRCUIT_BREAKER = "circuit_breaker"
    """Nothing, as long as checks succeed; all of it once too many have failed."""


@dataclass
class RollbackConfig:
    """How it is done. Times are seconds."""

    strategy: RollbackStrategy = RollbackStrategy.IMMEDIATE
    timeout_seconds: float = 300
    """After which the rest is put back at once."""
    health_check_interval: float = 5
    failure_threshold: float = 0.5
    """Share of the checks, 0..1, that may fail."""
    canary_percentage: float = 10
    gradual_steps: int = 5

    def __post_init__(self) -> None:
        self.strategy = RollbackStrategy(self.strategy)
        for name, low, high in (("timeout_seconds", 0, 86400), ("health_check_interval", 0, 86400), ("failure_threshold", 0, 1),
                                ("canary_percentage", 0, 100), ("gradual_steps", 1, 1000)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}: {value!r} is outside {low}..{high}")


@dataclass
class RollbackStep:
    """What was done, and what the checks said after it."""

    at: float
    """Seconds since the beginning."""
    percentage: float
    """How much had been put back by then."""
    healthy: bool


@dataclass
class RollbackManager:
    """Puts things back by a configuration. `steps` are those of the last time, `reason` why it was halted or hurried."""

    steps: list[RollbackStep] = field(default_factory=list)
    reason: str = ""

    _CHECKS = 3
    """After each step, `health_check_interval` apart."""

    def execute_rollback(self, config: RollbackConfig, rollback_fn: Callable[..., Any],
                         health_check: Callable[[], Any] | None = None) -> bool:
        """Whether everything has been put back, and is healthy.

        `rollback_fn(percentage=...)` puts back so much in all. Failing checks above the threshold halt it; an exception of
        `rollback_fn` is raised, one of `health_check` is a check that failed.
        """
        self.steps, self.reason = [], ""
        work = _Work(self, config, rollback_fn, health_check or (lambda: True))
        strategies = {
            RollbackStrategy.IMMEDIATE: work.immediate,
            RollbackStrategy.GRADUAL: work.gradual,
            RollbackStrategy.CANARY: work.canary,
            RollbackStrategy.BLUE_GREEN: work.blue_green,
            RollbackStrategy.CIRCUIT_BREAKER: work.circuit_breaker,
        }
        done = strategies[config.strategy]()
        if self.reason:
            log.warning("rollback, %s: %s", config.strategy.value, self.reason)
        return done


class _Work:
    """One rollback."""

    def __init__(self, manager: RollbackManager, config: RollbackConfig, rollback_fn: Callable[..., Any],
                 health_check: Callable[[], Any]) -> None:
        self.manager, self.config = manager, config
        self.rollback_fn, self.health_check = rollback_fn, health_check
        self.began = time.monotonic()

    # ---- strategies

    def immediate(self) -> bool:
        return self.step(100, checks=1)

    def gradual(self) -> bool:
        return self.climb(100 * step / self.config.gradual_steps for step in range(1, self.config.gradual_steps + 1))

    def canary(self) -> bool:
        return self.climb(iter((self.config.canary_percentage, 100)))

    def blue_green(self) -> bool:
        if self.step(100, checks=RollbackManager._CHECKS):
            return True
        self.rollback_fn(percentage=0)
        self.manager.reason = "what was switched to is not healthy, and was switched away from again"
        return False

    def circuit_breaker(self) -> bool:
        failed = checks = 0
        while not self.late():
            checks += 1
            failed += not self.healthy()
            if checks >= RollbackManager._CHECKS and failed / checks > self.config.failure_threshold:
                self.manager.reason = f"{failed} of {checks} checks failed"
                return self.step(100, checks=1)
            if checks >= RollbackManager._CHECKS and failed == 0:
                return True  # closed: there is nothing to put back
            self.pause()
        return self.hurry()

    # ---- steps

    def climb(self, percentages: Iterator[float]) -> bool:
        for percentage in percentages:
            if self.late():
                return self.hurry()
            if not self.step(percentage, checks=RollbackManager._CHECKS):
                self.manager.reason = f"halted at {percentage:g} %: too many checks failed"
                return False
        return True

    def step(self, percentage: float, checks: int) -> bool:
        self.rollback_fn(percentage=percentage)
        failed = made = 0
        while made < checks and (made == 0 or not self.late()):
            if made > 0:
                self.pause()
            made += 1
            failed += not self.healthy()
        healthy = failed / made <= self.config.failure_threshold if made > 1 else failed == 0
        self.manager.steps.append(RollbackStep(time.monotonic() - self.began, percentage, healthy))
        return healthy

    def hurry(self) -> bool:
        self.manager.reason = f"timeout_seconds, {self.config.timeout_seconds:g}, are over: all of it at once"
        return self.step(100, checks=1)

    def healthy(self) -> bool:
        try:
            return bool(self.health_check())
        except Exception as error:
            log.warning("a health check failed: %s", error)
            return False

    def pause(self) -> None:
        left = self.began + self.config.timeout_seconds - time.monotonic()
        time.sleep(max(0.0, min(self.config.health_check_interval, left)))

    def late(self) -> bool:
        return time.monotonic() - self.began >= self.config.timeout_seconds
