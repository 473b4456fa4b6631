"""Decide: alarms become incidents, incidents become alerts and retraining triggers; commands are obeyed.

One incident per cause: an alarm joins an open incident that holds its signal already, or one near in time with the
same cause (`evidence.causes`). An incident is told at once when it opens and when it gets worse; what else is new of it
(signals that joined, harm that labels have shown, the model's own explanation) on the next line of the metrics grid. It
has recovered when `alarms.cooldown` has passed without an alarm and its signal was seen often enough since: silence is
no evidence. What a decision does to a model or a detector takes effect at the next epoch boundary (`effects`); each
such act is an entry of the audit chain.
"""

import hashlib
from typing import Any

from detectors import Drift
from stream_app.config import Config
from stream_app.config.watched import signals
from stream_app.evidence.causes import Kin, Subject, dependent
from stream_app.flow.chunk import Alarm, Chunk, Reject
from stream_app.flow.commands import read_command, shown
from stream_app.flow.detect import Detect
from stream_app.flow.incidents import Incident, of_categories
from stream_app.flow.inquiry import Cut, Inquiry
from stream_app.flow.outgoing import cloud_event, dead_letter, message, metric
from stream_app.flow.policies import Policies, apart, span
from stream_app.flow.retraining import Retraining
from stream_app.flow.sample import Sample
from stream_app.flow.score import Score
from stream_app.flow.triggers import Triggers
from stream_app.messages import CONTROL, STREAMS, Ints, Message, Origin, Problem

HELD = ("triggers_held", "triggers_unpaid")
ENOUGH = 30  # observations since the last alarm without which nothing is said to have recovered


class Decide:
    """The stage; state: open incidents, the number of the next, policies, triggers, the loop, the audit chain."""

    def __init__(
        self, config: Config, origin: Origin, score: Score, detect: Detect, sample: Sample, retraining: Retraining
    ) -> None:
        self.origin, self.config, self.score, self.detect, self.sample = origin, config, score, detect, sample
        self.retraining = retraining
        self.inquiry, self.kin, self.policies = Inquiry(config, sample), Kin(config), Policies(config)
        timed = config.schema.time is not None
        self.group = span(config.alarms.group, timed=timed, hours=1, events=500)
        self.triggers = Triggers(config, origin, score, self.policies)
        self.watched = list(dict.fromkeys(signal.name for signal in signals(config)))
        self.prefix = f"{origin.name}-{origin.shard}" if origin.shard else origin.name
        self.open: list[Incident] = []
        self.opened = 0
        self.spent = 0.0  # false alarms that the detectors may have raised, at the last line of the metrics grid
        self.audited: tuple[str, int] = ("", 0)  # hash of the last entry, number of entries

    def run(self, chunk: Chunk) -> None:
        self.retraining.run(chunk)
        for alarm in chunk.alarms:
            self._alarm(chunk, alarm)
        self._obey(chunk)
        if chunk.closes:
            for alarm in self.detect.together(chunk, self._just_alarmed(chunk)):
                self._alarm(chunk, alarm)
            self.spent = self.detect.expected_false()
            self._look_again(chunk)
            self._recover(chunk)
            self.policies.forget(chunk.end, chunk.end_ms)
            figures = self.figures(chunk.end)
            chunk.out.messages.append(metric(self.origin, "incidents", chunk.end, chunk.end_ms, figures))
        for reject in sorted(chunk.rejects, key=lambda reject: reject.at):
            chunk.out.messages.append(dead_letter(self.origin, reject, int(chunk.clock_ms[reject.at - chunk.first])))

    # incidents

    def _alarm(self, chunk: Chunk, alarm: Alarm) -> None:
        why = self.policies.suppressed_by(alarm.signal, alarm.time_ms)
        self.policies.counts.update({"alarms": 1, "suppressed": int(bool(why))})
        incident = next((known for known in reversed(self.open) if self._one_cause(known, alarm)), None)
        if incident is None:
            incident = self._open(alarm, why)
            chunk.out.messages.append(self._alert("opened", incident, alarm))
        elif incident.add(alarm, why):
            incident.explain({})
            chunk.out.messages.append(self._alert("updated", incident, alarm))
        trigger = self.triggers.ask(incident, alarm)
        if trigger is not None:
            chunk.out.messages.append(trigger)
            if self.config.retrain.action != "notify":
                what = "reset" if self.config.retrain.action == "reset" else "retrain"
                since = {"from_offset": min(alarm.onset_offset, alarm.offset)}
                effect = {"record": alarm.record, "command": what, "why": incident.id, "by": "policy", **since}
                chunk.effects.append(effect)

    def _one_cause(self, incident: Incident, alarm: Alarm) -> bool:
        if not incident.near(alarm, self.group) or incident.holds(alarm):
            return incident.holds(alarm)
        subject = Subject.named(alarm.signal)
        roots = self.kin.roots([seen["signal"] for seen in incident.signals.values()])
        told = [self.kin.structural(subject, root) for root in roots]
        if any(told) or "together" in alarm.detail:
            return True
        unclear = [root for root, said in zip(roots, told, strict=True) if said is None]
        if not unclear:
            return False
        cut = self.inquiry.cut(incident.onset_offset, alarm.record)
        return any(dependent(cut.before, cut.after, subject, root) for root in unclear)

    def _open(self, alarm: Alarm, why: str) -> Incident:
        self.opened += 1
        incident = Incident.of(f"{self.prefix}-{self.opened}", alarm, self.inquiry.onset(alarm), why)
        incident.flapping = self.policies.flapping(incident.name, alarm.record, alarm.time_ms)
        incident.returns = self.policies.returns(incident)
        incident.explain(self.inquiry.glance(self._cut(incident, alarm.record), incident.columns()))
        self.policies.counts["flapping"] += incident.flapping > 0
        self.open.append(incident)
        return incident

    def _cut(self, incident: Incident, record: int) -> Cut:
        return self.inquiry.cut(incident.onset_offset, record)

    def _just_alarmed(self, chunk: Chunk) -> int:
        """Signals of the incident that an alarm now would join."""
        new = [i for i in self.open if not apart(self.group, chunk.end - i.first_record, chunk.end_ms - i.first_ms)]
        return len(new[0].signals) if new else 0

    def _look_again(self, chunk: Chunk) -> None:
        """Tells what is new of the open incidents, with the champion's own explanation; and harm that labels showed."""
        for incident in self.open:
            cut = self._cut(incident, chunk.end - 1)
            if incident.news:
                explanation = self.inquiry.explain(cut, self.score.champion_model)
                incident.explain(self.inquiry.compare(cut, incident.columns()), explanation)
            worse = not incident.news and incident.explain({"harm": self.inquiry.harm(cut)})
            if incident.news or worse:
                chunk.out.messages.append(self._alert("updated", incident, record=chunk.end, now_ms=chunk.end_ms))
            incident.news = False

    def _recover(self, chunk: Chunk) -> None:
        record, now_ms = chunk.end, chunk.end_ms
        for incident in list(self.open):
            if self.policies.quiet(incident.flapping, record - incident.last_record, now_ms - incident.last_ms):
                outcome, now = self._outcome(incident)
                if outcome:
                    self._close(chunk, incident, outcome, now, record, now_ms)

    def _outcome(self, incident: Incident) -> tuple[str, float]:
        """How it has ended, and the signal's mean now; empty while nothing shows that it has."""
        lead = incident.lead
        if lead["signal"].startswith("lag:"):  # the runner says when it has ended
            return "", float("nan")
        if lead["watch"] < 0:  # no detector's: it tells of what is past
            return "quiet", float("nan")
        now, n = self.detect.level(lead["watch"], lead["signal"], lead["segment"])
        if n < ENOUGH:
            return "", now
        if now != now or of_categories(lead["detail"]):
            return "quiet", float("nan")
        returned = abs(now - lead["before"]) <= abs(now - lead["after"])
        return ("returned" if returned else "settled"), now

    def _close(self, chunk: Chunk, incident: Incident, outcome: str, now: float, record: int, now_ms: int) -> None:
        self.open.remove(incident)
        incident.close(outcome, now)
        self.policies.note_recovery(incident, record, now_ms)
        self.policies.counts["benign"] += incident.benign is True
        chunk.out.messages.append(self._alert("recovered", incident, record=record, now_ms=now_ms))

    def figures(self, record: int) -> dict[str, Any]:
        """What became of all alarms so far, and the budget of false ones."""
        counts = self.policies.counts
        return {
            "open": len(self.open),
            "opened": self.opened,
            **{name: counts[name] for name in ("alarms", "suppressed", "flapping", "benign", *HELD)},
            "budget": self._budget(record),
        }

    def _budget(self, record: int) -> dict[str, Any]:
        """False alarms allowed up to a record by [alarms] budget, what of them is spent and left, the alarms so far.

        Spent is what the detectors may have raised of false ones by their arl0, up to the last line of the metrics.
        """
        budget, alarms = self.config.alarms.budget, self.policies.counts["alarms"]
        allowed = budget.alarms * self.sample.events(record) / budget.events
        per_events, left = budget.events / budget.alarms, max(0.0, allowed - self.spent)
        return {"per_events": per_events, "allowed": allowed, "spent": self.spent, "left": left, "alarms": alarms}

    def _alert(
        self, status: str, incident: Incident, alarm: Alarm | None = None, *, record: int = 0, now_ms: int = 0
    ) -> Message:
        record, time_ms = (alarm.record, alarm.time_ms) if alarm else (record, now_ms)
        place = f"{incident.id}/{record}/{incident.alarms}"  # one record may bring alarms of several signals
        data = incident.data(status, self._budget(record))
        return cloud_event(self.origin, "alerts", status, place, incident.id, time_ms, data)

    # commands and audit

    def _obey(self, chunk: Chunk) -> None:
        for place, raw in zip((chunk.tape.order == CONTROL).nonzero()[0].tolist(), chunk.tape.control, strict=True):
            record, now_ms = chunk.first + place, int(chunk.clock_ms[place])
            command, problem = read_command(raw)
            problem = problem or self._carry_out(chunk, command, record, now_ms)
            if problem is not None:
                chunk.rejects.append(Reject(record, record, "control", record, "", raw, problem))
            else:
                chunk.out.messages.append(self.audit(record, now_ms, {"what": "command", **shown(command)}))

    def _carry_out(self, chunk: Chunk, command: dict[str, Any], record: int, now_ms: int) -> Problem | None:
        if command["command"] in ("acknowledge", "close"):
            return self._see_to(chunk, command, record, now_ms)
        if command["command"] == "gap":
            return self._gap(chunk, command, record, now_ms)
        if command["command"] == "lag":
            return self._lag(chunk, command, record, now_ms)
        signal = command.get("signal")
        if command["command"] == "set-reference" and signal not in self.watched:
            return Problem(
                f"signal {signal!r} is not watched; watched: {', '.join(self.watched) or 'none'}", "$.signal"
            )
        problem = self.retraining.refusal(command)
        if problem is None:
            chunk.effects.append({"record": record, **command})
        return problem

    def _see_to(self, chunk: Chunk, command: dict[str, Any], record: int, now_ms: int) -> Problem | None:
        """Somebody looks after an incident, or says that it is over."""
        incident = next((known for known in self.open if known.id == command.get("incident")), None)
        if incident is None:
            known = ", ".join(i.id for i in self.open) or "none"
            return Problem(f"no open incident {command.get('incident')!r}; open: {known}", "$.incident")
        by = str(command.get("by", "unknown"))
        if command["command"] == "close":
            incident.closed_by = by
            self._close(chunk, incident, "closed", float("nan"), record, now_ms)
        else:
            incident.acknowledged_by = by
            chunk.out.messages.append(self._alert("acknowledged", incident, record=record, now_ms=now_ms))
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

    def _lag(self, chunk: Chunk, command: dict[str, Any], record: int, now_ms: int) -> Problem | None:
        """A worker has fallen behind the end of an input, or has caught up."""
        stream, seconds, limit = command.get("stream"), command.get("seconds", -1.0), command.get("limit", 0.0)
        start, count = command.get("from", 0), command.get("records", 0)
        if stream not in STREAMS or not (0 <= start < 2**62 and 0 <= count < 2**62 and seconds >= 0 <= limit):
            return Problem(f"a lag needs stream ({', '.join(STREAMS)}), from, records, seconds and limit", "$.stream")
        if command.get("ended"):
            for incident in [known for known in self.open if known.lead["signal"] == f"lag:{stream}"]:
                self._close(chunk, incident, "ended", float("nan"), record, now_ms)
            return None
        seen = Drift(seconds, limit, count, 0.0, seconds, 1, 1)
        self._alarm(chunk, Alarm(-1, f"lag:{stream}", "", "lag", record, start, now_ms, start, now_ms, seen, {}))
        return None

    def apply(self, effects: list[dict[str, Any]], chunk: Chunk) -> None:
        """At an epoch boundary: what was decided in it takes effect, in that order, and a training goes on."""
        for effect in sorted(effects, key=lambda each: each["record"]):
            entry, told = self.retraining.apply(effect, chunk.end, chunk.end_ms)
            chunk.out.messages += told
            if entry is not None:
                chunk.out.messages.append(self.audit(chunk.end, chunk.end_ms, entry))
        chunk.out.messages += self.retraining.step(chunk.end, chunk.end_ms)

    def audit(self, record: int, now_ms: int, entry: dict[str, Any]) -> Message:
        """The next entry of the chain: it holds the hash of the entry before it."""
        entry = {"number": self.audited[1], "record": record, "time": now_ms, "before": self.audited[0], **entry}
        made = message(self.origin, "audit", str(self.audited[1]), str(entry["what"]), now_ms, entry)
        self.audited = (hashlib.sha256(made.value).hexdigest(), self.audited[1] + 1)
        return made

    def to_state(self, _live: Ints) -> dict[str, Any]:
        return {
            "open": [incident.to_state() for incident in self.open],
            "opened": self.opened,
            "spent": self.spent,
            "policies": self.policies.to_state(),
            "triggers": self.triggers.to_state(),
            "retraining": self.retraining.to_state(),
            "audited": list(self.audited),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.open = [Incident(**saved) for saved in state["open"]]
        self.policies.load(state["policies"])
        self.spent = state["spent"]
        self.opened, self.audited = state["opened"], tuple(state["audited"])
        self.triggers.load(state["triggers"])
        self.retraining.load(state["retraining"])
