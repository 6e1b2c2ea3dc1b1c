# SPDX-License-Identifier: MIT
"""The reports that CI systems read, and the gate: each is read back by somebody else's reader, or held against
the rules that its reader has."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from conftest import BUILD, ROOT

# A control run, and a fault that hits nothing; its name is one that no format may obey.
HOSTILE = 'a]]><b>&"c" %0A::error::x | `y` # SKIP, \\'
EXPERIMENTS = [
    {"name": "nothing_happens", "layer": "model", "fault_type": "slow_inference", "parameters": {"latency_ms": 0},
     "duration": "300ms", "baseline": "300ms", "tags": ["nightly", "quick"]},
    {"name": HOSTILE, "layer": "model", "fault_type": "slow_inference", "parameters": {"path": "/nowhere"},
     "duration": "300ms", "baseline": "300ms"},
]
FORMATS = ["text", "json", "junit", "github", "markdown", "tap", "csv", "gitlab"]


def write_document(path, experiments=EXPERIMENTS, **more):
    path.write_text(json.dumps({"seed": 7, "experiments": experiments,
                                "pipeline": {"kind": "embedded", "profile": "naive", "rows": 500}, **more}))


@pytest.fixture(scope="module")
def reports(chaoseater_module):
    """One run of the gate, in every format: {format: text}, and what it printed."""
    write_document(chaoseater_module.folder / "plan.yaml")
    options = [word for name in FORMATS for word in ("--report", f"{name}=report.{name}")]
    done = chaoseater_module("gate", "plan.yaml", *options)
    found = {name: (chaoseater_module.folder / f"report.{name}").read_text() for name in FORMATS}
    found["stdout"], found["exit"] = done.stdout, done.returncode
    return found


def runs_of(reports):
    return json.loads(reports["json"])["runs"]


def test_the_gate_says_why_it_did_not_pass(reports):
    gate = json.loads(reports["json"])["gate"]
    assert reports["exit"] == 4 and runs_of(reports)[1]["verdict"] in ("invalid", "inconclusive")
    assert list(gate) == ["min_score", "passed", "on", "baseline", "failures", "remarks"]
    assert not gate["passed"] and gate["on"] == "each" and gate["baseline"] is None
    (sentence,) = gate["failures"]
    assert sentence.startswith(HOSTILE) and runs_of(reports)[1]["verdict"] in sentence
    assert "Gate not passed" in reports["stdout"].rpartition("Mean resilience score")[2]


# ---- JUnit

# What Jenkins' schema (junit-10) demands, said once more in our own words: attributes of each element, those that it needs,
# and what may stand in it. In this order, which those demand that have one.
JUNIT = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, set(), ["testsuite"]),
    "testsuite": ({"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id",
                   "package", "file", "log", "url", "version"}, {"name", "tests", "failures", "errors"},
                  ["properties", "testsuite", "testcase", "system-out", "system-err"]),
    "properties": (set(), set(), ["property"]),
    "property": ({"name", "value"}, {"name", "value"}, []),
    "testcase": ({"name", "time", "classname", "group"}, {"name"}, ["skipped", "error", "failure", "system-out", "system-err"]),
    "failure": ({"type", "message"}, set(), None),  # text
    "error": ({"type", "message"}, set(), None),
    "skipped": ({"type", "message"}, set(), None),
    "system-out": (set(), set(), None),
    "system-err": (set(), set(), None),
}
# Counts are whole numbers, times have no exponent and three decimals at most, a time of day is one of ISO 8601.
JUNIT_TYPES = {**dict.fromkeys(["tests", "failures", "errors", "skipped", "disabled"], r"[0-9]+"), "time": r"[0-9]+(\.[0-9]{0,3})?",
               "timestamp": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?"}


def junit_mistakes(element):
    """What is not as it has to be, a line each."""
    if element.tag not in JUNIT:
        return [f"there is no element {element.tag}"]
    allowed, needed, children = JUNIT[element.tag]
    found = [f"{element.tag} needs {name}" for name in needed - set(element.attrib)]
    found += [f"{element.tag} has no {name}" for name in set(element.attrib) - allowed]
    found += [f"{name}={value}" for name, value in element.attrib.items()
              if name in JUNIT_TYPES and not re.fullmatch(JUNIT_TYPES[name], value)]
    tags = [child.tag for child in element]
    found += [f"{tag} in {element.tag}" for tag in tags if tag not in (children or [])]
    known = [(children or []).index(tag) for tag in tags if tag in (children or [])]
    found += [f"the order {tags}"] if known != sorted(known) else []
    outside = [element.text, *(child.tail for child in element)]
    found += [f"text in {element.tag}"] if children is not None and any(text and text.strip() for text in outside) else []
    return found + [line for child in element for line in junit_mistakes(child)]


def test_every_report_says_what_was_cut_short(chaoseater, tmp_path):
    (tmp_path / "plan.yaml").write_text("experiments: [{name: a, layer: model, fault_type: slow_inference, duration: 1h, baseline: 300ms}]\n")
    names = ["text", "json", "html", "markdown", "junit", "tap"]
    asked = [word for name in names for word in ("--report", f"{name}={tmp_path / name}")]
    done = chaoseater("run", tmp_path / "plan.yaml", *asked, env={**chaoseater.env, "CHAOSEATER_MAX_DURATION": "700ms"})
    assert done.returncode == 0
    assert "CHAOSEATER_MAX_DURATION=700ms: the duration of 1 experiment is cut to it" in done.stderr
    texts = {name: (tmp_path / name).read_text().replace("\\", "") for name in names}
    assert json.loads(texts.pop("json"))["runs"][0]["duration_cap"] == {"seconds": 0.7, "asked": 3600}
    assert "CHAOSEATER_MAX_DURATION cut the duration of 1 run." in texts.pop("markdown")
    for name, text in texts.items():
        assert "0.7 s instead of 3600 s: CHAOSEATER_MAX_DURATION cut it" in text, name
    again = chaoseater("history", "show", "a", "--report", "text=-")
    assert "0.7 s instead of 3600 s" in again.stdout + again.stderr


def test_junit_follows_the_rules_of_jenkins(reports):
    root = ElementTree.fromstring(reports["junit"])
    assert root.tag == "testsuites" and junit_mistakes(root) == []
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors")) == len(suite.findall("testcase/error"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
        assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    assert int(root.get("tests")) == len(root.findall("testsuite/testcase")) == len(runs_of(reports)) + 1
    assert (int(root.get("failures")), int(root.get("errors"))) == (1, 1)
    if os.environ.get("CHAOSEATER_JUNIT_XSD"):  # a copy of junit-10.xsd, which is not part of this project
        etree = pytest.importorskip("lxml.etree")
        etree.XMLSchema(etree.parse(os.environ["CHAOSEATER_JUNIT_XSD"])).assertValid(etree.fromstring(reports["junit"].encode()))


@pytest.mark.parametrize("change, mistake", [
    (lambda root: root.set("skipped", "0"), "testsuites has no skipped"),
    (lambda root: root[0].attrib.pop("errors"), "testsuite needs errors"),
    (lambda root: root[0].set("tests", "2.0"), "tests=2.0"),
    (lambda root: root[0][0].set("time", "1e-3"), "time=1e-3"),
    (lambda root: root[0][0].set("time", "0.0001"), "time=0.0001"),
    (lambda root: root[0].set("timestamp", "yesterday"), "timestamp=yesterday"),
    (lambda root: root[0][0].set("file", "plan.yaml"), "testcase has no file"),
    (lambda root: root[0][0].insert(0, ElementTree.Element("properties")), "properties in testcase"),
    (lambda root: root[0][0].append(ElementTree.Element("failure")), "the order"),
    (lambda root: setattr(root[0][0], "tail", "text"), "text in testsuite"),
    (lambda root: root.append(ElementTree.Element("testcase")), "testcase in testsuites"),
    (lambda root: root[0].append(ElementTree.Element("b")), "there is no element b"),
])
def test_what_breaks_these_rules_is_seen(reports, change, mistake):
    root = ElementTree.fromstring(reports["junit"])
    change(root)
    assert any(mistake in line for line in junit_mistakes(root)), junit_mistakes(root)


def test_junit_names_what_was_run(reports):
    root = ElementTree.fromstring(reports["junit"])
    names = [case.get("name") for case in root.findall("testsuite[@name='model']/testcase")]
    assert names == [f"{run['experiment']['name']}, naive" for run in runs_of(reports)]


# ---- GitHub


def unescape(text):
    """What the runner makes of a value in a workflow command."""
    for escaped, plain in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(escaped, plain)
    return text


def test_annotations_carry_their_texts(reports):
    commands = [re.fullmatch(r"::(error|warning|notice) title=([^:,]*)::(.*)", line)
                for line in reports["github"].splitlines()]
    assert all(commands) and [command[1] for command in commands] == ["error", "error"]
    gate, run = commands
    assert gate[2] == "Gate not passed" and unescape(run[2]) == f"{HOSTILE}, naive"
    assert unescape(run[3]).startswith(runs_of(reports)[1]["verdict"])


def test_a_step_gets_annotations_and_a_summary(chaoseater, tmp_path):
    write_document(tmp_path / "plan.yaml", EXPERIMENTS[:1])
    summary = tmp_path / "summary.md"
    summary.write_text("what the step said before\n")
    done = chaoseater("gate", "plan.yaml", "--report", "github=-", env={**chaoseater.env, "GITHUB_STEP_SUMMARY": str(summary)})
    assert done.returncode == 0
    assert done.stdout == "::notice title=Gate passed::at least 70 on each\n"
    page = summary.read_text()
    assert page.startswith("what the step said before\n## ChaosEater: 1 of 1 run passed") and "**Gate passed**" in page


def test_a_summary_that_would_be_lost_is_left_as_it_was(chaoseater, tmp_path):
    write_document(tmp_path / "plan.yaml", EXPERIMENTS[:1])
    summary = tmp_path / "summary.md"
    summary.write_text("x" * (1 << 20))
    done = chaoseater("run", "plan.yaml", "--report", "github=-", env={**chaoseater.env, "GITHUB_STEP_SUMMARY": str(summary)})
    assert done.returncode == 0 and "1 MiB" in done.stderr
    assert summary.stat().st_size == 1 << 20


# ---- Markdown, TAP, CSV, GitLab


def test_every_row_of_the_page_has_its_cells(reports):
    rows = [line for line in reports["markdown"].splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(runs_of(reports))
    assert {row.count("|") for row in rows} == {11}
    assert "<b>" not in reports["markdown"]


def test_tap_is_read_by_perl(reports, tmp_path):
    reader = """use TAP::Parser; my $p = TAP::Parser->new({source => $ARGV[0]});
while (my $r = $p->next) { print join("\\t", $r->number, $r->is_ok ? 1 : 0, $r->description), "\\n" if $r->is_test }
print join(",", $p->version, $p->tests_planned, scalar $p->parse_errors), "\\n";"""
    if subprocess.run(["perl", "-MTAP::Parser", "-e", "1"], capture_output=True).returncode != 0:
        pytest.skip("perl has no TAP::Parser here")
    (tmp_path / "report.tap").write_text(reports["tap"])
    done = subprocess.run(["perl", "-e", reader, "report.tap"], cwd=tmp_path, capture_output=True, text=True)
    *tests, last = done.stdout.splitlines()
    assert last == "13,3,0", done.stdout + done.stderr
    assert [line.split("\t")[:2] for line in tests] == [["1", "1"], ["2", "0"], ["3", "0"]]


def test_the_blocks_of_tap_are_yaml(reports):
    blocks = re.findall(r"^  ---\n(.*?)^  \.\.\.$", reports["tap"], re.MULTILINE | re.DOTALL)
    *runs, gate = [yaml.safe_load(block) for block in blocks]
    for block, run in zip(runs, runs_of(reports), strict=True):
        assert block["ending"] == run["verdict"] and block["message"] == run["reason"]
    assert gate["failures"] == json.loads(reports["json"])["gate"]["failures"]


def test_csv_has_a_row_for_each_run(reports):
    rows = list(csv.DictReader(io.StringIO(reports["csv"])))
    for row, run in zip(rows, runs_of(reports), strict=True):
        assert row["id"] == run["id"] and row["name"] == run["experiment"]["name"]
        score = run["summary"]["resilience_score"]
        assert row["resilience_score"] == "" if score is None else float(row["resilience_score"]) == pytest.approx(score)
        assert int(row["error_count"]) == run["metrics"]["error_count"]
        assert row["started_at"] == run["started_at"]
        assert row["tags"].split(",") == (run["experiment"]["tags"] or [""])


def test_gitlab_gets_findings_that_it_can_tell_apart(reports):
    findings = json.loads(reports["gitlab"])
    for finding in findings:
        assert set(finding) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert finding["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert finding["location"]["lines"]["begin"] == 1
    assert len({finding["fingerprint"] for finding in findings}) == len(findings) == 2


# ---- where reports go


@pytest.mark.parametrize("options, says", [
    (["--report", "tap=-", "--report", "csv=-"], "second one for standard output"),
    (["--report", "tap=-", "--json"], "where --json prints"),
])
def test_standard_output_holds_one_report(chaoseater, tmp_path, options, says):
    write_document(tmp_path / "plan.yaml", EXPERIMENTS[:1])
    done = chaoseater("run", "plan.yaml", *options)
    assert done.returncode == 2 and says in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["run", "gate", "schedule"])
@pytest.mark.parametrize("options, says", [
    (["--report", "json=a", "--report", "csv=a"], "--report: 'a' is the file of another report"),
    (["--report", "json=a", "--report", "csv=./folder/../a"], "--report: './folder/../a' is the file of another report"),
    (["--report", "json=is", "--report", "csv=link"], "--report: 'link' is the file of another report"),
    (["--report", "json=a", "--hits", "a"], "--report: 'a' is the file of --hits"),
    (["--hits", "missing/hits"], "--hits: cannot write 'missing/hits': folder 'missing': No such file or directory"),
    (["--hits", "folder"], "--hits: 'folder' is a folder"),
])
def test_each_file_is_known_to_be_written_once_before_anything_runs(chaoseater, tmp_path, command, options, says):
    write_document(tmp_path / "plan.yaml", EXPERIMENTS[:1], schedule="@daily")
    (tmp_path / "folder").mkdir()
    (tmp_path / "is").write_text("as it was")
    (tmp_path / "link").symlink_to("is")
    done = chaoseater(command, "plan.yaml", *options)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert (tmp_path / "is").read_text() == "as it was" and not (tmp_path / "a").exists()


def test_what_is_no_file_takes_any_number_of_reports(chaoseater, tmp_path):
    write_document(tmp_path / "plan.yaml", EXPERIMENTS[:1])
    assert chaoseater("run", "plan.yaml", "--dry-run", "--report", "json=/dev/null", "--report", "csv=/dev/null").returncode == 0


# ---- the gate


@pytest.fixture(scope="module")
def baseline(chaoseater_module):
    """A control run, three times."""
    write_document(chaoseater_module.folder / "control.yaml", [dict(EXPERIMENTS[0], repeat=3)])
    done = chaoseater_module("run", "control.yaml", "--json")
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def gate(chaoseater, tmp_path, report, *options, repeat=1):
    write_document(tmp_path / "plan.yaml", [dict(EXPERIMENTS[0], repeat=repeat)])
    (tmp_path / "baseline.json").write_text(json.dumps(report))
    done = chaoseater("gate", "plan.yaml", "--baseline", "baseline.json", *options, "--json")
    return done.returncode, json.loads(done.stdout)["gate"]


def test_the_same_scores_pass(chaoseater, tmp_path, baseline):
    code, found = gate(chaoseater, tmp_path, baseline, "--max-drop", "20")
    assert code == 0 and found["passed"] and found["remarks"] == []
    (row,) = found["baseline"]["experiments"]
    assert row["experiment"] == "nothing_happens, naive" and row["runs"] == [3, 1] and row["passed"]


def test_a_drop_fails_and_says_both_numbers(chaoseater, tmp_path, baseline):
    for run in baseline["runs"]:
        run["score"]["value"] = 140.0
    code, found = gate(chaoseater, tmp_path, baseline)
    assert code == 1 and not found["passed"]
    (sentence,) = found["failures"]
    assert "from 140 " in sentence + " " and "5 were allowed" in sentence
    assert found["baseline"]["max_drop"] == 5


def test_noise_widens_what_is_allowed(chaoseater, tmp_path, baseline):
    for run, score in zip(baseline["runs"], (140.0, 100.0, 120.0)):
        run["score"]["value"] = score
    code, found = gate(chaoseater, tmp_path, baseline)
    (row,) = found["baseline"]["experiments"]
    # Two standard errors of the mean of 140, 100, 120: 2 * 20 / sqrt(3).
    assert row["allowed"] == pytest.approx(5 + 2 * 20 / 3**0.5)
    assert row["baseline"] == 120 and row["passed"] and code == 0


def test_what_one_side_lacks_is_said(chaoseater, tmp_path, baseline):
    baseline["runs"][0]["experiment"]["name"] = "another"
    code, found = gate(chaoseater, tmp_path, baseline, "--max-drop", "20")
    assert code == 0 and found["passed"]
    assert found["baseline"]["missing"] == ["another, naive"] and found["baseline"]["new"] == []
    assert len(found["remarks"]) == 1


@pytest.mark.parametrize("runs", [0, 1])
def test_a_baseline_of_other_experiments_is_no_baseline(chaoseater, tmp_path, baseline, runs):
    baseline["runs"] = baseline["runs"][:runs]
    for run in baseline["runs"]:
        run["experiment"]["name"] = "another"
    code, found = gate(chaoseater, tmp_path, baseline)
    assert code == 1 and not found["passed"]
    assert found["failures"] == ["nothing could be compared: the baseline 'baseline.json' has none of these experiments"]
    assert found["baseline"]["new"] == ["nothing_happens, naive"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"error": {"message": "x"}}', '{"runs": [{"id": "x"}]}', "\xff"])
def test_a_foreign_baseline_is_refused_before_anything_runs(chaoseater, tmp_path, text):
    write_document(tmp_path / "plan.yaml", EXPERIMENTS[:1])
    (tmp_path / "baseline.json").write_bytes(text.encode("latin-1"))
    done = chaoseater("gate", "plan.yaml", "--baseline", "baseline.json")
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "baseline.json" in done.stderr


@pytest.mark.parametrize("options, says", [
    (["--baseline", "nowhere.json"], "nowhere.json"),
    (["--max-drop", "3"], "without --baseline"),
    (["--on", "average"], "'average' is not each, layer or mean"),
])
def test_a_wrong_gate_is_refused(chaoseater, tmp_path, options, says):
    write_document(tmp_path / "plan.yaml", EXPERIMENTS[:1])
    done = chaoseater("gate", "plan.yaml", *options)
    assert done.returncode == 2 and says in done.stderr


# Scores near 100, but for `heavy`: half of its requests fail, which costs 30 points. `control` injects nothing.
SCORED = [
    {"name": "control", "layer": "model", "fault_type": "slow_inference", "parameters": {"latency_ms": 0}},
    {"name": "light", "layer": "model", "fault_type": "slow_inference", "parameters": {"latency_ms": 5, "variance": 0}},
    {"name": "heavy", "layer": "model", "fault_type": "model_unavailable", "parameters": {"failure_rate": 0.5}},
    {"name": "few", "layer": "data", "fault_type": "missing_data", "parameters": {"missing_rate": 0.01}},
    {"name": "fewer", "layer": "data", "fault_type": "missing_data", "parameters": {"missing_rate": 0.005}},
]


@pytest.mark.parametrize("on, least, said", [
    ("each", 78, ["heavy, naive: the score {heavy} is below 78"]),
    ("layer", 78, []),
    ("layer", 88, ["model: the mean score {model} of 2 runs is below 88"]),
    ("mean", 88, []),
    ("mean", 99, ["all layers: the mean score {all} of 4 runs is below 99"]),
])
def test_the_score_has_to_be_that_of_each_run_or_layer_or_of_all(chaoseater, tmp_path, on, least, said):
    """The same runs every time: what fails on each run passes on the mean of its layer, and so on."""
    write_document(tmp_path / "plan.yaml", [{**one, "duration": "400ms", "baseline": "400ms"} for one in SCORED])
    done = chaoseater("gate", "plan.yaml", "--on", on, "--min-score", least, "--json")
    suite = json.loads(done.stdout)
    scores = {run["experiment"]["name"]: run["score"]["value"] for run in suite["runs"]}
    assert 60 < scores["heavy"] < 72 and scores["light"] > 98 and scores["few"] > 93 and scores["fewer"] > 93, scores
    model = [scores["light"], scores["heavy"]]
    every = [*model, scores["few"], scores["fewer"]]
    numbers = {"heavy": f"{scores['heavy']:.6g}", "model": f"{sum(model) / 2:.6g}", "all": f"{sum(every) / 4:.6g}"}
    gate_said = suite["gate"]
    assert (gate_said["on"], gate_said["min_score"]) == (on, least)
    assert gate_said["failures"] == [sentence.format(**numbers) for sentence in said]
    assert (done.returncode, gate_said["passed"]) == ((1, False) if said else (0, True))


@pytest.mark.parametrize("on", ["layer", "mean"])
def test_a_mean_does_not_make_up_for_a_run_that_says_nothing(chaoseater, tmp_path, on):
    """It hits nothing: there is no score that a mean could take in, and the run itself did not pass."""
    idle = {"name": "idle", "layer": "model", "fault_type": "slow_inference", "parameters": {"path": "/nowhere"}}
    write_document(tmp_path / "plan.yaml", [{**one, "duration": "300ms", "baseline": "300ms"} for one in (SCORED[1], idle)])
    done = chaoseater("gate", "plan.yaml", "--on", on, "--min-score", 0, "--json")
    failures = json.loads(done.stdout)["gate"]["failures"]
    assert done.returncode == 4 and any(line.startswith("idle, naive: in") for line in failures), failures
    of = "model" if on == "layer" else "all layers"
    assert f"{of}: 1 of 2 runs have no score" in failures


# ---- examples/ci


def shell_steps(name):
    text = (ROOT / "examples" / "ci" / name).read_text()
    if name == "Jenkinsfile":
        return [long or short for long, short in re.findall(r"\bsh (?:'''(.*?)'''|'(.*?)')", text, re.DOTALL)]
    document = yaml.safe_load(text)
    if name == "github.yml":
        return [step["run"] for step in document["jobs"]["gate"]["steps"] if "run" in step]
    job = document["resilience"]
    return job["script"] + job["after_script"]


@pytest.mark.parametrize("name, files", [
    ("github.yml", ["chaos-junit.xml", "chaos.json", "summary.md"]),
    ("gitlab-ci.yml", ["chaos-junit.xml", "chaos-quality.json", "chaos.md", "chaos.json"]),
    ("Jenkinsfile", ["chaos-junit.xml", "chaos.json", "chaos.md", "chaos-baseline.json"]),
])
def test_the_examples_for_ci_run(chaoseater, tmp_path, name, files):
    write_document(tmp_path / "chaos.yaml", EXPERIMENTS[:1])
    steps = shell_steps(name)
    assert len(steps) >= 3
    env = {**chaoseater.env, "PATH": f"{BUILD}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    if name != "github.yml":
        del env["GITHUB_STEP_SUMMARY"]
    for _ in range(2 if name == "Jenkinsfile" else 1):  # the second build has a baseline
        for step in steps:
            done = subprocess.run([shutil.which("sh"), "-e", "-c", step], cwd=tmp_path, env=env, capture_output=True,
                                  text=True, timeout=300)
            assert done.returncode == 0, (step, done.stdout, done.stderr)
    for file in files:
        assert (tmp_path / file).stat().st_size > 0
    for file in re.findall(r"chaos[-.a-z]*\.(?:xml|json|md)", (ROOT / "examples" / "ci" / name).read_text()):
        assert (tmp_path / file).exists(), file
