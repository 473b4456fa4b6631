"""An incident: one cause, all alarms that belong to it, how bad it is, and how to say it in a sentence."""

from dataclasses import dataclass, field
from typing import Any

from stream_app.config import Window
from stream_app.flow.chunk import Alarm

QUALITY = ("missing:", "rejects", "expired", "label_delay", "lateness", "key:")  # more of it is worse
SEVERITIES = ("info", "warning", "critical")
MANY_SIGNALS = 3  # moving together they are a warning even when the error has not moved
OUTCOMES = {
    "returned": "it is back where it was ({now:.4g})",
    "settled": "it has settled at a new level ({now:.4g})",
    "quiet": "no further alarm",
}
WORSE_BY = 0.25  # relative growth of the error from which it is critical


def is_worse(alarm: Alarm) -> bool:
    """An error that falls is good news; any other change of a watched signal is not."""
    return alarm.signal != "error" or alarm.drift.after > alarm.drift.before


def severity_of(alarm: Alarm) -> str:
    """How bad one alarm is by itself: harm first, broken data next, a mere change of the input last."""
    drift = alarm.drift
    if alarm.signal.startswith("gap:"):
        return "critical"
    if alarm.signal == "error" and is_worse(alarm):
        return "critical" if drift.after - drift.before >= WORSE_BY * abs(drift.before) else "warning"
    if alarm.signal.startswith(QUALITY) and drift.after > drift.before:
        return "warning"
    return "info"


@dataclass(slots=True)
class Incident:
    """Plain data, so that it can stand in the snapshot."""

    id: str
    first_record: int
    first_ms: int
    last_record: int
    last_ms: int
    onset_offset: int
    onset_ms: int
    severity: str
    lead: dict[str, Any]  # the alarm that says it best: the first of the highest severity
    signals: dict[str, dict[str, Any]] = field(default_factory=dict)  # newest alarm of each signal and segment
    alarms: int = 1
    asked: bool = False  # for a retraining: once is enough for one cause
    acknowledged_by: str = ""
    outcome: str = ""
    now: float = float("nan")

    @classmethod
    def of(cls, incident_id: str, alarm: Alarm) -> "Incident":
        seen = evidence(alarm)
        made = cls(
            incident_id, alarm.record, alarm.time_ms, alarm.record, alarm.time_ms,
            alarm.onset_offset, alarm.onset_time_ms, severity_of(alarm), seen,
        )  # fmt: skip
        made.signals[_name(alarm)] = seen
        return made

    def takes(self, alarm: Alarm, group: Window) -> bool:
        """Whether an alarm is of this cause: a signal it already holds, or an onset or a first alarm close to its own.

        Close to the first one, not to the newest: or a chain of alarms would tie unrelated causes together.
        """
        if _name(alarm) in self.signals:
            return True
        if group.events:
            near = (alarm.record - self.first_record, abs(alarm.onset_offset - self.onset_offset))
            return min(near) <= group.events
        near = (abs(alarm.time_ms - self.first_ms), abs(alarm.onset_time_ms - self.onset_ms))
        return min(near) <= group.duration_ms

    def add(self, alarm: Alarm) -> bool:
        """Takes the alarm in; True if it says something new: another signal, or a higher severity."""
        before = self.severity, len(self.signals)
        self.alarms += 1
        self.last_record, self.last_ms = alarm.record, alarm.time_ms
        seen = evidence(alarm)
        self.signals[_name(alarm)] = seen
        crowd = "warning" if len({s["signal"] for s in self.signals.values()}) >= MANY_SIGNALS else "info"
        self.severity = max(self.severity, severity_of(alarm), crowd, key=SEVERITIES.index)
        if SEVERITIES.index(seen["severity"]) > SEVERITIES.index(self.lead["severity"]):
            self.lead = seen
        return before != (self.severity, len(self.signals))

    def close(self, now: float) -> None:
        """How it ended: `now` is the signal's mean since; that of category codes, or none, says nothing."""
        before, after = self.lead["before"], self.lead["after"]
        self.now = now
        bins = self.lead["detail"].get("bins")
        if now != now or (bins and "category" in bins[0]):
            self.outcome = "quiet"
        else:
            self.outcome = "returned" if abs(now - before) <= abs(now - after) else "settled"

    def message(self) -> str:
        """The incident in one plain sentence."""
        others = len(self.signals) - 1
        also = f", with {others} other signal{'s' * (others > 1)}" if others else ""
        text = f"{sentence(self.lead)} since offset {self.lead['onset_offset']}{also}"
        return f"{text}; {OUTCOMES[self.outcome].format(now=self.now)}" if self.outcome else text

    def data(self, status: str) -> dict[str, Any]:
        """The `data` of the alert."""
        lead = self.lead
        return {
            "incident": self.id,
            "status": status,
            "severity": self.severity,
            **{k: lead[k] for k in ("signal", "segment", "detector", "statistic", "threshold", "offset", "time")},
            "onset_offset": lead["onset_offset"],
            "onset_time": lead["onset_time"],
            "effect": {k: lead[k] for k in ("before", "after", "direction", "n")},
            "contributions": sorted(self.signals.values(), key=lambda s: -s["statistic"] / (s["threshold"] or 1)),
            "alarms": self.alarms,
            "acknowledged_by": self.acknowledged_by or None,
            "outcome": self.outcome or None,
            "message": self.message(),
        }

    def to_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"signals": dict(self.signals)}


def evidence(alarm: Alarm) -> dict[str, Any]:
    """One alarm as plain data."""
    drift = alarm.drift
    return {
        "watch": alarm.watch,
        "signal": alarm.signal,
        "segment": alarm.segment,
        "detector": alarm.detector,
        "statistic": drift.statistic,
        "threshold": drift.threshold,
        "n": drift.n,
        "before": drift.before,
        "after": drift.after,
        "before_interval": drift.before_interval,
        "after_interval": drift.after_interval,
        "direction": drift.direction,
        "severity": severity_of(alarm),
        "offset": alarm.offset,
        "time": alarm.time_ms,
        "onset_offset": alarm.onset_offset,
        "onset_time": alarm.onset_time_ms,
        "detail": alarm.detail,
    }


def sentence(lead: dict[str, Any]) -> str:
    """What the leading signal did: a mean rose or fell, a distribution changed, categories changed their shares."""
    name = lead["signal"] + (f" where {lead['segment']}" if lead["segment"] else "")
    if name.startswith("gap:"):
        return f"{lead['n']} records of {name.removeprefix('gap:')} were deleted before they were read,"
    bins = lead["detail"].get("bins")
    if bins and "category" in bins[0]:
        kind = "rare or unseen ones" if bins[0]["category"] is None else bins[0]["category"]
        return f"{name} changed its shares, {kind} from {bins[0]['before']:.1%} to {bins[0]['after']:.1%},"
    parts = lead["detail"].get("features")
    if parts:
        most = ", ".join(f"{part['feature']} ({part['share']:.0%})" for part in parts[:3])
        return f"{name} changed together, most of it in {most},"
    means = f"from {lead['before']:.4g} to {lead['after']:.4g}"
    if lead["detail"] and name.startswith(("feature:", "prediction")):
        return f"{name} changed its distribution, mean {means},"
    return f"{name} {'rose' if lead['after'] >= lead['before'] else 'fell'} {means}"


def _name(alarm: Alarm) -> str:
    return f"{alarm.signal}|{alarm.segment}"
