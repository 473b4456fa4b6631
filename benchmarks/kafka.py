"""The speed of the Kafka worker beside what a user would write with Faust, Quix Streams and Bytewax.

One broker, one topic of JSON events (an id, 8 numbers, the label in the row) filled beforehand, and in turn, REPEATS
times:

    count       a plain Faust agent that only counts the events
    faust       Faust and river: scaler and logistic regression predict, then learn; an ADWIN on each number and on the
                error; `send` per prediction
    quix        the same in Quix Streams, exactly once
    quix alo    the same in Quix Streams, at least once
    bytewax     the same in Bytewax, which has no exactly once on Kafka; left out, and said so, where it has no wheel
    linear      driftline worker, `use = "linear"`, the same ADWINs, exactly once
    river       driftline worker with the same river pipeline inside, the same ADWINs, exactly once

Each has one core; the broker and this program have the others. All are measured from outside, by the broker's clock:
outputs appended (and committed) from SETTLE_S after the first to the last one, over that time. So the start of the
process is not counted for any. Each reads until the topic ends or for SECONDS after its first output. The first
predictions of all must agree. Judged are the medians of the ratios within a turn: linear / count at least 8, linear /
faust 40, linear / quix 5, river / quix 1.5; exit code 1 if one is missed.

Run: python benchmarks/kafka.py [--json FILE]   (8 minutes; two peers are installed into folders of their own)
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import cluster
import msgspec
import numpy as np
from cluster import Program, Reader
from environment import environment
from judged import judged, missed, tell
from machine import describe
from rich.console import Console
from rich.table import Table

PEERS = Path(__file__).resolve().with_name("speed_peers")
RIVER = "river.preprocessing.StandardScaler | river.linear_model.LogisticRegression"
KEY = "signs the river model's state"
WAYS = ("count", "faust", "quix", "quix alo", "bytewax", "linear", "river")
TARGETS = (("linear", "count", 8.0), ("linear", "faust", 40.0), ("linear", "quix", 5.0), ("river", "quix", 1.5))
COUNTED = 1000  # events that an output of `count` stands for
SETTLE_S = 1.0  # after the first output
POLL_S = 0.25
START_TIMEOUT_S = 120.0  # until the first output
QUIET_S = 5.0  # without an output: the topic has ended
COMPARED = 1000  # first predictions


@dataclass
class Run:
    """One repeat of one way."""

    rate: float  # events/s
    outputs: int
    seconds: float  # that were counted
    worker: float  # share of its core that it was busy
    broker: float

    @property
    def cpu_us(self) -> float:
        """Processor time of the worker for one event: what other processes on the machine disturb least."""
        return self.worker / self.rate * 1e6


@dataclass
class Samples:
    """Processor time used, by the clock of the records."""

    clock_ms: list[float] = field(default_factory=list)
    worker_s: list[float] = field(default_factory=list)
    broker_s: list[float] = field(default_factory=list)

    def take(self, workers: Sequence[int], broker: int) -> None:
        self.clock_ms.append(cluster.now_ms())
        self.worker_s.append(sum(map(cluster.cpu_s, workers)))
        self.broker_s.append(cluster.cpu_s(broker))

    def busy(self, used: list[float], start_ms: float, stop_ms: float) -> float:
        """Share of one core between two moments."""
        a, b = np.interp([start_ms, stop_ms], self.clock_ms, used)
        return float((b - a) / (stop_ms - start_ms) * 1000)


@dataclass(frozen=True)
class Bench:
    """Where all ways run."""

    bootstrap: str
    broker: int  # process id
    folder: Path
    pythons: dict[str, Path]  # of the peers that have an environment of their own
    events: str  # the topic
    partitions: int

    async def command(self, way: str, name: str) -> tuple[list[str], str]:
        """The command of one way and the topic of its output, both fresh."""
        output = f"{name}.predictions"
        settings = {"message_timestamp_type": "LogAppendTime", "max_message_bytes": str(16 << 20)}
        await cluster.create(self.bootstrap, [output], self.partitions, **settings)
        if way in ("linear", "river"):
            use = RIVER if way == "river" else way
            more = {"use": use, "partitions": self.partitions}
            return cluster.worker(self.folder, name, self.bootstrap, self.events, **more), output
        await cluster.create(self.bootstrap, [f"{name}.alerts"])
        given = [self.bootstrap, self.events, output, name]
        library = way.partition(" ")[0]
        if library == "quix":
            given.append("at-least-once" if way == "quix alo" else "exactly-once")
        script = "faust_count.py" if way == "count" else f"{library}_river.py"
        return [str(self.pythons.get(library, sys.executable)), str(PEERS / script), *given], output

    async def run(self, way: str, name: str, seconds: float) -> tuple[Run, dict[str, float]]:
        """One repeat; also the scores of its first predictions."""
        command, output = await self.command(way, name)
        samples = Samples()
        async with Reader(self.bootstrap, output, self.partitions) as reader:
            with Program(command, DRIFTLINE_STATE_KEY=KEY) as program:
                await self.watch(program, reader, samples, seconds)
            weight = COUNTED if way == "count" else 1
            return await rated(reader, samples, weight)

    async def watch(self, program: Program, reader: Reader, samples: Samples, seconds: float) -> None:
        """Until nothing more comes, or the time is over."""
        began, seen, last = 0.0, 0, time.monotonic()
        while not began or time.monotonic() - began < seconds:
            await asyncio.sleep(POLL_S)
            program.check()
            samples.take([program.process.pid], self.broker)
            written, now = await reader.ends(), time.monotonic()
            began = began or (now if written else 0.0)
            if written > seen:
                seen, last = written, now
            elif now - last > (QUIET_S if began else START_TIMEOUT_S):
                break
        if not began:
            raise RuntimeError(f"{program.command} wrote nothing in {START_TIMEOUT_S:g} s")


async def rated(reader: Reader, samples: Samples, weight: int) -> tuple[Run, dict[str, float]]:
    """The rate from the times of the outputs."""
    appended, scores = [], {}
    async for record in reader.records():
        appended.append(record.timestamp)
        if len(scores) < COMPARED and weight == 1:
            value = msgspec.json.decode(record.value)
            scores[value["id"]] = value["score"]
    at = np.sort(np.array(appended))
    start, stop = float(at[np.searchsorted(at, at[0] + SETTLE_S * 1000)]), float(at[-1])
    counted = int(np.count_nonzero(at > start)) * weight
    seconds = (stop - start) / 1000
    worker, broker = (samples.busy(used, start, stop) for used in (samples.worker_s, samples.broker_s))
    return Run(counted / seconds, len(at), seconds, worker, broker), scores


def peers(ways: Sequence[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """The environments that these ways need, and why there is none for some; only Bytewax may have none."""
    pythons, without = {}, {}
    for library in sorted({way.partition(" ")[0] for way in ways} & {"quix", "bytewax"}):
        try:
            pythons[library] = environment(PEERS / f"{library}.txt")
        except subprocess.CalledProcessError as error:
            if library != "bytewax":
                raise
            python = f"{sys.version_info[0]}.{sys.version_info[1]}"
            without[library] = f"does not install for Python {python} here: pip ended with exit code {error.returncode}"
    return pythons, without


def check_agreement(scores: dict[str, dict[str, float]]) -> None:
    """Ways that predict otherwise do other work: stop. River's own first predictions are the measure."""
    ways = [way for way in scores if way != "count"]
    for way in ways:
        mine, theirs = scores[ways[0]], scores[way]
        if mine.keys() != theirs.keys() or not np.allclose(list(mine.values()), [theirs[i] for i in mine], atol=1e-6):
            sys.exit(f"the first predictions of {way} differ from those of {ways[0]}")


async def compare(
    bench: Bench, ways: list[str], repeats: int, seconds: float, console: Console
) -> dict[str, list[Run]]:
    """Run each way, interleaved; a short turn before warms caches and compiled kernels."""
    scores = {way: (await bench.run(way, f"warm.{way.replace(' ', '-')}", 3.0))[1] for way in ways}
    if bench.partitions == 1:  # each of driftline's shards has a model of its own
        check_agreement(scores)
    found: dict[str, list[Run]] = {way: [] for way in ways}
    for turn in range(repeats):
        for way in ways:
            run, _ = await bench.run(way, f"turn{turn}.{way.replace(' ', '-')}", seconds)
            found[way].append(run)
            console.print(f"turn {turn + 1}, {way}: {run.rate:,.0f}/s", style="dim", highlight=False)
    return found


def ratios(runs: dict[str, list[Run]]) -> dict[str, dict[str, Any]]:
    """The turns' ratios as they are judged, and their medians by processor time."""
    found = {}
    for over, under, target in TARGETS:
        if over in runs and under in runs:
            each = [a.rate / b.rate for a, b in zip(runs[over], runs[under], strict=True)]
            cpu = statistics.median(b.cpu_us / a.cpu_us for a, b in zip(runs[over], runs[under], strict=True))
            found[f"{over} / {under}"] = judged(f"{over} / {under}", each, target) | {"cpu_median": cpu}
    return found


def report(console: Console, runs: dict[str, list[Run]], told: dict[str, dict[str, Any]]) -> None:
    """Print the table."""
    table = Table()
    for column in ("", "median", "min … max", "processor", "outputs", "its core busy", "broker busy"):
        table.add_column(column, justify="left" if not column else "right")
    for way, each in runs.items():
        rates = sorted(run.rate for run in each)
        cpu_us, outputs, worker, broker = (
            statistics.median(getattr(run, name) for run in each) for name in ("cpu_us", "outputs", "worker", "broker")
        )
        spread = f"{rates[0]:,.0f} … {rates[-1]:,.0f}"
        figures = f"{cpu_us:.1f} µs", f"{outputs:,.0f}", f"{worker:.0%}", f"{broker:.0%}"
        table.add_row(way, f"{statistics.median(rates):,.0f}/s", spread, *figures)
    for name, ratio in told.items():
        spread = f"{ratio['min']:.2f} … {ratio['max']:.2f}"
        cpu, target = f"{ratio['cpu_median']:.2f}", f"≥ {ratio['asked']:g}"
        table.add_row(name, f"{ratio['median']:.2f}", spread, cpu, target, style="bold")
    console.print(table)


async def measure(
    console: Console, ways: list[str], pythons: dict[str, Path], options: dict[str, Any]
) -> dict[str, list[Run]]:
    """Start the broker, fill the topic, compare."""
    partitions, events = options["partitions"], options["events"]
    with cluster.broker() as broker, tempfile.TemporaryDirectory() as folder:
        await cluster.create(broker.bootstrap, ["flow"], partitions)
        await cluster.load(broker.bootstrap, "flow", events, partitions)
        bench = Bench(broker.bootstrap, broker.pid, Path(folder), pythons, "flow", partitions)
        return await compare(bench, ways, options["repeats"], options["seconds"], console)


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--repeats", default=3, show_default=True, help="Turns.")
@click.option("--events", default=1_000_000, show_default=True, help="In the topic.")
@click.option("--seconds", default=15.0, show_default=True, help="At most so long after the first output.")
@click.option("--partitions", default=1, show_default=True)
@click.option("--only", "ways", multiple=True, type=click.Choice(WAYS), help="Only this way; may be repeated.")
def main(json_file: Path | None, ways: tuple[str, ...], **options: Any) -> None:
    """Compare the worker with Faust, Quix Streams and Bytewax; exit code 1 if a target is missed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = describe(console) | {"faust": version("faust-streaming")}
    console.print(cluster.placing(), style="dim", highlight=False)
    pythons, without = peers(ways or WAYS)
    for library, why in without.items():
        console.print(f"{library} {why}", style="bold", highlight=False)
    runs = asyncio.run(measure(console, [way for way in ways or WAYS if way not in without], pythons, options))
    told = ratios(runs)
    report(console, runs, told)
    problems = missed(list(told.values()))
    if json_file:
        found = {"machine": about, "placing": cluster.placing(), **options, "runs": runs, "without": without}
        found |= {"judged": list(told.values()), "load_after": os.getloadavg(), "missed": problems}
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    if len(told) < len(TARGETS):
        console.print(f"{len(told)} of {len(TARGETS)} targets judged")
    tell(console, problems)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
