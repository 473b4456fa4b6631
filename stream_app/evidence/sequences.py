"""Confidence sequences of a mean: intervals that hold at all times together, so that one may look at any time."""

import math
from typing import Any

import numpy as np
from scipy.special import gammainc, gammaln

from stream_app.messages import Floats

RHO = 10.0  # bounded: at about 100 of V, 500 labels of a class that is met one time in four, it is tightest
NEAR = 2000  # unbounded: values at which it is tightest
LEAST = 100  # unbounded: values without which there is no interval, for it leans on a central limit
WILDEST = 1e60  # what is larger is not fed: its square would drown all others
STEPS = 6  # after which it stands still
FACTORS = np.geomspace(1, 1e6, 121)  # more labels than there are, in steps of 12 %


class Sequence:
    """Values x one by one, and a confidence sequence of their mean; state: their number, their sum and V.

    It is of the mean of the conditional means of x, each given the past, so it holds while they drift too. With
    V = Σ (x - mean of those before)²:

    bounded    x in [0, 1]: mean ± u(V) / n, where u is the gamma-exponential mixture at half of alpha to each side
               (Howard, Ramdas, McAuliffe, Sekhon, Time-uniform nonparametric nonasymptotic confidence sequences, Annals
               of Statistics 2021, theorem 4 and proposition 9). Holds at every n, whatever the distribution.
    unbounded  the asymptotic sequence of Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (Time-uniform central limit
               theory and asymptotic confidence sequences, Annals of Statistics 2024, theorem 2.2), σ² being V / n. It
               assumes a variance and that sums are near to normal from `LEAST` values on: few wild values break it.

    >>> sequence = Sequence(bounded=True)
    >>> sequence.add(np.where(np.arange(1000) % 4, 0.0, 1.0))
    >>> sequence.mean, [round(end, 3) for end in sequence.interval(0.05)]
    (0.25, [0.204, 0.296])
    """

    def __init__(self, *, bounded: bool) -> None:
        self.bounded = bounded
        self.first = 0.0 if bounded else math.nan  # unbounded: the first value; deviations from it keep their digits
        self.sums = np.zeros(3)  # n, Σ (x - first), V

    def add(self, x: Floats) -> None:
        """Takes values in their order; NaN and what is wilder than `WILDEST` is left out."""
        x = x[np.abs(x) <= WILDEST]
        if not len(x):
            return
        if math.isnan(self.first):
            self.first = float(x[0])
        shifted = x - self.first
        before = np.cumsum(np.vstack([self.sums[:2], np.column_stack([np.ones(len(x)), shifted])]), axis=0)
        n, total = before[:-1].T
        guess = (0.5 + total) / (n + 1) if self.bounded else np.divide(total, n, out=np.zeros(len(n)), where=n > 0)
        spread = np.cumsum(np.concatenate([self.sums[2:], (shifted - guess) ** 2]))[-1]
        self.sums = np.append(before[-1], spread)

    @property
    def n(self) -> int:
        """Values taken."""
        return int(self.sums[0])

    @property
    def mean(self) -> float | None:
        """Of the values; None without any."""
        return self.first + float(self.sums[1] / self.sums[0]) if self.n else None

    def reach(self, alpha: float, factors: Floats) -> Floats:
        """To either side of the mean; also as it would be at so many times the values, were they like these."""
        n, spread = self.sums[0] * factors, self.sums[2] * factors
        if self.bounded:
            most = mixture(spread, alpha / 2)
        elif self.n >= LEAST:
            rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / NEAR
            most = np.sqrt(2 * spread * (n + 1 / rho2) / n * np.log(np.sqrt(n * rho2 + 1) / alpha))
        else:
            most = np.full(len(n), np.inf)
        reach: Floats = most / np.maximum(n, 1)
        return reach

    def interval(self, alpha: float) -> list[float] | None:
        """Of the mean, at level 1 - alpha whenever it is looked at; None while nothing is known."""
        mean, reach = self.mean, float(self.reach(alpha, np.ones(1))[0])
        if mean is None or math.isinf(reach):
            return [0.0, 1.0] if self.bounded else None
        low, high = mean - reach, mean + reach
        return [max(0.0, low), min(1.0, high)] if self.bounded else [low, high]

    def to_state(self) -> dict[str, Any]:
        return {"first": self.first, "sums": self.sums.copy()}

    def load(self, state: dict[str, Any]) -> None:
        self.first, self.sums = state["first"], state["sums"].copy()


def mixture(spread: Floats, alpha: float) -> Floats:
    """The bound u(V) that Σ (x - its conditional mean) ever exceeds with a probability of at most alpha.

    The largest s at which the mixture over bets (a gamma distribution around `RHO`) is not above 1 / alpha; s, V and
    the result for values in [0, 1].
    """
    s: Floats = np.sqrt(2 * (spread + RHO) * math.log(1 / alpha)) + math.log(1 / alpha)
    for _ in range(STEPS):  # of Newton: the log is convex in s, so after the first they come down to it from above
        log, slope = _log_mixture(s, spread)
        s = s - (log + math.log(alpha)) / slope
    return s


def _log_mixture(s: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Proposition 9 of Howard et al. with c = 1, and its derivative by s: the mean of the bets."""
    a, x = v + RHO, s + v + RHO
    begun = RHO * math.log(RHO) - gammaln(RHO) - math.log(gammainc(RHO, RHO))
    below = gammainc(a, x)
    log: Floats = begun + gammaln(a) + np.log(below) - a * np.log(x) + s + v
    slope: Floats = np.exp((a - 1) * np.log(x) - x - gammaln(a)) / below - a / x + 1
    return log, slope


def difference(one: Sequence, other: Sequence, alpha: float) -> dict[str, Any]:
    """Mean of the other - mean of the one, and its interval: by the union bound, each at half of alpha."""
    known = one.mean is not None and other.mean is not None
    gap = other.mean - one.mean if one.mean is not None and other.mean is not None else None
    ours, theirs = one.interval(alpha / 2), other.interval(alpha / 2)
    return {
        "mean": gap,
        "interval": [theirs[0] - ours[1], theirs[1] - ours[0]] if known and ours and theirs else None,
    }


def labels_more(one: Sequence, other: Sequence, alpha: float) -> int | None:
    """About how many more values of both are needed to tell them apart, were the rest like those; None: not known.

    0 where they are told apart already. Both grow at their present rates.
    """
    if one.mean is None or other.mean is None:
        return None
    reach = one.reach(alpha / 2, FACTORS) + other.reach(alpha / 2, FACTORS)
    enough = np.flatnonzero(reach < abs(other.mean - one.mean))
    return round((one.n + other.n) * float(FACTORS[enough[0]] - 1)) if len(enough) else None
