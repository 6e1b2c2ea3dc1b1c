# SPDX-License-Identifier: MIT
"""A real fault for as long as a block of code runs.

    with chaoseater.fault("network_latency", latency_ms=100, target={"peer": "127.0.0.1:6379"}) as live:
        client.get("key")
    print(live.report["verification"])

The block begins when the fault has been seen to take effect, and ends when everything has been put back. That is also done when
the process is killed.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, Any, TypeVar

from . import _core
from .errors import BadInput, ChaosError, NotPossible, from_core
from .results import Run

__all__ = ["Live", "fault"]

Function = TypeVar("Function", bound=Callable[..., Any])

_LONGEST = "24h"
_ELSEWHERE = {
    "data": "'{0}' acts on tables: use chaoseater.inject(df, '{0}', ...), or an experiment for a whole pipeline",
    "model": "'{0}' acts on what a model answers: use chaoseater.wrap_model(model, '{0}', ...), or an experiment for a whole pipeline",
}


class Live:
    """A fault that is live, and afterwards what came of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.report: dict[str, Any] = {}
        """What the report of a run says, once the block has ended."""

    @property
    def run(self) -> Run:
        """The same as a :class:`chaoseater.Run`, once the block has ended."""
        return Run.of(self.report)


class fault:
    """A fault of the infrastructure on something that is named by `target`; without, on this process and all below it.

    Usable as ``with``, as ``async with``, and as decorator of functions of both kinds; each use is a fault of its own.

    :param target: as in documents: ``{"peer": "host:port"}``, ``{"process": name}``, ``{"path": folder}``, ...
    :param duration: after which it is put back even if the block still runs: seconds, or "30s"; else after a day
    :param blast_radius: as in documents
    :param parameters: the fault's own, see :func:`chaoseater.explain`
    """

    def __init__(
        self,
        name: str,
        *,
        target: Mapping[str, Any] | None = None,
        duration: float | str | None = None,
        blast_radius: Any = None,
        seed: int | None = None,
        state_dir: str | os.PathLike[str] | None = None,
        **parameters: Any,
    ) -> None:
        layer = json.loads(_core.fault(name))["layer"]
        if layer in _ELSEWHERE:
            raise BadInput(_ELSEWHERE[layer].format(name))
        if name == "node_failure" and target is None and duration is None:
            raise BadInput("node_failure without target acts on this process, which cannot end a block then: name a target, or "
                           "a duration")
        self._name = name
        self._seed = seed
        self._state_dir = None if state_dir is None else os.fspath(state_dir)
        self._target = None if target is None else dict(target)
        self._experiment = {
            "name": name, "layer": layer, "fault_type": name, "parameters": parameters, "baseline": "200ms",
            "duration": _LONGEST if duration is None else duration, "recovery_timeout": "1s", "rollback_strategy": "immediate",
        }
        if blast_radius is not None:
            self._experiment["blast_radius"] = blast_radius
        _core.document(text=self._document())  # what is wrong is said here, and not in the block
        self._holders: list[_Holder] = []

    def _document(self) -> str:
        target = self._target or {"pid": os.getpid()}
        document = {"pipeline": {"kind": "embedded", "rate": 50}, "experiments": [{**self._experiment, "target": target}]}
        return json.dumps(document, ensure_ascii=False)

    # ---- with

    def __enter__(self) -> Live:
        holder = _Holder(self._name, self._document(), self._seed, self._state_dir)
        holder.wait_until_live()
        self._holders.append(holder)
        return holder.live

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._holders.pop().end()

    # ---- async with

    async def __aenter__(self) -> Live:
        holder = _Holder(self._name, self._document(), self._seed, self._state_dir)
        try:
            await asyncio.to_thread(holder.wait_until_live)
        except asyncio.CancelledError:
            await asyncio.to_thread(holder.end)
            raise
        self._holders.append(holder)
        return holder.live

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None,
                        trace: TracebackType | None) -> None:
        await asyncio.shield(asyncio.to_thread(self._holders.pop().end))

    # ---- decorator

    def __call__(self, function: Function) -> Function:
        if inspect.iscoroutinefunction(function):
            @functools.wraps(function)
            async def with_fault_async(*args: Any, **kwargs: Any) -> Any:
                async with self._again():
                    return await function(*args, **kwargs)

            return with_fault_async  # type: ignore[return-value]

        @functools.wraps(function)
        def with_fault(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return with_fault  # type: ignore[return-value]

    def _again(self) -> fault:
        """One of its own for each call, which may be at once."""
        other = object.__new__(fault)
        other.__dict__.update(self.__dict__, _holders=[])
        return other


class _Holder:
    """The process that holds the fault: chaoseater._hold."""

    def __init__(self, name: str, document: str, seed: int | None, state_dir: str | None) -> None:
        self.live = Live(name)
        self._ended = False
        # With our own path, or a module of the current folder could stand in the place of one of ours.
        self._process = subprocess.Popen([sys.executable, "-c", "import sys; sys.path[:] = %r\nfrom chaoseater._hold import main; main()"
                                          % sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin and self._process.stdout
        self._order: IO[str] = self._process.stdin
        self._told: IO[str] = self._process.stdout
        order = {"document": document, "seed": seed, "state_dir": state_dir, "owner": os.getpid()}
        try:
            self._order.write(json.dumps(order) + "\n")
            self._order.flush()
        except BrokenPipeError:
            pass  # said by wait_until_live()
        self._process.wait()  # it has made the one that holds the fault, and is done

    def wait_until_live(self) -> None:
        """Until the fault has been seen to take effect; raises what kept it from that."""
        try:
            for told in self._listen():
                if told.get("phase") == "observing":
                    return
        except BaseException:
            self.end()
            raise
        if not self.live.report.get("verified"):  # else it was live, and has ended already
            raise NotPossible(self._reason())

    def end(self) -> None:
        """Has everything put back; raises when something could not be."""
        if self._ended:
            return
        self._ended = True
        try:
            self._order.close()
        except BrokenPipeError:
            pass
        try:
            for _ in self._listen():
                pass
        finally:
            self._told.close()
        if self.live.report.get("status") == "dirty" or not self.live.report:
            raise ChaosError(self._reason())

    def _listen(self) -> Any:
        for line in self._told:
            told = json.loads(line)
            if "error" in told:
                raise from_core(*told["error"])
            if "report" in told:
                self.live.report = told["report"]["runs"][0]
            yield told

    def _reason(self) -> str:
        return self.live.report.get("reason") or f"who held '{self.live.name}' has gone; chaoseater.status() says what is live"
