"""A board kept up to date from the topics: by a consumer of its own, in no group, from their beginning.

Only committed records are seen. What is in memory is the board, and one fetch of each partition. A topic that was made
anew begins its offsets anew: then everything is read again.
"""

import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_app.board.asked import Around
from stream_app.board.fold import STREAMS, Board
from stream_app.config import Config
from stream_app.edges import kafka, sender, subscriber
from stream_app.errors import TopicError

MOST = 2000  # records at a time: about 20 ms
WAIT_MS = 200  # for records
LOOK_S = 5.0  # between two looks at how far the workers are
LIVE_S = 30.0  # the workers have moved within so long
RATE_S = 15.0  # over which the rate of now is counted
REST = 10_000  # records behind the topics that nobody has to be told of


class TopicBoard:
    """`async with opened(config) as feed`: `take` reads on; `board` is what is known so far."""

    def __init__(self, config: Config, client: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self.config, self._client, self._admin = config, client, admin
        self.board = Board(config)
        self.changes = 0
        self._streams = {kafka.topic(config, stream): stream for stream in STREAMS}
        self._next: dict[TopicPartition, int] = {}
        self._behind = 0
        self._looked_s = self._moved_s = float("-inf")
        self._lag: int | None = None
        self._moves: deque[tuple[float, int]] = deque()  # when, and how far the workers were

    async def begin(self) -> None:
        """Takes all partitions of all topics there are; TopicError without the metrics."""
        places: list[TopicPartition] = []
        for stream in STREAMS:
            with contextlib.suppress(TopicError):
                places += await subscriber.partitions(self.config, stream)
        if not any(self._streams[place.topic] == "metrics" for place in places):
            await subscriber.partitions(self.config, "metrics")  # says what is missing
        self._client.assign(places)
        await self._client.seek_to_beginning(*places)

    async def take(self) -> int:
        """Reads what is there; returns of how many records. BrokerError if no broker answers."""
        if time.monotonic() - self._looked_s > LOOK_S:
            await self._look()
        found = await self._client.getmany(timeout_ms=WAIT_MS, max_records=MOST)
        count = 0
        for place, records in found.items():
            if records[0].offset < self._next.get(place, 0):
                await self._begin_anew()
                return 0
            for record in records:
                self.board.take(self._streams[place.topic], place.partition, subscriber.record_of(record))
            self._next[place] = records[-1].offset + 1
            self._hear(records[-1].timestamp)
            count += len(records)
        self.changes += count > 0
        return count

    def _hear(self, written_ms: int) -> None:
        """A record that was written just now tells that the workers move, before two looks could."""
        age_s = max(0.0, time.time() - written_ms / 1000)
        self._moved_s = max(self._moved_s, time.monotonic() - age_s)

    async def behind(self) -> int:
        """How many records of the topics are still to be read."""
        places = self._client.assignment()
        ends = await self._client.end_offsets(list(places))
        self._behind = sum([max(0, ends[place] - await self._client.position(place)) for place in places])
        return self._behind

    def around(self) -> Around:
        """How the stream stands."""
        live = time.monotonic() - self._moved_s < LIVE_S
        status = "live" if live else "ended" if self._next else "waiting"
        rate = None
        if live and len(self._moves) > 1:
            (first_s, first), (last_s, last) = self._moves[0], self._moves[-1]
            rate = max(0.0, (last - first) / (last_s - first_s))
        notices = (f"the topics are being read: {self._behind:,} records are still to come",)
        behind = self._behind > REST
        return Around(status=status, notices=notices if behind else (), rate_now=rate, lag=self._lag)

    async def send(self, shard: int, command: bytes) -> int:
        """Puts a command into the control topic of a shard; returns its offset."""
        return await sender.send_command(self.config, shard, command)

    async def close(self) -> None:
        """Nothing is kept: the next dashboard reads the topics again."""

    async def _begin_anew(self) -> None:
        self.board = Board(self.config)
        self._next.clear()
        await self._client.seek_to_beginning(*self._client.assignment())

    async def _look(self) -> None:
        """How far the workers are with the inputs, as they tell Kafka, and how far we are with the outputs."""
        now = self._looked_s = time.monotonic()
        with contextlib.suppress(KafkaError, TimeoutError):  # the next look may know more
            await self.behind()
            done = await self._admin.list_consumer_group_offsets(self.config.name)
            inputs = {kafka.topic(self.config, stream) for stream in kafka.inputs(self.config)}
            known = {place: n for place, (n, _) in done.items() if place.topic in inputs and n >= 0}
            if not known:
                return
            ends = await self._client.end_offsets(list(known))
            self._lag = sum(max(0, ends[place] - offset) for place, offset in known.items())
            taken = sum(known.values())
            if not self._moves or taken != self._moves[-1][1]:
                self._moved_s = now if self._moves else self._moved_s
            self._moves.append((now, taken))
            while self._moves[0][0] < now - RATE_S:
                self._moves.popleft()


@contextlib.asynccontextmanager
async def opened(config: Config) -> AsyncIterator[TopicBoard]:
    """TopicError without the topics, BrokerError if no broker answers, now or later."""
    async with kafka.consumer(config) as client, kafka.admin(config) as admin:
        feed = TopicBoard(config, client, admin)
        await feed.begin()
        yield feed
