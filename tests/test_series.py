"""Series that never grow: nothing is lost of count, sum, smallest and largest, however much comes and in what order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.board.plain import from_plain, to_plain
from stream_app.board.series import ROOM, Series, drawn

TIMES = st.integers(-(10**13), 10**13)
VALUES = st.integers(-1000, 1000).map(float)  # whose sums are exact in any order
POINTS = st.lists(st.tuples(TIMES, VALUES), max_size=200)


def filled(points: list[tuple[int, float]], room: int = 16) -> Series:
    series = Series.of(room)
    for time_ms, value in points:
        series.add(time_ms, value)
    return series


@given(POINTS)
def test_nothing_is_lost_by_thinning(points: list[tuple[int, float]]) -> None:
    series = filled(points)

    whole = series.whole
    assert max(len(whole.at), len(series.newest.at)) <= 16
    assert sum(whole.n) == len(points)
    assert sum(whole.total) == sum(value for _, value in points)
    assert min(whole.low, default=0) == min((value for _, value in points), default=0)
    assert max(whole.high, default=0) == max((value for _, value in points), default=0)
    assert list(whole.at) == sorted({time_ms >> whole.bits for time_ms, _ in points})


@given(POINTS, st.randoms(use_true_random=False))
def test_late_values_find_their_bucket(points: list[tuple[int, float]], order: object) -> None:
    shuffled = points.copy()
    order.shuffle(shuffled)

    assert drawn([filled(points)]) == drawn([filled(shuffled)])


@given(POINTS, POINTS)
def test_series_of_two_shards_are_laid_upon_each_other(
    one: list[tuple[int, float]], other: list[tuple[int, float]]
) -> None:
    together = drawn([filled(one), filled(other)], most=16)

    assert len(together["t"]) <= 16
    assert together["t"] == sorted(set(together["t"]))
    assert min(together["min"], default=0) == min((value for _, value in one + other), default=0)
    assert max(together["max"], default=0) == max((value for _, value in one + other), default=0)


@given(POINTS, TIMES, TIMES)
def test_a_stretch_holds_all_that_is_in_it(points: list[tuple[int, float]], start: int, stop: int) -> None:
    start, stop = min(start, stop), max(start, stop)
    inside = [value for time_ms, value in points if start <= time_ms <= stop]
    found = drawn([filled(points)], start, stop)

    if inside:
        assert min(found["min"]) <= min(inside)
        assert max(found["max"]) >= max(inside)
    assert set(found["max"]) <= {value for _, value in points}


def test_few_points_stand_as_they_came() -> None:
    points = [(1_700_000_000_000 + 1000 * i, i / 3) for i in range(ROOM)]
    found = drawn([filled(points, ROOM)])

    assert found["t"] == [time_ms for time_ms, _ in points]
    assert found["mean"] == found["min"] == found["max"] == [value for _, value in points]


def test_the_newest_part_can_be_seen_more_closely() -> None:
    series = Series.of()
    for i in range(300_000):
        series.add(1000 * i, float(i))
    whole, near = drawn([series]), drawn([series], 295_000_000)

    assert len(whole["t"]) >= 512
    assert near["t"][0] <= 295_000_000 < near["t"][1]
    assert near["max"][-1] == 299_999.0
    assert len(near["t"]) > 500
    assert sum(t >= 295_000_000 for t in whole["t"]) < 20
    assert all(t / 1000 <= low for t, low in zip(near["t"][1:], near["min"][1:], strict=True))


def test_a_spike_among_millions_is_seen() -> None:
    series = Series.of()
    for i in range(300_000):
        series.add(1000 * i, 99.0 if i == 123_456 else 1.0)
    found = drawn([series], most=128)

    assert len(found["t"]) <= 128
    spike = found["max"].index(99.0)
    assert found["t"][spike] <= 123_456_000 < found["t"][spike + 1]
    assert np.mean(found["mean"]) == pytest.approx(1, abs=0.01)


@given(POINTS)
def test_a_series_goes_through_plain_data(points: list[tuple[int, float]]) -> None:
    series = filled(points)

    assert to_plain(from_plain(to_plain(series), Series)) == to_plain(series)
