"""EDDM: the distance between errors against the longest it was."""

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Floats, N, number, register, whole
from detectors._errors import ErrorDetector, level, note
from detectors._kernels import finite

STATISTIC, LIMIT, MEAN, SQUARES, LONGEST = range(3, 8)  # places in `floats`, after those of _errors
SEEN, LAST, LONG, LONG_BEFORE, GENERATION = range(3, 8)  # places in `counts`: errors, n at the last; distances over
# so many errors: the longest of this generation and of the one before; errors since the generation began
WARM_START, BETA = range(2)  # places in `config`
REMEMBERED = 40  # windows after which the longest of them is handed on; those before it are forgotten

USUAL = 75
LOG_RUN_LENGTHS = (5.0, 5.6, 6.45, 7.5, 8.6, 10.0, 11.7, 13.7)  # at LEVELS for USUAL errors, lowest over rates


@njit(cache=True)
def _entropy(errors: float, n: float) -> float:
    """Log likelihood of that many errors in n answers at their own rate."""
    return errors * math.log(errors / n) + (n - errors) * math.log1p(-errors / n) if errors < n else 0.0


@njit(cache=True)
def _shrunk(exponent: float, floats: Floats, counts: Array, at: Array) -> bool:
    """An error: has the distance over the newest errors shrunk? Against the longest, by likelihood ratio."""
    window, slot = len(at), counts[SEEN] % len(at)
    distance = counts[N] - at[slot]
    at[slot] = counts[N]
    counts[SEEN] += 1
    if counts[SEEN] < window:
        return False
    if counts[SEEN] == window:
        counts[LONG] = counts[LONG_BEFORE] = distance
    counts[LONG] = max(counts[LONG], distance)
    longest = max(counts[LONG], counts[LONG_BEFORE])
    both = float(distance + longest)
    floats[STATISTIC] = _entropy(window, distance) + _entropy(window, longest) - _entropy(2.0 * window, both)
    floats[LIMIT] = exponent + math.log(2.0 * window / both)
    counts[GENERATION] += 1
    if counts[GENERATION] == REMEMBERED * window:
        counts[LONG_BEFORE], counts[LONG], counts[GENERATION] = counts[LONG], distance, 0
    return bool(distance < longest and floats[STATISTIC] > floats[LIMIT])


@njit(cache=True)
def _published(config: Floats, floats: Floats, counts: Array) -> bool:
    """An error: mean + 2 deviations of all distances against the largest that was."""
    distance = float(counts[N] - counts[LAST])
    counts[SEEN] += 1
    counts[LAST] = counts[N]
    off = distance - floats[MEAN]
    floats[MEAN] += 1.0 / counts[SEEN] * off
    floats[SQUARES] += off * (distance - floats[MEAN])
    if counts[N] <= config[WARM_START]:
        return False
    variance = floats[SQUARES] / (counts[SEEN] - 1.0) if counts[SEEN] > 1 else 0.0
    spread = floats[MEAN] + 2.0 * math.sqrt(variance)
    if spread > floats[LONGEST]:
        floats[LONGEST] = spread
        return False
    if counts[SEEN] <= config[WARM_START]:
        return False
    share = spread / floats[LONGEST]
    floats[STATISTIC], floats[LIMIT] = 1.0 - share, 1.0 - config[BETA]
    return bool(share < config[BETA])


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, exponent: float, floats: Floats, counts: Array, places: Array) -> int:
    calibrated = len(places) > 0
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        wrong = x[at] >= 0.5 if calibrated else x[at] == 1.0
        note(1.0 if wrong else 0.0, floats, counts)
        if not wrong:
            continue
        if _shrunk(exponent, floats, counts, places) if calibrated else _published(config, floats, counts):
            return at
    return -1


@register
class Eddm(ErrorDetector):
    """Finds errors that follow each other at shorter distances than they did at their best.

    With `arl0` (the default way): at each error, the D answers that the last e = `errors` took are compared with D',
    the longest such distance of the last 40 to 80 times e errors. Fires when the log likelihood ratio of two rates, e/D
    and e/D', against p = 2e / (D + D') for both exceeds L + ln(p). Distances between errors are geometric: the law of
    that ratio is nearly the same for every error rate, and ln(p) turns a run length in errors into one in answers. L
    comes from one table, simulated up to run lengths of 1e6 (benchmarks/error_levels.py) and extrapolated beyond as
    exp(L) / L^1.5. The longest of an unlimited past would lie ever further off: so it is handed on once
    after 40 e errors and then forgotten. At an error rate of .01 the run length is up to 10 times the declared.

    With `alpha`, `beta` or `warm_start` it is the published detector, which compares mean + 2 deviations of all
    distances with its maximum (river 0.26 step by step, where only a 1 is an error): with its parameters it alarms
    about every 2,000 answers in control. `warning` tells of the warning zone.

    Input: 0 (right) or 1 (wrong); from .5 on a value is an error; NaN and inf are counted, not fed. Only rises are
    found. A drift starts over. `age` counts from the last zero of a cumulative sum of the excess errors. Cost: 10 ns an
    answer, 50 more an error; 8 bytes for each of `errors`. Source: Baena-Garcia et al., Early drift detection method,
    Workshop on Knowledge Discovery from Data Streams 2006.

    >>> errors = np.arange(3000) % 5 == 0
    >>> errors[2000:] = np.arange(1000) % 2 == 0
    >>> [(at, drift.age, drift.before) for at, drift in Eddm(arl0=1e5).update_many(errors)]
    [(2122, 123, 0.2)]
    """

    unit = "logarithm of the error rate"
    published: ClassVar[dict[str, Any]] = {"beta": 0.9}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        errors: int = USUAL,
        warm_start: int | None = None,
        alpha: float | None = None,
        beta: float | None = None,
    ) -> None:
        calibrated = warm_start is alpha is beta is None
        arl0 = number("arl0", arl0, 100, 1e12)
        errors = whole("errors", errors, 20, 10_000)
        params: dict[str, Any] = {"arl0": arl0, "errors": errors}
        self._level = level(arl0 * USUAL / errors, LOG_RUN_LENGTHS)
        least = whole("warm_start", 30 if warm_start is None else warm_start, 0, 1 << 40)
        self._alpha = number("alpha", 0.95 if alpha is None else alpha, 0, 1)
        beta = number("beta", min(0.9, self._alpha) if beta is None else beta, 0, self._alpha)
        if not calibrated:
            params = {"warm_start": least, "alpha": self._alpha, "beta": beta}
        self._config = np.array([least, beta])
        super().__init__(params, 8, 8, at=np.zeros(errors if calibrated else 0, np.int64))

    @property
    def statistic(self) -> float:
        """The log likelihood ratio at the last error (published: by what share the level is below its maximum)."""
        return float(self._floats[STATISTIC]) if self._floats[LIMIT] else math.nan

    @property
    def threshold(self) -> float:
        """What that must exceed."""
        return float(self._floats[LIMIT]) if self._floats[LIMIT] else math.nan

    @property
    def warning(self) -> bool:
        """Whether the published level is below `alpha` times its maximum."""
        return self.statistic > 1 - self._alpha

    def detectable(self, n: int) -> float:
        """At a rate of .2; the longest of 80 windows is some three deviations of a window's mean above it."""
        errors: int = self.params.get("errors", USUAL)
        above = max(1.0, 2 * math.sqrt(self._level) - math.sqrt(2 * math.log(2 * REMEMBERED)))
        return above / math.sqrt(errors) * max(1.0, 5 * errors / n)

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._config, self._level, self._floats, self._counts, self._state["at"]))
