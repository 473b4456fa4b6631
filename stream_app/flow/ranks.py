"""Compiled order statistics: one treap (Seidel, Aragon 1996) per group over the entries of a pool.

Nodes are slots of the pool, ordered by (value, slot); 0 is the empty tree. Each operation costs O(log size) expected;
the answers depend on the values alone, never on the shape of the tree. Values are not NaN; -0.0 equals 0.0.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Records = NDArray[np.record]
Record = Any  # one of them, by reference

RANK = np.dtype((np.record, [(name, np.int32) for name in ("left", "right", "size")] + [("priority", np.uint32)]))


@njit(cache=True)
def _priority(slot: int) -> int:
    """A fixed scramble of the slot number (the finaliser of MurmurHash3), so that trees are balanced for any values."""
    x = slot & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0x4935) & 0xFFFFFFFF
    return x ^ (x >> 16)


@njit(cache=True)
def _less(pool: Records, slot: int, other: int) -> bool:
    x, y = pool[slot].value, pool[other].value
    return x < y or (x == y and slot < other)


@njit(cache=True)
def _resize(ranks: Records, slot: int) -> None:
    node = ranks[slot]
    node.size = 1 + ranks[node.left].size + ranks[node.right].size  # the size of node 0 is 0


@njit(cache=True)
def _split(pool: Records, ranks: Records, root: int, slot: int) -> tuple[int, int]:
    """The trees of what is less than `slot` and of what is greater."""
    if root == 0:
        return 0, 0
    if _less(pool, root, slot):
        less, greater = _split(pool, ranks, int(ranks[root].right), slot)
        ranks[root].right = less
        _resize(ranks, root)
        return root, greater
    less, greater = _split(pool, ranks, int(ranks[root].left), slot)
    ranks[root].left = greater
    _resize(ranks, root)
    return less, root


@njit(cache=True)
def _merge(ranks: Records, low: int, high: int) -> int:
    """One tree of two, all of `low` being less than all of `high`."""
    if low == 0:
        return high
    if high == 0:
        return low
    if ranks[low].priority > ranks[high].priority:
        ranks[low].right = _merge(ranks, int(ranks[low].right), high)
        _resize(ranks, low)
        return low
    ranks[high].left = _merge(ranks, low, int(ranks[high].left))
    _resize(ranks, high)
    return high


@njit(cache=True)
def insert(pool: Records, ranks: Records, root: int, slot: int) -> int:
    """Add `slot`, whose value stands in the pool; the new root."""
    new = ranks[slot]
    new.priority = _priority(slot)
    parent, node = 0, int(root)
    while node and ranks[node].priority >= new.priority:
        ranks[node].size += 1
        parent = node
        node = int(ranks[node].left if _less(pool, slot, node) else ranks[node].right)
    new.left, new.right = _split(pool, ranks, node, int(slot))
    _resize(ranks, slot)
    if parent == 0:
        return slot
    if _less(pool, slot, parent):
        ranks[parent].left = slot
    else:
        ranks[parent].right = slot
    return root


@njit(cache=True)
def remove(pool: Records, ranks: Records, root: int, slot: int) -> int:
    """Take out `slot`, which is in the tree; the new root."""
    parent, node = 0, int(root)
    while node != slot:
        ranks[node].size -= 1
        parent = node
        node = int(ranks[node].left if _less(pool, slot, node) else ranks[node].right)
    rest = _merge(ranks, int(ranks[slot].left), int(ranks[slot].right))
    if parent == 0:
        return rest
    if _less(pool, slot, parent):
        ranks[parent].left = rest
    else:
        ranks[parent].right = rest
    return root


@njit(cache=True)
def select(ranks: Records, root: int, k: int) -> int:
    """The slot with exactly k smaller ones, 0 <= k < size."""
    node = root
    while True:
        smaller = ranks[ranks[node].left].size
        if k == smaller:
            return node
        if k < smaller:
            node = ranks[node].left
        else:
            k -= smaller + 1
            node = ranks[node].right


@njit(cache=True)
def stands(pool: Records, ranks: Records, root: int, value: float) -> bool:
    """Whether an entry of this value is there."""
    node = root
    while node:
        x = pool[node].value
        if x == value:
            return True
        node = ranks[node].left if value < x else ranks[node].right
    return False
