"""`use = "auto"`: several models run on the live stream, the best of them answers, the worse are dropped by and by."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_app import config
from stream_app.config.choice import choice_of, title
from stream_app.messages import Floats, Ints
from stream_app.models import LEARN, PREDICT, Inputs, ScoringModel, make_model
from stream_app.models.halving import Halving

LARGEST = 1e150  # losses are cut here: larger ones would make a sum that never fades

Messages = list[tuple[int, str]]


class Auto:
    """Successive halving (see `halving`) over models that `make_model` makes, behind the contract of one model.

    All candidates that are alive predict each event and then learn its label. A prediction is the leader's: of those
    alive, the one whose fading loss was smallest when it was last looked at, every 50 labels. The loss is 0 or 1 for a
    class, |truth - prediction| for a number; where a candidate says nothing, 1, or the largest loss of the others.
    Which candidates are dropped, and when, depends on the operations alone, never on a clock.

    Behind its outputs it keeps `hidden` columns of each row until the label: what each candidate said (probability of
    class 1, class code or number) and under which `choice`. A reset begins a new choice with a new budget, whose
    losses count no row from before it. Cost: the candidates' own, and O(candidates) a label.
    """

    def __init__(self, model: config.Model, task: config.Task, inputs: Inputs, seed: int) -> None:
        choice, problems = choice_of(model.params, task.type, "params")
        if problems:
            raise ValueError("; ".join(f"{path}: {problem}" for path, problem in problems))
        self._task = task.type
        self._specs = choice.models
        self._make = [partial(_made, i, each, task, inputs, seed) for i, each in enumerate(choice.models)]
        self._models: list[ScoringModel | None] = [make() for make in self._make]
        self.outputs = task.max_classes if task.type == "multiclass" else 1
        self.hidden = len(self._models) + 1
        self._halving = Halving([title(each) for each in choice.models], choice.budget, choice.memory)
        self._failures = [0] * len(self._models)
        self._choice = 1

    def run(self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, scores: Floats) -> Messages:
        """See `ScoringModel.run`; `scores` has `hidden` columns more. The messages are the leader's."""
        messages, start = [], 0
        while start < len(kind):
            predictions = np.flatnonzero(kind[start:] == PREDICT)
            room, stop = self._halving.room, len(kind)
            if room is not None and room < len(predictions):
                stop = start + int(predictions[room])
            if stop == start:
                self._drop()
                continue
            part = slice(start, stop)
            failed = self._run(kind[part], slot[part], target[part], X, scores)
            messages += [(start + i, text) for i, text in failed]
            start = stop
        return messages

    def _run(self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, scores: Floats) -> Messages:
        """Operations between which nobody is dropped."""
        alive, learned = self._halving.alive, kind == LEARN
        predicted = slot[kind == PREDICT]
        said, failed = self._ask(kind, slot, target, X)
        self._halving.take(len(predicted))
        scores[predicted, self.outputs :] = np.nan
        leaders = np.full(int(learned.sum()) + 1, alive[0])
        if len(alive) > 1:
            for k, answers in zip(alive, said, strict=True):
                scores[predicted, self.outputs + k] = self._points(answers)
            scores[predicted, -1] = self._choice
            leaders = self._halving.judge(self._losses(scores[slot[learned], self.outputs :], target[learned]))
        leads = np.searchsorted(alive, leaders[np.cumsum(learned) - learned])  # at each operation
        answers = np.stack(said)[leads[kind == PREDICT], np.arange(len(predicted))]
        scores[predicted, : self.outputs] = answers
        return sorted((i, text) for j, told in enumerate(failed) for i, text in told if leads[i] == j)

    def _ask(
        self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats
    ) -> tuple[list[Floats], list[Messages]]:
        """What each that is alive answers [predictions, outputs], and where it failed."""
        said, failed = [], []
        for k in self._halving.alive:
            answers = np.empty((len(X), self.outputs))
            failed.append(self._at(k).run(kind, slot, target, X, answers))
            said.append(answers[slot[kind == PREDICT]])
            self._failures[k] += len(failed[-1])
        return said, failed

    def _points(self, answers: Floats) -> Floats:
        """What is kept of answers: a probability, a number or the code of the likeliest class; NaN = nothing said."""
        if self._task != "multiclass":
            return answers[:, 0]
        blind = np.isnan(answers[:, 0]) | (answers.max(axis=1, initial=0) <= 0)
        return np.where(blind, np.nan, np.where(blind[:, None], 0, answers).argmax(axis=1))

    def _losses(self, kept: Floats, truth: Floats) -> Floats:
        """[labels, alive]; all NaN where the row was predicted before this choice or nobody said anything."""
        points = kept[:, self._halving.alive]
        silent = np.isnan(points)
        if self._task == "regression":
            losses = np.where(silent, -1.0, np.minimum(np.abs(truth[:, None] - points), LARGEST))
            losses = np.where(silent, losses.max(axis=1, keepdims=True, initial=-1.0), losses)
        else:
            codes = points > 0.5 if self._task == "binary" else points
            losses = np.where(silent, 1.0, codes != truth[:, None])
        unknown = (kept[:, -1] != self._choice) | silent.all(axis=1) | ~(np.abs(truth) <= LARGEST)
        losses[unknown] = np.nan
        return losses

    def _drop(self) -> None:
        for k in self._halving.halve():
            self._models[k] = None

    def _at(self, k: int) -> ScoringModel:
        model = self._models[k]
        assert model is not None
        return model

    def peek(self, X: Floats) -> Floats:
        """What the leader says."""
        return self._at(self._halving.leader).peek(X)

    def contributions(self, X: Floats) -> tuple[str, Floats] | None:
        """Those of the leader."""
        return self._at(self._halving.leader).contributions(X)

    def leading(self) -> tuple[config.Model, ScoringModel]:
        """The model that answers now, and its configuration."""
        return self._specs[self._halving.leader], self._at(self._halving.leader)

    def told(self) -> dict[str, Any]:
        """What was chosen and why, what was dropped and when, and what the choice has cost."""
        halving = self._halving
        return {
            "chosen": halving.titles[halving.leader],
            "why": halving.why(),
            "decided": len(halving.alive) == 1,
            "choice": self._choice,
            "budget": halving.budget,
            "spent": halving.spent,
            "events": halving.events,
            "labels": int(halving.counted[1]),
            "candidates": [self._candidate(k) for k in range(len(self._models))],
        }

    def _candidate(self, k: int) -> dict[str, Any]:
        dropped = self._halving.dropped[k]
        loss = self._halving.loss(k) if dropped is None else dropped["loss"]
        return {"model": self._halving.titles[k], "loss": loss, "failures": self._failures[k], "dropped": dropped}

    def reset(self) -> None:
        """All models of the set start again, and the choice with them."""
        for k, model in enumerate(self._models):
            if model is None:
                self._models[k] = self._make[k]()
            else:
                model.reset()
        self._halving.restart()
        self._failures = [0] * len(self._models)
        self._choice += 1

    def to_state(self) -> dict[str, Any]:
        """The choice, and the state of each model that is alive."""
        models = [None if model is None else model.to_state() for model in self._models]
        return {
            "models": models,
            "halving": self._halving.to_state(),
            "failures": list(self._failures),
            "choice": self._choice,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `to_state()`; ValueError if the set was another."""
        self._halving.load(state["halving"])
        for k, saved in enumerate(state["models"]):
            self._models[k] = None if saved is None else self._models[k] or self._make[k]()
            if saved is not None:
                self._at(k).load(saved)
        self._failures, self._choice = list(state["failures"]), state["choice"]


def _made(i: int, model: config.Model, task: config.Task, inputs: Inputs, seed: int) -> ScoringModel:
    try:
        return make_model(model, task, inputs, seed)
    except ValueError as error:
        raise ValueError(f"params.models[{i}]: {error}") from error
