"""Online classifier two-sample test: finds what tells recent rows from those of the warm-up."""

import numpy as np

from detectors._base import Floats, register
from detectors._bets import KEPT
from detectors._vectors import Vectors, columns, product


@register
class Classifier(Vectors):
    """Finds a change by learning to recognise it: an online logistic regression tells recent rows from older ones.

    It sees the whitened normal scores v_j and their squares, as (v_j^2 - 1) / sqrt(2), and takes one step of rate
    `weight` a row: the row as recent, one drawn from 64 of the first `warm_up` as old. It bets on a row's logit before
    it learns from it. Both classes are centred by the mean of all rows so far, so that 64 rows used over and over are
    no evidence of their own. Finds means, spreads and changes of a correlation that was there; not a dependence that
    comes up among columns that had none (`mmd`, `energy` do).

    How `arl0` is met, input, NaN, reset, evidence (the shares say by which columns rows are told apart) and cost: as in
    `hotelling` (plus 100 kB at d = 100; measured ARL at arl0 = 1e4: 1.3e4 or more).
    Source: Lopez-Paz and Oquab, Revisiting classifier two-sample tests, ICLR 2017; Podkopaev and Ramdas, Sequential
    predictive two-sample and independence testing, NeurIPS 2023, section 2 (a bet on the prediction).

    >>> x = np.random.default_rng(1).normal(size=(4000, 3))
    >>> x[3000:, 1] *= 2
    >>> [(at, drift)] = Classifier(arl0=1e5, features=3).update_many(x)
    >>> at, drift.detail["features"][0]["feature"]
    (3049, 1)
    """

    monitors = "distribution"

    def __init__(self, *, arl0: float = 1e6, features: int = 2, warm_up: int = 200, weight: float = 0.02) -> None:
        features = columns(features)
        params = {"arl0": arl0, "features": features, "warm_up": warm_up, "weight": weight}
        super().__init__(params, points=2 * features, opponents=KEPT)

    def _points(self, z: Floats) -> Floats:
        white = product(z, self._state["white"])
        return np.concatenate([white, (white**2 - 1) / np.sqrt(2)], axis=1)
