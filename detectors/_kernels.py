"""Compiled kernels that several detectors share; nothing compiles before its first call.

The scale of a signal is learned from a sample of its own: lo and hi enclose the bulk (5 % to 95 % quantile, widened by
half their distance on each side, but not beyond the extremes seen), and what lies outside is clipped. What follows is
independent of that sample, bounded by [0, 1], and so obeys Hoeffding's and Bernstein's bounds whatever its
distribution.
"""

import math

import numpy as np
from numba import njit

from detectors._base import Array, Floats

LEAF = 128  # values that are added one by one
HUGE = 1e120  # literature modes clip here: squares of larger values would overflow


@njit(cache=True)
def finite(x: float) -> bool:
    """Neither NaN nor infinite."""
    return math.isfinite(x)


@njit(cache=True)
def learn_scale(sample: Floats) -> tuple[float, float]:
    """The ends lo <= hi of the clipped range of a signal; equal if all of the sample is one value."""
    ordered = np.sort(sample)
    n = len(ordered)
    lowest, highest = ordered[0], ordered[n - 1]
    low, high = ordered[n // 20], ordered[n - 1 - n // 20]
    if low == high:
        return lowest, highest
    quarter = high / 4 - low / 4  # in halves, as sums of the whole may overflow
    lo, hi = low / 2 - quarter, high / 2 + quarter
    return lowest if lowest / 2 >= lo else 2 * lo, highest if highest / 2 <= hi else 2 * hi


@njit(cache=True)
def to_unit(x: float, lo: float, hi: float) -> float:
    """Where x lies in [lo, hi], clipped to [0, 1]; 0 if x = lo = hi."""
    if x <= lo:
        return 0.0
    if x >= hi:
        return 1.0
    span = hi / 2 - lo / 2
    if span <= 0.0:  # subnormal numbers
        return 0.5
    return min(1.0, (x / 2 - lo / 2) / span)


@njit(cache=True)
def upper_variance(variance: float, mean: float, n: float, log_inverse: float) -> float:
    """The variance that n values in [0, 1] exceed with probability at most exp(-log_inverse).

    Lower tail of the mean of (y - mu)^2 <= B^2, whose second moment is at most v B^2 (Maurer and Pontil 2009, with B):
    v - sqrt(2 v B^2 L / n) <= variance, solved for v.
    """
    reach = max(mean, 1.0 - mean)
    slack = reach * reach * log_inverse / (2.0 * n)
    root = math.sqrt(variance + slack) + math.sqrt(slack)
    return min(root * root, 0.25)


@njit(cache=True)
def locate(edges: Floats, k: int, x: float) -> int:
    """The bin of x: how many of the k sorted edges lie below it (bin j holds edges[j-1] < x <= edges[j])."""
    low, size = 0, k
    while size > 1:  # as many steps for every x, and no branch to guess wrong
        half = size >> 1
        low += half * (edges[low + half - 1] < x)
        size -= half
    return low + (k > 0 and edges[low] < x)


@njit(cache=True)
def locate_each(edges: Floats, k: int, x: Floats, bins: Array) -> None:
    """`locate` of many finite values, ten times as fast: steps of equal width, so fine that few hold two edges.

    Rounding keeps the order of values: the edges of lower steps lie below a value, those of higher ones do not.
    """
    steps = 8 * k
    width = (edges[k - 1] - edges[0]) / steps if k > 1 else 0.0
    if not (1e-300 < width < 1e300) or len(x) < steps:
        for i in range(len(x)):
            bins[i] = locate(edges, k, x[i])
        return
    scale, first, last = 1.0 / width, edges[0], float(steps)
    bounds, below = np.full(k + 1, math.inf), np.zeros(steps + 2, np.int64)  # how many edges lie in lower steps
    for j in range(k):
        bounds[j] = edges[j]
        below[int(min(max((edges[j] - first) * scale + 1.0, 0.0), last)) + 1] += 1
    for step in range(steps + 1):
        below[step + 1] += below[step]
    for i in range(len(x)):
        # unsigned places: an index that may count from the end costs a branch
        bin_ = below[np.uint64(min(max((x[i] - first) * scale + 1.0, 0.0), last))]
        bin_ += bounds[bin_] < x[i]  # no branch to guess wrong
        while bounds[bin_] < x[i]:
            bin_ += 1
        bins[i] = bin_


@njit(cache=True)
def at_ranks(x: Floats, ranks: Array) -> Floats:
    """The values at these places, in rising order, of x sorted: only where they lie it is sorted.

    The values are spread over as many steps of equal width; a twentieth of the time of a sort where these hold few
    each, and no more where some hold most.
    """
    n, low, high = len(x), math.inf, -math.inf
    for value in x:
        low, high = min(low, value), max(high, value)
    width = (high - low) / n
    if n < 64 or not (1e-300 < width < 1e300):
        return np.sort(x)[ranks]
    steps, ends, scale = np.empty(n, np.int64), np.zeros(n + 1, np.int64), 1.0 / width
    for i in range(n):
        steps[i] = min(n - 1, int((x[i] - low) * scale))
        ends[steps[i] + 1] += 1
    for step in range(n):
        ends[step + 1] += ends[step]
    spread = np.empty(n)
    for i in range(n):
        spread[ends[steps[i]]] = x[i]
        ends[steps[i]] += 1
    found, first, step, last = np.empty(len(ranks)), 0, 0, -1
    for i in range(len(ranks)):
        while ends[step] <= ranks[i]:
            first, step = ends[step], step + 1
        if step != last:
            spread[first : ends[step]] = np.sort(spread[first : ends[step]])
            last = step
        found[i] = spread[ranks[i]]
    return found


@njit(cache=True)
def equiprobable(sample: Floats, bins: int, edges: Floats) -> int:
    """Write the sample's quantiles at steps of 1 / bins into edges (room for 2 bins); how many are distinct.

    A value that takes a whole step, and the lowest, gets an edge right below it too: a change on either side shows.
    """
    ranks = np.arange(bins + 1) * len(sample) // bins - 1
    quantiles = at_ranks(sample, np.maximum(ranks, 0)) + 0.0  # of the two zeros always the same
    last, found = -math.inf, 0
    for j in range(1, bins):
        value = quantiles[j]
        heavy = value in (quantiles[0], quantiles[j + 1])
        if value == last:
            continue
        below = np.nextafter(value, -math.inf)
        if heavy and below > last:
            edges[found] = below
            found += 1
        edges[found] = value
        found += 1
        last = value
    return found


@njit(cache=True)
def _sum_of_few(x: Floats) -> float:
    """The sum of at most LEAF values, eight partial sums abreast."""
    whole = len(x) - len(x) % 8
    total = 0.0
    if whole:
        a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(0, whole, 8):
            a, b, c, d = a + x[i], b + x[i + 1], c + x[i + 2], d + x[i + 3]
            e, f, g, h = e + x[i + 4], f + x[i + 5], g + x[i + 6], h + x[i + 7]
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for value in x[whole:]:
        total += value
    return total


@njit(cache=True)
def ring_sum(ring: Floats, first: int, n: int) -> float:
    """The sum of n values of a ring from a place on, halves first (pairwise), which rounds as `np.sum` does."""
    if n > LEAF:
        half = n // 2 - n // 2 % 8
        return ring_sum(ring, first, half) + ring_sum(ring, (first + half) % len(ring), n - half)
    if first + n <= len(ring):
        return _sum_of_few(ring[first : first + n])
    few = np.empty(n)
    for i in range(n):
        few[i] = ring[(first + i) % len(ring)]
    return _sum_of_few(few)


@njit(cache=True)
def ring_mean(ring: Floats, first: int, n: int) -> float:
    """`mean_of` n values of a ring from a place on; NaN where that would be a sum too large."""
    beyond = False  # without a branch, so that many are compared at once
    for value in ring[first : first + n]:
        beyond |= abs(value) > 1e150
    for value in ring[: max(0, first + n - len(ring))]:
        beyond |= abs(value) > 1e150
    return ring_sum(ring, first, n) / n if not beyond else math.nan


@njit(cache=True)
def bin_counts(sample: Floats, edges: Floats, k: int, counts: Array) -> None:
    """Count the sample into the k + 1 bins."""
    counts[: k + 1] = 0
    for x in sample:
        counts[locate(edges, k, x)] += 1


@njit(cache=True)
def random_unit(counter: int) -> float:
    """A number in (0, 1) that looks random: splitmix64 of the counter (Steele, Lea and Flood 2014)."""
    z = np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (float(z >> np.uint64(12)) + 0.5) * 2.0**-52
