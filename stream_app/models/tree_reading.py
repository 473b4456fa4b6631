"""A Hoeffding tree from its document (`models.tree_names`): every place checked, names matched with this monitor's."""

from typing import Any, NamedTuple

import numpy as np

from stream_app.models import Inputs
from stream_app.models.classifier import LARGEST
from stream_app.models.document import Document, Foreign
from stream_app.models.tree_arrays import (
    BAYES_RIGHT,
    CLASSES,
    CODE,
    COLUMN,
    DEPTH,
    DOUBLE,
    EACH,
    FIRST,
    HALF,
    HIGH,
    INACTIVE,
    KIND,
    LOW,
    MEAN,
    NODES,
    NUMBER,
    ONE,
    PARENT,
    PLACE,
    RIGHT,
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
    Tree,
    add_cell,
    cell_of,
    children,
    know,
    new_tree,
    resized,
    trimmed,
)
from stream_app.models.tree_leaf import density_of, total
from stream_app.models.tree_names import AtCategories, AtCategory, AtNumber, Leaf, Moments, State, Watched


class Names(NamedTuple):
    """What the names of a document are here."""

    columns: dict[str, int]
    numbers: int  # columns from here on are categories
    codes: list[dict[str, int]]  # of each category field
    classes: dict[str, int]  # -1: not known here
    unknown: list[dict[str, None]]  # of each category field, texts that have no code here

    def column(self, name: str, path: str, *, number: bool) -> int:
        """Of an input of that kind."""
        column = self.columns.get(name)
        if column is None or (column < self.numbers) != number:
            kind = "numbers" if number else "categories"
            raise ValueError(f'{path}: "{name}" does not stand in $.inputs.{kind}')
        return column

    def code(self, column: int, text: str | None) -> int:
        """Of a category, -1 if it has none here."""
        field = column - self.numbers
        if text is not None and text not in self.codes[field]:
            self.unknown[field][text] = None
        return -1 if text is None else self.codes[field].get(text, -1)

    def coded(self, by_class: dict[str, Any], order: list[str], path: str) -> dict[int, Any]:
        """What is given by class, by its code, in that order; without classes that have none here."""
        for text in by_class:
            if text not in self.classes:
                known = ", ".join(self.classes)
                raise ValueError(f'{path}: class "{text}" does not stand in $.classes: {known}')
        if order and sorted(order) != sorted(by_class):
            raise ValueError(f"{path}: its classes must name each of {', '.join(by_class)} once")
        return {self.classes[text]: by_class[text] for text in order or by_class if self.classes[text] >= 0}


def from_names(
    named: State, document: Document, inputs: Inputs, classes: list[str], outputs: int
) -> tuple[dict[str, Any], Foreign]:
    """The state for `HoeffdingTree.load`, and by category field the texts that have no code here.

    ValueError names the place of what does not fit. Classes that have no code here are left out: the caller sees which.
    """
    listed = (*document.inputs.numbers, *document.inputs.categories)
    names = Names(
        {name: j for j, name in enumerate((*inputs.numbers, *inputs.categories)) if name in listed},
        len(inputs.numbers),
        [{text: code for code, text in enumerate(texts)} for texts in inputs.vocabulary],
        {text: classes.index(text) if text in classes else -1 for text in document.classes or tuple(classes)},
        [{} for _ in inputs.categories],
    )
    tree = _read(named, names, len(inputs.numbers) + len(inputs.categories), max(2, outputs))
    fields = zip(inputs.categories, names.unknown, strict=True)
    return trimmed(tree)._asdict(), {field: tuple(unknown) for field, unknown in fields if unknown}


def _read(named: State, names: Names, columns: int, classes: int) -> Tree:
    many, cells = len(named.nodes), 0
    for node in named.nodes:
        if isinstance(node, Leaf):
            cells += sum(len(texts) for each in node.watched for texts in (each.counts or {}).values())
    tree = resized(new_tree(columns), max(1, many), max(1, many), cells, classes)
    tree.meta[[NODES, ROWS, CLASSES]] = many, 0, classes
    for at, node in enumerate(named.nodes):
        path = f"$.state.nodes[{at}]"
        if isinstance(node, Leaf):
            _put_leaf(tree, at, node, names, path)
        else:
            _put_branch(tree, at, node, names, path)
    if not many or (tree.node[1:many, DEPTH] == 0).any():
        raise ValueError("$.state.nodes: must begin with the root, and each other node be a branch of one before it")
    for at in reversed(range(many)):
        below = children(tree, at)
        if below:
            tree.place[at, WEIGHT] = sum(tree.place[below, WEIGHT].tolist())
    return tree


def _put_branch(tree: Tree, at: int, node: AtNumber | AtCategory | AtCategories, names: Names, path: str) -> None:
    column = names.column(node.input, f"{path}.input", number=isinstance(node, AtNumber))
    codes = [0, 0]
    if isinstance(node, AtNumber):
        kind, threshold = NUMBER, node.threshold
    elif isinstance(node, AtCategory):
        kind, threshold = ONE, float(names.code(column, node.category))
    else:
        kind, threshold, codes = EACH, 0.0, [names.code(column, text) for text in node.categories]
    if len(node.branches) != len(codes) or not codes:
        raise ValueError(f"{path}.branches: must be {len(codes) or 'one or more'}, not {len(node.branches)}")
    tree.node[at, [KIND, COLUMN]] = kind, column
    tree.place[at, THRESHOLD] = threshold
    before = 0
    for child, code in zip(node.branches, codes, strict=True):
        if not at < child < tree.meta[NODES] or tree.node[child, DEPTH]:
            raise ValueError(f"{path}.branches: {child} is no node behind this one that is no other's branch")
        tree.node[child, [PARENT, DEPTH, CODE]] = at, tree.node[at, DEPTH] + 1, code
        if before:
            tree.node[before, SIBLING] = child
        else:
            tree.node[at, FIRST] = child
        before = child


def _put_leaf(tree: Tree, at: int, leaf: Leaf, names: Names, path: str) -> None:
    row = int(tree.meta[ROWS])
    tree.meta[ROWS] += 1
    tree.node[at, ROW] = row
    known, mass = tree.known[row], tree.mass[row]
    for c, weight in names.coded(leaf.counts, leaf.classes, f"{path}.counts").items():
        know(known, mass, c, _positive(weight, f"{path}.counts"))
    tree.place[at, WEIGHT] = total(known, mass)
    rights = leaf.tried, leaf.right, leaf.bayes_right
    mass[[TRIED, RIGHT, BAYES_RIGHT]] = [_positive(value, path) for value in rights]
    known[INACTIVE] = not leaf.active
    for j, watched in enumerate(leaf.watched):
        _put_watched(tree, row, watched, names, f"{path}.watched[{j}]")


def _put_watched(tree: Tree, row: int, watched: Watched, names: Names, path: str) -> None:
    column = names.column(watched.input, f"{path}.input", number=watched.moments is not None)
    if (watched.moments is None) == (watched.counts is None) or tree.seen[row, column, SEEN]:
        raise ValueError(f"{path}: must have moments or counts, of an input that stands here once")
    by_class = names.coded(watched.moments or watched.counts or {}, watched.classes, path)
    if not by_class:
        return  # of other classes only
    tree.seen[row, tree.known[row, WATCHED], PLACE] = column
    tree.known[row, WATCHED] += 1
    tree.seen[row, column, SEEN] = len(by_class)
    tree.seen[row, column, SEEN_ORDER : SEEN_ORDER + len(by_class)] = list(by_class)
    for c, found in by_class.items():
        if isinstance(found, Moments):
            _put_moments(tree.moments[row, column, c], found, path)
        else:
            _put_counts(tree, row, column, c, found, names, path)


def _put_moments(cell: Any, found: Moments, path: str) -> None:
    if not max(abs(found.mean), abs(found.least), abs(found.most)) <= LARGEST:
        raise ValueError(f"{path}: mean, least and most must be within ± {LARGEST:g}")
    squares = _positive(found.squares, path)
    cell[[N, MEAN, SQUARES, LOW, HIGH]] = _positive(found.count, path), found.mean, squares, found.least, found.most
    if found.count > 1:
        cell[[DOUBLE, HALF]] = density_of(squares / (found.count - 1))


def _put_counts(tree: Tree, row: int, column: int, c: int, found: dict[str, float], names: Names, path: str) -> None:
    for text, count in found.items():
        code = names.code(column, text)
        tree.moments[row, column, c, N] += _positive(count, path)
        if code >= 0:
            cell = cell_of(tree.seen[row], tree.cell, column, code)
            tree.counts[add_cell(tree, row, column, code) if cell < 0 else cell, c] += count


def _positive(value: float, path: str) -> float:
    if not 0 <= value < np.inf:
        raise ValueError(f"{path}: must be at least 0, not {value}")
    return value
