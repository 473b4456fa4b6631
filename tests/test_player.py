"""Playing files into the topics of a real broker: where a default producer would put them, and all of them."""

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import NewTopic
from command import driftline
from runs import call, configured, finish, jsonl, landed, rows, running, wait_until, without, write
from waiting import TIMEOUT_S

from compose.broker import Broker
from stream_app.config import Config, load
from stream_app.edges import kafka, topics
from stream_app.errors import BrokerError, ConfigError, TopicError
from stream_app.messages import EVENT, LABEL, STREAMS
from stream_app.runners import feed, player
from stream_app.runners.feed import Record, records
from stream_app.runners.player import Pace, Played, play

PARTITIONS = 3
N = 500
MADE = [row | {"who": f"{row['who']}{i % 20}"} for i, row in enumerate(rows(8, N))]


class Playing:
    """A configuration over files and topics of its own."""

    def __init__(self, folder: Path, name: str, bootstrap: str) -> None:
        self.folder, self.name, self.bootstrap = folder, name, bootstrap

    def files(self, made: list[dict[str, object]] = MADE, lines: str = "") -> Config:
        write(self.folder / "e.jsonl", without(made, "y", "ly"))
        write(self.folder / "l.jsonl", landed(made))
        return self.config("e.jsonl", "l.jsonl", lines=lines)

    def config(self, *names: str, lines: str = "", create: bool = True) -> Config:
        self.file = configured(self.folder, *names)
        section = f'[kafka]\nbootstrap = "{self.bootstrap}"\npartitions = {PARTITIONS}\n{lines}\n'
        self.file.write_text(self.file.read_text().replace('"small"', f'"{self.name}"') + section)
        config = load(self.file)
        if create:
            make(config)
        return config


def make(config: Config) -> None:
    """The topics that are played to."""

    async def work() -> None:
        async with asyncio.timeout(TIMEOUT_S), kafka.admin(config) as client:
            names = [kafka.topic(config, stream) for stream in kafka.inputs(config)]
            await client.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
            while not set(names) <= {topic["topic"] for topic in await client.describe_topics()}:
                continue

    asyncio.run(work())


@pytest.fixture
def own(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Playing:
    return Playing(tmp_path, re.sub(r"\W", "", request.node.name.removeprefix("test_"))[:60], broker.bootstrap)


def played(config: Config, **options: object) -> Played:
    return asyncio.run(asyncio.wait_for(play(config, **options), TIMEOUT_S))  # type: ignore[arg-type]


def held(config: Config, stream: str) -> list[list[ConsumerRecord]]:
    """All records of a topic by partition."""

    async def work() -> list[list[ConsumerRecord]]:
        places = [TopicPartition(kafka.topic(config, stream), number) for number in range(PARTITIONS)]
        async with asyncio.timeout(TIMEOUT_S), kafka.consumer(config) as client:
            client.assign(places)
            ends = await client.end_offsets(places)
            found = []
            for place in places:
                batches = kafka.read_between(client, place, 0, ends[place])
                found.append([record async for batch in batches for record in batch])
                client.pause(place)
            return found

    return asyncio.run(work())


def count(config: Config, stream: str) -> int:
    return sum(map(len, held(config, stream)))


# keys, partitions, order


def test_all_is_where_a_default_producer_puts_it(own: Playing) -> None:
    """The same records, by `send` with nothing but a key, into other topics."""
    config = own.files()
    done = played(config)
    twin = load(rename(own))
    make(twin)
    asyncio.run(send_all(twin, list(records(config))))

    assert (done.events, done.labels, done.unmatched, done.rejected) == (N, N, 0, 0)
    for stream in ("events", "labels"):
        one, other = held(config, stream), held(twin, stream)
        assert [[(r.key, r.value) for r in part] for part in one] == [
            [(r.key, r.value) for r in part] for part in other
        ]
        assert all(one)


def rename(own: Playing) -> Path:
    file = own.folder / "twin.toml"
    file.write_text(own.file.read_text().replace(f'"{own.name}"', f'"{own.name}-twin"'))
    return file


async def send_all(config: Config, sent: list[Record]) -> None:
    async with AIOKafkaProducer(**kafka.connection(config)) as producer:
        for record in sent:
            await producer.send(kafka.topic(config, STREAMS[record.stream]), record.value, record.key)


@pytest.mark.parametrize("key", ["who", None])
def test_a_label_is_in_the_partition_of_its_event(own: Playing, key: str | None) -> None:
    config = own.files()
    config = msgspec.structs.replace(config, schema=msgspec.structs.replace(config.schema, key=key))
    played(config)

    places = [
        {json.loads(r.value)["id"]: number for number, part in enumerate(held(config, stream)) for r in part}
        for stream in ("events", "labels")
    ]

    assert places[EVENT] == places[LABEL]
    assert len(places[EVENT]) == N


def test_a_partition_is_in_order_of_time_whatever_the_size_of_batches(
    own: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(player, "BATCH_BYTES", 2000)
    monkeypatch.setattr(feed, "BATCH", 500)
    config = own.files(rows(9, 5000))
    played(config)

    for stream, column in (("events", "t"), ("labels", "ly")):
        found = held(config, stream)
        time_ms = [[json.loads(record.value)[column] for record in part] for part in found]
        assert time_ms == [sorted(part) for part in time_ms]
        assert sum(map(len, time_ms)) == 5000


def test_the_timestamp_is_the_time_of_sending(own: Playing) -> None:
    config = own.files()
    before = time.time() * 1000 - 1
    played(config)
    after = time.time() * 1000 + 1

    stamps = [record.timestamp for part in held(config, "events") for record in part]

    assert before <= min(stamps) <= max(stamps) <= after


def test_played_twice_is_sent_twice(own: Playing) -> None:
    config = own.files()
    played(config)
    played(config)

    assert (count(config, "events"), count(config, "labels")) == (2 * N, 2 * N)


def test_bad_rows_are_sent_always_to_the_same_partition(own: Playing) -> None:
    (own.folder / "e.jsonl").write_bytes(jsonl(MADE[:10]) + b"".join(b"bad %d\n" % i for i in range(50)))
    config = own.config("e.jsonl", lines="labels = false")

    first = played(config)
    once = held(config, "events")
    played(config)
    twice = held(config, "events")

    assert (first.events, first.rejected) == (60, 50)
    assert [[r.value for r in part] * 2 for part in once] == [[r.value for r in part] for part in twice]
    assert all(any(record.key is None for record in part) for part in once)


# speed


def test_records_are_due_by_their_times() -> None:
    sent = [Record(EVENT, time_ms, None, b"", ok=True) for time_ms in (1000, 1010, 3000, 3000, 2000, 9000)]
    pace = Pace(10.0)

    parts = list(pace.parts(sent[:5])) + list(pace.parts(sent[5:]))
    start = parts[0][0]

    assert [[record.time_ms for record in part] for _, part in parts] == [[1000, 1010], [3000, 3000, 2000], [9000]]
    assert [round(due - start, 3) for due, _ in parts] == [0.0, 0.199, 0.799]


def test_records_that_follow_closely_do_not_wait_for_each_other() -> None:
    sent = [Record(EVENT, time_ms, None, b"", ok=True) for time_ms in range(0, 1000, 2)]

    parts = list(Pace(1.0).parts(sent))

    assert all(part[-1].time_ms - part[0].time_ms <= player.TICK_S * 1000 for _, part in parts)
    assert sum(len(part) for _, part in parts) == len(sent)


def test_at_a_speed_the_sending_follows_the_times(own: Playing) -> None:
    """300 events and their labels, 10 ms apart: at 5 times as fast none may be sent before its time."""
    config = own.files(MADE[:300])
    speed = 5.0
    played(config, speed=speed)

    stamps = [
        (record.timestamp, json.loads(record.value)[column])
        for stream, column in (("events", "t"), ("labels", "ly"))
        for part in held(config, stream)
        for record in part
    ]
    sent_ms, first_ms = min(stamps)
    early_ms = [(time_ms - first_ms) / speed - (stamp - sent_ms) for stamp, time_ms in stamps]

    assert len(stamps) == 600
    assert max(early_ms) < 150  # by so much, on a busy machine, the first may have been late
    assert max(stamps)[0] - sent_ms > 900


def test_a_limit_stops_early(own: Playing) -> None:
    config = own.files()

    done = played(config, limit=50)

    assert done.events == count(config, "events") == 50
    assert done.labels == count(config, "labels") < 50


def test_a_stop_sends_nothing_more_and_what_was_counted_is_there(own: Playing) -> None:
    config = own.files()
    told: list[Played] = []

    done = played(config, speed=1.0, report=told.append, stop=lambda: bool(told) and told[-1].events > 5)

    assert 5 < done.events < N
    assert (done.events, done.labels) == (count(config, "events"), count(config, "labels"))


def test_what_was_sent_is_reported(own: Playing) -> None:
    config = own.files()
    told: list[Played] = []

    done = played(config, report=told.append)

    assert (told[-1].events, told[-1].labels) == (done.events, done.labels) == (N, N)
    assert (done.share, done.time_ms) == (1.0, max(int(row["ly"]) for row in MADE))


# what does not fit


def test_missing_topics_are_not_created(own: Playing) -> None:
    own.files()
    config = own.config("e.jsonl", "l.jsonl", lines='topics = { labels = "nowhere" }', create=False)

    with pytest.raises(TopicError, match=r"nowhere does not exist: `driftline topics` creates it"):
        played(config)
    assert "labels" not in asyncio.run(topics.described(config))


def test_a_record_too_large_for_its_topic_is_named(own: Playing) -> None:
    config = own.files([*MADE[:20], MADE[20] | {"c": "x" * 2_000_000}])

    with pytest.raises(TopicError, match=r"takes messages of 1048588 bytes .* a record has 2000\d\d\d"):
        played(config)


def test_labels_that_no_worker_reads_are_refused(own: Playing) -> None:
    own.files()
    config = own.config("e.jsonl", "l.jsonl", lines="labels = false", create=False)

    with pytest.raises(ConfigError, match=r"\$\.kafka\.labels"):
        played(config)


def test_a_stream_without_times_has_no_speed(own: Playing) -> None:
    config = own.files()
    schema = msgspec.structs.replace(config.schema, time=None, label_time=None)
    config = msgspec.structs.replace(config, schema=schema)

    with pytest.raises(ConfigError, match=r"\$\.schema\.time"):
        played(config, speed=2.0)
    assert played(config).events == N


# a broker that goes away


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own."""
    with Broker(tmp_path / "kafka") as running:
        yield running


def test_a_broker_that_comes_back_gets_each_record_once(mortal: Broker, tmp_path: Path) -> None:
    """It is killed while records come at a pace, and started 2 s later."""
    config = Playing(tmp_path, "mortal", mortal.bootstrap).files()
    told: list[Played] = []

    def kill_and_start() -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not (told and told[-1].events > 50):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        mortal.kill()
        time.sleep(2)
        mortal.start()

    with ThreadPoolExecutor(1) as pool:
        chaos = pool.submit(kill_and_start)
        done = played(config, speed=2.0, report=told.append)
        chaos.result(TIMEOUT_S)

    assert (done.events, done.labels) == (N, N)
    for stream in ("events", "labels"):
        ids = [json.loads(record.value)["id"] for part in held(config, stream) for record in part]
        assert sorted(ids) == sorted(str(row["id"]) for row in MADE)


def test_a_broker_that_stays_away_is_an_error(mortal: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "DELIVERY_S", 3.0)
    config = Playing(tmp_path, "mortal", mortal.bootstrap).files()
    killed: list[Played] = []

    def kill(sent: Played) -> None:
        if sent.events > 50 and not killed:
            killed.append(sent)
            mortal.kill()

    with pytest.raises(BrokerError, match="took no records for 3 s"):
        played(config, speed=2.0, report=kill)
    assert killed


# the command


def test_the_command_tells_what_it_sent(own: Playing) -> None:
    config = own.files()

    done = driftline(own.folder, "play", own.file, "--json")
    summary = json.loads(done.stdout)

    assert done.returncode == 0
    assert summary["records_per_second"] > 0
    assert {name: summary[name] for name in ("events", "labels", "unmatched", "rejected")} == {
        "events": N, "labels": N, "unmatched": 0, "rejected": 0,
    }  # fmt: skip
    assert count(config, "events") == N


def test_standard_input_is_played_as_it_comes(own: Playing) -> None:
    own.files()
    config = own.config("-", "l.jsonl")
    given = (own.folder / "e.jsonl").read_bytes()

    done = call("play", own.file, given=given)

    assert done.returncode == 0, done.stderr.decode()
    assert (count(config, "events"), count(config, "labels")) == (N, N)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(own: Playing, number: signal.Signals) -> None:
    config = own.files()

    with running("play", own.file, "--speed", "0.2") as process:
        wait_until(lambda: count(config, "events") > 5, process)
        finish(process, number)

    assert 5 < count(config, "events") < N
