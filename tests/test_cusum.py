"""CUSUM: the exact tables of mean run lengths, the textbook chart, MOA's; calibration."""

import itertools

import numpy as np
import pytest

from detectors import make
from detectors.cusum import limit_of, run_length

SHIFTS = 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4
TABLE = {  # Hawkins and Olwell 1998; Montgomery, Introduction to statistical quality control
    4: (168, 74.2, 26.6, 13.3, 8.38, 4.75, 3.34, 2.19, 1.71),
    5: (465, 139, 38.0, 17.0, 10.4, 5.75, 4.01, 2.57, 2.01),
}


@pytest.mark.parametrize(("h", "row"), TABLE.items())
def test_run_lengths_of_the_textbooks(h, row):
    np.testing.assert_allclose([run_length(0.5, h, shift) for shift in SHIFTS], row, rtol=0.004)


@pytest.mark.parametrize(("h", "shift"), [(4, 0), (5, 1)])
def test_the_textbook_chart_has_those_run_lengths(h, shift):
    x = 7 + 3 * np.random.default_rng(h).normal(shift, 1, 60_000)
    alarms = len(make("cusum", h=h, mean=7, sd=3).update_many(x))

    assert len(x) / alarms == pytest.approx(TABLE[h][SHIFTS.index(shift)], rel=4 / np.sqrt(alarms))


def test_the_textbook_chart_by_hand():
    (at, drift), *_ = make("cusum", h=4, mean=10.0, sd=2.0).update_many([10, 9, 13, 14, 13, 14, 15])

    assert at == 5  # sums 0, 0, 1, 2.5, 3.5, 5
    assert (drift.statistic, drift.threshold, drift.age, drift.direction) == (5.0, 4.0, 4, 1)
    assert (drift.before, drift.after) == (9.5, 13.5)


@pytest.mark.parametrize("k", [0.5, 1])
def test_limits_beyond_what_is_solved_go_on_as_they_grew(k):
    limits = [limit_of(k, arl0) for arl0 in (1e7, 1e9, 1e10)]

    np.testing.assert_allclose(np.diff(limits), np.log([100, 10]) / (2 * k), rtol=0.001)
    assert run_length(k, limits[0]) == pytest.approx(1e7, rel=1e-6)


def moa(x, delta=0.005, lambda_=50.0, min_num_instances=30):
    """CusumDM of MOA 2024.07, its variables by their names there."""
    found, m_n, x_mean, total = [], 1, 0.0, 0.0
    for at, value in enumerate(x):
        x_mean = x_mean + (value - x_mean) / m_n
        total = max(0.0, total + value - x_mean - delta)
        m_n += 1
        if m_n >= min_num_instances and total > lambda_:
            found.append((at, total))
            m_n, x_mean, total = 1, 0.0, 0.0
    return found


def test_agrees_with_moa():
    rng = np.random.default_rng(3)
    x = rng.random(20_000) < np.tile(np.repeat([0.1, 0.4], 1000), 10)
    for params in ({"lambda_": 50.0}, {"delta": 0.05, "lambda_": 3.0}, {"min_num_instances": 200, "lambda_": 1.0}):
        found = [(at, drift.statistic) for at, drift in make("cusum", **params).update_many(x)]
        assert found
        np.testing.assert_allclose(found, moa(x.astype(float), **params))


def test_moa_seeded_sequence():
    rng = np.random.default_rng(42)
    x = rng.integers(0, 2, size=2000).astype(float)
    x[1000:] = rng.integers(6, 12, size=1000)
    found = make("cusum", lambda_=50.0).update_many(x)

    assert (found[0][0] + 1, len(found)) == (1005, 2)  # as its tutorial prints


def test_arl0_is_met_for_any_signal():
    rng, n = np.random.default_rng(0), 500_000
    signals = rng.normal(size=n), (rng.random(n) < 0.05).astype(float), rng.lognormal(sigma=3, size=n)
    alarms = [len(make("cusum", arl0=2000).update_many(x)) for x in signals]

    for one in alarms:
        assert 1.3 * 2000 < n / one - 256 < 1.7 * 2000


def test_small_shifts_are_found_by_small_k():
    for small, large in itertools.pairwise([0.1, 0.25, 0.5]):
        assert run_length(small, limit_of(small, 1e5), 0.25) < run_length(large, limit_of(large, 1e5), 0.25)
        assert run_length(small, limit_of(small, 1e5), 3.0) > run_length(large, limit_of(large, 1e5), 3.0)


@pytest.mark.parametrize("side", ["up", "down"])
def test_one_side_alone_alarms_half_as_often(side):
    x = np.random.default_rng(1).normal(size=200_000)
    alarms = len(make("cusum", h=4, direction=side).update_many(x))

    assert len(x) / alarms == pytest.approx(2 * TABLE[4][0], rel=4 / np.sqrt(alarms))
