"""Weaver: events and labels, each in its own order, become one tape in order of record time, events first on a tie.

A record is given out when nothing earlier can still come from the other stream, or when the runner says it has waited
long enough. A record without a readable time stays right behind the one before it.
"""

import numpy as np

from stream_app.messages import EVENT, LABEL, NO_TIME, Ints, Rows, Tape, join_rows


class Weaver:
    """Holds what was read and not given out yet; `times` (the newest time given out, per stream) resumes it."""

    def __init__(self, events: Rows, labels: Rows, times: tuple[int, int] = (NO_TIME, NO_TIME)) -> None:
        self._rows = [events, labels]
        self._times = [_running(rows.time_ms, start) for rows, start in zip(self._rows, times, strict=True)]
        self._starts = list(times)
        self._none = (events[:0], labels[:0])

    def waiting(self, stream: int) -> int:
        """Records of a stream that were read and not given out."""
        return len(self._rows[stream])

    def push(self, stream: int, rows: Rows) -> None:
        """Adds the next records of a stream."""
        start = int(self._times[stream][-1]) if len(self._times[stream]) else self._starts[stream]
        self._times[stream] = np.concatenate([self._times[stream], _running(rows.time_ms, start)])
        self._rows[stream] = join_rows(self._rows[stream], rows) if len(self._rows[stream]) else rows

    def pull(self, *, events_ended: bool, labels_ended: bool) -> Tape:
        """All records whose place is certain; an ended (or given up) stream holds nothing back."""
        events_ms, labels_ms = self._times
        newest = [int(ms[-1]) if len(ms) else start for ms, start in zip(self._times, self._starts, strict=True)]
        n = len(events_ms) if labels_ended else int(np.searchsorted(events_ms, newest[LABEL], side="right"))
        m = len(labels_ms) if events_ended else int(np.searchsorted(labels_ms, newest[EVENT], side="left"))
        both = np.concatenate([events_ms[:n], labels_ms[:m]])
        order = (np.argsort(both, kind="stable") >= n).astype(np.uint8)
        return Tape(order, self._take(EVENT, n), self._take(LABEL, m))

    @property
    def times(self) -> tuple[int, int]:
        """Newest time given out, per stream."""
        return self._starts[EVENT], self._starts[LABEL]

    def _take(self, stream: int, count: int) -> Rows:
        rows, times = self._rows[stream], self._times[stream]
        if not count:
            return self._none[stream]
        self._starts[stream] = int(times[count - 1])
        self._rows[stream], self._times[stream] = rows[count:], times[count:]
        return rows[:count]


def _running(time_ms: Ints, start: int) -> Ints:
    """The largest time so far, at each record."""
    return np.maximum.accumulate(np.concatenate([[start], time_ms]))[1:]
