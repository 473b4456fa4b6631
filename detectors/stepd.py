"""STEPD: finds an error rate among the most recent answers that differs from the rate before."""

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from scipy.special import ndtri, rel_entr

from detectors._base import MISSING, Array, Detector, Drift, Floats, N, number, rate_interval, register, whole
from detectors._kernels import finite

ERRORS, RECENT = 2, 3  # places in `counts`: errors since the reset, and those among the last `window` answers
TESTS = 20  # exact tests in the time of one window


@njit(cache=True)
def _log_factorials(a: float, b: float) -> float:
    return math.lgamma(a + 1.0) - math.lgamma(b + 1.0) - math.lgamma(a - b + 1.0)


@njit(cache=True)
def _surprise(hits: float, window: float, marked: float, n: float) -> float:
    """-ln P(at least `hits` of the `marked` among `window` drawn from n): Fisher's exact test, one-sided."""
    rest = n - marked
    least = max(hits, window - rest)
    first = _log_factorials(marked, least) + _log_factorials(rest, window - least) - _log_factorials(n, window)
    term, total, j = 1.0, 1.0, least
    while j < min(window, marked) and term > 1e-17 * total:
        term *= (marked - j) * (window - j) / ((j + 1.0) * (rest - window + j + 1.0))
        total += term
        j += 1.0
    return -first - math.log(total)


@njit(cache=True)
def _compare(n: int, errors: int, recent: int, window: int, calibrated: bool) -> float:
    """How far the recent error rate is from the rate before: in nats, or as the published normal score."""
    old = n - window
    if calibrated:
        if recent * n > errors * window:
            return _surprise(recent, window, errors, n)
        return _surprise(window - recent, window, n - errors, n)
    size = 1.0 / old + 1.0 / window
    rate = errors / n
    if errors == 0 or errors == n:
        return 0.0
    return (abs((errors - recent) / old - recent / window) - size / 2.0) / math.sqrt(rate * (1.0 - rate) * size)


@njit(cache=True)
def _feed(x: Floats, start: int, every: int, limit: float, calibrated: bool, counts: Array, answers: Array) -> int:
    window = len(answers)
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        error = 1 if x[at] >= 0.5 else 0
        slot = counts[N] % window
        counts[N] += 1
        counts[ERRORS] += error
        counts[RECENT] += error - answers[slot]
        answers[slot] = error
        n = counts[N]
        if n < 2 * window or n % every != 0:
            continue
        if _compare(n, counts[ERRORS], counts[RECENT], window, calibrated) > limit:
            return at
    return -1


@register
class Stepd(Detector):
    """Finds an error rate among the last `window` answers that differs from the rate of all before them.

    With `arl0` (the default way): in control any `window` of the n answers since the reset are as likely to be the last
    ones, whatever the error rate, so the number of errors among the last is hypergeometric: Fisher's exact test. It is
    made every k = `window` / 20 answers from 2 `window` on, and fires where -ln P of as many errors or more, or of as
    few or fewer, exceeds ln(4 arl0 / k). It errs with probability at most k / (2 arl0), so P(false alarm within t) <=
    t / (2 arl0) and ARL >= arl0: no approximation, for every error rate. Measured: 6 to 10 times arl0 (p = .2 to .5).

    With `alpha_drift` or `alpha_warning` it is the published test at every answer, by the normal approximation with
    continuity correction (MOA); `warning` then tells of the warning zone. Two faults of MOA's are not copied: it takes
    a difference smaller than the correction for a large one, and fires where there was no error at all.

    Input: 0 (right) or 1 (wrong); other values are rounded to the nearer; NaN and inf are counted, not fed. A drift
    starts over. `age`: where the last answers, at most `window`, split with the greatest likelihood ratio; `before`
    and `after` are the rates on the two sides. Cost: 45 ns an answer, 8 bytes for each of the window.
    Source: Nishida and Yamauchi, Detecting concept drift using statistical testing, Discovery Science 2007.

    >>> errors = np.arange(3000) % 5 == 0
    >>> errors[2000:] = np.arange(1000) % 2 == 0
    >>> [(at - drift.age + 1, drift.before, drift.direction) for at, drift in Stepd(arl0=1e5).update_many(errors)]
    [(2000, 0.2, 1)]
    """

    error_only = True
    published: ClassVar[dict[str, Any]] = {"alpha_drift": 0.003}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        window: int | None = None,
        alpha_drift: float | None = None,
        alpha_warning: float | None = None,
    ) -> None:
        self._calibrated = alpha_drift is alpha_warning is None
        arl0 = number("arl0", arl0, 100, 1e12)
        window = whole("window", (100 if self._calibrated else 30) if window is None else window, 10, 100_000)
        drift = number("alpha_drift", 0.003 if alpha_drift is None else alpha_drift, 1e-300, 1)
        warning = number("alpha_warning", 0.05 if alpha_warning is None else alpha_warning, 1e-300, 1)
        self._every = max(1, window // TESTS) if self._calibrated else 1
        if self._calibrated:
            params: dict[str, Any] = {"arl0": arl0, "window": window}
            self._limit, self._warning = math.log(4 * arl0 / self._every), math.inf
        else:
            params = {"window": window, "alpha_drift": drift, "alpha_warning": warning}
            self._limit, self._warning = -float(ndtri(drift / 2)), -float(ndtri(warning / 2))
        super().__init__(params, {"counts": np.zeros(4, np.int64), "answers": np.zeros(window, np.int64)})
        self._answers = self._state["answers"]

    @property
    def statistic(self) -> float:
        """-ln of the exact tail probability (as published: the normal score)."""
        window = len(self._answers)
        if self.n < 2 * window:
            return math.nan
        return float(_compare(self.n, self._counts[ERRORS], self._counts[RECENT], window, self._calibrated))

    @property
    def threshold(self) -> float:
        """What that must exceed."""
        return self._limit if self.n >= 2 * len(self._answers) else math.nan

    @property
    def warning(self) -> bool:
        """Whether the statistic is in the published test's warning zone."""
        return self.statistic > self._warning

    @property
    def estimate(self) -> float:
        """The error rate among the last `window` answers."""
        return float(self._counts[RECENT] / min(self.n, len(self._answers))) if self.n else math.nan

    def detectable(self, n: int) -> float:
        """Given a long time before the change."""
        window = len(self._answers)
        nats = self._limit if self._calibrated else self._limit**2 / 2
        return math.sqrt(2 * nats / window) * max(1.0, window / n)

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._every, self._limit, self._calibrated, self._counts, self._answers))

    def _evidence(self) -> Drift:
        n, errors, window = self.n, int(self._counts[ERRORS]), len(self._answers)
        newest_first = np.roll(self._answers, -(n % window))[::-1]
        ages = np.arange(1, window + 1)
        since = np.cumsum(newest_first)
        rises = self._counts[RECENT] * n > errors * window
        after, before = since / ages, (errors - since) / (n - ages)
        rate = errors / n
        gain = ages * (rel_entr(after, rate) + rel_entr(1 - after, 1 - rate))
        gain += (n - ages) * (rel_entr(before, rate) + rel_entr(1 - before, 1 - rate))
        best = int(np.argmax(np.where((after > before) == rises, gain, -1.0)))
        age = int(ages[best])
        return Drift(
            statistic=self.statistic,
            threshold=self.threshold,
            n=n,
            before=float(before[best]),
            after=float(after[best]),
            age=age,
            direction=1 if rises else -1,
            before_interval=rate_interval(float(before[best]), n - age),
            after_interval=rate_interval(float(after[best]), age),
        )
