"""Wasserstein over windows: the distance in the signal's unit, outliers, and the measured tail."""

import math

import numpy as np
import pytest
from scipy import stats

from detectors import make
from detectors._windows import ABSOLUTE, limit_of


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_distance_is_in_the_signals_unit(scale):
    rng = np.random.default_rng(0)
    x = scale * np.concatenate([rng.normal(size=6000), rng.normal(0.7, 1, 500)])
    (at, found), *_ = make("wasserstein").update_many(x)
    exact = stats.wasserstein_distance(x[:5000], x[at - 499 : at + 1])

    assert found.detail["distance"] == pytest.approx(exact, rel=0.1)
    assert abs(at - found.age + 1 - 6000) < 30


def test_outliers_of_the_reference_do_not_blind_it():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=6000), rng.normal(0.7, 1, 600)])
    clean = make("wasserstein").update_many(x)[0][0]
    x[:5000:500] = 1e9

    assert make("wasserstein").update_many(x)[0][0] <= clean + 32


def test_zeros_with_a_few_positive_values():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(9000) < np.repeat([0.005, 0.1], [7000, 2000]), rng.lognormal(0, 2, 9000), 0.0)
    (at, found), *_ = make("wasserstein").update_many(x)

    assert 7000 < at < 7400
    assert found.detail["distance"] > 0


@pytest.mark.parametrize(
    "shares",
    [
        np.full(64, 1 / 64),
        [0.95, 0.05],
        [0.5, 0.5],
        [0.02, 0.96, 0.02],
        [0.5, 0, 0, 0, 0, 0, 0, 0.5],
        0.7 ** np.arange(20),
    ],
)
@pytest.mark.parametrize(("reference", "window"), [(5000, 500), (300, 100)])
def test_tail_is_no_heavier_than_the_limit_says(shares, reference, window):
    rng, bins, beyond = np.random.default_rng(0), len(shares), 0
    gaps = np.full(bins - 1, 1 / (bins - 1))
    for before in rng.multinomial(reference, shares / np.sum(shares), 1000):
        off = np.cumsum(rng.multinomial(window, shares / np.sum(shares), 60), axis=1) / window
        distance = np.abs(off - np.cumsum(before) / reference)[:, :-1] @ gaps
        beyond += np.sum(distance > limit_of(ABSOLUTE, before, gaps, bins - 1, reference, window, math.log(1000)))

    assert beyond <= 1.2 * 60
