"""The twins of ks, cvm and wasserstein differ in the distance and its limit."""

import numpy as np

from tests.naive._shared import cuts, restart


def compare(x, reference, window, bins, test):
    """test(old, edges, below) gives the norm of a difference of distribution functions and its limit."""

    def first(x):
        if len(x) < reference:
            return None
        old = x[:reference]
        edges = cuts(x[: min(reference, max(window, 1024))], bins)
        below = np.array([np.mean(old <= edge) for edge in edges])
        norm, limit = test(old, edges, below)
        for n in range(reference + window, len(x) + 1):
            if n % max(1, window // 32) == 0:
                statistic = norm(np.array([np.mean(x[n - window : n] <= edge) for edge in edges]) - below)
                if statistic > limit:
                    return n - 1, statistic, limit
        return None

    return restart(x, first)
