"""Measured over declared run length of HDDM_A, HDDM_W and SEED, from which their constants HAZARD were chosen.

Their thresholds are ln(1.5 HAZARD arl0), HDDM_A's less ln(min(n, 2000)): the form is that of the tail of a likelihood
ratio, HAZARD the largest that brings the least figure of its column to about 1.5. Run: python
benchmarks/bounded_levels.py
"""

import sys

import numpy as np

from detectors import make

N, ARL0 = 10_000_000, (1e3, 1e4, 1e5)


def rate(p: float) -> np.ndarray:
    """0/1 with a rate of p."""
    return (np.random.default_rng(1).random(N) < p).astype(float)


SIGNALS = {
    **{f"bernoulli {p}": lambda p=p: rate(p) for p in (0.003, 0.01, 0.05, 0.2, 0.4, 0.5, 0.9)},
    "normal": lambda: np.random.default_rng(1).normal(size=N),
    "exponential": lambda: np.random.default_rng(1).exponential(size=N),
    "t3": lambda: np.random.default_rng(1).standard_t(3, size=N),
    "lognormal": lambda: np.random.default_rng(1).lognormal(size=N),
}


if __name__ == "__main__":
    for name in sys.argv[1:] or ("hddm_a", "hddm_w", "seed"):
        for signal, made in SIGNALS.items():
            x = made()
            alarms = [len(make(name, arl0=arl0).update_many(x)) for arl0 in ARL0]
            figures = [f"{N / arl0 / max(k, 1):.2f} ({k} alarms)" for arl0, k in zip(ARL0, alarms, strict=True)]
            print(f"{name:8} {signal:15}", *figures, flush=True)
