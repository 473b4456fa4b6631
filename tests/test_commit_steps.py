"""A process that dies between any two steps of a commit changes nothing of what is read as committed.

The victims are shards without Faust around them: what is written to Kafka, and in which steps, is the same.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from kafka_results import assert_equal, embedded, written
from kafka_runs import PROCESSES, all_taken, in_row, last_commits, monitor
from runs import CONFIG, KEY, LOOP
from waiting import TIMEOUT_S

from compose.broker import Broker
from stream_app.config import Config, load
from stream_app.edges import kafka
from stream_app.runners import shard as shards
from stream_app.runners.member import Member

STEPS = ("start", "begin_transaction", "send_batch", "commit_transaction")
MOMENTS = 16  # the steps of a start, a commit, its snapshot, the commit that points to it, and one more
ROWS = 6000
WAITING = 40  # records that a victim may have uncommitted before it is given more


def test_a_crash_between_any_two_steps_changes_nothing(tmp_path: Path, broker: Broker) -> None:
    file = monitor(
        tmp_path, broker.bootstrap, "steps", text=CONFIG + LOOP, labels=False, kafka_lines='snapshot = "1ms"'
    )
    config = load(file)
    ends = {"events": [in_row(config, 3, ROWS)]}
    for moment in range(MOMENTS):
        assert lived(file, moment) == -signal.SIGKILL, f"the steps ended before moment {moment}"
    assert last_commits(config)[0][1].number > MOMENTS / 4  # the victims got on
    assert not all_taken(config, ends)
    assert lived(file, None, ends) == 0
    assert_equal(written(config, 0), embedded(tmp_path, config, 0))


def lived(file: Path, fatal: int | None, ends: dict[str, list[int]] | None = None) -> int | None:
    """Lets a victim die at a moment, or take everything; its exit code, None if it did neither in time."""
    victim = PROCESSES.Process(target=live, args=(file, fatal, ends))
    victim.start()
    victim.join(TIMEOUT_S)
    code = victim.exitcode
    victim.kill()
    victim.join()
    return code


def live(file: Path, fatal: int | None, ends: dict[str, list[int]] | None) -> None:
    """The victim: its shard takes the records in small steps and writes a snapshot at each commit."""
    shards.SNAPSHOT_SHARE = 1e9
    if fatal is not None:
        count_down(fatal)
    asyncio.run(take(load(file), ends))


def count_down(fatal: int) -> None:
    """Kills this process at the moment of that number: each is before one of the STEPS, and behind the last one."""
    passed = 0

    def moment() -> None:
        nonlocal passed
        if passed == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    async def stepped(step: Any, *args: Any, **options: Any) -> Any:
        moment()
        return await step(*args, **options)

    for name in STEPS:
        step = getattr(AIOKafkaProducer, name)
        setattr(AIOKafkaProducer, name, lambda *args, _step=step, **options: stepped(_step, *args, **options))


async def take(config: Config, ends: dict[str, list[int]] | None) -> None:
    """What Faust does for a worker: hands the records behind the last commit to the shard."""
    member = Member(config, KEY)
    member.partitions, member.behind, member.fail = 1, lambda _: 0, lambda _: os._exit(1)
    await member.open({0}, 1)
    shard = member.shards[0]
    places = {TopicPartition(kafka.topic(config, stream), 0): stream for stream in kafka.inputs(config)}
    async with kafka.consumer(config, columns=[place.topic for place in places]) as client:
        client.assign(list(places))
        for place, stream in places.items():
            client.seek(place, shard.expected[stream])
        while ends is None or any(shard.position.next[stream] < ends[stream][0] for stream in ends):
            for place, parts in (await client.getmany(timeout_ms=20)).items():
                for records in parts:
                    for start in range(0, len(records), WAITING):
                        while shard.waiting > WAITING and ends is None:  # noqa: ASYNC110  (no one tells)
                            await asyncio.sleep(0.005)
                        shard.push(places[place], records[start : start + WAITING])
    await member.close(finish=True)
