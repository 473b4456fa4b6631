"""Where the windows of one feature live: groups by code, and one bounded pool of values; arrays grown as needed.

Index 0 of the pool stands for "none" in every link, so that zeroed records are valid.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from stream_app.flow.ranks import RANK, Records
from stream_app.messages import Ints

STATS = ("count", "sum", "mean", "var", "min", "max", "quantile", "last", "rate", "unique")
COUNT, SUM, MEAN, VAR, MIN, MAX, QUANTILE, LAST, RATE, UNIQUE = range(len(STATS))
LOWEST = -(2**62)  # the clock before the first event; times are kept within ±2**62 so that differences fit

ENTRY = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("position", np.int64),
                ("value", np.float64),
                ("a", np.float64),  # front stack: aggregate of this and the newer entries of the stack
                ("b", np.float64),
                ("group", np.int32),
                ("below", np.int32),  # next entry of the same stack; of the free list
                ("older", np.int32),  # neighbours in the order of arrival in the pool
                ("newer", np.int32),
                ("in_front", np.bool_),
            ],
            align=True,
        ),
    )
)
GROUP = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("time", np.int64),  # of the last event, never going back
                ("clock", np.int64),  # the same, or when the last label came if that was later
                ("count", np.int64),  # events; labels for a mean of targets
                ("birth", np.int64),  # which life of this code: a label for an earlier life is dropped
                ("a", np.float64),  # aggregate of the back stack
                ("b", np.float64),
                ("front", np.int32),  # top of the front stack: the oldest entry
                ("back", np.int32),  # top of the back stack: the newest entry
                ("bottom", np.int32),  # bottom of the back stack
                ("n_front", np.int32),
                ("n_back", np.int32),
                ("root", np.int32),  # of the treap
                ("distinct", np.int32),
                ("touched", np.bool_),  # since the last look
            ],
            align=True,
        ),
    )
)
FREE, OLDEST, NEWEST, LIVE, USED, BIRTHS, STREAM_TIME = range(7)  # what `heads` holds


class Spec(NamedTuple):
    """What one feature computes."""

    stat: int
    width: int  # of the window: milliseconds if timed, else events
    timed: bool
    q: float


class Store(NamedTuple):
    """The windows of one feature."""

    groups: Records  # [codes] GROUP
    pool: Records  # [1 + values] ENTRY
    ranks: Records  # [1 + values] RANK; one entry if the stat needs no order
    heads: Ints  # [7]


def new_store() -> Store:
    """Room for one group and no values."""
    heads = np.zeros(STREAM_TIME + 1, np.int64)
    heads[STREAM_TIME] = LOWEST
    return Store(new_groups(1), np.zeros(1, ENTRY), np.zeros(1, RANK), heads)


def new_groups(n: int) -> Records:
    """Groups without an event."""
    groups: Records = np.zeros(n, GROUP)
    groups["time"] = groups["clock"] = LOWEST
    return groups


def make_room(store: Store, groups: int, values: int, max_values: int, *, ranked: bool) -> Store:
    """Room for codes below `groups` and so many more values, the limit allowing; results do not depend on the sizes."""
    missing = groups - len(store.groups)
    if missing > 0:
        more = new_groups(max(missing, len(store.groups)))
        store = store._replace(groups=np.concatenate([store.groups, more]))
    size = 1 + min(int(store.heads[LIVE]) + values, max_values)
    if size > len(store.pool):
        size = min(max(size, 2 * len(store.pool)), 1 + max_values)
        store = store._replace(pool=grown(store.pool, size))
    if ranked and len(store.ranks) < len(store.pool):
        store = store._replace(ranks=grown(store.ranks, len(store.pool)))
    return store


def grown(records: Records, size: int) -> Records:
    """The same records, then zeroed ones up to `size`."""
    return np.concatenate([records, np.zeros(size - len(records), records.dtype)])


@njit(cache=True)
def arrivals(store: Store, out: Ints) -> None:
    """The slots of all values in order of arrival."""
    slot = store.heads[OLDEST]
    for i in range(len(out)):
        out[i] = slot
        slot = store.pool[slot].newer
