"""Feed: the events and labels of a configuration's files as a producer would send them, in the order of their times.

1. JSON lines are passed on byte for byte; a row of CSV becomes the JSON object of its cells.
2. What cannot be decoded is passed on too, in a form that no decoder takes: it ends as a dead letter.
3. A label has the key of its event, so that both fall into the same shard.
"""

import itertools
import json
import time
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stream_app.config import Config
from stream_app.edges.records import NOTHING
from stream_app.edges.sources import Source, check_columns, open_source
from stream_app.errors import ConfigError, SourceError
from stream_app.flow.cells import BadCell, text
from stream_app.flow.clock import NOW, START, clock_states, state_of
from stream_app.flow.decode import Decoder
from stream_app.flow.readers import split
from stream_app.messages import EVENT, LABEL, STREAMS, Rows, Tape, to_json
from stream_app.runners.weaver import Weaver
from stream_app.texts import Pieces, Texts

BATCH = 8192  # records decoded at a time
IDLE_S = 0.05  # pause when a pipe has nothing new
MAX_WAIT_S = 1.0  # how long the faster of two streams waits for a pipe in which nothing comes
KEPT = 500_000  # events whose keys are remembered for their labels: as many at least, twice as many at most
WAITING = 500_000  # labels that may wait for their event; then the oldest goes without


class Record(NamedTuple):
    """One record to send."""

    stream: int  # EVENT or LABEL
    time_ms: int  # the stream's clock behind it
    key: bytes | None
    value: bytes
    ok: bool  # it can be decoded


def records(config: Config, limit: int | None = None) -> Iterator[Record]:
    """All that `play` sends, in its order; SourceError behind what came before some damage."""
    feed = Feed(config, limit)
    while (some := feed.next()) is not None:
        yield from some
        if not some:
            time.sleep(IDLE_S)


class Feed:
    """The files of [source] as lists of records; `next` until None. `limit`: only the first so many events.

    ConfigError without [source], SourceError where a file cannot be used.
    """

    def __init__(self, config: Config, limit: int | None = None) -> None:
        source = config.source
        if source is None:
            raise ConfigError(['$.source: missing; what is played comes from [source] events = "FILE"'], config.name)
        paths = [source.events, *([source.labels] if source.labels else [])]
        self.inputs = [Input(config, path, stream) for stream, path in enumerate(paths)]
        self._events = 0  # handed out
        self.keys = Keys(entities=config.schema.key is not None)
        events, labels = Decoder(config, "events", None)(0, []), Decoder(config, "labels", None)(0, [])
        self._weaver = Weaver(events, labels, config.engine.ahead_ms)
        self._ahead_ms, self._clock, self._limit = config.engine.ahead_ms, START, limit
        self._live = any(given.source.name == "standard input" for given in self.inputs)
        self._heard, self._done = time.monotonic(), False

    @property
    def progress(self) -> float | None:
        """The share of the files that was read, None where their end is not known."""
        known = [given.source.progress for given in self.inputs]
        return None if None in known else min(share for share in known if share is not None)

    @property
    def time_ms(self) -> int:
        """The clock behind what was handed out."""
        return self._clock[NOW]

    def next(self) -> list[Record] | None:
        """The next records; an empty list: nothing now, None: no more will come."""
        if self._done:
            for given in self.inputs:
                if given.problem is not None:
                    raise given.problem
            return None
        read = self._read()
        tape, full = self._within_limit(self._pull())
        found = self._records(tape)
        moved = read or bool(len(tape.order))
        self._heard = time.monotonic() if moved else self._heard
        broken = any(given.problem for given in self.inputs)  # what must wait for the damaged part is not sent
        self._done = full or self._ended() or (broken and not moved)
        if self._done and not broken:
            found += self.keys.left_over(self.time_ms)
        return found

    def _read(self) -> bool:
        read = False
        for given in self.inputs:
            if not given.ended and self._weaver.waiting(given.stream) < BATCH:
                rows = given.read()
                if len(rows):
                    self._weaver.push(given.stream, rows)
                    read = True
        return read

    def _pull(self) -> Tape:
        waited = self._live and time.monotonic() - self._heard > MAX_WAIT_S
        events, labels = self.inputs[EVENT], self.inputs[LABEL] if len(self.inputs) > 1 else None
        return self._weaver.pull(
            events_ended=events.source.finished or waited,
            labels_ended=labels is None or labels.source.finished or waited,
        )

    def _within_limit(self, tape: Tape) -> tuple[Tape, bool]:
        """The part before the event that would be one too many, and whether there is such a one."""
        if self._limit is None or len(tape.events) <= self._limit - self._events:
            return tape, False
        return tape[: np.flatnonzero(tape.order == EVENT)[self._limit - self._events]], True

    def _ended(self) -> bool:
        waiting = sum(self._weaver.waiting(given.stream) for given in self.inputs)
        return not waiting and all(given.ended for given in self.inputs)

    def _records(self, tape: Tape) -> list[Record]:
        if not len(tape.order):
            return []
        states = clock_states(self._clock, tape.times(), self._ahead_ms)
        self._clock = state_of(states[-1])
        self._events += len(tape.events)
        keys = tape.events.key or itertools.repeat(None)
        events = zip(tape.events.id, keys, tape.events.raw, tape.events.ok.tolist(), strict=False)
        labels = zip(tape.labels.id, tape.labels.raw, tape.labels.ok.tolist(), strict=True)
        found: list[Record] = []
        for stream, now in zip(tape.order.tolist(), states[:, NOW].tolist(), strict=True):
            if stream == EVENT:
                found += self.keys.event(now, *next(events))
            else:
                found += self.keys.label(now, *next(labels))
        return found


class Input:
    """One file and its decoder; the `raw` of its rows is what is sent, and of a bad row id and key are guessed."""

    def __init__(self, config: Config, path: str, stream: int) -> None:
        assert config.source is not None
        self.stream, name = stream, STREAMS[stream]
        self.source: Source = open_source(path, config.source)
        check_columns(self.source, config, name)
        self._schema, self._longest = config.schema, config.source.max_record_bytes
        header = self.source.header
        self._decode = Decoder(config, name, header, self.source.delimiter)  # type: ignore[arg-type]
        self._numeric = _numeric(config, name) if header is not None else []
        self.problem: SourceError | None = None

    @property
    def ended(self) -> bool:
        return self.source.finished or self.problem is not None

    def read(self) -> Rows:
        """The next records; an error of the source is kept as `problem`."""
        try:
            offset, raw = self.source.read(BATCH)
        except SourceError as error:
            self.problem, offset, raw = error, 0, NOTHING
        rows = self._decode(offset, raw)
        if self.source.header is not None:
            cells = zip(raw, rows.ok.tolist(), rows.numbers.tolist(), strict=True)
            rows.raw = Pieces.of(self._document(*row, self.source.header) for row in cells)
        if rows.problems:
            ids = rows.id.tolist()
            for row in rows.problems:
                self._guess(rows, ids, row)
            rows.id = Texts.of(ids)
        return rows

    def _document(self, raw: bytes, ok: bool, numbers: list[float], header: tuple[str, ...]) -> bytes:
        """The JSON object of a CSV record: without empty cells, numbers as numbers if the record is good."""
        try:
            cells = split(raw.decode(), self.source.delimiter)
        except (BadCell, UnicodeDecodeError):
            cells = []
        if len(cells) != len(header) or len(raw) > self._longest:
            # one that looks like an object must not become one
            return to_json(raw.decode(errors="replace")) if raw.lstrip().startswith(b"{") else raw
        document: dict[str, object] = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
        for name, place in self._numeric if ok else ():
            document.pop(name, None)
            if numbers[place] == numbers[place]:
                document[name] = numbers[place]
        return to_json(document)

    def _guess(self, rows: Rows, ids: list[str], row: int) -> None:
        try:
            document = json.loads(rows.raw[row])
        except (ValueError, RecursionError):
            return
        if isinstance(document, dict):
            ids[row] = _text(document.get(self._schema.id)) or ""
            if rows.key:
                rows.key[row] = _text(document.get(self._schema.key))


def _numeric(config: Config, stream: str) -> list[tuple[str, int]]:
    """Number fields with their place in `Rows.numbers`; not those in which a text is looked for as well."""
    schema = config.schema
    numeric = [name for name, field in schema.fields.items() if field.type == "number"]
    texts = (schema.id, schema.time, schema.key, schema.label, schema.label_time)
    return [(name, place) for place, name in enumerate(numeric) if name not in texts] if stream == "events" else []


def _text(cell: object) -> str | None:
    try:
        return text(cell)
    except BadCell:
        return None


class Keys:
    """Which key a record gets: its entity's, else its event's id; with `entities`, labels wait for their events."""

    def __init__(self, *, entities: bool) -> None:
        self._entities = entities
        self._recent: dict[str, bytes] = {}
        self._older: dict[str, bytes] = {}  # two generations: the older is dropped as a whole
        self._waiting: OrderedDict[str, list[bytes]] = OrderedDict()
        self._count = 0
        self._encoded = lru_cache(1 << 16)(str.encode)  # equal keys share their bytes
        self.unmatched = 0  # labels that went out without their event

    def event(self, time_ms: int, id: str, key: str | None, value: bytes, ok: bool) -> Iterator[Record]:  # noqa: A002
        """The event, and the labels that have waited for it."""
        chosen = self._encoded(key) if key else id.encode()
        yield Record(EVENT, time_ms, chosen or None, value, ok)
        if self._entities and id:
            self._remember(id, chosen)
            for label in self._waiting.pop(id, ()):
                self._count -= 1
                yield Record(LABEL, time_ms, chosen, label, True)

    def label(self, time_ms: int, id: str, value: bytes, ok: bool) -> Iterator[Record]:  # noqa: A002
        """The label, unless it has to wait for its event; then perhaps another, which has waited too long."""
        known = (self._recent.get(id) or self._older.get(id)) if self._entities else id.encode()
        if known or not ok:
            yield Record(LABEL, time_ms, known or id.encode() or None, value, ok)
            return
        self._waiting.setdefault(id, []).append(value)
        self._count += 1
        while self._count > WAITING:
            yield from self._oldest(time_ms)

    def left_over(self, time_ms: int) -> Iterator[Record]:
        """The labels whose event did not come, under the event's id."""
        while self._waiting:
            yield from self._oldest(time_ms)

    def _oldest(self, time_ms: int) -> Iterator[Record]:
        event_id, values = self._waiting.popitem(last=False)
        self._count -= len(values)
        self.unmatched += len(values)
        for value in values:
            yield Record(LABEL, time_ms, event_id.encode(), value, True)

    def _remember(self, event_id: str, key: bytes) -> None:
        if len(self._recent) >= KEPT:
            self._older, self._recent = self._recent, {}
        self._recent[event_id] = key
