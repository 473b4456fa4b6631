"""Kolmogorov-Smirnov against a reference, every distance computed anew."""

import math

import numpy as np

from tests.naive._windows import compare


def twin(x, arl0, reference, window, bins=64):
    every = max(1, window // 32)
    limit = math.sqrt((1 + math.log(2 * arl0 / every)) * (reference + window) / (2 * reference * window))

    def test(_old, _edges, _below):
        return lambda off: np.max(np.abs(off)), limit

    return compare(x, reference, window, bins, test)
