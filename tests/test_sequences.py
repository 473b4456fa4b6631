"""Confidence sequences: they cover at all looks together, whatever the cuts, and say what they are worth."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.evidence.sequences import LEAST, Sequence, difference, labels_more, mixture

LOOKS, LENGTH, STREAMS = 60, 6000, 300


def sequence_of(x: Any, *, bounded: bool = True) -> Sequence:
    sequence = Sequence(bounded=bounded)
    sequence.add(np.asarray(x, float))
    return sequence


def ever_missed(streams: Any, means: Any, *, bounded: bool, alpha: float) -> float:
    """The share of streams whose mean was outside of the interval at any look."""
    looks = np.unique(np.geomspace(1, LENGTH, LOOKS).astype(int))
    missed = 0
    for x in streams:
        sequence, begin, out = Sequence(bounded=bounded), 0, False
        for look in looks:
            sequence.add(x[begin:look])
            begin = look
            low, high = sequence.interval(alpha) or (-math.inf, math.inf)
            out |= not low <= means[look - 1] <= high
        missed += out
    return missed / len(streams)


@pytest.mark.parametrize("chance", [0.02, 0.3])
def test_bounded_means_are_covered_at_all_looks_together(chance: float) -> None:
    streams = np.random.default_rng(1).random((STREAMS, LENGTH)) < chance

    assert ever_missed(streams * 1.0, np.full(LENGTH, chance), bounded=True, alpha=0.2) < 0.2


def test_a_mean_that_drifts_is_covered_as_the_mean_so_far() -> None:
    chance = np.where(np.arange(LENGTH) < 2000, 0.1, 0.4)
    streams = np.random.default_rng(2).random((STREAMS, LENGTH)) < chance
    so_far = np.cumsum(chance) / np.arange(1, LENGTH + 1)

    assert ever_missed(streams * 1.0, so_far, bounded=True, alpha=0.2) < 0.2


@pytest.mark.parametrize(("draw", "mean"), [("normal", 0.0), ("exponential", 1.0)])
def test_asymptotic_sequences_cover_where_tails_are_light(draw: str, mean: float) -> None:
    streams = getattr(np.random.default_rng(3), draw)(size=(STREAMS, LENGTH))

    assert ever_missed(streams, np.full(LENGTH, mean), bounded=False, alpha=0.2) < 0.2


def test_asymptotic_sequences_do_not_where_few_wild_values_decide() -> None:
    """Their docstring says so; this is how far it goes."""
    streams = np.random.default_rng(4).lognormal(sigma=1.5, size=(STREAMS, LENGTH))

    assert 0.05 < ever_missed(streams, np.full(LENGTH, math.exp(1.125)), bounded=False, alpha=0.05) < 0.3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1) | st.just(math.nan), max_size=60), st.integers(0, 60), st.booleans())
def test_cuts_and_restored_states_change_no_bit(x: list[float], cut: int, bounded: bool) -> None:
    whole, first = sequence_of(x, bounded=bounded), sequence_of(x[:cut], bounded=bounded)
    rest = Sequence(bounded=bounded)
    rest.load(first.to_state())
    for value in x[cut:]:
        rest.add(np.array([value]))

    assert rest.sums.tobytes() == whole.sums.tobytes()
    assert rest.first == whole.first or (math.isnan(rest.first) and math.isnan(whole.first))


def test_the_sums_are_those_of_a_plain_loop() -> None:
    x = np.random.default_rng(5).normal(7e6, 2, size=500)
    spread = sum((x[i] - x[:i].mean()) ** 2 for i in range(1, len(x)))
    sequence = sequence_of(x, bounded=False)

    assert sequence.mean == pytest.approx(x.mean(), rel=1e-14)
    assert sequence.sums[2] == pytest.approx(spread, rel=1e-9)


def test_the_bound_is_where_the_mixture_over_bets_reaches_its_threshold() -> None:
    """The mixture by numbers: bets in (0, 1) whose density is c (1 - b)^(RHO - 1) exp(RHO b)."""
    bet = (np.arange(200_000) + 0.5) / 200_000
    density = 9 * np.log1p(-bet) + 10 * bet
    weights = np.exp(density - density.max())
    for spread in (0.0, 5.0, 200.0, 10_000.0):
        (s,) = mixture(np.array([spread]), 0.025)
        log = bet * s + (np.log1p(-bet) + bet) * spread
        wealth = np.log(np.average(np.exp(log - log.max()), weights=weights)) + log.max()
        assert wealth == pytest.approx(math.log(1 / 0.025), abs=1e-4)


def test_of_nothing_and_of_little_it_says_nothing() -> None:
    assert sequence_of([]).interval(0.05) == [0, 1]
    assert sequence_of([1.0]).interval(0.05) == [0, 1]
    assert sequence_of(np.arange(LEAST - 1), bounded=False).interval(0.05) is None
    assert sequence_of(np.arange(LEAST), bounded=False).interval(0.05) is not None
    assert sequence_of([], bounded=False).mean is None
    assert difference(sequence_of([]), sequence_of([1]), 0.05) == {"mean": None, "interval": None}
    assert labels_more(sequence_of([]), sequence_of([1]), 0.05) is None


def test_what_is_too_wild_to_be_squared_is_left_out() -> None:
    assert sequence_of([1.0, 1e300, -np.inf, np.nan, 3.0], bounded=False).mean == 2


@pytest.mark.parametrize("bounded", [True, False])
def test_as_many_labels_more_as_it_says_decide(bounded: bool) -> None:
    block = np.random.default_rng(6).random((500, 2)) < (0.2, 0.25)
    a, b = (sequence_of(block[:, j] * 1.0, bounded=bounded) for j in range(2))
    more = labels_more(a, b, 0.05)
    assert more
    times = 1 + more / 1000
    for share, decided in ((0.85, False), (1.15, True)):
        n = round(times * share)
        c, d = (sequence_of(np.tile(block[:, j] * 1.0, n), bounded=bounded) for j in range(2))
        low, high = difference(c, d, 0.05)["interval"]
        assert (not low <= 0 <= high) == decided


def test_equal_means_are_never_told_apart() -> None:
    assert labels_more(sequence_of([0, 1] * 50), sequence_of([0, 1] * 50), 0.05) is None
