"""STEPD: as published with a literature parameter (MOA's runs are in test_moa); Fisher's exact test otherwise."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from detectors import make


def test_statistic_is_fishers():
    x = np.random.default_rng(0).random(700) < np.repeat([0.3, 0.45], [600, 100])
    detector = make("stepd", arl0=1e9)
    detector.update_many(x)
    table = [[x[600:].sum(), 100 - x[600:].sum()], [x[:600].sum(), 600 - x[:600].sum()]]

    assert np.exp(-detector.statistic) == pytest.approx(fisher_exact(table, "greater").pvalue, rel=1e-9)
    assert detector.threshold == pytest.approx(np.log(4 * 1e9 / 5))


def test_no_error_is_no_drift():
    """MOA divides by a deviation of 0 and fires at 59, 119, 179, 239 and 299, for ever."""
    for value in (0.0, 1.0):
        assert make("stepd", alpha_drift=0.003).update_many(np.full(300, value)) == []


def test_no_difference_is_no_drift():
    """A difference below the continuity correction is none; MOA takes its absolute value and fires here from 884 on."""
    x = np.zeros(1500)
    x[5] = 1
    detector = make("stepd", alpha_drift=0.01)

    assert detector.update_many(x) == []
    assert detector.statistic < 0


def test_warning_comes_first():
    x = np.random.default_rng(3).random(900) < np.repeat([0.1, 0.4], [800, 100])
    detector = make("stepd", alpha_drift=0.003)
    states = []
    for value in x:
        if detector.update(value):
            break
        states.append(detector.warning)

    assert states[-1] or states[-2]


def test_onset_within_the_window():
    off = []
    for seed in range(30):
        x = np.random.default_rng(seed).random(3000) < np.repeat([0.1, 0.6], [2000, 1000])
        at, drift = make("stepd").update_many(x)[0]
        off.append(at - drift.age + 1 - 2000)
        assert 1 <= drift.age <= 100

    assert np.median(np.abs(off)) <= 3
