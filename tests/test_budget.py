"""One budget for many watches: what may alarm together, and that it stays within the budget."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import make
from detectors._budget import ELond, split, together

EVIDENCE = st.lists(st.tuples(st.floats(0, 1e4) | st.just(math.nan), st.floats(100, 5000)), min_size=1, max_size=7)


@given(st.floats(100, 1e9), st.lists(st.floats(0.01, 100), min_size=1, max_size=50))
def test_the_parts_make_up_the_budget(arl0, weights):
    parts = split(arl0, weights)

    assert sum(1 / part for part in parts) == pytest.approx(1 / arl0)
    assert [part * weight for part, weight in zip(parts, weights, strict=True)] == pytest.approx(
        [parts[0] * weights[0]] * len(parts)
    )


@pytest.mark.parametrize("weights", [[], [1.0, 0.0], [-1.0], [1.0, math.nan], [math.inf], np.zeros(2), [[1.0]]])
def test_weights_are_positive(weights):
    with pytest.raises(ValueError, match="weights: expected numbers more than 0"):
        split(1e6, weights)


@pytest.mark.parametrize("arl0", [-1e6, 0, math.nan, math.inf, "1e6"])
def test_a_budget_is_a_number_of_observations(arl0):
    with pytest.raises(ValueError, match="arl0: expected a number from 1"):
        split(arl0, [1.0])


def test_weights_may_be_an_array():
    assert split(np.float64(1e6), np.array([1, 3])) == split(1e6, [1, 3]) == [4e6, 4e6 / 3]


@given(EVIDENCE)
@settings(deadline=None)
def test_the_largest_set_alarms(watches):
    e_values, arl0 = zip(*watches, strict=True)
    found = together(e_values, arl0)
    sizes = [
        k
        for k in range(1, len(watches) + 1)
        for chosen in itertools.combinations(range(len(watches)), k)
        if all(e_values[i] / arl0[i] * k >= 1 for i in chosen)
    ]

    assert len(found) == max(sizes, default=0)
    assert all(e_values[i] / arl0[i] * len(found) >= 1 for i in found)
    assert sum(e_values[i] / arl0[i] for i in found) >= (1 - 1e-12 if len(found) else 0)  # what an alarm costs
    assert {i for i, (e, a) in enumerate(watches) if e >= a} <= set(found.tolist())  # nobody loses


def incidents(streams, arl0, *, jointly, every=20, lasts=1000):
    """(when it began, when each watch alarmed first); watches alarm alone and, if asked, join an incident."""
    parts = split(arl0, [1.0] * len(streams))
    watches = [make("e_detector", arl0=part) for part in parts]
    found, last = [], -lasts
    for start in range(0, streams.shape[1], every):
        chunks = enumerate(streams[:, start : start + every])
        alarms = [(start + at, i) for i, x in chunks for at, _ in watches[i].update_many(x)]
        now = start + every - 1
        in_it = {i for _, i in alarms} | set(found[-1][1] if now - last < lasts else [])
        who = together([watch.e_value for watch in watches], parts, len(in_it)) if jointly else []
        for i in who:
            watches[i]._reset()
        for at, i in sorted(alarms) + [(now, i) for i in who]:
            if at - last >= lasts:
                found.append((at, {}))
            found[-1][1].setdefault(i, at)
            last = at
    return found


def factor(rng, load, k, n):
    """Normal signals with a common cause; load 1: equal copies."""
    return load * rng.normal(size=n) + math.sqrt(1 - load * load) * rng.normal(size=(k, n))


@pytest.mark.parametrize("load", [0.0, 0.9, 1.0])
def test_in_control_the_budget_is_kept_however_the_signals_depend(load):
    n, arl0 = 30_000, 1000
    found = incidents(factor(np.random.default_rng(2), load, 8, n), arl0, jointly=True, lasts=50)

    assert 1 <= len(found) <= n / arl0


def test_equal_copies_spend_the_whole_budget_together_and_an_eighth_of_it_alone():
    n, arl0 = 30_000, 500
    streams = factor(np.random.default_rng(2), 1.0, 8, n)
    found = incidents(streams, arl0, jointly=True, lasts=50)

    assert all(len(who) == 8 for _, who in found)
    assert len(found) > 3 * len(incidents(streams, arl0, jointly=False, lasts=50))


def test_signals_that_move_together_are_found_sooner():
    quiet, after, moved, delays = 3000, 2500, 10, {False: [], True: []}
    for seed in range(4):
        streams = np.random.default_rng(seed).normal(size=(50, quiet + after))
        streams[:moved, quiet:] += 0.2
        for jointly, found in delays.items():
            late = [who for at, who in incidents(streams, 1e5, jointly=jointly, every=50) if at >= quiet]
            found += [min([who[i] for who in late if i in who], default=quiet + after) - quiet for i in range(moved)]

    assert np.mean(delays[True]) < 0.95 * np.mean(delays[False])


def test_the_share_of_false_answers():
    """Two questions of three are about nothing, with e-values as dependent as can be: one uniform for all."""
    rng, level, shares = np.random.default_rng(0), 0.2, []
    for _ in range(3000):
        chance = rng.random()
        questions = ELond(level)
        answers = [questions.ask(1e5 if k % 3 == 0 else 0.5 / math.sqrt(chance)) for k in range(30)]
        wrong = sum(answer for k, answer in enumerate(answers) if k % 3)
        shares.append(wrong / max(1, sum(answers)))

    assert 0 < np.mean(shares) <= level


def test_level_is_a_share():
    with pytest.raises(ValueError, match="level: expected a number"):
        ELond(0)
