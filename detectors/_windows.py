"""Distances between the distribution functions of a recent window and a reference: ks, cvm, wasserstein.

All three are a norm of d, the difference of the two functions at the edges of the reference's bins, tested every g-th
observation, g = window / 32: neighbouring windows are nearly the same, so little is lost, and each test may err g times
as often. W and R: observations in window and reference; E = W R / (W + R): d varies like the distribution function of E
observations.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Floats, N, number, whole
from detectors._bins import BINS, Binned
from detectors._kernels import finite
from detectors._sketch import Sketch
from detectors._tally import (
    BEFORE,
    CELLS,
    COUNT,
    HIGHEST,
    LOWEST,
    RECENT,
    REFERENCE,
    RENEWED,
    WINDOW,
    slide,
)

SUPREMUM, SQUARE, ABSOLUTE = range(3)  # the norms
DISTANCE, LIMIT, RANGE = range(3)  # places in `floats`


def test_every(window: int) -> int:
    """How many observations lie between two tests."""
    return max(1, window // 32)


@njit(cache=True)
def _share(seen: float, total: float, least: float) -> float:
    return min(max(seen / total, least), 1.0 - least)


@njit(cache=True)
def _cumulants(s: float, before: Array, weights: Floats, k: int, total: float, least: float) -> tuple[float, ...]:
    """K, K' and K'' at s of the weighted square of a Brownian bridge at the shares; K is inf beyond its pole.

    exp(-2 K) is the end of the solution of y'' = -2 s w y, y(0) = 0, y'(0) = 1, w a weight at each share.
    """
    y = y1 = y2 = rise1 = rise2 = last = seen = 0.0
    rise = 1.0
    for j in range(k + 1):
        seen += before[j]
        share = _share(seen, total, least) if j < k else 1.0
        step, last = share - last, share
        y, y1, y2 = y + step * rise, y1 + step * rise1, y2 + step * rise2
        if y <= 0.0:
            return math.inf, math.inf, math.inf
        if j < k:
            rise2 -= 2.0 * weights[j] * (2.0 * y1 + s * y2)
            rise1 -= 2.0 * weights[j] * (y + s * y1)
            rise -= 2.0 * weights[j] * s * y
    slope = y1 / y
    return -0.5 * math.log(y), -0.5 * slope, -0.5 * (y2 / y - slope * slope)


@njit(cache=True)
def _tail(s: float, value: float, first: float, second: float) -> float:
    """The chance beyond K'(s) of a law with these cumulants at s (Lugannani and Rice 1980)."""
    w = math.sqrt(2.0 * max(s * first - value, 1e-20))
    density = math.exp(-0.5 * w * w) / math.sqrt(2.0 * math.pi)
    return 0.5 * math.erfc(w / math.sqrt(2.0)) + density * (1.0 / (s * math.sqrt(second)) - 1.0 / w)


@njit(cache=True)
def _square_limit(before: Array, weights: Floats, k: int, total: float, window: float, log_inverse: float) -> float:
    """The quantile of the weighted square of a Brownian bridge at this reference's shares, by the saddle point."""
    least = min(0.5, 2.0 * log_inverse * (1.0 / total + 1.0 / window))
    low, high = 0.0, 1.0
    while _cumulants(high, before, weights, k, total, least)[0] < math.inf:
        high *= 2.0
    for _ in range(100):
        s = 0.5 * (low + high)
        value, first, second = _cumulants(s, before, weights, k, total, least)
        if value < math.inf and _tail(s, value, first, second) > math.exp(-log_inverse):
            low = s
        else:
            high = s
    return _cumulants(low, before, weights, k, total, least)[1]


@njit(cache=True)
def _exponent(s: float, before: Array, gaps: Floats, k: int, total: float, window: float, mean: float) -> float:
    """The log of E exp(s (the window's mean - mean)), counts being negative binomial: known from the reference."""
    place = value = 0.0
    for j in range(k + 1):
        grown = window / total * (math.exp(s * (place - mean) / window) - 1.0)
        if grown >= 1.0:
            return math.inf
        value -= (before[j] + 0.5) * math.log(1.0 - grown)
        place += gaps[j] if j < k else 0.0
    return value


@njit(cache=True)
def _absolute_limit(before: Array, gaps: Floats, k: int, total: float, window: float, log_inverse: float) -> float:
    """What the difference of the binned means exceeds, either way, with that chance: Chernoff's bound, sharpened."""
    log_inverse += math.log(4.0) - 0.5 * math.log(4.0 * math.pi * max(log_inverse, 1.0))
    place = mean = square = 0.0
    for j in range(k + 1):
        mean, square = mean + before[j] / total * place, square + (before[j] + 0.5) / total * place * place
        place += gaps[j] if j < k else 0.0
    variance = (square - mean * mean) * (1.0 / total + 1.0 / window)
    normal, limit = math.sqrt(2.0 * log_inverse / variance), 0.0
    for side in (-1.0, 1.0):
        best, low, high = math.inf, math.log(normal / 5.0), math.log(normal * 5.0)
        while high - low > 1e-6:
            found = np.empty(2)
            for i in range(2):
                s = math.exp(low + (high - low) * (0.4 + 0.2 * i))
                found[i] = (log_inverse + _exponent(side * s, before, gaps, k, total, window, mean)) / s
            low, high = (low, low + 0.6 * (high - low)) if found[0] <= found[1] else (low + 0.4 * (high - low), high)
            best = min(best, found[0], found[1])
        limit = max(limit, best)
    return limit


@njit(cache=True)
def limit_of(
    kind: int, before: Array, weights: Floats, k: int, reference: int, window: int, log_inverse: float
) -> float:
    """The distance that window and reference exceed at any one time with a chance of exp(-log_inverse), or less."""
    total, size = float(reference), float(window)
    effective = total * size / (total + size)
    if kind == SUPREMUM:  # Dvoretzky, Kiefer, Wolfowitz and Massart, the constant safe for two samples
        return math.sqrt((1.0 + log_inverse) / (2.0 * effective))
    if kind == SQUARE:
        square: float = _square_limit(before, weights, k, total, size, log_inverse)
        return math.sqrt(square / effective)
    absolute: float = _absolute_limit(before, weights, k, total, size, log_inverse)
    return absolute


@njit(cache=True)
def _set_gaps(edges: Floats, k: int, lowest: float, highest: float, gaps: Floats) -> float:
    """The steps between the places of neighbouring bins, as shares of their range, which is returned.

    A bin lies in its middle, an outer one at its end: the extreme of the reference, at most an eighth of the span of
    all edges away. Of a constant, whose scale is unknown, each step is as long.
    """
    first, last = edges[0] / 4, edges[k - 1] / 4  # quarters, as differences of the whole may overflow
    reach = (last - first) / 8 if k > 2 else math.inf
    place, end = min(first, max(lowest / 4, first - reach)), max(last, min(highest / 4, last + reach))
    span = end - place
    if lowest == highest or span <= 0.0:
        gaps[:k] = 1.0 / k
        return 0.0
    for j in range(k):
        following = edges[j] / 8 + edges[j + 1] / 8 if j + 1 < k else end
        gaps[j] = (following - place) / span
        place = following
    width: float = 4 * min(span, 4.4e307)
    return width


@njit(cache=True)
def renew(
    kind: int, log_inverse: float, config: Array, counts: Array, edges: Floats, before: Array, moments: Floats,
    weights: Floats, floats: Floats,
) -> None:  # fmt: skip
    """Weights and limit of a reference that has changed."""
    counts[RENEWED] = 0
    k, total = counts[CELLS] - 1, counts[REFERENCE]
    if kind == SQUARE:
        weights[:k] = (before[:k] + before[1 : k + 1]) / (2.0 * total)
    elif kind == ABSOLUTE:
        lowest, highest = math.inf, -math.inf
        for row in moments[:-1]:
            if row[COUNT] > 0.0:
                lowest, highest = min(lowest, row[LOWEST]), max(highest, row[HIGHEST])
        floats[RANGE] = _set_gaps(edges, k, lowest, highest, weights)
    floats[LIMIT] = limit_of(kind, before, weights, k, total, config[WINDOW], log_inverse)


@njit(cache=True)
def _distance(kind: int, k: int, total: int, window: int, tallies: Array, weights: Floats) -> float:
    """The norm of the difference of the distribution functions."""
    old = new = 0
    norm = 0.0
    for j in range(k):
        old += tallies[BEFORE, j]
        new += tallies[RECENT, j]
        off = abs(new / window - old / total)
        if kind == SUPREMUM:
            norm = max(norm, off)
        else:
            norm += weights[j] * (off * off if kind == SQUARE else off)
    return math.sqrt(norm) if kind == SQUARE else norm


@njit(cache=True)
def _feed(
    x: Floats, start: int, kind: int, every: int, log_inverse: float, config: Array, counts: Array, values: Floats,
    edges: Floats, blocks: Array, tallies: Array, moments: Floats, weights: Floats, floats: Floats,
) -> int:  # fmt: skip
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        ready = slide(x[at], config, counts, values, edges, blocks, tallies, moments)
        if not ready or counts[N] % every != 0:
            continue
        if counts[RENEWED] == 1:
            renew(kind, log_inverse, config, counts, edges[0], tallies[BEFORE], moments, weights, floats)
        k, total = counts[CELLS] - 1, counts[REFERENCE]
        floats[DISTANCE] = _distance(kind, k, total, config[WINDOW], tallies, weights)
        if floats[DISTANCE] > floats[LIMIT]:
            return at
    return -1


class Distance(Binned):
    """A detector whose statistic is a norm of the difference of two distribution functions."""

    _kind: ClassVar[int]
    _times: ClassVar[int] = 1
    _most: ClassVar[float] = 1.0  # what the distance from an evenly spread reference can be

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        reference: int = 5000,
        reference_s: float | None = None,
        rolling: bool = False,
        profile: Mapping[str, Any] | Sketch | None = None,
        window: int = 500,
        bins: int = 64,
    ) -> None:
        arl0, bins = number("arl0", arl0, 100, 1e12), whole("bins", bins, *BINS)
        super().__init__(
            {"arl0": arl0},
            reference=reference,
            reference_s=reference_s,
            rolling=rolling,
            profile=profile,
            window=window,
            bins=bins,
            state={"weights": np.zeros(2 * bins), "floats": np.zeros(3)},
        )
        reference, window = self._params["reference"], self._params["window"]
        self._every = test_every(window)
        self._log_inverse = max(1.0, math.log(self._times * arl0 / self._every))
        if reference_s is None and profile is None and self._even_limit() >= self._most:
            raise ValueError(f"window: {window} observations beside {reference} can never alarm at arl0 = {arl0:g}")

    def move(self, state: dict[str, Array]) -> None:
        """Keep the state, which these arrays hold a copy of, in them from now on."""
        super().move(state)
        self._floats = state["floats"]

    @property
    def params(self) -> dict[str, Any]:
        """All parameters with their values in force."""
        return {key: value for key, value in self._params.items() if key != "categories"}

    @property
    def statistic(self) -> float:
        """The distance at the last test."""
        return float(self._floats[DISTANCE]) if self._floats[LIMIT] else math.nan

    @property
    def threshold(self) -> float:
        """What the distance must exceed."""
        return float(self._floats[LIMIT]) if self._floats[LIMIT] else math.nan

    def detectable(self, n: int) -> float:
        """The distance that, once n of the window's observations are new, is at the limit of an evenly spread one."""
        found = self._even_limit() * max(1.0, self._params["window"] / n)
        return found if found < self._most else math.inf

    def _even_limit(self) -> float:
        """The limit where the reference fills all bins alike, equally wide."""
        reference, window, bins = (self._params[key] for key in ("reference", "window", "bins"))
        even, weights = np.diff(np.arange(bins + 1) * reference // bins), np.full(bins, 1 / bins)
        return float(limit_of(self._kind, even, weights, bins - 1, reference, window, self._log_inverse))

    def _feed(self, x: Floats, start: int) -> int:
        arrays: tuple[Array, ...] = (*self._arrays, self._state["weights"], self._floats)
        return int(_feed(x, start, self._kind, self._every, self._log_inverse, *arrays))

    def _shares(self) -> Floats:
        """The bins' shares, in the reference and in the window."""
        tallies = self._state["tallies"][:, : int(self._counts[CELLS])]
        return np.asarray(tallies / tallies.sum(axis=1, keepdims=True))

    def _furthest(self) -> int:
        """The edge at which the two distribution functions differ most."""
        return int(np.argmax(np.abs(np.diff(np.cumsum(self._shares(), axis=1), axis=0))[0, :-1]))

    def _age(self) -> int:
        where = self._furthest()
        off = np.cumsum((self._recent() <= self._state["edges"][0, where])[::-1] - self._shares()[0, : where + 1].sum())
        return 1 + int(np.argmax(off**2 / np.arange(1, len(off) + 1)))  # most likely, the old share known

    def _detail(self) -> dict[str, Any]:
        """The edge where the functions differ most, the shares at or below it, and all edges and shares."""
        where, (before, after) = self._furthest(), self._shares()
        edges = self._state["edges"][0, : len(before) - 1]
        detail: dict[str, Any] = {"at": float(edges[where]), "edges": edges.tolist()}
        for name, shares in (("before", before), ("after", after)):
            detail |= {f"below_{name}": float(shares[: where + 1].sum()), name: shares.tolist()}
        return detail
