"""Hotelling / MEWMA: the length of the mean point is Hotelling's T; shifts that show only jointly."""

import numpy as np
import pytest
from scipy.stats import norm

from detectors import make


def delays(shift, *, correlated, seeds=range(8)):
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(3000, 8))
        if correlated:
            x = np.sqrt(0.1) * x + np.sqrt(0.9) * rng.normal(size=(3000, 1))
        x[2000:] += shift
        found += [at - 2000 for at, _ in make("hotelling", arl0=1e4, features=8).update_many(x) if at >= 2000][:1]
    assert len(found) == len(seeds)
    return np.mean(found)


def test_finds_a_shift_of_one_of_eight():
    assert delays(np.eye(8)[2], correlated=False) < 45


def test_a_shift_against_what_the_columns_share_is_found_earlier():
    alone = 0.5 * np.eye(8)[2]

    assert delays(alone, correlated=True) < 60
    assert delays(alone, correlated=False) > 70


def test_the_length_of_a_point_is_hotellings_t():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 3)) @ np.array([[1, 0.6, 0], [0, 0.8, 0.3], [0, 0, 0.9]])
    detector = make("hotelling", features=3, warm_up=2000)
    detector.update_many(x)
    z = norm.ppf((x.argsort(axis=0).argsort(axis=0) + 1) / 2001)  # each value is one of the sample
    points = detector._points(z)

    distance = np.sqrt(np.einsum("ij,jk,ik->i", z, np.linalg.inv(np.cov(z.T)), z))
    assert np.linalg.norm(points, axis=1) == pytest.approx(distance, rel=0.03)


def test_a_change_of_spread_alone_is_not_its_question():
    x = np.random.default_rng(0).normal(size=(3000, 4))
    x[2000:, 1] *= 1.5

    assert make("hotelling", features=4).update_many(x) == []
