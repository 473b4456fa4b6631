"""Jensen-Shannon distance: scipy's, and its two ends."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from detectors import make


def test_statistic_is_scipys():
    codes = np.random.default_rng(0).integers(0, 6, 1500).astype(float)
    detector = make("js", categories=True, reference=1000, window=500, alpha=1e-9)
    detector.update_many(codes)
    old, new = (np.bincount(part.astype(int), minlength=6) for part in (codes[:1000], codes[1000:]))

    assert detector.statistic == pytest.approx(jensenshannon(old, new))


def test_nothing_in_common_is_the_root_of_ln_2():
    detector = make("js", reference=100, window=50, alpha=1e-12)
    (_, drift), *_ = detector.update_many(np.repeat([0.0, 1.0], [100, 50]))

    assert drift.statistic == pytest.approx(np.sqrt(np.log(2)))
    assert drift.threshold < drift.statistic
