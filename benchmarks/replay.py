"""The speed of a replay of a finished log beside that of the run that wrote it, disk to disk.

In the log: the embedded engine takes JSON lines of 8 numbers (the stream `quiet` of embedded.py, everything on) into a
new log; that log is replayed, compared byte for byte (`replay`), and replayed by a configuration put beside it, as a
backfill is (`against`). In turn, TURNS times, in one process, by the clock.

In the topics, of PARTITIONS partitions: workers take a topic (as `linear` in kafka.py, exactly once), then `driftline
replay` and `driftline replay --against` go over what they took and wrote. On one core, which the broker does not have:
one worker, and replays in one process. On all cores, which the broker has too: a worker for each of them, and replays
that share the partitions out among as many processes. The workers' rate is that of their outputs by the broker's clock
from SETTLE_S after they have their shards; a replay's is that of its records from SETTLE_S after its first step to its
end. So the start of the processes is counted for none.

All have the same events, model and detectors; a replay reads what was written too, and writes nothing. Judged are the
medians of the ratios within a turn, at least 1.2 times the live speed, in the log and in the topics on all cores; exit
code 1 if one is missed. On one core they are told.

Run: python benchmarks/replay.py [--json FILE]   (7 minutes)
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click
import cluster
import msgspec
from cluster import Program
from embedded import Data, Times, pipeline, quiet
from judged import judged, missed, tell
from kafka_workers import PARTITIONS, Bench
from machine import describe
from rich.console import Console
from rich.table import Table

from stream_app.runners.replay import contrasted, replayed

FASTER = 1.2
TIMEOUT_S = 600.0
LIVE_S = 5.0
TOPICS = ("topics, one core", "topics, all cores")
TOPIC_EVENTS = 2_400_000
Rates = dict[str, list[float]]  # events/s of each turn, by way


def in_log(data: Data, folder: Path, turns: int) -> Rates:
    """A run and both replays, in turn; a turn before warms caches and compiled kernels."""
    config, state, events = data.config("linear"), folder / "live.db", len(data.events)

    def replay() -> None:
        if not asyncio.run(replayed(config, state=state)).identical:
            raise RuntimeError("the replay of a log differs from it")

    ways: dict[str, Callable[[], object]] = {
        "live": lambda: pipeline(data, "linear", state, Times()),
        "replay": replay,
        "against": lambda: asyncio.run(contrasted(config, config, state=state)),
    }
    found: Rates = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn:
                found[name].append(events / (time.perf_counter() - started))
    return found


async def in_topics(events: int, turns: int, console: Console) -> dict[str, Rates]:
    """A worker on one core, then as many as there are cores, each beside both replays on the same cores, in turn."""
    everywhere = len(cluster.CORES) or 1
    found: dict[str, Rates] = {place: {name: [] for name in ("live", "replay", "against")} for place in TOPICS}
    with cluster.broker() as broker, tempfile.TemporaryDirectory() as folder:
        await cluster.create(broker.bootstrap, ["flow"], PARTITIONS)
        await cluster.load(broker.bootstrap, "flow", events, PARTITIONS)
        bench = Bench(broker.bootstrap, broker.pid, Path(folder), "flow")
        for turn in range(turns):
            for place, workers in zip(TOPICS, (1, everywhere), strict=True):
                name, cores = f"turn{turn}.{workers}", cluster.WORKER_CORE if workers == 1 else cluster.CORES
                rates = found[place]
                rates["live"].append((await bench.run(workers, name, LIVE_S, cores)).rate)
                for way in ("replay", "against"):
                    rates[way].append(await rate_of(way, Path(folder, f"{name}.toml"), cores))
                told = ", ".join(f"{way} {each[-1]:,.0f}/s" for way, each in rates.items())
                console.print(f"{place}, turn {turn + 1}: {told}", style="dim", highlight=False)
    return found


async def rate_of(way: str, file: Path, cores: list[int]) -> float:
    """Records a second of a replay; RuntimeError if it did not end well."""
    command = [sys.executable, str(Path(__file__).with_name("paced.py")), way, str(file)]
    with Program(command, cores) as program:
        code = await asyncio.to_thread(program.process.wait, TIMEOUT_S)
        told = program.log_file.read_text(errors="replace").splitlines()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {code}:\n" + "\n".join(told[-20:]))
    return float(told[-1])


def ratios(where: str, rates: Rates) -> Iterator[dict[str, Any]]:
    """Both replays beside the run."""
    for way, name in (("replay", "replay"), ("against", "replay --against")):
        each = [a / b for a, b in zip(rates[way], rates["live"], strict=True)]
        yield judged(f"{name} / live, {where}", each, FASTER)


def report(console: Console, found: dict[str, Rates], told: dict[str, list[dict[str, Any]]]) -> None:
    """Print the tables."""
    table = Table("", "live", "replay", "replay --against")
    for where, rates in found.items():
        table.add_row(where, *(f"{statistics.median(each):,.0f}/s" for each in rates.values()))
    console.print(table)
    for row in chain.from_iterable(told.values()):
        console.print(f"{row['work']}: {row['median']:.2f} ({row['min']:.2f} … {row['max']:.2f})", highlight=False)


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--turns", default=5, show_default=True, help="Of the log; of the topics at most 3.")
@click.option("--events", default=600_000, show_default=True, help="Of the log.")
@click.option("--topic-events", default=TOPIC_EVENTS, show_default=True, help="Of the topics.")
@click.option("--only", type=click.Choice(["log", "topics"]), help="One of the two.")
def main(json_file: Path | None, turns: int, events: int, topic_events: int, only: str | None) -> None:
    """Compare replays with the live run; exit code 1 if the target is missed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = describe(console)
    found: dict[str, Rates] = {}
    if only != "topics":
        with tempfile.TemporaryDirectory() as folder:
            found["log"] = in_log(quiet(Path(), Path(folder), events), Path(folder), turns)
    if only != "log":
        found |= asyncio.run(in_topics(topic_events, min(turns, 3), console))
    told = {where: list(ratios(where, rates)) for where, rates in found.items()}
    rows = [row for where, each in told.items() if where != TOPICS[0] for row in each]
    report(console, found, told)
    if json_file:
        document = {
            "machine": about,
            "events": events,
            "topic_events": topic_events,
            "rates": found,
            "ratios": told,
            "judged": rows,
            "missed": missed(rows),
        }
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    tell(console, missed(rows))
    sys.exit(bool(missed(rows)))


if __name__ == "__main__":
    main()
