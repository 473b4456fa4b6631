"""ADWIN: as published with a literature parameter; the histogram's cuts otherwise."""

import numpy as np
import pytest
from river import drift

from detectors import make


def river_alarms(detector, x):
    found = []
    for i, value in enumerate(x):
        detector.update(value)
        if detector.drift_detected:
            found.append(i)
    return found


@pytest.mark.parametrize(
    "params",
    [
        {"delta": 0.002},
        {"delta": 0.05, "clock": 8},
        {"max_buckets": 3},
        {"min_window_length": 20, "grace_period": 100},
        {"clock": 1, "min_window_length": 1, "grace_period": 0},
    ],
)
def test_agrees_with_river_step_by_step(params):
    some = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = np.concatenate([rng.normal(m, 1, rng.integers(20, 2000)) for m in rng.normal(0, 0.7, 6)])
        expected = river_alarms(drift.ADWIN(**params), x)
        some += len(expected)
        assert [at for at, _ in make("adwin", **params).update_many(x)] == expected
    assert some > 10


def test_first_detection_of_the_moa_tutorial_sequence():
    rng = np.random.default_rng(42)
    x = np.concatenate([rng.integers(0, 2, 1000), rng.integers(6, 12, 1000)]).astype(float)
    at, found = make("adwin", delta=0.002).update_many(x)[0]

    assert at + 1 == 1024
    assert found.age == 24
    assert (found.before < 1, found.after > 6) == (True, True)


def test_after_a_long_quiet_time_the_window_is_as_long_and_the_estimate_its_mean():
    x = np.random.default_rng(0).random(200_000)
    detector = make("adwin", arl0=1e9)

    assert detector.update_many(x) == []
    assert detector.n == len(x)
    assert detector.estimate == pytest.approx(x[256:].mean(), abs=1e-5)  # the range's ends are clipped


def test_statistic_is_known_after_the_first_check():
    detector = make("adwin", arl0=1e5, warm_up=20)
    detector.update_many(np.random.default_rng(0).random(51))
    assert np.isnan(detector.statistic)
    detector.update(0.5)
    assert 0 < detector.statistic < detector.threshold
