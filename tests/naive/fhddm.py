"""FHDDM with arl0, recomputed from the whole stream at every answer."""

import numpy as np

from detectors.fhddm import LOG_RUN_LENGTHS
from tests.naive._shared import restart
from tests.naive.ecdd import exponent, interpolated


def twin(x, arl0, window):
    weights = np.repeat([1.0, -1.0], window) / window
    limit_at = interpolated(weights, exponent(arl0 * 500 / window, LOG_RUN_LENGTHS))
    memory = 40 * window

    def first(x):
        x = np.clip(x, 0, 1)
        means = []
        for n in range(window, len(x) + 1):
            means.append(x[n - window : n].mean())
            oldest = max(0, ((n - window) // memory - 1) * memory - 1)
            rise = means[-1] - min(means[oldest:])
            limit = limit_at(x[:n].mean())
            if rise > limit:
                return n - 1, rise, limit
        return None

    return restart(x, first)
