"""Kolmogorov-Smirnov over windows: the threshold's bound, exactly; shape changes; the rolling reference."""

import math

import numpy as np
import pytest

from detectors import make
from detectors.ks import distance_threshold
from tests.naive import twin


def chance_beyond(distance, reference, window):
    """Exact P(D > distance) for two samples without ties, by walking over all orders in which they interleave."""
    taken = np.arange(window + 1)
    chance = np.zeros(window + 1)
    chance[0], out = 1.0, 0.0
    for t in range(reference + window):
        left = reference + window - t
        step = chance * (window - taken) / left
        chance = chance * np.clip(reference - (t - taken), 0, None) / left
        chance[1:] += step[:-1]
        beyond = np.abs(taken / window - (t + 1 - taken) / reference) > distance
        out += chance[beyond].sum()
        chance[beyond] = 0.0
    return out


@pytest.mark.parametrize(
    ("reference", "window"), [(5000, 500), (300, 100), (1000, 999), (500, 20), (60, 600), (200, 200)]
)
@pytest.mark.parametrize("arl0", [1e3, 1e6, 1e9])
def test_threshold_is_exceeded_at_most_once_in_twice_arl0(reference, window, arl0):
    distance = distance_threshold(arl0, reference, window)

    assert chance_beyond(distance, reference, window) <= 1 / (2 * arl0)


def test_the_bound_is_not_wasteful():
    distance = distance_threshold(1e6, 5000, 500)

    assert chance_beyond(0.93 * distance, 5000, 500) > 1 / 2e6


def test_finds_a_change_of_shape_with_the_same_mean():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=8000), rng.choice([-1.0, 1.0], 1000)])
    (at, found), *_ = make("ks").update_many(x)

    assert 8000 < at < 8400
    assert abs(at - found.age + 1 - 8000) < 60
    assert abs(found.after - found.before) < 0.5


def test_detail_explains_the_distance():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=6000), rng.normal(3, 1, 500)])
    (_, found), *_ = make("ks").update_many(x)
    detail = found.detail

    assert found.statistic == pytest.approx(detail["below_before"] - detail["below_after"])
    assert found.direction == 1
    assert math.fsum(detail["before"]) == pytest.approx(1)
    assert math.fsum(detail["after"]) == pytest.approx(1)
    assert len(detail["edges"]) + 1 == len(detail["before"]) == len(detail["after"])
    assert detail["below_before"] == pytest.approx(np.mean(x[:5000] <= detail["at"]))


@pytest.mark.parametrize("to", [-1.0, 1.0, 0.5])
def test_a_value_that_fills_the_reference_has_both_its_sides_watched(to):
    x = np.repeat([0.0, to], [5600, 300])

    assert make("ks").update_many(x)


def test_rolling_reference_lets_a_slow_trend_pass_and_finds_a_jump():
    x = np.random.default_rng(0).normal(size=60_000) + np.arange(60_000) / 30_000
    slow = {"arl0": 1e6, "reference": 1000, "window": 500}
    assert make("ks", **slow).update_many(x)
    assert make("ks", **slow, rolling=True).update_many(x) == []

    x[55_000:] += 1
    (at, found), *_ = make("ks", **slow, rolling=True).update_many(x)
    assert 55_000 < at < 55_400
    assert found.before == pytest.approx(x[at - 1499 : at - 499].mean())
    assert found.after == pytest.approx(x[at - 499 : at + 1].mean())


def test_rolling_agrees_with_its_slow_twin():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(m, 1, 1500) for m in (0, 1.2, -1)])
    params = {"arl0": 1e3, "reference": 150, "window": 70, "bins": 8, "rolling": True}

    found = [(at, found.statistic, found.threshold) for at, found in make("ks", **params).update_many(x)]
    expected = twin("ks")(x, **params)
    assert len(expected) >= 1
    np.testing.assert_allclose(found, expected)


def test_rolling_is_batch_blind():
    x = np.random.default_rng(1).normal(size=4000)
    x[3000:] += 1
    params = {"arl0": 1e3, "reference": 200, "window": 100, "rolling": True}
    one = make("ks", **params)

    assert [(i, found) for i, value in enumerate(x) if (found := one.update(value))] == make(
        "ks", **params
    ).update_many(x)


def test_a_window_that_can_never_alarm_is_refused():
    with pytest.raises(ValueError, match="window: 10 observations beside 20 can never alarm"):
        make("ks", reference=20, window=10)
