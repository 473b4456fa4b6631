"""Replays: identical to what was written, exact about what is not, beside another configuration; topics and the log."""

import asyncio
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete
from command import driftline
from kafka_results import records
from kafka_runs import Worker, all_taken, monitor, own, producing, send, two_streams, wait_until
from msgspec import structs
from runs import CONFIG, configured, in_process, landed, rows, without, write

from compose.broker import Broker
from stream_app.config import Config, load
from stream_app.edges import blocks, kafka
from stream_app.edges.differences import Comparison, NewestComparison, Replay
from stream_app.edges.log import Log
from stream_app.edges.written import InLog, Item, Placed, Unread, items
from stream_app.errors import ConfigError, DriftlineError, StateError, TopicError
from stream_app.messages import OUTPUTS, Predictions
from stream_app.runners.history import Bound, Bounds
from stream_app.runners.replay import EVERYTHING, contrasted, replayed
from stream_app.texts import Texts

ROWS = 3000
PARTITIONS = 2
RICH = CONFIG + '[retrain]\non = ["error"]\n[panes]\nwidth = "5s"\n'
LESS_EAGER = ("arl0 = 5000", "arl0 = 40000")
HALF = ROWS // 2
TAKEN = 2 * ROWS + 4 * PARTITIONS + 2  # two bad events, two ends of each half less two labels that wait, two commands
COMMANDS = [b'{"command": "reset", "by": "ada"}', b"not a command"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Path:
    """A monitor over two partitions, with labels, commands and bad records; its worker has ended."""
    folder = tmp_path_factory.mktemp("replay")
    file = monitor(folder, broker.bootstrap, own("replayed"), partitions=PARTITIONS, text=RICH)
    config = load(file)
    send(config, "control", {0: COMMANDS})
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"control": [2, 0]}), worker)
        send(config, "events", {0: [b"{"], 1: [None]})
        ends = {"events": [1, 1], "labels": [-1, -1]}  # that of a label that waits for a later event
        for begin in (0, HALF):  # so that a commit ends between them
            sent = two_streams(config, rows(1, ROWS)[begin : begin + HALF])
            ends = {s: [at + n + (s == "labels") for at, n in zip(ends[s], sent[s], strict=True)] for s in sent}
            wait_until(lambda ends=ends: all_taken(config, ends), worker)
        assert worker.stop() == 0
    return file


def replay(config: Config, bounds: Bounds = EVERYTHING, **options: Any) -> Replay:
    return asyncio.run(replayed(config, bounds=bounds, **options))


def same(found: Replay) -> dict[str, int]:
    return {stream: tally.same for stream, tally in found.streams.items()}


# the topics


def test_what_a_worker_wrote_is_what_a_replay_makes(file: Path) -> None:
    config = load(file)
    found = replay(config)

    written = {s: sum(len(records(config, s, n)) for n in range(PARTITIONS)) for s in OUTPUTS}
    assert same(found) == written
    assert min(written.values()) > 0
    assert found.identical
    assert not found.first
    assert found.records == TAKEN


def test_shards_in_processes_of_their_own_come_to_the_same(file: Path) -> None:
    config, told = load(file), []
    found = replay(config, processes=PARTITIONS, report=told.append)
    alone = replay(config, processes=1)

    assert (found.streams, found.first, found.records) == (alone.streams, alone.first, alone.records)
    assert (told[-1].records, told[-1].new, told[-1].share) == (TAKEN, TAKEN, 1.0)
    assert min(progress.time_ms for progress in told) > 0
    one, two = (asyncio.run(contrasted(config, config, processes=n, cost=n > 1)) for n in (1, PARTITIONS))
    assert (one.live, one.other) == (two.live, two.other)
    assert one.judgement(config, config) == two.judgement(config, config)
    assert (one.records, one.whole, one.left_out) == (two.records, two.whole, two.left_out)
    assert two.live_cost is not None
    assert two.live_cost.records == two.other_cost.records > 0


class Record(NamedTuple):
    """What is to be written to a copy of a topic."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def copy_of(config: Config, stream: str) -> dict[int, list[Record]]:
    found = {n: records(config, stream, n) for n in range(PARTITIONS)}
    return {n: [Record(r.key, r.value or b"", list(r.headers)) for r in of] for n, of in found.items()}


def doctored(config: Config, name: str, streams: dict[str, dict[int, list[Record]]], delete: int = 0) -> Config:
    """The configuration with topics of other content; the first `delete` records of their partitions are deleted."""
    topics = {stream: f"{config.name}.{name}.{stream}" for stream in streams}

    async def work() -> None:
        async with kafka.admin(config) as admin, producing(config) as producer:
            await admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics.values()])
            for stream, values in streams.items():
                for shard, found in values.items():
                    for record in found:
                        place = {"partition": shard, "key": record.key, "headers": record.headers}
                        sent = await producer.send(topics[stream], record.value, **place)
                    await sent
            places = [TopicPartition(topic, n) for topic in topics.values() for n in range(PARTITIONS)]
            await admin.delete_records({place: RecordsToDelete(delete) for place in places if delete})

    asyncio.run(work())
    return structs.replace(config, kafka=structs.replace(kafka.cluster(config), topics=topics))


def test_every_altered_missing_and_foreign_record_is_found(file: Path) -> None:
    config = load(file)
    metrics, features, alerts = (copy_of(config, stream) for stream in ("metrics", "features", "alerts"))
    del metrics[1][40]
    metrics[1][60] = metrics[1][60]._replace(value=metrics[1][60].value + b" ")
    metrics[1].insert(10, Record(b"x", b"{}", [("id", b"another")]))
    newest = features[0][-1].key
    features[0] = [record for record in features[0] if record.key != newest]
    features[1][-1] = features[1][-1]._replace(value=b"{}")
    alerts[0].append(Record(b"x", b"{}", []))
    found = replay(doctored(config, "wrong", {"metrics": metrics, "features": features, "alerts": alerts}))

    counts = {stream: (t.altered, t.missing, t.extra) for stream, t in found.streams.items() if not t.identical}
    assert counts == {"metrics": (1, 1, 1), "features": (1, 1, 0), "alerts": (0, 0, 1)}
    assert found.streams["metrics"].same == sum(map(len, metrics.values())) - 2
    assert not found.identical
    foreign = found.first["metrics"]
    assert (foreign.shard, foreign.position, foreign.kind) == (1, 10, "extra")
    assert (foreign.written, foreign.rerun) == ((b"another", b"x", b"{}"), None)
    assert found.first["alerts"].written == (b"", b"x", b"{}")


def test_what_compaction_and_retention_took_is_no_difference(file: Path) -> None:
    config = load(file)
    features, outcomes = copy_of(config, "features"), copy_of(config, "outcomes")
    newest = {n: list({record.key: record for record in of}.values()) for n, of in features.items()}
    left = {n: sorted(of, key=features[n].index) for n, of in newest.items()}
    found = replay(doctored(config, "compacted", {"features": left}))

    assert found.identical
    assert found.streams["features"].same == sum(map(len, left.values()))
    assert found.streams["features"].gone == sum(map(len, features.values())) - sum(map(len, left.values()))

    found = replay(doctored(config, "short", {"outcomes": outcomes}, delete=100))
    assert found.identical
    assert found.streams["outcomes"].gone == 100 * PARTITIONS
    assert found.streams["outcomes"].same == sum(map(len, outcomes.values())) - 100 * PARTITIONS


def test_ranges_by_offset_and_time_make_up_the_whole(file: Path) -> None:
    config = load(file)
    by_offset = Bound(offset=HALF // PARTITIONS + 2)
    by_time = Bound(time_ms=rows(1, HALF)[-1]["t"] + 10_001)
    written = {s: sum(len(records(config, s, n)) for n in range(PARTITIONS)) for s in ("predictions", "alerts")}
    for bound in (by_offset, by_time):
        before, after = replay(config, Bounds(stop=bound)), replay(config, Bounds(start=bound))
        assert before.identical
        assert after.identical
        assert before.records + after.records == TAKEN
        assert before.records >= TAKEN // 2 - PARTITIONS
        assert after.records > 0
        assert {s: same(before)[s] + same(after)[s] for s in written} == written


def test_a_difference_outside_the_range_does_not_count(file: Path) -> None:
    config = load(file)
    predictions = copy_of(config, "predictions")
    del predictions[0][3]
    wrong = doctored(config, "early", {"predictions": predictions})

    assert replay(wrong).streams["predictions"].missing == 1
    assert replay(wrong, Bounds(start=Bound(offset=HALF))).identical


def test_a_range_without_a_commit_is_said(file: Path) -> None:
    with pytest.raises(DriftlineError, match="no commit lies in this range"):
        replay(load(file), Bounds(start=Bound(offset=10**9)))


def other_of(file: Path, *changes: tuple[str, str]) -> Path:
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    other = file.with_name("other.toml")
    other.write_text(text)
    return other


def test_another_configuration_is_put_beside_what_was_written(file: Path) -> None:
    config = load(file)
    result = asyncio.run(contrasted(config, load(other_of(file, LESS_EAGER))))

    raised = [r for n in range(PARTITIONS) for r in records(config, "alerts", n)]
    opened = {event["data"]["incident"] for event in map(json.loads, (r.value for r in raised))}
    alerts = result.alerts
    assert result.records == TAKEN
    assert {seen.incident for seen in result.live.alerts} == opened
    assert len(alerts.both) + len(alerts.only_live) == len(opened)
    assert alerts.both
    assert alerts.only_live or alerts.only_other
    assert result.live.counts["alerts"] == len(raised)
    assert result.live.counts["events"] == result.other.counts["events"] > ROWS * 0.9
    assert result.live.rolling == result.other.rolling  # it is the same model
    met = sum(len(records(config, "outcomes", n)) for n in range(PARTITIONS))
    found = result.judgement(config, config)
    assert met - 10 < found.labels + found.unpaired <= met
    assert found.outcome == "unproven"


def test_beside_itself_nothing_differs(file: Path) -> None:
    config = load(file)
    result = asyncio.run(contrasted(config, config))

    assert result.live == result.other
    assert not result.alerts.only_live + result.alerts.only_other + result.triggers.only_live
    assert result.triggers.both


def test_of_a_range_only_what_was_raised_in_it_is_put_beside(file: Path) -> None:
    config = load(file)
    half = HALF // PARTITIONS + 2
    whole = asyncio.run(contrasted(config, config))
    result = asyncio.run(contrasted(config, config, bounds=Bounds(start=Bound(offset=half))))

    assert result.records <= TAKEN // 2 + PARTITIONS
    late = [seen for seen in whole.live.alerts if seen.offset >= half]
    assert [seen for seen in result.live.alerts if seen.offset >= half] == late
    assert 0 < result.live.counts["metrics"] < whole.live.counts["metrics"]
    assert 0 < result.live.counts["events"] < whole.live.counts["events"]
    assert result.other.counts["events"] == pytest.approx(result.live.counts["events"], abs=4 * 128)


def test_what_is_left_of_deleted_inputs_can_be_put_beside(file: Path) -> None:
    config = load(file)
    half = HALF // PARTITIONS + 2
    short = doctored(config, "late", {"events": copy_of(config, "events")}, delete=half)

    result = asyncio.run(contrasted(short, config))
    assert 0 < result.records <= TAKEN // 2 + PARTITIONS
    late = asyncio.run(contrasted(config, config, bounds=Bounds(start=Bound(offset=half))))
    assert (result.live, result.other, result.records) == (late.live, late.other, late.records)
    with pytest.raises(TopicError, match="no longer there"):
        replay(short)


def test_the_command_says_what_it_found(file: Path) -> None:
    done = driftline(file.parent, "replay", file, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["identical"]
    assert summary["streams"]["predictions"]["same"] == ROWS + PARTITIONS  # the second end was known

    other = other_of(file, LESS_EAGER)
    done = driftline(file.parent, "replay", file, "--against", other, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["alerts"]["missing"] + summary["alerts"]["new"]
    assert summary["rolling"]["accuracy"]["live"] == summary["rolling"]["accuracy"]["other"]

    done = driftline(file.parent, "replay", other)
    assert done.returncode == 2
    assert "--against" in done.stderr


def test_rows_are_those_that_a_shard_remembers_behind_its_newest_snapshot(file: Path) -> None:
    done = driftline(file.parent, "rows", file, "--shard", "1", "--json")

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(records(load(file), "outcomes", 1))


# the log


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """A run of the embedded engine, with a command in between."""
    folder = tmp_path_factory.mktemp("logged")
    made = rows(2, ROWS)
    write(folder / "events.jsonl", without(made, "y", "ly"))
    write(folder / "labels.jsonl", landed(made))
    file, state = configured(folder, "events.jsonl", "labels.jsonl"), folder / "log.db"
    with Log(state, write=True) as log:
        log.send_control(COMMANDS[0])
        log.send_control(COMMANDS[1])
    in_process(file, state)
    return load(file), state


def test_what_a_run_wrote_is_what_a_replay_makes(logged: tuple[Config, Path]) -> None:
    config, state = logged
    found = replay(config, state=state)

    with Log(state) as log:
        written = {stream: log.count(stream) for stream in OUTPUTS}
    assert found.identical
    assert same(found) == written
    assert written["alerts"] > 0
    assert written["dead-letters"] > 0
    assert found.records == 2 * ROWS + len(COMMANDS)

    half = Bound(offset=ROWS - 500)
    before, after = (replay(config, bounds, state=state) for bounds in (Bounds(stop=half), Bounds(start=half)))
    assert before.identical
    assert after.identical
    assert before.records + after.records == found.records
    assert min(before.records, after.records) > 0


def test_a_record_lost_from_the_log_is_found(logged: tuple[Config, Path], tmp_path: Path) -> None:
    state = logged[1]
    damaged = tmp_path / "damaged.db"
    with sqlite3.connect(state) as db:
        db.execute("VACUUM INTO ?", (str(damaged),))
    with sqlite3.connect(damaged) as db:
        db.execute("DELETE FROM messages WHERE seq = (SELECT max(seq) FROM messages WHERE stream = 'alerts')")
        db.execute("DELETE FROM features WHERE seq = (SELECT min(seq) FROM features)")
    done = driftline(tmp_path, "replay", state.with_name("c.toml"), "--state", damaged, "--json")

    *differences, summary = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert {line["stream"]: line["kind"] for line in differences} == {"alerts": "missing", "features": "missing"}
    assert summary["streams"]["alerts"]["missing"] == 1
    assert differences[0]["written"] is None
    assert json.loads(differences[0]["replayed"]["value"])["specversion"] == "1.0"


def test_another_configuration_beside_a_log(logged: tuple[Config, Path]) -> None:
    config, state = logged
    other = load(other_of(state.with_name("c.toml"), LESS_EAGER))
    result = asyncio.run(contrasted(config, other, state=state))

    assert result.records == 2 * ROWS + len(COMMANDS)
    assert result.alerts.both
    assert result.alerts.only_live or result.alerts.only_other
    with pytest.raises(TopicError, match="another configuration"):
        replay(other, state=state)


def test_a_log_without_its_files_is_refused(logged: tuple[Config, Path], tmp_path: Path) -> None:
    config, state = logged
    piped = structs.replace(config, source=structs.replace(config.source, events="-"))
    with pytest.raises(ConfigError, match="standard input"):
        replay(piped, state=state)
    write(tmp_path / "events.jsonl", rows(3, 10))
    swapped = structs.replace(config, source=structs.replace(config.source, events=str(tmp_path / "events.jsonl")))
    with pytest.raises(StateError, match="first record differs"):
        replay(swapped, state=state)


# comparing


def item(number: int) -> Item:
    return b"id/%d" % number, b"k%d" % (number % 7), b"v%d" % number


async def _batches(found: list[Placed]) -> AsyncIterator[list[Placed]]:
    for begin in range(0, len(found), 100):
        yield found[begin : begin + 100]


def compared(kind: type[Comparison], rerun: list[Item], written: list[Item], sizes: Iterator[int]) -> Comparison:
    comparison = kind("metrics", 0, Unread(_batches(list(enumerate(written)))))
    comparison.begin()

    async def work() -> None:
        begin = 0
        while begin < len(rerun):
            size = next(sizes)
            await comparison.take(rerun[begin : begin + size])
            begin += size
        await comparison.finish(whole=True)

    asyncio.run(work())
    return comparison


@pytest.mark.parametrize("seed", range(20))
def test_a_comparison_counts_each_change_once(seed: int) -> None:
    rng = random.Random(seed)
    rerun = [item(number) for number in range(rng.randrange(1, 4000))]
    written, done = [], {"altered": 0, "missing": 0, "extra": 0}
    for number, kept in enumerate(rerun):
        what = rng.choice([*done, *["same"] * 60])
        done |= {what: done[what] + 1} if what != "same" else {}
        written += {"altered": [(*kept[:2], b"x")], "missing": [], "extra": [item(-number - 1), kept]}.get(what, [kept])
    sizes = (rng.choice((1, 10, 3000)) for _ in iter(int, 1))
    found = compared(Comparison, rerun, written, sizes).tally

    assert {name: getattr(found, name) for name in done} == done
    assert found.same == len(rerun) - done["altered"] - done["missing"]


def predictions(offset: np.ndarray, score: np.ndarray) -> Predictions:
    ids = Texts.of([f"é{number}" for number in offset.tolist()])
    return Predictions("v1", ("no", "yes"), offset, ids, 10 * offset, (offset % 3 - 1).astype(np.int32), score)


def by_columns(rerun: Predictions, written: Predictions, rng: random.Random) -> Comparison:
    """Compared as the log holds them, each side cut anywhere."""

    def cuts(part: Predictions) -> Iterator[tuple[int, Predictions]]:
        at = 0
        while at < len(part.id):
            size = rng.choice((1, 50, 700))
            yield at, blocks.cut(part, at, at + size)
            at += size

    async def stored() -> AsyncIterator[InLog]:
        for at, part in cuts(written):
            yield InLog(at, part)

    comparison = Comparison("predictions", 0, Unread(stored()))

    async def work() -> None:
        comparison.begin()
        for _, part in cuts(rerun):
            await comparison.take_part(part)
        await comparison.finish(whole=True)

    asyncio.run(work())
    return comparison


@pytest.mark.parametrize("seed", range(20))
def test_columns_are_compared_as_their_records_are(seed: int) -> None:
    rng, chance = random.Random(seed), np.random.default_rng(seed)
    offset, changes = np.arange(rng.randrange(1, 3000)), seed % 3  # without a change, with one, with many
    score = chance.choice([0.25, np.nan, -0.0, 0.0], len(offset))
    altered, kept = score.copy(), np.ones(len(offset), bool)
    for _ in range(changes * changes):
        altered[rng.randrange(len(offset))] = 0.5
        kept[rng.randrange(len(offset))] = False
    rerun, written = predictions(offset, score), predictions(offset[kept], altered[kept])

    found = by_columns(rerun, written, rng)
    one_by_one = compared(Comparison, list(items(rerun)), list(items(written)), iter(lambda: 1000, 0))
    assert (found.tally, found.first and found.first.position) == (
        one_by_one.tally,
        one_by_one.first and one_by_one.first.position,
    )
    assert found.tally.identical == (changes == 0)


def test_a_zero_of_another_sign_is_a_difference() -> None:
    parts = (predictions(np.arange(3), np.array([0.5, zero, 0.5])) for zero in (0.0, -0.0))

    assert by_columns(*parts, random.Random(1)).tally.altered == 1


def test_records_in_another_order_are_a_difference() -> None:
    rerun = [item(number) for number in range(100)]
    found = compared(Comparison, rerun, [*rerun[:50], rerun[51], rerun[50], *rerun[52:]], iter([100])).tally

    assert (found.missing, found.extra, found.same) == (1, 1, 99)


def test_a_compacted_stream_must_have_the_newest_of_each_key_and_nothing_else() -> None:
    rerun = [item(number) for number in range(1000)]
    newest = rerun[-7:]
    older = [kept for kept in rerun[:-7] if random.Random(kept[0]).random() < 0.3]

    assert compared(NewestComparison, rerun, older + newest, iter(lambda: 10, 0)).tally.identical
    lost = compared(NewestComparison, rerun, older + newest[1:], iter(lambda: 10, 0)).tally
    assert (lost.missing, lost.altered, lost.extra) == (1, 0, 0)
    foreign = compared(NewestComparison, rerun, [*older, item(5000), *newest], iter(lambda: 10, 0)).tally
    assert not foreign.identical
    twice = compared(NewestComparison, rerun, [*older, older[-1], *newest], iter(lambda: 10, 0)).tally
    assert (twice.missing, twice.altered, twice.extra) == (0, 0, 1)
