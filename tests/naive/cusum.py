"""CUSUM on scores ranked anew at every observation."""

import itertools

from scipy import stats

from detectors.cusum import limit_of
from tests.naive._scores import scored_restarts


def twin(x, arl0, k, warm_up):
    """The sum's distance from its lowest (highest) point so far is the CUSUM."""
    h = limit_of(k, 1.5 * arl0)

    def first(scores):
        z = []
        for at, u in scores:
            z.append(stats.norm.ppf(u))
            rises, falls = ([0, *itertools.accumulate(side * v - k for v in z)] for side in (1, -1))
            statistic = max(rises[-1] - min(rises), falls[-1] - min(falls))
            if statistic > h:
                return at, statistic, h
        return None

    return scored_restarts(x, warm_up, first)
