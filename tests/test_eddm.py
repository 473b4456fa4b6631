"""EDDM: river with a literature parameter; a likelihood ratio of distances otherwise."""

import numpy as np
import pytest
from river import drift

from detectors import make
from tests.naive import twin
from tests.test_adwin import river_alarms
from tests.test_ddm import errors


@pytest.mark.parametrize("params", [{"beta": 0.9}, {"alpha": 0.8, "beta": 0.75, "warm_start": 60}])
def test_agrees_with_river_step_by_step(params):
    some = 0
    for seed in range(6):
        x = errors(seed, (0.3, 0.1, 0.4, 0.5))
        expected = river_alarms(drift.binary.EDDM(**params), x)
        some += len(expected)
        assert [at for at, _ in make("eddm", **params).update_many(x)] == expected
    assert some > 10


def test_warning_zone_agrees_with_river():
    """There the warning stays on when the distance reaches a new maximum."""
    ours, theirs, stays = make("eddm", alpha=0.95), drift.binary.EDDM(), 0
    for x in errors(7, (0.1, 0.3, 0.05)):
        longest = theirs._p2s_prime_max
        found = ours.update(x)
        theirs.update(x)
        if not found:
            assert ours.warning == theirs.warning_detected
            stays += theirs.warning_detected and theirs._p2s_prime_max > longest
    assert stays > 0


def test_only_a_one_is_an_error_to_the_published():
    x = errors(0, (0.1, 0.6))

    assert make("eddm", beta=0.9).update_many(7 * x) == []
    assert make("eddm").update_many(7 * x) == make("eddm").update_many(x) != []


def test_the_longest_distance_is_forgotten():
    x = errors(5, (0.3, 0.25, 0.28, 0.7), 3000)
    found = [(at, d.statistic, d.threshold) for at, d in make("eddm", arl0=2000, errors=20).update_many(x)]

    assert max(np.diff([0, *(at for at, *_ in found)])) > 6000  # 80 times 20 errors
    np.testing.assert_allclose(found, twin("eddm")(x, arl0=2000, errors=20), rtol=1e-9)


@pytest.mark.parametrize(("p", "of"), [(0.05, 75), (0.2, 75), (0.5, 75), (0.2, 20), (0.5, 500), (0.9, 75)])
def test_alarms_are_as_rare_as_declared_and_not_much_rarer(p, of):
    n, arl0 = 400_000, 1e4
    alarms = len(make("eddm", arl0=arl0, errors=of).update_many(errors(1, (p,), n)))

    assert n / arl0 / 6 <= alarms <= n / arl0


def test_a_perfect_learner_that_starts_to_fail_is_found():
    (at, found), *_ = make("eddm").update_many(np.repeat([0.0, 1.0], [50_000, 300]))

    assert 50_000 <= at < 50_200
    assert found.before < 0.01


def test_falling_errors_are_no_drift():
    assert make("eddm", arl0=1e4).update_many(errors(0, (0.5, 0.1, 0.05))) == []
