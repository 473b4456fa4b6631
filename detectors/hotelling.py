"""Hotelling / MEWMA: finds a shift of the means of many signals, in whatever direction it goes."""

import numpy as np

from detectors._base import Floats, register
from detectors._vectors import Vectors, product


@register
class Hotelling(Vectors):
    """Finds a shift of the mean of rows, small in each column perhaps, large against what the columns have in common.

    A row's point is its normal scores times the root of their inverse correlation (shrunken), both learned from the
    first `warm_up` rows: the length of a mean point m is Hotelling's T, sqrt(m' m). As in the MEWMA chart the points
    are averaged before a length is taken, the newest with `weight`; what is charted is not T^2, whose limit is known
    for normal rows only, but the bet that the next point lies in the direction of the average (`_vectors`). `estimate`
    is the length of the average.

    How `arl0` is met: by the bet's mean of at most 1, non-asymptotic for any joint distribution but for the estimated
    mean and variance of the payoffs, for which the threshold is doubled. Measured ARL at arl0 = 1e4: MEASURED.

    Input: rows of `features` numbers; a NaN or inf cell counts as in control, a row of them as `missing`. A drift
    starts over. `detail["features"]`: every column with its share of the payoff of the recent rows, largest first, and
    its mean `before` and `after` the onset; the largest one's are `before` and `after` with their intervals,
    `direction` is 0. `age`: since a CUSUM of the payoffs was last 0. Cost: COST a row, 8 d (warm_up + 150 + d) bytes.
    Source: Lowry, Woodall, Champ and Rigdon, A multivariate EWMA control chart, Technometrics 1992.

    >>> x = np.random.default_rng(1).normal(size=(4000, 3))
    >>> x[3000:, 1] += 1
    >>> [(at, drift)] = Hotelling(arl0=1e5, features=3).update_many(x)
    >>> at, at - drift.age + 1, drift.detail["features"][0]["feature"]
    (3032, 3001, 1)
    """

    monitors = "mean"

    def __init__(self, *, arl0: float = 1e6, features: int = 2, warm_up: int = 200, weight: float = 0.02) -> None:
        super().__init__({"arl0": arl0, "features": features, "warm_up": warm_up, "weight": weight})

    def _shapes(self, d: int) -> tuple[int, int, int, int]:
        return 0, 0, d, 0

    def _points(self, z: Floats) -> Floats:
        return product(z, self._state["white"])
