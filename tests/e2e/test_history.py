# SPDX-License-Identifier: MIT
"""The history of real runs: what is recorded, what the commands say of it, and what may go wrong with it."""
import contextlib
import csv
import json
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess

import pytest

import peers
from conftest import BUILD
from lab import Lab, wait_for

COLUMNS = ["id", "name", "layer", "fault_type", "status", "verdict", "resilience_score", "recovery_time",
           "accuracy_degradation", "pipeline_downtime", "error_count", "duration", "started_at", "ended_at", "seed", "tags"]
HOSTILE = "it's \"odd\"; DROP TABLE run_record;--"


def suite(lab, name="plan.yaml", **first):
    """Two experiments, one with a name that wants to be SQL."""
    path = lab.folder / name
    usual = {"duration": "400ms", "baseline": "400ms"}
    path.write_text(json.dumps({"seed": 7, "experiments": [
        {"name": "slow_answers", "layer": "model", "fault_type": "slow_inference", "tags": ["nightly", "a,b"],
         "parameters": {"latency_ms": 60, "variance": 0.1}, **usual, **first},
        {"name": HOSTILE, "layer": "data", "fault_type": "missing_data", "parameters": {"missing_rate": 0.3}, **usual},
    ], "pipeline": {"kind": "embedded", "profile": "naive", "rate": 50, "rows": 1000}}))
    return path


class History:
    """A lab with four runs, and what `run --json` said of them."""

    def __init__(self, lab):
        self.lab = lab
        self.runs = []
        for options in ((), ("--parallel", "2")):
            code, document = lab.run_json("run", suite(lab), *options)
            assert code == 0, document
            self.runs += document["runs"]

    def json(self, *arguments):
        code, document = self.lab.run_json("history", *arguments)
        assert code == 0, document
        return document

    def text(self, *arguments, code=0):
        done = self.lab.run("history", *arguments)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def history():
    with Lab() as lab:
        subprocess.run(["git", "init", "-q", lab.folder], check=True)
        subprocess.run(["git", "-C", lab.folder, "-c", "user.name=n", "-c", "user.email=e@x", "commit", "-q", "--allow-empty",
                        "-m", "first"], check=True)
        yield History(lab)


# ---- what is recorded

def test_every_run_is_listed_as_it_was(history):
    listed = history.json("list")
    assert [run["id"] for run in listed] == [run["id"] for run in sorted(history.runs, key=lambda r: r["started_at"], reverse=True)]
    for row in listed:
        (run,) = [run for run in history.runs if run["id"] == row["id"]]
        assert list(row) == COLUMNS
        assert row["name"] == run["experiment"]["name"] and row["layer"] == run["experiment"]["layer"]
        assert row["resilience_score"] == run["summary"]["resilience_score"]
        assert row["error_count"] == run["metrics"]["error_count"]
        assert row["seed"] == run["recipe"]["seed"] == 7
        assert sorted(row["tags"]) == sorted(run["experiment"]["tags"])
        assert row["started_at"] == run["started_at"] and row["ended_at"] == run["ended_at"]


def test_a_run_is_shown_as_run_printed_it(history):
    for run in history.runs:
        shown = history.json("show", run["id"])
        environment = shown.pop("environment")
        assert shown == run
        head = subprocess.run(["git", "-C", history.lab.folder, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
        assert environment["git_commit"] == head.strip()
        assert environment["kernel"] == pathlib.Path("/proc/sys/kernel/osrelease").read_text().strip()


def test_a_run_can_be_reported_again_in_any_format(history):
    text = history.text("show", "slow_answers", "--report", "junit=again.xml")
    assert "slow_answers" in text and "slow_inference" in text
    assert "<testcase" in (history.lab.folder / "again.xml").read_text()


def test_a_page_compares_with_earlier_runs_of_the_same(history):
    old, new = [run for run in history.runs if run["experiment"]["name"] == "slow_answers"]
    page, first = (history.text("show", run["id"], "--report", "html=-") for run in (new, old))
    assert "Compared with earlier runs" in page and old["started_at"] in page.partition("Compared with earlier runs")[2]
    assert "Compared with earlier runs" not in first


def test_a_suites_own_page_compares_with_earlier_runs(lab):
    path = suite(lab)
    pages = []
    for _ in range(2):
        lab.run("run", path, "--report", "html=page.html", "--db", "own.db")
        pages.append((lab.folder / "page.html").read_text())
    assert ["Compared with earlier runs" in page for page in pages] == [False, True]
    lab.run("run", path, "--report", "html=page.html", "--db", "none")
    assert "Compared with earlier runs" not in (lab.folder / "page.html").read_text()


def test_a_recorded_document_can_be_run_again(history):
    again = history.lab.folder / "again.yaml"
    again.write_text(history.text("show", "slow_answers", "--document"))
    code, document = history.lab.run_json("run", again, "--only", "slow_answers", "--db", "none")
    assert code == 0
    before = history.json("show", "slow_answers")
    assert document["runs"][0]["recipe"] == before["recipe"]
    assert len(history.json("list")) == 4  # --db none


def test_the_database_is_whole_and_nobody_elses(history):
    path = history.lab.state / "history.db"
    assert path.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert database.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        assert [row[1] for row in database.execute("PRAGMA table_info(runs)")] == COLUMNS


def test_dry_runs_are_no_runs(history):
    assert history.lab.run("run", suite(history.lab), "--dry-run").returncode == 0
    assert len(history.json("list")) == 4


# ---- what the commands say

@pytest.mark.parametrize("options, count", [
    (["--name", "slow_answers"], 2),
    (["--name", HOSTILE], 2),
    (["--name", "slow*"], 2),
    (["--name", "x' OR '1'='1"], 0),
    (["--tag", "a,b"], 2),
    (["--layer", "data"], 2),
    (["--fault", "missing_data", "--max-score", "0"], 0),
    (["--status", "completed", "--verdict", "passed", "--min-score", "1"], 4),
    (["--since", "1h"], 4),
    (["--until", "1h"], 0),
    (["--profile", "hardened"], 0),
    (["--limit", "3"], 3),
])
def test_filters(history, options, count):
    assert len(history.json("list", *options)) == count


def test_runs_are_ranked_by_any_metric(history):
    slowest = history.json("list", "--sort", "p99_ms@fault", "--limit", "1")[0]
    assert slowest["name"] == "slow_answers" and slowest["p99_ms@fault"] > 50
    scores = [run["resilience_score"] for run in history.json("list", "--sort", "resilience_score:asc")]
    assert scores == sorted(scores)
    assert "p99_ms@fault" in history.text("list", "--sort", "p99_ms@fault:asc")


def test_trends(history):
    trends = history.json("trends", "slow_answers", "--days", "7")
    scores = [run["summary"]["resilience_score"] for run in history.runs if run["experiment"]["name"] == "slow_answers"]
    assert {"name", "days", "runs", "mean", "slope", "slope_ci", "success_rate", "change_points"} <= set(trends)
    assert trends["name"] == "slow_answers" and trends["days"] == 7 and len(trends["runs"]) == 2
    assert trends["mean"] == pytest.approx(sum(scores) / 2)
    assert trends["slope"] is None and trends["slope_ci"] is None  # two runs make no line that is known
    assert "2 runs" in history.text("trends", HOSTILE)


def test_compare(history):
    slow, missing = (next(run for run in history.runs if run["experiment"]["fault_type"] == fault)
                     for fault in ("slow_inference", "missing_data"))
    document = history.json("compare", slow["id"], missing["id"], "last")
    score = next(metric for metric in document["metrics"] if metric["metric"] == "resilience_score")
    values = [slow["summary"]["resilience_score"], missing["summary"]["resilience_score"]]
    assert score["values"][:2] == values
    assert score["differences"][1] == pytest.approx(values[1] - values[0])
    assert document["runs"][0]["parameters"] == slow["experiment"]["parameters"]
    done = history.lab.run("compare", "slow_answers", "last")
    assert done.returncode == 0 and "resilience_score" in done.stdout


def test_summary(history):
    summary = history.json("summary", "--layer", "model")
    assert summary["runs"] == 2 and summary["experiments"] == 1 and summary["success_rate"] == 1
    assert list(summary["by_fault"]) == ["slow_inference"]


def test_query(history):
    rows = history.json("query", "SELECT name, count(*) AS n FROM runs GROUP BY name ORDER BY n, name")
    assert rows == [{"name": HOSTILE, "n": 2}, {"name": "slow_answers", "n": 2}]
    assert "slow_answers" in history.text("query", "SELECT * FROM runs")


@pytest.mark.parametrize("sql, says", [
    ("DELETE FROM run_record", "the history is only read"),
    ("SELECT 1; DROP VIEW runs", "one statement at a time"),
    ("ATTACH '/etc/passwd' AS p", "the history is only read"),
    ("PRAGMA journal_mode = DELETE", "the history is only read"),
    ("SELECT nme FROM runs", "no such column: nme"),
])
def test_query_only_reads(history, sql, says):
    assert says in history.text("query", sql, code=2)
    assert len(history.json("list")) == 4


def test_a_query_that_never_ends_is_given_up(history):
    sql = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT max(x) FROM t"
    assert "took longer than 1 s" in history.text("query", sql, "--timeout", "1", code=4)


def test_export(history):
    rows = list(csv.DictReader(history.text("export").splitlines()))
    assert list(rows[0]) == COLUMNS and len(rows) == 4
    assert {row["name"] for row in rows} == {"slow_answers", HOSTILE}
    history.text("export", "--format", "jsonl", "-o", "runs.jsonl.gz", "--name", "slow*")
    lines = subprocess.run(["gzip", "-dc", history.lab.folder / "runs.jsonl.gz"], capture_output=True, check=True).stdout
    assert [json.loads(line)["name"] for line in lines.splitlines()] == ["slow_answers"] * 2


def test_export_to_parquet(history, build, root):
    peers.run(root / "tools" / "get-duckdb.sh", build)
    history.text("export", "--format", "parquet", "-o", "runs.parquet")
    script = ("import json, sys, pyarrow.parquet; t = pyarrow.parquet.read_table(sys.argv[1]);"
              "print(json.dumps([{f.name: str(f.type) for f in t.schema}, t.column('resilience_score').to_pylist(),"
              "t.column('name').to_pylist(), [x.isoformat() for x in t.column('started_at').to_pylist()]]))")
    done = subprocess.run([peers.python(), "-c", script, history.lab.folder / "runs.parquet"], capture_output=True, text=True,
                          check=True)
    types, scores, names, started = json.loads(done.stdout)
    assert list(types) == COLUMNS
    assert types["resilience_score"] == "double" and types["error_count"] == "int64" and types["name"] == "string"
    rows = sorted(history.json("list"), key=lambda run: run["started_at"])
    assert sorted(scores) == sorted(run["resilience_score"] for run in rows)
    assert sorted(names) == sorted(run["name"] for run in rows)
    assert started[0] + "Z" == rows[0]["started_at"].replace("Z", "000Z")


def test_import_adds_what_is_not_there(history):
    lab = history.lab
    (lab.folder / "report.json").write_text(json.dumps({"seed": 7, "runs": history.runs}))
    assert history.json("import", "report.json", "--db", "team.db") == {"added": 4}
    assert history.json("import", "report.json", "--db", "team.db") == {"added": 0}
    shown = history.json("show", history.runs[0]["id"], "--db", "team.db")
    assert shown.pop("environment")["host"] is None and shown == history.runs[0]
    assert history.json("prune", "--keep-runs", "1", "--dry-run", "--db", "team.db") == {"removed": 2}
    assert history.json("prune", "--keep-runs", "1", "--db", "team.db") == {"removed": 2}
    assert len(history.json("list", "--db", "team.db")) == 2


@pytest.mark.parametrize("arguments, says", [
    (["list", "--status", "fine"], "status 'fine' is not one of completed"),
    (["list", "--since", "soon"], "since 'soon' is no time"),
    (["list", "--sort", "beauty"], "no run has a 'beauty'"),
    (["list", "--min-score", "101"], "--min-score"),
    (["list", "--db", "missing.db"], "No such file"),
    (["show", "slow_answer"], "did you mean 'slow_answers'?"),
    (["show", "2"], "more than one run has an id that begins with '2'"),
    (["trends", "nothing like it"], "no run in the history is called 'nothing like it'"),
    (["compare", "last"], "history compare needs"),
    (["export", "--format", "xml", "-o", "runs.xml"], "format 'xml' is not one of csv, jsonl, parquet"),
    (["export", "-o", "nowhere/runs.csv"], "nowhere/runs.csv"),
    (["prune"], "--keep-days"),
    (["import", "plan.yaml"], "plan.yaml"),
    (["shw", "last"], "did you mean 'history show'?"),
])
def test_bad_input_is_one_sentence(history, arguments, says):
    error = history.text(*arguments, code=2)
    assert says in error and error.count("\n") == 1
    done = history.lab.run("history", *arguments, "--json")
    assert done.returncode == 2 and says in json.loads(done.stdout)["error"]["message"]


# ---- what may go wrong

def newer(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def garbage(path):
    path.write_bytes(b"no database at all\n" * 500)


def accounts(path):
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE accounts (x)")


DAMAGE = [(newer, "newer version of ChaosEater"), (garbage, "is damaged, or none"), (accounts, "no history of ChaosEater")]


@pytest.fixture(scope="module")
def shelf():
    """A history of one run, to be copied."""
    with Lab() as lab:
        assert lab.run("run", suite(lab), "--only", "slow_answers").returncode == 0
        yield lab


@pytest.fixture
def lab(shelf):
    with Lab() as lab:
        lab.state.mkdir()
        shutil.copy(shelf.state / "history.db", lab.state)
        yield lab
        lab.clean_soon()


@pytest.mark.parametrize("spoil, says", DAMAGE)
def test_a_history_that_is_of_no_use_costs_no_run(lab, spoil, says):
    path = lab.state / "history.db"
    spoil(path)
    before = path.read_bytes()
    done = lab.run("run", suite(lab), "--only", "slow_answers", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["runs"][0]["verdict"] == "passed"
    assert says in done.stderr and "1 run is missing in the history" in done.stderr and done.stderr.count("\n") == 1
    assert path.read_bytes() == before
    for command in (["list"], ["query", "SELECT 1"], ["prune", "--keep-days", "1"]):
        told = lab.run("history", *command)
        assert told.returncode == 2 and says in told.stderr and told.stderr.count("\n") == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize("spoil, says", DAMAGE)
def test_one_that_was_named_is_refused_before_anything_runs(lab, spoil, says):
    path = lab.state / "history.db"
    spoil(path)
    done = lab.run("run", suite(lab), "--db", path, "--only", "slow_answers")
    assert done.returncode == 2 and says in done.stderr and done.stdout == ""
    done = lab.run("run", suite(lab), "--db", "nowhere/at/all.db")
    assert done.returncode == 2 and "nowhere/at/all.db" in done.stderr


@pytest.mark.parametrize("size", ["16k", "128k"])  # nothing fits; the tables do, and no run
def test_a_full_disk_costs_no_run(lab, size):
    small = lab.folder / "small"
    small.mkdir()
    plan = suite(lab)
    inside = f'mount -t tmpfs -o size={size} none "{small}" && exec "$@"'
    within = ["unshare", "--mount", "sh", "-c", inside, "sh"]
    if subprocess.run([*within, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a filesystem of its own")
    lab.prefix = within
    done = lab.run("run", plan, "--only", "slow_answers", "--json", "--db", small / "history.db")
    assert done.returncode == 0 and json.loads(done.stdout)["runs"][0]["verdict"] == "passed"
    assert re.search("1 run is missing in the history: cannot .*(disk is full|No space left)", done.stderr)


def test_who_locks_the_history_for_long_costs_no_run(lab):
    with contextlib.closing(sqlite3.connect(lab.state / "history.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        done = lab.run("run", suite(lab), "--only", "slow_answers", "--json")
        database.execute("ROLLBACK")
    assert done.returncode == 0 and json.loads(done.stdout)["runs"][0]["verdict"] == "passed"
    assert "1 run is missing in the history" in done.stderr and "another program has held it" in done.stderr
    assert lab.run("history", "list", "--json").stdout.count('"id"') == 1


def test_suites_at_once_record_all_their_runs(lab):
    runs = [lab.start("run", suite(lab, f"{i}.yaml"), "--only", "slow_answers", "--set", f"latency_ms={60 + i}") for i in range(3)]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0 and "missing" not in err, err
    assert len(lab.run_json("history", "list")[1]) == 4


def test_a_suite_that_is_killed_keeps_what_had_ended(lab):
    path = lab.state / "history.db"
    run = lab.start("run", suite(lab))

    def recorded():
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute("SELECT count(*) FROM runs").fetchone()[0]

    wait_for(lambda: recorded() == 2, "the first run")
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=60)
    done = lab.run("run", suite(lab), "--resume")  # what had ended is recorded once
    assert done.returncode == 0, done.stderr
    listed = lab.run_json("history", "list")[1]
    assert len(listed) == 3 and len({run["id"] for run in listed}) == 3


def test_a_run_that_was_interrupted_is_recorded_as_that(lab):
    run = lab.start("run", suite(lab, duration="30s"), "--only", "slow_answers")
    wait_for(lambda: list((lab.state / "journal").glob("*.cej")), "the run")
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130
    listed = lab.run_json("history", "list", "--status", "interrupted")[1]
    assert len(listed) == 1


def test_before_the_first_run_the_history_is_empty():
    with Lab() as lab:
        assert lab.run_json("history", "list") == (0, [])
        assert lab.run("history", "export").stdout == ",".join(COLUMNS) + "\n"
        assert lab.run_json("history", "query", "SELECT count(*) AS n FROM runs") == (0, [{"n": 0}])
        assert "no run in the history yet" in lab.run("history", "show", "last").stderr
        assert not lab.state.exists()


def test_a_history_that_cannot_be_written_to_can_be_read(lab):
    """As on a medium that is read-only: a copy of the file alone, which nobody may change."""
    path = lab.folder / "copy.db"
    shutil.copy(lab.state / "history.db", path)
    inside = f'mount --bind "{path}" "{path}" && mount -o remount,bind,ro "{path}" && exec "$@"'
    within = ["unshare", "--mount", "sh", "-c", inside, "sh"]
    if subprocess.run([*within, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount")
    done = subprocess.run([*within, BUILD / "chaoseater", "history", "list", "--db", path, "--json"], env=lab.env,
                          capture_output=True, text=True)
    assert done.returncode == 0 and len(json.loads(done.stdout)) == 1, done.stderr
