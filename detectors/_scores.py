"""Sequential ranks: any stream of exchangeable numbers becomes independent uniform (or normal) scores.

The distinct quantiles of the first `warm_up` observations are edges. They make 2 k + 1 cells: what lies between two
edges, and what equals one. Given the n seen before, the next observation is equally likely to take each of the n + 1
places in their order, ties broken at random. Its score is u = (below + U (same + 1)) / (n + 1): `below` and `same`
count the earlier ones in lower cells and in its own, U is random. Within a cell all orders are equally likely (between
two order statistics of the warm-up, its other members are as good as new ones), so in control u is exactly uniform
and independent of all before, whatever the distribution, discrete ones too. A change makes it uneven until the new
regime dominates the ranks. U is a hash of how many observations there ever were, so that a replay gives the same.

While all observed are one value nothing is scored, nor is the first that differs: a constant says nothing.
Source: Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005, section 2.6; Conover, Tercero-Gomez
and Cordero-Franco, The sequential normal scores transformation, Sequential Analysis 2017.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Detector, Drift, Floats, N, mean_interval, mean_of
from detectors._kernels import finite, learn_scale, random_unit

EVER = 2  # place in `counts`: observations ever fed (lives through resets)
UPTO, ON = range(2)  # rows of `cells`
LOW, HALF, SIZE, SUM, SQUARES = range(5)  # places in `floats`: origin and half the unit of the sums, then the sums
EDGES = 64  # the lowest and the highest of the warm-up among them; those not needed are inf
SPARE = 1.5  # charts of exactly known run length are set to so many arl0: no measurement falls short by chance
FAR = 2.0**20  # the sums clip at so many units: squares of larger values would drown all others


class Bag(NamedTuple):
    """What `score` needs, all of it a detector's state."""

    counts: Array
    floats: Floats
    edges: Floats  # [EDGES]
    cells: Array  # [2, EDGES + 1] how many lie above the edge before and UPTO this one; ON this one
    sample: Floats  # [warm_up]


@njit(cache=True)
def normal_quantile(u: float) -> float:
    """The standard normal quantile of u in (0, 1), to 1e-15 (Wichura, algorithm AS 241, Applied Statistics 1988)."""
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = 33430.575583588128105 + 2509.0809287301226727 * r
        top = 45921.953931549871457 + 67265.770927008700853 * r + r * r * top
        top = 1971.5909503065514427 + 13731.693765509461125 * r + r * r * top
        top = 3.387132872796366608 + 133.14166789178437745 * r + r * r * top
        low = 28729.085735721942674 + 5226.495278852854561 * r
        low = 21213.794301586595867 + 39307.89580009271061 * r + r * r * low
        low = 687.1870074920579083 + 5394.1960214247511077 * r + r * r * low
        low = 1.0 + 42.313330701600911252 * r + r * r * low
        return q * top / low
    r = math.sqrt(-math.log(u if q < 0.0 else 1.0 - u))
    if r <= 5.0:
        r -= 1.6
        top = 0.0227238449892691845833 + 7.7454501427834140764e-4 * r
        top = 1.27045825245236838258 + 0.24178072517745061177 * r + r * r * top
        top = 5.7694972214606914055 + 3.64784832476320460504 * r + r * r * top
        top = 1.42343711074968357734 + 4.6303378461565452959 * r + r * r * top
        low = 5.475938084995344946e-4 + 1.05075007164441684324e-9 * r
        low = 0.14810397642748007459 + 0.0151986665636164571966 * r + r * r * low
        low = 1.6763848301838038494 + 0.68976733498510000455 * r + r * r * low
        low = 1.0 + 2.05319162663775882187 * r + r * r * low
    else:
        r -= 5.0
        top = 2.71155556874348757815e-5 + 2.01033439929228813265e-7 * r
        top = 0.0265321895265761230930 + 0.00124266094738807843860 * r + r * r * top
        top = 1.78482653991729133580 + 0.296560571828504891230 * r + r * r * top
        top = 6.65790464350110377720 + 5.46378491116411436990 * r + r * r * top
        low = 1.42151175831644588870e-7 + 2.04426310338993978564e-15 * r
        low = 7.86869131145613259100e-4 + 1.84631831751005468180e-5 * r + r * r * low
        low = 0.136929880922735805310 + 0.0148753612908506148525 * r + r * r * low
        low = 1.0 + 0.599832206555887937690 * r + r * r * low
    return -top / low if q < 0.0 else top / low


@njit(cache=True)
def add_raw(x: float, floats: Floats) -> None:
    """Add x, in units of the signal, to the sums; the first that differs is the unit where none is known."""
    off = x / 2 - floats[LOW] / 2
    if floats[HALF] == 0.0:
        floats[HALF] = abs(off)
    y = min(max(off / floats[HALF], -FAR), FAR) if floats[HALF] > 0.0 else 0.0
    floats[SIZE] += 1.0
    floats[SUM] += y
    floats[SQUARES] += y * y


@njit(cache=True)
def standing(x: float, edges: Floats, cells: Array) -> tuple[int, int, int, bool]:
    """How many lie in lower cells than x, and in its own; up to which edge its cell reaches, and whether it is that."""
    low = below = 0
    for j in range(EDGES):  # without branches and as long as known: several at a time, faster than a binary search
        less = edges[j] < x
        low += less
        below += cells[UPTO, j] if less else 0
    between = cells[UPTO, low] - cells[ON, low]
    if low < EDGES and edges[low] == x:
        return below + between, cells[ON, low], low, True
    return below, between, low, False


@njit(cache=True)
def _place(x: float, edges: Floats, cells: Array) -> tuple[int, int]:
    """How many lie in lower cells than x, and in its own; then x is one of those."""
    below, same, low, on = standing(x, edges, cells)
    cells[UPTO, low] += 1
    cells[ON, low] += on
    return below, same


@njit(cache=True)
def _learn(bag: Bag) -> None:
    """Edges, cells and sums from the full warm-up sample."""
    ordered = np.sort(bag.sample)
    bag.edges[:] = math.inf
    k = 0
    for j in range(EDGES):
        value = ordered[(j * (len(ordered) - 1)) // (EDGES - 1)]
        if k == 0 or value > bag.edges[k - 1]:
            bag.edges[k] = value
            k += 1
    low, high = learn_scale(bag.sample)
    bag.floats[LOW], bag.floats[HALF] = low, high / 2 - low / 2
    for x in bag.sample:
        _place(x, bag.edges, bag.cells)
        add_raw(x, bag.floats)


@njit(cache=True)
def score(x: float, bag: Bag) -> float:
    """Take x in; its uniform score, or NaN where there is none (missing, warming up, all one value so far)."""
    counts = bag.counts
    if not finite(x):
        counts[MISSING] += 1
        return math.nan
    seen, warm = counts[N], len(bag.sample)
    counts[N] += 1
    counts[EVER] += 1
    if seen < warm:
        bag.sample[seen] = x
        if seen + 1 == warm:
            _learn(bag)
        return math.nan
    constant = bag.cells[ON, 0] == seen
    below, same = _place(x, bag.edges, bag.cells)
    add_raw(x, bag.floats)
    if constant:
        return math.nan
    u: float = (below + random_unit(counts[EVER]) * (same + 1.0)) / (seen + 1.0)
    return min(u, 1.0 - 2.0**-53)


@njit(cache=True)
def keep(floats: Floats, mark: Floats) -> None:
    """Copy the sums as they stand: what comes next may be the first of a new regime."""
    mark[0], mark[1], mark[2] = floats[SIZE], floats[SUM], floats[SQUARES]


def _deviations(sums: Floats) -> float:
    """The sum of squared deviations from the mean."""
    return max(0.0, float(sums[2] - sums[1] * sums[1] / sums[0])) if sums[0] else 0.0


class Scored(Detector):
    """A chart on scores: it adds its own arrays to the state and says since when it thinks there was a change.

    A chart keeps `marks`: copies of the sums `floats[SIZE:]` taken at each onset it may have to report.
    """

    def __init__(self, params: dict[str, Any], warm_up: int, chart: dict[str, Array]) -> None:
        bag: dict[str, Array] = {"counts": np.zeros(3, np.int64), "floats": np.zeros(5), "edges": np.zeros(EDGES)}
        bag |= {"cells": np.zeros((2, EDGES + 1), np.int64), "sample": np.zeros(warm_up)}
        super().__init__(params, bag | chart)
        self._bag = Bag(*bag.values())

    @property
    def scored(self) -> bool:
        """Whether the warm-up is over."""
        return self.n > len(self._bag.sample)

    @property
    def estimate(self) -> float:
        """The mean since the last reset."""
        floats, sample = self._bag.floats, self._bag.sample
        if floats[SIZE]:
            return self._raw(floats[SUM] / floats[SIZE])
        if not len(sample):  # a published mode: the mean is given
            return self._raw(0.0)
        return mean_of(sample[: self.n])

    def _reset(self) -> None:
        ever = self._counts[EVER]
        super()._reset()
        self._counts[EVER] = ever

    def _raw(self, y: float) -> float:
        """What lies y units above the origin, in the signal's own unit."""
        floats = self._bag.floats
        half = float(floats[LOW]) / 2 + float(y) * float(floats[HALF])
        return 2 * min(max(half, -8.9e307), 8.9e307)

    def _deviation(self, sums: Floats) -> float:
        """The standard deviation, in the signal's unit, of the observations whose sums these are."""
        return 2 * math.sqrt(_deviations(sums) / float(sums[0])) * float(self._bag.floats[HALF])

    def _side(self, sums: Floats, spread: float) -> tuple[float, tuple[float, float]]:
        """Mean and its interval of the observations whose sums these are; without any, the origin, taken as known."""
        n, total = float(sums[0]), float(sums[1])
        if n < 1:
            return self._raw(0.0), (self._raw(0.0), self._raw(0.0))
        # one more deviation as the average one: a few equal values are not without error
        low, high = mean_interval(total / n, (_deviations(sums) + spread) / n * max(n, 2) / n, max(n, 2))
        return self._raw(total / n), (self._raw(low), self._raw(high))

    def _since(self, mark: Floats, direction: int, detail: dict[str, Any] | None = None) -> Drift:
        """The evidence, if the change began right after the sums were `mark`."""
        sums = self._bag.floats[SIZE:]
        spread = (_deviations(mark) + _deviations(sums - mark)) / float(sums[0])
        before, before_interval = self._side(mark, spread)
        after, after_interval = self._side(sums - mark, spread)
        return Drift(
            statistic=self.statistic,
            threshold=self.threshold,
            n=self.n,
            before=before,
            after=after,
            age=int(sums[0] - mark[0]),
            direction=direction,
            detail=detail or {},
            before_interval=before_interval,
            after_interval=after_interval,
        )
