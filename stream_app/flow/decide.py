"""Decide: alarms become incidents, incidents become alerts and retraining triggers; commands are obeyed.

One incident per cause: an alarm joins an open incident that already holds its signal, or whose onset or newest alarm is
within `alarms.group` of its own. An incident is closed when `alarms.cooldown` has passed without an alarm, and says
whether the signal went back to what it was or settled at a new level. What a decision does to a model or a detector
takes effect at the next epoch boundary (`effects`); each such act is an entry of the audit chain.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec

from detectors import Drift
from stream_app.config import Config, Window
from stream_app.config.watched import WILDCARDS, signals
from stream_app.flow.chunk import Alarm, Chunk, Reject
from stream_app.flow.decode import MAX_DEPTH
from stream_app.flow.detect import Detect
from stream_app.flow.incidents import Incident, evidence, is_worse, sentence
from stream_app.flow.measure import message
from stream_app.flow.score import CHAMPION, Score
from stream_app.messages import CONTROL, STREAMS, Ints, Message, Origin, Problem, to_json

COMMANDS = ("acknowledge", "reset", "set-reference", "gap")


class Command(msgspec.Struct):
    """A record of the control stream; other members are ignored."""

    command: str
    incident: str | None = None
    signal: str | None = None
    why: str | None = None
    by: str | None = None
    stream: str | None = None
    start: int | None = msgspec.field(default=None, name="from")
    stop: int | None = msgspec.field(default=None, name="to")


class Decide:
    """The stage; state: open incidents, the number of the next, when each signal last triggered, the audit chain."""

    def __init__(self, config: Config, origin: Origin, score: Score, detect: Detect) -> None:
        self.origin, self.config, self.score, self.detect = origin, config, score, detect
        timed = config.schema.time is not None
        self.cooldown = _span(config.alarms.cooldown, timed=timed, hours=6, events=5000)
        self.group = _span(config.alarms.group, timed=timed, hours=1, events=500)
        self.trigger_cooldown = _span(config.retrain.cooldown, timed=timed, hours=24, events=20_000)
        self.watched = list(dict.fromkeys(signal.name for signal in signals(config)))
        self.retrain_on = {name for name in self.watched if _asked_for(name, config.retrain.on)}
        self.prefix = f"{origin.name}-{origin.shard}" if origin.shard else origin.name
        self.open: list[Incident] = []
        self.opened = 0
        self.triggered: dict[str, list[int]] = {}  # signal → record and time of its last trigger
        self.audited: tuple[str, int] = ("", 0)  # hash of the last entry, number of entries

    def run(self, chunk: Chunk) -> None:
        for alarm in chunk.alarms:
            self._alarm(chunk, alarm)
        self._obey(chunk)
        if chunk.closes:
            for alarm in self.detect.together(chunk, self._just_alarmed(chunk)):
                self._alarm(chunk, alarm)
            self._recover(chunk)
        for reject in sorted(chunk.rejects, key=lambda reject: reject.at):
            chunk.out.messages.append(self._dead_letter(reject, int(chunk.clock_ms[reject.at - chunk.first])))

    # incidents

    def _alarm(self, chunk: Chunk, alarm: Alarm) -> None:
        incident = next((known for known in self.open if known.takes(alarm, self.group)), None)
        if incident is None:
            self.opened += 1
            incident = Incident.of(f"{self.prefix}-{self.opened}", alarm)
            self.open.append(incident)
            chunk.out.messages.append(self._alert("opened", incident, alarm))
        elif incident.add(alarm):
            chunk.out.messages.append(self._alert("updated", incident, alarm))
        if alarm.signal in self.retrain_on and is_worse(alarm):
            self._trigger(chunk, incident, alarm)

    def _just_alarmed(self, chunk: Chunk) -> int:
        """Signals of the incident that an alarm now would join."""
        new = [i for i in self.open if not _apart(self.group, chunk.end - i.first_record, chunk.end_ms - i.first_ms)]
        return len(new[0].signals) if new else 0

    def _recover(self, chunk: Chunk) -> None:
        record, now_ms = chunk.end, chunk.end_ms
        for incident in [i for i in self.open if _apart(self.cooldown, record - i.last_record, now_ms - i.last_ms)]:
            self.open.remove(incident)
            lead = incident.lead
            now = self.detect.estimate(lead["watch"], lead["signal"], lead["segment"])
            incident.close(now)
            chunk.out.messages.append(self._alert("recovered", incident, None, record=record, now_ms=now_ms))

    def _alert(
        self, status: str, incident: Incident, alarm: Alarm | None, *, record: int = 0, now_ms: int = 0
    ) -> Message:
        record, time_ms = (alarm.record, alarm.time_ms) if alarm else (record, now_ms)
        place = f"{incident.id}/{record}/{incident.alarms}"  # one record may bring alarms of several signals
        return self._cloud_event("alerts", status, place, incident.id, time_ms, incident.data(status))

    def _cloud_event(self, stream: str, kind: str, place: str, key: str, time_ms: int, data: dict[str, Any]) -> Message:
        name, shard = self.origin
        event = {
            "specversion": "1.0",
            "id": f"{name}/{stream}/{shard}/{place}/{kind}",
            "source": f"driftline/{name}/{shard}",
            "type": f"driftline.{stream.removesuffix('s')}.{kind}",
            "subject": key,
            "time": rfc3339(time_ms),
            "datacontenttype": "application/json",
            "data": data,
        }
        return Message(stream, event["id"], key, time_ms, to_json(event))  # type: ignore[arg-type]

    # triggers

    def _trigger(self, chunk: Chunk, incident: Incident, alarm: Alarm) -> None:
        if incident.asked:
            return
        last = self.triggered.get(alarm.signal)
        gap = None if last is None else (alarm.record - last[0], alarm.time_ms - last[1])
        if gap is not None and not _apart(self.trigger_cooldown, *gap):
            return
        self.triggered[alarm.signal] = [alarm.record, alarm.time_ms]
        incident.asked = True
        drift, seen = alarm.drift, evidence(alarm)
        begin, end = sorted((alarm.onset_offset, alarm.offset))  # labels come in another order than their events
        data = {
            "model": CHAMPION,
            "version": f"v{self.score.version}",
            "action": self.config.retrain.action,
            "reason": sentence(seen),
            "incident": incident.id,
            "evidence": seen,
            "train": {"stream": "events", "from_offset": begin, "to_offset": end},
            "cost": {"excess_error_per_event": drift.after - drift.before, "labels_since_onset": drift.age},
            "deadline": rfc3339(alarm.time_ms + self.trigger_cooldown.duration_ms),
        }
        place = f"{incident.id}/{alarm.record}/{alarm.signal}"
        chunk.out.messages.append(self._cloud_event("triggers", "retrain", place, CHAMPION, alarm.time_ms, data))
        if self.config.retrain.action == "reset":
            chunk.effects.append({"command": "reset", "why": incident.id, "by": "policy"})

    # commands and audit

    def _obey(self, chunk: Chunk) -> None:
        for place, raw in zip((chunk.tape.order == CONTROL).nonzero()[0].tolist(), chunk.tape.control, strict=True):
            record, now_ms = chunk.first + place, int(chunk.clock_ms[place])
            command, problem = _command(raw)
            problem = problem or self._carry_out(chunk, command, record, now_ms)
            if problem is not None:
                chunk.rejects.append(Reject(record, record, "control", record, "", raw, problem))
            else:
                chunk.out.messages.append(self.audit(record, now_ms, {"what": "command", **command}))

    def _carry_out(self, chunk: Chunk, command: dict[str, Any], record: int, now_ms: int) -> Problem | None:
        if command["command"] == "acknowledge":
            return self._acknowledge(chunk, command, record, now_ms)
        if command["command"] == "gap":
            return self._gap(chunk, command, record, now_ms)
        signal = command.get("signal")
        if command["command"] == "set-reference" and signal not in self.watched:
            return Problem(
                f"signal {signal!r} is not watched; watched: {', '.join(self.watched) or 'none'}", "$.signal"
            )
        chunk.effects.append(command)
        return None

    def _acknowledge(self, chunk: Chunk, command: dict[str, Any], record: int, now_ms: int) -> Problem | None:
        incident = next((known for known in self.open if known.id == command.get("incident")), None)
        if incident is None:
            known = ", ".join(i.id for i in self.open) or "none"
            return Problem(f"no open incident {command.get('incident')!r}; open: {known}", "$.incident")
        incident.acknowledged_by = str(command.get("by", "unknown"))
        chunk.out.messages.append(self._alert("acknowledged", incident, None, record=record, now_ms=now_ms))
        return None

    def _gap(self, chunk: Chunk, command: dict[str, Any], record: int, now_ms: int) -> Problem | None:
        """A worker found that records had been deleted before it read them, and was configured to go on."""
        stream, start, stop = command.get("stream"), command.get("from", 0), command.get("to", 0)
        if stream not in STREAMS or not 0 <= start < stop < 2**63:
            return Problem(f"a gap needs stream ({', '.join(STREAMS)}), from and to", "$.stream")
        count = stop - start
        lost = Drift(float(count), 0.0, count, 0.0, float(count), 1, 1)
        gap = Alarm(-1, f"gap:{stream}", "", "gap", record, stop, now_ms, start, now_ms, lost, {})
        self._alarm(chunk, gap)
        return None

    def audit(self, record: int, now_ms: int, entry: dict[str, Any]) -> Message:
        """The next entry of the chain: it holds the hash of the entry before it."""
        entry = {"number": self.audited[1], "record": record, "time": now_ms, "before": self.audited[0], **entry}
        made = message(self.origin, "audit", str(self.audited[1]), str(entry["what"]), now_ms, entry)
        self.audited = (hashlib.sha256(made.value).hexdigest(), self.audited[1] + 1)
        return made

    def _dead_letter(self, reject: Reject, now_ms: int) -> Message:
        value: dict[str, Any] = {
            "stream": reject.stream,
            "offset": reject.offset,
            "reason": reject.problem.reason,
            "path": reject.problem.path,
        }
        try:
            value["raw"] = reject.raw.decode()
        except UnicodeDecodeError:
            value["raw_base64"] = reject.raw  # msgspec writes bytes as base64
        place = f"{reject.stream}/{reject.offset}"
        return message(self.origin, "dead-letters", place, reject.id or place, now_ms, value)

    def to_state(self, _live: Ints) -> dict[str, Any]:
        return {
            "open": [incident.to_state() for incident in self.open],
            "opened": self.opened,
            "triggered": dict(self.triggered),
            "audited": list(self.audited),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.open = [Incident(**saved) for saved in state["open"]]
        self.opened, self.triggered, self.audited = state["opened"], dict(state["triggered"]), tuple(state["audited"])


def rfc3339(time_ms: int) -> str:
    """UTC time of the record as RFC 3339 with milliseconds.

    >>> rfc3339(1356998400000)
    '2013-01-01T00:00:00.000Z'
    """
    limit = 253_402_300_799_999  # the last millisecond of year 9999
    time_ms = max(-62_135_596_800_000, min(time_ms, limit))
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment.isoformat()[:19]}.{time_ms % 1000:03d}Z"


def _span(configured: Window | None, *, timed: bool, hours: int, events: int) -> Window:
    """The configured stretch, or its default: hours where the stream has times, events where it has none."""
    return configured or (Window(duration_ms=hours * 3_600_000) if timed else Window(events=events))


def _asked_for(signal: str, names: tuple[str, ...]) -> bool:
    return any(signal == name or (name in WILDCARDS and signal.startswith(name[:-1])) for name in names)


def _apart(span: Window, records: int, ms: int) -> bool:
    return bool(records >= span.events if span.events else ms >= span.duration_ms)


def _command(raw: bytes) -> tuple[dict[str, Any], Problem | None]:
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        return {}, Problem("not a command: nested too deeply")
    try:
        command = msgspec.json.decode(raw, type=Command)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return {}, Problem(f"not a command: {error}")
    if command.command not in COMMANDS:
        return {}, Problem(f"unknown command {command.command!r}; known: {', '.join(COMMANDS)}", "$.command")
    return {name: given for name, given in msgspec.to_builtins(command).items() if given is not None}, None
