"""Incidents in a real Alertmanager: they fire until they recover, and nothing else stays behind."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hooks import Alertmanager as Server
from hooks import Hook, until

from stream_app.config import Config, Field, Notify, Schema
from stream_app.edges.alertmanager import Alertmanager, labels_of
from stream_app.edges.log import Record
from stream_app.edges.notices import Event, Follower, Notice
from stream_app.edges.receivers import Answer, make

CONFIG = Config(name="flights", schema=Schema(fields={"x": Field(type="number")}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Hook]]:
    """One that passes on what it would notify of."""
    with Hook() as hook, Server(tmp_path_factory.mktemp("alertmanager"), hook.url) as started:
        yield started, hook


def notices(incident: str, *steps: tuple[str, str]) -> list[Notice]:
    """An incident's alerts of 2013 as a receiver is told them: each step is a status and a severity."""
    follower, found = Follower(Notify(log=True)), []
    for number, (status, severity) in enumerate(steps):
        event = {
            "id": f"flights/alerts/3/{incident}/{number}/{status}",
            "source": "driftline/flights/3",
            "time": "2013-02-09T00:00:00.000Z",
            "subject": incident,
            "data": {
                "incident": incident, "status": status, "severity": severity, "signal": "error", "segment": "",
                "message": "error rose from 0.2 to 0.3", "acknowledged_by": None,
            },
        }  # fmt: skip
        found.append(follower.take("alerts", Record(number, "", incident, 0, json.dumps(event).encode())))
    return found


def sent(url: str, *given: Notice, repeated: list[Event] | None = None) -> list[Answer]:
    async def work() -> list[Answer]:
        receiver = make(CONFIG, Notify(alertmanager=url), time.time)
        assert isinstance(receiver, Alertmanager)
        answers = [await receiver.send(notice) for notice in given]
        if repeated:
            answers.append(await receiver.repeat(repeated))
        await receiver.close()
        return answers

    answers = asyncio.run(work())
    assert [answer.end for answer in answers] == ["delivered"] * len(answers), answers
    return answers


def firing(server: Server, incident: str) -> list[dict[str, Any]]:
    return [alert for alert in server.alerts() if alert["labels"].get("incident") == incident]


def test_an_incident_fires_now_whenever_its_events_were_and_ends_when_it_recovers(server: tuple[Server, Hook]) -> None:
    opened, recovered = notices("i-1", ("opened", "warning"), ("recovered", "warning"))
    sent(server[0].url, opened)
    (alert,) = firing(server[0], "i-1")

    assert alert["labels"] == {
        "alertname": "DriftlineIncident", "monitor": "flights", "shard": "3", "incident": "i-1",
        "severity": "warning", "signal": "error",
    }  # fmt: skip
    assert alert["annotations"]["summary"] == "error rose from 0.2 to 0.3"
    assert alert["annotations"]["event_time"] == "2013-02-09T00:00:00.000Z"
    assert alert["annotations"]["event_id"] == opened.id
    assert not alert["startsAt"].startswith("2013")

    sent(server[0].url, recovered)
    assert firing(server[0], "i-1") == []
    until(lambda: _told(server[1], "i-1") == ["firing", "resolved"])


def test_a_severity_that_rises_leaves_one_alert(server: tuple[Server, Hook]) -> None:
    steps = notices("i-2", ("opened", "warning"), ("updated", "critical"), ("recovered", "critical"))
    sent(server[0].url, *steps[:2])
    assert [alert["labels"]["severity"] for alert in firing(server[0], "i-2")] == ["critical"]

    sent(server[0].url, steps[2])
    assert firing(server[0], "i-2") == []


def test_repeats_begin_nothing_new_and_extend_the_alert(server: tuple[Server, Hook]) -> None:
    (opened,) = notices("i-3", ("opened", "critical"))
    sent(server[0].url, opened, opened)
    (before,) = firing(server[0], "i-3")
    sent(server[0].url, repeated=[opened.event])
    (after,) = firing(server[0], "i-3")

    assert after["startsAt"] == before["startsAt"]
    assert after["endsAt"] > before["endsAt"]
    assert _told(server[1], "i-3").count("resolved") == 0


def test_the_address_may_be_that_of_the_api(server: tuple[Server, Hook]) -> None:
    (opened,) = notices("i-4", ("opened", "critical"))
    sent(f"{server[0].url}/api/v2/alerts", opened)
    sent(f"{server[0].url}/", opened)

    assert len(firing(server[0], "i-4")) == 1


def test_labels_without_a_value_are_left_out() -> None:
    (notice,) = notices("i", ("opened", "critical"))

    assert "segment" not in labels_of("flights", notice.event)


def _told(hook: Hook, incident: str) -> list[str]:
    """What Alertmanager notified of, in order."""
    alerts = [alert for request in hook.requests for alert in json.loads(request.body)["alerts"]]
    return [alert["status"] for alert in alerts if alert["labels"].get("incident") == incident]
