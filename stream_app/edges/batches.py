"""Kafka's record batches as columns, without an object for each record (format 2, Kafka's documentation, section 5.3).

`Records` are what a batch holds, `read` gets them out of one, and a `Batch` is one that aiokafka's producer sends as
it sends its own.
"""

import struct
import time
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBase
from aiokafka.record.util import calc_crc32c
from numba import njit

from stream_app.texts import Bytes, Ints, Pieces, copy_piece

_HEAD = DefaultRecordBase.HEADER_STRUCT
_HEAD_BYTES, _LENGTH_FROM = _HEAD.size, DefaultRecordBase.AFTER_LEN_OFFSET
_CRC_AT, _CRC_FROM = DefaultRecordBase.CRC_OFFSET, DefaultRecordBase.ATTRIBUTES_OFFSET
_FORMAT = 2
_MOST_BYTES = 23  # that a record takes beside its key and value


@dataclass(slots=True)
class Records:
    """n records of one partition; neither key nor value is an empty one."""

    offset: Ints
    time_ms: Ints
    key: Pieces
    value: Pieces

    def __len__(self) -> int:
        return len(self.offset)

    def __getitem__(self, part: slice) -> Self:
        """The records of a slice."""
        return type(self)(*(getattr(self, column.name)[part] for column in fields(self)))

    def since(self, start: int) -> Self:
        """Those with offset ≥ start."""
        return self[int(np.searchsorted(self.offset, start)) :]

    def before(self, stop: int) -> Self:
        """Those with offset < stop."""
        return self[: int(np.searchsorted(self.offset, stop))]

    @classmethod
    def of(cls, records: list[Any]) -> Self:
        """From aiokafka's objects."""
        times = [
            -1 if record.timestamp is None else record.timestamp for record in records
        ]  # the oldest format has none
        offset = np.array([record.offset for record in records], np.int64)
        keys, values = ([getattr(record, name) or b"" for record in records] for name in ("key", "value"))
        return cls(offset, np.array(times, np.int64), Pieces.of(keys), Pieces.of(values))

    @classmethod
    def joined(cls, parts: "list[Records]") -> Self:
        """The records of all parts in their order."""
        filled = [part for part in parts if len(part)]
        if len(filled) == 1:
            return cls(*(getattr(filled[0], column.name) for column in fields(cls)))
        offset, time_ms = (
            np.concatenate([np.empty(0, np.int64), *(getattr(part, name) for part in filled)])
            for name in ("offset", "time_ms")
        )
        key, value = (_joined([getattr(part, name) for part in filled]) for name in ("key", "value"))
        return cls(offset, time_ms, key, value)


def _joined(parts: list[Pieces]) -> Pieces:
    """The columns one behind the other, without a copy if they stand in the same bytes."""
    if len({id(part.data) for part in parts}) > 1 or not parts:
        return Pieces.joined(parts)
    starts, ends = (np.concatenate([getattr(part, name) for part in parts]) for name in ("starts", "ends"))
    return Pieces(parts[0].data, starts, ends)


def read(data: Bytes, start: int, stop: int, count: int, base_offset: int, base_ms: int) -> Records:
    """The records of a batch, in these of the bytes, not or no longer compressed; CorruptRecordException if damaged."""
    columns = np.empty((6, count), np.int64)
    if _read(data[:stop], start, columns) != stop:
        raise CorruptRecordException(
            f"a batch from offset {base_offset} on does not hold the records that it announces"
        )
    offset, time_ms, *places = columns
    return Records(base_offset + offset, base_ms + time_ms, Pieces(data, *places[:2]), Pieces(data, *places[2:]))


class Batch:
    """Records to be sent in one batch, in place of aiokafka's BatchBuilder; `stop`: the first that did not fit."""

    def __init__(self, keys: Pieces, values: Pieces, start: int, most_bytes: int) -> None:
        """From record `start` on, as many as there is room for, but one at least."""
        sizes = _MOST_BYTES + keys.ends[start:] - keys.starts[start:] + values.ends[start:] - values.starts[start:]
        count = max(1, int(np.searchsorted(np.cumsum(sizes), most_bytes - _HEAD_BYTES, side="right")))
        self.stop = start + count
        data = np.empty(_HEAD_BYTES + int(sizes[:count].sum()), np.uint8)
        key, value = keys[start : self.stop], values[start : self.stop]
        end = _write(key.data, key.starts, key.ends, value.data, value.starts, value.ends, data, _HEAD_BYTES)
        self._data, self._count, self._time_ms = bytearray(data[:end]), count, time.time_ns() // 1_000_000

    def record_count(self) -> int:
        return self._count

    def size(self) -> int:
        return len(self._data)

    def close(self) -> None:
        """Nothing: it is full from the beginning."""

    def closed(self) -> bool:
        return True

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        length, attributes = len(self._data) - _LENGTH_FROM, DefaultRecordBase.TRANSACTIONAL_MASK
        times, producer = (self._time_ms, self._time_ms), (producer_id, producer_epoch, base_sequence)
        _HEAD.pack_into(
            self._data, 0, 0, length, -1, _FORMAT, 0, attributes, self._count - 1, *times, *producer, self._count
        )
        struct.pack_into(">I", self._data, _CRC_AT, calc_crc32c(memoryview(self._data)[_CRC_FROM:]))

    def _build(self) -> bytearray:
        return self._data

    def read_back(self) -> Records:
        """What a reader finds in it."""
        data = np.frombuffer(bytes(self._data), np.uint8)
        return read(data, _HEAD_BYTES, len(data), self._count, 0, self._time_ms)


@njit(cache=True, nogil=True)
def _number(data: Bytes, at: int) -> tuple[int, int]:
    """A zigzag varint, and where it ends: behind the data if it does not end in it."""
    found = shift = 0
    while at < len(data):
        byte = int(data[at])
        at += 1
        found |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (found >> 1) & 0x7FFFFFFFFFFFFFFF ^ -(found & 1), at
        if shift > 63:
            break
    return 0, len(data) + 1


@njit(cache=True, nogil=True)
def _read(data: Bytes, at: int, columns: Ints) -> int:
    """Fills offset, time, and where key and value stand; returns where the last record ends, -1 if one is damaged."""
    for row in range(columns.shape[1]):
        size, at = _number(data, at)
        end = at + size
        if size < 1 or end > len(data):
            return -1
        columns[1, row], at = _number(data, at + 1)
        columns[0, row], at = _number(data, at)
        for column in (2, 4):
            size, at = _number(data, at)
            size = max(size, 0)
            columns[column, row] = at
            at += size
            columns[column + 1, row] = at
        if at > end:
            return -1
        at = end
    return at


@njit(cache=True, nogil=True)
def _put(number: int, out: Bytes, at: int) -> int:
    """Writes a number ≥ 0 as a zigzag varint; where it ends."""
    number *= 2
    while number > 127:
        out[at] = number & 127 | 128
        number >>= 7
        at += 1
    out[at] = number
    return at + 1


@njit(cache=True, nogil=True)
def _size(number: int) -> int:
    """Of a number ≥ 0 as a zigzag varint, in bytes."""
    size, number = 1, number * 2
    while number > 127:
        size += 1
        number >>= 7
    return size


@njit(cache=True, nogil=True)
def _write(
    key_data: Bytes, key_starts: Ints, key_ends: Ints, value_data: Bytes, value_starts: Ints, value_ends: Ints,
    out: Bytes, at: int,
) -> int:  # fmt: skip
    """Writes records of these keys and values without headers; where the last one ends."""
    for row in range(len(key_starts)):
        key, value = key_ends[row] - key_starts[row], value_ends[row] - value_starts[row]
        at = _put(3 + _size(row) + _size(key) + key + _size(value) + value, out, at)
        out[at] = out[at + 1] = 0  # attributes, and the time beside that of the batch
        at = _put(key, out, _put(row, out, at + 2))
        at = copy_piece(key_data, key_starts[row], key_ends[row], out, at)
        at = _put(value, out, at)
        at = copy_piece(value_data, value_starts[row], value_ends[row], out, at)
        out[at] = 0  # headers
        at += 1
    return at
