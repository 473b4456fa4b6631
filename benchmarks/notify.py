"""What receivers that misbehave take from the stream: the same events with nobody to notify, and with five receivers.

One hangs, one answers 500, one is not there, one sends 10 MB back, one is well; they are a process of their own. The
events (8 numbers that jump every so often, each time an incident: by default every 200,000 events, some seconds at this
speed) are handled in turn with and without them, after a first run of each way that warms kernels and caches. What is
delivered costs processor time, for each alert and receiver: with an incident every 20,000 events it shows. Each turn
gives one ratio of the times of the engine's loop by the clock, and one of the process's processor time, what is
delivered meanwhile included; both medians must be at most SLOWER. The receivers need processor time too: the clock
tells something on a machine with a core to spare only. The logs must be the same. Exit code 1 otherwise.

Run: python benchmarks/notify.py [--events 600000] [--turns 5] [--every 200000] [--json FILE]   (a minute and a half)
"""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np
from machine import describe
from rich.console import Console
from turns import report, slower, write_stream

from stream_app.config import Config, parse
from stream_app.edges.log import Log
from stream_app.runners.embedded import Embedded
from stream_app.runners.notifier import Background

SLOWER = 1.05  # at most
PATIENCE_S = 300.0
FIELDS = [f"x{i}" for i in range(8)]
JUMP = 3.0  # standard deviations
KINDS = ("hangs", "fails", "floods", "well")
FLOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n" + bytes(10 << 20)
SHORT = b"HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def serve(told: Connection) -> None:
    """The receivers; tells their ports, and answers each line with how many requests each has had."""
    counts = dict.fromkeys(KINDS, 0)

    async def answer(kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # a run ended in the middle
            await reader.readuntil(b"\r\n\r\n")
            counts[kind] += 1
            if kind == "hangs":
                await reader.read()  # until the other side has had enough
            else:
                writer.write({"fails": SHORT % 500, "floods": FLOOD, "well": SHORT % 200}[kind])
        writer.close()

    async def work() -> None:
        servers = [await asyncio.start_server(lambda r, w, k=k: answer(k, r, w), "127.0.0.1", 0) for k in KINDS]
        told.send({kind: server.sockets[0].getsockname()[1] for kind, server in zip(KINDS, servers, strict=True)})
        while await asyncio.to_thread(told.recv):
            told.send(counts)

    asyncio.run(work())


def write_events(path: Path, events: int, every: int) -> None:
    rng, number = np.random.default_rng(1), np.arange(events)
    X = rng.normal(size=(events, len(FIELDS))) + JUMP * (number // every % 2)[:, None]
    write_stream(path, X, FIELDS, X[:, 0] + rng.logistic(size=events) > 0)


def config(path: Path, ports: dict[str, int]) -> Config:
    fields = "\n".join(f'{name} = {{ type = "number" }}' for name in FIELDS)
    receivers = "".join(
        f'[[alarms.notify]]\nname = "{kind}"\nwebhook = "http://127.0.0.1:{port}/"\nseverity = "info"\ntimeout = "2s"\n'
        for kind, port in ports.items()
    )
    return parse(
        f"""
        name = "notify"
        source = {{ events = "{path}" }}
        schema.time = "time"
        schema.label = "y"
        [schema.fields]
        {fields}
        [[watch]]
        signal = "feature:*"
        detector = "page_hinkley"
        [alarms]
        cooldown = "500 events"
        {receivers}
        """,
        "benchmark",
        {},
    )


def seconds(tree: Config, state: Path, requests: Callable[[], int] | None) -> tuple[float, float]:
    """By the clock, and of the processor; the first request is waited for where there are any, which is not timed."""
    before = requests() if requests else 0
    with Log(state, write=True) as log, Background(tree, state, grace_s=0.0):
        engine = Embedded(tree, log)
        started, processor = time.perf_counter(), time.process_time()
        engine.run(lambda _: None)
        took = time.perf_counter() - started, time.process_time() - processor
        limit = time.monotonic() + PATIENCE_S
        while requests and requests() == before:
            if time.monotonic() > limit:
                raise TimeoutError(f"no receiver was asked for anything within {PATIENCE_S:.0f} s of the run's end")
            time.sleep(0.05)
    return took


def digest(state: Path) -> tuple[int, dict[str, str]]:
    with Log(state) as log:
        return log.count("alerts"), log.digest()


@click.command()
@click.option("--events", default=600_000)
@click.option("--turns", default=5)
@click.option("--every", default=200_000, help="Events between two incidents.")
@click.option("--json", "figures", type=click.Path(path_type=Path))
def main(events: int, turns: int, every: int, figures: Path | None) -> None:
    """Measure, and exit with 1 if the target is missed."""
    logging.getLogger("driftline").setLevel(logging.CRITICAL)  # that they fail is known
    console = Console(width=120)
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    ports = {**ours.recv(), "away": 1}

    def counts() -> dict[str, int]:
        ours.send("counts")
        return ours.recv()

    def requests() -> int:
        return sum(counts().values())

    found: dict[str, Any] = {"machine": describe(console), "events": events, "alone": [], "told": [], "missed": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.csv")
        write_events(path, events, every)
        ways = {"alone": config(path, {}), "told": config(path, ports)}
        for turn in range(turns + 1):
            for name in ("alone", "told") if turn % 2 else ("told", "alone"):
                waited = requests if name == "told" else None
                found[name].append(seconds(ways[name], Path(folder, f"{name}{turn}.db"), waited))
        logs = [digest(Path(folder, f"{name}{turns}.db")) for name in ways]
    found["requests"] = counts()
    server.terminate()
    pairs = list(zip(found["told"][1:], found["alone"][1:], strict=True))
    for at, measure in enumerate(("clock", "processor")):
        ratios = [told[at] / alone[at] for told, alone in pairs]
        found[measure], missed = slower(console, measure, ratios, SLOWER, "with five receivers")
        found["missed"] += missed
    found |= {"alerts": logs[0][0]}
    found["missed"] += [] if logs[0] == logs[1] else ["the logs differ"]
    console.print(f"{events:,} events, {found['alerts']:,} alerts; requests over all runs: {found['requests']}")
    failed = report(console, found, figures)
    sys.stdout.flush()
    os._exit(failed)  # threads of deliveries that were cut off are not waited for


if __name__ == "__main__":
    main()
