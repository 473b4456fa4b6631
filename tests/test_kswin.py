"""KSWIN: river's answers, one by one; the exact tail of the calibrated way."""

import warnings

import numpy as np
import pytest
from river import drift
from scipy import stats

from detectors import make
from detectors.kswin import chance_beyond, exact_limit, published_limit
from tests.naive import kswin as naive


def rivers(x, **params):
    peer, found = drift.KSWIN(**params), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy's, where the exact p-value is 1
        for at, value in enumerate(x.tolist()):
            peer.update(value)
            if peer.drift_detected:
                found.append(at)
    return found


@pytest.mark.parametrize(
    "params",
    [
        {"alpha": 0.005, "seed": 42},
        {"alpha": 0.05, "seed": 2**60, "window_size": 60, "stat_size": 20},
        {"alpha": 0.05, "seed": 0, "window_size": 400, "stat_size": 8},  # random.sample by rejection, not by a pool
        {"alpha": 0.05, "seed": 3, "window_size": 40, "stat_size": 20},  # all of the older part
    ],
)
def test_published_alarms_are_rivers(params):
    rng = np.random.default_rng(1)
    normal = np.concatenate([rng.normal(size=700), rng.normal(1.5, 1, 400), rng.normal(0, 3, 400)])
    for x in (normal, np.round(normal)):
        expected = rivers(x, **params)

        assert expected
        assert [at for at, _ in make("kswin", **params).update_many(x)] == expected


@pytest.mark.parametrize("size", [2, 5, 10, 30, 31, 100])
def test_published_limit_is_rivers_rule(size):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        chance = [stats.ks_2samp(np.arange(size), np.arange(size) + h - 0.5).pvalue for h in range(size + 1)]
    for alpha in (1e-4, 0.005, 0.05, 1.0):
        passing = [h for h in range(size + 1) if chance[h] > alpha or h / size <= 0.1]

        assert published_limit(size, alpha) == max(passing)


@pytest.mark.parametrize(("old", "recent"), [(70, 30), (200, 50), (30, 30)])
def test_exact_tail(old, recent):
    for limit in (old * recent // 4, old * recent // 3, old * recent // 2):
        assert chance_beyond(old, recent, limit) == pytest.approx(
            naive.chance_beyond(limit / (old * recent), old, recent)
        )
    level = 1e-4
    limit = exact_limit(old, recent, level)
    assert chance_beyond(old, recent, limit) <= level < chance_beyond(old, recent, limit - 1)


def test_tail_of_equal_sizes_is_scipys():
    for distance in (10, 14, 20):
        expected = stats.ks_2samp(np.arange(30), np.arange(30) + distance - 0.5).pvalue

        assert chance_beyond(30, 30, 30 * distance - 1) == pytest.approx(expected)


def test_finds_a_change_of_shape_and_its_onset():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=3000), rng.choice([-1.0, 1.0], 1000)])
    (at, found), *_ = make("kswin").update_many(x)

    assert 3000 < at < 3200
    assert abs(at - found.age + 1 - 3000) < 40


def test_parts_too_small_to_alarm_are_refused():
    with pytest.raises(ValueError, match="stat_size: 4 beside 16 can never alarm"):
        make("kswin", window_size=20, stat_size=4)
