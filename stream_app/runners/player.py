"""Player: sends the events and labels of a configuration's files to its topics, as a producer would.

Keys choose partitions by Kafka's default; timestamps are those of sending, because retention counts from them.
"""

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from stream_app.config import Config
from stream_app.edges import kafka, topics
from stream_app.errors import BrokerError, ConfigError, TopicError
from stream_app.messages import STREAMS
from stream_app.runners.feed import IDLE_S, Feed, Record

BATCH_BYTES = 512 << 10  # of one partition in one request, at most
FRAME_BYTES = 128  # what a batch adds to its only record, at most
DELIVERY_S = 120.0  # a broker may be away for so long, as for producers in Java
STOP_S = 5.0
REPORT_S = 0.1
TICK_S = 0.005  # records that are due within it go together
NAP_S = 0.1  # how often a stop is looked for while nothing is due


@dataclass(frozen=True, slots=True)
class Played:
    """What was sent so far, or in all."""

    events: int
    labels: int
    unmatched: int  # labels whose event was not sent before the end: their key is its id
    rejected: int  # records of both that cannot be decoded and will be dead letters
    seconds: float
    time_ms: int  # clock of the stream
    share: float | None  # of the files that was read


async def play(
    config: Config,
    *,
    speed: float = 0.0,
    limit: int | None = None,
    report: Callable[[Played], None] = lambda _: None,
    stop: Callable[[], bool] = bool,
) -> Played:
    """Sends all records, or the first `limit` events and what comes before the next one; all is acknowledged then.

    `speed`: that many times as fast as the records' times; 0: as fast as possible. ConfigError, SourceError and
    TopicError where something does not fit, BrokerError where no broker takes the records.
    """
    _check(config, speed)
    feed, pace = Feed(config, limit), Pace(speed)
    async with opened(config) as sender:
        started, reported = time.monotonic(), 0.0

        def played() -> Played:
            seconds = time.monotonic() - started
            events, labels = sender.sent
            unmatched, rejected = feed.keys.unmatched, sender.rejected
            return Played(events, labels, unmatched, rejected, seconds, feed.time_ms, feed.progress)

        while not stop() and (found := feed.next()) is not None:
            for due, part in pace.parts(found):
                if not await _until(due, stop):
                    break
                await sender.send(part)
                if time.monotonic() - reported >= REPORT_S:
                    report(played())
                    reported = time.monotonic()
            if not found:
                await asyncio.sleep(IDLE_S)
        await sender.finish()
        report(played())
        return played()


def _check(config: Config, speed: float) -> None:
    if speed and config.schema.time is None:
        raise ConfigError(["$.schema.time: missing; without times there is no speed to play at"], config.name)
    if config.source is not None and config.source.labels is not None and not kafka.has_labels(config):
        raise ConfigError(["$.kafka.labels: is false, but [source] has labels to play: leave it out"], config.name)


async def _until(due: float, stop: Callable[[], bool]) -> bool:
    """Waits for a moment of the monotonic clock; False if it was stopped before."""
    while not stop():
        left = due - time.monotonic()
        if left <= 0:
            return True
        await asyncio.sleep(min(left, NAP_S))
    return False


class Pace:
    """When records are due, if the first one is due now; at speed 0 all are."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first: tuple[float, int] | None = None

    def parts(self, records: list[Record]) -> Iterator[tuple[float, list[Record]]]:
        """Records that go together, each part with the moment of the monotonic clock when it is due."""
        if not self._speed:
            yield 0.0, records
            return
        part: list[Record] = []
        first = latest = 0.0
        for record in records:
            due = self._due(record.time_ms)
            if part and due > first + TICK_S:
                yield latest, part
                part = []
            first, latest = (first, max(due, latest)) if part else (due, due)
            part.append(record)
        if part:
            yield latest, part

    def _due(self, time_ms: int) -> float:
        if self._first is None:
            self._first = time.monotonic(), time_ms
        moment, first_ms = self._first
        return moment + (time_ms - first_ms) / 1000 / self._speed


@contextlib.asynccontextmanager
async def opened(config: Config) -> AsyncIterator["Sender"]:
    """A sender to the input topics, which are checked first."""
    found = await topics.described(config)
    streams = [stream for stream in STREAMS[:2] if stream in kafka.inputs(config)]
    topics.refuse(config, topics.findings(config, found, streams))
    largest = {stream: found[stream].number("max.message.bytes") for stream in streams}
    producer = AIOKafkaProducer(
        **kafka.connection(config),
        enable_idempotence=True,
        max_batch_size=min(BATCH_BYTES, *largest.values()),
        request_timeout_ms=int(DELIVERY_S * 1000),
    )
    try:
        async with kafka.answering(config):
            await producer.start()
            try:
                yield Sender(config, producer, found["events"].partitions, largest)
            except (TimeoutError, KafkaTimeoutError) as error:
                where = kafka.cluster(config).bootstrap
                raise BrokerError(
                    f"{where} took no records for {DELIVERY_S:g} s: to play again sends all again"
                ) from error
    finally:
        with contextlib.suppress(TimeoutError):  # what was to be delivered has been awaited
            async with asyncio.timeout(STOP_S):
                await producer.stop()


class Sender:
    """Sends records in batches per partition, at most two of each under way."""

    def __init__(self, config: Config, producer: AIOKafkaProducer, partitions: int, largest: dict[str, int]) -> None:
        self._producer, self._partitions = producer, list(range(partitions))
        self._topics = [kafka.topic(config, stream) for stream in largest]
        self._largest = list(largest.values())
        self.sent, self.rejected = [0, 0], 0  # events and labels; those of them that cannot be decoded
        self._under_way: set[asyncio.Future[object]] = set()
        self._of_key = lru_cache(1 << 16)(self._partition)
        self._choose = DefaultPartitioner()

    async def send(self, records: Iterable[Record]) -> None:
        """Hands records over, in order; raises the error of any that were sent before."""
        batches: dict[tuple[int, int], BatchBuilder] = {}
        create = self._producer.create_batch
        for record in records:
            stream, _, key, value, ok = record
            if len(value) + len(key or b"") + FRAME_BYTES > self._largest[stream]:
                raise self._too_large(record)
            # without a key any partition will do, but the same file should give the same topics
            partition = zlib.crc32(value) % len(self._partitions) if key is None else self._of_key(key)
            place = (stream, partition)
            batch = batches.get(place)
            if batch is None or batch.append(timestamp=None, key=key, value=value) is None:
                if batch is not None:
                    await self._ship(place, batch)
                batches[place] = batch = create()
                batch.append(timestamp=None, key=key, value=value)
            self.sent[stream] += 1
            self.rejected += not ok
        for place, batch in batches.items():
            await self._ship(place, batch)
        done = {sent for sent in self._under_way if sent.done()}
        self._under_way -= done
        _raise_errors(done)
        await asyncio.sleep(0)  # the producer's own task sends

    async def finish(self) -> None:
        """Waits until all is acknowledged; TimeoutError after DELIVERY_S."""
        async with asyncio.timeout(DELIVERY_S):
            await asyncio.gather(*self._under_way)

    async def _ship(self, place: tuple[int, int], batch: BatchBuilder) -> None:
        stream, partition = place
        self._under_way.add(await self._producer.send_batch(batch, self._topics[stream], partition=partition))

    def _partition(self, key: bytes) -> int:
        return int(self._choose(key, self._partitions, self._partitions))

    def _too_large(self, record: Record) -> TopicError:
        topic, largest = self._topics[record.stream], self._largest[record.stream]
        shown = record.value[:60].decode(errors="backslashreplace")
        return TopicError(
            f"{topic} takes messages of {largest} bytes (max.message.bytes), but a record has {len(record.value)}: "
            f"{shown}...; raise it with kafka-configs.sh, then see `driftline topics`"
        )


def _raise_errors(done: Iterable["asyncio.Future[object]"]) -> None:
    for sent in done:
        sent.result()
