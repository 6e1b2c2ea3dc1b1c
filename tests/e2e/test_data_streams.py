# SPDX-License-Identifier: MIT
"""Tables in memory: pyarrow hands its stream to the shared library through the Arrow C stream interface, as any program
can, and reads the faulted one."""
import json

import pytest

import peers

CODE = """
import ctypes, json, sys
import pyarrow as pa
library = ctypes.CDLL(sys.argv[1])
n = 10000
table = pa.table({'age': pa.array([i % 90 for i in range(n)], pa.int16()), 'income': pa.array([i / 8 for i in range(n)]),
                  'city': pa.array(['Oslo', 'Köln', 'Rom', None] * (n // 4)), 'tags': pa.array([['a'], []] * (n // 2))})

class Error(ctypes.Structure):
    _fields_ = [('code', ctypes.c_int), ('where', ctypes.c_char * 160), ('message', ctypes.c_char * 512)]
class Options(ctypes.Structure):
    _fields_ = [('has_seed', ctypes.c_bool), ('seed', ctypes.c_uint64), ('key', ctypes.c_char_p), ('stats', ctypes.c_char_p),
                ('threads', ctypes.c_uint), ('shard', ctypes.c_uint), ('shard_count', ctypes.c_uint),
                ('delimiter', ctypes.c_char), ('headerless', ctypes.c_bool), ('backslash', ctypes.c_bool),
                ('comment', ctypes.c_char), ('signal', ctypes.c_void_p), ('progress', ctypes.c_void_p),
                ('progress_ctx', ctypes.c_void_p), ('result', ctypes.c_void_p), ('result_ctx', ctypes.c_void_p)]
Stream = ctypes.c_void_p * 5  # struct ArrowArrayStream: four functions and a pointer

def check(result, error):
    if result < 0:
        print(json.dumps({'error': error.message.decode()}))
        sys.exit()
def exported(batches=7):
    stream = Stream()
    pa.RecordBatchReader.from_batches(table.schema, table.to_batches(n // batches))._export_to_c(ctypes.addressof(stream))
    return stream

error, job = Error(), ctypes.c_void_p()
check(library.ce_data_job_new(ctypes.byref(job), ctypes.byref(error)), error)
for line in sys.argv[4:]:
    name, *params = line.split(' ')
    check(library.ce_data_job_add(job, name.encode(), ctypes.byref(error)), error)
    for param in params:
        check(library.ce_data_job_set(job, param.encode(), ctypes.byref(error)), error)
results = []
@ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
def told(ctx, text):
    results.append(json.loads(text))
options = Options(has_seed=True, seed=7, key=sys.argv[2].encode() or None,
                  result=ctypes.cast(told, ctypes.c_void_p).value)
source, profiled, out = exported(), None if sys.argv[3] == 'none' else exported(), Stream()
check(library.ce_data_job_stream(job, source, profiled, ctypes.byref(options), out, ctypes.byref(error)), error)
reader = pa.RecordBatchReader._import_from_c(ctypes.addressof(out))
early = len(results)
after = reader.read_all()
reader.close()
library.ce_data_job_free(job)

def streamed(from_table):
    stream = Stream()
    from_table.to_reader()._export_to_c(ctypes.addressof(stream))
    return stream
statistics = ctypes.c_char_p()
given, reference = streamed(after), streamed(table)
check(library.ce_data_profile_stream_json(given, reference, ctypes.byref(statistics), ctypes.byref(error)), error)
read_whole = given[3] is None and reference[3] is None
back = None
if sys.argv[2]:
    shown = after.slice(0, after.num_rows - 1) if sys.argv[3] == 'cut' else after
    given, out = streamed(shown), Stream()
    check(library.ce_data_revert_stream(given, sys.argv[2].encode(), out, ctypes.byref(error)), error)
    try:
        back = pa.RecordBatchReader._import_from_c(ctypes.addressof(out)).read_all().equals(table)
    except Exception as problem:
        back = str(problem)
print(json.dumps({'early': early, 'results': results, 'released': source[3] is None,
                  'schema': str(after.schema.types), 'same schema': after.schema.types == table.schema.types,
                  'statistics': json.loads(statistics.value), 'read whole': read_whole, 'back': back,
                  'before': table.to_pydict(), 'after': after.to_pydict()}))
"""


@pytest.fixture
def stream(build, tmp_path):
    if b"__asan_init" in (build / "libchaoseater.so").read_bytes():
        pytest.skip("a library with a sanitizer cannot be loaded into a program without it")

    def run(*faults, key="", stats="profiled"):
        out = peers.script(peers.python(), CODE, build / "libchaoseater.so", key, stats, *faults, cwd=tmp_path)
        return json.loads(out.splitlines()[-1])

    return run


def test_a_stream_comes_back_with_the_faults_in_it(stream, tmp_path):
    seen = stream("missing_data missing_rate=0.2 columns=age", "data_corruption columns=income", key=tmp_path / "key")
    before, after, faults = seen["before"], seen["after"], seen["results"][0]["faults"]
    assert seen["early"] == 0 and len(seen["results"]) == 1 and seen["released"] and seen["same schema"]
    assert [sum(a != b for a, b in zip(before[c], after[c])) for c in ("age", "income", "city", "tags")] == [
        faults[0]["changed"], faults[1]["changed"], 0, 0]
    assert all(b is None or a == b for a, b in zip(before["age"], after["age"]))
    assert (tmp_path / "key").stat().st_size > faults[0]["changed"]


def test_a_stream_is_put_back(stream, tmp_path):
    faults = ["missing_data missing_rate=0.2", "data_corruption columns=income", "duplicate_records", "row_drop"]
    assert stream(*faults, key=tmp_path / "key")["back"] is True
    assert "key" in stream(*faults, key=tmp_path / "key", stats="cut")["back"]


def test_what_has_become_of_a_stream_is_measured(stream):
    seen = stream("missing_data missing_rate=0.2 columns=age", "outlier_injection columns=income")
    told = seen["statistics"]
    assert seen["read whole"] and told["rows"] == len(seen["before"]["age"])
    by_name = {column["name"]: column for column in told["columns"]}
    assert by_name["age"]["nulls"] == sum(age is None for age in seen["after"]["age"])
    assert by_name["income"]["max"] == max(seen["after"]["income"]) > max(seen["before"]["income"])
    moved = {column["column"]: column for column in told["drift"]}
    assert moved["income"]["wasserstein"] > 0 and "table" in told


def test_no_statistics_are_asked_for_where_none_are_needed(stream):
    seen = stream("missing_data missing_rate=0.2 columns=age", stats="none")
    assert seen["results"][0]["faults"][0]["changed"] > 0 and seen["results"][0]["sha256_in"] is None


def test_a_stream_and_a_file_of_the_same_table_are_hit_in_the_same_cells(stream, chaoseater, tmp_path):
    seen = stream("missing_data missing_rate=0.2 columns=age")
    lines = [f"{age}\n" for age in seen["before"]["age"]]
    (tmp_path / "in.csv").write_text("age,x\n" + "".join(line.strip() + ",1\n" for line in lines))
    done = chaoseater("data", "inject", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--seed", "7", "--fault",
                      "missing_data", "--param", "missing_rate=0.2", "--columns", "age")
    assert done.returncode == 0
    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [row.startswith(",") for row in rows] == [age is None for age in seen["after"]["age"]]


def test_rows_and_columns_change_in_a_stream(stream):
    seen = stream("row_drop drop_rate=0.5", "duplicate_records duplication_rate=0.2", "schema_drift drift_type=rename_column "
                  "old_name=age new_name=years")
    assert list(seen["after"]) == ["years", "income", "city", "tags"]
    assert len(seen["after"]["years"]) == seen["results"][0]["rows_out"] != len(seen["before"]["age"])


def test_without_statistics_a_stream_is_refused(stream):
    assert "statistics" in stream("data_corruption", stats="none")["error"]
    assert "did you mean" in stream("missing_data columns=agee")["error"]
