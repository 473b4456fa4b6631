"""Statistics that are sums over bins of a term of the recent and the reference's share: one machine for all of them."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numba import njit
from scipy.special import chdtri

from detectors._base import MISSING, Array, Floats, number, whole
from detectors._bins import BINS, Binned
from detectors._kernels import finite
from detectors._sketch import Sketch
from detectors._tally import BEFORE, BLOCK, CELLS, RECENT, REFERENCE, RENEWED, WINDOW, slide

PSI, JS, HELLINGER, CHI2, G = range(5)  # the terms
TERM, PSEUDO, FLOOR, ARL0 = range(4)  # places in `test`
TOTAL, LIMIT = range(2)  # places in `floats`
SHARE, PART, SEEN = range(3)  # rows of `table`
GRID = 2048
CLEAR = 50  # an even number of observations from which any limit can be reached: they can say 300 nats
FAINT = math.log(1e-22)  # counts rarer than that are left out of the null


@njit(cache=True)
def term(test: Floats, q: float, r: float, weight: float) -> float:
    """What a bin with share q recently and r in the reference adds; `weight`: of the window in both together."""
    kind = test[TERM]
    if q == r:
        return 0.0
    if kind == PSI:
        return (q - r) * math.log(q / r)
    if kind == HELLINGER:
        return 0.5 * (math.sqrt(q) - math.sqrt(r)) ** 2
    if kind == JS:
        weight = 0.5
    both = weight * q + (1.0 - weight) * r
    if kind == CHI2:
        expected: float = max(both, test[FLOOR])
        return (q - r) ** 2 / expected
    gain = weight * q * math.log(q / both) if q > 0.0 else 0.0
    if r > 0.0:
        gain += (1.0 - weight) * r * math.log(r / both)
    return gain if kind == JS else 2.0 * gain / (weight * (1.0 - weight))


@njit(cache=True)
def units(kind: float, total: int, window: int) -> float:
    """What turns the sum of terms into about a chi-square."""
    even: float = total * window / (total + window)
    return 8.0 * even if kind in (JS, HELLINGER) else even


@njit(cache=True)
def _bin_law(seen: int, total: int, bins: int, window: int, test: Floats, step: float, law: Floats) -> None:
    """The law of one bin's term, in chi-square units, on a grid; the last place holds all beyond.

    Its count is Poisson with a rate known from the reference only (Jeffreys prior): negative binomial.
    """
    law[:] = 0.0
    pseudo = test[PSEUDO]
    shape, share = seen + 0.5, (seen + pseudo) / (total + pseudo * bins)
    scale, weight = units(test[TERM], total, window), window / (total + window)
    log_stay, log_come = math.log(total / (total + window)), math.log(window / (total + window))
    log_chance = shape * log_stay
    for count in range(window + 1):
        if count > 0:
            log_chance += math.log((shape + count - 1.0) / count) + log_come
        if log_chance < FAINT:
            if count > shape * window / total:
                break
            continue
        at = scale * term(test, (count + pseudo) / (window + pseudo * bins), share, weight) / step
        chance = math.exp(log_chance)
        if at >= len(law) - 1:
            law[-1] += chance
            continue
        j = int(at)
        law[j] += chance * (j + 1 - at)  # between two places, so that the mean is kept
        law[j + 1] += chance * (at - j)


@njit(cache=True)
def _add_law(law: Floats, total: Floats, beyond: Floats) -> None:
    """The law of the sum of two independent terms, into `total`; `beyond` is room for its tail sums."""
    top = len(law) - 1
    before = total.copy()
    beyond[top] = 0.0
    for j in range(top - 1, -1, -1):
        beyond[j] = beyond[j + 1] + before[j]
    total[:top] = 0.0
    total[top] += law[top] * beyond[0]
    for c in range(top):
        chance = law[c]
        if chance > 0.0:
            for j in range(top - c):
                total[c + j] += chance * before[j]
            total[top] += chance * beyond[top - c]


@njit(cache=True)
def null_limit(before: Array, bins: int, window: int, test: Floats) -> float:
    """The sum that the recent window exceeds once in arl0 observations (docstring of Separable)."""
    total = before[:bins].sum()
    log_inverse = math.log(test[ARL0])
    reach = bins + 2.0 * math.sqrt(bins * log_inverse) + 2.0 * log_inverse
    law, sums, tail = np.empty(GRID + 1), np.zeros(GRID + 1), np.empty(GRID + 2)
    while True:
        step = reach / GRID
        sums[:] = 0.0
        sums[0] = 1.0
        for b in range(bins):
            _bin_law(before[b], total, bins, window, test, step, law)
            _add_law(law, sums, tail)
        tail[GRID + 1] = 0.0
        for j in range(GRID, -1, -1):  # tail[j]: P(place >= j)
            tail[j] = tail[j + 1] + sums[j]
        j = GRID
        while j > 1 and _alarm_rate(tail, j, step, min(total, window)) * 2.0 * test[ARL0] < 1.0:
            j -= 1
        if j < GRID:
            limit: float = (j + 1) * step / units(test[TERM], total, window)
            return limit
        reach *= 2.0


@njit(cache=True)
def _alarm_rate(tail: Floats, j: int, step: float, window: int) -> float:
    """Alarms per observation of a limit at place j, from the tail of the law of the sum there."""
    at, chance = j * step, tail[j]
    if chance <= 0.0:
        return 0.0
    span = int((2.0 + 0.1 * at) / step)
    low, high = max(1, j - span), min(len(tail) - 2, j + span)
    if tail[high] <= 0.0:
        high = j
    slope = math.log(tail[low] / tail[high]) / ((high - low) * step)
    shared = math.sqrt(max(1.0 - 2.0 * slope, 1.0 / at))
    rate: float = chance * shared * min(1.0, 4.0 * slope * slope * at / window)
    return rate


@njit(cache=True)
def _renew(
    config: Array, counts: Array, tallies: Array, test: Floats, limits: Floats, floats: Floats, table: Floats
) -> None:
    """The shares of a reference that has changed, and the limit that goes with it."""
    bins, total = counts[CELLS], counts[REFERENCE]
    counts[RENEWED] = 0
    for b in range(bins):
        table[SHARE, b] = (tallies[BEFORE, b] + test[PSEUDO]) / (total + test[PSEUDO] * bins)
    table[SEEN] = -1.0
    if len(limits) == 0 and counts[BLOCK] == 0:  # of a rolling reference once in its length
        floats[LIMIT] = null_limit(tallies[BEFORE], bins, config[WINDOW], test)


@njit(cache=True)
def _feed(
    x: Floats,
    start: int,
    config: Array,
    counts: Array,
    values: Floats,
    edges: Floats,
    blocks: Array,
    tallies: Array,
    moments: Floats,
    test: Floats,
    limits: Floats,
    floats: Floats,
    table: Floats,
) -> int:
    window, pseudo = config[WINDOW], test[PSEUDO]
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        ready = slide(x[at], config, counts, values, edges, blocks, tallies, moments)
        if counts[RENEWED] == 1:
            _renew(config, counts, tallies, test, limits, floats, table)
        if not ready:
            continue
        bins, total = counts[CELLS], 0.0
        for b in range(bins):
            if tallies[RECENT, b] != table[SEEN, b]:
                q = (tallies[RECENT, b] + pseudo) / (window + pseudo * bins)
                table[SEEN, b] = tallies[RECENT, b]
                table[PART, b] = term(test, q, table[SHARE, b], window / (window + counts[REFERENCE]))
            total += table[PART, b]
        if len(limits) > 0:
            used = 0
            for b in range(bins):
                used += tallies[BEFORE, b] + tallies[RECENT, b] > 0
            floats[LIMIT] = limits[used] / units(test[TERM], counts[REFERENCE], window)
        floats[TOTAL] = total
        if total > floats[LIMIT]:
            return at
    return -1


@cache
def _null_limit(before: tuple[int, ...], window: int, test: tuple[float, ...]) -> float:
    return float(null_limit(np.array(before), len(before), window, np.array(test)))


class Separable(Binned):
    """A detector whose statistic grows with a sum over bins of `term(recent share, reference's share)`.

    Limit with `arl0`: the null law of the sum, for this reference, by convolution on a grid: a bin's count in the
    window is negative binomial (Poisson, its rate known only from the reference, with Jeffreys' prior), so the
    reference's own error is in it. That counts share one total takes a degree of freedom: the tail is multiplied by
    sqrt(1 - 2 s), s its slope in chi-square units. Neighbouring windows overlap, so alarms come in clumps, of
    W / (4 s^2 T) observations each above a limit T (Aldous, Probability approximations via the Poisson clumping
    heuristic, 1989). The limit is where one clump comes in 2 `arl0` observations; the 2 is for what is left out.
    """

    kinds = frozenset({"number", "category"})
    published: ClassVar[dict[str, Any]] = {"alpha": 0.05}
    _kind: ClassVar[int]
    _pseudo: ClassVar[float] = 0.0  # added to each count

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        reference: int = 5000,
        reference_s: float | None = None,
        rolling: bool = False,
        profile: Mapping[str, Any] | Sketch | None = None,
        window: int = 500,
        bins: int | None = None,
        categories: bool = False,
        alpha: float | None = None,
    ) -> None:
        bins = whole("bins", (20 if categories else 10) if bins is None else bins, *BINS)
        arl0 = number("arl0", arl0, 100, 1e12)
        own = {"arl0": arl0, "alpha": None} if alpha is None else {"alpha": number("alpha", alpha, 1e-12, 0.5)}
        super().__init__(
            own,
            reference=reference,
            reference_s=reference_s,
            rolling=rolling,
            profile=profile,
            window=window,
            bins=bins,
            categories=categories,
            state={"floats": np.zeros(2), "table": np.zeros((3, 2 * bins + 1))},
        )
        self._floats = self._state["floats"]
        floor = 1 / window if alpha is None else 0.0  # Cochran's rule: no cell expects less than one observation
        self._test = np.array([self._kind, self._pseudo, floor, arl0])
        freedom = np.arange(1, 2 * bins + 1)
        self._limits = np.zeros(0) if alpha is None else np.r_[[math.inf] * 2, chdtri(freedom, alpha)]
        if reference_s is None and profile is None and self._never():
            raise ValueError(f"window: {window} observations beside {reference} can never alarm, whatever they are")

    @property
    def statistic(self) -> float:
        """The statistic now."""
        return self._shown(float(self._floats[TOTAL])) if self._full else math.nan

    @property
    def threshold(self) -> float:
        """What the statistic must exceed; depends on the reference."""
        return self._shown(float(self._floats[LIMIT])) if self._full else math.nan

    def detectable(self, n: int) -> float:
        """The distance between old and new that, with n of the window's observations new, is expected at the limit."""
        reference, window, bins = (int(self._params[key]) for key in ("reference", "window", "bins"))
        even = np.full(bins, max(1, reference // bins), np.int64)
        noise = (bins - 1) / units(self._kind, reference, window)  # what the sum is on average without a change
        limit, most = self._limit_beside(even), self._most_beside(even)
        found = math.sqrt(max(0.0, limit - noise)) * max(1.0, window / n)
        return found if max(limit, found**2) < most else math.inf

    def _never(self) -> bool:
        """Whether even a window of what was never there, beside a reference of one value, is below the limit."""
        reference, window = self._params["reference"], self._params["window"]
        constant = np.array([reference, 0])
        clear = reference * window >= CLEAR * (reference + window)
        return not clear and self._limit_beside(constant) >= self._most_beside(constant)

    def _limit_beside(self, before: Array) -> float:
        """The limit of the sum beside a reference with these counts."""
        window = int(self._params["window"])
        if len(self._limits):
            return float(self._limits[len(before)]) / units(self._kind, int(before.sum()), window)
        return _null_limit(tuple(before.tolist()), window, tuple(self._test.tolist()))

    def _most_beside(self, before: Array) -> float:
        """The sum where the whole window lies in the bin that has the least of the reference."""
        window, total, pseudo, recent = self._params["window"], int(before.sum()), self._pseudo, np.zeros(len(before))
        recent[np.argmin(before)] = window
        q, r = ((tally + pseudo) / (tally.sum() + pseudo * len(tally)) for tally in (recent, before))
        weight = window / (window + total)
        return float(sum(term(self._test, *shares, weight) for shares in zip(q, r, strict=True)))

    def _shown(self, total: float) -> float:
        """The statistic, from the sum over the bins."""
        return math.sqrt(total)

    def _parts(self) -> Floats:
        return np.asarray(self._state["table"][PART, : int(self._counts[CELLS])])

    def _feed(self, x: Floats, start: int) -> int:
        own = self._test, self._limits, self._state["floats"], self._state["table"]
        arrays: tuple[Array, ...] = (*self._arrays, *own)
        return int(_feed(x, start, *arrays))


class ChiSquare(Separable):
    """One whose statistic is shown as a chi-square."""

    unit = "Cohen's w"

    def _shown(self, total: float) -> float:
        return total * float(units(self._kind, int(self._counts[REFERENCE]), int(self._config[WINDOW])))
