"""Two runs over the same records: what each of them raised, and which of it tells of the same change.

Two incidents (or triggers) tell of the same change if they have shard, signal and segment in common and were raised,
or put the beginning of the change, at offsets at most NEAR apart. Each is matched once, the earlier ones first, with
the nearest.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from stream_app.errors import StateError
from stream_app.messages import Outputs

NEAR = 1000  # events of the shard: detectors differ by less about one change, and causes lie further apart
TOLD = ("alerts", "triggers", "metrics", "audit")  # streams from which a side is made
COUNTED = ("events", "labels", "expired", "rejected")
BUDGET = ("alarms", "spent", "allowed")  # alarms, false ones to be expected of them by arl0, and those allowed
LOOP = ("retrain", "add", "promote", "rollback", "reset")  # what happened to models, as the audit tells


Figures = dict[int, dict[str, float | None]]


class Sighting(NamedTuple):
    """An incident as it was opened, or a trigger."""

    shard: int
    offset: int  # of the event, or of the label's event, that raised it
    onset_offset: int
    signal: str
    segment: str
    incident: str
    time: int  # stream time, ms
    severity: str
    message: str

    def apart(self, other: "Sighting") -> int:
        return min(abs(self.offset - other.offset), abs(self.onset_offset - other.onset_offset))


class Matched(NamedTuple):
    """What both sides raised, and what only one of them did."""

    both: list[tuple[Sighting, Sighting]]
    only_live: list[Sighting]
    only_other: list[Sighting]

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "matched": [{"live": live._asdict(), "other": other._asdict()} for live, other in self.both],
            "missing": [seen._asdict() for seen in self.only_live],
            "new": [seen._asdict() for seen in self.only_other],
        }


def matched(live: list[Sighting], other: list[Sighting]) -> Matched:
    """Pairs by the rule above."""
    waiting: dict[tuple[Any, ...], list[Sighting]] = defaultdict(list)
    for found in other:
        waiting[found.shard, found.signal, found.segment].append(found)
    result = Matched([], [], [])
    for seen in live:
        same = waiting[seen.shard, seen.signal, seen.segment]
        nearest = min(same, key=seen.apart, default=None)
        if nearest is None or seen.apart(nearest) > NEAR:
            result.only_live.append(seen)
        else:
            same.remove(nearest)
            result.both.append((seen, nearest))
    rest = (found for left in waiting.values() for found in left)
    result.only_other.extend(sorted(rest, key=lambda found: (found.shard, found.offset)))
    return result


@dataclass(slots=True)
class Side:
    """What is compared of one run."""

    alerts: list[Sighting] = field(default_factory=list)
    triggers: list[Sighting] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # messages by stream, and what is COUNTED
    rolling: Figures = field(default_factory=dict)  # the champion's newest, by shard
    since_start: Figures = field(default_factory=dict)
    budget: dict[str, float] = field(default_factory=lambda: dict.fromkeys(BUDGET, 0.0))
    _totals: dict[tuple[int, str], float] = field(default_factory=dict)

    def add(self, shard: int, out: Outputs, records: range) -> None:
        """Takes what a run made of its next records."""
        for message in out.messages:
            if message.stream in TOLD:
                self.take(message.stream, shard, message.value, records)

    def take(self, stream: str, shard: int, value: bytes, records: range) -> None:
        """Takes the next message of TOLD, if it was written at one of these records of its run."""
        try:
            found = msgspec.json.decode(value)
            if stream == "metrics":
                self._metric(shard, found, found["record"] - 1 in records)  # written behind that record
                return
            if stream == "audit":
                self.counts[found["what"]] += found["what"] in LOOP and found["record"] - 1 in records
                return
            data = found["data"]
            place = found["id"].rpartition(f"/{data['incident']}/")[2]
            if int(place.split("/")[0]) - (data.get("status") == "recovered") in records:
                self.counts[stream] += 1
                self._raised(stream, shard, data)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise StateError(
                f"{stream}, shard {shard}: a record is not of driftline, {value[:80]!r}: `driftline replay` without "
                "--against says where it is"
            ) from error

    def merge(self, other: "Side") -> None:
        """Adds other shards of the same run."""
        self.alerts += other.alerts
        self.triggers += other.triggers
        self.counts.update(other.counts)
        self.rolling |= other.rolling
        self.since_start |= other.since_start
        self.budget = {name: self.budget[name] + other.budget[name] for name in BUDGET}

    def mean(self, figures: str) -> dict[str, float | None]:
        """Figures of the champions as the mean of the shards that know them; `rolling` or `since_start`."""
        shards: Figures = getattr(self, figures)
        names = dict.fromkeys(name for of in shards.values() for name in of)
        known = {n: [value for of in shards.values() if (value := of.get(n)) is not None] for n in names}
        return {name: sum(values) / len(values) if values else None for name, values in known.items()}

    def _metric(self, shard: int, found: dict[str, Any], inside: bool) -> None:
        self.counts["metrics"] += inside
        if found["signal"] == "performance:champion" and inside:
            self.rolling[shard], self.since_start[shard] = found["rolling"], found["since_start"]
        elif found["signal"] == "stream":
            for name in COUNTED:
                self.counts[name] += self._grown(shard, name, found[name]) * inside
        elif found["signal"] == "incidents":
            for name in BUDGET:
                self.budget[name] += self._grown(shard, name, found["budget"][name]) * inside

    def _grown(self, shard: int, name: str, total: Any) -> Any:
        """By how much a sum since the start has grown since it was last told."""
        before = self._totals.get((shard, name), 0)
        self._totals[shard, name] = total
        return total - before

    def _raised(self, stream: str, shard: int, data: dict[str, Any]) -> None:
        if stream == "alerts" and data["status"] == "opened":
            self.alerts.append(_sighting(shard, data, data, data["message"]))
        elif stream == "triggers":
            self.triggers.append(_sighting(shard, data, data["evidence"], data["reason"]))


def _sighting(shard: int, data: dict[str, Any], seen: dict[str, Any], message: str) -> Sighting:
    return Sighting(
        shard, seen["offset"], seen["onset_offset"], seen["signal"], seen["segment"], data["incident"], seen["time"],
        seen["severity"], message,
    )  # fmt: skip
