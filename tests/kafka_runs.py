"""Monitors on a real broker: their topics, the records in them, worker processes, and how far these have come."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from command import PROCESSES
from runs import CONFIG, KEY, landed, rows, without
from waiting import TIMEOUT_S

from compose.broker import guard
from stream_app.config import Config, load
from stream_app.edges import commits, kafka, topics
from stream_app.models.seal import KEY_VARIABLE

WAIT_MS = 20  # of a request for records where there are none; the next one waits for it

T = TypeVar("T")


def own(name: str) -> str:
    """A name that another process running tests of the same file does not use for its topics."""
    return name + os.environ.get("PYTEST_XDIST_WORKER", "")


def monitor(
    folder: Path, bootstrap: str, name: str, *, partitions: int = 1, text: str = CONFIG, kafka_lines: str = "",
    labels: bool = True,
) -> Path:  # fmt: skip
    """A configuration over topics of its own, with the small monitor's signals; returns its file."""
    folder.mkdir(exist_ok=True, parents=True)
    section = {
        "bootstrap": f'"{bootstrap}"',
        "partitions": str(partitions),
        "labels": str(labels).lower(),
        "max_wait": '"60s"',  # the order of events and labels is that of their time, whatever comes in late
        "snapshot": '"1s"',
        "session": '"6s"',
    }
    lines = "\n".join(f"{key} = {value}" for key, value in section.items() if f"{key} =" not in kafka_lines)
    text = text.replace("SOURCE", 'events = "-"').replace("LABEL_TIME", 'label_time = "ly"')
    text = text.replace('name = "small"', f'name = "{name}"').replace('commit = "0ms"', 'commit = "50ms"')
    file = folder / f"{name}.toml"
    file.write_text(f"{text}\n[kafka]\n{lines}\n{kafka_lines}\n")
    create(load(file))
    return file


def create(config: Config) -> None:
    """All topics of a monitor, as `driftline topics` does it."""
    asyncio.run(topics.ensure(config))


def administered(config: Config, work: Callable[[AIOKafkaAdminClient], Coroutine[Any, Any, T]]) -> T:
    async def all_of_it() -> T:
        async with kafka.admin(config) as client:
            return await work(client)

    return asyncio.run(all_of_it())


# records in


def send(
    config: Config,
    stream: str,
    values: dict[int, Iterable[bytes | None]],
    *,
    sent_ms: int | None = None,
    **options: Any,
) -> None:
    """Appends records to the partitions of a stream, in order; `sent_ms`: as if they had been sent then."""

    async def work() -> None:
        async with producing(config, **options) as producer:
            for partition, records in values.items():
                await append(producer, kafka.topic(config, stream), partition, records, sent_ms)

    asyncio.run(work())


class producing:  # noqa: N801  (used like a function)
    """A producer that keeps the order and repeats nothing, whatever the broker does."""

    def __init__(self, config: Config, **options: Any) -> None:
        defaults = {"enable_idempotence": True, "max_batch_size": 1_000_000, "request_timeout_ms": 60_000}
        self._producer = AIOKafkaProducer(**kafka.connection(config), **(defaults | options))

    async def __aenter__(self) -> AIOKafkaProducer:
        await self._producer.start()
        return self._producer

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()


async def append(
    producer: AIOKafkaProducer, topic: str, partition: int, values: Iterable[bytes | None], sent_ms: int | None = None
) -> None:
    batch, sent = producer.create_batch(), []
    for value in values:
        if batch.append(timestamp=sent_ms, key=None, value=value) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            assert batch.append(timestamp=sent_ms, key=None, value=value) is not None
    if batch.record_count():
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)


def shared(made: list[dict[str, Any]], partitions: int, by: Callable[[dict[str, Any]], int]) -> dict[int, list[bytes]]:
    """Rows as JSON, by partition."""
    found: dict[int, list[bytes]] = {partition: [] for partition in range(partitions)}
    for row in made:
        found[by(row) % partitions].append(json.dumps(row).encode())
    return found


def two_streams(config: Config, made: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Sends events and, in a topic of their own, their later labels; returns how far a worker can take them.

    The last records of a partition are later than all others, so that nothing but the last label has to wait.
    """
    partitions = kafka.cluster(config).partitions
    events, labels = in_topics(made, partitions)
    end_ms = made[-1]["t"] + 10_000
    for partition in range(partitions):
        events[partition].append(b'{"id": "end", "t": %d, "who": "p", "b": 1}' % end_ms)
        labels[partition].append(b'{"id": "none", "y": 0, "ly": %d}' % end_ms)
    send(config, "events", events)
    send(config, "labels", labels)
    return {
        "events": [len(events[p]) for p in range(partitions)],
        "labels": [len(labels[p]) - 1 for p in range(partitions)],
    }


def in_row(config: Config, seed: int, n: int, *, first: int = 0) -> int:
    """Events that hold their labels, for partition 0; their number."""
    made = rows(seed, first + n)[first:]
    send(config, "events", shared(made, 1, lambda _: 0))
    return n


def ends_of(config: Config, stream: str) -> list[int]:
    """Offset behind the last record of each partition."""

    async def work() -> list[int]:
        places = [TopicPartition(kafka.topic(config, stream), p) for p in range(kafka.cluster(config).partitions)]
        async with kafka.consumer(config, fetch_max_wait_ms=WAIT_MS) as client:
            ends = await client.end_offsets(places)
        return [ends[place] for place in places]

    return asyncio.run(work())


def in_topics(made: list[dict[str, Any]], partitions: int) -> tuple[dict[int, list[bytes]], dict[int, list[bytes]]]:
    """Events and their labels, by partition."""
    events, labels = without(made, "y", "ly"), landed(made)
    return shared(events, partitions, _number), shared(labels, partitions, _number)


def _number(row: dict[str, Any]) -> int:
    return int(row["id"][1:])


# worker processes


class Worker:
    """`driftline worker CONFIG` in a process of its own, which is killed if the test leaves it behind.

    The process is forked from one that has the imports behind it. `before` is called in it first.
    """

    def __init__(self, config_file: Path, instance: str = "w0", before: Callable[[], None] | None = None) -> None:
        self.log_file = config_file.with_suffix(f".{instance}.log")
        self.process = PROCESSES.Process(target=work, args=(config_file, instance, self.log_file, before))
        self.process.start()
        self._guard = guard(self.pid)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self._dismiss()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def ended(self, timeout_s: float = TIMEOUT_S) -> int:
        """Its exit code, once it has ended by itself."""
        self.process.join(timeout_s)
        assert self.process.exitcode is not None, f"still runs; its log ends with\n{self.told()}"
        self._dismiss()
        return self.process.exitcode

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def told(self) -> str:
        return "\n".join(self.log_file.read_text().splitlines()[-30:])

    def _dismiss(self) -> None:
        self._guard.kill()
        self._guard.communicate()


def work(config_file: Path, instance: str, log_file: Path, before: Callable[[], None] | None) -> None:
    """The command, in this process."""
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.environ[KEY_VARIABLE] = KEY.decode()
    if before is not None:
        before()
    sys.argv = ["driftline", "worker", str(config_file), "--instance", instance]
    from stream_app.cli import main  # noqa: PLC0415

    main()


def wait_until(true: Callable[[], bool], *workers: Worker, timeout_s: float = TIMEOUT_S) -> None:
    """Polls; fails when one of the workers has ended, or at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not true():
        for worker in workers:
            assert worker.alive, worker.told()
        assert time.monotonic() < deadline, "\n".join(worker.told() for worker in workers)
        time.sleep(0.1)


def finished(file: Path, config: Config, events: int, instance: str = "w0") -> None:
    """Runs a worker until it has taken so many events of partition 0, then stops it."""
    with Worker(file, instance) as worker:
        wait_until(lambda: all_taken(config, {"events": [events]}), worker)
        assert worker.stop() == 0, worker.told()


# how far they have come


def taken(config: Config) -> dict[int, dict[str, int]]:
    """How far each shard's last commit took each input; shards without a commit are left out."""
    return {shard: position for shard, (position, _) in last_commits(config).items()}


def last_commits(config: Config) -> dict[int, tuple[dict[str, int], commits.Commit]]:
    async def work() -> dict[int, tuple[dict[str, int], commits.Commit]]:
        found = {}
        numbers = range(kafka.cluster(config).partitions)
        async with kafka.consumer(config, fetch_max_wait_ms=WAIT_MS) as client:
            client.assign([TopicPartition(kafka.topic(config, "commits"), n) for n in numbers])
            for shard in numbers:
                last = await commits.newest(client, config, shard)
                if last is not None:
                    found[shard] = {stream: span.stop for stream, span in last[1].inputs.items()}, last[1]
        return found

    return asyncio.run(work())


def all_taken(config: Config, ends: dict[str, list[int]]) -> bool:
    """Whether the shards' commits stand at these offsets."""
    found = taken(config)
    return all(
        found.get(shard, {}).get(stream, 0) >= end for stream, of in ends.items() for shard, end in enumerate(of)
    )
