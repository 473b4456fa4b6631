"""What is written beside the pipeline: an operator's commands, dead letters once more, undelivered notifications."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import ProducerFenced

from stream_app.config import Config
from stream_app.edges import kafka, subscriber
from stream_app.edges.transactions import BATCH_BYTES, LARGEST_BYTES, LEASE_MS
from stream_app.errors import BrokerError

MOST = 1000  # dead letters in one transaction


async def send_command(config: Config, partition: int, value: bytes) -> int:
    """Appends a command to a shard's partition of the control topic; returns its offset when all replicas have it."""
    async with _producer(config, acks="all") as producer:
        await subscriber.partitions(config, "control")
        sent = await producer.send_and_wait(kafka.topic(config, "control"), value, partition=partition)
        return int(sent.offset)


async def append(config: Config, stream: str, partition: int, key: bytes, value: bytes) -> None:
    """Appends a record to a topic that no transaction writes; it is there, and once, when this returns."""
    async with _producer(config, enable_idempotence=True) as producer:
        await producer.send_and_wait(kafka.topic(config, stream), value, key, partition)


async def resubmit(config: Config) -> int:
    """Sends the raw bytes of each dead letter of an input, once, to where it came from; returns how many.

    Exactly once, also after a crash: the records and the group's offset behind their letters are one transaction. Where
    two do so at once, the later one ends the earlier one, which gets a BrokerError.
    """
    group = f"{config.name}-resubmit"
    places = await subscriber.partitions(config, "dead-letters")
    # the producer first: it ends what an earlier one left open, and only then are the group's offsets final
    options = {"transactional_id": group, "transaction_timeout_ms": LEASE_MS}
    sent = 0
    async with _producer(config, **options) as producer, kafka.consumer(config, group_id=group) as client:
        client.assign(places)
        starts, ends = await client.beginning_offsets(places), await client.end_offsets(places)
        for place in places:
            start = max(await client.committed(place) or 0, starts[place])
            async for letters in kafka.read_between(client, place, start, ends[place]):
                for first in range(0, len(letters), MOST):
                    part = letters[first : first + MOST]
                    sent += await _send_again(config, producer, place, part)
            client.pause(place)
    return sent


async def _send_again(
    config: Config, producer: AIOKafkaProducer, place: TopicPartition, letters: list[ConsumerRecord]
) -> int:
    """One transaction; an error leaves it open, for the broker or the next call to end."""
    values = of_inputs(letter.value for letter in letters)
    async with asyncio.timeout(kafka.REQUEST_TIMEOUT_S):
        await producer.begin_transaction()
        sent = [await _send(config, producer, place.partition, value) for value in values]
        await asyncio.gather(*sent)  # aiokafka would commit without those that were refused
        offset = {place: letters[-1].offset + 1}
        await producer.send_offsets_to_transaction(offset, f"{config.name}-resubmit")
        await producer.commit_transaction()
    return len(values)


async def _send(
    config: Config, producer: AIOKafkaProducer, partition: int, letter: dict[str, Any]
) -> "asyncio.Future[Any]":
    """Without a key: of a refused record none is known, and the partition is what counts."""
    topic = kafka.topic(config, letter["stream"])
    sent: asyncio.Future[Any] = await producer.send(topic, raw_of(letter), partition=partition)
    return sent


def of_inputs(letters: Iterable[bytes]) -> list[dict[str, Any]]:
    """All but commands: one that was refused weeks ago must not be obeyed because data is sent again."""
    found = map(json.loads, letters)
    return [letter for letter in found if letter["stream"] != "control"]


def raw_of(letter: dict[str, Any]) -> bytes:
    """The bytes that were refused."""
    return letter["raw"].encode() if "raw" in letter else base64.b64decode(letter["raw_base64"])


@contextlib.asynccontextmanager
async def _producer(config: Config, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A producer; BrokerError if no broker answers, now or later."""
    sizes = {"max_batch_size": BATCH_BYTES, "max_request_size": LARGEST_BYTES}
    client = AIOKafkaProducer(**kafka.connection(config), **sizes, **options)
    try:
        async with kafka.answering(config), _alone(config):
            async with asyncio.timeout(kafka.REQUEST_TIMEOUT_S):
                await client.start()
            yield client
    finally:
        with contextlib.suppress(TimeoutError):  # what was to be delivered has been awaited
            async with asyncio.timeout(kafka.REQUEST_TIMEOUT_S):
                await client.stop()


@contextlib.asynccontextmanager
async def _alone(config: Config) -> AsyncIterator[None]:
    try:
        yield
    except ProducerFenced as error:
        raise BrokerError(
            f"another call has begun to resubmit {config.name}'s dead letters: it sends the rest"
        ) from error
