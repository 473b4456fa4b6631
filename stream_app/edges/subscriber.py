"""Reading the output topics: only what was committed, in the order of each partition.

Rules:
1. A record of an aborted transaction is never handed out; markers of transactions are holes in the offsets.
2. A batch is taken as handled when the next one is asked for: then the group's offset is committed, never before.
3. A member of a group hands its partitions over between two batches, if the one in hand is done within HAND_OVER_S.
"""

import asyncio
import contextlib
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from stream_app.config import Config
from stream_app.edges import kafka
from stream_app.edges.log import Record
from stream_app.errors import TopicError

MOST = 1000  # records in a batch, which is what may come twice after a crash
POLL_S = 0.2  # how often it is asked whether to stop
GRACE_S = 2.0  # so long may a commit take after that
HAND_OVER_S = 30.0  # less than the 40 s after which aiokafka gives up a request
NEVER_MS = 2**31 - 1  # a program may work for days on one record; heartbeats tell that its subscriber lives

T = TypeVar("T")
Stop = Callable[[], bool]
Places = list[TopicPartition]
Offsets = dict[TopicPartition, int]


class Received(NamedTuple):
    """A record of an output topic; its `seq` is the offset, its `time_ms` when it was written."""

    partition: int
    record: Record


class Stamp(msgspec.Struct):
    """The time in a value: stream time in milliseconds or as RFC 3339; dead letters and panes have none."""

    time: int | datetime | None = None


async def records(
    config: Config,
    stream: str,
    *,
    group: str | None = None,
    follow: bool = False,
    most: int = MOST,
    stop: Stop = bool,
) -> AsyncGenerator[list[Received]]:
    """What an output topic holds up to its present end, in batches of at most `most`; with `follow` on and on.

    Without a group it begins with the oldest, and merges the partitions by stream time unless it follows. With a group
    it goes on where the group stands, and the members share the partitions. Ends early when `stop()` is true.
    TopicError if there is no such topic, BrokerError if no broker answers; one that goes away later is waited for
    with `follow` or a group.
    """
    places = await partitions(config, stream)
    async with kafka.consumer(config, **membership(config, group)) as client:
        ends = {} if follow else await client.end_offsets(places)
        live = group is not None or follow
        batches = _live(client, places, ends, most, stop, group=group) if live else _merged(client, places, ends, most)
        async with contextlib.aclosing(batches):
            while (batch := await _unless(stop, _next(batches))) is not None:
                yield batch


async def history(config: Config, stream: str) -> AsyncGenerator[Received]:
    """Every record of an output topic up to its present end, one by one, as `records`."""
    async with contextlib.aclosing(records(config, stream)) as batches:
        async for batch in batches:
            for received in batch:
                yield received


async def partitions(config: Config, stream: str) -> Places:
    """The partitions of a stream's topic. TopicError if there is none: to ask for it by name might create it."""
    name = kafka.topic(config, stream)
    topics = await kafka.partitions(config)
    if name not in topics:
        where = kafka.cluster(config).bootstrap
        raise TopicError(f"no topic {name} at {where}: `driftline topics CONFIG` creates it")
    return [TopicPartition(name, number) for number in topics[name]]


def membership(config: Config, group: str | None) -> dict[str, Any]:
    """Options of a consumer that is a member of a group, or of none."""
    if group is None:
        return {}
    session_ms = kafka.cluster(config).session_ms
    return {
        "group_id": group,
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": session_ms // 10,
        "rebalance_timeout_ms": int(HAND_OVER_S * 1000),
        "max_poll_interval_ms": NEVER_MS,
    }


async def _unless(stop: Stop, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of the work; None if it was to stop and did not end in time."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done() and not stop():
            await asyncio.wait({task}, timeout=POLL_S)
        await asyncio.wait({task}, timeout=GRACE_S)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _next(batches: AsyncIterator[list[Received]]) -> list[Received] | None:
    return await anext(batches, None)


# one partition's records between those of the others


async def _merged(client: AIOKafkaConsumer, places: Places, ends: Offsets, most: int) -> AsyncGenerator[list[Received]]:
    """Memory: one fetch of each partition."""
    starts = await client.beginning_offsets(places)
    client.assign(places)
    sources = {place.partition: _stamped(client, place, starts[place], ends[place]) for place in places}
    firsts = [await anext(source, None) for source in sources.values()]
    heads = [first for first in firsts if first is not None]
    heapq.heapify(heads)
    batch: list[Received] = []
    while heads:
        received = heads[0][-1]
        batch.append(received)
        following = await anext(sources[received.partition], None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, following)
        if len(batch) == most or not heads:
            yield batch
            batch = []


async def _stamped(
    client: AIOKafkaConsumer, place: TopicPartition, start: int, stop: int
) -> AsyncIterator[tuple[int, int, Received]]:
    async for found in kafka.read_between(client, place, start, stop):
        for record in found:
            yield _time_ms(record), place.partition, _received(record)
    client.pause(place)  # otherwise the broker waits for more of this one before it answers for the others


def _time_ms(record: ConsumerRecord) -> int:
    try:
        time = msgspec.json.decode(record.value or b"", type=Stamp).time
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        raise TopicError(f"{where} holds no record of driftline ({error}): read another topic") from error
    if isinstance(time, datetime):
        return round(time.timestamp() * 1000)
    return record.timestamp if time is None else time


# records as they come


class Member(ConsumerRebalanceListener):  # type: ignore[misc]
    """Lets a rebalance of the group wait for the batch in hand, so that nobody else gets it too."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002
        await self.free.wait()

    def on_partitions_assigned(self, assigned: object) -> None:
        pass


async def _live(
    client: AIOKafkaConsumer, places: Places, ends: Offsets, most: int, stop: Stop, *, group: str | None
) -> AsyncGenerator[list[Received]]:
    member, settled = Member(), Offsets()
    if group is None:
        client.assign(places)
    else:
        client.subscribe([places[0].topic], listener=member)
    while not stop():
        found = await client.getmany(timeout_ms=int(POLL_S * 1000), max_records=most)
        if found:
            member.free.clear()
            try:
                yield [_received(record) for batch in found.values() for record in batch]
                if group is not None:
                    await _commit(client, {place: batch[-1].offset + 1 for place, batch in found.items()})
            finally:
                member.free.set()
        positions = await _positions(client)
        if positions is None:
            continue
        ended = bool(ends) and all(position >= ends[place] for place, position in positions.items())
        if group is not None and positions != settled and (ended or not found):
            await _commit(client, positions)  # behind the markers too: tools then show no lag
            settled = positions
        if ended:
            return


async def _positions(client: AIOKafkaConsumer) -> Offsets | None:
    """Where the consumer stands in each of its partitions; None when they are being shared out anew."""
    try:
        return {place: await client.position(place) for place in client.assignment()}
    except IllegalStateError:
        return None


async def _commit(client: AIOKafkaConsumer, offsets: Offsets) -> None:
    # a partition that was given to another member is read by that one from where the group stands
    with contextlib.suppress(CommitFailedError, IllegalStateError):
        await client.commit(offsets)


def _received(record: ConsumerRecord) -> Received:
    return Received(record.partition, record_of(record))


def record_of(record: ConsumerRecord) -> Record:
    """A record of a topic as the log of a file would hold it."""
    name = dict(record.headers).get("id", b"").decode()
    key = (record.key or b"").decode("utf-8", "backslashreplace")
    return Record(record.offset, name, key, record.timestamp, record.value or b"")
