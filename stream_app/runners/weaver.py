"""Weaver: events and labels, each in its own order, become one tape in order of record time, events first on a tie.

A record is given out when nothing earlier can still come from the other stream, or when the runner says it has waited
long enough. A record without a readable time, or with one far off, stays right behind the one before it.
"""

import numpy as np

from stream_app.flow.clock import NOW, START, clock_states, state_of
from stream_app.messages import EVENT, LABEL, Ints, Rows, Tape, join_rows

State = tuple[int, int, int]  # of a stream's clock


class Weaver:
    """Holds what was read and not given out yet; `clocks` (of what was given out, per stream) resumes it."""

    def __init__(self, events: Rows, labels: Rows, ahead_ms: int, clocks: tuple[State, State] = (START, START)) -> None:
        self._none = (events[:0], labels[:0])
        self._rows, self._ahead_ms = [*self._none], ahead_ms
        self._given = list(clocks)
        self._states = [np.empty((0, 3), np.int64), np.empty((0, 3), np.int64)]  # after each waiting record
        self.push(EVENT, events)
        self.push(LABEL, labels)

    def waiting(self, stream: int) -> int:
        """Records of a stream that were read and not given out."""
        return len(self._rows[stream])

    def push(self, stream: int, rows: Rows) -> None:
        """Adds the next records of a stream."""
        states = self._states[stream]
        start = state_of(states[-1]) if len(states) else self._given[stream]
        self._states[stream] = np.concatenate([states, clock_states(start, rows.time_ms, self._ahead_ms)])
        self._rows[stream] = join_rows(self._rows[stream], rows) if len(self._rows[stream]) else rows

    def pull(self, *, events_ended: bool, labels_ended: bool, most: int | None = None) -> Tape:
        """All records whose place is certain, or the first `most`; an ended (or given up) stream holds nothing back."""
        events_ms, labels_ms = (_rising(states[:, NOW]) for states in self._states)
        last = [state_of(states[-1]) if len(states) else self._given[s] for s, states in enumerate(self._states)]
        n = len(events_ms) if labels_ended else int(np.searchsorted(events_ms, last[LABEL][NOW], side="right"))
        m = len(labels_ms) if events_ended else int(np.searchsorted(labels_ms, last[EVENT][NOW], side="left"))
        both = np.concatenate([events_ms[:n], labels_ms[:m]])
        order = (np.argsort(both, kind="stable")[:most] >= n).astype(np.uint8)
        labels = int(order.sum())
        return Tape(order, self._take(EVENT, len(order) - labels), self._take(LABEL, labels))

    @property
    def clocks(self) -> tuple[State, State]:
        """State of each stream's clock behind what was given out."""
        return self._given[EVENT], self._given[LABEL]

    def _take(self, stream: int, count: int) -> Rows:
        rows, states = self._rows[stream], self._states[stream]
        if not count:
            return self._none[stream]
        self._given[stream] = state_of(states[count - 1])
        self._rows[stream], self._states[stream] = rows[count:], states[count:]
        return rows[:count]


def _rising(now_ms: Ints) -> Ints:
    """The clock at each record, lowered where a later record sets it back."""
    rising: Ints = np.minimum.accumulate(now_ms[::-1])[::-1]
    return rising
