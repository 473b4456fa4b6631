"""Many raw records → a `Table` of their cells at once, and a mark at each record that could not be read this way."""

import csv
import math
import operator
import re
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray
from pyarrow import compute

from stream_app.flow.cells import MISSING_WORDS, BadCell, number
from stream_app.flow.columns import Table, bools, texts, values, without
from stream_app.flow.digits import EXACT, TENS, decimal
from stream_app.flow.members import MAX_DEPTH, SKIP, Names, members, openings
from stream_app.messages import Bools, Floats, Ints
from stream_app.texts import Pieces

Bytes = NDArray[np.uint8]
Places = NDArray[np.int32]

_WORDS = texts(MISSING_WORDS)
_PAUSE = 64  # blocks that are not tried when one was not plain
_BEYOND_ASCII = 128
_ODD = 0.02  # share of the records of a block that may be odd: each costs as much as twenty others
_FEW = 12  # records: below, one by one is faster than the fixed cost of the columns (about .1 ms)
_UNIT_SEPARATOR = "\x1f"  # between cells that have lost their quotes
_ESCAPED = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')  # names that msgspec cannot give to a member


class Reader(Protocol):
    """Raw records → their cells, and which records it could not read."""

    def __call__(self, raw: Pieces) -> tuple[Table, Bools]: ...


class JsonReader:
    """Cells of JSON objects; a number column takes numbers, booleans and null, any other each scalar.

    Many plain objects are read by one compiled pass. A block that is not plain is read object by object, as the next
    ones then are: they will look like it.
    """

    def __init__(self, numeric: list[str], textual: set[str]) -> None:
        names = sorted(name for name in {*numeric} | textual if not _ESCAPED.search(name))
        self._readable = len(names) == len({*numeric} | textual)
        scalar = str | int | float | bool | None
        types: list[Any] = [scalar if name in textual else float | bool | None for name in names]
        self._getters = {name: operator.attrgetter(f"c{i}") for i, name in enumerate(names)}
        self._only_numbers = {*numeric} - textual
        self._record = msgspec.defstruct(
            "Record",
            [(f"c{i}", kind, None) for i, kind in enumerate(types)],
            rename={f"c{i}": name for i, name in enumerate(names)}.get,
            gc=False,
        )
        self._decode = msgspec.json.Decoder(self._record).decode
        readable = self._only_numbers & {*names}
        self._numbers = [name for name in dict.fromkeys(numeric) if name in readable]
        self._texts = [name for name in names if name in textual]
        self._names = Names.of(self._numbers + self._texts)
        self._kinds = np.r_[np.arange(len(self._numbers)), -1 - np.arange(len(self._texts))]
        self._waits = 0  # blocks until plain ones are looked for again

    def __call__(self, raw: Pieces) -> tuple[Table, Bools]:
        doubtful = np.full(len(raw), not self._readable)
        if self._waits == 0 and len(raw) >= _FEW and self._readable:
            try:
                return self._read(raw, doubtful), doubtful
            except ValueError:
                doubtful[:] = False
                self._waits = _PAUSE
        self._waits = max(0, self._waits - 1)
        if (raw.ends - raw.starts).max(initial=0) > MAX_DEPTH:  # how deep a parser gets depends on who calls it
            doubtful |= openings(raw.data, raw.starts, raw.ends) > MAX_DEPTH
        given = raw.tolist()
        if not b"".join(given).isascii():  # msgspec looks at no text that nobody wants
            doubtful |= np.array([not _is_text(record) for record in given])
        try:
            records = list(map(self._decode, given))
        except _NOT_JSON:
            records = [self._one(record, row, doubtful) for row, record in enumerate(given)]
        cells: dict[str, list[Any] | Floats] = {}
        for name, getter in self._getters.items():
            column = map(getter, records)
            cells[name] = _floats(list(column)) if name in self._only_numbers else list(column)
        return Table(len(raw), cells), doubtful

    def _read(self, raw: Pieces, doubtful: Bools) -> Table:
        """ValueError if the block is not plain."""
        content = raw.block()
        if content.max() >= _BEYOND_ASCII:
            content.tobytes().decode()  # an error here is a ValueError
        if len(content) >= 1 << 31:
            raise ValueError("too long for 32-bit places")
        numbers = np.empty((len(raw), len(self._numbers)))
        hard = np.empty((3, numbers.size), dtype=np.int32)
        texts = np.zeros((len(self._texts), 2, len(raw)), dtype=np.int32)
        found = members(content, self._names, self._kinds, numbers, hard, texts, doubtful)
        if found < 0 or doubtful.mean() > _ODD:
            raise ValueError("not plain")
        return _table(content, (self._numbers, self._texts), numbers, hard[:, :found], texts)

    def _one(self, record: bytes, row: int, doubtful: Bools) -> Any:
        try:
            return self._decode(record)
        except _NOT_JSON:
            doubtful[row] = True
            return self._record()


_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _is_text(record: bytes) -> bool:
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True


class CsvReader:
    """Cells of CSV records by compiled passes that see no quotes: records with some lose them to `csv.reader` first.

    A block that is not plain throughout is read again with care, record by record, up to the cells.
    """

    def __init__(self, numeric: list[str], textual: set[str], header: tuple[str, ...], delimiter: str) -> None:
        self._delimiter = delimiter
        self._direct = delimiter.isascii() and delimiter not in "0123456789+-.eE"  # else it might end within a number
        self._numbers = [name for name in dict.fromkeys(numeric) if name in header and name not in textual]
        self._texts = [name for name in sorted(textual) if name in header]
        self._kinds = np.full(len(header), SKIP, dtype=np.int64)
        self._kinds[[header.index(name) for name in self._numbers]] = np.arange(len(self._numbers))
        self._kinds[[header.index(name) for name in self._texts]] = -1 - np.arange(len(self._texts))

    def __call__(self, raw: Pieces) -> tuple[Table, Bools]:
        doubtful = np.zeros(len(raw), dtype=np.bool_)
        if (self._numbers or self._texts) and len(raw) >= _FEW:
            try:
                return self._read(raw, doubtful), doubtful
            except _NOT_PLAIN:
                doubtful[:] = False
            try:
                return self._read_with_care(raw, doubtful), doubtful
            except _NOT_PLAIN:
                pass
        doubtful[:] = True
        return Table(len(raw), {}), doubtful

    def _read(self, raw: Pieces, doubtful: Bools) -> Table:
        block = raw.lines()
        if not self._direct or b"\r" in block:
            raise ValueError("not to be cut as it is")
        if not block.isascii():
            block.decode()  # an error here is a ValueError
        if b'"' in block:
            return self._cut(self._without_quotes(raw), _UNIT_SEPARATOR, doubtful)
        return self._cut(block, self._delimiter, doubtful)

    def _without_quotes(self, raw: Pieces) -> bytes:
        lines = [record.decode() for record in raw]
        rows = [_UNIT_SEPARATOR.join(row) for row in csv.reader(lines, delimiter=self._delimiter, strict=True)]
        # an open quote would take the next record in: then there are fewer rows than records
        if len(rows) != len(raw) or any(_UNIT_SEPARATOR in line for line in lines):
            raise ValueError("not one row per record")
        return "\n".join([*rows, ""]).encode()

    def _read_with_care(self, raw: Pieces, doubtful: Bools) -> Table:
        lines = [self._plain(record) for record in raw]
        table = self._cut("\n".join([*(line or "" for line in lines), ""]).encode(), _UNIT_SEPARATOR, doubtful)
        doubtful |= np.array([line is None for line in lines])
        return table

    def _plain(self, record: bytes) -> str | None:
        """Rejoin the cells of a record without quotes; None if there are other cells than the header or odd ones."""
        try:
            cells = split(record.decode(), self._delimiter)
        except (BadCell, UnicodeDecodeError):
            return None
        line = _UNIT_SEPARATOR.join(cells)
        plain = line.count(_UNIT_SEPARATOR) == len(self._kinds) - 1 and "\n" not in line
        return line if plain and len(cells) == len(self._kinds) else None

    def _cut(self, block: bytes, delimiter: str, doubtful: Bools) -> Table:
        """Cut a block of lines into cells, doubting those with too few or too many."""
        n = len(doubtful)
        if len(block) >= 1 << 31:
            raise ValueError("too long for 32-bit places")
        content = np.frombuffer(block, dtype=np.uint8)
        numbers = np.empty((n, len(self._numbers)))
        hard = np.empty((3, numbers.size), dtype=np.int32)
        texts = np.zeros((len(self._texts), 2, n), dtype=np.int32)
        found = _cells(content, ord(delimiter), self._kinds, numbers, hard, texts, doubtful)
        if found < 0:
            raise ValueError("a line end within a record")
        return _table(content, (self._numbers, self._texts), numbers, hard[:, :found], texts)


_NOT_PLAIN = (ValueError, csv.Error)


def split(record: str, delimiter: str) -> list[str]:
    """Take one CSV record apart, quotes taken off; a record that breaks the rules of quoting is a BadCell."""
    record = record.rstrip("\r\n")
    if '"' not in record:
        return record.split(delimiter)
    try:
        return next(csv.reader([record], delimiter=delimiter, strict=True))
    except csv.Error as error:
        reason = "a quote is not closed" if "end of data" in str(error) else str(error)
        raise BadCell(f"not CSV: {reason}", "schema") from None


_NEWLINE, _SPACE, _TAB, _PLUS, _MINUS, _POINT, _ZERO, _NINE = b"\n \t+-.09"


@njit(cache=True, nogil=True)
def _cells(
    block: Bytes, delimiter: int, kinds: Ints, numbers: Floats, hard: Places, texts: Places, doubtful: Bools
) -> int:
    """Cut lines into cells: numbers are read, of texts the places are kept, as of the numbers that are not easy.

    Answers how many of these there are: `hard` holds where in `numbers` each belongs, its start and its end. -1: there
    are not as many lines as `doubtful` has rows.
    """
    at = found = 0
    for row in range(len(doubtful)):
        if at >= len(block):
            return -1
        numbers[row] = math.nan
        cell = 0
        while True:
            start, easy, value = at, False, math.nan
            kind = kinds[cell] if cell < len(kinds) else SKIP
            if kind >= 0:
                at, easy, value = _number(block, at, delimiter)
            while block[at] != delimiter and block[at] != _NEWLINE:
                easy = False
                at += 1
            if kind >= 0 and easy:
                numbers[row, kind] = value
            elif kind >= 0 and at > start:
                hard[0, found], hard[1, found], hard[2, found] = row * numbers.shape[1] + kind, start, at
                found += 1
            elif kind > SKIP and kind < 0:
                texts[-1 - kind, 0, row], texts[-1 - kind, 1, row] = start, at
            cell += 1
            at += 1
            if block[at - 1] == _NEWLINE:
                break
        if cell != len(kinds):
            doubtful[row] = True
    return found if at == len(block) else -1


@njit(cache=True, nogil=True)
def _number(block: Bytes, at: int, delimiter: int) -> tuple[int, bool, float]:
    """Read one number: where it ends, whether it is easy, and if so its value.

    Easy is [+-]digits[.digits] that `decimal` takes.
    """
    while (block[at] == _SPACE or block[at] == _TAB) and block[at] != delimiter:
        at += 1
    negative = block[at] == _MINUS
    if negative or block[at] == _PLUS:
        at += 1
    start, digits, decimals = at, 0, 0
    while _ZERO <= block[at] <= _NINE and digits <= EXACT:
        digits = 10 * digits + (int(block[at]) - _ZERO)
        at += 1
    count = at - start
    if block[at] == _POINT:
        at += 1
        start = at
        while _ZERO <= block[at] <= _NINE and digits <= EXACT:
            digits = 10 * digits + (int(block[at]) - _ZERO)
            at += 1
        decimals = at - start
    while (block[at] == _SPACE or block[at] == _TAB) and block[at] != delimiter:
        at += 1
    easy = count + decimals > 0 and digits <= EXACT and decimals < len(TENS)
    value = decimal(digits, decimals) if easy else math.nan
    return at, easy, -value if negative else value


@njit(cache=True, nogil=True)
def _copied(block: Bytes, places: Places, ends: Places, copy: Bytes) -> None:
    """Copy cells from their places [start or end, cell] one after the other to `copy`."""
    for i in range(len(ends) - 1):
        shift = ends[i] - places[0, i]
        for at in range(places[0, i], places[1, i]):
            copy[at + shift] = block[at]


def _table(
    block: Bytes, names: tuple[list[str], list[str]], numbers: Floats, hard: Places, texts: NDArray[np.int32]
) -> Table:
    """The cells of a block, once it is known where in it each stands."""
    if hard.shape[1]:
        numbers.ravel()[hard[0]] = _floats_of_texts(_gathered(block, hard[1:]))
    columns = {name: _gathered(block, places) for name, places in zip(names[1], texts, strict=True)}
    return Table(len(numbers), columns, names[0], numbers)


def _gathered(block: Bytes, places: Places) -> pa.StringArray:
    ends = np.zeros(places.shape[1] + 1, dtype=np.int32)
    np.cumsum(places[1] - places[0], out=ends[1:])
    copy = np.empty(ends[-1], dtype=np.uint8)
    _copied(block, np.ascontiguousarray(places), ends, copy)
    return pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(copy))


def _floats_of_texts(cells: pa.StringArray) -> Floats:
    """Numbers, NaN where one of the words for missing stands, infinite where anything else does."""
    try:
        is_word = bools(compute.is_in(cells, _WORDS))
        floats = values(without(cells, is_word).cast(pa.float64()), np.float64).copy()
        floats[is_word] = np.nan
        odd = bool((~np.isfinite(floats)).sum() > is_word.sum())  # such as "-nan"
    except pa.ArrowException:
        odd = True
    return _floats_of_each(cells) if odd else floats


def _floats_of_each(cells: pa.StringArray) -> Floats:
    encoded = cells.dictionary_encode()
    numbers = []
    for cell in encoded.dictionary.to_pylist():
        try:
            numbers.append(number(cell))
        except BadCell:
            numbers.append(math.inf)
    floats: Floats = np.array(numbers)[values(encoded.indices, np.int32)]
    return floats


def _floats(cells: list[Any]) -> Floats:
    return np.array(cells, dtype=np.float64)  # None becomes NaN, True 1
