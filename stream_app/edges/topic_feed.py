"""One receiver's place in the output topics: a consumer group, whose members share the partitions; what was given up.

    receiver → group NAME.notify.RECEIVER;  given up → topic NAME.undelivered, the partition of its alert

Rules:
1. The group's offset of a partition is that of the first record that is neither delivered nor given up.
2. What the receiver knows of open incidents is read again from the topic whenever a partition is taken over.
3. Undelivered notifications have a topic of their own: in `dead-letters` stands what the pipeline wrote, nothing else,
   which is what `driftline replay` proves.
"""

import base64
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from stream_app.config import Config, Notify
from stream_app.edges import journal, kafka, subscriber
from stream_app.edges.deliverer import Delivery
from stream_app.edges.log import Record
from stream_app.edges.notices import Event, Follower, Notice
from stream_app.edges.sender import append

NEW_MS = 3_600_000  # a group that is new is told what was written since then, and no older history


class Place(NamedTuple):
    """Where a delivery stands."""

    where: TopicPartition
    offset: int


class TopicFeed:
    """`async with opened(...) as feed`.

    A partition is another member's as soon as the group says so: what is under way then may be delivered by both.
    """

    def __init__(
        self, config: Config, name: str, notify: Notify, client: AIOKafkaConsumer, *, everything: bool
    ) -> None:
        self.name, self._config, self._notify, self._client = name, config, notify, client
        self.waiting: list[Delivery] = []
        self.ended = False
        self._everything = everything
        self._streams = {kafka.topic(config, stream): stream for stream in notify.streams}
        self._followers: dict[TopicPartition, Follower] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}

    async def take(self, most: int) -> None:
        """New partitions first: nothing of one is read before the place to begin at is known."""
        with contextlib.suppress(IllegalStateError):  # partitions are being shared out anew
            for where in self._client.assignment() - self._followers.keys():
                await self._begin(where)
            found = await self._client.getmany(timeout_ms=0, max_records=most)
            for where, records in found.items():
                if where in self._followers:
                    self.waiting += filter(None, (self._delivery(where, record) for record in records))
            await self._settle()

    def lost(self, places: set[TopicPartition]) -> None:
        """Partitions of which another member may be the next owner."""
        self.waiting = [delivery for delivery in self.waiting if delivery.place.where not in places]
        for where in places:
            self._followers.pop(where, None)
            self._committed.pop(where, None)
        self.ended = False

    async def delivered(self, delivery: Delivery) -> None:
        if delivery in self.waiting:
            self.waiting.remove(delivery)
            with contextlib.suppress(IllegalStateError):
                await self._settle()

    async def failed(self, delivery: Delivery) -> None:
        """Attempts are not remembered: after a restart they are counted anew."""

    async def given_up(self, delivery: Delivery, reason: str) -> None:
        """The letter is written before the group's offset: after a crash there may be two of it, never none."""
        notice = delivery.notice
        value = base64.b64encode(notice.value).decode()
        letter = Undelivered(self.name, reason, delivery.attempts, notice.stream, notice.id, notice.incident, value)
        await write_undelivered(self._config, delivery.place.where.partition, letter, reason)
        await self.delivered(delivery)

    def open(self) -> list[Event]:
        return [event for follower in self._followers.values() for event in follower.open.values()]

    async def _begin(self, where: TopicPartition) -> None:
        """Seeks to where the group stands, and lets what lies before it pass."""
        start = await self._client.committed(where)
        oldest = (await self._client.beginning_offsets([where]))[where]
        self._ends[where] = (await self._client.end_offsets([where]))[where]
        if start is None:
            start = oldest if self._everything else await self._recent(where)
        if not oldest <= start <= self._ends[where]:  # deleted before it was read, or the topic was made anew
            journal.warn("a receiver begins at the oldest record", receiver=self.name, topic=where.topic, lost=start)
            start = oldest
        follower = Follower(self._notify)
        async with kafka.consumer(self._config) as other:
            other.assign([where])
            async for records in kafka.read_between(other, where, oldest, start):
                for record in records:
                    self._notice(follower, where, record)
        self._client.seek(where, start)
        self._followers[where] = follower

    async def _recent(self, where: TopicPartition) -> int:
        found = await self._client.offsets_for_times({where: int(time.time() * 1000) - NEW_MS})
        return self._ends[where] if found[where] is None else int(found[where].offset)

    def _delivery(self, where: TopicPartition, record: ConsumerRecord) -> Delivery | None:
        notice = self._notice(self._followers[where], where, record)
        return None if notice is None else Delivery(notice, Place(where, record.offset))

    def _notice(self, follower: Follower, where: TopicPartition, record: ConsumerRecord) -> Notice | None:
        stream = self._streams[where.topic]
        try:
            return follower.take(stream, subscriber.record_of(record))
        except ValueError as error:
            place = {"topic": where.topic, "partition": where.partition, "offset": record.offset}
            journal.warn("a record that is no notification was left out", **place, reason=error)
            return None

    async def _settle(self) -> None:
        """Commits how far each partition is done."""
        waiting: dict[TopicPartition, int] = {}
        for delivery in self.waiting:
            waiting[delivery.place.where] = min(
                delivery.place.offset, waiting.get(delivery.place.where, delivery.place.offset)
            )
        positions = {where: await self._client.position(where) for where in self._followers}
        done = {where: waiting.get(where, position) for where, position in positions.items()}
        new = {where: offset for where, offset in done.items() if self._committed.get(where) != offset}
        if new:
            with contextlib.suppress(CommitFailedError, IllegalStateError):
                await self._client.commit(new)
                self._committed |= new
        self.ended = bool(positions) and all(at >= self._ends[where] for where, at in positions.items())


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the feed which partitions it has lost; those it gets it sees by itself."""

    def __init__(self, feed: TopicFeed) -> None:
        self._feed = feed

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._feed.lost(set(revoked))

    def on_partitions_assigned(self, assigned: object) -> None:
        pass


def group_of(config: Config, receiver: str) -> str:
    """The consumer group of a receiver."""
    return f"{config.name}.notify.{receiver}"


@contextlib.asynccontextmanager
async def opened(config: Config, name: str, notify: Notify, *, everything: bool = False) -> AsyncIterator[TopicFeed]:
    """A member of the receiver's group. TopicError without the topics, BrokerError if no broker answers, now or later.

    `everything`: a group that is new begins at the oldest record.
    """
    for stream in (*notify.streams, "undelivered"):
        await subscriber.partitions(config, stream)
    async with kafka.consumer(config, **subscriber.membership(config, group_of(config, name))) as client:
        feed = TopicFeed(config, name, notify, client, everything=everything)
        client.subscribe([kafka.topic(config, stream) for stream in notify.streams], listener=Listener(feed))
        yield feed


# what was given up


class Undelivered(msgspec.Struct):
    """A record of the topic `undelivered`."""

    receiver: str
    reason: str
    attempts: int
    stream: str
    id: str
    key: str
    value_base64: str

    @property
    def record(self) -> Record:
        return Record(0, self.id, self.key, 0, base64.b64decode(self.value_base64))


async def write_undelivered(config: Config, partition: int, letter: Undelivered, reason: str) -> None:
    """Appends a notification that was given up, for this reason."""
    value = msgspec.json.encode(msgspec.structs.replace(letter, reason=reason))
    await append(config, "undelivered", partition, letter.receiver.encode(), value)


async def undelivered(config: Config, *, taken: bool) -> AsyncGenerator[tuple[int, Undelivered]]:
    """What was given up and not retried since, with its partition; `taken`: each is done when the next is asked for."""
    group = f"{config.name}.notify"
    places = await subscriber.partitions(config, "undelivered")
    async with kafka.consumer(config, group_id=group) as client:
        client.assign(places)
        starts, ends = await client.beginning_offsets(places), await client.end_offsets(places)
        for where in places:
            start = max(await client.committed(where) or 0, starts[where])
            async for records in kafka.read_between(client, where, start, ends[where]):
                for record in records:
                    yield where.partition, msgspec.json.decode(record.value, type=Undelivered)
                    if taken:
                        await client.commit({where: record.offset + 1})
            client.pause(where)
