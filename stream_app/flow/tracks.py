"""Running figures of several predictors over the same labels, exact and independent of how the stream is cut."""

from typing import Any

import numpy as np
from numba import njit

from stream_app.flow import metrics
from stream_app.messages import Floats, Ints

SCORE_BINS = 1000  # of the since-start ROC AUC: its error stays below 1/1000 unless scores pile up in one bin

Figures = dict[str, Floats]  # name → [predictors]


class Tracks:
    """Truth and predictions of P predictors, the first M of which give probabilities: the last `window`, and sums."""

    def __init__(self, names: list[str], models: int, window: int, classes: int, *, binary: bool) -> None:
        self.names, self.models, self.window = names, models, window
        self.classes, self.binary = classes, binary
        self.labels = np.zeros(len(names), np.int64)
        self.truth = np.empty(0)
        self.point = np.empty((0, len(names)))  # class code (-1 = none) or value (NaN = none)
        self.chance = np.empty((0, models))  # probability: binary of class 1, else of the true class
        self.matrix = np.zeros((len(names), classes, classes), np.int64)
        self.scores = np.zeros((models, 2, SCORE_BINS if binary else 0), np.int64)
        self.sums = np.zeros((5, len(names)))  # log loss and its n (models); or n, |error|, error², Σ d, Σ d²
        self.first = float("nan")  # regression: the first label; the deviations d from it keep their digits

    def add(self, truth: Floats, point: Floats, chance: Floats) -> None:
        """Takes n labels with what each predictor had said: [n], [n, P], [n, M]."""
        if not len(truth):
            return
        self.labels += len(truth)
        self.truth = np.concatenate([self.truth, truth])[-self.window :]
        self.point = np.concatenate([self.point, point])[-self.window :]
        self.chance = np.concatenate([self.chance, chance])[-self.window :]
        if self.classes:
            self._add_classes(truth, point, chance)
        else:
            self._add_values(truth, point)

    def _add_classes(self, truth: Floats, point: Floats, chance: Floats) -> None:
        self.matrix += metrics.confusion(truth, point, self.classes)
        known = ~np.isnan(chance)
        loss = np.where(known, metrics.losses(self._of_truth(truth, chance)), 0.0)
        self.sums[0, : self.models] = _carry(self.sums[0, : self.models], loss)
        self.sums[1, : self.models] += known.sum(axis=0)
        if self.binary:
            _tally(truth, chance, self.scores)

    def _of_truth(self, truth: Floats, chance: Floats) -> Floats:
        return np.where(truth[:, None] == 1, chance, 1 - chance) if self.binary else chance

    def _add_values(self, truth: Floats, point: Floats) -> None:
        known = ~np.isnan(point)
        error = np.where(known, truth[:, None] - point, 0.0)
        self.sums[0] += known.sum(axis=0)
        self.sums[1] = _carry(self.sums[1], np.abs(error))
        self.sums[2] = _carry(self.sums[2], error * error)
        if np.isnan(self.first):
            self.first = float(truth[0])
        shifted = np.where(known, truth[:, None] - self.first, 0.0)
        self.sums[3] = _carry(self.sums[3], shifted)
        self.sums[4] = _carry(self.sums[4], shifted * shifted)

    def since_start(self) -> Figures:
        if not self.classes:
            n, absolute, squared, shifted, shifted_squared = self.sums
            return metrics.regression(n, absolute, squared, shifted_squared - metrics.ratio(shifted**2, n))
        figures = metrics.classification(self.matrix, binary=self.binary)
        figures["log_loss"] = self._padded(metrics.ratio(self.sums[0], self.sums[1])[: self.models])
        if self.binary:
            figures["roc_auc"] = self._padded(np.array([metrics.binned_auc(*both) for both in self.scores]))
        return figures

    def rolling(self) -> Figures:
        """Over the last `window` labels."""
        truth, point, chance = self.truth, self.point, self.chance
        if not self.classes:
            known = ~np.isnan(point)
            error = np.where(known, truth[:, None] - point, 0.0)
            spread = np.array([((y - y.mean()) ** 2).sum() if len(y) else 0.0 for y in (truth[k] for k in known.T)])
            return metrics.regression(known.sum(axis=0), np.abs(error).sum(axis=0), (error**2).sum(axis=0), spread)
        figures = metrics.classification(metrics.confusion(truth, point, self.classes), binary=self.binary)
        known = ~np.isnan(chance)
        loss = np.where(known, metrics.losses(self._of_truth(truth, chance)), 0.0)
        figures["log_loss"] = self._padded(metrics.ratio(loss.sum(axis=0), known.sum(axis=0)))
        if self.binary:
            pairs = ((truth[k], p[k]) for k, p in zip(known.T, chance.T, strict=True))
            figures["roc_auc"] = self._padded(np.array([metrics.roc_auc(y, p) for y, p in pairs]))
        return figures

    def _padded(self, of_models: Floats) -> Floats:
        """Figures that baselines do not have are NaN."""
        return np.concatenate([of_models, np.full(len(self.names) - self.models, np.nan)])

    def forget(self, j: int) -> None:
        """The figures of predictor j start over: it is another one now."""
        self.labels[j] = 0
        self.point[:, j] = -1 if self.classes else np.nan
        self.sums[:, j] = 0
        self.matrix[j] = 0
        if j < self.models:
            self.chance[:, j] = np.nan
            self.scores[j] = 0

    def to_state(self) -> dict[str, Any]:
        names = ("labels", "truth", "point", "chance", "matrix", "scores", "sums", "first")
        values = {name: getattr(self, name) for name in names}
        return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in values.items()}

    def load(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


@njit(cache=True, nogil=True)
def majorities(truth: Floats, seen: Floats) -> Floats:
    """The class seen most often before each label, the first of equals, -1 before any; counts the labels in `seen`."""
    found = np.empty(len(truth))
    for i in range(len(truth)):
        best, most = -1.0, 0.0
        for c in range(len(seen)):
            if seen[c] > most:
                best, most = float(c), seen[c]
        found[i] = best
        if 0 <= truth[i] < len(seen):
            seen[int(truth[i])] += 1
    return found


@njit(cache=True, nogil=True)
def means(truth: Floats, seen: Floats) -> Floats:
    """The mean of the values before each one, NaN before any; `seen`: their number and sum."""
    found = np.empty(len(truth))
    for i in range(len(truth)):
        found[i] = seen[1] / seen[0] if seen[0] > 0 else np.nan
        seen[0] += 1
        seen[1] += truth[i]
    return found


@njit(cache=True, nogil=True)
def _tally(truth: Floats, chance: Floats, scores: Ints) -> None:
    bins = scores.shape[2]
    for i in range(chance.shape[0]):
        for j in range(chance.shape[1]):
            if chance[i, j] == chance[i, j]:  # not NaN
                place = min(max(chance[i, j] * bins, 0.0), bins - 1.0)
                scores[j, int(truth[i]), int(place)] += 1


def _carry(start: Floats, steps: Floats) -> Floats:
    """`start` plus all rows one after the other: the same sum however the rows are cut into calls."""
    total: Floats = np.cumsum(np.concatenate([start[None], steps]), axis=0)[-1]
    return total
