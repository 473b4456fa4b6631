"""What a monitor took and wrote, to be gone through once more: in its topics, or in the log of the embedded engine.

Both tell their shards, run a pipeline over the records of one in the order in which the live one took them, and hand
out what a stream holds. What comes in while they are read is not looked at. Nothing is written.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import structs

from stream_app.config import Config
from stream_app.edges import blocks, commits, kafka
from stream_app.edges.log import Log, Saved
from stream_app.edges.written import Batch, InLog, InTopic, item
from stream_app.errors import BrokerError, ConfigError, ForeignStateError, StateError, TopicError
from stream_app.flow.clock import NOW, START, clock_states, state_of
from stream_app.flow.decode import Decoder
from stream_app.messages import CONTROL, EVENT, LABEL, OUTPUTS, Outputs, Rows, Tape, join_rows
from stream_app.pipeline import Pipeline
from stream_app.runners.embedded import Input
from stream_app.runners.recovery import SLICE, rerun

QUIET_S = 30.0  # within this time a shard must once be between two commits
EMPTY_WAIT_MS = 20  # that a fetch may wait at the end of one topic while others have records
BATCH = 1000  # records of the log handed out together, one by one


class Step(NamedTuple):
    """Records of a shard that were taken one after the other: of some commits, or a part of a large one."""

    first: int  # records before them
    records: int  # and up to their end
    events: int  # offset of the event that comes next behind their commits, of the log behind them
    time_ms: int  # stream time there


class Bound(NamedTuple):
    """A place in a shard: the first commit that reaches an offset of its events, or a stream time."""

    offset: int | None = None
    time_ms: int | None = None

    def reached(self, events: int, time_ms: int) -> bool:
        return events > self.offset if self.offset is not None else time_ms >= (self.time_ms or 0)


class Bounds(NamedTuple):
    """From the commit at `start` on, until before the one at `stop`."""

    start: Bound | None = None
    stop: Bound | None = None

    def part(self, events: int, time_ms: int) -> tuple[bool, bool]:
        """Whether a commit has reached start and stop."""
        return (
            self.start is None or self.start.reached(events, time_ms),
            self.stop is not None and self.stop.reached(events, time_ms),
        )


class History(Protocol):
    """One monitor's past."""

    records: dict[int, int]  # that were taken, by shard
    digests: set[str]  # of the configurations that wrote it

    def reruns(
        self, pipeline: Pipeline, shard: int, bounds: Bounds, *, fresh: bool
    ) -> AsyncGenerator[tuple[Step, Outputs]]:
        """Each step and what it causes; `fresh`: the pipeline begins at the start of the bounds, else at the first."""

    def written(self, shard: int, stream: str) -> AsyncGenerator[Batch]:
        """What a stream holds, in order."""

    def beheaded(self, shard: int, stream: str) -> bool:
        """Whether the oldest records of a stream were deleted."""

    def ended(self) -> bool:
        """Whether its streams still end where its commits did."""


@contextlib.asynccontextmanager
async def opened(config: Config, state: Path | None) -> AsyncIterator[History]:
    """The history in the topics, or in the log `state`. TopicError, BrokerError, StateError where there is none."""
    if state is not None:
        with Log(state) as log:
            yield LogHistory(config, log)
    else:
        history = TopicHistory(config)
        await history.survey()
        yield history


class TopicHistory:
    """The topics of a configuration, as they stand between two commits."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.records: dict[int, int] = {}
        self.digests: set[str] = set()
        self._begins: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    async def survey(self) -> None:
        """Finds out where everything ends, and who wrote it."""
        shards = await self._partitions()
        streams = (*kafka.inputs(self.config), *OUTPUTS, "commits")
        places = [self._place(stream, shard) for stream in streams for shard in shards]
        async with (
            _looking(self.config, places) as client,
            _looking(self.config, places, isolation_level="read_uncommitted") as raw,
        ):
            self._begins = await client.beginning_offsets(places)
            for shard in shards:
                await self._cut(client, raw, shard)
                client.resume(self._place("commits", shard))
                found = await commits.newest(client, self.config, shard)
                client.pause(self._place("commits", shard))
                self.records[shard] = found[1].records if found else 0
                self.digests |= {found[1].config} if found else set()

    async def _partitions(self) -> list[int]:
        topics = await kafka.partitions(self.config)
        names = [kafka.topic(self.config, s) for s in (*kafka.inputs(self.config), *OUTPUTS, "commits")]
        for name in names:
            if name not in topics:
                where = kafka.cluster(self.config).bootstrap
                raise TopicError(f"no topic {name} at {where}: there is nothing to replay under this configuration")
        return topics[kafka.topic(self.config, "commits")]

    async def _cut(self, client: AIOKafkaConsumer, raw: AIOKafkaConsumer, shard: int) -> None:
        """Ends of a shard's outputs and commits that belong together: taken while no transaction was open."""
        places = [self._place(stream, shard) for stream in (*OUTPUTS, "commits")]
        deadline = time.monotonic() + QUIET_S
        while (committed := await client.end_offsets(places)) != await raw.end_offsets(places):
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"shard {shard} of {self.config.name} has been written to without a pause for {QUIET_S:g} s: stop "
                    "its worker, or try again when it has caught up"
                )
        self._ends |= committed

    def _place(self, stream: str, shard: int) -> TopicPartition:
        return TopicPartition(kafka.topic(self.config, stream), shard)

    async def reruns(
        self, pipeline: Pipeline, shard: int, bounds: Bounds, *, fresh: bool
    ) -> AsyncGenerator[tuple[Step, Outputs]]:
        def part(commit: commits.Commit) -> tuple[bool, bool]:
            return bounds.part(commit.inputs["events"].stop, commit.time_ms)

        stop = self._ends[self._place("commits", shard)]
        inputs = [self._place(stream, shard) for stream in kafka.inputs(self.config)]
        columns = [place.topic for place in inputs]
        async with kafka.consumer(self.config, columns=columns, fetch_max_wait_ms=EMPTY_WAIT_MS) as client:
            client.assign([*inputs, self._place("commits", shard)])
            after = await self._before(client, shard, bounds, stop) if fresh else -1
            reruns = rerun(client, self.config, pipeline, shard, after, stop, part)
            async with contextlib.aclosing(reruns):
                async for commit, first, records, out in reruns:
                    yield Step(first, records, commit.inputs["events"].stop, commit.time_ms), out

    async def _before(self, client: AIOKafkaConsumer, shard: int, bounds: Bounds, stop: int) -> int:
        """The offset before the first commit from the start on whose records are all still there."""
        async for offset, commit in commits.after(client, self.config, shard, -1, stop):
            inputs = commit.inputs.items()
            there = all(span.start >= self._begins[self._place(stream, shard)] for stream, span in inputs)
            if there and bounds.part(commit.inputs["events"].stop, commit.time_ms)[0]:
                return offset - 1
        return stop - 1

    async def written(self, shard: int, stream: str) -> AsyncGenerator[Batch]:
        place = self._place(stream, shard)
        span = self._begins[place], self._ends[place]
        by_columns = stream in ("predictions", "outcomes")
        # a client of its own: one that waits would hold the others up
        async with kafka.consumer(self.config, columns=[place.topic] if by_columns else []) as client:
            client.assign([place])
            if by_columns:
                async with contextlib.aclosing(kafka.read_columns(client, place, *span)) as read:
                    async for some in read:
                        yield InTopic(some)
                return
            async for records in kafka.read_between(client, place, *span):
                yield [(record.offset, item((record.key, record.value or b"", record.headers))) for record in records]

    def beheaded(self, shard: int, stream: str) -> bool:
        return self._begins[self._place(stream, shard)] > 0

    def ended(self) -> bool:
        return True


@contextlib.asynccontextmanager
async def _looking(config: Config, places: list[TopicPartition], **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A client that knows these partitions, else it asks for each topic anew (100 ms), and reads none of them."""
    async with kafka.consumer(config, **options) as client:
        client.assign(places)
        client.pause(*places)
        yield client


class LogHistory:
    """The log of the embedded engine, which has one shard, and the files that it was made from."""

    def __init__(self, config: Config, log: Log) -> None:
        self.config, self.log = config, log
        saved = log.load()
        if saved is None:
            raise StateError(f"{log.path} holds no commit yet: there is nothing to replay")
        self._saved: Saved = saved
        self.records = {0: sum(len(order) for order in self._orders())}
        self.digests = {str(saved.header["config"])}

    def _orders(self) -> Iterator[Any]:
        """The interleaving; its commits can be large, and any place in them is as good as their end."""
        for order in islice(self.log.interleaving(), self._saved.seq):
            yield from (order[begin : begin + SLICE] for begin in range(0, len(order), SLICE))

    async def reruns(
        self, pipeline: Pipeline, shard: int, bounds: Bounds, *, fresh: bool  # noqa: ARG002
    ) -> AsyncGenerator[tuple[Step, Outputs]]:  # fmt: skip
        none = Decoder(pipeline.config, "labels", None)(0, [])
        controls = iter(self.log.controls(0))
        clock, records = START, 0
        with ThreadPoolExecutor(1, "read") as reading:
            streams = [Stream(given, reading) for given in self._inputs(pipeline.config)]
            for order in self._orders():
                counts = np.bincount(order, minlength=3).tolist()
                events = streams[EVENT].take(counts[EVENT])
                labels = streams[LABEL].take(counts[LABEL]) if len(streams) > 1 else none
                tape = Tape(order, events, labels, list(islice(controls, counts[CONTROL])))
                clock = _clock(clock, tape, pipeline.config.engine.ahead_ms)
                step = Step(records, records + len(order), streams[EVENT].taken, clock[NOW])
                records = step.records
                if not fresh or bounds.part(step.events, step.time_ms)[0]:
                    yield step, pipeline.handle(tape)
                await asyncio.sleep(0)  # nothing else here waits: so that Ctrl-C is heard

    def _inputs(self, config: Config) -> list[Input]:
        """The files of the log's own configuration, read as `config` says."""
        source = self.config.source
        if source is None or "-" in (source.events, source.labels):
            problem = "$.source: what came from standard input is gone: name the files, or replay the topics"
            raise ConfigError([problem], self.config.name)
        paths = [source.events, *([source.labels] if source.labels else [])]
        config = structs.replace(config, source=source)
        inputs = [Input(config, path, stream, None, follow=False) for stream, path in enumerate(paths)]
        for given in inputs:
            if given.source.fingerprint != self._saved.position[given.name]["fingerprint"]:
                raise ForeignStateError(
                    f"{given.source.name} is not the file that {self.log.path} was made from (its first record differs)"
                )
        return inputs

    async def written(self, shard: int, stream: str) -> AsyncGenerator[Batch]:  # noqa: ARG002
        if stream in ("predictions", "outcomes"):
            for before, part in self.log.parts(stream):
                for at in range(0, len(part.id), SLICE):
                    yield InLog(before + at + 1, blocks.cut(part, at, at + SLICE))
            return
        records = self.log.read(stream)
        while batch := list(islice(records, BATCH)):
            yield [(r.seq, (r.id.encode(), r.key.encode(), r.value)) for r in batch]

    def beheaded(self, shard: int, stream: str) -> bool:  # noqa: ARG002
        return False

    def ended(self) -> bool:
        saved = self.log.load()
        return saved is not None and saved.seq == self._saved.seq


class Stream:
    """Takes known numbers of records off an input, the next of which are read meanwhile."""

    def __init__(self, given: Input, reading: ThreadPoolExecutor) -> None:
        self.given, self.reading, self.taken = given, reading, 0
        self._rows = given.decode(0, [])

    def take(self, count: int) -> Rows:
        """The next `count` records; SourceError or StateError if the file no longer has them."""
        while len(self._rows) < count:
            more = self.given.read(self.reading)
            if not len(more):
                raise self.given.problem or StateError(
                    f"{self.given.source.name} ends before record {self.taken + count}, which the log took: it was "
                    "shortened or replaced; bring back the old file"
                )
            self._rows = join_rows(self._rows, more) if len(self._rows) else more
        taken, self._rows = self._rows[:count], self._rows[count:]
        self.taken += count
        return taken


def _clock(clock: tuple[int, int, int], tape: Tape, ahead_ms: int) -> tuple[int, int, int]:
    """Stream time behind a tape."""
    return state_of(clock_states(clock, tape.times(), ahead_ms)[-1]) if len(tape.order) else clock
