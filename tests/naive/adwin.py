"""ADWIN with arl0, every window kept whole."""

import math

import numpy as np

from tests.naive._shared import restart, scale, unit, variance_bound


def twin(x, arl0, warm_up, clock=32, room=5):
    def first(x):
        lo, hi = scale(x, warm_up)
        window, sizes = [], []  # sizes of buckets, oldest first
        for at in range(warm_up, len(x)):
            window.append(unit(x[at], lo, hi))
            sizes.append(1)
            size = 1
            while sizes.count(size) > room:
                oldest = sizes.index(size)
                sizes[oldest : oldest + 2] = [2 * size]
                size *= 2
            n = len(window)
            if n % clock or n <= 10:
                continue
            y = np.array(window)
            log_term = math.log(2 * len(sizes) * 2 * arl0 / (0.999**2 * clock))
            v = variance_bound(y, math.log((math.log2(n) + 1) ** 2 * 2 / 0.001))
            best = (0, 0.0, 0.0)
            for n0 in np.cumsum(sizes)[:-1]:
                n1 = n - n0
                if min(n0, n1) < 5:
                    continue
                third = log_term / (3 * min(n0, n1))
                bound = third + math.sqrt(third**2 + 2 * v * log_term * (1 / n0 + 1 / n1))
                off = abs(y[:n0].mean() - y[n0:].mean())
                best = max(best, (off / bound, off, bound))
            if best[1] > best[2]:
                return at, best[1], best[2]
        return None

    return restart(x, first)
