"""What a receiver is told: which records of a stream concern it, and what each says.

Pure: records in, notices out. Whoever goes on in the middle of a stream lets the records before it pass first.
"""

from typing import Any, NamedTuple

import msgspec

from stream_app.config import Config, Notify
from stream_app.config.receivers import SEVERITIES
from stream_app.edges.log import Record
from stream_app.flow.outgoing import rfc3339
from stream_app.messages import to_json


class Data(msgspec.Struct, frozen=True):
    """What delivery uses of an alert's data; whatever else an alert holds is passed on unread."""

    incident: Any = None
    status: Any = None
    severity: Any = None
    signal: Any = None
    segment: Any = None
    message: Any = None
    reason: Any = None  # of a trigger
    acknowledged_by: Any = None


class Event(msgspec.Struct, frozen=True):
    """What delivery uses of a CloudEvent."""

    data: Data
    id: Any = None
    type: Any = None
    source: Any = None
    subject: Any = None
    time: Any = None


class Notice(NamedTuple):
    """One record that a receiver is to be told; `id` is the same however often it is sent."""

    id: str
    stream: str
    incident: str  # notices of one incident are told in their order
    event: Event
    value: bytes  # the whole event as it stands in the stream
    before: Event | None = None  # what this receiver was told of the incident before

    @property
    def status(self) -> str:
        """opened, updated, acknowledged, recovered; of triggers: retrain."""
        return str(self.event.data.status or str(self.event.type or "").rpartition(".")[2])

    @property
    def severity(self) -> str:
        return str(self.event.data.severity or "")

    @property
    def message(self) -> str:
        return str(self.event.data.message or self.event.data.reason or "")


class Follower:
    """The incidents that one receiver knows of, in one partition of the alerts or in the log of a file.

    An incident concerns the receiver from the first alert on that is as severe as it asks for; from then on it is told
    whatever becomes of it. Triggers have no severity and are all told. Memory: one event for each open incident.
    """

    def __init__(self, notify: Notify) -> None:
        self._least = SEVERITIES.index(notify.severity)
        self.open: dict[str, Event] = {}  # incident → the newest event of those that concern the receiver

    def take(self, stream: str, record: Record) -> Notice | None:
        """The next record of a stream; None if it does not concern the receiver. ValueError if it is no CloudEvent."""
        event = event_of(record.value)
        data = event.data
        incident = str(data.incident or record.key)
        name = str(event.id or record.id)
        if stream != "alerts":
            return Notice(name, stream, incident, event, record.value)
        before = self.open.get(incident)
        if before is None and _rank(data.severity) < self._least:
            return None
        if data.status == "recovered":
            self.open.pop(incident, None)
        else:
            self.open[incident] = event
        return Notice(name, stream, incident, event, record.value, before)


def event_of(value: bytes) -> Event:
    """The event of a record; ValueError if it is none."""
    try:
        return msgspec.json.decode(value, type=Event)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def _rank(severity: Any) -> int:
    """A severity that is not known is not held back."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def trial(config: Config, time_ms: int) -> list[Notice]:
    """An incident that is opened and recovers, and says that it is a test."""
    incident = f"{config.name}-test-{time_ms}"
    found: list[Notice] = []
    for status in ("opened", "recovered"):
        data = {
            "incident": incident,
            "status": status,
            "severity": "critical",
            "signal": "test",
            "segment": "",
            "message": f"This is a test of `driftline notify test`, not an incident of {config.name} ({status})",
            "test": True,
        }
        event = {
            "specversion": "1.0",
            "id": f"{config.name}/alerts/test/{time_ms}/{status}",
            "source": f"driftline/{config.name}/0",
            "type": f"driftline.alert.{status}",
            "subject": incident,
            "time": rfc3339(time_ms),
            "datacontenttype": "application/json",
            "data": data,
        }
        before, value = found[-1].event if found else None, to_json(event)
        found.append(Notice(str(event["id"]), "alerts", incident, event_of(value), value, before))
    return found
