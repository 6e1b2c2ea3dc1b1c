# SPDX-License-Identifier: MIT
"""The plugin of pytest, in sessions of pytest."""

import pytest
from face import live

pytest_plugins = ["pytester"]

DOCUMENT = """
experiments:
  - {name: %s, layer: model, fault_type: %s, duration: 300ms, baseline: 300ms}
"""


def test_the_marker_is_a_fault_around_the_test(pytester):
    pytester.makepyfile("""
        import chaoseater, pytest

        @pytest.mark.chaos("cpu_throttle", throttle_percent=50)
        def test_under():
            assert [live["fault"] for live in chaoseater.status()["live"]][0] == "cpu_throttle"

        def test_without():
            assert chaoseater.status()["live"] == []

        @pytest.mark.chaos("cpu_throttle", throttle_percent=50)
        def test_fails():
            assert False
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers")
    result.assert_outcomes(passed=2, failed=1)
    assert live() == []


@pytest.mark.parametrize("arguments, sentence", [
    ('"cpu_throtle"', "did you mean 'cpu_throttle'"), ('"cpu_throttle", throttle_percent=300', "outside"), ("", "name")])
def test_a_wrong_marker_fails_its_test(pytester, arguments, sentence):
    pytester.makepyfile(f"""
        import pytest

        @pytest.mark.chaos({arguments})
        def test_it(): pass
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.ret == 1 and sentence in result.stdout.str() and "Traceback" not in result.stdout.str()


def test_the_seed_is_told_and_can_be_given(pytester):
    pytester.makepyfile("""
        import pandas

        def test_seed(chaos):
            frame = pandas.DataFrame({"a": range(1000)})
            changed = chaos.inject(frame, "missing_data")
            print("seed", chaos.seed, changed["a"].isna().sum(), int(changed["a"].sum()))
            assert changed.equals(chaos.inject(frame, "missing_data"))
    """)
    first, second = (pytester.runpytest_subprocess("-p", "no:cacheprovider", "-s", "--chaos-seed", "7") for _ in range(2))
    first.stdout.fnmatch_lines(["chaos: --chaos-seed 7"])
    said = [[line for line in result.stdout.lines if "seed 7 " in line] for result in (first, second)]
    assert said[0] == said[1] and said[0]
    drawn = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    drawn.stdout.fnmatch_lines(["chaos: --chaos-seed *"])


def test_a_closed_gate_is_a_readable_failure(pytester):
    pytester.maketxtfile(good=DOCUMENT % ("calm", "slow_inference"), bad=DOCUMENT % ("outage", "model_unavailable"))
    pytester.makepyfile("""
        def test_open(chaos):
            assert chaos.assert_gate("good.txt", min_score=0).clean

        def test_closed(chaos):
            chaos.assert_gate("bad.txt", min_score=99)

        def test_of_a_result(chaos):
            chaos.assert_gate(chaos.run("bad.txt"), min_score=99)
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=2)
    said = result.stdout.str()
    assert "the gate of 99 points is closed" in said and "outage" in said and "model_unavailable" in said
    assert "Traceback" not in said and "results.py" not in said
