"""Performance figures from arrays of truth and prediction; each function takes what it needs and returns plain floats.

A figure that is not defined (no positives, one class only, no variance) is NaN.
"""

import numpy as np
from scipy.stats import rankdata

from stream_app.messages import Floats, Ints

LOWEST = 1e-15  # probabilities are clipped here for the log loss, as scikit-learn did


def confusion(truth: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts [true class, predicted class] of the events that have a prediction (code >= 0).

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    known = predicted >= 0
    flat = truth[known] * classes + predicted[known]
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def classification(matrix: Ints, *, binary: bool) -> dict[str, float]:
    """Accuracy, Cohen's kappa, precision, recall and F1 of a confusion matrix; several classes: macro averages.

    >>> classification(np.array([[8, 2], [1, 9]]), binary=True)["accuracy"]
    0.85
    """
    n, hits = matrix.sum(), np.diag(matrix).astype(float)
    truth, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    accuracy = _ratio(hits.sum(), n)
    chance = _ratio(float(truth @ predicted), float(n) ** 2)
    present = np.array([1]) if binary else np.flatnonzero(truth + predicted)
    precision = np.array([_ratio(hits[c], predicted[c]) for c in present])
    recall = np.array([_ratio(hits[c], truth[c]) for c in present])
    f1 = np.array([_ratio(2 * hits[c], truth[c] + predicted[c]) for c in present])
    return {
        "accuracy": accuracy,
        "kappa": _ratio(accuracy - chance, 1 - chance),
        "precision": _mean(precision),
        "recall": _mean(recall),
        "f1": _mean(f1),
    }


def roc_auc(positive: Floats, score: Floats) -> float:
    """Probability that a positive scores above a negative (Mann-Whitney), ties count half.

    >>> roc_auc(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    ones = float(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive > 0].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def binned_auc(negatives: Ints, positives: Ints) -> float:
    """ROC AUC from histograms of the scores of both classes; the error is at most half the pairs that share a bin."""
    below = np.concatenate([[0], np.cumsum(negatives)[:-1]])
    pairs = float(negatives.sum()) * float(positives.sum())
    return _ratio(float(positives @ (below + negatives / 2)), pairs)


def losses(true_probability: Floats) -> Floats:
    """Log loss of each event: -log of the probability given to what came true."""
    return -np.log(np.clip(true_probability, LOWEST, 1.0))


def regression(n: float, absolute: float, squared: float, spread: float) -> dict[str, float]:
    """MAE, RMSE and R² from the sums of |error|, error² and the squared deviations of the truth from its mean."""
    rmse = _ratio(squared, n) ** 0.5
    return {"mae": _ratio(absolute, n), "rmse": rmse, "r2": 1 - _ratio(squared, spread)}


def _ratio(a: float, b: float) -> float:
    return float(a) / float(b) if b else float("nan")


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
