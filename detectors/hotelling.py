"""Hotelling / MEWMA: finds a shift of the means of many signals, whatever direction it takes."""

from detectors._base import Floats, register
from detectors._vectors import Vectors, columns, product


@register
class Hotelling(Vectors):
    """Finds a shift of the mean of rows, best one that is small in each column but goes against what they share.

    A row's point: its normal scores times the inverse root of their correlation (`_vectors.whitening`), both learned
    from the first `warm_up` rows, so that the length of a mean point m is Hotelling's T = sqrt(m' m). As in the MEWMA
    chart the points are averaged, the newest with `weight`, before a length is taken (`estimate`). What is charted is
    not T^2, whose limits hold for normal rows only, but the bet that the next point lies the same way as the average.

    How `arl0` is met: bets of mean 1 at most for any joint distribution (`_bets`), non-asymptotic but for the
    payoffs' estimated mean and variance, for which the threshold is doubled. Measured ARL at arl0 = 1e4, over
    independent, correlated, heavy-tailed, 0/1 and constant columns, 2 to 50 of them: 1.3e4 or more.

    Input: rows of `features` numbers. A cell that is NaN or inf counts as in control, a row of them as `missing`. A
    drift starts over with a new warm-up; bets begin 1.5 `warm_up` rows after. `detail["features"]`: every column, its
    share of what the recent rows brought in (largest first), its mean `before` and `after` the onset. The leading
    column's are the `before` and `after` of the drift, with intervals; `direction` is 0. `age`: since a CUSUM of the
    payoffs was last 0. Cost for d columns: 100 d ns a row, 8 d (warm_up + d + 150) bytes (d = 100: 350 kB).
    Source: Lowry, Woodall, Champ and Rigdon, A multivariate EWMA control chart, Technometrics 1992.

    >>> import numpy as np
    >>> x = np.random.default_rng(1).normal(size=(4000, 3))
    >>> x[3000:, 1] += 1
    >>> [(at, drift)] = Hotelling(arl0=1e5, features=3).update_many(x)
    >>> at, at - drift.age + 1, drift.detail["features"][0]["feature"]
    (3032, 3002, 1)
    """

    def __init__(self, *, arl0: float = 1e6, features: int = 2, warm_up: int = 200, weight: float = 0.02) -> None:
        params = {"arl0": arl0, "features": columns(features), "warm_up": warm_up, "weight": weight}
        super().__init__(params, points=features)

    def _points(self, z: Floats) -> Floats:
        return product(z, self._state["white"])
