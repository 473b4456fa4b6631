"""Online classifier two-sample test: finds what tells recent rows from those of the reference."""

import numpy as np

from detectors._base import Floats, register
from detectors._vectors import KEPT, Vectors, product


@register
class Classifier(Vectors):
    def __init__(self, *, arl0: float = 1e6, features: int = 2, warm_up: int = 200, weight: float = 0.02) -> None:
        super().__init__({"arl0": arl0, "features": features, "warm_up": warm_up, "weight": weight})

    def _shapes(self, d: int) -> tuple[int, int, int, int]:
        return 0, 0, 2 * d, KEPT

    def _fit(self, z: Floats) -> None:
        self._state["opponents"][...] = self._points(self._state["reference"])

    def _points(self, z: Floats) -> Floats:
        white = product(z, self._state["white"])
        return np.concatenate([white, (white**2 - 1) / np.sqrt(2)], axis=1)
