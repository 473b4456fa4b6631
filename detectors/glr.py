"""Generalised likelihood ratio: the best split of all into before and since, for a mean or a spread that moved."""

import functools
import math

import numpy as np
from numba import njit
from scipy.optimize import brentq
from scipy.special import ndtr

from detectors._base import Array, Direction, Drift, Floats, number, register, sided, whole
from detectors._scores import SIZE, SPARE, Bag, Scored, keep, normal_quantile, score

LEVELS, SPLITS = 22, 32  # level l keeps the sums at every 2**l-th score, the last 32 of them
CHANNELS = "mean", "spread"
FED = 0  # place in `fed`: scores since the reset
DISCOUNT, REACH = 1.5, 1 / 2  # the limit falls by DISCOUNT * log(lag), for lags up to arl0**REACH


def limits_of(top: float, furthest: float, lags: Floats) -> Floats:
    """What the ratio of a split must exceed: less the further back it is, as fewer splits there differ much."""
    return top - DISCOUNT * np.log(np.minimum(lags, furthest))


def run_length(top: float, furthest: float, sides: int = 4) -> float:
    """The mean run length: Siegmund and Venkatraman's rate of alarms, added up over the lags, of each of 4 sides."""
    lags = np.exp(np.linspace(0, math.log(2.0**LEVELS * SPLITS), 4000))
    limits = np.maximum(limits_of(top, furthest, lags), 1e-9)
    steps = 2.0 ** np.maximum(0, np.ceil(np.log2(lags / SPLITS)))  # of the grid of splits
    x = np.sqrt(2 * limits / lags * steps)
    overshoot = 2 / x * (ndtr(x / 2) - 0.5) / (x / 2 * ndtr(x / 2) + np.exp(-x * x / 8) / math.sqrt(2 * math.pi))
    rate = np.sqrt(limits / math.pi) * np.exp(-limits) * limits / lags * overshoot**2
    return float(2 / (sides * np.trapezoid(rate, np.log(lags))))


@functools.cache
def limit_of(arl0: float, sides: int = 4) -> float:
    """The limit at lag 1 for a mean run length of arl0; sides: 1 of the mean, or 2 of it and 2 of the spread."""
    least = DISCOUNT * math.log(arl0**REACH) + 0.1
    return float(brentq(lambda top: math.log(run_length(top, arl0**REACH, sides) / arl0), least, 100))


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
            rings[channel, level, slot] = totals[channel]
            rings[channel, level, slot + SPLITS] = totals[channel]
        keep(bag.floats, marks[level, slot])


@njit(cache=True)
def _exceeds(fed: int, side: float, limits: Floats, totals: Floats, rings: Floats) -> bool:
    """Whether a split looked at now has a squared sum above its limit; one not yet written never has it alone."""
    hits, count = 0, SPLITS
    for level in range(LEVELS):
        place = fed >> level
        if place << level != fed or place == 0:
            break
        oldest = place % SPLITS
        for channel in range(2):
            ring, total = rings[channel, level], totals[channel]
            for j in range(count):
                since = total - ring[oldest + j]
                hits += (since * since > limits[level, j]) & (side * since >= 0.0)
        count = SPLITS // 2  # the newer half of a coarser level are also of a finer one
    return hits > 0


@njit(cache=True)
def _feed(
    x: Floats,
    start: int,
    side: float,
    limits: Floats,
    bag: Bag,
    fed: Array,
    totals: Floats,
    rings: Floats,
    marks: Floats,
) -> int:
    for at in range(start, len(x)):
        _enter(bag, fed[FED], totals, rings, marks)
        u = score(x[at], bag)
        if math.isnan(u):
            continue
        fed[FED] += 1
        totals[0] += normal_quantile(u)
        if side == 0.0:
            totals[1] += _second(u)
        if _exceeds(fed[FED], side, limits, totals, rings):
            return at
    return -1


@register
class Glr(Scored):
    """Finds a change of the mean or of the spread, of any size, and when: the best of all splits of the stream.

    Each observation becomes a normal score z, and |z| another, w; in control each is exactly independent N(0, 1)
    whatever the signal's distribution (`_scores`; the first `warm_up` are not scored). For the m scores since a split
    the log likelihood ratio of any shift against none is (sum z)^2 / 2 m, likewise of w. The largest of ratio + 1.5
    log(min(m, sqrt(1.5 arl0))), over all splits and both, must exceed h: far back there are fewer splits that differ,
    so that the limit can be lower. `direction` "up" or "down" looks only for a mean that rose or fell. Splits up to 32
    scores back are all looked at; those further back on a grid of 1/16 to 1/32 of their distance, and as often.

    `arl0` is met by h from Siegmund and Venkatraman's asymptotic rate of alarms at each m, added up over m, for 1.5
    arl0; it holds for any signal, as its scores are always the same. Measured run lengths are 1.5 (arl0 = 1e5) to 1.9
    (100) times arl0; the warm-up comes on top.

    Input: any number; NaN and inf are counted, not fed. A drift starts over, ranks included. `age`: since the likeliest
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

    def __init__(self, *, arl0: float = 1e6, warm_up: int = 256, direction: Direction = "both") -> None:
        arl0 = number("arl0", arl0, 100, 1e12)
        warm_up = whole("warm_up", warm_up, 20, 1 << 20)
        sides = sided(direction)
        self._sign = sum(sides)
        self._limit, self._furthest = limit_of(SPARE * arl0, len(sides) ** 2), (SPARE * arl0) ** REACH
        lags = np.outer(2.0 ** np.arange(LEVELS), np.arange(SPLITS, 0, -1))
        self._limits = 2 * lags * limits_of(self._limit, self._furthest, lags)
        chart = {
            "fed": np.zeros(1, np.int64),
            "totals": np.zeros(2),
            "rings": np.zeros((2, LEVELS, 2 * SPLITS)),
            "marks": np.zeros((LEVELS, SPLITS, 3)),
        }
        super().__init__({"arl0": arl0, "warm_up": warm_up, "direction": direction}, warm_up, chart)

    @property
    def statistic(self) -> float:
        """The largest log likelihood ratio of a change against none, with the discount for how far back it lies."""
        return self._best()[0] if self.scored else math.nan

    @property
    def threshold(self) -> float:
        """What that must exceed."""
        return self._limit if self.scored else math.nan

    def detectable(self, n: int) -> float:
        """The shift whose expected ratio reaches the limit."""
        return math.sqrt(2 * (self._limit - DISCOUNT * math.log(min(n, self._furthest))) / n)

    def _ratios(self) -> tuple[Floats, Array]:
        """The log likelihood ratio of each kept split[channel, level, slot], and how far back[level, slot] it lies."""
        fed, levels = int(self._state["fed"][FED]), np.arange(LEVELS)[:, None]
        newest = (fed - 1) >> levels
        lags = fed - ((newest - (newest - np.arange(SPLITS)) % SPLITS) << levels)
        since = self._state["totals"][:, None, None] - self._state["rings"][:, :, :SPLITS]
        return np.where((lags <= fed) & (self._sign * since >= 0), since * since / (2 * lags), 0.0), lags

    def _best(self) -> tuple[float, int]:
        """The statistic and its channel, over the splits looked at now."""
        ratios, lags = self._ratios()
        levels = np.arange(LEVELS)[:, None]
        due = (lags % (1 << levels) == 0) & ((levels == 0) | (lags > SPLITS // 2 << levels))
        discounted = ratios + DISCOUNT * np.log(np.minimum(lags, self._furthest))
        tops = np.where(due & (lags <= self._state["fed"][FED]), discounted, 0.0).max(axis=(1, 2))
        return float(tops.max()), int(tops.argmax())

    def _run(self, x: Floats, start: int) -> int:
        state = self._state
        arrays = state["fed"], state["totals"], state["rings"], state["marks"]
        return int(_feed(x, start, self._sign, self._limits, self._bag, *arrays))

    def _evidence(self) -> Drift:
        state = self._state
        _, channel = self._best()
        ratios = self._ratios()[0][channel]
        split = np.unravel_index(np.argmax(ratios), ratios.shape)  # the likeliest, without the discount
        mark, moved = state["marks"][split], state["totals"][channel] - state["rings"][channel][split]
        sides = (mark, self._bag.floats[SIZE:] - mark)
        before, after = (self._deviation(sums) for sums in sides)
        detail = {"changed": CHANNELS[channel], "sd_before": before, "sd_after": after}
        return self._since(mark, int(math.copysign(1, moved)) if channel == 0 else 0, detail)
