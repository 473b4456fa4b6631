"""The flow of compose.yaml without Docker: a broker, two workers, the dashboard, and a year of flights played in.

    make kafka-demo

Prometheus and Alertmanager too, where they are installed. Ends with the alerts, read from their topic, and a summary;
on a terminal it stays until Ctrl-C, so that one can look around. Leaves no process behind, also after Ctrl-C.
"""

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from compose import monitoring
from compose.broker import Broker, free_ports, stop_at_signals
from compose.flights import write_flights_on
from compose.processes import DRIFTLINE, LOOK_S, answer, answers, ended, give_up, logged, say, wait_until
from stream_app.config import Config, load
from stream_app.edges import kafka
from stream_app.errors import DriftlineError

STUCK_S = 60.0  # a lag that has not become less for so long will not
TOKEN_VARIABLE = "DRIFTLINE_DASHBOARD_TOKEN"  # noqa: S105  (its name)


class Asked(NamedTuple):
    """The options of the command."""

    folder: Path
    workers: int
    limit: int | None
    stay: bool


class Page(NamedTuple):
    """Where the dashboard is, and what it asks for."""

    address: str
    token: str


def main() -> int | str:
    parser = argparse.ArgumentParser(prog="python -m compose.demo", description="A year of flights over Apache Kafka.")
    parser.add_argument("--folder", type=Path, default=Path("demo/kafka"), help="for the flights and the logs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int, help="play only the first so many flights")
    parser.add_argument("--stay", action="store_true", help="go on after the end until Ctrl-C, as on a terminal")
    options = parser.parse_args()
    stop_at_signals()
    stay = options.stay or (sys.stdin.isatty() and sys.stdout.isatty())
    try:
        with ExitStack() as stack:
            return run(stack, Asked(options.folder, options.workers, options.limit, stay))
    except (RuntimeError, DriftlineError) as error:
        return f"the demo ends: {error}"


def run(stack: ExitStack, asked: Asked) -> int:
    say("starting Apache Kafka (the first time, Maven fetches 43 MB)")
    data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="driftline-")))
    broker = stack.enter_context(Broker(data / "kafka"))
    say(f"Kafka answers at {broker.bootstrap} (process {broker.pid})")
    asked.folder.mkdir(parents=True, exist_ok=True)
    told = alertmanager(stack, asked.folder, data)
    file = write_flights_on(asked.folder, broker.bootstrap, told)
    driftline("topics", file)
    ports, logs = workers(stack, file, asked)
    figures = prometheus(stack, asked.folder, data, ports, told)
    page = dashboard(stack, file, asked.folder / "dashboard.log")
    say(f"{asked.workers} workers are ready; playing the flights")
    predicted, opened = report(file, asked, logs)
    check_shown(page, load(file), opened, asked.folder / "dashboard.log")
    if figures:
        check_scraped(figures, predicted, asked.folder / "prometheus.log")
    if asked.stay:
        say("all of it stays until Ctrl-C")
        while True:
            time.sleep(LOOK_S)
    return 0


def alertmanager(stack: ExitStack, folder: Path, data: Path) -> str | None:
    program = monitoring.installed(monitoring.ALERTMANAGER)
    if program is None:
        say("no Alertmanager here: install prometheus-alertmanager (name in Debian) to see it told of incidents")
        return None
    (port,) = free_ports(1)
    address = stack.enter_context(
        monitoring.alertmanager(program, port, data / "alertmanager", folder / "alertmanager.log")
    )
    say(f"Alertmanager: {address}")
    return address


def workers(stack: ExitStack, file: Path, asked: Asked) -> tuple[list[int], list[Path]]:
    ports = free_ports(asked.workers)
    logs = [asked.folder / f"worker-{number}.log" for number in range(1, asked.workers + 1)]
    for port, log in zip(ports, logs, strict=True):
        command = [*DRIFTLINE, "worker", str(file), "--supervise", "--health", f"127.0.0.1:{port}"]
        stack.enter_context(logged(command, log))
    say(f"starting {len(ports)} workers; their logs: {', '.join(map(str, logs))}")
    ready = [f"http://127.0.0.1:{port}/ready" for port in ports]
    wait_until(lambda: all(map(answers, ready)), "the workers are not ready", logs)
    return ports, logs


def prometheus(stack: ExitStack, folder: Path, data: Path, ports: list[int], told: str | None) -> str | None:
    program = monitoring.installed(monitoring.PROMETHEUS)
    if program is None:
        say("no Prometheus here: install prometheus (name in Debian) to see the workers' figures collected")
        return None
    (port,) = free_ports(1)
    targets = {
        "worker": [f"127.0.0.1:{port}" for port in ports],
        "localhost": [f"127.0.0.1:{port}"],  # Prometheus itself
        "alertmanager": [told.removeprefix("http://")] if told else [],
    }
    address = stack.enter_context(
        monitoring.prometheus(program, port, data / "prometheus", folder / "prometheus.log", targets)
    )
    say(f"Prometheus: {address}")
    return address


def dashboard(stack: ExitStack, file: Path, log: Path) -> Page:
    """The page, with a token as in the Compose file: the address that is printed holds it."""
    (port,) = free_ports(1)
    token = secrets.token_hex(16)
    command = [*DRIFTLINE, "dashboard", str(file), "--listen", f"127.0.0.1:{port}"]
    stack.enter_context(logged(command, log, env=os.environ | {TOKEN_VARIABLE: token}))
    address = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(f"{address}/healthz"), "the dashboard does not answer", [log])
    say(f"dashboard: {address}/?token={token}")
    return Page(address, token)


def report(file: Path, asked: Asked, logs: list[Path]) -> tuple[int, int]:
    """Plays the flights, waits until all are handled, says what became of them; counts predictions and incidents."""
    started = time.monotonic()
    driftline("play", file, *(["--limit", str(asked.limit)] if asked.limit else []))
    records = asyncio.run(wait_for_lag_zero(load(file), logs))
    seconds = time.monotonic() - started
    driftline("alerts", file)
    opened = sum(json.loads(line)["data"]["status"] == "opened" for line in read(file, "alerts"))
    predicted, refused = (sum(1 for _ in read(file, stream)) for stream in ("predictions", "dead-letters"))
    print(
        f"{records['events']:,} events and {records['labels']:,} labels through {asked.workers} workers"
        f" in {seconds:.1f} s: {predicted:,} predictions, {refused:,} dead letters, {opened} incidents, lag 0"
    )
    return predicted, opened


def check_shown(page: Page, config: Config, opened: int, log: Path) -> None:
    """The dashboard shows every shard, and as many incidents as were opened, once it has read on."""
    shards = kafka.cluster(config).partitions

    def is_shown() -> bool:
        document = answer(f"{page.address}/api/incidents", page.token)
        return (len(document["shards"]), document["total"]) == (shards, opened)

    wait_until(is_shown, f"the dashboard does not show {shards} shards and {opened} incidents", [log])
    print(f"the dashboard shows {shards} shards and the same {opened} incidents")


def check_scraped(address: str, events: int, log: Path) -> None:
    """Prometheus counts as many events as there are predictions, once it has scraped the last commit."""
    wait_until(
        lambda: monitoring.seen(address, "sum(driftline_events_total)") == events,
        f"Prometheus has not counted {events:,} events", [log],
    )  # fmt: skip
    up = monitoring.seen(address, "count(up==1)")
    print(f"Prometheus has scraped {up or 0:.0f} targets and counted the same {events:,} events")


def driftline(command: str, file: Path, *options: str) -> None:
    """One command to its end, on this terminal; its exit code is ours if it fails."""
    with ended([*DRIFTLINE, command, str(file), *options]) as process:
        code = process.wait()
    if code != 0:
        say(f"driftline {command} ended with exit code {code}")
        sys.exit(code)


def read(file: Path, stream: str) -> Iterator[str]:
    """The values of an output stream, as JSON."""
    with ended([*DRIFTLINE, stream, str(file), "--json"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield from (line.decode() for line in process.stdout)
        if process.wait() != 0:
            sys.exit(process.returncode)


async def wait_for_lag_zero(config: Config, logs: list[Path]) -> dict[str, int]:
    """Waits until the group has committed all of the inputs; how many records each holds."""
    async with kafka.consumer(config) as consumer, kafka.admin(config) as admin:
        best, since = await lag(config, consumer, admin), time.monotonic()
        while best > 0:
            say(f"lag {best:,}")
            await asyncio.sleep(LOOK_S)
            now = await lag(config, consumer, admin)
            if now < best:
                best, since = now, time.monotonic()
            elif time.monotonic() - since > STUCK_S:
                give_up(f"the lag has been {now:,} for {STUCK_S:g} s", logs)
        return {
            stream: sum((await consumer.end_offsets(await places(config, stream, admin))).values())
            for stream in ("events", "labels")
        }


async def lag(config: Config, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> int:
    """Records of the inputs that are behind the group's offsets, as every lag tool counts them."""
    inputs = [place for stream in kafka.inputs(config) for place in await places(config, stream, admin)]
    ends = await consumer.end_offsets(inputs)
    committed = await admin.list_consumer_group_offsets(config.name)
    return sum(end - max(committed[place].offset if place in committed else 0, 0) for place, end in ends.items())


async def places(config: Config, stream: str, admin: AIOKafkaAdminClient) -> list[TopicPartition]:
    name = kafka.topic(config, stream)
    (topic,) = await admin.describe_topics([name])
    return [TopicPartition(name, each["partition"]) for each in topic["partitions"]]


if __name__ == "__main__":
    sys.exit(main())
