# SPDX-License-Identifier: MIT
"""Every input that once was trouble, or might be, goes through its parser again."""

import subprocess
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in FUZZ.glob("fuzz_*.c"))


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_replays(chaoseater, build, target):
    corpus = FUZZ / "corpus" / target
    done = subprocess.run(
        [build / "fuzz" / f"replay_{target}", corpus],
        cwd=chaoseater.folder,
        env=chaoseater.env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"{len(list(corpus.iterdir()))} inputs replayed\n"
