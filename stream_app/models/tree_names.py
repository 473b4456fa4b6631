"""What a Hoeffding tree has learned, by the names of inputs, categories and classes: for others to read and write.

The list `nodes` begins with the root; `branches` are places in it, behind the node itself. A node is one of

    {"node": "number", "input": "distance", "threshold": 800.0, "branches": [1, 2]}      at most that, or above it
    {"node": "category", "input": "carrier", "category": "UA", "branches": [1, 2]}       this one, or another
    {"node": "categories", "input": "carrier", "categories": ["UA", "EV"], "branches": [1, 2]}      one for each
    {"node": "leaf", "counts": {"0": 80.0, "1": 20.0}, "classes": ["1", "0"],
     "tried": 60.0, "right": 33.0, "bayes_right": 35.0,
     "watched": [{"input": "distance", "classes": ["0", "1"], "moments": {
                    "0": {"count": 80, "mean": 1040.2, "squares": 4.3e7, "least": 80, "most": 2586}, "1": {…}}},
                 {"input": "carrier", "classes": ["0", "1"], "counts": {"0": {"UA": 50.0, "EV": 30.0}, "1": {…}}}]}

`counts` are weights (a leaf begins with its part of what its parent had), `tried` their sum when a split was last
tried, `right` and `bayes_right` how often the majority and naive Bayes would have been right. `watched` stands in the
order in which the leaf saw the inputs, `classes` in that in which it came to know them (it decides between equals; left
out, that of the object). With `"active": false` a leaf watches no inputs any more. A category that is null was not
known where the tree was loaded.
"""

from typing import Any, TypeAlias

import msgspec

from stream_app import config
from stream_app.models import Inputs
from stream_app.models.tree_arrays import (
    BAYES_RIGHT,
    CELL_CODE,
    CODE,
    COLUMN,
    EACH,
    HEAD,
    HIGH,
    INACTIVE,
    KIND,
    KNOWN,
    LEAF,
    LOW,
    MASS,
    MEAN,
    NEXT,
    NODES,
    NUMBER,
    ORDER,
    PLACE,
    RIGHT,
    ROW,
    SEEN,
    SEEN_ORDER,
    SQUARES,
    THRESHOLD,
    TRIED,
    WATCHED,
    N,
    Tree,
    children,
)


class Moments(msgspec.Struct, forbid_unknown_fields=True):
    """A number in the events of one class."""

    count: float
    mean: float
    squares: float
    least: float
    most: float


class Watched(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a leaf has seen of a number (`moments`) or of a category field (`counts`), by class."""

    input: str
    classes: list[str] = []
    moments: dict[str, Moments] | None = None
    counts: dict[str, dict[str, float]] | None = None


class Leaf(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, tag_field="node", tag="leaf"):
    """What a leaf has learned."""

    counts: dict[str, float]
    classes: list[str] = []
    tried: float = 0.0
    right: float = 0.0
    bayes_right: float = 0.0
    active: bool = True
    watched: list[Watched] = []


class AtNumber(msgspec.Struct, forbid_unknown_fields=True, tag_field="node", tag="number"):
    """At most the threshold, or above it."""

    input: str
    threshold: float
    branches: list[int]


class AtCategory(msgspec.Struct, forbid_unknown_fields=True, tag_field="node", tag="category"):
    """One category, or all others."""

    input: str
    category: str | None
    branches: list[int]


class AtCategories(msgspec.Struct, forbid_unknown_fields=True, tag_field="node", tag="categories"):
    """A branch for each category."""

    input: str
    categories: list[str | None]
    branches: list[int]


Node: TypeAlias = Leaf | AtNumber | AtCategory | AtCategories


class State(msgspec.Struct, forbid_unknown_fields=True):
    """All that a Hoeffding tree has learned."""

    nodes: list[Node]


def to_names(
    state: dict[str, Any], task: config.Task, inputs: Inputs, classes: tuple[str, ...]
) -> tuple[State, tuple[str, ...]]:
    """The state of a `HoeffdingTree` by names, and the classes it names: of many, those learned."""
    tree = Tree(**state)
    named = [_node(tree, at, inputs, classes) for at in range(tree.meta[NODES])]
    learned = {text for node in named if isinstance(node, Leaf) for text in node.counts}
    known = classes if task.type == "binary" else tuple(text for text in classes if text in learned)
    return State(named), known


def _node(tree: Tree, at: int, inputs: Inputs, classes: tuple[str, ...]) -> Node:
    kind, column = tree.node[at, [KIND, COLUMN]].tolist()
    if kind == LEAF:
        return _leaf(tree, int(tree.node[at, ROW]), inputs, classes)
    name, below = (*inputs.numbers, *inputs.categories)[column], children(tree, at)
    if kind == NUMBER:
        return AtNumber(name, float(tree.place[at, THRESHOLD]), below)
    texts = inputs.vocabulary[column - len(inputs.numbers)]
    if kind == EACH:
        codes = [int(tree.node[child, CODE]) for child in below]
        return AtCategories(name, [texts[code] if code >= 0 else None for code in codes], below)
    code = int(tree.place[at, THRESHOLD])
    return AtCategory(name, texts[code] if code >= 0 else None, below)


def _leaf(tree: Tree, row: int, inputs: Inputs, classes: tuple[str, ...]) -> Leaf:
    known, mass, seen = tree.known[row], tree.mass[row], tree.seen[row]
    order = known[ORDER : ORDER + known[KNOWN]].tolist()
    leaf = Leaf({classes[c]: float(mass[MASS + c]) for c in order}, [classes[c] for c in order])
    leaf.tried, leaf.right, leaf.bayes_right = mass[[TRIED, RIGHT, BAYES_RIGHT]].tolist()
    leaf.active = not known[INACTIVE]
    leaf.watched = [_watched(tree, row, column, inputs, classes) for column in seen[: known[WATCHED], PLACE].tolist()]
    return leaf


def _watched(tree: Tree, row: int, column: int, inputs: Inputs, classes: tuple[str, ...]) -> Watched:
    seen, numbers = tree.seen[row, column], len(inputs.numbers)
    order = seen[SEEN_ORDER : SEEN_ORDER + seen[SEEN]].tolist()
    found = Watched((*inputs.numbers, *inputs.categories)[column], [classes[c] for c in order])
    if column < numbers:
        cells = tree.moments[row, column][:, [N, MEAN, SQUARES, LOW, HIGH]].tolist()
        found.moments = {classes[c]: Moments(*cells[c]) for c in order}
    else:
        texts = inputs.vocabulary[column - numbers]
        found.counts = {classes[c]: _counts(tree, row, column, c, texts) for c in order}
    return found


def _counts(tree: Tree, row: int, column: int, c: int, texts: list[str]) -> dict[str, float]:
    found, cell = {}, tree.seen[row, column, HEAD] - 1
    while cell >= 0:
        if tree.counts[cell, c] > 0:
            found[texts[tree.cell[cell, CELL_CODE]]] = float(tree.counts[cell, c])
        cell = tree.cell[cell, NEXT] - 1
    return found
