"""SEED: as published with a literature parameter (MOA's runs are in test_moa); merged blocks."""

import numpy as np
import pytest

from detectors import make
from tests.naive import twin


def test_merged_blocks_agree_with_the_slow_twin():
    x = np.random.default_rng(0).normal(size=3500) + np.repeat([0.0, 1.0], [3000, 500])
    found = [(at, d.statistic, d.threshold) for at, d in make("seed", arl0=1e4).update_many(x)]

    assert 3000 < found[0][0] < 3100
    np.testing.assert_allclose(found, twin("seed")(x, 1e4, 256), rtol=1e-9)


def test_blocks_stay_few_in_control():
    detector = make("seed")
    detector.update_many(np.random.default_rng(0).random(200_000))

    assert 1 < np.count_nonzero(detector.to_state()["blocks"][0]) < 204  # at most 127 are left, then come 76
    assert detector.n == 200_000
    assert detector.estimate == pytest.approx(0.5, abs=0.01)


def test_blocks_that_never_merge_are_limited():
    """MOA's list grows for ever where neighbours differ by more than a number of the order of 1."""
    x = 1e6 * np.random.default_rng(0).normal(size=100_000)
    detector = make("seed", delta=1e-12)

    assert detector.update_many(x) == []
    assert detector.n == 100_000
    assert detector.estimate == pytest.approx(x.mean())


def test_as_published_a_drift_keeps_what_is_new():
    x = np.repeat([0.0, 1.0, 0.0], [960, 320, 320])
    detector = make("seed", delta=0.05)
    found = detector.update_many(x)

    assert [(drift.before, drift.after, drift.age) for _, drift in found][:1] == [(0.0, 1.0, 32)]
    assert found[-1][1].direction == -1
    assert detector.estimate == 0.0


def test_onset_is_near():
    off = []
    for seed in range(20):
        x = np.random.default_rng(seed).normal(size=12_000) + np.repeat([0.0, 1.0], [10_000, 2000])
        [(at, drift)] = make("seed").update_many(x)
        off.append(at - drift.age + 1 - 10_000)

    assert np.median(np.abs(off)) <= 16
