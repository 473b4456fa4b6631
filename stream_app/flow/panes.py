"""Panes: a mergeable summary of each watched signal per stretch of event time.

A pane holds counts, moments, extremes and a histogram whose bins are fixed for all time, so that the panes of several
shards, or several parts of one pane, add up. Numbers fall into bins of relative width 1/16 (the exponent and the four
leading bits of the mantissa, as in HdrHistogram), so a quantile read from them is within about 3 %; categories have a
bin each, named where the pane is written: their codes are the shard's own. A pane is written when the stream has
moved on by one width; what comes later is written as another part.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit

from stream_app.flow.chunk import Column
from stream_app.messages import Floats, Ints

N, MISSING, MEAN, M2, LOW, HIGH = range(6)  # places in the moments
BITS = 48  # float64 bits dropped: sign, exponent and 4 mantissa bits are left
VACANT = np.iinfo(np.int64).min  # no bin has this number
BINS = 64  # room of a new pane: a power of two; it doubles when half full

KEY, COUNT = 0, 1  # rows of the table


@njit(cache=True)
def bin_of(bits: int) -> int:
    """Bin of a number from its 64 bits: the leading ones, negative numbers below zero, 0 and -0 in bin 0."""
    return -((bits & 0x7FFFFFFFFFFFFFFF) >> BITS) if bits < 0 else bits >> BITS


@njit(cache=True, nogil=True)
def tally(x: Floats, start: int, moments: Floats, table: Ints, categories: bool) -> int:
    """Adds x[start:] one by one (moments: Welford), so that the cut into calls does not show.

    Returns how far it came: less than the end when the table (open addressing) is half full.
    """
    bits, mask = x.view(np.int64), table.shape[1] - 1
    used = np.sum(table[KEY] != VACANT)
    for i in range(start, len(x)):
        value = x[i]
        if not np.isfinite(value):
            moments[MISSING] += 1
            continue
        if 2 * used > mask:
            return i
        moments[N] += 1
        delta = value - moments[MEAN]
        moments[MEAN] += delta / moments[N]
        moments[M2] += delta * (value - moments[MEAN])
        moments[LOW], moments[HIGH] = min(moments[LOW], value), max(moments[HIGH], value)
        key = int(value) if categories else bin_of(bits[i])
        at = (key * 0x9E3779B1) & mask
        while table[KEY, at] != VACANT and table[KEY, at] != key:
            at = (at + 1) & mask
        used += table[KEY, at] == VACANT
        table[KEY, at] = key
        table[COUNT, at] += 1
    return len(x)


def edge_of(number: int) -> float:
    """The edge of a bin that is nearest to zero.

    >>> edge_of(bin_of(int(np.array([3.3]).view(np.int64)[0])))
    3.25
    """
    edge = float(np.array([abs(number) << BITS], np.int64).view(np.float64)[0])
    return edge if number >= 0 else -edge


class Pane:
    """Moments and histogram of one signal over one stretch of time."""

    def __init__(self, moments: Floats | None = None, counts: Ints | None = None) -> None:
        self.moments = np.array([0, 0, 0, 0, np.inf, -np.inf]) if moments is None else moments
        self.table = _table(np.empty((2, 0), np.int64) if counts is None else counts)

    def add(self, x: Floats, *, categories: bool) -> None:
        at = tally(x, 0, self.moments, self.table, categories)
        while at < len(x):
            self.table = _table(self.counts())
            at = tally(x, at, self.moments, self.table, categories)

    def counts(self) -> Ints:
        """[bins and their counts], ascending by bin."""
        used = self.table[:, self.table[KEY] != VACANT]
        sorted_counts: Ints = used[:, np.argsort(used[KEY])]
        return sorted_counts

    def summary(self) -> dict[str, Any]:
        n = int(self.moments[N])
        figures = {
            name: float(self.moments[i]) for name, i in (("mean", MEAN), ("m2", M2), ("min", LOW), ("max", HIGH))
        }
        bins = self.counts().T.tolist()
        return {"n": n, "missing": int(self.moments[MISSING]), **(figures if n else {}), "bins": bins}


def _table(counts: Ints) -> Ints:
    """A table with these counts and as much room again."""
    size = max(BINS, 1 << (4 * counts.shape[1]).bit_length())
    table = np.zeros((2, size), np.int64)
    table[KEY] = VACANT
    for key, count in counts.T.tolist():
        at = (key * 0x9E3779B1) & (size - 1)
        while table[KEY, at] != VACANT:
            at = (at + 1) & (size - 1)
        table[:, at] = key, count
    return table


class Panes:
    """Open panes of one signal."""

    def __init__(self, width_ms: int, *, categories: bool) -> None:
        self.width_ms, self.categories = width_ms, categories
        self.open: dict[int, Pane] = {}  # by start

    def add(self, column: Column) -> None:
        """Adds a chunk's observations, each to the pane of its own time."""
        if not len(column.x):
            return
        number = column.time_ms // self.width_ms
        turns = np.flatnonzero(number[1:] != number[:-1]) + 1
        edges = [0, *turns.tolist(), len(number)]
        for start, stop in pairwise(edges):
            at = int(number[start]) * self.width_ms
            if at not in self.open:
                self.open[at] = Pane()
            self.open[at].add(column.x[start:stop], categories=self.categories)

    def close(self, now_ms: int) -> list[tuple[int, dict[str, Any]]]:
        """Takes the panes that ended at least one width before `now_ms`: (start, summary), oldest first."""
        ended = sorted(start for start in self.open if start + 2 * self.width_ms <= now_ms)
        return [(start, self.open.pop(start).summary()) for start in ended]

    def to_state(self) -> list[Any]:
        return [[start, pane.moments.copy(), pane.counts()] for start, pane in sorted(self.open.items())]

    def load(self, state: list[Any]) -> None:
        self.open = {start: Pane(moments, counts) for start, moments, counts in state}
