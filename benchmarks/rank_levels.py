"""Simulates the limits of detectors/rank.py: the largest statistic over the splits of uniform scores, by run length.

Run: python -m benchmarks.rank_levels [--runs 1500] [--length 131072]
"""

import argparse

import numpy as np
from numba import njit

from detectors._base import Array, Floats
from detectors.rank import KNOWN_ARL0, LEVELS, PARTS, SPLITS, STATISTICS, keep, take

MARGIN = 1.3  # the limits are those of so many times the arl0, so that none is missed by chance


@njit(cache=True)
def records(seed: int, kind: int, length: int, at: Array, value: Floats) -> int:
    """When the statistic was larger than ever before, and what it was; how often."""
    np.random.seed(seed)  # noqa: NPY002 (the generator numba compiles)
    raw, sums, marks, split = np.zeros(3), np.zeros(PARTS), np.zeros((LEVELS, SPLITS, PARTS + 3)), np.zeros(4, np.int64)
    found, top = 0, 0.0
    for t in range(1, length + 1):
        now = take(np.random.random(), kind, sums, marks, split)  # noqa: NPY002
        keep(raw, sums, marks, split)
        if now > top:
            top, at[found], value[found] = now, t, now
            found += 1
    return found


def run_length(runs: list[tuple[Array, Floats]], length: int, limit: float) -> float:
    """The mean time to the first value beyond the limit, of runs cut off at `length`."""
    passed = [at[np.argmax(value > limit)] if value[-1] > limit else 0 for at, value in runs]
    return sum(time or length for time in passed) / max(1, sum(time > 0 for time in passed))


def limit(runs: list[tuple[Array, Floats]], length: int, arl0: float) -> float:
    """The limit that is passed once in arl0."""
    low, high = 0.0, 200.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if run_length(runs, length, middle) < arl0 else (low, middle)
    return high


def main() -> None:
    """Print the table of LIMITS."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1500)
    parser.add_argument("--length", type=int, default=1 << 17)
    args = parser.parse_args()
    at, value = np.zeros(1000, np.int64), np.zeros(1000)
    for kind, name in enumerate(STATISTICS):
        runs = []
        for seed in range(args.runs):
            found = records(seed, kind, args.length, at, value)
            runs.append((at[:found].copy(), value[:found].copy()))
        limits = [round(limit(runs, args.length, MARGIN * arl0), 2) for arl0 in KNOWN_ARL0]
        print(f'    "{name}": ({", ".join(map(str, limits))}),', flush=True)


if __name__ == "__main__":
    main()
