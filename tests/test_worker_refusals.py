"""What the worker refuses, and what it goes on from."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from kafka_results import assert_equal, embedded, written
from kafka_runs import Worker, administered, all_taken, finished, in_row, last_commits, monitor, wait_until

from compose.broker import Broker
from stream_app.config import Config, digest, load
from stream_app.edges import commits, kafka, snapshots, topics
from stream_app.edges.commits import Pointer, Span
from stream_app.pipeline import Pipeline


@pytest.mark.parametrize("kept", [True, False])
def test_a_damaged_snapshot_is_not_used(tmp_path: Path, broker: Broker, *, kept: bool) -> None:
    file = monitor(tmp_path, broker.bootstrap, f"damaged-{kept}", labels=False)
    config = load(file)
    events = in_row(config, 1, 1500)
    finished(file, config, events)
    damage(config, kept=kept)
    events += in_row(config, 1, 1500, first=events)
    finished(file, config, events)
    assert_equal(written(config, 0), embedded(tmp_path, config, 0))


def damage(config: Config, *, kept: bool) -> None:
    """Two newer snapshots, of garbage and of a foreigner, to which a commit points; `kept`: and to the good one."""
    _, last = last_commits(config)[0]
    foreign = snapshots.encode(Pipeline(config).snapshot(), config_digest=digest(config), key=b"somebody else's")
    pointers = []
    for slot, state in enumerate((b"garbage" * 1000, foreign)):
        at = len_of(config, "snapshots")
        chunks = list(commits.chunks(state, last.number, slot))
        send_written(config, "snapshots", chunks)
        pointers.append(Pointer(at, len(chunks), len_of(config, "commits") - 1, last.number, last.records, slot))
    good = last.snapshots[:1] if kept else []
    here = {stream: Span(span.stop, span.stop) for stream, span in last.inputs.items()}
    fake = msgspec.structs.replace(
        last, number=last.number + 1, inputs=here, order=commits.packed(b""), snapshots=[*pointers, *good]
    )
    send_written(config, "commits", [commits.written(fake)])


def len_of(config: Config, stream: str) -> int:
    place = TopicPartition(kafka.topic(config, stream), 0)

    async def work() -> int:
        async with kafka.consumer(config) as client:
            return int((await client.end_offsets([place]))[place])

    return asyncio.run(work())


def send_written(config: Config, stream: str, entries: list[Any]) -> None:
    """Records with headers, in a transaction as the worker's."""

    async def work() -> None:
        producer = AIOKafkaProducer(**kafka.connection(config), transactional_id=f"{config.name}-vandal")
        await producer.start()
        async with producer.transaction():
            for key, value, headers in entries:
                await producer.send_and_wait(kafka.topic(config, stream), value, key, partition=0, headers=headers)
        await producer.stop()

    asyncio.run(work())


def test_another_configuration_under_the_same_name_is_refused(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "other", labels=False)
    config = load(file)
    finished(file, config, in_row(config, 1, 200))
    file.write_text(file.read_text().replace("window = 80", "window = 90"))
    with Worker(file) as worker:
        assert worker.ended() == 2


@pytest.mark.parametrize("everywhere", [False, True])
def test_more_partitions_are_refused(tmp_path: Path, broker: Broker, *, everywhere: bool) -> None:
    file = monitor(tmp_path, broker.bootstrap, f"more-{everywhere}", labels=False)
    config = load(file)
    finished(file, config, in_row(config, 1, 200))
    streams = [kafka.topic(config, stream) for stream in (topics.streams(config) if everywhere else ["events"])]
    administered(config, lambda client: client.create_partitions(dict.fromkeys(streams, NewPartitions(2))))
    with Worker(file) as worker:
        assert worker.ended() == 2


def test_records_that_were_deleted_unread(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "gap", labels=False)
    config = load(file)
    finished(file, config, in_row(config, 1, 500))
    events = 500 + in_row(config, 1, 500, first=500)
    place = TopicPartition(kafka.topic(config, "events"), 0)
    administered(config, lambda client: client.delete_records({place: RecordsToDelete(700)}))
    with Worker(file) as worker:
        assert worker.ended() == 2
    file.write_text(file.read_text() + 'gaps = "alert"\n')
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"events": [events], "control": [1]}), worker)
        worker.kill()
    events += in_row(config, 1, 100, first=events)
    finished(file, config, events)
    found = written(config, 0)
    ids = [key for _, key, _ in found.streams["predictions"]]
    assert ids == [f"e{i}" for i in [*range(500), *range(700, 1100)]]
    assert any(json.loads(value)["data"]["signal"] == "gap:events" for _, _, value in found.streams["alerts"])
