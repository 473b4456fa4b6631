"""EWMA on scores ranked anew at every observation."""

import math

import numpy as np
from scipy import stats

from detectors.ewma import limit_of
from tests.naive._scores import scored_restarts


def twin(x, arl0, lambda_, warm_up):
    limit = limit_of(lambda_, 1.5 * arl0) * math.sqrt(lambda_ / (2 - lambda_))

    def first(scores):
        z = []
        for at, u in scores:
            z.append(stats.norm.ppf(u))
            weights = lambda_ * (1 - lambda_) ** np.arange(len(z))[::-1]
            statistic = abs(weights @ z)
            if statistic > limit:
                return at, statistic, limit
        return None

    return scored_restarts(x, warm_up, first)
