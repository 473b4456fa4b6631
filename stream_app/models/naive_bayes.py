"""`use = "naive_bayes"`: Gaussian naive Bayes, compiled into one pass over the tape."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app import config
from stream_app.messages import Floats, Ints
from stream_app.models import LEARN, PREDICT, Inputs
from stream_app.models.classifier import LARGEST, CompiledClassifier, fitting, is_class, write

COUNT, MEAN, SQUARES, SD = 0, 1, 2, 3  # of a number in a class; SQUARES is the sum of (x - mean)²

LEAST = 10e-10  # added to each density, so that no single input rules a class out
ROOT = math.sqrt(2.0 * math.pi)

State = tuple[Floats, Floats]  # events of each class [classes]; the numbers in each [classes, numbers, 4]


class NaiveBayes(CompiledClassifier):
    """Which class is likeliest if, within each class, the numbers are independent and normal.

    With n_c of n events of class c, and of the number x_j in them the mean m_cj and the population variance s²_cj
    (Welford 1962), p(c | x) ∝ n_c / n * Π_j (1e-9 + N(x_j; m_cj, s²_cj)); the density is 0 while s²_cj is 0. It forgets
    nothing: `retrain` is its way to follow a change.

    The answers are those of river 0.26.1's `naive_bayes.GaussianNB` behind `use = "river.naive_bayes.GaussianNB"`:
    probabilities to 1e-9, on numbers with missing values, two classes or many; predictions the same but for ties
    (tests/test_naive_bayes.py). Categories say nothing, as there: river's model takes no texts, and of a one-hot
    column its density is the same in every class. It takes no parameters.

    A missing (NaN, inf) or absurdly large number changes nothing of its own and is left out of the product. No
    prediction (NaN) before the first label. Cost: O(classes · numbers) time a prediction, O(numbers) a label,
    32 · classes · numbers bytes.
    Source: John and Langley, Estimating continuous distributions in Bayesian classifiers, UAI 1995, section 2.

    >>> model = NaiveBayes({}, config.Task(), Inputs(("x",), (), 8, []))
    >>> X, y = np.array([[1.0], [2.0], [5.0], [6.0]]), np.array([0.0, 0.0, 1.0, 1.0])
    >>> model.run(np.full(4, LEARN, np.uint8), np.arange(4), y, X, np.empty((4, 1)))
    []
    >>> model.peek(np.array([[1.5], [3.5], [5.5]])).round(6).tolist()
    [[0.0], [0.5], [1.0]]
    """

    def __init__(self, params: dict[str, Any], task: config.Task, inputs: Inputs) -> None:
        super().__init__("naive_bayes", task)
        if params:
            raise ValueError(f'naive_bayes takes no parameters, but was given "{next(iter(params))}"')
        self._arrays: dict[str, NDArray[Any]] = {
            "counts": np.zeros(self.classes),
            "numbers": np.zeros((self.classes, len(inputs.numbers), 4)),
        }

    def _run(self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, answers: Floats) -> int:
        return _run(kind, slot, target, X, answers, (self._arrays["counts"], self._arrays["numbers"]))

    def contributions(self, X: Floats) -> None:
        """Not told: what an input adds depends on the others."""

    def reset(self) -> None:
        """Forgets all that was learned."""
        for array in self._arrays.values():
            array.fill(0)

    def to_state(self) -> dict[str, Any]:
        """Counts and moments."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `to_state()`; ValueError if the inputs or classes were others."""
        for name, stored in fitting(state, self._arrays, "naive_bayes").items():
            self._arrays[name][...] = stored


@njit(cache=True, error_model="numpy")
def _run(kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, answers: Floats, state: State) -> int:
    """Runs the tape; answers how many targets could not be learned."""
    counts, numbers = state
    shares = np.zeros(counts.shape[0])
    refused = predicted = 0
    for i in range(kind.shape[0]):
        row = X[slot[i]]
        if kind[i] == PREDICT:
            if _shares(row, counts, numbers, shares):
                write(answers[predicted], shares)
            predicted += 1
        elif kind[i] == LEARN:
            if is_class(target[i], counts.shape[0]):
                _learn(row, int(target[i]), counts, numbers)
            else:
                refused += 1
    return refused


@njit(cache=True, error_model="numpy")
def _learn(row: Floats, c: int, counts: Floats, numbers: Floats) -> None:
    counts[c] += 1
    for j in range(numbers.shape[1]):
        if abs(row[j]) <= LARGEST:
            cell = numbers[c, j]
            before = cell[MEAN]
            cell[COUNT] += 1
            cell[MEAN] += (1.0 / cell[COUNT]) * (row[j] - before)
            cell[SQUARES] += (row[j] - before) * (row[j] - cell[MEAN])
            cell[SD] = math.sqrt(cell[SQUARES] / cell[COUNT])


@njit(cache=True, error_model="numpy")
def _shares(row: Floats, counts: Floats, numbers: Floats, out: Floats) -> bool:
    """The probability of each class, 0 of those not learned; False if none is."""
    total, highest = counts.sum(), -np.inf
    for c in range(counts.shape[0]):
        if counts[c] > 0:
            out[c] = math.log(counts[c] / total)
            for j in range(numbers.shape[1]):
                if abs(row[j]) <= LARGEST:
                    out[c] += _log_density(row[j], numbers[c, j])
            highest = max(highest, out[c])
    norm = 0.0
    for c in range(counts.shape[0]):
        out[c] = math.exp(out[c] - highest) if counts[c] > 0 else 0.0
        norm += out[c]
    for c in range(counts.shape[0]):
        out[c] /= norm
    return bool(total > 0)


@njit(cache=True, error_model="numpy")
def _log_density(x: float, cell: Floats) -> float:
    if not cell[SD] > 0:
        return math.log(LEAST)
    z = (x - cell[MEAN]) / cell[SD]
    return math.log(LEAST + math.exp(-0.5 * z * z) / ROOT / cell[SD])
