"""Paired: agrees with its slow twin, does not depend on cuts, resumes, and keeps its word where nothing is better."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.evidence.paired import BETS, Paired
from tests.naive.paired import interval, wealth

ALPHA = 0.05
KINDS = {
    "0/1 losses": lambda rng, n: rng.choice([-1.0, 0.0, 1.0], n, p=[0.1, 0.7, 0.2]),
    "scaled errors": lambda rng, n: np.clip(rng.standard_t(2, n) / 4, -1, 1),
    "all lost": lambda _, n: np.full(n, -1.0),
    "never apart": lambda _, n: np.zeros(n),
}


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_the_slow_twin(kind):
    d = KINDS[kind](np.random.default_rng(1), 150)
    paired = Paired()
    better, worse = paired.add(d)

    np.testing.assert_allclose(better, np.log(wealth(d.tolist(), BETS.tolist())), atol=1e-9)
    np.testing.assert_allclose(worse, np.log(wealth((-d).tolist(), BETS.tolist())), atol=1e-9)
    assert paired.interval(ALPHA) == pytest.approx(interval(d.tolist(), ALPHA, BETS.tolist()), abs=2e-3)
    assert paired.n == 150
    assert paired.mean == pytest.approx(d.mean(), abs=1 / 64)


@given(st.lists(st.integers(1, 60), max_size=20), st.integers(0, 2**32 - 1))
def test_does_not_depend_on_cuts_and_resumes(cuts, seed):
    d = np.random.default_rng(seed).uniform(-1, 1, 300)
    whole, parted, start = Paired(), Paired(), 0
    expected = np.array(whole.add(d))
    found = []
    for n in [*cuts, 0, 300]:
        found.append(np.array(parted.add(d[start : start + n])))
        start += len(found[-1][0])
        state, parted = parted.to_state(), Paired()
        parted.load(state)

    assert np.array_equal(np.concatenate(found, axis=1), expected)
    assert parted.interval(ALPHA) == whole.interval(ALPHA)
    assert all(np.array_equal(a, b) for a, b in zip(parted.to_state().values(), whole.to_state().values(), strict=True))


def test_nothing_is_known_of_nothing():
    paired = Paired()
    better, worse = paired.add(np.empty(0))

    assert len(better) == len(worse) == 0
    assert paired.interval(ALPHA) == [-1.0, 1.0]
    assert np.isnan(paired.mean)


def test_a_state_is_not_shared():
    paired = Paired()
    paired.add(np.full(10, 0.5))
    state = paired.to_state()
    paired.add(np.full(10, 0.5))

    assert state["counts"].sum() == 10


def test_equals_are_seldom_proven_better_and_the_interval_holds_at_all_times():
    """200 streams of 2,000 labels; at the level .2 at most 40 of either are expected, 53 by chance (1 in 100)."""
    rng, level, proven, missed = np.random.default_rng(2), 0.2, 0, 0
    for _ in range(200):
        d = rng.choice([-1.0, 0.0, 1.0], 2000, p=[0.15, 0.7, 0.15])
        better, _ = Paired().add(d)
        proven += bool((better > np.log(1 / level)).any())
        paired, outside = Paired(), False
        for part in np.split(d, 40):
            paired.add(part)
            low, _ = paired.interval(level)
            outside |= low > 0
        missed += outside

    assert 5 < proven <= 53
    assert missed <= 53
