"""HDDM_A: finds a mean that has left the lowest, or the highest, level it had since the last reset."""

import math

import numpy as np
from numba import njit

from detectors._base import Array, Floats, N, register
from detectors._bounded import split_exponent
from detectors._hddm import BOTH, CALIBRATED, FIRST, LEAST, LEVEL, MEAN, SIDE, SQUARES, Hddm, take

LOW_N, LOW_MEAN, LOW_MARGIN, HIGH_N, HIGH_MEAN, HIGH_MARGIN = range(4, 10)  # places in `floats`
HORIZON = 2000.0  # observations after which a split is given up


@njit(cache=True)
def _compare(side: int, n: float, config: Floats, floats: Floats) -> tuple[float, float]:
    """The statistic and its threshold for a rise since the lowest level (side 0), a fall since the highest (1)."""
    n0, mean0, mean = floats[LOW_N + 3 * side], floats[LOW_MEAN + 3 * side], floats[MEAN]
    n1, off = n - n0, (mean - mean0) * (1.0 - 2.0 * side)
    if config[CALIBRATED] == 0.0:
        return off, math.sqrt(n1 / n0 * (1.0 / n) / 2.0 * config[LEVEL]) if n1 > 0.0 else math.inf
    limit = max(LEAST, config[LEVEL] - math.log(min(max(n, FIRST), HORIZON)))
    if n < FIRST or n1 == 0.0 or off <= 0.0:
        return 0.0, limit
    return split_exponent(n0, mean0, n1, mean + (mean - mean0) * n0 / n1, floats[SQUARES]), limit


@njit(cache=True)
def _split(n: float, share: float, old: float, floats: Floats) -> None:
    """Split anew where the mean with its margin is the lowest, or the highest, since the reset or `old` ago."""
    mean, margin = floats[MEAN], 1.0 / math.sqrt(n)
    low = floats[LOW_MEAN] + share * floats[LOW_MARGIN]
    high = floats[HIGH_MEAN] - share * floats[HIGH_MARGIN]
    if n == 1.0 or n - floats[LOW_N] > old or low >= mean + share * margin:
        floats[LOW_N], floats[LOW_MEAN], floats[LOW_MARGIN] = n, mean, margin
    if n == 1.0 or n - floats[HIGH_N] > old or high <= mean - share * margin:
        floats[HIGH_N], floats[HIGH_MEAN], floats[HIGH_MARGIN] = n, mean, margin


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, floats: Floats, counts: Array, onsets: Floats, sample: Floats) -> int:
    calibrated, sides = config[CALIBRATED] > 0.0, 2 if config[BOTH] > 0.0 else 1
    old = HORIZON if calibrated else math.inf
    published_share = math.sqrt((config[LEVEL] - math.log(2.0)) / 2.0)
    for at in range(start, len(x)):
        if take(x[at], calibrated, floats, counts, onsets, sample) < 0.0:
            continue
        n = float(counts[N] - len(sample))
        variance = floats[SQUARES] / n
        _split(n, math.sqrt(variance) if calibrated else published_share, old, floats)
        for side in range(sides):
            n0, off = floats[LOW_N + 3 * side], floats[MEAN] - floats[LOW_MEAN + 3 * side]
            # The exponent is at most this quadratic form: where that is too small nothing else is computed.
            if calibrated and n0 * n * off * off <= LEAST * (n - n0) * variance:
                continue
            statistic, limit = _compare(side, n, config, floats)
            if statistic >= limit:
                counts[SIDE] = side
                return at
    return -1


@register
class HddmA(Hddm):
    """Finds a mean that rose above the lowest, or fell below the highest, level it had since the last reset.

    A level is a mean since the reset with its margin; the lowest (highest) ever splits the observations in two.

    With `arl0` (the default way): the first `warm_up` observations fix a range that holds the bulk of the signal; later
    ones are clipped to it and scaled to [0, 1]. The margin is one standard error. What the means m0, m1 of n0 values
    before and n1 after the split say against one common mean m is n0 K(m0 - m) + n1 K(m1 - m), K the exponent of
    Hoeffding's bound for values in [0, 1] of a known variance (for 0/1 values the likelihood ratio; the variance is
    taken .5 nats too high). A split is given up after 2000 observations, so that what came before a change cannot
    hide it. In control the n-th observation alarms with a probability of at most 300 exp(-h) / min(n, 2000): a
    simulation (benchmarks/bounded_levels.py), the worst of error rates from .003 to .9 and of normal, exponential, t3
    and lognormal values; not a proof. With the threshold h = ln(450 arl0 / min(n, 2000)), at least 4, that is
    1 / (1.5 arl0). Rises and falls are found.

    With `drift_confidence`, `warning_confidence` or `two_sided_test` it is the published test by Hoeffding's bound
    (river 0.26 step by step) of values in [0, 1], clipped to that; `warning` then tells of the warning zone.

    Input: any number; NaN and inf are counted, not fed. A drift starts over, the range included. `age` counts from the
    last zero of a cumulative sum of what exceeds the mean by .1 deviations; `before` and `after` are the means on its
    two sides. Cost: 130 ns an observation, constant memory. Source: Frias-Blanco et al., Online and non-parametric
    drift detection methods based on Hoeffding's bounds, IEEE TKDE 2015, section 3; Hoeffding, JASA 1963, theorem 3.

    >>> x = np.random.default_rng(1).random(4000)
    >>> x[3000:] **= 2
    >>> [(at - drift.age + 1, drift.direction) for at, drift in HddmA(arl0=1e5).update_many(x)]
    [(2994, -1)]
    """

    _hazard, _tails = 300.0, 2

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        warm_up: int = 256,
        drift_confidence: float | None = None,
        warning_confidence: float | None = None,
        two_sided_test: bool | None = None,
    ) -> None:
        literature = {"drift_confidence": drift_confidence, "warning_confidence": warning_confidence}
        super().__init__(arl0, warm_up, literature | {"two_sided_test": two_sided_test}, {"floats": np.zeros(10)})

    def detectable(self, n: int) -> float:
        """Given ten times as many observations before the change, and a split right at it."""
        level = float(self._config[LEVEL])
        if self._calibrated:
            n, level = min(n, int(HORIZON)), max(LEAST, level - math.log(HORIZON))
        return math.sqrt(2.2 * level / n)

    def _compare(self, side: int) -> tuple[float, float]:
        return _compare(side, float(self._fed), self._config, self._floats)

    def _run(self, x: Floats, start: int) -> int:
        state = self._state
        return int(_feed(x, start, self._config, self._floats, self._counts, state["onsets"], state["sample"]))
