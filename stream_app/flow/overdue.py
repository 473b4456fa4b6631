"""Labels that do not come: found when their usual delay has passed, long before `task.label_timeout` gives them up."""

from typing import Any

import numpy as np
from numba import njit

from stream_app.flow.chunk import Chunk, Column
from stream_app.flow.join import Kept
from stream_app.messages import Floats, Ints
from stream_app.models import FORGET, LEARN, PREDICT

LEARN_FROM = 1000  # delays of labels that say what is usual
USUAL = 0.95  # share of them that had come by the usual delay
WAITING, DONE = 1, 0
DUE, OFFSET, STATE = range(3)  # rows of the ring; the codes of segments follow
FIRST, NEXT, NOW, LAST_DUE = range(4)  # of `scalars`: oldest entry, number of the next, time, newest due time


@njit(cache=True)
def _place(ring: Ints, first: int, end: int, offset: int) -> int:
    """The entry of an event by its offset, which rises from entry to entry; -1 if it is not there."""
    size, low, high = ring.shape[1], first, end
    while low < high:
        middle = (low + high) // 2
        if ring[OFFSET, middle % size] < offset:
            low = middle + 1
        else:
            high = middle
    return low if low < end and ring[OFFSET, low % size] == offset else -1


@njit(cache=True)
def walk(
    kind: Any, known_ms: Ints, event_ms: Ints, offset: Ints, codes: Ints, usual_ms: int, ring: Ints, scalars: Ints,
    out: Ints,
) -> int:  # fmt: skip
    """Takes operations in order; writes (0 or 1, operation, event's offset, codes …) per event, once each; how many.

    0 where the label comes while it may, 1 where an operation finds its usual delay over (or the label given up).
    """
    size, found = ring.shape[1], 0
    for i in range(len(kind)):
        scalars[NOW] = max(scalars[NOW], known_ms[i])
        while scalars[FIRST] < scalars[NEXT]:
            at = scalars[FIRST] % size
            if ring[STATE, at] == WAITING:
                if ring[DUE, at] >= scalars[NOW]:
                    break
                out[found, 0], out[found, 1], out[found, 2] = 1, i, ring[OFFSET, at]
                out[found, 3:] = ring[STATE + 1 :, at]
                found += 1
            scalars[FIRST] += 1
        if kind[i] == PREDICT:
            at = scalars[NEXT] % size
            scalars[LAST_DUE] = max(scalars[LAST_DUE], event_ms[i] + usual_ms)
            ring[DUE, at], ring[OFFSET, at], ring[STATE, at] = scalars[LAST_DUE], offset[i], WAITING
            ring[STATE + 1 :, at] = codes[i]
            scalars[NEXT] += 1
            continue
        at = _place(ring, scalars[FIRST], scalars[NEXT], offset[i])
        if at >= 0 and ring[STATE, at % size] == WAITING:
            out[found, 0], out[found, 1], out[found, 2] = kind[i] == FORGET, i, offset[i]
            out[found, 3:] = ring[STATE + 1 :, at % size]
            ring[STATE, at % size] = DONE
            found += 1
    return found


class Overdue:
    """0 or 1 for each event, when it is known; state: the usual delay, or those it is learned from; events that wait.

    The usual delay is the 95 % quantile of the first 1,000; events before are not told of. Events wait in the order in
    which they came, each no shorter than the one before it. Bounded by `engine.remember`: what join gives up is told.
    """

    def __init__(self, kept: Kept, remember: int, by: list[int], learn: int = LEARN_FROM) -> None:
        self.kept, self.by, self.learn = kept, by, learn  # by: category fields of segments
        self.delays_ms = np.empty(0, np.int64)
        self.usual_ms = -1
        self.ring = np.zeros((STATE + 1 + len(by), remember + 1), np.int64)
        self.scalars = np.array([0, 0, np.iinfo(np.int64).min, np.iinfo(np.int64).min])

    def run(self, chunk: Chunk) -> tuple[Column, Ints]:
        """The observations of the chunk, and the codes of their segments [observations, fields]."""
        start = 0 if self.usual_ms >= 0 else self._learn(chunk)
        part = slice(start, None)
        kind, slot, known_ms = chunk.kind[part], chunk.slot[part], chunk.known_ms[part]
        event_ms, offset = self.kept.time_ms[slot], self.kept.offset[slot]
        codes = self.kept.codes[slot][:, self.by]
        out = np.zeros((len(kind) + int(self.scalars[NEXT] - self.scalars[FIRST]), 3 + len(self.by)), np.int64)
        found = walk(kind, known_ms, event_ms, offset, codes, self.usual_ms, self.ring, self.scalars, out)
        out = out[:found]
        places = chunk.op_record[part][out[:, 1]], np.ascontiguousarray(out[:, 2]), known_ms[out[:, 1]]
        return Column(out[:, 0].astype(np.float64), *places), out[:, 3:]

    def _learn(self, chunk: Chunk) -> int:
        """Takes the delays that are still lacking; the first operation behind the last of them."""
        learned = np.flatnonzero(chunk.kind == LEARN)[: self.learn - len(self.delays_ms)]
        delays_ms = chunk.known_ms[learned] - self.kept.time_ms[chunk.slot[learned]]
        self.delays_ms = np.concatenate([self.delays_ms, delays_ms])
        if len(self.delays_ms) < self.learn:
            return len(chunk.kind)
        self.usual_ms = max(0, int(np.sort(self.delays_ms)[int(USUAL * (self.learn - 1))]))
        self.delays_ms = np.empty(0, np.int64)
        return int(learned[-1]) + 1

    def to_state(self) -> dict[str, Any]:
        """The events that wait, oldest first."""
        waiting = np.arange(self.scalars[FIRST], self.scalars[NEXT]) % self.ring.shape[1]
        state = {"delays_ms": self.delays_ms.copy(), "usual_ms": self.usual_ms}
        return state | {"waiting": self.ring[:, waiting], "times": self.scalars[NOW:].copy()}

    def load(self, state: dict[str, Any]) -> None:
        self.delays_ms, self.usual_ms = state["delays_ms"], state["usual_ms"]
        waiting: Floats = state["waiting"]
        self.ring[:, : waiting.shape[1]] = waiting
        self.scalars[FIRST], self.scalars[NEXT], self.scalars[NOW:] = 0, waiting.shape[1], state["times"]
