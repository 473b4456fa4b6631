"""Kolmogorov-Smirnov: finds any change of the distribution of a number."""

from collections.abc import Sequence

from detectors._base import Detector, Floats, register
from detectors._columns import STATE, Abreast, furthest
from detectors._windows import SUPREMUM, Distance

MANY = 64  # values from which columns pay


@register
class Ks(Distance):
    """Finds a recent window that comes from another distribution than the reference.

    The statistic is the largest difference of the two distribution functions, |F_window(e) - F_reference(e)|, over the
    edges e of the reference's bins: quantiles at `bins` equal steps of its first values, both sides of a value that
    fills a step. The reference: the first `reference` observations, or all within the first `reference_s` seconds of
    event time, or a saved `profile`; with `rolling` the stretch right before the window. The window: `window` more.

    How arl0 is met: at any one time window and reference are W and R exchangeable observations, so the two-sample
    Dvoretzky-Kiefer-Wolfowitz-Massart inequality P(D > z) <= C exp(-2 z^2 E), E = W R / (W + R), holds without regard
    to the reference being random; C = e is safe (Wei and Dudley 2012: C = 2 asymptotically and for equal sizes above
    457; tests/test_ks.py counts lattice paths exactly for unequal sizes). Ties and a choice of edges only make D
    smaller. Tested every g = W / 32 observations at g / (2 arl0), z = sqrt((1 + ln(2 arl0 / g)) / (2 E)), it gives
    ARL >= arl0 for independent observations of any distribution, discrete ones too.

    Input: any number; NaN and inf are counted, not fed. A drift starts over with a new reference. `before`, `after`:
    means of reference and window; `age`: where within the window the share at the most different edge changed, at
    most W. `detail`: that edge (`at`), the shares at or below it, `edges` and the bins' shares `before` and `after`.
    Cost: 0.01 us an observation in calls of thousands, 0.2 else (rolling, too); 15 kB (rolling: 32 kB).
    Source: Massart, The tight constant in the DKW inequality, Annals of Probability 1990; Wei and Dudley, 2012.

    >>> import numpy as np
    >>> x = np.random.default_rng(1).normal(size=8000)
    >>> x[7000:] *= 2
    >>> [(at, drift)] = Ks(arl0=1e5).update_many(x)
    >>> at - drift.age + 1, round(drift.statistic, 2), drift.detail["at"] > 0
    (7026, 0.11, False)
    """

    unit = "distance between distribution functions"
    _kind = SUPREMUM
    _times = 2

    def _feed(self, x: Floats, start: int) -> int:
        if self._params["rolling"] or len(x) - start < MANY:
            return super()._feed(x, start)
        arrays = [self._state[key] for key in STATE]
        return int(furthest(x, start, self._every, self._log_inverse, self._config, *arrays))

    @classmethod
    def abreast(cls, members: Sequence[Detector]) -> Abreast | None:
        """What feeds them all at once; None where references roll or count time."""
        params = members[0].params
        apart = params["rolling"] or params["reference_s"] is not None
        return None if apart or any(each.params != params for each in members) else Abreast(members)
