"""Validate: which records the shard accepts, and at what stream time; everything else is a reject with its reason.

`flow.decode` has checked each record by itself; here is what needs the records before it: order in time and the
codes of categories. Stream time is the largest time of an accepted record; an event older than `engine.lateness` is
rejected. One clock gone wrong must not make everything after it late, so a record that jumps by more than
`engine.ahead` is rejected too, unless others confirm it (`flow.clock`).
"""

from typing import Any

import numpy as np
import xxhash

from stream_app.config import Config
from stream_app.flow.chunk import Chunk, Reject
from stream_app.flow.clock import NOW, ODD, START, clock_states, state_of
from stream_app.messages import CONTROL, EVENT, LABEL, NO_TIME, STREAMS, Ints, Problem, Rows, Tape
from stream_app.texts import Coded

NEW = -2  # the code of a text that has none yet


class Vocabulary:
    """Codes of one category field in order of first appearance; past `size` values the codes are shared by hash.

    >>> words = Vocabulary(size=8)
    >>> words.encode(Coded.of(["b", None, "a", "b"])).tolist(), words.texts
    ([0, -1, 1, 0], ['b', 'a'])
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.texts: list[str] = []
        self._codes: dict[str, int] = {}

    def encode(self, values: Coded) -> Ints:
        """Code of each value, -1 for a missing one."""
        table = np.array([*(self._codes.get(name, NEW) for name in values.names), -1], dtype=np.int64)
        codes: Ints = table[values.codes]
        new = values.codes[codes == NEW]
        if len(new):
            for code in dict.fromkeys(new.tolist()):
                table[code] = self._code(values.names[code])
            codes = table[values.codes]
        return codes

    def _code(self, value: str) -> int:
        if len(self.texts) >= self.size:
            return xxhash.xxh3_64_intdigest(value.encode()) % self.size
        self._codes[value] = len(self.texts)
        self.texts.append(value)
        return len(self.texts) - 1

    def load(self, texts: list[str]) -> None:
        """Takes the texts in place: others hold the list."""
        self.texts[:] = texts
        self._codes = {text: code for code, text in enumerate(texts)}


class Validate:
    """The stage; state: stream time, the vocabularies and the classes seen."""

    def __init__(self, config: Config) -> None:
        self.lateness_ms, self.ahead_ms = config.engine.lateness_ms, config.engine.ahead_ms
        self.time_path = f"$.{config.schema.time or 'offset'}"
        self.label_path = f"$.{config.schema.label}"
        fields = config.schema.fields.items()
        self.vocabularies = {
            name: Vocabulary(config.engine.max_categories) for name, field in fields if field.type == "category"
        }
        two = config.task.type in {"binary", "anomaly"}
        self.classes = Vocabulary(2 if two else config.task.max_classes)
        self.classes.load(list(config.task.classes or (("0", "1") if two else ())))
        self.clock = START

    @property
    def now_ms(self) -> int:
        """Stream time."""
        return self.clock[NOW]

    def run(self, chunk: Chunk) -> None:
        tape = chunk.tape
        ok, time_ms = _by_record(tape)
        record = chunk.first + np.arange(len(tape.order))
        self._classes(tape, ok)
        before = self._clock(ok, time_ms, tape.order)
        self._reject(chunk, ok, time_ms, before)
        taken = ok & (tape.order != CONTROL)
        chunk.order, chunk.record = tape.order[taken].astype(np.int64), record[taken]
        now = np.maximum(before, np.where(ok, time_ms, NO_TIME))
        chunk.clock_ms, chunk.now_ms = now, now[taken]
        chunk.events = _accepted(tape.events, ok[tape.order == EVENT])
        chunk.labels = _accepted(tape.labels, ok[tape.order == LABEL])
        lateness_ms = np.where(before > time_ms, before - time_ms, 0)  # not the difference alone: NO_TIME wraps around
        chunk.lateness_s = lateness_ms[ok & (tape.order == EVENT)] / 1000
        chunk.codes = self._codes(chunk.events)
        chunk.target, chunk.label_target = self._targets(chunk.events), self._targets(chunk.labels)

    def _clock(self, ok: Any, time_ms: Ints, order: Any) -> Ints:
        """Stream time before each record; clears `ok` where a record is too late or too far off."""
        times = np.where(ok, time_ms, NO_TIME)
        states = clock_states(self.clock, times, self.ahead_ms)
        first = np.concatenate([[self.clock[NOW]], states[:, NOW]])[:-1]
        before: Ints = np.minimum(first, states[:, NOW])  # a record that set the clock back is not late
        far = ok & (times != NO_TIME) & (states[:, ODD] > 0)
        late = ok & (order == EVENT) & (before != NO_TIME) & (times < before - self.lateness_ms)
        ok &= ~(far | late)
        if len(states):
            self.clock = state_of(states[-1])
        return before

    def _reject(self, chunk: Chunk, ok: Any, time_ms: Ints, before: Ints) -> None:
        if ok.all():
            return
        tape = chunk.tape
        rows = np.zeros(len(ok), np.int64)
        for kind in (EVENT, LABEL):
            mine = tape.order == kind
            rows[mine] = np.arange(mine.sum())
        for i in np.flatnonzero(~ok & (tape.order != CONTROL)).tolist():
            source = tape.events if tape.order[i] == EVENT else tape.labels
            row = int(rows[i])
            problem = source.problems.get(row) or self._untimely(int(time_ms[i]), int(before[i]))
            stream, offset = STREAMS[tape.order[i]], int(source.offset[row])
            record = chunk.first + i
            chunk.rejects.append(Reject(record, record, stream, offset, source.id[row], source.raw[row], problem))

    def _untimely(self, time_ms: int, now_ms: int) -> Problem:
        gap_s = abs(time_ms - now_ms) / 1000
        if time_ms < now_ms:
            limit = f"engine.lateness allows {self.lateness_ms / 1000:.0f} s"
            return Problem(f"time is {gap_s:.0f} s behind the stream; {limit}", self.time_path, "late")
        limit = f"engine.ahead allows {self.ahead_ms / 1000:.0f} s"
        return Problem(f"time jumps {gap_s:.0f} s ahead of the stream; {limit}", self.time_path, "late")

    def _codes(self, events: Rows) -> Ints:
        columns = zip(self.vocabularies.values(), events.categories, strict=True)
        codes = [vocabulary.encode(column) for vocabulary, column in columns]
        return np.column_stack(codes) if codes else np.empty((len(events), 0), np.int64)

    def _targets(self, rows: Rows) -> Any:
        """Labels as numbers: class codes, or the value itself; NaN = none."""
        if not isinstance(rows.label, Coded):
            return rows.label
        codes = self.classes.encode(rows.label).astype(np.float64)
        codes[codes < 0] = np.nan
        return codes

    def _classes(self, tape: Tape, ok: Any) -> None:
        """New classes get their codes in tape order; past `task.max_classes` the record is rejected."""
        known = {None, *self.classes.texts}
        named = [rows.label for rows in (tape.events, tape.labels) if isinstance(rows.label, Coded)]
        if all(known.issuperset(labels.names) for labels in named):
            return
        streams = {EVENT: enumerate(tape.events.label), LABEL: enumerate(tape.labels.label)}
        for i in np.flatnonzero(tape.order != CONTROL).tolist():
            row, label = next(streams[tape.order[i]])
            if not ok[i] or label in known:
                continue
            if len(self.classes.texts) < self.classes.size:
                self.classes.encode(Coded.of([label]))
                known.add(label)
            else:
                ok[i] = False
                rows = tape.events if tape.order[i] == EVENT else tape.labels
                reason = f'class "{label}" comes after {self.classes.size} others: raise task.max_classes'
                rows.problems[row] = Problem(reason, self.label_path)

    def to_state(self, _live: Ints) -> dict[str, Any]:
        return {
            "clock": self.clock,
            "vocabularies": {name: words.texts.copy() for name, words in self.vocabularies.items()},
            "classes": self.classes.texts.copy(),
        }

    def load(self, state: dict[str, Any]) -> None:
        now, odd, taken = state["clock"]
        self.clock = now, odd, taken
        for name, texts in state["vocabularies"].items():
            self.vocabularies[name].load(texts)
        self.classes.load(state["classes"])


def _by_record(tape: Tape) -> tuple[Any, Ints]:
    """`ok` and time of each record, in tape order."""
    ok = np.ones(len(tape.order), np.bool_)
    for stream, rows in ((EVENT, tape.events), (LABEL, tape.labels)):
        ok[tape.order == stream] = rows.ok
    return ok, tape.times()


def _accepted(rows: Rows, ok: Any) -> Rows:
    return rows if ok.all() else rows.take(np.flatnonzero(ok))
