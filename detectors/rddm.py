"""RDDM: DDM over a bounded past."""

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Floats, N, number, register, whole
from detectors._errors import ENOUGH, ERRORS, EXCESS, MARGIN, QUIET_AT, QUIET_ERRORS, ErrorDetector, multiplier, note
from detectors._kernels import finite

MEAN, LEVEL, LIMIT, LOW_LEVEL, LOW_RATE, LOW_SCALE = range(3, 9)  # places in `floats`, after those of _errors
# Places in `counts`: n at the lowest level (0: none yet); answers ever fed, the first that still counts and the one at
# which the warning zone began (0: none), numbered from 1: number % size is their place in the ring.
BEST_AT, LAST, FIRST, WARNED_AT = range(3, 7)
LEAST, WARNING, DRIFT, LONGEST, PATIENCE, RUN_LENGTH = range(6)  # places in `config`; RUN_LENGTH 0: the published mode
CONCEPT = 6  # times `memory` answers at most make one concept


@njit(cache=True)
def _learn(error: float, fresh: bool, config: Floats, floats: Floats, counts: Array) -> bool:
    """Count an answer and, if `fresh`, renew the lowest level; whether there is enough to test."""
    note(error, floats, counts)
    n, errors = float(counts[N]), floats[ERRORS]
    floats[MEAN] += (error - floats[MEAN]) / n
    if config[RUN_LENGTH] > 0.0:
        enough = n >= config[LEAST] and (counts[BEST_AT] > 0 or min(errors, n - errors) >= ENOUGH)
        rate, scale = 2.0 * math.asin(math.sqrt(min(1.0, errors / n))), math.sqrt(1.0 / n)
        floats[LIMIT] = multiplier(n, config[RUN_LENGTH])
    else:
        enough = n >= config[LEAST]
        rate = floats[MEAN]
        scale = math.sqrt(max(0.0, rate * (1.0 - rate)) / n)
        floats[LIMIT] = config[DRIFT]
    floats[LEVEL] = rate + scale
    if fresh and enough and (counts[BEST_AT] == 0 or rate + scale < floats[LOW_LEVEL]):
        counts[BEST_AT] = counts[N]
        floats[LOW_LEVEL], floats[LOW_RATE], floats[LOW_SCALE] = rate + scale, rate, scale
    return bool(enough)


@njit(cache=True)
def _recalculate(fresh: bool, config: Floats, floats: Floats, counts: Array, kept: Array) -> None:
    """Start over with the answers kept; if `fresh`, with a lowest level of their own."""
    counts[N] = counts[QUIET_AT] = counts[WARNED_AT] = 0
    floats[ERRORS] = floats[EXCESS] = floats[QUIET_ERRORS] = floats[MEAN] = 0.0
    if fresh:
        counts[BEST_AT] = 0
    for i in range(counts[FIRST], counts[LAST] + 1):
        _learn(float(kept[i % len(kept)]), fresh and counts[N] >= config[LEAST], config, floats, counts)


@njit(cache=True)
def _fires(config: Floats, floats: Floats, counts: Array) -> bool:
    """Whether the level is too high, or (published) has been in the warning zone for too long."""
    if floats[LEVEL] > floats[LOW_RATE] + floats[LIMIT] * floats[LOW_SCALE]:
        counts[FIRST] = max(counts[FIRST], counts[WARNED_AT]) if counts[WARNED_AT] > 0 else counts[LAST]
        return True
    if not floats[LEVEL] > floats[LOW_RATE] + config[WARNING] * floats[LOW_SCALE]:
        counts[WARNED_AT] = 0
    elif counts[WARNED_AT] == 0:
        counts[WARNED_AT] = counts[LAST]
    elif counts[WARNED_AT] + config[PATIENCE] <= counts[LAST]:
        counts[FIRST], floats[LIMIT] = counts[LAST], config[WARNING]
        return True
    return False


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, floats: Floats, counts: Array, kept: Array) -> int:
    calibrated = config[RUN_LENGTH] > 0.0
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        error = min(max(x[at], 0.0), 1.0)
        counts[LAST] += 1
        counts[FIRST] = max(1, counts[FIRST], counts[LAST] - len(kept) + 1)
        kept[counts[LAST] % len(kept)] = error >= 0.5
        if not _learn(error, True, config, floats, counts):
            continue
        if _fires(config, floats, counts):
            return at
        if counts[N] >= config[LONGEST] and counts[WARNED_AT] == 0:
            _recalculate(calibrated, config, floats, counts, kept)
    return -1


@register
class Rddm(ErrorDetector):
    """Finds an error rate risen above the lowest level of a bounded past: DDM that forgets, and so stays quick.

    With `arl0` (the default way): the rate p of n answers is put on the scale g = 2 asin(sqrt(p)), where its deviation
    is 1 / sqrt(n) whatever p; fires when g + 1/sqrt(n) > g_min + k(n) / sqrt(n_min). There the in-control process is
    the same for every error rate and self-similar: alarms come at a rate of hazard(k) / n. k(n) makes that rate
    1 / (1.5 arl0) at every n, from 101 answers (at least 30 wrong and 30 right ones) on. When n reaches six times
    `memory`, everything is recalculated from the last `memory` answers, the lowest level too. hazard(k) is a curve
    fitted to a simulation (benchmarks/error_levels.py), extrapolated for arl0 above 1e6: a calibration, not a proof.
    Where `memory` holds less than 30 errors it is blind after each recalculation until there are 30.

    With a parameter of the published detector it is that: p + s > p_min + drift_level s_min, s = sqrt(p (1 - p) / n), n
    at least `min_n_instances`; or the warning zone (`warning_level`) for `warn_limit` answers. It goes on with the
    answers since the warning began; past `max_size_concept` with the last `min_size_stable_concept`, but the old lowest
    level (MOA step by step).

    Input: 0 (right) or 1 (wrong); values between are fractions of an error (kept as 0 or 1), values outside are clipped
    to [0, 1]; NaN and inf are counted, not fed. Only rises are found. A drift starts over (published: see above).
    `age` counts from the last zero of a cumulative sum of the excess errors. Cost: 70 ns an observation, a byte for
    each answer kept. Source: Barros, Cabral, Goncalves and Santos, RDDM: Reactive drift detection method, Expert
    Systems with Applications 2017, section 3.

    >>> errors = np.arange(3000) % 5 == 0
    >>> errors[2000:] = np.arange(1000) % 2 == 0
    >>> [(at - drift.age + 1, drift.before, drift.direction) for at, drift in Rddm(arl0=1e5).update_many(errors)]
    [(2000, 0.2, 1)]
    """

    published: ClassVar[dict[str, Any]] = {"drift_level": 2.258}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        memory: int = 7000,
        min_n_instances: int | None = None,
        warning_level: float | None = None,
        drift_level: float | None = None,
        max_size_concept: int | None = None,
        min_size_stable_concept: int | None = None,
        warn_limit: int | None = None,
    ) -> None:
        given = (min_n_instances, warning_level, drift_level, max_size_concept, min_size_stable_concept, warn_limit)
        self._calibrated = all(value is None for value in given)
        arl0 = number("arl0", arl0, 100, 1e12)
        memory = whole("memory", memory, 500, 100_000)
        least = whole("min_n_instances", 129 if min_n_instances is None else min_n_instances, 0, 1 << 40)
        warning = number("warning_level", 1.773 if warning_level is None else warning_level, 0, 1e6)
        drift = number("drift_level", 2.258 if drift_level is None else drift_level, 0, 1e6)
        longest = whole("max_size_concept", 40_000 if max_size_concept is None else max_size_concept, 1, 1 << 40)
        size = min_size_stable_concept
        size = whole("min_size_stable_concept", 7000 if size is None else size, 1, 20_000)
        patience = whole("warn_limit", 1400 if warn_limit is None else warn_limit, 1, 20_000)
        params: dict[str, Any] = {"min_n_instances": least, "warning_level": warning, "drift_level": drift}
        params |= {"max_size_concept": longest, "min_size_stable_concept": size, "warn_limit": patience}
        self._config = np.array([least, warning, drift, longest, patience, 0.0])
        if self._calibrated:
            params, size = {"arl0": arl0, "memory": memory}, memory
            self._config = np.array([101, math.inf, math.nan, CONCEPT * memory, 0, math.exp(MARGIN) * arl0])
        super().__init__(params, 7, 9, kept=np.zeros(size, np.int8))

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
        """The multiplier k (`drift_level`; `warning_level` where that has lasted for `warn_limit` answers)."""
        return float(self._floats[LIMIT]) if self._counts[BEST_AT] else math.nan

    @property
    def warning(self) -> bool:
        """Whether the level is in the published warning zone."""
        return bool(self._counts[WARNED_AT] > 0)

    def detectable(self, n: int) -> float:
        """Given as many observations before the change as after it."""
        size = float(min(max(n, self._config[LEAST]), self._config[LONGEST]))
        drift = float(self._config[DRIFT]) if not self._calibrated else multiplier(size, self._config[RUN_LENGTH])
        return 2 * drift / math.sqrt(min(n, size))

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._config, self._floats, self._counts, self._state["kept"]))

    def _reset(self) -> None:
        if self._calibrated:
            super()._reset()
        else:
            _recalculate(True, self._config, self._floats, self._counts, self._state["kept"])
