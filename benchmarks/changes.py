"""The streams of out_of_control.py: before, after and on the way from one distribution to another."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

ARL0, QUIET, AFTER, RAMP = 10_000, 5_000, 10_000, 1_000
SELDOM = 4  # changes of spread and shape: who does not look for them reads each stream to its end
Sampler = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
Density = Callable[[np.ndarray], np.ndarray]


class Change(NamedTuple):
    """From one distribution to another."""

    name: str
    distribution: str
    after: Sampler
    kl: float  # of the new one from the old one
    every: int = 1  # how many streams to one that is read

    def cases(self) -> Iterator[str]:
        yield from (f"{self.name}, {pace}" for pace in ("abrupt", "gradual"))


def normal_change(name: str, after: Sampler, density: Density) -> Change:
    grid = np.linspace(-30, 30, 600_001)
    p = density(grid)
    integrand = np.where(p > 0, p * (np.log(np.maximum(p, 1e-300)) - stats.norm.logpdf(grid)), 0)
    return Change(name, "normal", after, float(np.trapezoid(integrand, grid)), 1 if name.startswith("mean") else SELDOM)


def error_change(before: float, after: float) -> Change:
    kl = after * math.log(after / before) + (1 - after) * math.log((1 - after) / (1 - before))
    return Change(f"error {before:g} to {after:g}", f"error {before:g}", errors(after), kl)


def errors(rate: float) -> Sampler:
    return lambda rng, shape: rng.random(shape) < rate


def bimodal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return PEAK * rng.choice([-1, 1], shape) + math.sqrt(1 - PEAK**2) * rng.normal(size=shape)


PEAK = 0.9  # of the two normals at ±PEAK that have mean 0 and variance 1 together
WIDTH = math.sqrt(1 - PEAK**2)
BEFORE: dict[str, Sampler] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    **{f"error {rate:g}": errors(rate) for rate in (0.05, 0.2, 0.4)},
}
CHANGES = [
    *(
        normal_change(f"mean + {d:g} sd", lambda rng, shape, d=d: rng.normal(d, 1, shape), stats.norm(d, 1).pdf)
        for d in (0.25, 0.5, 1, 2)
    ),
    *(
        normal_change(f"sd x {s:g}", lambda rng, shape, s=s: rng.normal(0, s, shape), stats.norm(0, s).pdf)
        for s in (1.5, 0.67)
    ),
    normal_change(
        "normal to Laplace",
        lambda rng, shape: rng.laplace(0, math.sqrt(0.5), shape),
        stats.laplace(0, math.sqrt(0.5)).pdf,
    ),
    normal_change(
        "normal to bimodal", bimodal, lambda x: (stats.norm.pdf(x, PEAK, WIDTH) + stats.norm.pdf(x, -PEAK, WIDTH)) / 2
    ),
    *(error_change(*pair) for pair in ((0.2, 0.3), (0.2, 0.25), (0.05, 0.1), (0.4, 0.5))),
]


def write_streams(folder: Path, streams: int, in_control: int, seconds: float, begin: str = "") -> None:
    """All streams into files, so that every environment reads the same numbers; of distributions that begin so."""
    rng = np.random.default_rng(5)
    before = {name: sample for name, sample in BEFORE.items() if name.startswith(begin)}
    changes = [change for change in CHANGES if change.distribution in before]
    for kind in ("in_control", "quiet", "after"):
        (folder / kind).mkdir()
    for name, sample in before.items():
        np.save(folder / "in_control" / f"{name}.npy", sample(rng, (in_control, 5 * ARL0)).astype(np.float32))
        np.save(folder / "quiet" / f"{name}.npy", sample(rng, (streams, QUIET)).astype(np.float32))
    for change in changes:
        shape = (streams, AFTER)
        old, new = BEFORE[change.distribution](rng, shape), change.after(rng, shape)
        turned = rng.random(shape) * RAMP < np.arange(1, AFTER + 1)
        for case, x in zip(change.cases(), (new, np.where(turned, new, old)), strict=True):
            np.save(folder / "after" / f"{case}.npy", x.astype(np.float32))
    cases: dict[str, dict[str, int]] = {name: {} for name in before}
    for change in changes:
        cases[change.distribution] |= dict.fromkeys(change.cases(), change.every)
    (folder / "plan.json").write_text(json.dumps({"arl0": ARL0, "seconds": seconds, "cases": cases}))
