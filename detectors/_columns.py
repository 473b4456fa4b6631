# ruff: noqa: SLF001 (what feeds detectors knows their states)
"""A recent window beside a reference that stands, by columns: the compiled part of `ks` for many values at once.

The bins of all values are found first, and many detectors are fed by one call: that is ten times as fast as value by
value, and the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Floats, N
from detectors._kernels import finite, locate_each
from detectors._tally import (
    BEFORE,
    CELLS,
    COUNT,
    FILLED,
    RECENT,
    REFERENCE,
    RENEWED,
    SAMPLE,
    SIZE,
    WINDOW,
    learn_many,
    learn_sample,
)
from detectors._windows import DISTANCE, LIMIT, SUPREMUM, renew

STATE = ("counts", "values", "edges", "blocks", "tallies", "moments", "weights", "floats")


@njit(cache=True)
def _write(values: Floats, n: int, fresh: Floats) -> None:
    """Put values into the ring, as number n and on."""
    room = len(values)
    first = max(0, len(fresh) - room)
    at = (n + first) % room
    for i in range(first, len(fresh)):
        values[at] = fresh[i]
        at = at + 1 if at + 1 < room else 0


@njit(cache=True)
def _learned(
    fresh: Floats, config: Array, counts: Array, values: Floats, edges: Floats, blocks: Array, tallies: Array,
    moments: Floats,
) -> int:  # fmt: skip
    """Take what the reference has room for; how many values."""
    taken = 0
    if counts[CELLS] == 0:
        taken = min(len(fresh), config[SAMPLE] - counts[N])
        _write(values, counts[N], fresh[:taken])
        counts[N] += taken
        if counts[N] == config[SAMPLE]:
            learn_sample(config, counts, values, edges, blocks, tallies, moments)
    if counts[CELLS] > 0 and counts[REFERENCE] == 0:
        more = fresh[taken : taken + min(len(fresh) - taken, config[SIZE] - int(moments[1, COUNT]))]
        _write(values, counts[N], more)
        counts[N] += len(more)
        taken += len(more)
        learn_many(more, config, counts, values, edges, blocks, tallies, moments)
    return taken


@njit(cache=True)
def _known(fresh: Floats, window: int, counts: Array, values: Floats) -> tuple[Floats, int]:
    """The values that leave the window as fresh ones come in, as far as they are older, and behind them the fresh ones.

    And how many are older: what leaves beyond these are fresh ones themselves.
    """
    filled = counts[FILLED]
    old = min(filled, max(0, len(fresh) - (window - filled)))
    known = np.empty(old + len(fresh))
    at = (counts[N] - filled) % len(values)
    for i in range(old):
        known[i] = values[at]
        at = at + 1 if at + 1 < len(values) else 0
    known[old:] = fresh
    return known, old


@njit(cache=True)
def _slid(
    fresh: Floats, every: int, log_inverse: float, config: Array, counts: Array, values: Floats, edges: Floats,
    tallies: Array, moments: Floats, weights: Floats, floats: Floats,
) -> tuple[int, bool]:  # fmt: skip
    """Move the window on, up to the first drift: by how many values, and whether there is one."""
    window, k, total = config[WINDOW], counts[CELLS] - 1, counts[REFERENCE]
    known, old = _known(fresh, window, counts, values)
    cells = np.empty(len(known), np.int64)
    locate_each(edges[0], k, known, cells)
    share_before, seen = np.empty(k), 0
    for j in range(k):
        seen += tallies[BEFORE, j]
        share_before[j] = seen / total
    looked_up = (len(fresh) // every + 1) * k > window  # where there are many tests, what they divide
    share = np.arange(window + 1 if looked_up else 0) / window
    recent, filling, i, drift = tallies[RECENT], window - counts[FILLED], 0, False
    while i < len(fresh) and not drift:
        stop = min(len(fresh), i + every - (counts[N] + i) % every)
        for cell in cells[old + i : old + stop]:
            recent[np.uint64(cell)] += 1
        for cell in cells[max(i, filling) - filling : max(stop, filling) - filling]:
            recent[np.uint64(cell)] -= 1
        i = stop
        if (counts[N] + i) % every != 0 or i < filling:
            continue
        if counts[RENEWED] == 1:
            renew(SUPREMUM, log_inverse, config, counts, edges[0], tallies[BEFORE], moments, weights, floats)
        new, norm = 0, 0.0
        for j in range(k):
            new += recent[j]
            norm = max(norm, abs((share[new] if looked_up else new / window) - share_before[j]))
        floats[DISTANCE] = norm
        drift = norm > floats[LIMIT]
    _write(values, counts[N], fresh[:i])
    counts[N] += i
    counts[FILLED] = min(window, counts[FILLED] + i)
    return i, drift


@njit(cache=True)
def furthest(
    x: Floats, start: int, every: int, log_inverse: float, config: Array, counts: Array, values: Floats,
    edges: Floats, blocks: Array, tallies: Array, moments: Floats, weights: Floats, floats: Floats,
) -> int:  # fmt: skip
    """Feed x[start:], the bins of which are found first, up to the first drift of the supremum; its index, or -1."""
    fresh, found = np.empty(len(x) - start), 0
    for value in x[start:]:
        fresh[found] = value
        found += finite(value)
    taken, drift = 0, False
    if counts[REFERENCE] == 0:
        taken = _learned(fresh[:found], config, counts, values, edges, blocks, tallies, moments)
    if taken < found:
        moved, drift = _slid(
            fresh[taken:found], every, log_inverse, config, counts, values, edges, tallies, moments, weights, floats
        )
        taken += moved
    if not drift:
        counts[MISSING] += len(x) - start - found
        return -1
    at = start - 1
    while taken > 0:
        at += 1
        taken -= finite(x[at])
        counts[MISSING] += not finite(x[at])
    return at


@njit(cache=True, nogil=True)
def _furthest_of_each(
    x: Floats, rows: Array, every: int, log_inverse: float, config: Array, counts: Array, values: Floats,
    edges: Floats, blocks: Array, tallies: Array, moments: Floats, weights: Floats, floats: Floats, found: Array,
) -> None:  # fmt: skip
    """`furthest` of each detector, whose arrays lie side by side, on a row of x each."""
    for j in range(len(rows)):
        found[j] = furthest(
            x[rows[j]], 0, every, log_inverse, config, counts[j], values[j], edges[j], blocks[j], tallies[j],
            moments[j], weights[j], floats[j],
        )  # fmt: skip


class Abreast:
    """Many detectors of one class and the same parameters, which keep their states side by side from now on.

    They stay what they are; one compiled call feeds all of them a row each, and other threads run meanwhile.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        self.members: list[Any] = list(members)
        size = len(members)
        self._state = {key: np.zeros((size, *array.shape), array.dtype) for key, array in members[0]._state.items()}
        for j, each in enumerate(members):
            for key, array in each._state.items():
                if array.any():  # memory that is not written to costs nothing
                    self._state[key][j] = array
            each.move({key: array[j] for key, array in self._state.items()})

    @property
    def missing(self) -> Array:
        """NaN and infinite values that each has ever met."""
        return np.array(self._state["counts"][:, MISSING])

    def to_state(self) -> dict[str, Any]:
        """Copies of the members' states, side by side."""
        made_with = np.stack([each._made_with for each in self.members])
        arrays = {key: array.copy() for key, array in self._state.items()}
        return {"detector": self.members[0].name, "params": made_with, **arrays}

    def feed(self, x: Floats, rows: Array) -> Array:
        """Feed x[rows[j]] to the j-th up to its first drift; the index for each, or -1."""
        first, found = self.members[0], np.empty(len(rows), np.int64)
        arrays = [self._state[key] for key in STATE]
        _furthest_of_each(x, rows, first._every, first._log_inverse, first._config, *arrays, found)  # type: ignore[call-arg]
        return found
