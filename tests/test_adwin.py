"""ADWIN: as published with a literature parameter; the histogram's cuts otherwise."""

import numpy as np
import pytest
from river import drift

from detectors import make
from tests.naive import twin

BELOW_OR_ABOVE = pytest.mark.parametrize("flip", [False, True])  # the rare value is 1, or it is 0


def river_alarms(detector, x):
    found = []
    for i, value in enumerate(x):
        detector.update(value)
        if detector.drift_detected:
            found.append(i)
    return found


def rare_events(rates, flip, n=20_000, seed=0):
    """0/1 whose rate of ones goes through `rates`, `n` observations each; none in the first 400, flipped if asked."""
    x = np.random.default_rng(seed).random(n * len(rates)) < np.repeat(rates, n)
    x[:400] = False
    return (x ^ flip).astype(float)


def check_twin(name, x):
    """The stream drifts, and the slow twin, which knows the range from the start, says the same."""
    expected = twin(name)(x, arl0=1e3, warm_up=60)
    found = [(at, d.statistic, d.threshold) for at, d in make(name, arl0=1e3, warm_up=60).update_many(x)]

    assert found
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def check_cuts_and_resume(name, x):
    """Cut and resumed around the observation that completes the range: no difference."""
    expected = make(name, arl0=1e4).update_many(x)
    first = int(np.flatnonzero(x != x[0])[0])
    for cut in (255, 256, 257, first - 1, first, first + 1, first + 2, first + 300):
        before, after = make(name, arl0=1e4), make(name, arl0=1e4)
        found = before.update_many(x[:cut])
        after.load(before.to_state())
        assert found + [(cut + at, drift) for at, drift in after.update_many(x[cut:])] == expected


def check_no_false_alarms(name, flip):
    for rate in (0.0005, 0.001, 0.01):
        for arl0 in (1e4, 1e5):
            x = rare_events([rate], flip, n=1_000_000, seed=7)
            assert len(make(name, arl0=arl0).update_many(x)) <= len(x) / arl0
    x = rare_events([0.01], flip, n=1_000_000, seed=8) * np.random.default_rng(9).lognormal(size=1_000_000)
    assert len(make(name, arl0=1e4).update_many(x)) <= len(x) / 1e4


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


@BELOW_OR_ABOVE
def test_rare_events_have_true_means_and_are_found_soon(flip):
    x = rare_events([0.0005, 0.02], flip)
    [(at, found)] = make("adwin", arl0=5e6).update_many(x)

    assert 20_000 <= at < 21_400  # with both values half a range apart it took 2000
    onset = at - found.age + 1
    assert found.before == pytest.approx(x[256:onset].mean(), abs=1e-12)
    assert found.after == pytest.approx(x[onset : at + 1].mean(), abs=1e-12)
    assert found.direction == (-1 if flip else 1)


@BELOW_OR_ABOVE
def test_estimate_of_rare_events(flip):
    x = rare_events([0.001], flip)
    detector = make("adwin")
    detector.update_many(x[:400])
    assert detector.estimate == x[0]
    detector.update_many(x[400:])
    assert detector.estimate == pytest.approx(x[256:].mean(), abs=1e-12)


@BELOW_OR_ABOVE
def test_rare_events_agree_with_the_slow_twin(flip):
    check_twin("adwin", rare_events([0.002, 0.3], flip, n=700))


@BELOW_OR_ABOVE
def test_rare_events_cut_and_resumed(flip):
    check_cuts_and_resume("adwin", rare_events([0.002, 0.05], flip, n=5000))


@BELOW_OR_ABOVE
def test_rare_events_in_control(flip):
    check_no_false_alarms("adwin", flip)


def test_the_range_is_completed_once():
    x = np.zeros(3000)
    x[[500, 1000, 1500]] = 2.0, 50.0, -50.0
    detector = make("adwin")
    detector.update_many(x)

    assert detector.estimate == pytest.approx(2 * 2 / (3000 - 256))  # 2, 50 clipped to 2, -50 to 0
