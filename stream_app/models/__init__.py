"""What scores an event and learns from its label: compiled built-ins and any river estimator.

A model runs a tape of operations over a matrix of kept feature rows. It knows no clock, no file and no global random
state, so the same tape gives the same scores, however it is cut into calls.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from stream_app import config
from stream_app.messages import Floats, Ints

PREDICT, LEARN, FORGET = 0, 1, 2  # the kinds of operation


@dataclass(frozen=True, slots=True)
class Inputs:
    """The columns of a feature row: numbers first, then categories as codes; missing is NaN."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    width: int  # the codes of each category field are 0 … width - 1
    vocabulary: list[list[str]]  # [category field][code] → text; grows while running, shared by reference


class ScoringModel(Protocol):
    """A model that predicts and learns, one operation after the other.

    `outputs` is the number of score columns: 1 for binary (probability of class 1), regression (value) and anomaly
    (score), `task.max_classes` for multiclass (probabilities, 0 for classes not learned yet).
    """

    outputs: int

    def run(
        self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, scores: Floats
    ) -> list[tuple[int, str]]:
        """Does operation `kind[i]` on the row `X[slot[i]]`, in order; NaN and inf inputs are missing values.

        PREDICT writes `scores[slot[i], :]`, all NaN where there is no prediction; LEARN learns `target[i]`, a class
        code or a number; FORGET says that no label will come. No slot is reused within one call. The answer holds
        (operation, message) for each operation that failed; a failed one does nothing else.
        """

    def peek(self, X: Floats) -> Floats:
        """Scores [rows, outputs] of rows for which no label will come; changes nothing, NaN where there is none."""

    def contributions(self, X: Floats) -> tuple[str, Floats] | None:
        """What each input of each row adds to the score, and how that is known; None if such a model does not tell.

        [rows, inputs, outputs], beside a constant; "linear" (for classes in log-odds) or "tree path".
        """

    def reset(self) -> None:
        """Forgets all that was learned; rows that wait for their label stay."""

    def to_state(self) -> dict[str, Any]:
        """All that was learned, as plain data."""

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `to_state()` of a model made alike; ValueError if it was not."""


class Choosing(ScoringModel, Protocol):
    """A model that is made of several and tells which of them it uses.

    Its `scores` have `hidden` columns behind the outputs: what it wrote there at PREDICT is there at LEARN.
    """

    hidden: int

    def leading(self) -> tuple[config.Model, ScoringModel]:
        """The model that answers now, and its configuration."""

    def told(self) -> dict[str, Any]:
        """What was chosen and why, what was dropped and when, and what the choice has cost."""


def width(model: ScoringModel) -> int:
    """How many columns of scores the model needs for each row."""
    return model.outputs + (model.hidden if chooses(model) else 0)


def chooses(model: object) -> TypeGuard[Choosing]:
    """Whether it is one that is made of several; `isinstance` would look at each of a protocol's members."""
    return hasattr(model, "hidden")


def make_model(model: config.Model, task: config.Task, inputs: Inputs, seed: int) -> ScoringModel:
    """The model that the configuration asks for; ValueError says what is wrong with `use` or `params`."""
    if model.use == "linear":
        from stream_app.models.linear import LinearModel  # noqa: PLC0415  (it imports this module)

        return LinearModel(model.params, task, inputs)
    if model.use == "naive_bayes":
        from stream_app.models.naive_bayes import NaiveBayes  # noqa: PLC0415  (it imports this module)

        return NaiveBayes(model.params, task, inputs)
    if model.use == "hoeffding_tree":
        from stream_app.models.hoeffding_tree import HoeffdingTree  # noqa: PLC0415  (it imports this module)

        return HoeffdingTree(model.params, task, inputs)
    if model.use == "onnx":
        raise ValueError('an "onnx" model comes in by `driftline models add CONFIG FILE`, not by the configuration')
    if model.use == "auto":
        from stream_app.models.auto import Auto  # noqa: PLC0415  (it imports this module)

        return Auto(model, task, inputs, seed)
    if not model.use.startswith("river."):
        known = "linear, naive_bayes, hoeffding_tree, auto, or a river class such as river.tree.HoeffdingTreeClassifier"
        raise ValueError(f'unknown model "{model.use}"; known: {known}')
    from stream_app.models.river_model import RiverModel  # noqa: PLC0415  (importing river takes a second)

    return RiverModel(model, task, inputs, seed)


def class_codes(task: config.Task) -> dict[str, int]:
    """The code of each class by its name; empty where the names are not known before they come."""
    if task.type == "binary":
        return dict(zip(task.classes or ("0", "1"), (0, 1), strict=True))
    return {name: code for code, name in enumerate(task.classes)} if task.type == "multiclass" else {}
