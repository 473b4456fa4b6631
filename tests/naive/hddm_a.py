"""HDDM_A: every mean and every split anew."""

import math

import numpy as np

from tests.naive._bounded import split_exponent
from tests.naive._shared import restart, scale, unit


def twin(x, arl0, warm_up):
    def first(x):
        y = np.array([unit(value, *scale(x, warm_up)) for value in x[warm_up:]])
        splits = {1: None, -1: None}
        for n in range(1, len(y) + 1):
            mean, deviation = np.mean(y[:n]), np.std(y[:n])
            limit = max(4, math.log(1.5 * 300 * arl0 / min(max(n, 100), 2000)))
            for side, at in splits.items():
                moved = side * mean + deviation / math.sqrt(n)
                if at is None or n - at > 2000 or side * np.mean(y[:at]) + deviation / math.sqrt(at) >= moved - 1e-15:
                    splits[side] = n
            for side, at in splits.items():
                if n >= 100 and at < n and side * (np.mean(y[at:n]) - np.mean(y[:at])) > 0:
                    statistic = split_exponent(y[:at], y[at:n])
                    if statistic >= limit:
                        return warm_up + n - 1, statistic, limit
        return None

    return restart(x, first)
