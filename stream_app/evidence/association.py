"""How strongly two columns hang together, whatever their types are: 0 not at all, 1 one follows from the other."""

import numpy as np
from numpy.typing import NDArray

from stream_app.evidence.table import Table
from stream_app.messages import Floats, Ints

LEAST = 8  # rows: fewer tell nothing


def associated(table: Table, a: str, b: str) -> float:
    """In [0, 1], from the rows where both are known; 0 for fewer than 8 rows and for constant columns.

    Two numbers: the size of their rank correlation (Spearman). A number and a category: the correlation ratio of the
    ranks, corrected for the number of categories (Kelley 1935). Two categories: Cramer's V, corrected (Bergsma 2013).
    """
    x, y = table.column(a), table.column(b)
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    if len(x) < LEAST or (x == x[0]).all() or (y == y[0]).all():
        return 0.0
    kinds = [table.categories[table.names.index(name)] for name in (a, b)]
    if all(kinds):
        return _cramer(_codes(x), _codes(y))
    if any(kinds):
        return _ratio(_codes(x), y) if kinds[0] else _ratio(_codes(y), x)
    return float(min(1.0, abs(np.corrcoef(_ranks(x), _ranks(y))[0, 1])))


def _ranks(x: Floats) -> Floats:
    """From 1; equal values share the mean of their ranks."""
    _, codes, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[codes]
    return ranks


def _codes(x: Floats) -> NDArray[np.intp]:
    return np.unique(x, return_inverse=True)[1]


def _ratio(codes: Ints, y: Floats) -> float:
    ranks = _ranks(y)
    n, counts = len(y), np.bincount(codes)
    k = len(counts)
    if k >= n:
        return 0.0
    means = np.bincount(codes, ranks) / counts
    within = 1 - (counts * (means - ranks.mean()) ** 2).sum() / (n * ranks.var())
    return float(np.sqrt(min(1.0, max(0.0, 1 - within * (n - 1) / (n - k)))))


def _cramer(a: Ints, b: Ints) -> float:
    n, rows, columns = len(a), int(a.max()) + 1, int(b.max()) + 1
    counts = np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
    phi2 = ((counts - expected) ** 2 / expected).sum() / n
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(min(1.0, phi2 / least))) if least > 0 else 0.0
