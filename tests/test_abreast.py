"""Shards side by side: the same results in the same order in one process or several, and no failure is lost."""

import asyncio
import os
import signal
from typing import Any

import pytest

from stream_app.errors import ConfigError, DriftlineError, TopicError
from stream_app.runners.abreast import WORTH, Reached, Tell, abreast, processes_for

SHARDS = [3, 1, 4, 0, 2]


async def squared(shard: int, tell: Tell) -> tuple[int, int]:
    for passed in (1, 2):
        tell(Reached(passed, passed, 1000 * shard))
    return shard * shard, os.getpid()


async def refused(shard: int, _tell: Tell) -> int:
    if shard == 1:
        raise TopicError("a topic is gone")
    return shard


async def misspelt(_shard: int, _tell: Tell) -> int:
    problems = ["$.name: missing", "$.kafka: missing"]
    raise ConfigError(problems, "flights.toml")


async def broken(shard: int, _tell: Tell) -> float:
    return 1 / (shard - 4)


async def killed(shard: int, _tell: Tell) -> int:
    if shard == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return shard


def run(work: Any, processes: int, told: list[tuple[int, Reached]] | None = None) -> list[Any]:
    heard: list[tuple[int, Reached]] = [] if told is None else told
    return asyncio.run(abreast(work, SHARDS, processes, lambda shard, place: heard.append((shard, place))))


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_shards_and_all_that_was_told_arrives(processes: int) -> None:
    told: list[tuple[int, Reached]] = []
    found = run(squared, processes, told)

    assert [result for result, _ in found] == [9, 1, 16, 0, 4]
    assert len({pid for _, pid in found}) == processes
    assert (os.getpid() in {pid for _, pid in found}) == (processes == 1)
    assert sorted(told) == [(shard, Reached(n, n, 1000 * shard)) for shard in sorted(SHARDS) for n in (1, 2)]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("work", "error", "said"),
    [(refused, TopicError, "a topic is gone"), (misspelt, ConfigError, r"flights.toml: 2 problems\n  \$.name")],
)
def test_what_stops_one_stops_all_and_says_the_same(
    work: Any, error: type[DriftlineError], said: str, processes: int
) -> None:
    with pytest.raises(error, match=f"^{said}") as caught:
        run(work, processes)
    assert caught.value.exit_code == error.exit_code


def test_a_mistake_in_another_process_is_shown_with_its_place() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)shard 4.*return 1 / \(shard - 4\)\n.*ZeroDivisionError"):
        run(broken, 2)


def test_a_process_that_was_killed_is_told_of() -> None:
    with pytest.raises(DriftlineError, match=r"exit code -9 .*fewer --processes"):
        run(killed, 2)


def test_there_are_as_many_processes_as_are_worth_while() -> None:
    cores = len(os.sched_getaffinity(0))
    assert processes_for({0: 10, 1: 10}, None) == 1
    assert processes_for(dict.fromkeys(range(64), WORTH), None) == cores
    assert processes_for({0: 100 * WORTH}, None) == 1
    assert processes_for({0: 10, 1: 10}, 7) == 2
    assert processes_for({}, 7) == 1
