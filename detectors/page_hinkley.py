"""Page-Hinkley: has the mean of a number moved away from its running mean? A two-sided cumulative sum."""

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Detector, Drift, Floats, Interval, N, mean_interval, number, register, whole
from detectors._kernels import HUGE, finite, learn_scale, to_unit, upper_variance

LO, HI, MEAN, SQUARES, UP, UP_LIMIT, DOWN, DOWN_LIMIT, STATISTIC, WINNER = range(10)  # places in `floats`
FED, REFRESH = 2, 3  # places in `counts`: values fed after the range was learned, when the sums are tuned next
DELTA, LIMIT, ALPHA, MIN_INSTANCES, MODE = range(5)  # places in `config`
SUM, WEIGHT, COST, SIDE, TARGET = range(5)  # columns of `sums`
SHIFTS = (0.15, 0.3, 0.6, 1.2)  # the changes, in deviations, that a pair of sums each is tuned to
UNSURE = 0.001  # probability that mean or variance is ever misjudged by more than its margin


@njit(cache=True)
def _tune(warm: int, floats: Floats, counts: Array, sums: Floats) -> None:
    """Weight and cost of each sum, such that in control E exp(weight * deviation - cost) <= 1 on either side."""
    n, mean = float(counts[FED]), floats[MEAN]
    before = math.log2(n / warm)  # refreshes so far; shares 1 / ((j + 1) (j + 2)) of the doubt add up to all of it
    log_inverse = math.log(4.0 * (before + 1.0) * (before + 2.0) / UNSURE)
    variance = max(upper_variance(floats[SQUARES] / n, mean, n, log_inverse), 1e-12)
    for j in range(len(sums)):
        reach = 1.0 - mean if sums[j, SIDE] > 0.0 else mean
        third = log_inverse / (3.0 * n)
        error = third + math.sqrt(third * third + 2.0 * variance * log_inverse / n)  # of the mean, Bernstein
        reach = min(1.0, reach + error)
        weight = math.log(1.0 + sums[j, TARGET] * reach / math.sqrt(variance)) / reach
        grown = weight * reach
        sums[j, WEIGHT] = weight
        sums[j, COST] = weight * error + variance * (math.expm1(grown) - grown) / (reach * reach)  # Bennett


@njit(cache=True)
def _complete_range(x: float, floats: Floats, counts: Array, sums: Floats) -> None:
    """Make x the other end of the range of what was constant; that was fed as 0, which is to be 1 if x lies below."""
    floats[LO], floats[HI] = min(x, floats[LO]), max(x, floats[HI])
    if x > floats[LO] or counts[FED] == 0:
        return
    floats[MEAN] = 1.0
    for up in range(0, len(sums), 2):  # each up is followed by its down; mirrored, they trade places
        for column in (WEIGHT, COST):
            sums[up, column], sums[up + 1, column] = sums[up + 1, column], sums[up, column]


@njit(cache=True)
def _feed(
    x: Floats, start: int, limit: float, floats: Floats, counts: Array, sums: Floats, zero_at: Array, sample: Floats
) -> int:
    """The calibrated sums: sum = max(0, sum + weight * (y - mean so far) - cost), fires above the limit."""
    warm = len(sample)
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        counts[N] += 1
        if counts[N] <= warm:
            sample[counts[N] - 1] = x[at]
            if counts[N] == warm:
                floats[LO], floats[HI] = learn_scale(sample)
                counts[REFRESH] = warm
            continue
        if floats[LO] == floats[HI] and x[at] != floats[LO]:
            _complete_range(x[at], floats, counts, sums)
        off = to_unit(x[at], floats[LO], floats[HI]) - floats[MEAN]
        counts[FED] += 1
        top = -1.0
        if counts[FED] > warm:
            for j in range(len(sums)):
                level = sums[j, SUM] + sums[j, WEIGHT] * sums[j, SIDE] * off - sums[j, COST]
                if level <= 0.0:
                    level = 0.0
                    zero_at[j] = counts[N]
                sums[j, SUM] = level
                if level > top:
                    top = level
                    floats[WINNER] = j
            floats[STATISTIC] = top
        old = floats[MEAN]
        floats[MEAN] += off / counts[FED]
        floats[SQUARES] += off * (off - (floats[MEAN] - old))
        if counts[FED] == counts[REFRESH]:
            if counts[FED] == warm:
                zero_at[:] = counts[N]
            counts[REFRESH] *= 2
            _tune(warm, floats, counts, sums)
        if top > limit:
            return at
    return -1


@njit(cache=True)
def _feed_published(x: Floats, start: int, config: Floats, floats: Floats, counts: Array, zero_at: Array) -> int:
    delta, limit, alpha, mode = config[DELTA], config[LIMIT], config[ALPHA], config[MODE]
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        if counts[N] == 0:
            floats[UP_LIMIT], floats[DOWN_LIMIT] = math.inf, -1.0
        counts[N] += 1
        value = min(max(x[at], -HUGE), HUGE)
        ahead = value - floats[MEAN]
        floats[MEAN] += (1.0 / counts[N]) * ahead
        off = value - floats[MEAN]
        floats[SQUARES] += ahead * off
        floats[UP] = alpha * floats[UP] + off - delta
        floats[DOWN] = alpha * floats[DOWN] + off + delta
        if floats[UP] < floats[UP_LIMIT]:
            floats[UP_LIMIT] = floats[UP]
            zero_at[0] = counts[N]
        if floats[DOWN] > floats[DOWN_LIMIT]:
            floats[DOWN_LIMIT] = floats[DOWN]
            zero_at[1] = counts[N]
        if counts[N] < config[MIN_INSTANCES]:
            continue
        rise = floats[UP] - floats[UP_LIMIT] if mode >= 0.0 else -1.0
        fall = floats[DOWN_LIMIT] - floats[DOWN] if mode <= 0.0 else -1.0
        floats[STATISTIC] = max(rise, fall)
        floats[WINNER] = 0.0 if rise >= fall else 1.0
        if floats[STATISTIC] > limit:
            return at
    return -1


@register
class PageHinkley(Detector):
    """Finds a mean that has moved, up or down, by a little for long or by much at once.

    With `arl0` (the default way): the first `warm_up` observations fix a range that holds the bulk of the signal; later
    ones are clipped to it and scaled to y in [0, 1]. If they are all one value c, the first later value that differs
    becomes the other end of the range, once, so that what lies beyond c on the far side is clipped to c. As many again
    set the first mean m and variance; m keeps running. Eight sums, up and down, tuned to changes of .15, .3, .6 and 1.2
    deviations,
    S = max(0, S + w (±(y - m)) - c), fire above h = ln(16 arl0) - 2 ln(1 - d). The cost
    c = w e + v (exp(w b) - 1 - w b) / b^2 covers the error e of m and, by Bennett's bound, the spread (variance at most
    v, largest deviation b), so exp(S) is below a Shiryaev-Roberts sum whose mean grows by 1 an observation (an
    e-detector). e bounds the running mean from each refresh on for ever (reverse martingale). Hence P(alarm within t)
    <= d + 8 t exp(-h) and ARL >= (1 - d)^2 exp(h) / 16 >= arl0, for independent observations of any distribution and
    scale; d = .001 is the probability that e or v is ever too small (v neglects the error of m,
    of second order). Both shrink as n doubles: small changes are found
    late in a long quiet stretch, not early.

    With any of `delta, threshold, alpha, min_instances, mode` it is the published test on the raw values (river 0.26
    step by step); values beyond 1e120 are clipped there.

    Input: any number; NaN and inf are counted, not fed. A drift starts over. `before`: the running mean (of clipped
    values), `after`: the mean since the sum was last zero, `age` counts from there. Cost: 45 ns, constant memory.
    Source: Page, Continuous inspection schemes, Biometrika 1954; Shin, Ramdas and Rinaldo, E-detectors, 2022.

    >>> detector = PageHinkley(arl0=1e5)
    >>> x = np.random.default_rng(1).normal(size=6000)
    >>> x[5000:] -= 1
    >>> [(at - drift.age + 1, drift.direction) for at, drift in detector.update_many(x)]
    [(4989, -1)]
    """

    published: ClassVar[dict[str, Any]] = {"delta": 0.005}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        warm_up: int = 256,
        delta: float | None = None,
        threshold: float | None = None,
        alpha: float | None = None,
        min_instances: int | None = None,
        mode: Literal["both", "up", "down"] | None = None,
    ) -> None:
        self._calibrated = all(value is None for value in (delta, threshold, alpha, min_instances, mode))
        arl0 = number("arl0", arl0, 100, 1e12)
        params: dict[str, Any] = {"arl0": arl0, "warm_up": whole("warm_up", warm_up, 50, 1 << 20)}
        if mode not in (None, "both", "up", "down"):
            raise ValueError(f"mode: expected 'both', 'up' or 'down', got {mode!r}")
        if self._calibrated:
            self._config = np.array([0.0, math.log(4 * len(SHIFTS) * arl0) - 2 * math.log1p(-UNSURE)])
        else:
            params = {
                "delta": number("delta", 0.005 if delta is None else delta, 0, 1e100),
                "threshold": number("threshold", 50.0 if threshold is None else threshold, 0, 1e100),
                "alpha": number("alpha", 1 - 0.0001 if alpha is None else alpha, 0, 1),
                "min_instances": whole("min_instances", 30 if min_instances is None else min_instances, 0, 1 << 40),
                "mode": mode or "both",
            }
            self._config = np.array([*list(params.values())[:4], {"both": 0, "up": 1, "down": -1}[params["mode"]]])
        super().__init__(
            params,
            {
                "counts": np.zeros(4, np.int64),
                "floats": np.zeros(10),
                "sums": np.zeros((2 * len(SHIFTS), 5)),
                "zero_at": np.zeros(2 * len(SHIFTS), np.int64),
                "sample": np.zeros(warm_up if self._calibrated else 0),
            },
        )
        self._floats = self._state["floats"]
        self._reset()

    @property
    def statistic(self) -> float:
        """The largest sum (calibrated: the log of the evidence for a change)."""
        return float(self._floats[STATISTIC]) if self._warm else math.nan

    @property
    def threshold(self) -> float:
        """What the largest sum must exceed."""
        return float(self._config[LIMIT]) if self._warm else math.nan

    @property
    def estimate(self) -> float:
        """The running mean since the last reset."""
        known = self._counts[FED] if self._calibrated else self._counts[N]
        return self._raw(float(self._floats[MEAN])) if known else math.nan

    @property
    def _warm(self) -> bool:
        if self._calibrated:
            return bool(self._counts[FED] > len(self._state["sample"]))
        return bool(self._counts[N] and self._counts[N] >= self._config[MIN_INSTANCES])

    def detectable(self, n: int) -> float:
        """With mean and variance well known; in published mode in the signal's own unit."""
        limit = float(self._config[LIMIT])
        if not self._calibrated:
            return limit / n + float(self._config[DELTA])
        reach, found = 3.3, math.inf  # of a normal signal's clipped range, in deviations
        for shift in SHIFTS:
            weight = math.log1p(shift * reach) / reach
            cost = (math.expm1(weight * reach) - weight * reach) / reach**2
            found = min(found, (limit / n + cost) / weight)
        return found

    def _reset(self) -> None:
        super()._reset()
        self._state["sums"][:, SIDE] = [1.0, -1.0] * len(SHIFTS)
        self._state["sums"][:, TARGET] = np.repeat(SHIFTS, 2)

    def _run(self, x: Floats, start: int) -> int:
        state = self._state
        if not self._calibrated:
            return int(_feed_published(x, start, self._config, self._floats, self._counts, state["zero_at"]))
        arrays = self._floats, self._counts, state["sums"], state["zero_at"], state["sample"]
        return int(_feed(x, start, self._config[LIMIT], *arrays))

    def _raw(self, y: float) -> float:
        if not self._calibrated:
            return y
        lo, hi = float(self._floats[LO]), float(self._floats[HI])
        return lo * (1 - y) + hi * y

    def _evidence(self) -> Drift:
        f, winner = self._floats, int(self._floats[WINNER])
        age = max(1, self.n - int(self._state["zero_at"][winner]))
        side = 1 if winner % 2 == 0 else -1
        mean = float(f[MEAN])
        if self._calibrated:
            row = self._state["sums"][winner]
            off = min(1.0, float((f[STATISTIC] / age + row[COST]) / row[WEIGHT]))  # the sum, solved for its mean step
            after = min(1.0, max(0.0, mean + side * off))
        else:
            after = mean + side * (float(f[STATISTIC]) / age + float(self._config[DELTA]))
        known = int(self._counts[FED]) if self._calibrated else self.n
        variance = float(f[SQUARES]) / known
        return Drift(
            statistic=self.statistic,
            threshold=self.threshold,
            n=self.n,
            before=self._raw(mean),
            after=self._raw(after),
            age=age,
            direction=side,
            before_interval=self._interval(mean, variance, known),
            after_interval=self._interval(after, variance, age),
        )

    def _interval(self, mean: float, variance: float, n: int) -> Interval:
        low, high = mean_interval(mean, variance, n)
        return self._raw(low), self._raw(high)
