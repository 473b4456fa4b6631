"""The newest incidents of one shard: each as a row, its alerts in short, and what the newest one says, as it came."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

MOST = 1000
MOST_UPDATES = 100  # of one incident: the first, and the newest
EVIDENCE_BYTES = 32 << 20  # of all: those that are over are the first to lose it


class _Harm(Struct, gc=False):
    basis: str
    excess_per_event: float | None
    interval: tuple[float | None, float | None] | None
    benign: bool | None


class _Place(Struct, gc=False):
    signal: str
    segment: str


class _Lead(Struct, gc=False):
    incident: str
    status: str
    severity: str
    signal: str
    segment: str
    detector: str
    time: int
    onset_time: int
    signals: int
    alarms: int
    acknowledged_by: str | None
    outcome: str | None
    message: str
    contributions: list[_Place]
    harm: _Harm | None
    benign: bool | None


class _Alert(Struct, gc=False):
    time: datetime
    data: msgspec.Raw


class Update(Struct, gc=False):
    """One alert in short."""

    time_ms: int
    status: str
    severity: str
    message: str
    by: str | None


class Incident(Struct):
    """An incident as its newest alert shows it."""

    id: str
    opened_ms: int
    status: str = "open"  # acknowledged, recovered, closed
    severity: str = "info"
    signal: str = ""
    segment: str = ""
    detector: str = ""
    onset_ms: int = 0
    recovered_ms: int | None = None
    signals: int = 1
    by: str | None = None
    message: str = ""
    cost: str | None = None
    updates: list[Update] = []
    places: list[str] = []  # SIGNAL|SEGMENT of all that alarmed, while it is open
    data: bytes = b""  # the newest alert's; empty: forgotten

    @property
    def over(self) -> bool:
        return self.status in ("recovered", "closed")

    def evidence(self) -> dict[str, Any]:
        """The newest alert's data; empty where it was forgotten."""
        return msgspec.json.decode(self.data, type=dict[str, Any]) if self.data else {}


class Incidents(Struct):
    """Those of one shard, oldest first."""

    rows: dict[str, Incident] = {}
    opened: int = 0  # ever
    bytes_kept: int = 0

    def take(self, value: bytes) -> None:
        """One alert."""
        alert = _ALERT.decode(value)
        now, time_ms = _LEAD.decode(alert.data), round(alert.time.timestamp() * 1000)
        row = self.rows.get(now.incident)
        if row is None:
            self.opened += 1
            row = self.rows[now.incident] = Incident(now.incident, time_ms)
        row.severity, row.signal, row.segment, row.detector = now.severity, now.signal, now.segment, now.detector
        row.onset_ms, row.signals, row.by, row.message = now.onset_time, now.signals, now.acknowledged_by, now.message
        row.status = "acknowledged" if row.by else "open"
        if now.status == "recovered":
            row.status, row.recovered_ms = ("closed" if now.outcome == "closed" else "recovered"), time_ms
        by = now.acknowledged_by if now.status == "acknowledged" else None
        row.updates.append(Update(time_ms, now.status, now.severity, now.message, by))
        if len(row.updates) > MOST_UPDATES:
            del row.updates[1]
        row.cost = _cost(now)
        row.places = [] if row.over else [f"{seen.signal}|{seen.segment}" for seen in now.contributions]
        self.bytes_kept += len(alert.data) - len(row.data)
        row.data = bytes(alert.data)
        self._forget()

    def alarming(self) -> dict[str, str]:
        """SIGNAL|SEGMENT → the newest open incident that it is part of."""
        return {place: row.id for row in self.rows.values() for place in row.places}

    def _forget(self) -> None:
        while len(self.rows) > MOST:
            oldest = next((row for row in self.rows.values() if row.over), next(iter(self.rows.values())))
            self.bytes_kept -= len(oldest.data)
            del self.rows[oldest.id]
        if self.bytes_kept > EVIDENCE_BYTES:
            newest = next(reversed(self.rows))
            for row in sorted(self.rows.values(), key=lambda row: not row.over):  # stable: the oldest first
                if self.bytes_kept <= EVIDENCE_BYTES or row.id == newest:
                    break
                self.bytes_kept -= len(row.data)
                row.data = b""


def _cost(lead: _Lead) -> str | None:
    """What it costs, in words; None where that is not known."""
    harm = lead.harm
    if lead.benign or (harm is not None and harm.benign):
        return "costs nothing so far"
    if harm is None or harm.excess_per_event is None:
        return None
    low, high = harm.interval or (None, None)
    between = f" ({low:.2g} to {high:.2g})" if low is not None and high is not None else ""
    basis = ", estimated before the labels" if harm.basis == "estimated" else ""
    unclear = ", not beyond chance" if harm.benign is None else ""
    return f"{harm.excess_per_event:.2g} an event{between}{basis}{unclear}"


_ALERT, _LEAD = msgspec.json.Decoder(_Alert), msgspec.json.Decoder(_Lead)
