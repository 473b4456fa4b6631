"""Conformal test martingale: fair bets, the bound on the mean run length, changes that no mean shows."""

import numpy as np
import pytest

from detectors import make
from detectors.conformal import CELLS, cell_of, one_sided_payoffs, payoffs


def test_cells_are_where_the_payoffs_think():
    depth = 2.0 ** -np.arange(1, 11) / 64
    edges = np.concatenate([depth[::-1], np.arange(1, 64) / 64, 1 - depth])
    u = np.concatenate([np.random.default_rng(0).random(3000), edges - 1e-12, edges + 1e-12])

    assert len(edges) + 1 == CELLS
    assert [cell_of(value) for value in u] == np.searchsorted(edges, u, side="right").tolist()


@pytest.mark.parametrize("made", [payoffs(), one_sided_payoffs(1), one_sided_payoffs(-1)], ids=["both", "up", "down"])
def test_every_bet_is_fair(made):
    names, pay = made
    u = (np.arange(2**16) + 0.5) / 2**16

    assert (pay > 0).all()
    np.testing.assert_allclose(pay[[cell_of(value) for value in u]].mean(axis=0), 1)
    assert len(set(names)) == pay.shape[1]


def test_arl0_is_met_for_any_signal():
    rng, n = np.random.default_rng(0), 500_000
    signals = rng.normal(size=n), (rng.random(n) < 0.05).astype(float), rng.lognormal(sigma=3, size=n)
    alarms = [len(make("conformal", arl0=2000).update_many(x)) for x in signals]

    for one in alarms:
        assert 1.1 * 2000 < n / one - 256 < 1.7 * 2000


CHANGES = {
    "two values": np.sign,
    "no middle": lambda x: x + 0.7 * np.sign(x),
    "heavy tails": lambda x: np.sinh(2 * x) / 3,
    "one value more often": lambda x: np.where(np.arange(len(x)) % 4, x, 0.3),
    "rare outliers": lambda x: np.where(np.arange(len(x)) % 25, x, 9.0),
    "skewed": lambda x: (np.exp(x) - 1.6) / 2,
}


@pytest.mark.parametrize("change", CHANGES)
def test_finds_changes_of_any_kind(change):
    x = np.random.default_rng(3).normal(size=5000)
    x[4000:] = CHANGES[change](x[4000:])
    (at, drift), *_ = make("conformal", arl0=1e5).update_many(x)

    assert 4000 <= at < 4300
    assert abs(at - drift.age + 1 - 4000) < 150


def test_finds_a_category_that_comes_up_and_names_no_direction():
    x = np.random.default_rng(0).zipf(1.5, 6000).clip(max=1000).astype(float)
    x[4000:][::10] = 500.5
    (at, drift), *_ = make("conformal", categories=True).update_many(x)

    assert 4000 <= at < 4400
    assert drift.direction == 0


def test_categories_have_no_side():
    with pytest.raises(ValueError, match="direction: the codes of categories have no order"):
        make("conformal", categories=True, direction="up")


def test_one_side_finds_a_gradual_rise_sooner_than_an_average():
    rng, starts = np.random.default_rng(2), 3000
    x = rng.normal(size=(40, starts + 1500))
    x[:, starts:] += np.where(rng.random((40, 1500)) < np.arange(1500) / 1000, 1.0, 0.0)
    bets, average = (
        np.mean([make(name, arl0=1e5, direction="up").update_many(row)[0][0] for row in x])
        for name in ("conformal", "ewma")
    )

    assert starts < bets < average
