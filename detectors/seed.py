"""SEED: finds a change of the mean between blocks of observations, the similar of which are merged."""

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Drift, Floats, N, number, register, whole
from detectors._bounded import Bounded, scaled, split_exponent
from detectors._kernels import HUGE, finite

TOTAL, SQUARES, STATISTIC, THRESHOLD, BEFORE, AFTER, AGE = range(2, 9)  # places in `floats`, after the scale's
USED, ADDED, CUT = range(2, 5)  # places in `counts`: blocks in use, blocks since the last merge, first after the change
SIZE, SUM, SPREAD = range(3)  # rows of `blocks`, the oldest first
CALIBRATED, LIMIT, BLOCK, STEP, TERM = range(5)  # places in `config`
ROOM = 512  # blocks
# In control an observation alarms with a probability of at most HAZARD * exp(-threshold): benchmarks/bounded_levels.py.
HAZARD, LEAST = 0.05, 4.0


@njit(cache=True)
def _drop(at: int, counts: Array, blocks: Floats) -> None:
    """Merge the block at `at` into the one before it."""
    for row in range(3):
        blocks[row, at - 1] += blocks[row, at]
        blocks[row, at : counts[USED] - 1] = blocks[row, at + 1 : counts[USED]]
        blocks[row, counts[USED] - 1] = 0.0
    counts[USED] -= 1


@njit(cache=True)
def _merge(step: float, counts: Array, blocks: Floats) -> None:
    """Merge neighbours with similar means, from the newest on; what counts as similar grows by `step` each time."""
    similar = 0.0
    for at in range(counts[USED] - 1, 0, -1):
        similar += step
        if abs(blocks[SUM, at - 1] / blocks[SIZE, at - 1] - blocks[SUM, at] / blocks[SIZE, at]) < similar:
            _drop(at, counts, blocks)


@njit(cache=True)
def _add(y: float, config: Floats, floats: Floats, counts: Array, blocks: Floats, width: int) -> None:
    if (width - 1) % int(config[BLOCK]) == 0:
        if counts[USED] > 1 and counts[ADDED] > config[TERM]:
            counts[ADDED] = 0
            _merge(config[STEP], counts, blocks)
        if counts[USED] == ROOM:
            _drop(1, counts, blocks)
        counts[ADDED] += counts[USED] > 0
        counts[USED] += 1
    last, before = counts[USED] - 1, floats[TOTAL]
    floats[TOTAL] += y
    grown = 0.0
    if width > 1:
        # MOA's mean of the others has y in its sum; its bound is followed, not mended.
        off = y - (before if config[CALIBRATED] > 0.0 else floats[TOTAL]) / (width - 1.0)
        grown = (width - 1.0) * off * off / width
    floats[SQUARES] += grown
    blocks[SIZE, last] += 1.0
    blocks[SUM, last] += y
    blocks[SPREAD, last] += grown


@njit(cache=True)
def _scan(config: Floats, floats: Floats, counts: Array, blocks: Floats, width: float) -> bool:
    """Compare old and new at each boundary, from the newest on; keep the most significant, as published the first."""
    calibrated, limit, best = config[CALIBRATED] > 0.0, config[LIMIT], 0.0
    n1, u1, variance = 0.0, 0.0, floats[SQUARES] / width
    log_term = math.log(2.0 * math.log(width) / limit)
    for at in range(counts[USED] - 1, 0, -1):
        n1 += blocks[SIZE, at]
        u1 += blocks[SUM, at]
        n0, u0 = width - n1, floats[TOTAL] - u1
        off = abs(u1 / n1 - u0 / n0)
        harmonic = 1.0 / n0 + 1.0 / n1
        if calibrated:
            # The exponent is at most this quadratic form: where that is too small nothing else is computed.
            if off * off <= best * variance * harmonic * (1.0 - 1e-9):
                continue
            statistic, threshold = split_exponent(n0, u0 / n0, n1, u1 / n1, floats[SQUARES]), limit
            if statistic <= best:
                continue
            best = statistic
        else:
            statistic = off
            threshold = math.sqrt(2.0 * harmonic * variance * log_term) + 2.0 / 3.0 * log_term * harmonic
            if statistic <= best * threshold:
                continue
            best = statistic / threshold
        floats[STATISTIC], floats[THRESHOLD], counts[CUT] = statistic, threshold, at
        floats[BEFORE], floats[AFTER], floats[AGE] = u0 / n0, u1 / n1, n1
        if not calibrated and statistic > threshold:
            return True
    if best == 0.0:
        floats[STATISTIC], floats[THRESHOLD] = 0.0, limit
    fired: bool = floats[STATISTIC] > floats[THRESHOLD]
    return fired


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, floats: Floats, counts: Array, blocks: Floats, sample: Floats) -> int:
    block = int(config[BLOCK])
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        counts[N] += 1
        width = counts[N] - len(sample)
        y = scaled(x[at], counts[N], floats, sample) if config[CALIBRATED] > 0.0 else min(max(x[at], -HUGE), HUGE)
        if width < 1:
            continue
        _add(y, config, floats, counts, blocks, width)
        if width % block == 0 and counts[USED] > 1 and _scan(config, floats, counts, blocks, float(width)):
            return at
    return -1


@register
class Seed(Bounded):
    """Finds a change of the mean, and when: blocks of 32 observations, old against new at every boundary between them.

    Every 76 blocks the neighbours with similar means are merged, what is similar being the wider the older they are, so
    that old boundaries, where a change would have been found by now, cost no more comparisons.

    With `arl0` (the default way): the first `warm_up` observations fix a range that holds the bulk of the signal; later
    ones are clipped to it and scaled to [0, 1]. What the means m0, m1 of n0 old and n1 new values say against one
    common mean m is n0 K(m0 - m) + n1 K(m1 - m), K the exponent of Hoeffding's bound for values in [0, 1] of a known
    variance (for 0/1 values the likelihood ratio; the variance is taken .5 nats too high). At one boundary that must
    exceed h. In control an observation alarms with a probability of at most .05 exp(-h), whatever the distribution:
    a simulation (benchmarks/bounded_levels.py), the worst of error rates from .003 to .9 and of normal, exponential,
    t3 and lognormal values; not a proof. With h = ln(.075 arl0), at least 4, ARL >= arl0.

    With any of `delta, block_size, epsilon_prime, alpha, compress_term` it is the published detector with ADWIN's bound
    on the raw values (MOA step by step, its blocks limited to 512); values beyond 1e120 are clipped there.

    Input: any number; NaN and inf are counted, not fed. A drift starts over, the range included; as published it drops
    the blocks before the change. `before`, `after`, `age`: of the parts at the most significant boundary, as published
    at the newest one that is significant. Cost: 12 kB, 90 ns an observation.
    Source: Huang, Koh, Dobbie and Pears, Detecting volatility shift in data streams, ICDM 2014, section III.

    >>> x = np.random.default_rng(1).random(4000)
    >>> x[3000:] **= 2
    >>> [(at - drift.age + 1, drift.direction) for at, drift in Seed(arl0=1e5).update_many(x)]
    [(3072, -1)]
    """

    published: ClassVar[dict[str, Any]] = {"delta": 0.05}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        warm_up: int = 256,
        delta: float | None = None,
        block_size: int | None = None,
        epsilon_prime: float | None = None,
        alpha: float | None = None,
        compress_term: int | None = None,
    ) -> None:
        literature = (delta, block_size, epsilon_prime, alpha, compress_term)
        self._calibrated = all(value is None for value in literature)
        arl0 = number("arl0", arl0, 100, 1e12)
        delta = number("delta", 0.05 if delta is None else delta, 1e-300, 1)
        block_size = whole("block_size", 32 if block_size is None else block_size, 2, 1 << 20)
        similar = number("epsilon_prime", 0.01 if epsilon_prime is None else epsilon_prime, 0, 1e6)
        growth = number("alpha", 0.8 if alpha is None else alpha, 0, 1e6)
        term = whole("compress_term", 75 if compress_term is None else compress_term, 1, ROOM)
        params: dict[str, Any] = {"arl0": arl0, "warm_up": whole("warm_up", warm_up, 20, 1 << 20)}
        limit = max(LEAST, math.log(1.5 * HAZARD * arl0))
        if not self._calibrated:
            params = {"delta": delta, "block_size": block_size, "epsilon_prime": similar, "alpha": growth}
            params |= {"compress_term": term}
            limit = delta
        self._config = np.array([float(self._calibrated), limit, block_size, similar * growth, term])
        super().__init__(
            params,
            {
                "counts": np.zeros(5, np.int64),
                "floats": np.zeros(9),
                "blocks": np.zeros((3, ROOM)),
                "sample": np.zeros(warm_up if self._calibrated else 0),
            },
        )
        self._floats = self._state["floats"]

    @property
    def statistic(self) -> float:
        """The exponent in nats (as published: the difference of the means) at the boundary told of."""
        return float(self._floats[STATISTIC]) if self._floats[THRESHOLD] > 0.0 else math.nan

    @property
    def threshold(self) -> float:
        """What that must exceed."""
        return float(self._floats[THRESHOLD]) if self._floats[THRESHOLD] > 0.0 else math.nan

    @property
    def estimate(self) -> float:
        """The mean of all blocks."""
        if not self.n:
            return math.nan
        return self._raw(float(self._floats[TOTAL]) / max(1, self._width))

    @property
    def _width(self) -> int:
        return self.n - len(self._state["sample"])

    def detectable(self, n: int) -> float:
        """Given ten times as many observations before the change; as published with values in [0, 1]."""
        if self._calibrated:
            return math.sqrt(2.2 * float(self._config[LIMIT]) / n)
        log_term = math.log(2.0 * math.log(11.0 * n) / float(self._config[LIMIT]))
        return math.sqrt(2.2 * log_term / n) + 4.4 / 3.0 * log_term / n

    def _run(self, x: Floats, start: int) -> int:
        s = self._state
        return int(_feed(x, start, self._config, self._floats, self._counts, s["blocks"], s["sample"]))

    def _evidence(self) -> Drift:
        f = self._floats
        return self._told(float(f[BEFORE]), float(f[AFTER]), self._width, int(f[AGE]), float(f[SQUARES]) / self._width)

    def _reset(self) -> None:
        if self._calibrated:
            super()._reset()
            return
        blocks, cut, used = self._state["blocks"], int(self._counts[CUT]), int(self._counts[USED])
        for at in range(cut - 1, -1, -1):  # in MOA's order, to the last bit
            self._counts[N] -= int(blocks[SIZE, at])
            self._floats[TOTAL] -= blocks[SUM, at]
            self._floats[SQUARES] -= blocks[SPREAD, at]
        blocks[:, : used - cut] = blocks[:, cut:used]
        blocks[:, used - cut :] = 0.0
        self._counts[USED], self._counts[CUT] = used - cut, 0
