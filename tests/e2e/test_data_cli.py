# SPDX-License-Identifier: MIT
"""The `data` commands, as a user types them; Python's csv, json, gzip and hashlib are the witnesses."""
import csv
import gzip
import hashlib
import io
import json
import math
import os
import random
import signal
import statistics
import subprocess
import time

import pytest

import peers

ROWS = 3000
HEADER = ["id", "age", "income", "city", "note"]


def table(rows=ROWS, seed=1):
    """A table with what real ones have: quotes, separators and line ends in cells, empty cells, several decimals."""
    rng = random.Random(seed)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for i in range(rows):
        note = rng.choice(["", "plain", 'says "hi"', "a,b", "two\nlines", "München"])
        writer.writerow([i, rng.randint(18, 90), f"{rng.gauss(52000, 9000):.2f}", rng.choice(["Paris", "Oslo", "Wien"]),
                         note])
    return out.getvalue()


def rows_of(path):
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text(table(), newline="")
    return path


@pytest.fixture
def inject(chaoseater, tmp_path):
    def run(source, *arguments, out="out.csv", code=0):
        done = chaoseater("data", "inject", source, "-o", tmp_path / out, *arguments, "--seed", "7", "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def fault(name, *params):
    return ["--fault", name, *[word for param in params for word in ("--param", param)]]


# ---- byte for byte


def test_without_a_fault_the_file_is_identical(data, inject, tmp_path):
    result = inject(data)
    assert (tmp_path / "out.csv").read_bytes() == data.read_bytes()
    assert result["rows"] == result["rows_out"] == ROWS
    assert result["sha256_in"] == result["sha256_out"] == sha256(data.read_bytes())


def test_rate_zero_changes_nothing(data, inject, tmp_path):
    result = inject(data, *fault("missing_data", "missing_rate=0"))
    assert (tmp_path / "out.csv").read_bytes() == data.read_bytes()
    assert result["faults"][0]["selected"] == 0


def test_only_selected_cells_differ_and_the_counts_are_true(data, inject, tmp_path):
    result = inject(data, *fault("missing_data", "missing_rate=0.1", "columns=age,city"))["faults"][0]
    before, after = rows_of(data), rows_of(tmp_path / "out.csv")
    assert len(before) == len(after)
    changed = [(i, k) for i, (a, b) in enumerate(zip(before, after)) for k in range(len(HEADER)) if a[k] != b[k]]
    assert {k for _, k in changed} == {1, 3}
    assert all(after[i][k] == "" for i, k in changed)
    assert len(changed) == result["changed"]
    assert result["selected"] == result["changed"] + sum(result["skipped"].values())
    expected = 0.1 * 2 * ROWS
    assert abs(result["selected"] - expected) < 6 * math.sqrt(expected * 0.9)


def test_untouched_cells_keep_their_quotes_and_decimals(data, inject, tmp_path):
    inject(data, *fault("data_corruption", "corruption_rate=0.2", "columns=age"))
    before, after = data.read_bytes(), (tmp_path / "out.csv").read_bytes()
    strip = [[cell for k, cell in enumerate(row) if k != 1] for row in csv.reader(io.StringIO(before.decode()))]
    assert strip == [[cell for k, cell in enumerate(row) if k != 1] for row in csv.reader(io.StringIO(after.decode()))]
    assert before.count(b'"') == after.count(b'"')


@pytest.mark.parametrize("faults", [
    fault("data_corruption", "corruption_rate=0.3"),
    fault("missing_data", "missing_rate=0.3"),
    fault("outlier_injection", "outlier_rate=0.2"),
    fault("distribution_drift"),
    fault("duplicate_records", "duplication_rate=0.2"),
    fault("duplicate_records", "duplication_rate=0.2", "place=shuffled", "kind=near"),
    fault("duplicate_records", "duplication_rate=0.2", "place=next"),
    fault("row_drop", "drop_rate=0.3"),
    fault("stale_data", "stale_rate=0.2", "lag=10"),
    fault("label_noise", "noise_rate=0.2", "columns=city"),
    fault("schema_drift", "drift_type=add_column"),
    fault("schema_drift", "drift_type=remove_column", "column_name=income"),
    fault("schema_drift", "drift_type=rename_column", "old_name=age", "new_name=years"),
    fault("schema_drift", "drift_type=type_change", "column_name=age"),
    fault("schema_drift", "drift_type=reorder_columns"),
    fault("missing_data", "missing_rate=0.1") + fault("data_corruption") + fault("outlier_injection")
    + fault("duplicate_records") + fault("row_drop"),
], ids=lambda f: "+".join(f[i + 1] for i, w in enumerate(f) if w == "--fault") + ":" + f[-1])
def test_revert_gives_the_input_back_byte_for_byte(data, inject, chaoseater, tmp_path, faults):
    result = inject(data, *faults, "--key", tmp_path / "key")
    changed = (tmp_path / "out.csv").read_bytes()
    assert changed != data.read_bytes()
    assert result["sha256_out"] == sha256(changed)
    done = chaoseater("data", "revert", tmp_path / "out.csv", tmp_path / "key", "-o", tmp_path / "back.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back.csv").read_bytes() == data.read_bytes()


def test_the_bytes_do_not_depend_on_threads_or_shards(data, inject, tmp_path):
    big = tmp_path / "big.csv"
    big.write_text(table(40000, seed=5), newline="")  # several chunks
    faults = [*fault("missing_data"), *fault("data_corruption"), *fault("row_drop"),
              *fault("duplicate_records", "place=shuffled"), *fault("duplicate_records")]
    for threads in ("1", "2", "5"):
        inject(big, *faults, "--threads", threads, out=f"t{threads}.csv")
    whole = (tmp_path / "t1.csv").read_bytes()
    assert (tmp_path / "t2.csv").read_bytes() == (tmp_path / "t5.csv").read_bytes() == whole
    parts = b""
    for i in (1, 2, 3):
        inject(big, *faults, "--shard", f"{i}/3", out="part.csv")
        parts += (tmp_path / "part.csv").read_bytes()
    assert parts == whole


def test_a_higher_rate_hits_a_superset(data, inject, tmp_path):
    hit = []
    for rate in ("0.05", "0.3"):
        inject(data, *fault("missing_data", f"missing_rate={rate}", "columns=age"))
        hit.append({i for i, row in enumerate(rows_of(tmp_path / "out.csv")) if row[1] == ""})
    assert hit[0] < hit[1]


def test_exact_counts_are_exact(data, inject, tmp_path):
    result = inject(data, *fault("missing_data", "missing_rate=0.1", "columns=age"), "--exact")
    assert result["faults"][0]["selected"] == ROWS // 10


def test_appending_rows_does_not_move_the_hits(data, inject, tmp_path):
    longer = tmp_path / "longer.csv"
    longer.write_text(data.read_text() + "9999,30,1.00,Rom,\n" * 100, newline="")
    inject(data, *fault("missing_data"))
    inject(longer, *fault("missing_data"), out="longer-out.csv")
    first = (tmp_path / "out.csv").read_bytes()
    assert (tmp_path / "longer-out.csv").read_bytes().startswith(first)


# ---- where


def test_where_narrows_to_the_rows_it_says(data, inject, tmp_path):
    result = inject(data, *fault("missing_data", "missing_rate=1", "columns=income"), "--where",
                    "age > 60 and city = 'Paris'")
    before, after = rows_of(data)[1:], rows_of(tmp_path / "out.csv")[1:]
    for a, b in zip(before, after):
        assert (b[2] == "") == (int(a[1]) > 60 and a[3] == "Paris")
    assert result["faults"][0]["eligible"] == sum(int(a[1]) > 60 and a[3] == "Paris" for a in before)


def test_mar_hits_a_window_of_another_column_and_mnar_of_its_own(data, inject, tmp_path):
    before = rows_of(data)[1:]
    for mechanism, condition in (("mar(age)", 1), ("mnar", 2)):
        inject(data, *fault("missing_data", "missing_rate=0.25", "columns=income"), "--mechanism", mechanism)
        after = rows_of(tmp_path / "out.csv")[1:]
        inside = [float(a[condition]) for a, b in zip(before, after) if b[2] == ""]
        outside = [float(a[condition]) for a, b in zip(before, after) if b[2] != ""]
        assert not [x for x in outside if min(inside) < x < max(inside)]
        assert abs(len(inside) / ROWS - 0.25) < 0.03


# ---- what the faults promise


def test_noise_has_the_column_s_standard_deviation(data, inject, tmp_path):
    inject(data, *fault("data_corruption", "corruption_rate=1", "columns=income"))
    before = [float(row[2]) for row in rows_of(data)[1:]]
    after = [float(row[2]) for row in rows_of(tmp_path / "out.csv")[1:]]
    deltas = [b - a for a, b in zip(before, after)]
    sd = statistics.stdev(before)
    assert all(deltas)
    assert abs(statistics.fmean(deltas)) < 6 * sd / math.sqrt(ROWS)
    assert abs(statistics.stdev(deltas) / sd - 1) < 6 / math.sqrt(2 * ROWS)
    assert all(len(row[2].split(".")[1]) == 2 for row in rows_of(tmp_path / "out.csv")[1:])


def test_outliers_lie_outside_the_bound(data, inject, tmp_path):
    inject(data, *fault("outlier_injection", "outlier_rate=0.1", "columns=age,income"))
    for column in (1, 2):
        before = [float(row[column]) for row in rows_of(data)[1:]]
        after = [float(row[column]) for row in rows_of(tmp_path / "out.csv")[1:]]
        mean, sd = statistics.fmean(before), statistics.stdev(before)
        changed = [b for a, b in zip(before, after) if a != b]
        assert changed and all(abs(b - mean) >= 3 * sd * (1 - 1e-12) for b in changed)


def test_drift_is_the_mission_s_formula(data, inject, tmp_path):
    inject(data, *fault("distribution_drift", "magnitude=0.5", "columns=income"))
    before = [float(row[2]) for row in rows_of(data)[1:]]
    after = [float(row[2]) for row in rows_of(tmp_path / "out.csv")[1:]]
    mean = statistics.fmean(before)
    assert all(abs(b - (a + mean * 0.5) * 1.5) <= 0.006 for a, b in zip(before, after))


def test_duplicates_are_copies_at_the_end(data, inject, tmp_path):
    result = inject(data, *fault("duplicate_records", "duplication_rate=0.1"))
    before, after = rows_of(data), rows_of(tmp_path / "out.csv")
    assert after[: len(before)] == before
    copies = after[len(before):]
    assert len(copies) == result["faults"][0]["changed"] == result["rows_out"] - ROWS
    assert [int(row[0]) for row in copies] == sorted({int(row[0]) for row in copies})
    assert all(row == before[1 + int(row[0])] for row in copies)


def test_schema_drift_renames_removes_adds_and_retypes(data, inject, tmp_path):
    before = rows_of(data)
    inject(data, *fault("schema_drift", "drift_type=rename_column", "old_name=age", "new_name=years"))
    assert rows_of(tmp_path / "out.csv") == [["id", "years", "income", "city", "note"], *before[1:]]
    inject(data, *fault("schema_drift", "drift_type=remove_column", "column_name=city"))
    assert rows_of(tmp_path / "out.csv") == [row[:3] + row[4:] for row in before]
    inject(data, *fault("schema_drift", "drift_type=add_column"))
    after = rows_of(tmp_path / "out.csv")
    assert after[0] == [*HEADER, "unexpected_column"] and [row[:5] for row in after] == before
    inject(data, *fault("schema_drift", "drift_type=reorder_columns"))
    after = rows_of(tmp_path / "out.csv")
    assert after[0] != HEADER and sorted(after[0]) == sorted(HEADER)
    assert [dict(zip(after[0], row)) for row in after[1:]] == [dict(zip(HEADER, row)) for row in before[1:]]
    inject(data, *fault("schema_drift", "drift_type=type_change", "column_name=age"))
    for row in rows_of(tmp_path / "out.csv")[1:]:
        with pytest.raises(ValueError):
            float(row[1])


# ---- formats


def test_json_lines_keep_every_other_byte(chaoseater, inject, tmp_path):
    lines = [f'{{"id": {i}, "x" : {i * 1.5:.3f} , "city":"Par\\u0069s", "deep": {{"a":[1,2]}}}}' for i in range(500)]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(lines) + "\n")
    result = inject(source, *fault("missing_data", "missing_rate=0.2", "columns=x"), "--key", tmp_path / "key",
                    out="out.jsonl")
    after = (tmp_path / "out.jsonl").read_text().splitlines()
    hit = [i for i, line in enumerate(after) if line != lines[i]]
    assert len(hit) == result["faults"][0]["changed"] > 50
    assert all(after[i] == lines[i].replace(f"{i * 1.5:.3f}", "null") for i in hit)
    done = chaoseater("data", "revert", tmp_path / "out.jsonl", tmp_path / "key", "-o", tmp_path / "back.jsonl")
    assert done.returncode == 0 and (tmp_path / "back.jsonl").read_bytes() == source.read_bytes()


def test_the_same_cells_are_hit_in_every_format(data, inject, tmp_path):
    before = rows_of(data)
    jsonl = tmp_path / "in.jsonl"
    jsonl.write_text("".join(json.dumps(dict(zip(HEADER, row))) + "\n" for row in before[1:]))
    inject(data, *fault("missing_data", "missing_rate=0.2", "columns=age"))
    inject(jsonl, *fault("missing_data", "missing_rate=0.2", "columns=age"), out="out.jsonl")
    in_csv = [row[1] == "" for row in rows_of(tmp_path / "out.csv")[1:]]
    assert in_csv == [json.loads(line)["age"] is None for line in (tmp_path / "out.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("dialect, content, nulled", [
    (["delimiter=;"], "a,b;c\n1,5;2\n3,5;4\n", "a,b;c\n;2\n;4\n"),
    (["header=no"], "1,2\n3,4\n", ",2\n,4\n"),
    (["escape=backslash"], 'a,b\n"x\\",y",1\n', "a,b\n,1\n"),
    (["comment=#"], "# made by hand\na,b\n1,2\n# a,b\n3,4\n", "# made by hand\na,b\n,2\n# a,b\n,4\n"),
    (["delimiter=tab", "header=no"], "1\t2\n", "\t2\n"),
], ids=lambda v: "+".join(v) if isinstance(v, list) else "")
def test_dialects_that_are_told(inject, tmp_path, dialect, content, nulled):
    source = tmp_path / "in.csv"
    source.write_text(content)
    inject(source, *fault("missing_data", "missing_rate=1", "columns=#1"), *[w for d in dialect for w in ("--csv", d)])
    assert (tmp_path / "out.csv").read_text() == nulled


def test_compressed_files_are_read_and_written(data, inject, chaoseater, tmp_path):
    packed = tmp_path / "in.csv.gz"
    packed.write_bytes(gzip.compress(data.read_bytes()))
    inject(data, *fault("missing_data"))
    inject(packed, *fault("missing_data"), "--key", tmp_path / "key", out="out.csv.gz")
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == (tmp_path / "out.csv").read_bytes()
    done = chaoseater("data", "revert", tmp_path / "out.csv.gz", tmp_path / "key", "-o", tmp_path / "back.csv")
    assert done.returncode == 0 and (tmp_path / "back.csv").read_bytes() == data.read_bytes()


def test_standard_input_to_standard_output(data, build, tmp_path, inject):
    inject(data, *fault("missing_data"))
    with open(data, "rb") as source:
        done = subprocess.run([build / "chaoseater", "data", "inject", "-", "-o", "-", "--fault", "missing_data", "--seed",
                               "7"], stdin=source, capture_output=True)
    assert done.returncode == 0 and done.stdout == (tmp_path / "out.csv").read_bytes()


def test_statistics_of_a_pipe_are_those_of_a_prefix_and_that_is_said(data, build, chaoseater, tmp_path):
    head, _, body = data.read_bytes().partition(b"\n")
    much = head + b"\n" + body * (1 + (17 << 20) // len(body))  # more than the prefix that is looked at
    command = [build / "chaoseater", "data", "inject", "-", "-o", tmp_path / "out.csv", "--fault", "data_corruption"]
    done = subprocess.run(command, input=much, capture_output=True)
    assert done.returncode == 0 and b"first" in done.stdout and b"--stats" in done.stdout
    (tmp_path / "stats.json").write_text(chaoseater("data", "profile", data, "--json").stdout)
    for stats in (data, tmp_path / "stats.json"):
        done = subprocess.run([*command, "--stats", stats], input=data.read_bytes(), capture_output=True)
        assert done.returncode == 0 and b"--stats" not in done.stdout


# ---- diff, profile, key


def test_diff_says_what_differs(data, inject, chaoseater, tmp_path):
    result = inject(data, *fault("missing_data", "columns=age"), *fault("duplicate_records"))
    done = chaoseater("data", "diff", data, tmp_path / "out.csv", "--json")
    diff = json.loads(done.stdout)
    assert done.returncode == 1
    assert diff["cells_changed"] == diff["by_column"]["age"] == result["faults"][0]["changed"]
    assert diff["rows_added"] == result["faults"][1]["changed"] and diff["rows_removed"] == 0
    assert chaoseater("data", "diff", data, data).returncode == 0
    assert chaoseater("data", "diff", data, tmp_path / "none.csv").returncode == 2


def test_profile_is_what_python_computes(data, chaoseater):
    profile = json.loads(chaoseater("data", "profile", data, "--json").stdout)
    columns = {column["name"]: column for column in profile["columns"]}
    income = [float(row[2]) for row in rows_of(data)[1:]]
    assert profile["rows"] == ROWS and list(columns) == HEADER
    assert columns["income"]["mean"] == pytest.approx(statistics.fmean(income), rel=1e-12)
    assert columns["income"]["sd"] == pytest.approx(statistics.stdev(income), rel=1e-9)
    assert (columns["income"]["min"], columns["income"]["max"]) == (min(income), max(income))
    assert columns["city"]["distinct"] == 3 and columns["note"]["nulls"] > 0
    rank = sum(x <= columns["income"]["quantiles"]["0.5"] for x in income) / ROWS
    assert abs(rank - 0.5) <= 0.01


def test_drift_names_the_checks_that_would_have_seen_it(data, inject, chaoseater, tmp_path):
    inject(data, *fault("distribution_drift", "columns=income"))
    seen = json.loads(chaoseater("data", "profile", tmp_path / "out.csv", data, "--json").stdout)["drift"]
    income = next(column for column in seen if column["column"] == "income")
    age = next(column for column in seen if column["column"] == "age")
    assert income["ks"] > 0.5 and income["psi"] > 0.2 and any(check["fires"] for check in income["seen_by"])
    assert age["ks"] == 0 and not any(check["fires"] for check in age["seen_by"])


def test_the_key_lists_what_was_changed(data, inject, chaoseater, tmp_path):
    inject(data, *fault("missing_data", "columns=age"), "--key", tmp_path / "key")
    done = chaoseater("data", "key", tmp_path / "key", tmp_path / "out.csv", "-o", tmp_path / "changes.csv")
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "changes.csv", newline="") as file:
        changes = list(csv.DictReader(file))
    before, after = rows_of(data)[1:], rows_of(tmp_path / "out.csv")[1:]
    differ = [(str(i), a[1], b[1]) for i, (a, b) in enumerate(zip(before, after)) if a != b]
    assert [(c["row"], c["old"], c["new"]) for c in changes] == differ
    assert {c["column"] for c in changes} == {"age"} and {c["fault"] for c in changes} == {"missing_data"}


def test_the_key_is_listed_in_every_format(data, inject, chaoseater, tmp_path, build):
    inject(data, *fault("missing_data", "columns=age"), "--key", tmp_path / "key")
    listings = {}
    for name in ("changes.csv", "changes.jsonl", *(["changes.parquet"] if (build / "libduckdb.so").exists() else [])):
        done = chaoseater("data", "key", tmp_path / "key", tmp_path / "out.csv", "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
        listings[name] = tmp_path / name
    with open(listings["changes.csv"], newline="") as file:
        in_csv = list(csv.DictReader(file))
    assert [json.loads(line) for line in listings["changes.jsonl"].read_text().splitlines()] == in_csv
    if "changes.parquet" in listings:
        code = "import sys, json, pyarrow.parquet as p; print(json.dumps(p.read_table(sys.argv[1]).to_pylist()))"
        rows = json.loads(peers.script(peers.python(), code, listings["changes.parquet"]))
        assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows] == in_csv
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"in.csv", "out.csv", "key", *listings}


# ---- nothing is lost


def test_revert_refuses_another_file_and_a_damaged_key(data, inject, chaoseater, tmp_path):
    inject(data, *fault("missing_data"), "--key", tmp_path / "key")
    done = chaoseater("data", "revert", data, tmp_path / "key", "-o", tmp_path / "back.csv")
    assert done.returncode == 2 and "is not the file" in done.stderr and not (tmp_path / "back.csv").exists()
    damaged = bytearray((tmp_path / "key").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "bad").write_bytes(damaged)
    done = chaoseater("data", "revert", tmp_path / "out.csv", tmp_path / "bad", "-o", tmp_path / "back.csv")
    assert done.returncode == 2 and "damaged" in done.stderr and not (tmp_path / "back.csv").exists()


def test_in_and_out_may_not_be_one_file(data, chaoseater):
    before = data.read_bytes()
    done = chaoseater("data", "inject", data, "-o", data, "--fault", "missing_data")
    assert done.returncode == 2 and data.read_bytes() == before


@pytest.mark.parametrize("arguments, words", [
    (["--fault", "mising_data"], "did you mean 'missing_data'"),
    (["--fault", "slow_inference"], "changes no table"),
    (["--fault", "latency_injection"], "changes no table"),
    (["--fault", "missing_data", "--param", "missing_rat=1"], "did you mean 'missing_rate'"),
    (["--fault", "missing_data", "--param", "missing_rate=2"], "outside 0..1"),
    (["--param", "missing_rate=1"], "belongs to no fault"),
    (["--fault", "missing_data", "--columns", "incme"], "did you mean 'income'"),
    (["--fault", "missing_data", "--columns", "x*"], "x*"),
    (["--fault", "missing_data", "--where", "age >"], "where"),
    (["--fault", "missing_data", "--where", "agee > 3"], "did you mean 'age'"),
    (["--fault", "missing_data", "--mechanism", "mar(agee)"], "agee"),
    (["--fault", "outlier_injection", "--columns", "city"], "city"),
    (["--fault", "missing_data", "--shard", "3/2"], "--shard"),
    (["--fault", "missing_data", "--threads", "-1"], "--threads"),
    (["--fault", "missing_data", "--csv", "delimiter=ab"], "--csv"),
    (["--fault", "missing_data", "--csv", "header"], "--csv"),
], ids=lambda v: v if isinstance(v, str) else " ".join(v))
def test_what_is_wrong_is_said_in_one_sentence(data, chaoseater, tmp_path, arguments, words):
    done = chaoseater("data", "inject", data, "-o", tmp_path / "out.csv", *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["in.csv"]


@pytest.mark.parametrize("name, content, words", [
    ("cut.csv.gz", gzip.compress(table().encode())[:-30], "early"),
    ("open.csv", b'a,b\n1,"2\n3,4\n', "not closed"),
    ("wide.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
    ("empty.csv", b"", "empty"),
    ("bad.jsonl", b'{"a": 1}\n{"a": }\n', "bad.jsonl:2"),
    ("list.jsonl", b"[1, 2]\n", "list.jsonl:1"),
    ("none.parquet", b"PAR1 this is none", "none.parquet"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_broken_input_is_one_sentence_and_leaves_nothing(chaoseater, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    done = chaoseater("data", "inject", tmp_path / name, "-o", tmp_path / ("out-" + name), "--fault", "missing_data")
    assert done.returncode in (2, 4) and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]


def test_unreadable_and_missing_input(data, chaoseater, tmp_path):
    done = chaoseater("data", "inject", tmp_path / "none.csv", "-o", tmp_path / "out.csv")
    assert done.returncode == 2 and "none.csv" in done.stderr
    if os.geteuid() != 0:
        data.chmod(0)
        assert chaoseater("data", "inject", data, "-o", tmp_path / "out.csv").returncode != 0
    assert not (tmp_path / "out.csv").exists()


def test_a_full_disk_is_said(data, chaoseater):
    done = chaoseater("data", "inject", data, "-o", "/dev/full", "--fault", "missing_data")
    assert done.returncode == 4 and "No space left" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ended_in_the_middle_it_leaves_no_output_and_the_input_as_it_was(build, tmp_path, chaoseater, number):
    fifo, source = tmp_path / "fifo", table().encode()
    os.mkfifo(fifo)
    process = subprocess.Popen([build / "chaoseater", "data", "inject", fifo, "-o", tmp_path / "out.csv", "--fault",
                                "missing_data", "--key", tmp_path / "key"], stderr=subprocess.PIPE)
    with open(fifo, "wb", buffering=0) as writer:
        writer.write(source)
        process.send_signal(number)
        if number == signal.SIGINT:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    writer.write(source)  # it stops at the next chunk
                except BrokenPipeError:
                    break
    assert process.wait(60) == (130 if number == signal.SIGINT else -number)
    process.stderr.close()
    assert not (tmp_path / "out.csv").exists() and not (tmp_path / "key").exists()
    # What a killed process left under a temporary name is gone after the next one.
    (tmp_path / "in.csv").write_bytes(source)
    done = chaoseater("data", "inject", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--key", tmp_path / "key",
                      "--fault", "missing_data")
    assert done.returncode == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"in.csv", "out.csv", "key"}
