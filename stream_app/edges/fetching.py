"""Fetching by columns: a consumer of aiokafka's that hands out `Records` of many records each, not an object for each.

aiokafka has no way to get at the bytes of a fetch (tests/test_fetching.py pins what is used of its inside).
"""

import struct
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import calc_crc32c

from stream_app.edges.batches import Records, read
from stream_app.texts import Bytes

MOST = 4096  # records handed out as one
_SIZE_AT, _SIZED_FROM, _FORMAT_AT = 8, 12, 16  # bytes of a batch, of any format


def by_columns(consumer: AIOKafkaConsumer, topics: Collection[str]) -> None:
    """From now on `getmany` of this consumer, which was started, has `Records` for each of these topics."""
    fetcher = consumer._fetcher  # noqa: SLF001
    client = fetcher._client = _Client(fetcher._client)  # noqa: SLF001
    fetch = fetcher._proc_fetch_request  # noqa: SLF001

    async def fetched(assignment: Any, node: Any, request: Any) -> Any:
        found = await fetch(assignment, node, request)
        for place, result in fetcher._records.items():  # noqa: SLF001
            data = client.fetched.pop(place, None)
            if data is not None and place.topic in topics and isinstance(result, FetchResult):
                result._partition_records = _PartitionColumns(result._partition_records, data)  # noqa: SLF001
        client.fetched.clear()
        return found

    fetcher._proc_fetch_request = fetched  # noqa: SLF001


class _Client:
    """Keeps the bytes of what was fetched beside what aiokafka makes of them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.fetched: dict[TopicPartition, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node: Any, request: Any) -> Any:
        response = await self._client.send(node, request)
        for topic, partitions in getattr(response, "topics", ()):
            for partition, *_, data in partitions:
                if isinstance(data, bytes):
                    self.fetched[TopicPartition(topic, partition)] = data
        return response


class _PartitionColumns(PartitionRecords):  # type: ignore[misc]
    """Iterates over the records of a fetch as `Records` of at most MOST."""

    def __init__(self, plain: Any, data: bytes) -> None:
        self._data = data
        self.next_fetch_offset: int
        rules = plain._check_crcs, plain._isolation_level  # noqa: SLF001
        start = plain.next_fetch_offset
        super().__init__(plain._tp, None, plain._aborted_transactions, start, None, None, *rules)  # noqa: SLF001

    def _unpack_records(self) -> Iterator[Records]:
        data, batches = np.frombuffer(self._data, np.uint8), dict(_batches(self._data))
        visible = [_columns(batch, data, end) for end, batch in batches.items() if self._is_visible(batch)]
        records = Records.joined(visible).since(self.next_fetch_offset)
        for start in range(0, len(records), MOST):
            some = records[start : start + MOST]
            self.next_fetch_offset = int(some.offset[-1]) + 1
            yield some
        # behind markers, aborted records and compacted ones too: else they are fetched again and again
        self.next_fetch_offset = max([self.next_fetch_offset, *(batch.next_offset for batch in batches.values())])

    def _is_visible(self, batch: Any) -> bool:
        """Whether these are records for a reader: no marker, and not of an aborted transaction."""
        if self._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"invalid CRC: {self._tp}, the batch from offset {batch.base_offset} on")
        if self._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return False
        return not batch.is_control_batch


class _RecordBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch of format 2 that copies no bytes."""

    def __init__(self, batch: memoryview) -> None:
        super().__init__(batch[: self.HEADER_STRUCT.size])
        self._buffer = batch

    def validate_crc(self) -> bool:
        return bool(self.crc == calc_crc32c(self._buffer[self.ATTRIBUTES_OFFSET :]))


def _batches(data: bytes) -> Iterator[tuple[int, Any]]:
    """The whole batches of a fetch, and where each ends; the last may be cut off."""
    start = 0
    while start + _FORMAT_AT < len(data):
        end = start + _SIZED_FROM + struct.unpack_from(">i", data, start + _SIZE_AT)[0]
        if end > len(data):
            return
        batch, form = memoryview(data)[start:end], data[start + _FORMAT_AT]
        yield end, _RecordBatch(batch) if form > 1 else LegacyRecordBatch(batch, form)
        start = end


def _columns(batch: Any, fetched: Bytes, end: int) -> Records:
    """The records of a batch that ends there."""
    if not isinstance(batch, _DefaultRecordBatchPy):
        return Records.of(list(batch))
    where = fetched, end - len(batch._buffer) + batch._pos, end  # noqa: SLF001
    if batch.compression_type:
        batch._maybe_uncompress()  # noqa: SLF001
        where = np.frombuffer(batch._buffer, np.uint8), 0, len(batch._buffer)  # noqa: SLF001
    records = read(*where, batch._num_records, batch.base_offset, batch.first_timestamp)  # noqa: SLF001
    if batch.timestamp_type:
        records.time_ms[:] = batch.max_timestamp  # the broker's
    return records
