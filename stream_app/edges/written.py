"""What was written to one stream of one shard, in order: record by record, or many together as they were stored."""

from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from itertools import repeat

from stream_app.edges import blocks
from stream_app.edges.batches import Records
from stream_app.edges.transactions import Written
from stream_app.messages import Outcomes, Predictions

Item = tuple[bytes, bytes, bytes]  # id (of predictions and outcomes empty: their value says it), key, value
Placed = tuple[int, Item]  # its offset in the topic or number in the log
Part = Predictions | Outcomes


def item(written: Written) -> Item:
    """A record as it is compared."""
    key, value, headers = written
    return next((value for name, value in headers if name == "id"), b"") if headers else b"", key or b"", value


def items(part: Part) -> Iterable[Item]:
    """Its rows as they are compared."""
    return zip(repeat(b""), map(str.encode, part.id), part.values(), strict=False)


@dataclass(frozen=True, slots=True)
class InLog:
    """Predictions or outcomes as the log holds them."""

    first: int  # number of the first in the log
    part: Part

    def __len__(self) -> int:
        return len(self.part.id)

    def cut(self, start: int, stop: int | None = None) -> "InLog":
        return InLog(self.first + start, blocks.cut(self.part, start, stop))

    def holds(self, part: Part) -> bool:
        """Whether these are the records that are made from the part."""
        return blocks.same(part, self.part)

    def placed(self) -> Iterable[Placed]:
        return enumerate(items(self.part), self.first)


@dataclass(frozen=True, slots=True)
class InTopic:
    """Predictions or outcomes as a topic holds them."""

    records: Records

    def __len__(self) -> int:
        return len(self.records)

    def cut(self, start: int, stop: int | None = None) -> "InTopic":
        return InTopic(self.records[start:stop])

    def holds(self, part: Part) -> bool:
        """Whether these are the records that are made from the part."""
        return part.id.same(self.records.key) and part.values().same(self.records.value)

    def placed(self) -> Iterable[Placed]:
        columns = self.records.key, self.records.value
        return zip(self.records.offset.tolist(), zip(repeat(b""), *columns, strict=False), strict=True)


Batch = list[Placed] | InLog | InTopic


def placed(batch: Batch) -> Iterable[Placed]:
    """Its records one by one."""
    return batch if isinstance(batch, list) else batch.placed()


@dataclass(slots=True)
class Unread:
    """What was written, as far as it is looked at."""

    batches: AsyncIterator[Batch]
    waiting: deque[Placed] = field(default_factory=deque)
    stored: InLog | InTopic | None = None  # comes behind those that wait
    ended: bool = False

    async def fill(self, count: int) -> bool:
        """Reads on until `count` records wait, or to the end; False if none wait."""
        while len(self.waiting) < count and not self.ended:
            await self._read()
            if self.stored:
                self.waiting.extend(self.stored.placed())
                self.stored = None
        return bool(self.waiting)

    async def columns(self) -> InLog | InTopic | None:
        """What comes next, if many come together."""
        while not (self.waiting or self.stored or self.ended):
            await self._read()
        return None if self.waiting else self.stored

    async def _read(self) -> None:
        if self.stored:
            return
        batch = await anext(self.batches, None)
        self.ended = batch is None
        if batch is None or isinstance(batch, list):
            self.waiting.extend(batch or ())
        else:
            self.stored = batch
