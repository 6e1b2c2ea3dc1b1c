# SPDX-License-Identifier: MIT
"""Parquet files that pyarrow and pandas wrote, and what they and hyparquet read of those that chaoseater wrote.

Without these, or without DuckDB's library, the tests say so and are skipped.
"""
import json
import math
import os
import subprocess

import pytest

import peers

ROWS = 20_000
SIGMAS = 6
HYPARQUET = "hyparquet@1.31.5"

# Makes the table that all tests start from; `python -c` in the environment that has pyarrow.
WRITE = f"""
import datetime, decimal, sys
import pandas, pyarrow, pyarrow.parquet
n = {ROWS}
frame = pandas.DataFrame({{
    "id": range(n),
    "age": pandas.array([i % 90 for i in range(n)], dtype="Int16"),
    "income": [i * 1.25 + 0.1 for i in range(n)],
    "city": pandas.Categorical([("Paris", "München", "Oslo")[i % 3] for i in range(n)]),
    "note": ["note %d, \\"quoted\\"" % i for i in range(n)],
    "member": [i % 2 == 0 for i in range(n)],
    "seen": pandas.to_datetime("2024-03-01") + pandas.to_timedelta(range(n), unit="min"),
    "price": [decimal.Decimal(i) / 100 for i in range(n)],
    "day": [datetime.date(2024, 1, 1) + datetime.timedelta(i % 366) for i in range(n)],
    "tags": [["a", str(i)] if i % 5 else [] for i in range(n)],
}}, index=pandas.RangeIndex(100, 100 + n, name="row"))
table = pyarrow.Table.from_pandas(frame)
pyarrow.parquet.write_table(table, sys.argv[1], row_group_size=6000, compression=sys.argv[2])
"""

# Prints what a file holds, as JSON: values as text, one list a column.
READ_PYARROW = """
import json, sys, pyarrow.parquet
table = pyarrow.parquet.read_table(sys.argv[1])
try:
    frame = table.to_pandas()
except Exception:  # a column that became text is no longer what the metadata of pandas says
    frame = None
print(json.dumps({
    "types": {f.name: str(f.type) for f in table.schema},
    "pandas": (table.schema.metadata or {}).get(b"pandas", b"").decode(),
    "dtypes": {k: str(v) for k, v in frame.dtypes.items()} if frame is not None else None,
    "index": str(frame.index.name) if frame is not None else None,
    "columns": {name: [None if v is None else str(v) for v in table[name].to_pylist()] for name in table.column_names},
}))
"""
READ_HYPARQUET = """
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
const file = await asyncBufferFromFile(process.argv[2])
const rows = await parquetReadObjects({ file })
console.log(JSON.stringify(rows, (key, value) => typeof value === 'bigint' ? Number(value) : value))
"""


@pytest.fixture(scope="module")
def duckdb(build, root):
    """Brings DuckDB's library to where the program under test looks for it."""
    peers.run(root / "tools" / "get-duckdb.sh", build)


@pytest.fixture(scope="module")
def python():
    return peers.python()


@pytest.fixture(scope="module")
def node():
    """Runs the script that reads a file with hyparquet."""
    folder = peers.node_modules(HYPARQUET)
    script = folder / "read.mjs"
    script.write_text(READ_HYPARQUET)

    def read(path):
        done = subprocess.run(["node", script, path], cwd=folder, capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout)

    return read


@pytest.fixture(scope="module")
def original(python, duckdb, tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "in.parquet"
    subprocess.run([python, "-c", WRITE, path, "snappy"], check=True, timeout=120)
    return path


@pytest.fixture(scope="module")
def read(python):
    def run(path):
        done = subprocess.run([python, "-c", READ_PYARROW, path], capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def before(original, read):
    return read(original)


def inject(chaoseater, source, target, *args):
    done = chaoseater("data", "inject", source, "-o", target, "--seed", "7", *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def changed_cells(before, after):
    assert list(before["columns"]) == list(after["columns"])
    return {
        (name, row)
        for name, values in before["columns"].items()
        for row, (old, new) in enumerate(zip(values, after["columns"][name], strict=True))
        if old != new
    }


def within(count, expected, rate):
    return abs(count - expected) <= SIGMAS * math.sqrt(expected * (1 - rate))


def test_pyarrow_and_pandas_see_the_nulls_and_nothing_else(chaoseater, original, before, read):
    target = chaoseater.folder / "out.parquet"
    result = inject(chaoseater, original, target, "--fault", "missing_data", "--param", "missing_rate=0.1")
    after = read(target)
    cells = changed_cells(before, after)
    assert all(after["columns"][name][row] is None for name, row in cells)
    assert len(cells) == result["faults"][0]["changed"]
    for name in before["columns"]:
        assert within(sum(c[0] == name for c in cells), ROWS / 10, 0.1), name
    assert after["types"] == before["types"]
    assert after["pandas"] == before["pandas"] and after["pandas"]
    assert after["index"] == "row"
    assert after["dtypes"]["city"] == "category" and after["dtypes"]["age"] == "Int16"


def test_hyparquet_reads_the_same_as_pyarrow(chaoseater, original, node, read):
    target = chaoseater.folder / "out.parquet"
    inject(chaoseater, original, target, "--fault", "missing_data", "--param", "missing_rate=0.2")
    rows = node(target)
    columns = read(target)["columns"]
    assert len(rows) == ROWS
    for name in ("id", "age", "note", "city"):
        assert [None if r[name] is None else str(r[name]) for r in rows] == columns[name], name
    assert [r["income"] for r in rows] == [None if v is None else float(v) for v in columns["income"]]
    assert [r.get("tags") is None for r in rows] == [v is None for v in columns["tags"]]


@pytest.mark.parametrize(
    "faults",
    [
        ("missing_data:missing_rate=0.1",),
        ("data_corruption:corruption_rate=0.1",),
        ("data_corruption:corruption_rate=0.2,kind=typo",),
        ("outlier_injection:outlier_rate=0.01",),
        ("duplicate_records:duplication_rate=0.05",),
        ("row_drop:drop_rate=0.1",),
        ("schema_drift:drift_type=remove_column,column_name=city",),
        ("schema_drift:drift_type=rename_column,old_name=age,new_name=years",),
        ("schema_drift:drift_type=reorder_columns",),
        ("schema_drift:drift_type=add_column,column_name=new",),
        ("schema_drift:drift_type=type_change,column_name=age",),
        ("data_corruption:corruption_rate=0.3,kind=mojibake",),
        ("data_corruption:corruption_rate=0.3,kind=truncate",),
        ("data_corruption:corruption_rate=0.3,kind=bit_flip,columns=note",),
        ("stale_data:stale_rate=0.1",),
        ("distribution_drift:",),
        ("missing_data:missing_rate=0.1", "data_corruption:corruption_rate=0.1", "duplicate_records:duplication_rate=0.05"),
    ],
)
def test_revert_gives_the_table_back(chaoseater, original, before, read, faults):
    target, back, key = (chaoseater.folder / name for name in ("out.parquet", "back.parquet", "key"))
    args = []
    for fault in faults:
        name, _, parameters = fault.partition(":")
        args += ["--fault", name]
        for parameter in filter(None, parameters.split(",")):
            args += ["--param", parameter]
    inject(chaoseater, original, target, *args, "--key", key)
    after = read(target)
    assert after["columns"] != before["columns"] or list(after["columns"]) != list(before["columns"])
    done = chaoseater("data", "revert", target, key, "-o", back)
    assert done.returncode == 0, done.stderr
    assert read(back) == before


def test_the_key_lists_the_old_values(chaoseater, original, before, read):
    target, key, listing = (chaoseater.folder / name for name in ("out.parquet", "key", "changes.jsonl"))
    inject(chaoseater, original, target, "--fault", "missing_data", "--columns", "note,age", "--key", key)
    after = read(target)
    done = chaoseater("data", "key", key, "-o", listing)
    assert done.returncode == 0, done.stderr
    listed = {(line["column"], int(line["row"])): line["old"] for line in map(json.loads, listing.open())}
    assert listed == {(name, row): before["columns"][name][row] for name, row in changed_cells(before, after)}


def test_numbers_keep_their_types(chaoseater, original, before, read):
    target = chaoseater.folder / "out.parquet"
    result = inject(chaoseater, original, target, "--fault", "data_corruption", "--param", "corruption_rate=0.1",
                    "--columns", "age,income,id,price")
    after = read(target)
    cells = changed_cells(before, after)
    assert after["types"] == before["types"]
    assert {name for name, _ in cells} == {"age", "income", "id", "price"}
    assert len(cells) == result["faults"][0]["changed"]


def test_a_file_without_a_change_keeps_every_byte(chaoseater, original):
    target, key = chaoseater.folder / "out.parquet", chaoseater.folder / "key"
    inject(chaoseater, original, target, "--fault", "missing_data", "--param", "missing_rate=0", "--key", key)
    assert target.read_bytes() == original.read_bytes()
    assert chaoseater("data", "revert", target, key, "-o", chaoseater.folder / "back").returncode == 0
    assert (chaoseater.folder / "back").read_bytes() == original.read_bytes()


def test_the_bytes_do_not_depend_on_threads(chaoseater, original):
    outputs = []
    for threads in (1, 2, 4):
        target = chaoseater.folder / f"{threads}.parquet"
        inject(chaoseater, original, target, "--fault", "data_corruption", "--param", "corruption_rate=0.1", "--threads", threads)
        outputs.append(target.read_bytes())
    assert outputs[0] == outputs[1] == outputs[2]


def test_the_hit_cells_are_those_of_the_same_table_as_csv(chaoseater, original, python, before, read):
    table, target, changed = (chaoseater.folder / name for name in ("in.csv", "out.csv", "out.parquet"))
    subprocess.run([python, "-c", "import sys, pandas; pandas.read_parquet(sys.argv[1], columns=['id', 'income'])"
                    ".to_csv(sys.argv[2], index=False)", original, table], check=True, timeout=120)
    fault = ("--fault", "missing_data", "--param", "missing_rate=0.1", "--columns", "income")
    inject(chaoseater, table, target, *fault)
    inject(chaoseater, original, changed, *fault)
    of_csv = {row for row, line in enumerate(target.read_text().splitlines()[1:]) if line.endswith(",")}
    assert of_csv == {row for _, row in changed_cells(before, read(changed))}


def test_diff_finds_what_was_changed(chaoseater, original):
    target = chaoseater.folder / "out.parquet"
    result = inject(chaoseater, original, target, "--fault", "missing_data", "--param", "missing_rate=0.05", "--columns", "age,tags")
    done = chaoseater("data", "diff", original, target, "--json")
    assert done.returncode == 1
    diff = json.loads(done.stdout)
    assert diff["cells_changed"] == result["faults"][0]["changed"]
    assert {name for name, count in diff["by_column"].items() if count} == {"age", "tags"}


def test_a_key_of_another_file_is_refused(chaoseater, original):
    target, other, key = (chaoseater.folder / name for name in ("out.parquet", "other.parquet", "key"))
    inject(chaoseater, original, target, "--fault", "missing_data", "--param", "missing_rate=0.1", "--key", key)
    inject(chaoseater, original, other, "--fault", "missing_data", "--param", "missing_rate=0.2")
    done = chaoseater("data", "revert", other, key, "-o", chaoseater.folder / "back")
    assert done.returncode == 2
    assert "not the file that this key was made for" in done.stderr
    assert not (chaoseater.folder / "back").exists()


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "is no Parquet file"),
        (b"PAR1" + b"\0" * 100, "is cut short"),
        (b"PAR1" + b"\xff" * 100 + b"\x20\0\0\0PAR1", "cannot be read as Parquet"),
    ],
)
def test_what_is_no_parquet_is_refused_in_a_sentence(chaoseater, duckdb, content, says):
    source = chaoseater.folder / "in.parquet"
    source.write_bytes(content)
    done = chaoseater("data", "inject", source, "-o", chaoseater.folder / "out.parquet", "--fault", "missing_data")
    assert done.returncode == 2
    assert says in done.stderr and len(done.stderr.splitlines()) == 1
    assert [p for p in os.listdir(chaoseater.folder) if p.startswith("out")] == []


def test_a_library_that_is_not_the_pinned_one_is_not_used(root, tmp_path):
    fake = tmp_path / "bin" / "npm"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho evil > evil.tgz\n")
    fake.chmod(0o755)
    env = dict(os.environ, PATH=f"{fake.parent}:{os.environ['PATH']}")
    done = subprocess.run([root / "tools" / "get-duckdb.sh", tmp_path / "folder"], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "not what was pinned" in done.stderr
    assert os.listdir(tmp_path / "folder") == []


def test_input_and_output_may_not_be_one_file(chaoseater, original, tmp_path):
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(original.read_bytes())
    for arguments in (["-o", copy], ["-o", tmp_path / "out.parquet", "--key", copy],
                      ["-o", tmp_path / "out.parquet", "--key", tmp_path / "key", "--shard", "1/2"]):
        done = chaoseater("data", "inject", copy, *arguments, "--fault", "missing_data")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert copy.read_bytes() == original.read_bytes()
