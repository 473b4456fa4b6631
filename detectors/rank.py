"""A change-point model on ranks: tests every split of the recent past and so tells when the change began."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numba import njit

from detectors._base import Array, Drift, Floats, number, register, whole
from detectors._scores import SIZE, Bag, Scored, score

LEVELS, SPLITS = 10, 16  # level l keeps the sums after every 2**l-th score, the last 16 of them
LONGEST = SPLITS << (LEVELS - 1)
PARTS = 4  # columns of `marks`: the scores' sums, then the signal's
TIME, LEVEL, SLOT, LAG = range(4)  # places in `split`
STATISTICS = ("lepage", "mann-whitney", "cvm")
LEPAGE, MANN_WHITNEY, CVM = range(3)
SKEW = 2 / math.sqrt(5), 2 * math.sqrt(5) / 21  # of the two scores: E(l l s) and E(s s s) / 3
KNOWN_ARL0 = 1e2, 1e3, 1e4, 1e5, 1e6
LIMITS = {  # benchmarks/rank_levels.py
    "lepage": (9.21, 13.85, 18.57, 22.99, 27.36),
    "mann-whitney": (7.6, 11.93, 16.34, 20.67, 25.03),
    "cvm": (8.12, 12.55, 17.0, 21.36, 25.67),
}
SLOPE = 2.2  # of the limit in ln(arl0) beyond; 2 is what large deviations come to


def limit_of(statistic: str, arl0: float) -> float:
    """The statistic exceeded once in arl0 scores."""
    known = np.log(KNOWN_ARL0)
    beyond = SLOPE * max(0.0, math.log(arl0) - float(known[-1]))
    return float(np.interp(math.log(arl0), known, LIMITS[statistic])) + beyond


@njit(cache=True)
def _add(u: float, kind: int, sums: Floats) -> int:
    """Add the parts of a uniform score, each of mean 0 and variance 1 (cvm: 1 / j^2); how many there are."""
    v = 2.0 * u - 1.0
    if kind == CVM:
        cosine = math.cos(math.pi * u)
        last, now = 1.0, cosine
        for j in range(PARTS):
            sums[j] += math.sqrt(2.0) * now / (j + 1)
            last, now = now, 2.0 * cosine * now - last
        return PARTS
    sums[0] += math.sqrt(3.0) * v
    if kind == MANN_WHITNEY:
        return 1
    sums[1] += math.sqrt(5.0) * (1.5 * v * v - 0.5)
    return 2


@njit(cache=True)
def take(u: float, kind: int, sums: Floats, marks: Floats, split: Array) -> float:
    """Add a score; the largest statistic over the splits tested now, and in `split` where that is."""
    parts = _add(u, kind, sums)
    split[TIME] += 1
    t, top = split[TIME], 0.0
    level = 0
    while level < LEVELS and t & ((1 << max(0, level - 3)) - 1) == 0:
        newest = (t - 1) >> level
        nearest = SPLITS // 2 if level > 0 else 0  # nearer ones are on the level below
        for i in range(newest - nearest, max(0, newest - SPLITS), -1):
            lag = t - (i << level)
            mark = marks[level, i & (SPLITS - 1)]
            square, below = 0.0, float(lag)
            for j in range(parts):
                off = sums[j] - mark[j]
                square += off * off
            if kind == LEPAGE:
                location, scale = sums[0] - mark[0], sums[1] - mark[1]
                skew = scale * (SKEW[0] * location * location + SKEW[1] * scale * scale)
                below += skew / square if square > 0.0 else 0.0
            if square > top * below:
                top = square / below
                split[LEVEL], split[SLOT], split[LAG] = level, i & (SPLITS - 1), lag
        level += 1
    return top


@njit(cache=True)
def keep(raw: Floats, sums: Floats, marks: Floats, split: Array) -> None:
    """Keep the sums so far, the scores' and the signal's own, as a split to come."""
    t = split[TIME]
    for level in range(LEVELS):
        if t & ((1 << level) - 1) != 0:
            break
        mark = marks[level, (t >> level) & (SPLITS - 1)]
        mark[:PARTS], mark[PARTS:] = sums, raw


@njit(cache=True)
def _feed(
    x: Floats, start: int, kind: int, limit: float, bag: Bag, sums: Floats, marks: Floats, split: Array, last: Floats
) -> int:
    for at in range(start, len(x)):
        u = score(x[at], bag)
        if not math.isnan(u):
            last[0] = take(u, kind, sums, marks, split)
            if last[0] > limit:
                return at
            keep(bag.floats[SIZE:], sums, marks, split)
    return -1


@register
class Rank(Scored):
    """Finds a change of location, scale or shape by ranks alone, and when it began.

    Each observation past the `warm_up` becomes its rank among all before it, as a score u that is uniform and
    independent of all earlier ones in control, whatever the distribution, 0/1 included (`_scores`). For every split
    the scores after it are compared with that known null; the largest value over the splits is the statistic, its
    split the onset. Splits: all of the last 16, then 8 to 16 in each doubling up to 8,192 back. With the m scores
    after a split, l = sqrt(3)(2u - 1) and s = sqrt(5)(6u^2 - 6u + 1) summed to L and S:

    - "mann-whitney", location: L^2 / m, Wilcoxon's score.
    - "lepage", location and scale: (L^2 + S^2) / m, Wilcoxon's and Mood's scores, divided by 1 + their third moment
      in the direction (L, S) / 3: the second term of the likelihood ratio, without which few scores are too wild.
    - "cvm", location first and shape after: the sum over j = 1..4 of (sum of sqrt(2) cos(j pi u))^2 / (j^2 m), the
      leading parts of Cramer-von Mises.

    Limit: simulated on uniform scores (benchmarks/rank_levels.py) for arl0 up to 1e6; beyond it rises by 2.2 in
    ln(arl0), as no split's statistic exceeds h more often than a power of h times exp(-h / 2). The scores being
    exactly uniform it is met for independent observations of any distribution.

    Input: any number; NaN and inf are counted, not fed. A drift starts over with a new warm-up. `before`, `after`:
    means before and since the onset; `direction` is 0 unless the location differs by 3 standard errors.
    Cost: 13 kB, 0.5 us an observation.
    Source: Ross, Tasoulis and Adams, Nonparametric monitoring of data streams for changes in location and scale,
    Technometrics 2011; Ross, Parametric and nonparametric sequential change detection in R, J. Stat. Software 2015.

    >>> x = np.random.default_rng(1).normal(size=3000)
    >>> x[2000:] *= 2
    >>> [(at, drift)] = Rank(arl0=1e5).update_many(x)
    >>> at, at - drift.age + 1, drift.direction, drift.detail["scale"] > 3
    (2017, 2006, 0, True)
    """

    monitors = "distribution"

    def __init__(self, *, arl0: float = 1e6, statistic: str = "lepage", warm_up: int = 256) -> None:
        if statistic not in STATISTICS:
            raise ValueError(f"statistic: expected one of {', '.join(STATISTICS)}, got {statistic!r}")
        params: dict[str, Any] = {"arl0": number("arl0", arl0, 100, 1e12), "statistic": statistic}
        params["warm_up"] = whole("warm_up", warm_up, 20, 1 << 20)
        self._kind = STATISTICS.index(statistic)
        self._limit = limit_of(statistic, arl0)
        chart = {"sums": np.zeros(PARTS), "marks": np.zeros((LEVELS, SPLITS, PARTS + 3))}
        chart |= {"split": np.zeros(4, np.int64), "last": np.zeros(1)}
        super().__init__(params, warm_up, chart)
        self._chart = tuple(chart.values())

    @property
    def statistic(self) -> float:
        """The largest over all splits."""
        return float(self._state["last"][0]) if self.scored else math.nan

    @property
    def threshold(self) -> float:
        """What it must exceed."""
        return self._limit if self.scored else math.nan

    def detectable(self, n: int) -> float:
        """The shift of a normal signal whose Wilcoxon scores alone reach the threshold within n observations."""
        score = math.sqrt(self._limit / min(n, LONGEST) / 3)
        return math.sqrt(2) * NormalDist().inv_cdf((1 + score) / 2) if score < 1 else math.inf

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._kind, self._limit, self._bag, *self._chart))

    def _evidence(self) -> Drift:
        split = self._state["split"]
        mark = self._state["marks"][split[LEVEL], split[SLOT]]
        off = (self._state["sums"] - mark[:PARTS]) / math.sqrt(split[LAG])
        location = float(-off[0] if self._kind == CVM else off[0])
        detail = {"location": location, "scale": float(off[1])} if self._kind == LEPAGE else {"location": location}
        return self._since(mark[PARTS:], int(location > 3) - int(location < -3), detail)
