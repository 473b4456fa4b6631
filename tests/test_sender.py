"""Sending to the inputs: dead letters back to where they came from, exactly once."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from monitors import Monitor, letter, until
from waiting import TIMEOUT_S

from compose.broker import Broker
from stream_app.edges import kafka, sender
from stream_app.errors import BrokerError

LARGE = b"\xff\x00" * 300_000


@pytest.fixture
def monitor(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Monitor:
    return Monitor.over(broker, tmp_path, request)


def test_dead_letters_are_sent_back_once(monitor: Monitor) -> None:
    monitor.make("dead-letters", "events", "labels", "control")
    monitor.write(letter("events", 7, b"{broken", 1), letter("events", 8, LARGE, 0), letter("labels", 3, b"null", 1))

    assert "events 7 of shard 1  schema  $: not JSON  |  {broken\n" in monitor.call("dead-letters").stdout
    assert monitor.lines("dead-letters", "--resubmit") == [{"resubmitted": 3}]
    assert monitor.lines("dead-letters", "--resubmit") == [{"resubmitted": 0}]
    monitor.write(letter("control", 1, b"go", 1), letter("events", 9, b"{worse", 1))
    again = monitor.call("dead-letters", "--resubmit")

    assert (again.returncode, again.stdout) == (0, "")
    assert "sent 1 dead letter once more" in again.stderr
    assert monitor.raw("events") == [(0, None, LARGE), (1, None, b"{broken"), (1, None, b"{worse")]
    assert monitor.raw("labels") == [(1, None, b"null")]
    assert monitor.raw("control") == [], "a command that was refused is not obeyed later"


def test_a_call_that_died_or_sleeps_between_sending_and_committing_changes_nothing(monitor: Monitor) -> None:
    monitor.make("dead-letters", "events")
    monitor.write(letter("events", 1, b"one"), letter("events", 2, b"two"))
    group = f"{monitor.config.name}-resubmit"

    async def overtaken() -> int:
        async with monitor.producer(group) as sleeper:
            await sleeper.begin_transaction()
            await sleeper.send_and_wait(kafka.topic(monitor.config, "events"), b"one", partition=0)
            place = TopicPartition(kafka.topic(monitor.config, "dead-letters"), 0)
            await sleeper.send_offsets_to_transaction({place: 1}, group)
            sent = await sender.resubmit(monitor.config)
            with pytest.raises(KafkaError):
                await sleeper.commit_transaction()
            return sent

    assert asyncio.run(asyncio.wait_for(overtaken(), TIMEOUT_S)) == 2
    assert [value for _, _, value in monitor.raw("events")] == [b"one", b"two"]


def test_of_two_calls_at_once_the_later_sends_the_rest(monitor: Monitor) -> None:
    monitor.make("dead-letters", "events")
    monitor.write(*(letter("events", i, b"%d" % i) for i in range(5000)))

    async def both() -> list[int | BaseException]:
        calls = [asyncio.create_task(sender.resubmit(monitor.config)) for _ in range(2)]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), TIMEOUT_S)

    ends = asyncio.run(both())

    assert Counter(value for _, _, value in monitor.raw("events")) == {b"%d" % i: 1 for i in range(5000)}
    assert [end for end in ends if not isinstance(end, int | BrokerError)] == []


def test_a_killed_call_sends_no_letter_twice(monitor: Monitor) -> None:
    monitor.make("dead-letters", "events")
    count = 10_000
    for first in range(0, count, 5000):
        monitor.write(*(letter("events", i, b"%d" % i, i % 2) for i in range(first, first + 5000)))

    with monitor.running("dead-letters", "--resubmit") as process:
        until(lambda: bool(monitor.raw("events")))
        process.kill()
    early = len(monitor.raw("events"))
    done = monitor.lines("dead-letters", "--resubmit")

    assert done == [{"resubmitted": count - early}]
    assert Counter(value for _, _, value in monitor.raw("events")) == {b"%d" % i: 1 for i in range(count)}
