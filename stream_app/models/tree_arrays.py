"""Where a compiled Hoeffding tree lives: arrays of nodes, of leaves, and of the categories that leaves have seen.

Node 0 is the root; the children of a node have larger numbers and are linked by SIBLING. Each leaf has a row with all
that it has learned; a category that it has seen has a cell, linked by NEXT in the order of the codes. Links are 1 more
than what they point to, so that zeros mean nothing. Arrays only grow; how much of them is in use stands in `meta`, and
nothing depends on how much is not.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app.messages import Floats

Small = NDArray[np.int32]

NODES, ROWS, CELLS, FREE, CLASSES, VALUES = range(6)  # in `meta`: what is in use; a free cell + 1; most cells of a list
KIND, COLUMN, FIRST, SIBLING, DEPTH, ROW, CODE = range(7)  # of a node; CODE: by which category its parent comes to it
LEAF, NUMBER, ONE, EACH = range(4)  # kinds: a leaf; x <= threshold; one category or another; a branch for each category
THRESHOLD, WEIGHT = 0, 1  # of a node; the threshold of ONE is the code of its category
TRIED, RIGHT, BAYES_RIGHT = 0, 1, 2  # of a row: weight when last tried; how often majority and naive Bayes were right
INACTIVE, KNOWN, WATCHED = 0, 1, 2  # of a row: whether it watches nothing; how many classes, how many columns
N, MEAN, SQUARES, LOW, HIGH, DOUBLE, HALF = range(7)  # of a number in a class; DOUBLE -2 * variance, HALF .5 * log of it
HEAD, LENGTH = 0, 1  # of a list of cells
NEXT = 1  # of a cell, behind its CODE
CELL_CODE = 0


class Tree(NamedTuple):
    """The arrays; beside each the axes that grow, and what follows them."""

    meta: NDArray[np.int64]  # [6]
    node: Small  # nodes, 7
    place: Floats  # nodes, 2: threshold and weight
    row: Small  # rows, 3
    tally: Floats  # rows, 3
    order: Small  # rows, classes: codes in the order in which the leaf knew them
    weight: Floats  # rows, classes
    watched: Small  # rows, columns: in the order in which the leaf saw them
    seen: Small  # rows, columns: how many classes each column was seen with
    seen_order: Small  # rows, columns, classes: which
    numbers: Floats  # rows, numbers, classes, 7
    totals: Floats  # rows, fields, classes: events that had a category
    lists: Small  # rows, fields, 2
    cell: Small  # cells, 2
    counts: Floats  # cells, classes


def shapes(numbers: int, fields: int, nodes: int, rows: int, cells: int, classes: int) -> dict[str, tuple[int, ...]]:
    """The shape of each array for so many of each."""
    columns = numbers + fields
    return {
        "meta": (6,),
        "node": (nodes, 7),
        "place": (nodes, 2),
        "row": (rows, 3),
        "tally": (rows, 3),
        "order": (rows, classes),
        "weight": (rows, classes),
        "watched": (rows, columns),
        "seen": (rows, columns),
        "seen_order": (rows, columns, classes),
        "numbers": (rows, numbers, classes, 7),
        "totals": (rows, fields, classes),
        "lists": (rows, fields, 2),
        "cell": (cells, 2),
        "counts": (cells, classes),
    }


def new_tree(numbers: int, fields: int) -> Tree:
    """A leaf that knows nothing."""
    tree = _zeros(shapes(numbers, fields, 8, 8, 8, 2))
    tree.meta[[NODES, ROWS, CLASSES]] = 1, 1, 2
    return tree


def resized(tree: Tree, nodes: int, rows: int, cells: int, classes: int) -> Tree:
    """The same with room for so many of each."""
    numbers, fields = tree.numbers.shape[1], tree.totals.shape[1]
    larger = _zeros(shapes(numbers, fields, nodes, rows, cells, classes))
    for old, new in zip(tree, larger, strict=True):
        common = tuple(slice(min(pair)) for pair in zip(old.shape, new.shape, strict=True))
        new[common] = old[common]
    return larger


def trimmed(tree: Tree) -> Tree:
    """A copy of what is in use."""
    used = tree.meta.tolist()
    return resized(tree, used[NODES], used[ROWS], used[CELLS], used[CLASSES])


def restored(state: dict[str, Any], numbers: int, fields: int) -> Tree:
    """The tree of a `trimmed` one as a dict; ValueError if the inputs or classes were others."""
    used = state.get("meta")
    if not isinstance(used, np.ndarray) or used.shape != (6,) or used.dtype != np.int64 or used.min() < 0:
        raise ValueError("state of another hoeffding_tree model: meta does not have the shape (6,)")
    wanted = shapes(numbers, fields, *used[[NODES, ROWS, CELLS, CLASSES]].tolist())
    for name, shape in wanted.items():
        stored = state.get(name)
        if not isinstance(stored, np.ndarray) or stored.shape != shape or stored.dtype != _TYPES[name]:
            raise ValueError(f"state of another hoeffding_tree model: {name} does not have the shape {shape}")
    return Tree(**{name: state[name].copy() for name in wanted})


def bytes_each(numbers: int, fields: int) -> tuple[int, int, int, int, int]:
    """Bytes of a node; of a row, and more for each class; of a cell, and more for each class."""

    def size(nodes: int, rows: int, cells: int, classes: int) -> int:
        found = shapes(numbers, fields, nodes, rows, cells, classes)
        return sum(int(np.prod(shape)) * _TYPES[name].itemsize for name, shape in found.items() if name != "meta")

    row, cell = size(0, 1, 0, 0), size(0, 0, 1, 0)
    return size(1, 0, 0, 0), row, size(0, 1, 0, 1) - row, cell, size(0, 0, 1, 1) - cell


_TYPES = {name: np.dtype(np.float64) for name in Tree._fields} | {
    name: np.dtype(np.int32) for name in ("node", "row", "order", "watched", "seen", "seen_order", "lists", "cell")
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
    return needed + (meta[CELLS] + cells) * (cell + cell_class * meta[CLASSES]) <= limit


@njit(cache=True, error_model="numpy")
def has_room(tree: Tree) -> bool:
    """Whether the arrays have room for all that one label may add."""
    most = max(2, tree.meta[VALUES] + 1) + 1
    return bool(
        tree.node.shape[0] - tree.meta[NODES] >= most
        and tree.row.shape[0] - tree.meta[ROWS] >= most
        and tree.cell.shape[0] - tree.meta[CELLS] >= tree.totals.shape[1]
    )


@njit(cache=True, error_model="numpy")
def cell_of(tree: Tree, row: int, field: int, code: int) -> int:
    """The cell of a category at a leaf, -1 if it has not seen it."""
    cell = tree.lists[row, field, HEAD] - 1
    while cell >= 0 and tree.cell[cell, CELL_CODE] < code:
        cell = tree.cell[cell, NEXT] - 1
    return cell if cell >= 0 and tree.cell[cell, CELL_CODE] == code else -1


@njit(cache=True, error_model="numpy")
def add_cell(tree: Tree, row: int, field: int, code: int) -> int:
    """A new cell in its place in the list."""
    meta = tree.meta
    if meta[FREE]:
        new = meta[FREE] - 1
        meta[FREE] = tree.cell[new, NEXT]
        tree.counts[new] = 0
    else:
        new = meta[CELLS]
        meta[CELLS] += 1
    before, after = -1, tree.lists[row, field, HEAD] - 1
    while after >= 0 and tree.cell[after, CELL_CODE] < code:
        before, after = after, tree.cell[after, NEXT] - 1
    tree.cell[new, CELL_CODE] = code
    tree.cell[new, NEXT] = after + 1
    if before < 0:
        tree.lists[row, field, HEAD] = new + 1
    else:
        tree.cell[before, NEXT] = new + 1
    tree.lists[row, field, LENGTH] += 1
    meta[VALUES] = max(meta[VALUES], tree.lists[row, field, LENGTH])
    return new


@njit(cache=True, error_model="numpy")
def forget_columns(tree: Tree, row: int) -> None:
    """What a leaf has watched; its classes stay."""
    for field in range(tree.lists.shape[1]):
        cell = tree.lists[row, field, HEAD] - 1
        while cell >= 0:
            after = tree.cell[cell, NEXT] - 1
            tree.cell[cell, NEXT] = tree.meta[FREE]
            tree.meta[FREE] = cell + 1
            cell = after
    tree.lists[row] = 0
    tree.totals[row] = 0
    tree.numbers[row] = 0
    tree.seen[row] = 0
    tree.row[row, WATCHED] = 0


@njit(cache=True, error_model="numpy")
def know(tree: Tree, row: int, c: int, weight: float) -> None:
    """Adds a class that the leaf does not know yet."""
    tree.order[row, tree.row[row, KNOWN]] = c
    tree.row[row, KNOWN] += 1
    tree.weight[row, c] = weight
