"""The memory of the Kafka worker as the stream gets longer.

EVENTS seeded events (an id, 8 numbers, the label in the row; ADWIN on each number and on the error) are in the topic;
the worker goes through them as fast as it can, with a snapshot every SNAPSHOT_S. Its resident memory is sampled every
POLL_S. After the first tenth of the stream it must stay within 10 % of what it was there; exit code 1 otherwise.

Run: python benchmarks/kafka_memory.py [--events 5000000] [--json FILE]   (about 4 minutes, 4 GB of temporary files)
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import cluster
import msgspec
from cluster import Program, Reader
from machine import describe
from rich.console import Console
from rich.table import Table

LARGER = 1.10  # at most
MARKS = 10  # of the table
SNAPSHOT_S = 2  # so that the first tenth has some
POLL_S = 0.25
STALLED_S = 300.0  # without a committed prediction
NAME = "memory"


async def sample(bootstrap: str, program: Program, events: int) -> list[dict[str, float]]:
    """Events predicted and committed, and resident bytes, until all are."""
    found: list[dict[str, float]] = []
    last, began, moved = 0, time.monotonic(), 0.0
    async with Reader(bootstrap, f"{NAME}.predictions") as reader:
        while last < events:
            await asyncio.sleep(POLL_S)
            program.check()
            done, seconds = await reader.ends(), time.monotonic() - began
            found.append({"events": done, "memory": program.resident(), "seconds": seconds})
            last, moved = done, seconds if done > last else moved
            if seconds - moved > STALLED_S:
                raise RuntimeError(f"no prediction for {STALLED_S:g} s after {done:,} of {events:,} events")
    return found


async def measure(events: int) -> list[dict[str, float]]:
    """Fill the topic, let the worker go through it."""
    with cluster.broker() as broker, tempfile.TemporaryDirectory() as folder:
        await cluster.create(broker.bootstrap, ["flow"])
        await cluster.load(broker.bootstrap, "flow", events)
        more = {"kafka": f'snapshot = "{SNAPSHOT_S}s"'}
        with Program(cluster.worker(Path(folder), NAME, broker.bootstrap, "flow", **more)) as program:
            return await sample(broker.bootstrap, program, events)


def judged(samples: list[dict[str, float]], events: int) -> dict[str, Any]:
    """The sample at each tenth, and the largest since the first beside it."""
    marks = [next(point for point in samples if point["events"] >= events * k / MARKS) for k in range(1, MARKS + 1)]
    settled = [point["memory"] for point in samples if point["events"] >= marks[0]["events"]]
    return {"marks": marks, "largest": max(settled), "ratio": max(settled) / marks[0]["memory"]}


def report(console: Console, found: dict[str, Any]) -> None:
    """Print the table."""
    table = Table()
    for column in ("events", "seconds", "resident"):
        table.add_column(column, justify="right")
    for point in found["marks"]:
        table.add_row(f"{point['events']:,}", f"{point['seconds']:.1f}", f"{point['memory'] / 1e6:,.1f} MB")
    console.print(table)


@click.command()
@click.option("--events", default=5_000_000, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
def main(events: int, json_file: Path | None) -> None:
    """Watch the memory of a worker; exit code 1 if it grows."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = describe(console)
    samples = asyncio.run(measure(events))
    found = judged(samples, events)
    report(console, found)
    verdict = f"largest beside that after a tenth: {found['ratio']:.3f}, at most {LARGER}"
    if json_file:
        kept = {"machine": about, **found, "samples": samples, "load_after": os.getloadavg()}
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
    console.print(verdict if found["ratio"] <= LARGER else f"MISSED {verdict}")
    sys.exit(found["ratio"] > LARGER)


if __name__ == "__main__":
    main()
