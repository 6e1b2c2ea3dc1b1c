# SPDX-License-Identifier: MIT
"""Beside tab_err, an error generator that others wrote: where it means the same, the same comes out.

Both tools damage the same table; SciPy says whether the results differ by more than chance. Seeds are fixed, and none
was chosen: each comparison allows 6 sigma, or p > 1e-6.
"""
import json

import pytest

import peers

ROWS = 20000
PRELUDE = f"""
import json, random, sys
import numpy, pandas
from scipy import stats
from tab_err.api import low_level
from tab_err import error_mechanism as mechanisms, error_type as types
numpy.random.seed(3)
rng = numpy.random.default_rng(11)
def make():
    return pandas.DataFrame({{
        'age': rng.integers(18, 90, {ROWS}),
        'income': rng.normal(52000, 9000, {ROWS}).round(2),
        'city': rng.choice(['Paris', 'Oslo', 'Wien', 'Roma'], {ROWS}, p=[0.4, 0.3, 0.2, 0.1]),
        'street': rng.choice(['Long Acre Road', 'Main Street', 'Rue de Rivoli'], {ROWS}),
    }})
def read(path):
    return pandas.read_csv(path, keep_default_na=False, na_values=[''])
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chaoseater_module):
    folder = tmp_path_factory.mktemp("oracle")
    python = peers.python()
    peers.script(python, PRELUDE + "make().to_csv(sys.argv[1], index=False)", folder / "in.csv")

    class Lab:
        def ours(self, *arguments):
            done = chaoseater_module("data", "inject", folder / "in.csv", "-o", folder / "out.csv", "--seed", "5", "--json",
                                     *arguments)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        def judge(self, code):
            """Runs code that sees `before`, `ours`, and damages `before` by tab_err; its last line is a JSON document."""
            out = peers.script(python, PRELUDE + "before, ours = read(sys.argv[1]), read(sys.argv[2])\n" + code,
                               folder / "in.csv", folder / "out.csv")
            return json.loads(out.splitlines()[-1])

    return Lab()


def test_completely_at_random_both_hit_exactly_the_rate(lab):
    lab.ours("--fault", "missing_data", "--param", "missing_rate=0.1", "--columns", "income", "--exact")
    seen = lab.judge("""
theirs, mask = low_level.create_errors(before, 'income', 0.1, mechanisms.ECAR(), types.MissingValue())
hit = ours['income'].isna()
print(json.dumps({'ours': int(hit.sum()), 'theirs': int(mask['income'].sum()),
                  'p': stats.ks_2samp(numpy.flatnonzero(hit), numpy.flatnonzero(mask['income'])).pvalue}))
""")
    assert seen["ours"] == seen["theirs"] == ROWS // 10
    assert seen["p"] > 1e-6  # both spread evenly over the rows


@pytest.mark.parametrize("mechanism, theirs, column", [
    ("mar(age)", "mechanisms.EAR(condition_to_column='age')", "age"),
    ("mnar", "mechanisms.ENAR()", "income"),
])
def test_at_random_and_not_at_random_both_hit_a_block_of_ranks(lab, mechanism, theirs, column):
    lab.ours("--fault", "missing_data", "--param", "missing_rate=0.2", "--columns", "income", "--mechanism", mechanism)
    seen = lab.judge(f"""
_, mask = low_level.create_errors(before, 'income', 0.2, {theirs}, types.MissingValue())
def block(hit):
    values = before['{column}']
    inside, outside = values[hit], values[~hit]
    between = ((outside > inside.min()) & (outside < inside.max())).sum()
    return [int(hit.sum()), int(between)]
print(json.dumps([block(ours['income'].isna()), block(mask['income'])]))
""")
    (ours, ours_between), (theirs_count, theirs_between) = seen
    assert ours_between == theirs_between == 0
    assert theirs_count == ROWS // 5 and abs(ours - ROWS // 5) <= ROWS * 0.01  # quantiles from a sketch


def test_wrong_unit_is_the_same_function(lab):
    lab.ours("--fault", "data_corruption", "--param", "kind=wrong_unit", "--param", "factor=10", "--param",
             "corruption_rate=0.3", "--columns", "income")
    seen = lab.judge("""
theirs, mask = low_level.create_errors(before, 'income', 0.3, mechanisms.ECAR(), types.WrongUnit())
hit = ours['income'] != before['income']
def off(after, hit):
    return float((after['income'][hit] - 10 * before['income'][hit]).abs().max())
print(json.dumps([off(ours, hit), off(theirs, mask['income']), int(hit.sum())]))
""")
    assert seen[0] <= 0.005 and seen[1] <= 0.005 and seen[2] > ROWS * 0.25


def test_swapped_categories_are_other_ones_and_uniform(lab):
    """tab_err 0.2.1 draws one new category for each old one (pandas maps a categorical's categories, not its cells), so
    the distribution is held against the uniform one that its documentation names."""
    lab.ours("--fault", "data_corruption", "--param", "kind=category_swap", "--param", "corruption_rate=0.4", "--columns",
             "city")
    seen = lab.judge("""
before['city'] = before['city'].astype('category')
theirs, mask = low_level.create_errors(before, 'city', 0.4, mechanisms.ECAR(), types.CategorySwap())
old = before['city'].astype(str)
hit = (ours['city'] != old).to_numpy()
theirs_hit = mask['city'].to_numpy()
counts = pandas.crosstab(old[hit], ours['city'][hit])
p = [stats.chisquare([n for name, n in row.items() if name != city]).pvalue for city, row in counts.iterrows()]
print(json.dumps({'p': min(p), 'hit': int(hit.sum()), 'known': set(ours['city']) == set(old) == set(theirs['city']),
                  'theirs differ': bool((theirs['city'].astype(str)[theirs_hit] != old[theirs_hit]).all())}))
""")
    assert seen["known"] and seen["theirs differ"]
    assert seen["p"] > 1e-6 and abs(seen["hit"] - 0.4 * ROWS) < 6 * (0.24 * ROWS) ** 0.5


def test_typos_are_neighbouring_keys_as_often_as_theirs(lab):
    lab.ours("--fault", "data_corruption", "--param", "kind=typo", "--param", "corruption_rate=0.5", "--columns", "street")
    seen = lab.judge("""
theirs, mask = low_level.create_errors(before, 'street', 0.5, mechanisms.ECAR(), types.Typo())
def edits(after, hit):
    pairs = list(zip(before['street'][hit], after['street'][hit]))
    assert all(len(a) == len(b) for a, b in pairs)
    return [sum(x != y for x, y in zip(a, b)) for a, b in pairs]
ours_edits = edits(ours, (ours['street'] != before['street']).to_numpy())
theirs_edits = edits(theirs, mask['street'].to_numpy())
print(json.dumps([float(numpy.mean(ours_edits)), float(numpy.mean(theirs_edits)), min(ours_edits)]))
""")
    assert seen[2] >= 1
    assert abs(seen[0] - seen[1]) < 0.35  # they may draw one place twice


def test_noise_is_normal_and_rates_are_even(lab):
    lab.ours("--fault", "data_corruption", "--param", "corruption_rate=0.3", "--columns", "income,age")
    seen = lab.judge("""
deltas = (ours['income'] - before['income'])[ours['income'] != before['income']] / before['income'].std()
hits = numpy.array([(ours[c] != before[c]).to_numpy() for c in ('income', 'age')])
expected = 0.3 * hits.shape[1]
blocks = hits.reshape(2, 20, -1).sum(axis=2).ravel()
print(json.dumps({'normal': stats.kstest(deltas, 'norm').pvalue, 'blocks': stats.chisquare(blocks).pvalue,
                  'sigmas': float(abs(hits.sum(axis=1) - expected).max() / (expected * 0.7) ** 0.5),
                  'independent': stats.chi2_contingency(pandas.crosstab(hits[0], hits[1])).pvalue}))
""")
    assert seen["normal"] > 1e-6 and seen["blocks"] > 1e-6 and seen["independent"] > 1e-6
    assert seen["sigmas"] < 6
