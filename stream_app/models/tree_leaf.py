"""The leaf of a compiled Hoeffding tree: what it answers and what it learns. Sums run in the order of river's dicts."""

import math

import numpy as np
from numba import njit

from stream_app.messages import Floats
from stream_app.models.classifier import LARGEST
from stream_app.models.tree_arrays import (
    BAYES_RIGHT,
    DOUBLE,
    FREE,
    HALF,
    HIGH,
    INACTIVE,
    KNOWN,
    LOW,
    MEAN,
    RIGHT,
    SQUARES,
    WATCHED,
    N,
    Tree,
    add_cell,
    cell_of,
    fits,
    know,
)
from stream_app.models.tree_params import BAYES, MAJORITY, Rules

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


@njit(cache=True, error_model="numpy")
def total(tree: Tree, row: int) -> float:
    """The weight of all classes of a leaf."""
    weight = 0.0
    for k in range(tree.row[row, KNOWN]):
        weight += tree.weight[row, tree.order[row, k]]
    return weight


@njit(cache=True, error_model="numpy")
def answer(tree: Tree, row: int, x: Floats, rules: Rules, shares: Floats) -> bool:
    """Writes the share of each class; False if the leaf has nothing to say."""
    shares[:] = 0.0
    bayes = tree.row[row, INACTIVE] == 0 and rules.leaf != MAJORITY
    if bayes and rules.leaf == BAYES:
        bayes = total(tree, row) >= rules.nb_threshold
    elif bayes:
        bayes = tree.tally[row, BAYES_RIGHT] >= tree.tally[row, RIGHT]
    if not bayes:
        _majority(tree, row, shares)
    elif not _bayes(tree, row, x, shares):
        return False
    for c in range(shares.shape[0]):
        if shares[c] != 0:
            return True
    return False


@njit(cache=True, error_model="numpy")
def learn(tree: Tree, row: int, x: Floats, c: int, rules: Rules, shares: Floats) -> None:
    """Takes one event of class `c` into a leaf; `shares` is scratch."""
    active = tree.row[row, INACTIVE] == 0
    if active and rules.leaf > BAYES:
        _compare(tree, row, x, c, shares)
    if active and rules.leaf != MAJORITY:
        _name_classes(tree, row, x)
    if _knows(tree, row, c):
        tree.weight[row, c] += 1
    else:
        know(tree, row, c, 1.0)
    if active:
        _watch(tree, row, x, c, rules)


@njit(cache=True, error_model="numpy")
def present(x: float, column: int, tree: Tree) -> bool:
    """Whether a row has a value there: a number that is not too large, the code of a category."""
    return bool(abs(x) <= LARGEST if column < tree.numbers.shape[1] else x >= 0)


@njit(cache=True, error_model="numpy")
def _knows(tree: Tree, row: int, c: int) -> bool:
    for k in range(tree.row[row, KNOWN]):
        if tree.order[row, k] == c:
            return True
    return False


@njit(cache=True, error_model="numpy")
def _majority(tree: Tree, row: int, shares: Floats) -> None:
    weight = total(tree, row)
    factor = 1 / weight if weight != 0 else 1.0
    for k in range(tree.row[row, KNOWN]):
        c = tree.order[row, k]
        shares[c] = tree.weight[row, c] * factor


@njit(cache=True, error_model="numpy")
def _bayes(tree: Tree, row: int, x: Floats, shares: Floats) -> bool:
    """Naive Bayes over the columns that the leaf has watched; False before its first event."""
    known, weight, order = tree.row[row, KNOWN], total(tree, row), tree.order[row]
    if known == 0 or weight == 0:
        return False
    for k in range(known):
        mine = tree.weight[row, order[k]]
        shares[order[k]] = math.log(mine / weight) if mine > 0 else 0.0  # 0 as in river
    for a in range(tree.row[row, WATCHED]):
        column = tree.watched[row, a]
        if present(x[column], column, tree):
            _add_log_densities(tree, row, column, x[column], shares)
    highest = -np.inf
    for k in range(known):
        highest = max(highest, shares[order[k]])
    norm = 0.0
    for k in range(known):
        norm += math.exp(shares[order[k]] - highest)
    norm = highest + math.log(norm)
    for k in range(known):
        shares[order[k]] = math.exp(shares[order[k]] - norm)
    return True


@njit(cache=True, error_model="numpy")
def _add_log_densities(tree: Tree, row: int, column: int, x: float, shares: Floats) -> None:
    field = column - tree.numbers.shape[1]
    cell = cell_of(tree, row, field, int(x)) if field >= 0 else -1
    for k in range(tree.row[row, KNOWN]):
        c = tree.order[row, k]
        if not tree.weight[row, c] > 0:
            continue
        if field < 0:
            of_class = tree.numbers[row, column, c]
            if of_class[DOUBLE] < 0:
                away = x - of_class[MEAN]
                density = away * away / of_class[DOUBLE] - HALF_LOG_TAU - of_class[HALF]
                if density > -np.inf:
                    shares[c] += density
        elif cell >= 0 and tree.counts[cell, c] > 0:
            shares[c] += math.log(tree.counts[cell, c] / tree.totals[row, field, c])


@njit(cache=True, error_model="numpy")
def _compare(tree: Tree, row: int, x: Floats, c: int, shares: Floats) -> None:
    """Counts whether the majority and naive Bayes would have been right."""
    _majority(tree, row, shares)
    if tree.row[row, KNOWN] == 0 or _likeliest(tree, row, shares) == c:
        tree.tally[row, RIGHT] += 1
    if _bayes(tree, row, x, shares) and _likeliest(tree, row, shares) == c:
        tree.tally[row, BAYES_RIGHT] += 1


@njit(cache=True, error_model="numpy")
def _likeliest(tree: Tree, row: int, shares: Floats) -> int:
    """Of equals, the class that the leaf has known longest."""
    best = tree.order[row, 0]
    for k in range(1, tree.row[row, KNOWN]):
        if shares[tree.order[row, k]] > shares[best]:
            best = tree.order[row, k]
    return best


@njit(cache=True, error_model="numpy")
def _name_classes(tree: Tree, row: int, x: Floats) -> None:
    """River's naive Bayes makes a table for each class it asks about; splits on one category have their order."""
    numbers = tree.numbers.shape[1]
    for column in range(numbers, x.shape[0]):
        if tree.seen[row, column] and present(x[column], column, tree):
            for k in range(tree.row[row, KNOWN]):
                c = tree.order[row, k]
                if tree.weight[row, c] > 0:
                    _see(tree, row, column, c)


@njit(cache=True, error_model="numpy")
def _see(tree: Tree, row: int, column: int, c: int) -> None:
    """Remembers in which order a column was seen with the classes."""
    seen = tree.seen[row, column]
    for k in range(seen):
        if tree.seen_order[row, column, k] == c:
            return
    tree.seen_order[row, column, seen] = c
    tree.seen[row, column] = seen + 1


@njit(cache=True, error_model="numpy")
def _watch(tree: Tree, row: int, x: Floats, c: int, rules: Rules) -> None:
    """Takes the values of a row into what is watched."""
    numbers = tree.numbers.shape[1]
    for column in range(x.shape[0]):
        if not present(x[column], column, tree):
            continue
        cell = -1
        if column >= numbers:
            cell = cell_of(tree, row, column - numbers, int(x[column]))
            if cell < 0 and (tree.meta[FREE] or fits(tree, rules.size, 0, 1)):
                cell = add_cell(tree, row, column - numbers, int(x[column]))
            if cell < 0:
                continue  # no room for another category: as if it were missing
        if tree.seen[row, column] == 0:
            tree.watched[row, tree.row[row, WATCHED]] = column
            tree.row[row, WATCHED] += 1
        _see(tree, row, column, c)
        if cell >= 0:
            tree.counts[cell, c] += 1
            tree.totals[row, column - numbers, c] += 1
        else:
            _observe(tree.numbers[row, column, c], x[column])


@njit(cache=True, error_model="numpy")
def _observe(cell: Floats, x: float) -> None:
    """Welford's mean and sum of squares, as river has them, and what a density needs of them."""
    if cell[N] == 0:
        cell[LOW] = cell[HIGH] = x
    cell[LOW] = min(cell[LOW], x)
    cell[HIGH] = max(cell[HIGH], x)
    before = cell[MEAN]
    cell[N] += 1
    cell[MEAN] += (1.0 / cell[N]) * (x - before)
    cell[SQUARES] += (x - before) * (x - cell[MEAN])
    if cell[N] > 1:
        variance = cell[SQUARES] / (cell[N] - 1)
        cell[DOUBLE] = -2.0 * variance
        cell[HALF] = 0.5 * math.log(variance) if variance > 0 else 0.0
