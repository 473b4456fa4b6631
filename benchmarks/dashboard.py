"""What a dashboard takes from the stream, and how quickly it reads a long log.

The stream: the same events (8 numbers, labels, a detector on each) run in turn without a dashboard, beside one with one
open page, and beside one with PAGES open pages of which every tenth does not read; pages are a process of their own.
Each turn gives ratios of the times of the engine's loop, by the clock and of the processor; medians must be at most
ONE and MANY. The clock tells something on a machine with cores to spare for dashboard and pages only; where there are
fewer than four, the processor's is judged. The dashboard's memory may grow by PAGE_KB for each page.

The log: metrics of as many signals and as many lines as asked for are written. Reading them for the first time gives
records per second. Opened again, from the cache, it must take at most CACHED of that; documents of the whole log must
take at most LONGER times what those of a tenth of it take. Exit code 1 if a target is missed.

Run: python benchmarks/dashboard.py [--events 600000] [--turns 5] [--pages 200] [--lines 40000] [--json FILE]
"""

import asyncio
import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from machine import describe
from rich.console import Console
from turns import report, slower, write_stream

from stream_app.board.asked import Asked
from stream_app.board.views import VIEWS, document
from stream_app.config import Config, load
from stream_app.edges.log import Log
from stream_app.edges.log_feed import LogFeed, beside
from stream_app.messages import Message, Outputs
from stream_app.runners.dashboard import Beside
from stream_app.runners.embedded import Embedded

ONE, MANY = 1.05, 1.10  # times as long, at most
PAGE_KB = 256
CACHED, LONGER = 0.2, 2.0
CORES = 4  # for engine, dashboard, pages and whatever else there is
STALLED = 10  # every so manieth page does not read
PATIENCE_S = 300.0
FIELDS = [f"x{i}" for i in range(8)]
WAYS = ("none", "one", "many")
LIVE = b"GET /api/live?view=/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PAGE = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def pages(told: Connection) -> None:
    """Opens pages when told (port, number), closes them when told None; answers how many documents were read."""

    async def page(port: int, number: int, counts: list[int]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        writer.write(LIVE)
        try:
            while number % STALLED or not number:
                line = await reader.readline()
                if line.startswith(b"data: "):
                    counts[number] += 1
                    await again(port)
                if not line:
                    return
            await asyncio.Event().wait()
        finally:
            writer.close()

    async def again(port: int) -> None:
        """A page that is told a new document fetches itself."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        writer.write(PAGE)
        await reader.read()
        writer.close()

    async def show(port: int, many: int) -> list[int]:
        counts = [0] * many
        open_pages = [asyncio.ensure_future(page(port, number, counts)) for number in range(many)]
        await asyncio.to_thread(told.recv)
        for each in open_pages:
            each.cancel()
        await asyncio.gather(*open_pages, return_exceptions=True)
        return counts

    while (asked := told.recv()) is not None:
        told.send(asyncio.run(show(*asked)))


def write_events(path: Path, events: int) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(events, len(FIELDS)))
    write_stream(path, X, FIELDS, X[:, 0] + rng.logistic(size=events) > 0)


def write_config(folder: Path) -> Path:
    fields = "\n".join(f'{name} = {{ type = "number" }}' for name in FIELDS)
    text = f"""
        name = "shown"
        source = {{ events = "events.csv" }}
        schema.time = "time"
        schema.label = "y"
        [schema.fields]
        {fields}
        [[watch]]
        signal = "feature:*"
        detector = "page_hinkley"
        """
    file = folder / "shown.toml"
    file.write_text(text)
    return file


class Run:
    """One run: its times, what its pages were sent, and how much memory the dashboard took."""

    def __init__(self, file: Path, state: Path, many: int, clients: Connection) -> None:
        self.sent: list[int] = []
        self.peak_kb = 0
        with contextlib.ExitStack() as stack:
            if many:
                stack.enter_context(self._shown(file, state, many, clients))
            with Log(state, write=True) as log:
                engine = Embedded(load(file), log)
                started, processor = time.perf_counter(), time.process_time()
                engine.run(lambda _: None)
                self.clock, self.processor = time.perf_counter() - started, time.process_time() - processor

    @contextlib.contextmanager
    def _shown(self, file: Path, state: Path, many: int, clients: Connection) -> Iterator[None]:
        found, there = [], threading.Event()

        def say(address: str) -> None:
            found.append(address)
            there.set()

        with Beside(file, state, "0", say) as child:
            if not there.wait(PATIENCE_S):
                raise TimeoutError(f"no dashboard within {PATIENCE_S:.0f} s")
            clients.send((int(found[0].rstrip("/").rpartition(":")[2]), many))
            yield
            self.peak_kb = peak_kb(child.pid)
            clients.send("enough")
            self.sent = clients.recv()


def peak_kb(pid: int) -> int:
    """The most memory that a process has had; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1])
    return 0


def compare(console: Console, folder: Path, events: int, turns: int, many: int) -> dict[str, Any]:
    """All ways in turn, after a first run of each."""
    write_events(folder / "events.csv", events)
    file, counts = write_config(folder), {"none": 0, "one": 1, "many": many}
    ours, theirs = multiprocessing.Pipe()
    clients = multiprocessing.get_context("spawn").Process(target=pages, args=(theirs,), daemon=True)
    clients.start()
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    for turn in range(turns + 1):
        for way in WAYS if turn % 2 else WAYS[::-1]:
            runs[way].append(Run(file, folder / f"{way}{turn}.db", counts[way], ours))
    ours.send(None)
    clients.join()
    found: dict[str, Any] = {"missed": []}
    judged = "clock" if (os.cpu_count() or 1) >= CORES else "processor"
    for way, most in (("one", ONE), ("many", MANY)):
        for measure in ("clock", "processor"):
            pairs = zip(runs[way][1:], runs["none"][1:], strict=True)
            ratios = [getattr(with_pages, measure) / getattr(alone, measure) for with_pages, alone in pairs]
            name, said = f"{way} {measure}", "beside a dashboard"
            found[name], missed = slower(console, name, ratios, most, said)
            found["missed"] += missed if measure == judged else []
    return found | judge_pages(console, runs, many, found["missed"])


def judge_pages(console: Console, runs: dict[str, list[Run]], many: int, missed: list[str]) -> dict[str, Any]:
    """Whether each page was kept up to date, and what it cost in memory."""
    sent = [statistics.median(number for i, number in enumerate(run.sent) if i % STALLED) for run in runs["many"]]
    one, lot = (max(run.peak_kb for run in runs[way]) for way in ("one", "many"))
    each_kb = (lot - one) / max(1, many - 1)
    console.print(f"{many} pages: {sent} documents a page, {each_kb:.0f} KB of memory a page (one page: {one:,} KB)")
    if each_kb > PAGE_KB:
        missed.append(f"{each_kb:.0f} KB of memory for each page; at most {PAGE_KB}")
    if min(sent) < 1:
        missed.append("pages were sent nothing")
    return {"sent": sent, "page_kb": each_kb, "peak_kb": lot}


# a long log


def write_log(state: Path, lines: int, first: int = 0) -> None:
    """Lines of the metrics grid, as the engine writes them."""
    rng = np.random.default_rng(2)
    with Log(state, write=True) as log:
        for start in range(first, lines, 1000):
            out = Outputs()
            for line in range(start, min(start + 1000, lines)):
                head = {"record": 4096 * (line + 1), "time": 1_700_000_000_000 + 819 * line}
                out.messages += [message(key, value | head) for key, value in metrics(line, rng)]
            log.commit(out, {}, b"", b"", {})


def message(key: str, value: dict[str, Any]) -> Message:
    name = f"shown/metrics/0/{key}/{value['record']}"
    return Message("metrics", name, key, value["time"], msgspec.json.encode({"signal": key} | value))


def metrics(line: int, rng: np.random.Generator) -> Iterator[tuple[str, dict[str, Any]]]:
    records = 4096 * (line + 1)
    counts = {"records": records, "events": records, "labels": records - 99, "expired": 0, "rejected": line}
    yield "stream", counts
    names = ("accuracy", "kappa", "precision", "recall", "f1", "log_loss", "roc_auc")
    for model in ("champion", "no-change", "majority"):
        rolling = dict(zip(names, rng.random(len(names)).tolist(), strict=True))
        told = {"labels": records - 99, "rolling": rolling, "since_start": rolling, "failures": 0, "last_failure": ""}
        yield f"performance:{model}", told
    yield "labels", {"delay_median_s": 1.0, "delay_p95_s": 2.0, "coverage": 1.0, "pending": 99}
    for field in FIELDS:
        told = {"segment": "", "detector": "page_hinkley", "statistic": float(rng.random()), "threshold": 20.0}
        yield f"detector:feature:{field}/page_hinkley", told | {"n": records, "missing": 0, "estimate": 0.1}


def read(config: Config, state: Path) -> tuple[int, float, float]:
    """Records read, seconds for them, and milliseconds for a document of each view, all together."""

    async def work() -> tuple[int, float, float]:
        feed, count = LogFeed(config, state), 0
        started = time.process_time()
        while found := await feed.take():
            count += found
        took = time.process_time() - started
        feed.save()
        started = time.process_time()
        for view in VIEWS:
            msgspec.json.encode(document(feed.board, view, Asked(signal="feature:x0", id="x")))
        documents_ms = 1000 * (time.process_time() - started)
        await feed.close()
        return count, took, documents_ms

    return asyncio.run(work())


def long_log(console: Console, folder: Path, lines: int) -> dict[str, Any]:
    """A tenth of the lines, then all of them."""
    config, state, missed = load(write_config(folder)), folder / "long.db", []
    write_log(state, lines // 10)
    _, _, short_ms = read(config, state)
    beside(state).unlink()
    write_log(state, lines, lines // 10)
    count, took, documents_ms = read(config, state)
    _, again, _ = read(config, state)
    console.print(
        f"{count:,} metrics: {count / took:,.0f} records/s of processor time; again from the cache"
        f" ({beside(state).stat().st_size:,} bytes): {again:.3f} s in place of {took:.1f} s;"
        f" all {len(VIEWS)} documents: {documents_ms:.1f} ms, of a tenth of the log {short_ms:.1f} ms"
    )
    if again > CACHED * took:
        missed.append(f"from the cache: {again / took:.2f} of the time; at most {CACHED}")
    if documents_ms > LONGER * short_ms:
        missed.append(f"documents: {documents_ms / short_ms:.2f} times as long; at most {LONGER}")
    figures = {"records": count, "per_s": count / took, "again_s": again, "documents_ms": documents_ms}
    return {"log": figures, "missed": missed}


@click.command()
@click.option("--events", default=600_000)
@click.option("--turns", default=5)
@click.option("--pages", "many", default=200)
@click.option("--lines", default=40_000, help="Lines of the metrics grid in the long log.")
@click.option("--json", "figures", type=click.Path(path_type=Path))
def main(events: int, turns: int, many: int, lines: int, figures: Path | None) -> None:
    """Measure, and exit with 1 if a target is missed."""
    console = Console(width=120)
    found: dict[str, Any] = {"machine": describe(console), "events": events}
    with tempfile.TemporaryDirectory() as folder:
        stream, log = compare(console, Path(folder), events, turns, many), long_log(console, Path(folder), lines)
    found |= stream | log | {"missed": stream["missed"] + log["missed"]}
    sys.exit(report(console, found, figures))


if __name__ == "__main__":
    main()
