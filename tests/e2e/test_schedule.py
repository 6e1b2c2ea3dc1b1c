# SPDX-License-Identifier: MIT
"""Schedules: when they are due, compared with what others say, and `chaoseater schedule`."""
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import zoneinfo

import pytest

import cron_cases
import peers
from conftest import BUILD
from lab import Lab, wait_for

HERE = pathlib.Path(__file__).parent
TIMES = 4  # of each case


# ---- when ----

def told(command, cases):
    """What a program that speaks as cron_tool does says to each case: a list of seconds, or an error."""
    text = "".join(f"{after}\t{TIMES}\tCRON_TZ={zone} {expression}\n" for after, zone, expression in cases)
    done = subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True, check=True)
    answers = [line if line.startswith("error: ") else [int(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert len(answers) == len(cases)
    return answers


def ours(cases):
    return told([BUILD / "tests/unit/cron_tool"], cases)


def values(text, low, high, names=()):
    """The values that a field means, by the definition alone."""
    def number(word):
        upper = word.upper()
        return names.index(upper) + low if upper in names else int(word)

    found = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin = low if span == "*" else number(first)
        end = number(last) if last else high if span == "*" or step else begin
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def by_definition(after, zone, expression, until):
    """All minutes after `after` up to `until` that the expression means, looked at one by one."""
    tz = zoneinfo.ZoneInfo(zone)
    texts = expression.split()
    minutes, hours, days, months, weekdays = (
        values(text, *limits, names) for text, limits, names in
        zip(texts, cron_cases.FIELDS, [(), (), (), cron_cases.MONTHS, cron_cases.DAYS]))
    both = texts[2].startswith("*") or texts[4].startswith("*")
    found = []
    for at in range(after // 60 * 60 + 60, until + 1, 60):
        local = datetime.datetime.fromtimestamp(at, tz)
        day, weekday = local.day in days, local.isoweekday() % 7 in weekdays
        if local.minute in minutes and local.hour in hours and local.month in months and (day and weekday if both else day or weekday):
            found.append(at)
    return found


def definition_says_ours(case, us, them):
    """Both agree until theirs steps over a time, or makes one up."""
    first = next(i for i in range(TIMES) if us[i:i + 1] != them[i:i + 1])
    at = min(us[first], *them[first:first + 1])
    return (by_definition(at - 60, *case[1:], until=at) == [at]) == (at == us[first])


def test_times_are_those_of_the_definition():
    checked = 0
    for case, answer in zip(*(lambda cases: (cases, ours(cases)))(cron_cases.cases(2000, seed=1))):
        if isinstance(answer, list) and answer[-1] - case[0] < 10 * 86400:
            assert answer == by_definition(*case, until=answer[-1]), case
            checked += 1
    assert checked > 300


def day_rules_differ(expression):
    """robfig/cron calls a day field with a step restricted; cron(8), and we, one that starts with `*` is not."""
    _, _, day, _, weekday = expression.split()
    return any(one.startswith("*/") and one != "*/1" and other != "*" for one, other in [(day, weekday), (weekday, day)])


# Their clocks change by half an hour or at midnight, where robfig/cron steps over times that exist, or names some that are
# not meant (by_definition says so).
ODD_CLOCKS = ("Australia/Lord_Howe", "Asia/Tehran", "America/Havana", "America/Santiago", "America/Nuuk", "Africa/Casablanca")


def test_times_are_those_of_robfig_cron():
    if not shutil.which("go"):
        pytest.skip("go is not installed")

    def make(folder):
        folder.mkdir()
        shutil.copy(HERE / "cron_peer.go", folder / "main.go")
        peers.run("go", "mod", "init", "peer", cwd=folder)
        peers.run("go", "get", "github.com/robfig/cron/v3@v3.0.1", cwd=folder)
        peers.run("go", "build", "-o", "peer", ".", cwd=folder)

    cases = cron_cases.cases(6000, seed=2)
    same, odd = 0, 0
    for case, us, them in zip(cases, ours(cases), told([peers.made_once("go-cron", make) / "peer"], cases)):
        if isinstance(us, str):
            assert "never comes" in us and (them == [] or day_rules_differ(case[2])), case
        elif us == them:
            same += 1
        elif not day_rules_differ(case[2]):
            assert case[1] in ODD_CLOCKS, (case, us, them)
            assert definition_says_ours(case, us, them), (case, us, them)
            odd += 1
    assert same > 5000 and odd < 60


CRONITER = """
import datetime, json, sys, zoneinfo
from croniter import croniter
for line in sys.stdin:
    after, zone, expression = json.loads(line)
    start = datetime.datetime.fromtimestamp(after, zoneinfo.ZoneInfo(zone))
    try:
        times = croniter(expression, start, implement_cron_bug=True, max_years_between_matches=50)
        print(json.dumps([int(times.get_next(float)) for _ in range(%d)]))
    except Exception as error:
        print(json.dumps(f"error: {error}"))
""" % TIMES


def croniter_widens(expression):
    """croniter takes a range of one value (5-5, 59/3) for the whole field."""
    for text, (_, high), names in zip(expression.split(), cron_cases.FIELDS, [(), (), (), cron_cases.MONTHS, cron_cases.DAYS]):
        for part in text.split(","):
            span, _, step = part.partition("/")
            first, _, last = span.partition("-")
            ends = [str(names.index(word.upper()) + (high == 12)) if word.upper() in names else word for word in (first, last)]
            if ends[0] == ends[1] or (step and not last and first != "*" and int(ends[0]) == high):
                return True
    return False


def clock_changes(zone, times):
    """croniter moves or repeats what falls on a change of the clock, robfig/cron compares with the clock, and so do we."""
    tz = zoneinfo.ZoneInfo(zone)
    return len({datetime.datetime.fromtimestamp(at, tz).utcoffset()
                for at in range(min(times) - 2 * 86400, max(times) + 3 * 86400, 86400)}) > 1


def test_times_are_those_of_croniter():
    def make(folder):
        peers.run(sys.executable, "-m", "venv", "--without-pip", folder)
        peers.run(sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "-q", "--disable-pip-version-check",
                  "croniter==6.0.0")

    python = peers.made_once("croniter", make) / "bin/python"
    cases = [case for case in cron_cases.cases(6000, seed=3) if not croniter_widens(case[2])]
    done = subprocess.run([python, "-c", CRONITER], input="".join(json.dumps(case) + "\n" for case in cases),
                          capture_output=True, text=True, check=True)
    same, odd = 0, 0
    for case, us, them in zip(cases, ours(cases), map(json.loads, done.stdout.splitlines())):
        if isinstance(us, str):
            assert "never comes" in us and isinstance(them, str), case
        elif isinstance(them, list) and not clock_changes(case[1], [case[0], *us, *them]):
            assert us == them or definition_says_ours(case, us, them), (case, us, them)
            same += us == them
            odd += us != them
    assert same > 1000 and odd < same / 50  # it loses its way when a month has no such day


# ---- the command ----

EXPERIMENT = {"layer": "model", "fault_type": "slow_inference", "duration": "300ms", "baseline": "300ms",
              "parameters": {"latency_ms": 60}}


def plan(lab, experiments=(("a", None),), **keys):
    path = lab.folder / "plan.yaml"
    path.write_text(json.dumps({"seed": 7, "pipeline": {"kind": "embedded", "rows": 1000}, **keys, "experiments": [
        {"name": name, **EXPERIMENT, **({"schedule": schedule} if schedule else {})} for name, schedule in experiments]}))
    return path


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def ran(document):
    return [one for one in document["occurrences"] if not one["missed"]]


def test_once_runs_the_next_and_exits_as_the_suite():
    with Lab() as lab:
        code, document = lab.run_json("schedule", plan(lab, schedule="every 1s"), "--once")
        one, = document["occurrences"]
        assert (code, one["exit_code"], one["summary"]["experiments"]) == (one["exit_code"], code, 1)
        assert 0 <= seconds(one["started"]) - seconds(one["due"]) < 5 and seconds(one["ended"]) > seconds(one["started"])
        assert one["summary"]["completed"] == 1
        lab.clean_soon()


def test_what_is_due_during_a_run_is_missed_and_reports_are_written():
    with Lab() as lab:
        process = lab.start("schedule", plan(lab, schedule="every 1s"), "--json", "--report", f"json={lab.folder}/run-%Y-%%.json")
        report = lab.folder / f"run-{datetime.datetime.now().year}-%.json"

        def started():  # of the run that the report is about; None while it is being written
            with contextlib.suppress(OSError, ValueError):
                return json.loads(report.read_text())["runs"][0]["started_at"]

        first = wait_for(started, "the report")
        wait_for(lambda: (started() or first) != first, "a second run")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        document = json.loads(out)
        assert process.returncode == 143, err
        assert len(ran(document)) >= 2
        # One after the other; each run takes more than a second.
        for before, after in zip(ran(document), ran(document)[1:]):
            assert seconds(before["ended"]) <= seconds(after["started"])
        missed = [one for one in document["occurrences"] if one["missed"]]
        assert missed and missed[0]["reason"] == "the run before it was still going on" and missed[0]["count"] >= 1
        lab.clean_soon()


def test_runs_overlap_when_they_may():
    with Lab() as lab:
        process = lab.start("schedule", plan(lab, schedule={"every": "1s", "overlap": True}), "--json",
                            "--set", "duration=2s")
        wait_for(lambda: len(list((lab.state / "journal").glob("*.cej"))) > 1, "two runs at once", 30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        all_of_them = ran(json.loads(out))
        assert any(seconds(after["started"]) < seconds(before["ended"])
                   for before, after in zip(sorted(all_of_them, key=lambda one: one["due"]),
                                            sorted(all_of_them, key=lambda one: one["due"])[1:]))
        lab.clean_soon()


def test_a_signal_while_nothing_runs_ends_it_at_once():
    with Lab() as lab:
        process = lab.start("schedule", plan(lab, schedule="0 0 1 1 *"))
        assert "next: the document at " in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130


def test_who_waits_is_told_of_the_lever():
    with Lab() as lab:
        process = lab.start("schedule", plan(lab, schedule="0 0 1 1 *"))
        assert "next: the document at " in process.stderr.readline()
        for _ in range(2):
            assert lab.run("stop").returncode == 0
            assert process.stderr.readline() == ("chaoseater: stopped by `chaoseater stop`: what is due is not started until "
                                                 "`chaoseater stop --release`\n")
            assert lab.run("stop", "--release").returncode == 0
            assert process.stderr.readline() == "chaoseater: released: what is due is started again\n"
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=20), process.stderr.read()) == (130, "")


def test_what_is_due_under_the_lever_is_not_started():
    with Lab() as lab:
        assert lab.run("stop").returncode == 0
        done = lab.run("schedule", plan(lab, schedule="every 1s"), "--once")
        assert done.returncode == 3
        lines = done.stderr.splitlines()
        assert "stopped by `chaoseater stop`" in lines[0] and "next: the document at " in lines[1]
        assert re.match("chaoseater: due at .*: .*stop", lines[2]), lines
        assert not (lab.state / "journal").exists() or not list((lab.state / "journal").glob("*.cej"))


def has_timer(pid):
    """Whether it has come to waiting: the first look at the clock lies behind it."""
    with contextlib.suppress(OSError):
        return any(os.readlink(link) == "anon_inode:[timerfd]" for link in pathlib.Path(f"/proc/{pid}/fd").iterdir())


def test_a_clock_that_jumps_starts_one_run_and_no_storm():
    with Lab() as lab:
        shift = lab.folder / "shift"
        shift.write_text("0")
        report = lab.folder / "run.json"
        process = lab.start("schedule", plan(lab, schedule="every 1h"), "--json", "--report", f"json={report}",
                            CHAOSEATER_SEAM_WALL=shift)
        wait_for(lambda: has_timer(process.pid), "it waits")
        (lab.folder / "next").write_text("18005")  # five hours
        (lab.folder / "next").rename(shift)
        wait_for(report.exists, "the run")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        missed, one = json.loads(out)["occurrences"]
        assert missed["missed"] and missed["reason"] == "the clock had gone on beyond it"
        assert missed["count"] == 4 and seconds(one["due"]) - seconds(missed["due"]) == 4 * 3600
        assert not one["missed"] and process.returncode == 143


def test_a_clock_that_is_set_back_is_believed():
    with Lab() as lab:
        shift = lab.folder / "shift"
        shift.write_text("0")
        process = lab.start("schedule", plan(lab, schedule="every 1h"), CHAOSEATER_SEAM_WALL=shift)
        first = process.stderr.readline()
        (lab.folder / "next").write_text("-86400")
        (lab.folder / "next").rename(shift)
        second = process.stderr.readline()
        times = [seconds(line.split(" at ")[1].strip()) for line in (first, second)]
        assert 86000 < times[0] - times[1] < 86500
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 143


def test_experiments_have_their_own_times():
    with Lab() as lab:
        path = plan(lab, [("a", None), ("b", "@daily"), ("c", None)], schedule={"cron": "30 2 * * *", "timezone": "Asia/Tokyo"})
        code, document = lab.run_json("schedule", path, "--list", 2)
        assert code == 0
        common, own = document["schedules"]
        assert (common["experiment"], common["experiments"], own["experiment"], own["experiments"]) == (None, ["a", "c"], "b", ["b"])
        assert [time[11:] for time in common["next"]] == ["17:30:00.000Z"] * 2
        assert [time[11:] for time in common["next_local"]] == ["02:30:00+09:00"] * 2
        text = lab.run("schedule", path, "--list", 1).stdout
        assert text.startswith("the document: CRON_TZ=Asia/Tokyo 30 2 * * *\n  2") and "\nb: @daily\n  2" in text
        code, document = lab.run_json("schedule", path, "--list", 1, "--only", "b")
        assert [one["experiment"] for one in document["schedules"]] == ["b"]


@pytest.mark.parametrize("schedule,experiments,says", [
    ("0 0 30 2 *", [("a", None)], "plan.yaml:1:73: schedule: '0 0 30 2 *' never comes: no year has such a day and time"),
    ("61 * * * *", [("a", None)], "schedule: minute: 61 is outside 0-59"),
    ({"cron": "@daily", "every": "5m"}, [("a", None)], "every: a schedule takes either cron or every"),
    ({"cron": "@daily", "timezone": "Mars"}, [("a", None)], "timezone: 'Mars' is no time zone"),
    ({"cron": "@daily", "zone": "UTC"}, [("a", None)], "unknown key 'zone' of schedule"),
    (["@daily"], [("a", None)], "schedule: takes a text such as '0 3 * * *' or a mapping, not a list"),
    (None, [("a", "@daily"), ("b", None)], "experiment 'b' has no schedule, and the document has none either"),
])
def test_mistakes_have_their_place(schedule, experiments, says):
    with Lab() as lab:
        path = plan(lab, experiments, **({"schedule": schedule} if schedule else {}))
        done = lab.run("schedule", path)
        assert done.returncode == 2 and says in done.stderr and re.search(r"plan\.yaml:1:\d+: ", done.stderr), done.stderr


@pytest.mark.parametrize("options, says", [
    (["--list", 0], "--list: '0' is not a whole number from 1 to 1000"),
    (["--list", 1001], "--list: '1001' is not a whole number from 1 to 1000"),
    (["--list", 1, "--once"], "--list runs nothing and does not go with --once"),
    (["--list", 1, "--systemd"], "--list runs nothing and does not go with --systemd"),
    (["--systemd", "--once"], "--systemd runs nothing and does not go with --once"),
    (["--list", 1, "--metrics", "127.0.0.1:0"], "--list runs nothing and does not go with --metrics"),
    (["--systemd", "--out", "missing"], "--out: cannot write into 'missing': No such file or directory"),
    (["--systemd", "--out", "plan.yaml"], "--out: cannot write into 'plan.yaml': Not a directory"),
    (["--list", 1, "--report", "json=%Q.json"], "--report: 'json=%Q.json' has '%Q', which is no placeholder for a time"),
    (["--list", 1, "--report", "json=%Y-%"], "--report: 'json=%Y-%' has '%', which is no placeholder for a time"),
    (["--list", 1, "--report", "json=%D"], "--report: 'json=%D' has '%D', which is no placeholder for a time"),
    (["--list", 1, "--report", "json=%%-%Y", "--report", "csv=%%-%Y"], "is the file of another report"),
])
def test_options_that_contradict_are_refused(options, says):
    with Lab() as lab:
        plan(lab, schedule="@daily")
        done = lab.run("schedule", "plan.yaml", *options)
        assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not done.stdout


def test_schedules_in_each_others_way_are_refused():
    with Lab() as lab:
        url = "http://127.0.0.1:9/v2/models/m/infer"
        (lab.folder / "rows.csv").write_text("x,label\n1,0\n2,1\n")
        http = {"kind": "http", "url": url, "dataset": "rows.csv", "label": "label"}
        path = plan(lab, [("a", "0 3 * * *"), ("b", "0 3 1 * *")], pipeline=http)
        done = lab.run("schedule", path, "--list", 1)
        assert done.returncode == 2
        assert re.search(r"experiments 'a' and 'b' act on the same thing and are both due at \d{4}-\d\d-01T03:00:00", done.stderr)
        # At other times, with leave, or each on a pipeline of its own they are fine.
        for experiments, keys in [([("a", "0 3 * * *"), ("b", "0 4 1 * *")], {"pipeline": http}),
                                  ([("a", "0 3 * * *"), ("b", {"cron": "0 3 1 * *", "overlap": True})], {"pipeline": http}),
                                  ([("a", "0 3 * * *"), ("b", "0 3 1 * *")], {})]:
            assert lab.run("schedule", plan(lab, experiments, **keys), "--list", 1).returncode == 0


# ---- systemd ----

def analyze(*words):
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, env=dict(os.environ, TZ="UTC", LC_ALL="C"))


def test_units_are_accepted_by_systemd():
    with Lab() as lab:
        path = plan(lab, [("a", None), ('b "$x" 50%', {"cron": "30 2 1,15 * MON", "timezone": "Europe/Berlin", "jitter": "5m"})],
                    schedule="every 90s")
        folder = lab.folder / "units"
        folder.mkdir()
        done = lab.run("schedule", path, "--systemd", "--out", folder, "--set", "duration=400ms")
        assert done.returncode == 0, done.stderr
        names = sorted(os.listdir(folder))
        assert len(names) == 4 and done.stdout.split() and all(name.startswith("chaoseater-plan") for name in names)
        checked = analyze("verify", *(folder / name for name in names))
        assert checked.returncode == 0 and checked.stderr == "", checked.stderr
        printed = lab.run("schedule", path, "--systemd", "--set", "duration=400ms").stdout
        assert all((folder / name).read_text() in printed for name in names)


def units_in(folder, lab, *options, **environment):
    folder.mkdir()
    done = lab.run("schedule", plan(lab, schedule="@daily"), "--systemd", "--out", folder, *options, **environment)
    assert done.returncode == 0, done.stderr
    return [folder / name for name in done.stdout.split()]


@pytest.mark.parametrize("name", ["state", 'a "b" \\ 50% $c', "a\nb\tc", "é"])
def test_a_service_has_the_state_folder_of_the_environment(name):
    """Read again as systemd does it: % stands for itself when doubled, and what is quoted is unescaped as in C."""
    with Lab() as lab:
        state = lab.folder / name
        service, _ = units_in(lab.folder / "units", lab, CHAOSEATER_STATE_DIR=state)
        line, = re.findall(r"^Environment=\"(.*)\"$", service.read_text(), re.M)
        assert "%" not in line.replace("%%", "")
        said = re.sub(r'\\(x[0-9a-f]{2}|["\\])', lambda found: chr(int(found[1][1:], 16)) if len(found[1]) > 1 else found[1],
                      line.replace("%%", "%"))
        assert said == f"CHAOSEATER_STATE_DIR={state}"
        given, _ = units_in(lab.folder / "others", lab, "--state-dir", lab.state)
        assert "Environment" not in given.read_text() and "--state-dir" in given.read_text()
        if shutil.which("systemd-analyze"):
            checked = analyze("verify", service)
            assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr


def test_timers_elapse_when_the_schedule_is_due():
    analyze("--version")
    with Lab() as lab:
        cases = [case for case in cron_cases.cases(400, seed=5) if not clock_changes(case[1], [case[0], case[0] + 5 * 86400])][:40]
        checked = 0
        for (after, zone, expression), us in zip(cases, ours(cases)):
            if isinstance(us, str) or us[0] - after > 5 * 86400:
                continue
            path = plan(lab, schedule={"cron": expression, "timezone": zone})
            timer = lab.run("schedule", path, "--systemd").stdout
            events = re.findall(r"^OnCalendar=(.*)$", timer, re.M)
            done = analyze("calendar", f"--base-time=@{after}", *events)
            times = re.findall(r"(?:Next elapse|\(in UTC\)): \w+ (\S+ \S+) UTC", done.stdout)
            assert times, (events, done.stdout, done.stderr)
            due = min(datetime.datetime.fromisoformat(time + "+00:00").timestamp() for time in times)
            assert due == us[0], (expression, zone, after, events, done.stdout)
            checked += 1
        assert checked > 10
