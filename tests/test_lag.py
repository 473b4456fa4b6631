"""How late a shard is: when a lag begins, when it ends, and that neither is told twice."""

from typing import Any

import numpy as np
import pytest

from stream_app.edges.batches import Records
from stream_app.runners.lag import Lag
from stream_app.texts import Pieces

WALL = 1_000_000.0  # seconds


def sent(offset: int, ago_s: float, n: int = 10) -> Records:
    """A batch of records whose first was sent so long ago, a second apart."""
    stamps = [round(1000 * (WALL - ago_s + i)) for i in range(n)]
    nothing = Pieces.of([b""] * n)
    return Records(np.arange(offset, offset + n), np.array(stamps), nothing, nothing)


def look(lag: Lag, taken: int, behind: int, now: float = 0.0) -> dict[str, Any] | None:
    return lag.look({"events": taken, "labels": 0}, {"events": behind, "labels": 0}, now, WALL + now)


def test_it_begins_once_above_the_limit() -> None:
    lag = Lag(60_000, ["events", "labels"])
    lag.push("events", sent(0, 50))
    assert look(lag, 0, 10) is None
    begun = look(lag, 3, 7, now=20)
    assert begun == {"command": "lag", "stream": "events", "from": 3, "records": 7, "seconds": 70.0, "limit": 60.0}
    assert look(lag, 3, 7, now=21) is None
    assert lag.lagging == "events"


def test_it_ends_after_as_long_as_the_limit_with_nothing_older_than_half_of_it() -> None:
    lag = Lag(60_000, ["events", "labels"], "events")
    assert look(lag, 10, 0, now=0) is None
    lag.push("events", sent(10, -10))
    assert look(lag, 10, 10, now=50) is None  # waits for 40 s: too long to be calm
    assert look(lag, 20, 0, now=51) is None
    assert look(lag, 20, 0, now=110) is None
    ended = look(lag, 20, 0, now=111)
    assert ended == {
        "command": "lag", "stream": "events", "from": 20, "records": 0, "seconds": 0.0, "limit": 60.0, "ended": True
    }  # fmt: skip
    assert look(lag, 20, 0, now=500) is None


def test_records_that_are_old_when_they_come_are_one_lag() -> None:
    lag = Lag(60_000, ["events", "labels"])
    told = []
    for i in range(100):
        lag.push("events", sent(i, 3600, n=1))
        told += [look(lag, i, 1, now=10 * i), look(lag, i + 1, 0, now=10 * i + 1)]
    assert len([command for command in told if command]) == 1


def test_what_is_not_known_ends_nothing_and_begins_nothing() -> None:
    lag = Lag(60_000, ["events", "labels"], "events")
    assert [look(lag, 10, 1, now=now) for now in (0, 100, 1000)] == [None] * 3  # the broker has more


def test_the_stream_that_is_latest_is_told() -> None:
    lag = Lag(60_000, ["events", "labels"])
    lag.push("events", sent(0, 100))
    lag.push("labels", sent(0, 200))
    begun = look(lag, 0, 10)
    assert begun is not None
    assert begun["stream"] == "labels"


@pytest.mark.parametrize(("lagging", "told"), [("", 0), ("events", 1)])
def test_without_a_limit_none_begins_but_one_under_way_ends(lagging: str, told: int) -> None:
    lag = Lag(None, ["events", "labels"], lagging)
    lag.push("events", sent(0, 10**6))
    assert len([command for command in (look(lag, 0, 10), look(lag, 10, 0)) if command]) == told
    assert lag.off
