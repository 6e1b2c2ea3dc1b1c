# SPDX-License-Identifier: MIT
"""Faults on tables in memory: types, cells, answer keys, distributions, bad input."""

import datetime
import json
import pickle
import resource
import subprocess
import threading

import chaoseater
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pytest
from face import PROGRAM
from fault_injectors.data_injector import DataFaultInjector
from scipy import stats

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


@pytest.mark.parametrize("fault", ["missing_data", "data_corruption", "outlier_injection"])
def test_the_command_line_gives_the_same_cells(fault, tmp_path):
    before = frame()[["whole", "real", "text", "nullable"]].reset_index(drop=True)
    pyarrow.feather.write_feather(pa.Table.from_pandas(before, preserve_index=False), tmp_path / "in.arrow", compression="uncompressed")
    subprocess.run([PROGRAM, "data", "inject", tmp_path / "in.arrow", "-o", tmp_path / "out.arrow", "--fault", fault, "--seed", "7"],
                   check=True, capture_output=True)
    theirs = pyarrow.feather.read_table(tmp_path / "out.arrow")
    assert pa.Table.from_pandas(chaoseater.inject(before, fault, seed=7), preserve_index=False).to_pydict() == theirs.to_pydict()


def test_a_seed_is_a_choice_and_threads_are_not():
    before = frame()
    once = chaoseater.inject(before, "missing_data", seed=7, threads=1)
    pd.testing.assert_frame_equal(once, chaoseater.inject(before, "missing_data", seed=7, threads=4))
    assert not once.equals(chaoseater.inject(before, "missing_data", seed=8))
    assert not chaoseater.inject(before, "missing_data").equals(chaoseater.inject(before, "missing_data"))


def tables():
    simple = frame().drop(columns=["took", "nested"]).reset_index(drop=True)
    arrow = pa.Table.from_pandas(simple, preserve_index=False)
    return {"pyarrow": arrow, "batch": arrow.to_batches()[0], "polars": pl.from_arrow(arrow), "several": pa.concat_tables([arrow.slice(0, 10), arrow.slice(10)])}


@pytest.mark.parametrize("name", ["pyarrow", "batch", "polars", "several"])
def test_other_tables_come_back_as_what_they_were(name):
    table = tables()[name]
    changed, key = chaoseater.inject(table, "missing_data", seed=7, return_key=True)
    assert type(changed) is type(table) and not changed.equals(table)
    assert chaoseater.revert(changed, key).equals(table)
    same = chaoseater.inject(tables()["pyarrow"], "missing_data", seed=7)
    assert pl.DataFrame(changed).equals(pl.DataFrame(same))


class OnlyAStream:
    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def test_anything_with_a_stream_will_do():
    table = tables()["pyarrow"]
    changed = chaoseater.inject(OnlyAStream(table), "missing_data", seed=7)
    assert pa.table(changed).equals(chaoseater.inject(table, "missing_data", seed=7))
    with pytest.raises(TypeError, match="LazyFrame"):
        chaoseater.inject(tables()["polars"].lazy(), "missing_data")


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


# ---- what the faults do


def sigmas(count, of, rate):
    return abs(count - of * rate) / np.sqrt(of * rate * (1 - rate))


def test_rates_are_as_asked():
    numbers = pd.DataFrame(np.random.default_rng(1).normal(5, 2, size=(20000, 5)), columns=list("abcde"))
    cells = numbers.size
    assert sigmas(chaoseater.inject(numbers, "missing_data", seed=1).isna().to_numpy().sum(), cells, 0.2) < 6
    assert sigmas((chaoseater.inject(numbers, "data_corruption", seed=1) != numbers).to_numpy().sum(), cells, 0.1) < 6
    assert sigmas((chaoseater.inject(numbers, "outlier_injection", seed=1) != numbers).to_numpy().sum(), cells, 0.05) < 6


def test_corruption_adds_noise_of_the_columns_spread():
    numbers = pd.DataFrame({"a": np.random.default_rng(1).normal(5, 2, 50000)})
    added = (chaoseater.inject(numbers, "data_corruption", seed=1, corruption_rate=0.5) - numbers)["a"]
    added = added[added != 0] / numbers["a"].std(ddof=0)
    assert stats.kstest(added, "norm").pvalue > 1e-9  # 6 sigma


def test_outliers_lie_where_they_should():
    numbers = pd.DataFrame({"a": np.random.default_rng(1).normal(5, 2, 5000)})
    changed = chaoseater.inject(numbers, "outlier_injection", seed=1)["a"]
    hit = changed[changed != numbers["a"]]
    distance = (hit - numbers["a"].mean()).abs() / numbers["a"].std(ddof=0)
    assert np.allclose(distance, 3, rtol=1e-3) and 0 < (hit > 5).mean() < 1


def test_drift_is_the_formula():
    numbers = pd.DataFrame({"a": np.random.default_rng(1).normal(5, 2, 5000)})
    changed = chaoseater.inject(numbers, "distribution_drift", seed=1)["a"]
    assert np.allclose(changed, (numbers["a"] + numbers["a"].mean() * 0.5) * 1.5)


def test_statistics_and_drift():
    numbers = pd.DataFrame({"a": np.random.default_rng(1).normal(5, 2, 5000), "b": ["x"] * 5000})
    profile = chaoseater.profile(numbers)
    assert profile["rows"] == 5000 and [column["name"] for column in profile["columns"]] == ["a", "b"]
    moved = chaoseater.drift(numbers, chaoseater.inject(numbers, "distribution_drift", seed=1))
    still = chaoseater.drift(numbers, numbers)
    assert json.dumps(moved) != json.dumps(still) and moved["table"]["rows_after"] == 5000


# ---- the injector of the mission


def test_the_injector_arms_and_disarms():
    injector = DataFaultInjector(seed=1)
    before = frame()
    assert injector.apply_fault(before) is before
    injector.inject("missing_data", {"missing_rate": 0.5}, 60)
    first, second = injector.apply_fault(before), injector.apply_fault(before)
    assert first.isna().any().any() and not first.equals(second)
    injector.rollback()
    assert injector.apply_fault(before) is before
    again = DataFaultInjector(seed=1)
    again.inject("missing_data", {"missing_rate": 0.5}, 60)
    pd.testing.assert_frame_equal(again.apply_fault(before), first)


@pytest.mark.parametrize("rows, rate, added", [(1000, 0.1, 100), (1005, 0.1, 100), (10, 0.05, 0), (7, 1.0, 7)])
def test_duplicates_are_the_documented_number(rows, rate, added):
    injector = DataFaultInjector(seed=1)
    injector.inject("duplicate_records", {"duplication_rate": rate}, 60)
    before = frame(rows)
    after = injector.apply_fault(before)
    assert len(after) == rows + added and set(after.index) == set(before.index)


def test_the_injector_knows_its_faults():
    injector = DataFaultInjector()
    assert {"data_corruption", "missing_data", "schema_drift", "distribution_drift", "outlier_injection", "duplicate_records",
            "latency_injection"} <= set(injector.get_supported_faults())
    assert injector.validate("missing_data", {"missing_rate": 0.5}) and not injector.validate("missing_data", {"missing_rate": 1.5})
    assert not injector.validate("slow_inference", {}) and not injector.validate("missing_data", {"rate": 1})
    with pytest.raises(chaoseater.BadInput, match="0..1"):
        injector.inject("missing_data", {"missing_rate": -0.1}, 60)


def test_loading_is_delayed(monkeypatch):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    before = frame()
    assert chaoseater.inject(before, "latency_injection", delay_ms=250) is before
    chaoseater.inject(before, "latency_injection")
    assert slept == [0.25, 1.0]
    with pytest.raises(chaoseater.BadInput, match="delay_ms"):
        chaoseater.inject(before, "latency_injection", delay_ms=-1)


# ---- bad input


@pytest.mark.parametrize("fault, parameters, kind, sentence", [
    ("missing_dat", {}, chaoseater.Unknown, "missing_data"),
    ("slow_inference", {}, chaoseater.BadInput, "layer model"),
    ("missing_data", {"mising_rate": 0.1}, TypeError, "did you mean 'missing_rate'"),
    ("missing_data", {"missing_rate": 2}, chaoseater.BadInput, "outside 0..1"),
    ("missing_data", {"missing_rate": float("nan")}, chaoseater.BadInput, "missing_rate"),
    ("missing_data", {"missing_rate": "many"}, chaoseater.BadInput, "missing_rate"),
    ("missing_data", {"columns": ["rael"]}, ValueError, "real"),
    ("missing_data", {"columns": "text,real,nowhere"}, ValueError, "nowhere"),
    ("missing_data", {"seed": -1}, OverflowError, "negative"),
    ("schema_drift", {"drift_type": "remove_column", "column_name": "nowhere"}, ValueError, "nowhere"),
    ("schema_drift", {"drift_type": "sideways"}, ValueError, "sideways"),
], ids=str)
def test_what_is_wrong_is_said(fault, parameters, kind, sentence):
    with pytest.raises(kind, match=sentence):
        chaoseater.inject(frame(), fault, **parameters)


def test_what_is_no_table_is_said():
    for wrong in (None, 1, "text", [1, 2], {"a": [1]}):
        with pytest.raises(TypeError, match="is no table"):
            chaoseater.inject(wrong, "missing_data")
    with pytest.raises(chaoseater.BadInput, match="column 'mixed'"):
        chaoseater.inject(frame(mixed=[1, "a"] * (ROWS // 2)), "missing_data")


def test_a_key_of_another_table_is_refused():
    changed, key = chaoseater.inject(frame(), "data_corruption", seed=1, return_key=True)
    other = changed.copy()
    other["real"] = 0.0
    with pytest.raises(chaoseater.BadInput):
        chaoseater.revert(other, key)
    with pytest.raises(chaoseater.BadInput):
        chaoseater.revert(changed[["real"]], key)
    with pytest.raises(chaoseater.BadInput):
        chaoseater.revert(changed, chaoseater.Key(b"no key", {}))


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


def test_memory_stays_where_it_was():
    injector = DataFaultInjector(seed=1)
    injector.inject("missing_data", {}, 60)
    small = frame(50)
    for _ in range(1000):
        injector.apply_fault(small)
    before = resource_size()
    for _ in range(10000):
        injector.apply_fault(small)
    assert resource_size() - before < 8 << 20


def resource_size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
