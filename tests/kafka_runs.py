"""Monitors on a real broker: their topics, their worker processes, and what these wrote beside what they should have.

The reference is always the embedded engine over exactly the records that a shard took from its partitions.
"""

import asyncio
import io
import json
import multiprocessing
import os
import pickle
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from runs import CONFIG, KEY, landed, without

from compose.broker import guard
from stream_app.config import Config, Source, digest, load
from stream_app.edges import commits, kafka, snapshots, topics
from stream_app.edges.log import Log
from stream_app.flow.decode import Decoder
from stream_app.messages import Outputs, Tape
from stream_app.pipeline import Pipeline
from stream_app.runners.embedded import Embedded
from stream_app.runners.recovery import Position, decoded, recover, rerun
from stream_app.runners.weaver import Weaver

TIMEOUT_S = 90.0  # of anything that is waited for
OUTPUTS = ("predictions", "outcomes", "metrics", "alerts", "triggers", "features", "dead-letters", "audit", "panes")
TOPICS = ("events", "labels", "control", *OUTPUTS, "commits", "snapshots")
BATCH_BYTES = 900_000  # of what is sent at a time
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["stream_app.runners.faust_worker", "kafka_runs"])

Entry = tuple[str, str, bytes]  # id, key, value


class Shard(NamedTuple):
    """What one shard wrote: by stream, in order (features: the newest by key), and its state, sealed."""

    streams: dict[str, list[Entry]]
    state: bytes


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


# records in


def send(config: Config, stream: str, values: dict[int, Iterable[bytes | None]], **options: Any) -> None:
    """Appends records to the partitions of a stream, in order."""

    async def work() -> None:
        async with producing(config, **options) as producer:
            for partition, records in values.items():
                await append(producer, kafka.topic(config, stream), partition, records)

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


async def append(producer: AIOKafkaProducer, topic: str, partition: int, values: Iterable[bytes | None]) -> None:
    batch, sent = producer.create_batch(), []
    for value in values:
        if batch.append(timestamp=None, key=None, value=value) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            assert batch.append(timestamp=None, key=None, value=value) is not None
    if batch.record_count():
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)


def shared(made: list[dict[str, Any]], partitions: int, by: Callable[[dict[str, Any]], int]) -> dict[int, list[bytes]]:
    """Rows as JSON, by partition."""
    found: dict[int, list[bytes]] = {partition: [] for partition in range(partitions)}
    for row in made:
        found[by(row) % partitions].append(json.dumps(row).encode())
    return found


def two_streams(config: Config, made: list[dict[str, Any]], *, ended: bool = True) -> dict[str, list[int]]:
    """Sends events and, in a topic of their own, their later labels; returns how far a worker can take them.

    The last records of a partition are later than all others, so that nothing but the last label has to wait.
    """
    partitions = kafka.cluster(config).partitions
    events, labels = (shared(part, partitions, _number) for part in (without(made, "y", "ly"), landed(made)))
    if ended:
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


def ends_of(config: Config, stream: str) -> list[int]:
    """Offset behind the last record of each partition."""

    async def work() -> list[int]:
        places = [TopicPartition(kafka.topic(config, stream), p) for p in range(kafka.cluster(config).partitions)]
        async with kafka.consumer(config) as client:
            ends = await client.end_offsets(places)
        return [ends[place] for place in places]

    return asyncio.run(work())


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
    os.environ[snapshots.KEY_VARIABLE] = KEY.decode()
    if before is not None:
        before()
    sys.argv = ["driftline", "worker", str(config_file), "--instance", instance]
    from stream_app.cli import main  # noqa: PLC0415

    main()


# what a test may have a worker do before it starts


def slow() -> None:
    """The pipeline takes 1,000 records a second, in small steps."""
    from stream_app.runners import shard  # noqa: PLC0415

    handle = Pipeline.handle

    def slowed(self: Pipeline, tape: Tape) -> Outputs:
        time.sleep(len(tape.order) / 1000)
        return handle(self, tape)

    Pipeline.handle = slowed  # type: ignore[method-assign]
    shard.FIRST_STEP = 64


def slow_labels() -> None:
    """Labels are only read in one of ten half seconds, so that most come late."""
    from stream_app.runners.member import Member  # noqa: PLC0415

    wants = Member.wants

    def limited(self: Member, place: tuple[str, int]) -> bool:
        open_now = self.streams[place[0]] != "labels" or int(2 * time.monotonic()) % 10 == 0
        return open_now and wants(self, place)

    Member.wants = limited  # type: ignore[method-assign]


def wait_until(true: Callable[[], bool], *workers: Worker, timeout_s: float = TIMEOUT_S) -> None:
    """Polls; fails when one of the workers has ended, or at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not true():
        for worker in workers:
            assert worker.alive, worker.told()
        assert time.monotonic() < deadline, "\n".join(worker.told() for worker in workers)
        time.sleep(0.1)


# what was written


def taken(config: Config) -> dict[int, dict[str, int]]:
    """How far each shard's last commit took each input; shards without a commit are left out."""
    return {shard: position for shard, (position, _) in last_commits(config).items()}


def last_commits(config: Config) -> dict[int, tuple[dict[str, int], commits.Commit]]:
    async def work() -> dict[int, tuple[dict[str, int], commits.Commit]]:
        found = {}
        numbers = range(kafka.cluster(config).partitions)
        async with kafka.consumer(config) as client:
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


def records(config: Config, stream: str, shard: int) -> list[ConsumerRecord]:
    """All committed records of a stream's partition."""

    async def work() -> list[ConsumerRecord]:
        place = TopicPartition(kafka.topic(config, stream), shard)
        async with kafka.consumer(config) as client:
            client.assign([place])
            (begin,) = (await client.beginning_offsets([place])).values()
            (end,) = (await client.end_offsets([place])).values()
            return [r async for batch in kafka.read_between(client, place, begin, end) for r in batch]

    return asyncio.run(work())


def written(config: Config, shard: int) -> Shard:
    """What a shard has committed, and its state as the next owner would recover it."""
    streams = {stream: [_entry(r) for r in records(config, stream, shard)] for stream in OUTPUTS}
    streams["features"] = _newest(streams["features"])
    return Shard(streams, recovered(config, shard)[0])


def _entry(record: ConsumerRecord) -> Entry:
    headers: dict[str, bytes] = dict(record.headers)
    return headers.get("id", b"").decode(), record.key.decode(), record.value


def recovered(config: Config, shard: int) -> tuple[bytes, Position]:
    """The state behind the last commit, from the newest snapshot and what followed."""

    async def work() -> tuple[bytes, Position]:
        pipeline = Pipeline(config, shard)
        async with kafka.consumer(config) as client:
            client.assign(_places(config, shard))
            partitions = kafka.cluster(config).partitions
            position = await recover(client, config, pipeline, shard, partitions, KEY)
        return sealed(config, pipeline), position

    return asyncio.run(work())


def _places(config: Config, shard: int) -> list[TopicPartition]:
    streams = (*kafka.inputs(config), "commits", "snapshots")
    return [TopicPartition(kafka.topic(config, stream), shard) for stream in streams]


def sealed(config: Config, pipeline: Pipeline) -> bytes:
    """The state as bytes that only depend on its values."""
    state = snapshots.encode(pipeline.snapshot(), config_digest=digest(config), key=KEY)
    plain = _without_identity(snapshots.decode(state, config_digest=digest(config), key=KEY))
    return snapshots.encode(plain, config_digest=digest(config), key=KEY)


def _without_identity(tree: Any) -> Any:
    """Pickles written anew without references: which equal objects are the same one is no part of the state."""
    if isinstance(tree, dict):
        return {name: _flat(part) if name == "pickle" else _without_identity(part) for name, part in tree.items()}
    return [_without_identity(part) for part in tree] if isinstance(tree, list) else tree


def _flat(data: bytes) -> bytes:
    written = io.BytesIO()
    pickler = _Flat(written)
    pickler.fast = True
    pickler.dump(pickle.loads(data))  # of this test
    return written.getvalue()


class _Flat(pickle._Pickler):
    """Sorts sets, and leaves out generators: river's trees hold some of no seed, from which nothing is drawn."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, set):
            return set, (sorted(obj, key=repr),)
        return (random.Random, (0,)) if isinstance(obj, random.Random) else NotImplemented


# what should have been written


def embedded(folder: Path, config: Config, shard: int) -> Shard:
    """The embedded engine over a partition's records, as far as the worker took them; they must stand on lines."""
    upto = taken(config).get(shard, dict.fromkeys(kafka.inputs(config), 0))
    given: dict[str, str] = {}
    for stream in kafka.inputs(config)[:-1]:
        values = [record.value for record in records(config, stream, shard) if record.offset < upto[stream]]
        file = folder / f"{config.name}-{shard}-{stream}.jsonl"
        file.write_bytes(b"".join(value + b"\n" for value in values))
        given[stream] = str(file)
    source = Source(events=given["events"], labels=given.get("labels"), format="jsonl")
    return embedded_over(folder, msgspec.structs.replace(config, source=source), shard)


def embedded_over(folder: Path, config: Config, shard: int = 0) -> Shard:
    """The embedded engine over the configuration's files."""
    state = folder / f"{config.name}-{shard}.db"
    state.unlink(missing_ok=True)
    with Log(state, write=True) as log:
        engine = Embedded(config, log, key=KEY, shard=shard)
        engine.run(lambda _: None)
        streams = {stream: [(r.id, r.key, r.value) for r in log.read(stream)] for stream in OUTPUTS}
        for stream in ("predictions", "outcomes"):  # on Kafka these say it in their value
            streams[stream] = [("", key, value) for _, key, value in streams[stream]]
        streams["features"].sort()
        return Shard(streams, sealed(config, engine.pipeline))


def direct(config: Config, shard: int) -> Shard:
    """The pipeline over all records of a partition of the events, whatever their offsets and bytes."""
    rows = decoded(Decoder(config, "events", None), records(config, "events", shard))
    nothing, pipeline = Decoder(config, "labels", None)(0, []), Pipeline(config, shard)
    tape = Weaver(rows, nothing, config.engine.ahead_ms).pull(events_ended=True, labels_ended=True)
    return _shard(config, pipeline, [pipeline.handle(tape)])


def replayed(config: Config, shard: int) -> Shard:
    """What all commits of a shard caused, once more: the records in the order that was recorded."""

    async def work() -> Shard:
        pipeline = Pipeline(config, shard)
        async with kafka.consumer(config) as client:
            client.assign(_places(config, shard))
            found = await commits.newest(client, config, shard)
            assert found is not None
            caused = [out async for _, out in rerun(client, config, pipeline, shard, -1, found[0] + 1)]
        return _shard(config, pipeline, caused)

    return asyncio.run(work())


def _shard(config: Config, pipeline: Pipeline, caused: list[Outputs]) -> Shard:
    streams: dict[str, list[Entry]] = {stream: [] for stream in OUTPUTS}
    for out in caused:
        for message in out.messages:
            streams[message.stream].append((message.id, message.key, message.value))
        for stream, parts in (("predictions", out.predictions), ("outcomes", out.outcomes)):
            for part in parts:
                streams[stream] += [("", key, value) for key, value in zip(part.id, part.values(), strict=True)]
    streams["features"] = _newest(streams["features"])
    return Shard(streams, sealed(config, pipeline))


def _newest(entries: list[Entry]) -> list[Entry]:
    return sorted({entry[1]: entry for entry in entries}.values())


def assert_equal(actual: Shard, expected: Shard) -> None:
    """Nothing lost, repeated or out of order, and the same state."""
    for stream in OUTPUTS:
        found, wanted = actual.streams[stream], expected.streams[stream]
        if found != wanted:
            at = next((i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), -1)
            pair = (found[at], wanted[at]) if at >= 0 else ()
            raise AssertionError(f"{stream}: {len(found)} records, not {len(wanted)}; first difference at {at}: {pair}")
    assert actual.state == expected.state, "the states differ"
