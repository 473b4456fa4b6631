"""The change-point model: every split of all ranks, recomputed at every test."""

import bisect
import math

import numpy as np

from detectors._kernels import random_unit
from detectors.rank import limit_of
from tests.naive._shared import restart

LONGEST, SPLITS = 8192, 16


def scores(x, warm_up, before):
    """The rank of each observation among all earlier ones in [0, 1], NaN where there is none."""
    s = sorted(x[:warm_up])
    steps = [s[j * (len(s) - 1) // 63] for j in range(64)]
    edges = sorted(set(steps))
    cells = [2 * bisect.bisect_left(edges, value) + (value in edges) for value in x]
    found = []
    for n in range(warm_up, len(x)):
        if len(set(x[:n])) == 1:
            continue
        below = sum(cell < cells[n] for cell in cells[:n])
        same = sum(cell == cells[n] for cell in cells[:n])
        found.append((n, (below + random_unit(before + n + 1) * (same + 1)) / (n + 1)))
    return found


def parts(u, statistic):
    if statistic == "cvm":
        return np.array([math.sqrt(2) * math.cos(j * math.pi * u) / j for j in range(1, 5)])
    wilcoxon, mood = math.sqrt(12) * (u - 0.5), math.sqrt(5) * (6 * u * u - 6 * u + 1)
    return np.array([wilcoxon, mood] if statistic == "lepage" else [wilcoxon])


def splits(t):
    """After how many of t scores the split may lie."""
    found, level = [], 0
    while SPLITS << level <= LONGEST and t % 2 ** max(0, level - 3) == 0:
        size = 1 << level
        newest = (t - 1) // size
        nearest = newest - (SPLITS // 2 if level else 0)
        found += [i * size for i in range(max(1, newest - SPLITS + 1), nearest + 1)]
        level += 1
    return found


def twin(x, arl0, warm_up, statistic="lepage"):
    limit = limit_of(statistic, arl0)

    def value(off, m):
        square = off @ off
        if statistic == "lepage" and square > 0:
            third = 3 * off[0] ** 2 * off[1] * 2 / math.sqrt(5) + off[1] ** 3 * 2 * math.sqrt(5) / 7
            return square / (m + third / (3 * square))
        return square / m

    def first(rest):
        sums = [np.zeros(len(parts(0.5, statistic)))]
        for t, (n, u) in enumerate(scores(rest, warm_up, len(x) - len(rest)), 1):
            sums.append(sums[-1] + parts(u, statistic))
            top = max((value(sums[-1] - sums[i], t - i) for i in splits(t)), default=0)
            if top > limit:
                return n, top, limit
        return None

    return restart(x, first)
