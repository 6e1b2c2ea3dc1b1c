# SPDX-License-Identifier: MIT
"""Faults on tables in memory: cells, libraries, distributions, bad input. check_frames.py has the types of pandas and numpy."""

import json
import os
import resource
import subprocess

import chaoseater
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pytest
from check_frames import ROWS, frame
from face import PROGRAM
from fault_injectors.data_injector import DataFaultInjector
from scipy import stats


@pytest.mark.parametrize("fault", ["missing_data", "data_corruption", "outlier_injection"])
def test_the_command_line_gives_the_same_cells(fault, tmp_path):
    before = frame()[["whole", "real", "text", "nullable"]].reset_index(drop=True)
    pyarrow.feather.write_feather(pa.Table.from_pandas(before, preserve_index=False), tmp_path / "in.arrow", compression="uncompressed")
    subprocess.run([PROGRAM, "data", "inject", tmp_path / "in.arrow", "-o", tmp_path / "out.arrow", "--fault", fault, "--seed", "7"],
                   check=True, capture_output=True)
    theirs = pyarrow.feather.read_table(tmp_path / "out.arrow")
    assert pa.Table.from_pandas(chaoseater.inject(before, fault, seed=7), preserve_index=False).to_pydict() == theirs.to_pydict()


def tables():
    simple = frame().drop(columns=["took", "nested"]).reset_index(drop=True)
    arrow = pa.Table.from_pandas(simple, preserve_index=False)
    return {"pyarrow": arrow, "batch": arrow.to_batches()[0], "polars": pl.from_arrow(arrow),
            "several": pa.concat_tables([arrow.slice(0, 10), arrow.slice(10)])}


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


def test_rows_and_labels_are_hit_at_their_rates_and_anywhere():
    rows = 20000
    table = pd.DataFrame({"id": np.arange(rows), "label": np.random.default_rng(1).choice(["no", "maybe", "yes"], rows)})
    flipped = chaoseater.inject(table, "label_noise", seed=1, columns="label", noise_rate=0.3)
    hit = flipped["label"] != table["label"]
    assert sigmas(hit.sum(), rows, 0.3) < 6 and flipped["id"].equals(table["id"])
    assert sigmas((flipped["label"][hit & (table["label"] == "no")] == "yes").sum(), (hit & (table["label"] == "no")).sum(), 0.5) < 6
    gone = rows - len(chaoseater.inject(table, "row_drop", seed=1, drop_rate=0.2))
    assert sigmas(gone, rows, 0.2) < 6
    again = chaoseater.inject(table, "stale_data", seed=1, stale_rate=0.2, lag=100)["id"]
    assert sigmas(len(again) - rows, rows, 0.2) < 6 and set(again) == set(table["id"])
    twice = chaoseater.inject(table, "duplicate_records", seed=1, duplication_rate=0.5)["id"].iloc[rows:]
    assert sigmas(len(twice), rows, 0.5) < 6
    # each tenth of the table as often as any other
    assert stats.chisquare(np.histogram(twice, 10, (0, rows))[0]).pvalue > 1e-9
    assert stats.chisquare(np.histogram(table["id"][hit], 10, (0, rows))[0]).pvalue > 1e-9


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


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer keeps memory of its own")
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
