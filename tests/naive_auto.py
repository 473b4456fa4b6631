"""The slow twin of `auto`: one operation at a time, with the rules written out and lists for all that is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stream_app.models import LEARN, PREDICT, ScoringModel


class NaiveAuto:
    """Successive halving over models made elsewhere; `leaders` is who answered each prediction."""

    def __init__(self, models: list[ScoringModel], task: str, budget: int, memory: int) -> None:
        self.models: dict[int, ScoringModel] = dict(enumerate(models))
        self.task, self.budget, self.keep = task, budget, 1 - 1 / memory
        self.rungs = math.ceil(math.log2(len(models)))
        self.rung, self.spent, self.labels, self.weight = 1, 0, 0, 0.0
        self.loss = [0.0] * len(models)
        self.leader = 0
        self.waiting: dict[int, dict[int, list[float]]] = {}  # slot → candidate → its answer
        self.leaders: list[int] = []
        self.dropped: dict[int, tuple[int, int]] = {}  # candidate → rung, predictions before

    def operation(self, kind: int, slot: int, target: float, X: Any) -> list[float] | None:
        """The answer to a prediction."""
        if kind == PREDICT:
            while len(self.models) > 1 and self.spent + len(self.models) - 1 > self.budget * self.rung // self.rungs:
                self.halve()
            self.spent += len(self.models) - 1
            self.leaders.append(self.leader)
        width = next(iter(self.models.values())).outputs
        said = {}
        for k, model in self.models.items():
            scores = np.full((len(X), width), np.nan)
            model.run(np.array([kind], np.uint8), np.array([slot]), np.array([target]), X, scores)
            said[k] = scores[slot].tolist()
        if kind == PREDICT:
            self.waiting[slot] = said
            return said[self.leader]
        answers = self.waiting.pop(slot)
        if kind == LEARN and len(self.models) > 1:
            self.count(answers, target)
        return None

    def count(self, answers: dict[int, list[float]], target: float) -> None:
        losses = {k: self.one(answers[k], target) for k in self.models}
        known = [loss for loss in losses.values() if loss is not None]
        if not known:
            return
        silent = max(known) if self.task == "regression" else 1.0
        self.weight, self.labels = self.keep * self.weight + 1, self.labels + 1
        for k, loss in losses.items():
            self.loss[k] = self.keep * self.loss[k] + (silent if loss is None else loss)
        if self.labels % 50 == 0:
            best = min(self.models, key=lambda k: self.loss[k])
            if self.loss[best] < self.loss[self.leader]:
                self.leader = best

    def one(self, answer: list[float], target: float) -> float | None:
        """None where nothing was said."""
        if math.isnan(answer[0]):
            return None
        if self.task == "regression":
            return abs(target - answer[0])
        if self.task == "binary":
            return float((answer[0] > 0.5) != (target == 1))
        return float(answer.index(max(answer)) != target)

    def halve(self) -> None:
        """The better half stays; of equals the leader, then the first."""
        order = sorted(self.models, key=lambda k: (self.loss[k], k != self.leader, k))
        for k in order[math.ceil(len(order) / 2) :]:
            self.dropped[k] = self.rung, len(self.leaders)
            del self.models[k]
        self.leader, self.rung = order[0], self.rung + 1
