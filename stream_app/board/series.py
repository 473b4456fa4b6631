"""A series that never grows: buckets of time, each with count, sum, smallest and largest value.

Bucket i holds the times t with t >> bits == i. When there are more than `room`, bits grows by one and neighbours fall
together, so a bucket's width is a power of two of milliseconds (at first one: every point stands by itself), and the
series of several shards can be laid upon one another. The smallest and the largest value are never lost.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from msgspec import Struct, field

from stream_app.board.documents import Series as Document
from stream_app.board.plain import Real, Whole

if TYPE_CHECKING:
    from stream_app.messages import Floats, Ints

NEVER = -(1 << 63)
ROOM = 1024  # buckets: 40 kB, and as many points as a chart can show
FINER = 6  # bits: the newest thirtieth of a series, or so, can be seen 64 times as closely


class Buckets(Struct, gc=False):
    """The buckets as columns, in order of time; those of the `newest` values let the oldest go instead of thinning."""

    room: int = ROOM
    newest: bool = False
    since_ms: int = NEVER  # what was before has been let go
    bits: int = 0
    at: Whole = field(default_factory=Whole)  # number of the bucket
    n: Whole = field(default_factory=Whole)
    total: Real = field(default_factory=Real)
    low: Real = field(default_factory=Real)
    high: Real = field(default_factory=Real)

    def add(self, time_ms: int, value: float) -> None:
        """One value. As `add_many`, without its calls: most of what a board does is this."""
        at = time_ms >> self.bits
        last = self.at[-1] if self.at else NEVER
        if at > last:
            self.at.append(at)
            self.n.append(1)
            self.total.append(value)
            self.low.append(value)
            self.high.append(value)
            if len(self.at) > self.room:
                self._make_room()
        elif at == last:
            self.n[-1] += 1
            self.total[-1] += value
            if value < self.low[-1]:  # noqa: PLR1730  (a call costs three comparisons)
                self.low[-1] = value
            if value > self.high[-1]:  # noqa: PLR1730
                self.high[-1] = value
        else:
            self.add_many(time_ms, 1, value, value, value)

    def add_many(self, time_ms: int, n: int, total: float, low: float, high: float) -> None:
        """Values of one time together."""
        if time_ms < self.since_ms:
            return
        at = time_ms >> self.bits
        last = len(self.at) - 1
        i = last if last >= 0 and self.at[last] == at else bisect_left(self.at, at)
        if i <= last and self.at[i] == at:
            self.n[i] += n
            self.total[i] += total
            self.low[i] = min(self.low[i], low)
            self.high[i] = max(self.high[i], high)
            return
        for column, value in zip(self.columns(), (at, n, total, low, high), strict=True):
            column.insert(i, value)
        if len(self.at) > self.room:
            self._make_room()

    def columns(self) -> tuple[Any, ...]:
        return self.at, self.n, self.total, self.low, self.high

    def widen(self, bits: int) -> None:
        """Makes the buckets this wide, if they are not."""
        if bits > self.bits:
            columns = Columns(self)
            columns.widen(bits)
            self._take(columns)

    def _make_room(self) -> None:
        if self.newest:
            for column in self.columns():
                del column[: self.room // 2]
            self.since_ms = self.at[0] << self.bits
            return
        columns = Columns(self)
        columns.thin(self.room)
        self._take(columns)

    def _take(self, columns: "Columns") -> None:
        self.bits, self.at, self.n = columns.bits, Whole(columns.at.tobytes()), Whole(columns.n.tobytes())
        self.total, self.low, self.high = (
            Real(column.tobytes()) for column in (columns.total, columns.low, columns.high)
        )


class Series(Struct):
    """All of it, and the newest part in buckets that are FINER bits narrower: to look closer at what goes on now."""

    whole: Buckets
    newest: Buckets

    @classmethod
    def of(cls, room: int = ROOM) -> Self:
        """An empty one."""
        return cls(Buckets(room=room), Buckets(room=room, newest=True))

    def add(self, time_ms: int, value: float | None) -> None:
        """One value; None is a gap."""
        if value is not None:
            self.whole.add(time_ms, value)
            self.newest.add(time_ms, value)
            if self.whole.bits - FINER > self.newest.bits:
                self.newest.widen(self.whole.bits - FINER)

    def add_many(self, time_ms: int, n: int, total: float, low: float, high: float) -> None:
        """Values of one time together."""
        self.whole.add_many(time_ms, n, total, low, high)
        self.newest.add_many(time_ms, n, total, low, high)
        self.newest.widen(self.whole.bits - FINER)

    def reaches(self, start_ms: int | None) -> bool:
        """Whether the newest part holds all from there on."""
        return start_ms is not None and self.newest.since_ms <= start_ms


class Columns:
    """The same as numpy arrays, for as long as they are worked on."""

    def __init__(self, buckets: Buckets) -> None:
        self.bits = buckets.bits
        self.at: Ints = np.array(buckets.at, np.int64)
        self.n: Ints = np.array(buckets.n, np.int64)
        self.total: Floats = np.array(buckets.total)
        self.low: Floats = np.array(buckets.low)
        self.high: Floats = np.array(buckets.high)

    def thin(self, room: int) -> None:
        """Doubles the width until there are at most so many buckets."""
        while len(self.at) > room:
            self.widen(self.bits + 1)

    def widen(self, bits: int) -> None:
        """Lets neighbours fall together; buckets of the same number become one."""
        self.at = self.at >> (bits - self.bits)
        self.bits = bits
        first = np.flatnonzero(np.concatenate([[True], self.at[1:] != self.at[:-1]]) if len(self.at) else self.at)
        if len(first) == len(self.at):
            return
        self.at = self.at[first]
        self.n, self.total = np.add.reduceat(self.n, first), np.add.reduceat(self.total, first)
        self.low, self.high = np.minimum.reduceat(self.low, first), np.maximum.reduceat(self.high, first)

    def lay_upon(self, other: "Columns") -> None:
        """Adds another series."""
        bits = max(self.bits, other.bits)
        self.widen(bits)
        other.widen(bits)
        at = np.concatenate([self.at, other.at])
        order = np.argsort(at, kind="stable")
        self.at = at[order]
        for name in ("n", "total", "low", "high"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)])[order])
        self.widen(bits)

    def cut(self, start_ms: int | None, stop_ms: int | None) -> None:
        """Leaves the buckets that reach into start_ms ≤ t ≤ stop_ms."""
        first = 0 if start_ms is None else int(np.searchsorted(self.at, start_ms >> self.bits))
        last = len(self.at) if stop_ms is None else int(np.searchsorted(self.at, stop_ms >> self.bits, side="right"))
        for name in ("at", "n", "total", "low", "high"):
            setattr(self, name, getattr(self, name)[first:last])


def drawn(
    series: Sequence[Series], start_ms: int | None = None, stop_ms: int | None = None, most: int = ROOM
) -> Document:
    """Several shards' series as one, cut to a stretch of time, with at most `most` points.

    >>> one = Series.of()
    >>> one.add(5, 1.0), one.add(7, 3.0)
    (None, None)
    >>> drawn([one])
    {'t': [5, 7], 'min': [1.0, 3.0], 'max': [1.0, 3.0], 'mean': [1.0, 3.0]}
    """
    if not series:
        return {"t": [], "min": [], "max": [], "mean": []}
    near = all(each.reaches(start_ms) for each in series if each.whole.at)
    columns, *others = [Columns(each.newest if near else each.whole) for each in series]
    for other in others:
        columns.lay_upon(other)
    columns.cut(start_ms, stop_ms)
    columns.thin(most)
    return {
        "t": (columns.at << columns.bits).tolist(),
        "min": columns.low.tolist(),
        "max": columns.high.tolist(),
        "mean": (columns.total / columns.n).tolist(),
    }
