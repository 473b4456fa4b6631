"""What the two HDDM tests share: the mean and the onset of a bounded signal, parameters and evidence."""

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Drift, Floats, N, flag, number, whole
from detectors._bounded import Bounded, scaled
from detectors._kernels import finite

MEAN, SQUARES = 2, 3  # places in `floats`, after the scale's
SIDE = 2  # place in `counts`: 0 if the drift was a rise, 1 if a fall
EXCESS, QUIET_AT, QUIET_TOTAL = range(3)  # places in a row of `onsets`; the first row is of rises, the second of falls
SLACK = 0.1  # deviations from the mean that an onset's cumulative sum lets pass
LEVEL, CALIBRATED, BOTH, WEIGHT = range(4)  # places in `config`
FIRST = 100  # observations on the scale before the first test
LEAST = 4.0  # nats: the lowest threshold


@njit(cache=True)
def take(x: float, calibrated: bool, floats: Floats, counts: Array, onsets: Floats, sample: Floats) -> float:
    """Count x and let the mean, the variance and the onsets know; x on the scale, or -1 if it is not fed.

    An onset is where the cumulative sum of what lies beyond the mean was last zero (Page 1954).
    """
    if not finite(x):
        counts[MISSING] += 1
        return -1.0
    counts[N] += 1
    y = scaled(x, counts[N], floats, sample) if calibrated else min(max(x, 0.0), 1.0)
    if y < 0.0:
        return y
    n = float(counts[N] - len(sample))
    off = y - floats[MEAN]
    floats[MEAN] += off / n
    floats[SQUARES] += off * (y - floats[MEAN])
    beyond = y - floats[MEAN]
    slack = SLACK * math.sqrt(floats[SQUARES] / n)
    for side in range(2):
        row = onsets[side]
        row[EXCESS] += (beyond if side == 0 else -beyond) - slack
        if row[EXCESS] <= 0.0:
            row[EXCESS], row[QUIET_AT], row[QUIET_TOTAL] = 0.0, n, floats[MEAN] * n
    return y


class Hddm(Bounded):
    """Parameters, state and evidence; the test is `_compare`: the statistic and the threshold of one side."""

    published: ClassVar[dict[str, Any]] = {"drift_confidence": 0.001}
    _hazard: ClassVar[float]  # alarms are at most this times exp(-threshold) of the observations, in control
    _tails: ClassVar[int]  # the published bound has the logarithm of this over the confidence

    def __init__(self, arl0: float, warm_up: int, literature: dict[str, Any], state: dict[str, Array]) -> None:
        self._calibrated = all(value is None for value in literature.values())
        arl0 = number("arl0", arl0, 100, 1e12)
        usual = {"drift_confidence": 0.001, "warning_confidence": 0.005, "lambda_": 0.05, "two_sided_test": False}
        chosen = {key: usual[key] if value is None else value for key, value in literature.items()}
        drift = number("drift_confidence", chosen["drift_confidence"], 1e-300, 1)
        warning = number("warning_confidence", chosen["warning_confidence"], 1e-300, 1)
        both = flag("two_sided_test", chosen["two_sided_test"])
        weight = number("lambda_", chosen.get("lambda_", 0.05), 1e-9, 1)
        if self._calibrated:
            chosen = {"arl0": arl0, "warm_up": whole("warm_up", warm_up, 20, 1 << 20)}
            self._config = np.array([math.log(1.5 * self._hazard * arl0), 1.0, 1.0, 0.0])
        else:
            self._config = np.array([math.log(self._tails / drift), 0.0, float(both), weight])
        self._zone = math.log(self._tails / warning)
        state |= {"counts": np.zeros(3, np.int64), "onsets": np.zeros((2, 3))}
        state |= {"sample": np.zeros(warm_up if self._calibrated else 0)}
        super().__init__(chosen, state)
        self._floats = state["floats"]

    def _compare(self, side: int) -> tuple[float, float]:
        raise NotImplementedError

    @property
    def _fed(self) -> int:
        return max(0, self.n - len(self._state["sample"]))

    def _nearest(self) -> tuple[float, float]:
        if not self._fed:
            return math.nan, math.nan
        pairs = [self._compare(side) for side in range(2 if self._config[BOTH] else 1)]
        return max(pairs, key=lambda pair: pair[0] / pair[1])

    @property
    def statistic(self) -> float:
        """The exponent in nats (as published: the difference) on the side that is nearer to an alarm."""
        return self._nearest()[0]

    @property
    def threshold(self) -> float:
        """What the statistic must reach."""
        return self._nearest()[1]

    @property
    def warning(self) -> bool:
        """Whether the statistic is in the published test's warning zone."""
        statistic, threshold = self._nearest()
        return not self._calibrated and statistic >= threshold * math.sqrt(self._zone / float(self._config[LEVEL]))

    @property
    def estimate(self) -> float:
        """The mean since the reset."""
        return self._raw(float(self._floats[MEAN])) if self.n else math.nan

    def _evidence(self) -> Drift:
        f, fed, onset = self._floats, self._fed, self._state["onsets"][int(self._counts[SIDE])]
        quiet, total, mean = int(onset[QUIET_AT]), float(onset[QUIET_TOTAL]), float(f[MEAN])
        age = max(1, fed - quiet)
        before = total / quiet if quiet else mean
        return self._told(before, (mean * fed - total) / age, fed, age, float(f[SQUARES]) / fed)
