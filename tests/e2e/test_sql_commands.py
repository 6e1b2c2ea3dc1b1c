# SPDX-License-Identifier: MIT
"""Faults in tables of databases, as a user types them. SQLite's own module is the witness."""
import csv
import json
import os
import random
import signal
import sqlite3
import subprocess

import pytest

from lab import Lab, wait_for

ROWS = 2000
HELD = "the faulted rows are in the table"


def make_shop(path):
    rng = random.Random(1)
    db = sqlite3.connect(path)
    with db:
        # Quoted, as SQLite writes the name into these statements when the table has been renamed.
        db.execute('CREATE TABLE "items" (id INTEGER PRIMARY KEY, price REAL NOT NULL, name TEXT, qty INTEGER)')
        db.execute('CREATE INDEX by_name ON "items" (name)')
        db.execute("CREATE VIEW dear AS SELECT * FROM items WHERE price > 60")
        db.executemany("INSERT INTO items VALUES (?, ?, ?, ?)", (
            (i, round(rng.gauss(50, 9), 2), rng.choice(["a,b", 'say "x"', "two\nlines", "12", "München", None]),
             rng.randint(0, 99)) for i in range(1, ROWS + 1)))
    db.close()


def ask(path, sql, *values):
    db = sqlite3.connect(path, timeout=20)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def dump(path):
    db = sqlite3.connect(path, timeout=20, isolation_level=None)
    try:
        db.execute("BEGIN")  # one snapshot
        return "\n".join(db.iterdump())
    finally:
        db.close()


class Shop(Lab):
    """A lab with a database in it."""

    def __init__(self):
        super().__init__()
        self.db = self.folder / "shop.db"
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()
        self.env["TMPDIR"] = str(self.temporary)
        make_shop(self.db)

    def address(self, table="items", db=None):
        return f"sqlite:{db or self.db}?table={table}"

    def inject(self, source, to, *arguments, code=0):
        done = self.run("data", "inject", source, "-o", to, "--seed", 7, "--json", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        assert not list(self.temporary.iterdir())
        return json.loads(done.stdout)

    def refused(self, *arguments, code=2):
        """The sentence of a command that fails."""
        before = dump(self.db)
        done = self.run(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stdout == "" and dump(self.db) == before and not list(self.temporary.iterdir())
        return done.stderr.strip().removeprefix("chaoseater: ")

    def switch(self, *arguments, held=True, time="60s", **environment):
        process = self.start("data", "switch", self.address(), "--fault", "missing_data", "--param", "missing_rate=0.5",
                             "--param", "columns=qty,name", "--seed", 3, "--for", time, *arguments, **environment)
        if held:
            assert process.stderr.readline().startswith(HELD)
        return process

    def guard(self, process):
        return next(pid for pid in self.processes() if pid != process.pid)

    def gone(self):
        """How many values of a column are missing, as any reader sees it."""
        return ask(self.db, "SELECT count(*) FROM items WHERE qty IS NULL")[0][0]


@pytest.fixture
def shop():
    with Shop() as shop:
        yield shop


def switched(in_place):
    return ["--in-place"] if in_place else []


both_ways = pytest.mark.parametrize("in_place", [False, True], ids=["switched", "in_place"])


# ---- inject, revert, diff, profile


def test_a_faulted_copy_is_a_new_table(shop):
    before = dump(shop.db)
    result = shop.inject(shop.address(), shop.address("bad"), "--fault", "missing_data", "--columns", "qty,name")
    rows = ask(shop.db, "SELECT a.qty, b.qty, a.name, b.name, a.id = b.id AND a.price = b.price, typeof(b.price)"
                        " FROM items a JOIN bad b ON a.rowid = b.rowid")
    assert len(rows) == ROWS == result["rows"] == result["rows_out"]
    assert all(b in (a, None) and d in (c, None) and same and kind == "real" for a, b, c, d, same, kind in rows)
    changed = sum(a != b for a, b, *_ in rows) + sum(c != d for _, _, c, d, *_ in rows)
    assert changed == result["faults"][0]["changed"] > 0
    assert result["as_text"] == []
    assert ask(shop.db, "SELECT sql FROM sqlite_schema WHERE name = 'bad'") == [
        ('CREATE TABLE "bad" ("id" INTEGER, "price" REAL, "name" TEXT, "qty" INTEGER)',)]
    ask(shop.db, "DROP TABLE bad")
    assert dump(shop.db) == before


def test_rows_come_twice_where_a_key_forbids_it(shop):
    result = shop.inject(shop.address(), shop.address("bad"), "--fault", "duplicate_records")
    assert ask(shop.db, "SELECT count(*), count(DISTINCT id) FROM bad") == [(result["rows_out"], ROWS)]
    assert result["rows_out"] > ROWS


def test_from_a_table_to_a_file_and_back(shop):
    out, db = shop.folder / "out.csv", shop.folder / "new.db"
    shop.inject(shop.address(), out, "--fault", "row_drop", "--param", "drop_rate=0.3")
    kept = ask(shop.db, "SELECT * FROM items")
    written = list(csv.reader(open(out, newline="", encoding="utf-8")))
    assert written[0] == ["id", "price", "name", "qty"] and 0 < len(written) - 1 < ROWS
    assert out.stat().st_mode & 0o777 == 0o600
    shop.inject(out, shop.address("items", db))  # without a fault, into a database that is not there yet
    copied = ask(db, "SELECT * FROM items")
    assert len(copied) == len(written) - 1
    assert set(copied) <= set(kept)


def test_the_key_takes_a_table_back(shop):
    key, back = shop.folder / "key", shop.folder / "back.csv"
    result = shop.inject(shop.address(), shop.address("bad"), "--fault", "missing_data", "--columns", "qty,name",
                         "--fault", "duplicate_records", "--fault", "row_drop", "--key", key)
    assert result["revertible"] is True
    for to in (shop.address("again"), back):
        done = shop.run("data", "revert", shop.address("bad"), key, "-o", to)
        assert done.returncode == 0, done.stderr
    assert ask(shop.db, "SELECT * FROM again") == ask(shop.db, "SELECT * FROM items")
    listed = shop.run("data", "key", key, shop.address("bad"))
    assert listed.returncode == 0 and listed.stdout.startswith("fault,row,column,change,old,new"), listed.stderr
    same = shop.run("data", "diff", back, shop.address())
    assert (same.returncode, same.stdout) == (0, "0 cells changed, 0 rows added, 0 rows removed\n")
    assert not list(shop.temporary.iterdir())


def test_what_the_database_writes_in_another_way_is_said(shop):
    key = shop.folder / "key"
    result = shop.inject(shop.address(), shop.address("bad"), "--fault", "data_corruption", "--columns", "price", "--key",
                         key)
    assert result["revertible"] is False  # 61.20 became 61.2
    assert "is not the file that the answer key" in shop.refused("data", "revert", shop.address("bad"), key, "-o",
                                                                 shop.address("back"))


def test_profile_and_diff_read_tables(shop):
    shop.inject(shop.address(), shop.address("bad"), "--fault", "missing_data", "--columns", "qty")
    code, profile = shop.run_json("data", "profile", shop.address("bad"), shop.address())
    columns = {column["name"]: column for column in profile["columns"]}
    assert code == 0 and profile["rows"] == ROWS and profile["drift"]
    assert columns["qty"]["nulls"] == ask(shop.db, "SELECT count(*) FROM bad WHERE qty IS NULL")[0][0]
    code, diff = shop.run_json("data", "diff", shop.address(), shop.address("bad"))
    assert code == 1 and diff["by_column"] == {"qty": columns["qty"]["nulls"]}
    assert not list(shop.temporary.iterdir())


def test_what_is_not_there_is_named(shop):
    fault = ["--fault", "missing_data"]
    nowhere = shop.folder / "nowhere.db"
    for command in ["inject", shop.address("itemz"), "-o", "x.csv", *fault], ["profile", shop.address("itemz")], [
            "switch", shop.address("itemz"), "--for", "9s", *fault]:
        assert shop.refused("data", *command) == f"'{shop.db}' has no table 'itemz'; did you mean 'items'?"
    for command in ["inject", shop.address("items", nowhere), "-o", "x.csv", *fault], [
            "switch", shop.address("items", nowhere), "--for", "9s", *fault]:
        assert shop.refused("data", *command) == f"cannot open '{nowhere}': unable to open database file"
    assert not nowhere.exists()
    for command in ["inject", shop.address(), "-o", shop.address("new")], ["switch", shop.address(), "--for", "9s"]:
        assert shop.refused("data", *command, *fault, "--columns", "size") == (
            f"'{shop.address()}' has no column 'size'; its columns are: id, price, name, qty")
    assert "this SQLite address names no table" in shop.refused("data", "profile", f"sqlite:{shop.db}")
    assert not (shop.folder / "x.csv").exists() and not shop.leftovers()


def test_a_table_that_is_there_is_not_written_over(shop):
    assert shop.refused("data", "inject", shop.address(), "-o", shop.address(), "--fault", "row_drop") == (
        f"there is a table already: {shop.address()}; a new one is written, never over one")


@pytest.mark.parametrize("name, content, why", [
    ("x.jsonl", '{"a": 1}\n{"a": 2}\n', "it is JSON lines"),
    ("x.csv", "a;b\n1;2\n3;4\n", "its separator is no comma"),
    ("x.csv", "\ufeffa,b\n1,2\n", "its header does not begin with its first byte"),
])
def test_what_is_no_plain_csv_becomes_no_table(shop, name, content, why):
    (shop.folder / name).write_text(content, encoding="utf-8")
    assert shop.refused("data", "inject", name, "-o", shop.address("new"), "--key", "key", "--fault", "row_drop") == (
        f"only plain CSV becomes a table, and '{name}' is none: {why}")
    assert not (shop.folder / "key").exists()


def test_the_rows_that_a_killed_command_leaves_are_removed_by_the_next_one(shop):
    os.mkfifo(shop.folder / "out")
    process = shop.start("data", "inject", shop.address(), "-o", shop.folder / "out", "--fault", "missing_data")
    wait_for(lambda: list(shop.temporary.glob("*/table.csv")), "the rows are in a file")  # and the pipe has no reader
    (left,) = shop.temporary.iterdir()
    assert left.name.startswith(f"chaoseater-table-{process.pid}-") and left.stat().st_mode & 0o777 == 0o700
    assert shop.run("data", "profile", shop.address()).returncode == 0
    assert list(shop.temporary.iterdir()) == [left]  # its owner lives
    process.kill()
    process.wait(60)
    assert list(shop.temporary.iterdir()) == [left]
    (shop.temporary / "chaoseater-table-1-empty").mkdir()  # killed before there was anything in it
    (shop.temporary / "chaoseater-table-1-file").write_text("mine")
    (shop.temporary / "chaoseater-table-1-full").mkdir()
    (shop.temporary / "chaoseater-table-1-full" / "mine").write_text("mine")
    assert shop.run("data", "profile", shop.address()).returncode == 0
    assert {path.name for path in shop.temporary.iterdir()} == {"chaoseater-table-1-file", "chaoseater-table-1-full"}


def test_a_password_is_not_printed(shop):
    address = "postgresql://me:secret@localhost:1/x?table=t"
    for command in ["inject", address, "-o", "x.csv"], ["profile", address], ["diff", address, address], [
            "inject", "x.jsonl", "-o", address]:
        (shop.folder / "x.jsonl").write_text('{"a": 1}\n')
        done = shop.run("data", *command)
        assert done.returncode != 0 and "secret" not in done.stdout + done.stderr


# ---- switch


@both_ways
def test_a_reader_sees_the_faults_while_they_are_held_and_then_the_original(shop, in_place):
    before = dump(shop.db)
    process = shop.switch(*switched(in_place), "--json", time="1.5s")
    assert 0.4 * ROWS < shop.gone() < 0.6 * ROWS
    assert ask(shop.db, "SELECT count(*) FROM dear")[0][0] > 0
    gone = shop.gone()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert dump(shop.db) == before
    assert 1.5 <= result["held_seconds"] < 10 and result["in_place"] is in_place
    assert result["put_back"] is True and result["interrupted"] is False and result["kept"] is None
    assert result["faults"][0]["changed"] > gone
    assert not shop.leftovers()


@both_ways
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_hold_at_once(shop, in_place, number):
    before = dump(shop.db)
    process = shop.switch(*switched(in_place), time="1h")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "put back" in out and err == ""
    assert dump(shop.db) == before and not shop.leftovers()


@both_ways
def test_when_the_command_is_killed_the_guard_puts_the_table_back(shop, in_place):
    before = dump(shop.db)
    process = shop.switch(*switched(in_place))
    assert shop.gone() > 0
    process.kill()
    process.wait(60)
    wait_for(lambda: dump(shop.db) == before, "the table is back")
    shop.clean_soon()


@both_ways
def test_when_both_are_killed_recover_puts_the_table_back(shop, in_place):
    before = dump(shop.db)
    process = shop.switch(*switched(in_place))
    guard = shop.guard(process)
    process.send_signal(signal.SIGSTOP)  # or it would notice, and put the table back itself
    os.kill(guard, signal.SIGKILL)
    process.kill()
    process.wait(60)
    wait_for(lambda: not shop.processes(), "both are gone")
    assert shop.gone() > 0
    code, live = shop.run_json("status")
    assert code == 0 and {note["op"] for note in live["live"]} == {
        "remove-tree", "restore-table" if in_place else "switch-table"}
    code, recovered = shop.run_json("recover")
    assert code == 0 and recovered["undone"] == 2 and recovered["live"] == []
    assert dump(shop.db) == before and not shop.leftovers()


def test_the_next_one_takes_away_what_the_last_one_left(shop):
    before = dump(shop.db)
    process = shop.switch(CHAOSEATER_SEAM_CRASH="0")
    guard = shop.guard(process)
    process.send_signal(signal.SIGSTOP)
    os.kill(guard, signal.SIGKILL)
    process.kill()
    process.wait(60)
    assert dump(shop.db) != before
    again = shop.switch(time="200ms")
    assert again.wait(60) == 0
    assert dump(shop.db) == before and not shop.leftovers()


def test_without_a_guard_nothing_is_held(shop):
    before = dump(shop.db)
    process = shop.switch()
    os.kill(shop.guard(process), signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4 and out == "" and "the guard has gone" in err
    assert dump(shop.db) == before and not shop.leftovers()


def test_a_command_that_hangs_does_not_keep_the_faults(shop):
    before = dump(shop.db)
    process = shop.switch(time="1s", CHAOSEATER_SEAM_HURRY=1)
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: dump(shop.db) == before, "the guard has put the table back")
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4 and out == "" and "it took too long" in err
    assert dump(shop.db) == before and not shop.leftovers()


def test_a_table_that_somebody_put_there_is_not_touched(shop):
    original = ask(shop.db, "SELECT * FROM items")
    process = shop.switch()
    db = sqlite3.connect(shop.db)
    with db:
        db.execute("DROP TABLE items")
        db.execute("CREATE TABLE items (mine)")
    db.close()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "they are in table 'items__chaoseater_original'" in err
    assert ask(shop.db, "SELECT * FROM items") == []
    assert ask(shop.db, "SELECT * FROM items__chaoseater_original") == original


@both_ways
def test_rows_that_have_no_table_any_more_are_kept(shop, in_place):
    rows = len(ask(shop.db, "SELECT * FROM items"))
    process = shop.switch(*switched(in_place))
    db = sqlite3.connect(shop.db)
    with db:
        db.execute("DROP TABLE items" if in_place else "DROP TABLE items__chaoseater_original")
    db.close()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    (kept,) = (shop.state / "journal" / "kept").iterdir()
    assert str(kept) in err
    assert len(list(csv.reader(open(kept, newline="", encoding="utf-8")))) == rows + 1


@both_ways
@pytest.mark.parametrize("ending", ["signal", "kill"])
def test_what_others_write_meanwhile_is_kept(shop, in_place, ending):
    before = ask(shop.db, "SELECT * FROM items")
    process = shop.switch(*switched(in_place))
    db = sqlite3.connect(shop.db, timeout=20)
    with db:
        db.execute("INSERT INTO items VALUES (999999, 1.5, 'mine', 1)")
    db.close()
    if ending == "kill":
        process.kill()
        process.wait(60)
        wait_for(lambda: ask(shop.db, "SELECT * FROM items") == before, "the table is back")
        shop.clean_soon()
    else:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130 and "are in table 'items__chaoseater_kept'" in out
    assert ask(shop.db, "SELECT * FROM items") == before
    kept = ask(shop.db, "SELECT * FROM items__chaoseater_kept")
    assert len(kept) == ROWS + 1 and kept[-1] == (999999, 1.5, "mine", 1)
    again = shop.switch(*switched(in_place), held=False)
    assert again.wait(60) == 4 and "there is a table 'items__chaoseater_kept' already" in again.stderr.read()
    assert ask(shop.db, "SELECT * FROM items__chaoseater_kept") == kept and not shop.leftovers()


@pytest.mark.parametrize("arguments, says", [
    (["--fault", "missing_data"], "for how long: --for 30s"),
    (["--for", "9s"], "needs a --fault NAME"),
    (["--for", "9", "--fault", "missing_data"], "'9' is no time to hold a table for"),
    (["--for", "0s", "--fault", "missing_data"], "'0s' is no time to hold a table for"),
    (["--for", "9s", "--fault", "cpu_stress"], "cpu_stress"),
])
def test_bad_usage_is_refused(shop, arguments, says):
    assert says in shop.refused("data", "switch", shop.address(), *arguments)


def test_a_file_and_a_view_cannot_be_switched(shop):
    fault = ["--fault", "missing_data", "--for", "9s"]
    assert "is no address of a table" in shop.refused("data", "switch", "x.csv", *fault)
    assert "only a table can be switched" in shop.refused("data", "switch", shop.address("dear"), *fault)
    assert "password" in shop.refused("data", "switch", "postgresql://me:secret@localhost/x?table=t", *fault)
    assert not shop.leftovers()


# ---- killed at every step


def steps_of(in_place):
    with Shop() as shop:
        count = shop.folder / "steps"
        assert shop.switch(*switched(in_place), held=False, time="1ms", CHAOSEATER_SEAM_COUNT=count).wait(60) == 0
        return [line.split(" ", 1) for line in count.read_text().splitlines()]


@both_ways
@pytest.mark.parametrize("everyone", [False, True], ids=["command", "command_and_guard"])
def test_killed_at_every_step(in_place, everyone):
    steps = steps_of(in_place)
    assert any(what.startswith("table: ") for _, what in steps)
    guarded = next(int(n) for n, what in steps if what.startswith("journal: note"))
    for number, what in steps:
        with Shop() as shop:
            before = dump(shop.db)
            alone = everyone or int(number) < guarded
            process = shop.switch(*switched(in_place), held=False, time="1ms",
                                  CHAOSEATER_SEAM_CRASH=number + (":all" if everyone else ""))
            process.communicate(timeout=60)
            assert process.returncode == -signal.SIGKILL, what
            if alone:
                assert shop.run("recover").returncode == 0, what
            shop.clean_soon()
            assert dump(shop.db) == before, what
