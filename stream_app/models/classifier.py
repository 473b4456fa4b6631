"""What the compiled classifiers have in common: which targets they learn, and asking without learning."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app import config
from stream_app.messages import Floats, Ints
from stream_app.models import LEARN, PREDICT

LARGEST = 1e150  # larger inputs count as missing: their squares would overflow


class CompiledClassifier:
    """Runs a tape through the compiled pass of a subclass; targets that are no class are messages."""

    def __init__(self, name: str, task: config.Task) -> None:
        if task.type not in ("binary", "multiclass"):
            raise ValueError(f"{name} tells classes apart; task.type is {task.type}")
        self.outputs = task.max_classes if task.type == "multiclass" else 1
        self.classes = max(2, self.outputs)

    def run(
        self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, scores: Floats
    ) -> list[tuple[int, str]]:
        """See `ScoringModel.run`; a target that is no class is an error of its operation."""
        answers, refused = self._answers(kind, slot, target, X)
        scores[slot[kind == PREDICT]] = answers
        if not refused:
            return []
        learned = np.flatnonzero(kind == LEARN).tolist()
        bad = [i for i in learned if not is_class(target[i], self.classes)]
        return [(i, f"target {float(target[i])} is not a class code below {self.classes}") for i in bad]

    def peek(self, X: Floats) -> Floats:
        """See `ScoringModel.peek`."""
        rows = len(X)
        return self._answers(np.full(rows, PREDICT, np.uint8), np.arange(rows), np.full(rows, np.nan), X)[0]

    def _answers(self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats) -> tuple[Floats, int]:
        """What PREDICT answers [predictions, outputs], and how many targets are no class.

        All arrays are contiguous to the kernels: each other layout would be compiled anew.
        """
        answers = np.full((np.count_nonzero(kind == PREDICT), self.outputs), np.nan)
        return answers, self._run(kind, slot, target, np.ascontiguousarray(X), answers)

    def _run(self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, answers: Floats) -> int:
        """Runs the tape; answers how many targets are no class. An answer that is not written is NaN."""
        raise NotImplementedError


def fitting(state: dict[str, Any], mine: dict[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    """The stored arrays under the names of `mine`; ValueError unless all are of the same type and shape."""
    for key, array in mine.items():
        stored = state.get(key)
        if not isinstance(stored, np.ndarray) or stored.shape != array.shape or stored.dtype != array.dtype:
            raise ValueError(f"state of another {name} model: {key} does not have the shape {array.shape}")
    return {key: state[key] for key in mine}


@njit(cache=True, error_model="numpy")
def is_class(target: float, classes: int) -> bool:
    """Whether a target is the code of a class."""
    return bool(0 <= target < classes and math.floor(target) == target)


@njit(cache=True, error_model="numpy")
def write(out: Floats, shares: Floats) -> None:
    """Shares of the classes → a row of scores: all of them, or of two the second's."""
    if out.shape[0] == 1:
        out[0] = shares[1]
    else:
        for c in range(out.shape[0]):
            out[c] = shares[c]
