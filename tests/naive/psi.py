import math

import numpy as np
from scipy import stats

from tests.naive._shared import cuts, restart


def threshold(before, window, arl0):
    reference, bins = sum(before), len(before)
    counts = np.arange(window + 1)
    q = (counts + 0.5) / (window + 0.5 * bins)
    found = []
    for s in reference * window / (reference + window) * np.linspace(0.04, 0.5, 24):
        total = 0.0
        for seen in before:
            r = (seen + 0.5) / (reference + 0.5 * bins)
            log_chance = stats.nbinom.logpmf(counts, seen + 0.5, reference / (reference + window))
            total += np.logaddexp.reduce(log_chance + s * (q - r) * np.log(q / r))
        found.append((total + math.log(2 * arl0)) / s)
    return min(found)


def twin(x, arl0, reference, window, bins=None, categories=False):
    bins = bins or (20 if categories else 10)

    def place(values, keys):
        if categories:
            return np.array([np.sum(values == key) for key in keys] + [np.sum(~np.isin(values, keys))])
        return np.bincount(np.searchsorted(keys, values), minlength=len(keys) + 1)

    def first(x):
        if len(x) < reference:
            return None
        old = x[:reference]
        if categories:
            codes, sizes = np.unique(old, return_counts=True)
            keep = np.flatnonzero(sizes >= 5 * reference / window)
            keys = codes[sorted(sorted(keep, key=lambda i: (-sizes[i], i))[:bins])]
        else:
            keys = cuts(old, bins)
        before = place(old, keys)
        limit = threshold(before, window, arl0)
        r = (before + 0.5) / (reference + 0.5 * len(before))
        for n in range(reference + window, len(x) + 1):
            q = (place(x[n - window : n], keys) + 0.5) / (window + 0.5 * len(before))
            statistic = np.sum((q - r) * np.log(q / r))
            if statistic > limit:
                return n - 1, statistic, limit
        return None

    return restart(x, first)
