# SPDX-License-Identifier: MIT
"""What CSV files are like in the wild: each kind once, with the table that it holds or the sentence that refuses it.

The reader below is written for this test and keeps the bytes of every cell; where Python's csv module agrees with it,
that is a witness too.
"""
import csv
import gzip
import io
import json
import re
import subprocess

import pytest


class Table:
    """Records of (cells as they are written, line end), and what the cells say. Blank lines are no records."""

    def __init__(self, data, delimiter=b",", escape=False, comment=b""):
        self.start = re.match(rb'(\xef\xbb\xbf)?("?sep=."?\r?\n)?', data).group()
        self.letter = rb'\\.|' if escape else b""
        self.comment = comment
        special = re.escape(delimiter) + rb"\r\n" + (rb"\\" if escape else b"")
        quoted = rb'"(?:%s[^"%s]|"")*"(?:%s[^%s])*' % (self.letter, rb"\\" if escape else b"", self.letter, special)
        cell = re.compile(rb"(?s:%s|(?:%s[^%s])*)" % (quoted, self.letter, special))
        self.raw, self.ends, at = [], [], len(self.start)
        while at < len(data):
            cells = []
            if comment and data[at : at + 1] == comment:
                cells.append(re.compile(rb"[^\r\n]*").match(data, at).group())
                at += len(cells[0])
            while not cells or data[at : at + 1] == delimiter:
                at += len(cells) > 0
                cells.append(cell.match(data, at).group())
                at += len(cells[-1])
            end = re.compile(rb"\r\n|\r|\n|$").match(data, at).group()
            at += len(end)
            self.raw.append(cells)
            self.ends.append(end)

    def is_record(self, cells):
        return cells != [b""] and not (self.comment and cells[0].startswith(self.comment))

    def records(self):
        return [[self.value(raw) for raw in cells] for cells in self.raw if self.is_record(cells)]

    def value(self, raw):
        quoted = re.match(rb'(?s)"((?:%s[^"]|"")*)"(.*)' % self.letter, raw)
        text = quoted[1].replace(b'""', b'"') + quoted[2] if quoted else raw
        return re.sub(rb"(?s)\\(.)", rb"\1", text) if self.letter else text


def texts(*records):
    return [[cell.encode() if isinstance(cell, str) else cell for cell in record] for record in records]


BIG = b"x" * (5 << 20)
WIDE = [f"c{i}" for i in range(2000)]

# name: (bytes, the header and the rows, whether Python's csv reads the same), and the dialect where it is not plain
CORPUS = {
    "1-quoted-separators": (b'a,b\n1,"x,y"\n2,z\n', texts("ab", ["1", "x,y"], "2z"), True),
    "1-quoted-line-ends": (b'a,b\n1,"p\nq"\n2,"p\rq"\n3,"p\r\nq"\n',
                           texts("ab", ["1", "p\nq"], ["2", "p\rq"], ["3", "p\r\nq"]), True),
    "2-doubled-quotes": (b'a,b\n1,"say ""hi"""\n2,""""\n', texts("ab", ["1", 'say "hi"'], ["2", '"']), True),
    "3-quote-within-a-cell": (b'a,b\n1,5" disk\n2,a"b"c\n', texts("ab", ["1", '5" disk'], ["2", 'a"b"c']), True),
    "4-text-behind-a-quote": (b'a,b\n1,"x"y\n2,"x" \n', texts("ab", ["1", "xy"], ["2", "x "]), True),
    "6-backslash-is-a-letter": (b'a,b\n1,C:\\dir\\\n2,\\N\n', texts("ab", ["1", "C:\\dir\\"], ["2", "\\N"]), True),
    "6-backslash-escapes": (b'a,b\n1,"x\\"y"\n2,c\\,d\n3,e\\\nf\n',
                            texts("ab", ["1", 'x"y'], ["2", "c,d"], ["3", "e\nf"]), False, "escape=backslash"),
    "7-blanks-around-quotes": (b'a,b\n1, "x" \n2,\t"y"\n', texts("ab", ["1", ' "x" '], ["2", '\t"y"']), True),
    "8-lf": (b"a,b\n1,2\n3,4\n", texts("ab", "12", "34"), True),
    "8-crlf": (b"a,b\r\n1,2\r\n3,4\r\n", texts("ab", "12", "34"), True),
    "8-cr": (b"a,b\r1,2\r3,4\r", texts("ab", "12", "34"), True),
    "8-mixed": (b"a,b\r\n1,2\n3,4\r5,6\r\n7,8", texts("ab", "12", "34", "56", "78"), True),
    "9-no-last-line-end": (b"a,b\n1,2\n3,4", texts("ab", "12", "34"), True),
    "9-header-alone": (b"a,b\n", texts("ab"), True),
    "9-header-alone-and-open": (b"a,b", texts("ab"), True),
    "10-byte-order-mark": (b"\xef\xbb\xbfa,b\n1,2\n", texts("ab", "12"), False),
    "10-byte-order-mark-and-quotes": (b'\xef\xbb\xbf"a","b"\n1,2\n', texts("ab", "12"), False),
    "11-latin-1": ("name,größe\nJürgen,1\n".encode("latin-1"),
                   [[b"name", b"gr\xf6\xdfe"], [b"J\xfcrgen", b"1"]], True),
    "12-nul-bytes": (b"a,b\n1,x\0y\n2,\0\n", texts("ab", ["1", "x\0y"], ["2", "\0"]), False),
    "13-ragged": (b"a,b,c\n1\n1,2,3,4,5\n,\n7,8,9\n", texts("abc", "1", "12345", ["", ""], "789"), True),
    "13-blank-lines": (b"\na,b\n\n1,2\n\n\n3,4\n\n", texts("ab", "12", "34"), True),
    "13-one-column": (b'a\n1\n\n2\n""\n3\n', texts("a", "1", "2", [""], "3"), True),
    "14-ways-to-say-nothing": (b'a,b,c\n,"",NA\nNaN,null,\\N\n-,None,N/A\n1,2,3\n',
                               texts("abc", ["", "", "NA"], ["NaN", "null", "\\N"], ["-", "None", "N/A"], "123"), True),
    "15-no-header": (b"1,2\n3,4\n", texts(["column1", "column2"], "12", "34"), False, "header=no"),
    "15-names-twice": (b"a,a,b\n1,2,3\n", texts("aab", "123"), True),
    "15-odd-names": ('"x,1","li\nne","say ""q""",ümlaut,#5, sp \n1,2,3,4,5,6\n'.encode(),
                     texts(["x,1", "li\nne", 'say "q"', "ümlaut", "#5", " sp "], "123456"), True),
    "15-no-names": (b",a,\n1,2,3\n", texts(["", "a", ""], "123"), True),
    "16-semicolons": (b"a;b\n1,5;2\n2,25;3\n", texts("ab", ["1,5", "2"], ["2,25", "3"]), True, b";"),
    "16-tabs": (b'a\tb\n1\t"x\ty"\n', texts("ab", ["1", "x\ty"]), True, b"\t"),
    "16-bars": (b"a|b\n1|2\n", texts("ab", "12"), True, b"|"),
    "16-unit-separators": (b"a\x1fb\n1\x1f2\n", texts("ab", "12"), True, b"\x1f"),
    "16-start-of-heading": (b"a\x01b\n1\x012\n", texts("ab", "12"), True, b"\x01"),
    "16-a-delimiter-in-quotes": (b'"a;b;c",d\n"1;2;3",4\n', texts(["a;b;c", "d"], ["1;2;3", "4"]), True),
    "17-numbers": (b"a\n007\n+5\n1e5\n1.5E-10\n.5\n5.\n-0\n12345678901234567890123\n0x1F\ninf\n\"12\"\n",
                   texts("a", *([text] for text in "007 +5 1e5 1.5E-10 .5 5. -0 12345678901234567890123 0x1F inf 12".split())),
                   True),
    "19-cells-of-5-mib": (b"a,b\n1," + BIG + b'\n2,"' + BIG + b'"\n3,y\n',
                          [[b"a", b"b"], [b"1", BIG], [b"2", BIG], [b"3", b"y"]], False),
    "19-2000-columns": ("\n".join([",".join(WIDE), *[",".join(str(i * k) for i in range(2000)) for k in (3, 7)]]).encode(),
                        texts(WIDE, *[[str(i * k) for i in range(2000)] for k in (3, 7)]), True),
    "16-a-delimiter-that-is-asked-for": (b"a:b\n1:2\n", texts("ab", "12"), True, b":", "delimiter=:"),
    "20-comment-lines": (b"# of today\na,b\n1,2\n#3,4\n5,#6\n", texts("ab", "12", ["5", "#6"]), False, "comment=#"),
    "20-sep-line": (b"sep=;\na;b\n1;2\n", texts("ab", "12"), False, b";"),
    "20-sep-line-in-quotes": (b'"sep=|"\r\na|b\r\n1|2\r\n', texts("ab", "12"), False, b"|"),
    "21-quotes-across-chunks": (b"a,b,c\n" + b"".join(b'%d,"x\n%d,""y"",\r\n\n",%d.5\n' % (i, i, i) for i in range(90000)),
                                texts("abc", *[[str(i), f'x\n{i},"y",\r\n\n', f"{i}.5"] for i in range(90000)]), True),
}

REFUSED = {
    "5-unclosed-quote": (b'a,b\n1,2\n3,"x\n4,y\n', ":3: a quoted cell is not closed"),
    "5-unclosed-header": (b'"a,b\n1,2\n', ":1: a quoted cell is not closed"),
    "10-utf-16": ("a,b\n1,2\n".encode("utf-16"), ":1: this is UTF-16; only UTF-8 and other single-byte text can be read"),
    "10-utf-16-without-mark": ("a,b\n1,2\n".encode("utf-16-le"),
                               ":1: a NUL byte in the header: this is UTF-16 or no text at all"),
    "9-empty": (b"", "is empty: the first line must name the columns"),
    "9-line-ends-alone": (b"\n\r\n", "is empty: the first line must name the columns"),
    "10-mark-alone": (b"\xef\xbb\xbf", "is empty: the first line must name the columns"),
}


class Case:
    def __init__(self, name, chaoseater, folder):
        data, records, python, *how = CORPUS[name]
        self.data, self.records, self.python = data, records, python
        self.delimiter = next((word for word in how if isinstance(word, bytes)), b",")
        dialect = [word for word in how if isinstance(word, str)]
        self.options = [word for text in dialect for word in ("--csv", text)]
        self.headerless = "header=no" in dialect
        self.escape, self.comment = "escape=backslash" in dialect, b"#" if "comment=#" in dialect else b""
        self.chaoseater, self.folder, self.source = chaoseater, folder, folder / "in.csv"
        self.source.write_bytes(data)

    def inject(self, *arguments, out="out.csv", source=None):
        done = self.chaoseater("data", "inject", source or self.source, "-o", self.folder / out, *self.options, "--seed",
                               "3", "--json", *arguments)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout), (self.folder / out).read_bytes()

    def table(self, data):
        return Table(data, self.delimiter, self.escape, self.comment)

    def changes(self):
        """What the answer key says was changed: (row, column's name), in order."""
        done = self.chaoseater("data", "key", self.folder / "key", self.folder / "out.csv", "-o", self.folder / "key.csv")
        assert done.returncode == 0, done.stderr
        with open(self.folder / "key.csv", newline="", encoding="latin-1") as file:
            csv.field_size_limit(1 << 30)
            return [(int(change["row"]), change["column"]) for change in csv.DictReader(file)]


@pytest.fixture(params=list(CORPUS))
def case(request, chaoseater, tmp_path):
    return Case(request.param, chaoseater, tmp_path)


def test_the_table_is_read_as_it_is_and_without_a_fault_stays_so(case):
    found = case.table(case.data).records()
    assert found == case.records[case.headerless :]
    if case.python:
        text = io.StringIO(case.data.decode("latin-1"), newline="")
        lines = csv.reader(text, delimiter=case.delimiter.decode())
        assert [[cell.encode("latin-1") for cell in line] for line in lines if line] == found
    result, out = case.inject()
    assert (result["rows"], result["columns"]) == (len(case.records) - 1, len(case.records[0]))
    assert out == case.data


def test_only_what_is_listed_changes_and_all_of_it_comes_back(case):
    result, out = case.inject("--fault", "missing_data", "--param", "missing_rate=0.5", "--key", case.folder / "key")
    before, after = case.table(case.data), case.table(out)
    assert (after.start, after.ends) == (before.start, before.ends)
    assert [len(cells) for cells in after.raw] == [len(cells) for cells in before.raw]
    differ, row, header = [], case.headerless - 1, case.records[0]
    for old, new in zip(before.raw, after.raw):
        if not before.is_record(old):
            assert new == old
            continue
        for k, (a, b) in enumerate(zip(old, new)):
            if a != b:
                assert b == (b'""' if len(old) == 1 else b"") and row >= 0
                differ.append((row, header[k]))
        row += 1
    assert len(differ) == result["faults"][0]["changed"]
    listed = case.changes()
    assert [row for row, _ in listed] == [row for row, _ in differ]
    if all(name.isascii() for name in header):  # others are listed in other spellings
        assert [name.encode() for _, name in listed] == [name for _, name in differ]
    done = case.chaoseater("data", "revert", case.folder / "out.csv", case.folder / "key", "-o", case.folder / "back.csv")
    assert done.returncode == 0, done.stderr
    assert (case.folder / "back.csv").read_bytes() == case.data


FAULTS = ["data_corruption", "data_corruption kind=typo columns=*", "missing_data", "outlier_injection",
          "distribution_drift", "duplicate_records", "row_drop", "schema_drift"]


def test_threads_do_not_matter_and_every_fault_is_taken_back(case):
    arguments = []
    for name, *params in map(str.split, FAULTS):
        arguments += ["--fault", name, *[word for param in params for word in ("--param", param)]]
    _, one = case.inject(*arguments, "--threads", "1", "--key", case.folder / "key")
    _, three = case.inject(*arguments, "--threads", "3", out="three.csv")
    assert one == three
    done = case.chaoseater("data", "revert", case.folder / "out.csv", case.folder / "key", "-o", case.folder / "back.csv")
    assert done.returncode == 0, done.stderr
    assert (case.folder / "back.csv").read_bytes() == case.data


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_in_a_sentence(name, chaoseater, tmp_path):
    data, sentence = REFUSED[name]
    (tmp_path / "in.csv").write_bytes(data)
    done = chaoseater("data", "inject", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--fault", "missing_data")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.rstrip("\n").endswith(sentence) and "in.csv" in done.stderr
    assert not (tmp_path / "out.csv").exists() and (tmp_path / "in.csv").read_bytes() == data


@pytest.mark.parametrize("spelling", ["NA", "NaN", "null", "NULL", "None", "N/A", "\\N"])
def test_14_what_nothing_is_written_as_is_up_to_the_user(spelling, chaoseater, tmp_path):
    (tmp_path / "in.csv").write_bytes(b'a\n1\n"2"\n')
    done = chaoseater("data", "inject", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--fault", "missing_data",
                      "--param", "missing_rate=1", "--param", f"as={spelling}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_bytes() == f"a\n{spelling}\n{spelling}\n".encode()


def test_14_a_record_of_csv_cannot_lack_a_cell(chaoseater, tmp_path):
    (tmp_path / "in.csv").write_bytes(b"a,b\n1,2\n")
    done = chaoseater("data", "inject", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--fault", "missing_data",
                      "--param", "missing_rate=1", "--param", "as=absent", "--json")
    assert (tmp_path / "out.csv").read_bytes() == b"a,b\n1,2\n"
    fault = json.loads(done.stdout)["faults"][0]
    assert fault["changed"] == 0 and sum(fault["skipped"].values()) == 2


def test_17_a_changed_number_keeps_its_form(chaoseater, tmp_path):
    forms = {"007": rb"-?\d{3,}", "1.50": rb"-?\d+\.\d\d", "1,25": rb"-?\d+,\d\d", '"12"': rb'"-?\d+"', " 7 ": rb" -?\d+ ",
             "1.5E-3": rb"-?\d\.\d+E[-+]?\d+"}
    for form, wanted in forms.items():
        other = {"1,25": "9,75", "1.5E-3": "7.5E-3", "1.50": "9.75"}.get(form, form.replace("7", "9").replace("2", "9"))
        (tmp_path / "in.csv").write_text(f"a;b\n{form};x\n{other};y\n")
        done = chaoseater("data", "inject", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--fault", "data_corruption",
                          "--param", "corruption_rate=1", "--seed", "5")
        assert done.returncode == 0, done.stderr
        first, second = (tmp_path / "out.csv").read_bytes().splitlines()[1:]
        for line, old, rest in ((first, form, b";x"), (second, other, b";y")):
            assert line.endswith(rest) and line[:-2] != old.encode()
            assert re.fullmatch(wanted, line[:-2]), (form, line)


def test_18_a_new_value_is_quoted_where_it_must_be(chaoseater, tmp_path):
    (tmp_path / "in.csv").write_bytes(b"a,b\n1.5,x\n2.5,y\n")
    done = chaoseater("data", "inject", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--fault", "schema_drift", "--param",
                      "drift_type=type_change", "--param", "column_name=a", "--param", "as=locale", "--fault", "schema_drift",
                      "--param", "drift_type=rename_column", "--param", "old_name=b", "--param", 'new_name=say "b",\nagain')
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out.csv", newline="") as file:
        assert list(csv.reader(file)) == [["a", 'say "b",\nagain'], ["1,5", "x"], ["2,5", "y"]]


@pytest.mark.parametrize("packing", ["gzip", "members", "zstd", "pipe"])
def test_20_the_same_from_packed_files_and_pipes(packing, chaoseater, tmp_path, build):
    data = CORPUS["1-quoted-line-ends"][0] + b"".join(b'%d,"a\nb"\r\n' % i for i in range(5000))
    fault = ["--fault", "missing_data", "--seed", "3"]
    (tmp_path / "in.csv").write_bytes(data)
    assert chaoseater("data", "inject", tmp_path / "in.csv", "-o", tmp_path / "out.csv", *fault).returncode == 0
    wanted = (tmp_path / "out.csv").read_bytes()
    assert wanted != data
    if packing == "pipe":
        done = subprocess.run([build / "chaoseater", "data", "inject", "-", "-o", "-", *fault], input=data,
                              capture_output=True, env=chaoseater.env)
        assert done.returncode == 0 and done.stdout == wanted
        return
    name = "in.csv.zst" if packing == "zstd" else "in.csv.gz"
    if packing == "zstd":  # packed and unpacked by this program; its unit tests know other packers
        assert chaoseater("data", "inject", tmp_path / "in.csv", "-o", tmp_path / name).returncode == 0
        assert (tmp_path / name).read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    else:
        parts = [data] if packing == "gzip" else [data[:777], data[777:20000], data[20000:]]
        (tmp_path / name).write_bytes(b"".join(gzip.compress(part) for part in parts))
    done = chaoseater("data", "inject", tmp_path / name, "-o", tmp_path / "packed-out.csv", *fault)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "packed-out.csv").read_bytes() == wanted
