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

from stream_app.messages import Floats, Ints

N, MISSING, MEAN, M2, LOW, HIGH = range(6)  # places in the moments
BITS = 48  # float64 bits dropped: sign, exponent and 4 mantissa bits are left
VACANT = np.iinfo(np.int64).min  # no bin has this number
BINS = 64  # room of a new pane: a power of two; it doubles when half full
ABREAST = 8  # signals whose moments are added together: a division waits for the one before it, not for others
_NEXT = np.uint64(1)

KEY, COUNT = 0, 1  # of a place in a table


@njit(cache=True)
def bin_of(bits: int) -> int:
    """Bin of a number from its 64 bits: the leading ones, negative numbers below zero, 0 and -0 in bin 0."""
    return -((bits & 0x7FFFFFFFFFFFFFFF) >> BITS) if bits < 0 else bits >> BITS


@njit(cache=True, nogil=True)
def _add_moments(x: Floats, rows: Ints, start: int, stop: int, moments: Floats) -> None:
    """Adds x[rows, start:stop] one by one (Welford), so that the cut into calls does not show; some rows abreast."""
    for first in range(0, len(rows), ABREAST):
        last = min(first + ABREAST, len(rows))
        for i in range(start, stop):
            for j in range(first, last):
                value = x[rows[j], i]
                if not np.isfinite(value):
                    moments[MISSING, j] += 1
                    continue
                moments[N, j] += 1
                delta = value - moments[MEAN, j]
                moments[MEAN, j] += delta / moments[N, j]
                moments[M2, j] += delta * (value - moments[MEAN, j])
                moments[LOW, j], moments[HIGH, j] = min(moments[LOW, j], value), max(moments[HIGH, j], value)


@njit(cache=True, nogil=True)
def _place(table: Ints, key: int) -> np.uint64:
    """Where a bin stands in a table (open addressing), or may."""
    mask = np.uint64(len(table) - 1)
    at = np.uint64(key * 0x9E3779B1) & mask
    while table[at, KEY] != VACANT and table[at, KEY] != key:
        at = (at + _NEXT) & mask
    return at


@njit(cache=True, nogil=True)
def _add_counts(x: Floats, rows: Ints, counted: Ints, stop: int, tables: Ints, used: Ints, categories: bool) -> bool:
    """Counts x[rows, counted:stop] in the tables; False if one is half full before all of its row is `counted`."""
    for j in range(len(rows)):
        values, table = x[rows[j]], tables[j]
        bits = values.view(np.int64)
        for i in range(counted[j], stop):
            if not np.isfinite(values[i]):
                continue
            key = int(values[i]) if categories else bin_of(bits[i])
            at = _place(table, key)
            if table[at, KEY] == VACANT:
                if 2 * used[j] >= len(table):
                    counted[j] = i
                    return False
                table[at, KEY] = key
                used[j] += 1
            table[at, COUNT] += 1
        counted[j] = stop
    return True


@njit(cache=True, nogil=True)
def _tables(sizes: Ints, bins: Ints, room: int) -> Ints:
    """Tables with room for so many bins, each with its own of these bins and their counts, which stand in turn."""
    tables, at = np.zeros((len(sizes), room, 2), np.int64), 0
    tables[:, :, KEY] = VACANT
    for j in range(len(sizes)):
        for i in range(at, at + sizes[j]):
            place = _place(tables[j], bins[KEY, i])
            tables[j, place, KEY], tables[j, place, COUNT] = bins[KEY, i], bins[COUNT, i]
        at += sizes[j]
    return tables


def edge_of(number: int) -> float:
    """The edge of a bin that is nearest to zero.

    >>> edge_of(bin_of(int(np.array([3.3]).view(np.int64)[0])))
    3.25
    """
    edge = float(np.array([abs(number) << BITS], np.int64).view(np.float64)[0])
    return edge if number >= 0 else -edge


class Pane:
    """Moments and histograms of some signals over one stretch of time."""

    def __init__(self, moments: Floats, sizes: Ints, bins: Ints) -> None:
        self.moments, self._used = moments, sizes.copy()
        self._tables = _tables(sizes, bins, max(BINS, 1 << (2 * int(sizes.max(initial=0))).bit_length()))

    @classmethod
    def fresh(cls, signals: int) -> "Pane":
        """Of nothing yet."""
        moments = np.zeros((6, signals))
        moments[LOW], moments[HIGH] = np.inf, -np.inf
        return cls(moments, np.zeros(signals, np.int64), np.empty((2, 0), np.int64))

    def add(self, x: Floats, rows: Ints, part: tuple[int, int], *, categories: bool) -> None:
        """Adds a part of a row of x for each signal."""
        start, stop = part
        _add_moments(x, rows, start, stop, self.moments)
        counted = np.full(len(rows), start)
        while not _add_counts(x, rows, counted, stop, self._tables, self._used, categories):
            self._tables = _tables(*self.counts(), 2 * self._tables.shape[1])

    def counts(self) -> tuple[Ints, Ints]:
        """How many bins each signal has, and [bins and their counts] of all, ascending by bin."""
        signal, place = np.nonzero(self._tables[:, :, KEY] != VACANT)
        bins = self._tables[signal, place]
        bins = bins[np.lexsort((bins[:, KEY], signal))]
        return self._used.copy(), np.ascontiguousarray(bins.T)

    def summaries(self) -> list[dict[str, Any]]:
        """Of each signal."""
        sizes, bins = self.counts()
        found, ends = [], np.cumsum(sizes).tolist()
        for moments, size, end in zip(self.moments.T.tolist(), sizes.tolist(), ends, strict=True):
            figures = {name: moments[i] for name, i in (("mean", MEAN), ("m2", M2), ("min", LOW), ("max", HIGH))}
            n, own = int(moments[N]), bins[:, end - size : end].T.tolist()
            found.append({"n": n, "missing": int(moments[MISSING]), **(figures if n else {}), "bins": own})
        return found


class Panes:
    """Open panes of signals of one kind that are observed at the same events."""

    def __init__(self, width_ms: int, *, categories: bool, signals: int = 1) -> None:
        self.width_ms, self.categories, self.signals = width_ms, categories, signals
        self.open: dict[int, Pane] = {}  # by start

    def add(self, x: Floats, rows: Ints, time_ms: Ints) -> None:
        """Adds a chunk's observations, a row of x for each signal; each to the pane of its own time."""
        if not len(time_ms):
            return
        number = time_ms // self.width_ms
        turns = np.flatnonzero(number[1:] != number[:-1]) + 1
        edges = [0, *turns.tolist(), len(number)]
        for start, stop in pairwise(edges):
            at = int(number[start]) * self.width_ms
            if at not in self.open:
                self.open[at] = Pane.fresh(self.signals)
            self.open[at].add(x, rows, (start, stop), categories=self.categories)

    def close(self, now_ms: int) -> list[tuple[int, list[dict[str, Any]]]]:
        """Takes the panes that ended at least one width before `now_ms`: start and summary of each signal."""
        ended = sorted(start for start in self.open if start + 2 * self.width_ms <= now_ms)
        return [(start, self.open.pop(start).summaries()) for start in ended]

    def to_state(self) -> list[Any]:
        return [[start, pane.moments.copy(), *pane.counts()] for start, pane in sorted(self.open.items())]

    def load(self, state: list[Any]) -> None:
        self.open = {start: Pane(*saved) for start, *saved in state}
