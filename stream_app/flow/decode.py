"""Decode: bytes → typed columns checked against the schema; the first half of validate, record by record.

1. What becomes of a record depends on that record alone, never on what else is in the call.
2. No bytes raise: a record that cannot be used keeps its raw bytes and gets a `Problem` (reason and path).
3. `_judge`, one record at a time, is the definition. Columns are the short cut: they settle the records that are
   plainly good and leave every other to `_judge`, so both must agree on each good record.
"""

import json
import math
import re
from functools import partial
from typing import Any, Literal

import numpy as np

from stream_app.config import Config, Field
from stream_app.flow import columns, readers
from stream_app.flow.cells import BadCell, ClassNames, OutOfRange, number, quoted, text, time_ms
from stream_app.flow.members import MAX_DEPTH
from stream_app.messages import NO_TIME, Bools, Floats, Ints, Problem, Rows
from stream_app.texts import Coded, Pieces, Texts

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
MAX_RECORD_BYTES = 16 * 1024 * 1024  # as in config.Source: longer than any sane event, short enough to hold a few


class Decoder:
    """Records of one input stream → `Rows`.

    `header` holds the column names of CSV; None: each record is a JSON object, of which only members that the schema
    names are read. Stateless. Cost for 10 columns: .5 µs a record of CSV or plain JSON by columns, 2 µs of other JSON,
    10 µs by `_judge`.

    >>> from stream_app.config import Schema
    >>> config = Config(name="x", schema=Schema(id="id", fields={"miles": Field(type="number", min=0)}))
    >>> rows = Decoder(config, "events", None)(0, [b'{"id": "a", "miles": 7}', b'{"id": "b", "miles": -3}'])
    >>> rows.id[0], rows.numbers[0].tolist(), rows.problems
    ('a', [7.0], {1: Problem(reason='below the minimum 0: -3', path='$.miles', kind='range')})
    """

    def __init__(
        self,
        config: Config,
        stream: Literal["events", "labels"],
        header: tuple[str, ...] | None,
        delimiter: str = ",",
    ) -> None:
        schema = config.schema
        events = stream == "events"
        fields = schema.fields if events else {}
        self._numbers = {name: field for name, field in fields.items() if field.type == "number"}
        self._categories = {name: field for name, field in fields.items() if field.type == "category"}
        places = {name: place for of in (self._numbers, self._categories) for place, name in enumerate(of)}
        self._fields = {name: (field, places[name]) for name, field in fields.items()}
        self._id = schema.id
        self._time = schema.time if events else schema.label_time or schema.time
        self._key = schema.key if events else None
        self._label = schema.label
        self._label_required = not events
        self._label_time = schema.label_time if events else None
        self._classes = None if config.task.type == "regression" else ClassNames(config.task)
        self._longest = config.source.max_record_bytes if config.source else MAX_RECORD_BYTES
        self._bounds = columns.Bounds(list(self._numbers.values()))
        self._header, self._delimiter = header, delimiter
        numeric, textual = self._columns()
        self._read: readers.Reader = (
            readers.JsonReader(numeric, textual)
            if header is None
            else readers.CsvReader(numeric, textual, header, delimiter)
        )

    def _columns(self) -> tuple[list[str], set[str]]:
        """Columns to be read as numbers, and those to be read as they are because something else needs them."""
        numeric = list(self._numbers)
        textual = {self._id, self._time, self._key, self._label_time} | set(self._categories)
        if self._classes is not None:
            textual.add(self._label)
        elif self._label is not None:
            numeric.append(self._label)
        named = {name for name in textual if name is not None}
        return numeric, named

    def __call__(self, offset: int | Ints, raw: list[bytes] | Pieces) -> Rows:
        """Decode records; `offset` is that of the first, or of each."""
        raw = raw if isinstance(raw, Pieces) else Pieces.of(raw)
        offsets = np.arange(offset, offset + len(raw), dtype=np.int64) if isinstance(offset, int) else offset
        table, doubtful = self._read(raw)
        doubtful |= raw.ends - raw.starts > self._longest
        rows = self._by_columns(offsets, raw, table, doubtful)
        self._judge_each(rows, np.flatnonzero(doubtful).tolist())
        rows.id_hash = rows.id.hashes()
        rows.id_hash[~rows.ok] = 0
        return rows

    def _by_columns(self, offsets: Ints, raw: Pieces, table: columns.Table, doubtful: Bools) -> Rows:
        """Rows of the plainly good records; sets `doubtful` where a record is not."""
        n = len(raw)
        numbers = table.matrix(list(self._numbers))
        doubtful |= self._bounds.broken(numbers)
        categories = [
            table.renamed(name, partial(_checked_text, field=field), doubtful)
            for name, field in self._categories.items()
        ]
        ids = Texts.of_numbers(offsets) if self._id is None else table.ids(self._id, doubtful)
        times = offsets.copy() if self._time is None else table.times(self._time, doubtful)
        doubtful |= times == NO_TIME
        known = np.full(n, NO_TIME) if self._label_time is None else table.times(self._label_time, doubtful)
        return Rows(
            offset=offsets,
            time_ms=times,
            ok=np.ones(n, dtype=np.bool_),
            id=ids,
            id_hash=np.zeros(n, dtype=np.int64),
            numbers=numbers,
            categories=categories,
            key=[] if self._key is None else table.texts(self._key, doubtful),
            label=self._labels(table, n, doubtful),
            label_time_ms=known,
            raw=raw,
        )

    def _labels(self, table: columns.Table, n: int, doubtful: Bools) -> Coded | Floats:
        if self._classes is None:
            labels = (
                np.full(n, math.nan) if self._label is None else table.numbers(self._label).copy()
            )  # it is written to
            doubtful |= np.isinf(labels) | (np.isnan(labels) & self._label_required)
            return labels
        if self._label is None:
            return Coded.none(n)
        names = table.renamed(self._label, self._classes, doubtful)
        doubtful |= (names.codes < 0) & self._label_required
        return names

    def _judge_each(self, rows: Rows, doubtful: list[int]) -> None:
        """Settle these records one by one, on columns that can be written to."""
        if not doubtful:
            return
        named: Any = rows
        named.id, named.categories = rows.id.tolist(), [column.tolist() for column in rows.categories]
        named.label = rows.label.tolist() if isinstance(rows.label, Coded) else rows.label
        for row in doubtful:
            self._judge(named, row)
        rows.id, rows.categories = Texts.of(named.id), [Coded.of(column) for column in named.categories]
        rows.label = Coded.of(named.label) if isinstance(named.label, list) else named.label

    def _judge(self, rows: Any, row: int) -> None:
        """Settle one record: write its values into the row, or its first problem in schema order."""
        where: str | None = None
        try:
            cells = self._cells(rows.raw[row])
            where = self._id
            event_id = str(rows.offset[row]) if where is None else _required(text(cells.get(where)))
            where = self._time
            moment = int(rows.offset[row]) if where is None else _required_time(cells.get(where))
            for where, (field, place) in self._fields.items():
                if field.type == "number":
                    rows.numbers[row, place] = _checked_number(cells.get(where), field)
                else:
                    rows.categories[place][row] = _checked_text(cells.get(where), field)
            where = self._key
            if where is not None:
                rows.key[row] = text(cells.get(where))
            where = self._label
            if where is not None:
                rows.label[row] = self._label_of(cells.get(where))
            where = self._label_time
            known = NO_TIME if where is None else time_ms(cells.get(where))
        except BadCell as bad:
            self._reject(rows, row, Problem(str(bad), "$" if where is None else f"$.{where}", bad.kind))
        else:
            rows.id[row], rows.time_ms[row], rows.label_time_ms[row] = event_id, moment, known

    def _label_of(self, cell: object) -> str | float | None:
        label: str | float | None = number(cell) if self._classes is None else self._classes(text(cell))
        if self._label_required and (label is None or (isinstance(label, float) and math.isnan(label))):
            raise BadCell("missing", "schema")
        return label

    def _reject(self, rows: Any, row: int, problem: Problem) -> None:
        rows.problems[row] = problem
        rows.ok[row] = False
        rows.id[row] = ""
        rows.time_ms[row] = rows.label_time_ms[row] = NO_TIME
        rows.numbers[row] = math.nan
        for column in rows.categories:
            column[row] = None
        if rows.key:
            rows.key[row] = None
        rows.label[row] = math.nan if self._classes is None else None

    def _cells(self, raw: bytes) -> dict[str, Any]:
        """Take one record apart into its cells by column name."""
        if len(raw) > self._longest:
            raise BadCell(f"longer than {self._longest} bytes", "schema")
        try:
            record = raw.decode()
        except UnicodeDecodeError as error:
            at = error.start
            hint = "convert the file from its encoding, latin-1 perhaps"
            raise BadCell(f"not UTF-8 at byte {at} (0x{raw[at]:02x}); {hint}", "schema") from None
        if self._header is None:
            return _json_cells(record)
        cells = readers.split(record, self._delimiter)
        if len(cells) != len(self._header):
            raise BadCell(f"expected {len(self._header)} cells, got {len(cells)}", "schema")
        return dict(zip(self._header, cells, strict=True))


def _json_cells(record: str) -> dict[str, Any]:
    if _depth(record) > MAX_DEPTH:
        raise BadCell(f"not JSON: nested more than {MAX_DEPTH} deep", "schema")
    try:
        document = _LENIENT.decode(record)
    except json.JSONDecodeError as error:
        at = len(record[: error.pos].encode())
        raise BadCell(f"not JSON: {error.msg} at byte {at}", "schema") from None
    if not isinstance(document, dict):
        raise BadCell(f"not an object: {quoted(document)}", "schema")
    return document


def _depth(record: str) -> int:
    """How deeply arrays and objects are nested at most; those in strings do not count."""
    if record.count("[") + record.count("{") <= MAX_DEPTH:
        return 0
    signs = np.frombuffer(_STRING.sub("", record).encode(errors="replace"), np.uint8)
    opened = np.isin(signs, np.frombuffer(b"[{", np.uint8)).astype(np.int64)
    closed = np.isin(signs, np.frombuffer(b"]}", np.uint8))
    return int(np.cumsum(opened - closed).max(initial=0))


def _float(literal: str) -> float | OutOfRange:
    value = float(literal)
    return OutOfRange(literal) if math.isinf(value) else value


def _int(literal: str) -> int | OutOfRange:
    return int(literal) if len(literal) <= 4300 else OutOfRange(literal)  # Python refuses longer ones


_LENIENT = json.JSONDecoder(parse_float=_float, parse_int=_int, strict=False)


def _required(cell: str | None) -> str:
    if cell is None:
        raise BadCell("missing", "schema")
    return cell


def _required_time(cell: object) -> int:
    moment = time_ms(cell)
    if moment == NO_TIME:
        raise BadCell("missing", "schema")
    return moment


def _checked_number(cell: object, field: Field) -> float:
    value = number(cell)
    if math.isnan(value):
        if field.required:
            raise BadCell("missing", "schema")
    elif field.min is not None and value < field.min:
        raise BadCell(f"below the minimum {quoted(field.min)}: {quoted(value)}", "range")
    elif field.max is not None and value > field.max:
        raise BadCell(f"above the maximum {quoted(field.max)}: {quoted(value)}", "range")
    return value


def _checked_text(cell: object, field: Field) -> str | None:
    value = text(cell)
    if value is None:
        if field.required:
            raise BadCell("missing", "schema")
    elif field.values is not None and value not in field.values:
        raise BadCell(f"not one of the {len(field.values)} allowed values: {quoted(value)}", "schema")
    return value
