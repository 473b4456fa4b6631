"""What the detectors of a bounded mean share: a scale learned from the signal, and how unlikely a mean is on it."""

import math

from numba import njit

from detectors._base import Detector, Drift, Floats, Interval, mean_interval
from detectors._kernels import learn_scale, to_unit, upper_variance

LO, HI = 0, 1  # places in `floats`: what is 0 and 1 on the scale; HI below LO where a constant was left downwards
DOUBT = 0.5  # nats by which the variance is taken for more than it was


@njit(cache=True)
def scaled(x: float, seen: int, floats: Floats, sample: Floats) -> float:
    """The seen-th x on the learned scale, in [0, 1]; -1 while the sample that gives the scale is not full.

    After a constant sample the first value that differs becomes the other end of the range, the constant remains 0.
    """
    if seen <= len(sample):
        sample[seen - 1] = x
        if seen == len(sample):
            floats[LO], floats[HI] = learn_scale(sample)
        return -1.0
    if floats[LO] == floats[HI]:
        floats[HI] = x
    if floats[LO] <= floats[HI]:
        return to_unit(x, floats[LO], floats[HI])
    return to_unit(-x, -floats[LO], -floats[HI])


@njit(cache=True)
def exponent(off: float, variance: float, reach: float) -> float:
    """How unlikely a mean `off` above the expected is, in nats an observation, if none can lie more than `reach` above.

    Hoeffding 1963, theorem 3: the Kullback-Leibler divergence of two Bernoulli rates; exact in order for 0/1 values.
    """
    if off <= 0.0:
        return 0.0
    whole = reach * reach + variance
    rate, under = min(1.0, (off * reach + variance) / whole), variance / whole
    nats = rate * math.log(rate / under)
    return nats + (1.0 - rate) * math.log((1.0 - rate) / (1.0 - under)) if rate < 1.0 else nats


@njit(cache=True)
def split_exponent(n0: float, mean0: float, n1: float, mean1: float, squares: float) -> float:
    """How unlikely it is that n0 and n1 values of one distribution in [0, 1] have means so different, in nats."""
    n = n0 + n1
    mean = (n0 * mean0 + n1 * mean1) / n
    variance = upper_variance(squares / n, mean, n, DOUBT)
    up, down = (mean1 - mean, mean - mean0) if mean1 > mean0 else (mean0 - mean, mean - mean1)
    n_up, n_down = (n1, n0) if mean1 > mean0 else (n0, n1)
    return n_up * exponent(up, variance, 1.0 - mean) + n_down * exponent(down, variance, mean)


class Bounded(Detector):
    """A detector of the mean on a learned scale, or as published on [0, 1]: how its evidence is told."""

    _floats: Floats  # starts with LO, HI
    _calibrated: bool

    def _raw(self, y: float) -> float:
        if not self._calibrated:
            return y
        lo, hi = float(self._floats[LO]), float(self._floats[HI])
        return lo * (1.0 - y) + hi * y

    def _interval(self, mean: float, variance: float, n: float) -> Interval:
        low, high = sorted(self._raw(end) for end in mean_interval(mean, variance, max(2.0, n)))
        return low, high

    def _told(self, before: float, after: float, fed: int, age: int, variance: float) -> Drift:
        """The evidence of a change between two means on the scale, `age` of the `fed` observations ago."""
        raw_before, raw_after = self._raw(before), self._raw(after)
        return Drift(
            statistic=self.statistic,
            threshold=self.threshold,
            n=self.n,
            before=raw_before,
            after=raw_after,
            age=age,
            direction=1 if raw_after > raw_before else -1,
            before_interval=self._interval(before, variance, fed - age),
            after_interval=self._interval(after, variance, age),
        )
