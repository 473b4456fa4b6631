"""What is kept of a stretch of a signal instead of its rows: counts in bins and moments, a few kB, mergeable."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numba import njit

from detectors._base import Array, Floats, flag, mean_of, number, whole
from detectors._kernels import equiprobable, locate, random_unit

LARGEST = float(np.finfo(np.float64).max)
Moments = tuple[float, float, float, float, float]  # number, mean, sum of squared deviations, lowest, highest


@njit(cache=True)
def place(x: float, edges: Floats, k: int, cells: int, categories: bool) -> int:
    """The bin of a number, or of a category's code: its place among the k kept ones, or one of the others' bins."""
    j = locate(edges, k, x)
    if categories and (j == k or edges[j] != x):
        return k if cells == k + 1 else k + int((cells - k) * random_unit(np.float64(x).view(np.int64)))  # type: ignore[arg-type]
    return j


@njit(cache=True)
def keep_categories(sample: Floats, bins: int, least: float, edges: Floats) -> int:
    """Write the most frequent codes, in order, that occur at least `least` times; how many."""
    ordered = np.sort(sample)
    codes, sizes = np.empty(len(ordered)), np.zeros(len(ordered))
    found = 0
    for i in range(len(ordered)):
        if i == 0 or ordered[i] != ordered[i - 1]:
            codes[found] = ordered[i]
            found += 1
        sizes[found - 1] += 1.0
    floor, ties = least, bins
    if found > bins:
        last = np.sort(sizes)[len(sizes) - bins]
        if last >= least:
            floor, ties = last, bins - int(np.sum(sizes > last))
    k = 0
    for i in range(found):
        tied = sizes[i] == floor and ties > 0
        if tied or sizes[i] > floor:
            ties -= tied
            edges[k] = codes[i]
            k += 1
    return k


@njit(cache=True)
def count_into(sample: Floats, edges: Floats, k: int, categories: bool, counts: Array) -> None:
    """Add the sample to the k + 1 bins."""
    for x in sample:
        counts[place(x, edges, k, k + 1, categories)] += 1


def squares_of(values: Floats, mean: float) -> float:
    """The sum of squared deviations from the mean; inf if they would overflow."""
    off = values / 2 - mean / 2
    return 4 * float(off @ off) if np.max(np.abs(off)) < 1e150 else np.inf


def pool(a: Moments, b: Moments) -> Moments:
    """The moments of two stretches together."""
    if not (a[0] and b[0]):
        return a if a[0] else b
    n = a[0] + b[0]
    off = b[1] / 2 - a[1] / 2  # halves, as differences of the whole may overflow
    between = 4 * off * off * (a[0] * b[0] / n) if abs(off) < 1e150 else math.inf
    return n, a[1] + 2 * (off * (b[0] / n)), a[2] + b[2] + between, min(a[3], b[3]), max(a[4], b[4])


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Counts in about `bins` bins of equal share (of codes: of the most frequent categories, all others in the last).

    Bin j holds edges[j - 1] < x <= edges[j], the outer ones reach to `lowest` and `highest`; a value that has a whole
    bin's share to itself has a bin of its own. Merging is exact where the edges are the same (moments, extremes and
    categories kept by both always). Otherwise values are taken as spread evenly within their bin, so that the share
    below any x is off by at most the share of the bin of either sketch in which x lies, about 1 / bins.
    """

    bins: int
    categories: bool
    edges: Floats  # of categories: the kept codes, in order
    counts: Floats  # one more than edges
    mean: float
    m2: float  # the sum of squared deviations from the mean
    lowest: float
    highest: float
    missing: int

    @classmethod
    def of(cls, values: Floats, bins: int = 128, *, categories: bool = False) -> Self:
        """The sketch of values, of which those not finite are `missing`."""
        values = np.asarray(values, np.float64)
        known = values[np.isfinite(values)]
        edges = np.zeros(2 * bins)
        k = 0
        if len(known):
            k = keep_categories(known, bins, 1.0, edges) if categories else equiprobable(known, bins, edges)
        counts = np.zeros(k + 1)
        count_into(known, edges, k, categories, counts)
        mean, low, high = (mean_of(known), float(known.min()), float(known.max())) if len(known) else (0.0, 0.0, 0.0)
        m2 = squares_of(known, mean) if len(known) else 0.0
        missing = len(values) - len(known)
        return cls(bins, categories, edges[:k].copy(), counts, mean, m2, low, high, missing)

    @property
    def n(self) -> float:
        """Values counted, missing ones not."""
        return float(self.counts.sum())

    @property
    def moments(self) -> Moments:
        """Number, mean, m2, lowest, highest."""
        return self.n, self.mean, self.m2, self.lowest, self.highest

    def quantile(self, q: float) -> float:
        """The value below which a share q lies, by interpolation within its bin."""
        if self.categories or not self.n:
            raise ValueError("a sketch of categories, or of nothing, has no quantiles")
        at = 4 * float(np.interp(q * self.n, np.r_[0.0, np.cumsum(self.counts)], self._ends()))
        return min(max(at, self.lowest), self.highest)

    def merge(self, other: Self) -> Self:
        """The sketch of both stretches together."""
        if (self.bins, self.categories) != (other.bins, other.categories):
            raise ValueError("sketches with different numbers of bins, or of numbers and categories, do not merge")
        edges = np.union1d(self.edges, other.edges)
        counts = self._onto(edges) + other._onto(edges)
        _, mean, m2, lowest, highest = pool(self.moments, other.moments)
        missing = self.missing + other.missing
        both = replace(
            self, edges=edges, counts=counts, mean=mean, m2=m2, lowest=lowest, highest=highest, missing=missing
        )
        return both if len(edges) == len(self.edges) else both.coarse(self.bins)

    def coarse(self, bins: int, least: float = 0.0) -> Self:
        """With about `bins` bins, by joining; of categories the most frequent with at least that share."""
        kept = self._frequent(bins, least) if self.categories else self._even(bins)
        if self.categories:
            own = self.counts[:-1][kept]
            counts = np.r_[own, self.n - own.sum()]
        else:
            counts = np.diff(np.r_[0.0, np.cumsum(self.counts)[kept], self.n])
        return replace(self, bins=bins, edges=self.edges[kept], counts=counts)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"edges": self.edges.tolist(), "counts": self.counts.tolist()}

    @classmethod
    def from_dict(cls, data: "Mapping[str, Any] | Sketch") -> Self:
        """What `to_dict` gave, or a sketch itself; ValueError if it is not that."""
        data = data.to_dict() if isinstance(data, Sketch) else data
        if not isinstance(data, Mapping) or set(data) != set(cls.__slots__):
            raise ValueError(f"profile: expected what Sketch.to_dict() gives, with {', '.join(cls.__slots__)}")
        bins, edges, counts = whole("profile: bins", data["bins"], 1, 1 << 20), *_rows(data)
        fits = edges.ndim == 1 and counts.shape == (len(edges) + 1,) and np.all(np.diff(edges) > 0)
        fits = fits and len(edges) <= 2 * bins and np.all(np.isfinite(edges))
        if not fits or not np.all(np.isfinite(counts)) or np.any(counts < 0):
            raise ValueError(
                "profile: expected rising edges, at most 2 bins of them, and one count more, none negative"
            )
        mean, lowest, highest = (_finite(name, data[name]) for name in ("mean", "lowest", "highest"))
        m2 = number("profile: m2", data["m2"], 0, math.inf)
        missing = whole("profile: missing", data["missing"], 0, 1 << 62)
        categories = flag("profile: categories", data["categories"])
        return cls(bins, categories, edges, counts, mean, m2, lowest, highest, missing)

    def _ends(self) -> Floats:
        """The ends of the bins, over 4 so that no difference overflows."""
        low, high = (self.edges[0], self.edges[-1]) if len(self.edges) else (self.lowest, self.lowest)
        ends: Floats = np.r_[min(self.lowest, low), self.edges, max(self.highest, high)] / 4
        return ends

    def _onto(self, edges: Floats) -> Floats:
        """The counts in the bins of other edges, of which the own are some."""
        counts = np.zeros(len(edges) + 1)
        if self.categories:
            counts[np.searchsorted(edges, self.edges)] = self.counts[:-1]
            counts[-1] = self.counts[-1]
            return counts
        below = np.interp(edges / 4, self._ends(), np.r_[0.0, np.cumsum(self.counts)])
        own = np.searchsorted(edges, self.edges)
        below[own] = np.cumsum(self.counts)[:-1]  # not rounded by the interpolation
        within: Floats = np.diff(np.r_[0.0, below, self.n])
        return within

    def _frequent(self, bins: int, least: float) -> Array:
        counts = self.counts[:-1]
        order = np.argsort(-counts, kind="stable")[:bins]
        return np.sort(order[counts[order] >= least * self.n])

    def _even(self, bins: int) -> Array:
        """The edges next to the quantiles at steps of 1 / bins, and both of a bin that holds a whole step."""
        if not len(self.edges):
            return np.zeros(0, np.int64)
        below = np.cumsum(self.counts)[:-1]
        steps = self.n * np.arange(1, bins) / bins
        right = np.clip(np.searchsorted(below, steps), 1, len(below) - 1) if len(below) > 1 else np.zeros(1, np.int64)
        nearest = np.where(steps - below[right - 1] < below[right] - steps, right - 1, right)
        heavy = np.flatnonzero(self.counts >= self.n / bins)
        around = np.r_[heavy - 1, heavy]
        return np.unique(np.r_[nearest, around[(around >= 0) & (around < len(below))]])


def _rows(data: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Edges and counts of what should be a sketch."""
    try:
        return np.array(data["edges"], np.float64), np.array(data["counts"], np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"profile: edges and counts: expected lists of numbers ({error})") from None


def _finite(name: str, value: object) -> float:
    return number(f"profile: {name}", value, -LARGEST, LARGEST)
