"""Energy distance: finds any change of the joint distribution of many signals, by projections."""

import numpy as np

from detectors._base import Floats, register
from detectors._vectors import Vectors, product, random_normals, whitening

DIRECTIONS = 32
STEPS = np.array([-1.0, -1 / 3, 1 / 3, 1.0])
MUTED = 0.2


@register
class Energy(Vectors):
    def __init__(self, *, arl0: float = 1e6, features: int = 2, warm_up: int = 200, weight: float = 0.02) -> None:
        super().__init__({"arl0": arl0, "features": features, "warm_up": warm_up, "weight": weight})

    def _shapes(self, d: int) -> tuple[int, int, int, int]:
        return DIRECTIONS, DIRECTIONS * len(STEPS), DIRECTIONS * len(STEPS), 0

    def _fit(self, z: Floats) -> None:
        directions = random_normals(z.shape[1], DIRECTIONS)
        self._state["inner"][...] = self._state["white"] @ (directions / np.linalg.norm(directions, axis=0))
        self._state["outer"][...] = whitening(self._steps(z), MUTED)

    def _points(self, z: Floats) -> Floats:
        return product(self._steps(z), self._state["outer"])

    def _steps(self, z: Floats) -> Floats:
        return np.concatenate([product(z, self._state["inner"]) > step for step in STEPS], axis=1).astype(np.float64)
