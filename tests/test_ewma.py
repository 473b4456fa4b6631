"""EWMA: the exact tables of mean run lengths, the textbook chart; calibration."""

import numpy as np
import pytest

from detectors import make
from detectors.ewma import limit_of, one_sided_run_length, run_length

SHIFTS = 0, 0.25, 0.5, 0.75, 1, 1.5, 2
TABLE = {  # Lucas and Saccucci, Technometrics 1990; (lambda_, limit)
    (0.4, 3.054): (500, 224, 71.2, 28.4, 14.3, 5.87, 3.52),
    (0.25, 2.998): (500, 170, 48.3, 20.1, 11.1),
    (0.1, 2.814): (500, 106, 31.3, 15.9, 10.3, 6.08, 4.36),
    (0.05, 2.615): (500, 84, 28.8, 16.4, 11.4),
}


@pytest.mark.parametrize(("chart", "row"), TABLE.items())
def test_run_lengths_of_the_textbooks(chart, row):
    np.testing.assert_allclose([run_length(*chart, shift) for shift in SHIFTS[: len(row)]], row, rtol=0.005)


@pytest.mark.parametrize(("lambda_", "limit", "shift"), [(0.1, 2.814, 0), (0.4, 3.054, 1)])
def test_the_textbook_chart_has_those_run_lengths(lambda_, limit, shift):
    x = 7 + 3 * np.random.default_rng(1).normal(shift, 1, 60_000)
    alarms = len(make("ewma", lambda_=lambda_, limit=limit, mean=7, sd=3).update_many(x))

    assert len(x) / alarms == pytest.approx(TABLE[lambda_, limit][SHIFTS.index(shift)], rel=4 / np.sqrt(alarms))


def test_the_textbook_chart_by_hand():
    (at, drift), *_ = make("ewma", lambda_=0.5, limit=2.0, mean=10.0, sd=2.0).update_many([10, 9, 13, 14, 13, 14, 15])

    assert at == 3  # averages 0, -.25, .625, 1.3125 against 2 / sqrt(3)
    assert (drift.statistic, drift.age, drift.direction) == (1.3125, 2, 1)
    assert (drift.before, drift.after) == (9.5, 13.5)


@pytest.mark.parametrize("lambda_", [0.03, 0.2])
def test_limits_beyond_what_is_solved_are_on_the_safe_side(lambda_):
    assert run_length(lambda_, limit_of(lambda_, 1e8)) == pytest.approx(1e8, rel=1e-6)
    assert 1 < run_length(lambda_, limit_of(lambda_, 1e11)) / 1e11 < 1.3


def test_arl0_is_met_for_any_signal():
    rng, n = np.random.default_rng(0), 500_000
    signals = rng.normal(size=n), (rng.random(n) < 0.05).astype(float), rng.lognormal(sigma=3, size=n)
    alarms = [len(make("ewma", arl0=2000).update_many(x)) for x in signals]

    for one in alarms:
        assert 1.3 * 2000 < n / one - 256 < 1.7 * 2000


@pytest.mark.parametrize(("lambda_", "limit"), [(0.005, 1.5), (0.1, 2.0), (1.0, 2.5)])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_run_length_of_one_side(lambda_, limit, shift):
    x = np.random.default_rng(2).normal(shift, 1, 300_000)
    alarms = len(make("ewma", lambda_=lambda_, limit=limit, direction="up").update_many(x))

    assert len(x) / alarms == pytest.approx(one_sided_run_length(lambda_, limit, shift), rel=4 / np.sqrt(alarms))


def test_one_side_does_not_fall_below_zero():
    up = make("ewma", lambda_=0.5, limit=2.0, mean=10.0, sd=2.0, direction="up")
    (at, drift), *_ = up.update_many([4, 4, 13, 14, 13])

    assert at == 3  # averages 0, 0, .75, 1.375 against 2 / sqrt(3)
    assert (drift.statistic, drift.age, drift.direction) == (1.375, 2, 1)
    down = make("ewma", lambda_=0.5, limit=2.0, mean=10.0, sd=2.0, direction="down")
    assert [drift.direction for _, drift in down.update_many([16, 16, 7, 6])] == [-1]


@pytest.mark.parametrize("lambda_", [0.005, 0.2])
def test_limits_of_one_side_beyond_what_is_solved(lambda_):
    assert one_sided_run_length(lambda_, limit_of(lambda_, 1e6, one_sided=True)) == pytest.approx(1e6, rel=1e-6)
    assert 1 < one_sided_run_length(lambda_, limit_of(lambda_, 1e11, one_sided=True)) / 1e11 < 1.3
