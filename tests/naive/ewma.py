"""EWMA on scores ranked anew at every observation."""

import math

import numpy as np
from scipy import stats

from detectors.ewma import limit_of
from tests.naive._scores import scored_restarts


def twin(x, arl0, lambda_, warm_up, direction):
    limit = limit_of(lambda_, 1.5 * arl0, one_sided=direction != "both") * math.sqrt(lambda_ / (2 - lambda_))
    sign = -1 if direction == "down" else 1

    def first(scores):
        z = []
        for at, u in scores:
            z.append(sign * stats.norm.ppf(u))
            weights = lambda_ * (1 - lambda_) ** np.arange(len(z))
            averages = np.cumsum(weights * z[::-1])  # of the newest 1, 2, ... alone
            statistic = abs(averages[-1]) if direction == "both" else max(0, averages.max())
            if statistic > limit:
                return at, statistic, limit
        return None

    return scored_restarts(x, warm_up, first)
