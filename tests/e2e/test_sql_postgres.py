# SPDX-License-Identifier: MIT
"""Tables of a real PostgreSQL server: this starts one of its own, on a socket in a folder of its own, and looks at what
is in it with psql."""

import contextlib
import hashlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

import pytest

from conftest import BUILD
from lab import Lab, wait_for

VALUES = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN small AS integer CHECK (VALUE < 1000);
CREATE TABLE trips (
    id serial PRIMARY KEY, count bigint NOT NULL, price numeric(10,2), ratio double precision, single real,
    name text COLLATE "C" UNIQUE, code varchar(5), fixed char(4), flag boolean, day date, at timestamptz,
    wait interval, raw bytea, tags text[], extra jsonb, feeling mood, key uuid, size small, "any ""thing" text
);
INSERT INTO trips VALUES
  (3, 9223372036854775807, 12345678.90, 0.1, 1e-5, 'a', 'ab', 'x', true, '2024-02-29', '2024-05-01 12:30:00.123456+02',
   '1 mon 2 days 03:04:05', '\\x00ff', '{a,"b c",NULL}', '{"k": [1, "two"]}', 'happy',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 7, '#no comment'),
  (1, -9223372036854775808, -0.01, 'NaN', 'Infinity', '12', '007', '', false, 'infinity', '-infinity', '-1 day', '', '{}',
   '12', 'sad', NULL, 999, E'two\\nlines, "quoted"'),
  (2, 0, NULL, 5e-324, 0.30000001, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '\\N'),
  (4, 1, 0, 1e300, 3.4e38, NULL, '', 'abcd', true, '0001-01-01', '1999-12-31 23:59:59Z', '0', '\\x22', '{1}', 'null', 'sad',
   NULL, NULL, '');
"""


def tool_folder():
    """Where Debian keeps the programs of the server, or wherever initdb is."""
    kept = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb")
    return kept[-1].parent if kept else pathlib.Path(found).parent if found else None


def unprivileged():
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("no unprivileged user to run PostgreSQL as")


class Server:
    def __init__(self, folder):
        self.folder = folder

    def address(self, table, database="postgres"):
        return f"postgresql:///{database}?host={self.folder}&user=tester&table={table}"

    def psql(self, sql, database="postgres"):
        done = subprocess.run(
            ["psql", "-X", "-h", self.folder, "-U", "tester", "-d", database, "-v", "ON_ERROR_STOP=1", "-qAt", "-c", sql],
            capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tool(self, *arguments):
        return subprocess.run([BUILD / "tests/unit/sql_tool", *map(str, arguments)], capture_output=True, text=True,
                              timeout=60)

    def does(self, *arguments):
        done = self.tool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def fails(self, *arguments):
        done = self.tool(*arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.strip()


@pytest.fixture(scope="module")
def running():
    programs = tool_folder()
    if not programs or not shutil.which("psql"):
        pytest.skip("no PostgreSQL server to start (Debian: postgresql)")
    if not any(pathlib.Path(folder).glob("libpq.so.5") for folder in ("/usr/lib", *pathlib.Path("/usr/lib").glob("*-linux-*"))):
        pytest.skip("no libpq.so.5 (Debian: libpq5)")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ce-pg-"))
    as_user = unprivileged()
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    server = None
    try:
        if as_user:
            os.chown(folder, as_user["user"], as_user["group"])
        made = subprocess.run([programs / "initdb", "-D", folder / "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "-N"],
                              cwd=folder, env=env, capture_output=True, text=True, timeout=300, **as_user)
        assert made.returncode == 0, made.stdout + made.stderr
        with open(folder / "log", "wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
                cwd=folder, env=env, stdout=log, stderr=log, **as_user)
        wait_for(lambda: subprocess.run(["pg_isready", "-q", "-h", folder], timeout=60).returncode == 0,
                 "the server takes connections", seconds=120)
        yield Server(folder)
    finally:
        if server:
            server.terminate()  # ends when its clients have gone
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pg(running):
    running.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC")
    return running


LOOK = "SELECT t::text FROM {} AS t ORDER BY id"


def test_every_value_survives(pg, tmp_path):
    pg.psql(VALUES)
    assert pg.does("export", pg.address("trips"), tmp_path / "t.csv") == ""
    assert (tmp_path / "t.csv").stat().st_mode & 0o777 == 0o600
    rows = (tmp_path / "t.csv").read_text()
    assert rows.startswith('id,count,price,ratio,single,name,code,fixed,flag,') and rows.splitlines()[1].startswith("1,")
    assert pg.does("import", tmp_path / "t.csv", pg.address("copy"), pg.address("trips")) == "4 rows"
    assert pg.psql(LOOK.format("copy")) == pg.psql(LOOK.format("trips"))
    columns = ("SELECT attname, format_type(atttypid, atttypmod), attcollation, pg_get_expr(adbin, adrelid)"
               " FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
               " WHERE attrelid = '{}'::regclass AND attnum > 0 ORDER BY attnum")
    assert pg.psql(columns.format("copy")) == pg.psql(columns.format("trips"))
    # The second file is the first one: what is written does not depend on which table it is.
    pg.does("export", pg.address("copy"), tmp_path / "u.csv")
    assert sorted(rows.splitlines()) == sorted((tmp_path / "u.csv").read_text().splitlines())


def test_a_copy_takes_what_faults_write(pg, tmp_path):
    pg.psql("CREATE TABLE t (id integer PRIMARY KEY, n integer NOT NULL, v varchar(3) DEFAULT 'd', d date, s text)")
    # A key is there twice or missing, types do not fit, a column is new, others changed places.
    (tmp_path / "t.csv").write_text('v,n,id,"new one",d,s\nabc,1,1,5,2024-01-01,\n"abcd",x,1,,,""\n,,,"",2024-01-02,"q"\n')
    assert pg.does("import", tmp_path / "t.csv", pg.address("c"), pg.address("t")) == "3 rows, v as text, n as text"
    assert pg.psql("SELECT v, n, id, \"new one\", d, s IS NULL, s FROM c") == (
        "abc|1|1|5|2024-01-01|t|\nabcd|x|1|||f|\n||||2024-01-02|f|q\n")
    assert pg.psql("SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute"
                   " WHERE attrelid = 'c'::regclass AND attnum > 0") == "text, text, integer, text, date, text\n"


def test_others_may_read_the_copy_as_they_may_the_table(pg, tmp_path):
    pg.psql("DROP ROLE IF EXISTS \"the reader\"; CREATE ROLE \"the reader\" LOGIN;"
            " CREATE TABLE t (a int); GRANT SELECT ON t TO \"the reader\"; INSERT INTO t VALUES (1)")
    pg.does("export", pg.address("t"), tmp_path / "t.csv")
    pg.does("import", tmp_path / "t.csv", pg.address("c"), pg.address("t"))
    assert pg.psql("SET ROLE \"the reader\"; SELECT a FROM c") == "1\n"
    pg.psql("DROP OWNED BY \"the reader\"; DROP ROLE \"the reader\"")


def test_a_failed_import_leaves_nothing(pg, tmp_path):
    pg.psql("CREATE TABLE t (a int, b int)")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
    assert "missing data for column" in pg.fails("import", tmp_path / "t.csv", pg.address("c"), pg.address("t"))
    assert pg.psql("SELECT to_regclass('c')") == "\n"
    (tmp_path / "u.csv").write_text("a,b\n1,2\n")
    assert pg.fails("import", tmp_path / "u.csv", pg.address("t")) == "the database has a table 't' already"


def test_in_place_replaces_rows_and_keeps_the_rest(pg, tmp_path):
    pg.psql("CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT 'd'); CREATE INDEX by_b ON t (b); INSERT INTO t VALUES (1, 'x')")
    image, now = rows_of(pg, tmp_path)
    (tmp_path / "t.csv").write_text("b,a\nz,7\nz,7\n")
    assert "duplicate key" in pg.fails("edit", tmp_path / "t.csv", pg.address("t"), now)
    assert pg.psql("SELECT a FROM t ORDER BY a") == "1\n"
    (tmp_path / "t.csv").write_text("b,a\nz,5\n,6\n")
    pg.does("edit", tmp_path / "t.csv", pg.address("t"), now)
    assert pg.psql("SELECT a, b, b IS NULL FROM t ORDER BY a") == "5|z|f\n6||t\n"
    assert pg.psql("SELECT count(*) FROM pg_indexes WHERE tablename = 't'") == "2\n"
    for _ in range(2):
        pg.does("edit-back", image, pg.address("t"), now)
        assert pg.psql("SELECT a, b FROM t") == "1|x\n"
        assert pg.psql(TABLES) == "t\n"
    pg.psql("CREATE TABLE child (a int REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES (1)")
    (tmp_path / "t.csv").write_text("b,a\nz,7\n")
    assert "foreign key" in pg.fails("edit", tmp_path / "t.csv", pg.address("t"), now)
    assert pg.psql("SELECT count(*) FROM child") == "1\n"


TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"


def rows_of(pg, folder):
    """A table's rows in a file, and their hash."""
    image = folder / "image.csv"
    pg.does("export", pg.address("t"), image)
    return image, hashlib.sha256(image.read_bytes()).hexdigest()


class Session:
    """A connection that stays."""

    def __init__(self, pg):
        self.process = subprocess.Popen(["psql", "-X", "-h", pg.folder, "-U", "tester", "-d", "postgres", "-qAt"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def does(self, sql):
        self.process.stdin.write(sql + "; SELECT 'done';\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


def test_a_write_between_the_reading_of_the_rows_and_their_replacement_is_not_lost(pg, tmp_path):
    pg.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    (tmp_path / "t.csv").write_text("a\n9\n")
    with Session(pg) as other:
        other.does("BEGIN; INSERT INTO t VALUES (2)")
        image, before = rows_of(pg, tmp_path)
        assert image.read_text() == "a\n1\n"  # theirs is not committed yet
        tool = subprocess.Popen([BUILD / "tests/unit/sql_tool", "edit", tmp_path / "t.csv", pg.address("t"), before],
                                stderr=subprocess.PIPE, text=True)
        wait_for(lambda: pg.psql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1\n", "it waits for them")
        other.does("COMMIT")
        _, err = tool.communicate(timeout=60)
    assert (tool.returncode, err) == (1, "table 't' was changed by someone else meanwhile; nothing was touched\n")
    assert pg.psql("SELECT a FROM t") == "1\n2\n" and pg.psql(TABLES) == "t\n"


def test_what_others_write_to_an_edited_table_is_kept(pg, tmp_path):
    pg.psql("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x')")
    image, before = rows_of(pg, tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n,\n")
    pg.does("edit", tmp_path / "t.csv", pg.address("t"), before)
    pg.psql("INSERT INTO t VALUES (2, 'mine'); CREATE TABLE f (a int)")
    assert pg.fails("switch", pg.address("t"), "f") == "table 't' is switched already"
    assert pg.fails("edit", tmp_path / "t.csv", pg.address("t"), before) == "table 't' is switched already"
    (tmp_path / "other.csv").write_text("a,b\n7,7\n")
    assert "are missing or changed" in pg.fails("edit-back", tmp_path / "other.csv", pg.address("t"), before)
    pg.does("edit-back", image, pg.address("t"), before)
    assert pg.psql("SELECT * FROM t") == "1|x\n"
    assert pg.psql("SELECT * FROM t__chaoseater_kept") == "|\n2|mine\n"
    assert pg.psql(TABLES) == "f\nt\nt__chaoseater_kept\n"
    pg.does("edit", tmp_path / "t.csv", pg.address("t"), before)
    pg.psql("UPDATE t SET b = 'more'")
    assert "cannot be kept" in pg.fails("edit-back", image, pg.address("t"), before)
    pg.psql("DROP TABLE t")
    assert pg.does("edit-back", image, pg.address("t"), before) == "foreign"


def test_views_and_other_schemas_are_tables_too(pg, tmp_path):
    pg.psql('CREATE SCHEMA "my shop"; CREATE TABLE "my shop"."a.b" (x int); INSERT INTO "my shop"."a.b" VALUES (2), (1);'
            ' CREATE VIEW v AS SELECT x, x::text AS y FROM "my shop"."a.b" ORDER BY x')
    pg.does("export", pg.address("my%20shop.a%2Eb"), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "x\n2\n1\n"
    pg.does("export", pg.address("v"), tmp_path / "v.csv")
    assert (tmp_path / "v.csv").read_text() == 'x,y\n1,"1"\n2,"2"\n'
    pg.does("import", tmp_path / "v.csv", pg.address("my%20shop.c"), pg.address("v"))
    assert pg.psql('SELECT x, y FROM "my shop".c') == "1|1\n2|2\n"


def test_readers_see_the_faulted_table_until_it_is_put_back(pg):
    pg.psql("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE TABLE child (a int REFERENCES t);"
            " CREATE TABLE f (a int); INSERT INTO f VALUES (NULL), (7)")
    assert pg.does("back", pg.address("t")) == ""
    pg.does("switch", pg.address("t"), "f")
    assert pg.psql("SELECT a FROM t ORDER BY a") == "7\n\n"
    assert pg.psql("SELECT a FROM t__chaoseater_original") == "1\n"
    assert pg.fails("switch", pg.address("t"), "f") == "table 't' is switched already"
    assert pg.does("back", pg.address("child")) == ""
    assert pg.psql("SELECT count(*) FROM t") == "2\n"
    for _ in range(2):
        assert pg.does("back", pg.address("t")) == ""
        assert pg.psql("SELECT a FROM t") == "1\n"
        assert pg.psql(TABLES) == "child\nt\n"
    pg.psql("INSERT INTO child VALUES (1)")


def test_a_copy_that_others_wrote_to_is_kept(pg):
    pg.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE TABLE f (a int); INSERT INTO f VALUES (7)")
    pg.does("switch", pg.address("t"), "f")
    pg.psql("INSERT INTO t VALUES (8)")
    assert pg.does("back", pg.address("t")) == ""
    assert pg.psql("SELECT a FROM t") == "1\n" and pg.psql("SELECT a FROM t__chaoseater_kept") == "7\n8\n"
    assert pg.psql(TABLES) == "t\nt__chaoseater_kept\n"


def test_a_table_that_somebody_else_put_there_is_not_dropped(pg):
    pg.psql("CREATE TABLE t (a int); CREATE TABLE f (a int)")
    pg.does("switch", pg.address("t"), "f")
    pg.psql("DROP TABLE t; CREATE TABLE t (mine int)")
    assert pg.does("back", pg.address("t")) == "foreign"
    assert pg.psql("SELECT mine FROM t") == ""
    pg.psql("DROP TABLE t")
    assert pg.does("back", pg.address("t")) == ""
    assert pg.psql("SELECT a FROM t") == ""


def test_a_switch_that_cannot_be_changes_nothing(pg):
    pg.psql("CREATE TABLE trips (a int); CREATE TABLE f (a int)")
    assert pg.fails("switch", pg.address("tripz"), "f") == (
        "the database has no table 'public.tripz'; did you mean 'trips'?")
    assert "no table 'g' to be put in the place of 'trips'" in pg.fails("switch", pg.address("trips"), "g")
    assert pg.psql("SELECT count(*) FROM pg_class WHERE relname LIKE '%chaoseater%'") == "0\n"
    pg.does("drop", pg.address("f"))
    pg.does("drop", pg.address("f"))
    assert pg.psql("SELECT to_regclass('f')") == "\n"


def test_what_is_not_there_is_named(pg, tmp_path):
    pg.psql("CREATE TABLE trips (a int)")
    assert pg.fails("export", pg.address("tripz"), tmp_path / "t.csv") == (
        "the database has no table 'tripz'; did you mean 'trips'?")
    assert not (tmp_path / "t.csv").exists()
    assert 'database "nowhere" does not exist' in pg.fails("export", pg.address("t", "nowhere"), tmp_path / "t.csv")
    assert pg.fails("export", f"postgresql:///postgres?host={tmp_path}&table=t", tmp_path / "t.csv").startswith(
        "PostgreSQL: connection to server on socket")


def test_a_lock_is_not_waited_for_for_ever(pg):
    pg.psql("CREATE TABLE t (a int); CREATE TABLE f (a int)")
    with Session(pg) as holder:
        holder.does("BEGIN; LOCK TABLE t")
        assert "lock timeout" in pg.fails("switch", pg.address("t"), "f")
    assert pg.psql("SELECT count(*) FROM pg_class WHERE relname LIKE '%chaoseater%'") == "0\n"


# ---- the commands


FAULT = ("--fault", "missing_data", "--param", "missing_rate=0.5", "--columns", "n,s", "--seed", "7")


@pytest.fixture
def shop(pg):
    """A table whose rows come by their key, in a lab that reaches the server as the tests do."""
    pg.psql("CREATE TABLE t (id integer PRIMARY KEY, n integer, s text, at timestamptz DEFAULT now());"
            " INSERT INTO t SELECT i, i * 7, 'name, ' || i, '2024-05-01' FROM generate_series(1, 500) AS i;"
            " CREATE VIEW v AS SELECT * FROM t")
    with Lab() as lab:
        yield lab


def gone(pg, table="t"):
    return int(pg.psql(f"SELECT count(*) FROM {table} WHERE n IS NULL"))


def everything(pg):
    return pg.psql("SELECT t::text FROM t ORDER BY id; SELECT relname, relkind, relowner, relacl FROM pg_class"
                   " WHERE relnamespace = 'public'::regnamespace ORDER BY 1")


def test_a_faulted_copy_is_a_new_table(pg, shop):
    before = pg.psql(LOOK.format("t"))
    done = shop.run("data", "inject", pg.address("t"), "-o", pg.address("bad"), *FAULT, "--key", "key", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rows"] == 500 and result["as_text"] == [] and result["revertible"] is True
    # A text that is gone is nothing, and no empty text.
    changed = pg.psql("SELECT count(*) FILTER (WHERE b.n IS NULL) + count(*) FILTER (WHERE b.s IS NULL),"
                      " bool_and(coalesce(b.n, t.n) = t.n AND coalesce(b.s, t.s) = t.s AND b.at = t.at) FROM t JOIN bad b USING (id)")
    assert changed == f"{result['faults'][0]['changed']}|t\n"
    assert pg.psql(LOOK.format("t")) == before
    assert shop.run("data", "revert", pg.address("bad"), "key", "-o", pg.address("back")).returncode == 0
    assert pg.psql(LOOK.format("back")) == before
    assert shop.run("data", "diff", pg.address("t"), pg.address("back")).returncode == 0
    assert shop.run("data", "inject", pg.address("t"), "-o", pg.address("bad"), *FAULT).returncode == 2


def test_a_password_is_not_printed(pg, shop):
    def secret(table):
        return pg.address(table).replace("postgresql:///", "postgresql://tester:secret@/") + "&password=secret"

    shown = secret("t").replace(":secret", "").replace("&password=secret", "")
    done = [shop.run("data", *command) for command in (
        ["inject", secret("t"), "-o", secret("bad"), *FAULT, "--key", "key"], ["profile", secret("t")],
        ["revert", secret("bad"), "key", "-o", secret("back")], ["inject", secret("t"), "-o", secret("bad"), *FAULT])]
    assert [one.returncode for one in done] == [0, 0, 0, 2], done
    assert done[0].stdout.startswith(f"{shown}: 500 rows in") and done[1].stdout.startswith(f"{shown}: 500 rows,")
    assert "secret" not in "".join(one.stdout + one.stderr for one in done)


def test_what_does_not_fit_its_type_is_text(pg, shop):
    done = shop.run("data", "inject", pg.address("t"), "-o", pg.address("bad"), "--fault", "data_corruption", "--param",
                    "kind=mistype", "--columns", "n", "--key", "key", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["as_text"] == ["n"]
    assert pg.psql("SELECT count(*) FROM t JOIN bad b USING (id) WHERE b.n <> t.n::text") == (
        f"{result['faults'][0]['changed']}\n")


@pytest.mark.parametrize("in_place", [False, True], ids=["switched", "in_place"])
@pytest.mark.parametrize("ending", ["time", "signal", "kill", "kill_both"])
def test_a_reader_sees_the_faults_while_they_are_held_and_then_the_original(pg, shop, in_place, ending):
    before = everything(pg)
    process = shop.start("data", "switch", pg.address("t"), *FAULT, "--for", "1s" if ending == "time" else "1h",
                         *(["--in-place"] if in_place else []))
    assert process.stderr.readline().startswith("the faulted rows are in the table")
    assert 150 < gone(pg) < 350
    assert gone(pg, "v") == (gone(pg) if in_place else 0)  # a view stays with the table that it was made for
    if ending == "signal":
        process.send_signal(signal.SIGTERM)
    elif ending == "kill":
        process.kill()
    elif ending == "kill_both":
        guard = next(pid for pid in shop.processes() if pid != process.pid)
        process.send_signal(signal.SIGSTOP)
        os.kill(guard, signal.SIGKILL)
        process.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == {"time": 0, "signal": 143}.get(ending, -signal.SIGKILL), err
    if ending == "kill_both":
        assert gone(pg) > 0
        assert shop.run("recover").returncode == 0
    wait_for(lambda: everything(pg) == before, "the table is back")
    shop.clean_soon()
