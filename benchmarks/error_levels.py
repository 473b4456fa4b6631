"""How far apart false alarms of ddm, ecdd, eddm, fhddm and rddm lie: the constants that these files ship.

Each runs on streams of Bernoulli(p) errors. For ecdd, eddm and fhddm the table is the logarithm of the mean run length
at each level, the lowest over p (`LOG_RUN_LENGTHS`); for ddm and rddm it is what `HAZARD` would have to be for run
lengths of 1.5 times the declared.

The last lines show the measured over the declared run length, beyond the usual window too. Run:
python benchmarks/error_levels.py [ANSWERS a cell, 2e8 as shipped]
"""

import importlib
import math
import sys

import numpy as np

from detectors import make
from detectors._errors import HAZARD, LEVELS, MARGIN

RATES = (0.01, 0.05, 0.1, 0.2, 0.35, 0.5)
ENOUGH, BLOCK = 200, 200_000  # alarms; answers made at a time


def run_length(answers: float, p: float, name: str, **params: float) -> tuple[float, int]:
    """The mean number of answers between alarms (if there is none: all), and how many alarms."""
    rng = np.random.default_rng(1)
    detector = make(name, **params)
    alarms = seen = 0
    while seen < answers and alarms < ENOUGH:
        alarms += len(detector.update_many((rng.random(BLOCK) < p).astype(float)))
        seen += BLOCK
    return seen / max(1, alarms), alarms


def table(name: str, answers: float) -> None:
    """Log run length at each level, by error rate, and the lowest of those with 20 alarms at least."""
    shipped = importlib.import_module(f"detectors.{name}").LOG_RUN_LENGTHS
    for level, log_length in zip(LEVELS, shipped, strict=False):
        cells = [run_length(answers, p, name, arl0=math.exp(log_length - MARGIN)) for p in RATES]
        lowest = min((math.log(length) for length, alarms in cells if alarms >= 20), default=math.nan)
        row = "  ".join(f"{math.log(length):.2f} ({alarms})" for length, alarms in cells)
        print(f"{name} level {level}: lowest {lowest:.2f}, shipped {log_length}; by p: {row}", flush=True)


def check(name: str, answers: float, **params: float) -> None:
    """Measured over declared run length."""
    for arl0 in (1e3, 1e4, 1e5, 1e6):
        cells = [run_length(answers, p, name, arl0=arl0, **params) for p in RATES]
        ratios = "  ".join(f"{length / arl0:.2f} ({alarms})" for length, alarms in cells)
        least = min(length for length, alarms in cells if alarms >= 20 or length > arl0)
        hazard = f", HAZARD {HAZARD * math.exp(MARGIN) * arl0 / least:.2f}" if name in ("ddm", "rddm") else ""
        print(f"{name} {params or ''} arl0 {arl0:g}: measured / declared {ratios}{hazard}", flush=True)


if __name__ == "__main__":
    answers = float(sys.argv[1]) if len(sys.argv) > 1 else 2e8
    print("error rates", *RATES)
    for name in ("ecdd", "fhddm", "eddm"):
        table(name, answers)
    for name, params in (
        ("ecdd", {"memory": 50}),
        ("ecdd", {}),
        ("ecdd", {"memory": 1000}),
        ("fhddm", {"window": 50}),
        ("fhddm", {}),
        ("fhddm", {"window": 5000}),
        ("eddm", {"errors": 20}),
        ("eddm", {}),
        ("eddm", {"errors": 1000}),
        ("ddm", {}),
        ("rddm", {"memory": 500}),
        ("rddm", {}),
    ):
        check(name, answers / 10, **params)
