"""Generalised likelihood ratio: the best split of all into before and since, for a mean or a spread that moved."""

import math

import numpy as np
from numba import njit
from scipy.optimize import brentq

from detectors._base import Array, Drift, Floats, number, register, whole
from detectors._scores import SIZE, SPARE, Bag, Scored, keep, normal_quantile, score

LEVELS, SPLITS = 22, 32  # level l keeps the sums at every 2**l-th score, the last 32 of them
CHANNELS = "mean", "spread"
FED = 0  # place in `fed`: scores since the reset
GROWTH = 0.3  # log of the run length, less h, plus log(h) / 2: benchmarks/score_levels.py


def limit_of(arl0: float) -> float:
    """The h whose mean run length is arl0: it grows as exp(h) / sqrt(h), by a simulated constant."""
    return float(brentq(lambda h: h - math.log(h) / 2 + GROWTH - math.log(arl0), 1, 60))


@njit(cache=True)
def _second(u: float) -> float:
    """A score that is large far from the middle: as normal, and uncorrelated with that of u."""
    return normal_quantile(min(max(abs(2.0 * u - 1.0), 2.0**-53), 1.0 - 2.0**-53))


@njit(cache=True)
def _enter(bag: Bag, fed: int, totals: Floats, rings: Floats, marks: Floats) -> None:
    """Keep the sums at each level whose turn it is; a ring is written twice, so that any window is in one piece."""
    for level in range(LEVELS):
        place = fed >> level
        if place << level != fed:
            return
        slot = place % SPLITS
        for channel in range(2):
            rings[level, channel, slot] = totals[channel]
            rings[level, channel, slot + SPLITS] = totals[channel]
        keep(bag.floats, marks[level, slot])


@njit(cache=True)
def _exceeds(fed: int, limit: float, totals: Floats, rings: Floats) -> bool:
    """Whether a split looked at now has (sum since)^2 > 2 h (number since); places not yet written are harmless."""
    hits, count = 0, SPLITS
    for level in range(LEVELS):
        place = fed >> level
        if place << level != fed or place == 0:
            break
        step = 2.0 * limit * (1 << level)
        oldest = place % SPLITS
        for channel in range(2):
            ring, total = rings[level, channel], totals[channel]
            for j in range(count):
                since = total - ring[oldest + j]
                hits += since * since > step * (SPLITS - j)
        count = SPLITS // 2  # the newer half of a coarser level are also of a finer one
    return hits > 0


@njit(cache=True)
def best_split(fed: int, totals: Floats, rings: Floats) -> tuple[float, int, int, int]:
    """The largest ratio among the splits looked at now, and its channel, level and slot."""
    best, of, at_level, at_slot = 0.0, 0, 0, 0
    for level in range(LEVELS):
        place = fed >> level
        if place << level != fed:
            break
        for lag in range(1 if level == 0 else SPLITS // 2 + 1, min(SPLITS, place) + 1):
            slot = (place - lag) % SPLITS
            for channel in range(2):
                since = totals[channel] - rings[level, channel, slot]
                ratio = since * since / (2.0 * (lag << level))
                if ratio > best:
                    best, of, at_level, at_slot = ratio, channel, level, slot
    return best, of, at_level, at_slot


@njit(cache=True)
def _feed(
    x: Floats, start: int, limit: float, bag: Bag, fed: Array, totals: Floats, rings: Floats, marks: Floats
) -> int:
    for at in range(start, len(x)):
        _enter(bag, fed[FED], totals, rings, marks)
        u = score(x[at], bag)
        if math.isnan(u):
            continue
        fed[FED] += 1
        totals[0] += normal_quantile(u)
        totals[1] += _second(u)
        if _exceeds(fed[FED], limit, totals, rings):
            return at
    return -1


@register
class Glr(Scored):
    """Finds a change of the mean or of the spread, of any size, and when: the best of all splits of the stream.

    Each observation becomes a normal score z, and |z| another, w; in control each is exactly independent N(0, 1)
    whatever the signal's distribution (`_scores`; the first `warm_up` are not scored). For the m scores since a split
    the log likelihood ratio of any shift against none is (sum z)^2 / 2 m, likewise of w; the largest over all splits
    and both must exceed h. A split further back than 32 scores is kept with a grid of 1/16 to 1/32 of its distance, and
    looked at as often.

    The mean run length is exp(h + c) / sqrt(h), c simulated (benchmarks/score_levels.py), for any signal, as its scores
    are always the same; h makes it 1.5 arl0. The warm-up comes on top.

    Input: any number; NaN and inf are counted, not fed. A drift starts over, ranks included. `age`: since the best
    split. `before`, `after`: means on either side (of values up to 2**20 times the spread). `detail`: which of the two
    `changed`, and the deviations `sd_before` and `sd_after`; a change of spread has direction 0. Cost: 140 ns an
    observation, 45 kB. Source: Siegmund and Venkatraman, Using the generalized likelihood ratio statistic for
    sequential detection of a change-point, Annals of Statistics 1995; splits on a growing grid: Lai, JRSS B 1995.

    >>> x = np.random.default_rng(1).normal(size=6000)
    >>> x[5000:] *= 2
    >>> [(at, drift)] = Glr(arl0=1e5).update_many(x)
    >>> at, at - drift.age + 1, drift.detail["changed"]
    (5017, 5009, 'spread')
    """

    def __init__(self, *, arl0: float = 1e6, warm_up: int = 256) -> None:
        arl0 = number("arl0", arl0, 100, 1e12)
        warm_up = whole("warm_up", warm_up, 20, 1 << 20)
        self._limit = limit_of(SPARE * arl0)
        chart = {
            "fed": np.zeros(1, np.int64),
            "totals": np.zeros(2),
            "rings": np.zeros((LEVELS, 2, 2 * SPLITS)),
            "marks": np.zeros((LEVELS, SPLITS, 3)),
        }
        super().__init__({"arl0": arl0, "warm_up": warm_up}, warm_up, chart)

    @property
    def statistic(self) -> float:
        """The largest log likelihood ratio of a change against none."""
        return float(self._best()[0]) if self.scored else math.nan

    @property
    def threshold(self) -> float:
        """What it must exceed: h."""
        return self._limit if self.scored else math.nan

    def detectable(self, n: int) -> float:
        """The shift whose expected ratio reaches the limit."""
        return math.sqrt(2 * self._limit / n)

    def _best(self) -> tuple[float, int, int, int]:
        state = self._state
        found: tuple[float, int, int, int] = best_split(int(state["fed"][FED]), state["totals"], state["rings"])
        return found

    def _run(self, x: Floats, start: int) -> int:
        state = self._state
        arrays = state["fed"], state["totals"], state["rings"], state["marks"]
        return int(_feed(x, start, self._limit, self._bag, *arrays))

    def _evidence(self) -> Drift:
        state = self._state
        _, channel, level, slot = self._best()
        mark = state["marks"][level, slot]
        moved = state["totals"][channel] - state["rings"][level, channel, slot]
        sides = (mark, self._bag.floats[SIZE:] - mark)
        before, after = (self._deviation(sums) for sums in sides)
        detail = {"changed": CHANNELS[channel], "sd_before": before, "sd_after": after}
        return self._since(mark, int(math.copysign(1, moved)) if channel == 0 else 0, detail)
