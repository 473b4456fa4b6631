"""The panes of one signal of one shard: a bounded list of merged ones with their bins, and the series of its means."""

import msgspec
from msgspec import Struct, field

from stream_app.board.series import Series

ROOM = 128  # merged panes kept with their bins
MOST_BINS = 512  # of one merged pane
MOST_SIGNALS = 500

OTHERS = "(others)"


class _Pane(Struct, gc=False):
    """A record of the stream."""

    signal: str
    start: int
    width_ms: int
    n: int
    missing: int
    bins: list[tuple[int, int]]
    names: list[str] | None = None  # of the bins, where they are categories
    mean: float | None = None
    min: float | None = None
    max: float | None = None


class Pane(Struct):
    """Several stretches of time together."""

    start: int
    stop: int
    n: int = 0
    missing: int = 0
    total: float = 0.0
    bins: dict[int, int] = {}
    dropped: int = 0  # bits of the bins' numbers, where there were too many
    shares: dict[str, int] = {}  # of categories, in place of bins

    def add(self, other: "Pane") -> None:
        """Takes in another one; bins add up."""
        self.start, self.stop = min(self.start, other.start), max(self.stop, other.stop)
        self.n += other.n
        self.missing += other.missing
        self.total += other.total
        self.coarsen(other.dropped)
        shift = self.dropped - other.dropped
        for number, count in other.bins.items():
            place = _coarser(number, shift)
            self.bins[place] = self.bins.get(place, 0) + count
        for name, count in other.shares.items():
            self.shares[name] = self.shares.get(name, 0) + count
        self.bound(MOST_BINS)

    def bound(self, most: int) -> None:
        """Makes at most so many bins, coarser ones; of categories the rarest become one."""
        while len(self.bins) > most:
            self.coarsen(self.dropped + 1)
        if len(self.shares) > most:
            ordered = sorted(self.shares.items(), key=lambda each: (each[0] == OTHERS, -each[1], each[0]))
            self.shares = dict(ordered[: most - 1]) | {OTHERS: sum(count for _, count in ordered[most - 1 :])}

    def coarsen(self, dropped: int) -> None:
        """Lets neighbouring bins fall together until so many bits are dropped."""
        if dropped > self.dropped:
            bins: dict[int, int] = {}
            for number, count in self.bins.items():
                place = _coarser(number, dropped - self.dropped)
                bins[place] = bins.get(place, 0) + count
            self.bins, self.dropped = bins, dropped


def _coarser(number: int, bits: int) -> int:
    """Bins are symmetric around 0, so their numbers are shifted towards it."""
    return number >> bits if number >= 0 else -(-number >> bits)


class Panes(Struct):
    """Of one signal; when there are too many, each covers twice the time."""

    width_ms: int
    bits: int = 0
    merged: dict[int, Pane] = {}  # by start // width_ms >> bits
    means: Series = field(default_factory=Series.of)

    def add(self, pane: Pane, at_ms: int, low: float | None, high: float | None) -> None:
        """One record's worth."""
        if pane.n and low is not None and high is not None:
            self.means.add_many(at_ms, pane.n, pane.total, low, high)
        place = at_ms // self.width_ms >> self.bits
        self._put(place, pane)
        while len(self.merged) > ROOM:
            self.bits += 1
            narrow, self.merged = self.merged, {}
            for number, each in sorted(narrow.items()):
                self._put(number >> 1, each)

    def _put(self, place: int, pane: Pane) -> None:
        known = self.merged.get(place)
        if known is None:
            pane.bound(MOST_BINS)
            self.merged[place] = pane
        else:
            known.add(pane)

    def inside(self, start_ms: int | None, stop_ms: int | None) -> Pane | None:
        """All that lies wholly within a stretch of time, as one; None: nothing does."""
        found: Pane | None = None
        for _, pane in sorted(self.merged.items()):
            if (start_ms is None or pane.start >= start_ms) and (stop_ms is None or pane.stop <= stop_ms):
                found = found or Pane(pane.start, pane.stop)
                found.add(pane)
        return found


class Signals(Struct):
    """All panes of one shard."""

    signals: dict[str, Panes] = {}
    left_out: int = 0

    def take(self, value: bytes) -> None:
        """One record of the stream."""
        now = _PANE.decode(value)
        panes = self.signals.get(now.signal)
        if panes is None:
            if len(self.signals) == MOST_SIGNALS:
                self.left_out += 1
                return
            panes = self.signals[now.signal] = Panes(now.width_ms)
        stop, total = now.start + now.width_ms, now.n * (now.mean or 0.0)
        pane = Pane(now.start, stop, now.n, now.missing, total)
        if now.names is None:
            pane.bins = dict(now.bins)
        else:
            pane.shares = {name: count for name, (_, count) in zip(now.names, now.bins, strict=False)}
        panes.add(pane, now.start, now.min, now.max)


_PANE = msgspec.json.Decoder(_Pane)
