"""Two samples of one column: whether they differ beyond chance, and by how much on a scale from 0 to 1.

P-values are upper bounds that hold at any sample size, with ties and with rare values, and are kept as log10, so that
extreme ones can be ranked. They take rows as independent; rows of one day or one aircraft are not, and then a p-value
overstates the evidence (of all columns alike). The effect does not grow with the number of rows: rank by it.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from scipy.special import gammaln

from stream_app.messages import Floats, Ints

BEYOND_DOUBT = -30.0  # log10 of a p-value from which no other test is asked
NOT_EVIDENT = 6.0  # squared standard errors within which a mean is not worth a closer look
LOG_10 = float(np.log(10))
Z = 1.959964  # of a 95 % interval
LARGEST_GAP = 1.39  # the largest of many gaps is too large by chance: Kolmogorov's 1.358 where a single one has Z / 2
STEEPEST = 500.0  # exponent of Chernoff's bound: any will do, as long as it does not overflow
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """How two samples differ: log10 of the p-value, effect in [0, 1] and its 95 % interval."""

    log10_p: float = 0.0
    effect: float = 0.0
    interval: Interval = (0.0, 1.0)


def rates(before: int, n_before: int, after: int, n_after: int) -> Difference:
    """The share of marked rows: exact test (Fisher), difference of the shares."""
    if not (n_before and n_after):
        return Difference()
    log10_p = _share_log10_p(np.array([before]), n_before, np.array([after]), n_after)[0]
    return Difference(float(log10_p), *_step(before, n_before, after, n_after))


def numbers(before: Floats, after: Floats) -> Difference:
    """Sorted numbers: effect is the Kolmogorov-Smirnov distance, the largest gap of the distribution functions.

    The p-value is the least of three, times three: that of the distance (Dvoretzky-Kiefer-Wolfowitz with the constant
    e for two samples: Wei, Dudley 2012), of the mean rank, which sees a shift, and of the mean distance from the median
    rank, which sees a spread (Chernoff's bound).
    """
    n, m = len(before), len(after)
    if not (n and m):
        return Difference()
    below, below_after, *sums = _merge(before, after)
    gap = below_after / m - below / n
    log10_p = min(0.0, float(np.log(3) + 1 - 2 * gap**2 * n * m / (n + m)) / LOG_10)
    effect, (low, high) = _step(below, n, below_after, m)
    difference = Difference(log10_p, effect, (max(0.0, effect - LARGEST_GAP * (effect - low)), high))
    if log10_p < BEYOND_DOUBT or not _worth_a_look(min(n, m), n + m, *sums):
        return difference
    few, pooled = before if n < m else after, np.sort(np.concatenate([before, after]))
    first, last = np.searchsorted(pooled, pooled, "left"), np.searchsorted(pooled, pooled, "right")
    rank = (first + last) / (2 * len(pooled)) - 0.5
    of_few = np.searchsorted(pooled, few, "left")
    log_shift = _mean_log_p(rank, rank[of_few])
    log_spread = _mean_log_p(np.abs(rank), np.abs(rank[of_few]))
    return replace(difference, log10_p=min(log10_p, float(np.log(3) + min(log_shift, log_spread)) / LOG_10))


@njit(cache=True)
def _merge(before: Floats, after: Floats) -> tuple[int, int, float, float, float, float]:
    """Of two sorted samples: counts up to the largest gap of the distribution functions; sums of ranks r, -.5 to .5.

    Those of r and |r| over the smaller sample, of |r| and r^2 over both.
    """
    n, m = len(before), len(after)
    i = j = below = below_after = 0
    widest = of_few = size_of_few = sizes = squares = 0.0
    while i < n or j < m:
        value = before[i] if j >= m or (i < n and before[i] <= after[j]) else after[j]
        first, first_after = i, j
        while i < n and before[i] == value:
            i += 1
        while j < m and after[j] == value:
            j += 1
        rank = (first + first_after + i + j) / (2 * (n + m)) - 0.5
        few, both = (i - first) if n < m else (j - first_after), i - first + j - first_after
        of_few, size_of_few = of_few + few * rank, size_of_few + few * abs(rank)
        sizes, squares = sizes + both * abs(rank), squares + both * rank * rank
        gap = abs(j / m - i / n)
        if gap > widest:
            widest, below, below_after = gap, i, j
    return below, below_after, of_few, size_of_few, sizes, squares


def _worth_a_look(few: int, total: int, of_few: float, size_of_few: float, sizes: float, squares: float) -> bool:
    """Whether the mean rank of the smaller sample, or its distance from the middle, is beyond a few standard errors."""
    shift, spread = of_few / few, size_of_few / few - sizes / total
    variance, variance_of_size = squares / total, squares / total - (sizes / total) ** 2
    return shift * shift * few > NOT_EVIDENT * variance or spread * spread * few > NOT_EVIDENT * variance_of_size


def shares(before: Ints, after: Ints) -> tuple[Difference, Floats]:
    """Counts by category: effect is the total variation, less what chance alone adds; and log10 p of each category.

    The p-value is that of the category with the strongest evidence, times the number of categories.
    """
    n, m = int(before.sum()), int(after.sum())
    if not (n and m):
        return Difference(), np.zeros(len(before))
    each = _share_log10_p(before, n, after, m)
    kinds = np.count_nonzero(before + after)
    p, q = before / n, after / m
    together = (before + after) / (n + m)
    noise = together * (1 - together) * (1 / n + 1 / m)
    by_chance = (np.abs(q - p) - np.sqrt(np.maximum(0, (q - p) ** 2 - noise))).sum() / 2
    more = q > p
    raw, (low, high) = _step(int(before[more].sum()), n, int(after[more].sum()), m)
    effect = max(0.0, float(raw - by_chance))
    interval = (max(0.0, float(low - by_chance)), max(0.0, float(high - by_chance)))
    return Difference(min(0.0, float(each.min() + np.log10(kinds))), effect, interval), each


def _share_log10_p(before: Ints, n: int, after: Ints, m: int) -> Floats:
    """For each pair of counts: log10 of the two-sided p-value of Fisher's exact test, bounded from above.

    The tail of a hypergeometric distribution falls faster than the geometric series with the ratio of its first terms.
    """
    rises = after / m >= before / n
    x, drawn = np.where(rises, after, before).astype(float), np.where(rises, m, n).astype(float)
    marked, total = (before + after).astype(float), float(n + m)
    plain = total - marked
    first = _log_choose(marked, x) + _log_choose(plain, drawn - x) - _log_choose(np.full_like(x, total), drawn)
    ratio = (marked - x) * (drawn - x) / ((x + 1) * (plain - drawn + x + 1))
    tail = np.where(ratio < 1, first - np.log1p(-np.minimum(ratio, 1 - 1e-9)), 0.0)
    log10_p: Floats = np.minimum(0.0, (np.log(2) + tail) / LOG_10)
    return log10_p


def _log_choose(n: Floats, k: Floats) -> Floats:
    found: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return found


def _mean_log_p(scores: Floats, of_few: Floats) -> float:
    """Log of the two-sided p-value of the mean of `of_few`, drawn from `scores`: Chernoff's bound at a good exponent.

    It holds for drawing with replacement, so for drawing without (Hoeffding 1963); that this makes the mean vary less
    is put in as for a normal distribution.
    """
    n, total = len(of_few), len(scores)
    off = of_few.mean() - scores.mean()
    variance = scores.var()
    if off * off * n <= NOT_EVIDENT * variance:
        return 0.0
    centred = (scores - scores.mean()) * np.sign(off)
    exponent = min(abs(off) / variance, STEEPEST)
    best = 0.0
    for _ in range(3):
        weights = np.exp(exponent * centred)
        mass = weights.mean()
        best = max(best, exponent * abs(off) - np.log(mass))
        tilted = (weights * centred).mean() / mass
        curvature = (weights * centred**2).mean() / mass - tilted**2
        exponent += (abs(off) - tilted) / max(curvature, 0.1 * variance)
        if not 0 < exponent < STEEPEST:
            break
    return float(np.log(2) - n * best / (1 - (n - 1) / total))


def _step(before: int, n: int, after: int, m: int) -> tuple[float, Interval]:
    """Difference of two shares, as a size, and its 95 % interval (Agresti, Caffo 2000)."""
    p, q = (before + 1) / (n + 2), (after + 1) / (m + 2)
    size = abs(after / m - before / n)
    half = Z * float(np.sqrt(p * (1 - p) / (n + 2) + q * (1 - q) / (m + 2)))
    return float(size), (max(0.0, float(size - half)), min(1.0, float(size + half)))
