"""Performance figures from arrays of truth and prediction; each function returns arrays over the predictors.

A figure that is not defined (no positives, one class only, no variance) is NaN.
"""

import numpy as np
from numba import njit

from stream_app.messages import Floats, Ints

LOWEST = 1e-15  # probabilities are clipped here for the log loss, as scikit-learn did


def confusion(truth: Floats, point: Floats, classes: int) -> Ints:
    """Counts [P, true class, predicted class] of P predictors' codes [n, P]; code -1 (no prediction) is left out.

    >>> confusion(np.array([0.0, 1, 1]), np.array([[0.0], [0], [1]]), 2).tolist()
    [[[1, 0], [1, 1]]]
    """
    counts = np.zeros((point.shape[1], classes, classes), np.int64)
    _count(truth, point, counts)
    return counts


@njit(cache=True, nogil=True)
def _count(truth: Floats, point: Floats, counts: Ints) -> None:
    for i in range(point.shape[0]):
        for j in range(point.shape[1]):
            if point[i, j] >= 0:
                counts[j, int(truth[i]), int(point[i, j])] += 1


def classification(matrix: Ints, *, binary: bool) -> dict[str, Floats]:
    """Accuracy, Cohen's kappa, precision, recall and F1 [P] of confusion matrices [P, C, C].

    Binary: of class 1; several classes: macro averages over those that occur.

    >>> classification(np.array([[[8, 2], [1, 9]]]), binary=True)["accuracy"].tolist()
    [0.85]
    """
    n, hits = matrix.sum(axis=(1, 2)), np.diagonal(matrix, axis1=1, axis2=2)
    truth, predicted = matrix.sum(axis=2), matrix.sum(axis=1)
    accuracy = ratio(hits.sum(axis=1), n)
    chance = ratio((truth * predicted.astype(float)).sum(axis=1), n.astype(float) ** 2)
    by_class = {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, truth),
        "f1": ratio(2 * hits, truth + predicted),
    }
    averages = {name: figures[:, 1] if binary else _mean(figures) for name, figures in by_class.items()}
    return {"accuracy": accuracy, "kappa": ratio(accuracy - chance, 1 - chance)} | averages


def roc_auc(positive: Floats, score: Floats) -> float:
    """Probability that a positive scores above a negative (Mann-Whitney), ties count half.

    >>> roc_auc(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    ones = float(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return float("nan")
    return float((_rank_sum(positive, score, np.argsort(score)) - ones * (ones + 1) / 2) / (ones * zeros))


@njit(cache=True, nogil=True)
def _rank_sum(positive: Floats, score: Floats, order: Ints) -> float:
    """Of the positives; ties share their mean rank."""
    total, start, n = 0.0, 0, len(order)
    while start < n:
        stop, ones = start, 0
        while stop < n and score[order[stop]] == score[order[start]]:
            ones += positive[order[stop]] > 0
            stop += 1
        total += ones * (start + 1 + stop) / 2
        start = stop
    return total


def binned_auc(negatives: Ints, positives: Ints) -> float:
    """ROC AUC from histograms of the scores of both classes; the error is at most half the pairs that share a bin."""
    below = np.cumsum(negatives) - negatives
    pairs = float(negatives.sum()) * float(positives.sum())
    return float(positives @ (below + negatives / 2)) / pairs if pairs else float("nan")


def losses(true_probability: Floats) -> Floats:
    """Log loss of each event: -log of the probability given to what came true."""
    return -np.log(np.clip(true_probability, LOWEST, 1.0))


def regression(n: Floats, absolute: Floats, squared: Floats, spread: Floats) -> dict[str, Floats]:
    """MAE, RMSE and R² from the sums of |error|, error² and the squared deviations of the truth from its mean."""
    return {"mae": ratio(absolute, n), "rmse": np.sqrt(ratio(squared, n)), "r2": 1 - ratio(squared, spread)}


def ratio(a: Floats | Ints, b: Floats | Ints) -> Floats:
    """The quotient a / b, NaN where b is 0."""
    quotient: Floats = np.divide(a, b, out=np.full(np.shape(b), np.nan), where=np.asarray(b) != 0)
    return quotient


def _mean(figures: Floats) -> Floats:
    """Mean over the classes where the figure is defined."""
    known = ~np.isnan(figures)
    return ratio(np.where(known, figures, 0).sum(axis=1), known.sum(axis=1))
