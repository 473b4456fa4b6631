"""Kolmogorov-Smirnov over windows: the threshold's bound, exactly; shape changes; the rolling reference."""

import math

import numpy as np
import pytest

from detectors import make
from detectors._windows import SUPREMUM, limit_of
from tests.naive.kswin import chance_beyond


def distance_threshold(arl0, reference, window):
    return limit_of(SUPREMUM, np.zeros(1, np.int64), np.zeros(1), 0, reference, window, math.log(2 * arl0))


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
    blocks = (at - 499) // 125  # of an eighth of the reference, that have left the window
    assert found.before == pytest.approx(x[125 * (blocks - 8) : 125 * blocks].mean())
    assert found.after == pytest.approx(x[at - found.age + 1 : at + 1].mean())
    assert abs(at - found.age + 1 - 55_000) < 40


def test_a_reference_by_event_time_or_saved_is_as_good_as_one_by_count():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=8000), rng.normal(0.8, 1, 1000)])
    counted, timed = make("ks"), make("ks", reference_s=4.999)
    counted.update_many(x[:6000])
    saved = make("ks", profile=counted.sketch.to_dict())
    (at, found), *_ = counted.update_many(x[6000:])

    assert timed.update_many(x, np.arange(len(x)))[0] == (6000 + at, found)
    (later, again), *_ = saved.update_many(x[4995:])  # tested at the same observations, every 15th
    assert later == 1005 + at
    assert (again.statistic, again.threshold, again.age) == (found.statistic, found.threshold, found.age)


def test_a_window_that_can_never_alarm_is_refused():
    with pytest.raises(ValueError, match="window: 10 observations beside 20 can never alarm"):
        make("ks", reference=20, window=10)
