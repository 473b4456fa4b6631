"""Wasserstein distance against a reference, recomputed at every test."""

import math

import numpy as np
from scipy.optimize import minimize_scalar

from tests.naive._windows import compare


def places(old, edges):
    """Where the values of each bin are taken to lie, in [0, 1]."""
    reach = (edges[-1] - edges[0]) / 8 if len(edges) > 2 else math.inf
    first = min(edges[0], max(min(old), edges[0] - reach))
    last = max(edges[-1], min(max(old), edges[-1] + reach))
    return (np.r_[first, (edges[1:] + edges[:-1]) / 2, last] - first) / (last - first)


def twin(x, arl0, reference, window, bins=64):
    level = math.log(arl0 / max(1, window // 32))
    level += math.log(4) - 0.5 * math.log(4 * math.pi * level)

    def test(old, edges, below):
        at = places(old, edges)
        counts = np.diff(np.r_[0, below, 1]) * reference
        off = at - counts @ at / reference
        square = (counts + 0.5) @ at**2 / reference - (counts @ at / reference) ** 2
        normal = math.sqrt(2 * level / (1 / window + 1 / reference) / square)

        def limit(side):
            def bound(log_s):
                s = math.exp(log_s)
                grown = window / reference * np.expm1(side * s / window * off)
                return (level - (counts + 0.5) @ np.log(1 - grown)) / s if np.max(grown) < 1 else math.inf

            grid = np.linspace(math.log(normal / 5), math.log(normal * 5), 200)
            best = int(np.argmin([bound(value) for value in grid]))
            ends = grid[max(0, best - 1)], grid[min(199, best + 1)]
            return minimize_scalar(bound, bounds=ends, method="bounded").fun

        return lambda off: np.sum(np.diff(at) * np.abs(off)), max(limit(1), limit(-1))

    return compare(x, reference, window, bins, test)
