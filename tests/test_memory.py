"""Memory: the newest labelled events by columns, however they came."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.flow.memory import COLUMNS, Memory
from stream_app.texts import Texts


def rows(start: int, n: int) -> dict[str, np.ndarray]:
    number = np.arange(start, start + n)
    return {
        "offset": 10 * number,
        "time_ms": number + 7,
        "id": Texts.of(f"e{i}" for i in number),
        "X": np.column_stack([number, -number]).astype(float),
        "target": (number % 2).astype(float),
    }


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 50))
def test_it_holds_the_newest_rows_in_their_order(sizes: list[int], size: int) -> None:
    memory, taken = Memory(size, 2), 0
    for n in sizes:
        memory.add(**rows(taken, n))
        taken += n
    kept = min(taken, size)

    for name in COLUMNS:
        assert memory[name].tolist() == rows(taken - kept, kept)[name].tolist()


def test_its_state_does_not_depend_on_how_they_came() -> None:
    whole, parts = Memory(20, 2), Memory(20, 2)
    whole.add(**rows(0, 64))
    for start in range(0, 64, 4):
        parts.add(**rows(start, 4))

    for name, value in whole.to_state().items():
        assert np.array_equal(value, parts.to_state()[name])


@pytest.mark.parametrize("more", [0, 1, 100])
def test_it_goes_on_from_its_state(more: int) -> None:
    memory, again = Memory(30, 2), Memory(30, 2)
    memory.add(**rows(0, 50))
    again.load(memory.to_state())
    for each in (memory, again):
        each.add(**rows(50, more))

    assert again["offset"].tolist() == memory["offset"].tolist()
    assert again["id"].tolist() == memory["id"].tolist()


def test_its_arrays_stay_bounded() -> None:
    memory = Memory(100, 2)
    for start in range(0, 100_000, 100):
        memory.add(**rows(start, 100))

    assert len(memory._held["offset"]) <= 1024
