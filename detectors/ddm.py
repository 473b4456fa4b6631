"""DDM: finds an error rate above the best level it had reached."""

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Floats, N, number, register, whole
from detectors._errors import ENOUGH, ERRORS, MARGIN, ErrorDetector, multiplier, note
from detectors._kernels import finite

MEAN, LEVEL, LOW_LEVEL, LOW_RATE, LOW_SCALE = range(3, 8)  # places in `floats`, after those of _errors
BEST_AT = 3  # place in `counts`, after those of _errors: n at the lowest level, 0 before there is one
WARM_START, LIMIT, RUN_LENGTH = range(3)  # places in `config`; RUN_LENGTH 0: the published mode


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, floats: Floats, counts: Array) -> int:
    calibrated, limit = config[RUN_LENGTH] > 0.0, config[LIMIT]
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        error = min(max(x[at], 0.0), 1.0)
        note(error, floats, counts)
        n, errors = float(counts[N]), floats[ERRORS]
        floats[MEAN] += (error - floats[MEAN]) / n
        if n <= config[WARM_START] or (calibrated and counts[BEST_AT] == 0 and min(errors, n - errors) < ENOUGH):
            continue
        if calibrated:
            rate, scale = 2.0 * math.asin(math.sqrt(min(1.0, errors / n))), math.sqrt(1.0 / n)
            limit = multiplier(n, config[RUN_LENGTH])
        else:
            rate = floats[MEAN]
            scale = math.sqrt(max(0.0, rate * (1.0 - rate)) / n)
        floats[LEVEL] = rate + scale
        if counts[BEST_AT] == 0 or rate + scale <= floats[LOW_LEVEL]:
            counts[BEST_AT] = counts[N]
            floats[LOW_LEVEL], floats[LOW_RATE], floats[LOW_SCALE] = rate + scale, rate, scale
        if rate + scale > floats[LOW_RATE] + limit * floats[LOW_SCALE]:
            return at
    return -1


@register
class Ddm(ErrorDetector):
    """Finds an error rate risen above the lowest level (rate + its deviation) it had since the last reset.

    With `arl0` (the default way): the rate p of n answers is put on the scale g = 2 asin(sqrt(p)), where its deviation
    is 1 / sqrt(n) whatever p; fires when g + 1/sqrt(n) > g_min + k(n) / sqrt(n_min). There the in-control process is
    the same for every error rate and self-similar: alarms come at a rate of hazard(k) / n. k(n) makes that rate
    1 / (1.5 arl0) at every n, from 101 answers (at least 30 wrong and 30 right ones) on; past n = 4.5 arl0, k = 1 and
    any level but the lowest fires. hazard(k) is a curve fitted to a simulation (benchmarks/error_levels.py),
    extrapolated for arl0 above 1e6: a calibration, not a proof.

    With a parameter of the published detector it is that: p + s > p_min + drift_threshold s_min with s = sqrt(p (1 - p)
    / n), from more than `warm_start` answers on (river 0.26 step by step); `warning` then tells of the warning zone,
    which begins at `warning_threshold`.

    Input: 0 (right) or 1 (wrong); values between are fractions of an error, values outside are clipped to [0, 1]; NaN
    and inf are counted, not fed. Only rises are found, and the later they come the slower: the rate is a mean over all
    since the reset (`rddm` forgets). A drift starts over. `age` counts from the last zero of a cumulative sum of the
    excess errors. Cost: 35 ns an observation, constant memory. Source: Gama, Medas, Castillo and Rodrigues, Learning
    with drift detection, SBIA 2004.

    >>> errors = np.arange(3000) % 5 == 0
    >>> errors[2000:] = np.arange(1000) % 2 == 0
    >>> [(at - drift.age + 1, drift.before, drift.direction) for at, drift in Ddm(arl0=1e5).update_many(errors)]
    [(2000, 0.2, 1)]
    """

    published: ClassVar[dict[str, Any]] = {"drift_threshold": 3.0}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        warm_start: int | None = None,
        warning_threshold: float | None = None,
        drift_threshold: float | None = None,
    ) -> None:
        self._calibrated = warm_start is warning_threshold is drift_threshold is None
        arl0 = number("arl0", arl0, 100, 1e12)
        warm_start = whole("warm_start", 30 if warm_start is None else warm_start, 0, 1 << 40)
        warning = number("warning_threshold", 2.0 if warning_threshold is None else warning_threshold, 0, 1e6)
        limit = number("drift_threshold", 3.0 if drift_threshold is None else drift_threshold, 0, 1e6)
        params: dict[str, Any] = {"warm_start": warm_start, "warning_threshold": warning, "drift_threshold": limit}
        self._config = np.array([warm_start, limit, 0.0])
        if self._calibrated:
            params, warning = {"arl0": arl0}, math.inf
            self._config = np.array([100, math.nan, math.exp(MARGIN) * arl0])
        self._warning = warning
        super().__init__(params, 4, 8)

    @property
    def statistic(self) -> float:
        """How far the level (rate + deviation) lies above the lowest rate, in deviations of the lowest."""
        f = self._floats
        if not self._counts[BEST_AT]:
            return math.nan
        above = float(f[LEVEL] - f[LOW_RATE])
        return above / float(f[LOW_SCALE]) if f[LOW_SCALE] > 0 else (math.inf if above > 0 else 0.0)

    @property
    def threshold(self) -> float:
        """The multiplier k (`drift_threshold`)."""
        return self._limit(self.n) if self._counts[BEST_AT] else math.nan

    @property
    def warning(self) -> bool:
        """Whether the level is in the published warning zone."""
        return self.statistic > self._warning

    def detectable(self, n: int) -> float:
        """Given as many observations before the change as after it."""
        return 2 * self._limit(n) / math.sqrt(n)

    def _limit(self, n: int) -> float:
        return float(multiplier(float(n), self._config[RUN_LENGTH]) if self._calibrated else self._config[LIMIT])

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._config, self._floats, self._counts))
