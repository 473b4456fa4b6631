"""Where a compiled Hoeffding tree lives: arrays of nodes, of leaves, and of the categories that leaves have seen.

Node 0 is the root; the children of a node have larger numbers and are linked by SIBLING. Each leaf has a row with all
that it has learned; a category that it has seen has a cell, linked by NEXT in the order of the codes. Links to cells
are 1 more than what they point to, so that zeros mean nothing. Arrays only grow; how much of them is in use stands in
`meta`, and nothing depends on how much is not.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app.messages import Floats

Small = NDArray[np.int32]

NODES, ROWS, CELLS, FREE, CLASSES, VALUES = range(6)  # in `meta`: what is in use; a free cell + 1; most cells of a list
KIND, COLUMN, PARENT, FIRST, SIBLING, DEPTH, ROW, CODE = range(8)  # of a node; CODE: the category that leads to it
LEAF, NUMBER, ONE, EACH = range(4)  # kinds: a leaf; x <= threshold; one category or another; a branch for each category
THRESHOLD, WEIGHT = range(2)  # of a node; the threshold of ONE is the code of its category
INACTIVE, KNOWN, WATCHED, ORDER = range(4)  # of a row: whether it watches nothing; how many classes and columns; codes
TRIED, RIGHT, BAYES_RIGHT, MASS = range(4)  # its weight when last tried; how often which answer was right; of classes
PLACE, SEEN, HEAD, LENGTH, SEEN_ORDER = range(5)  # of a column; PLACE at a: which column the leaf saw as its a-th
N, MEAN, SQUARES, LOW, HIGH, DOUBLE, HALF = range(7)  # of a column in a class; DOUBLE: -2 variances, HALF: half its log
CELL_CODE, NEXT = range(2)


class Tree(NamedTuple):
    """The arrays."""

    meta: NDArray[np.int64]  # [6]
    node: Small  # [nodes, 8]
    place: Floats  # [nodes, 2]: threshold and weight
    known: Small  # [rows, 3 + classes]: from ORDER on codes of classes, as the leaf came to know them
    mass: Floats  # [rows, 3 + classes]: from MASS on the weight of each class
    seen: Small  # [rows, columns, 4 + classes]: from SEEN_ORDER on codes of the classes it was seen with
    moments: Floats  # [rows, columns, classes, 7]; of a category only N, the events that had one
    cell: Small  # [cells, 2]
    counts: Floats  # [cells, classes]: events with this category


def shapes(columns: int, nodes: int, rows: int, cells: int, classes: int) -> dict[str, tuple[int, ...]]:
    """The shape of each array for so many of each."""
    return {
        "meta": (6,),
        "node": (nodes, 8),
        "place": (nodes, 2),
        "known": (rows, 3 + classes),
        "mass": (rows, 3 + classes),
        "seen": (rows, columns, 4 + classes),
        "moments": (rows, columns, classes, 7),
        "cell": (cells, 2),
        "counts": (cells, classes),
    }


def new_tree(columns: int) -> Tree:
    """A leaf that knows nothing."""
    tree = _zeros(shapes(columns, 8, 8, 8, 2))
    tree.meta[[NODES, ROWS, CLASSES]] = 1, 1, 2
    return tree


def resized(tree: Tree, nodes: int, rows: int, cells: int, classes: int) -> Tree:
    """The same with room for so many of each."""
    larger = _zeros(shapes(tree.seen.shape[1], nodes, rows, cells, classes))
    for name in Tree._fields:
        old, new = getattr(tree, name), getattr(larger, name)
        common = tuple(slice(min(pair)) for pair in zip(old.shape, new.shape, strict=True))
        new[common] = old[common]
    return larger


def trimmed(tree: Tree) -> Tree:
    """A copy of what is in use."""
    used = tree.meta.tolist()
    return resized(tree, used[NODES], used[ROWS], used[CELLS], used[CLASSES])


def restored(state: dict[str, Any], columns: int) -> Tree:
    """The tree of a `trimmed` one as a dict; ValueError if the inputs or classes were others."""
    used = state.get("meta")
    if not isinstance(used, np.ndarray) or used.shape != (6,) or used.dtype != np.int64 or used.min() < 0:
        raise ValueError("state of another hoeffding_tree model: meta does not have the shape (6,)")
    wanted = shapes(columns, *used[[NODES, ROWS, CELLS, CLASSES]].tolist())
    for name, shape in wanted.items():
        stored = state.get(name)
        if not isinstance(stored, np.ndarray) or stored.shape != shape or stored.dtype != _TYPES[name]:
            raise ValueError(f"state of another hoeffding_tree model: {name} does not have the shape {shape}")
    return Tree(**{name: state[name].copy() for name in wanted})


def children(tree: Tree, node: int) -> list[int]:
    """The nodes right below one, in their order."""
    found, child = [], int(tree.node[node, FIRST])
    while child:
        found.append(child)
        child = int(tree.node[child, SIBLING])
    return found


def bytes_each(columns: int) -> tuple[int, int, int, int, int]:
    """Bytes of a node; of a row, and more for each class; of a cell, and more for each class."""

    def size(nodes: int, rows: int, cells: int, classes: int) -> int:
        found = shapes(columns, nodes, rows, cells, classes)
        return sum(int(np.prod(shape)) * _TYPES[name].itemsize for name, shape in found.items() if name != "meta")

    row, cell = size(0, 1, 0, 0), size(0, 0, 1, 0)
    return size(1, 0, 0, 0), row, size(0, 1, 0, 1) - row, cell, size(0, 0, 1, 1) - cell


_TYPES: dict[str, np.dtype[Any]] = {name: np.dtype(np.float64) for name in Tree._fields} | {
    name: np.dtype(np.int32) for name in ("node", "known", "seen", "cell")
}
_TYPES["meta"] = np.dtype(np.int64)


def _zeros(wanted: dict[str, tuple[int, ...]]) -> Tree:
    return Tree(**{name: np.zeros(shape, _TYPES[name]) for name, shape in wanted.items()})


@njit(cache=True, error_model="numpy")
def fits(tree: Tree, size: tuple[float, float, float, float, float, float], nodes: int, cells: int) -> bool:
    """Whether the tree may have so many more nodes (each but one with a row) and cells; `size` ends with the limit."""
    node, row, row_class, cell, cell_class, limit = size
    meta = tree.meta
    rows = meta[ROWS] + max(0, nodes - 1)
    needed = (meta[NODES] + nodes) * node + rows * (row + row_class * meta[CLASSES])
    return bool(needed + (meta[CELLS] + cells) * (cell + cell_class * meta[CLASSES]) <= limit)


@njit(cache=True, error_model="numpy")
def has_room(meta: NDArray[np.int64], node: Small, known: Small, cell: Small, columns: int) -> bool:
    """Whether the arrays have room for all that one label may add."""
    most = max(2, meta[VALUES] + 1) + 1
    room = min(node.shape[0] - meta[NODES], known.shape[0] - meta[ROWS])
    return bool(room >= most and cell.shape[0] - meta[CELLS] >= columns)


@njit(cache=True, error_model="numpy")
def cell_of(seen: Small, cell: Small, column: int, code: int) -> int:
    """The cell of a category at the leaf of which `seen` is, -1 if it has not seen it."""
    found = seen[column, HEAD] - 1
    while found >= 0 and cell[found, CELL_CODE] < code:
        found = cell[found, NEXT] - 1
    return found if found >= 0 and cell[found, CELL_CODE] == code else -1


@njit(cache=True, error_model="numpy")
def add_cell(tree: Tree, row: int, column: int, code: int) -> int:
    """A new cell in its place in the list."""
    meta = tree.meta
    if meta[FREE]:
        new = meta[FREE] - 1
        meta[FREE] = tree.cell[new, NEXT]
        tree.counts[new] = 0
    else:
        new = meta[CELLS]
        meta[CELLS] += 1
    before, after = -1, tree.seen[row, column, HEAD] - 1
    while after >= 0 and tree.cell[after, CELL_CODE] < code:
        before, after = after, tree.cell[after, NEXT] - 1
    tree.cell[new, CELL_CODE] = code
    tree.cell[new, NEXT] = after + 1
    if before < 0:
        tree.seen[row, column, HEAD] = new + 1
    else:
        tree.cell[before, NEXT] = new + 1
    tree.seen[row, column, LENGTH] += 1
    meta[VALUES] = max(meta[VALUES], tree.seen[row, column, LENGTH])
    return int(new)


@njit(cache=True, error_model="numpy")
def forget_columns(tree: Tree, row: int) -> None:
    """What a leaf has watched; its classes stay."""
    for column in range(tree.seen.shape[1]):
        cell = tree.seen[row, column, HEAD] - 1
        while cell >= 0:
            after = tree.cell[cell, NEXT] - 1
            tree.cell[cell, NEXT] = tree.meta[FREE]
            tree.meta[FREE] = cell + 1
            cell = after
    tree.seen[row] = 0
    tree.moments[row] = 0
    tree.known[row, WATCHED] = 0


@njit(cache=True, error_model="numpy")
def know(known: Small, mass: Floats, c: int, weight: float) -> None:
    """Adds a class that the leaf does not know yet."""
    known[ORDER + known[KNOWN]] = c
    known[KNOWN] += 1
    mass[MASS + c] = weight
