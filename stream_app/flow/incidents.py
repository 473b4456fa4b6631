"""An incident: one cause, all alarms that belong to it, how bad it is, and how to say it in a sentence."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stream_app.config import Window
from stream_app.evidence.causes import COLUMN, MODEL, Subject, ranked, strength
from stream_app.flow.chunk import Alarm

QUALITY = (
    "missing:",
    "unseen:",
    "range:",
    "frozen:",
    "rejects",
    "silence:",
    "expired",
    "overdue",
    "label_delay",
    "lateness",
    "key:",
    "lag:",
)  # fmt: skip  (more of it is worse)
GATED = {*COLUMN, *MODEL} - {"error"}  # what costs nothing is no reason to call anyone
SEVERITIES = ("info", "warning", "critical")
MANY_SIGNALS = 3  # moving together they are a warning even when the error has not moved
OUTCOMES = {
    "returned": "it is back where it was ({now:.4g})",
    "settled": "it has settled at a new level ({now:.4g})",
    "quiet": "no further alarm",
    "ended": "it has ended",
    "closed": "closed by {by}",
}
FAR = 3.0  # times the change known so far: what moves a signal that far, later, is another cause
WORSE_BY = 0.25  # relative growth of the error from which it is critical
MOST = 50  # signals in an alert: it must fit into a record of Kafka
PLACES = ("signal", "segment", "detector", "statistic", "threshold", "offset", "time")
EFFECT = ("before", "after", "before_interval", "after_interval", "direction", "n")


def is_worse(alarm: Alarm) -> bool:
    """Less error, fewer broken records, more of a key are good news; any other change of a watched signal is not."""
    rose = alarm.drift.after > alarm.drift.before
    if alarm.signal.startswith("silence:"):
        return not rose
    return rose or not alarm.signal.startswith(("error", "estimated_error", *QUALITY))


def severity_of(alarm: Alarm) -> str:
    """How bad one alarm is by itself: harm first, broken data next, a mere change of the input last."""
    drift = alarm.drift
    if alarm.signal.startswith("gap:"):
        return "critical"
    if alarm.signal == "error" and is_worse(alarm):
        return "critical" if drift.after - drift.before >= WORSE_BY * abs(drift.before) else "warning"
    if alarm.signal == "estimated_error" and is_worse(alarm):
        return "warning"
    if alarm.signal.startswith(QUALITY) and is_worse(alarm):
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
    lead: dict[str, Any]  # the alarm that says it best: the first of the highest severity
    severity: str = "info"
    onset_interval: list[int] | None = None  # of offsets
    signals: dict[str, dict[str, Any]] = field(default_factory=dict)  # newest alarm of each signal and segment
    alarms: int = 1
    suppressed: str = ""  # why, while all its alarms fell into windows of [[alarms.suppress]]
    returns: str = ""  # the incident before which the signal was where it goes back to
    flapping: int = 0  # how often the same signal's incident had recovered shortly before
    news: bool = True  # something is to be told on the next line of the metrics grid
    found: dict[str, Any] = field(default_factory=dict)  # changes, segments, harm, examples (`flow.evidence`)
    explanation: list[dict[str, Any]] | None = None  # the model's contributions before and after
    causes: list[dict[str, Any]] = field(default_factory=list)  # most likely first
    asked: bool = False  # for a retraining: once is enough for one cause, until the cooldown has passed
    acknowledged_by: str = ""
    closed_by: str = ""
    outcome: str = ""
    now: float = float("nan")

    @classmethod
    def of(cls, name: str, alarm: Alarm, onset: dict[str, Any] | None = None, suppressed: str = "") -> "Incident":
        """Opened by an alarm; `onset` where the rows know better than its detector."""
        seen = evidence(alarm, suppressed) | (onset or {})
        since = seen["onset_offset"], seen["onset_time"]
        made = cls(name, alarm.record, alarm.time_ms, alarm.record, alarm.time_ms, *since, lead=seen)
        made.onset_interval, made.suppressed = seen["onset_interval"], suppressed
        made.signals[_name(alarm)] = seen
        made.weigh()
        return made

    @property
    def name(self) -> str:
        """The leading signal and segment."""
        return f"{self.lead['signal']}|{self.lead['segment']}"

    def near(self, alarm: Alarm, group: Window) -> bool:
        """Whether an alarm may be of this cause: a signal it already holds, or an onset or an alarm close to its first.

        Close to the first one, not to the newest: or a chain of alarms would tie unrelated causes together.
        """
        if self.holds(alarm):
            return True
        if group.events:
            near = (alarm.record - self.first_record, abs(alarm.onset_offset - self.onset_offset))
            return min(near) <= group.events
        near = (abs(alarm.time_ms - self.first_ms), abs(alarm.onset_time_ms - self.onset_ms))
        return min(near) <= group.duration_ms

    def holds(self, alarm: Alarm) -> bool:
        """Whether the alarm is of a signal that is part of this, and does not go far beyond where this has taken it."""
        seen = self.signals.get(_name(alarm))
        if seen is None:
            return False
        known, now = abs(seen["after"] - seen["before"]), abs(alarm.drift.after - seen["before"])
        return of_categories(alarm.detail) or alarm.onset_offset <= seen["offset"] or now <= FAR * known

    def add(self, alarm: Alarm, suppressed: str = "") -> bool:
        """Takes the alarm in; True if it is worse than it was. Another signal is news, for later."""
        before, signals = self.severity, len(self.signals)
        self.alarms += 1
        self.last_record, self.last_ms = alarm.record, alarm.time_ms
        seen = evidence(alarm, suppressed)
        self.signals[_name(alarm)] = seen
        if not suppressed:
            self.suppressed = ""
        if SEVERITIES.index(seen["severity"]) > SEVERITIES.index(self.lead["severity"]):
            self.lead = seen
        self.weigh()
        self.news |= len(self.signals) > signals
        return self.severity != before

    def explain(self, found: dict[str, Any], explanation: list[dict[str, Any]] | None = None) -> bool:
        """Takes in what the rows tell; True if it is worse than it was."""
        before = self.severity
        self.found |= found
        self.explanation = explanation or self.explanation
        self.causes = ranked(list(self.signals.values()), self.found.get("changes", []), sentence)
        self.weigh()
        return self.severity != before

    def columns(self) -> set[str]:
        """Those in which a detector alarmed."""
        subjects = [Subject.named(seen["signal"]) for seen in self.signals.values()]
        return {subject.of for subject in subjects if subject.source in COLUMN}

    @property
    def benign(self) -> bool | None:
        """Whether it is known to cost nothing; None where that cannot be said, or would not matter."""
        known: bool | None = self.found.get("harm", {}).get("benign")
        gated = all(Subject.named(seen["signal"]).source in GATED for seen in self.signals.values())
        return known if gated or known is False else None

    def weigh(self) -> None:
        """How bad it is by its alarms and by the harm that is known; never less than it was."""
        counted = [seen["severity"] for seen in self.signals.values() if not seen["suppressed"]]
        crowd = len({seen["signal"] for seen in self.signals.values()}) >= MANY_SIGNALS
        found = ["info"] if self.benign else [*counted, "warning" if crowd and counted else "info"]
        if self.benign is False and counted and any(seen["worse"] for seen in self.signals.values()):
            found.append(self._harm_severity())
        self.severity = max(self.severity, *found, key=SEVERITIES.index)

    def _harm_severity(self) -> str:
        harm = self.found["harm"]
        before = harm[harm["basis"]]["before"]
        return "critical" if harm["excess_per_event"] >= WORSE_BY * abs(before) else "warning"

    def close(self, outcome: str, now: float = float("nan")) -> None:
        """How it ended; `now` is the signal's mean since its last alarm, where that says something."""
        self.outcome, self.now = outcome, now

    def message(self) -> str:
        """The incident in one plain sentence."""
        others = len(self.signals) - 1
        also = f", with {others} other signal{'s' * (others > 1)}" if others else ""
        what = self.causes[0]["what"] if self.causes else sentence(self.lead)
        told = [f"{what} since offset {self.onset_offset}{also}", *self._cost(), *self._where()]
        if self.suppressed:
            told.append(f"held back: {self.suppressed}")
        if self.returns:
            told.append(f"back where it was before {self.returns}")
        if self.flapping:
            told.append(f"it comes and goes (recovered {self.flapping} times before)")
        if self.outcome:
            told.append(OUTCOMES[self.outcome].format(now=self.now, by=self.closed_by))
        return "; ".join(told)

    def _cost(self) -> list[str]:
        harm = self.found.get("harm", {})
        if self.benign:
            return ["it costs nothing so far"]
        if harm.get("benign") is not False:
            return []
        low, high = harm["interval"]
        basis = "" if harm["basis"] == "realised" else ", estimated before the labels"
        return [f"it costs {harm['excess_per_event']:.2g} an event ({low:.2g} to {high:.2g}{basis})"]

    def _where(self) -> list[str]:
        worst = next(iter(self.found.get("segments", [])), None)
        return [f"most of it where {worst['segment']}"] if worst and self.benign is False else []

    def data(self, status: str, budget: dict[str, Any] | None = None) -> dict[str, Any]:
        """The `data` of the alert."""
        lead = self.lead
        return {
            "incident": self.id,
            "status": status,
            "severity": self.severity,
            **{name: lead[name] for name in PLACES},
            "onset_offset": self.onset_offset,
            "onset_time": self.onset_ms,
            "onset_interval": self.onset_interval,
            "effect": {name: lead[name] for name in EFFECT},
            "causes": self.causes,
            "signals": len(self.signals),
            "contributions": sorted(self.signals.values(), key=lambda seen: -strength(seen))[:MOST],
            "changes": self.found.get("changes", []),
            "segments": self.found.get("segments", []),
            "harm": self.found.get("harm"),
            "explanation": self.explanation,
            "examples": self.found.get("examples", []),
            "benign": self.benign,
            "returns": self.returns or None,
            "flapping": self.flapping,
            "suppressed": self.suppressed or None,
            "alarms": self.alarms,
            "budget": budget,
            "acknowledged_by": self.acknowledged_by or None,
            "outcome": self.outcome or None,
            "message": self.message(),
        }

    def to_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"signals": dict(self.signals)}


def evidence(alarm: Alarm, suppressed: str = "") -> dict[str, Any]:
    """One alarm as plain data; `suppressed`: why it calls nobody."""
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
        "worse": is_worse(alarm),
        "suppressed": suppressed or None,
        "offset": alarm.offset,
        "time": alarm.time_ms,
        "onset_offset": alarm.onset_offset,
        "onset_time": alarm.onset_time_ms,
        "onset_interval": None,
        "detail": alarm.detail,
    }


def sentence(lead: dict[str, Any]) -> str:
    """What the leading signal did: a mean rose or fell, a distribution changed, categories changed their shares."""
    name = lead["signal"] + (f" where {lead['segment']}" if lead["segment"] else "")
    for stem, told in EVENTS.items():
        if name.startswith(stem):
            return told(lead, name.removeprefix(stem))
    if of_categories(lead["detail"]):
        bins = lead["detail"]["bins"]
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


EVENTS: dict[str, Callable[[dict[str, Any], str], str]] = {  # by the beginning of a signal's name; of: what follows
    "gap:": lambda lead, of: f"{lead['n']} records of {of} were deleted before they were read,",
    "lag:": lambda lead, of: f"the monitor is {lead['after']:.0f} s late with {of}, {lead['n']} records behind,",
    "silence:": lambda lead, _: (
        f"{lead['segment']} sends {_percent(lead['after'] / 100)} of the events, not {_percent(lead['before'] / 100)},"
    ),
    "missing:": lambda lead, of: f"{of} is missing in {_instead(lead)}",
    "unseen:": lambda lead, of: f"{of} is unknown in {_instead(lead)}",
    "range:": lambda lead, of: f"{of} is out of its usual range in {_instead(lead)}",
    "frozen:": lambda lead, of: f"{of} stands still in {_instead(lead)}",
    "rejects": lambda lead, of: f"records are refused{of and f' ({of[1:]})'} in {_instead(lead)}",
    "expired": lambda lead, of: f"labels never came{of} in {_instead(lead)}",
    "overdue": lambda lead, of: f"labels are overdue{of} in {_instead(lead)}",
}


def _instead(lead: dict[str, Any]) -> str:
    return f"{_percent(lead['after'])} instead of {_percent(lead['before'])}"


def _percent(share: float) -> str:
    """A share as people read it; what a detector makes of a signal beside its season may lie a little outside."""
    return f"{100 * min(1.0, max(0.0, share)):.3g}%"


def of_categories(detail: dict[str, Any]) -> bool:
    """Whether a detector tells of the shares of categories: the means of their codes say nothing."""
    return bool(detail.get("bins")) and "category" in detail["bins"][0]


def _name(alarm: Alarm) -> str:
    return f"{alarm.signal}|{alarm.segment}"
