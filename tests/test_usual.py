"""What is usual: days differ from one another, and that is no change."""

import numpy as np
import pytest

from stream_app.evidence.table import Table
from stream_app.evidence.usual import FEW, is_usual, spread, stretches, widened


def table(x: np.ndarray, *, category: bool = False) -> Table:
    unknown = np.full(len(x), np.nan)
    return Table(("a",), (category,), {}, x[:, None], unknown, unknown, unknown)


def daily(n: int, rng: np.random.Generator) -> np.ndarray:
    """A level of its own for each day of 100 events."""
    return np.repeat(rng.normal(0, 1, n // 100), 100) + rng.normal(0, 0.5, n)


def test_stretches_are_as_long_as_the_time_since_the_onset() -> None:
    offset = np.arange(1000)
    masks = stretches(offset, 900)

    assert [np.flatnonzero(mask)[[0, -1]].tolist() for mask in masks[:2]] == [[800, 899], [700, 799]]
    assert len(masks) == 8
    assert stretches(offset, 500) == []  # only one: nothing is known of what is usual
    assert stretches(offset, 1000 - FEW + 1) == []  # too short
    assert stretches(offset, 0) == stretches(offset, 1000) == []


@pytest.mark.parametrize("category", [False, True])
def test_a_day_that_differs_as_days_do_is_usual_one_that_differs_more_is_not(category: bool) -> None:
    rng = np.random.default_rng(2)
    past = np.floor(daily(900, rng)) if category else daily(900, rng)
    inside = [mask[:900] for mask in stretches(np.arange(1000), 900)]

    assert is_usual(table(past, category=category), inside, "a", 0.5)
    assert not is_usual(table(past, category=category), inside, "a", 1.25)
    assert not is_usual(table(np.repeat(1.0, 900), category=category), inside, "a", 0.1)


def test_the_mean_loss_of_a_day_varies_beyond_sampling() -> None:
    rng = np.random.default_rng(3)
    inside = [mask[:9000] for mask in stretches(np.arange(10_000), 9000)]
    steady = (rng.random(9000) < 0.2).astype(float)
    stormy = (rng.random(9000) < np.repeat([0.1, 0.3, 0.1, 0.2, 0.3, 0.1, 0.3, 0.2, 0.2], 1000)).astype(float)

    assert spread(steady, inside) < 0.02
    assert 0.06 < spread(stormy, inside) < 0.12
    assert spread(np.full(9000, np.nan), inside) == spread(steady, inside[:2]) == 0


def test_an_interval_grows_on_both_sides() -> None:
    assert widened((1.0, 3.0), 0.0) == (1.0, 3.0)
    low, high = widened((1.0, 3.0), 1.0)
    assert low + high == pytest.approx(4)
    assert high - low == pytest.approx(2 * np.hypot(1, 1.959964))
