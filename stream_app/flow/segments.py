"""Segments: a detector with the trail of what it was fed, alone or many that are fed by one call."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from detectors import Detector, Drift
from stream_app.flow.chunk import Column
from stream_app.messages import Bools, Floats, Ints

Fired = tuple[int, Drift, tuple[int, int]]  # row, evidence, source offset and time of the onset


@njit(cache=True)
def _append(places: Ints, used: int, n: int, stride: int, finite: Bools, offset: Ints, time_ms: Ints) -> int:
    """Puts every `stride`-th finite observation (a power of two), counted from n, behind the places used; all used."""
    for i in range(len(offset)):
        if finite[i]:
            if n & (stride - 1) == 0:
                places[used] = n, offset[i], time_ms[i]
                used += 1
            n += 1
    return used


class Trail:
    """Where the k-th observation of a signal came from, for the onset: every `stride`-th place, about `LIMIT` of them.

    The stride doubles when the trail is full, so memory is bounded and an old onset is known more coarsely.
    """

    LIMIT = 1024

    def __init__(self) -> None:
        self.n, self.stride, self.used = 0, 1, 0
        self._places = np.empty((0, 3), np.int64)  # number of the observation, source offset, time

    @property
    def places(self) -> Ints:
        return self._places[: self.used]

    def add(self, finite: Bools, offset: Ints, time_ms: Ints) -> None:
        room = self.used + 1 + len(offset) // self.stride
        if room > len(self._places):
            self._places = np.concatenate([self.places, np.empty((room, 3), np.int64)])
        self.used = _append(self._places, self.used, self.n, self.stride, finite, offset, time_ms)
        self.n += int(np.count_nonzero(finite))

    def thin(self) -> None:
        """Only on the metrics grid: what an onset says must not depend on how the log was cut."""
        while self.used > self.LIMIT:
            self.stride *= 2
            kept = self.places[self.places[:, 0] % self.stride == 0]
            self.used = len(kept)
            self._places[: self.used] = kept

    def to_state(self) -> list[Any]:
        return [self.n, self.stride, self.places.copy()]

    def load(self, n: int, stride: int, places: Ints) -> None:
        self.n, self.stride, self.used, self._places = n, stride, len(places), places.copy()

    def copy(self) -> "Trail":
        """The same, on its own."""
        trail = Trail()
        trail.load(*self.to_state())
        return trail

    def content(self) -> tuple[int, int, bytes]:
        """What tells it from others."""
        return self.n, self.stride, self.places.tobytes()

    def equals(self, other: "Trail") -> bool:
        """Whether both hold the same."""
        same = (self.n, self.stride) == (other.n, other.stride)
        return same and np.array_equal(self.places, other.places)

    def find(self, number: int) -> tuple[int, int]:
        """Source offset and time of the last place known at or before observation `number`."""
        at = max(0, int(np.searchsorted(self.places[:, 0], number, side="right")) - 1)
        return int(self.places[at, 1]), int(self.places[at, 2])


class Observed(NamedTuple):
    """Observations of one signal in order, or those of one segment; views of them where they are a slice."""

    x: Floats
    finite: Bools
    record: Ints
    offset: Ints
    time_ms: Ints

    @classmethod
    def of(cls, column: Column, rows: Any) -> "Observed":
        x = column.x[rows]
        finite = np.isfinite(x) if x.ndim == 1 else np.isfinite(x).any(axis=1)
        return cls(x, finite, column.record[rows], column.offset[rows], column.time_ms[rows])

    def part(self, start: int, stop: int) -> "Observed":
        rows = slice(start, stop)
        return Observed(self.x[rows], self.finite[rows], self.record[rows], self.offset[rows], self.time_ms[rows])


class Segment:
    """One detector and the trail of what it was fed."""

    def __init__(self, detector: Detector) -> None:
        self.detector, self.trail = detector, Trail()

    def run(self, seen: Observed) -> list[Fired]:
        """What fired among these rows."""
        fired = self.detector.update_many(seen.x, seen.time_ms)
        first = self.trail.n
        self.trail.add(seen.finite, seen.offset, seen.time_ms)
        return self.placed(first, seen.finite, fired)

    def placed(self, first: int, finite: Bools, fired: list[tuple[int, Drift]]) -> list[Fired]:
        """Drifts with the places of their onsets; `first` is the number of the first of these observations."""
        found = []
        for i, drift in fired:
            number = first + int(np.count_nonzero(finite[:i]))
            found.append((i, drift, self.trail.find(number - drift.age + 1)))
        return found


def side_by_side(segments: list[Segment]) -> dict[str, Any]:
    """The states of detectors that are alike: each array with a row for each of them."""
    states = [segment.detector.to_state() for segment in segments]
    arrays = {key: np.stack([state[key] for state in states]) for key in states[0] if key != "detector"}
    return {"detector": states[0]["detector"], **arrays}


def take_apart(state: dict[str, Any], segments: list[Segment]) -> None:
    """Loads what `side_by_side` gave."""
    for j, segment in enumerate(segments):
        rows = {key: array[j] for key, array in state.items() if key != "detector"}
        segment.detector.load({"detector": state["detector"], **rows})


class Abreast:
    """Segments of one watch that see the same events, a column each: one call feeds all detectors, if they can that.

    Those without missing values have one trail together.
    """

    def __init__(self, segments: list[Segment], rows: Ints) -> None:
        self.segments, self._rows = segments, rows  # of the matrix that `run` is given
        self.fed = type(segments[0].detector).abreast([segment.detector for segment in segments])
        self._trail = segments[0].trail.copy()
        for segment in segments if self.fed else ():
            if segment.trail.equals(self._trail):
                segment.trail = self._trail

    def run(self, x: Floats, columns: list[Column]) -> dict[int, tuple[Observed, list[Fired]]]:
        """What fired in which segment, and what that has seen."""
        before = self.fed.missing
        found = self.fed.feed(x, self._rows)
        fired = {
            j: self.segments[j].detector.drifts(x[self._rows[j]], int(found[j]))
            for j in np.flatnonzero(found >= 0).tolist()
        }
        seen = {j: Observed.of(columns[j], slice(None)) for j in fired}
        first = {j: self.segments[j].trail.n for j in fired}
        self._move_on(columns, (self.fed.missing == before).tolist())
        return {j: (seen[j], self.segments[j].placed(first[j], seen[j].finite, drifts)) for j, drifts in fired.items()}

    def _move_on(self, columns: list[Column], whole: list[bool]) -> None:
        """The trails: what misses a value leaves the one that is shared."""
        for segment, column, complete in zip(self.segments, columns, whole, strict=True):
            if segment.trail is self._trail and not complete:
                segment.trail = self._trail.copy()
            if segment.trail is not self._trail:
                segment.trail.add(np.isfinite(column.x), column.offset, column.time_ms)
        events = columns[0]
        self._trail.add(np.ones(len(events.x), np.bool_), events.offset, events.time_ms)
