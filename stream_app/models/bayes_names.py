"""What a naive Bayes model has learned, by the names of inputs and classes: for others to read and write.

    {"counts": {"0": 800, "1": 200},
     "numbers": {"distance": {"0": {"count": 790, "mean": 1040.2, "squares": 4.3e8}, "1": {…}}}}

`counts` has the events of each class, `numbers` how many of them had the number, its mean in them, and the sum of the
squared deviations from that mean (count times the population's variance). A class that is left out was never seen.
Categories take no part.
"""

import math
from typing import Any

import msgspec
import numpy as np

from stream_app import config
from stream_app.models import Inputs
from stream_app.models.classifier import LARGEST
from stream_app.models.document import Document, Foreign, check_names
from stream_app.models.naive_bayes import COUNT, MEAN, SD, SQUARES


class Moments(msgspec.Struct, forbid_unknown_fields=True):
    """A number in the events of one class."""

    count: float
    mean: float
    squares: float


class State(msgspec.Struct, forbid_unknown_fields=True):
    """All that a naive Bayes model has learned."""

    counts: dict[str, float]
    numbers: dict[str, dict[str, Moments]]


def to_names(
    state: dict[str, Any], task: config.Task, inputs: Inputs, classes: tuple[str, ...]
) -> tuple[State, tuple[str, ...]]:
    """The state of a `NaiveBayes` by names, and the classes it names: of many, those learned."""
    counts, numbers = state["counts"], state["numbers"]
    learned = {text: code for code, text in enumerate(classes) if counts[code] > 0}
    named = {
        name: {
            text: Moments(*numbers[code, j, [COUNT, MEAN, SQUARES]].tolist())
            for text, code in learned.items()
            if numbers[code, j, COUNT] > 0
        }
        for j, name in enumerate(inputs.numbers)
    }
    known = classes if task.type == "binary" else tuple(learned)
    return State({text: float(counts[code]) for text, code in learned.items()}, named), known


def from_names(
    named: State, document: Document, inputs: Inputs, classes: list[str], outputs: int
) -> tuple[dict[str, Any], Foreign]:
    """The state for `NaiveBayes.load`; ValueError names the place of what does not fit.

    Classes that have no code here are left out: the caller sees which.
    """
    check_names(document, named.numbers, document.inputs.categories)
    texts = document.classes or tuple(classes)
    codes = {text: classes.index(text) for text in texts if text in classes}
    counts = np.zeros(max(2, outputs))
    numbers = np.zeros((len(counts), len(inputs.numbers), 4))
    for text, count in named.counts.items():
        _check_class(text, texts, "$.state.counts")
        if not 0 <= count < math.inf:
            raise ValueError(f'$.state.counts["{text}"]: must be at least 0, not {count}')
        if text in codes:
            counts[codes[text]] = count
    for name, by_class in named.numbers.items():
        for text, moments in by_class.items():
            path = f'$.state.numbers["{name}"]'
            _check_class(text, texts, path)
            _check(moments, f'{path}["{text}"]')
            if text in codes and name in inputs.numbers:
                _put(numbers[codes[text], inputs.numbers.index(name)], moments)
    return {"counts": counts, "numbers": numbers}, {}


def _check_class(text: str, texts: tuple[str, ...], path: str) -> None:
    if text not in texts:
        raise ValueError(f'{path}: class "{text}" does not stand in $.classes: {", ".join(texts)}')


def _check(moments: Moments, path: str) -> None:
    if not abs(moments.mean) <= LARGEST:
        raise ValueError(f"{path}.mean: {moments.mean} is beyond ± {LARGEST:g}")
    if not 0 <= moments.count < math.inf or not 0 <= moments.squares < math.inf:
        raise ValueError(f"{path}: count and squares must be at least 0, not {moments.count} and {moments.squares}")


def _put(cell: Any, moments: Moments) -> None:
    cell[[COUNT, MEAN, SQUARES]] = moments.count, moments.mean, moments.squares
    cell[SD] = math.sqrt(moments.squares / moments.count) if moments.count else 0.0
