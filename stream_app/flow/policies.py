"""What holds an alarm back or keeps an incident open longer; nothing is dropped, all of it is counted and told."""

import math
from collections import Counter
from typing import Any

from stream_app.config import Config, Window
from stream_app.config.watched import asked_for
from stream_app.flow.incidents import Incident

FLAPS = 2  # recoveries of the same signal, shortly before, from which its next incident is said to flap
MEMORY = 10  # cooldowns for which a recovery is remembered
LONGEST = 8  # recoveries remembered of a signal
PATIENCE = 3  # times the cooldown that a flapping incident has to stay quiet, at most


class Policies:
    """Suppression windows, flapping and the counts; state: recent recoveries and the counts."""

    def __init__(self, config: Config) -> None:
        self.suppress = config.alarms.suppress
        timed = config.schema.time is not None
        self.cooldown = span(config.alarms.cooldown, timed=timed, hours=6, events=5000)
        self.recovered: dict[str, list[list[int]]] = {}  # signal and segment → record and time of each recovery
        # … → the incident that recovered last, its before and after
        self.last: dict[str, tuple[str, float, float]] = {}
        self.counts: Counter[str] = Counter()

    def suppressed_by(self, signal: str, time_ms: int) -> str:
        """Why an alarm now calls nobody; empty if it does."""
        for window in self.suppress:
            if asked_for(signal, window.signals) and window.during.holds(time_ms):
                return window.why
        return ""

    def note_recovery(self, incident: Incident, record: int, time_ms: int) -> None:
        """An incident is over."""
        name, lead = incident.name, incident.lead
        self.recovered[name] = [*self.recovered.get(name, []), [record, time_ms]][-LONGEST:]
        self.last[name] = incident.id, lead["before"], lead["after"]

    def returns(self, incident: Incident) -> str:
        """The last incident of this signal, if what happens now takes it back to where it was before that."""
        before, after = incident.lead["before"], incident.lead["after"]
        known, old, new = self.last.get(incident.name, ("", math.nan, math.nan))
        back = abs(after - old) < abs(after - new) and abs(before - new) < abs(before - old)
        return known if back else ""

    def flapping(self, name: str, record: int, time_ms: int) -> int:
        """How often its incidents had recovered lately, from `FLAPS` times on; else 0."""
        lately = [place for place in self.recovered.get(name, []) if not self._old(place, record, time_ms)]
        return len(lately) if len(lately) >= FLAPS else 0

    def forget(self, record: int, time_ms: int) -> None:
        """Only on the metrics grid: drops recoveries that no longer count."""
        self.recovered = {
            name: places for name, places in self.recovered.items() if not self._old(places[-1], record, time_ms)
        }
        self.last = {name: told for name, told in self.last.items() if name in self.recovered}

    def quiet(self, flapping: int, records: int, ms: int) -> bool:
        """Whether an incident had no alarm for its cooldown, which is longer when it comes and goes."""
        return apart(_longer(self.cooldown, min(PATIENCE, 1 + flapping)), records, ms)

    def _old(self, place: list[int], record: int, time_ms: int) -> bool:
        return apart(_longer(self.cooldown, MEMORY), record - place[0], time_ms - place[1])

    def to_state(self) -> dict[str, Any]:
        recovered = {name: [*places] for name, places in self.recovered.items()}
        last = {name: [*told] for name, told in self.last.items()}
        return {"recovered": recovered, "last": last, "counts": dict(self.counts)}

    def load(self, state: dict[str, Any]) -> None:
        self.recovered, self.counts = dict(state["recovered"]), Counter(state["counts"])
        self.last = {name: (incident, before, after) for name, (incident, before, after) in state["last"].items()}


def span(configured: Window | None, *, timed: bool, hours: int, events: int) -> Window:
    """The configured stretch, or its default: hours where the stream has times, events where it has none."""
    return configured or (Window(duration_ms=hours * 3_600_000) if timed else Window(events=events))


def apart(stretch: Window, records: int, ms: int) -> bool:
    """Whether so many records, or so much time, is at least the stretch."""
    return bool(records >= stretch.events if stretch.events else ms >= stretch.duration_ms)


def _longer(stretch: Window, times: int) -> Window:
    return Window(events=times * stretch.events, duration_ms=times * stretch.duration_ms)
