"""HDDM_A: as published with a literature parameter; splits that grow old otherwise."""

import numpy as np
import pytest
from river.drift import binary

from detectors import make
from tests.naive import twin

CHANGES = ({"drift_confidence": 0.001}, {"two_sided_test": True}, {"drift_confidence": 0.05, "warning_confidence": 0.2})


def stream(seed):
    """Errors, or numbers in [0, 1], whose mean jumps."""
    rng = np.random.default_rng(seed)
    p = np.repeat(rng.random(5), rng.integers(50, 600, 5))
    return (rng.random(len(p)) < p).astype(float) if seed % 2 else np.clip(rng.normal(p, 0.2), 0, 1)


def check_river(theirs, ours, x):
    """Every alarm and every warning at the same observation; how many alarms."""
    found = 0
    for value in x:
        theirs.update(value)
        drift = ours.update(value)
        assert (drift is not None) == theirs.drift_detected
        assert drift is not None or ours.warning == theirs.warning_detected
        found += drift is not None
    return found


@pytest.mark.parametrize("params", CHANGES)
def test_agrees_with_river_step_by_step(params):
    assert sum(check_river(binary.HDDMA(**params), make("hddm_a", **params), stream(seed)) for seed in range(6)) > 5


def test_a_long_quiet_time_hides_no_change():
    x = np.random.default_rng(0).random(60_000)
    x[50_000:] **= 1.3  # a quarter of a deviation
    [(at, drift)] = make("hddm_a").update_many(x)

    assert 50_000 < at < 52_500
    assert abs(at - drift.age + 1 - 50_000) < 300
    assert drift.before == pytest.approx(0.5, abs=0.01)


def test_old_splits_agree_with_the_slow_twin():
    x = np.random.default_rng(3).random(2800)
    x[2600:] *= 0.5
    found = [(at, d.statistic, d.threshold) for at, d in make("hddm_a", warm_up=60).update_many(x)]

    assert 2600 < found[0][0] < 2750
    np.testing.assert_allclose(found, twin("hddm_a")(x, 1e6, 60), rtol=1e-9)


@pytest.mark.parametrize("flip", [False, True])
def test_rare_events_in_control(flip):
    for rate in (0.0005, 0.005):
        x = (np.random.default_rng(7).random(500_000) < rate) ^ flip
        for name in ("hddm_a", "hddm_w", "seed"):
            assert len(make(name, arl0=1e4).update_many(x.astype(float))) <= len(x) / 1e4


def test_a_constant_left_downwards():
    x = np.concatenate([np.full(2016, 7.0), np.full(500, -1.0)])  # whole blocks
    for name in ("hddm_a", "hddm_w", "seed"):
        [(at, drift)] = make(name).update_many(x)

        assert 2016 <= at < 2100
        assert (drift.before, drift.after) == pytest.approx((7, -1))
        assert (drift.direction, at - drift.age + 1) == (-1, 2016)
        assert drift.after_interval[0] < -1 < drift.after_interval[1]
