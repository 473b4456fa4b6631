"""Compiled sliding windows of many groups in one bounded pool of values.

The values of a group form a queue made of two linked stacks (two-stacks sliding-window aggregation; Tangwongsan,
Hirzel, Schneider 2017, "Low-Latency Sliding-Window Aggregation in Worst-Case Constant Time", section 2): new values go
on the back stack, whose aggregate is carried along; old ones leave from the front stack, where each entry holds the
aggregate of itself and all newer entries of that stack. An empty front takes over the whole back. Nothing is ever
subtracted, so a huge value is forgotten with the window it stood in. Quantile and unique keep a treap (`ranks.py`).

A window is an interval of positions (now - width, now]: of the group's clock in milliseconds, or of its event count.
All entries also form one list in order of arrival: the oldest of the whole pool makes room when the pool is full.
Each function does the same steps whatever the cut of the stream.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app.flow.pool import (
    BIRTHS,
    COUNT,
    FREE,
    LAST,
    LIVE,
    LOWEST,
    MAX,
    MIN,
    NEWEST,
    OLDEST,
    QUANTILE,
    RATE,
    STREAM_TIME,
    SUM,
    UNIQUE,
    USED,
    VAR,
    Spec,
    Store,
)
from stream_app.flow.ranks import Record, Records, insert, remove, select, stands
from stream_app.messages import Bools, Floats, Ints
from stream_app.models import LEARN, PREDICT

_inline = njit(
    inline="always"
)  # a call that hands over four arrays costs more than most of these steps: 150 → 95 ns an event


@_inline
def _combine(stat: int, n1: int, a1: float, b1: float, n2: int, a2: float, b2: float) -> tuple[float, float]:
    """Aggregate (a, b) of n1 older and n2 newer values.

    sum (sum, -), mean (mean, -), var (mean, sum of squared deviations: Chan, Golub, LeVeque 1983), min, max, last
    (it, -), rate (first, last time). The mean moves from the larger part by at most half of the distance, so that it
    cannot overflow.
    """
    if n1 == 0:
        return a2, b2
    if n2 == 0:
        return a1, b1
    if stat == SUM:
        return a1 + a2, 0.0
    if stat == MIN:
        return min(a1, a2), 0.0
    if stat == MAX:
        return max(a1, a2), 0.0
    if stat == LAST:
        return a2, 0.0
    if stat == RATE:
        return a1, b2
    n = n1 + n2
    large, small, n_small = (a1, a2, n2) if n1 >= n2 else (a2, a1, n1)
    mean = large + (0.5 * small - 0.5 * large) * (2.0 * n_small / n)
    delta = a2 - a1
    return mean, b1 + b2 + delta * delta * (n1 * (n2 / n))


@njit(cache=True)
def _flip(spec: Spec, group: Record, pool: Records) -> None:
    """Move the back stack over to the empty front stack, newest first."""
    n, a, b = 0, 0.0, 0.0
    slot, above = group.back, 0
    while slot:
        entry = pool[slot]
        a, b = _combine(spec.stat, 1, entry.value, entry.value if spec.stat == RATE else 0.0, n, a, b)
        entry.a, entry.b, entry.in_front = a, b, True
        below = entry.below
        entry.below = above
        above, slot = slot, below
        n += 1
    group.front, group.n_front = above, n
    group.back, group.bottom, group.n_back = 0, 0, 0
    group.a, group.b = 0.0, 0.0


@_inline
def _release(spec: Spec, groups: Records, pool: Records, ranks: Records, heads: Ints, slot: int) -> None:
    """Give an entry that has left its stack back to the pool."""
    entry = pool[slot]
    if entry.older:
        pool[entry.older].newer = entry.newer
    else:
        heads[OLDEST] = entry.newer
    if entry.newer:
        pool[entry.newer].older = entry.older
    else:
        heads[NEWEST] = entry.older
    if spec.stat == QUANTILE or spec.stat == UNIQUE:
        group = groups[entry.group]
        group.root = remove(pool, ranks, group.root, slot)
        group.distinct -= not stands(pool, ranks, group.root, entry.value)
    entry.below = heads[FREE]
    heads[FREE] = slot
    heads[LIVE] -= 1


@_inline
def _pop(spec: Spec, groups: Records, pool: Records, ranks: Records, heads: Ints, group: Record) -> None:
    """Drop the oldest value of a group that has one."""
    if group.front == 0:
        _flip(spec, group, pool)
    slot = group.front
    group.front = pool[slot].below
    group.n_front -= 1
    _release(spec, groups, pool, ranks, heads, slot)


@_inline
def _expire(spec: Spec, groups: Records, pool: Records, ranks: Records, heads: Ints, group: Record) -> None:
    """Drop what is not in the window (now - width, now] any more."""
    now = group.clock if spec.timed else group.count
    while group.n_front + group.n_back > 0:
        oldest = group.front or group.bottom
        if now - pool[oldest].position < spec.width:
            return
        _pop(spec, groups, pool, ranks, heads, group)


@_inline
def _push(spec: Spec, groups: Records, pool: Records, ranks: Records, heads: Ints, code: int, value: float) -> None:
    """Append a value at the group's present position; a full pool first loses its oldest value."""
    group = groups[code]
    if heads[LIVE] == len(pool) - 1:
        _pop(spec, groups, pool, ranks, heads, groups[pool[heads[OLDEST]].group])
    if heads[FREE]:
        slot = heads[FREE]
        heads[FREE] = pool[slot].below
    else:
        heads[USED] += 1
        slot = heads[USED]
    entry = pool[slot]
    entry.position = group.clock if spec.timed else group.count
    entry.value, entry.group, entry.in_front = value, code, False
    entry.below, entry.older, entry.newer = group.back, heads[NEWEST], 0
    if heads[NEWEST]:
        pool[heads[NEWEST]].newer = slot
    else:
        heads[OLDEST] = slot
    heads[NEWEST] = slot
    heads[LIVE] += 1
    b = value if spec.stat == RATE else 0.0
    group.a, group.b = _combine(spec.stat, group.n_back, group.a, group.b, 1, value, b)
    if group.back == 0:
        group.bottom = slot
    group.back = slot
    group.n_back += 1
    if spec.stat == QUANTILE or spec.stat == UNIQUE:
        group.distinct += not stands(pool, ranks, group.root, value)
        group.root = insert(pool, ranks, group.root, slot)


@_inline
def _begin(spec: Spec, groups: Records, pool: Records, ranks: Records, heads: Ints, code: int) -> None:
    """Start a new life of a group: empty, at the dawn of time."""
    group = groups[code]
    while group.n_front + group.n_back > 0:
        _pop(spec, groups, pool, ranks, heads, group)
    group.time, group.clock, group.count = LOWEST, LOWEST, 0
    heads[BIRTHS] += 1
    group.birth = heads[BIRTHS]


@njit(cache=True)
def _quantile(spec: Spec, pool: Records, ranks: Records, group: Record, n: int) -> float:
    """Linear interpolation between order statistics, rounded as `numpy.quantile` does."""
    h = (n - 1) * spec.q
    k = min(int(h), n - 1)
    low = pool[select(ranks, group.root, k)].value
    high = pool[select(ranks, group.root, min(k + 1, n - 1))].value
    t = h - k
    if low == high:
        return float(low)
    if np.isinf(high - low):
        return float(low * (1.0 - t) + high * t)
    return float(low + (high - low) * t if t < 0.5 else high - (high - low) * (1.0 - t))


@_inline
def _result(spec: Spec, pool: Records, ranks: Records, group: Record) -> float:
    """The statistic of the values that are in the window."""
    n = group.n_front + group.n_back
    if spec.stat == COUNT:
        return float(n)
    if spec.stat == UNIQUE:
        return float(group.distinct)
    if spec.stat == RATE and spec.timed:
        return float(n * 1000.0 / spec.width)
    if n == 0:
        return 0.0 if spec.stat == SUM or spec.stat == RATE else np.nan
    if spec.stat == QUANTILE:
        return _quantile(spec, pool, ranks, group, n)
    top = pool[group.front]
    a, b = _combine(spec.stat, group.n_front, top.a, top.b, group.n_back, group.a, group.b)
    if spec.stat == RATE:
        return (n - 1) * 1000.0 / (b - a) if b > a else np.nan
    if spec.stat == VAR:
        return b / (n - 1) if n > 1 else np.nan
    return a


@njit(cache=True)
def run_events(spec: Spec, store: Store, codes: Ints, fresh: Bools, time_ms: Ints, values: Floats, out: Floats) -> None:
    """For each event of stream order: `out[i]` from what came before it, then `values[i]` enters (NaN does not)."""
    groups, pool, ranks, heads = store
    for i in range(len(codes)):
        if fresh[i]:
            _begin(spec, groups, pool, ranks, heads, codes[i])
        group = groups[codes[i]]
        group.time = max(group.time, time_ms[i])
        group.clock = group.time
        _expire(spec, groups, pool, ranks, heads, group)
        out[i] = _result(spec, pool, ranks, group)
        group.count += 1
        if not np.isnan(values[i]):
            _push(spec, groups, pool, ranks, heads, codes[i], float(group.clock) if spec.stat == RATE else values[i])
        _expire(spec, groups, pool, ranks, heads, group)  # now, so that a later look at the group changes nothing
        group.touched = True


@njit(cache=True)
def run_labels(
    spec: Spec,
    store: Store,
    tickets: Ints,
    tape: tuple[NDArray[np.uint8], Ints, Floats],
    codes: Ints,
    fresh: Bools,
    time_ms: Ints,
    out: Floats,
) -> None:
    """Play a tape (kind, slot, target): events take a ticket (code, birth) at their slot, labels enter by ticket."""
    kind, slot, target = tape
    groups, pool, ranks, heads = store
    row = 0
    for i in range(len(kind)):
        if kind[i] == PREDICT:
            if fresh[row]:
                _begin(spec, groups, pool, ranks, heads, codes[row])
            group = groups[codes[row]]
            group.time = max(group.time, time_ms[row])
            group.clock = max(group.clock, group.time)
            heads[STREAM_TIME] = max(heads[STREAM_TIME], time_ms[row])
            _expire(spec, groups, pool, ranks, heads, group)
            out[row] = _result(spec, pool, ranks, group)
            group.touched = True
            tickets[slot[i], 0], tickets[slot[i], 1] = codes[row], group.birth
            row += 1
            continue
        code, birth = tickets[slot[i], 0], tickets[slot[i], 1]
        tickets[slot[i], 0] = -1
        if kind[i] == LEARN and code >= 0 and groups[code].birth == birth and not np.isnan(target[i]):
            group = groups[code]
            group.clock = max(group.clock, heads[STREAM_TIME])
            group.count += 1
            _push(spec, groups, pool, ranks, heads, code, target[i])
            _expire(spec, groups, pool, ranks, heads, group)
            group.touched = True


@njit(cache=True)
def look(spec: Spec, store: Store, codes: Ints, out: Floats) -> None:
    """The present statistic of each group in `codes`; changes nothing."""
    groups, pool, ranks, _ = store
    for i in range(len(codes)):
        out[i] = _result(spec, pool, ranks, groups[codes[i]])


@njit(cache=True)
def rebuild(spec: Spec, store: Store, codes: Ints, positions: Ints, values: Floats, in_front: Bools) -> None:
    """Fill an empty pool with entries in order of arrival; the stacks and aggregates come out bit for bit."""
    groups, pool, ranks, heads = store
    for i in range(len(codes)):
        group = groups[codes[i]]
        if not in_front[i] and group.back and in_front[group.back - 1]:  # an empty pool gives slot i + 1 to entry i
            _flip(spec, group, pool)
        _push(spec, groups, pool, ranks, heads, codes[i], values[i])
        pool[i + 1].position = positions[i]
    for code in range(len(groups)):
        if groups[code].back and in_front[groups[code].back - 1]:
            _flip(spec, groups[code], pool)
