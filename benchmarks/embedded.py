"""The speed of the embedded engine beside the bare loop of a river model over the same events.

Three ways through the same events, one after the other, PAIRS times, so that noise of the machine meets all of them:

    linear   the whole pipeline with `use = "linear"`: from opening the file to the last commit
    loop     `predict_proba_one(x); learn_one(x, y)` of river's scaler and logistic regression; the dicts are in memory
    hosted   the whole pipeline again, with that river model in it

The pipeline reads a gzipped CSV, checks it, joins labels, measures, watches the error (ADWIN) and each feature (KS),
keeps panes and writes predictions, outcomes and metrics. The start of the process, imports and the compilation of
kernels are not counted on either side: each way runs once before, and those runs must predict the same.

`quiet`, a made stream of JSON lines in which nothing drifts, has an ADWIN on each feature as well. There the medians of
the pairs' ratios are judged: loop / linear at least 5, hosted / loop at most 1.25; exit code 1 if one is missed.

Run: python benchmarks/embedded.py DATA_DIR [--json FILE]   (elec2.csv.gz and covtype.csv.gz; about 4 minutes)
"""

import csv
import gc
import gzip
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from judged import judged, missed, tell
from machine import describe
from parts import breakdown, quickest
from rich.console import Console
from rich.table import Table
from river import linear_model, preprocessing

from stream_app.config import Config, parse
from stream_app.edges.log import Log
from stream_app.runners.embedded import Embedded

FASTER, DEARER = 5.0, 1.25  # loop / linear at least, hosted / loop at most
JUDGED = "quiet"
PROFILES = 3  # runs with clocks in them
RIVER = "river.preprocessing.StandardScaler | river.linear_model.LogisticRegression"
USE = {"linear": "linear", "hosted": RIVER}
KEY = b"signs the river model's state"

Event = tuple[dict[str, float], bool]


@dataclass(frozen=True)
class Data:
    """One data set: the file that the pipeline reads, and the same events as river takes them."""

    name: str
    file: Path
    label: str
    classes: tuple[str, str]
    events: list[Event]
    also: str = ""  # watches besides those that all sets have

    def config(self, use: str) -> Config:
        """All fields are numbers; the source offset is id and time."""
        fields = "\n".join(f'"{name}" = {{ type = "number" }}' for name in self.events[0][0])
        return parse(
            f"""
            name = "{self.name}"
            [source]
            events = "{self.file}"
            [schema]
            label = "{self.label}"
            [schema.fields]
            {fields}
            [task]
            type = "binary"
            classes = {list(self.classes)}
            [model]
            use = "{use}"
            [[watch]]
            signal = "error"
            detector = "adwin"
            [[watch]]
            signal = "feature:*"
            detector = "ks"
            {self.also}
            """,
            self.name,
            {},
        )


@dataclass
class Times:
    """Seconds of each repeat of one way, by the clock and of the processor."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Add the time of the block as one repeat."""
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.cpu_s.append(time.process_time() - cpu)
        self.wall_s.append(time.perf_counter() - wall)


def elec2(source: Path, _folder: Path, rows: int) -> Data:
    """Elec2 as it is: the label is the text UP or DOWN."""
    with gzip.open(source / "elec2.csv.gz", "rt", newline="") as file:
        events = [_event(row, "class", "UP") for row in itertools.islice(csv.DictReader(file), rows)]
    return Data("elec2", source / "elec2.csv.gz", "class", ("DOWN", "UP"), events)


def covtype(source: Path, folder: Path, rows: int) -> Data:
    """The first `rows` of covtype; what is told apart is class 2 and the rest."""
    copy = folder / "covtype.csv.gz"
    events = []
    with (
        gzip.open(source / "covtype.csv.gz", "rt", newline="") as file,
        gzip.open(copy, "wt", newline="", compresslevel=6) as out,
    ):
        reader = csv.DictReader(file)
        names = [name for name in reader.fieldnames or () if name != "Cover_Type"]
        writer = csv.DictWriter(out, [*names, "is2"])
        writer.writeheader()
        for row in itertools.islice(reader, rows):
            row["is2"] = "1" if row.pop("Cover_Type") == "2" else "0"
            writer.writerow(row)
            events.append(_event(row, "is2", "1"))
    return Data("covtype", copy, "is2", ("0", "1"), events)


def quiet(_source: Path, folder: Path, rows: int) -> Data:
    """Events as they mostly are, JSON lines of 8 numbers in which nothing drifts; each feature has an ADWIN too."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(rows, 8)).round(4)
    y = X @ rng.normal(size=8) + rng.logistic(size=rows) > 0
    names, file = [f"x{i}" for i in range(8)], folder / "quiet.jsonl"
    with file.open("wb") as out:
        for row, positive in zip(X.tolist(), y.tolist(), strict=True):
            out.write(msgspec.json.encode(dict(zip(names, row, strict=True)) | {"y": int(positive)}) + b"\n")
    events = [
        (dict(zip(names, row, strict=True)), positive) for row, positive in zip(X.tolist(), y.tolist(), strict=True)
    ]
    return Data("quiet", file, "y", ("0", "1"), events, '[[watch]]\nsignal = "feature:*"\ndetector = "adwin"')


def river_model() -> Any:
    """The model of the loop, fresh."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def loop(events: list[Event], times: Times) -> None:
    """The bare loop: nothing but the model."""
    model = river_model()
    with times.clock():
        for x, y in events:
            model.predict_proba_one(x)
            model.learn_one(x, y)


def pipeline(data: Data, use: str, state: Path, times: Times) -> None:
    """The whole way into a new log: from opening the file, which reads its first block, to the last commit."""
    state.unlink(missing_ok=True)
    config = data.config(use)
    with Log(state, write=True) as log, times.clock():
        Embedded(config, log, key=KEY).run(lambda _: None)


def compare(data: Data, folder: Path, pairs: int) -> dict[str, Times]:
    """Time the three ways, interleaved."""
    ways: dict[str, Callable[[Times], None]] = {
        "linear": lambda times: pipeline(data, USE["linear"], folder / "linear.db", times),
        "loop": lambda times: loop(data.events, times),
        "hosted": lambda times: pipeline(data, USE["hosted"], folder / "hosted.db", times),
    }
    for way in ways.values():
        way(Times())
    check_agreement(data, folder)
    found = {name: Times() for name in ways}
    for _ in range(pairs):
        for name, way in ways.items():
            way(found[name])
    return found


def check_agreement(data: Data, folder: Path) -> None:
    """Ways that predict otherwise do other work: stop. Both logs against the loop's probabilities."""
    model, expected = river_model(), []
    for x, y in data.events:
        expected.append(model.predict_proba_one(x)[True])
        model.learn_one(x, y)
    for name in USE:
        with Log(folder / f"{name}.db") as log:
            values = [msgspec.json.decode(record.value)["score"] for record in log.read("predictions")]
            outcomes = log.count("outcomes")
        if len(values) != len(expected) or outcomes != len(expected) or not np.allclose(values, expected, atol=1e-6):
            sys.exit(f"{data.name}, {name}: {len(values)} predictions, {outcomes} outcomes differ from river's loop")


def ratios(times: dict[str, Times]) -> dict[str, dict[str, Any]]:
    """The pairs' ratios beside what is asked, and their medians by processor time."""
    found = {}
    for over, under, asked, at_most in (("loop", "linear", FASTER, False), ("hosted", "loop", DEARER, True)):
        a, b = times[over], times[under]
        wall = [x / y for x, y in zip(a.wall_s, b.wall_s, strict=True)]
        cpu = [x / y for x, y in zip(a.cpu_s, b.cpu_s, strict=True)]
        name = f"{over} / {under}"
        found[name] = judged(name, wall, asked, at_most=at_most) | {"cpu_median": statistics.median(cpu)}
    return found


def profile(data: Data, folder: Path) -> dict[str, dict[str, float]]:
    """Microseconds of the processor per event in each part, with either model."""
    return {
        way: quickest(breakdown(data.config(use), folder / f"{way}.db", KEY) for _ in range(PROFILES))
        for way, use in USE.items()
    }


def report(console: Console, data: Data, times: dict[str, Times], told: dict[str, dict[str, Any]]) -> None:
    """Print the table of one data set."""
    n = len(data.events)
    console.print(f"\n{data.name}: {n:,} events, {len(data.events[0][0])} features")
    table = Table()
    for column in ("", "median", "min … max", "µs an event", "processor"):
        table.add_column(column, justify="left" if not column else "right")
    for name, taken in times.items():
        rates = sorted(n / seconds for seconds in taken.wall_s)
        median = statistics.median(rates)
        spread = f"{rates[0]:,.0f} … {rates[-1]:,.0f}"
        cpu = statistics.median(taken.cpu_s) / n * 1e6
        table.add_row(name, f"{median:,.0f}/s", spread, f"{1e6 / median:.2f}", f"{cpu:.2f} µs")
    for name, ratio in told.items():
        spread = f"{ratio['min']:.2f} … {ratio['max']:.2f}"
        table.add_row(name, f"{ratio['median']:.2f}", spread, "", f"{ratio['cpu_median']:.2f}", style="bold")
    console.print(table)


def report_parts(console: Console, data: Data, parts: dict[str, dict[str, float]]) -> None:
    """Print where the pipeline's time goes."""
    console.print(f"\n{data.name}: processor µs an event by part, the smallest of {PROFILES} runs")
    table = Table("part")
    for way in parts:
        table.add_column(way, justify="right")
    for part in parts["linear"]:
        table.add_row(part, *(f"{parts[way].get(part, 0):.2f}" for way in parts))
    table.add_row("sum", *(f"{sum(spent.values()):.2f}" for spent in parts.values()), style="bold")
    console.print(table)


@click.command()
@click.argument("data_dir", type=click.Path(exists=True, path_type=Path), default=Path("../shared/data"))
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--pairs", default=5, show_default=True, help="Repeats of each way.")
@click.option("--rows", default=100_000, show_default=True, help="At most so many events of covtype; of quiet thrice.")
@click.option("--only", type=click.Choice(["elec2", "covtype", "quiet"]), help="One data set.")
def main(data_dir: Path, json_file: Path | None, pairs: int, rows: int, only: str | None) -> None:
    """Compare the embedded engine with the bare loop of river; exit code 1 if a target is missed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    found: dict[str, Any] = {"machine": describe(console), "pairs": pairs, "judged": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for load, most in ((elec2, sys.maxsize), (covtype, rows), (quiet, 3 * rows)):
            if only in (None, load.__name__):
                data = load(data_dir, folder, most)
                times = compare(data, folder, pairs)
                told = ratios(times)
                report(console, data, times, told)
                parts = profile(data, folder)
                report_parts(console, data, parts)
                found[data.name] = {"events": len(data.events), "times": times, "ratios": told, "parts": parts}
                found["judged"] += told.values() if data.name == JUDGED else []
    problems = missed(found["judged"])
    found |= {"load_after": os.getloadavg(), "missed": problems}
    if json_file:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    tell(console, problems)
    sys.exit(bool(problems))


def _event(row: dict[str, str], label: str, positive: str) -> Event:
    y = row[label] == positive
    return {name: float(text) for name, text in row.items() if name != label}, y


if __name__ == "__main__":
    main()
