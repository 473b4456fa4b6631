"""PSI, and the limit that it shares with js, hellinger, chi2 and g_test, against simulated nulls."""

import numpy as np
import pytest
from scipy import stats

from detectors import make
from detectors._separable import CHI2, HELLINGER, JS, PSI, G, null_limit
from tests.naive import twin

SHARED = ["psi", "js", "hellinger", "chi2", "g_test"]
EVERY = pytest.mark.parametrize("name", SHARED)


def zipf(n, seed=5):
    """Codes of 1,000 categories, nearly all rare."""
    share = np.arange(1, 1001) ** -1.1
    return np.random.default_rng(seed).choice(1000, n, p=share / share.sum()).astype(float)


@EVERY
def test_a_thousand_categories_alarm_no_more_than_declared(name):
    detector = make(name, arl0=3e3, categories=True, reference=1000, window=200)

    assert 5 < len(detector.update_many(zipf(300_000))) <= 100


@EVERY
def test_the_limit_is_not_wasteful(name):
    """Measured over declared mean run length, continuous data: 1 to 8."""
    x = np.random.default_rng(3).normal(size=500_000)

    assert 20 < len(make(name, arl0=3e3, reference=1000, window=100).update_many(x)) <= 500_000 / 3e3


@EVERY
@pytest.mark.parametrize("params", [{"categories": True, "bins": 5}, {"bins": 7}, {"rolling": True}], ids=str)
def test_agrees_with_its_slow_twin(name, params):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.zipf(1.6, 700), rng.integers(1, 9, 300)]).clip(0, 10**6).astype(float)
    params = {"arl0": 1e3, "reference": 300, "window": 100, "bins": 10} | params
    found = [(at, found.statistic, found.threshold) for at, found in make(name, **params).update_many(x)]
    expected = twin(name)(x, **params)

    assert expected
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", [PSI, JS, HELLINGER, CHI2, G])
@pytest.mark.parametrize("bins", [2, 10, 50])
def test_limits_are_those_of_a_chi_square_when_all_is_many(kind, bins):
    """One clump in 2 arl0 with windows of 10,000 from a huge reference: the law is chi-square then."""
    window, reference, arl0 = 10_000, 5_000_000, 1e6
    test = np.array([kind, 0.0, 0.0, arl0])
    limit = null_limit(np.full(bins, reference // bins), bins, window, test)
    at = limit * (8 if kind in (JS, HELLINGER) else 1) * reference * window / (reference + window)
    clumps = stats.chi2.sf(at, bins - 1) * (at - bins + 1) ** 2 / at / window

    assert 0.4 < clumps * 2 * arl0 < 1.3


def test_alpha_is_the_chi_square_of_yurdakul_and_naranjo():
    detector = make("psi", alpha=1e-6, reference=1000, window=200)
    detector.update_many(np.random.default_rng(0).normal(size=1500))

    assert detector.threshold == pytest.approx(stats.chi2.isf(1e-6, 9) * (1 / 1000 + 1 / 200))


@pytest.mark.parametrize(("part", "found"), [(0.3, False), (2.5, True)])
def test_detectable_is_about_what_a_full_window_finds(part, found):
    detector = make("psi", arl0=1e4)
    shift = np.sqrt(part * detector.detectable(500)) * np.tile([0.1, -0.1], 5)
    bins = np.random.default_rng(0).choice(10, 500, p=0.1 + shift)
    x = np.concatenate([np.random.default_rng(1).random(5500), (bins + 0.5) / 10])

    assert bool(detector.update_many(x)) == found
