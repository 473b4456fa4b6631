"""The change-point model on ranks: its limits on uniform scores, onset, what each statistic is for."""

import math

import numpy as np
import pytest

from benchmarks.rank_levels import limit, records
from detectors import make
from detectors.rank import KNOWN_ARL0, LIMITS, STATISTICS, limit_of


@pytest.mark.parametrize("statistic", STATISTICS)
def test_table_is_what_its_script_gives(statistic):
    at, value, runs = np.zeros(1000, np.int64), np.zeros(1000), []
    for seed in range(200):
        found = records(seed, STATISTICS.index(statistic), 10_000, at, value)
        runs.append((at[:found].copy(), value[:found].copy()))

    assert limit(runs, 10_000, 1.3e3) == pytest.approx(LIMITS[statistic][1], abs=0.5)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_limit_rises_without_a_step(statistic):
    arl0 = np.geomspace(100, 1e12, 200)
    limits = np.array([limit_of(statistic, value) for value in arl0])
    slopes = np.diff(limits) / np.diff(np.log(arl0))

    assert np.all((slopes > 1.7) & (slopes < 2.4))
    assert limit_of(statistic, KNOWN_ARL0[2]) == LIMITS[statistic][2]


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("rate", [0.01, 0.2])
def test_rare_errors_meet_arl0(statistic, rate):
    x = (np.random.default_rng(0).random(500_000) < rate).astype(float)

    assert len(make("rank", arl0=5e3, statistic=statistic).update_many(x)) <= 100


CHANGES = {
    "location": (lambda rng, n: rng.normal(0.7, 1, n), 60),
    "spread": (lambda rng, n: rng.normal(0, 2, n), 60),
    "narrower": (lambda rng, n: rng.normal(0, 0.5, n), 60),
    "shape": (lambda rng, n: rng.choice([-1.0, 1.0], n), 250),
}


@pytest.mark.parametrize("change", CHANGES)
def test_lepage_finds_location_scale_and_shape(change):
    draw, soon = CHANGES[change]
    ages, delays = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = np.concatenate([rng.normal(size=2000), draw(rng, 1000)])
        at, found = next(pair for pair in make("rank", arl0=1e5).update_many(x) if pair[0] >= 2000)
        delays.append(at - 1999)
        ages.append(at - found.age + 1 - 2000)
        assert found.direction == 1 or change != "location"

    assert np.mean(delays) < soon
    assert np.median(np.abs(ages)) <= 15


def test_a_change_of_a_rate_is_found_as_quickly_as_by_its_sum():
    rng = np.random.default_rng(0)
    x = (rng.random(8000) < np.repeat([0.2, 0.4], [6000, 2000])).astype(float)
    at, found = make("rank", statistic="mann-whitney").update_many(x)[0]

    assert 6000 < at < 6000 + 3 * math.log(1e6) / 0.1
    assert found.before == pytest.approx(0.2, abs=0.02)
    assert found.before_interval[0] < 0.2 < found.before_interval[1]


def test_unknown_statistic():
    with pytest.raises(ValueError, match="statistic: expected one of lepage, mann-whitney, cvm, got 'mood'"):
        make("rank", statistic="mood")
