"""RDDM with arl0, recomputed from the whole stream at every answer."""

import math

import numpy as np

from tests.naive._shared import restart


def twin(x, arl0, memory):
    def first(x):
        x = np.clip(x, 0, 1)
        start, tested = 0, 0
        while start + tested < len(x):
            part = x[start : start + 6 * memory]
            n = np.arange(1, len(part) + 1)
            errors = np.cumsum(part)
            rates, scales = 2 * np.arcsin(np.sqrt(errors / n)), 1 / np.sqrt(n)
            enough = (n > 100) & (np.minimum(errors, n - errors) >= 30)
            begin = np.argmax(enough) if enough.any() else len(part)
            for i in range(max(begin, tested), len(part)):
                lowest = begin + np.argmin((rates + scales)[begin : i + 1])
                statistic = (rates[i] + scales[i] - rates[lowest]) / scales[lowest]
                limit = math.sqrt(max(1, 1 - 2 * math.log((i + 1) / (3 * 1.5 * arl0))))
                if statistic > limit:
                    return start + i, statistic, limit
            start, tested = start + len(part) - memory, memory
        return None

    return restart(x, first)
