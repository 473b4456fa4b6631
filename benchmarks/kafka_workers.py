"""Two workers beside one on the same topics: events per second of the workers' processors.

One broker, one topic of PARTITIONS partitions of JSON events (an id, 8 numbers, the label in the row) filled
beforehand, and in turn, REPEATS times, one worker and two: `use = "linear"`, an ADWIN on each number and on the error,
predictions out, exactly once. Workers may use all cores, the broker's included. Counted are outputs by the broker's
clock from SETTLE_S after every worker has its shards until the first partition ends, at most SECONDS, and the processor
time of all workers meanwhile. Judged is the median of the turns' ratios of events per processor second, at least 0.9;
exit code 1 if it is missed. The broker's share of the machine is told, and how much faster two are by the clock.

Run: python benchmarks/kafka_workers.py [--json FILE]   (about 3 minutes)
"""

import asyncio
import contextlib
import os
import socket
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import cluster
import msgspec
import numpy as np
from aiohttp import ClientError, ClientSession
from cluster import CORES, Program, Reader
from judged import judged, missed, tell
from kafka import SETTLE_S, START_TIMEOUT_S, Samples
from machine import describe
from rich.console import Console
from rich.table import Table

ASKED = 0.9
PARTITIONS = 4
COUNTS = (1, 2)  # workers
POLL_S = 0.25


@dataclass
class Run:
    """One repeat of one number of workers."""

    rate: float  # events/s by the clock
    per_cpu_s: float  # events per second of the workers' processors
    workers: float  # cores that the workers kept busy
    broker: float


@dataclass(frozen=True)
class Bench:
    """Where both run."""

    bootstrap: str
    broker: int  # process id
    folder: Path
    events: str  # the topic

    async def run(self, workers: int, name: str, seconds: float, cores: list[int] = CORES) -> Run:
        """One repeat."""
        output = f"{name}.predictions"
        stamped = {"message_timestamp_type": "LogAppendTime", "max_message_bytes": str(16 << 20)}
        await cluster.create(self.bootstrap, [output], PARTITIONS, **stamped)
        command = cluster.worker(self.folder, name, self.bootstrap, self.events, partitions=PARTITIONS)
        samples, ports = Samples(), [free_port() for _ in range(workers)]
        async with Reader(self.bootstrap, output, PARTITIONS) as reader, ClientSession() as client:
            with contextlib.ExitStack() as stack:
                started = [[*command, "--instance", f"{name}-{port}", "--health", str(port)] for port in ports]
                programs = [stack.enter_context(Program(each, cores)) for each in started]
                await self.shared(client, programs, ports)
                begin_ms = cluster.now_ms() + SETTLE_S * 1000
                await self.watch(programs, samples, SETTLE_S + seconds)
            return await rated(reader, samples, begin_ms)

    async def shared(self, client: ClientSession, programs: list[Program], ports: list[int]) -> None:
        """Until each worker has its part of the shards; RuntimeError if that takes too long."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while [await running(client, port) for port in ports] != [PARTITIONS // len(ports)] * len(ports):
            await asyncio.sleep(POLL_S)
            for program in programs:
                program.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(ports)} workers have not shared {PARTITIONS} shards in {START_TIMEOUT_S:g} s")

    async def watch(self, programs: list[Program], samples: Samples, seconds: float) -> None:
        """Take samples of the processors for so long."""
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            samples.take([program.process.pid for program in programs], self.broker)
            await asyncio.sleep(POLL_S)
            for program in programs:
                program.check()


async def running(client: ClientSession, port: int) -> int:
    """How many shards a worker has open, 0 while it does not answer."""
    with contextlib.suppress(ClientError, TimeoutError):
        async with client.get(f"http://127.0.0.1:{port}/health") as answer:
            return sum(shard["state"] == "running" for shard in (await answer.json())["shards"])
    return 0


async def rated(reader: Reader, samples: Samples, begin_ms: float) -> Run:
    """The figures from the times of the outputs; RuntimeError if the topic ended before there were any."""
    appended = defaultdict(list)
    async for record in reader.records():
        appended[record.partition].append(record.timestamp)
    stop_ms = min(samples.clock_ms[-1], *(times[-1] for times in appended.values()))
    if len(appended) < PARTITIONS or stop_ms - begin_ms < SETTLE_S * 1000:
        raise RuntimeError("the topic ended before all workers were at work: give more --events")
    counted = sum(int(np.count_nonzero((at > begin_ms) & (at <= stop_ms))) for at in map(np.array, appended.values()))
    seconds = (stop_ms - begin_ms) / 1000
    workers, broker = (samples.busy(used, begin_ms, stop_ms) for used in (samples.worker_s, samples.broker_s))
    return Run(counted / seconds, counted / seconds / workers, workers, broker)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def measure(console: Console, events: int, repeats: int, seconds: float) -> dict[int, list[Run]]:
    """Start the broker, fill the topic, and let one and two work in turn."""
    found: dict[int, list[Run]] = {workers: [] for workers in COUNTS}
    with cluster.broker() as broker, tempfile.TemporaryDirectory() as folder:
        await cluster.create(broker.bootstrap, ["flow"], PARTITIONS)
        await cluster.load(broker.bootstrap, "flow", events, PARTITIONS)
        bench = Bench(broker.bootstrap, broker.pid, Path(folder), "flow")
        for turn in range(repeats):
            for workers in COUNTS if turn % 2 else reversed(COUNTS):
                run = await bench.run(workers, f"turn{turn}.workers{workers}", seconds)
                found[workers].append(run)
                told = f"{run.rate:,.0f}/s, {run.per_cpu_s:,.0f} a second of their processors"
                console.print(f"turn {turn + 1}, workers {workers}: {told}", style="dim", highlight=False)
    return found


def report(console: Console, runs: dict[int, list[Run]]) -> None:
    """Print the table."""
    table = Table()
    for column in ("workers", "events/s", "a second of their processors", "their cores", "broker", "of the machine"):
        table.add_column(column, justify="right")
    for workers, each in runs.items():
        rate, per_cpu_s, cores, broker = (
            statistics.median(getattr(run, name) for run in each) for name in ("rate", "per_cpu_s", "workers", "broker")
        )
        machine = f"{broker / max(1, len(CORES)):.0%}"
        table.add_row(str(workers), f"{rate:,.0f}", f"{per_cpu_s:,.0f}", f"{cores:.2f}", f"{broker:.2f}", machine)
    console.print(table)


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--repeats", default=3, show_default=True, help="Turns.")
@click.option("--events", default=2_000_000, show_default=True, help="In the topic.")
@click.option("--seconds", default=10.0, show_default=True, help="At most so long.")
def main(json_file: Path | None, repeats: int, events: int, seconds: float) -> None:
    """Compare two workers with one; exit code 1 if the target is missed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = describe(console)
    runs = asyncio.run(measure(console, events, repeats, seconds))
    report(console, runs)
    pairs = list(zip(*(runs[workers] for workers in COUNTS), strict=True))
    rows = [judged("two workers / one, per processor second", [b.per_cpu_s / a.per_cpu_s for a, b in pairs], ASKED)]
    faster = statistics.median(b.rate / a.rate for a, b in pairs)
    console.print(f"two workers are {faster:.2f} times as fast as one by the clock", highlight=False)
    if json_file:
        told = {str(workers): [asdict(run) for run in each] for workers, each in runs.items()}
        document = {"machine": about, "events": events, "runs": told, "faster": faster, "cores": len(CORES)}
        document |= {"load_after": os.getloadavg(), "judged": rows, "missed": missed(rows)}
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    tell(console, missed(rows))
    sys.exit(bool(missed(rows)))


if __name__ == "__main__":
    main()
