"""Recovery: a shard's state as its last commit left it, from the newest snapshot and the recorded interleaving.

`rerun` is also what a replay is: the same records in the same order through a pipeline, here without telling anyone.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from numpy.typing import NDArray

from stream_app.config import Config, digest
from stream_app.edges import commits, journal, kafka, snapshots
from stream_app.edges.ahead import ahead
from stream_app.edges.batches import Records
from stream_app.edges.commits import Commit, Span
from stream_app.errors import StateError, TopicError
from stream_app.flow.clock import START
from stream_app.flow.decode import Decoder
from stream_app.messages import CONTROL, EVENT, LABEL, STREAMS, Outputs, Rows, Tape
from stream_app.pipeline import Pipeline

SLICE = 4096  # records handled at a time, so that others get their turn
TURNS = 4  # of the loop in between: in each of them 256 kB of a fetch are read


@dataclass(slots=True)
class Position:
    """Where a shard stands: what its next commit goes on from."""

    next: dict[str, int]  # offset to read next, by input stream
    clocks: tuple[commits.Clock, commits.Clock] = (START, START)
    number: int = 0  # of the last commit
    commit: int = -1  # offset of its record
    snapshots: list[commits.Pointer] = field(default_factory=list)
    gaps: dict[str, Span] = field(default_factory=dict)  # records that were deleted before they were read
    lagging: str = ""  # the stream with which the shard is late


@dataclass(slots=True)
class Stretch:
    """Commits that follow each other without a gap."""

    last: Commit
    inputs: dict[str, Span]  # what all of them took
    order: NDArray[np.uint8]


class InputReader:
    """Takes known stretches of one input partition, in order."""

    def __init__(self, client: AIOKafkaConsumer, place: TopicPartition) -> None:
        self.client, self.place = client, place
        self._held = Records.of([])
        self._at = -1

    async def take(self, span: Span, count: int) -> Records:
        """The `count` records of a span; TopicError if the topic no longer holds them."""
        if span.start != self._at:
            self._held = Records.of([])
            self.client.seek(self.place, span.start)
        read, missing = [self._held], count - len(self._held)
        while missing > 0 and (found := await kafka.polled(self.client, self.place, span.stop)):
            read += found
            missing -= sum(map(len, found))
        held = Records.joined(read)
        taken, self._held = held[:count], held[count:]
        self._at = span.stop
        if count and (len(taken) < count or taken.offset[0] < span.start or taken.offset[-1] != span.stop - 1):
            raise TopicError(
                f"{self.place.topic}, partition {self.place.partition}: records from {span.start} to {span.stop - 1} "
                "that were taken once are no longer there (retention, or compaction), and are needed again: "
                "give the configuration a new name to replay what is left"
            )
        return taken


async def recover(
    client: AIOKafkaConsumer, config: Config, pipeline: Pipeline, shard: int, partitions: int, key: bytes,
    progress: Callable[[float], None] = lambda _: None,
) -> Position:  # fmt: skip
    """Brings a fresh pipeline to the last commit of its shard; `progress` is told the share that is done.

    The client must have all input, commits and snapshots partitions of the shard assigned, the inputs by
    columns. TopicError where nobody can go on: commits of another configuration or partition count, or deleted ones.
    """
    found = await commits.newest(client, config, shard)
    if found is None:
        return Position(await _begin(client, config, shard))
    last_at, last = found
    _check(config, shard, partitions, last)
    start = await _restored(client, config, pipeline, shard, last, key)
    async with contextlib.aclosing(rerun(client, config, pipeline, shard, start, last_at + 1)) as reruns:
        async for done in reruns:
            progress(done.records / max(last.records, 1))
    if pipeline.records != last.records:
        raise StateError(f"shard {shard}: {pipeline.records} records after recovery instead of {last.records}")
    following = {stream: span.stop for stream, span in last.inputs.items()}
    return Position(following, last.clocks, last.number, last_at, last.snapshots, lagging=last.lagging)


class Handled(NamedTuple):
    """Records that were handled together, of commits that were taken together."""

    commit: Commit  # the last of these
    first: int  # records of the shard before them
    records: int  # and up to their end
    out: Outputs


async def rerun(
    client: AIOKafkaConsumer,
    config: Config,
    pipeline: Pipeline,
    shard: int,
    after: int,
    stop: int,
    apart: Callable[[Commit], object] = lambda _: None,
) -> AsyncGenerator[Handled]:
    """What the commits of a shard behind offset `after` (-1: from the first) and before `stop` caused, once more.

    Topics are those of `config`, records are read as the pipeline's own configuration says. Small commits are taken
    together, but not two for which `apart` gives different answers. What comes next is read meanwhile.
    """
    tapes = _tapes(client, config, pipeline.config, shard, after, stop, apart)
    async with contextlib.aclosing(ahead(tapes)) as read:
        async for commit, tape in read:
            end = commit.records
            before = end - len(tape.order)
            for first in range(before, max(end, before + 1), SLICE):
                last = min(first + SLICE, end)
                yield Handled(commit, first, last, pipeline.handle(tape[first - before : last - before]))
                for _ in range(TURNS):
                    await asyncio.sleep(0)


async def _tapes(
    client: AIOKafkaConsumer, config: Config, reading: Config, shard: int, after: int, stop: int,
    apart: Callable[[Commit], object],
) -> AsyncGenerator[tuple[Commit, Tape]]:  # fmt: skip
    """The records of commits that are taken together, with the last of these; `reading` says how they are read."""
    names = [stream for stream in kafka.inputs(config) if stream in STREAMS]
    readers = {name: InputReader(client, TopicPartition(kafka.topic(config, name), shard)) for name in names}
    decoders = {EVENT: Decoder(reading, "events", None), LABEL: Decoder(reading, "labels", None)}
    nothing = Records.of([])
    async for stretch in _stretches(client, config, shard, after, stop, apart):
        taken = {
            stream: await readers[name].take(stretch.inputs[name], int((stretch.order == stream).sum()))
            for stream, name in enumerate(STREAMS)
            if name in readers
        }
        events, labels = (decoded(decoders[stream], taken.get(stream, nothing)) for stream in (EVENT, LABEL))
        yield stretch.last, Tape(stretch.order, events, labels, taken[CONTROL].value.tolist())


async def _stretches(
    client: AIOKafkaConsumer, config: Config, shard: int, after: int, stop: int, apart: Callable[[Commit], object]
) -> AsyncIterator[Stretch]:
    """All commits in order; small ones together, because a call of the pipeline takes 1 ms however short the tape."""
    number = 0 if after < 0 else None
    held: list[Commit] = []
    async for _, commit in commits.after(client, config, shard, after, stop):
        if number is not None and commit.number != number + 1:
            raise TopicError(
                f"{kafka.topic(config, 'commits')}, partition {shard}: commits {number + 1} to {commit.number - 1} "
                "were deleted: replay what the events still hold into a new name, and raise $.kafka.retention"
            )
        number = commit.number
        if held and (held[-1].records - held[0].records >= SLICE or commit.gaps or apart(held[-1]) != apart(commit)):
            yield _joined(held)
            held = []
        held.append(commit)
    if held:
        yield _joined(held)


def _joined(held: list[Commit]) -> Stretch:
    inputs = {stream: Span(span.start, held[-1].inputs[stream].stop) for stream, span in held[0].inputs.items()}
    return Stretch(held[-1], inputs, np.concatenate([commit.taken() for commit in held]))


def decoded(decoder: Decoder, records: Records) -> Rows:
    """Records of a topic as those of an input stream."""
    return decoder(records.offset, records.value)


async def _restored(
    client: AIOKafkaConsumer, config: Config, pipeline: Pipeline, shard: int, last: Commit, key: bytes
) -> int:
    """Loads the newest snapshot that can be used; the offset of its commit, -1 if there is none."""
    for pointer in last.snapshots:
        where = f"{kafka.topic(config, 'snapshots')}, partition {shard}, offset {pointer.offset}"
        try:
            data = await commits.load(client, config, shard, pointer)
            pipeline.restore(snapshots.decode(data, config_digest=digest(config), key=key, where=where))
        except StateError as error:
            journal.warn("snapshot refused, taking the one before", shard=shard, reason=str(error))
        else:
            return pointer.commit
    if last.snapshots:
        journal.warn("no snapshot left, taking every record from the first commit again", shard=shard)
    return -1


def _check(config: Config, shard: int, partitions: int, last: Commit) -> None:
    where = f"{kafka.topic(config, 'commits')}, partition {shard}"
    if last.config != digest(config):
        raise TopicError(
            f"{where} was written with another configuration: give this one a new name to replay the events under it, "
            "or go back to the old one"
        )
    if last.partitions != partitions:
        raise TopicError(
            f"{where} was written with {last.partitions} partitions, now there are {partitions}, so that keys have "
            "moved between shards: give the configuration a new name to replay the events under it"
        )


async def _begin(client: AIOKafkaConsumer, config: Config, shard: int) -> dict[str, int]:
    """The first offset that each input still holds."""
    places = {stream: TopicPartition(kafka.topic(config, stream), shard) for stream in kafka.inputs(config)}
    begin = await client.beginning_offsets(list(places.values()))
    return {stream: begin[place] for stream, place in places.items()}


async def pass_gaps(client: AIOKafkaConsumer, config: Config, shard: int, position: Position) -> None:
    """Moves a position behind records that the inputs no longer hold; TopicError if that is to be refused."""
    begin = await _begin(client, config, shard)
    gaps = {s: Span(position.next[s], offset) for s, offset in begin.items() if offset > position.next[s]}
    if gaps and kafka.cluster(config).gaps == "refuse":
        told = "; ".join(
            f"{kafka.topic(config, stream)}: {gap.start} to {gap.stop - 1}" for stream, gap in gaps.items()
        )
        raise TopicError(
            f"shard {shard}: records were deleted before they were read ({told}): set $.kafka.gaps to "
            '"alert" to go on without them, or replay what is left into a new name'
        )
    position.gaps = gaps
    position.next |= {stream: gap.stop for stream, gap in gaps.items()}
