"""What the twins of bounded signals need."""

import math

import numpy as np

from tests.naive._shared import variance_bound


def exponent(off, variance, reach):
    """Of Hoeffding's bound for values at most `reach` above their mean, an observation."""
    if off <= 0:
        return 0.0
    p = min(1.0, (off * reach + variance) / (reach**2 + variance))
    q = variance / (reach**2 + variance)
    return sum(a * math.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0)


def split_exponent(before, after):
    """How unlikely the means of two parts are, given one common distribution."""
    both = np.concatenate([before, after])
    mean, variance = np.mean(both), variance_bound(both, 0.5)
    total = 0.0
    for part in (before, after):
        off = np.mean(part) - mean
        total += len(part) * exponent(abs(off), variance, 1 - mean if off > 0 else mean)
    return total
