"""What a linear model has learned, by the names of inputs, categories and classes: for others to read and write.

    {"numbers": {"distance": {"mean": 1040.2, "variance": 5.4e5, "count": 9000, "weight": -0.31}},
     "categories": {"carrier": {"UA": 0.12, "EV": -0.4}},
     "intercept": -1.3}

The score is `intercept + Σ weight * (x - mean) / √variance + Σ weight of the category`; a number without variance, a
missing value and a category that is not listed add nothing. A binary model answers 1 / (1 + e^-score) for the second
class. In multiclass tasks each weight is an object, class → weight, and the answer the softmax over the document's
`classes`; a class that is not listed weighs 0. A regression with scaled target (the default of `linear`) has besides
`"target": {"mean", "variance", "count"}` and answers `score * √variance + mean`.

The variance is the population's (divided by n, as scikit-learn's StandardScaler has it). The count says how many rows
the mean and the variance stand for: the model goes on learning from there.
"""

import math
from typing import Any, TypeAlias

import msgspec
import numpy as np

from stream_app import config
from stream_app.messages import Floats
from stream_app.models import Inputs
from stream_app.models.document import Document, Foreign, check_names
from stream_app.models.linear import COUNT, LARGEST, MEAN, SCALE, VAR

Weight: TypeAlias = float | dict[str, float]  # one, or one for each class by its text
Columns: TypeAlias = dict[str, int]  # text of a class → column of the weights


class Spread(msgspec.Struct, forbid_unknown_fields=True):
    """Where the values of something lie."""

    mean: float
    variance: float
    count: float


class Number(Spread, forbid_unknown_fields=True):
    """One number and what it weighs."""

    weight: Weight


class State(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """All that a linear model has learned."""

    intercept: Weight
    numbers: dict[str, Number] = {}
    categories: dict[str, dict[str, Weight]] = {}
    target: Spread | None = None


def to_names(
    state: dict[str, Any], task: config.Task, inputs: Inputs, classes: tuple[str, ...]
) -> tuple[State, tuple[str, ...]]:
    """The state of a `LinearModel` by names, and the classes it names: of many, those learned."""
    stats, weights = state["stats"], state["weights"]
    columns: Columns | None = None
    if task.type == "multiclass":
        columns = {text: code for code, text in enumerate(classes) if state["seen"][code]}
        classes = tuple(columns)
    spreads = [Spread(*column) for column in stats[[MEAN, VAR, COUNT]].T.tolist()]
    numbers = {
        name: Number(spread.mean, spread.variance, spread.count, _weight(weights[j], columns))
        for j, (name, spread) in enumerate(zip(inputs.numbers, spreads[:-1], strict=True))
    }
    categories = {
        field: {text: _weight(weights[_row(inputs, j, code)], columns) for code, text in enumerate(texts)}
        for j, (field, texts) in enumerate(zip(inputs.categories, inputs.vocabulary, strict=True))
    }
    target = spreads[-1] if task.type == "regression" else None
    return State(_weight(weights[-1], columns), numbers, categories, target), classes


def from_names(
    named: State, document: Document, inputs: Inputs, classes: list[str], outputs: int
) -> tuple[dict[str, Any], Foreign]:
    """The state for `LinearModel.load`, and by category field the texts that have no code here.

    ValueError names the place of what does not fit. Classes that have no code here are left out: the caller sees which.
    """
    check_names(document, named.numbers, named.categories)
    scaled = document.task == "regression" and document.params.get("scale_target", True)
    columns = {text: classes.index(text) if text in classes else -1 for text in document.classes}
    of_classes = columns if document.task == "multiclass" else None
    stats = np.zeros((4, len(inputs.numbers) + 1))
    weights = np.zeros((len(inputs.numbers) + len(inputs.categories) * inputs.width + 1, outputs))
    for j, name in enumerate(inputs.numbers):
        if (number := named.numbers.get(name)) is not None:
            _observe(stats, j, number, f'$.state.numbers["{name}"]')
            _put(weights[j], number.weight, of_classes, f'$.state.numbers["{name}"].weight')
    unknown = _put_categories(weights, named, inputs, of_classes)
    _put(weights[-1], named.intercept, of_classes, "$.state.intercept")
    if document.task == "binary" and document.classes and list(document.classes) != classes:
        weights *= -1  # the other class is the positive one there
    if scaled:
        _observe(stats, len(inputs.numbers), named.target, "$.state.target")
    stats[SCALE] = np.divide(1, np.sqrt(stats[VAR]), out=np.zeros(stats.shape[1]), where=stats[VAR] > 0)
    seen = np.zeros(outputs, np.uint8)
    seen[[column for column in (of_classes or {}).values() if column >= 0]] = 1
    return {"stats": stats, "weights": weights, "seen": seen}, unknown


def _put_categories(weights: Floats, named: State, inputs: Inputs, columns: Columns | None) -> Foreign:
    unknown: Foreign = {}
    for j, (field, texts) in enumerate(zip(inputs.categories, inputs.vocabulary, strict=True)):
        given = named.categories.get(field, {})
        codes = {text: code for code, text in enumerate(texts)}
        for text, weight in given.items():
            place = weights[_row(inputs, j, codes[text])] if text in codes else np.empty(weights.shape[1])
            _put(place, weight, columns, f'$.state.categories["{field}"]["{text}"]')
        foreign = tuple(text for text in given if text not in codes)
        unknown |= {field: foreign} if foreign else {}
    return unknown


def _row(inputs: Inputs, field: int, code: int) -> int:
    """Where the weights of one category stand."""
    return len(inputs.numbers) + field * inputs.width + code


def _weight(row: Floats, columns: Columns | None) -> Weight:
    return float(row[0]) if columns is None else {text: float(row[column]) for text, column in columns.items()}


def _put(row: Floats, weight: Weight, columns: Columns | None, path: str) -> None:
    """Writes one weight, or one for each class that has a column here."""
    if columns is None or not isinstance(weight, dict):
        if columns is not None or isinstance(weight, dict):
            wanted = "one number" if columns is None else "an object, class → weight, in a multiclass task"
            raise ValueError(f"{path}: must be {wanted}")
        row[0] = weight
        return
    for text, value in weight.items():
        if text not in columns:
            raise ValueError(f'{path}: class "{text}" does not stand in $.classes: {", ".join(columns)}')
        if columns[text] >= 0:
            row[columns[text]] = value


def _observe(stats: Floats, column: int, spread: Spread | None, path: str) -> None:
    if spread is None:
        raise ValueError(f"{path}: missing; give its mean, variance and count, or params.scale_target false")
    if not abs(spread.mean) <= LARGEST:
        raise ValueError(f"{path}.mean: {spread.mean} is beyond ± {LARGEST:g}")
    if not 0 <= spread.variance < math.inf or not 0 <= spread.count < math.inf:
        raise ValueError(f"{path}: variance and count must be at least 0, not {spread.variance} and {spread.count}")
    stats[[MEAN, VAR, COUNT], column] = spread.mean, spread.variance, spread.count
