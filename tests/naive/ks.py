import math

import numpy as np

from tests.naive._shared import cuts, restart


def twin(x, arl0, reference, window, bins=64, rolling=False):
    limit = math.sqrt((1 + math.log(2 * arl0)) * (reference + window) / (2 * reference * window))

    def first(x):
        room = reference + window
        for n in range(room, len(x) + 1):
            if n == room:
                edges = cuts(x[:reference], bins)
            old = x[n - room : n - window] if rolling else x[:reference]
            if rolling and n > room and (n - room) % (4 * reference) == 0:
                edges = cuts(old, bins)
            new = x[n - window : n]
            statistic = max(abs(np.mean(old <= edge) - np.mean(new <= edge)) for edge in edges)
            if statistic > limit:
                return n - 1, statistic, limit
        return None

    return restart(x, first)
