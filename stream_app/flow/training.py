"""Training: a model replays remembered events, some at each epoch, while the stream goes on."""

from typing import Any

import numpy as np

from stream_app.messages import Floats
from stream_app.models import LEARN, PREDICT, ScoringModel, width

JUDGED = 500  # rows of the first pass, the newest, on which it is compared with archived models


class Training:
    """One model on its way through its rows; state: the model, the rows, how far it is.

    `about` says of what kind the model is and why it is trained: it becomes a version when it is done.
    """

    def __init__(self, model: ScoringModel, about: dict[str, Any], X: Floats, target: Floats, passes: int) -> None:
        self.model, self.about = model, about
        self.X, self.target, self.passes = X, target, passes
        self.done = 0
        self.judged = np.full((len(X[-JUDGED:]), model.outputs), np.nan)  # scores before learning, in the first pass

    @property
    def finished(self) -> bool:
        return self.done >= len(self.X) * self.passes

    def step(self, rows: int) -> None:
        """Learns the next rows, one by one; predicts before it where it will be judged by that."""
        stop = min(self.done + rows, len(self.X) * self.passes)
        while self.done < stop:
            row = self.done % len(self.X)
            self._replay(slice(row, min(len(self.X), row + stop - self.done)), first=self.done < len(self.X))

    def _replay(self, part: slice, *, first: bool) -> None:
        n = part.stop - part.start
        kind, slot = np.tile(np.array([PREDICT, LEARN], np.uint8), n), np.repeat(np.arange(n), 2)
        scores = np.full((n, width(self.model)), np.nan)
        start = part.start - (len(self.X) - len(self.judged))
        asked = np.ones(2 * n, np.bool_)
        if width(self.model) == self.model.outputs:  # (one that chooses needs all that it says)
            asked = (kind == LEARN) | (slot >= -start) & first
        self.model.run(kind[asked], slot[asked], np.repeat(self.target[part], 2)[asked], self.X[part], scores)
        if first and start + n > 0:
            self.judged[max(start, 0) : start + n] = scores[max(-start, 0) :, : self.model.outputs]
        self.done += n

    def to_state(self) -> dict[str, Any]:
        about = {name: getattr(self, name) for name in ("about", "X", "target", "passes", "done", "judged")}
        return {**about, "judged": self.judged.copy(), "model": self.model.to_state()}

    @classmethod
    def of(cls, state: dict[str, Any], model: ScoringModel) -> "Training":
        """The training that `to_state` was taken of, with a fresh model made alike."""
        model.load(state["model"])
        training = cls(model, state["about"], state["X"], state["target"], state["passes"])
        training.done, training.judged = state["done"], state["judged"].copy()
        return training
