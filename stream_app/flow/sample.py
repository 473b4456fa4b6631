"""A bounded sample of the events: the newest whole, older ones ever thinner; what an alert compares to tell its cause.

Of the events whose age (in events) lies between SHARE 2^(k-1) and SHARE 2^k every 2^k-th is kept, so that each octave
of the past has about as many; what is older than OCTAVES octaves is not kept. Rows are dropped only at the start of the
chunk behind a line of the metrics grid: what an alarm at record r sees, the rows up to r, does not depend on the cut.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from stream_app.config import Config
from stream_app.evidence.table import Table
from stream_app.flow.chunk import Chunk
from stream_app.flow.join import Kept
from stream_app.flow.score import Score
from stream_app.flow.validate import Validate
from stream_app.messages import Bools, Floats, Ints
from stream_app.texts import Texts

SHARE = 1024  # newest events that are all there; a quarter where a row is wide
OCTAVES = 8  # the oldest row is SHARE · 2^8 events old
WIDE = 32  # columns from which a sample has fewer rows, so that it does not outgrow the rest of the state
MANY_CELLS, MANY_CHUNKS = 1 << 23, 64  # that wait at most: 64 MB
UNKNOWN = np.iinfo(np.int64).max  # the record at which a row's label came: none yet
SCORE, EXPECTED, ERROR = range(3)  # columns of `figures`


@dataclass(frozen=True, slots=True)
class Kinds:
    """The columns of a row: number fields, computed features, category fields."""

    names: tuple[str, ...]
    categories: tuple[bool, ...]
    texts: dict[str, list[str]]  # of category fields; grows while running, shared by reference
    inputs: tuple[int, ...]  # those the models are fed, in their order

    @classmethod
    def of(cls, config: Config, validate: Validate) -> "Kinds":
        fields = config.schema.fields
        numbers = [name for name, field in fields.items() if field.type == "number"]
        words = list(validate.vocabularies)
        names = (*numbers, *(feature.name for feature in config.features), *words)
        fed = tuple(i for i, name in enumerate(names) if name not in fields or fields[name].input)
        texts = {name: validate.vocabularies[name].texts for name in words}
        return cls(names, tuple(name in texts for name in names), texts, fed)


class Sample:
    """Rows in order of their records; state: all of them.

    What comes in waits as it came until somebody looks, or MANY of it wait: most rows are dropped before they are
    copied. Thinning once at the last line is thinning at each, as an older row is never kept where a newer was dropped.
    """

    def __init__(self, config: Config, validate: Validate, score: Score, kept: Kept) -> None:
        self.kinds = Kinds.of(config, validate)
        self.width = len(self.kinds.names)
        self.share = SHARE if self.width <= WIDE else SHARE // 4
        self.score, self.kept = score, kept
        self.n, self.due = 0, False  # events ever taken; whether rows are to be dropped before the next chunk
        self.line = 0  # events when rows were last to be dropped
        self.newest = -1  # record of the last row
        self.rows: dict[str, Any] = {
            **{name: np.empty(0, np.int64) for name in ("number", "record", "offset", "time_ms", "known")},
            "x": np.empty((0, self.width)),
            "figures": np.empty((0, 3)),
            "id": Texts.of([]),
        }
        self._events: list[dict[str, Any]] = []  # of each chunk that waits
        self._labels: list[tuple[Ints, Floats, Ints]] = []  # offset, error and record of those that came meanwhile
        self._cells = 0

    def __getitem__(self, name: str) -> Any:
        self._take_in()
        return self.rows[name]

    def run(self, chunk: Chunk) -> None:
        """Takes the chunk's events, and the labels that came to events it holds."""
        if self.due:
            self.line = self.n
        self._add(chunk)
        self._labels.append((self.kept.offset[chunk.slot[chunk.learned]], chunk.error, chunk.op_record[chunk.learned]))
        self.due = chunk.closes
        if self._cells > MANY_CELLS or len(self._events) == MANY_CHUNKS:
            self._take_in()

    def _add(self, chunk: Chunk) -> None:
        events, record = chunk.events, chunk.op_record[chunk.predicted]
        new = {"record": record, "offset": events.offset, "time_ms": events.time_ms, "id": events.id}
        new |= {"numbers": events.numbers, "features": chunk.features, "codes": chunk.codes}
        self._events.append(new | {"scores": chunk.scores[0], "expected": chunk.expected})
        self.n, self._cells = self.n + len(events), self._cells + self.width * len(events)
        if len(events):
            self.newest = int(record[-1])

    def _take_in(self) -> None:
        """What waits becomes rows, but for those that are dropped at the last line."""
        if not self._events:
            return
        first = self.n - sum(len(events["id"]) for events in self._events)
        parts = [_picked(self.rows, self._keeps(self.rows["number"]))]
        for events in self._events:
            number = np.arange(first, first + len(events["id"]))
            keep = self._keeps(number)
            parts.append({"number": number[keep], **self._rows_of(_picked(events, keep))})
            first += len(number)
        self.rows = {name: _joined([part[name] for part in parts]) for name in self.rows}
        offset, error, record = (np.concatenate(column) for column in zip(*self._labels, strict=True))
        _learn(self.rows["offset"], offset, error, record, self.rows["figures"], self.rows["known"])
        self._events, self._labels, self._cells = [], [], 0

    def _keeps(self, number: Ints) -> Ints:
        return _kept(number, self.line, self.share, OCTAVES)

    def _rows_of(self, events: dict[str, Any]) -> dict[str, Any]:
        n = len(events["id"])
        codes = np.where(events["codes"] < 0, np.nan, events["codes"])
        _, score = self.score.decide(events["scores"])
        return {
            **{name: events[name] for name in ("record", "offset", "time_ms", "id")},
            "known": np.full(n, UNKNOWN),
            "x": np.hstack([events["numbers"], events["features"], codes]),
            "figures": np.column_stack([score, events["expected"], np.full(n, np.nan)]),
        }

    def until(self, record: int) -> "View":
        """What was known when record number `record` had been handled."""
        return View(self, self._rows(record), record)

    def events(self, record: int) -> int:
        """Events ever, up to the last row known when record number `record` had been handled."""
        if record >= self.newest:
            return self.n
        rows = self._rows(record)
        return int(self["number"][rows - 1]) + 1 if rows else 0

    def _rows(self, record: int) -> int:
        return int(np.searchsorted(self["record"], record, side="right"))

    def to_state(self) -> dict[str, Any]:
        """All rows; ids as a list."""
        self._take_in()
        rows = {name: column.copy() for name, column in self.rows.items()}
        return {"n": self.n, "due": self.due, **rows, "id": rows["id"].tolist()}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `to_state`."""
        self.n, self.due = state["n"], state["due"]
        self.rows = {name: state[name] for name in self.rows} | {"id": Texts.of(state["id"])}
        self.newest = int(self.rows["record"][-1]) if len(self.rows["record"]) else -1
        self._events, self._labels, self._cells = [], [], 0


class View:
    """The rows of a sample up to a record, with the labels that had come by then."""

    def __init__(self, sample: Sample, rows: int, record: int) -> None:
        self.kinds, self._share = sample.kinds, sample.share
        names = ("number", "offset", "time_ms", "x")
        self.number, self.offset, self.time_ms, self.x = (sample[name][:rows] for name in names)
        self._id = sample["id"]
        self.events = sample.events(record)
        self.figures = sample["figures"][:rows].copy()
        self.figures[sample["known"][:rows] > record, ERROR] = np.nan

    def __len__(self) -> int:
        return len(self.offset)

    def even(self, start: int) -> Bools:
        """Rows as thinly spread as those about event number `start`: from there on each stands for as many events."""
        octave = _octave(np.array(self.events - 1 - start), self._share)
        thin: Bools = self.number % 2 ** min(int(octave), OCTAVES) == 0
        return thin

    def column(self, name: str) -> Floats:
        """[rows] of one column."""
        column: Floats = self.x[:, self.kinds.names.index(name)]
        return column

    def inputs(self, rows: Bools) -> Floats:
        """[rows, inputs] as the models are fed."""
        fed: Floats = self.x[rows][:, self.kinds.inputs]
        return fed

    def table(self, rows: Bools) -> Table:
        """These rows as what an attribution compares."""
        score, expected, error = self.figures[rows].T
        return Table(self.kinds.names, self.kinds.categories, self.kinds.texts, self.x[rows], score, expected, error)

    def ids(self, rows: Ints) -> list[str]:
        """Event ids of rows by their numbers."""
        found: list[str] = self._id[rows].tolist()
        return found


def _picked(columns: dict[str, Any], keep: Ints) -> dict[str, Any]:
    return {name: column[keep] for name, column in columns.items()}


def _joined(parts: list[Any]) -> Any:
    return Texts.joined(parts) if isinstance(parts[0], Texts) else np.concatenate(parts)


def _octave(age: Ints, share: int) -> Ints:
    """Of events so old each 2^octave-th is kept."""
    octave: Ints = np.searchsorted(share << np.arange(OCTAVES + 1), age)
    return octave


@njit(cache=True, nogil=True)
def _kept(number: Ints, line: int, share: int, octaves: int) -> Ints:
    """Which of these events are still kept when there have been `line` events."""
    kept, n = np.empty(len(number), np.int64), 0
    for i in range(len(number)):
        octave, reach = 0, share
        while octave <= octaves and line - 1 - number[i] > reach:
            octave, reach = octave + 1, 2 * reach
        if octave <= octaves and number[i] % (1 << octave) == 0:
            kept[n] = i
            n += 1
    return kept[:n]


@njit(cache=True, nogil=True)
def _learn(mine: Ints, offset: Ints, error: Floats, record: Ints, figures: Floats, known: Ints) -> None:
    """Writes the labels of rows, found by their offsets: mostly the next row, or the one in hand."""
    row, rows = 0, len(mine)
    for i in range(len(offset)):
        row += row < rows and mine[row] < offset[i]
        if (row < rows and mine[row] < offset[i]) or (row > 0 and mine[row - 1] >= offset[i]):
            row = np.searchsorted(mine, offset[i])
        if row < rows and mine[row] == offset[i]:
            figures[row, ERROR], known[row] = error[i], record[i]
