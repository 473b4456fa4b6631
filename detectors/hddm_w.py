"""HDDM_W: finds a recent weighted mean that has left the mean."""

import math

import numpy as np
from numba import njit

from detectors._base import Array, Floats, N, register
from detectors._bounded import DOUBT, exponent
from detectors._hddm import BOTH, CALIBRATED, FIRST, LEAST, LEVEL, MEAN, SIDE, SQUARES, WEIGHT, Hddm, take
from detectors._kernels import upper_variance

RECENT, POWER = 4, 5  # places in `floats`: the weighted mean, the sum of its squared weights
OLD, OLD_POWER, NEW, NEW_POWER = range(
    4
)  # places in a row of `cuts`: the mean at the cut, the mean since; no power: none
NEWEST = 0.02  # the weight of the newest observation, unless as published


@njit(cache=True)
def _compare(side: int, n: float, config: Floats, floats: Floats, cuts: Floats) -> tuple[float, float]:
    """The statistic and its threshold for a rise (side 0) or a fall (1)."""
    sign = 1.0 - 2.0 * side
    if config[CALIBRATED] == 0.0:
        old, old_power, new, new_power = cuts[side]
        if new_power == 0.0:
            return 0.0, math.inf
        return sign * (new - old), math.sqrt((old_power + new_power) * config[LEVEL] / 2.0)
    mean, limit = floats[MEAN], max(LEAST, config[LEVEL])
    off = sign * (floats[RECENT] - mean)
    if n < FIRST or off <= 0.0:
        return 0.0, limit
    variance = upper_variance(floats[SQUARES] / n, mean, n, DOUBT)
    # The difference of the two means has the variance of a mean of as many as this.
    return exponent(off, variance, 1.0 - mean if side == 0 else mean) / (floats[POWER] - 1.0 / n), limit


@njit(cache=True)
def _cut(y: float, weight: float, level: float, floats: Floats, cuts: Floats) -> None:
    """Cut where the weighted mean with its margin is the lowest (row 0) or the highest (1) ever; else feed the rest."""
    margin = math.sqrt(floats[POWER] * level / 2.0)
    for side in range(2):
        row, sign = cuts[side], 1.0 - 2.0 * side
        lowest = sign * row[OLD] + math.sqrt(row[OLD_POWER] * level / 2.0)
        if row[OLD_POWER] == 0.0 or sign * floats[RECENT] + margin < lowest:
            row[OLD], row[OLD_POWER], row[NEW], row[NEW_POWER] = floats[RECENT], floats[POWER], 0.0, 0.0
        else:
            first = row[NEW_POWER] == 0.0
            row[NEW] = y if first else weight * y + (1.0 - weight) * row[NEW]
            row[NEW_POWER] = weight * weight + (1.0 - weight) ** 2 * (1.0 if first else row[NEW_POWER])


@njit(cache=True)
def _feed(
    x: Floats, start: int, config: Floats, floats: Floats, counts: Array, onsets: Floats, sample: Floats, cuts: Floats
) -> int:
    calibrated, sides = config[CALIBRATED] > 0.0, 2 if config[BOTH] > 0.0 else 1
    for at in range(start, len(x)):
        y = take(x[at], calibrated, floats, counts, onsets, sample)
        if y < 0.0:
            continue
        n = float(counts[N] - len(sample))
        weight = max(NEWEST, 1.0 / n) if calibrated else config[WEIGHT]
        floats[RECENT] = y if n == 1.0 else weight * y + (1.0 - weight) * floats[RECENT]
        power = 1.0 if n == 1.0 else floats[POWER]
        floats[POWER] = weight * weight + (1.0 - weight) ** 2 * power
        if calibrated:
            # The exponent is at most this quadratic form: where that is too small nothing else is computed.
            off = floats[RECENT] - floats[MEAN]
            if off * off <= LEAST * (floats[POWER] - 1.0 / n) * floats[SQUARES] / n:
                continue
        else:
            _cut(y, weight, config[LEVEL], floats, cuts)
        for side in range(sides):
            statistic, limit = _compare(side, n, config, floats, cuts)
            if statistic > limit:
                counts[SIDE] = side
                return at
    return -1


@register
class HddmW(Hddm):
    """Finds a mean of the recent observations, weighted by age, that has left the mean since the last reset.

    With `arl0` (the default way): the first `warm_up` observations fix a range that holds the bulk of the signal; later
    ones are clipped to it and scaled to [0, 1]. The newest counts .02 (1 / n at first), each older one .98 of the next.
    What the weighted mean r says against the mean m of all is K(r - m) / (w2 - 1 / n), w2 the sum of the squared
    weights, K the exponent of Hoeffding's bound for values in [0, 1] of a known variance (taken .5 nats too high): the
    variance is the signal's own, not the largest possible, so the false alarms do not vary with the error rate. In
    control an observation alarms with a probability of at most .15 exp(-h): a simulation
    (benchmarks/bounded_levels.py), the worst of error rates from .003 to .9 and of normal, exponential, t3 and
    lognormal values; not a proof. The threshold is h = ln(.225 arl0), at least 4. Rises and falls are found.

    With `drift_confidence`, `warning_confidence`, `lambda_` or `two_sided_test` it is the published test by McDiarmid's
    bound (river 0.26 step by step) of values in [0, 1], clipped to that: the weighted mean since the last cut against
    that at the cut, where it was lowest; `warning` then tells of the warning zone.

    Input: any number; NaN and inf are counted, not fed. A drift starts over, the range included. `age` counts from the
    last zero of a cumulative sum of what exceeds the mean by .1 deviations; `before` and `after` are the means on its
    two sides. Cost: 100 ns an observation, constant memory. Source: Frias-Blanco et al., Online and non-parametric
    drift detection methods based on Hoeffding's bounds, IEEE TKDE 2015, section 4; Hoeffding, JASA 1963, theorem 3.

    >>> x = np.random.default_rng(1).random(4000)
    >>> x[3000:] **= 2
    >>> [(at - drift.age + 1, drift.direction) for at, drift in HddmW(arl0=1e5).update_many(x)]
    [(2994, -1)]
    """

    _hazard, _tails = 0.15, 1

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        warm_up: int = 256,
        drift_confidence: float | None = None,
        warning_confidence: float | None = None,
        lambda_: float | None = None,
        two_sided_test: bool | None = None,
    ) -> None:
        literature = {"drift_confidence": drift_confidence, "warning_confidence": warning_confidence}
        literature |= {"lambda_": lambda_, "two_sided_test": two_sided_test}
        super().__init__(arl0, warm_up, literature, {"floats": np.zeros(6), "cuts": np.zeros((2, 4))})

    def detectable(self, n: int) -> float:
        """Given a long time before the change."""
        weight = NEWEST if self._calibrated else float(self._config[WEIGHT])
        power = weight / (2.0 - weight)
        level = max(LEAST, float(self._config[LEVEL])) if self._calibrated else 4.0 * float(self._config[LEVEL])
        return math.sqrt(2.0 * level * power) / -math.expm1(n * math.log1p(-weight))

    def _compare(self, side: int) -> tuple[float, float]:
        return _compare(side, float(self._fed), self._config, self._floats, self._state["cuts"])

    def _run(self, x: Floats, start: int) -> int:
        s = self._state
        arrays = self._config, self._floats, self._counts, s["onsets"], s["sample"], s["cuts"]
        return int(_feed(x, start, *arrays))
