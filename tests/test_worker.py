"""The worker on a real broker: what it writes, what a kill changes (nothing), what it refuses."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from kafka_runs import (
    Worker,
    all_taken,
    append,
    assert_equal,
    direct,
    embedded,
    last_commits,
    monitor,
    records,
    replayed,
    send,
    shared,
    slow,
    slow_labels,
    taken,
    two_streams,
    wait_until,
    written,
)
from runs import rows

from compose.broker import Broker
from stream_app.config import Config, digest, load
from stream_app.edges import commits, kafka, snapshots, topics
from stream_app.edges.commits import Pointer, Span
from stream_app.errors import BrokerError
from stream_app.pipeline import Pipeline

STOP_S = 10.0  # what SIGTERM may take
PARTITIONS = 2
T = TypeVar("T")


def check(folder: Path, config: Config, partitions: int = PARTITIONS) -> None:
    for shard in range(partitions):
        assert_equal(written(config, shard), embedded(folder, config, shard))


def in_row(config: Config, seed: int, n: int, *, first: int = 0) -> int:
    """Events that hold their labels, for partition 0; their number."""
    made = rows(seed, first + n)[first:]
    send(config, "events", shared(made, 1, lambda _: 0))
    return n


def finished(file: Path, config: Config, events: int, instance: str = "w0") -> None:
    """Runs a worker until it has taken so many events of partition 0, then stops it."""
    with Worker(file, instance) as worker:
        wait_until(lambda: all_taken(config, {"events": [events]}), worker)
        assert worker.stop() == 0, worker.told()


def administered(config: Config, work: Callable[[AIOKafkaAdminClient], Coroutine[Any, Any, T]]) -> T:
    async def all_of_it() -> T:
        async with kafka.admin(config) as client:
            return await work(client)

    return asyncio.run(all_of_it())


def members(config: Config) -> dict[str, dict[str, set[int]]]:
    """The partitions of each member of the worker's group, by topic."""
    try:
        (answer,) = administered(config, lambda client: client.describe_consumer_groups([config.name]))
    except BrokerError:  # the group has no coordinator yet
        return {}
    (group,) = answer.groups
    found = {}
    for name, *_, assignment in group[5]:
        shares = ConsumerProtocolMemberAssignment.decode(assignment).assignment if assignment else []
        found[name] = {topic: set(partitions) for topic, partitions in shares}
    return found


# a life


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[tuple[Path, Config, int, float]]:
    """A worker that has taken everything and was stopped: its folder, configuration, exit code and the stop's time."""
    folder = tmp_path_factory.mktemp("ended")
    file = monitor(folder, broker.bootstrap, "ended", partitions=PARTITIONS)
    config = load(file)
    ends = two_streams(config, rows(1, 4000))
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, ends), worker)
        started = time.monotonic()
        code = worker.stop()
        yield folder, config, code, time.monotonic() - started


def test_it_writes_what_the_embedded_engine_writes(ended: tuple[Path, Config, int, float]) -> None:
    folder, config, *_ = ended
    check(folder, config)
    assert written(config, 0).streams["alerts"]
    assert written(config, 0).streams["outcomes"]


def test_sigterm_ends_it_in_time_and_leaves_a_snapshot(ended: tuple[Path, Config, int, float]) -> None:
    _, config, code, seconds = ended
    assert code == 0
    assert seconds < STOP_S
    for _, commit in last_commits(config).values():
        assert commit.snapshots[0].number >= commit.number - 1


def test_it_leaves_the_group(ended: tuple[Path, Config, int, float]) -> None:
    assert members(ended[1]) == {}


def test_the_groups_offsets_are_those_of_the_commits(ended: tuple[Path, Config, int, float]) -> None:
    config = ended[1]
    found = administered(config, lambda client: client.list_consumer_group_offsets(config.name))
    offsets = {(place.topic, place.partition): known.offset for place, known in found.items()}
    for shard, position in taken(config).items():
        for stream in ("events", "labels"):
            assert offsets[kafka.topic(config, stream), shard] == position[stream]


# kills


def test_kills_change_nothing(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "killed", partitions=PARTITIONS)
    config = load(file)
    ends = two_streams(config, rows(2, 12_000))
    for kill in range(4):
        with Worker(file, before=slow) as worker:
            seen = sum(commit.number for _, commit in last_commits(config).values())
            wait_until(lambda seen=seen: sum(c.number for _, c in last_commits(config).values()) > seen + 3, worker)  # type: ignore[misc]
            time.sleep(random.Random(kill).uniform(0, 0.1))
            worker.kill()
    assert not all_taken(config, ends)  # otherwise the kills came too late
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, ends), worker)
        assert worker.stop() == 0
    check(tmp_path, config)


def test_a_killed_worker_is_back_before_its_session_ends(tmp_path: Path, broker: Broker) -> None:
    session_s = 30
    file = monitor(tmp_path, broker.bootstrap, "back", labels=False, kafka_lines=f'session = "{session_s}s"')
    config = load(file)
    first = in_row(config, 1, 300)
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"events": [first]}), worker)
        worker.kill()
    started = time.monotonic()
    second = in_row(config, 1, 300, first=first)
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"events": [first + second]}), worker)
        assert time.monotonic() - started < session_s / 2
        assert worker.stop() == 0


def test_two_workers_share_partitions_and_one_takes_over(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "two", partitions=4)
    config = load(file)
    names = [kafka.topic(config, stream) for stream in kafka.inputs(config)]
    with Worker(file, "a") as one, Worker(file, "b") as other:
        wait_until(lambda: len(members(config)) == 2 and all(members(config).values()), one, other)
        shares = list(members(config).values())
        for share in shares:
            assert all(share[name] == share[names[0]] for name in names)
        assert sorted(len(share[names[0]]) for share in shares) == [2, 2]
        ends = two_streams(config, rows(4, 2000))
        other.kill()
        wait_until(lambda: all_taken(config, ends), one)
        assert one.stop() == 0
    check(tmp_path, config, 4)


# what it reads


def test_aborted_records_are_never_read(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "aborted", labels=False)
    config = load(file)
    made = shared(rows(5, 400), 1, lambda _: 0)[0]

    async def work() -> None:
        connected = kafka.connection(config)
        producer = AIOKafkaProducer(**connected, transactional_id="upstream", max_batch_size=900_000)
        await producer.start()
        for start in range(0, len(made), 100):
            await producer.begin_transaction()
            await append(producer, kafka.topic(config, "events"), 0, made[start : start + 100])
            await (producer.abort_transaction() if start % 200 else producer.commit_transaction())
        await producer.stop()

    asyncio.run(work())
    last = records(config, "events", 0)[-1].offset + 1
    finished(file, config, last)
    found = written(config, 0)
    assert_equal(found, direct(config, 0))
    ids = [key for _, key, _ in found.streams["predictions"]]
    assert ids == [f"e{i}" for i in [*range(100), *range(200, 300)]]


def test_labels_in_the_row_and_commands(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "commands", labels=False)
    config = load(file)
    events = in_row(config, 1, 3000)
    finished(file, config, events)
    assert_equal(written(config, 0), embedded(tmp_path, config, 0))
    alerts = [json.loads(value)["data"] for _, _, value in written(config, 0).streams["alerts"]]
    status = {alert["incident"]: alert["status"] for alert in alerts}
    incident = next(name for name, last in status.items() if last != "recovered")
    acknowledge = {"command": "acknowledge", "incident": incident, "by": "me"}
    commands = [acknowledge, {"command": "reset", "by": "me"}, {"x": 1}]
    send(config, "control", {0: [json.dumps(command).encode() for command in commands]})
    events += in_row(config, 1, 500, first=events)
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"events": [events], "control": [3]}), worker)
        worker.kill()
    found = written(config, 0)
    assert_equal(found, replayed(config, 0))
    audit = [json.loads(value) for _, _, value in found.streams["audit"]]
    assert {"acknowledge", "reset"} <= {entry.get("command") for entry in audit}
    assert any(json.loads(value)["data"]["status"] == "acknowledged" for _, _, value in found.streams["alerts"])
    assert len(found.streams["dead-letters"]) == 1, found.streams["dead-letters"]


def test_recovery_reproduces_what_late_labels_did(tmp_path: Path, broker: Broker) -> None:
    lines = 'max_wait = "100ms"'
    file = monitor(tmp_path, broker.bootstrap, "late", partitions=PARTITIONS, kafka_lines=lines)
    config = load(file)
    ends = two_streams(config, rows(6, 8000))
    with Worker(file, before=slow_labels) as worker:
        wait_until(lambda: taken(config).get(0, {}).get("labels", 0) > 0, worker)
        worker.kill()
    with Worker(file, before=slow_labels) as worker:
        wait_until(lambda: all_taken(config, ends), worker)
        worker.kill()
    in_time = embedded(tmp_path, config, 0)
    for shard in range(PARTITIONS):
        found = written(config, shard)
        assert_equal(found, replayed(config, shard))
        assert len(found.streams["predictions"]) == ends["events"][shard]
    assert written(config, 0).streams["outcomes"] != in_time.streams["outcomes"]  # they were late indeed


def test_poison_harms_nobody(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "poison", labels=False)
    config = load(file)
    rng = random.Random(7)
    good = shared(rows(7, 2000), 1, lambda _: 0)[0]
    mixed = list(poison(rng, good, 100_000))
    for place in sorted(rng.sample(range(len(mixed)), len(good)), reverse=True):
        mixed.insert(place, good.pop())
    send(config, "events", {0: mixed})
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"events": [len(mixed)]}), worker)
        assert worker.stop() == 0
    found = written(config, 0)
    assert [key for _, key, _ in found.streams["predictions"]] == [f"e{i}" for i in range(2000)]
    assert len(found.streams["dead-letters"]) == 100_000
    assert_equal(found, direct(config, 0))


def poison(rng: random.Random, good: list[bytes], count: int) -> Iterator[bytes | None]:
    """Records that are none: a few of nearly 1 MB, which is what a broker takes."""
    for i in range(count):
        record = bytearray(rng.choice(good))
        kind = i % 8
        if i % 5000 == 0:
            yield rng.choice((rng.randbytes(900_000), b'{"id": "x", "b": "%b"}' % (b"\x01" * 900_000)))
        elif kind == 0:
            yield rng.randbytes(rng.randrange(1, 200))
        elif kind == 1:
            yield bytes(record[: rng.randrange(1, len(record) - 1)])
        elif kind == 2:
            row = {"id": rng.choice((1, None, [], {})), "t": "then", "b": rng.choice(("x", [], {}))}
            yield json.dumps(row).encode()
        elif kind == 3:
            yield b"[" * rng.choice((rng.randrange(1, 500), rng.randrange(2000, 20_000)))
        elif kind == 4:
            yield b'{"a":' * rng.randrange(1, 500)
        elif kind == 5:
            yield rng.choice((b"", None, b"null", b"0", b'""', b"[]", b"{}", b"\xff\xfe", b"\n"))
        elif kind == 6:
            yield json.dumps({"id": f"x{i}", "t": 10**30, "who": "p", "a": 1, "b": 1, "y": 0, "ly": 0}).encode()
        else:
            record[rng.randrange(8)] ^= 0x80
            yield bytes(record)


# what it refuses, and what it goes on from


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
        producer = AIOKafkaProducer(**kafka.connection(config), transactional_id="vandal")
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
