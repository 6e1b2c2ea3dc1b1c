# SPDX-License-Identifier: MIT
"""The HTML report: read by a parser that follows the rules of HTML, and looked at in a browser."""

import copy
import json
import os
import re
import subprocess

import pytest

import browser
from conftest import BUILD
from html_pages import SVG, elements, local_name, parse, rows_of, text_of, with_class

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> & 'q' </style> --> ]]>"
PLAN = {
    "seed": 7,
    "pipeline": {"kind": "embedded", "profile": "naive", "rows": 500},
    "experiments": [
        {"name": HOSTILE, "layer": "model", "fault_type": "model_unavailable", "parameters": {"failure_rate": 0.5},
         "duration": "1s", "baseline": "500ms", "tags": ["nightly"],
         "steady_state": [{"probe": "workload", "metric": "accuracy", "expect": {"min": 0.1}, "mode": "edge"}]},
        {"name": "eases", "layer": "model", "fault_type": "slow_inference", "parameters": {"latency_ms": 40},
         "duration": "500ms", "baseline": "500ms",
         "rollback": {"strategy": "gradual", "gradual_steps": 2, "health_check_interval": "300ms"}},
    ],
}
CHARTS = {
    "latency": ["at", "p50_ms", "p99_ms"],
    "errors": ["at", "operations", "errors"],
    "accuracy": ["at", "accuracy"],
    "intensity": ["at", "intensity"],
}


@pytest.fixture(scope="module")
def written(chaoseater_module):
    """A real suite, as JSON and as a page."""
    folder = chaoseater_module.folder
    (folder / "plan.yaml").write_text(json.dumps(PLAN))
    done = chaoseater_module("gate", "plan.yaml", "--report", "json=report.json", "--report", "html=report.html")
    assert done.returncode in (0, 1), done.stderr
    return json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()


def page_of(report):
    """The page of what a JSON report tells."""
    done = subprocess.run([BUILD / "tests" / "unit" / "report_tool", "html"], input=json.dumps(report),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def section(tree, number):
    (article,) = elements(tree, id=f"r{number}")
    return article


def check_inert(tree, text):
    """No script, nothing to load, nothing that acts, and a policy that would forbid it all."""
    allowed = set("""html head meta title style body main header section article h1 h2 h3 p a b dl dt dd div span ul li
        table thead tbody tr th td figure figcaption details summary pre code time svg desc rect path text
        circle""".split())
    assert {local_name(e) for e in tree.iter()} <= allowed
    for element in tree.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on") and name not in ("src", "style", "action", "formaction", "xlink:href")
            assert name != "href" or re.fullmatch(r"#[a-z0-9]+", value), value
    policies = elements(tree, **{"http-equiv": "Content-Security-Policy"})
    assert [p.get("content") for p in policies] == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not re.search(r"https?://|url\(|@import", text.partition("</style>")[0])


def check_accessible(tree):
    ids = [e.get("id") for e in tree.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    assert next(tree.iter("html")).get("lang") == "en"
    levels = [int(e.tag[1]) for e in tree.iter() if e.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    for drawing in tree.iter(f"{SVG}svg"):
        if drawing.get("aria-hidden") == "true":
            continue
        assert drawing.get("role") == "img"
        for label in drawing.get("aria-labelledby").split():
            assert text_of(elements(drawing, id=label)[0])
    for link in tree.iter("a"):
        assert link.get("href")[1:] in ids
    for cell in tree.iter("th"):
        assert cell.get("scope") in ("row", "col")


# ---- a real run


def test_a_page_is_inert_and_keeps_the_rules_of_html(written):
    _, page = written
    tree = parse(page)
    check_inert(tree, page)
    check_accessible(tree)


def test_a_page_says_what_the_json_says(written):
    report, page = written
    tree = parse(page)
    for number, run in enumerate(report["runs"], 1):
        article = section(tree, number)
        text = text_of(article)
        assert text_of(elements(article, id=f"r{number}-h")[0]).startswith(run["experiment"]["name"])
        assert run["verdict"] in text_of(with_class(article, "badge")[0])
        assert run["verification"] in text
        assert f"--seed {run['recipe']['seed']} " in text
        score = run["score"]
        assert text_of(with_class(article, "big")[0]) == f"{score['value']:.1f} of 100"
        for term, points in score["terms"].items():
            assert f"lost to {term} {points:.1f}" in text
        rows = [row for table in article.iter("table") for row in rows_of(table)]
        for step in run["rollback"]["steps"]:
            assert [f"{step['at']:.2f}", f"{step['intensity'] * 100:.0f} %", "✓ healthy", "–"] in rows
        phases = [row for row in rows if row[0] in run["metrics"]["operations"]]
        assert {row[0]: int(row[1]) for row in phases} == run["metrics"]["operations"]
        assert {row[0]: int(row[2]) for row in phases} == run["metrics"]["failed_operations"]
    overview = rows_of(next(elements(tree, id="experiments")[0].iter("table")))
    assert [row[0] for row in overview[1:]] == [f"{run['experiment']['name']}, naive" for run in report["runs"]]
    hypothesis = text_of(section(tree, 1))
    assert "Steady-state hypothesis" in hypothesis and "✓ held" in hypothesis


def test_the_series_tells_the_run(written):
    report, _ = written
    for run in report["runs"]:
        series, counted = run["series"], run["metrics"]
        lists = {key: value for key, value in series.items() if key not in ("began_at", "width", "phases")}
        assert set(lists) == {"at", "operations", "errors", "accuracy", "p50_ms", "p99_ms", "intensity"}
        assert len({len(value) for value in lists.values()}) == 1
        assert series["width"] == 0.1
        assert sum(series["operations"]) == sum(counted["operations"].values())
        assert sum(series["errors"]) == sum(counted["failed_operations"].values())
        assert all((n > 0) == (p50 is not None) for n, p50 in zip(series["operations"], series["p50_ms"]))
        names = [phase["phase"] for phase in series["phases"]]
        assert names == ["baseline", "injection", "fault", "rollback", "recovery"]
        assert all(phase["begin"] <= phase["end"] for phase in series["phases"])
        begins = {phase["phase"]: phase["begin"] for phase in series["phases"]}
        live = [at for at, intensity in zip(series["at"], series["intensity"]) if intensity > 0]
        assert live[0] + 0.1 >= begins["injection"] and live[-1] <= begins["recovery"]
    eased = report["runs"][1]["series"]["intensity"]
    assert 0.4 < sorted(eased)[-1] <= 1 and any(abs(value - 0.5) < 0.01 for value in eased)


def test_the_tables_hold_the_numbers_of_the_json(written):
    report, page = written
    tree = parse(page)
    for number, run in enumerate(report["runs"], 1):
        tables = [next(details.iter("table")) for details in section(tree, number).iter("details")]
        assert len(tables) == len(CHARTS)
        for table, keys in zip(tables, CHARTS.values()):
            rows = rows_of(table)[1:]
            assert len(rows) == len(run["series"]["at"])
            for column, key in enumerate(keys):
                got = [None if row[column] == "–" else float(row[column]) for row in rows]
                assert got == run["series"][key], key


def test_each_chart_shades_the_fault_and_draws_the_values(written):
    report, page = written
    article = section(parse(page), 1)
    for key in CHARTS:
        (drawing,) = [e for e in article.iter(f"{SVG}svg") if f"r1-{key}-t" in (e.get("aria-labelledby") or "")]
        (window,) = with_class(drawing, "window")
        assert 60 < float(window.get("x")) and 100 < float(window.get("width")) < 800
        shape = {"latency": "line1", "errors": "bars", "accuracy": "dots", "intensity": "steps"}[key]
        assert with_class(drawing, shape)[0].get("d")
    bars = with_class(article, "bars")[0].get("d").count("M")
    assert bars == sum(errors > 0 for errors in report["runs"][0]["series"]["errors"])


# ---- what else a report may hold


def hostile_strings(value):
    """Every text in it becomes one that would do harm; the few that are words of a list stay."""
    if isinstance(value, dict):
        keep = ("status", "verdict", "started_at", "ended_at", "event", "phase", "reason", "id")
        return {key: item if key in keep else hostile_strings(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile_strings(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def test_whatever_a_text_says_stays_text(written):
    report = hostile_strings(written[0])
    for run in report["runs"]:
        run["reason"] = HOSTILE
        run["experiment"]["parameters"] = {HOSTILE: HOSTILE, "list": [HOSTILE, 1.5, None]}
        run["fault"] = {"eligible": 1, "selected": 1, "changed": 1, "skipped": {HOSTILE: 3}}
        run["metrics"]["custom"] = {HOSTILE: {"baseline": 1.5, "fault": None, "recovery": HOSTILE}}
        run["series"]["phases"][1]["phase"] = HOSTILE
        run["stopped_by"] = {"condition": HOSTILE, "value": HOSTILE, "after": 1.0}
        run["blast_radius"] = {"of": HOSTILE, "mode": HOSTILE, "eligible": 3, "chosen": [HOSTILE]}
    report["gate"] = {"passed": False, "min_score": 70, "failures": [HOSTILE], "remarks": [HOSTILE]}
    report["earlier"] = [[{"started_at": HOSTILE, "resilience_score": HOSTILE, "verdict": HOSTILE}]]
    page = page_of(report)
    tree = parse(page)
    check_inert(tree, page)
    assert text_of(elements(tree, id="r1-h")[0]).startswith(" ".join(HOSTILE.split()))


def test_nothing_and_nulls_are_fine(written):
    empty = parse(page_of({"seed": 1, "runs": []}))
    assert "Nothing was run" in text_of(empty)
    run = copy.deepcopy(written[0]["runs"][0])
    run["series"] = None
    run["score"] = {"formula": "documented/1", "value": None, "terms": {"downtime": None, "accuracy": None, "errors": None}}
    run["experiment"]["name"] = "n" * 200
    run["metrics"].update(recovery_time=None, accuracy_degradation=None, pipeline_downtime=None, error_count=None)
    page = page_of({"seed": 1, "runs": [run]})
    tree = parse(page)
    check_accessible(tree)
    assert text_of(with_class(section(tree, 1), "big")[0]) == "none"
    assert not list(section(tree, 1).iter("figure"))
    assert "nan" not in text_of(tree).lower() and "inf" not in text_of(tree).lower().replace("inference", "")


@pytest.mark.parametrize("series", [
    {}, {"at": []}, {"at": [0]}, {"at": "text"}, {"at": [0, 1], "p50_ms": [1]},
    {"at": [None, "x", -1, 1e300], "operations": {}, "phases": [1, {"phase": 2}, {"phase": "fault"}]},
    {"at": [5, 1, 3], "p50_ms": [1e9, 0, 1e-9], "p99_ms": [1, 2, 3], "errors": [3, 2, 1], "operations": [0, 0, 1],
     "intensity": [9, 9, 9], "accuracy": [7, 7, 7], "width": -5,
     "phases": [{"phase": "rollback", "begin": 9, "end": 1}, {"phase": "fault", "begin": 1e8, "end": 9e8}]},
    {"at": [1e-320, 1e-310], "p50_ms": [1e-320, 1e-310], "width": 1e-320},
    {"at": list(range(5000)), "operations": [1] * 5000, "errors": [0] * 5000, "width": 1},
    {"at": [0], "width": 0, "p50_ms": [0], "phases": [{"phase": "x" * 300, "begin": 0, "end": 0}] * 20},
])
def test_a_series_of_any_shape_makes_a_page(written, series):
    run = copy.deepcopy(written[0]["runs"][0])
    run["series"] = series
    page = page_of({"seed": 1, "runs": [run]})
    tree = parse(page)
    check_accessible(tree)
    drawn = " ".join(e.get("d", "") for e in tree.iter(f"{SVG}path"))
    assert not re.search("nan|inf", drawn)
    assert len(page) < 300_000


def test_trials_are_points_of_their_own(written):
    run = copy.deepcopy(written[0]["runs"][0])
    run["metrics"]["custom"] = {"rows": {"baseline": 60.0, "fault": 25.0, "recovery": 60.0}}
    run["series"] = {
        "width": None, "at": [0, 0.5, 1.1, 2.0], "operations": [1] * 4, "errors": [0, 0, 1, 0],
        "accuracy": [0.9, 0.9, None, 0.9], "p50_ms": [400, 500, 20, 400], "p99_ms": [400, 500, 20, 400],
        "intensity": [0, 1, 1, 0], "custom": {"rows": [60, 25, None, 60]},
        "phases": [{"phase": "baseline", "begin": 0, "end": 0.4}, {"phase": "fault", "begin": 0.5, "end": 1.5},
                   {"phase": "recovery", "begin": 2, "end": 2.4}]}
    article = section(parse(page_of({"seed": 1, "runs": [run]})), 1)
    assert "How long trials took" in text_of(article)
    assert re.fullmatch(r"M[^ML]+(L[^ML]+){3}", with_class(article, "line1")[0].get("d"))
    assert ["rows", "60", "25", "\u2013", "60"] in [row for table in article.iter("table") for row in rows_of(table)]


def test_earlier_runs_are_drawn_and_listed(written):
    earlier = [{"id": f"e{i}", "started_at": f"2026-11-{i + 1:02}T08:00:00.000Z", "resilience_score": score,
                "verdict": "passed"} for i, score in enumerate([90, None, 70.25])]
    article = section(parse(page_of({"seed": 1, "runs": written[0]["runs"][:1], "earlier": [earlier]})), 1)
    (line,) = with_class(article, "spark")
    assert with_class(line, "line1")[0].get("d").count("L") == 2
    (table,) = [rows for rows in map(rows_of, article.iter("table")) if rows[0][0] == "began"]
    assert [row[1] for row in table[2:]] == ["70.2", "–", "90.0"]


def test_five_hundred_runs_of_a_minute_stay_within_bounds(written):
    run = copy.deepcopy(written[0]["runs"][0])
    slots = 600
    run["series"].update({key: [1234.567] * slots for key in ("at", "p50_ms", "p99_ms", "accuracy", "intensity")},
                         operations=[1000] * slots, errors=[999] * slots, at=[i / 10 for i in range(slots)])
    page = page_of({"seed": 1, "runs": [run] * 500})
    assert page.count("<article ") == 500
    assert len(page) < 500 * 200_000


# ---- in a browser


@pytest.mark.parametrize("scheme", browser.SCHEMES)
def test_a_browser_shows_the_page_and_everyone_can_read_it(written, tmp_path, scheme):
    """CHAOSEATER_ARTIFACTS names the folder where the screenshots are kept."""
    path = tmp_path / "report.html"
    path.write_text(written[1])
    folder = os.environ.get("CHAOSEATER_ARTIFACTS", tmp_path)
    found = browser.look(path, scheme, f"{folder}/report-{scheme}.png")
    assert found["said"] == [] and found["loaded"] == [path.as_uri()]
    assert all(shown <= int(width) for width, shown in found["widths"].items())
    assert found["violations"] == []
    assert found["data_shown"] == (scheme != "print")
    if scheme != "print":
        assert found["first_focus"] == "Skip to the experiments"
