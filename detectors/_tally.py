"""A recent window beside a reference, both as counts in bins: the compiled part of `_bins.Binned`.

Numbers fall into bins of equal share, codes into a bin for each frequent category and one for all others. Edges come
from the first ~1,024 values (the ring), afterwards only counts and moments of the reference are kept. A rolling
reference is PARTS blocks of counts; each value that leaves the window joins the block that fills, a full block takes
the place of the oldest. A second track counts the same values by newer edges; once it is full, it takes over: no count
is ever moved from one set of edges to another, so that reference and window stay exchangeable.
"""

import math

import numpy as np
from numba import njit

from detectors._base import Array, Floats, N
from detectors._kernels import equiprobable, locate_each
from detectors._sketch import keep_categories, place

# Places in `counts`. Of the two tracks each: bins (0: none yet) and edges or kept categories; then observations in the
# reference (0: not complete) and in the window, the block that fills; RENEWED: the reference changed, to be cleared.
CELLS, EDGES, REFERENCE, FILLED, BLOCK, RENEWED = 2, 4, 6, 7, 8, 9
SIZE, WINDOW, BINS, CATEGORIES, PARTS, SAMPLE = range(6)  # places in `config`; SIZE: observations in a block
BEFORE, RECENT = range(2)  # rows of `tallies`
COUNT, MEAN, M2, LOWEST, HIGHEST = range(5)  # columns of `moments`
ENOUGH = 5.0  # expected observations in the window for a category to have a bin of its own
ENDLESS = 2**62
LEAST = 20  # observations in a reference
SAMPLED = 1024


@njit(cache=True)
def _add(row: Floats, x: float) -> None:
    """Add x to the moments in a row."""
    row[COUNT] += 1.0
    off = x / 2 - row[MEAN] / 2  # halves, as differences of the whole may overflow
    row[M2] += 4.0 * off * off * (1.0 - 1.0 / row[COUNT]) if abs(off) < 1e150 else math.inf
    row[MEAN] += 2.0 * (off / row[COUNT])
    row[LOWEST] = x if row[COUNT] == 1.0 else min(x, row[LOWEST])
    row[HIGHEST] = x if row[COUNT] == 1.0 else max(x, row[HIGHEST])


@njit(cache=True)
def _choose(track: int, config: Array, counts: Array, values: Floats, edges: Floats) -> None:
    """Edges for a track from the newest values."""
    sample = values[: min(counts[N], len(values))]
    if config[CATEGORIES] == 0:
        k = equiprobable(sample, config[BINS], edges[track])
        counts[EDGES + track], counts[CELLS + track] = k, k + 1
        return
    least = ENOUGH * len(sample) / config[WINDOW]
    k = keep_categories(sample, config[BINS], least, edges[track])
    rare = 0
    for x in sample:
        rare += place(x, edges[track], k, k + 1, True) == k
    counts[EDGES + track], counts[CELLS + track] = k, k + max(1, min(config[BINS] - k, int(rare / least)))


@njit(cache=True)
def _cell(x: float, track: int, config: Array, counts: Array, edges: Floats) -> int:
    cells, categories = counts[CELLS + track], config[CATEGORIES] == 1
    b: int = place(x, edges[track], counts[EDGES + track], cells, categories)
    return b


@njit(cache=True)
def _take_over(config: Array, counts: Array, values: Floats, edges: Floats, blocks: Array, tallies: Array) -> None:
    """The second track becomes the first; the next one starts with the newest edges."""
    for j in range(counts[EDGES + 1]):
        edges[0, j] = edges[1, j]
    for part in range(config[PARTS]):
        for b in range(tallies.shape[1]):
            blocks[0, part, b] = blocks[1, part, b]
    counts[CELLS], counts[EDGES] = counts[CELLS + 1], counts[EDGES + 1]
    tallies[RECENT] = 0
    for i in range(counts[FILLED]):
        x = values[(counts[N] - 1 - i) % len(values)]
        tallies[RECENT, _cell(x, 0, config, counts, edges)] += 1
    _choose(1, config, counts, values, edges)


@njit(cache=True)
def end_block(
    config: Array, counts: Array, values: Floats, edges: Floats, blocks: Array, tallies: Array, moments: Floats
) -> None:
    """The block that filled replaces the oldest."""
    parts, slot = config[PARTS], counts[BLOCK]  # loops, as assigning slices takes seconds to compile
    for b in range(tallies.shape[1]):
        for track in range(len(edges)):
            blocks[track, slot, b] = blocks[track, parts, b]
    for column in range(moments.shape[1]):
        moments[slot, column] = moments[parts, column]
    blocks[:, parts], moments[parts] = 0, 0.0
    counts[BLOCK] = (slot + 1) % parts
    if counts[BLOCK] == 0:
        counts[REFERENCE] = 0
        for part in range(parts):
            counts[REFERENCE] += int(moments[part, COUNT])
        if len(edges) == 2:
            _take_over(config, counts, values, edges, blocks, tallies)
    if counts[REFERENCE] > 0:
        counts[RENEWED] = 1
        for b in range(tallies.shape[1]):
            tallies[BEFORE, b] = 0
            for part in range(parts):
                tallies[BEFORE, b] += blocks[0, part, b]


@njit(cache=True)
def _learn(
    x: float,
    config: Array,
    counts: Array,
    values: Floats,
    edges: Floats,
    blocks: Array,
    tallies: Array,
    moments: Floats,
) -> None:
    """Count one more value of the reference."""
    parts = config[PARTS]
    for track in range(len(edges)):
        blocks[track, parts, _cell(x, track, config, counts, edges)] += 1
    _add(moments[parts], x)
    if moments[parts, COUNT] == config[SIZE]:
        end_block(config, counts, values, edges, blocks, tallies, moments)


@njit(cache=True)
def learn_many(
    x: Floats,
    config: Array,
    counts: Array,
    values: Floats,
    edges: Floats,
    blocks: Array,
    tallies: Array,
    moments: Floats,
) -> None:
    """Count more values of a reference of numbers that does not roll, no more than it has room for."""
    cells = np.empty(len(x), np.int64)
    locate_each(edges[0], counts[EDGES], x, cells)
    filling = blocks[0, 1]
    for i in range(len(x)):
        filling[cells[i]] += 1
        _add(moments[1], x[i])
    if moments[1, COUNT] == config[SIZE]:
        end_block(config, counts, values, edges, blocks, tallies, moments)


@njit(cache=True)
def learn_sample(
    config: Array, counts: Array, values: Floats, edges: Floats, blocks: Array, tallies: Array, moments: Floats
) -> None:
    """Choose the edges and count the values met so far."""
    for track in range(len(edges)):
        _choose(track, config, counts, values, edges)
    sample = values[: counts[N]].copy()
    if len(edges) == 1 and config[CATEGORIES] == 0:
        learn_many(sample, config, counts, values, edges, blocks, tallies, moments)
        return
    for x in sample:
        _learn(x, config, counts, values, edges, blocks, tallies, moments)


@njit(cache=True)
def slide(
    x: float,
    config: Array,
    counts: Array,
    values: Floats,
    edges: Floats,
    blocks: Array,
    tallies: Array,
    moments: Floats,
) -> bool:
    """Feed one finite value; whether reference and window are both full, so that they can be compared."""
    n, window = counts[N], config[WINDOW]
    counts[N] = n + 1
    slot = n % len(values)
    if counts[REFERENCE] == 0:
        values[slot] = x
        if counts[CELLS] > 0:
            _learn(x, config, counts, values, edges, blocks, tallies, moments)
        elif n + 1 == config[SAMPLE]:
            learn_sample(config, counts, values, edges, blocks, tallies, moments)
        return False
    full = counts[FILLED] == window
    oldest = values[(n - window) % len(values)] if full else 0.0
    values[slot] = x
    tallies[RECENT, _cell(x, 0, config, counts, edges)] += 1
    if full:
        tallies[RECENT, _cell(oldest, 0, config, counts, edges)] -= 1
        if len(edges) == 2:
            _learn(oldest, config, counts, values, edges, blocks, tallies, moments)
        return True
    counts[FILLED] += 1
    return counts[FILLED] == window  # type: ignore[no-any-return]


@njit(cache=True)
def likeliest_age(config: Array, counts: Array, values: Floats, edges: Floats, before: Array) -> int:
    """The number a of newest observations whose own shares are most likelier than the reference's."""
    cells, total = counts[CELLS], float(before.sum())
    tally = np.zeros(cells)
    gain, best, age = 0.0, -math.inf, 1
    for a in range(1, counts[FILLED] + 1):
        b = _cell(values[(counts[N] - a) % len(values)], 0, config, counts, edges)
        share = (before[b] + 0.5) / (total + 0.5 * cells)
        gain -= tally[b] * math.log(tally[b] / share + 1.0)
        tally[b] += 1.0
        gain += tally[b] * math.log(tally[b] / share + 1.0)
        if gain - a * math.log(a + 1.0) > best:
            best, age = gain - a * math.log(a + 1.0), a
    return age
