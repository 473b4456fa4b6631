"""Kolmogorov-Smirnov over windows: the threshold's bound, exactly; shape changes; the rolling reference."""

import math

import numpy as np
import pytest

from detectors import make
from detectors._base import mean_of
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


@pytest.mark.parametrize("seed", range(4))
def test_many_abreast_are_each_as_alone(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(9, 9000)).round(2 + seed)
    x[rng.random(x.shape) < 0.02 * (np.arange(9) % 3)[:, None]] = np.nan
    x[4, 5000:] += 2
    x[7] = 1.0
    params = {"arl0": 1e4, "reference": 900 + 500 * seed, "window": 400, "bins": 8 << seed}
    members, alone = [make("ks", **params) for _ in range(7)], [make("ks", **params) for _ in range(7)]
    rows = rng.permutation(9)[:7]
    rows[0] = 4
    abreast, found = type(members[0]).abreast(members), [[] for _ in members]
    for part in np.split(x, np.sort(rng.integers(0, 9000, 8)), axis=1):
        seen = np.ascontiguousarray(part)
        for j, at in enumerate(abreast.feed(seen, rows).tolist()):
            found[j] += members[j].drifts(seen[rows[j]], at)
        if seed == 2:  # laid side by side anew, from the middle on
            abreast = type(members[0]).abreast(members)
    expected = [each.update_many(x[row]) for each, row in zip(alone, rows, strict=True)]

    assert [[drift for _, drift in of] for of in found] == [[drift for _, drift in of] for of in expected]
    assert expected[0]
    assert abreast.missing.tolist() == [each.missing for each in alone]
    for each, other in zip(members, alone, strict=True):
        assert {key: np.asarray(value).tobytes() for key, value in each.to_state().items()} == {
            key: np.asarray(value).tobytes() for key, value in other.to_state().items()
        }


@pytest.mark.parametrize("params", [{"rolling": True}, {"reference_s": 60.0}])
def test_references_that_move_or_count_time_are_fed_alone(params):
    assert type(make("ks")).abreast([make("ks", **params), make("ks", **params)]) is None


@pytest.mark.parametrize("n", [1, 7, 8, 100, 129, 1000, 4099])
@pytest.mark.parametrize("scale", [1.0, 1e200])
def test_the_mean_of_the_window_is_that_of_its_values(n, scale):
    x = np.random.default_rng(n).normal(size=5 * n + 600) * scale
    subject = make("ks", reference=500, window=max(10, n), arl0=100)
    subject.update_many(x[: 500 + n])

    assert subject.n < 500 + n or subject.estimate == mean_of(x[500 : 500 + n])
