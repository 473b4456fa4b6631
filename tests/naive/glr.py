"""The likelihood ratio at every split, from sums over the whole stream of scores."""

import numpy as np
from scipy import stats

from detectors.glr import limit_of
from tests.naive._scores import scored_restarts


def lags(n):
    """How many scores back the splits lie that are looked at after n scores."""
    found = [lag for lag in range(1, 33) if lag <= n]
    step = 2
    while n % step == 0:
        found += [step * far for far in range(17, 33) if step * far <= n]
        step *= 2
    return np.array(found)


def twin(x, arl0, warm_up, direction):
    h = limit_of(1.5 * arl0, 4 if direction == "both" else 1)
    sign = {"both": 0, "up": 1, "down": -1}[direction]

    def first(scores):
        u = []
        for at, value in scores:
            u.append(value)
            back = lags(len(u))
            discount = 1.5 * np.log(np.minimum(back, (1.5 * arl0) ** 0.5))
            both = np.array(u), np.abs(2 * np.array(u) - 1)
            sums = [np.cumsum(stats.norm.ppf(v)[::-1])[back - 1] for v in both]
            if sign:
                sums = [np.maximum(0, sign * sums[0])]
            statistic = max((total**2 / (2 * back) + discount).max() for total in sums)
            if statistic > h:
                return at, statistic, h
        return None

    return scored_restarts(x, warm_up, first)
