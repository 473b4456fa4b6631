"""Record batches by columns: aiokafka reads what is written here, and both read the same."""

from typing import Any

import numpy as np
import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from stream_app.edges.batches import Batch, Records, read
from stream_app.texts import Pieces

HEAD_BYTES = 61
LONG = b"x" * 70_000
pieces = st.lists(st.tuples(st.binary(max_size=80), st.binary(max_size=300)), min_size=1, max_size=200)


def sent(pairs: list[tuple[bytes, bytes]], start: int = 0, most_bytes: int = 1 << 20) -> Batch:
    batch = Batch(Pieces.of(k for k, _ in pairs), Pieces.of(v for _, v in pairs), start, most_bytes)
    batch._set_producer_state(7, 3, 11)
    return batch


def theirs(data: bytes) -> list[Any]:
    batch = DefaultRecordBatch(data)
    assert batch.validate_crc()
    return list(batch)


@given(pieces)
def test_aiokafka_reads_what_is_written_here(pairs: list[tuple[bytes, bytes]]) -> None:
    data = bytes(sent(pairs)._build())

    assert [(r.key, r.value, r.offset, r.headers) for r in theirs(data)] == [
        (key, value, offset, []) for offset, (key, value) in enumerate(pairs)
    ]
    again = sent(pairs).read_back()
    assert [(key, value) for key, value in zip(again.key, again.value, strict=True)] == pairs
    head = DefaultRecordBatch(data)
    assert head.is_transactional
    assert not head.is_control_batch
    assert (head.producer_id, head.producer_epoch, head.base_sequence) == (7, 3, 11)
    assert head.next_offset == len(pairs)


def test_what_has_no_room_comes_in_the_next_batch_and_one_record_always_fits() -> None:
    pairs = [(b"k", LONG), (b"l", b"1"), (b"m", b"2"), (b"n", LONG)]
    found, start = [], 0
    while start < len(pairs):
        batch = sent(pairs, start, 1000)
        found.append([record.key for record in theirs(bytes(batch._build()))])
        assert batch.record_count() == batch.stop - start
        assert batch.size() <= 1000 or batch.record_count() == 1
        start = batch.stop

    assert found == [[b"k"], [b"l", b"m"], [b"n"]]


records = st.tuples(
    st.none() | st.binary(max_size=40),
    st.none() | st.binary(max_size=300),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=2),
    st.integers(-(2**40), 2**40),
)


@given(st.lists(records, min_size=1, max_size=100))
def test_both_read_the_same(written: list[tuple[Any, ...]]) -> None:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 20
    )
    for i, (key, value, headers, apart_ms) in enumerate(written):
        builder.append(2 * i, timestamp=1_700_000_000_000 + apart_ms, key=key, value=value, headers=headers)
    data = bytes(builder.build())
    batch = DefaultRecordBatch(data)
    expected = Records.of(list(batch))

    found = read(np.frombuffer(data, np.uint8), HEAD_BYTES, len(data), len(written), 0, batch.first_timestamp)

    assert found.offset.tolist() == expected.offset.tolist()
    assert found.time_ms.tolist() == expected.time_ms.tolist()
    assert found.key == expected.key == [key or b"" for key, *_ in written]
    assert found.value == expected.value == [value or b"" for _, value, *_ in written]


@pytest.mark.parametrize("seed", range(200))
def test_damage_is_told_or_reads_within_the_data(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = np.array(sent([(b"k%d" % i, b"value" * i) for i in range(20)])._build())[HEAD_BYTES:]
    data[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
    data = data[: len(data) - rng.integers(3)]
    try:
        found = read(data, 0, len(data), 20, 0, 0)
    except CorruptRecordException:
        return
    for column in (found.key, found.value):
        assert (column.starts >= 0).all()
        assert (column.starts <= column.ends).all()
        assert (column.ends <= len(data)).all()


def test_parts_of_records() -> None:
    some = Records(
        np.array([3, 5, 9]), np.array([1, 2, 3]), Pieces.of([b"a", b"b", b"c"]), Pieces.of([b"1", b"2", b"3"])
    )

    assert some.since(4).before(9).key == [b"b"]
    assert len(some.since(10)) == 0
    both = Records.joined([some.since(9), some[:0], some.before(5)])
    assert (both.offset.tolist(), both.key.tolist(), both.value.tolist()) == ([9, 3], [b"c", b"a"], [b"3", b"1"])
    assert len(Records.joined([])) == 0
