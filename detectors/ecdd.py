"""ECDD: an EWMA chart of the errors around their rate so far."""

import math
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Floats, N, number, register, whole
from detectors._errors import ERRORS, ErrorDetector, chernoff_limits, level, limit_at, note
from detectors._kernels import finite

EWMA, LIMIT = 3, 4  # places in `floats`, after those of _errors
WEIGHT, LEAST, CALIBRATED = range(3)  # places in `config`
USUAL = 200  # answers remembered: best for a rise by a quarter of a deviation at arl0 = 1e6

LOG_RUN_LENGTHS = (7.1, 7.7, 8.5, 10.45, 12.65, 14.9)  # at LEVELS for USUAL, the lowest over error rates of .01 to .5


def _level(arl0: float, memory: int) -> float:
    """Alarms are as far apart as the memory is long."""
    return level(arl0 * USUAL / memory, LOG_RUN_LENGTHS)


@cache
def _limits(arl0: float, memory: int) -> Floats:
    weights = np.power(1 - 1 / memory, np.arange(10 * memory)) / memory
    return chernoff_limits(weights, np.ones(len(weights)), _level(arl0, memory))


@njit(cache=True)
def _published_limit(p: float, weight: float, n: float) -> float:
    """Ross's control limit for a run length of 400 (weight .2), as MOA has it."""
    deviation = math.sqrt(p * (1.0 - p) * weight * (1.0 - (1.0 - weight) ** (2.0 * n)) / (2.0 - weight))
    return p + (3.97 - 6.56 * p + 48.73 * p**3 - 330.13 * p**5 + 848.18 * p**7) * deviation


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, limits: Floats, floats: Floats, counts: Array) -> int:
    weight, least, calibrated = config[WEIGHT], config[LEAST], config[CALIBRATED] > 0.0
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        error = min(max(x[at], 0.0), 1.0)
        note(error, floats, counts)
        floats[EWMA] += weight * (error - floats[EWMA])
        rate = floats[ERRORS] / counts[N]
        floats[LIMIT] = limit_at(limits, rate) if calibrated else _published_limit(rate, weight, counts[N])
        if counts[N] >= least and floats[EWMA] > floats[LIMIT]:
            return at
    return -1


@register
class Ecdd(ErrorDetector):
    """Finds an error rate risen above the mean of all since the last reset, by an exponentially weighted average.

    With `arl0` (the default way): Z += (x - Z) / memory; fires when Z > z(p), p the error rate so far and z(p) where
    Chernoff's exponent for Z is a level L. Given the number of errors so far the bound exp(-L) holds for every error
    rate and n without an estimate (_errors.py), so `arl0` is met by one table of L, simulated up to run lengths of 3e6
    (benchmarks/error_levels.py) and extrapolated beyond as exp(L) / L^1.5; other memories take it at arl0 200 / memory,
    as alarms come in proportion. `memory`, 50 to 1,000 answers: the smaller the rise, the longer the best; at arl0 =
    1e4 about 150 for a quarter of a deviation, 400 for an eighth of one or for a rise over 1,000 answers.

    With `lambda_` or `min_n_instances` it is the published chart, Z > p + L(p) s, with the control limit L for weight
    .2 and a run length of 400 (MOA's EWMAChartDM step by step); `warning` is then half of that limit.

    Input: 0 (right) or 1 (wrong); values between are fractions of an error, values outside are clipped to [0, 1]; NaN
    and inf are counted, not fed. Only rises are found; one soon after a reset moves p along and takes longer. A drift
    starts over. `age` counts from the last zero of a cumulative sum of the excess errors. Cost: 15 ns an observation,
    constant memory. Source: Ross, Adams, Tasoulis and Hand, Exponentially weighted moving average charts for detecting
    concept drift, Pattern Recognition Letters 2012, section 3.

    >>> errors = np.arange(3000) % 5 == 0
    >>> errors[2000:] = np.arange(1000) % 2 == 0
    >>> [(at, drift.age, drift.before) for at, drift in Ecdd(arl0=1e5).update_many(errors)]
    [(2070, 71, 0.2)]
    """

    published: ClassVar[dict[str, Any]] = {"lambda_": 0.2}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        memory: int = USUAL,
        lambda_: float | None = None,
        min_n_instances: int | None = None,
    ) -> None:
        calibrated = lambda_ is min_n_instances is None
        arl0, memory = number("arl0", arl0, 100, 1e12), whole("memory", memory, 50, 1000)
        weight = number("lambda_", 0.2 if lambda_ is None else lambda_, 1e-6, 1)
        least = whole("min_n_instances", 30 if min_n_instances is None else min_n_instances, 0, 1 << 40)
        self._limits = _limits(arl0, memory) if calibrated else np.zeros(1)
        self._level = _level(arl0, memory)
        self._config = np.array([1 / memory if calibrated else weight, 1 if calibrated else least, float(calibrated)])
        usual = {"arl0": arl0, "memory": memory}
        super().__init__(usual if calibrated else {"lambda_": weight, "min_n_instances": least}, 3, 5)

    @property
    def statistic(self) -> float:
        """The weighted average of the errors."""
        return float(self._floats[EWMA]) if self.n else math.nan

    @property
    def threshold(self) -> float:
        """Its control limit at the error rate so far."""
        return float(self._floats[LIMIT]) if self.n >= max(1, self._config[LEAST]) else math.nan

    @property
    def warning(self) -> bool:
        """Whether the average is more than half way from the error rate to the limit."""
        return self.statistic > (self.estimate + self.threshold) / 2

    def detectable(self, n: int) -> float:
        """Given many more observations before the change."""
        weight = float(self._config[WEIGHT])
        return math.sqrt(self._level * weight) / (1 - (1 - weight) ** n)

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._config, self._limits, self._floats, self._counts))
