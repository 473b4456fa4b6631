"""A bounded sample of the events: the newest whole, older ones ever thinner; what an alert compares to tell its cause.

Of the events whose age (in events) lies between SHARE 2^(k-1) and SHARE 2^k every 2^k-th is kept, so that each octave
of the past has about as many; what is older than OCTAVES octaves is not kept. Rows are dropped only at the start of the
chunk behind a line of the metrics grid: what an alarm at record r sees, the rows up to r, does not depend on the cut.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_app.config import Config
from stream_app.evidence.table import Table
from stream_app.flow.chunk import Chunk
from stream_app.flow.join import Kept
from stream_app.flow.score import Score
from stream_app.flow.validate import Validate
from stream_app.messages import Bools, Floats, Ints
from stream_app.texts import Texts, TextStore

SHARE = 1024  # newest events that are all there; a quarter where a row is wide
OCTAVES = 8  # the oldest row is SHARE · 2^8 events old
WIDE = 32  # columns from which a sample has fewer rows, so that it does not outgrow the rest of the state
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
    """Rows in order of their records; state: all of them."""

    def __init__(self, config: Config, validate: Validate, score: Score, kept: Kept) -> None:
        self.kinds = Kinds.of(config, validate)
        width = len(self.kinds.names)
        self.share = SHARE if width <= WIDE else SHARE // 4
        self.score, self.kept = score, kept
        self.n, self.due = 0, False  # events ever taken; whether rows are to be dropped before the next chunk
        self.used = 0
        self.rows: dict[str, Any] = {
            **{name: np.empty(0, np.int64) for name in ("number", "record", "offset", "time_ms", "known")},
            "figures": np.empty((0, 3)),
            "id": TextStore(),
        }
        self.x = [np.empty((0, width))]  # the columns of the same rows: those of each chunk as they came

    def __getitem__(self, name: str) -> Any:
        return self.rows[name][: self.used]

    @property
    def columns(self) -> Floats:
        """[rows, columns] of all."""
        if len(self.x) > 1:
            self.x = [np.concatenate(self.x)]
        return self.x[0]

    def run(self, chunk: Chunk) -> None:
        """Takes the chunk's events, and the labels that came to events it holds."""
        if self.due:
            self._thin()
        self._add(chunk)
        self._learn(chunk)
        self.due = chunk.closes

    def _add(self, chunk: Chunk) -> None:
        events, n = chunk.events, len(chunk.events)
        _, score = self.score.decide(chunk.scores[0])
        new = {
            "number": self.n + np.arange(n),
            "record": chunk.op_record[chunk.is_predict],
            "offset": events.offset,
            "time_ms": events.time_ms,
            "known": np.full(n, UNKNOWN),
            "figures": np.column_stack([score, chunk.expected, np.full(n, np.nan)]),
            "id": events.id,
        }
        self._make_room(n)
        for name, values in new.items():
            self.rows[name][self.used : self.used + n] = values
        self.x.append(self._columns_of(chunk))
        self.n, self.used = self.n + n, self.used + n

    def _columns_of(self, chunk: Chunk) -> Floats:
        """Number fields, computed features, categories; a copy only where there are some of the latter."""
        numbers = chunk.events.numbers
        if numbers.shape[1] == self.x[0].shape[1]:
            return numbers
        return np.hstack([numbers, chunk.features, np.where(chunk.codes < 0, np.nan, chunk.codes)])

    def _make_room(self, n: int) -> None:
        size = self.used + n
        if size > len(self.rows["id"]):
            self.rows = {name: _picked(rows, np.arange(self.used), 2 * size) for name, rows in self.rows.items()}

    def _learn(self, chunk: Chunk) -> None:
        offset = self.kept.offset[chunk.slot[chunk.is_learn]]
        if not len(offset) or not self.used:
            return
        at = np.minimum(np.searchsorted(self["offset"], offset), self.used - 1)
        here = self["offset"][at] == offset
        self["figures"][at[here], ERROR] = chunk.error[here]
        self["known"][at[here]] = chunk.op_record[chunk.is_learn][here]

    def _thin(self) -> None:
        octave = _octave(self.n - 1 - self["number"], self.share)
        keep = np.flatnonzero((self["number"] % 2 ** octave.clip(max=OCTAVES) == 0) & (octave <= OCTAVES))
        room = len(self.rows["id"])
        self.rows = {name: _picked(rows, keep, room) for name, rows in self.rows.items()}
        ends = np.cumsum([0, *map(len, self.x)])
        cuts = np.searchsorted(keep, ends)
        parts = zip(self.x, ends.tolist(), cuts.tolist(), cuts[1:].tolist(), strict=False)
        self.x = [np.concatenate([piece[keep[a:b] - first] for piece, first, a, b in parts])]
        self.used = len(keep)

    def until(self, record: int) -> "View":
        """What was known when record number `record` had been handled."""
        return View(self, self._rows(record), record)

    def events(self, record: int) -> int:
        """Events ever, up to the last row known when record number `record` had been handled."""
        rows = self._rows(record)
        return int(self["number"][rows - 1]) + 1 if rows else 0

    def _rows(self, record: int) -> int:
        return int(np.searchsorted(self["record"], record, side="right"))

    def to_state(self) -> dict[str, Any]:
        """All rows; ids as a list."""
        rows = {name: self[name].copy() for name in self.rows}
        return {"n": self.n, "due": self.due, **rows, "x": np.concatenate(self.x), "id": rows["id"].tolist()}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `to_state`."""
        self.n, self.due = state["n"], state["due"]
        self.rows = {name: state[name] for name in self.rows} | {"id": TextStore.of(Texts.of(state["id"]))}
        self.x, self.used = [state["x"]], len(state["id"])


class View:
    """The rows of a sample up to a record, with the labels that had come by then."""

    def __init__(self, sample: Sample, rows: int, record: int) -> None:
        self.kinds, self._share = sample.kinds, sample.share
        self.number, self.offset, self.time_ms = (sample[name][:rows] for name in ("number", "offset", "time_ms"))
        self.x = sample.columns[:rows]
        self._id = sample.rows["id"]  # rows behind these may come, these stay
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


def _picked(rows: Any, keep: Ints, room: int) -> Any:
    """A copy of some rows with room for more behind them; what reads the old ones keeps them."""
    if isinstance(rows, TextStore):
        return TextStore.of(rows[keep], room)
    copy = np.empty((room, *rows.shape[1:]), rows.dtype)
    np.take(rows, keep, axis=0, out=copy[: len(keep)], mode="clip")  # "raise" would copy twice
    return copy


def _octave(age: Ints, share: int) -> Ints:
    """Of events so old each 2^octave-th is kept."""
    octave: Ints = np.ceil(np.log2(np.maximum(age, 1) / share)).clip(0).astype(np.int64)
    return octave
