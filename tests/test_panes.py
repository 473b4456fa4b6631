"""Panes: fixed bins and moments per stretch of event time, whose parts add up to the whole."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.flow.panes import BINS, Panes, bin_of, edge_of

WIDTH_MS = 1000
numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


Observed = tuple[np.ndarray, np.ndarray, np.ndarray]


def column(x, time_ms=None) -> Observed:
    """What one signal adds."""
    x = np.array(x, float)
    times = np.zeros(len(x), np.int64) if time_ms is None else np.array(time_ms, np.int64)
    return x[None], np.zeros(1, np.int64), times


def closed(panes: Panes, now_ms: int) -> list[tuple[int, dict]]:
    """The panes of one signal."""
    return [(start, summary) for start, (summary,) in panes.close(now_ms)]


def summaries(*columns: Observed, categories: bool = False, now_ms: int = 10**9) -> dict[int, dict]:
    panes = Panes(WIDTH_MS, categories=categories)
    for part in columns:
        panes.add(*part)
    return dict(closed(panes, now_ms))


def summary(x, **options) -> dict:
    return summaries(column(x), **options)[0]


def bin_number(x: float) -> int:
    return int(bin_of(int(np.array([x], float).view(np.int64)[0])))


def merged(a: dict, b: dict) -> dict:
    """The sum of two panes, as the fleet stage will build it (moments: Chan et al. 1979)."""
    n = a["n"] + b["n"]
    counts = Counter(dict(a["bins"])) + Counter(dict(b["bins"]))
    both = [part for part in (a, b) if part["n"]]
    found = {"n": n, "missing": a["missing"] + b["missing"], "bins": sorted([k, v] for k, v in counts.items())}
    if n:
        mean = sum(part["n"] * part["mean"] for part in both) / n
        found["mean"] = mean
        found["m2"] = sum(part["m2"] + part["n"] * (part["mean"] - mean) ** 2 for part in both)
        found["min"], found["max"] = min(p["min"] for p in both), max(p["max"] for p in both)
    return found


def quantile(bins: list[list[int]], q: float) -> float:
    """Middle of the bin that holds the q-th of all observations."""
    total, seen = sum(count for _, count in bins), 0
    for number, count in bins:
        seen += count
        if seen >= q * total:
            return (edge_of(number) + edge_of(number + (1 if number >= 0 else -1))) / 2
    raise AssertionError


@given(st.lists(numbers, max_size=60), st.integers(0, 60))
def test_two_halves_merge_to_the_whole(x: list[float], cut: int) -> None:
    halves = [summaries(column(part)).get(0, {"n": 0, "missing": 0, "bins": []}) for part in (x[:cut], x[cut:])]
    whole = summaries(column(x)).get(0, {"n": 0, "missing": 0, "bins": []})
    both = merged(*halves)

    assert {k: both[k] for k in ("n", "missing", "bins")} == {k: whole[k] for k in ("n", "missing", "bins")}
    if whole["n"]:
        scale = max(abs(whole["min"]), abs(whole["max"]), 1e-300)
        assert both["mean"] == pytest.approx(whole["mean"], abs=1e-9 * scale)
        assert both["m2"] == pytest.approx(whole["m2"], rel=1e-6, abs=1e-9 * scale * scale)
        assert (both["min"], both["max"]) == (whole["min"], whole["max"])


@given(st.lists(numbers, max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_the_cut_into_chunks_does_not_show(x: list[float], cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(x)) for cut in cuts), len(x)]
    parts = [column(x[a:b]) for a, b in pairwise(places)]

    assert summaries(*parts) == summaries(column(x))


def test_moments_are_those_of_the_observations() -> None:
    x = np.random.default_rng(2).normal(5, 2, 1000)
    found = summary(x)

    assert found["n"] == 1000
    assert found["mean"] == pytest.approx(x.mean())
    assert found["m2"] / 1000 == pytest.approx(x.var())
    assert (found["min"], found["max"]) == (x.min(), x.max())


def test_missing_is_counted_and_poisons_nothing() -> None:
    found = summary([1, math.nan, 3, math.inf, -math.inf])

    assert (found["n"], found["missing"], found["mean"]) == (2, 3, 2)
    assert sum(count for _, count in found["bins"]) == 2
    assert "mean" not in summary([math.nan])


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_a_bin_is_a_sixteenth_wide_and_holds_its_number(x: float) -> None:
    number = bin_number(x)
    low, high = edge_of(number), edge_of(number + 1)

    assert low <= x < high
    assert 1 / 32 <= (high - low) / low <= 1 / 16 + 1e-12
    assert bin_number(-x) == -number
    assert edge_of(-number) == -low


def test_bins_are_ordered_as_the_numbers_are() -> None:
    x = np.sort(np.random.default_rng(3).standard_cauchy(2000))
    assert (np.diff([bin_number(value) for value in x]) >= 0).all()
    assert bin_number(0.0) == bin_number(-0.0) == 0


@pytest.mark.parametrize("q", [0.01, 0.25, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.lognormal(0, 3, 20_001),
        lambda rng: -rng.exponential(1e-6, 20_001),
        lambda rng: rng.normal(100, 10, 20_001),
        lambda rng: rng.standard_cauchy(20_001),
    ],
)
def test_a_quantile_read_from_the_bins_is_within_3_percent(draw, q: float) -> None:
    x = draw(np.random.default_rng(4))
    exact = float(np.quantile(x, q, method="inverted_cdf"))

    assert quantile(summary(x)["bins"], q) == pytest.approx(exact, rel=0.032)


def test_many_bins_grow_the_table_and_lose_nothing() -> None:
    x = np.random.default_rng(5).standard_cauchy(5000)
    expected = Counter(bin_number(value) for value in x)
    found = summary(x)["bins"]

    assert len(found) > 2 * BINS
    assert found == sorted([number, count] for number, count in expected.items())


def test_categories_have_a_bin_each() -> None:
    codes = [0, 3, 3, 1000, 1001, 1001, 1001, math.nan]

    assert summary(codes, categories=True)["bins"] == [[0, 1], [3, 2], [1000, 1], [1001, 3]]
    assert summary(codes, categories=True)["missing"] == 1


def test_each_observation_counts_in_the_pane_of_its_own_time() -> None:
    found = summaries(column([1, 2, 3, 4, 5], [0, 999, 1000, 500, -1]))

    assert {start: (pane["n"], pane["mean"]) for start, pane in found.items()} == {
        -1000: (1, 5), 0: (3, 7 / 3), 1000: (1, 3),
    }  # fmt: skip
    assert list(found) == [-1000, 0, 1000]


def test_a_pane_is_written_one_width_after_its_end_and_late_parts_once_more() -> None:
    panes = Panes(WIDTH_MS, categories=False)
    panes.add(*column([1, 2], [100, 1100]))

    assert panes.close(1999) == []
    assert [start for start, _ in closed(panes, 2000)] == [0]
    panes.add(*column([7], [200]))
    assert [(start, pane["n"], pane["mean"]) for start, pane in closed(panes, 2999)] == [(0, 1, 7)]
    assert [start for start, _ in closed(panes, 3000)] == [1000]
    assert panes.open == {}


@given(st.lists(st.tuples(numbers, st.integers(0, 3000)), max_size=40), st.integers(0, 40))
def test_state_comes_back(observed: list[tuple[float, int]], cut: int) -> None:
    x, at = [value for value, _ in observed], [time for _, time in observed]
    panes, again = Panes(WIDTH_MS, categories=False), Panes(WIDTH_MS, categories=False)
    panes.add(*column(x[:cut], at[:cut]))
    again.load(panes.to_state())
    for made in (panes, again):
        made.add(*column(x[cut:], at[cut:]))

    assert again.close(10**9) == panes.close(10**9)


def test_a_saved_state_does_not_go_on_by_itself() -> None:
    panes = Panes(WIDTH_MS, categories=False)
    panes.add(*column([1]))
    saved = panes.to_state()
    panes.add(*column([1, 1]))

    _, moments, sizes, bins = saved[0]
    assert moments[0].tolist() == [1]
    assert (sizes.tolist(), bins.tolist()) == ([1], [[bin_number(1)], [1]])


def test_many_signals_together_are_each_as_alone() -> None:
    rng = np.random.default_rng(6)
    x = rng.standard_cauchy((20, 400)) * 10.0 ** rng.integers(-3, 3, (20, 1))
    times = np.sort(rng.integers(0, 3000, 400))
    x[rng.random(x.shape) < 0.1] = np.nan
    rows = rng.permutation(20)[:11]
    together = Panes(WIDTH_MS, categories=False, signals=11)
    for start, stop in pairwise([0, 1, 150, 400]):
        together.add(x[:, start:stop].copy(), rows, times[start:stop])
        again = Panes(WIDTH_MS, categories=False, signals=11)
        again.load(together.to_state())
        together = again
    alone = [summaries(column(x[row], times)) for row in rows]

    assert [(start, list(found)) for start, found in together.close(10**9)] == [
        (start, [panes[start] for panes in alone]) for start in (0, 1000, 2000)
    ]
