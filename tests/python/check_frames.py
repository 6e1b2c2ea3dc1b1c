# SPDX-License-Identifier: MIT
"""Tables of pandas and arrays of numpy: types, labels, the way back. With any pandas, and without pyarrow."""

import datetime
import pickle
import threading

import chaoseater
import numpy as np
import pandas as pd
import pytest

try:
    import pyarrow  # noqa: F401
except ImportError:
    NEEDS_PYARROW = ["kind", "nested", "day"]
else:
    NEEDS_PYARROW = []

ROWS = 1000


def frame(rows=ROWS, **more):
    """Every type that people have, and row labels of their own."""
    drawn = np.random.default_rng(1)
    columns = {
        "whole": drawn.integers(0, 100, rows), "small": drawn.integers(0, 200, rows).astype("u1"),
        "real": drawn.normal(size=rows), "single": drawn.normal(size=rows).astype("f4"), "yes": drawn.random(rows) < 0.5,
        "text": drawn.choice(["a", "bb", "cçc"], rows), "kind": pd.Categorical(drawn.choice(["x", "y"], rows), ["y", "x"], ordered=True),
        "when": pd.date_range("2020", periods=rows, tz="Europe/Berlin"), "naive": pd.date_range("2020", periods=rows),
        "took": pd.to_timedelta(drawn.integers(0, 1000, rows), unit="s"), "nullable": pd.array(drawn.integers(0, 9, rows), dtype="Int32"),
        "maybe": pd.array(drawn.random(rows) < 0.5, dtype="boolean"), "string": pd.array(drawn.choice(["p", "q"], rows), dtype="string"),
        "nested": [[1, 2]] * rows, "day": [datetime.date(2020, 1, 1)] * rows,
    }
    columns = {name: column for name, column in columns.items() if name not in NEEDS_PYARROW}
    made = pd.DataFrame({**columns, **more}, index=np.arange(rows) * 2 + 5)
    made.attrs["source"] = "here"
    return made


FAULTS = [
    ("missing_data", {}), ("data_corruption", {}), ("outlier_injection", {}), ("distribution_drift", {}), ("duplicate_records", {}),
    ("row_drop", {}), ("stale_data", {}), ("label_noise", {"columns": "text"}), ("schema_drift", {"drift_type": "add_column"}),
    ("schema_drift", {"drift_type": "remove_column", "column_name": "real"}),
    ("schema_drift", {"drift_type": "rename_column", "old_name": "real", "new_name": "renamed"}),
    ("schema_drift", {"drift_type": "type_change", "column_name": "whole"}),
]


@pytest.mark.parametrize("fault, parameters", FAULTS, ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())))
def test_a_frame_comes_back_and_can_be_put_back(fault, parameters):
    before = frame()
    kept = before.copy(deep=True)
    changed, key = chaoseater.inject(before, fault, seed=7, return_key=True, **parameters)
    pd.testing.assert_frame_equal(before, kept)  # what went in is the caller's
    assert not changed.equals(before)
    assert changed.attrs == {"source": "here"}
    back = chaoseater.revert(changed, pickle.loads(pickle.dumps(key)))
    pd.testing.assert_frame_equal(back, before)


@pytest.mark.parametrize("fault, parameters", [fault for fault in FAULTS if fault[0] != "schema_drift"], ids=str)
def test_types_are_kept_where_they_can_hold_what_there_is(fault, parameters):
    before = frame()
    changed = chaoseater.inject(before, fault, seed=7, **parameters)
    expected = {name: str(dtype) for name, dtype in before.dtypes.items()}
    if fault == "missing_data":  # whole numbers stay whole
        expected |= {"whole": "Int64", "small": "UInt8", "yes": "boolean"}
    assert {name: str(dtype) for name, dtype in changed.dtypes.items()} == expected
    if fault not in ("duplicate_records", "row_drop", "stale_data"):
        assert changed.index.equals(before.index)


@pytest.mark.parametrize("fault", ["duplicate_records", "row_drop", "stale_data"])
def test_row_labels_travel_with_their_rows(fault):
    before = frame()
    changed = chaoseater.inject(before, fault, seed=3)
    assert len(changed) != len(before)
    for label, row in zip(changed.index[-50:], changed["real"].tolist()[-50:]):
        assert row == before["real"][label]


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_what_is_gone_is_gone_and_nothing_else(kind):
    """Other rows are what they were, in pieces of any number of rows."""
    before = pd.DataFrame(np.random.default_rng(1).normal(size=(10000, 3)).astype(kind), columns=list("abc"))
    before.iloc[::100, 0] = np.nan
    changed = chaoseater.inject(before, "missing_data", seed=7, missing_rate=0.3)
    kept = changed.notna()
    assert changed[kept].equals(before[kept]) and (before.isna() & kept).sum().sum() == 0
    assert 0.25 < 1 - kept["b"].mean() < 0.35


def test_a_seed_is_a_choice_and_threads_are_not():
    before = frame()
    once = chaoseater.inject(before, "missing_data", seed=7, threads=1)
    pd.testing.assert_frame_equal(once, chaoseater.inject(before, "missing_data", seed=7, threads=4))
    assert not once.equals(chaoseater.inject(before, "missing_data", seed=8))
    assert not chaoseater.inject(before, "missing_data").equals(chaoseater.inject(before, "missing_data"))


def test_arrays_of_numpy():
    array = np.random.default_rng(1).normal(size=(ROWS, 3))
    array.flags.writeable = False
    changed = chaoseater.inject(array, "missing_data", seed=7, missing_rate=0.3)
    assert changed.dtype == array.dtype and changed.shape == array.shape
    assert 0.25 < np.isnan(changed).mean() < 0.35 and np.array_equal(array[~np.isnan(changed)], changed[~np.isnan(changed)])
    assert chaoseater.inject(array[:, 0], "outlier_injection", seed=7).shape == (ROWS,)
    assert chaoseater.inject(array.astype("f4"), "outlier_injection", seed=7).dtype == np.float32
    assert chaoseater.inject(np.asfortranarray(array)[::2], "outlier_injection", seed=7).shape == (ROWS // 2, 3)
    records = np.array([(1, 2.5), (3, 4.5)] * 50, [("a", "i8"), ("b", "f4")])
    assert chaoseater.inject(records, "distribution_drift", seed=1).dtype.names == ("a", "b")
    with pytest.raises(chaoseater.BadInput, match="3 dimensions"):
        chaoseater.inject(np.zeros((2, 2, 2)), "missing_data")


# ---- tables that are hardly ones


@pytest.mark.parametrize("empty", [frame(0), pd.DataFrame(), pd.DataFrame(index=[1, 2, 3]), pd.DataFrame({"a": []}),
                                   pd.DataFrame({"a": [None, None]}), pd.DataFrame({"a": [np.nan]})], ids=range(6))
def test_little_tables(empty):
    for fault in ("missing_data", "data_corruption", "duplicate_records", "distribution_drift"):
        try:
            changed = chaoseater.inject(empty, fault, seed=1)
        except chaoseater.BadInput as error:
            assert "column" in str(error)
        else:
            assert list(changed.columns) == list(empty.columns)


def test_columns_of_the_same_name_and_names_that_are_no_texts():
    twice = pd.DataFrame(np.ones((100, 3)), columns=["a", "a", 7])
    changed = chaoseater.inject(twice, "missing_data", seed=1, missing_rate=0.5)
    assert list(changed.columns) == ["a", "a", 7] and changed.isna().any().all()
    levels = pd.DataFrame(np.ones((100, 2)), columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))
    assert chaoseater.inject(levels, "missing_data", seed=1).columns.equals(levels.columns)


def test_a_frame_that_somebody_else_changes_does_no_harm():
    shared = pd.DataFrame(np.zeros((100000, 4)), columns=list("abcd"))
    over = threading.Event()

    def scribble():
        while not over.is_set():
            shared.iloc[:, 0] += 1
            shared["more"] = 1.0
            del shared["more"]

    other = threading.Thread(target=scribble)
    other.start()
    try:
        for seed in range(20):
            try:
                assert len(chaoseater.inject(shared, "missing_data", seed=seed)) == 100000
            except (chaoseater.BadInput, KeyError, IndexError):
                pass  # it was torn between two states
    finally:
        over.set()
        other.join()


@pytest.mark.skipif(not NEEDS_PYARROW, reason="pyarrow is there")
def test_what_needs_pyarrow_says_so():
    with pytest.raises(chaoseater.NotPossible, match="pyarrow, which is not installed"):
        chaoseater.inject(pd.DataFrame({"day": [datetime.date(2020, 1, 1)]}), "missing_data")
