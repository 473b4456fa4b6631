"""`use = "linear"`: scaling, one-hot categories and a linear model, compiled into one pass over the tape."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app import config
from stream_app.messages import Floats, Ints
from stream_app.models import LEARN, PREDICT, Inputs
from stream_app.models.linear_params import checked, fixed_weights

BINARY, MULTICLASS, REGRESSION, SCALED_REGRESSION = 0, 1, 2, 3
COUNT, MEAN, VAR, SCALE = 0, 1, 2, 3  # rows of `stats`; SCALE is 1 / standard deviation, 0 without variance

LARGEST = 1e150  # larger inputs count as missing: their squares would overflow
MOST_WEIGHT = (
    100.0  # of one event under "balanced": more of it, and the first of a rare class would undo what was learned
)

State = tuple[Floats, Floats, NDArray[np.uint8], Floats]  # statistics, weights, classes seen, learned of each class
Rates = tuple[float, float, float, float]  # lr, intercept_lr, l2, clip


class LinearModel:
    """Online logistic (binary), softmax (multiclass) or linear (regression) regression by stochastic gradient descent.

    Each number x is scaled by its own running statistics, z = (x - mean) / sd with the population variance (Welford
    1962), z = 0 while the variance is 0; a category is a weight of its own (one-hot). With s the score and g = dL/ds
    the gradient of the log loss or of the squared loss, clipped to ± clip, one LEARN updates the statistics, then

        w ← w - lr * (g * z + l2 * w)      for the inputs present, b ← b - intercept_lr * g

    Parameters: lr, intercept_lr, l2, clip, and for regression scale_target: the target is scaled like an input and no
    step goes beyond the target, so that any unit and any number of inputs converge with the same lr. Without it, and
    in binary tasks, numbers alone agree with river's `StandardScaler | LinearRegression` or `LogisticRegression`
    to rounding; multiclass with intercept_lr = 0 agrees with its SoftmaxRegression. For classes, class_weight: g of an
    event is multiplied by the weight of its class, given in a table, or by n / (k * n_c), at most 100, for "balanced":
    n events learned, of k classes, n_c of this class, this one with them.

    A missing (NaN, inf) or absurdly large number changes no statistic and adds nothing to the score. No prediction
    (NaN) before the first class (multiclass) or the first scaled target. A weight that overflows starts again at 0.
    Cost: O(inputs · classes seen) time per operation, 8 · classes · (numbers + category fields · width) bytes.
    """

    def __init__(self, params: dict[str, Any], task: config.Task, inputs: Inputs) -> None:
        values = checked(params)
        self._kind = _kind(task, scale_target=values["scale_target"])
        self._rates = (
            float(values["lr"]),
            float(values["intercept_lr"]),
            float(values["l2"]),
            float(values["clip"]),
        )
        self._width = inputs.width
        self.outputs = task.max_classes if task.type == "multiclass" else 1
        rows = len(inputs.numbers) + len(inputs.categories) * inputs.width + 1
        self._stats = np.zeros((4, len(inputs.numbers) + 1))  # the last column is the target's
        self._weights = np.zeros((rows, self.outputs))  # the last row is the intercept
        self._seen = np.zeros(self.outputs, np.uint8)  # classes learned so far
        balanced = values["class_weight"] == "balanced"
        self._fixed = fixed_weights(values["class_weight"], task)
        self._counts = np.zeros(len(self._fixed) if balanced else 0)  # events learned of each class

    def run(
        self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, scores: Floats
    ) -> list[tuple[int, str]]:
        """See `ScoringModel.run`; a target that is no class and no number is an error of its operation."""
        shape = (self._kind, self._width)
        state = (self._stats, self._weights, self._seen, self._counts)
        if not _run(kind, slot, target, X, scores, state, self._rates, self._fixed, shape):
            return []
        learned = np.flatnonzero(kind == LEARN).tolist()
        bad = [i for i in learned if not _can_learn(target[i], self._kind, self.outputs)]
        return [(i, self._complaint(float(target[i]))) for i in bad]

    def peek(self, X: Floats) -> Floats:
        """See `ScoringModel.peek`."""
        scores = np.full((len(X), self.outputs), np.nan)
        self.run(np.full(len(X), PREDICT, np.uint8), np.arange(len(X)), np.full(len(X), np.nan), X, scores)
        return scores

    def contributions(self, X: Floats) -> tuple[str, Floats]:
        """Weight times scaled input, in the unit of the target; of several classes, beside their mean."""
        numbers = self._stats.shape[1] - 1
        parts = np.zeros((*X.shape, self.outputs))
        usable = np.abs(X) <= LARGEST
        with np.errstate(over="ignore", invalid="ignore"):
            z = np.where(usable[:, :numbers], X[:, :numbers] - self._stats[MEAN, :-1], 0) * self._stats[SCALE, :-1]
            parts[:, :numbers] = z[:, :, None] * self._weights[:numbers]
            for j in range(numbers, X.shape[1]):
                has = usable[:, j] & (X[:, j] >= 0) & (X[:, j] < self._width)
                parts[has, j] = self._weights[numbers + (j - numbers) * self._width + X[has, j].astype(int)]
            if self._kind == MULTICLASS and self._seen.any():
                parts -= parts[:, :, self._seen > 0].mean(axis=2, keepdims=True)
                parts[:, :, self._seen == 0] = 0
            if self._kind == SCALED_REGRESSION:
                parts *= np.sqrt(self._stats[VAR, -1])
        return "linear", parts

    def reset(self) -> None:
        """Forgets all that was learned."""
        for array in (self._stats, self._weights, self._seen, self._counts):
            array.fill(0)

    def to_state(self) -> dict[str, Any]:
        """The statistics, the weights, the classes seen and how often."""
        return {
            "stats": self._stats.copy(),
            "weights": self._weights.copy(),
            "seen": self._seen.copy(),
            "counts": self._counts.copy(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `to_state()`; ValueError if the inputs or classes were others."""
        names = ("stats", "weights", "seen", "counts")
        mine: list[NDArray[Any]] = [self._stats, self._weights, self._seen, self._counts]
        for name, array in zip(names, mine, strict=True):
            stored = state.get(name)
            if not isinstance(stored, np.ndarray) or stored.shape != array.shape or stored.dtype != array.dtype:
                raise ValueError(f"state of another linear model: {name} does not have the shape {array.shape}")
        for name, array in zip(names, mine, strict=True):
            array[...] = state[name]

    def _complaint(self, target: float) -> str:
        if self._kind >= REGRESSION:
            return f"target {target} is not a number to learn from"
        return f"target {target} is not a class code below {2 if self._kind == BINARY else self.outputs}"


def _kind(task: config.Task, *, scale_target: bool) -> int:
    if task.type == "anomaly":
        raise ValueError(
            "linear does not detect anomalies; use an anomaly detector such as river.anomaly.HalfSpaceTrees"
        )
    kinds = {"binary": BINARY, "multiclass": MULTICLASS, "regression": REGRESSION}
    return SCALED_REGRESSION if task.type == "regression" and scale_target else kinds[task.type]


@njit(cache=True, nogil=True, error_model="numpy")
def _run(
    kind: NDArray[np.uint8],
    slot: Ints,
    target: Floats,
    X: Floats,
    scores: Floats,
    state: State,
    rates: Rates,
    fixed: Floats,
    shape: tuple[int, int],
) -> int:
    """Runs the tape; answers how many targets could not be learned."""
    stats, weights, seen, counts = state
    index = np.empty(X.shape[1], np.int64)  # the weights of the inputs that are present …
    value = np.empty(X.shape[1])  # … and what each is multiplied by
    raw = np.zeros(weights.shape[1])  # per class the score, then the gradient
    classes = _classes(seen, shape[0])
    refused = 0
    for i in range(kind.shape[0]):
        at = slot[i]
        if kind[i] == PREDICT:
            present = _encode(X, at, stats, shape[1], False, index, value)
            _score(weights, classes, index, value, present, raw)
            _predict(scores, at, raw, classes, stats, seen, shape[0])
        elif kind[i] == LEARN:
            if not _can_learn(target[i], shape[0], weights.shape[1]):
                refused += 1
                continue
            present = _encode(X, at, stats, shape[1], True, index, value)
            if shape[0] == MULTICLASS:
                classes = max(classes, int(target[i]) + 1)
            _score(weights, classes, index, value, present, raw)
            _restart_overflowed(weights, classes, raw)
            _gradient(target[i], raw, classes, stats, seen, shape[0])
            if fixed.shape[0]:
                _weigh(raw, classes, int(target[i]), fixed, counts)
            if shape[0] == SCALED_REGRESSION:
                _shorten(raw, value, present, rates)
            _step(weights, classes, index, value, present, raw, rates)
    return refused


@njit(cache=True, error_model="numpy")
def _classes(seen: NDArray[np.uint8], task: int) -> int:
    """How many score columns are in use: up to the highest class seen."""
    if task != MULTICLASS:
        return 1
    top = 0
    for c in range(seen.shape[0]):
        if seen[c]:
            top = c + 1
    return top


@njit(cache=True, error_model="numpy")
def _can_learn(target: float, task: int, outputs: int) -> bool:
    if task >= REGRESSION:
        return bool(abs(target) <= LARGEST)
    return bool(0 <= target < (2 if task == BINARY else outputs) and math.floor(target) == target)


@njit(cache=True, error_model="numpy")
def _observe(stats: Floats, column: int, x: float) -> None:
    """Welford's running mean and population variance."""
    stats[COUNT, column] += 1
    before = stats[MEAN, column]
    stats[MEAN, column] += (x - before) / stats[COUNT, column]
    deviation = (x - before) * (x - stats[MEAN, column])
    stats[VAR, column] += (deviation - stats[VAR, column]) / stats[COUNT, column]
    stats[SCALE, column] = 1 / math.sqrt(stats[VAR, column]) if stats[VAR, column] > 0 else 0.0


# Rows go into kernels as matrix and number: a view of each would count references, which takes longer than the sums.


@njit(cache=True, error_model="numpy")
def _are_whole(X: Floats, at: int, numbers: int) -> bool:
    whole = True
    for j in range(numbers):
        whole &= abs(X[at, j]) <= LARGEST
    return whole


@njit(cache=True, error_model="numpy")
def _observe_all(stats: Floats, X: Floats, at: int, numbers: int) -> None:
    """`_observe` of each number, without a branch between them: the processor takes several at a time."""
    for j in range(numbers):
        x, before = X[at, j], stats[MEAN, j]
        n = stats[COUNT, j] + 1
        mean = before + (x - before) / n
        var = stats[VAR, j] + ((x - before) * (x - mean) - stats[VAR, j]) / n
        stats[COUNT, j], stats[MEAN, j], stats[VAR, j] = n, mean, var
        stats[SCALE, j] = 1 / math.sqrt(var) if var > 0 else 0.0


@njit(cache=True, error_model="numpy")
def _encode(X: Floats, at: int, stats: Floats, width: int, learn: bool, index: Ints, value: Floats) -> int:
    """Lists the inputs that are present as (weight row, multiplier); answers how many."""
    numbers = stats.shape[1] - 1
    present = 0
    if _are_whole(X, at, numbers):
        if learn:
            _observe_all(stats, X, at, numbers)
        for j in range(numbers):
            index[j], value[j] = j, (X[at, j] - stats[MEAN, j]) * stats[SCALE, j]
        present = numbers
    for j in range(0 if present else numbers):
        if abs(X[at, j]) <= LARGEST:
            if learn:
                _observe(stats, j, X[at, j])
            index[present] = j
            value[present] = (X[at, j] - stats[MEAN, j]) * stats[SCALE, j]
            present += 1
    for j in range(numbers, X.shape[1]):
        if 0 <= X[at, j] < width:
            index[present] = numbers + (j - numbers) * width + int(X[at, j])
            value[present] = 1.0
            present += 1
    return present


@njit(cache=True, error_model="numpy")
def _score(weights: Floats, classes: int, index: Ints, value: Floats, present: int, raw: Floats) -> None:
    for c in range(classes):
        total = 0.0
        for a in range(present):
            total += weights[index[a], c] * value[a]
        raw[c] = total + weights[-1, c]


@njit(cache=True, error_model="numpy")
def _predict(
    scores: Floats, at: int, raw: Floats, classes: int, stats: Floats, seen: NDArray[np.uint8], task: int
) -> None:
    finite = True
    if task == MULTICLASS:
        _softmax(raw, classes, seen)
        for c in range(scores.shape[1]):
            scores[at, c] = raw[c] if c < classes else 0.0 if classes else np.nan
    elif task == BINARY:
        scores[at, 0] = _sigmoid(raw[0])
    elif task == REGRESSION:
        scores[at, 0] = raw[0]
    else:
        scores[at, 0] = raw[0] * math.sqrt(stats[VAR, -1]) + stats[MEAN, -1] if stats[COUNT, -1] else np.nan
    for c in range(scores.shape[1]):
        finite &= math.isfinite(scores[at, c])
    for c in range(0 if finite else scores.shape[1]):
        scores[at, c] = np.nan


@njit(cache=True, error_model="numpy")
def _sigmoid(x: float) -> float:
    """1 / (1 + e^-x), exactly 0 and 1 beyond ± 30 as in river."""
    if x < -30:
        return 0.0
    return 1.0 if x > 30 else 1 / (1 + math.exp(-x))


@njit(cache=True, error_model="numpy")
def _softmax(raw: Floats, classes: int, seen: NDArray[np.uint8]) -> None:
    """Scores → probabilities over the classes seen, 0 for the others."""
    highest = -np.inf
    for c in range(classes):
        if seen[c]:
            highest = max(highest, raw[c])
    total = 0.0
    for c in range(classes):
        raw[c] = math.exp(raw[c] - highest) if seen[c] else 0.0
        total += raw[c]
    for c in range(classes):
        raw[c] = raw[c] / total if total else 0.0


@njit(cache=True, error_model="numpy")
def _restart_overflowed(weights: Floats, classes: int, raw: Floats) -> None:
    """A score that is no number comes from weights that grew too large together: that class starts again."""
    for c in range(classes):
        if not math.isfinite(raw[c]):
            weights[:, c] = 0.0
            raw[c] = 0.0


@njit(cache=True, error_model="numpy")
def _gradient(target: float, raw: Floats, classes: int, stats: Floats, seen: NDArray[np.uint8], task: int) -> None:
    """Scores → derivative of the loss with respect to each score."""
    if task == MULTICLASS:
        _softmax(raw, classes, seen)
        seen[int(target)] = 1
        for c in range(classes):
            if seen[c]:
                raw[c] = min(max(raw[c], 1e-15), 1 - 1e-15) - (c == int(target))
    elif task == BINARY:
        sign = 2 * target - 1
        z = raw[0] * sign
        # the two tails as in river: exact to rounding, and exp cannot overflow
        raw[0] = -sign * (math.exp(-z) if z > 18 else 1.0 if z < -18 else 1 / (math.exp(z) + 1))
    else:
        if task == SCALED_REGRESSION:
            _observe(stats, stats.shape[1] - 1, target)
            target = (target - stats[MEAN, -1]) * stats[SCALE, -1]
        raw[0] = 2 * (raw[0] - target)


@njit(cache=True, error_model="numpy")
def _weigh(raw: Floats, classes: int, target: int, fixed: Floats, counts: Floats) -> None:
    """Multiplies the gradient by the weight of the class: the one given, or the one that balances those learned."""
    weight = fixed[target]
    if counts.shape[0]:
        counts[target] += 1
        total = 0.0
        known = 0
        for c in range(counts.shape[0]):
            total += counts[c]
            known += counts[c] > 0
        weight = min(MOST_WEIGHT, total / (known * counts[target]))
    for c in range(classes):
        raw[c] *= weight


@njit(cache=True, error_model="numpy")
def _shorten(raw: Floats, value: Floats, present: int, rates: Rates) -> None:
    """Limits the step of the squared loss to what makes the new score equal the target."""
    lr, intercept_lr, _, _ = rates
    reach = intercept_lr
    for a in range(present):
        reach += lr * value[a] * value[a]
    if 2 * reach > 1:
        raw[0] /= 2 * reach


@njit(cache=True, error_model="numpy")
def _step(weights: Floats, classes: int, index: Ints, value: Floats, present: int, raw: Floats, rates: Rates) -> None:
    lr, intercept_lr, l2, clip = rates
    for c in range(classes):
        gradient = max(-clip, min(clip, raw[c]))
        weights[-1, c] = _finite(weights[-1, c] - intercept_lr * gradient)
        for a in range(present):
            w = weights[index[a], c]
            weights[index[a], c] = _finite(w - lr * (gradient * value[a] + l2 * w))


@njit(cache=True, error_model="numpy")
def _finite(w: float) -> float:
    return w if math.isfinite(w) else 0.0
