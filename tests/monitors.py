"""A monitor over Kafka without a worker: its configuration, its topics, and outputs as a worker would write them."""

import asyncio
import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from command import CONFIG, DRIFTLINE, ROOT, Done, driftline
from waiting import TIMEOUT_S

from compose.broker import Broker
from stream_app.config import load
from stream_app.edges import kafka, subscriber
from stream_app.edges.subscriber import Received

PARTITIONS = 2

Written = tuple[str, int, str | None, dict[str, Any]]  # stream, partition, key, value


class Monitor:
    """A configuration of its own over a broker, and the outputs that a worker would have written."""

    def __init__(self, folder: Path, name: str, bootstrap: str) -> None:
        self.folder, self.file = folder, folder / "c.toml"
        text = CONFIG.format(events="events.csv", every=32, source="").replace('"small"', f'"{name}"')
        self.file.write_text(f'{text}\n[kafka]\nbootstrap = "{bootstrap}"\nsession = "2s"\n')
        self.config = load(self.file)

    @classmethod
    def over(cls, broker: Broker, folder: Path, request: pytest.FixtureRequest) -> Self:
        """One whose topics no other test has."""
        name = re.sub(r"\W", "", request.node.name.removeprefix("test_"))
        return cls(folder, name[:60], broker.bootstrap)

    def make(self, *streams: str) -> None:
        asyncio.run(self._make(streams))

    async def _make(self, streams: tuple[str, ...]) -> None:
        topics = [NewTopic(kafka.topic(self.config, stream), PARTITIONS, 1) for stream in streams]
        async with kafka.admin(self.config) as admin:
            await admin.create_topics(topics)

    def write(self, *records: Written, commit: bool = True) -> None:
        """One transaction."""
        asyncio.run(self.transaction(records, commit=commit))

    async def transaction(self, records: tuple[Written, ...], *, commit: bool = True) -> None:
        async with self.producer(f"{self.config.name}-test") as producer:
            await producer.begin_transaction()
            for stream, partition, key, value in records:
                topic = kafka.topic(self.config, stream)
                headers = [("id", f"{stream}/{key}".encode())]
                named = key if key is None else key.encode()
                await producer.send(topic, json.dumps(value).encode(), named, partition, headers=headers)
            await producer.flush()
            await (producer.commit_transaction() if commit else producer.abort_transaction())

    def producer(self, name: str) -> AIOKafkaProducer:
        return AIOKafkaProducer(**kafka.connection(self.config), transactional_id=name, transaction_timeout_ms=60_000)

    def call(self, command: str, *args: str) -> Done:
        return driftline(self.folder, command, self.file, *args)

    @contextmanager
    def running(self, command: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command whose output is read while it runs; it does not outlive the block."""
        environment = {"PYTHONPATH": str(ROOT), "HOME": str(self.folder), "PATH": os.environ["PATH"]}
        words = [*DRIFTLINE, command, self.file.name, *args]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(words, cwd=self.folder, env=environment, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()

    def lines(self, command: str, *args: str) -> list[dict[str, Any]]:
        """What a command that ends well prints with --json."""
        done = self.call(command, *args, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def read(self, stream: str, **options: Any) -> list[Received]:
        async def gather() -> list[Received]:
            return [each async for batch in subscriber.records(self.config, stream, **options) for each in batch]

        return asyncio.run(asyncio.wait_for(gather(), TIMEOUT_S))

    def names(self, stream: str = "predictions", **options: Any) -> list[str]:
        """The keys of the records."""
        return [record.key for _, record in self.read(stream, **options)]

    def raw(self, stream: str) -> list[tuple[int, bytes | None, bytes]]:
        """Partition, key and value of all committed records, by partition."""

        async def gather() -> list[tuple[int, bytes | None, bytes]]:
            found = []
            places = await subscriber.partitions(self.config, stream)
            async with kafka.consumer(self.config) as client:
                ends = await client.end_offsets(places)
                client.assign(places)
                for place in places:
                    async for batch in kafka.read_between(client, place, 0, ends[place]):
                        found += [(place.partition, record.key, record.value) for record in batch]
            return found

        return asyncio.run(gather())

    def lag(self, stream: str, group: str) -> int:
        """As tools see it: the end of each partition less the group's offset."""

        async def measured() -> int:
            places = [TopicPartition(kafka.topic(self.config, stream), number) for number in range(PARTITIONS)]
            async with kafka.consumer(self.config, group_id=group) as client:
                ends = await client.end_offsets(places)
                return sum([ends[place] - (await client.committed(place) or 0) for place in places])

        return asyncio.run(measured())


def prediction(name: str, partition: int = 0, time_ms: int = 0) -> Written:
    value = {"id": name, "prediction": "1", "score": 0.5, "model": "v1", "time": time_ms, "offset": int(name[1:])}
    return "predictions", partition, name, value


def alert(incident: str, status: str, partition: int = 0, minute: int = 0) -> Written:
    data = {
        "incident": incident,
        "status": status,
        "severity": "warning",
        "message": "missing:x rose",
        "contributions": [],
    }
    return "alerts", partition, incident, {"time": f"2013-01-01T00:{minute:02}:00.000Z", "data": data}


def letter(stream: str, offset: int, raw: bytes, partition: int = 0) -> Written:
    value = {"stream": stream, "offset": offset, "kind": "schema", "reason": "not JSON", "path": "$"}
    try:
        value["raw"] = raw.decode()
    except UnicodeDecodeError:
        value["raw_base64"] = base64.b64encode(raw).decode()
    return "dead-letters", partition, f"{stream}/{offset}", value


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
