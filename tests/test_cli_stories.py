"""Features, stories and acknowledgements over Kafka."""

import json
from pathlib import Path
from typing import Any

import pytest
from monitors import Monitor, alert, letter, prediction

from compose.broker import Broker


@pytest.fixture
def monitor(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Monitor:
    return Monitor.over(broker, tmp_path, request)


def test_features_are_the_newest_of_each_key_and_shard(monitor: Monitor) -> None:
    monitor.make("features")

    def value(key: str, mean: float) -> dict[str, Any]:
        return {"by": "c", "key": key, "time": 1_600_000_000_000, "features": {"z_mean": mean}}

    monitor.write(
        *(("features", 0, f"c={key}", value(key, mean)) for key, mean in (("a", 0.25), ("b", 2), ("a", 0.75)))
    )
    monitor.write(("features", 1, "c=a", value("a", 7)))
    monitor.write(("features", 1, "c=a", value("a", 8)), commit=False)

    rows = monitor.lines("features", "--key", "a")
    table = monitor.call("features").stdout

    assert rows == [{"shard": 0, **value("a", 0.75)}, {"shard": 1, **value("a", 7)}]
    assert "0.75" in table
    assert "0.25" not in table


def test_acknowledge_goes_to_the_shard_of_the_incident(monitor: Monitor) -> None:
    monitor.make("alerts", "control")
    monitor.write(
        alert("i-1", "opened", 0), alert("i-1-1", "opened", 1), alert("i-2", "opened", 0), alert("i-2", "recovered", 0)
    )

    (sent,) = monitor.lines("acknowledge", "i-1-1", "--by", "ada")
    unknown, recovered = monitor.call("acknowledge", "i-7"), monitor.call("acknowledge", "i-2")

    command = {"command": "acknowledge", "incident": "i-1-1", "by": "ada"}
    assert sent == command | {"shard": 1, "control": 0}
    ((partition, _, value),) = monitor.raw("control")
    assert (partition, json.loads(value)) == (1, command)
    assert unknown.returncode == recovered.returncode == 1
    assert "no incident 'i-7'" in unknown.stderr
    assert "has recovered" in recovered.stderr


def test_stories_are_told_from_the_topics(monitor: Monitor) -> None:
    monitor.make("alerts", "triggers", "predictions", "outcomes", "dead-letters")
    outcome = {"id": "e1", "label": "1", "delay_ms": 2000, "error": 1.0, "time": 5, "offset": 1}
    trigger = {"data": {"incident": "i-1"}}
    monitor.write(
        alert("i-1", "opened", 0, 1), alert("i-1", "recovered", 0, 2), alert("i-2", "opened", 1, 1),
        ("triggers", 0, "champion", trigger), ("triggers", 1, "champion", {"data": {"incident": "i-2"}}),
        prediction("e1", 1), prediction("e2", 1), ("outcomes", 1, "e1", outcome), letter("events", 9, b"{"),
    )  # fmt: skip

    (incident,) = monitor.lines("story", "i-1")
    (event,) = monitor.lines("story", "e1")
    (refused,) = monitor.lines("story", "events/9")
    nothing = monitor.call("story", "e99")

    assert [told["data"]["status"] for told in incident["alerts"]] == ["opened", "recovered"]
    assert incident["triggers"] == [trigger]
    assert (event["predictions"], event["outcomes"], event["dead_letters"]) == ([prediction("e1")[3]], [outcome], [])
    assert refused["dead_letters"][0]["raw"] == "{"
    assert "label 1 came after 2 s: error 1" in monitor.call("story", "e1").stdout
    assert "$: not JSON" in monitor.call("story", "events/9").stdout
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "'e99' is no incident or event id in the topics" in nothing.stderr
