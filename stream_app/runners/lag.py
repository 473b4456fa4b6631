"""How late a shard is with its inputs: the age of the oldest record that waits to be handled, by its Kafka timestamp.

That is when the record was sent, or with `message.timestamp.type = LogAppendTime` when it arrived. A lag begins above
the limit. It has ended when for as long as the limit nothing older than half of it waited: a producer whose records are
old when they come makes one lag, not one for each record.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

from stream_app.edges.batches import Records


@dataclass(slots=True)
class Oldest:
    """The record of a stream that has waited longest: its offset, for how long, and how many wait with it."""

    stream: str
    start: int
    seconds: float
    records: int


class Lag:
    """Watches the inputs of one shard; `lagging` is the stream of the lag under way, empty without one."""

    def __init__(self, limit_ms: int | None, streams: list[str], lagging: str = "") -> None:
        self.limit_s = float("inf") if limit_ms is None else limit_ms / 1000
        self.lagging = lagging
        self._batches: dict[str, deque[tuple[int, int, int]]] = {stream: deque() for stream in streams}
        self._calm_since: float | None = None

    @property
    def off(self) -> bool:
        """Nobody wants to know, and there is none under way that has to end."""
        return self.limit_s == float("inf") and not self.lagging

    def push(self, stream: str, records: Records) -> None:
        """These have come; a batch is as old as its first record."""
        if stream in self._batches and not self.off:
            start, stop, sent_ms = records.offset[0], records.offset[-1] + 1, records.time_ms[0]
            self._batches[stream].append((int(start), int(stop), int(sent_ms)))

    def look(self, taken: dict[str, int], behind: dict[str, int], now: float, wall: float) -> dict[str, Any] | None:
        """The command to write, if a lag begins or ends here; `taken`: offsets up to which all is handled.

        `behind`: records of each stream that wait, read or not; `now` in seconds of any clock, `wall` of the epoch.
        """
        oldest = None if self.off else self._oldest(taken, behind, wall)
        if oldest is None:
            return None
        if oldest.seconds > self.limit_s / 2:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        if not self.lagging and oldest.seconds > self.limit_s:
            self.lagging = oldest.stream
            return self._command(oldest)
        if self.lagging and self._calm(now):
            ended = Oldest(self.lagging, taken[self.lagging], oldest.seconds, behind[self.lagging])
            self.lagging = ""
            return self._command(ended) | {"ended": True}
        return None

    def _calm(self, now: float) -> bool:
        if self.limit_s == float("inf"):  # it is watched no more
            return True
        return self._calm_since is not None and now - self._calm_since >= self.limit_s

    def _oldest(self, taken: dict[str, int], behind: dict[str, int], wall: float) -> Oldest | None:
        """None where it is not known: all that was read is handled, but the broker has more."""
        found = []
        for stream, batches in self._batches.items():
            while batches and batches[0][1] <= taken[stream]:
                batches.popleft()
            if batches:
                start, _, sent_ms = batches[0]
                found.append(Oldest(stream, max(start, taken[stream]), max(wall - sent_ms / 1000, 0.0), behind[stream]))
            elif behind[stream]:
                return None
            else:
                found.append(Oldest(stream, taken[stream], 0.0, 0))
        return max(found, key=lambda oldest: oldest.seconds)

    def _command(self, oldest: Oldest) -> dict[str, Any]:
        limit = {} if self.limit_s == float("inf") else {"limit": self.limit_s}
        place = {"stream": oldest.stream, "from": oldest.start, "records": oldest.records}
        return {"command": "lag", **place, "seconds": round(oldest.seconds, 3), **limit}
