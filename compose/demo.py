"""The flow of compose.yaml without Docker: a broker, two workers, and a year of flights played into it.

    make kafka-demo

Ends with the alerts, read from their topic, and a summary; leaves no process behind, also after Ctrl-C.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from compose.broker import Broker, free_ports, guard, stop_at_signals
from compose.flights import write_flights_on
from stream_app.config import Config, load
from stream_app.edges import kafka
from stream_app.errors import DriftlineError

DRIFTLINE = (sys.executable, "-m", "stream_app.cli")
READY_TIMEOUT_S = 120.0  # the first start compiles kernels
STUCK_S = 60.0  # a lag that has not become less for so long will not
STOP_TIMEOUT_S = 30.0
LOOK_S = 0.5


def main() -> int | str:
    parser = argparse.ArgumentParser(prog="python -m compose.demo", description="A year of flights over Apache Kafka.")
    parser.add_argument("--folder", type=Path, default=Path("demo/kafka"), help="for the flights and the workers' logs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int, help="play only the first so many flights")
    options = parser.parse_args()
    stop_at_signals()
    try:
        with ExitStack() as stack:
            return run(stack, options.folder, options.workers, options.limit)
    except (RuntimeError, DriftlineError) as error:
        return f"the demo ends: {error}"


def run(stack: ExitStack, folder: Path, count: int, limit: int | None) -> int:
    say("starting Apache Kafka (the first time, Maven fetches 43 MB)")
    data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="driftline-")))
    broker = stack.enter_context(Broker(data))
    say(f"Kafka answers at {broker.bootstrap} (process {broker.pid})")
    file = write_flights_on(folder, broker.bootstrap)
    driftline("topics", file)
    ports = free_ports(count)
    logs = [folder / f"worker-{number}.log" for number in range(1, count + 1)]
    for port, log in zip(ports, logs, strict=True):
        stack.enter_context(worker(file, port, log))
    wait_until_ready(ports, logs)
    say(f"{count} workers are ready; playing the flights")
    started = time.monotonic()
    driftline("play", file, *(["--limit", str(limit)] if limit else []))
    records = asyncio.run(wait_for_lag_zero(load(file), logs))
    seconds = time.monotonic() - started
    driftline("alerts", file)
    opened = sum(json.loads(line)["data"]["status"] == "opened" for line in read(file, "alerts"))
    predicted, refused = (sum(1 for _ in read(file, stream)) for stream in ("predictions", "dead-letters"))
    print(
        f"{records['events']:,} events and {records['labels']:,} labels through {count} workers in {seconds:.1f} s: "
        f"{predicted:,} predictions, {refused:,} dead letters, {opened} incidents, lag 0"
    )
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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


@contextlib.contextmanager
def worker(file: Path, port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        command = [*DRIFTLINE, "worker", str(file), "--supervise", "--health", f"127.0.0.1:{port}"]
        with ended(command, stdout=output, stderr=output):
            yield


@contextlib.contextmanager
def ended(command: list[str], **options: int | object) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, so that Ctrl-C is ours; it gets SIGTERM at the end, and if we are killed."""
    process = subprocess.Popen(command, start_new_session=True, **options)  # type: ignore[call-overload]
    watch = guard(process.pid)
    try:
        yield process
    finally:
        watch.kill()
        watch.communicate()
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(ports: list[int], logs: list[Path]) -> None:
    say(f"starting {len(ports)} workers; their logs: {', '.join(map(str, logs))}")
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not all(is_ready(port) for port in ports):
        if time.monotonic() > deadline:
            give_up(f"the workers are not ready after {READY_TIMEOUT_S:g} s", logs)
        time.sleep(LOOK_S)


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):  # not up, or 503
        return False


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


def give_up(problem: str, logs: list[Path]) -> None:
    tails = ["\n".join([f"-- {log}", *log.read_text(errors="replace").splitlines()[-15:]]) for log in logs]
    sys.exit("\n".join([problem, *tails]))


if __name__ == "__main__":
    sys.exit(main())
