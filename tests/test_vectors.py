"""What the detectors of rows share: the bet, the false alarms on awkward joint distributions, missing cells, shares."""

import numpy as np
import pytest

from detectors import make
from detectors._bets import CAP, STAKES
from detectors._vectors import product, whitening

NAMES = ("hotelling", "pca", "mmd", "energy", "classifier")
ROWS = pytest.mark.parametrize("name", NAMES)


def dependent_tails(rng, n):
    return rng.normal(size=(n, 3)) / np.sqrt(rng.chisquare(3, size=(n, 1)) / 3)


def correlated(rng, n):
    return np.exp(rng.normal(size=(n, 1)) + 0.3 * rng.normal(size=(n, 8)))


def awkward(rng, n):
    """Errors of two rates, a constant, the same column twice, rare large values, a coin."""
    error, number = rng.random((2, n))
    x = [error < 0.05, number < 0.4, np.full(n, 3.0), number, number, 1e300 * (rng.random(n) < 0.002), error < 0.5]
    return np.stack(x, axis=1).astype(float)


@ROWS
@pytest.mark.parametrize("sample", [dependent_tails, correlated, awkward])
def test_false_alarms_are_as_rare_as_declared(name, sample):
    n, arl0 = 40_000, 2e3
    x = sample(np.random.default_rng(11), n)

    assert len(make(name, arl0=arl0, features=x.shape[1]).update_many(x)) <= n / arl0


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.001])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_bet_has_mean_one_at_most_whatever_the_law(rate, sign):
    chances = np.array([1 - rate, rate])
    values = sign * (np.array([0, 1]) - rate) / np.sqrt(rate * (1 - rate))
    for stake in STAKES:
        q = stake * np.minimum(values, CAP)
        bet = (1 + q + q**2 / 3) / (1 + stake**2 / 3)
        assert bet.min() > 0
        assert chances @ bet <= 1 + 1e-12


def test_whitened_columns_are_uncorrelated_and_stay_near():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 4))
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    white = x @ whitening(x)

    np.testing.assert_allclose(np.cov(white.T), np.eye(4), atol=0.05)
    assert all(np.corrcoef(x[:, j], white[:, j])[0, 1] > 0.85 for j in range(4))


def test_whitening_survives_columns_that_are_equal_or_constant():
    x = np.random.default_rng(0).normal(size=(100, 1))
    white = whitening(np.hstack([x, x, np.zeros((100, 2))]))

    assert np.isfinite(white).all()


def test_a_product_does_not_depend_on_its_company():
    rng = np.random.default_rng(0)
    rows, matrix = rng.normal(size=(50, 33)), rng.normal(size=(33, 17))

    whole = product(rows, matrix)
    np.testing.assert_allclose(whole, rows @ matrix)
    for k in range(50):
        assert np.array_equal(product(rows[k : k + 1], matrix)[0], whole[k])


@ROWS
def test_missing_cells_count_as_in_control(name):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3000, 3))
    x[2000:, 0] += 2
    x[rng.random(x.shape) < 0.2] = np.nan
    x[:, 2] = np.inf  # a column that never has a number
    detector = make(name, arl0=1e5, features=3)
    (at, drift), *_ = detector.update_many(x)

    assert 2000 <= at < 2200
    assert drift.detail["features"][0]["feature"] == 0
    assert detector.missing == np.sum(~np.isfinite(x).any(axis=1))


@ROWS
def test_a_column_that_has_no_number_in_the_warm_up_says_nothing(name):
    x = np.random.default_rng(3).normal(size=(2000, 2))
    x[:400, 1] = np.nan

    assert make(name, arl0=1e5).update_many(x) == []


@ROWS
def test_shares_name_the_column_that_changed(name):
    leading = []
    for seed in range(6):
        x = np.random.default_rng(seed).normal(size=(3000, 5))
        x += x[:, :1]
        x[2000:, 3] += 2
        at, drift = make(name, arl0=1e5, features=5).update_many(x)[0]
        features = drift.detail["features"]
        leading.append(features[0]["feature"])

        assert 2000 <= at < 2400
        assert sorted(column["feature"] for column in features) == list(range(5))
        shares = [column["share"] for column in features]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1)
        assert drift.before == features[0]["before"]
        assert drift.after == features[0]["after"]
    assert leading.count(3) >= 5


@ROWS
def test_only_ranks_within_the_columns_matter(name):
    x = np.random.default_rng(5).normal(size=(2500, 2))
    x[1500:] += 1
    expected = [(at, drift.statistic) for at, drift in make(name, arl0=1e4).update_many(x)]

    stretched = np.stack([np.exp(x[:, 0]), x[:, 1] ** 3], axis=1)
    assert [(at, drift.statistic) for at, drift in make(name, arl0=1e4).update_many(stretched)] == expected


@ROWS
def test_rows_of_another_width_are_refused(name):
    with pytest.raises(ValueError, match=r"x: expected shape \(n, 3\), got \(5, 2\)"):
        make(name, features=3).update_many(np.zeros((5, 2)))
    for features in (0, 2.0, None, True):
        with pytest.raises(ValueError, match="features: expected a whole number"):
            make(name, features=features)
