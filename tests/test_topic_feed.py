"""Delivery from the topics by real workers: shared, killed, away, given up, and tried again."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hooks import Hook
from kafka_runs import Worker, all_taken, in_row, monitor, own, wait_until
from monitors import Monitor, alert
from runs import call
from waiting import TIMEOUT_S

from compose.broker import Broker
from stream_app.config import Config, load
from stream_app.edges import subscriber, topics
from stream_app.edges.topic_feed import group_of
from stream_app.runners.notifier import Notifier


def told(config: Path, *receivers: str) -> Path:
    """The configuration with these receivers, each a few lines of TOML; they hear of every incident."""
    tables = "\n".join(f'[[alarms.notify]]\nseverity = "info"\ntimeout = "1s"\n{lines}' for lines in receivers)
    config.write_text(config.read_text() + tables + "\n")
    asyncio.run(topics.ensure(load(config)))
    return config


def written(config: Config) -> list[str]:
    """The ids of all alerts, in the order of their partitions."""

    async def work() -> list[str]:
        return [json.loads(each.record.value)["id"] async for each in subscriber.history(config, "alerts")]

    return asyncio.run(work())


def test_workers_tell_everything_whoever_is_killed(broker: Broker, tmp_path: Path) -> None:
    with Hook(503) as hook, Hook(usual=500) as failing:
        lines = 'session = "2s"'
        file = monitor(tmp_path, broker.bootstrap, own("told"), labels=False, kafka_lines=lines)
        told(file, f'webhook = "{hook.url}"', f'name = "failing"\nwebhook = "{failing.url}"')
        config, sent = load(file), 0
        for turn in range(2):
            with Worker(file, f"w{turn}") as worker:
                sent = sent or in_row(config, 5, 4000)
                seen = len(hook.requests)
                wait_until(lambda: len(hook.requests) > seen, worker)  # noqa: B023
                worker.kill()
        seen = len(failing.requests)
        with Worker(file, "w2") as worker:
            wait_until(lambda: len(failing.requests) > seen, worker)
            wait_until(lambda: all_taken(config, {"events": [sent]}), worker)
            expected = written(config)
            wait_until(lambda: set(hook.ids) == set(expected), worker)
            wait_until(lambda: _lag(config, "webhook") == 0, worker)
            assert worker.stop() == 0, worker.told()

    assert len(expected) >= 3
    assert list(dict.fromkeys(hook.ids)) == expected
    assert set(failing.ids) <= set(expected)
    assert _lag(config, "failing") > 0


def _lag(config: Config, receiver: str) -> int:
    """Records of the alerts that the receiver's group has not behind it."""
    from aiokafka import TopicPartition  # noqa: PLC0415

    from stream_app.edges import kafka  # noqa: PLC0415

    async def work() -> int:
        place = TopicPartition(kafka.topic(config, "alerts"), 0)
        async with kafka.consumer(config, group_id=group_of(config, receiver)) as client:
            ends = await client.end_offsets([place])
            return int(ends[place] - (await client.committed(place) or 0))

    return asyncio.run(work())


def _dead(topic: Monitor) -> list[dict[str, Any]]:
    done = call("notify", "dead", topic.file, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def topic(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Monitor:
    """Alerts written by the test."""
    made = Monitor.over(broker, tmp_path, request)
    made.make("alerts", "undelivered")
    return made


def event(incident: str, status: str, partition: int = 0, severity: str = "warning", minute: int = 0) -> Any:
    stream, place, key, value = alert(incident, status, partition, minute)
    data = {**value["data"], "severity": severity}
    return stream, place, key, {**value, "id": f"{incident}/{status}", "data": data}


def configured(topic: Monitor, *receivers: str, severity: str = "warning") -> Config:
    tables = "\n".join(f'[[alarms.notify]]\nseverity = "{severity}"\n{lines}' for lines in receivers)
    topic.file.write_text(topic.file.read_text() + tables + "\n")
    topic.config = load(topic.file)
    return topic.config


def drained(config: Config, **options: Any) -> dict[str, dict[str, int]]:
    """What one process delivers until nothing waits."""
    notifier = Notifier(config, None, follow=False, **options)
    notifier.end_by(time.monotonic() + TIMEOUT_S)
    asyncio.run(notifier.run())
    return notifier.metrics


def test_a_group_goes_on_where_it_stands_and_knows_what_it_was_told(topic: Monitor) -> None:
    with Hook() as hook:
        config = configured(topic, f'webhook = "{hook.url}"', severity="critical")
        topic.write(event("i", "opened", severity="critical"), event("j", "opened", 1), event("k", "opened", 1))
        assert drained(config)["webhook"]["delivered"] == 1
        topic.write(event("i", "recovered"), event("j", "recovered", 1), event("k", "updated", 1, "critical"))
        assert drained(config)["webhook"]["delivered"] == 2

    assert sorted(hook.ids) == ["i/opened", "i/recovered", "k/updated"]


def test_members_share_the_partitions(topic: Monitor) -> None:
    with Hook() as hook:
        config = configured(topic, f'webhook = "{hook.url}"')
        topic.write(*(event(f"i{n}", "opened", n % 2) for n in range(40)))

        async def both() -> None:
            members = [Notifier(config, None) for _ in range(2)]
            tasks = [asyncio.create_task(member.run()) for member in members]
            async with asyncio.timeout(TIMEOUT_S):
                while len(set(hook.ids)) < 40:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            for member in members:
                member.end_by(time.monotonic())
            await asyncio.gather(*tasks)

        asyncio.run(both())
        assert drained(config)["webhook"]["delivered"] == 0


def test_what_is_given_up_stands_in_its_topic_and_can_be_tried_again(topic: Monitor) -> None:
    with Hook(400) as hook:
        config = configured(topic, f'webhook = "{hook.url}"')
        topic.write(event("i", "opened", 1), event("j", "opened", 1))
        figures = drained(config)["webhook"]
        assert (figures["delivered"], figures["dead"], figures["waiting"]) == (1, 1, 0)
        (partition, _, letter) = topic.raw("undelivered")[0]
        assert partition == 1
        assert json.loads(letter)["receiver"] == "webhook"

        (line,) = _dead(topic)
        assert (line["receiver"], line["event"]["id"], line["attempts"]) == ("webhook", "i/opened", 1)
        assert "400" in line["reason"]

        hook.usual = 500
        failed = call("notify", "dead", topic.file, "--retry")
        assert failed.returncode == 1
        assert len(topic.raw("undelivered")) == 2
        hook.usual = 200
        assert call("notify", "dead", topic.file, "--retry").returncode == 0
        assert _dead(topic) == []
    assert hook.ids[-1] == "i/opened"
