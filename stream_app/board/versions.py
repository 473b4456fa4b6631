"""Model versions of one shard, what was decided about them, and what asked for it."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

MOST_VERSIONS, MOST_DECISIONS, MOST_TRIGGERS = 500, 1000, 500


class _Model(Struct, gc=False):
    version: str
    status: str
    kind: str
    parent: str | None
    use: str
    params: dict[str, Any]
    trained: dict[str, Any] | None
    why: str | None
    record: int
    time: int
    verdict: str | None = None
    evidence: dict[str, Any] | None = None


class _Entry(Struct, gc=False):
    number: int
    time: int
    what: str
    why: str | None = None
    by: str | None = None
    version: str | None = None
    signal: str | None = None
    command: str | None = None
    incident: str | None = None
    stream: str | None = None


class _Asked(Struct, gc=False):
    """A trigger's data: a request to retrain, or a proposed promotion."""

    model: str
    version: str
    action: str = "promote"
    reason: str = ""
    incident: str | None = None
    against: str | None = None
    train: dict[str, Any] | None = None
    cost: dict[str, Any] = {}


class _Trigger(Struct, gc=False):
    id: str
    type: str
    time: datetime
    data: _Asked


class Version(Struct):
    """A version as the newest record shows it."""

    version: str
    status: str
    kind: str
    parent: str | None
    model: str
    trained: dict[str, Any] | None
    why: str | None
    since_ms: int
    verdict: str | None = None
    comparison: dict[str, Any] | None = None


class Decision(Struct, gc=False):
    """An entry of the audit in short."""

    time_ms: int
    number: int
    action: str
    version: str | None
    reason: str | None
    by: str | None


class Trigger(Struct):
    """What was asked for."""

    id: str
    time_ms: int
    kind: str
    model: str
    version: str
    action: str
    reason: str
    incident: str | None
    excess: float | None
    train: dict[str, Any] | None


class Promotion(Struct, gc=False):
    """A version that became champion, or came back."""

    time_ms: int
    version: str
    back: bool


class Versions(Struct):
    """Of one shard, oldest first."""

    rows: dict[str, Version] = {}
    decisions: list[Decision] = []
    triggers: list[Trigger] = []
    promotions: list[Promotion] = []

    def take_model(self, value: bytes) -> None:
        """A record of `models`."""
        now = _MODEL.decode(value)
        before = self.rows.pop(now.version, None)
        if now.status == "champion" and now.record:
            back = before is not None and before.status in ("predecessor", "archived")
            self.promotions = [*self.promotions, Promotion(now.time, now.version, back)][-MOST_VERSIONS:]
        params = ", ".join(f"{name}={_short(given)}" for name, given in now.params.items())
        model = f"{now.use}({params})" if params else now.use
        told = now.version, now.status, now.kind, now.parent, model, now.trained, now.why, now.time
        self.rows[now.version] = Version(*told, now.verdict, now.evidence)
        while len(self.rows) > MOST_VERSIONS:
            archived = (name for name, row in self.rows.items() if row.status == "archived")
            del self.rows[next(archived, next(iter(self.rows)))]

    def take_entry(self, value: bytes) -> None:
        """A record of `audit`."""
        now = _ENTRY.decode(value)
        action = now.command if now.what == "command" and now.command else now.what
        of = now.incident or now.signal or now.stream
        reason = now.why or of
        told = Decision(now.time, now.number, action, now.version, reason, now.by)
        self.decisions = [*self.decisions, told][-MOST_DECISIONS:]

    def take_trigger(self, value: bytes) -> None:
        """A record of `triggers`."""
        now = _TRIGGER.decode(value)
        kind = "promotion" if now.type.endswith("promotion") else "retrain"
        asked = now.data
        reason = asked.reason or f"proven better than {asked.against}"
        time_ms, excess = round(now.time.timestamp() * 1000), asked.cost.get("excess_error_per_event")
        told = asked.model, asked.version, asked.action, reason, asked.incident, excess, asked.train
        self.triggers = [*self.triggers, Trigger(now.id, time_ms, kind, *told)][-MOST_TRIGGERS:]


def _short(given: Any) -> str:
    text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    return text if len(text) <= 60 else text[:59] + "…"


_MODEL, _ENTRY, _TRIGGER = msgspec.json.Decoder(_Model), msgspec.json.Decoder(_Entry), msgspec.json.Decoder(_Trigger)
