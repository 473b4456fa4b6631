"""ECDD with arl0, recomputed from the whole stream at every answer."""

import functools
import math

import numpy as np
from scipy.optimize import brentq

from detectors._errors import LEVELS
from detectors.ecdd import LOG_RUN_LENGTHS
from tests.naive._shared import restart


def exponent(arl0, table):
    wanted = math.log(1.5 * arl0)
    if wanted > table[-1]:
        last = LEVELS[len(table) - 1]
        return last + wanted - table[-1] + 1.5 * math.log((last + wanted - table[-1]) / last)
    return np.interp(wanted, table, LEVELS[: len(table)])


def chernoff(weights, p, level):
    """Where the exponent of P(sum of weights x > z) is the level, x independent with rate p."""

    def tilted(log_s):
        s = math.exp(log_s)
        log_moments = np.logaddexp(math.log(1 - p), math.log(p) + s * weights)
        mean = np.sum(weights * np.exp(math.log(p) + s * weights - log_moments))
        return mean, s * mean - np.sum(log_moments)

    root = brentq(lambda log_s: tilted(log_s)[1] - level, -5, 12, xtol=1e-13)
    return tilted(root)[0]


def interpolated(weights, level):
    """The limit at a rate: linear in its root between (i / 128)^2; at the ends that of the next, and 1."""
    node = functools.cache(lambda i: chernoff(weights, (max(1, i) / 128) ** 2, level) if i < 127 else 1.0)

    def limit(rate):
        place = math.sqrt(rate) * 128
        i = int(place)
        return node(i) + (place - i) * (node(i + 1) - node(i))

    return limit


def twin(x, arl0, memory):
    weights = (1 - 1 / memory) ** np.arange(10 * memory) / memory
    limit_at = interpolated(weights, exponent(200 / memory * arl0, LOG_RUN_LENGTHS))

    def first(x):
        x = np.clip(x, 0, 1)
        for n in range(1, len(x) + 1):
            recent = x[:n][::-1]
            average = np.sum((1 - 1 / memory) ** np.arange(n) / memory * recent)
            limit = limit_at(x[:n].mean())
            if average > limit:
                return n - 1, average, limit
        return None

    return restart(x, first)
