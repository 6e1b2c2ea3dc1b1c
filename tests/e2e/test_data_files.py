# SPDX-License-Identifier: MIT
"""Which files the `data` commands read and write: names that mean the same, names that lie, pipes, cut and odd bytes."""
import gzip
import json
import random
import subprocess

import pytest

TABLE = "id,age,city\n" + "".join(f"{i},{20 + i * 7 % 60},{'POW'[i % 3]}\n" for i in range(500))
FAULT = ["--fault", "missing_data", "--seed", "5"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in.csv").write_text(TABLE)
    return tmp_path


@pytest.fixture
def faulted(folder, chaoseater):
    done = chaoseater("data", "inject", "in.csv", "-o", "out.csv", "--key", "key", *FAULT)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("out, key, words", [
    ("in.csv", "key", "'in.csv' is both input and output"),
    ("hard.csv", "key", "'in.csv' is both input and output"),
    ("soft.csv", "key", "'in.csv' is both input and output"),
    ("out.csv", "hard.csv", "'in.csv' is both input and answer key"),
    ("out.csv", "out.csv", "both output and answer key"),
    ("out.csv", "./out.csv", "both output and answer key"),
    ("out.csv", "here/out.csv", "both output and answer key"),
])
def test_one_file_is_not_used_for_two_things(folder, chaoseater, out, key, words):
    (folder / "hard.csv").hardlink_to(folder / "in.csv")
    (folder / "soft.csv").symlink_to("in.csv")
    (folder / "here").symlink_to(".")
    names = {path.name for path in folder.iterdir()}
    done = chaoseater("data", "inject", "in.csv", "-o", out, "--key", key, *FAULT)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1
    assert {path.name for path in folder.iterdir()} - {"state"} == names
    assert (folder / "in.csv").read_text() == TABLE


@pytest.mark.parametrize("back", ["out.csv", "./out.csv", "key", "./key", "linked.csv"])
def test_what_is_taken_back_goes_to_a_third_file(faulted, chaoseater, back):
    (faulted / "linked.csv").symlink_to("out.csv")
    before = {path.name: path.read_bytes() for path in faulted.iterdir() if path.is_file()}
    done = chaoseater("data", "revert", "out.csv", "key", "-o", back)
    assert done.returncode == 2 and "both input and output" in done.stderr
    assert {path.name: path.read_bytes() for path in faulted.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("out", ["out.jsonl", "out.jsonl.gz", "out.parquet", "out.arrow"])
def test_a_name_that_promises_another_format_is_refused(folder, chaoseater, out):
    done = chaoseater("data", "inject", "in.csv", "-o", out, *FAULT)
    assert done.returncode == 2 and "formats are not converted" in done.stderr and out in done.stderr
    assert not (folder / out).exists()


def test_what_is_taken_back_can_go_down_a_pipe(faulted, chaoseater):
    done = chaoseater("data", "revert", "-", "key", "-o", "-", stdin=open(faulted / "out.csv"))
    assert done.returncode == 0 and done.stdout == TABLE
    done = chaoseater("data", "revert", "out.csv", "key", "-o", "-", "--json")
    assert done.returncode == 2 and "standard output" in done.stdout


@pytest.mark.parametrize("kept", [5, 30, -8, -1])
def test_packed_bytes_that_end_early_are_bad_input(folder, chaoseater, kept):
    (folder / "in.csv.gz").write_bytes(gzip.compress(TABLE.encode())[:kept])
    done = chaoseater("data", "inject", "in.csv.gz", "-o", "out.csv", *FAULT)
    assert done.returncode == 2 and done.stderr.endswith("the compressed data end early\n")
    assert not (folder / "out.csv").exists()


def test_nul_bytes_in_a_text_have_a_profile(folder, chaoseater):
    (folder / "nul.csv").write_bytes(b"a,b\n1,x\0y\n2,z\n")
    done = chaoseater("data", "profile", "nul.csv", "nul.csv")
    assert done.returncode == 0 and "b (text)" in done.stdout, done.stderr


def test_an_error_in_json_quotes_bytes_that_are_no_utf_8_as_far_as_it_can(folder, chaoseater):
    (folder / "latin.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    done = chaoseater("data", "inject", "latin.csv", "-o", "out.csv", *FAULT, "--columns", "size", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["message"] == "'latin.csv' has no column 'size'; its columns are: gr??e, b"


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_scattered_rows_that_are_gone_or_new_are_told_from_changed_cells(folder, chaoseater, share):
    rng = random.Random(7)
    head, *rows = TABLE.splitlines(keepends=True)
    kept = [row for row in rows if rng.random() > share]
    (folder / "fewer.csv").write_text(head + "".join(kept))
    for a, b, what in (("in.csv", "fewer.csv", "rows_removed"), ("fewer.csv", "in.csv", "rows_added")):
        diff = json.loads(chaoseater("data", "diff", a, b, "--json").stdout)
        assert diff[what] == len(rows) - len(kept) == diff["rows_removed"] + diff["rows_added"]
        assert diff["cells_changed"] == 0


def test_a_reader_that_leaves_early_is_an_error_in_a_sentence(folder, build, chaoseater):
    process = subprocess.Popen([build / "chaoseater", "data", "inject", "-", "-o", "-", *FAULT], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=chaoseater.env)
    process.stdout.close()
    try:
        process.stdin.write(TABLE.encode() * 1000)
        process.stdin.close()
    except BrokenPipeError:
        pass
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 4 and said == "chaoseater: cannot write 'standard output': Broken pipe\n"


def test_a_column_whose_name_is_no_utf_8_is_listed_by_its_position(folder, chaoseater):
    (folder / "latin.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    done = chaoseater("data", "inject", "latin.csv", "-o", "out.csv", "--key", "key", *FAULT, "--param", "missing_rate=1")
    assert done.returncode == 0, done.stderr
    listed = chaoseater("data", "key", "key", "out.csv").stdout.splitlines()[1:]
    assert listed == ['"missing_data","0","#1","cell","1",""', '"missing_data","0","b","cell","2",""']


def test_of_json_members_with_one_key_the_last_is_the_cell(folder, chaoseater):
    (folder / "twice.jsonl").write_text('{"a": 1, "a": 2}\n')
    done = chaoseater("data", "inject", "twice.jsonl", "-o", "out.jsonl", *FAULT, "--param", "missing_rate=1")
    assert done.returncode == 0, done.stderr
    assert (folder / "out.jsonl").read_text() == '{"a": 1, "a": null}\n'


@pytest.mark.parametrize("drift, wanted", [
    (["drift_type=rename_column", "old_name=a", "new_name=z"], '{"z": 1, "b": 5, "z": null}\n'),
    (["drift_type=reorder_columns"], '{"a": 1, "b": 5, "a": null}\n'),
    (["drift_type=add_column"], '{"a": 1, "b": 5, "a": null, "unexpected_column": 0}\n'),
], ids=lambda value: value[0] if isinstance(value, list) else "")
def test_the_last_stays_the_cell_when_the_columns_change(folder, chaoseater, drift, wanted):
    (folder / "twice.jsonl").write_text('{"a": 1, "b": 5, "a": 2}\n')
    arguments = [word for param in drift for word in ("--param", param)]
    done = chaoseater("data", "inject", "twice.jsonl", "-o", "out.jsonl", "--key", "key", *FAULT, "--param",
                      "missing_rate=1", "--param", "columns=a", "--fault", "schema_drift", *arguments)
    assert done.returncode == 0, done.stderr
    assert (folder / "out.jsonl").read_text() == wanted
    done = chaoseater("data", "revert", "out.jsonl", "key", "-o", "back.jsonl")
    assert done.returncode == 0 and (folder / "back.jsonl").read_text() == '{"a": 1, "b": 5, "a": 2}\n'
