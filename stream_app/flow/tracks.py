"""Running figures of several predictors over the same labels, exact and independent of how the stream is cut."""

from typing import Any

import numpy as np

from stream_app.flow import metrics
from stream_app.messages import Floats, Ints

SCORE_BINS = 1000  # of the since-start ROC AUC: its error stays below 1/1000 unless scores pile up in one bin


class Tracks:
    """Truth and predictions of several predictors over the same labels: the last `window`, and sums since the start."""

    def __init__(self, names: list[str], window: int, classes: int, *, binary: bool) -> None:
        self.names, self.window, self.classes, self.binary = names, window, classes, binary
        self.n = 0
        self.truth = np.empty(0)
        self.point = np.empty((0, len(names)))  # class code (-1 = none) or value (NaN = none)
        self.chance = np.empty((0, len(names)))  # probability: binary of class 1, else of the true class
        self.matrix = np.zeros((len(names), classes, classes), np.int64)
        self.scores = np.zeros((len(names), 2, SCORE_BINS if binary else 0), np.int64)
        self.sums = np.zeros((len(names), 5))  # log loss, its n; or n, |error|, error²
        self.spread = np.zeros(4)  # regression: first truth, n, sum and sum of squares of the deviations from it

    def add(self, truth: Floats, point: Floats, chance: Floats) -> None:
        self.n += len(truth)
        self.truth = np.concatenate([self.truth, truth])[-self.window :]
        self.point = np.vstack([self.point, point])[-self.window :]
        self.chance = np.vstack([self.chance, chance])[-self.window :]
        if self.classes:
            self._add_classes(truth.astype(np.int64), point, chance)
        else:
            self._add_values(truth, point)

    def _add_classes(self, truth: Ints, point: Floats, chance: Floats) -> None:
        for j in range(len(self.names)):
            self.matrix[j] += metrics.confusion(truth, point[:, j].astype(np.int64), self.classes)
            known = ~np.isnan(chance[:, j])
            p = chance[known, j]
            if self.binary and len(p):
                bins = np.clip(p * SCORE_BINS, 0, SCORE_BINS - 1).astype(np.int64)
                for side in (0, 1):
                    self.scores[j, side] += np.bincount(bins[truth[known] == side], minlength=SCORE_BINS)
                p = np.where(truth[known] == 1, p, 1 - p)
            self.sums[j, :2] = _carry(self.sums[j, :2], np.column_stack([metrics.losses(p), np.ones(len(p))]))

    def _add_values(self, truth: Floats, point: Floats) -> None:
        for j in range(len(self.names)):
            error = (truth - point[:, j])[~np.isnan(point[:, j])]
            steps = np.column_stack([np.ones(len(error)), np.abs(error), error * error])
            self.sums[j, :3] = _carry(self.sums[j, :3], steps)
        if self.spread[1] == 0 and len(truth):
            self.spread[0] = truth[0]  # sums of deviations from the first label lose no digits to a large mean
        shifted = truth - self.spread[0]
        steps = np.column_stack([np.ones(len(truth)), shifted, shifted * shifted])
        self.spread[1:] = _carry(self.spread[1:], steps)

    def since_start(self, j: int) -> dict[str, float]:
        if not self.classes:
            _, labels, total, squares = self.spread.tolist()
            spread = squares - total * total / labels if labels else 0.0
            n, absolute, squared = self.sums[j, :3].tolist()
            return metrics.regression(n, absolute, squared, spread)
        figures = metrics.classification(self.matrix[j], binary=self.binary)
        figures["log_loss"] = self.sums[j, 0] / self.sums[j, 1] if self.sums[j, 1] else float("nan")
        figures["roc_auc"] = metrics.binned_auc(*self.scores[j]) if self.binary else float("nan")
        return figures

    def rolling(self, j: int) -> dict[str, float]:
        truth, point, chance = self.truth, self.point[:, j], self.chance[:, j]
        if not self.classes:
            known = ~np.isnan(point)
            error, y = (truth - point)[known], truth[known]
            spread = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
            return metrics.regression(len(y), float(np.abs(error).sum()), float((error**2).sum()), spread)
        matrix = metrics.confusion(truth.astype(np.int64), point.astype(np.int64), self.classes)
        figures = metrics.classification(matrix, binary=self.binary)
        known = ~np.isnan(chance)
        p, y = chance[known], truth[known]
        true_chance = np.where(y == 1, p, 1 - p) if self.binary else p
        figures["log_loss"] = float(metrics.losses(true_chance).mean()) if len(p) else float("nan")
        figures["roc_auc"] = metrics.roc_auc(y, p) if self.binary else float("nan")
        return figures

    def to_state(self) -> dict[str, Any]:
        names = ("n", "truth", "point", "chance", "matrix", "scores", "sums", "spread")
        return {name: getattr(self, name) for name in names}

    def load(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def _carry(start: Floats, steps: Floats) -> Floats:
    """`start` plus all rows one after the other: the same sum however the rows are cut into calls."""
    total: Floats = np.cumsum(np.vstack([start, steps]), axis=0)[-1]
    return total
