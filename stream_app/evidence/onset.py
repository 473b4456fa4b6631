"""Since when: the most likely change point of one signal's values, with an interval."""

import math
from typing import NamedTuple

import numpy as np

from stream_app.messages import Floats, Ints

BINS = 16  # of a number, of equal share before the change
PRIOR = 0.5  # added to each count: no value is impossible on either side
DROP = math.log(100)  # a change point is in the interval if the best one is at most 100 times as likely
ROUNDS = 4  # at most: each finds the change point given the two distributions, which follow from the last one


class Onset(NamedTuple):
    """Numbers of values: the change begins with value `at`, and is between `low` and `high`."""

    at: int
    low: int
    high: int


def change_point(x: Floats, at: int, *, categories: bool) -> Onset | None:
    """Where x[n] changed its distribution, beginning with a guess; None where the values do not tell.

    With p and q the shares of bins (of values: by quantiles of those before; missing is a bin of its own) before and
    after, the change point is the k that maximises sum over i >= k of log q(x_i) / p(x_i): the likelihood of
    independent values that change once, at k. The interval holds each k within a factor 100 of the most likely one.
    Neighbours that resemble one another make it too narrow. NaN is a value like others. Cost: O(n log n).

    Source: Hinkley, Inference about the change-point in a sequence of random variables, Biometrika 1970.

    >>> import numpy as np
    >>> x = np.repeat([0.0, 1.0], [700, 300]) + np.random.default_rng(1).normal(0, 0.2, 1000)
    >>> change_point(x, 650, categories=False)
    Onset(at=700, low=697, high=701)
    """
    found: Onset | None = None
    for _ in range(ROUNDS):
        if not 0 < at < len(x):
            break
        code = _bins(x, at, categories=categories)
        size = int(code.max()) + 1
        before, after = (np.bincount(part, minlength=size) + PRIOR for part in (code[:at], code[at:]))
        gain = np.log(after / after.sum()) - np.log(before / before.sum())
        since = np.cumsum(gain[code][::-1])[::-1]  # of a change that begins with value k
        best = int(np.argmax(since))
        if since[best] < DROP:
            return None  # it may as well not have changed
        near = np.flatnonzero(since >= since[best] - DROP)
        low, high = _around(near, best)
        if found is not None and best == found.at:
            break
        found, at = Onset(best, low, high), best
    return found


def _around(near: Ints, best: int) -> tuple[int, int]:
    """The outermost of the likely places."""
    return int(min(near[0], best)), int(max(near[-1], best))


def _bins(x: Floats, at: int, *, categories: bool) -> Ints:
    """A small code for each value; missing is the last."""
    known = np.isfinite(x)
    if categories:
        _, code = np.unique(np.where(known, x, np.inf), return_inverse=True)
        return code.astype(np.int64)
    reference = x[:at][known[:at]]
    if not len(reference):
        return (~known).astype(np.int64)
    edges = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS, method="lower"))
    code = np.searchsorted(edges, x, side="left") + np.isin(x, edges) * (len(edges) + 2)
    return np.where(known, code, 2 * len(edges) + 3)
