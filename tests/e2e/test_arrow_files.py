# SPDX-License-Identifier: MIT
"""Arrow IPC files that pyarrow and polars wrote, and what they and apache-arrow for JavaScript read of those that
chaoseater wrote."""
import json

import pytest

import peers

ROWS = 5000
APACHE_ARROW = "apache-arrow@21.2.0"

# Makes the table that tests start from, with nulls in most columns, and writes it: path, kind, compression.
TABLE = f"""
import datetime as dt, decimal, json, random, sys
import pyarrow as pa, pyarrow.feather as feather, pyarrow.ipc as ipc
n, dice = {ROWS}, random.Random(1)
words = ["red", "green", "blue", "Köln", "東京", ""]
def some(make): return [None if dice.random() < 0.1 else make(i) for i in range(n)]
columns = {{
    "i8": pa.array(some(lambda i: i % 100), pa.int8()),
    "i64": pa.array(range(n), pa.int64()),
    "u64": pa.array([2**64 - 1 - i for i in range(n)], pa.uint64()),
    "f16": pa.array([i % 10 for i in range(n)], pa.float16()),
    "f32": pa.array(some(lambda i: i / 3), pa.float32()),
    "f64": pa.array(some(lambda i: i / 7)),
    "flag": pa.array(some(lambda i: i % 3 == 0)),
    "text": pa.array(some(lambda i: words[i % 6] + str(i % 50))),
    "large": pa.array(some(lambda i: "x" * (i % 30)), pa.large_string()),
    "binary": pa.array(some(lambda i: bytes([i % 256]) * 3)),
    "fixed": pa.array([b"abcd"] * n, pa.binary(4)),
    "kind": pa.array(some(lambda i: words[i % 5])).dictionary_encode(),
    "day": pa.array(some(lambda i: dt.date(2020, 1, 1) + dt.timedelta(i))),
    "time": pa.array(range(n), pa.time64("ns")),
    "stamp": pa.array(some(lambda i: dt.datetime(2020, 1, 1) + dt.timedelta(seconds=i)), pa.timestamp("ms")),
    "zoned": pa.array(range(n), pa.timestamp("us", "Europe/Paris")),
    "price": pa.array(some(lambda i: decimal.Decimal(i).scaleb(-2)), pa.decimal128(12, 2)),
    "list": pa.array(some(lambda i: [str(k) for k in range(i % 4)])),
    "struct": pa.array(some(lambda i: {{"a": i, "b": str(i)}})),
    "map": pa.array(some(lambda i: [("k", i)]), pa.map_(pa.string(), pa.int64())),
    "pair": pa.array([[i, i + 1] for i in range(n)], pa.list_(pa.int32(), 2)),
    "nothing": pa.nulls(n),
}}
new = {{  # that only newer readers know
    "view": pa.array(some(lambda i: "view" * (i % 7)), pa.string_view()),
    "duration": pa.array(range(n), pa.duration("us")),
    "interval": pa.array([(1, 2, 3)] * n, pa.month_day_nano_interval()),
    "wide": pa.array([decimal.Decimal(i) for i in range(n)], pa.decimal256(50, 0)),
    "kinds": pa.array([[words[i % 3]] for i in range(n)], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array(range(2, n + 1, 2), pa.int32()), pa.array(range(n // 2))),
    "list_view": pa.array([[i] * (i % 3) for i in range(n)], pa.list_view(pa.int64())),
    "either": pa.UnionArray.from_sparse(pa.array([i % 2 for i in range(n)], pa.int8()),
                                        [pa.array(range(n)), pa.array(["x"] * n)]),
}}
def table(more): return pa.table({{**columns, **(new if more else {{}})}}).replace_schema_metadata({{"who": "test"}})
def write(path, kind, compression, more=True):
    made = table(more)
    if kind == "feather":
        return feather.write_feather(made, path, compression=compression, chunksize=700)
    options = ipc.IpcWriteOptions(compression=None if compression == "uncompressed" else compression)
    with (ipc.new_file if kind == "file" else ipc.new_stream)(path, made.schema, options=options) as writer:
        writer.write_table(made, max_chunksize=700)
def read(path, kind):
    with open(path, "rb") as file:
        found = (ipc.open_stream if kind == "stream" else ipc.open_file)(file).read_all()
    found.validate(full=True)
    return found
"""


def python(code, *arguments):
    return peers.script(peers.python(), TABLE + code, *arguments)


def inject(chaoseater, folder, *faults):
    """Changes in.arrow into out.arrow; the counts of the first fault."""
    words = [word for name, *parameters in faults
             for word in ("--fault", name, *(w for p in parameters for w in ("--param", p)))]
    done = chaoseater("data", "inject", folder / "in.arrow", "-o", folder / "out.arrow", "--key", folder / "key",
                      "--seed", "7", "--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["faults"][0]


def revert(chaoseater, folder):
    done = chaoseater("data", "revert", folder / "out.arrow", folder / "key", "-o", folder / "back.arrow")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["file", "stream", "feather"])
@pytest.mark.parametrize("compression", ["uncompressed", "zstd", "lz4"])
def test_only_selected_cells_become_null(tmp_path, chaoseater, kind, compression):
    python("write(*sys.argv[1:4])", tmp_path / "in.arrow", kind, compression)
    counts = inject(chaoseater, tmp_path, ["missing_data", "missing_rate=0.1"])
    seen = json.loads(python("""
before, after = table(True), read(sys.argv[1], sys.argv[2])
new, other = 0, []
for name in before.column_names:
    a, b = before[name].to_pylist(), after[name].to_pylist()
    new += sum(x is not None and y is None for x, y in zip(a, b))
    other += [name for x, y in zip(a, b) if y is not None and x != y]
types = [f.name for f in before.schema if after.schema.field(f.name).type != f.type]
print(json.dumps([after.num_rows, new, other, types, after.schema.metadata[b"who"].decode()]))
""", tmp_path / "out.arrow", kind))
    assert seen == [ROWS, counts["changed"], [], [], "test"]
    revert(chaoseater, tmp_path)
    back = python("print(read(sys.argv[1], sys.argv[2]).equals(table(True), check_metadata=True))",
                  tmp_path / "back.arrow", kind)
    assert back == "True\n"


FAULTS = [
    ["data_corruption", "kind=noise"],
    ["data_corruption", "kind=typo"],
    ["data_corruption", "kind=mistype"],
    ["data_corruption", "kind=bit_flip"],
    ["data_corruption", "kind=category_swap"],
    ["distribution_drift"],
    ["outlier_injection"],
    ["schema_drift", "drift_type=add_column"],
    ["schema_drift", "drift_type=remove_column", "column_name=struct"],
    ["schema_drift", "drift_type=rename_column", "old_name=text", "new_name=words"],
    ["schema_drift", "drift_type=type_change", "column_name=f64"],
    ["schema_drift", "drift_type=reorder_columns"],
    ["duplicate_records"],
    ["duplicate_records", "place=shuffled"],
    ["stale_data"],
    ["row_drop"],
]


@pytest.mark.parametrize("fault", FAULTS, ids=" ".join)
def test_every_fault_is_valid_and_taken_back(tmp_path, chaoseater, fault):
    python("write(*sys.argv[1:4], more=False)", tmp_path / "in.arrow", "file", "uncompressed")
    counts = inject(chaoseater, tmp_path, fault)
    assert counts["changed"] > 0
    revert(chaoseater, tmp_path)
    seen = python("""
changed, back = read(sys.argv[1], "file"), read(sys.argv[2], "file")
print(changed.equals(table(False)), back.equals(table(False), check_metadata=True))
""", tmp_path / "out.arrow", tmp_path / "back.arrow")
    assert seen == "False True\n"


MOVES = [
    [["duplicate_records", "place=end"]],
    [["duplicate_records", "place=next"]],
    [["duplicate_records", "place=shuffled"]],
    # copies come from one half of the rows and go behind rows of both: more wait than are kept
    [["duplicate_records", "place=shuffled", "duplication_rate=0.5", "mechanism=mar(id)"]],
    [["stale_data", "lag=100"]],
    [["row_drop", "where=id > 300 and word != 'w7'"]],
    [["duplicate_records", "place=end"], ["row_drop"], ["duplicate_records", "place=shuffled"], ["stale_data", "lag=3"],
     ["duplicate_records", "place=next"], ["duplicate_records", "duplication_rate=0.3"]],
]


@pytest.mark.parametrize("ending", ["arrow", "parquet"])
@pytest.mark.parametrize("faults", MOVES, ids=lambda faults: "+".join(" ".join(fault) for fault in faults))
def test_rows_come_as_they_do_in_csv(tmp_path, chaoseater, build, root, faults, ending):
    if ending == "parquet":
        peers.run(root / "tools" / "get-duckdb.sh", build)
    peers.script(peers.python(), """
import csv, sys
import pyarrow as pa, pyarrow.feather as feather, pyarrow.parquet as parquet
n = 20000
table = pa.table({"id": range(n), "half": [i / 2 for i in range(n)], "word": [f"w{i % 11}" for i in range(n)]})
if sys.argv[1].endswith("parquet"): parquet.write_table(table, sys.argv[1], row_group_size=7000)
else: feather.write_feather(table, sys.argv[1], chunksize=700)
with open(sys.argv[2], "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(table.column_names)
    writer.writerows(zip(*table.to_pydict().values()))
""", tmp_path / f"in.{ending}", tmp_path / "in.csv")
    words = [word for name, *parameters in faults
             for word in ("--fault", name, *(w for p in parameters for w in ("--param", p)))]
    for name in (ending, "csv"):
        done = chaoseater("data", "inject", tmp_path / f"in.{name}", "-o", tmp_path / f"out.{name}", "--seed", "11", *words)
        assert done.returncode == 0, done.stderr
    seen = json.loads(peers.script(peers.python(), """
import csv, json, sys
import pyarrow.feather as feather, pyarrow.parquet as parquet
read = parquet.read_table if sys.argv[1].endswith("parquet") else feather.read_table
ours = list(zip(*read(sys.argv[1]).to_pydict().values()))
with open(sys.argv[2], newline="") as file:
    theirs = [(int(i), float(half), word) for i, half, word in list(csv.reader(file))[1:]]
differ = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)
print(json.dumps([len(ours), len(theirs), differ]))
""", tmp_path / f"out.{ending}", tmp_path / "out.csv"))
    assert seen[0] == seen[1] != 20000 and seen[2] is None


def test_noise_stays_within_its_column_and_diff_finds_it(tmp_path, chaoseater):
    python("write(*sys.argv[1:4])", tmp_path / "in.arrow", "stream", "zstd")
    counts = inject(chaoseater, tmp_path, ["data_corruption", "kind=noise", "columns=f64", "corruption_rate=0.2"])
    changed = int(python("""
before, after = table(True), read(sys.argv[1], "stream")
assert all(before[c].equals(after[c]) for c in before.column_names if c != "f64")
print(sum(x != y for x, y in zip(before["f64"].to_pylist(), after["f64"].to_pylist())))
""", tmp_path / "out.arrow"))
    assert changed == counts["changed"]
    done = chaoseater("data", "diff", tmp_path / "in.arrow", tmp_path / "out.arrow", "--json")
    assert json.loads(done.stdout)["by_column"]["f64"] == changed


def test_profiles_agree_with_pyarrow(tmp_path, chaoseater):
    python("write(*sys.argv[1:4])", tmp_path / "in.arrow", "feather", "lz4")
    done = chaoseater("data", "profile", tmp_path / "in.arrow", "--json")
    assert done.returncode == 0, done.stderr
    ours = {column["name"]: column for column in json.loads(done.stdout)["columns"]}
    theirs = json.loads(python("""
import pyarrow.compute as pc
t = table(True)
print(json.dumps({c: [t[c].null_count, pc.mean(t[c]).as_py(), pc.stddev(t[c], ddof=1).as_py(), pc.max(t[c]).as_py()]
                  for c in ("i8", "i64", "f32", "f64")}))
"""))
    for name, (nulls, mean, deviation, largest) in theirs.items():
        assert ours[name]["nulls"] == nulls
        assert ours[name]["mean"] == pytest.approx(mean, rel=1e-9)
        assert ours[name]["sd"] == pytest.approx(deviation, rel=1e-9)
        assert ours[name]["max"] == pytest.approx(largest, rel=1e-9)


def test_javascript_reads_the_same(tmp_path, chaoseater):
    python("write(*sys.argv[1:4], more=False)", tmp_path / "in.arrow", "file", "uncompressed")
    inject(chaoseater, tmp_path, ["missing_data", "missing_rate=0.2"], ["data_corruption", "kind=typo"],
           ["duplicate_records"])
    (tmp_path / "read.cjs").write_text(f"""
const arrow = require({json.dumps(str(peers.node_modules(APACHE_ARROW) / "node_modules" / "apache-arrow"))});
const t = arrow.tableFromIPC(require('fs').readFileSync(process.argv[2]));
const show = v => v === null ? null : String(v);
const texts = name => Array.from(t.getChild(name), show);
console.log(JSON.stringify({{rows: t.numRows, nulls: t.schema.fields.map(f => t.getChild(f.name).nullCount),
                            text: texts('text'), kind: texts('kind'), i64: texts('i64')}}));
""")
    done = peers.subprocess.run(["node", tmp_path / "read.cjs", tmp_path / "out.arrow"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    expected = json.loads(python("""
t = read(sys.argv[1], "file")
texts = lambda name: [None if v is None else str(v) for v in t[name].to_pylist()]
print(json.dumps({"rows": t.num_rows, "nulls": [c.null_count for c in t.columns],
                  "text": texts("text"), "kind": texts("kind"), "i64": texts("i64")}))
""", tmp_path / "out.arrow"))
    assert theirs == expected


def test_what_polars_writes_is_read_and_read_back(tmp_path, chaoseater):
    peers.script(peers.python(), """
import polars, sys
polars.DataFrame({"id": range(1000), "name": [f"a rather long name {i}" for i in range(1000)],
                  "colour": polars.Series([("red", "blue")[i % 2] for i in range(1000)], dtype=polars.Categorical),
                  "x": [i / 8 for i in range(1000)]}).write_ipc(sys.argv[1], compression="lz4")
""", tmp_path / "in.arrow")
    counts = inject(chaoseater, tmp_path, ["data_corruption", "kind=typo", "columns=name"])
    changed = int(peers.script(peers.python(), """
import polars, sys
a, b = polars.read_ipc(sys.argv[1]), polars.read_ipc(sys.argv[2])
assert a.drop("name").equals(b.drop("name"))
print((a["name"] != b["name"]).sum())
""", tmp_path / "in.arrow", tmp_path / "out.arrow"))
    assert changed == counts["changed"] > 0
    revert(chaoseater, tmp_path)


def test_a_pipe_is_profiled_by_its_beginning(tmp_path, chaoseater):
    python("write(*sys.argv[1:4])", tmp_path / "in.arrows", "stream", "uncompressed")
    with open(tmp_path / "in.arrows", "rb") as source:
        peers.subprocess.run(["mkfifo", tmp_path / "pipe.arrows"], check=True)
        writer = peers.subprocess.Popen(["cp", tmp_path / "in.arrows", tmp_path / "pipe.arrows"], stdin=source)
        done = chaoseater("data", "inject", tmp_path / "pipe.arrows", "-o", tmp_path / "out.arrows", "--json",
                          "--fault", "data_corruption", "--param", "kind=noise", "--param", "columns=f64")
        assert writer.wait(timeout=60) == 0
    assert done.returncode == 0, done.stderr
    rows = python("print(read(sys.argv[1], 'stream').num_rows)", tmp_path / "out.arrows")
    assert int(rows) == ROWS


def test_unions_cannot_move(tmp_path, chaoseater):
    python("write(*sys.argv[1:4])", tmp_path / "in.arrow", "file", "uncompressed")
    done = chaoseater("data", "inject", tmp_path / "in.arrow", "-o", tmp_path / "out.arrow", "--fault", "row_drop")
    assert done.returncode == 2
    assert "cannot be dropped or copied" in done.stderr
    assert not (tmp_path / "out.arrow").exists()
