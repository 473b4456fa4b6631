"""DDM on the root scale, every level kept."""

import math

import numpy as np

from tests.naive._shared import restart


def twin(x, arl0):
    def first(x):
        x = np.clip(x, 0, 1)
        levels = {}
        for n in range(101, len(x) + 1):
            errors = x[:n].sum()
            if not levels and min(errors, n - errors) < 30:
                continue
            rate = 2 * math.asin(math.sqrt(errors / n))
            levels[n] = rate
            at = min(levels, key=lambda i: (levels[i] + 1 / math.sqrt(i), -i))
            statistic = (rate + 1 / math.sqrt(n) - levels[at]) * math.sqrt(at)
            limit = math.sqrt(max(1, 1 - 2 * math.log(n / (3 * 1.5 * arl0))))
            if statistic > limit:
                return n - 1, statistic, limit
        return None

    return restart(x, first)
