"""Time per event and memory of the embedded engine as the stream gets longer.

One engine takes EVENTS seeded events from a CSV file (8 numbers, an id, a time, a label with the event; ADWIN
on the error, KS on each number, a mean over an hour, panes of an hour). Then, in the same process, it goes on in turn
with a young engine that began the same stream anew, window by window, so that noise of the machine meets both:

    time     of 100,000 events after EVENTS, beside that of 100,000 events after the first 100,000: at most 1.1 times
             as long by the clock, the median over PAIRS turns
    memory   resident, at each window after 500,000 events: within 10 % of that at 500,000
    state    the snapshot in the log: within 10 % of that at 500,000; what grows is the log itself

The file is written before the clock runs, a first short run warms kernels and caches, and each window ends in a commit.
Exit code 1 if one is missed.

Run: python benchmarks/growth.py [--events 5000000] [--json FILE]   (about 3 minutes and 1 GB of temporary files)
"""

import gc
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import click
import msgspec
import numpy as np
import pyarrow as pa
from judged import judged, missed, tell
from machine import describe
from pyarrow import csv
from rich.console import Console
from rich.table import Table

from stream_app.config import Config, parse
from stream_app.edges.log import Log
from stream_app.runners.embedded import Embedded

SLOWER, LARGER = 1.1, 1.1  # at most
FIELDS = [f"x{i}" for i in range(8)]
BLOCK = 100_000  # events made at a time
START_MS = 1_700_000_000_000  # of the first event
STEP_MS = 100  # between two events: a pane of an hour closes every 36,000
KEYS = 50


def write_stream(path: Path, events: int) -> None:
    """Seeded events: smooth numbers, a label that depends on them, and a level that shifts once in a million events."""
    weights = np.random.default_rng(1).normal(size=len(FIELDS))
    writer: Any = None
    for first in range(0, events, BLOCK):
        rng = np.random.default_rng([7, first])
        number = np.arange(first, min(events, first + BLOCK))
        X = np.round(rng.normal(size=(len(number), len(FIELDS))) + (first // 1_000_000 % 2), 4)
        label = (X @ weights + rng.logistic(size=len(number)) > 0).astype(np.int8)
        key = rng.integers(KEYS, size=len(number))
        columns = {"id": number, "time": START_MS + STEP_MS * number, "key": key}
        table = pa.table(columns | dict(zip(FIELDS, X.T, strict=True)) | {"y": label})
        writer = writer or csv.CSVWriter(path, table.schema)
        writer.write_table(table)
    writer.close()


def config(path: Path) -> Config:
    """All that keeps state: a feature by key, a model, detectors, panes, ids."""
    fields = "\n".join(f'{name} = {{ type = "number" }}' for name in FIELDS)
    return parse(
        f"""
        name = "growth"
        [source]
        events = "{path}"
        [schema]
        id = "id"
        time = "time"
        key = "key"
        label = "y"
        [schema.fields]
        {fields}
        [[features]]
        name = "mean_x0"
        stat = "mean"
        of = "x0"
        by = "key"
        over = "1h"
        [[watch]]
        signal = "error"
        detector = "adwin"
        [[watch]]
        signal = "feature:*"
        detector = "ks"
        """,
        "growth",
        {},
    )


class Walk:
    """One engine with its own new log, taken forward by a number of events at a time."""

    def __init__(self, source: Path, state: Path) -> None:
        state.unlink(missing_ok=True)
        self.log = Log(state, write=True)
        self.engine = Embedded(config(source), self.log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    @property
    def events(self) -> int:
        """Events taken so far."""
        return self.engine.pipeline.records

    def go_on(self, events: int) -> tuple[float, float]:
        """Take about so many events (whole batches) and commit: µs an event, by the clock and of the processor."""
        before, wall, cpu = self.events, time.perf_counter(), time.process_time()
        self.engine.run(lambda _: None, stop=lambda: self.events - before >= events)
        taken = self.events - before
        return (time.perf_counter() - wall) / taken * 1e6, (time.process_time() - cpu) / taken * 1e6

    def sizes(self) -> dict[str, int]:
        """Bytes: resident memory, the newest snapshot, the log."""
        saved = self.log.load()
        state = len(saved.state) if saved else 0
        return {"events": self.events, "memory": resident(), "state": state, "log": self.log.size_bytes}


def resident() -> int:
    """Resident memory of this process in bytes."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def grow(long: Walk, events: int, window: int) -> list[dict[str, Any]]:
    """Take the long engine to `events`; the times and sizes at each window."""
    found: list[dict[str, Any]] = []
    while long.events < events:
        wall, cpu = long.go_on(window)
        found.append({"us": wall, "cpu_us": cpu, **long.sizes()})
    return found


def turns(long: Walk, source: Path, folder: Path, pairs: int, window: int) -> list[dict[str, float]]:
    """Windows of the long engine and of one that has seen little, in turn; µs an event of each."""
    found = []
    with Walk(source, folder / "short.db") as short:
        short.go_on(window)
        for _ in range(pairs):
            gc.collect()
            old, young = long.go_on(window), short.go_on(window)
            found.append({"old": old[0], "young": young[0], "old_cpu": old[1], "young_cpu": young[1]})
    return found


def measure(folder: Path, events: int, window: int, pairs: int) -> dict[str, Any]:
    """Make the stream, warm up, run, and judge."""
    source = folder / "stream.csv"
    write_stream(source, events + (pairs + 1) * (window + BLOCK))
    with Walk(source, folder / "warm.db") as warm:
        warm.go_on(window // 2)
    with Walk(source, folder / "long.db") as long:
        windows = grow(long, events, window)
        pairs_found = turns(long, source, folder, pairs, window)
    ratios = [pair["old"] / pair["young"] for pair in pairs_found]
    cpu = [pair["old_cpu"] / pair["young_cpu"] for pair in pairs_found]
    settled = [point for point in windows if point["events"] >= 5 * window] or windows[-1:]
    return {
        "windows": windows,
        "pairs": pairs_found,
        "time": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "cpu_time": {"median": statistics.median(cpu), "min": min(cpu), "max": max(cpu)},
        "memory": max(point["memory"] for point in settled) / settled[0]["memory"],
        "state": max(point["state"] for point in settled) / settled[0]["state"],
        "log_bytes_per_event": windows[-1]["log"] / windows[-1]["events"],
    }


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What is judged."""
    times = [pair["old"] / pair["young"] for pair in found["pairs"]]
    return [
        judged("time per event, old / young", times, SLOWER, at_most=True),
        *(
            judged(f"{name}, old / after five windows", [found[name]], LARGER, at_most=True)
            for name in ("memory", "state")
        ),
    ]


def report(console: Console, found: dict[str, Any]) -> None:
    """Print ten of the windows, and the ratios."""
    table = Table()
    for column in ("events", "events/s", "processor", "resident", "state", "log"):
        table.add_column(column, justify="right")
    windows = found["windows"]
    for point in windows[:5] + windows[5 :: max(1, len(windows) // 10)] + windows[-1:]:
        sizes = (f"{point[name] / 1e6:,.2f} MB" for name in ("memory", "state", "log"))
        table.add_row(f"{point['events']:,}", f"{1e6 / point['us']:,.0f}", f"{point['cpu_us']:.2f} µs", *sizes)
    console.print(table)
    for name, of in (("time", "by the clock"), ("cpu_time", "of the processor")):
        ratio = found[name]
        console.print(f"old / young {of}: {ratio['median']:.3f} ({ratio['min']:.3f} … {ratio['max']:.3f})")
    console.print(f"beside that after five windows: resident {found['memory']:.3f}, state {found['state']:.3f}")
    console.print(f"log: {found['log_bytes_per_event']:.0f} bytes an event")


@click.command()
@click.option("--events", default=5_000_000, show_default=True)
@click.option("--window", default=100_000, show_default=True, help="Events between two measurements.")
@click.option("--pairs", default=25, show_default=True, help="Turns of the old and the young engine.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
def main(events: int, window: int, pairs: int, json_file: Path | None) -> None:
    """Compare the engine after many events with itself after few; exit code 1 if a target is missed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = describe(console)
    with tempfile.TemporaryDirectory() as name:
        found = {"machine": about, **measure(Path(name), events, window, pairs)}
    report(console, found)
    rows = rows_of(found)
    found |= {"judged": rows, "missed": missed(rows)}
    if json_file:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    tell(console, found["missed"])
    sys.exit(bool(found["missed"]))


if __name__ == "__main__":
    main()
