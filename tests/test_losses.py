"""What a change costs: estimated and realised loss, benign or not, and the segments that carry it."""

import math

import numpy as np
import pytest

from stream_app.evidence.losses import harm, segments
from stream_app.evidence.table import Table


def losses(error=None, expected=None, n=1000):
    none = np.full(n, math.nan)
    return Table((), (), {}, np.empty((n, 0)), none, *(none if e is None else np.asarray(e) for e in (expected, error)))


def errors(rate, n=1000, seed=0):
    return (np.random.default_rng(seed).random(n) < rate).astype(float)


def uncertain(rate, n=1000, seed=0):
    return np.clip(np.random.default_rng(seed).normal(rate, 0.05, n), 0, 1)


@pytest.mark.parametrize(
    ("before", "after", "benign"),
    [
        ({"error": errors(0.1, 5000)}, {"error": errors(0.3, 1000, 1)}, False),
        ({"expected": uncertain(0.3)}, {"expected": uncertain(0.3, 1000, 1)}, True),
        ({"error": errors(0.3, 100)}, {"error": errors(0.3, 100, 1)}, None),
        ({"error": errors(0.3)}, {"error": np.full(1000, math.nan)}, None),
        ({"error": errors(0.4)}, {"error": errors(0.1)}, True),
        ({"error": np.zeros(5000)}, {"error": np.zeros(5000)}, True),
        ({"error": np.zeros(20)}, {"error": np.zeros(20)}, None),  # so few right answers promise nothing
    ],
)
def test_benign_harmful_or_not_clear(before, after, benign):
    found = harm(*(losses(**each, n=len(next(iter(each.values())))) for each in (before, after)))

    assert found["benign"] is benign


def test_the_better_known_loss_decides():
    estimate = {"expected": uncertain(0.2)}
    few = np.where(np.arange(1000) < 40, errors(0.2), math.nan)
    many = harm(losses(errors(0.2), **estimate), losses(errors(0.3, seed=1), **estimate))
    scarce = harm(losses(errors(0.2), **estimate), losses(few, **estimate))
    bad = harm(losses(errors(0.2), **estimate), losses(np.where(np.isnan(few), few, 1.0), **estimate))

    assert (many["basis"], many["benign"]) == ("realised", False)
    assert (scarce["basis"], scarce["benign"], scarce["labels_after"]) == ("estimated", True, 40)
    assert (bad["basis"], bad["benign"]) == ("realised", False)
    assert bad["excess_per_event"] == pytest.approx(0.8, abs=0.05)


def test_the_interval_holds_the_true_rise_as_often_as_it_says():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        x, y = (rng.random(1000) < 0.1).astype(float), (rng.random(80) < 0.2).astype(float)
        low, high = harm(losses(x), losses(y, n=80))["interval"]
        held += low <= 0.1 <= high

    assert 0.92 <= held / 400 <= 0.99


def flights(n, seed, rise):
    """Carrier 2 flies from two of the three airports only; its errors rise."""
    rng = np.random.default_rng(seed)
    carrier, distance = rng.integers(0, 6, n), rng.random(n)
    origin = np.where(carrier == 2, rng.integers(0, 2, n), rng.integers(0, 3, n))
    error = (rng.random(n) < 0.1 + rise * (carrier == 2)).astype(float)
    x = np.column_stack([carrier, origin, distance]).astype(float)
    texts = {"carrier": [f"C{i}" for i in range(6)], "origin": ["EWR", "JFK", "LGA"]}
    none = np.full(n, math.nan)
    return Table(("carrier", "origin", "distance"), (True, True, False), texts, x, none, none, error)


def test_the_segment_that_carries_the_rise_is_named_alone():
    (found,) = segments(flights(2000, 0, 0), flights(2000, 1, 0.5))

    assert found["segment"] == "carrier=C2"
    assert found["stands_out"]
    assert found["basis"] == "realised"
    assert found["change"] == pytest.approx(0.5, abs=0.1)
    assert found["excess"] == pytest.approx(found["share"] * found["change"])


def test_a_rise_everywhere_stands_out_nowhere_and_says_nothing_twice():
    before, after = flights(4000, 0, 0), flights(4000, 1, 0)
    after.error[:] = errors(0.5, 4000)
    found = segments(before, after)

    assert found
    assert not any(each["stands_out"] for each in found)
    assert len({each["segment"] for each in found}) == len(found) <= 5
    assert sum(each["share"] for each in found) < 1.5


def test_numbers_are_cut_in_quarters_and_missing_is_a_segment():
    before, after = flights(3000, 0, 0), flights(3000, 1, 0)
    far = after.x[:, 2] > 0.75
    after.error[far] = 1
    (found,) = segments(before, after)
    gone = after.x[:, 2] > 0.9
    before.x[before.x[:, 2] > 0.9, 2] = math.nan
    after.x[gone, 2] = math.nan
    after.error[:] = np.where(gone, 1, errors(0.1, 3000))
    (missing,) = segments(before, after)

    assert found["segment"].startswith("distance>0.7")
    assert missing["segment"] == "distance=(missing)"


def test_without_labels_the_estimate_tells():
    before, after = flights(2000, 0, 0), flights(2000, 1, 0.5)
    without = [
        Table(t.names, t.categories, t.texts, t.x, t.score, t.error, np.full(2000, math.nan)) for t in (before, after)
    ]

    assert [(each["segment"], each["basis"]) for each in segments(*without)] == [("carrier=C2", "estimated")]
