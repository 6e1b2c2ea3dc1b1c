# SPDX-License-Identifier: MIT
"""Holds a fault while a block of somebody else's code runs: the process behind :func:`chaoseater.fault`.

It is a process of its own so that a fault may act on the one that asked for it, and so that it puts everything back when that
one dies. It belongs to nobody: a fault on a process and all below it must not reach who holds it.

What it reads: a line of JSON with the document; then it waits for the end of its input. What it writes: a line of JSON for each
phase, and at the end one with the report, or with the error.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
from typing import Any

from . import _core
from .errors import ChaosError


def main() -> None:
    first = os.getpid()
    if os.fork() > 0:
        os._exit(0)  # the process that asked reaps this one; the other is nobody's child, as soon as this one has gone
    _wait_for_end_of(first)
    os.setsid()
    # Ends the run, and then nothing more: the report is still to be written.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_wait_for_the_end, args=(order["owner"],), daemon=True).start()
    try:
        core = _core.run(text=order["document"], name="fault", state_dir=order["state_dir"], seed=order["seed"], no_history=True,
                         progress=lambda now: _tell({"phase": now["phase"]}), signals=True)
    except ChaosError as error:
        _tell({"error": [error.code, error.where, error.message]})
    else:
        _tell({"report": json.loads(core.write("json"))})


def _wait_for_end_of(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([process], [], [])
    os.close(process)


def _wait_for_the_end(owner: int) -> None:
    """Of the input, which comes when the block has ended; or of the owner, whose children may have kept the other end."""
    waited = [sys.stdin.fileno()]
    try:
        waited.append(os.pidfd_open(owner))
        select.select(waited, [], [])
    except OSError:
        pass  # the owner has gone already
    os.kill(os.getpid(), signal.SIGINT)


def _tell(what: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # nobody listens any more; what is live is put back all the same


if __name__ == "__main__":
    main()
