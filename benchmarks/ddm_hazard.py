"""The in-control alarm rate of DDM per unit of log time, from which detectors/ddm.py takes its multiplier.

On the root scale the process is one and the same for every error rate and self-similar in time: alarms at n come at
rate hazard(k) / n. Streams of Bernoulli(p) errors are run from a warm-up of `WARM` answers to `SPAN` times as many;
each alarm counts once per stream, and hazard(k) = -log(share without alarm) / log(SPAN). Run: python
benchmarks/ddm_hazard.py
"""

import math

import numpy as np
from numba import njit

WARM, SPAN = 400, 50
MULTIPLIERS = np.array([2.0, 2.5, 3.0, 3.5, 4.0, 4.5])


@njit
def alarms(seed: int, p: float, streams: int, warm: int, span: int, ks: np.ndarray) -> np.ndarray:
    """How many of the streams raise an alarm at each multiplier."""
    np.random.seed(seed)  # noqa: NPY002 (what numba compiles)
    hit = np.zeros(len(ks))
    for _ in range(streams):
        errors, low, best, scale_at_best, n = 0, math.inf, 0.0, 1.0, 0
        most = -math.inf
        while n < warm or errors < 30 or n < warm * span:
            n += 1
            errors += np.random.random() < p  # noqa: NPY002
            if n <= warm or errors < 30:
                continue
            scale = 1 / math.sqrt(n)
            rate = 2 * math.asin(math.sqrt(errors / n))
            if rate + scale <= low:
                low, best, scale_at_best = rate + scale, rate, scale
            most = max(most, (rate + scale - best) / scale_at_best)
        hit += most > ks
    return hit


if __name__ == "__main__":
    print("hazard(k), standard error, and hazard / exp(-(k^2 - 1) / 2)")
    for p in (0.5, 0.2, 0.08):
        streams = 20_000
        share = alarms(1, p, streams, WARM, SPAN, MULTIPLIERS) / streams
        for k, rate in zip(MULTIPLIERS, share, strict=True):
            hazard = -math.log(1 - rate) / math.log(SPAN)
            error = math.sqrt(rate * (1 - rate) / streams) / (1 - rate) / math.log(SPAN)
            print(f"p={p} k={k} {hazard:.3g} ± {error:.1g}  {hazard / math.exp(-(k * k - 1) / 2):.3g}")
