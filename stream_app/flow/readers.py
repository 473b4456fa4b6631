"""Many raw records → a `Table` of their cells at once, and a mark at each record that could not be read this way."""

import csv
import math
import operator
import re
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
from pyarrow import compute

from stream_app.flow.cells import MISSING_WORDS, BadCell
from stream_app.flow.columns import Table
from stream_app.messages import Bools, Floats

_FEW = 32  # records: below, one by one is faster than the fixed cost of Arrow's CSV reader (about .5 ms)
_UNIT_SEPARATOR = "\x1f"  # between cells that have lost their quotes
_ESCAPED = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')  # names that msgspec cannot give to a member
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


class Reader(Protocol):
    """Raw records → their cells, and which records it could not read."""

    def __call__(self, raw: list[bytes]) -> tuple[Table, Bools]: ...


class JsonReader:
    """Cells of JSON objects; a number column takes numbers, booleans and null, any other each scalar."""

    def __init__(self, numeric: set[str], textual: set[str]) -> None:
        names = sorted(name for name in numeric | textual if not _ESCAPED.search(name))
        self._readable = len(names) == len(numeric | textual)
        scalar = str | int | float | bool | None
        types: list[Any] = [scalar if name in textual else float | bool | None for name in names]
        self._getters = {name: operator.attrgetter(f"c{i}") for i, name in enumerate(names)}
        self._only_numbers = numeric - textual
        self._record = msgspec.defstruct(
            "Record",
            [(f"c{i}", kind, None) for i, kind in enumerate(types)],
            rename={f"c{i}": name for i, name in enumerate(names)}.get,
            gc=False,
        )
        self._decode = msgspec.json.Decoder(self._record).decode

    def __call__(self, raw: list[bytes]) -> tuple[Table, Bools]:
        doubtful = np.full(len(raw), not self._readable)
        try:
            records = list(map(self._decode, raw))
        except _NOT_JSON:
            records = [self._one(record, row, doubtful) for row, record in enumerate(raw)]
        cells: dict[str, list[Any] | Floats] = {}
        for name, getter in self._getters.items():
            column = map(getter, records)
            cells[name] = _floats(list(column)) if name in self._only_numbers else list(column)
        return Table(len(raw), cells), doubtful

    def _one(self, record: bytes, row: int, doubtful: Bools) -> Any:
        try:
            return self._decode(record)
        except _NOT_JSON:
            doubtful[row] = True
            return self._record()


_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class CsvReader:
    """Cells of CSV records by Arrow, which sees no quotes: records that have some lose them to `csv.reader` first.

    A block that is not plain throughout is read again with care, without the records that are not plain.
    """

    def __init__(self, numeric: set[str], textual: set[str], header: tuple[str, ...], delimiter: str) -> None:
        self._delimiter = delimiter
        self._width = len(header)
        self._only_numbers = numeric - textual
        self._places = {name: str(header.index(name)) for name in sorted(numeric | textual) if name in header}
        numbers = {self._places[name] for name in self._only_numbers if name in self._places}
        self._as_numbers = self._options({place: pa.float64() for place in numbers})
        self._as_texts = self._options({})

    def _options(self, types: dict[str, pa.DataType]) -> pa.csv.ConvertOptions:
        return pa.csv.ConvertOptions(
            column_types={place: types.get(place, pa.string()) for place in self._places.values()},
            include_columns=list(self._places.values()),
            null_values=list(MISSING_WORDS),
            strings_can_be_null=False,
        )

    def __call__(self, raw: list[bytes]) -> tuple[Table, Bools]:
        nothing = Table(len(raw), {}), np.ones(len(raw), dtype=np.bool_)
        if not self._places or len(raw) < _FEW:
            return nothing
        try:
            return self._read(raw), ~nothing[1]
        except _NOT_PLAIN:
            pass
        try:
            return self._read_with_care(raw)
        except _NOT_PLAIN:
            return nothing

    def _read(self, raw: list[bytes]) -> Table:
        block = b"\n".join([*raw, b""])
        delimiter = self._delimiter
        if '"' in block.decode():
            block, delimiter = self._without_quotes(raw), _UNIT_SEPARATOR
        table = self._parse(block, len(raw), delimiter, self._as_numbers)
        cells = {name: self._column(name, table[place]) for name, place in self._places.items()}
        return Table(len(raw), cells)

    def _column(self, name: str, column: pa.ChunkedArray) -> list[Any] | Floats:
        return _floats_of(column.chunk(0)) if name in self._only_numbers else _texts_of(column)

    def _without_quotes(self, raw: list[bytes]) -> bytes:
        lines = [record.decode() for record in raw]
        rows = [_UNIT_SEPARATOR.join(row) for row in csv.reader(lines, delimiter=self._delimiter, strict=True)]
        # an open quote would take the next record in: then there are fewer rows than records
        if len(rows) != len(raw) or any(_UNIT_SEPARATOR in line for line in lines):
            raise ValueError("not one row per record")
        return "\n".join([*rows, ""]).encode()

    def _read_with_care(self, raw: list[bytes]) -> tuple[Table, Bools]:
        lines = [self._plain(record) for record in raw]
        doubtful = np.array([line is None for line in lines])
        block = "\n".join([*(line for line in lines if line is not None), ""]).encode()
        good = np.flatnonzero(~doubtful)
        table = self._parse(block, len(good), _UNIT_SEPARATOR, self._as_texts)
        cells: dict[str, list[Any] | Floats] = {}
        for name, place in self._places.items():
            if name in self._only_numbers:
                numbers = cells[name] = np.full(len(raw), math.nan)
                numbers[good] = _floats_of_texts(table[place].chunk(0))
            else:
                texts = np.full(len(raw), None, dtype=object)
                texts[good] = _texts_of(table[place])
                cells[name] = texts.tolist()
        return Table(len(raw), cells), doubtful

    def _plain(self, record: bytes) -> str | None:
        """Rejoin the cells of a record without quotes; None if it has other cells than the header or odd ones."""
        try:
            cells = split(record.decode(), self._delimiter)
        except (BadCell, UnicodeDecodeError):
            return None
        line = _UNIT_SEPARATOR.join(cells)
        plain = line.count(_UNIT_SEPARATOR) == self._width - 1 and "\n" not in line and "\r" not in line
        return line if plain and len(cells) == self._width else None

    def _parse(self, block: bytes, n: int, delimiter: str, convert: pa.csv.ConvertOptions) -> pa.Table:
        if b"\r" in block or block.count(b"\n") != n:
            raise ValueError("a line end within a record")
        names = [str(place) for place in range(self._width)]
        table = pa.csv.read_csv(
            pa.BufferReader(block),
            read_options=pa.csv.ReadOptions(column_names=names, block_size=len(block) + 1, use_threads=False),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
            convert_options=convert,
        )
        if table.num_rows != n or n == 0:
            raise ValueError("records were lost")
        return table.combine_chunks()


_NOT_PLAIN = (ValueError, OverflowError, csv.Error, pa.ArrowException)


def split(record: str, delimiter: str) -> list[str]:
    """Take one CSV record apart, quotes taken off; a record that breaks the rules of quoting is a BadCell."""
    record = record.rstrip("\r\n")
    if '"' not in record:
        return record.split(delimiter)
    try:
        return next(csv.reader([record], delimiter=delimiter, strict=True))
    except csv.Error as error:
        reason = "a quote is not closed" if "end of data" in str(error) else str(error)
        raise BadCell(f"not CSV: {reason}") from None


def _floats(cells: list[Any]) -> Floats:
    return np.array(cells, dtype=np.float64)  # None becomes NaN, True 1


def _texts_of(column: pa.ChunkedArray) -> list[Any]:
    texts: list[Any] = column.chunk(0).to_numpy(zero_copy_only=False).tolist()
    return texts


def _floats_of(column: pa.Array) -> Floats:
    values: Floats = column.to_numpy(zero_copy_only=False)
    if np.count_nonzero(np.isnan(values)) == column.null_count:
        return values
    odd = np.isnan(values) & column.is_valid().to_numpy(zero_copy_only=False)  # such as "-nan": not a missing word
    return np.where(odd, math.inf, values)


def _floats_of_texts(column: pa.Array) -> Floats:
    """Numbers, NaN where one of the words for missing stands, infinite where anything else does."""
    trimmed = compute.utf8_trim(column, " \t")
    is_number = compute.match_substring_regex(trimmed, _NUMBER)
    values: Floats = compute.if_else(is_number, trimmed, None).cast(pa.float64()).to_numpy(zero_copy_only=False)
    is_word = compute.is_in(trimmed, pa.array(MISSING_WORDS))
    odd = compute.invert(compute.or_(is_number, is_word)).to_numpy(zero_copy_only=False)
    return np.where(odd, math.inf, values)
