"""Change points: found where they were put, with an interval that holds them, in any kind of column."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stream_app.evidence.onset import change_point

CHANGES = {
    "mean": lambda rng, n: rng.normal(1, 1, n),
    "spread": lambda rng, n: rng.normal(0, 3, n),
    "missing": lambda rng, n: np.where(rng.random(n) < 0.2, np.nan, rng.normal(0, 1, n)),
    "frozen": lambda rng, n: np.where(rng.random(n) < 0.3, 0.5, rng.normal(0, 1, n)),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_it_is_found_near_where_it_was_and_within_its_interval(kind: str) -> None:
    off, held = [], 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(0, 1, 2000)
        x[1500:] = CHANGES[kind](rng, 500)
        found = change_point(x, 1500 + int(rng.integers(-200, 200)), categories=False)
        assert found is not None
        off.append(abs(found.at - 1500))
        held += found.low <= 1500 <= found.high

    assert np.median(off) <= 20
    assert held >= 35


def test_of_categories_too() -> None:
    x = np.random.default_rng(1).integers(0, 3, 2000).astype(float)
    x[1500:][x[1500:] == 2] = 7
    found = change_point(x, 1300, categories=True)

    assert found is not None
    assert found.low <= 1500 <= found.high
    assert found.high - found.low < 40


@pytest.mark.parametrize("at", [-5, 0, 100, 1000])
def test_where_nothing_changed_or_nothing_is_there_nothing_is_said(at: int) -> None:
    assert change_point(np.full(100, np.nan), at, categories=False) is None
    assert change_point(np.full(100, 2.0), at, categories=True) is None
    assert change_point(np.empty(0), at, categories=False) is None


@given(arrays.arrays(np.float64, st.integers(0, 60)), st.integers(-2, 62), st.booleans())
def test_no_numbers_raise_and_the_interval_holds_the_estimate(x, at: int, categories: bool) -> None:
    found = change_point(x, at, categories=categories)

    assert found is None or 0 <= found.low <= found.at <= found.high < len(x)
