"""Whether a leaf of a compiled Hoeffding tree splits, and into what (Hulten, Spencer, Domingos 2001, section 2).

A split is a matrix of weights [branches, classes], the classes in the order in which the column was seen with them. Its
merit is what it gains: entropy before less entropy behind it, or 1 less the Gini impurity behind it.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app.messages import Floats, Ints
from stream_app.models.tree_arrays import (
    CELL_CODE,
    CODE,
    COLUMN,
    DEPTH,
    EACH,
    FIRST,
    HEAD,
    HIGH,
    INACTIVE,
    KIND,
    KNOWN,
    LEAF,
    LENGTH,
    LOW,
    MASS,
    MEAN,
    NEXT,
    NODES,
    NUMBER,
    ONE,
    ORDER,
    PARENT,
    PLACE,
    ROW,
    ROWS,
    SEEN,
    SEEN_ORDER,
    SIBLING,
    SQUARES,
    THRESHOLD,
    TRIED,
    WATCHED,
    WEIGHT,
    N,
    Small,
    Tree,
    cell_of,
    fits,
    forget_columns,
    know,
)
from stream_app.models.tree_leaf import total
from stream_app.models.tree_params import Rules

POINTS = 10  # thresholds tried on a number, evenly between the least and the largest value
NOTHING = -1  # in place of a column


@njit(cache=True, error_model="numpy")
def grow(tree: Tree, node: int, rules: Rules, ranks: Small) -> None:
    """A leaf that is due: a split, an end of growth there, or nothing; `ranks` [fields, codes] are those of texts."""
    row = tree.node[node, ROW]
    if tree.node[node, DEPTH] >= rules.max_depth:
        tree.known[row, INACTIVE] = 1
        forget_columns(tree, row)
        return
    weight = total(tree.known[row], tree.mass[row])
    if fits(tree, rules.size, 2, 0) and not _is_pure(tree, row):
        _try(tree, node, row, weight, rules, ranks)
    if tree.node[node, KIND] == LEAF:
        tree.mass[row, TRIED] = weight
    else:
        weigh(tree.node, tree.place, node)


@njit(cache=True, error_model="numpy")
def weigh(node: Small, place: Floats, at: int) -> None:
    """From a node up, the weight of a branch is that of its children, summed anew: that is how river finds ties."""
    if node[at, KIND] == LEAF and at:
        at = node[at, PARENT]
    while node[at, KIND] != LEAF:
        weight, child = 0.0, node[at, FIRST]
        while child:
            weight += place[child, WEIGHT]
            child = node[child, SIBLING]
        place[at, WEIGHT] = weight
        if at == 0:
            return
        at = node[at, PARENT]


@njit(cache=True, error_model="numpy")
def new_leaf(tree: Tree, parent: int, code: int, row: int) -> int:
    """A further node below `parent`, with nothing in its row."""
    node = tree.meta[NODES]
    tree.meta[NODES] += 1
    tree.node[node, DEPTH] = tree.node[parent, DEPTH] + 1
    tree.node[node, PARENT] = parent
    tree.node[node, CODE] = code
    tree.node[node, ROW] = row
    if tree.node[parent, FIRST] == 0:
        tree.node[parent, FIRST] = node
        return int(node)
    last = tree.node[parent, FIRST]
    while tree.node[last, SIBLING]:
        last = tree.node[last, SIBLING]
    tree.node[last, SIBLING] = node
    return int(node)


@njit(cache=True, error_model="numpy")
def _is_pure(tree: Tree, row: int) -> bool:
    return bool((_masses(tree, row) != 0).sum() < 2)


@njit(cache=True, error_model="numpy")
def _masses(tree: Tree, row: int) -> Floats:
    """The weights of the classes, in the order in which the leaf knew them."""
    found = np.empty(tree.known[row, KNOWN])
    for k in range(len(found)):
        found[k] = tree.mass[row, MASS + tree.known[row, ORDER + k]]
    return found


@njit(cache=True, error_model="numpy")
def _try(tree: Tree, node: int, row: int, weight: float, rules: Rules, ranks: Small) -> None:
    """Splits at the best column if it leads the second best by more than chance, or they are as good as equal."""
    column, kind, value, lead, many = _best(tree, row, weight, rules, ranks)
    known = max(2, tree.known[row, KNOWN])
    reach = 1.0 if rules.gini else math.log2(known)
    bound = math.sqrt(reach * reach * math.log(1.0 / rules.delta) / (2.0 * weight))
    if many == 0 or (many > 1 and not lead > bound and not bound < rules.tau):
        return
    if column == NOTHING:
        forget_columns(tree, row)  # river: the leaf is disabled, and enabled again by the next look at the memory
    else:
        _split(tree, node, row, column, kind, value, rules, ranks)


@njit(cache=True, error_model="numpy")
def _best(tree: Tree, row: int, weight: float, rules: Rules, ranks: Small) -> tuple[int, int, float, float, int]:
    """Column, kind and value of the best split, its lead over the next, and how many there are, no split among them."""
    column, kind, value, many = NOTHING, LEAF, 0.0, 0
    best, second = -np.inf, -np.inf
    masses = _masses(tree, row)
    if masses.max() / weight > rules.max_share_to_split:
        return NOTHING, LEAF, 0.0, 0.0, 1
    many = 1 if rules.merit_preprune else 0
    before = _entropy(masses)
    for a in range(tree.known[row, WATCHED]):
        watched = tree.seen[row, a, PLACE]
        if watched < rules.numbers:
            merit, its_kind, its_value = _best_threshold(tree, row, watched, before, rules)
        else:
            merit, its_kind, its_value = _best_category(tree, row, watched, before, rules, ranks)
        if merit >= best:
            second = best
            best, kind, value = merit, its_kind, its_value
            column = NOTHING if kind == LEAF else watched
        elif merit > second:
            second = merit
        many += 1
    return column, kind, value, best - second, many


@njit(cache=True, error_model="numpy")
def _best_threshold(tree: Tree, row: int, column: int, before: float, rules: Rules) -> tuple[float, int, float]:
    classes = _classes(tree, row, column)
    weights = np.zeros((2, len(classes)))
    low, high = np.inf, -np.inf
    for c in classes:
        low, high = min(low, tree.moments[row, column, c, LOW]), max(high, tree.moments[row, column, c, HIGH])
    width = (high - low) / (POINTS + 1.0)
    best, kind, value = -np.inf, LEAF, 0.0
    for i in range(POINTS):
        threshold = low + width * (i + 1)
        if low < threshold < high:
            _by_number(tree.moments[row, column], classes, threshold, weights)
            merit = _merit(weights, before, rules)
            if merit > best:
                best, kind, value = merit, NUMBER, threshold
    return best, kind, value


@njit(cache=True, error_model="numpy")
def _best_category(
    tree: Tree, row: int, column: int, before: float, rules: Rules, ranks: Small
) -> tuple[float, int, float]:
    """A branch for each category, unless one category against the others is better; river's rule."""
    classes = _classes(tree, row, column)
    weights = np.zeros((2, len(classes)))
    cells = _cells(tree, row, column, ranks[column - rules.numbers])
    best, kind, value = -np.inf, LEAF, 0.0
    if not rules.binary_split:
        best, kind = _merit(tree.counts[cells], before, rules), EACH
    for cell in cells:
        _by_one(tree.moments[row, column], classes, tree.counts[cell], weights)
        merit = _merit(weights, before, rules)
        if merit > best:
            best, kind, value = merit, ONE, float(tree.cell[cell, CELL_CODE])
    return best, kind, value


@njit(cache=True, error_model="numpy")
def _classes(tree: Tree, row: int, column: int) -> Small:
    return tree.seen[row, column, SEEN_ORDER : SEEN_ORDER + tree.seen[row, column, SEEN]].copy()


@njit(cache=True, error_model="numpy")
def _cells(tree: Tree, row: int, column: int, ranks: Small) -> Ints:
    """The categories that a leaf has seen, in the order of their texts."""
    cells = np.zeros(tree.seen[row, column, LENGTH], np.int64)
    order = np.zeros(len(cells), np.int64)
    cell = tree.seen[row, column, HEAD] - 1
    for i in range(len(cells)):
        cells[i], order[i] = cell, ranks[tree.cell[cell, CELL_CODE]]
        cell = tree.cell[cell, NEXT] - 1
    return cells[np.argsort(order)]


@njit(cache=True, error_model="numpy")
def _by_number(moments: Floats, classes: Small, threshold: float, weights: Floats) -> None:
    """At most the threshold, and above it: by the normal distribution of each class."""
    for k in range(len(classes)):
        cell = moments[classes[k]]
        if threshold < cell[LOW]:
            weights[0, k], weights[1, k] = 0.0, cell[N]
        elif threshold >= cell[HIGH]:
            weights[0, k], weights[1, k] = cell[N], 0.0
        else:
            sd = (cell[SQUARES] / (cell[N] - 1.0)) ** 0.5 if cell[N] > 1 else 0.0
            below = 0.5 * (1.0 + math.erf((threshold - cell[MEAN]) / sd / math.sqrt(2.0))) if sd > 0 else 0.0
            weights[0, k] = below * cell[N]
            weights[1, k] = cell[N] - weights[0, k]


@njit(cache=True, error_model="numpy")
def _by_one(moments: Floats, classes: Small, counts: Floats, weights: Floats) -> None:
    """One category, and all others."""
    for k in range(len(classes)):
        weights[0, k] = counts[classes[k]]
        weights[1, k] = moments[classes[k], N] - weights[0, k]


@njit(cache=True, error_model="numpy")
def _merit(weights: Floats, before: float, rules: Rules) -> float:
    """-inf unless two branches have their share."""
    all_of_them, large = 0.0, 0
    for i in range(weights.shape[0]):
        all_of_them += _sum(weights[i])
    for i in range(weights.shape[0]):
        large += all_of_them > 0 and _sum(weights[i]) / all_of_them > rules.min_branch_fraction
    if large < 2:
        return -np.inf
    behind = 0.0
    for i in range(weights.shape[0]):
        if rules.gini:
            behind += _sum(weights[i]) / all_of_them * _gini(weights[i])
        else:
            behind += _sum(weights[i]) * _entropy(weights[i])
    return 1.0 - behind if rules.gini else before - behind / all_of_them


@njit(cache=True, error_model="numpy")
def _sum(weights: Floats) -> float:
    found = 0.0
    for weight in weights:
        found += weight
    return found


@njit(cache=True, error_model="numpy")
def _entropy(weights: Floats) -> float:
    entropy, found = 0.0, 0.0
    for weight in weights:
        if weight > 0:
            entropy -= weight * math.log2(weight)
            found += weight
    return (entropy + found * math.log2(found)) / found if found > 0 else 0.0


@njit(cache=True, error_model="numpy")
def _gini(weights: Floats) -> float:
    gini, found = 1.0, _sum(weights)
    for weight in weights:
        if found != 0:
            gini -= (weight / found) * (weight / found)
    return gini


@njit(cache=True, error_model="numpy")
def _split(tree: Tree, node: int, row: int, column: int, kind: int, value: float, rules: Rules, ranks: Small) -> None:
    """The leaf becomes a branch, if there is room; its row becomes the first child's."""
    classes, codes = _classes(tree, row, column), np.zeros(2, np.int32)
    weights = np.zeros((2, len(classes)))
    if kind == EACH:
        cells = _cells(tree, row, column, ranks[column - rules.numbers])
        weights, codes = tree.counts[cells], tree.cell[cells, CELL_CODE]
        classes = np.arange(weights.shape[1]).astype(np.int32)
    elif kind == ONE:
        cell = cell_of(tree.seen[row], tree.cell, column, int(value))
        _by_one(tree.moments[row, column], classes, tree.counts[cell], weights)
    else:
        _by_number(tree.moments[row, column], classes, value, weights)
    there = weights > 0
    if kind == NUMBER:  # river knows a class in a branch even if its weight there is rounded to 0
        for k in range(len(classes)):
            there[0, k] = value >= tree.moments[row, column, classes[k], LOW]
            there[1, k] = value < tree.moments[row, column, classes[k], HIGH]
    if not fits(tree, rules.size, weights.shape[0], 0):
        return
    forget_columns(tree, row)
    tree.known[row] = 0
    tree.mass[row] = 0
    tree.node[node, KIND] = kind
    tree.node[node, COLUMN] = column
    tree.place[node, THRESHOLD] = value
    for i in range(weights.shape[0]):
        child = new_leaf(tree, node, codes[i], row if i == 0 else tree.meta[ROWS])
        tree.meta[ROWS] += i > 0
        _fill(tree, child, weights[i], there[i], classes)


@njit(cache=True, error_model="numpy")
def _fill(tree: Tree, node: int, weights: Floats, there: NDArray[np.bool_], classes: Small) -> None:
    """What a new leaf begins with: its part of what its parent has learned."""
    row = tree.node[node, ROW]
    for k in range(len(classes)):
        if there[k]:
            know(tree.known[row], tree.mass[row], classes[k], weights[k])
    tree.mass[row, TRIED] = total(tree.known[row], tree.mass[row])
    tree.place[node, WEIGHT] = tree.mass[row, TRIED]
