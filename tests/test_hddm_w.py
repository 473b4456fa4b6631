"""HDDM_W: as published with a literature parameter; the false alarms do not depend on the error rate otherwise."""

import numpy as np
import pytest
from river.drift import binary

from detectors import make
from tests.test_hddm_a import CHANGES, check_river, stream


@pytest.mark.parametrize("params", [*CHANGES, {"lambda_": 0.2, "two_sided_test": True}])
def test_agrees_with_river_step_by_step(params):
    theirs = {"lambda_val" if key == "lambda_" else key: value for key, value in params.items()}

    assert sum(check_river(binary.HDDMW(**theirs), make("hddm_w", **params), stream(seed)) for seed in range(6)) > 5


def test_false_alarms_at_all_error_rates():
    """As published 0 to 68 per 100,000, by error rate alone."""
    published, ours = [], []
    for rate in (0.05, 0.2, 0.4):
        x = (np.random.default_rng(1).random(200_000) < rate).astype(float)
        published.append(len(make("hddm_w", drift_confidence=0.001).update_many(x)))
        ours.append(len(make("hddm_w", arl0=2e3).update_many(x)))

    assert published[0] == 0
    assert published[-1] > 100
    assert 0 < max(ours) <= 100
    assert max(ours) <= 3 * min(ours)


def test_found_sooner_than_as_published_at_a_low_rate():
    x = (np.random.default_rng(2).random(20_000) < np.repeat([0.02, 0.2], 10_000)).astype(float)

    assert make("hddm_w").update_many(x)[0][0] < make("hddm_w", drift_confidence=0.001).update_many(x)[0][0]
