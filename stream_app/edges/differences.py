"""What a run would write beside what was written, record by record: one stream of one shard at a time.

Both sides are walked in step, so memory is bounded by WINDOW records, or a block of the log, however long a stream is.
Where they differ, the nearest record that both have is looked for within that window: what is passed over on the way is
missing or extra.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from stream_app.edges import blocks
from stream_app.edges.written import Item, Part, Unread, items
from stream_app.messages import OUTPUTS

WINDOW = 1024  # records that are looked at on each side when they differ

Kind = Literal["altered", "missing", "extra"]


@dataclass(slots=True)
class Tally:
    """How many records of a stream agree, or do not."""

    same: int = 0
    altered: int = 0  # same id, other key or value
    missing: int = 0  # a run writes them, the stream does not have them
    extra: int = 0  # the stream has them, no run writes them
    gone: int = 0  # compacted, or deleted by retention: nothing to compare with, nothing wrong

    @property
    def identical(self) -> bool:
        return not (self.altered or self.missing or self.extra)

    def add(self, other: "Tally") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where a stream is not what a run writes."""

    stream: str
    shard: int
    kind: Kind
    position: (
        int | None
    )  # offset in the topic or number in the log; missing: of what stands in its place, None: the end
    rerun: Item | None
    written: Item | None


@dataclass(slots=True)
class Replay:
    """What was written beside what is written now: the sums of all shards."""

    streams: dict[str, Tally] = field(default_factory=lambda: {stream: Tally() for stream in OUTPUTS})
    first: dict[str, Difference] = field(default_factory=dict)  # by stream
    records: int = 0  # in the range
    seconds: float = 0.0  # for these and those before them

    @property
    def identical(self) -> bool:
        return all(tally.identical for tally in self.streams.values())

    def add(self, shard: "Replay") -> None:
        for stream, tally in shard.streams.items():
            self.streams[stream].add(tally)
        self.first = {**shard.first, **self.first}
        self.records += shard.records


class Comparison:
    """A stream whose records all are kept, in order.

    Differences count from `begin` on. `beheaded`: its oldest records were deleted, so that it begins with any record
    of the run.
    """

    def __init__(self, stream: str, shard: int, written: Unread, *, beheaded: bool = False) -> None:
        self.stream, self.shard, self.written = stream, shard, written
        self.tally = Tally()
        self.first: Difference | None = None
        self._beheaded = beheaded
        self._rerun: deque[Item] = deque()
        self._early = math.inf  # records of the run, from those that wait on, that are before the range

    def begin(self) -> None:
        """The range that is compared begins with the next record of the run."""
        self._early = len(self._rerun)

    async def take(self, rerun: Iterable[Item]) -> None:
        """Compares the next records of the run."""
        self._rerun.extend(rerun)
        await self._settle(last=False)

    async def take_part(self, rerun: Part) -> None:
        """Compares the next records of the run, which come as columns: equal ones are passed over together."""
        while rerun.id and not self._rerun and (stored := await self.written.columns()):
            count = min(len(rerun.id), len(stored))
            if not stored.cut(0, count).holds(blocks.cut(rerun, 0, count)):
                break
            self.tally.same += count * (not self._early)
            rerun = blocks.cut(rerun, count)
            self.written.stored = stored.cut(count) if len(stored) > count else None
        if rerun.id:
            await self.take(items(rerun))

    async def finish(self, *, whole: bool) -> None:
        """Ends the comparison; `whole`: the run went as far as the stream does, what is left of it is extra."""
        await self._settle(last=True)
        while whole and await self.written.fill(1):
            self._extra()

    async def _settle(self, *, last: bool) -> None:
        rerun, written = self._rerun, self.written.waiting
        if self._beheaded and rerun:
            await self._find_head()
        while rerun:
            await self.written.fill(1)
            while rerun and written and rerun[0] == written[0][1]:
                rerun.popleft()
                written.popleft()
                self.tally.same += self._counts()
            if rerun and (written or self.written.ended):
                if not last and len(rerun) < WINDOW:
                    return  # what comes next decides
                await self.written.fill(WINDOW)
                self._differ()

    async def _find_head(self) -> None:
        await self.written.fill(WINDOW)
        names = {_name(found) for _, found in self.written.waiting}
        while self._rerun and _name(self._rerun[0]) not in names:
            self._rerun.popleft()
            self.tally.gone += self._counts()
        self._beheaded = not self._rerun

    def _differ(self) -> None:
        """Takes away what stands before the nearest record that both sides have."""
        rerun, written = self._rerun, self.written.waiting
        if not written:
            self._missing()
            return
        if _name(rerun[0]) == _name(written[0][1]):
            self._altered()
            return
        extra = _place(_name(rerun[0]), (_name(found) for _, found in islice(written, WINDOW)))
        missing = _place(_name(written[0][1]), map(_name, islice(rerun, WINDOW)))
        if extra == missing == WINDOW:  # neither has the other's
            extra = missing = 1
        elif extra <= missing:
            missing = 0
        else:
            extra = 0
        for _ in range(missing):
            self._missing()
        for _ in range(extra):
            self._extra()

    def _altered(self) -> None:
        position, found = self.written.waiting.popleft()
        self._note("altered", position, self._rerun.popleft(), found)

    def _missing(self) -> None:
        position = self.written.waiting[0][0] if self.written.waiting else None
        self._note("missing", position, self._rerun.popleft(), None)

    def _extra(self) -> None:
        position, found = self.written.waiting.popleft()
        self._note("extra", position, None, found)

    def _note(self, kind: Kind, position: int | None, rerun: Item | None, written: Item | None) -> None:
        if not (self._counts() if rerun else not self._early):
            return
        setattr(self.tally, kind, getattr(self.tally, kind) + 1)
        if self.first is None:
            self.first = Difference(self.stream, self.shard, kind, position, rerun, written)

    def _counts(self) -> bool:
        """Whether the record of the run that was just taken off is in the range."""
        if self._early:
            self._early -= 1
            return False
        return True


class NewestComparison(Comparison):
    """A compacted stream: what it has must be of the run and in order, and of each key it must have the newest.

    Ids end in the number of the record they were written at, by which both sides are walked. Memory: one record a key.
    """

    def __init__(self, stream: str, shard: int, written: Unread, *, beheaded: bool = False) -> None:
        super().__init__(stream, shard, written, beheaded=beheaded)
        self._passed: dict[bytes, Item] = {}  # newest of each key that the stream does not have
        self._group: tuple[int, set[bytes]] = -1, set()  # a number and the ids of the run that end in it

    async def finish(self, *, whole: bool) -> None:
        await self._settle(last=True)
        while self._passed and await self.written.fill(1) and not whole:  # newer ones made the broker drop them
            self._passed.pop(self.written.waiting.popleft()[1][1], None)
        await super().finish(whole=whole)
        for lost in self._passed.values():
            self._rerun.append(lost)
            self.tally.gone -= 1
            self._missing()

    async def _settle(self, *, last: bool) -> None:  # noqa: ARG002  (a group always comes as a whole)
        rerun, written = self._rerun, self.written.waiting
        while rerun:
            await self.written.fill(1)
            if not written:
                self._pass()
                continue
            wanted, found = rerun[0], written[0][1]
            if wanted[0] == found[0]:
                self._ids(_number(wanted)).discard(wanted[0])
                self._passed.pop(wanted[1], None)
                if wanted == found:
                    rerun.popleft()
                    written.popleft()
                    self.tally.same += self._counts()
                else:
                    self._altered()
            elif _number(found) > _number(wanted) or found[0] in self._ids(_number(wanted)):
                self._pass()
            else:
                self._extra()

    def _ids(self, number: int) -> set[bytes]:
        if self._group[0] != number:
            self._group = number, {wanted[0] for wanted in self._rerun if _number(wanted) == number}
        return self._group[1]

    def _pass(self) -> None:
        lost = self._rerun.popleft()
        if self._counts():
            self._passed[lost[1]] = lost
            self.tally.gone += 1


def _name(found: Item) -> bytes:
    return found[0] or found[1]


def _place(name: bytes, names: Iterable[bytes]) -> int:
    """Index of a name, WINDOW if it is not there."""
    return next((i for i, other in enumerate(names) if other == name), WINDOW)


def _number(found: Item) -> int:
    last = found[0].rpartition(b"/")[2]
    return int(last) if last.isdigit() else -1
