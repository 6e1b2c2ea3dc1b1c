# SPDX-License-Identifier: MIT
"""The live page as people use it, in a real browser against a real server with real runs."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import browser
import peers
from lab import Lab, wait_for
from serving import Serve
from test_serve import plan

EVIL = "<script>alert(1)</script>"
WALK = pathlib.Path(__file__).with_name("page_walk.py")


class Person:
    """CHAOSEATER_ARTIFACTS names the folder where the pictures are kept."""

    def __init__(self, serve, folder, steps, scheme="light", axe=True):
        program = shutil.which("chromium")
        if not program:
            pytest.skip("needs Debian's chromium")
        script = peers.node_modules("axe-core@4.14.1") / "node_modules" / "axe-core" / "axe.min.js" if axe else None
        pictures = pathlib.Path(os.environ.get("CHAOSEATER_ARTIFACTS", folder)) / f"live-{scheme}{'' if axe else '-strict'}"
        pictures.mkdir(parents=True, exist_ok=True)
        asked = {"program": program, "url": serve.url, "base": f"http://{serve.listen}", "token": serve.token, "steps": steps,
                 "axe": script.read_text() if axe else "", "scheme": scheme, "pictures": str(pictures), "document": "live.yaml"}
        self.process = subprocess.Popen([browser.python(), WALK], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.tell(asked)
        self.pictures = pictures

    def tell(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def saw(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()[-3000:]
        return json.loads(line)

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def serve():
    with Lab() as lab:
        plan(lab, EVIL, "plain", path="past.yaml")
        plan(lab, EVIL, path="live.yaml", duration="60s")
        assert lab.run("run", "past.yaml").returncode == 0
        yield Serve(lab, "live.yaml")


@pytest.mark.parametrize("scheme, axe", [("light", True), ("dark", True), ("light", False)])
def test_a_walk_through_the_page(serve, tmp_path, scheme, axe):
    """With axe-core the page's own policy is off; the third time it is on, and nothing of the page offends it."""
    steps = ["start_and_abort", "filter_history", "look_at_run", "compare_two", "see_trend", "use_a_wrong_token", "pull_the_lever",
             "use_the_keyboard"]
    person = Person(serve, tmp_path, steps, scheme, axe)
    seen = person.saw()
    person.close()
    assert seen["address"].endswith("#/live") and serve.token not in seen["address"]
    assert seen["moved"] and seen["numbers"] >= 2 and seen["kept_open"] == 1
    assert seen["spoken"] == f"{EVIL}: observing"
    assert seen["ended_as"] == "interrupted"
    assert seen["all"] == [EVIL, "plain", EVIL] and seen["filtered"][0] == EVIL
    assert seen["refused"] == "min_score: 'high' is no number"
    assert seen["run_title"].startswith(EVIL) and EVIL in seen["report_title"]
    assert seen["needs_two"] and seen["curves"] == 5 and seen["measured"] > 10
    assert sorted(seen["compared"]) == sorted(["plain", EVIL])
    assert seen["trend"][-1] == "1"
    assert seen["wrong_token"] == "The token is missing or wrong. It stands in the address that chaoseater serve printed."
    assert seen["may_start"] == 0 and seen["cancelled"]
    assert seen["lever"] and not (serve.lab.state / "stop").exists()
    assert seen["order"][:6] == ["Skip to content", "Live", "History", "Trends", "Compare", "document"]
    # What the browser said: nothing but that two requests were refused, as they were meant to be.
    assert [said for said in seen["said"] if "status of 40" not in said] == []
    assert seen.get("violations", []) == []
    assert len(list(person.pictures.glob("*.png"))) == 6
    wait_for(lambda: not json.loads(serve.lab.run("status", "--json").stdout)["live"], "all is undone")


def test_a_page_whose_server_has_gone_says_so(serve, tmp_path):
    person = Person(serve, tmp_path, ["use_the_keyboard", "lose_the_server"])
    person.saw()
    assert serve.stop()[0] == 0
    person.tell("")
    assert person.saw()["connection"] == "the server does not answer; trying again"
    person.close()


def test_the_page_has_nothing_that_its_policy_forbids(root):
    for file in (root / "src" / "web" / "page").iterdir():
        text = file.read_text(encoding="ascii")
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=", "http://", "https://"]:
            assert forbidden not in text.replace("http://www.w3.org/2000/svg", ""), (file.name, forbidden)
