"""Online MMD: finds any change of the joint distribution of many signals, by random Fourier features."""

import numpy as np

from detectors._base import Floats, register
from detectors._vectors import Vectors, product, random_normals, whitening

FREQUENCIES = 64
MUTED = 0.2


@register
class Mmd(Vectors):
    def __init__(self, *, arl0: float = 1e6, features: int = 2, warm_up: int = 200, weight: float = 0.02) -> None:
        super().__init__({"arl0": arl0, "features": features, "warm_up": warm_up, "weight": weight})

    def _shapes(self, d: int) -> tuple[int, int, int, int]:
        return FREQUENCIES, 2 * FREQUENCIES, 2 * FREQUENCIES, 0

    def _fit(self, z: Floats) -> None:
        state = self._state
        some = product(state["reference"], state["white"])
        squares = ((some[:, None] - some) ** 2).sum(axis=2)
        width = np.sqrt(np.median(squares[np.triu_indices(len(some), 1)]))
        state["inner"][...] = state["white"] @ random_normals(z.shape[1], FREQUENCIES) / max(width, 1e-3)
        state["outer"][...] = whitening(self._waves(z), MUTED)

    def _points(self, z: Floats) -> Floats:
        return product(self._waves(z), self._state["outer"])

    def _waves(self, z: Floats) -> Floats:
        angles = product(z, self._state["inner"])
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
