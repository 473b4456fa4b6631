"""The worker on a real broker: what it writes, what a kill changes (nothing), what it reads."""

import asyncio
import json
import random
import signal
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from kafka_results import assert_equal, direct, embedded, records, replayed, written
from kafka_runs import (
    Worker,
    administered,
    all_taken,
    append,
    finished,
    in_row,
    in_topics,
    last_commits,
    monitor,
    own,
    send,
    shared,
    taken,
    two_streams,
    wait_until,
)
from runs import rows

from compose.broker import Broker
from stream_app.config import Config, digest, load
from stream_app.edges import kafka
from stream_app.errors import BrokerError
from stream_app.messages import Outputs, Tape
from stream_app.pipeline import Pipeline
from stream_app.runners import shard as shards
from stream_app.runners.member import Member

STOP_S = 10.0  # what SIGTERM may take
IMPATIENT = 1000  # signals, the first of which is to be answered
PARTITIONS = 2
T = TypeVar("T")


def check(folder: Path, config: Config, partitions: int = PARTITIONS) -> None:
    for shard in range(partitions):
        assert_equal(written(config, shard), embedded(folder, config, shard))


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
    """A worker that took everything, stopped impatiently: its folder, configuration, exit code and the stop's time."""
    folder = tmp_path_factory.mktemp("ended")
    file = monitor(folder, broker.bootstrap, own("ended"), partitions=PARTITIONS)
    config = load(file)
    ends = two_streams(config, rows(1, 4000))
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, ends), worker)
        started = time.monotonic()
        for _ in range(IMPATIENT):
            worker.signal(signal.SIGTERM)
        code = worker.ended()
        yield folder, config, code, time.monotonic() - started


def test_it_writes_what_the_embedded_engine_writes(ended: tuple[Path, Config, int, float]) -> None:
    folder, config, *_ = ended
    check(folder, config)
    assert written(config, 0).streams["alerts"]
    assert written(config, 0).streams["outcomes"]


def test_sigterm_however_often_ends_it_in_time_and_leaves_a_snapshot(
    ended: tuple[Path, Config, int, float],
) -> None:
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
    ends = two_streams(config, rows(2, 9_000))
    for kill in range(3):
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
        producer = AIOKafkaProducer(**connected, transactional_id=f"{config.name}-upstream", max_batch_size=900_000)
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
    file = monitor(tmp_path, broker.bootstrap, "late", partitions=PARTITIONS, kafka_lines='max_wait = "100ms"')
    config = load(file)
    events, labels = [0] * PARTITIONS, [0] * PARTITIONS
    late: dict[int, list[bytes]] = {}
    for _, made in groupby(rows(6, 8000), key=lambda row: int(row["id"][1:]) // 2000):
        new, landings = in_topics(list(made), PARTITIONS)
        for ends, sent in ((events, new), (labels, late)):
            for partition, values in sent.items():
                ends[partition] += len(values)
        with Worker(file) as worker:  # each is killed with a part of the events taken whose labels are still to come
            send(config, "events", new)
            send(config, "labels", late)
            ends = {"events": events, "labels": labels}
            wait_until(lambda ends=ends: all_taken(config, ends), worker)  # type: ignore[misc]
        late = landings
    for shard in range(PARTITIONS):
        found = written(config, shard)
        assert_equal(found, replayed(config, shard))
        assert len(found.streams["predictions"]) == events[shard]
    assert found.streams["outcomes"] != embedded(tmp_path, config, shard).streams["outcomes"]  # late indeed


def test_a_topic_that_is_read_slowly_is_waited_for(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "slow", partitions=PARTITIONS, kafka_lines='max_wait = "500ms"')
    config = load(file)
    ends = two_streams(config, rows(6, 4000))
    with Worker(file, before=slow_labels) as worker:
        wait_until(lambda: all_taken(config, ends), worker)
    check(tmp_path, config)


def test_poison_harms_nobody(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "poison", labels=False)
    config = load(file)
    rng = random.Random(7)
    good = shared(rows(7, 2000), 1, lambda _: 0)[0]
    mixed = list(poison(rng, good, 40_000))
    for place in sorted(rng.sample(range(len(mixed)), len(good)), reverse=True):
        mixed.insert(place, good.pop())
    send(config, "events", {0: mixed})
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"events": [len(mixed)]}), worker)
        assert worker.stop() == 0
    found = written(config, 0)
    assert [key for _, key, _ in found.streams["predictions"]] == [f"e{i}" for i in range(2000)]
    assert len(found.streams["dead-letters"]) == 40_000
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
            yield b"[" * rng.randrange(1, 20_000)
        elif kind == 4:
            yield b'{"a":' * rng.randrange(1, 500)
        elif kind == 5:
            yield rng.choice((b"", None, b"null", b"0", b'""', b"[]", b"{}", b"\xff\xfe", b"\n"))
        elif kind == 6:
            yield json.dumps({"id": f"x{i}", "t": 10**30, "who": "p", "a": 1, "b": 1, "y": 0, "ly": 0}).encode()
        else:
            record[rng.randrange(8)] ^= 0x80
            yield bytes(record)


def test_a_backlog_is_a_lag_that_ends_when_it_is_worked_off(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, "lagging", labels=False)
    old = load(file)
    file.write_text(file.read_text().replace("[alarms]", '[alarms]\nlag = "1s"'))
    config = load(file)
    assert (config.alarms.lag_ms, digest(config)) == (1000, digest(old))
    events = shared(rows(1, 3000), 1, lambda _: 0)
    send(config, "events", events, sent_ms=round(1000 * time.time()) - 3_600_000)
    with Worker(file, before=slow) as worker:
        wait_until(lambda: bool(lagging(config)), worker)
        worker.kill()  # it is not forgotten
    with Worker(file) as worker:
        wait_until(lambda: lagging(config)[-1:] == ["recovered"], worker)
        assert all_taken(config, {"events": [3000], "control": [1]})
        assert worker.stop() == 0
    assert [status for status in lagging(config) if status != "updated"] == ["opened", "recovered"]
    assert_equal(written(config, 0), replayed(config, 0))


def lagging(config: Config) -> list[str]:
    """What was told of lags."""
    alerts = [json.loads(record.value or b"")["data"] for record in records(config, "alerts", 0)]
    return [alert["status"] for alert in alerts if alert["signal"] == "lag:events"]


# what a worker does before it starts


def slow() -> None:
    """The pipeline takes 1,000 records a second, in small steps."""
    handle = Pipeline.handle

    def slowed(self: Pipeline, tape: Tape) -> Outputs:
        time.sleep(len(tape.order) / 1000)
        return handle(self, tape)

    Pipeline.handle = slowed  # type: ignore[method-assign]
    shards.FIRST_STEP = 64


def slow_labels() -> None:
    """Labels are only read in one of four half seconds."""
    wants = Member.wants

    def limited(self: Member, place: tuple[str, int]) -> bool:
        open_now = self.streams[place[0]] != "labels" or int(2 * time.monotonic()) % 4 == 0
        return open_now and wants(self, place)

    Member.wants = limited  # type: ignore[method-assign]
