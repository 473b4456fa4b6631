"""What several twins need."""

import itertools
import math

import numpy as np


def scale(x, warm_up):
    """The clipped range of a signal; if it starts constant, up to its first other value."""
    if len(x) < warm_up:
        return 0, 0
    s = sorted(x[:warm_up])
    n = len(s)
    low, high = s[n // 20], s[n - 1 - n // 20]
    if s[0] == s[-1]:
        other = next((value for value in x if value != s[0]), s[0])
        return min(s[0], other), max(s[0], other)
    if low == high:
        return s[0], s[-1]
    return max(s[0], low - (high - low) / 2), min(s[-1], high + (high - low) / 2)


def unit(x, lo, hi):
    if lo == hi:
        return 0.0
    return min(1.0, max(0.0, (x - lo) / (hi - lo)))


def variance_bound(y, log_inverse):
    """What the variance of values in [0, 1] is below, but for probability exp(-log_inverse)."""
    slack = max(np.mean(y), 1 - np.mean(y)) ** 2 * log_inverse / (2 * len(y))
    return min((math.sqrt(np.var(y) + slack) + math.sqrt(slack)) ** 2, 0.25)


def restart(x, first_drift):
    """Run `first_drift` over what follows each of its drifts."""
    found, start = [], 0
    while (hit := first_drift(x[start:])) is not None:
        found.append((start + hit[0], *hit[1:]))
        start += hit[0] + 1
    return found


def cuts(sample, bins):
    """Edges: the quantiles, and right below each that takes a whole step and below the lowest value."""
    s = np.sort(sample)
    n = len(s)
    steps = [s[max(0, j * n // bins - 1)] for j in range(1, bins + 1)]
    edges = set(steps[:-1])
    for value, following in itertools.pairwise(steps):
        if value in (following, s[0]):
            edges.add(np.nextafter(value, -np.inf))
    return np.array(sorted(edges))
