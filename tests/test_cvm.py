"""Cramer-von Mises over windows: the limit law against its tables, the measured tail, and scipy's statistic."""

import math

import numpy as np
import pytest
from scipy import stats

from detectors import make
from detectors._windows import SQUARE, limit_of


def quantile(chance, bins=2000):
    """Of the limit law of T for a continuous signal."""
    even, weights = np.full(bins, 10**6), np.full(bins, 1 / bins)
    size = 10**9
    distance = limit_of(SQUARE, even, weights, bins - 1, bins * 10**6, size, math.log(1 / chance))
    return distance**2 / (1 / size + 1 / (bins * 10**6))


@pytest.mark.parametrize(("chance", "exact"), [(0.05, 0.46136), (0.01, 0.74346), (0.001, 1.16786)])
def test_limit_law_as_tabled_by_anderson_and_darling(chance, exact):
    assert quantile(chance) == pytest.approx(exact, rel=0.007)


@pytest.mark.parametrize("shares", [np.full(64, 1 / 64), [0.95, 0.05], [0.6, 0.3, 0.1], [0.02, 0.96, 0.02]])
@pytest.mark.parametrize(("reference", "window"), [(5000, 500), (300, 100)])
def test_tail_is_no_heavier_than_the_limit_says(shares, reference, window):
    rng, bins, beyond = np.random.default_rng(0), len(shares), 0
    for before in rng.multinomial(reference, shares, 1000):
        weights = (before[1:] + before[:-1]) / (2 * reference)
        off = np.cumsum(rng.multinomial(window, shares, 60), axis=1) / window - np.cumsum(before) / reference
        distance = np.sqrt((weights * off[:, :-1] ** 2).sum(axis=1))
        beyond += np.sum(distance > limit_of(SQUARE, before, weights, bins - 1, reference, window, math.log(1000)))

    assert beyond <= 2 * 60


def test_t_is_the_two_sample_statistic():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=6000), rng.normal(1, 1, 500)])
    (at, found), *_ = make("cvm", bins=1024).update_many(x)
    scipys = stats.cramervonmises_2samp(x[:5000], x[at - 499 : at + 1]).statistic

    assert found.detail["t"] == pytest.approx(scipys, rel=0.02)
    assert abs(at - found.age + 1 - 6000) < 30


def test_a_window_that_can_never_alarm_is_refused():
    with pytest.raises(ValueError, match="window: 12 observations beside 5000 can never alarm at arl0"):
        make("cvm", window=12)
    assert make("cvm", reference_s=60.0, window=12).detectable(1000) == math.inf
    assert make("cvm", window=20).detectable(1000) < 1 / math.sqrt(3)
    x = np.r_[np.random.default_rng(1).normal(size=5000), np.full(20, 100.0)]
    assert make("cvm", window=20).update_many(x)
