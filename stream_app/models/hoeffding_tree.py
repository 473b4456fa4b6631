"""`use = "hoeffding_tree"`: the Hoeffding tree for classes, compiled into one pass over the tape."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app import config
from stream_app.messages import Floats, Ints
from stream_app.models import LEARN, PREDICT, Inputs
from stream_app.models.classifier import CompiledClassifier, is_class, write
from stream_app.models.tree_arrays import (
    CLASSES,
    CODE,
    COLUMN,
    DEPTH,
    EACH,
    FIRST,
    INACTIVE,
    KIND,
    LEAF,
    MASS,
    NODES,
    NUMBER,
    ROW,
    ROWS,
    SIBLING,
    THRESHOLD,
    TRIED,
    WEIGHT,
    Small,
    Tree,
    children,
    fits,
    has_room,
    new_tree,
    resized,
    restored,
    trimmed,
)
from stream_app.models.tree_leaf import answer, learn, present
from stream_app.models.tree_params import Rules, rules_of
from stream_app.models.tree_split import grow, new_leaf, weigh


class HoeffdingTree(CompiledClassifier):
    """A decision tree that splits a leaf when its events show which column is best (Domingos and Hulten 2000).

    A leaf keeps, per class, how often each category came and mean and variance of each number. Every `grace_period`
    events it compares splits: of a number at ten thresholds, each class taken as normal; of a category a branch for
    each, or one against the rest. It splits if the best leads the next by the Hoeffding bound
    ε = √(R² ln(1/delta) / 2n), or if ε < tau. A leaf answers by its majority ("mc"), by naive Bayes ("nb"), or by
    whichever was right more often there ("nba").

    The answers are those of river 0.26.1's `tree.HoeffdingTreeClassifier` behind
    `use = "river.tree.HoeffdingTreeClassifier"`, with the parameters that have its names: probabilities to 1e-9, on
    numbers and categories (its nominal attributes) with missing values, two classes or many; predictions the same but
    for ties (tests/test_hoeffding_tree.py). Not so where river leaves it open: of categories that are equally good to
    part from the rest it takes the one that Python's hashes put first, this tree the first by its text; and from Python
    3.12 on river's sums round otherwise, which may move a split by an event. Not taken over: other splitters,
    `hellinger`, `remove_poor_attrs`, and river's limit of memory.

    `max_size` (MiB) bounds what is in use of arrays that grow by doubling: a split or a new category for which there is
    no room is left out, and the leaves go on learning. A missing (NaN, inf) or absurdly large value takes the heaviest
    branch, and counts nowhere. No prediction (NaN) before the first label. Cost: O(depth + columns · classes) time per
    operation, times the number of categories where they are looked for; a leaf holds some 60 · columns · classes bytes,
    and 8 · classes for each category it has seen.

    >>> model = HoeffdingTree({"grace_period": 20}, config.Task(), Inputs(("x",), (), 8, []))
    >>> X = np.linspace(0, 1, 200)[:, None]
    >>> y, learn = (X[:, 0] > 0.5).astype(float), np.full(200, LEARN, np.uint8)
    >>> model.run(learn, np.arange(200)[::-1], y[::-1], X, np.empty((200, 1)))
    []
    >>> model.peek(np.array([[0.2], [0.8], [np.nan]])).round(2).tolist()
    [[0.0], [1.0], [1.0]]
    """

    def __init__(self, params: dict[str, Any], task: config.Task, inputs: Inputs) -> None:
        super().__init__("hoeffding_tree", task)
        self._rules = rules_of(params, inputs)
        self._columns = len(inputs.numbers) + len(inputs.categories)
        self._tree = new_tree(self._columns)
        self._vocabulary, self._width = inputs.vocabulary, inputs.width
        self._ranks = np.zeros((0, 0), np.int32)
        self._ranked_texts = -1  # how many there were

    def _run(self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, answers: Floats) -> int:
        start = predicted = refused = 0
        while True:
            rest = kind[start:], slot[start:], target[start:]
            done, more, bad, due = _run(*rest, X, answers[predicted:], self._tree, self._rules, self.classes)
            start, predicted, refused = start + done, predicted + more, refused + bad
            if due >= 0:
                grow(self._tree, due, self._rules, self._ranked())
            elif start == len(kind):
                return refused
            else:
                self._make_room(int(target[start]))

    def _ranked(self) -> Small:
        """Where the text of each category stands among those of its field [fields, codes]."""
        texts = sum(map(len, self._vocabulary))
        if texts != self._ranked_texts:
            self._ranked_texts = texts
            self._ranks = np.tile(np.arange(self._width, dtype=np.int32), (len(self._vocabulary), 1))
            for ranks, known in zip(self._ranks, self._vocabulary, strict=True):
                ranks[np.argsort(np.array(known, object), kind="stable")] = np.arange(len(known))
        return self._ranks

    def _make_room(self, c: int) -> None:
        """Twice as much of what is short: one label adds less than there is, but for a field with many categories."""
        tree, classes = self._tree, self._tree.counts.shape[1]
        if c >= classes:
            self._tree = resized(tree, len(tree.node), len(tree.known), len(tree.cell), min(self.classes, 2 * c))
        else:
            self._tree = resized(tree, 2 * len(tree.node), 2 * len(tree.known), 2 * len(tree.cell) + 8, classes)

    def contributions(self, X: Floats) -> tuple[str, Floats] | None:
        """Along each row's path, the change of the shares of the classes below (Saabas 2014); None without a split."""
        if self._tree.node[0, KIND] == LEAF:
            return None
        parts = np.zeros((*X.shape, self.classes))
        _add_paths(self._tree, X, _shares_below(self._tree, self.outputs), parts)
        return "tree path", parts if self.outputs > 1 else parts[:, :, 1:]

    def reset(self) -> None:
        """Forgets all that was learned."""
        self._tree = new_tree(self._columns)

    def to_state(self) -> dict[str, Any]:
        """The arrays, as far as they are in use."""
        return trimmed(self._tree)._asdict()

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `to_state()`; ValueError if the inputs or classes were others."""
        tree = restored(state, self._columns)
        if tree.meta[CLASSES] > self.classes:
            raise ValueError(f"state of another hoeffding_tree model: it has {tree.meta[CLASSES]} classes")
        self._tree = tree


def _shares_below(tree: Tree, outputs: int) -> Floats:
    """The mean share of each class below each node, by weight [nodes, classes]; children stand behind their parents."""
    nodes, classes = int(tree.meta[NODES]), tree.counts.shape[1]
    weights, shares = np.zeros(nodes), np.zeros((nodes, classes))
    for node in reversed(range(nodes)):
        below = children(tree, node)
        if below:
            weights[node] = weights[below].sum()
            part = weights[below] / weights[node] if weights[node] else np.full(len(below), 1 / len(below))
            shares[node] = part @ shares[below]
        else:
            weight = tree.mass[tree.node[node, ROW], MASS:]
            weights[node] = weight.sum()
            shares[node] = weight / weights[node] if weights[node] else 1 / max(2, outputs)
    return shares


@njit(cache=True, error_model="numpy")
def _run(
    kind: NDArray[np.uint8],
    slot: Ints,
    target: Floats,
    X: Floats,
    answers: Floats,
    tree: Tree,
    rules: Rules,
    classes: int,
) -> tuple[int, int, int, int]:
    """Runs the tape until a leaf is due to grow, or there is no room for a label.

    How many operations, predictions, targets that are no class; and the leaf, -1 if none. A kernel that let it grow
    itself would take twice as long to compile.
    """
    shares = np.zeros(classes)
    refused = predicted = 0
    node, place = tree.node, tree.place
    meta, known, mass, cell, room = tree.meta, tree.known, tree.mass, tree.cell, tree.counts.shape[1]
    for i in range(kind.shape[0]):
        x = X[slot[i]]
        if kind[i] == PREDICT:
            if answer(tree, node[_leaf(node, place, x), ROW], x, rules, shares):
                write(answers[predicted], shares)
            predicted += 1
        elif kind[i] == LEARN:
            if not is_class(target[i], classes):
                refused += 1
                continue
            if target[i] >= room or not has_room(meta, node, known, cell, X.shape[1]):
                return i, predicted, refused, -1
            c = int(target[i])
            meta[CLASSES] = max(meta[CLASSES], c + 1)
            at = _descend(node, place, 0, x)
            straight = node[at, KIND] == LEAF
            if not straight:
                at = _go_on(tree, at, x, rules)
            row = node[at, ROW]
            place[at, WEIGHT] = learn(tree, row, x, c, rules, shares)
            weigh(node, place, at)
            if straight and not known[row, INACTIVE] and _is_due(place[at, WEIGHT], mass[row, TRIED], node[at], rules):
                return i + 1, predicted, refused, at
    return kind.shape[0], predicted, refused, -1


@njit(cache=True, error_model="numpy")
def _is_due(weight: float, tried: float, node: Small, rules: Rules) -> bool:
    return bool(weight - tried >= rules.grace_period or node[DEPTH] >= rules.max_depth)


@njit(cache=True, error_model="numpy")
def _go_on(tree: Tree, at: int, x: Floats, rules: Rules) -> int:
    """Down to a leaf from where the value is missing, or new; as in river, that leaf may not split by this event."""
    while tree.node[at, KIND] != LEAF:
        at = _descend(tree.node, tree.place, _branch(tree, at, x, rules), x)
    return at


@njit(cache=True, error_model="numpy")
def _descend(node: Small, place: Floats, at: int, x: Floats) -> int:
    """Down to a leaf, or to where the row does not say which branch."""
    while node[at, KIND] != LEAF:
        child = _child(node, place, at, x)
        if child < 0:
            return at
        at = child
    return at


@njit(cache=True, error_model="numpy")
def _branch(tree: Tree, at: int, x: Floats, rules: Rules) -> int:
    """A new one for a category that comes here first, if there is room; else the heaviest."""
    column = tree.node[at, COLUMN]
    new = tree.node[at, KIND] == EACH and present(x[column])
    if not (new and fits(tree, rules.size, 2, 0)):
        return _heaviest(tree.node, tree.place, at)
    child = new_leaf(tree, at, int(x[column]), tree.meta[ROWS])
    tree.meta[ROWS] += 1
    return child


@njit(cache=True, error_model="numpy")
def _leaf(node: Small, place: Floats, x: Floats) -> int:
    """Where a row ends; by the heaviest branch where it does not say which."""
    at = _descend(node, place, 0, x)
    while node[at, KIND] != LEAF:
        at = _descend(node, place, _heaviest(node, place, at), x)
    return at


@njit(cache=True, error_model="numpy")
def _child(node: Small, place: Floats, at: int, x: Floats) -> int:
    """The branch of a row, -1 if its value is missing or has none."""
    kind, value, child = node[at, KIND], x[node[at, COLUMN]], node[at, FIRST]
    if not present(value):
        return -1
    if kind == EACH:
        while child and node[child, CODE] != value:
            child = node[child, SIBLING]
        return int(child or -1)
    first = value <= place[at, THRESHOLD] if kind == NUMBER else value == place[at, THRESHOLD]
    return int(child if first else node[child, SIBLING])


@njit(cache=True, error_model="numpy")
def _heaviest(node: Small, place: Floats, at: int) -> int:
    best = child = node[at, FIRST]
    while child:
        if place[child, WEIGHT] > place[best, WEIGHT]:
            best = child
        child = node[child, SIBLING]
    return int(best)


@njit(cache=True, error_model="numpy")
def _add_paths(tree: Tree, X: Floats, shares: Floats, parts: Floats) -> None:
    """Adds what each branch on the way of each row changes to the part of its column."""
    for i in range(X.shape[0]):
        at = 0
        while tree.node[at, KIND] != LEAF:
            child = _child(tree.node, tree.place, at, X[i])
            child = child if child >= 0 else _heaviest(tree.node, tree.place, at)
            for c in range(shares.shape[1]):
                parts[i, tree.node[at, COLUMN], c] += shares[child, c] - shares[at, c]
            at = child
