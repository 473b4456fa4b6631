"""Fetching by columns: the same records as aiokafka's objects, wherever one begins and whatever lies between them."""

import asyncio
import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder, _DefaultRecordBatchPy
from monitors import Monitor
from waiting import TIMEOUT_S

from compose.broker import Broker
from stream_app.config import Config
from stream_app.edges import fetching, kafka
from stream_app.edges.batches import Records

BATCH = 100  # records of a transaction


@pytest.fixture
def monitor(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Monitor:
    return Monitor.over(broker, tmp_path, request)


async def fill(config: Config, topic: str) -> None:
    """Transactions of every compression, each second one aborted, then single records without one."""
    for kind in (None, "gzip", "snappy", "lz4", "zstd"):
        options = {"transactional_id": f"{topic}.{kind}", "compression_type": kind, "linger_ms": 20}
        async with AIOKafkaProducer(**kafka.connection(config), **options) as producer:
            for number in range(4):
                await producer.begin_transaction()
                for i in range(BATCH):
                    key = None if i % 7 == 1 else b"k%d" % i
                    value = None if i % 7 == 2 else b"%s %d %d " % (str(kind).encode(), number, i) * (i % 5)
                    await producer.send(topic, value, key, partition=0, headers=[("h", b"1")] if i % 3 else [])
                await (producer.abort_transaction() if number % 2 else producer.commit_transaction())
    async with AIOKafkaProducer(**kafka.connection(config)) as producer:
        for i in range(5):
            await producer.send_and_wait(topic, b"alone %d" % i, partition=0)


async def read(config: Config, topic: str, start: int, *, columns: bool, isolation: str) -> Records:
    place = TopicPartition(topic, 0)
    async with kafka.consumer(config, columns=[topic] if columns else [], isolation_level=isolation) as client:
        client.assign([place])
        end = (await client.end_offsets([place]))[place]
        if columns:
            return Records.joined([some async for some in kafka.read_columns(client, place, start, end)])
        return Records.of([record async for some in kafka.read_between(client, place, start, end) for record in some])


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
def test_the_same_records_from_any_place(monitor: Monitor, isolation: str) -> None:
    monitor.make("events")
    config, topic = monitor.config, kafka.topic(monitor.config, "events")

    async def work() -> None:
        await fill(config, topic)
        for start in (0, 1, BATCH // 2, BATCH + 1, 5 * BATCH + 7, 20 * BATCH + 3):
            plain = await read(config, topic, start, columns=False, isolation=isolation)
            found = await read(config, topic, start, columns=True, isolation=isolation)
            assert found.offset.tolist() == plain.offset.tolist()
            assert found.time_ms.tolist() == plain.time_ms.tolist()
            assert found.key.same(plain.key)
            assert found.value.same(plain.value)
        assert (len(plain) == 5) == (isolation == "read_committed")

    asyncio.run(asyncio.wait_for(work(), TIMEOUT_S))


def test_many_records_come_in_parts_and_topics_that_were_not_named_as_objects(monitor: Monitor) -> None:
    monitor.make("events", "labels")
    config, (events, labels) = monitor.config, [kafka.topic(monitor.config, name) for name in ("events", "labels")]

    async def work() -> None:
        async with AIOKafkaProducer(**kafka.connection(config), linger_ms=50, max_batch_size=900_000) as producer:
            for i in range(2 * fetching.MOST):
                await producer.send(events, b"%d" % i, partition=0)
            await producer.send(labels, b"1", partition=0)
        places = [TopicPartition(topic, 0) for topic in (events, labels)]
        async with kafka.consumer(config, columns=[events]) as client:
            client.assign(places)
            sizes, objects = [], []
            while sum(sizes) < 2 * fetching.MOST or not objects:
                found = await client.getmany(timeout_ms=100, max_records=1)
                sizes += [len(some) for some in found.get(places[0], [])]
                objects += found.get(places[1], [])
        assert max(sizes) <= fetching.MOST
        assert [record.value for record in objects] == [b"1"]

    asyncio.run(asyncio.wait_for(work(), TIMEOUT_S))


@pytest.mark.parametrize("damaged", [None, 2, 50, -1])
def test_a_damaged_batch_is_refused_and_no_other(damaged: int | None) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for i in range(20):
        builder.append(i, 1000 + i, b"k%d" % i, b"v" * i, [])
    batch = bytes(builder.build())
    data = bytearray(batch + batch + batch[:30])  # the broker cuts the last one off where it is full
    if damaged is not None:
        data[len(batch) + damaged % len(batch)] ^= 1
    rules = {"_check_crcs": True, "_isolation_level": 0, "_aborted_transactions": None}
    plain = SimpleNamespace(_tp=TopicPartition("t", 0), next_fetch_offset=0, **rules)
    columns = fetching._PartitionColumns(plain, bytes(data))

    if damaged in (None, 2):  # the base offset stands before what is summed up
        assert [len(some) for some in columns] == [40]
    else:
        with pytest.raises(CorruptRecordException, match="the batch from offset 0 on"):
            list(columns)


def test_what_is_used_of_aiokafkas_inside_is_there() -> None:
    made = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    given = inspect.getsource(fetcher.FetchResult)

    assert "response = await self._client.send(node_id, request)" in made
    assert "records = MemoryRecords(part_data[-1])" in made
    assert "self._proc_fetch_request(assignment, node_id, request)" in inspect.getsource(fetcher.Fetcher)
    assert "for msg in self._partition_records" in given
    assert "self._partition_records.next_fetch_offset" in given
    for name in ("_unpack_records", "_consume_aborted_up_to", "_contains_abort_marker"):
        assert hasattr(fetcher.PartitionRecords, name)
    assert hasattr(_DefaultRecordBatchPy, "_maybe_uncompress")
