"""What makes a shard's work final: commit records, and the snapshots of its state that they point to.

A commit record says which records of each input were taken, in which order, and what would come next. Snapshots are
cut into chunks; their two slots are written in turn, so that the one before is there while a new one is written.
"""

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from numpy.typing import NDArray

from stream_app.config import Config
from stream_app.edges import kafka
from stream_app.edges.transactions import Written
from stream_app.errors import StateError, TopicError

CHUNK_BYTES = 512 << 10
SLOTS = 2  # snapshots that are kept

Clock = tuple[int, int, int]


class Span(msgspec.Struct, array_like=True):
    """Which records of an input one commit took: those with start ≤ offset < stop."""

    start: int
    stop: int


class Pointer(msgspec.Struct):
    """Where a snapshot is: its first chunk in the snapshots topic, and the commit whose state it holds."""

    offset: int
    chunks: int
    commit: int  # offset of that commit's record
    number: int  # of that commit
    records: int  # that the shard had taken
    slot: int  # of which the chunks' keys are made: a newer snapshot overwrites the one before the last


class Commit(msgspec.Struct):
    """One commit of a shard; JSON in the commits topic."""

    number: int  # from 1, without gaps
    config: str  # digest
    partitions: int
    records: int  # that the shard took since it began
    time_ms: int  # stream time
    inputs: dict[str, Span]
    clocks: tuple[Clock, Clock]
    order: bytes  # zlib of one byte per record: EVENT, LABEL or CONTROL
    snapshots: list[Pointer] = []  # newest first; not yet that of this commit
    gaps: dict[str, Span] = {}  # records that were deleted before this commit could take them
    lagging: str = ""  # the stream with which the shard is late, as it has told by a command

    def taken(self) -> NDArray[np.uint8]:
        """The interleaving."""
        return np.frombuffer(zlib.decompress(self.order), np.uint8)


def written(commit: Commit) -> Written:
    """The record of a commit."""
    return b"commit", msgspec.json.encode(commit), []


def packed(order: bytes | bytearray) -> bytes:
    """An interleaving as a commit holds it."""
    return zlib.compress(bytes(order), 1)


def read(record: ConsumerRecord) -> Commit:
    """The commit of a record; StateError where it is none."""
    try:
        return msgspec.json.decode(record.value, type=Commit)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        raise StateError(f"{where} holds no commit of driftline ({error}): replay into a new name") from error


async def newest(client: AIOKafkaConsumer, config: Config, shard: int) -> tuple[int, Commit] | None:
    """The last commit of a shard and its offset, None before the first; TopicError where it was deleted."""
    place = TopicPartition(kafka.topic(config, "commits"), shard)
    begin, end = (await client.beginning_offsets([place]))[place], (await client.end_offsets([place]))[place]
    stop, width = end, 16
    while stop > begin:
        start = max(begin, stop - width)
        last = None
        async for records in kafka.read_between(client, place, start, stop):
            last = records[-1]
        if last is not None:
            return last.offset, read(last)
        stop, width = start, width * 8
    if begin:
        raise TopicError(
            f"{place.topic}, partition {shard}: all commits were deleted by retention, so what this shard has done is "
            "not known: replay into a new name, and raise $.kafka.retention above the longest pause"
        )
    return None


async def after(
    client: AIOKafkaConsumer, config: Config, shard: int, offset: int, stop: int
) -> AsyncIterator[tuple[int, Commit]]:
    """The commits of a shard behind an offset and before another, each with its own."""
    place = TopicPartition(kafka.topic(config, "commits"), shard)
    async for records in kafka.read_between(client, place, offset + 1, stop):
        for record in records:
            yield record.offset, read(record)


def chunks(state: bytes, number: int, slot: int) -> Iterator[Written]:
    """The records of a snapshot of the state behind commit `number`."""
    count = -(-len(state) // CHUNK_BYTES)
    for i in range(count):
        headers = [("commit", b"%d" % number), ("chunk", b"%d/%d" % (i, count))]
        yield b"%d/%d" % (slot, i), state[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES], headers


async def load(client: AIOKafkaConsumer, config: Config, shard: int, pointer: Pointer) -> bytes:
    """The state that a pointer leads to; StateError where chunks are missing."""
    place = TopicPartition(kafka.topic(config, "snapshots"), shard)
    end = (await client.end_offsets([place]))[place]
    found: dict[bytes, bytes] = {}
    async for records in kafka.read_between(client, place, pointer.offset, end):
        for record in records:
            headers: dict[str, Any] = dict(record.headers)
            if headers.get("commit") == b"%d" % pointer.number:
                found[headers["chunk"]] = record.value
        if len(found) == pointer.chunks:
            break
    names = [b"%d/%d" % (i, pointer.chunks) for i in range(pointer.chunks)]
    if any(name not in found for name in names):
        raise StateError(f"{len(names) - len(found)} of {len(names)} chunks are missing in {place.topic}")
    return b"".join(found[name] for name in names)
