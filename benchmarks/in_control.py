"""Do the detectors keep what they declare? The declared `arl0` beside the measured one, each on many kinds of signal.

Measured: observations / alarms of one long stream, with the 95 % Poisson interval of the alarms; 3,000,000 observations
at 10,000 and 10,000,000 at 100,000, less where a cell takes longer than BUDGET_S. A cell is "below" if fewer
observations than declared came between two alarms, and "surely below" if the upper end of the interval is, too.

Signals: errors of three rates; a normal of three scales; heavy tails; dependent ones (`dependence = "ar"`); a season
(`season = 288`), of errors and counts as well, and zeros among numbers; categories with a thousand rare values; rows of
8 correlated numbers.

Run: python benchmarks/in_control.py [--out docs/detectors/in_control.md] [--quick] [--only NAME,...]
(a quarter of an hour on two idle cores)
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from machine import describe
from rich.console import Console
from scipy import signal, stats

from detectors import get, make, names, parameters

LONG = {1e4: 3_000_000, 1e5: 10_000_000}  # observations at each declared arl0
PERIOD, FEATURES, RARE = 288, 8, 1_000
BLOCK = 256 * PERIOD  # made and fed at a time: whole seasons
BUDGET_S = 60.0  # of one cell; the stream ends earlier then
Sampler = Callable[[np.random.Generator, int], np.ndarray]


class Signal(NamedTuple):
    """A stationary stream and how a detector is told of what it is."""

    kind: str
    sample: Sampler
    options: dict[str, Any]


def bernoulli(rate: float) -> Signal:
    return Signal("error", lambda rng, n: rng.random(n) < rate, {})


def normal(scale: float) -> Signal:
    return Signal("number", lambda rng, n: scale * rng.normal(size=n), {})


def autoregression(phi: float) -> Signal:
    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        noise = rng.normal(size=n)
        noise[0] /= math.sqrt(1 - phi * phi)
        return signal.lfilter([1.0], [1.0, -phi], noise)

    return Signal("number", sample, {"dependence": "ar"})


def season(rng: np.random.Generator, n: int) -> np.ndarray:
    """A wave and noise, from the beginning of a season on."""
    return 1.5 * np.sin(2 * np.pi * np.arange(n) / PERIOD) + rng.normal(size=n)


def seasonal_errors(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.random(n) < 0.2 + 0.1 * np.sin(2 * np.pi * np.arange(n) / PERIOD)


def seasonal_counts(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.poisson(5 + 2 * np.sin(2 * np.pi * np.arange(n) / PERIOD))


def zeros(rng: np.random.Generator, n: int) -> np.ndarray:
    """A lognormal of which three in five are 0."""
    return rng.lognormal(size=n) * (rng.random(n) < 0.4)


def categories(rng: np.random.Generator, n: int) -> np.ndarray:
    """Five common values and RARE rare ones that have a fifth together."""
    return np.where(rng.random(n) < 0.8, rng.integers(5, size=n), 5 + rng.integers(RARE, size=n))


def rows(rng: np.random.Generator, n: int) -> np.ndarray:
    """Equally correlated normal numbers, .5 each pair, of different scales."""
    return (rng.normal(size=(n, FEATURES)) + rng.normal(size=(n, 1))) * 10.0 ** np.arange(-4, 4)


SIGNALS = {
    **{f"error {rate:g}": bernoulli(rate) for rate in (0.05, 0.2, 0.4)},
    **{f"normal x {scale:g}": normal(scale) for scale in (0.01, 1, 100)},
    "t3": Signal("number", lambda rng, n: rng.standard_t(3, size=n), {}),
    "lognormal": Signal("number", lambda rng, n: rng.lognormal(size=n), {}),
    **{f"AR(1) {phi:g}": autoregression(phi) for phi in (0.5, 0.9)},
    f"season {PERIOD}": Signal("number", season, {"season": PERIOD}),
    f"error, season {PERIOD}": Signal("error", seasonal_errors, {"season": PERIOD}),
    f"counts, season {PERIOD}": Signal("number", seasonal_counts, {"season": PERIOD}),
    "zeros among numbers, AR": Signal("number", zeros, {"dependence": "ar"}),
    "categories": Signal("category", categories, {"categories": True}),
    f"rows of {FEATURES}": Signal("vector", rows, {"features": FEATURES}),
}


def entries() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every detector by its name, those with a direction also as "NAME up", ECDD with its least and most memory."""
    found: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in names()}
    found |= {f"{name} up": (name, {"direction": "up"}) for name in names() if "direction" in parameters(name)}
    return found | {f"ecdd memory={memory}": ("ecdd", {"memory": memory}) for memory in (50, 1000)}


class Cell(NamedTuple):
    """One detector at one declared arl0 on one signal."""

    detector: str
    signal: str
    declared: float
    n: int = 0
    alarms: int = 0
    failed: str = ""

    @property
    def measured(self) -> float:
        return self.n / self.alarms if self.alarms else math.inf

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the mean run length."""
        high = self.n / (stats.chi2.ppf(0.025, 2 * self.alarms) / 2) if self.alarms else math.inf
        return self.n / (stats.chi2.isf(0.025, 2 * self.alarms + 2) / 2), high

    @property
    def verdict(self) -> str:
        if self.failed or self.measured >= self.declared:
            return ""
        return "surely below" if self.interval[1] < self.declared else "below"

    def text(self) -> str:
        if self.failed:
            return "failed"
        low, high = self.interval
        shown = f"{self.measured:.3g}" if self.alarms else f"> {self.n:.2g}"
        mark = {"": "", "below": " ?", "surely below": " **!**"}[self.verdict]
        return f"{shown} [{low:.2g}, {high:.2g}]{mark}"


def takes(entry: str, signal_name: str) -> bool:
    """Whether a detector is made for such a signal; what has a direction is not for categories."""
    name, fixed = entries()[entry]
    cls, kind = get(name), SIGNALS[signal_name].kind
    if kind == "category" and "direction" in fixed:
        return False
    if cls.error_only:
        return kind == "error"
    return ("number" if kind == "error" else kind) in cls.kinds


def measure(entry: str, signal_name: str, declared: float, scale: float) -> Cell:
    """Feed a long stream block by block."""
    _, sample, options = SIGNALS[signal_name]
    name, fixed = entries()[entry]
    fixed = fixed | {key: value for key, value in options.items() if key in parameters(name)}
    cell = Cell(entry, signal_name, declared)
    n = int(LONG[declared] * scale)
    try:
        detector = make(name, arl0=declared, **fixed)
        rng = np.random.default_rng([11, *signal_name.encode()])
        alarms, fed, stop = 0, 0, time.monotonic() + BUDGET_S * scale
        while fed < n and time.monotonic() < stop:
            alarms += len(detector.update_many(sample(rng, BLOCK)))
            fed += BLOCK
    except Exception as error:  # noqa: BLE001 (one that fails must not end the others)
        return cell._replace(failed=f"{type(error).__name__}: {error}")
    return cell._replace(n=fed, alarms=alarms)


def page(cells: list[Cell]) -> str:
    """The Markdown page."""
    text = [
        "<!-- made by benchmarks/in_control.py: do not edit -->",
        "# False alarms: declared and measured\n",
        "Mean number of observations between two alarms on streams that do not change, [95 % Poisson interval]; `> N`:",
        'no alarm in N. AR signals are watched with `dependence = "ar"`, seasons with `season = 288`, categories',
        'with `categories = true`; "up" is `direction = "up"`. `?`: measured below the declared; `!`: so is the upper',
        "end of the interval.",
    ]
    for declared in LONG:
        text += [f"\n## Declared {declared:,.0f}\n", *table([cell for cell in cells if cell.declared == declared])]
    text += ["", *judged(cells)]
    return "\n".join(text) + "\n"


def table(cells: list[Cell]) -> Iterator[str]:
    """Detectors of the same kind of signal together."""
    for kinds in (("error",), ("number",), ("category", "vector")):
        columns = [name for name, signal_ in SIGNALS.items() if signal_.kind in kinds]
        found = {(cell.detector, cell.signal): cell for cell in cells if cell.signal in columns}
        if not found:
            continue
        yield f"| | {' | '.join(columns)} |"
        yield "|---" * (1 + len(columns)) + "|"
        for name in sorted({detector for detector, _ in found}):
            row = [found[name, column].text() if (name, column) in found else "" for column in columns]
            yield f"| {name} | {' | '.join(row)} |"
        yield ""


def judged(cells: list[Cell]) -> Iterator[str]:
    """Which cells are below the declared, and which failed."""
    for verdict in ("surely below", "below"):
        bad = [f"{c.detector} on {c.signal} at {c.declared:g}" for c in cells if c.verdict == verdict]
        yield f"{verdict.capitalize()}: {len(bad)} of {len(cells)} cells{': ' * bool(bad)}{'; '.join(bad)}."
    failed = [f"{c.detector} on {c.signal} at {c.declared:g} ({c.failed})" for c in cells if c.failed]
    if failed:
        yield f"Failed: {'; '.join(failed)}."


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
@click.option("--quick", is_flag=True, help="A tenth of the length; for development.")
@click.option("--only", default="", help="Detectors, with commas.")
@click.option("--processes", default=2, show_default=True)
def main(out: Path | None, quick: bool, only: str, processes: int) -> None:
    """Measure every detector on every signal it takes."""
    console = Console(stderr=True, width=160)
    describe(console)
    chosen = [entry for entry in entries() if not only or entry in only.split(",")]
    scale, cells = 0.1 if quick else 1.0, []
    with ProcessPoolExecutor(processes) as pool:
        asked = [(n, s, d) for n in chosen for s in SIGNALS if takes(n, s) for d in LONG]
        tasks = [pool.submit(measure, *cell, scale) for cell in asked]
        for done, task in enumerate(as_completed(tasks), 1):
            cell = task.result()
            cells.append(cell)
            said = f"{cell.detector} on {cell.signal}, {cell.declared:g}: {cell.text()} {cell.failed}"
            console.print(f"{done}/{len(tasks)}  {said}", style="red" if cell.verdict or cell.failed else "dim")
    cells.sort()
    text = page(cells)
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    sys.exit(1 if any(cell.verdict or cell.failed for cell in cells) else 0)


if __name__ == "__main__":
    main()
