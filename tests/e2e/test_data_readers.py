# SPDX-License-Identifier: MIT
"""What `data inject` writes is read by programs that nobody here wrote: pandas, polars, pyarrow, DuckDB, sqlite3."""
import csv
import json

import pytest

import peers
from test_data_cli import ROWS, fault, table

READERS = {
    "pandas": "import pandas; t = pandas.read_csv(sys.argv[1]); rows, nulls = len(t), int(t['age'].isna().sum())",
    "polars": "import polars; t = polars.read_csv(sys.argv[1]); rows, nulls = len(t), t['age'].null_count()",
    "pyarrow": "from pyarrow import csv; t = csv.read_csv(sys.argv[1], parse_options=csv.ParseOptions("
               "newlines_in_values=True)); rows, nulls = t.num_rows, t['age'].null_count",
    "duckdb": "import duckdb; rows, nulls = duckdb.sql(f\"select count(*), count(*) filter (age is null) from "
              "read_csv('{sys.argv[1]}')\").fetchall()[0]",
}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, chaoseater_module):
    folder = tmp_path_factory.mktemp("readers")
    (folder / "in.csv").write_text(table(), newline="")
    done = chaoseater_module("data", "inject", folder / "in.csv", "-o", folder / "out.csv", "--seed", "3", "--json",
                             *fault("missing_data", "missing_rate=0.2", "columns=age"),
                             *fault("duplicate_records", "place=shuffled"))
    assert done.returncode == 0, done.stderr
    with open(folder / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return folder, json.loads(done.stdout), rows


@pytest.mark.parametrize("reader", READERS)
def test_other_programs_read_the_same_table(damaged, reader):
    folder, result, rows = damaged
    code = f"import sys, json; {READERS[reader]}; print(json.dumps([rows, nulls]))"
    seen = json.loads(peers.script(peers.python(), code, folder / "out.csv"))
    assert seen == [result["rows_out"], sum(row["age"] == "" for row in rows)]


def test_json_lines_are_read_by_pandas_and_polars(tmp_path, chaoseater):
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"id": i, "x": i / 8, "city": "Köln"}) + "\n" for i in range(ROWS)))
    done = chaoseater("data", "inject", source, "-o", tmp_path / "out.jsonl", "--seed", "1", "--json",
                      *fault("missing_data", "columns=x"), *fault("data_corruption", "kind=typo", "columns=city"))
    assert done.returncode == 0, done.stderr
    changed = json.loads(done.stdout)["faults"][0]["changed"]
    code = """
import sys, json, pandas, polars
a, b = pandas.read_json(sys.argv[1], lines=True), polars.read_ndjson(sys.argv[1])
print(json.dumps([len(a), int(a['x'].isna().sum()), len(b), b['x'].null_count()]))
"""
    assert json.loads(peers.script(peers.python(), code, tmp_path / "out.jsonl")) == [ROWS, changed, ROWS, changed]
