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

NEAR = 1000  # events of the shard: detectors differ by less about one change, and causes lie further apart
TOLD = ("alerts", "triggers", "metrics")  # streams from which a side is made
COUNTED = ("events", "labels", "expired", "rejected")


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
    figures: dict[int, dict[str, float | None]] = field(default_factory=dict)  # the champion's newest rolling, by shard
    _totals: Counter[tuple[int, str]] = field(default_factory=Counter)

    def take(self, stream: str, shard: int, value: bytes, records: range) -> None:
        """Takes the next message of TOLD, if it was written at one of these records of its run."""
        try:
            found = msgspec.json.decode(value)
            if stream == "metrics":
                self._metric(shard, found, found["record"] - 1 in records)  # written behind that record
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

    def _metric(self, shard: int, found: dict[str, Any], inside: bool) -> None:
        self.counts["metrics"] += inside
        if found["signal"] == "performance:champion" and inside:
            self.figures[shard] = found["rolling"]
        elif found["signal"] == "stream":
            for name in COUNTED:
                self.counts[name] += (found[name] - self._totals[shard, name]) * inside
                self._totals[shard, name] = found[name]

    def _raised(self, stream: str, shard: int, data: dict[str, Any]) -> None:
        if stream == "alerts" and data["status"] == "opened":
            self.alerts.append(_sighting(shard, data, data, data["message"]))
        elif stream == "triggers":
            self.triggers.append(_sighting(shard, data, data["evidence"], data["reason"]))


@dataclass(slots=True)
class Contrast:
    """What was written beside what another configuration would have written."""

    live: Side = field(default_factory=Side)
    other: Side = field(default_factory=Side)
    records: int = 0  # in the range
    seconds: float = 0.0

    @property
    def alerts(self) -> Matched:
        return matched(self.live.alerts, self.other.alerts)

    @property
    def triggers(self) -> Matched:
        return matched(self.live.triggers, self.other.triggers)

    def figures(self) -> dict[str, tuple[float | None, float | None]]:
        """The champions' newest rolling figures, live and other: the mean of the shards."""
        names = dict.fromkeys(name for side in (self.live, self.other) for of in side.figures.values() for name in of)
        return {name: (_mean(self.live, name), _mean(self.other, name)) for name in names}


def _mean(side: Side, name: str) -> float | None:
    known = [value for of in side.figures.values() if (value := of.get(name)) is not None]
    return sum(known) / len(known) if known else None


def _sighting(shard: int, data: dict[str, Any], seen: dict[str, Any], message: str) -> Sighting:
    return Sighting(
        shard, seen["offset"], seen["onset_offset"], seen["signal"], seen["segment"], data["incident"], seen["time"],
        seen["severity"], message,
    )  # fmt: skip
