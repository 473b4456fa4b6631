"""ECDD: MOA's chart with a literature parameter; an exact bound given the number of errors otherwise."""

import itertools
import math

import numpy as np
import pytest

from detectors import make
from detectors._errors import NODES, chernoff_limits, limit_at
from tests.test_ddm import errors


def moa_chart(x, weight=0.2, least=30):
    """EWMAChartDM.java of MOA in Python: indices of the drifts and of the warnings."""
    drifts, warnings, fresh = [], [], True
    for i, error in enumerate(x):
        if fresh:
            n, total, z, fresh = 1.0, 0.0, 0.0, False
        total += error
        p = total / n
        s = math.sqrt(p * (1 - p) * weight * (1 - (1 - weight) ** (2 * n)) / (2 - weight))
        n += 1
        z += weight * (error - z)
        limit = 3.97 - 6.56 * p + 48.73 * p**3 - 330.13 * p**5 + 848.18 * p**7
        if n > least and z > p + limit * s:
            drifts.append(i)
            fresh = True
        elif n >= least and z > p + 0.5 * limit * s:
            warnings.append(i)
    return drifts, warnings


@pytest.mark.parametrize("params", [{"lambda_": 0.2}, {"lambda_": 0.1, "min_n_instances": 60}])
def test_agrees_with_moa_step_by_step(params):
    some = 0
    for seed in range(2):
        x = errors(seed, (0.3, 0.1, 0.4, 0.05, 0.5), 1000)
        ours, found, warned = make("ecdd", **params), [], []
        for i, error in enumerate(x):
            if ours.update(error):
                found.append(i)
            elif ours.warning:
                warned.append(i)
        drifts, warnings = moa_chart(x, *params.values())

        assert found == drifts
        assert set(warned) <= set(warnings)  # MOA warns one answer before it may raise a drift
        assert len(warnings) - len(warned) <= len(drifts) + 1
        some += len(found)
    assert some > 5


def test_agrees_with_what_moa_itself_gave():
    found = [at for at, _ in make("ecdd", lambda_=0.2).update_many(errors(7, (0.2, 0.1, 0.4, 0.3)))]

    assert found == [264, 558, 890, 2749, 3016, 3867, 4651, 4881, 5125, 5521]  # moa.jar of CapyMOA 0.15


def test_where_the_published_chart_is_blind():
    """At an error rate of .5 its limit is above 1: only values that are no errors get there, as in CapyMOA's tutorial.

    Its seeded sequence goes from {0, 1} to {6, ..., 11}: MOA fires at the first of those, which here count as 1.
    """
    x = np.random.default_rng(42).integers(0, 2, size=2000).astype(float)
    x[1000:] = np.random.default_rng(42).integers(6, 12, size=1000)

    assert moa_chart(x[:1001])[0] == [1000]
    assert moa_chart(np.clip(x, 0, 1))[0] == [at for at, _ in make("ecdd", lambda_=0.2).update_many(x)] == []
    assert make("ecdd", arl0=400).update_many(x)[0][0] < 1200


@pytest.mark.parametrize("exponent", [1.0, 2.0, 4.0])
def test_the_bound_holds_for_every_number_of_errors(exponent):
    """All arrangements of k errors in 14 answers counted: the average is above the limit for at most exp(-exponent)."""
    weight, n = 0.2, 14
    weights = weight * (1 - weight) ** np.arange(n)
    limits = chernoff_limits(weights, np.ones(n), exponent)
    for k in range(n + 1):
        sums = np.array([weights[list(places)].sum() for places in itertools.combinations(range(n), k)])
        assert np.mean(sums > limit_at(limits, k / n)) <= math.exp(-exponent)


def test_a_limit_is_where_chernoffs_exponent_is_the_level():
    weights, p, s = np.array([0.5, 0.3, 0.2]), (64 / NODES) ** 2, np.geomspace(1e-3, 1e3, 20_000)[:, None]
    z = chernoff_limits(weights, np.array([3, 3, 3]), 2.0)[64]

    assert np.max(s[:, 0] * z - 3 * np.log(1 - p + p * np.exp(s * weights)).sum(axis=1)) == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.3, 0.5, 0.97])
def test_alarms_are_as_rare_as_declared_and_not_much_rarer(p):
    n, arl0 = 400_000, 1e4
    alarms = len(make("ecdd", arl0=arl0).update_many(errors(1, (p,), n)))

    assert n / arl0 / 4 <= alarms <= n / arl0


def test_falling_errors_are_no_drift():
    assert make("ecdd", arl0=1e4).update_many(errors(0, (0.5, 0.1, 0.05))) == []


def test_a_long_memory_finds_a_small_rise_sooner():
    x = [np.concatenate([errors(seed, (0.2,), 5000), errors(seed + 50, (0.25,), 20_000)]) for seed in range(30)]

    def delay(memory):
        found = [make("ecdd", arl0=1e4, memory=memory).update_many(one) for one in x]
        return np.median([next((at for at, _ in one if at >= 5000), 25_000) for one in found])

    assert delay(400) < delay(50) - 50
