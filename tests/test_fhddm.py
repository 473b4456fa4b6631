"""FHDDM: river with a literature parameter; windows against a bounded past otherwise."""

import numpy as np
import pytest
from river import drift

from detectors import make
from tests.naive import twin
from tests.test_adwin import river_alarms
from tests.test_ddm import errors

PUBLISHED = (
    {"confidence_level": 1e-6},
    {"confidence_level": 0.01, "sliding_window_size": 25},
    {"confidence_level": 0.01, "sliding_window_size": 50, "short_window_size": 20},
)


@pytest.mark.parametrize("params", PUBLISHED)
def test_agrees_with_river_step_by_step(params):
    some = 0
    for seed in range(6):
        x = errors(seed, (0.1, 0.3, 0.02, 0.6))
        expected = river_alarms(drift.binary.FHDDM(**params), 1 - x)
        some += len(expected)
        assert [at for at, _ in make("fhddm", **params).update_many(x)] == expected
    assert some > 5


def test_river_fed_errors_finds_improvements_only():
    """Its documentation says 1 is an error; its code, as the paper, takes the fall of a mean of 1s for a drift."""
    worse, better = np.repeat([0.0, 1.0], 500), np.repeat([1.0, 0.0], 500)

    assert river_alarms(drift.binary.FHDDM(), worse) == []
    assert river_alarms(drift.binary.FHDDM(), better) == [526]
    assert [at for at, _ in make("fhddm", confidence_level=1e-6).update_many(worse)] == [526]
    assert make("fhddm", confidence_level=1e-6).update_many(better) == []


def test_the_best_window_is_forgotten():
    """The slow twin knows which windows count at each time."""
    x = errors(3, (0.2, 0.24, 0.22, 0.7), 3000)
    found = [(at, d.statistic, d.threshold) for at, d in make("fhddm", arl0=3000, window=50).update_many(x)]

    assert max(np.diff([0, *(at for at, *_ in found)])) > 4100  # 80 times 50 answers, and a window
    np.testing.assert_allclose(found, twin("fhddm")(x, arl0=3000, window=50), rtol=1e-9)


@pytest.mark.parametrize(("p", "window"), [(0.05, 500), (0.3, 500), (0.5, 50), (0.2, 2000)])
def test_alarms_are_as_rare_as_declared_and_not_much_rarer(p, window):
    n, arl0 = 400_000, 1e4
    alarms = len(make("fhddm", arl0=arl0, window=window).update_many(errors(1, (p,), n)))

    assert n / arl0 / 4 <= alarms <= n / arl0


def test_falling_errors_are_no_drift():
    assert make("fhddm", arl0=1e4).update_many(errors(0, (0.5, 0.1, 0.05))) == []
