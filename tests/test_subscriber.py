"""Subscribing to output topics: what was committed, in order, shared by the members of a group."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from monitors import PARTITIONS, Monitor, alert, prediction
from waiting import TIMEOUT_S

from compose.broker import Broker
from stream_app.edges import kafka, subscriber
from stream_app.edges.subscriber import Received
from stream_app.errors import TopicError


@pytest.fixture
def monitor(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Monitor:
    return Monitor.over(broker, tmp_path, request)


def test_aborted_records_are_never_read_and_nothing_hangs_at_markers(monitor: Monitor) -> None:
    monitor.make("predictions")
    monitor.write(prediction("e1"))
    monitor.write(prediction("e2"), prediction("e3", 1), commit=False)
    monitor.write(prediction("e4"))
    monitor.write(prediction("e5"), commit=False)

    assert monitor.names() == ["e1", "e4"]
    assert monitor.names(group="g") == ["e1", "e4"]
    assert monitor.lag("predictions", "g") == 0


def test_an_open_transaction_is_the_present_end(monitor: Monitor) -> None:
    monitor.make("predictions")
    monitor.write(prediction("e1"))

    async def read() -> list[str]:
        async with monitor.producer("open") as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(kafka.topic(monitor.config, "predictions"), b"{}", partition=0)
            found = [received.record.key async for received in subscriber.history(monitor.config, "predictions")]
            await producer.abort_transaction()
            return found

    assert asyncio.run(asyncio.wait_for(read(), TIMEOUT_S)) == ["e1"]


def test_records_are_as_they_were_written(monitor: Monitor) -> None:
    monitor.make("alerts")
    written = alert("i-1", "opened", 1)
    monitor.write(written)

    ((partition, record),) = monitor.read("alerts")

    assert (partition, record.seq, record.id, record.key) == (1, 0, "alerts/i-1", "i-1")
    assert json.loads(record.value) == written[3]
    assert abs(record.time_ms - time.time() * 1000) < 60_000


def test_partitions_are_merged_by_stream_time(monitor: Monitor) -> None:
    monitor.make("alerts", "predictions")
    minutes = {0: (1, 4, 3, 9), 1: (2, 5, 6)}  # 3 comes after 4: the order of a partition is kept
    monitor.write(*(alert(f"i-{m}", "opened", place, m) for place in minutes for m in minutes[place]))
    monitor.write(*(prediction(f"e{i}", i // 1500, 10 * i if i < 1500 else 10 * i - 14_995) for i in range(3000)))

    shown = monitor.call("alerts").stdout.splitlines()
    times = [json.loads(record.value)["time"] for _, record in monitor.read("predictions")]

    assert [line.split("i-")[1][0] for line in shown] == list("1243569")
    assert len(times) == 3000
    assert times == sorted(times)


def test_a_record_of_somebody_else_is_named(monitor: Monitor) -> None:
    monitor.make("alerts")
    monitor.write(alert("i-1", "opened", 1), ("alerts", 1, "k", {"time": "noon"}))

    with pytest.raises(TopicError, match=r"alerts, partition 1, offset 1 holds no record of driftline"):
        monitor.read("alerts")


def test_members_share_the_partitions_and_hand_them_over_between_batches(monitor: Monitor) -> None:
    """One member has a batch in hand when another joins, and leaves later: nobody gets a record twice."""
    monitor.make("predictions")
    config = monitor.config

    async def scenario() -> tuple[list[Received], list[Received]]:
        first: list[Received] = []
        second: list[Received] = []
        stopped = {"first": False, "second": False}
        held = asyncio.Event()

        async def member(name: str, found: list[Received], *, hold: bool = False) -> None:
            batches = subscriber.records(config, "predictions", group="g", follow=True, stop=lambda: stopped[name])
            async with aclosing(batches):
                async for batch in batches:
                    found += batch
                    if hold and not held.is_set():
                        await held.wait()

        async def reach(true: Callable[[], bool]) -> None:
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

        async def state() -> str:
            async with kafka.admin(config) as admin:
                (answer,) = await admin.describe_consumer_groups(["g"])
                return answer.groups[0][2]

        await monitor.transaction(tuple(prediction(f"e{i}", i % 2) for i in range(10)))
        one = asyncio.create_task(member("first", first, hold=True))
        await reach(lambda: bool(first))
        two = asyncio.create_task(member("second", second))
        while await state() != "PreparingRebalance":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        deadline = time.monotonic() + 1  # five heartbeats: the first member knows, and makes the group wait
        while time.monotonic() < deadline:
            assert (await state(), second) == ("PreparingRebalance", [])
        held.set()
        for i in range(10, 400, 2):
            await monitor.transaction((prediction(f"e{i}", 0), prediction(f"e{i + 1}", 1)))
            if second:
                break
        await reach(lambda: len(first) + len(second) == i + 2)
        shared = {partition for partition, _ in first[-1:]} | {partition for partition, _ in second}
        assert shared == {0, 1}
        stopped["first"] = True
        await one
        await monitor.transaction((prediction(f"e{i + 2}", 0), prediction(f"e{i + 3}", 1)))
        await reach(lambda: len(first) + len(second) == i + 4)
        stopped["second"] = True
        await two
        return first, second

    first, second = asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))

    names = [record.key for _, record in first + second]
    assert sorted(names, key=lambda name: int(name[1:])) == [f"e{i}" for i in range(len(names))]
    for found in (first, second):
        for place in range(PARTITIONS):
            offsets = [record.seq for partition, record in found if partition == place]
            assert offsets == sorted(offsets)
