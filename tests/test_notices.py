"""What a receiver is told: the incidents that concern it, from their first serious alert to their end."""

import json
from typing import Any

import pytest

from stream_app.config import Notify
from stream_app.edges.log import Record
from stream_app.edges.notices import Follower


def record(incident: str, status: str, severity: str, number: int = 1) -> Record:
    event = {
        "id": f"{incident}/{status}/{number}",
        "type": f"driftline.alert.{status}",
        "data": {"incident": incident, "status": status, "severity": severity, "message": "error rose"},
    }
    return Record(number, event["id"], incident, 0, json.dumps(event).encode())


def told(follower: Follower, *alerts: tuple[str, str, str]) -> list[str]:
    found = [follower.take("alerts", record(*alert, number=n)) for n, alert in enumerate(alerts, 1)]
    return [f"{notice.incident} {notice.status}" for notice in found if notice is not None]


def test_an_incident_below_the_severity_is_not_told() -> None:
    alerts = (("i", "opened", "info"), ("i", "updated", "info"), ("i", "recovered", "info"))

    assert told(Follower(Notify(log=True)), *alerts) == []
    assert len(told(Follower(Notify(log=True, severity="info")), *alerts)) == 3


def test_an_incident_that_becomes_serious_is_told_from_then_on_to_its_end() -> None:
    follower = Follower(Notify(log=True, severity="critical"))
    alerts = [("i", "opened", "info"), ("i", "updated", "warning"), ("i", "updated", "critical")]
    after = [("i", "acknowledged", "info"), ("j", "opened", "warning"), ("i", "recovered", "info")]

    assert told(follower, *alerts, *after) == ["i updated", "i acknowledged", "i recovered"]
    assert follower.open == {}
    assert told(follower, ("i", "updated", "info")) == []


def test_an_unknown_severity_is_not_held_back() -> None:
    assert told(Follower(Notify(log=True, severity="critical")), ("i", "opened", "fatal")) == ["i opened"]


def test_a_notice_knows_what_was_told_before() -> None:
    follower = Follower(Notify(log=True))
    first = follower.take("alerts", record("i", "opened", "warning"))
    second = follower.take("alerts", record("i", "updated", "critical", 2))

    assert first is not None
    assert second is not None
    assert (first.before, second.before) == (None, first.event)
    assert (second.id, second.status, second.severity, second.message) == (
        "i/updated/2", "updated", "critical", "error rose",
    )  # fmt: skip


def test_triggers_are_all_told() -> None:
    event: dict[str, Any] = {"id": "t", "type": "driftline.trigger.retrain", "data": {"incident": "i", "reason": "why"}}
    notice = Follower(Notify(log=True, severity="critical")).take(
        "triggers", Record(1, "t", "champion", 0, json.dumps(event).encode())
    )

    assert notice is not None
    assert (notice.status, notice.incident, notice.message) == ("retrain", "i", "why")


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[]", b'{"data": 1}', b'{"id": "x"}'])
def test_what_is_no_event_is_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Follower(Notify(log=True)).take("alerts", Record(1, "x", "k", 0, value))
