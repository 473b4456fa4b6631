"""GLR: calibration, both kinds of change, the best split as the onset."""

import numpy as np
import pytest

from detectors import make
from detectors.glr import limit_of, run_length


def test_arl0_is_met_for_any_signal():
    rng, n = np.random.default_rng(0), 500_000
    signals = rng.normal(size=n), (rng.random(n) < 0.05).astype(float), rng.lognormal(sigma=3, size=n)
    alarms = [len(make("glr", arl0=2000).update_many(x)) for x in signals]

    for one in alarms:
        assert 1.5 * 2000 < n / one - 256 < 2.3 * 2000


@pytest.mark.parametrize(("factor", "within"), [(2.0, 60), (0.5, 100)])
def test_finds_a_change_of_spread(factor, within):
    x = 5 + np.random.default_rng(1).normal(size=6000)
    x[4000:] = 5 + factor * (x[4000:] - 5)
    (at, drift), *_ = make("glr").update_many(x)

    assert 4000 <= at < 4000 + within
    assert abs(at - drift.age + 1 - 4000) < 40
    assert (drift.detail["changed"], drift.direction) == ("spread", 0)
    assert drift.detail["sd_after"] / drift.detail["sd_before"] == pytest.approx(factor, rel=0.4)


def test_finds_a_small_shift_that_began_long_ago():
    x = np.random.default_rng(2).normal(size=60_000)
    x[50_000:] -= 0.1
    (at, drift), *_ = make("glr").update_many(x)

    assert 50_000 < at < 56_000
    assert abs(at - drift.age + 1 - 50_000) < 700
    assert (drift.detail["changed"], drift.direction) == ("mean", -1)
    assert drift.after == pytest.approx(-0.1, abs=0.1)
    assert drift.before_interval[0] > drift.after_interval[1]


def test_delays_at_a_million():
    """Of 40 streams each: a shift of .25, .5, 1 and 2 deviations after 2000 observations."""
    delays = []
    for shift in (0.25, 0.5, 1.0, 2.0):
        found = []
        for seed in range(40):
            x = np.random.default_rng(seed).normal(size=6000)
            x[2000:] += shift
            found.append(next((at for at, _ in make("glr").update_many(x)), 6000) - 1999)
        delays.append(np.mean(found))

    assert (np.array(delays) < [600, 140, 40, 15]).all()


@pytest.mark.parametrize("arl0", [1e2, 1e4, 1e8])
def test_one_side_has_a_lower_limit(arl0):
    assert run_length(limit_of(arl0, 1), arl0**0.5, 1) == pytest.approx(arl0)
    assert limit_of(arl0, 1) < limit_of(arl0)
