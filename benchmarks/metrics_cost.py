"""What `--metrics` takes from the stream: the same events without it, and scraped every second by another process.

The events have 8 numbers and a category of 20, each number watched as a whole and in each category: 168 detectors, some
1,000 samples a scrape. They are handled in turn with and without metrics, after a first run of each way that warms
kernels and caches. Each turn gives one ratio of the times of the engine's loop by the clock, and one of the process's
processor time, what scrapes take included; both medians must be at most SLOWER. The logs must be the same. Exit code 1
otherwise.

Run: python benchmarks/metrics_cost.py [--events 400000] [--turns 7] [--every 1.0] [--json FILE]   (three minutes)
"""

import contextlib
import multiprocessing
import sys
import tempfile
import time
import urllib.request
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np
from machine import describe
from rich.console import Console
from turns import report, slower, write_stream

from stream_app.config import Config, parse
from stream_app.edges import prometheus
from stream_app.edges.log import Log
from stream_app.edges.meter import Meter
from stream_app.runners.embedded import Embedded

SLOWER = 1.05  # at most, and together with an open page: benchmarks/dashboard.py
TIMEOUT_S = 300.0
FIELDS = [f"x{i}" for i in range(8)]
CATEGORIES = 20


def scrape(told: Connection, every_s: float) -> None:
    """Scrapes each address that it is sent until it is sent None, then tells how often and how much."""
    while (address := told.recv()) is not None:
        scrapes, size = 0, 0
        while not told.poll(every_s):
            with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
                size = len(answer.read())
                scrapes += 1
        told.recv()
        told.send((scrapes, size))


def write_events(path: Path, events: int) -> None:
    rng = np.random.default_rng(1)
    X, category = rng.normal(size=(events, len(FIELDS))), rng.integers(0, CATEGORIES, events)
    write_stream(path, X, FIELDS, X[:, 0] + rng.logistic(size=events) > 0, c=category)


def config(path: Path) -> Config:
    fields = "\n".join(f'{name} = {{ type = "number" }}' for name in FIELDS)
    watch = '[[watch]]\nsignal = "feature:{}"\ndetector = "page_hinkley"\n'
    watches = "".join(watch.format(name) + watch.format(name) + 'by = "c"\n' for name in FIELDS)
    return parse(
        f"""
        name = "metrics"
        source = {{ events = "{path}" }}
        schema.time = "time"
        schema.label = "y"
        [schema.fields]
        c = {{ type = "category" }}
        {fields}
        {watches}
        """,
        "benchmark",
        {},
    )


def seconds(tree: Config, state: Path, scraper: Connection | None) -> tuple[float, float]:
    """By the clock, and of the processor, of the engine's loop; scraped meanwhile if there is a scraper."""
    meter = Meter(tree, "embedded") if scraper else None
    with Log(state, write=True) as log, contextlib.ExitStack() as stack:
        engine = Embedded(tree, log, meter=meter)
        if meter is not None and scraper is not None:
            found = prometheus.registry(prometheus.Collector(meter))
            scraper.send(f"http://{stack.enter_context(prometheus.served('0', found))}/metrics")
        started, processor = time.perf_counter(), time.process_time()
        engine.run(lambda _: None)
        return time.perf_counter() - started, time.process_time() - processor


@click.command()
@click.option("--events", default=400_000)
@click.option("--turns", default=7)
@click.option("--every", default=1.0, help="Seconds between two scrapes.")
@click.option("--json", "figures", type=click.Path(path_type=Path))
def main(events: int, turns: int, every: float, figures: Path | None) -> None:
    """Measure, and exit with 1 if the target is missed."""
    console = Console(width=120)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=scrape, args=(theirs, every), daemon=True)
    process.start()
    found: dict[str, Any] = {"machine": describe(console), "events": events, "alone": [], "scraped": [], "missed": []}
    found |= {"scrapes": 0, "scrape_bytes": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.csv")
        write_events(path, events)
        tree = config(path)
        for turn in range(turns + 1):
            for name in ("alone", "scraped") if turn % 2 else ("scraped", "alone"):
                scraper = ours if name == "scraped" else None
                found[name].append(seconds(tree, Path(folder, f"{name}{turn}.db"), scraper))
                if scraper is not None:
                    ours.send("enough")
                    scrapes, size = ours.recv()
                    found["scrapes"] += scrapes
                    found["scrape_bytes"] = max(found["scrape_bytes"], size)
        with Log(Path(folder, f"alone{turns}.db")) as a, Log(Path(folder, f"scraped{turns}.db")) as b:
            found["missed"] += [] if a.digest() == b.digest() else ["the logs differ"]
    ours.send(None)
    pairs = list(zip(found["scraped"][1:], found["alone"][1:], strict=True))
    for at, measure in enumerate(("clock", "processor")):
        ratios = [scraped[at] / alone[at] for scraped, alone in pairs]
        found[measure], missed = slower(console, measure, ratios, SLOWER, "when scraped")
        found["missed"] += missed
    console.print(
        f"{events:,} events a run, {found['scrapes']} scrapes of {found['scrape_bytes']:,} bytes over all runs"
    )
    sys.exit(report(console, found, figures))


if __name__ == "__main__":
    main()
