"""RDDM: MOA's with a literature parameter; the same alarm rate at every n otherwise."""

import math

import numpy as np
import pytest

from detectors import make
from detectors._errors import HAZARD, multiplier
from tests.naive import twin
from tests.test_ddm import errors


def moa_rddm(x, least=129, warning=1.773, drift=2.258, longest=40_000, size=7000, limit=1400):
    """RDDM.java of MOA in Python, ring and all: indices of the drifts and of the warnings."""
    stored, held, first, taken = [0] * size, 0, 0, 0
    last = warned_pos = warned = -1
    n, p, pmin, smin, psmin = 1, 1.0, math.inf, math.inf, math.inf
    over = changed = False
    drifts, warnings = [], []
    for i, error in enumerate(x):
        if over:
            n, p = 1, 1.0
            if changed:
                pmin = smin = psmin = math.inf
            if warned_pos != -1:
                first = warned_pos
                held = last - first + 1
                held += size if held <= 0 else 0
            for k in range(held):
                p += (stored[(first + k) % size] - p) / n
                s = math.sqrt(p * (1 - p) / n)
                if changed and n > least and p + s < psmin:
                    pmin, smin, psmin = p, s, p + s
                n += 1
            warned_pos = warned = -1
            over = changed = False
        last = (last + 1) % size
        stored[last] = int(error)
        if held < size:
            held += 1
        else:
            first = (first + 1) % size
            if warned_pos == last:
                warned_pos = -1
        p += (error - p) / n
        s = math.sqrt(p * (1 - p) / n)
        taken += 1
        n += 1
        if n <= least:
            continue
        if p + s < psmin:
            pmin, smin, psmin = p, s, p + s
        if p + s > pmin + drift * smin:
            over = changed = True
            drifts.append(i)
            if warned == -1:
                first, held = last, 1
            continue
        zone = p + s > pmin + warning * smin
        if zone:
            if warned != -1 and warned + limit <= taken:
                over = changed = True
                drifts.append(i)
                first, held = last, 1
                warned_pos = warned = -1
                continue
            warnings.append(i)
            if warned == -1:
                warned, warned_pos = taken, last
        else:
            warned = warned_pos = -1
        if n > longest and not zone:
            over = True
    return drifts, warnings


SMALLER = {"max_size_concept": 3000, "min_size_stable_concept": 700, "warn_limit": 250}


@pytest.mark.parametrize(("params", "short"), [({"drift_level": 2.258}, {}), (SMALLER, (3000, 700, 250))])
def test_agrees_with_moa_step_by_step(params, short):
    some = 0
    for seed in range(2):
        x = errors(seed, (0.3, 0.32, 0.1, 0.4, 0.5), 3500)
        ours, found, warned = make("rddm", **params), [], []
        for i, error in enumerate(x):
            if ours.update(error):
                found.append(i)
            elif ours.warning:
                warned.append(i)
        assert (found, warned) == moa_rddm(x, **dict(zip(("longest", "size", "limit"), short, strict=False)))
        some += len(found)
    assert some > 5


def test_agrees_with_what_moa_itself_gave():
    found = [at for at, _ in make("rddm", drift_level=2.258).update_many(errors(7, (0.2, 0.21), 60_000))]

    # moa.jar of CapyMOA 0.15; past 40,000 answers it forgets, but not its lowest level
    assert found == [265, 915, 5551, 45107, 45272, 46787, 59549, 59919, 61243, 76194, 116194]


def test_values_that_are_no_errors_are_found_later():
    """CapyMOA's tutorial goes from {0, 1} to {6, ..., 11}: MOA fires at the first of those, which here count as 1."""
    rng = np.random.default_rng(42)
    x = rng.integers(0, 2, size=2000).astype(float)
    x[1000:] = rng.integers(6, 12, size=1000)

    assert moa_rddm(x[:1001])[0] == [1000]
    assert moa_rddm(np.clip(x, 0, 1))[0] == [at for at, _ in make("rddm", drift_level=2.258).update_many(x)]
    assert make("rddm", drift_level=2.258).update_many(x)[0][0] == 1016


def test_the_multiplier_spends_the_budget_evenly():
    for n in (101, 1000, 40_000):
        k = multiplier(n, 2e6)
        assert HAZARD * math.exp(-(k * k - 1) / 2) / n == pytest.approx(1 / 2e6)


def test_recalculates_from_the_answers_kept():
    x = errors(2, (0.2, 0.22, 0.2), 5000)
    found = [(at, d.statistic, d.threshold) for at, d in make("rddm", arl0=5000, memory=500).update_many(x)]

    assert max(np.diff([0, *(at for at, *_ in found)])) > 3000
    np.testing.assert_allclose(found, twin("rddm")(x, arl0=5000, memory=500), rtol=1e-9)


@pytest.mark.parametrize(("p", "memory"), [(0.05, 7000), (0.3, 7000), (0.5, 500), (0.2, 2000)])
def test_alarms_are_as_rare_as_declared_and_not_much_rarer(p, memory):
    n, arl0 = 400_000, 1e4
    alarms = len(make("rddm", arl0=arl0, memory=memory).update_many(errors(1, (p,), n)))

    assert n / arl0 / 4 <= alarms <= n / arl0


def test_falling_errors_are_no_drift():
    assert make("rddm", arl0=1e4).update_many(errors(0, (0.5, 0.1, 0.05))) == []
