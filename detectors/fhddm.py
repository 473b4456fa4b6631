"""FHDDM: the errors in a window against the best window it remembers."""

import math
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Floats, N, number, register, whole
from detectors._errors import (
    ERRORS,
    EXCESS,
    QUIET_AT,
    QUIET_ERRORS,
    ErrorDetector,
    accrue,
    chernoff_limits,
    level,
    limit_at,
    note,
)
from detectors._kernels import finite

RECENT, BEST, BEST_BEFORE, SHORT, SHORT_BEST, RISE, LIMIT = range(3, 10)  # places in `floats`, after those of _errors
GENERATION = 3  # place in `counts`: observations since the best was last handed on
WINDOW, SHORT_WINDOW, EPSILON, SHORT_EPSILON, MEMORY = range(5)  # places in `config`; MEMORY 0: the published mode
REMEMBERED = 40  # windows after which the best of them is handed on; those before it are forgotten

USUAL = 500
LOG_RUN_LENGTHS = (6.9, 7.35, 7.85, 8.8, 10.0, 11.25, 12.9, 14.9)  # at LEVELS for USUAL answers, lowest over rates


def _level(arl0: float, window: int) -> float:
    """Alarms are as far apart as windows are long."""
    return level(arl0 * USUAL / window, LOG_RUN_LENGTHS)


@cache
def _limits(arl0: float, window: int) -> Floats:
    return chernoff_limits(np.array([1.0, -1.0]) / window, np.full(2, window), _level(arl0, window))


def _epsilon(confidence: float, window: int) -> float:
    return math.sqrt(math.log(1 / confidence) / (2 * window))


@njit(cache=True)
def _compare(n: int, config: Floats, limits: Floats, floats: Floats, counts: Array) -> bool:
    """Renew the best window; whether the newest is too much worse."""
    window, memory = config[WINDOW], config[MEMORY]
    if n == window:
        floats[BEST] = floats[BEST_BEFORE] = floats[RECENT]
        floats[SHORT_BEST] = floats[SHORT]
    floats[BEST], floats[SHORT_BEST] = min(floats[BEST], floats[RECENT]), min(floats[SHORT_BEST], floats[SHORT])
    floats[RISE] = (floats[RECENT] - min(floats[BEST], floats[BEST_BEFORE])) / window
    floats[LIMIT] = limit_at(limits, floats[ERRORS] / n)
    counts[GENERATION] += 1
    if counts[GENERATION] == memory:
        floats[BEST_BEFORE], floats[BEST], counts[GENERATION] = floats[BEST], floats[RECENT], 0
    return bool(floats[RISE] > floats[LIMIT])


@njit(cache=True)
def _fall(best: float, recent: float, window: float) -> float:
    """How much less often the recent answers were right, rounded as in river."""
    return (window - best) / window - (window - recent) / window


@njit(cache=True)
def _feed_published(x: Floats, start: int, config: Floats, floats: Floats, counts: Array, values: Floats) -> int:
    """As `_feed` with the best of all time; all numbers in registers."""
    window, short = len(values), int(config[SHORT_WINDOW])
    n, missing, quiet_at = counts[N], counts[MISSING], counts[QUIET_AT]
    errors, excess, quiet_errors = floats[ERRORS], floats[EXCESS], floats[QUIET_ERRORS]
    recent, best, newest, newest_best = floats[RECENT], floats[BEST], floats[SHORT], floats[SHORT_BEST]
    slot, at, found = n % window, start, False
    # What is clearly within the limit need not be divided.
    enough, short_enough = 0.999 * config[EPSILON] * window, 0.999 * config[SHORT_EPSILON] * short
    while at < len(x) and not found:
        if finite(x[at]):
            error, n, slot = min(max(x[at], 0.0), 1.0), n + 1, slot + 1 if slot + 1 < window else 0
            excess = accrue(error, errors, n - 1, excess)
            errors += error
            if excess <= 0.0:
                excess, quiet_errors, quiet_at = 0.0, errors, n
            recent += error - values[slot]
            newest += error - values[slot - short if slot >= short else slot - short + window]
            values[slot] = error
            if n == window:
                best, newest_best = recent, newest
            best, newest_best = min(best, recent), min(newest_best, newest)
            if n >= window and (recent - best > enough or newest - newest_best > short_enough):
                found = _fall(best, recent, window) > config[EPSILON]
                found = found or _fall(newest_best, newest, short) > config[SHORT_EPSILON]
        else:
            missing += 1
        at += 1
    counts[N], counts[MISSING], counts[QUIET_AT] = n, missing, quiet_at
    floats[ERRORS], floats[EXCESS], floats[QUIET_ERRORS] = errors, excess, quiet_errors
    floats[RECENT], floats[BEST], floats[SHORT], floats[SHORT_BEST] = recent, best, newest, newest_best
    if n >= window:
        floats[RISE], floats[LIMIT] = _fall(best, recent, window), config[EPSILON]
        short_rise = _fall(newest_best, newest, short)
        if floats[RISE] <= floats[LIMIT] and short_rise > config[SHORT_EPSILON]:
            floats[RISE], floats[LIMIT] = short_rise, config[SHORT_EPSILON]
    return at - 1 if found else -1


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, limits: Floats, floats: Floats, counts: Array, values: Floats) -> int:
    window, short = len(values), int(config[SHORT_WINDOW])
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        error = min(max(x[at], 0.0), 1.0)
        note(error, floats, counts)
        n = counts[N]
        slot = n % window
        floats[RECENT] += error - values[slot]
        floats[SHORT] += error - values[slot - short if slot >= short else slot - short + window]
        values[slot] = error
        if n >= window and _compare(n, config, limits, floats, counts):
            return at
    return -1


@register
class Fhddm(ErrorDetector):
    """Finds a window with more errors than the best window before.

    With `arl0` (the default way): fires when the errors in the newest `window` answers exceed those in the best window
    of the last 40 to 80 windows' time by more than eps(p) `window`, p the error rate since the last reset. The best of
    an unlimited past would lie ever further off, and alarms come ever more often: so the best of each 40 windows' time
    is handed on once and then forgotten. eps(p) is where Chernoff's exponent for the difference of two windows is a
    level L; given the number of errors so far the bound exp(-L) for one pair of windows holds for every error rate
    without an estimate (_errors.py), so `arl0` is met by one table of L, simulated up to run lengths of 3e6
    (benchmarks/error_levels.py) and extrapolated beyond as exp(L) / L^1.5. With less
    than 10 errors in a window it is many times the declared.

    With `sliding_window_size`, `confidence_level` or `short_window_size` it is the published detector with the
    best of all time and eps = sqrt(ln(1 / confidence_level) / (2 n)); `short_window_size` adds the second window of the
    stacking variant. River 0.26 step by step, if river is fed 1 for a right answer as in the paper: fed 1 for an error,
    as its documentation says, river looks for an improvement.

    Input: 0 (right) or 1 (wrong); values between are fractions of an error, values outside are clipped to [0, 1]; NaN
    and inf are counted, not fed. Only rises are found. A drift starts over. `age` counts from the last zero of a
    cumulative sum of the excess errors. Cost: 50 ns an observation (published: 10), 8 bytes an answer in the window.
    Source: Pesaranghader and Viktor, Fast Hoeffding drift detection method for evolving data streams, ECML PKDD 2016;
    stacking: Pesaranghader, Viktor and Paquet, Reservoir of diverse adaptive learners, Machine Learning 2018.

    >>> errors = np.arange(3000) % 5 == 0
    >>> errors[2000:] = np.arange(1000) % 2 == 0
    >>> [(at, drift.age, drift.before) for at, drift in Fhddm(arl0=1e5).update_many(errors)]
    [(2208, 209, 0.2)]
    """

    published: ClassVar[dict[str, Any]] = {"confidence_level": 1e-6}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        window: int = USUAL,
        sliding_window_size: int | None = None,
        confidence_level: float | None = None,
        short_window_size: int | None = None,
    ) -> None:
        calibrated = sliding_window_size is confidence_level is short_window_size is None
        arl0 = number("arl0", arl0, 100, 1e12)
        window = whole("window", window, 50, 10_000)
        params: dict[str, Any] = {"arl0": arl0, "window": window}
        self._level = _level(arl0, window)
        if calibrated:
            short, epsilons = window, (0.0, 0.0)
            self._limits = _limits(arl0, window)
        else:
            window = whole(
                "sliding_window_size", 100 if sliding_window_size is None else sliding_window_size, 1, 10_000
            )
            confidence = number("confidence_level", 1e-6 if confidence_level is None else confidence_level, 1e-300, 1)
            short = window if short_window_size is None else whole("short_window_size", short_window_size, 1, window)
            params = {"sliding_window_size": window, "confidence_level": confidence}
            params |= {"short_window_size": None if short_window_size is None else short}
            epsilons = _epsilon(confidence, window), _epsilon(confidence, short)
            self._limits = np.zeros(1)
        self._config = np.array([window, short, *epsilons, REMEMBERED * window if calibrated else 0])
        super().__init__(params, 4, 10, values=np.zeros(window))

    @property
    def statistic(self) -> float:
        """How much higher the error rate is in the newest window than in the best."""
        return float(self._floats[RISE]) if self._full else math.nan

    @property
    def threshold(self) -> float:
        """What that must exceed."""
        return float(self._floats[LIMIT]) if self._full else math.nan

    @property
    def _full(self) -> bool:
        return bool(self.n >= self._config[WINDOW])

    def detectable(self, n: int) -> float:
        """The best of 80 windows is some three deviations of a window's mean below the rate."""
        window = float(self._config[WINDOW])
        above = max(1.0, 2 * math.sqrt(self._level) - math.sqrt(2 * math.log(2 * REMEMBERED)))
        return above / math.sqrt(window) * max(1.0, window / n)

    def _run(self, x: Floats, start: int) -> int:
        floats, counts, values = self._floats, self._counts, self._state["values"]
        if self._config[MEMORY] == 0.0:
            return int(_feed_published(x, start, self._config, floats, counts, values))
        return int(_feed(x, start, self._config, self._limits, floats, counts, values))
