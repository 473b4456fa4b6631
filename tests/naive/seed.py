"""SEED: every boundary from the values themselves."""

import math

import numpy as np

from tests.naive._bounded import split_exponent
from tests.naive._shared import restart, scale, unit


def similar_merged(starts, y):
    """Without the boundaries at which neighbours are similar, the newest boundary first."""
    ends, kept, width = [*starts[1:], len(y)], [], 0.0
    end = ends[-1]
    for at in range(len(starts) - 1, 0, -1):
        width += 0.01 * 0.8
        if abs(np.mean(y[starts[at - 1] : starts[at]]) - np.mean(y[starts[at] : end])) >= width:
            kept.append(starts[at])
            end = starts[at]
    return [0, *reversed(kept)]


def twin(x, arl0, warm_up):
    limit = max(4, math.log(1.5 * 0.05 * arl0))

    def first(x):
        y = np.array([unit(value, *scale(x, warm_up)) for value in x[warm_up:]])
        starts, added = [0], 0
        for n in range(32, len(y) + 1, 32):
            found = [split_exponent(y[:at], y[at:n]) for at in starts[1:]]
            if found and max(found) > limit:
                return warm_up + n - 1, max(found), limit
            if added > 75:
                starts, added = similar_merged(starts, y[:n]), 0
            starts.append(n)
            added += 1
        return None

    return restart(x, first)
