"""The signals that detectors watch, as columns over a chunk."""

from typing import Any

import numpy as np
from numba import njit

from stream_app.config import Config
from stream_app.config.watched import row_of, signals
from stream_app.flow.chunk import Chunk, Column
from stream_app.flow.join import Kept
from stream_app.flow.overdue import LEARN_FROM, Overdue
from stream_app.flow.quality import LEARN, Frozen, Range, Unseen
from stream_app.flow.score import Score
from stream_app.flow.silence import Silence
from stream_app.flow.validate import Validate, Vocabulary
from stream_app.messages import CONTROL, NO_TIME, Floats, Ints
from stream_app.models import FORGET, PREDICT
from stream_app.texts import Coded

TILE = 32  # rows and columns of a matrix that is turned


def _by_columns(rows: Floats) -> Floats:
    """The transpose."""
    columns = np.empty(rows.shape[::-1])  # numpy asks for large pages, numba does not
    _turn(rows, columns)
    return columns


@njit(cache=True, nogil=True)
def _turn(rows: Floats, columns: Floats) -> None:
    """Tile by tile: a column of a wide matrix has each value in a line of cache of its own."""
    n, width = rows.shape
    for first in range(0, width, TILE):
        for start in range(0, n, TILE):
            for j in range(first, min(width, first + TILE)):
                for i in range(start, min(n, start + TILE)):
                    columns[j, i] = rows[i, j]


class Signals:
    """Builds the watched signals of a chunk; state: the entity keys, their last times, what quality signals learned."""

    def __init__(self, config: Config, validate: Validate, score: Score, kept: Kept) -> None:
        fields = config.schema.fields
        self.names = list(dict.fromkeys(signal.name for signal in signals(config)))
        self.numbers = {name: i for i, name in enumerate(n for n, f in fields.items() if f.type == "number")}
        self.categories = {name: i for i, name in enumerate(validate.vocabularies)}
        self.features = {feature.name: i for i, feature in enumerate(config.features)}
        self.row = row_of(config)
        self.by = {watch.by for watch in config.watch if watch.by}
        self.multiclass = config.task.type == "multiclass"
        self.score, self.kept = score, kept
        self.record, self.groups = np.empty(0, np.int64), dict[str, Ints]()
        self.keys = Vocabulary(config.engine.max_categories)
        self.last_ms = np.full(config.engine.max_categories + 1, NO_TIME, np.int64)  # the last, -1: without a key
        by_key = ("key", "frozen:", "silence:*")
        self.keyed = any(name.startswith(by_key) for name in self.names) and config.schema.key is not None
        self.fields_by = sorted(self.categories[field] for field in self.by)
        made = {name: self._memory(name, config) for name in self.names}
        self.quality = {name: memory for name, memory in made.items() if memory is not None}

    def run(self, chunk: Chunk) -> None:
        chunk.numbers = _by_columns(chunk.events.numbers)
        self._place(chunk)
        codes = self.keys.encode(Coded.of(chunk.events.key)) if self.keyed else None
        gaps = self._gaps(chunk, codes) if any(name.startswith("key:") for name in self.names) else None
        for name in self.names:
            source, _, field = name.partition(":")
            if source == "features":
                rows = np.stack([self._feature(chunk, name) for name in self.row], axis=1)
                column = self._of_events(chunk, rows)
            elif source == "feature":
                column = self._of_events(chunk, self._feature(chunk, field))
            elif source == "missing":
                column = self._of_events(chunk, np.isnan(self._feature(chunk, field)).astype(float))
            elif source == "key":
                column = self._key(chunk, field, codes, gaps)
            elif source == "prediction":
                column = self._of_events(chunk, self._prediction(chunk))
            elif source == "estimated_error":
                column = self._of_events(chunk, chunk.expected)
            elif source == "lateness":
                column = self._of_events(chunk, chunk.lateness_s)
            elif source == "rejects":
                column = self._rejects(chunk, field)
            elif source == "silence":
                column = self._silence(chunk, name, codes)
            elif source == "overdue":
                column = self._overdue(chunk)
            elif name in self.quality:
                column = self._of_events(chunk, self._quality(chunk, name, codes))
            else:
                column = self._of_labels(chunk, source)
            chunk.signals[name] = column

    def _feature(self, chunk: Chunk, name: str) -> Floats:
        if name in self.numbers:
            values: Floats = chunk.numbers[self.numbers[name]]
            return values
        if name in self.features:
            return chunk.features[:, self.features[name]]
        codes = chunk.codes[:, self.categories[name]]
        return np.where(codes < 0, np.nan, codes)

    def _quality(self, chunk: Chunk, name: str, keys: Ints | None) -> Floats:
        field = name.partition(":")[2]
        values, memory = self._feature(chunk, field), self.quality[name]
        if isinstance(memory, Unseen):
            return memory.run(chunk.codes[:, self.categories[field]])
        if isinstance(memory, Range):
            return memory.run(values)
        stands: Floats = memory.run(values, np.full(len(values), -1) if keys is None else keys)
        return stands

    def _silence(self, chunk: Chunk, name: str, keys: Ints | None) -> Column:
        """Events of each key, or category of a field, in a block of events."""
        by = "key" if name == "silence:*" else name.partition(":")[2]
        codes = chunk.codes[:, self.categories[by]] if keys is None or by != "key" else keys
        memory: Silence = self.quality[name]
        column, of = memory.run(codes, self._of_events(chunk, np.empty(0)))
        column.groups = {field: np.full(len(of), -1, np.int64) for field in self.by} | {by: of}
        return column

    def _overdue(self, chunk: Chunk) -> Column:
        memory: Overdue = self.quality["overdue"]
        column, codes = memory.run(chunk)
        column.groups = {field: codes[:, self.fields_by.index(self.categories[field])] for field in self.by}
        return column

    def _memory(self, signal: str, config: Config) -> Any:
        """What a signal has to remember; None for those that follow from the chunk alone."""
        size, learn = config.engine.max_categories, min(LEARN, config.engine.max_values)
        source, colon, _ = signal.partition(":")
        if signal == "overdue":
            return Overdue(self.kept, config.engine.remember, self.fields_by, min(LEARN_FROM, config.engine.max_values))
        makers = {
            "unseen": lambda: Unseen(size, learn),
            "range": lambda: Range(learn),
            "frozen": lambda: Frozen(size),
            "silence": Silence,
        }
        return makers[source]() if colon and source in makers else None

    def _prediction(self, chunk: Chunk) -> Floats:
        if not self.multiclass:
            return chunk.scores[0][:, 0]
        code, _ = self.score.decide(chunk.scores[0])
        return np.where(code < 0, np.nan, code)

    def _place(self, chunk: Chunk) -> None:
        """Where the events of the chunk stand, once for all signals of theirs."""
        self.record = chunk.op_record[chunk.predicted]
        self.groups = {field: chunk.codes[:, self.categories[field]] for field in self.by}

    def _of_events(self, chunk: Chunk, x: Floats) -> Column:
        events = chunk.events
        return Column(np.ascontiguousarray(x), self.record, events.offset, events.time_ms, self.groups.copy())

    def _of_labels(self, chunk: Chunk, source: str) -> Column:
        """`error` and `label_delay` when a label is joined; `expired`: 1 if the label did not come in time, else 0."""
        mine = np.flatnonzero(chunk.kind != PREDICT) if source == "expired" else chunk.learned
        slots = chunk.slot[mine]
        if source == "error":
            x = chunk.error
        elif source == "label_delay":
            x = (chunk.known_ms[mine] - self.kept.time_ms[slots]) / 1000
        else:
            x = (chunk.kind[mine] == FORGET).astype(float)
        groups = {field: self.kept.codes[slots, self.categories[field]] for field in self.by}
        return Column(x, chunk.op_record[mine], self.kept.offset[slots], chunk.known_ms[mine], groups)

    def _rejects(self, chunk: Chunk, kind: str) -> Column:
        """1 for each record of the log that became a dead letter (of this kind, if one is given), 0 for any other."""
        data = np.flatnonzero(chunk.tape.order != CONTROL)
        x = np.zeros(len(chunk.tape.order))
        x[[r.record - chunk.first for r in chunk.rejects if r.record == r.at and kind in ("", r.problem.kind)]] = 1
        known = data[chunk.clock_ms[data] != NO_TIME]
        record = chunk.first + known
        groups = {field: np.full(len(known), -1, np.int64) for field in self.by}
        return Column(x[known], record, chunk.tape.offsets()[known], chunk.clock_ms[known], groups)

    def _gaps(self, chunk: Chunk, codes: Ints | None) -> Floats:
        """Seconds since the last event of the same key, NaN for its first."""
        gaps = np.full(len(chunk.events), np.nan)
        times = chunk.events.time_ms.tolist()
        for i, code in enumerate([] if codes is None else codes.tolist()):
            last = int(self.last_ms[code])
            if last != NO_TIME:
                gaps[i] = max(0, times[i] - last) / 1000
            self.last_ms[code] = max(last, times[i])
        return gaps

    def _key(self, chunk: Chunk, name: str, codes: Any, gaps: Any) -> Column:
        """`key`: the key as a category; `key:*`: gaps, one segment a key; `key:NAME`: the gaps of one key."""
        if not name:
            return self._of_events(chunk, np.where(codes < 0, np.nan, codes))
        column = self._of_events(chunk, gaps)
        column.groups["key"] = codes
        if name == "*":
            return column
        mine = np.array([key == name for key in chunk.events.key], np.bool_)
        groups = {field: code[mine] for field, code in column.groups.items()}
        return Column(gaps[mine], column.record[mine], column.offset[mine], column.time_ms[mine], groups)

    def to_state(self) -> dict[str, Any]:
        return {
            "keys": self.keys.texts.copy(),
            "last_ms": self.last_ms.copy(),
            "quality": {name: q.to_state() for name, q in self.quality.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        self.keys.load(state["keys"])
        self.last_ms = state["last_ms"]
        for name, memory in self.quality.items():
            memory.load(state["quality"][name])
