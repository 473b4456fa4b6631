"""Columns of cells → columns of numbers, texts and times, for what is plainly good; the rest is marked `doubtful`.

This only short-cuts the rules of `cells`: it may doubt any record, but must not answer otherwise than those would.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from types import NoneType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stream_app.config import Field
from stream_app.flow.cells import TIME_MS_MAX, TIME_MS_MIN, BadCell, number, text, time_ms
from stream_app.messages import NO_TIME, Bools, Floats, Ints
from stream_app.texts import Coded, Texts

T = TypeVar("T")
Rename = Callable[[str | None], str | None]
Cells = Any  # list[Any] | Floats | pa.StringArray; Arrow has no types


class Table:
    """Cells by column name, an absent column is missing: texts as Arrow arrays, else lists of JSON scalars.

    Columns where only numbers are wanted are float arrays, or the columns of `matrix` in the order of `names`.
    """

    def __init__(
        self, n: int, cells: dict[str, Cells], names: Sequence[str] = (), matrix: Floats | None = None
    ) -> None:
        self._n = n
        self._cells = cells
        self._names, self._matrix = list(names), matrix
        if matrix is not None:
            self._cells |= {name: matrix[:, place] for place, name in enumerate(names)}

    def matrix(self, names: list[str]) -> Floats:
        """Answer number columns side by side [n, names], missing = NaN, infinite where doubtful; may be written to."""
        if self._matrix is not None and names == self._names:
            return self._matrix
        numbers = np.empty((self._n, len(names)))
        for place, name in enumerate(names):
            numbers[:, place] = self.numbers(name)
        return numbers

    def numbers(self, name: str) -> Floats:
        """Answer a number column, missing = NaN, infinite where doubtful."""
        cells = self._cells.get(name)
        if cells is None:
            return np.full(self._n, math.nan)
        if isinstance(cells, np.ndarray):
            return cells
        doubtful = np.zeros(self._n, dtype=np.bool_)
        return np.array(_each(number, self._list(name), math.inf, doubtful), dtype=np.float64)

    def texts(self, name: str, doubtful: Bools) -> list[str | None]:
        """Answer a text column, missing = None."""
        cells = self._list(name)
        kinds = set(map(type, cells))
        if kinds <= {str, NoneType}:
            return [cell or None for cell in cells] if "" in cells else cells
        if kinds == {int}:
            return list(map(str, cells))
        return _each(text, cells, None, doubtful)

    def ids(self, name: str, doubtful: Bools) -> Texts:
        """Answer a text column, doubting those that are missing."""
        cells = self._cells.get(name)
        if isinstance(cells, pa.Array):
            texts = texts_of(cells)
            doubtful |= texts.starts == texts.ends
            return texts
        values = self.texts(name, doubtful)
        if None in values:
            _doubt(values, {None}, doubtful)
        return Texts.of(value or "" for value in values)

    def renamed(self, name: str, rename: Rename, doubtful: Bools) -> Coded:
        """Answer a text column, each distinct text renamed once, doubting those that have no name."""
        cells = self._cells.get(name)
        if not isinstance(cells, pa.Array):
            return Coded.of(_renamed(self.texts(name, doubtful), rename, doubtful))
        encoded = cells.dictionary_encode()
        wrong = np.zeros(len(encoded.dictionary), dtype=np.bool_)
        names = _each(lambda cell: rename(cell or None), encoded.dictionary.to_pylist(), None, wrong)
        codes = values(encoded.indices, np.int32)
        doubtful |= wrong[codes]
        distinct = Coded.of(names)
        return Coded(distinct.names, distinct.codes[codes])

    def times(self, name: str, doubtful: Bools) -> Ints:
        """Answer a time column in epoch milliseconds, missing = NO_TIME."""
        cells = self._cells.get(name)
        if cells is None:
            return np.full(self._n, NO_TIME)
        kinds = {str} if isinstance(cells, pa.Array) else set(map(type, cells))
        times: Ints | None = None
        if kinds == {int}:
            times = _times_of_ints(cells)
            doubtful |= times == NO_TIME
        elif kinds <= {str, NoneType}:
            times = _times_of_texts(cells if isinstance(cells, pa.Array) else texts(cells))
        if times is None:
            times = np.array(_each(time_ms, self._list(name), NO_TIME, doubtful), dtype=np.int64)
        doubtful |= ((times < TIME_MS_MIN) | (times > TIME_MS_MAX)) & (times != NO_TIME)
        return times

    def _list(self, name: str) -> list[Any]:
        cells = self._cells.get(name)
        if cells is None:
            return [None] * self._n
        return cells.to_pylist() if isinstance(cells, pa.Array) else list(cells)


class Bounds:
    """What the schema demands of all number fields, by one look at their matrix."""

    def __init__(self, fields: list[Field]) -> None:
        self._required = np.array([field.required for field in fields], dtype=np.bool_)
        self._min = np.array([-math.inf if field.min is None else field.min for field in fields])
        self._max = np.array([math.inf if field.max is None else field.max for field in fields])
        self._bounded = any(field.min is not None or field.max is not None for field in fields)

    def broken(self, numbers: Floats) -> Bools:
        """Rows in which some number is infinite, missing though required, or out of its bounds."""
        if np.isfinite(numbers).all() and self._hold(numbers):
            return np.zeros(len(numbers), dtype=np.bool_)
        missing = np.isnan(numbers) & self._required
        wrong = [np.isinf(numbers), missing, numbers < self._min, numbers > self._max]
        rows: Bools = np.logical_or.reduce(wrong).any(axis=1)
        return rows

    def _hold(self, numbers: Floats) -> bool:
        if not self._bounded:
            return True
        return bool(((numbers >= self._min) & (numbers <= self._max)).all())


def _renamed(values: list[str | None], rename: Rename, doubtful: Bools) -> list[str | None]:
    names: dict[str | None, str | None] = {}
    wrong: set[str | None] = set()
    for value in set(values):
        try:
            names[value] = rename(value)
        except BadCell:
            wrong.add(value)
    _doubt(values, wrong, doubtful)
    return list(map(names.get, values))


def _doubt(values: list[str | None], wrong: set[str | None], doubtful: Bools) -> None:
    if wrong:
        doubtful |= np.fromiter((value in wrong for value in values), dtype=np.bool_, count=len(values))


def _each(rule: Callable[[Any], T], cells: Iterable[Any], blank: T, doubtful: Bools) -> list[T]:
    values = []
    for row, cell in enumerate(cells):
        try:
            values.append(rule(cell))
        except BadCell:
            values.append(blank)
            doubtful[row] = True
    return values


def _times_of_ints(cells: list[int]) -> Ints:
    try:
        return np.array(cells, dtype=np.int64)
    except OverflowError:
        return np.array([cell if abs(cell) <= TIME_MS_MAX else NO_TIME for cell in cells], dtype=np.int64)


# Arrow's columns are made from and read as buffers here: `pa.array`, `pa.scalar` and `to_numpy` import pandas.


def without(cells: pa.StringArray, missing: Bools) -> pa.StringArray:
    """The same texts, but null where they are missing."""
    known = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.StringArray.from_buffers(len(cells), *cells.buffers()[1:], known)


def texts(cells: Sequence[str | None]) -> pa.StringArray:
    """A column of texts, empty where they are missing."""
    ends, text = np.zeros(len(cells) + 1, np.int32), [(cell or "").encode() for cell in cells]
    np.cumsum(np.fromiter(map(len, text), np.int32, len(text)), out=ends[1:])
    return pa.StringArray.from_buffers(len(cells), pa.py_buffer(ends), pa.py_buffer(b"".join(text)))


def texts_of(column: pa.StringArray) -> Texts:
    """The texts of a column without nulls; they share its bytes."""
    ends = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1).astype(np.int64)
    return Texts(np.frombuffer(column.buffers()[2], np.uint8), ends[:-1], ends[1:])


def values(column: pa.Array, dtype: type[Any]) -> NDArray[Any]:
    """The numbers of a column; anything where it is null."""
    return np.frombuffer(column.buffers()[1], dtype, len(column)) if len(column) else np.empty(0, dtype)


def bools(column: pa.BooleanArray) -> Bools:
    """A column of truth values without nulls."""
    bits = np.frombuffer(column.buffers()[1], np.uint8)
    return np.unpackbits(bits, count=len(column), bitorder="little").astype(np.bool_)


def _times_of_texts(cells: pa.StringArray) -> Ints | None:
    """Read times that are all of one form, missing where there is no text; None if they are not."""
    _, ends, data = cells.buffers()
    missing = np.diff(np.frombuffer(ends, np.int32, len(cells) + 1)) == 0
    cells = without(cells, missing)
    if data is not None and data.to_pybytes().isdigit():
        return _cast(cells, pa.int64(), 1, missing)
    without_zone = _cast(cells, pa.timestamp("us"), 1000, missing)
    return _cast(cells, pa.timestamp("us", "UTC"), 1000, missing) if without_zone is None else without_zone


def _cast(cells: pa.StringArray, kind: pa.DataType, per_ms: int, missing: Bools) -> Ints | None:
    try:
        numbers = cells.cast(kind).cast(pa.int64())
    except pa.ArrowException:
        return None
    times: Ints = values(numbers, np.int64) // per_ms
    times[missing] = NO_TIME
    return times
