"""Prometheus Alertmanager, by version 2 of its API.

An alert there is its labels; one that is not sent again within Alertmanager's `resolve_timeout` counts as resolved.

1. Labels do not change while an incident lasts, but for severity, signal and segment, which routes need and which may
   become others: then one request ends the alert with the old labels and begins the one with the new.
2. Times are those of the delivery (`startsAt` of a repeat is ignored there, the first one stays); that of the events,
   which may be years ago in a replay, is an annotation.
3. Open incidents are sent again every REPEAT_S without an end; recovery sends the same labels with the end now.
"""

from datetime import UTC, datetime
from typing import Any

from stream_app.config import Config, Notify
from stream_app.config.receivers import ALERTS_PATH
from stream_app.edges.notices import Event, Notice
from stream_app.edges.receivers import Answer, Clock
from stream_app.edges.webhook import Http
from stream_app.messages import to_json

REPEAT_S = 60.0  # as Prometheus does it; the default of resolve_timeout is 5 minutes
ALERT_NAME = "DriftlineIncident"
JSON = {"Content-Type": "application/json"}


class Alertmanager:
    """`POST /api/v2/alerts` at one address."""

    repeat_s: float | None = REPEAT_S

    def __init__(self, config: Config, notify: Notify, clock: Clock) -> None:
        base = (notify.alertmanager or "").rstrip("/")
        self._url = base if base.endswith(ALERTS_PATH) else base + ALERTS_PATH
        self._name, self._clock, self._http = config.name, clock, Http(notify, clock)

    async def send(self, notice: Notice) -> Answer:
        """The alert of an incident as it is now; one that it no longer is ends."""
        now, labels = self._now(), labels_of(self._name, notice.event)
        alerts = [alert(notice.event, labels, now, ended=notice.status == "recovered")]
        if notice.before is not None and labels_of(self._name, notice.before) != labels:
            alerts.append(alert(notice.before, labels_of(self._name, notice.before), now, ended=True))
        return await self._http.post(self._url, to_json(alerts), JSON)

    async def repeat(self, events: list[Event]) -> Answer:
        """Open incidents once more, in one request."""
        now = self._now()
        alerts = [alert(event, labels_of(self._name, event), now, ended=False) for event in events]
        return await self._http.post(self._url, to_json(alerts), JSON)

    async def close(self) -> None:
        await self._http.close()

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")


def labels_of(name: str, event: Event) -> dict[str, str]:
    """What an alert is known by; Alertmanager leaves out what is empty."""
    data = event.data
    found = {
        "alertname": ALERT_NAME,
        "monitor": name,
        "shard": str(event.source or "").rpartition("/")[2],
        "incident": data.incident or event.subject,
        "severity": data.severity,
        "signal": data.signal,
        "segment": data.segment,
    }
    return {label: str(value) for label, value in found.items() if value}


def alert(event: Event, labels: dict[str, str], now: str, *, ended: bool) -> dict[str, Any]:
    """One alert of the API; without an end Alertmanager's own time-out holds.

    An end in the future, be it by a clock that is ahead, would be kept by it: none before it could end the alert.
    """
    data = event.data
    annotations = {
        "summary": data.message,
        "description": f"{labels['alertname']} {data.incident} is {data.status}",
        "event_time": event.time,
        "event_id": event.id,
        "acknowledged_by": data.acknowledged_by,
    }
    said = {name: str(value) for name, value in annotations.items() if value}
    return {"labels": labels, "annotations": said, "startsAt": now} | ({"endsAt": now} if ended else {})
