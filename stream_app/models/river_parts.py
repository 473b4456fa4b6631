"""What each input adds to the answer of a river model: of linear models, Hoeffding trees and ensembles of them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from river import base, compose, stats
from river.linear_model.base import GLM
from river.tree.hoeffding_tree import HoeffdingTree
from river.tree.nodes.branch import DTBranch

from stream_app.messages import Floats
from stream_app.models.estimators import SAMPLERS
from stream_app.models.steps import SELECTORS, Prepared

Row = dict[str, Any]
Values = dict[int, Floats]  # id of a node → mean answer of the rows below it

LAYERED: Any = (Prepared, compose.Pipeline, *SAMPLERS)  # what holds a model in itself


def contributions(
    estimator: Any, rows: list[Row], columns: Mapping[str, int], shape: tuple[int, int], labels: list[Any] | None
) -> tuple[str, Floats] | None:
    """How, and [rows, inputs, outputs]; None for models whose answer is no sum over inputs, and trees without a split.

    `columns` tells the input behind the name of a value, `labels` the classes in the order of the outputs, None for a
    regression. A pipeline and steps transform their rows here, which may change them: hand over a copy. None too where
    the model uses a value that no one input is behind.
    """
    while isinstance(estimator, LAYERED):
        *transformers, model = _taken_apart(estimator)
        if not all(map(_keeps_names, transformers)):
            return None
        rows = [estimator.transform_one(row) for row in rows] if transformers else rows
        estimator = model
    if isinstance(estimator, GLM):
        return _linear(estimator, rows, columns, shape)
    roots = [tree._root for tree in _trees(estimator)]  # noqa: SLF001  (river shows its nodes nowhere else)
    if not any(map(_splits, roots)):
        return None
    parts = np.zeros((len(rows), *shape))
    if not all(_add_paths(root, rows, columns, labels, parts) for root in filter(_splits, roots)):
        return None
    return "tree path", parts / len(roots)


def _taken_apart(estimator: Any) -> list[Any]:
    """The transformers, and the model behind them."""
    if isinstance(estimator, Prepared):
        return estimator.parts
    if isinstance(estimator, compose.Pipeline):
        return list(estimator.steps.values())
    return [estimator._wrapped_model]  # noqa: SLF001  (river's own name for what a sampler teaches)


def _keeps_names(transformer: Any) -> bool:
    """Whether a value that has the name of an input is that input's; river.compose can call one like another."""
    if isinstance(transformer, compose.TransformerUnion):
        return all(map(_keeps_names, transformer.transformers.values()))
    if isinstance(transformer, compose.Pipeline):
        return all(map(_keeps_names, transformer.steps.values()))
    return isinstance(transformer, SELECTORS) or not type(transformer).__module__.startswith("river.compose.")


def _linear(
    model: Any, rows: list[Row], columns: Mapping[str, int], shape: tuple[int, int]
) -> tuple[str, Floats] | None:
    weights = dict(model.weights)
    parts = np.zeros((len(rows), *shape))
    for i, row in enumerate(rows):
        for name, value in row.items():
            if name not in columns:
                return None  # made by the pipeline out of several inputs
            parts[i, columns[name], 0] += weights.get(name, 0.0) * value
    return "linear", parts


def _trees(model: Any) -> list[Any]:
    members = list(model) if isinstance(model, base.Ensemble) else [model]
    return members if all(isinstance(member, HoeffdingTree) for member in members) else []


def _splits(node: Any) -> bool:
    return isinstance(node, DTBranch)


def _add_paths(root: Any, rows: list[Row], columns: Mapping[str, int], labels: list[Any] | None, parts: Floats) -> bool:
    """Adds what each split on the way of each row changes; False if one is on a value that is no input."""
    values = _values(root, _distribution(labels) if labels else _mean)
    for i, row in enumerate(rows):
        node: Any = root
        while _splits(node):
            try:
                below = node.next(row)
            except KeyError:  # the value is missing, or a category without a branch
                below = node.most_common_path()[1]
            if node.feature not in columns:
                return False
            parts[i, columns[node.feature]] += values[id(below)] - values[id(node)]
            node = below
    return True


def _values(root: Any, of_leaf: Callable[[Any], tuple[float, Floats]]) -> Values:
    """The mean answer below each node, by the weight of the leaves; without recursion, for trees may be deep."""
    order, nodes = [], [root]
    while nodes:
        node = nodes.pop()
        order.append(node)
        nodes += node.children if _splits(node) else []
    weighed: dict[int, tuple[float, Floats]] = {}
    for node in reversed(order):
        if _splits(node):
            below = [weighed[id(child)] for child in node.children]
            total = sum(weight for weight, _ in below)
            shares = [weight / total if total else 1 / len(below) for weight, _ in below]
            weighed[id(node)] = total, np.dot(shares, [value for _, value in below])
        else:
            weighed[id(node)] = of_leaf(node)
    return {node: value for node, (_, value) in weighed.items()}


def _mean(leaf: Any) -> tuple[float, Floats]:
    found = leaf.stats
    known = isinstance(found, stats.Var) and found.mean.n > 0
    return (found.mean.n, np.array([found.mean.get()])) if known else (0.0, np.zeros(1))


def _distribution(labels: list[Any]) -> Callable[[Any], tuple[float, Floats]]:
    def of_leaf(leaf: Any) -> tuple[float, Floats]:
        total = sum(leaf.stats.values())
        counts = np.array([leaf.stats.get(label, 0.0) for label in labels])
        return total, counts / total if total else np.full(len(labels), 1 / max(2, len(labels)))

    return of_leaf
