# SPDX-License-Identifier: MIT
"""Whole experiments: documents, running them, and what is left on the host."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union

from . import _core
from .results import Result

__all__ = ["Document", "Recovery", "doctor", "explain", "faults", "load", "recover", "run", "schema", "status", "stop"]

log = logging.getLogger("chaoseater")

Document = Union[str, "os.PathLike[str]", Mapping[str, Any], Iterable[Mapping[str, Any]]]
"""A path; YAML text, which has more than one line; what such a text means; or a list of experiments."""


def run(
    document: Document,
    *,
    sets: Iterable[str] = (),
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
    seed: int | None = None,
    parallel: int = 0,
    fail_fast: bool = False,
    dry_run: bool = False,
    both_profiles: bool = False,
    state_dir: str | os.PathLike[str] | None = None,
    db: str | os.PathLike[str] | None = None,
    no_history: bool = False,
    events: str | os.PathLike[str] | None = None,
    hits: str | os.PathLike[str] | None = None,
    progress: Callable[[dict[str, Any]], object] | None = None,
) -> Result:
    """Runs every experiment of a document for real, and puts everything back.

    What went wrong in a run stands in the result; exceptions are for what could not be started at all. On the main thread
    Ctrl-C ends the run, waits until everything has been put back, and raises KeyboardInterrupt. `progress` is called on this
    thread with a mapping (``experiment``, ``phase``, ``fraction``, ...); an exception that it raises ends the run likewise.

    :param sets: ``"duration=3s"``, ``"parameters.missing_rate=0.3"``: for every experiment that has such a key
    :param only: names, ``"tag:NAME"`` or ``"layer:NAME"`` of what is run; `skip` of what is not
    :param parallel: how many may run at once; 0: as many as the document says
    :param both_profiles: on the naive and on the hardened embedded pipeline
    :param db: the history that runs are recorded in; history.db in the state folder
    """
    core = _core.run(
        **_named(document),
        sets=tuple(sets),
        only=tuple(only),
        skip=tuple(skip),
        seed=seed,
        parallel=parallel,
        fail_fast=fail_fast,
        dry_run=dry_run,
        both_profiles=both_profiles,
        state_dir=_path(state_dir),
        db=_path(db),
        no_history=no_history,
        events=_path(events),
        hits=_path(hits),
        progress=progress,
        signals=threading.current_thread() is threading.main_thread(),
        notice=_tell_notices,
    )
    result = Result(core)
    for problem in result.problems:
        log.warning("%s", problem)
    for done in () if dry_run else result:
        log.log(logging.INFO if done.passed else logging.WARNING, "%s: %s%s", done.name, done.verdict or done.status,
                f", {done.reason}" if done.reason else "")
    return result


def load(document: Document, *, sets: Iterable[str] = (), only: Iterable[str] = (), skip: Iterable[str] = ()) -> dict[str, Any]:
    """What a document comes to, checked, with all defaults filled in and durations in seconds."""
    loaded: dict[str, Any] = json.loads(
        _core.document(**_named(document), sets=tuple(sets), only=tuple(only), skip=tuple(skip)))
    return loaded


def schema() -> dict[str, Any]:
    """The JSON Schema of a document."""
    text: dict[str, Any] = json.loads(_core.schema())
    return text


def faults() -> list[dict[str, Any]]:
    """Every fault, with its layer, its parameters, and whether this host can do it."""
    listed: list[dict[str, Any]] = json.loads(_core.faults())
    return listed


def explain(fault: str) -> dict[str, Any]:
    """A fault: its parameters with their units, defaults and meanings."""
    explained: dict[str, Any] = json.loads(_core.fault(fault))
    return explained


def doctor() -> dict[str, Any]:
    """What this host can and cannot do, and why."""
    checks: dict[str, Any] = json.loads(_core.doctor())
    return checks


def status(state_dir: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """What is live now."""
    live: dict[str, Any] = json.loads(_core.status(_path(state_dir)))
    return live


@dataclass(frozen=True)
class Recovery:
    """What became of that which journals still called live."""

    undone: int
    failed: int
    """Could not be put back: still live."""
    foreign: int
    """Are no longer what was changed, and were left alone."""


def recover(state_dir: str | os.PathLike[str] | None = None) -> Recovery:
    """Undoes whatever crashed runs have left. Safe to call again."""
    return Recovery(*_core.recover(_path(state_dir)))


def stop(state_dir: str | os.PathLike[str] | None = None, *, release: bool = False) -> bool:
    """Ends every run of the state folder, which is undone at once, and refuses new ones until it is called with `release`.

    True when something was released.
    """
    return _core.stop(_path(state_dir), release)


# ---- arguments


def _named(document: Document) -> dict[str, Any]:
    """The arguments by which the C library is told which document is meant."""
    if isinstance(document, Mapping):
        return _inline(document)
    if isinstance(document, str):
        return {"text": document} if "\n" in document else {"path": document}
    if isinstance(document, os.PathLike):
        return {"path": os.fspath(document)}
    return _inline({"experiments": list(document)})


def _inline(document: Mapping[str, Any]) -> dict[str, str]:
    # JSON is YAML, but only without the surrogate pairs by which json.dumps() would escape.
    return {"text": json.dumps(document, ensure_ascii=False, allow_nan=False, default=_plain), "name": "document"}


def _plain(value: object) -> object:
    """What json.dumps() does not know: mappings, sequences and scalars that only behave like those of Python."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):  # a scalar of numpy
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"a document cannot hold {value!r}, of type {type(value).__name__}")


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _tell_notices(notices: list[str]) -> None:
    for notice in notices:
        log.warning("%s", notice)
