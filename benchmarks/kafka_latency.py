"""How long after its event an alert is there: a steady stream through the Kafka worker.

RATE events a second for SECONDS; each of 8 numbers jumps once a second, so that alerts are many. For every alert that
opens an incident: from handing the event that raised it (its offset is in the alert) to the producer, to its receipt by
a read_committed consumer of the alerts topic. The same for predictions. Beside it, in the same seconds: round trips to
the broker (one record, acks=all) and transactions of one record. One process, one clock; the worker has one core, the
broker and this program have the others. The median of the alerts must be at most the commit interval and three median
round trips; exit code 1 otherwise.

Run: python benchmarks/kafka_latency.py [--json FILE]   (about 2 minutes)
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import cluster
import msgspec
import numpy as np
from cluster import Program, Reader
from machine import describe
from rich.console import Console
from rich.table import Table

ROUND_TRIPS = 3
SHIFT = 5.0  # standard deviations
WARM_S = 5.0  # of the stream, not counted
PROBE_S = 0.05  # between two round trips
TICK_S = 0.001
DRAIN_S = 2.0  # after the last event
NAME = "latency"
MORE = """
[alarms]
cooldown = "1 event"
group = "1 event"
[engine]
commit = "{}ms"
"""


@dataclass
class Times:
    """Seconds of each kind; `sent` by the event's offset."""

    sent: list[float] = field(default_factory=list)
    alerts: list[float] = field(default_factory=list)
    predictions: list[float] = field(default_factory=list)
    round_trips: list[float] = field(default_factory=list)
    transactions: list[float] = field(default_factory=list)


async def stream(bootstrap: str, values: list[bytes], rate: int, times: Times) -> None:
    """Send each event when it is due; its offset is its number because nobody else writes to the topic."""
    async with cluster.producing(bootstrap, linger_ms=0) as producer:
        began, last = time.perf_counter(), None
        while len(times.sent) < len(values):
            due = min(len(values), int((time.perf_counter() - began) * rate) + 1)
            for value in values[len(times.sent) : due]:
                times.sent.append(time.perf_counter())
                last = await producer.send("flow", value, partition=0)
            await asyncio.sleep(TICK_S)
        assert last is not None
        if (await last).offset != len(values) - 1:
            raise RuntimeError("the offsets of the events are not their numbers")


async def receive(reader: Reader, offset_of: Callable[[Any], int | None], times: Times, found: list[float]) -> None:
    """Add the latency of each record that has an offset."""
    warm = 0
    while True:
        for batch in (await reader.client.getmany(timeout_ms=1000)).values():
            now = time.perf_counter()
            offsets = [offset_of(msgspec.json.decode(record.value)) for record in batch]
            warm = warm or next((i for i, at in enumerate(times.sent) if at - times.sent[0] > WARM_S), 0)
            found += [now - times.sent[offset] for offset in offsets if offset is not None and warm and offset >= warm]


async def probe(bootstrap: str, times: Times) -> None:
    """Round trips and transactions of one record, one after the other."""
    async with (
        cluster.producing(bootstrap, linger_ms=0) as plain,
        cluster.producing(bootstrap, linger_ms=0, transactional_id="probe") as careful,
    ):
        while True:
            await _timed(plain.send_and_wait("probe", b"x"), times.round_trips)
            await asyncio.sleep(PROBE_S)
            await _timed(_transaction(careful), times.transactions)
            await asyncio.sleep(PROBE_S)


async def measure(events_per_s: int, seconds: int, commit_ms: int) -> Times:
    """Start everything, let the stream pass, stop."""
    times = Times()
    values = [value for block in cluster.blocks(events_per_s * seconds, SHIFT, events_per_s) for value in block]
    with cluster.broker() as broker, tempfile.TemporaryDirectory() as folder:
        await cluster.create(broker.bootstrap, ["flow", "probe"])
        more = {"params": "params = { delta = 0.002 }", "more": MORE.format(commit_ms)}
        command = cluster.worker(Path(folder), NAME, broker.bootstrap, "flow", **more)
        with Program(command) as program:
            await _through(broker.bootstrap, program, values, events_per_s, times)
    return times


async def _through(bootstrap: str, program: Program, values: list[bytes], rate: int, times: Times) -> None:
    async with AsyncExitStack() as stack:
        alerts, predictions = [
            await stack.enter_async_context(Reader(bootstrap, f"{NAME}.{name}")) for name in ("alerts", "predictions")
        ]
        tasks = [
            asyncio.create_task(receive(alerts, _opened, times, times.alerts)),
            asyncio.create_task(receive(predictions, _offset, times, times.predictions)),
        ]
        sender = asyncio.create_task(stream(bootstrap, values, rate, times))
        tasks.append(asyncio.create_task(_probe_when_warm(bootstrap, times)))
        while not sender.done():
            await asyncio.sleep(0.5)
            program.check()
            for task in tasks:
                if task.done():
                    task.result()
        await sender
        await asyncio.sleep(DRAIN_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _probe_when_warm(bootstrap: str, times: Times) -> None:
    await asyncio.sleep(WARM_S)
    await probe(bootstrap, times)


def _opened(alert: dict[str, Any]) -> int | None:
    data = alert["data"]
    return int(data["offset"]) if data["status"] == "opened" else None


def _offset(prediction: dict[str, Any]) -> int:
    return int(prediction["offset"])


async def _timed(step: Awaitable[Any], found: list[float]) -> None:
    began = time.perf_counter()
    await step
    found.append(time.perf_counter() - began)


async def _transaction(producer: Any) -> None:
    async with producer.transaction():
        await producer.send("probe", b"x")


def figures(times: Times) -> dict[str, dict[str, float]]:
    """Milliseconds: number, median, 95 of 100, largest."""
    found = {}
    for name in ("alerts", "predictions", "round_trips", "transactions"):
        ms = np.array(getattr(times, name)) * 1000
        if not len(ms):
            raise RuntimeError(f"no {name} in the time")
        quantiles = (float(np.quantile(ms, q)) for q in (0.5, 0.95, 1.0))
        found[name] = dict(zip(("count", "median", "p95", "max"), (len(ms), *quantiles), strict=True))
    return found


def report(console: Console, found: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    table = Table()
    for column in ("ms", "count", "median", "95 %", "largest"):
        table.add_column(column, justify="left" if column == "ms" else "right")
    for name, row in found.items():
        values = (f"{row[column]:,.1f}" for column in ("median", "p95", "max"))
        table.add_row(name.replace("_", " "), f"{row['count']:,.0f}", *values)
    console.print(table)


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--rate", default=2000, show_default=True, help="Events a second.")
@click.option("--seconds", default=60, show_default=True)
@click.option("--commit", "commit_ms", default=200, show_default=True, help="The worker's commit interval in ms.")
def main(json_file: Path | None, rate: int, seconds: int, commit_ms: int) -> None:
    """Measure the latency of alerts; exit code 1 if the target is missed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = describe(console)
    console.print(cluster.placing(), style="dim", highlight=False)
    found = figures(asyncio.run(measure(rate, seconds, commit_ms)))
    report(console, found)
    most = commit_ms + ROUND_TRIPS * found["round_trips"]["median"]
    median = found["alerts"]["median"]
    verdict = f"alerts: median {median:.1f} ms, at most {commit_ms} ms + {ROUND_TRIPS} round trips = {most:.1f} ms"
    if json_file:
        kept = {"machine": about, "placing": cluster.placing(), "rate": rate, "commit_ms": commit_ms, "most_ms": most}
        kept |= {"figures": found, "load_after": os.getloadavg()}
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
    console.print(verdict if median <= most else f"MISSED {verdict}")
    sys.exit(median > most)


if __name__ == "__main__":
    main()
