# SPDX-License-Identifier: MIT
"""Faults on tables in memory.

    dirty = chaoseater.inject(df, "missing_data", missing_rate=0.1, seed=7)
    dirty, key = chaoseater.inject(df, "data_corruption", return_key=True)
    assert chaoseater.revert(dirty, key).equals(df)

What comes back is of the type that went in. The same seed and table give the same cells as ``chaoseater data inject`` on a file of
that table. What went in is not changed.
"""

from __future__ import annotations

import difflib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar, overload

from . import _core
from .errors import BadInput
from .frames import frame_of

__all__ = ["Key", "drift", "inject", "profile", "revert"]

Table = TypeVar("Table")

_MOVING = ("duplicate_records", "row_drop", "stale_data")
"""These take rows as they are, and their labels with them."""


class Key:
    """What it takes to put a table back: the cells as they were. Can be pickled, and written to a file for the command line."""

    def __init__(self, data: bytes, result: dict[str, Any], memory: Any = None) -> None:
        self.data = data
        self._memory = memory  # of frames.Frame
        self.result = result
        """What was done: "seed", "rows", "faults", ..., as ``chaoseater data inject --json`` tells it."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it for ``chaoseater data key``."""
        with open(path, "wb") as file:
            file.write(self.data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Key:
        """The key in a file."""
        with open(path, "rb") as file:
            return cls(file.read(), {})

    def __repr__(self) -> str:
        return f"<chaoseater.Key of {len(self.data)} bytes, seed {self.result.get('seed', 'unknown')}>"


@overload
def inject(table: Table, fault: str, *, seed: int | None = ..., return_key: None = ..., threads: int = ...,
           **parameters: Any) -> Table: ...
@overload
def inject(table: Table, fault: str, *, seed: int | None = ..., return_key: bool, threads: int = ...,
           **parameters: Any) -> Any: ...


def inject(table: Any, fault: str, *, seed: int | None = None, return_key: bool | None = None, threads: int = 0,
           **parameters: Any) -> Any:
    """That table with the fault in it; with `return_key` a pair of it and a :class:`Key`.

    :param table: of pandas, polars or pyarrow, an array of numpy, or anything with ``__arrow_c_stream__``
    :param fault: one of the data faults: see :func:`chaoseater.faults`
    :param seed: of every random choice; drawn when none is given
    :param parameters: the fault's own, see :func:`chaoseater.explain`
    """
    assignments = _assignments(fault, parameters)
    if fault == "latency_injection":
        time.sleep(_delay(parameters))
        return (table, Key(b"", {"seed": seed})) if return_key else table
    frame = frame_of(table, moving=fault in _MOVING)
    with _key_file(bool(return_key)) as path:
        stream, told = _core.inject(frame.stream(), frame.stream(), [(fault, assignments)], seed=seed, key=path, threads=threads)
        changed = frame.back(stream)
        if not return_key:
            return changed
        assert path is not None
        with open(path, "rb") as file:
            return changed, Key(file.read(), json.loads(_core.result(told)), frame.memory)


def revert(table: Table, key: Key) -> Table:
    """The table as it was, from what :func:`inject` made of it. Raises BadInput when that is not what comes out."""
    if not key.data:
        return table  # nothing was changed
    with tempfile.NamedTemporaryFile(suffix=".cek") as file:
        file.write(key.data)
        file.flush()
        frame = frame_of(table, memory=key._memory)
        back: Table = frame.back(_core.revert(frame.stream(), file.name))
        return back


def profile(table: Any) -> dict[str, Any]:
    """Statistics of a table, as ``chaoseater data profile --json`` tells them."""
    told: dict[str, Any] = json.loads(_core.profile(frame_of(table).stream()))
    return told


def drift(a: Any, b: Any) -> dict[str, Any]:
    """How far `b` has moved from `a`: by column, and as tables."""
    told = json.loads(_core.profile(frame_of(b).stream(), frame_of(a).stream()))
    return {"columns": told["drift"], "table": told["table"]}


# ---- parameters


@lru_cache(maxsize=None)
def _parameters_of(fault: str) -> dict[str, Any]:
    explained = json.loads(_core.fault(fault))
    if explained["layer"] != "data":
        raise BadInput(f"'{fault}' is no fault on tables, but one of the layer {explained['layer']}")
    return {parameter["name"]: parameter for parameter in explained["parameters"]}


def _assignments(fault: str, parameters: Mapping[str, Any]) -> list[str]:
    known = _parameters_of(fault)
    # Python has words of its own: as_="garbage" is the parameter `as`.
    parameters = {name[:-1] if name.endswith("_") else name: value for name, value in parameters.items()}
    for name in parameters:
        if name not in known:
            found = difflib.get_close_matches(name, list(known), 1, 0.4)
            said = f"; did you mean '{found[0]}'?" if found else f"; it has {', '.join(known)}"
            raise TypeError(f"{fault} has no parameter '{name}'{said}")
    return [f"{name}={_text(name, value)}" for name, value in parameters.items() if value is not None]


def _text(name: str, value: Any) -> str:
    """A value as the command line would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return ",".join(_list_item(name, item) for item in value)
    if hasattr(value, "item"):
        value = value.item()
    return repr(value) if isinstance(value, float) else str(value)


def _list_item(name: str, item: Any) -> str:
    text = str(item)
    if "," in text:
        raise BadInput(f"{name}: a list cannot hold '{text}', which has a comma")
    return text


def _delay(parameters: Mapping[str, Any]) -> float:
    """Of latency_injection, in seconds: there is no table that it would change."""
    experiment = {"name": "delay", "layer": "data", "fault_type": "latency_injection", "parameters": parameters}
    checked = json.loads(_core.document(text=json.dumps({"experiments": [experiment]})))
    return float(checked["experiments"][0]["parameters"]["delay_ms"]) / 1000


@contextmanager
def _key_file(wanted: bool) -> Iterator[str | None]:
    """A path for a key that nobody else sees; None: none is wanted."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="chaoseater-") as folder:
        yield os.path.join(folder, "table.cek")
