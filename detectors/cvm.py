"""Cramer-von Mises: finds a change of the distribution of a number that is spread over its whole range."""

import math
from typing import Any

from detectors._base import register
from detectors._windows import SQUARE, Distance


@register
class Cvm(Distance):
    """Finds a recent window that comes from another distribution than the reference, best a moderate shift.

    The statistic is the root mean square difference of the two distribution functions: sqrt(sum over the edges e of
    w_e (F_window(e) - F_reference(e))^2), w_e half the reference's share in the two bins beside e. Its square times E =
    W R / (W + R) is the two-sample statistic T (`detail["t"]`). Reference, window and edges: as of `ks`.

    How arl0 is met: T is asymptotically a weighted sum of squares of a Brownian bridge at the reference's own shares,
    so ties and heavy bins are in its law, whose cumulants are exact here. The limit is the value exceeded with chance
    p = g / arl0 in that law (Lugannani and Rice's saddle point, to 5 % of p), tested every g = W / 32 observations; the
    overlap of windows, whose alarms come in clumps, makes ARL several times arl0. A calibration, not a proof: shares
    nearer to 0 or 1 than 2 ln(1 / p) / E, whose counts are far from normal, are taken as that far away. Measured chance
    at p = .01 to .0001: 0 to 1.1 p; 2.2 p for errors at a rate of .05 (tests/test_cvm.py).

    Input: any number; NaN and inf are counted, not fed. A drift starts over with a new reference. `before`, `after`,
    `age` and `detail`: as of `ks`. Cost: 0.2 us an observation, 15 kB (rolling: 32 kB).
    Source: Anderson, On the distribution of the two-sample Cramer-von Mises criterion, Annals of Mathematical
    Statistics 1962, section 2; Anderson and Darling, Annals of Mathematical Statistics 1952, section 4 (its law).

    >>> import numpy as np
    >>> x = np.random.default_rng(1).normal(size=8000)
    >>> x[7000:] += 0.5
    >>> [(at, drift)] = Cvm(arl0=1e5).update_many(x)
    >>> at - drift.age + 1, round(drift.statistic, 2), drift.detail["t"] > 1
    (7006, 0.06, True)
    """

    unit = "root mean square difference of the distribution functions"
    _kind = SQUARE
    _most = 1 / math.sqrt(3)

    def _detail(self) -> dict[str, Any]:
        reference, window = self.sketch.n, self._params["window"]
        return super()._detail() | {"t": self.statistic**2 * reference * window / (reference + window)}
