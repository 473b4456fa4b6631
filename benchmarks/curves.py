"""How time and memory per event grow with what there is: features, watches, keys, segments, waiting labels, partitions.

One quantity is varied at a time, everything else stays (`curves_streams.py`): 8 numbers, each watched by ADWIN and KS,
a feature by key, `linear`, predictions, outcomes, metrics and panes written. Each point is measured by a process of its
own (`curves_point.py`) after everything that grows has settled; all points of all curves take turns, TURNS times.

The exponent of a curve is the slope of its upper half in log-log: 0 is flat, 1 is linear. Time per event, memory and
state are linear or better if their exponent is at most 1.05 (arrays grow by doubling), in one of the turns at least.
Exit code 1 if one is not.

Run: python benchmarks/curves.py [--json FILE] [--out docs/growth.md]   (12 minutes, 2 GB of temporary files)
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from curves_page import page, picture
from curves_streams import Case, write
from machine import describe
from rich.console import Console
from turns import report

POINT = Path(__file__).with_name("curves_point.py")
EVENTS, FEW = 60_000, 16_384  # measured of a point; where each takes long, at all points of the curve
TAIL = 20_000  # events behind the measured ones: the last batch may go beyond them
MEASURED = ("us", "memory", "state")
LINEAR = 1.05  # an exponent of 1, and what comes of arrays that double


@dataclass(frozen=True)
class Curve:
    """A quantity and the points at which it is measured."""

    name: str
    points: tuple[int, ...]
    events: int = EVENTS  # measured of each partition

    def case(self, point: int) -> Case:
        """Everything else as it is."""
        return Case(**{self.name: point})


CURVES = (
    Curve("features", (8, 30, 100, 300, 1000), FEW),
    Curve("watches", (10, 30, 100, 300, 1000), FEW),
    Curve("keys", (100, 1000, 10_000, 100_000, 1_000_000)),
    Curve("segments", (10, 30, 100, 300, 1000, 3000)),
    Curve("pending", (100, 1000, 10_000, 100_000, 1_000_000)),
    Curve("partitions", (1, 2, 4, 8, 16, 32), FEW),
)


def run(case: Case, file: Path, events: int, warm: Path) -> dict[str, float]:
    """One point in a process of its own."""
    command = [sys.executable, POINT, json.dumps(asdict(case)), file, str(events), warm]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr}")
    told: dict[str, float] = json.loads(done.stdout)
    return told


def measure(curves: list[Curve], turns: int, folder: Path) -> dict[str, dict[int, list[dict[str, float]]]]:
    """By curve and point what each turn found."""
    warm = folder / "warm.jsonl"
    write(warm, Case(pending=1), Case().settled + TAIL)
    plan = []
    for curve in curves:
        for point in curve.points:
            case, file = curve.case(point), folder / f"{curve.name}-{point}.jsonl"
            write(file, case, case.settled + curve.events + TAIL)
            plan.append((curve, point, case, file))
    found: dict[str, dict[int, list[dict[str, float]]]] = {
        curve.name: {point: [] for point in curve.points} for curve in curves
    }
    for _ in range(turns):
        for curve, point, case, file in plan:
            found[curve.name][point].append(run(case, file, curve.events, warm))
    return found


def upper(points: list[int]) -> list[int]:
    """The upper half, the middle one too."""
    return points[(len(points) - 1) // 2 :]


def slope(points: list[int], values: list[float]) -> float:
    """In log-log, by least squares."""
    return float(np.polyfit(np.log(points), np.log(np.maximum(values, 1e-9)), 1)[0])


def exponents(found: dict[int, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of time, memory and state: that of the medians, and the least and the most of the turns."""
    told, points = {}, upper(list(found))
    for name in MEASURED:
        turns = zip(*[[turn[name] for turn in found[point]] for point in points], strict=True)
        each = [slope(points, list(values)) for values in turns]
        medians = [statistics.median(turn[name] for turn in found[point]) for point in points]
        told[name] = {"exponent": slope(points, medians), "least": min(each), "most": max(each)}
    return told


def missed(curves: dict[str, dict[str, dict[str, float]]]) -> Iterator[str]:
    """What grows faster than its quantity in every turn."""
    for curve, told in curves.items():
        for name, grown in told.items():
            if grown["least"] > LINEAR:
                yield f"{name} grows with {curve} to the power {grown['exponent']:.2f}"


@click.command()
@click.option("--turns", default=3, show_default=True)
@click.option("--events", default=EVENTS, show_default=True, help="Measured of each partition, at most.")
@click.option("--only", multiple=True, type=click.Choice([curve.name for curve in CURVES]), help="These curves.")
@click.option("--most", default=10_000_000, help="Leave out larger points.")
@click.option("--json", "figures", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file, its picture to images/.")
def main(turns: int, events: int, only: tuple[str, ...], most: int, figures: Path | None, out: Path | None) -> None:
    """Measure the curves; exit code 1 if one is worse than linear."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = describe(console)
    chosen = [curve for curve in CURVES if not only or curve.name in only]
    curves = [
        Curve(curve.name, tuple(p for p in curve.points if p <= most), min(events, curve.events)) for curve in chosen
    ]
    with tempfile.TemporaryDirectory() as folder:
        points = measure(curves, turns, Path(folder))
    found: dict[str, Any] = {"machine": about, "points": points}
    found["exponents"] = {name: exponents(at) for name, at in points.items()}
    found["missed"] = list(missed(found["exponents"]))
    text = page(found)
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    if out is not None:
        out.write_text(text)
        out.with_name("images").mkdir(exist_ok=True)
        picture(found, out.with_name("images") / f"{out.stem}.svg")
    sys.exit(report(console, found, figures))


if __name__ == "__main__":
    main()
