"""Triggers: when a change is reason enough to ask for a retraining, and what is told to those who train."""

from typing import Any

from stream_app.config import Config
from stream_app.config.watched import asked_for, signals
from stream_app.flow.chunk import Alarm
from stream_app.flow.incidents import Incident, evidence, is_worse, sentence
from stream_app.flow.outgoing import cloud_event, rfc3339
from stream_app.flow.policies import Policies, apart, span
from stream_app.flow.score import CHAMPION, Score
from stream_app.messages import Message, Origin


class Triggers:
    """State: the last triggers, by signal and of all."""

    def __init__(self, config: Config, origin: Origin, score: Score, policies: Policies) -> None:
        self.origin, self.retrain, self.score, self.policies = origin, config.retrain, score, policies
        self.cooldown = span(self.retrain.cooldown, timed=config.schema.time is not None, hours=24, events=5_000)
        watched = dict.fromkeys(signal.name for signal in signals(config))
        self.on = {name for name in watched if asked_for(name, self.retrain.on)}
        self.last: dict[str, list[int]] = {}  # signal → record and time of its last trigger
        self.all: list[list[int]] = []  # record and time of the newest of all, as many as `retrain.limit` counts

    def ask(self, incident: Incident, alarm: Alarm) -> Message | None:
        """The trigger that an alarm of an incident is reason for, if it is; what is held back is counted."""
        reasons = sorted({seen["signal"] for seen in incident.signals.values()} & self.on)
        if alarm.signal not in self.on or not is_worse(alarm) or len(reasons) < self.retrain.reasons:
            return None
        excess = _excess(incident, alarm)
        unpaid = excess is not None and excess * self.retrain.horizon < self.retrain.cost
        if unpaid or self._soon(alarm) or (incident.asked and self._within(self.all[-1], alarm)):
            self.policies.counts.update({"triggers_held": 1, "triggers_unpaid": int(unpaid)})
            return None
        self.last[alarm.signal] = [alarm.record, alarm.time_ms]
        counted = self.retrain.limit.count if self.retrain.limit else 1
        self.all = [*self.all, [alarm.record, alarm.time_ms]][-counted:]
        incident.asked = True
        place = f"{incident.id}/{alarm.record}/{alarm.signal}"
        data = self._data(incident, alarm, reasons, excess)
        return cloud_event(self.origin, "triggers", "retrain", place, CHAMPION, alarm.time_ms, data)

    def _soon(self, alarm: Alarm) -> bool:
        """Whether the last trigger of this signal, or the last so many of all, are not long enough ago."""
        last, limit = self.last.get(alarm.signal), self.retrain.limit
        if last is not None and self._within(last, alarm):
            return True
        if limit is None or len(self.all) < limit.count:
            return False
        first = self.all[-limit.count]
        return not apart(limit.within, alarm.record - first[0], alarm.time_ms - first[1])

    def _within(self, place: list[int], alarm: Alarm) -> bool:
        """Whether an alarm is within the cooldown of a trigger."""
        return not apart(self.cooldown, alarm.record - place[0], alarm.time_ms - place[1])

    def _data(self, incident: Incident, alarm: Alarm, reasons: list[str], excess: float | None) -> dict[str, Any]:
        begin, end = sorted((alarm.onset_offset, alarm.offset))  # labels come in another order than their events
        seen = evidence(alarm)
        return {
            "model": CHAMPION,
            "version": self.score.version,
            "action": self.retrain.action,
            "reason": sentence(seen),
            "reasons": reasons,
            "incident": incident.id,
            "evidence": seen,
            "train": {"stream": "events", "from_offset": begin, "to_offset": end},
            "cost": {
                "excess_error_per_event": excess,
                "labels_since_onset": alarm.drift.age,
                "avoided": None if excess is None else excess * self.retrain.horizon,
                "horizon": self.retrain.horizon,
                "training": self.retrain.cost,
            },
            "deadline": rfc3339(alarm.time_ms + self.cooldown.duration_ms),
        }

    def to_state(self) -> dict[str, Any]:
        return {"last": {name: [*place] for name, place in self.last.items()}, "all": [[*place] for place in self.all]}

    def load(self, state: dict[str, Any]) -> None:
        self.last, self.all = dict(state["last"]), list(state["all"])


def _excess(incident: Incident, alarm: Alarm) -> float | None:
    """Loss per event that the change costs; None where that is not known."""
    if alarm.signal in ("error", "estimated_error"):
        return alarm.drift.after - alarm.drift.before
    harm: dict[str, Any] = incident.found.get("harm") or {}
    excess: float | None = harm.get("excess_per_event")
    return excess
