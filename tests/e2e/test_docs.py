# SPDX-License-Identifier: MIT
"""What the documents tell users works: experiments are valid, commands exist, links lead somewhere."""

import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def name_of(page):
    return str(page.relative_to(ROOT))


EXPERIMENTS = [
    pytest.param(block, id=f"{name_of(page)}-{i}")
    for page in PAGES
    for i, block in enumerate(blocks(page, "yaml"))
    if re.search(r"^experiments:", block, re.MULTILINE)
]
COMMANDS = sorted(
    {
        (name_of(page), line.strip().removeprefix("$ "))
        for page in PAGES
        for block in blocks(page, "(?:sh|bash|console)")
        for line in re.sub(r"\\\n\s*", "", block).splitlines()  # a backslash goes on in the next line
        if re.match(r"\s*(\$ )?(build/)?chaoseater\s", line)
    }
)


def names_of_commands(chaoseater):
    return [command["name"] for command in json.loads(chaoseater("--help", "--json").stdout)["commands"]]


def command_of(words, names):
    """The command's own words: some have two."""
    return words[:2] if " ".join(words[:2]) in names else words[:1]


@pytest.mark.parametrize("document", EXPERIMENTS)
def test_experiments_are_valid(chaoseater, document):
    done = chaoseater("validate", "-", input=document)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page, line", COMMANDS)
def test_commands_exist_with_their_options(chaoseater, page, line):
    words = shlex.split(line, comments=True)
    words = words[1 : next((i for i, word in enumerate(words) if word in "|><;&&"), len(words))]
    if words == ["--version"] or words == ["--help"]:
        return
    help_text = chaoseater(*command_of(words, names_of_commands(chaoseater)), "--help")
    assert help_text.returncode == 0, help_text.stderr
    for word in words[1:]:
        if word.startswith("--"):
            assert f"{word.split('=')[0]} " in help_text.stdout, word


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


def test_the_man_page_names_every_command_and_exit_code(chaoseater, root):
    page = (root / "man" / "chaoseater.1").read_text()
    for command in names_of_commands(chaoseater):
        assert re.search(rf'^\.B {command}$|^\.BI "{command} "', page, re.MULTILINE), command
        for option in json.loads(chaoseater(*command.split(), "--help", "--json").stdout)["options"]:
            assert f"--{option['name']}".replace("-", r"\-") in page, (command, option["name"])
    for code in (0, 1, 2, 3, 4, 5, 6, 130, 143):
        assert re.search(rf"^\.B {code}$", page, re.MULTILINE), code
