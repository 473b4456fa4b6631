"""Cramer-von Mises against a reference, recomputed at every test."""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from tests.naive._windows import compare


def quantile(eigenvalues, chance):
    """What a weighted sum of squared normals exceeds with that chance, by Lugannani and Rice."""

    def slope(s):
        return np.sum(eigenvalues / (1 - 2 * s * eigenvalues))

    def excess(s):
        cumulant = -0.5 * np.sum(np.log(1 - 2 * s * eigenvalues))
        curve = 2 * np.sum((eigenvalues / (1 - 2 * s * eigenvalues)) ** 2)
        w = math.sqrt(2 * (s * slope(s) - cumulant))
        return math.log((norm.sf(w) + norm.pdf(w) * (1 / (s * math.sqrt(curve)) - 1 / w)) / chance)

    pole = 0.5 / np.max(eigenvalues)
    return slope(brentq(excess, 0.05 * pole, 0.997 * pole, xtol=1e-15 * pole, rtol=1e-15))


def twin(x, arl0, reference, window, bins=64):
    chance = max(1, window // 32) / arl0

    def test(_old, _edges, below):
        shares = np.diff(np.r_[0, below, 1])
        weights = (shares[1:] + shares[:-1]) / 2
        least = min(0.5, -2 * math.log(chance) * (1 / reference + 1 / window))
        t = np.clip(below, least, 1 - least)
        bridge = np.minimum.outer(t, t) - np.outer(t, t)
        eigenvalues = np.linalg.eigvalsh(bridge * np.sqrt(np.outer(weights, weights)))
        square = quantile(eigenvalues, chance) * (1 / reference + 1 / window)
        return lambda off: math.sqrt(np.sum(weights * off**2)), math.sqrt(square)

    return compare(x, reference, window, bins, test)
