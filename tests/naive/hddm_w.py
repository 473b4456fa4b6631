"""HDDM_W: the weighted mean from its weights."""

import math

import numpy as np

from tests.naive._bounded import exponent
from tests.naive._shared import restart, scale, unit, variance_bound


def twin(x, arl0, warm_up):
    limit = max(4, math.log(1.5 * 0.15 * arl0))

    def first(x):
        y = np.array([unit(value, *scale(x, warm_up)) for value in x[warm_up:]])
        weights = np.ones(0)
        for n in range(1, len(y) + 1):
            newest = max(0.02, 1 / n)
            weights = np.append((1 - newest) * weights, newest)
            mean, off = np.mean(y[:n]), np.sum(weights * y[:n]) - np.mean(y[:n])
            if n < 100:
                continue
            spread = np.sum((weights - 1 / n) ** 2)
            k = exponent(abs(off), variance_bound(y[:n], 0.5), 1 - mean if off > 0 else mean)
            if k / spread > limit:
                return warm_up + n - 1, k / spread, limit
        return None

    return restart(x, first)
