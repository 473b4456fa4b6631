"""ADWIN: a window that grows until the means of its old and new part differ."""

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Detector, Drift, Floats, Interval, N, mean_interval, number, register, whole
from detectors._kernels import HUGE, finite, learn_scale, to_unit, upper_variance

LEVELS = 48  # buckets of 2**0 .. 2**47 observations
LO, HI, WIDTH, TOTAL, VARIANCE, STATISTIC, THRESHOLD, BEFORE, AFTER, AGE = range(10)  # places in `floats`
ROWS, TICK = 2, 3  # places in `counts`: levels in use, observations since the last check
DELTA, CLOCK, GRACE, MIN_WINDOW, CALIBRATED = range(5)  # places in `config`
UNSURE = 0.001  # probability that the variance is ever underestimated by more than its margin


@njit(cache=True)
def _merge(counts: Array, filled: Array, totals: Floats) -> None:
    """Merge the two oldest buckets of each level that overflows into one of the next level."""
    room, level = totals.shape[1], 0
    while filled[level] == room and level + 1 < len(filled):
        totals[level + 1, filled[level + 1]] = totals[level, 0] + totals[level, 1]
        filled[level + 1] += 1
        filled[level] -= 2
        for k in range(room - 2):
            totals[level, k] = totals[level, k + 2]
        level += 1
    counts[ROWS] = max(counts[ROWS], level + 1)


@njit(cache=True)
def _published_bound(n0: float, n1: float, variance: float, log_term: float, shortest: float) -> float:
    m = 1.0 / (n0 - shortest + 1.0) + 1.0 / (n1 - shortest + 1.0)
    return math.sqrt(2.0 * m * variance * log_term) + 2.0 / 3.0 * log_term * m


@njit(cache=True)
def _bernstein_bound(n0: float, n1: float, variance: float, log_term: float) -> float:
    third = log_term / (3.0 * min(n0, n1))
    return third + math.sqrt(third * third + 2.0 * variance * log_term * (1.0 / n0 + 1.0 / n1))


@njit(cache=True)
def _scan(config: Floats, floats: Floats, counts: Array, filled: Array, totals: Floats) -> bool:
    """Compare old and new at every boundary between buckets; keep the most significant cut."""
    width, shortest, calibrated = floats[WIDTH], config[MIN_WINDOW], config[CALIBRATED] > 0.0
    if width < 2.0 * shortest:
        return False
    variance = floats[VARIANCE] / width
    log_term = math.log(2.0 * math.log(width) / config[DELTA])
    if calibrated:
        cuts = 0
        for level in range(max(1, counts[ROWS])):
            cuts += filled[level]
        log_term = math.log(2.0 * cuts / config[DELTA])
        doublings = math.log2(width) + 1.0  # stitched: the margin holds at all widths at once
        unsure = math.log(doublings * doublings * 2.0 / UNSURE)
        variance = upper_variance(variance, floats[TOTAL] / width, width, unsure)
    least = 2.0 * variance * log_term * width * (1.0 - 1e-9)
    rows = max(1, counts[ROWS])
    n0, n1, u0, u1, best = 0.0, width, 0.0, floats[TOTAL], 0.0
    floats[STATISTIC], floats[THRESHOLD] = math.nan, math.nan
    for level in range(rows - 1, -1, -1):
        size = float(1 << level)
        for k in range(filled[level]):
            n0, n1 = n0 + size, n1 - size
            u0, u1 = u0 + totals[level, k], u1 - totals[level, k]
            if n0 < shortest or n1 < shortest:
                continue
            cross = u0 * n1 - u1 * n0  # without a division: it cannot beat the best when below its variance term alone
            if cross * cross < best * best * least * n0 * n1:
                continue
            difference = abs(u0 / n0 - u1 / n1)
            if calibrated:
                bound = _bernstein_bound(n0, n1, variance, log_term)
            else:
                bound = _published_bound(n0, n1, variance, log_term, shortest)
            if difference >= best * bound:
                best = difference / bound
                floats[STATISTIC], floats[THRESHOLD] = difference, bound
                floats[BEFORE], floats[AFTER], floats[AGE] = u0 / n0, u1 / n1, n1
    fired: bool = floats[STATISTIC] > floats[THRESHOLD]
    return fired


@njit(cache=True)
def _lift(filled: Array, totals: Floats) -> None:
    """Turn a window of zeros into one of ones: the constant so far is the upper end of the range, not the lower."""
    for level in range(len(filled)):
        totals[level, : filled[level]] = float(1 << level)


@njit(cache=True, nogil=True)
def _feed(
    x: Floats, start: int, config: Floats, floats: Floats, counts: Array, filled: Array, totals: Floats, sample: Floats
) -> int:
    calibrated, clock, room = config[CALIBRATED] > 0.0, int(config[CLOCK]), totals.shape[1]
    width, total, variance = floats[WIDTH], floats[TOTAL], floats[VARIANCE]
    newest, tick, seen = filled[0], counts[TICK], counts[N]
    fired = -1
    for at in range(start, len(x)):
        y = x[at]
        if not finite(y):
            counts[MISSING] += 1
            continue
        seen += 1
        if not calibrated:
            y = min(max(y, -HUGE), HUGE)
        elif seen <= len(sample):
            sample[seen - 1] = y
            if seen == len(sample):
                floats[LO], floats[HI] = learn_scale(sample)
            continue
        else:
            if floats[LO] == floats[HI] and y != floats[LO]:  # the first that differs completes the range
                floats[LO], floats[HI] = min(y, floats[LO]), max(y, floats[HI])
                if y == floats[LO]:
                    filled[0], total = newest, width
                    _lift(filled, totals)
            y = to_unit(y, floats[LO], floats[HI])
        totals[0, newest] = y
        newest += 1
        if newest == room:
            filled[0] = room
            _merge(counts, filled, totals)
            newest -= 2
        width += 1.0
        if width > 1.0:
            off = y - total / (width - 1.0)
            variance += (width - 1.0) * off * off / width
        total += y
        tick += 1
        if tick == clock:
            tick = 0
            filled[0], floats[WIDTH], floats[TOTAL], floats[VARIANCE] = newest, width, total, variance
            if width > config[GRACE] and _scan(config, floats, counts, filled, totals):
                fired = at
                break
    floats[WIDTH], floats[TOTAL], floats[VARIANCE] = width, total, variance
    filled[0], counts[TICK], counts[N] = newest, tick, seen
    return fired


@register
class Adwin(Detector):
    """Finds a change of the mean, and when: the newest part of a window against the rest, at every cut.

    With `arl0` (the default way): the first `warm_up` observations fix a range that holds the bulk of the signal; later
    ones are clipped to it and scaled to [0, 1]. If they are all one value c, the first later value that differs becomes
    the other end of the range, once, so that what lies beyond c on the far side is clipped to c. Every 32nd observation
    each of the K cuts between buckets (W0 old, W1 new) is tested by Bernstein's bound, |mean0 - mean1| > eps with
    eps = L / 3n + sqrt((L / 3n)^2 + 2 v L (1/n0 + 1/n1)), n = min(n0, n1), L = ln(2 K / delta), where v is an upper
    bound of the window's variance, ever wrong with probability d = .001. A check errs with probability at most delta,
    so P(false alarm within t) <= d + t delta / 32 and ARL >= (1 - d)^2 32 / (2 delta), which is solved for delta. It
    holds for independent observations of any distribution and scale. Not exact: v neglects the error of the window's
    mean (of second order) and its doubt is shared out over doublings of the window, not over every width.

    With any of `delta, clock, max_buckets, min_window_length, grace_period` it is the published ADWIN2 on the raw
    values (river 0.26 step by step); values beyond 1e120 are clipped there.

    Input: any number; NaN and inf are counted, not fed. A drift drops the whole window and the range. `before`,
    `after`: means of the (clipped) values. Cost: O(log n) memory, about 30 ns an observation.
    Source: Bifet and Gavalda, Learning from time-changing data with adaptive windowing, SDM 2007, section 3.2.

    >>> detector = Adwin(delta=0.002)
    >>> drifts = detector.update_many(np.repeat([0.0, 1.0], [1000, 200]))
    >>> [(at, drift.age, drift.before, drift.after) for at, drift in drifts]
    [(1023, 24, 0.0, 1.0)]
    """

    published: ClassVar[dict[str, Any]] = {"delta": 0.002}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        warm_up: int = 256,
        delta: float | None = None,
        clock: int | None = None,
        max_buckets: int | None = None,
        min_window_length: int | None = None,
        grace_period: int | None = None,
    ) -> None:
        published = (delta, clock, max_buckets, min_window_length, grace_period)
        calibrated = all(value is None for value in published)
        arl0 = number("arl0", arl0, 100, 1e12)
        clock = whole("clock", 32 if clock is None else clock, 1, 1 << 20)
        per_check = (1 - UNSURE) ** 2 * clock / (2 * arl0)
        delta = number("delta", (per_check if calibrated else 0.002) if delta is None else delta, 1e-300, 1)
        buckets = whole("max_buckets", 5 if max_buckets is None else max_buckets, 2, 1000)
        shortest = whole("min_window_length", 5 if min_window_length is None else min_window_length, 1, 1 << 30)
        grace = whole("grace_period", 10 if grace_period is None else grace_period, 0, 1 << 30)
        params: dict[str, Any] = {"arl0": arl0, "warm_up": whole("warm_up", warm_up, 20, 1 << 20)}
        if not calibrated:
            params = {"delta": delta, "clock": clock, "max_buckets": buckets}
            params |= {"min_window_length": shortest, "grace_period": grace}
        self._config = np.array([delta, clock, grace, shortest, float(calibrated)])
        super().__init__(
            params,
            {
                "counts": np.zeros(4, np.int64),
                "floats": np.zeros(10),
                "filled": np.zeros(LEVELS, np.int64),
                "totals": np.zeros((LEVELS, buckets + 1)),
                "sample": np.zeros(warm_up if calibrated else 0),
            },
        )
        self._floats = self._state["floats"]

    @property
    def statistic(self) -> float:
        """|mean0 - mean1| at the most significant cut of the last check."""
        return float(self._floats[STATISTIC]) if self._floats[THRESHOLD] != 0.0 else math.nan

    @property
    def threshold(self) -> float:
        """What that difference must exceed."""
        return float(self._floats[THRESHOLD]) if self._floats[THRESHOLD] != 0.0 else math.nan

    @property
    def estimate(self) -> float:
        """The mean of the window."""
        width = self._floats[WIDTH]
        return self._raw(self._floats[TOTAL] / width) if width else math.nan

    def detectable(self, n: int) -> float:
        """Given ten times as many observations before the change, and a range six deviations wide."""
        log_term = math.log(2 * 6 * max(1.0, math.log2(11 * n)) / self._config[DELTA])
        third = 6 * log_term / (3 * n)
        return third + math.sqrt(third * third + 2 * log_term * 1.1 / n)

    def _run(self, x: Floats, start: int) -> int:
        state = self._state
        arrays = state["counts"], state["filled"], state["totals"], state["sample"]
        return int(_feed(x, start, self._config, self._floats, *arrays))

    def _raw(self, y: float) -> float:
        if not self._config[CALIBRATED]:
            return float(y)
        lo, hi = float(self._floats[LO]), float(self._floats[HI])
        return lo * (1 - y) + hi * y

    def _evidence(self) -> Drift:
        f = self._floats
        return Drift(
            statistic=float(f[STATISTIC]),
            threshold=float(f[THRESHOLD]),
            n=self.n,
            before=self._raw(float(f[BEFORE])),
            after=self._raw(float(f[AFTER])),
            age=int(f[AGE]),
            direction=1 if f[AFTER] > f[BEFORE] else -1,
            before_interval=self._interval(float(f[BEFORE]), float(f[WIDTH] - f[AGE])),
            after_interval=self._interval(float(f[AFTER]), float(f[AGE])),
        )

    def _interval(self, mean: float, n: float) -> Interval:
        low, high = mean_interval(mean, float(self._floats[VARIANCE] / self._floats[WIDTH]), n)
        return self._raw(low), self._raw(high)
