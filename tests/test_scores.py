"""Sequential ranks: the scores in control, exactly uniform and independent whatever the signal."""

import numpy as np
import pytest
from numba import njit
from scipy import stats

from detectors._kernels import random_unit
from detectors._scores import EDGES, EVER, Bag, normal_quantile, score
from tests.naive._scores import tie_breaker as slow_tie_breaker
from tests.naive._scores import uniform_scores

SIGNALS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tail": lambda rng, n: rng.standard_cauchy(n),
    "errors": lambda rng, n: rng.random(n) < 0.4,
    "counts": lambda rng, n: rng.poisson(30, n),
    "half constant": lambda rng, n: np.where(rng.random(n) < 0.5, 0, np.round(rng.normal(size=n), 1)),
}


def empty_bag(warm_up, ever=0):
    bag = Bag(
        np.zeros(3, np.int64), np.zeros(5), np.zeros(EDGES), np.zeros((2, EDGES + 1), np.int64), np.zeros(warm_up)
    )
    bag.counts[EVER] = ever
    return bag


@njit
def score_all(x, bag):
    return np.array([score(value, bag) for value in x])


def streams_of_scores(signal, streams, warm_up, n):
    """Scores of many independent streams, each right after its warm-up."""
    rng = np.random.default_rng(0)
    x = [SIGNALS[signal](rng, warm_up + n).astype(float) for _ in range(streams)]
    return np.array([score_all(x[i], empty_bag(warm_up, i * (warm_up + n)))[warm_up:] for i in range(streams)])


@pytest.mark.parametrize("signal", SIGNALS)
def test_scores_are_uniform_and_independent(signal):
    u = streams_of_scores(signal, streams=1500, warm_up=32, n=200)
    z = stats.norm.ppf(u)
    sums = z.sum(axis=1) / np.sqrt(z.shape[1])  # any dependence at all along the stream shows in its spread

    for at in (0, 1, 50, -1):
        assert stats.kstest(u[:, at], "uniform").pvalue > 0.001
    assert stats.kstest(sums, "norm").pvalue > 0.001
    assert stats.kstest((z**2).sum(axis=1), stats.chi2(z.shape[1]).cdf).pvalue > 0.001
    assert abs(np.corrcoef(z[:, :-1].ravel(), z[:, 1:].ravel())[0, 1]) < 0.008


@pytest.mark.parametrize("signal", SIGNALS)
def test_agrees_with_its_slow_twin(signal):
    x = SIGNALS[signal](np.random.default_rng(1), 400).astype(float)
    u = score_all(x, empty_bag(70))

    assert np.isnan(u[:70]).all()
    np.testing.assert_allclose(u[70:], [value for _, value in uniform_scores(x, 0, 70)], rtol=1e-13)


def test_a_constant_has_no_scores_and_the_first_that_differs_neither():
    x = np.zeros(500)
    x[300] = 1.0
    u = score_all(x, empty_bag(50))

    assert np.isnan(u[:301]).all()
    assert np.isfinite(u[301:]).all()


def test_a_rare_value_has_a_score_of_its_own():
    x = np.zeros(1000)
    x[500::100] = 1.0  # far less than one bin of the warm-up
    u = score_all(x, empty_bag(256))

    assert (u[600::100] > 0.99).all()


def test_random_unit_is_uniform_and_of_the_number_alone():
    u = np.array([random_unit(i) for i in range(20_000)])

    assert stats.kstest(u, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.02
    assert [random_unit(i) for i in (1, 2, 10**12)] == [slow_tie_breaker(i) for i in (1, 2, 10**12)]


def test_normal_quantile():
    u = np.concatenate([np.linspace(0.001, 0.999, 999), 10.0 ** -np.arange(1.0, 300), 1 - 2.0 ** -np.arange(1, 54)])

    np.testing.assert_allclose([normal_quantile(value) for value in u], stats.norm.ppf(u), rtol=1e-14, atol=1e-15)
