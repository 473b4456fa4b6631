"""DDM: finds an error rate above the best level it had reached."""

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Detector, Drift, Floats, N, number, rate_interval, register, whole
from detectors._kernels import finite

ERRORS, MEAN, STATISTIC, LOW_LEVEL, LOW_RATE, LOW_SCALE, EXCESS, QUIET_ERRORS = range(8)  # places in `floats`
BEST_AT, QUIET_AT = 2, 3  # places in `counts`: n at the minimum, 0 before there is one; n when EXCESS was last 0
WARM_START, LIMIT, CALIBRATED = range(3)  # places in `config`
ENOUGH = 30  # errors, and correct answers, before the normal approximation of the root scale may be used

# Alarms per observation at n are at most hazard(k) / n. The form is the tail of a two-sample comparison at its worst
# split; benchmarks/ddm_hazard.py measures the factor. Worst p: 2.3 at k = 2, 1.5 at 2.5, 1.3 at 3, 1.4 at 3.5,
# 1.6 at 4, 2.2 at 4.5 and 4.75 (23 and 7 alarms). It grows with k where errors are rare (p = .08), but there 30
# errors take some 400 answers, four times the 100 that `multiplier` counts on. Beyond k = 5 (arl0 above 4e6) it is
# extrapolated.
HAZARD = 2.5


def hazard(k: float) -> float:
    """The in-control alarm rate per unit of log time at multiplier k, an upper envelope."""
    return HAZARD * math.exp(-(k * k - 1) / 2)


def multiplier(arl0: float, warm_start: int) -> float:
    """The k whose alarm rate right after the warm-up, where it is highest, is 1 / (2 arl0)."""
    low, high = 1.5, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if hazard(middle) / warm_start > 1 / (2 * arl0):
            low = middle
        else:
            high = middle
    return high


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, floats: Floats, counts: Array) -> int:
    calibrated, limit = config[CALIBRATED] > 0.0, config[LIMIT]
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        error = min(max(x[at], 0.0), 1.0)
        counts[N] += 1
        n = float(counts[N])
        # The onset: where a cumulative sum over the mean and a fifth of the deviation was last zero (Page 1954).
        floats[EXCESS] += error - floats[MEAN] - 0.2 * math.sqrt(max(0.0, floats[MEAN] * (1.0 - floats[MEAN])))
        if floats[EXCESS] <= 0.0:
            floats[EXCESS], floats[QUIET_ERRORS], counts[QUIET_AT] = 0.0, floats[ERRORS] + error, counts[N]
        floats[ERRORS] += error
        floats[MEAN] += (error - floats[MEAN]) / n
        if n <= config[WARM_START]:
            continue
        if calibrated:
            if counts[BEST_AT] == 0 and (floats[ERRORS] < ENOUGH or n - floats[ERRORS] < ENOUGH):
                continue
            rate = 2.0 * math.asin(math.sqrt(min(1.0, floats[ERRORS] / n)))
            scale = math.sqrt(1.0 / n)
        else:
            rate = floats[MEAN]
            scale = math.sqrt(max(0.0, rate * (1.0 - rate)) / n)
        if counts[BEST_AT] == 0 or rate + scale <= floats[LOW_LEVEL]:
            counts[BEST_AT] = counts[N]
            floats[LOW_LEVEL], floats[LOW_RATE], floats[LOW_SCALE] = rate + scale, rate, scale
        floats[STATISTIC] = rate + scale
        if rate + scale > floats[LOW_RATE] + limit * floats[LOW_SCALE]:
            return at
    return -1


@register
class Ddm(Detector):
    """Finds an error rate risen above the lowest level (rate + its deviation) it had since the last reset.

    With `arl0` (the default way): the rate p of n answers is put on the scale g = 2 asin(sqrt(p)), where its deviation
    is 1 / sqrt(n) whatever p; fires when g + 1/sqrt(n) > g_min + k / sqrt(n_min). There the in-control process is the
    same for every error rate, and alarms come at a rate of hazard(k) / n, highest right after the warm-up (`warm_start`
    answers, at least 30 wrong and 30 right ones). k makes that highest rate 1 / (2 arl0), so P(false alarm within t)
    <= t / (2 arl0). hazard(k) is a curve fitted to a simulation (benchmarks/ddm_hazard.py),
    extrapolated for arl0 above 4e6: a calibration, not a proof.

    With `warning_threshold` or `drift_threshold` it is the published DDM, p + s > p_min + drift_threshold s_min with
    s = sqrt(p (1 - p) / n) (river 0.26 step by step); `warning` then tells of the warning zone.

    Input: 0 (right) or 1 (wrong); values between are fractions of an error, values outside are clipped to [0, 1]; NaN
    and inf are counted, not fed. Only rises are found, and the later they come the slower: the rate is a mean over all
    since the reset. A drift starts over. `age` counts from the last zero of a cumulative sum of the excess errors.
    Cost: 20 ns an observation, constant memory. Source: Gama, Medas, Castillo and Rodrigues, Learning with drift
    detection, SBIA 2004.

    >>> detector = Ddm(arl0=1e5)
    >>> errors = np.arange(3000) % 5 == 0
    >>> errors[2000:] = np.arange(1000) % 2 == 0
    >>> [(at - drift.age + 1, drift.before, drift.direction) for at, drift in detector.update_many(errors)]
    [(2000, 0.2, 1)]
    """

    error_only = True
    published: ClassVar[dict[str, Any]] = {"drift_threshold": 3.0}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        warm_start: int | None = None,
        warning_threshold: float | None = None,
        drift_threshold: float | None = None,
    ) -> None:
        calibrated = warm_start is warning_threshold is drift_threshold is None
        arl0 = number("arl0", arl0, 100, 1e12)
        warm_start = whole("warm_start", (100 if calibrated else 30) if warm_start is None else warm_start, 0, 1 << 40)
        warning = number("warning_threshold", 2.0 if warning_threshold is None else warning_threshold, 0, 1e6)
        limit = number("drift_threshold", 3.0 if drift_threshold is None else drift_threshold, 0, 1e6)
        params: dict[str, Any] = {"arl0": arl0}
        if calibrated:
            limit = multiplier(arl0, warm_start)
        else:
            params = {"warm_start": warm_start, "warning_threshold": warning, "drift_threshold": limit}
        self._warning = warning
        self._config = np.array([warm_start, limit, float(calibrated)])
        super().__init__(params, {"counts": np.zeros(4, np.int64), "floats": np.zeros(8)})
        self._floats = self._state["floats"]

    @property
    def statistic(self) -> float:
        """How far the level (rate + deviation) lies above the lowest rate, in deviations of the lowest."""
        f = self._floats
        if not self._counts[BEST_AT]:
            return math.nan
        above = float(f[STATISTIC] - f[LOW_RATE])
        return above / float(f[LOW_SCALE]) if f[LOW_SCALE] > 0 else (math.inf if above > 0 else 0.0)

    @property
    def threshold(self) -> float:
        """The multiplier k (`drift_threshold`)."""
        return float(self._config[LIMIT]) if self._counts[BEST_AT] else math.nan

    @property
    def warning(self) -> bool:
        """Whether the level is above the warning zone's (`warning_threshold`)."""
        return self.statistic > self._warning

    @property
    def estimate(self) -> float:
        """The error rate since the last reset."""
        return float(self._floats[MEAN]) if self.n else math.nan

    def detectable(self, n: int) -> float:
        """Given as many observations before the change as after it."""
        return float(2 * self._config[LIMIT] / math.sqrt(n))

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._config, self._floats, self._counts))

    def _evidence(self) -> Drift:
        f, quiet = self._floats, int(self._counts[QUIET_AT])
        age = max(1, self.n - quiet)
        before, after = float(f[QUIET_ERRORS]) / max(1, quiet), float(f[ERRORS] - f[QUIET_ERRORS]) / age
        return Drift(
            statistic=self.statistic,
            threshold=self.threshold,
            n=self.n,
            before=before,
            after=after,
            age=age,
            direction=1,
            before_interval=rate_interval(before, quiet),
            after_interval=rate_interval(after, age),
        )
