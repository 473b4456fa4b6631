"""What is usual: how much stretches of the past, as long as the one since the onset, differ from the rest of the past.

Days differ from one another, and two days hold two of seven weekdays. A test that takes rows as independent finds such
a difference beyond doubt; against the stretches before it, it is nothing.
"""

from itertools import pairwise

import numpy as np

from stream_app.evidence import compare
from stream_app.evidence.compare import Interval
from stream_app.evidence.table import Table
from stream_app.messages import Bools, Floats, Ints

STRETCHES = 8  # of the past, at most
FEW = 20  # rows without which a stretch says nothing; and stretches without 3 say nothing of what is usual
BEYOND = 1.25  # times the largest usual effect: more is unusual


def stretches(offset: Ints, first: int) -> list[Bools]:
    """Masks over rows before row `first`: stretches of as many offsets as there are from it on, newest first."""
    if not 0 < first < len(offset):
        return []
    span, onset = int(offset[-1] - offset[first]) + 1, int(offset[first])
    edges = [onset - k * span for k in range(STRETCHES + 1)]
    masks = [(offset >= start) & (offset < stop) for stop, start in pairwise(edges)]
    long_enough = [mask for mask in masks if mask.sum() >= FEW]
    return long_enough if len(long_enough) > 2 else []


def is_usual(past: Table, inside: list[Bools], name: str, effect: float) -> bool:
    """Whether stretches of the past (masks over its rows) differed from the rest as much as `effect`, nearly."""
    x, is_category = past.column(name), past.categories[past.names.index(name)]
    order = np.argsort(x, kind="stable")[: np.count_nonzero(~np.isnan(x))]  # once: what is left of a mask stays sorted
    ordered = x[order]
    for mask in inside:
        mine = mask[order]
        gone = int(mask.sum()) - int(mine.sum())
        rest = len(x) - len(order) - gone
        if effect <= BEYOND * _effect(ordered[~mine], rest, ordered[mine], gone, is_category=is_category):
            return True
    return False


def spread(losses: Floats, inside: list[Bools]) -> float:
    """Standard deviation of the mean loss from stretch to stretch, beyond what sampling makes of it; 0 if unknown."""
    parts = [losses[mask][np.isfinite(losses[mask])] for mask in inside]
    parts = [part for part in parts if len(part) >= FEW]
    if len(parts) < 3:
        return 0.0
    sampling = np.mean([part.var() / len(part) for part in parts])
    return float(np.sqrt(max(0.0, np.var([part.mean() for part in parts], ddof=1) - sampling)))


def widened(interval: Interval, by: float) -> Interval:
    """A 95 % interval of a difference whose one side also varies from stretch to stretch, by that deviation."""
    middle, half = (interval[0] + interval[1]) / 2, (interval[1] - interval[0]) / 2
    half = float(np.hypot(half, compare.Z * by))
    return middle - half, middle + half


def _effect(x: Floats, x_gone: int, y: Floats, y_gone: int, *, is_category: bool) -> float:
    """How much two samples differ: sorted values that are present, and how many are missing."""
    gone = compare.rates(x_gone, len(x) + x_gone, y_gone, len(y) + y_gone).effect
    if not is_category:
        return max(gone, compare.numbers(x, y).effect)
    codes = np.unique(np.concatenate([x, y]))
    counts = [np.bincount(np.searchsorted(codes, part), minlength=len(codes)) for part in (x, y)]
    return max(gone, compare.shares(*counts)[0].effect)
