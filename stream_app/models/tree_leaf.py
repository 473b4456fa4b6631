"""The leaf of a compiled Hoeffding tree: what it answers and what it learns. Sums run in the order of river's dicts.

Kernels that run for each event take the leaf's own part of each array: calls with the whole tree cost more than their
work.
"""

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
    MASS,
    MEAN,
    ORDER,
    PLACE,
    RIGHT,
    SEEN,
    SEEN_ORDER,
    SQUARES,
    WATCHED,
    N,
    Small,
    Tree,
    add_cell,
    cell_of,
    fits,
    know,
)
from stream_app.models.tree_params import BAYES, MAJORITY, Rules

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


@njit(cache=True, error_model="numpy")
def total(known: Small, mass: Floats) -> float:
    """The weight of all classes of a leaf."""
    weight = 0.0
    for k in range(known[KNOWN]):
        weight += mass[MASS + known[ORDER + k]]
    return weight


@njit(cache=True, error_model="numpy")
def present(x: float) -> bool:
    """Whether a value is there: a number that is not too large, or the code of a category."""
    return bool(abs(x) <= LARGEST)


@njit(cache=True, error_model="numpy")
def answer(tree: Tree, row: int, x: Floats, rules: Rules, shares: Floats) -> bool:
    """Writes the share of each class; False if the leaf has nothing to say."""
    shares[:] = 0.0
    known, mass = tree.known[row], tree.mass[row]
    bayes = known[INACTIVE] == 0 and rules.leaf != MAJORITY
    if bayes and rules.leaf == BAYES:
        bayes = total(known, mass) >= rules.nb_threshold
    elif bayes:
        bayes = mass[BAYES_RIGHT] >= mass[RIGHT]
    if not bayes:
        _majority(known, mass, shares)
    elif not _bayes(known, mass, tree.seen[row], tree.moments[row], tree.cell, tree.counts, x, shares, rules.numbers):
        return False
    return bool(shares.any())


@njit(cache=True, error_model="numpy")
def learn(tree: Tree, row: int, x: Floats, c: int, rules: Rules, shares: Floats) -> float:
    """Takes one event of class `c` into a leaf, and answers the leaf's weight; `shares` is scratch."""
    known, mass, seen, moments = tree.known[row], tree.mass[row], tree.seen[row], tree.moments[row]
    cell, counts = tree.cell, tree.counts
    active = known[INACTIVE] == 0
    if active and rules.leaf > BAYES:
        _majority(known, mass, shares)
        mass[RIGHT] += known[KNOWN] == 0 or _likeliest(known, shares) == c
        bayes = _bayes(known, mass, seen, moments, cell, counts, x, shares, rules.numbers)
        mass[BAYES_RIGHT] += bayes and _likeliest(known, shares) == c
    if active and rules.leaf != MAJORITY:
        _ask_categories(known, mass, seen, x, rules.numbers)
    _count(known, mass, c)
    if active:
        _watch_numbers(known, seen, moments, x, c, rules.numbers)
        for column in range(rules.numbers, x.shape[0]):
            if present(x[column]):
                place = cell_of(seen, cell, column, int(x[column]))
                if place < 0:
                    place = _new_cell(tree, row, column, int(x[column]), rules)
                if place >= 0:
                    _watch(known, seen, column)
                    _see(seen, column, c)
                    counts[place, c] += 1
                    moments[column, c, N] += 1
    return total(known, mass)


@njit(cache=True, error_model="numpy")
def _new_cell(tree: Tree, row: int, column: int, code: int, rules: Rules) -> int:
    """For a category that comes to a leaf first; -1 if there is no room: then it counts as missing."""
    if tree.meta[FREE] or fits(tree, rules.size, 0, 1):
        return add_cell(tree, row, column, code)
    return -1


@njit(cache=True, error_model="numpy")
def _count(known: Small, mass: Floats, c: int) -> None:
    for k in range(known[KNOWN]):
        if known[ORDER + k] == c:
            mass[MASS + c] += 1
            return
    know(known, mass, c, 1.0)


@njit(cache=True, error_model="numpy")
def _majority(known: Small, mass: Floats, shares: Floats) -> None:
    weight = total(known, mass)
    factor = 1 / weight if weight != 0 else 1.0
    for k in range(known[KNOWN]):
        c = known[ORDER + k]
        shares[c] = mass[MASS + c] * factor


@njit(cache=True, error_model="numpy")
def _likeliest(known: Small, shares: Floats) -> int:
    """Of equals, the class that the leaf has known longest."""
    best = known[ORDER]
    for k in range(1, known[KNOWN]):
        if shares[known[ORDER + k]] > shares[best]:
            best = known[ORDER + k]
    return int(best)


@njit(cache=True, error_model="numpy")
def _bayes(
    known: Small,
    mass: Floats,
    seen: Small,
    moments: Floats,
    cell: Small,
    counts: Floats,
    x: Floats,
    shares: Floats,
    numbers: int,
) -> bool:
    """Naive Bayes over the columns that the leaf has watched; False before its first event."""
    weight = total(known, mass)
    if known[KNOWN] == 0 or weight == 0:
        return False
    for k in range(known[KNOWN]):
        c = known[ORDER + k]
        shares[c] = math.log(mass[MASS + c] / weight) if mass[MASS + c] > 0 else 0.0  # 0 as in river
    for a in range(known[WATCHED]):
        column = seen[a, PLACE]
        if not present(x[column]):
            continue
        place = cell_of(seen, cell, column, int(x[column])) if column >= numbers else -1
        for k in range(known[KNOWN]):
            c = known[ORDER + k]
            if not mass[MASS + c] > 0:
                continue
            if place >= 0 and counts[place, c] > 0:
                shares[c] += math.log(counts[place, c] / moments[column, c, N])
            elif moments[column, c, DOUBLE] < 0:
                away = x[column] - moments[column, c, MEAN]
                density = away * away / moments[column, c, DOUBLE] - HALF_LOG_TAU - moments[column, c, HALF]
                if density > -np.inf:
                    shares[c] += density
    _to_shares(known, shares)
    return True


@njit(cache=True, error_model="numpy")
def _to_shares(known: Small, shares: Floats) -> None:
    """Logarithms → shares that add up to 1."""
    highest, norm = -np.inf, 0.0
    for k in range(known[KNOWN]):
        highest = max(highest, shares[known[ORDER + k]])
    for k in range(known[KNOWN]):
        norm += math.exp(shares[known[ORDER + k]] - highest)
    norm = highest + math.log(norm)
    for k in range(known[KNOWN]):
        c = known[ORDER + k]
        shares[c] = math.exp(shares[c] - norm)


@njit(cache=True, error_model="numpy")
def _ask_categories(known: Small, mass: Floats, seen: Small, x: Floats, numbers: int) -> None:
    """River's naive Bayes makes a table for each class it asks about; splits on one category have their order."""
    for column in range(numbers, x.shape[0]):
        if seen[column, SEEN] and present(x[column]):
            for k in range(known[KNOWN]):
                if mass[MASS + known[ORDER + k]] > 0:
                    _see(seen, column, known[ORDER + k])


@njit(cache=True, error_model="numpy")
def _see(seen: Small, column: int, c: int) -> None:
    """Remembers in which order a column was seen with the classes."""
    many = seen[column, SEEN]
    for k in range(many):
        if seen[column, SEEN_ORDER + k] == c:
            return
    seen[column, SEEN_ORDER + many] = c
    seen[column, SEEN] = many + 1


@njit(cache=True, error_model="numpy")
def _watch(known: Small, seen: Small, column: int) -> None:
    """Lists a column that the leaf has not seen yet."""
    if seen[column, SEEN] == 0:
        seen[known[WATCHED], PLACE] = column
        known[WATCHED] += 1


@njit(cache=True, error_model="numpy")
def _watch_numbers(known: Small, seen: Small, moments: Floats, x: Floats, c: int, numbers: int) -> None:
    """Welford's mean and sum of squares, as river has them, and what a density needs of them."""
    for j in range(numbers):
        value = x[j]
        if not present(value):
            continue
        before, n = moments[j, c, MEAN], moments[j, c, N] + 1
        if n == 1:
            _watch(known, seen, j)
            _see(seen, j, c)
            moments[j, c, LOW] = moments[j, c, HIGH] = value
        mean = before + (1.0 / n) * (value - before)
        squares = moments[j, c, SQUARES] + (value - before) * (value - mean)
        moments[j, c, N], moments[j, c, MEAN], moments[j, c, SQUARES] = n, mean, squares
        moments[j, c, LOW] = min(moments[j, c, LOW], value)
        moments[j, c, HIGH] = max(moments[j, c, HIGH], value)
        if n > 1:
            moments[j, c, DOUBLE], moments[j, c, HALF] = density_of(squares / (n - 1))


@njit(cache=True, error_model="numpy")
def density_of(variance: float) -> tuple[float, float]:
    """What the logarithm of a normal density needs of the variance."""
    return -2.0 * variance, 0.5 * math.log(variance) if variance > 0 else 0.0
