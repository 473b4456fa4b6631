"""STEPD: every test by scipy."""

import math

import numpy as np
from scipy.stats import hypergeom

from tests.naive._shared import restart


def twin(x, arl0, window):
    every = window // 20
    limit = math.log(4 * arl0 / every)

    def first(x):
        errors = np.asarray(x) >= 0.5
        for n in range(2 * window, len(errors) + 1):
            if n % every:
                continue
            count = hypergeom(n, errors[:n].sum(), window)
            recent = errors[n - window : n].sum()
            statistic = -math.log(min(count.sf(recent - 1), count.cdf(recent)))
            if statistic > limit:
                return n - 1, statistic, limit
        return None

    return restart(x, first)
