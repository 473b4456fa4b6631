"""Page-Hinkley: as published with a literature parameter; an e-detector otherwise."""

import numpy as np
import pytest
from river import drift

from detectors import make
from tests.test_adwin import (
    BELOW_OR_ABOVE,
    check_cuts_and_resume,
    check_no_false_alarms,
    check_twin,
    rare_events,
    river_alarms,
)


@pytest.mark.parametrize(
    "params",
    [
        {"delta": 0.005},
        {"threshold": 10.0, "alpha": 0.99},
        {"mode": "up", "threshold": 20.0},
        {"mode": "down", "min_instances": 300},
    ],
)
def test_agrees_with_river_step_by_step(params):
    some = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = np.concatenate([rng.normal(m, 1, rng.integers(20, 2000)) for m in rng.normal(0, 0.7, 6)])
        expected = river_alarms(drift.PageHinkley(**params), x)
        some += len(expected)
        assert [at for at, _ in make("page_hinkley", **params).update_many(x)] == expected
    assert some > 10


def test_threshold_is_the_log_of_sixteen_times_arl0():
    x = np.random.default_rng(0).normal(size=600)
    detectors = [make("page_hinkley", arl0=arl0) for arl0 in (1e4, 1e6)]
    for detector in detectors:
        detector.update_many(x)

    assert detectors[1].threshold - detectors[0].threshold == pytest.approx(np.log(100))
    assert detectors[0].threshold == pytest.approx(np.log(16e4), abs=0.01)


def test_finds_small_changes_after_a_long_quiet_time():
    x = np.random.default_rng(0).normal(size=60_000)
    x[50_000:] -= 0.2
    (at, found), *_ = make("page_hinkley", arl0=1e6).update_many(x)

    assert 50_000 < at < 53_000
    assert found.direction == -1
    assert found.after == pytest.approx(-0.2, abs=0.15)


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode: expected 'both', 'up' or 'down', got 'sideways'"):
        make("page_hinkley", mode="sideways")


@BELOW_OR_ABOVE
def test_rare_events_have_true_means(flip):
    x = rare_events([0.0005, 0.02], flip)
    (at, found), *_ = make("page_hinkley", arl0=5e6).update_many(x)

    assert 20_000 <= at < 21_400
    assert found.before == pytest.approx(x[256 : at + 1].mean(), abs=1e-12)  # of all
    assert found.after == pytest.approx(x[at - found.age + 1 : at + 1].mean(), abs=1e-3)
    assert found.direction == (-1 if flip else 1)


@BELOW_OR_ABOVE
def test_estimate_of_rare_events(flip):
    x = rare_events([0.001], flip)
    detector = make("page_hinkley")
    detector.update_many(x[:400])
    assert detector.estimate == x[0]
    detector.update_many(x[400:])
    assert detector.estimate == pytest.approx(x[256:].mean(), abs=1e-12)


@BELOW_OR_ABOVE
@pytest.mark.parametrize("quiet", [400, 450, 530])  # the sums are tuned at 60 + 240 and 60 + 480
def test_rare_events_agree_with_the_slow_twin(flip, quiet):
    check_twin("page_hinkley", rare_events([0.0, 0.5], flip, n=quiet))
    check_twin("page_hinkley", rare_events([0.002, 0.3], flip, n=700))


@BELOW_OR_ABOVE
def test_rare_events_cut_and_resumed(flip):
    check_cuts_and_resume("page_hinkley", rare_events([0.002, 0.05], flip, n=5000))


@BELOW_OR_ABOVE
def test_rare_events_in_control(flip):
    check_no_false_alarms("page_hinkley", flip)
