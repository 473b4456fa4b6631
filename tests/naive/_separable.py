"""The machine of psi, js, hellinger, chi2 and g_test, slow and obvious; each gives its own formula.

`terms(q, r, w=, least=)`: what the bins add, for shares q recently and r before, w the window's part of both together;
`shown(sum, even=)`: the statistic, even = R W / (R + W); `scale * even` makes the sum a chi-square.
"""

import functools
import math

import numpy as np
from scipy import signal, stats

from tests.naive._shared import cuts, restart

MASK = 2**64 - 1
GRID = 2048


@functools.cache
def hashed(code, groups):
    """One of `groups`, by splitmix64 of the bits of the code."""
    z = int(np.array(code).view(np.uint64)) * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return int(groups * (((z ^ z >> 31) >> 11) + 0.5) / 2**53)


def binning(sample, bins, window, categories):
    """How to count values into bins chosen from a sample."""
    if not categories:
        keys = cuts(sample, bins)
        return lambda values: np.bincount(np.searchsorted(keys, values), minlength=len(keys) + 1)
    codes, sizes = np.unique(sample, return_counts=True)
    least = 5 * len(sample) / window
    frequent = sorted(np.flatnonzero(sizes >= least), key=lambda i: (-sizes[i], i))[:bins]
    keys = codes[sorted(frequent)]
    groups = max(1, min(bins - len(keys), int((len(sample) - sizes[frequent].sum()) / least)))

    def count(values):
        others = np.bincount([hashed(v, groups) for v in values if v not in keys], minlength=groups)
        return np.array([*(np.sum(values == key) for key in keys), *others])

    return count


def limit(before, window, arl0, terms, scale, pseudo, least):
    """Where the tail of the sum's null law, corrected, is that of one clump of alarms in 2 arl0 observations."""
    total, bins = sum(before), len(before)
    units = scale * total * window / (total + window)
    counts = np.arange(window + 1)
    q = (counts + pseudo) / (window + pseudo * bins)
    reach = bins + 2 * math.sqrt(bins * math.log(arl0)) + 2 * math.log(arl0)
    while True:
        step = reach / GRID
        law = np.eye(1, GRID + 1)[0]
        for seen in before:
            r = (seen + pseudo) / (total + pseudo * bins)
            at = units * terms(q, np.full(len(q), r), w=window / (total + window), least=least) / step
            chance = stats.nbinom.pmf(counts, seen + 0.5, total / (total + window))
            chance[chance < 1e-22] = 0
            one = np.zeros(GRID + 2)
            j = np.minimum(at, GRID).astype(int)
            part = np.where(at < GRID, at - j, 0)
            np.add.at(one, j, chance * (1 - part))
            np.add.at(one, j + 1, chance * part)
            both = signal.convolve(one[:-1], law, method="direct")
            law = np.append(both[:GRID], both[GRID:].sum())
        tail = np.append(np.cumsum(law[::-1])[::-1], 0)

        def rate(j, tail=tail, step=step):
            at, span = j * step, int((2 + 0.1 * j * step) / step)
            low, high = max(1, j - span), min(GRID, j + span)
            slope = math.log(tail[low] / tail[high]) / ((high - low) * step)
            return tail[j] * math.sqrt(max(1 - 2 * slope, 1 / at)) * min(1, 4 * slope**2 * at / min(total, window))

        j = GRID
        while j > 1 and rate(j) * 2 * arl0 < 1:
            j -= 1
        if j < GRID:
            return (j + 1) * step / units
        reach *= 2


def stretches(n, reference, window, rolling):
    """Of the first n observations: the ends of the reference, and of the sample that its edges come from."""
    if not rolling:
        return (0, reference), (0, min(reference, max(window, 1024)))
    size = reference // 8
    sample = min(8 * size, max(window, 1024))
    room = max(window, sample)
    blocks = max(8, (n - window) // size)
    turn = blocks // 8  # edges take over at every 8th block, having been chosen 8 blocks before
    chosen = sample if turn == 1 else 8 * size * (turn - 1) + (window if turn > 2 else 0)
    return (size * (blocks - 8), size * blocks), (max(0, chosen - room), chosen)


def run(x, arl0, reference, window, bins, *, terms, shown, categories=False, rolling=False, scale=1, pseudo=0, floor=0):
    bins = bins or (20 if categories else 10)
    least = floor / window

    def first(x):
        known = {}
        start = 8 * (reference // 8) if rolling else reference
        for n in range(start + window, len(x) + 1):
            (low, high), sample = stretches(n, reference, window, rolling)
            count = binning(x[slice(*sample)], bins, window, categories)
            before = count(x[low:high])
            turn = high // start  # of a rolling reference: the limit is made anew with the edges
            if turn not in known:
                known[turn] = limit(before, window, arl0, terms, scale, pseudo, least)
            total, recent = high - low, count(x[n - window : n])
            r = (before + pseudo) / (total + pseudo * len(before))
            q = (recent + pseudo) / (window + pseudo * len(before))
            statistic = np.sum(terms(q, r, w=window / (total + window), least=least))
            if statistic > known[turn]:
                even = total * window / (total + window)
                return n - 1, shown(statistic, even=even), shown(known[turn], even=even)
        return None

    return restart(x, first)
