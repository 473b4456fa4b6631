"""CUSUM on scores ranked anew at every observation."""

import itertools

from scipy import stats

from detectors.cusum import limit_of
from tests.naive._scores import scored_restarts


def twin(x, arl0, k, warm_up, direction):
    """The sum's distance from its lowest (highest) point so far is the CUSUM."""
    sides = {"both": (1, -1), "up": (1,), "down": (-1,)}[direction]
    h = limit_of(k, 1.5 * arl0 * len(sides) / 2)

    def first(scores):
        z = []
        for at, u in scores:
            z.append(stats.norm.ppf(u))
            sums = ([0, *itertools.accumulate(side * v - k for v in z)] for side in sides)
            statistic = max(one[-1] - min(one) for one in sums)
            if statistic > h:
                return at, statistic, h
        return None

    return scored_restarts(x, warm_up, first)
