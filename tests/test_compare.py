"""Evidence of a difference: p-values bound the exact ones, and are not far above them."""

import numpy as np
import pytest
from scipy import stats

from stream_app.evidence import compare


@pytest.mark.parametrize(
    "counts",
    [(0, 100, 5, 50), (5, 50, 0, 100), (40, 100, 90, 100), (1, 1000, 30, 200), (700, 1000, 2, 8), (3, 9, 1, 5)],
)
def test_the_p_value_of_a_share_bounds_that_of_fishers_exact_test(counts):
    a, n, b, m = counts
    exact = np.log10(2 * min(stats.hypergeom.sf(b - 1, n + m, a + b, m), stats.hypergeom.cdf(b, n + m, a + b, m)))
    found = compare.rates(a, n, b, m).log10_p

    assert min(exact, 0) - 1e-9 <= found <= min(0, exact + 0.35)


def test_extreme_evidence_can_still_be_ranked():
    zeros = np.zeros(5000)

    assert compare.numbers(zeros, zeros + 1).log10_p < compare.numbers(zeros[:2000], zeros + 1).log10_p < -1000
    assert compare.rates(0, 5000, 5000, 5000).log10_p < -1000


@pytest.mark.parametrize("kind", ["normal", "atoms", "rare"])
def test_equal_samples_are_seldom_told_apart_whatever_their_sizes_and_ties(kind):
    rng = np.random.default_rng(0)
    draw = {
        "normal": rng.normal,
        "atoms": lambda size: rng.poisson(0.5, size).astype(float),
        "rare": lambda size: (rng.random(size) < 0.003).astype(float),
    }[kind]
    found = [compare.numbers(np.sort(draw(size=1000)), np.sort(draw(size=m))).log10_p <= -2 for m in (5, 30, 300) * 100]

    assert np.mean(found) <= 0.02


def test_a_spread_and_a_shift_are_seen_with_few_rows():
    rng = np.random.default_rng(1)
    x = np.sort(rng.normal(size=1000))

    assert compare.numbers(x, np.sort(3 * rng.normal(size=40))).log10_p < -3
    assert compare.numbers(x, np.sort(1 + rng.normal(size=40))).log10_p < -3


def test_which_sample_is_the_smaller_one_does_not_matter():
    rng = np.random.default_rng(3)
    many, few = np.sort(rng.normal(size=1000)), np.sort(1.2 * rng.normal(size=60) + 0.7)
    there, back = compare.numbers(many, few), compare.numbers(few, many)

    assert there.log10_p == pytest.approx(back.log10_p)
    assert there.effect == pytest.approx(back.effect)


def test_many_rare_categories_are_no_effect_by_themselves():
    rng = np.random.default_rng(2)
    before, after = (np.bincount(rng.integers(0, 60, n), minlength=60) for n in (1000, 60))
    difference, _ = compare.shares(before, after)
    plain = np.abs(before / before.sum() - after / after.sum()).sum() / 2

    assert difference.effect < 0.5 * plain
    assert difference.log10_p > -2
