"""DDM: as published with a literature parameter; on the root scale otherwise."""

import numpy as np
import pytest
from river import drift

from detectors import make
from tests.test_adwin import river_alarms


def errors(seed, rates, n=1500):
    rng = np.random.default_rng(seed)
    return np.concatenate([(rng.random(n) < rate).astype(float) for rate in rates])


@pytest.mark.parametrize("params", [{"drift_threshold": 3.0}, {"drift_threshold": 2.0, "warm_start": 100}])
def test_agrees_with_river_step_by_step(params):
    some = 0
    for seed in range(12):
        x = errors(seed, (0.3, 0.1, 0.4, 0.5))
        expected = river_alarms(drift.binary.DDM(**params), x)
        some += len(expected)
        assert [at for at, _ in make("ddm", **params).update_many(x)] == expected
    assert some > 10


def test_warning_zone_agrees_with_river():
    ours, theirs = make("ddm", warning_threshold=2.0), drift.binary.DDM()
    for x in errors(3, (0.2, 0.25, 0.3)):
        found = ours.update(x)
        theirs.update(x)
        if not found and not np.isnan(ours.statistic):
            assert ours.warning == theirs.warning_detected


@pytest.mark.parametrize(("p", "arl0"), [(0.05, 1e4), (0.2, 1e3), (0.4, 1e4), (0.8, 1e3)])
def test_alarms_are_as_rare_as_declared_and_not_much_rarer(p, arl0):
    n = int(200 * arl0)
    alarms = len(make("ddm", arl0=arl0).update_many(errors(1, (p,), n)))

    assert n / arl0 / 2.5 <= alarms <= n / arl0


def test_falling_errors_are_no_drift():
    assert make("ddm", arl0=1e4).update_many(errors(0, (0.5, 0.1, 0.05))) == []


def test_values_outside_are_clipped():
    x = errors(0, (0.1, 0.6))
    wild = np.where(x > 0, 7.0, -3.0)

    assert make("ddm").update_many(wild) == make("ddm").update_many(x)


def test_a_perfect_learner_that_starts_to_fail_is_found():
    (at, found), *_ = make("ddm").update_many(np.repeat([0.0, 1.0, 0.0, 1.0], [50_000, 300, 300, 300]))

    assert at < 50_000 + 700
    assert found.before < 0.01
