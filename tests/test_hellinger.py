"""Hellinger distance: by its other formula, and its two ends."""

import numpy as np
import pytest

from detectors import make


def test_statistic_is_that_of_the_bhattacharyya_coefficient():
    codes = np.random.default_rng(0).integers(0, 6, 1500).astype(float)
    detector = make("hellinger", categories=True, reference=1000, window=500, alpha=1e-9)
    detector.update_many(codes)
    old, new = (np.bincount(part.astype(int), minlength=6) / len(part) for part in (codes[:1000], codes[1000:]))

    assert detector.statistic == pytest.approx(np.sqrt(1 - np.sqrt(old * new).sum()))


def test_nothing_in_common_is_1():
    detector = make("hellinger", reference=100, window=50, alpha=1e-12)
    (_, drift), *_ = detector.update_many(np.repeat([0.0, 1.0], [100, 50]))

    assert drift.statistic == pytest.approx(1)
