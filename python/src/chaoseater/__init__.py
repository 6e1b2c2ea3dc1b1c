# SPDX-License-Identifier: MIT
"""ChaosEater: chaos engineering for ML pipelines.

It breaks data, models and infrastructure on purpose, proves that the break happened, measures what it did to the pipeline,
puts everything back, and says with a score whether the pipeline may be deployed::

    import chaoseater

    dirty = chaoseater.inject(df, "missing_data", missing_rate=0.1, seed=7)
    model = chaoseater.wrap_model(model, "slow_inference", latency_ms=200)
    with chaoseater.fault("network_latency", latency_ms=100, target={"peer": "127.0.0.1:6379"}):
        ...
    print(chaoseater.run("plan.yaml"))

The work is done by a C library. Different threads may use this package at once. A process that was forked off while a run goes
on must not touch that run: it is its parent's.
"""

from . import _core
from .data import Key, drift, inject, profile, revert
from .errors import BadInput, ChaosError, Dirty, NotPossible, Stopped, Unknown
from .faults import Live, fault
from .models import wrap_model
from .results import GateFailed, Result, Run, read_result
from .runs import Recovery, doctor, explain, faults, load, recover, run, schema, status, stop

__version__ = _core.version()

__all__ = [
    "BadInput", "ChaosError", "Dirty", "GateFailed", "Key", "Live", "NotPossible", "Recovery", "Result", "Run", "Stopped",
    "Unknown", "doctor", "drift", "explain", "fault", "faults", "inject", "load", "profile", "read_result", "recover", "revert",
    "run", "schema", "status", "stop", "wrap_model",
]
