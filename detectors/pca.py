"""PCA reconstruction: finds rows that the principal components of the reference no longer explain."""

import numpy as np

from detectors._base import Floats, number, register
from detectors._vectors import Vectors, product, whitening


@register
class Pca(Vectors):
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
        super().__init__(
            {"arl0": arl0, "features": features, "warm_up": warm_up, "weight": weight, "explained": self._explained}
        )

    def _shapes(self, d: int) -> tuple[int, int, int, int]:
        return d, d, d, 0

    def _fit(self, z: Floats) -> None:
        state = self._state
        sizes, axes = np.linalg.eigh(np.cov(z, rowvar=False).reshape(z.shape[1], -1))
        left = int(np.searchsorted(np.cumsum(sizes), (1 - self._explained) * sizes.sum(), side="right"))
        rest = axes[:, : max(1, left)]  # the smallest first
        errors = rest @ rest.T
        typical = np.sqrt(np.mean(product(z, errors) ** 2, axis=0))
        state["inner"][...] = errors / np.maximum(typical, 1e-3)
        state["outer"][...] = whitening(np.abs(product(z, state["inner"])))

    def _points(self, z: Floats) -> Floats:
        return product(np.abs(product(z, self._state["inner"])), self._state["outer"])
