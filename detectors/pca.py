"""PCA reconstruction: finds rows that the principal components of the warm-up no longer explain."""

import numpy as np

from detectors._base import Floats, number, register
from detectors._vectors import Vectors, columns, product, whitening

LARGE = 4.0  # larger errors count as that: one in a column that had none would hide all others


@register
class Pca(Vectors):
    """Finds a change of what the columns have in common: a row that its principal components explain worse, or better.

    The normal scores of the first `warm_up` rows have principal components; the leading ones that have the share
    `explained` of the variance between them are kept (never all). A row's point: the size of the reconstruction error
    of each column, |z - V V' z|, whitened. The bet is that the next row's errors are as unusual as those of late: an
    average in which the newest row has the share `weight`.

    How `arl0` is met, input, NaN, reset, evidence and cost: as in `hotelling` (8 d (warm_up + 3 d + 150) bytes, 510 kB
    at d = 100). Measured ARL at arl0 = 1e4: 1.3e4 or more but for 50 columns with the copula of t3, where it was 1.1e4.
    A broken correlation is found by columns in it; a shift of means only as far as errors grow: `hotelling` sees it
    much earlier.
    Source: Jackson and Mudholkar, Control procedures for residuals associated with principal component analysis,
    Technometrics 1979; Qahtan et al., A PCA-based change detection framework, KDD 2015.

    >>> x = np.random.default_rng(1).normal(size=(4000, 3))
    >>> x[:, 1] += np.where(np.arange(4000) < 3000, 2, -2) * x[:, 0]
    >>> [(at, drift)] = Pca(arl0=1e5, features=3).update_many(x)
    >>> at, [column["feature"] for column in drift.detail["features"]]
    (3003, [1, 0, 2])
    """

    monitors = "distribution"

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        features: int = 2,
        warm_up: int = 200,
        weight: float = 0.02,
        explained: float = 0.5,
    ) -> None:
        self._explained = number("explained", explained, 0, 1)
        params = {"arl0": arl0, "features": columns(features), "warm_up": warm_up, "weight": weight}
        super().__init__(params | {"explained": self._explained}, points=features, inner=features, outer=features)

    def _fit(self, z: Floats) -> None:
        sizes, axes = np.linalg.eigh(np.cov(z, rowvar=False).reshape(z.shape[1], -1))
        unexplained = np.cumsum(sizes) <= (1 - self._explained) * sizes.sum()  # the smallest come first
        left = axes[:, : max(1, int(unexplained.sum()))]
        errors = left @ left.T
        typical = np.sqrt(np.mean(product(z, errors) ** 2, axis=0))
        self._state["inner"][...] = errors / np.maximum(typical, 1e-3)
        self._state["outer"][...] = whitening(self._errors(z))

    def _points(self, z: Floats) -> Floats:
        return product(self._errors(z), self._state["outer"])

    def _errors(self, z: Floats) -> Floats:
        """The size of each column's error, against that in the warm-up."""
        return np.minimum(np.abs(product(z, self._state["inner"])), LARGE)
