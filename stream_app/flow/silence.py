"""Silence: how many events each key (or category) sends; one that has stopped is found though nothing comes of it."""

from typing import Any

import numpy as np

from stream_app.flow.chunk import Column
from stream_app.messages import Ints

BLOCK = 100  # events of the whole shard in which those of each key are counted: the rhythm of the day is in all of them
MOST = 100  # keys counted, the first of the stream: so there is at most one observation an event


class Silence:
    """Counts events by key in blocks; state: the counts of the open block, and which keys had been met before it."""

    def __init__(self) -> None:
        self.counts, self.n = np.zeros(MOST, np.int64), 0
        self.met = 0  # keys met before this block: their codes are 0 … met - 1
        self.seen = 0

    def run(self, codes: Ints, events: Column) -> tuple[Column, Ints]:
        """An observation for each key that was known before it at each event that fills a block, and its key's code."""
        x, place, key = [], [], []
        start = 0
        while start < len(codes):
            stop = min(len(codes), start + BLOCK - self.n)
            self._count(codes[start:stop])
            start = stop
            if self.n == BLOCK:
                x.append(self.counts[: self.met].copy())
                place.append(np.full(self.met, stop - 1))
                key.append(np.arange(self.met))
                self.counts[:], self.n, self.met = 0, 0, self.seen
        if not x:
            place, key = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        at = np.concatenate(place)
        values = np.concatenate(x).astype(np.float64) if x else np.empty(0)
        return Column(values, events.record[at], events.offset[at], events.time_ms[at]), np.concatenate(key)

    def _count(self, codes: Ints) -> None:
        mine = codes[(codes >= 0) & (codes < MOST)]
        self.counts += np.bincount(mine, minlength=MOST)
        self.n += len(codes)
        self.seen = max(self.seen, int(mine.max(initial=-1)) + 1)

    def to_state(self) -> list[Any]:
        """The open block."""
        return [self.counts.copy(), self.n, self.met, self.seen]

    def load(self, state: list[Any]) -> None:
        self.counts, self.n, self.met, self.seen = state
