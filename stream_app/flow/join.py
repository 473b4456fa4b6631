"""Join: each label meets its event, however late, early, often or never it comes.

Turns the accepted records into one tape of operations over the kept rows: PREDICT (an event, into a free slot), LEARN
(its label is known: the slot's row and the target) and FORGET (no label within `task.label_timeout`). Slots freed in a
chunk are used again only in a later one, so that stages may write all rows of a chunk before the models run.
"""

from typing import Any

import numpy as np

from stream_app.config import Config
from stream_app.flow.chunk import Chunk, Reject
from stream_app.flow.ledger import (
    COUNT,
    DUPLICATE,
    FREE,
    HEAP,
    KEY,
    KIND,
    NO_EVENT,
    PENDING,
    RECORD,
    REJECT,
    REPEATED,
    ROW,
    SLOT,
    TAIL,
    TIME,
    TOO_LATE,
    WAIT,
    Incoming,
    find,
    new_ledger,
    reindex,
    weave,
)
from stream_app.messages import LABEL, STREAMS, Floats, Ints, Problem
from stream_app.models import LEARN, PREDICT
from stream_app.texts import Texts, TextStore

NONE = np.empty(0, np.int64)
STATUS = ("vacant", "waiting for its label", "labelled", "label never came in time", "label waits for its event")
REASONS = {
    DUPLICATE: "id was seen before, within the last engine.remember ids",
    REPEATED: "this event already has its label; the first one counts",
    TOO_LATE: "label came after task.label_timeout",
    NO_EVENT: "no event with this id came within task.label_timeout",
}


class Kept:
    """What is remembered of each event that waits for its label, by slot; grows by doubling."""

    def __init__(self) -> None:
        self.X = np.empty((0, 0))  # the models' input row
        self.codes = np.empty((0, 0), np.int64)  # category fields
        self.offset = np.empty(0, np.int64)
        self.time_ms = np.empty(0, np.int64)
        self.id = TextStore()
        self.wide: list[Floats] = []  # per lane: the model's scores, then what it keeps for itself
        self.outputs = 1  # how many are scores
        self.expected = np.empty(0)  # the champion's loss as expected at the prediction, NaN = unknown
        self.number = np.empty(0, np.int64)  # of the prediction
        self.shared = False  # whether what is below is kept: with [ab]
        self.arm = np.empty(0, np.uint8)  # 1 + number in ARMS; 0: not compared
        self.served = np.empty(0)  # what was given out: class code (-1 = none) or value (NaN = none)

    def shape(self, inputs: int, categories: int, outputs: int, width: int, lanes: int) -> None:
        """Sets the widths before the first row is kept."""
        self.X, self.codes = np.empty((0, inputs)), np.empty((0, categories), np.int64)
        self.wide, self.outputs = [np.empty((0, width)) for _ in range(lanes)], outputs

    @property
    def scores(self) -> tuple[Floats, ...]:
        """Per lane [slots, outputs]; views of what is kept."""
        return tuple(wide[:, : self.outputs] for wide in self.wide)

    def __len__(self) -> int:
        return len(self.offset)

    def grow(self, capacity: int) -> None:
        def grown(old: Any) -> Any:
            new = np.zeros((capacity, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            return new

        self.id = TextStore.of(self.id[:], capacity)
        self.X, self.codes = grown(self.X), grown(self.codes)
        self.offset, self.time_ms = grown(self.offset), grown(self.time_ms)
        self.wide = [grown(wide) for wide in self.wide]
        self.expected, self.number = grown(self.expected), grown(self.number)
        if self.shared:
            self.arm, self.served = grown(self.arm), grown(self.served)

    def to_state(self, live: Ints) -> dict[str, Any]:
        return {
            "X": self.X[live],
            "codes": self.codes[live],
            "offset": self.offset[live],
            "time_ms": self.time_ms[live],
            "id": self.id[live].tolist(),
            "scores": [wide[live] for wide in self.wide],
            "expected": self.expected[live],
            "number": self.number[live],
            **({"arm": self.arm[live], "served": self.served[live]} if self.shared else {}),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.X, self.codes = state["X"], state["codes"]
        self.offset, self.time_ms = state["offset"], state["time_ms"]
        self.id = TextStore.of(Texts.of(state["id"]))
        self.wide = state["scores"]
        self.expected, self.number = state["expected"], state["number"]
        if self.shared:
            self.arm, self.served = state["arm"], state["served"]


class Join:
    """The stage; state: the ledger of ids, the kept rows, the raw bytes of labels that came before their event."""

    def __init__(self, config: Config, kept: Kept) -> None:
        self.timeout_ms = config.task.label_timeout_ms if config.schema.label else -1
        self.id_path = f"$.{config.schema.id or 'offset'}"
        self.ledger = new_ledger(config.engine.remember)
        self.kept = kept
        self.freed = NONE
        self.early: dict[int, tuple[int, int, str, bytes]] = {}  # id hash → record, offset, id, raw

    def run(self, chunk: Chunk) -> None:
        scalars = self.ledger.scalars
        self._make_room(len(chunk.events))
        room = 2 * len(chunk.order) + int(scalars[COUNT] - scalars[TAIL] + scalars[HEAP])
        ops, values = np.empty((6, room), np.int64), np.empty(room)  # mostly never touched
        m = weave(self.ledger, self._incoming(chunk), self.timeout_ms, ops, values)
        ops, values = ops[:, :m], values[:m]
        values[np.flatnonzero(ops[KIND] != LEARN)] = np.nan
        aside = np.flatnonzero((ops[KIND] >= REJECT) | ((ops[KIND] == PREDICT) & (ops[KEY] != 0)))
        if len(aside):
            self._set_aside(chunk, ops[:, aside])
            keep = np.flatnonzero(ops[KIND] < REJECT)
            ops, values = ops.take(keep, axis=1), values[keep]  # `ops[:, keep]` would be by columns
        self._operations(chunk, ops, values)

    def _incoming(self, chunk: Chunk) -> Incoming:
        events, labels = chunk.events, chunk.labels
        return Incoming(
            chunk.order, chunk.now_ms,
            events.id_hash, events.time_ms, chunk.target, events.label_time_ms,
            labels.id_hash, labels.time_ms, chunk.label_target,
        )  # fmt: skip

    def _make_room(self, events: int) -> None:
        scalars, ledger = self.ledger.scalars, self.ledger
        free = np.concatenate([ledger.free[: scalars[FREE]], self.freed])
        self.freed = NONE
        if len(free) < events:
            capacity = max(1024, 2 * len(self.kept), len(self.kept) + events)
            free = np.concatenate([np.arange(len(self.kept), capacity)[::-1], free])
            self.kept.grow(capacity)
        due_ms, due_entry = ledger.due_ms, ledger.due_entry
        if len(due_ms) < scalars[HEAP] + events:
            pad = np.zeros(max(1024, int(scalars[HEAP]) + events), np.int64)
            due_ms, due_entry = np.concatenate([due_ms, pad]), np.concatenate([due_entry, pad])
        self.ledger = ledger._replace(free=free, due_ms=due_ms, due_entry=due_entry)
        scalars[FREE] = len(free)
        if scalars[HEAP] > 2 * len(ledger.status):
            self._prune_heap()

    def _prune_heap(self) -> None:
        """Drops scheduled labels whose event the ring has overwritten or expired: they would be skipped anyway."""
        keep = self._scheduled()
        self.ledger.due_ms[: len(keep)], self.ledger.due_entry[: len(keep)] = keep[:, 0], keep[:, 1]
        self.ledger.scalars[HEAP] = len(keep)

    def _scheduled(self) -> Ints:
        """(due time, entry) of the labels still to come, sorted, which is a valid heap."""
        ledger, size = self.ledger, len(self.ledger.status)
        heap, count = int(ledger.scalars[HEAP]), int(ledger.scalars[COUNT])
        due, entry = ledger.due_ms[:heap], ledger.due_entry[:heap]
        alive = (count - entry <= size) & (ledger.status[entry % size] == PENDING)
        order = np.lexsort((entry[alive], due[alive]))
        return np.column_stack([due[alive][order], entry[alive][order]])

    def _operations(self, chunk: Chunk, ops: Ints, values: Any) -> None:
        chunk.kind, chunk.slot = ops[KIND].astype(np.uint8), ops[SLOT]
        chunk.value, chunk.known_ms = values, ops[TIME]
        chunk.op_record = chunk.record[ops[RECORD]]
        chunk.predicted, chunk.learned = np.flatnonzero(chunk.kind == PREDICT), np.flatnonzero(chunk.kind == LEARN)
        rows = ops[ROW][chunk.predicted]
        if len(rows) < len(chunk.events):  # duplicates are gone: only scored events go on
            chunk.events, chunk.codes = chunk.events.take(rows), chunk.codes[rows]
            chunk.lateness_s = chunk.lateness_s[rows]
        chunk.event = np.full(len(chunk.kind), -1)
        chunk.event[chunk.predicted] = np.arange(len(rows))
        slots = chunk.slot[chunk.predicted]
        self.kept.codes[slots], self.kept.offset[slots] = chunk.codes, chunk.events.offset
        self.kept.time_ms[slots] = chunk.events.time_ms
        self.kept.id[slots] = chunk.events.id
        self.freed = chunk.slot[chunk.kind != PREDICT]

    def _set_aside(self, chunk: Chunk, ops: Ints) -> None:
        """Rejects, and labels that begin or end waiting for their event, in the order in which it happened."""
        label_records = chunk.record[chunk.order == LABEL]
        for kind, at, row, slot, _, key in ops.T.tolist():
            if kind == WAIT:
                labels = chunk.labels
                record, offset = int(label_records[row]), int(labels.offset[row])
                self.early[key] = record, offset, labels.id[row], labels.raw[row]
            elif kind == PREDICT:
                del self.early[key]
            elif row == NO_EVENT:
                record, offset, label_id, raw = self.early.pop(key)
                problem, now = Problem(REASONS[row], self.id_path, "label"), int(chunk.record[at])
                chunk.rejects.append(Reject(record, now, "labels", offset, label_id, raw, problem))
            else:
                rows = chunk.events if row == DUPLICATE else chunk.labels
                stream, record = STREAMS[chunk.order[at]], int(chunk.record[at])
                problem = Problem(REASONS[row], self.id_path, "duplicate" if row == DUPLICATE else "label")
                chunk.rejects.append(
                    Reject(record, record, stream, int(rows.offset[slot]), rows.id[slot], rows.raw[slot], problem)
                )

    def story(self, key: int) -> str:
        """What the ledger knows of an id hash."""
        index = find(self.ledger.table, self.ledger.id_hash, key)
        return "not among the ids remembered" if index < 0 else STATUS[self.ledger.status[index]]

    def waiting(self, event_id: str, models: list[str]) -> dict[str, Any]:
        """The kept row of an event that waits for its label; empty if it does not."""
        live = self.live()
        mine = live[[waiting == event_id for waiting in self.kept.id[live]]]
        if not len(mine):
            return {}
        slot = int(mine[-1])
        scores = {name: scores[slot].tolist() for name, scores in zip(models, self.kept.scores, strict=True)}
        place = {"offset": int(self.kept.offset[slot]), "time": int(self.kept.time_ms[slot])}
        return {**place, "inputs": self.kept.X[slot].tolist(), "scores": scores}

    def _entries(self, first: int) -> Ints:
        """Ring indices from entry number `first` to the newest."""
        return np.arange(first, self.ledger.scalars[COUNT]) % len(self.ledger.status)

    def _since(self, first: int, column: Any) -> Any:
        """A column of the ring from entry number `first` to the newest."""
        size, end = len(column), int(self.ledger.scalars[COUNT])
        start, stop = first % size, first % size + end - first
        return np.concatenate([column[start : min(stop, size)], column[: max(0, stop - size)]])

    def live(self) -> Ints:
        """Slots that wait for a label, in order of arrival."""
        tail = int(self.ledger.scalars[TAIL])
        slots: Ints = self._since(tail, self.ledger.slot)[self._since(tail, self.ledger.status) == PENDING]
        return slots

    def to_state(self, live: Ints) -> dict[str, Any]:
        """Plain data without slot numbers, so that equal histories give equal states however they were cut."""
        ledger, count, young = self.ledger, int(self.ledger.scalars[COUNT]), int(self.ledger.scalars[TAIL])
        known = max(0, count - len(ledger.status))
        return {
            "count": count,
            "id_hash": self._since(known, ledger.id_hash),
            "status": self._since(known, ledger.status).astype(np.uint8),
            "time_ms": self._since(young, ledger.time_ms),
            "label": self._since(young, ledger.label),
            "scheduled": self._scheduled(),
            "early": [[key, *label] for key, label in self.early.items()],
            "kept": self.kept.to_state(live),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.ledger = ledger = new_ledger(len(self.ledger.status))
        young, scheduled = len(state["time_ms"]), state["scheduled"]
        ledger.scalars[:] = state["count"], state["count"] - young, len(scheduled), 0
        known = self._entries(state["count"] - len(state["status"]))
        ledger.id_hash[known], ledger.status[known] = state["id_hash"], state["status"]
        newest = self._entries(state["count"] - young)
        ledger.time_ms[newest], ledger.label[newest] = state["time_ms"], state["label"]
        pending = newest[ledger.status[newest] == PENDING]
        ledger.slot[pending] = np.arange(len(pending))
        due_ms, due_entry = np.ascontiguousarray(scheduled[:, 0]), np.ascontiguousarray(scheduled[:, 1])
        self.ledger = ledger._replace(due_ms=due_ms, due_entry=due_entry)
        reindex(self.ledger)
        self.early = {key: (*label,) for key, *label in state["early"]}
        self.kept.load(state["kept"])
        self.freed = NONE
