"""Do the detectors keep what they declare? False alarms in control, and how late a change is found, beside river.

Table 1: alarms in N independent observations at the declared arl0, the measured mean run length N / alarms with its 95
% Poisson interval, and river at its defaults on the same stream. Table 2: median delay after 10,000 quiet observations
over SEEDS streams ("-": found in fewer than half; "n early": streams alarmed before the change, not counted). Table 3:
time.

Run: python benchmarks/in_control.py [N]   (default 3,000,000; river sees a tenth of it; about 2 minutes)
"""

import sys
import time
from collections.abc import Callable

import numpy as np
from river import drift as river
from scipy import stats

from detectors import make, names

ARL0 = 1e5
SEEDS, QUIET, AFTER = 20, 10_000, 6_000
Sampler = Callable[[np.random.Generator, int], np.ndarray]

SIGNALS: dict[str, Sampler] = {
    "bernoulli .05": lambda rng, n: (rng.random(n) < 0.05).astype(float),
    "bernoulli .2": lambda rng, n: (rng.random(n) < 0.2).astype(float),
    "bernoulli .4": lambda rng, n: (rng.random(n) < 0.4).astype(float),
    "normal x .01": lambda rng, n: 0.01 * rng.normal(size=n),
    "normal": lambda rng, n: rng.normal(size=n),
    "normal x 100": lambda rng, n: 100 * rng.normal(size=n),
    "t3": lambda rng, n: rng.standard_t(3, size=n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
}
RARE: Sampler = lambda rng, n: np.minimum(rng.zipf(1.5, n), 1e6).astype(float)  # noqa: E731
RIVER = {"adwin": river.ADWIN, "page_hinkley": river.PageHinkley, "ddm": river.binary.DDM}


def river_alarms(name: str, x: np.ndarray) -> list[int]:
    """Where river's detector of that name, at its defaults, alarms."""
    detector, found = RIVER[name](), []
    for i, value in enumerate(x.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(i)
    return found


def run_length(alarms: int, n: int) -> str:
    """Mean run length with its 95 % interval."""
    low = n / (stats.chi2.isf(0.025, 2 * alarms + 2) / 2)
    high = n / (stats.chi2.ppf(0.025, 2 * alarms) / 2) if alarms else float("inf")
    return f"{n / alarms if alarms else float('inf'):>9.3g} [{low:.2g}, {high:.2g}]"


def in_control(n: int) -> None:
    """Print the mean run length of each detector on each signal."""
    print(f"1. In control: declared arl0 = {ARL0:g}, {n:,} observations")
    for name in names():
        chosen = {key: value for key, value in SIGNALS.items() if name != "ddm" or key.startswith("bernoulli")}
        cases = [(key, sampler, {}) for key, sampler in chosen.items()]
        if name == "ks":
            cases += [(f"{key}, rolling", chosen[key], {"rolling": True}) for key in ("normal", "bernoulli .2")]
        if name == "psi":
            cases.append(("rare categories", RARE, {"categories": True}))
        for signal, sampler, params in cases:
            x = sampler(np.random.default_rng(11), n)
            alarms = len(make(name, arl0=ARL0, **params).update_many(x))
            verdict = "ok" if alarms <= n / ARL0 else "TOO MANY"
            line = f"{name:13s} {signal:22s} alarms {alarms:4d}  run length {run_length(alarms, n):26s} {verdict:8s}"
            if name in RIVER:
                line += f"  river {run_length(len(river_alarms(name, x[: n // 10])), n // 10)}"
            print(line, flush=True)


def median_delay(alarms: Callable[[np.ndarray], list[int]], streams: list[np.ndarray]) -> str:
    """The median delay over the streams without an earlier alarm, as text."""
    first = [next(iter(alarms(x)), np.inf) for x in streams]
    delays = [at - QUIET for at in first if at >= QUIET]
    early = len(first) - len(delays)
    middle = float(np.median(delays)) if delays else np.inf
    return (f"{middle:.0f}" if middle < np.inf else "-") + (f" ({early} early)" if early else "")


def delays() -> None:
    """Print the median delays of each detector and of river's."""
    print(f"\n2. Median delay after {QUIET:,} quiet observations; arl0 = {ARL0:g}")
    shifts: dict[str, tuple[tuple[str, ...], Sampler, Sampler]] = {}
    for size in (0.25, 0.5, 1.0, 2.0):
        shifts[f"normal + {size} sd"] = (
            ("adwin", "page_hinkley", "ks", "psi"),
            SIGNALS["normal"],
            lambda rng, n, size=size: rng.normal(size, 1, n),
        )
    for to in (0.25, 0.3, 0.4):
        later: Sampler = lambda rng, n, to=to: (rng.random(n) < to).astype(float)  # noqa: E731
        shifts[f"bernoulli .2 to {to}"] = (("adwin", "page_hinkley", "ddm"), SIGNALS["bernoulli .2"], later)
    shifts["normal, sd x 1.5"] = (("ks", "psi"), SIGNALS["normal"], lambda rng, n: 1.5 * rng.normal(size=n))
    for title, (chosen, before, after) in shifts.items():
        rngs = [np.random.default_rng(seed) for seed in range(SEEDS)]
        streams = [np.concatenate([before(rng, QUIET), after(rng, AFTER)]) for rng in rngs]
        for name in chosen:
            ours = median_delay(lambda x, name=name: [at for at, _ in make(name, arl0=ARL0).update_many(x)], streams)
            line = f"{title:22s} {name:13s} {ours:>14s}"
            if name in RIVER:
                line += f"   river {median_delay(lambda x, name=name: river_alarms(name, x), streams)}"
            print(line, flush=True)


def times() -> None:
    """Print the cost of one observation, and of a call with 256."""
    print("\n3. Time")
    x = np.random.default_rng(0).normal(size=1_000_000)
    for name in names():
        signal = (x > 1).astype(float) if name == "ddm" else x
        make(name).update_many(signal[:20_000])
        best = {}
        for size in (len(x), 256):
            best[size] = np.inf
            for _ in range(3):
                detector = make(name, arl0=1e9)
                start = time.perf_counter()
                for part in range(0, len(x), size):
                    detector.update_many(signal[part : part + size])
                best[size] = min(best[size], (time.perf_counter() - start) / len(x) * 1e9)
        print(f"{name:13s} {best[len(x)]:6.1f} ns an observation; in calls of 256: {best[256]:6.1f} ns")


if __name__ == "__main__":
    in_control(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000_000)
    delays()
    times()
