"""Panes: a mergeable summary of each watched signal per stretch of event time (DESIGN section 10).

A pane holds counts, moments, extremes and a histogram whose bins are fixed for all time, so that the panes of several
shards, or several parts of one pane, add up. Numbers fall into bins of relative width 1/16 (the exponent and the four
leading bits of the mantissa, as in HdrHistogram), so a quantile read from them is within about 3 %; categories have a
bin each. A pane is written when the stream has moved on by one width; what comes later is written as another part.
"""

from typing import Any

import numpy as np
from numba import njit

from stream_app.flow.chunk import Column
from stream_app.messages import Floats, Ints

N, MISSING, MEAN, M2, LOW, HIGH = range(6)  # columns of the moments
BITS = 48  # float64 bits dropped: sign, exponent and 4 mantissa bits are left


@njit(cache=True)
def bins_of(x: Floats) -> Ints:
    """Bin of each finite number: its leading bits as an integer, negative numbers below zero, 0 and -0 in bin 0."""
    bins = x.view(np.int64).copy()
    for i in range(len(bins)):
        bins[i] = -((bins[i] & 0x7FFFFFFFFFFFFFFF) >> BITS) if bins[i] < 0 else bins[i] >> BITS
    return bins


def edge_of(number: int) -> float:
    """The edge of a bin that is nearest to zero.

    >>> edge_of(int(bins_of(np.array([3.3]))[0]))
    3.25
    """
    edge = float(np.array([abs(number) << BITS], np.int64).view(np.float64)[0])
    return edge if number >= 0 else -edge


@njit(cache=True)
def add_moments(moments: Floats, x: Floats) -> None:
    """Adds observations one by one (Welford), so that the cut into calls does not show."""
    for value in x:
        if not np.isfinite(value):
            moments[MISSING] += 1
            continue
        moments[N] += 1
        delta = value - moments[MEAN]
        moments[MEAN] += delta / moments[N]
        moments[M2] += delta * (value - moments[MEAN])
        moments[LOW] = min(moments[LOW], value)
        moments[HIGH] = max(moments[HIGH], value)


class Panes:
    """Open panes of one signal."""

    def __init__(self, width_ms: int, *, categories: bool) -> None:
        self.width_ms, self.categories = width_ms, categories
        self.open: dict[int, tuple[Floats, dict[int, int]]] = {}  # start → moments, bin → count

    def add(self, column: Column) -> None:
        """Adds a chunk's observations, each to the pane of its own time."""
        starts = column.time_ms // self.width_ms * self.width_ms
        turns = np.flatnonzero(np.diff(starts)) + 1
        for start, x in zip(starts[np.r_[0, turns]].tolist() if len(starts) else [], np.split(column.x, turns)):
            moments, counts = self.open.setdefault(start, (np.array([0, 0, 0, 0, np.inf, -np.inf]), {}))
            add_moments(moments, x)
            finite = x[np.isfinite(x)]
            bins, n = np.unique(finite.astype(np.int64) if self.categories else bins_of(finite), return_counts=True)
            for number, count in zip(bins.tolist(), n.tolist(), strict=True):
                counts[number] = counts.get(number, 0) + count

    def close(self, now_ms: int) -> list[tuple[int, dict[str, Any]]]:
        """Takes the panes that ended at least one width before `now_ms`: (start, summary), oldest first."""
        ended = sorted(start for start in self.open if start + 2 * self.width_ms <= now_ms)
        return [(start, self._summary(*self.open.pop(start))) for start in ended]

    def _summary(self, moments: Floats, counts: dict[int, int]) -> dict[str, Any]:
        n = int(moments[N])
        figures = [float(moments[i]) if n else None for i in (MEAN, M2, LOW, HIGH)]
        names = ("mean", "m2", "min", "max")
        return {"n": n, "missing": int(moments[MISSING])} | dict(zip(names, figures, strict=True)) | {
            "bins": sorted(counts.items())
        }

    def to_state(self) -> list[Any]:
        return [[start, moments, sorted(counts.items())] for start, (moments, counts) in sorted(self.open.items())]

    def load(self, state: list[Any]) -> None:
        self.open = {start: (moments, dict(counts)) for start, moments, counts in state}
