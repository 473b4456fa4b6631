"""What detectors of 0/1 errors share: onset and evidence, and thresholds that hold whatever the error rate.

Given how many of the answers since the reset were wrong, any order of them is as likely as any other, whatever the
error rate. The x are then negatively associated (Joag-Dev and Proschan 1983), so a weighted sum of the recent x exceeds
z with probability at most exp(-I(z)), where I is Chernoff's exponent for independent x with the *observed* rate: the
error rate is not estimated but conditioned on, and the bound holds from the first answer on. Where the exponent must
lie so that alarms are arl0 apart (they come in clumps, and the bound is not sharp) is simulated
(benchmarks/error_levels.py): one table for all error rates.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from detectors._base import Array, Detector, Drift, Floats, N, rate_interval

ERRORS, EXCESS, QUIET_ERRORS = range(3)  # the first places in `floats`
QUIET_AT = 2  # the third place in `counts`
LEVELS = (0.5, 1.25, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0)
NODES = 128
MARGIN = math.log(1.5)  # measured run lengths are this much above the declared ones

# Of ddm and rddm. HAZARD: alarms per unit of log n are at most HAZARD exp(-(k^2 - 1) / 2), benchmarks/error_levels.py.
ENOUGH = 30  # errors, and correct answers, before the normal approximation of the root scale may be used
HAZARD = 3.0


def level(arl0: float, log_run_lengths: tuple[float, ...]) -> float:
    """The level at which alarms are 1.5 arl0 apart, from the logarithm of the run length at the first of LEVELS."""
    wanted, levels = math.log(arl0) + MARGIN, LEVELS[: len(log_run_lengths)]
    beyond = max(0.0, wanted - log_run_lengths[-1])  # there the run length grows as exp(level) / level**1.5 or faster
    return float(np.interp(wanted, log_run_lengths, levels)) + beyond + 1.5 * math.log1p(beyond / levels[-1])


def chernoff_limits(weights: Floats, times: Floats, exponent: float) -> Floats:
    """What the sum of weights[k] x, times[k] x of each, must exceed at the error rates (i / NODES)^2; at most 1.

    Solved for the tilt s: z = psi'(s) where s psi'(s) - psi(s) = exponent, psi the cumulant generating function. At
    either end lines between the nodes would lie too low: there the limit is that of the next node, and 1.
    """
    largest = float(np.max(np.abs(weights)))
    p = (np.arange(1, NODES)[:, None] / NODES) ** 2
    low, high = np.full(NODES - 1, -20.0), np.full(NODES - 1, 6.0)  # log(s largest)
    for _ in range(45):
        middle = (low + high) / 2
        s = np.exp(middle)[:, None] * (weights / largest)
        tail = np.exp(-np.abs(s))
        odds = np.where(s > 0, p + (1 - p) * tail, 1 - p + p * tail)
        mean = np.where(s > 0, p, p * tail) / odds
        z = (times * weights / largest * mean).sum(axis=1)
        psi = (times * (np.maximum(s, 0) + np.log(odds))).sum(axis=1)
        below = np.exp(middle) * z - psi < exponent
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.concatenate([z[:1] * largest, z[:-1] * largest, [1.0, 1.0]])


@njit(cache=True)
def multiplier(n: float, run_length: float) -> float:
    """The k >= 1 at which alarms per answer, HAZARD exp(-(k^2 - 1) / 2) / n, are 1 / run_length."""
    return math.sqrt(1.0 + 2.0 * max(0.0, math.log(HAZARD * run_length / n)))


@njit(cache=True)
def limit_at(limits: Floats, rate: float) -> float:
    """The limit at an error rate, linear in its root between the NODES."""
    place = math.sqrt(min(max(rate, 0.0), 1.0)) * NODES
    i = min(int(place), NODES - 1)
    return float(limits[i] + (limits[i + 1] - limits[i]) * (place - i))


@njit(cache=True)
def accrue(error: float, errors: float, n: float, excess: float) -> float:
    """The sum of the errors over the mean of the n before and a fifth of its deviation."""
    mean = errors / n if n > 0 else 0.0
    return excess + (error - mean - 0.2 * math.sqrt(max(0.0, mean * (1.0 - mean))))


@njit(cache=True)
def note(error: float, floats: Floats, counts: Array) -> None:
    """Count an answer. The onset: where the sum of `accrue` was last 0."""
    floats[EXCESS] = accrue(error, floats[ERRORS], counts[N], floats[EXCESS])
    counts[N] += 1
    floats[ERRORS] += error
    if floats[EXCESS] <= 0.0:
        floats[EXCESS], floats[QUIET_ERRORS], counts[QUIET_AT] = 0.0, floats[ERRORS], counts[N]


class ErrorDetector(Detector):
    """A detector whose kernel calls `note` for each answer; it must have a statistic and a threshold."""

    error_only = True

    def __init__(self, params: dict[str, Any], counts: int, floats: int, **arrays: Array) -> None:
        super().__init__(params, {"counts": np.zeros(counts, np.int64), "floats": np.zeros(floats), **arrays})
        self._floats = self._state["floats"]

    @property
    def estimate(self) -> float:
        """The error rate since the last reset."""
        return float(self._floats[ERRORS]) / self.n if self.n else math.nan

    def _evidence(self) -> Drift:
        f, quiet = self._floats, int(self._counts[QUIET_AT])
        age = max(1, self.n - quiet)
        before = float(f[QUIET_ERRORS]) / max(1, quiet)
        after = float(f[ERRORS] - f[QUIET_ERRORS]) / age
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
