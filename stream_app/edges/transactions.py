"""Writing to Kafka: all that one commit of a shard holds, in one transaction, or nothing of it.

Rules:
1. One transactional id per shard: opening a writer ends what an earlier one left open and fences it for ever.
2. Every record's acknowledgement is looked at before the transaction is committed: aiokafka commits without.
3. Any error is final: the process ends and the next one begins at the last commit. Nothing is repaired in place.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from stream_app.config import Config
from stream_app.edges import kafka
from stream_app.edges.batches import Batch
from stream_app.messages import Outcomes, Outputs, Predictions
from stream_app.texts import Pieces

TIMEOUT_S = 30.0  # of a transaction; longer than any broker needs, shorter than anyone wants to wait for a dead one
LEASE_MS = 15_000  # after this the broker aborts what a dead worker left open, if nobody else did
BATCH_BYTES = 512 << 10  # below the broker's default limit of 1 MiB
LARGEST_BYTES = 16 << 20  # a dead letter may hold a record of the input's largest size, escaped

Written = tuple[bytes | None, bytes, list[tuple[str, bytes]]]  # key, value, headers


class Columns(NamedTuple):
    """n records without headers."""

    key: Pieces
    value: Pieces


ToWrite = Iterable[Written] | Columns


class Writer:
    """Writes to partition `shard` of the output topics. TimeoutError and KafkaError are for the process to die of."""

    def __init__(self, config: Config, shard: int) -> None:
        self._config, self._shard = config, shard
        self._producer = AIOKafkaProducer(
            **kafka.connection(config),
            transactional_id=f"{config.name}-{shard}",
            transaction_timeout_ms=LEASE_MS,
            max_batch_size=BATCH_BYTES,
            max_request_size=LARGEST_BYTES,
        )

    async def open(self) -> None:
        """Fences every earlier writer of this shard; what it had committed is visible afterwards, the rest never."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._producer.start()

    async def close(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self._producer.stop()

    async def write(self, streams: Mapping[str, ToWrite]) -> dict[str, int]:
        """One transaction; returns the offset of the first record of each stream that got any."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._producer.begin_transaction()
            offsets = await asyncio.gather(*(self._send(stream, records) for stream, records in streams.items()))
            await self._producer.commit_transaction()
        return {stream: offset for stream, offset in zip(streams, offsets, strict=True) if offset is not None}

    async def _send(self, stream: str, records: ToWrite) -> int | None:
        topic = kafka.topic(self._config, stream)
        batches = column_batches(records) if isinstance(records, Columns) else self._batches(records)
        sent = [await self._producer.send_batch(batch, topic, partition=self._shard) for batch in batches]
        places = await asyncio.gather(*sent)
        return int(places[0].offset) if places else None

    def _batches(self, records: Iterable[Written]) -> Iterator[Any]:
        batch = self._producer.create_batch()
        for key, value, headers in records:
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                yield batch
                batch = self._producer.create_batch()
                batch.append(timestamp=None, key=key, value=value, headers=headers)
        if batch.record_count():
            yield batch


def column_batches(records: Columns) -> Iterator[Batch]:
    """All records, in as few batches as the broker takes."""
    start = 0
    while start < len(records.key):
        batch = Batch(*records, start, BATCH_BYTES)
        yield batch
        start = batch.stop


def records_of(outputs: Outputs) -> dict[str, ToWrite]:
    """The records of each output stream, in order.

    Messages carry their id as a header; that of a prediction or outcome is STREAM-SHARD-OFFSET, from its value.
    """
    found: dict[str, ToWrite] = {**messages_of(outputs)}
    if outputs.predictions:
        found["predictions"] = _columns(outputs.predictions)
    if outputs.outcomes:
        found["outcomes"] = _columns(outputs.outcomes)
    return found


def messages_of(outputs: Outputs) -> dict[str, list[Written]]:
    """Those of all streams but predictions and outcomes."""
    found: dict[str, list[Written]] = {}
    for message in outputs.messages:
        written = message.key.encode(), message.value, [("id", message.id.encode())]
        found.setdefault(message.stream, []).append(written)
    return found


def _columns(parts: Sequence[Predictions | Outcomes]) -> Columns:
    return Columns(Pieces.joined([part.id for part in parts]), Pieces.joined([part.values() for part in parts]))


def rehearsed(outputs: Outputs) -> None:
    """Makes batches of predictions and outcomes, and reads them, which compiles what that needs; sends nothing."""
    for records in records_of(outputs).values():
        for batch in column_batches(records) if isinstance(records, Columns) else ():
            batch.read_back()
