# SPDX-License-Identifier: MIT
"""Nothing of Python's stays behind: memory that tracemalloc knows of, and objects that the collector does."""

import gc
import json
import pickle
import sys
import tracemalloc

import chaoseater
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from chaoseater import _core
from face import experiment

TABLE = pa.table({"a": np.arange(100), "b": np.arange(100) / 7, "c": ["x", "yy"] * 50})
DOCUMENT = json.dumps({"experiments": [experiment()]}, indent=1)


def frame():
    """A new one each time: frames keep traces of those who looked at their columns."""
    return pd.DataFrame({"a": np.arange(100), "b": np.arange(100) / 7, "c": ["x", "yy"] * 50})


def there_and_back(table):
    changed, key = chaoseater.inject(table, "missing_data", seed=1, return_key=True)
    chaoseater.revert(changed, pickle.loads(pickle.dumps(key)))


def refused(function, *arguments, **named):
    with pytest.raises((ValueError, TypeError)):
        function(*arguments, **named)


def half_pulled():
    """A stream that nobody pulls to its end."""
    stream, _ = _core.inject(TABLE.__arrow_c_stream__(), None, [("missing_data", [])], seed=1)
    reader = pa.RecordBatchReader.from_stream(Capsule(stream))
    return reader.schema


class Capsule:
    def __init__(self, capsule):
        self.capsule = capsule

    def __arrow_c_stream__(self, requested_schema=None):
        return self.capsule


CALLS = {
    "pandas": lambda: there_and_back(frame()),
    "moving rows": lambda: chaoseater.inject(frame(), "duplicate_records", seed=1),
    "polars": lambda: there_and_back(pl.from_arrow(TABLE)),
    "pyarrow": lambda: there_and_back(TABLE),
    "numpy": lambda: there_and_back(np.ones((50, 3))),
    "half pulled": half_pulled,
    "never pulled": lambda: _core.inject(TABLE.__arrow_c_stream__(), None, [("missing_data", [])]),
    "statistics": lambda: chaoseater.drift(frame(), frame()),
    "no such fault": lambda: refused(chaoseater.inject, frame(), "missing_dat"),
    "no such column": lambda: refused(chaoseater.inject, frame(), "missing_data", columns="d"),
    "no table": lambda: refused(chaoseater.inject, 1, "missing_data"),
    "used already": lambda: refused(_core.inject, *[TABLE.__arrow_c_stream__()] * 2, [("data_corruption", [])]),
    "document": lambda: chaoseater.load(DOCUMENT),
    "bad document": lambda: refused(chaoseater.load, "experiments: [{\n"),
    "dry run": lambda: str(chaoseater.run(DOCUMENT, dry_run=True)),
    "lists": lambda: (_core.fault("missing_data"), _core.report_formats(), _core.schema()),
    "models": lambda: chaoseater.wrap_model(lambda rows: rows, "slow_inference", latency_ms=0)([1]),
}


CALLS_EACH = 50


@pytest.mark.parametrize("name", CALLS)
def test_a_call_leaves_nothing_behind(name):
    def called():
        for _ in range(CALLS_EACH):
            CALLS[name]()
        gc.collect()
        sys._clear_type_cache()  # of names of attributes that were looked up
        return tracemalloc.get_traced_memory()[0], len(gc.get_objects())

    tracemalloc.start()
    try:
        called()  # what is kept once, for all calls
        memory, objects = called()
        memory_after, objects_after = called()
    finally:
        tracemalloc.stop()
    assert memory_after - memory < 16 * CALLS_EACH  # no object is as small as 16 bytes
    assert objects_after - objects < CALLS_EACH
