"""Columns of texts without an object for each: their bytes one behind the other, and where each one stands.

`Pieces` are raw records and `Texts` decoded texts, columns that do not change; a `TextStore` has places that are
written again and again; `Coded` has few distinct texts. All are read by position, slice, numbers of rows or mask, and
only a single position makes an object.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

_LEAST_BYTES = 1024  # that a store has room for


class Pieces:
    r"""n pieces of bytes; slices and picks share the bytes of the whole.

    >>> records = Pieces.of([b"a,1", b"b,2"])
    >>> records[1], records[:1].tolist(), records.lines()
    (b'b,2', [b'a,1'], b'a,1\nb,2\n')
    """

    __slots__ = ("data", "ends", "starts")
    __hash__ = None  # type: ignore[assignment]
    _GAP = 1  # bytes behind each piece of a column that has bytes of its own: a newline

    def __init__(self, data: Bytes, starts: Ints, ends: Ints) -> None:
        self.data, self.starts, self.ends = data, starts, ends

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        """A column of these."""
        pieces = list(values)
        ends = np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)) + 1)
        return cls(np.frombuffer(b"\n".join([*pieces, b""]), np.uint8), _starts(ends), ends - 1)

    @classmethod
    def joined(cls, parts: Sequence["Pieces"]) -> Self:
        """The columns one behind the other, with bytes of its own."""
        sizes = [part.ends - part.starts + cls._GAP for part in parts]
        ends = np.cumsum(np.concatenate([np.empty(0, np.int64), *sizes]))
        data, at = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8), 0
        for part, size in zip(parts, sizes, strict=True):
            whole = part.in_a_row()
            if whole is None:
                at = _copy(part.data, part.starts, part.ends, data, at, cls._GAP) if size.any() else at
            else:
                data[at : at + len(whole)] = whole
                at += len(whole)
        return cls(data, _starts(ends), ends - cls._GAP)

    def in_a_row(self) -> Bytes | None:
        """The bytes of all pieces as they stand; None where there is more between them than a newline."""
        data, starts, ends = self.data, self.starts, self.ends
        if not self._GAP or not len(self) or ends[-1] >= len(data) or (starts[1:] != ends[:-1] + 1).any():
            return None
        return data[starts[0] : ends[-1] + 1] if (data[ends] == _NEWLINE).all() else None

    def copy(self) -> Self:
        """The same with bytes of its own."""
        return type(self).joined([self])

    def same(self, other: "Pieces") -> bool:
        """Whether both hold the same bytes, piece by piece."""
        sizes = np.array_equal(self.ends - self.starts, other.ends - other.starts)
        return sizes and _same(self.data, self.starts, self.ends, other.data, other.starts)

    def block(self) -> Bytes:
        """All pieces, each with a newline behind it; not to be written to."""
        whole = self.in_a_row()
        block = Pieces.joined([self]).data if whole is None else whole.view()
        block.flags.writeable = False
        return block

    def lines(self) -> bytes:
        """The same as bytes."""
        return self.block().tobytes()

    def tolist(self) -> list[Any]:
        """All of them."""
        data = self.data.tobytes()
        return [data[start:end] for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True)]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, int | np.integer):
            return self.data[self.starts[at] : self.ends[at]].tobytes()
        return type(self)(self.data, self.starts[at], self.ends[at])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        return self.tolist() == (other.tolist() if isinstance(other, Pieces) else other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.of({self.tolist()!r})"


class Texts(Pieces):
    """n texts as UTF-8; slices and picks share the bytes of the whole.

    >>> ids = Texts.of(["a", "bc", "", "é"])
    >>> ids[1], ids[1:].tolist(), ids[np.array([3, 0])].tolist()
    ('bc', ['bc', '', 'é'], ['é', 'a'])
    """

    __slots__ = ()
    _GAP = 0

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        """A column of these."""
        encoded = [value.encode() for value in values]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        return cls(np.frombuffer(b"".join(encoded), np.uint8), _starts(ends), ends)

    @classmethod
    def of_numbers(cls, numbers: Ints) -> Self:
        """Whole numbers from 0 on, as they are written in decimals."""
        sizes = np.searchsorted(_POWERS, numbers, side="right") + 1
        ends = np.cumsum(sizes)
        data = np.empty(int(sizes.sum()), np.uint8)
        _write_decimals(numbers, ends, data)
        return cls(data, _starts(ends), ends)

    def hashes(self) -> Ints:
        """A hash of 64 bits for each (Appleby 2008, MurmurHash64A), by which events and labels meet."""
        found = np.empty(len(self), np.int64)
        _hash(self.data, self.starts, self.ends, found)
        return found

    def tolist(self) -> list[Any]:
        """All of them."""
        own = self.copy()
        data = own.data.tobytes()
        places = zip(own.starts.tolist(), own.ends.tolist(), strict=True)
        if data.isascii():
            text = data.decode()
            return [text[start:end] for start, end in places]
        return [data[start:end].decode() for start, end in places]

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return found.decode() if isinstance(found, bytes) else found


class TextStore:
    """Texts at numbered places, at first empty; bytes that are no longer needed go when there is no room for new ones.

    >>> store = TextStore.of(Texts.of(["a", "b"]), 4)
    >>> store[np.array([1, 3])] = Texts.of(["long", "c"])
    >>> store[:].tolist()
    ['a', 'long', '', 'c']
    """

    def __init__(self, places: int = 0) -> None:
        self._data, self._used = np.empty(_LEAST_BYTES, np.uint8), 0
        self._starts, self._ends = np.zeros(places, np.int64), np.zeros(places, np.int64)

    @classmethod
    def of(cls, texts: Texts, places: int | None = None) -> Self:
        """A place for each of these texts, or so many places, the first of which hold them."""
        store = cls(len(texts) if places is None else places)
        store[: len(texts)] = texts
        return store

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, at: Any) -> Texts:
        """A copy of what these places hold."""
        return Texts(self._data, self._starts[at], self._ends[at]).copy()

    def __setitem__(self, at: Any, texts: Texts) -> None:
        size = int((texts.ends - texts.starts).sum())
        if self._used + size > len(self._data):
            self._sweep(at, size)
        ends = self._used + np.cumsum(texts.ends - texts.starts)
        _copy(texts.data, texts.starts, texts.ends, self._data, self._used, 0)
        self._starts[at], self._ends[at] = ends - (texts.ends - texts.starts), ends
        self._used += size

    def _sweep(self, at: Any, size: int) -> None:
        """Keeps what stands at other places, with room for twice as much as is needed."""
        self._starts[at] = self._ends[at] = 0
        kept = self[:]
        self._used = len(kept.data)
        self._data = np.empty(max(_LEAST_BYTES, 2 * (self._used + size)), np.uint8)
        self._data[: self._used] = kept.data
        self._starts, self._ends = kept.starts, kept.ends


class Coded:
    """n texts or None as codes of few distinct ones; slices and picks share these.

    >>> labels = Coded.of(["no", None, "yes", "no"])
    >>> labels[2], labels.codes.tolist(), labels[:2].tolist()
    ('yes', [0, -1, 1, 0], ['no', None])
    """

    __slots__ = ("codes", "names")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, names: list[str], codes: Ints) -> None:
        self.names, self.codes = names, codes

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Self:
        """A column of these."""
        names = list(dict.fromkeys(value for value in values if value is not None))
        code_of: dict[str | None, int] = {name: code for code, name in enumerate(names)}
        code_of[None] = -1
        return cls(names, np.fromiter(map(code_of.__getitem__, values), np.int64, len(values)))

    @classmethod
    def none(cls, n: int) -> Self:
        """So many times None."""
        return cls([], np.full(n, -1, np.int64))

    @classmethod
    def joined(cls, parts: Sequence["Coded"]) -> Self:
        """The columns one behind the other."""
        names = list(dict.fromkeys(name for part in parts for name in part.names))
        code_of = {name: code for code, name in enumerate(names)}
        tables = [np.array([*(code_of[name] for name in part.names), -1], np.int64) for part in parts]
        codes = [table[part.codes] for table, part in zip(tables, parts, strict=True)]
        return cls(names, np.concatenate([np.empty(0, np.int64), *codes]))

    def texts(self) -> Texts:
        """The same as `Texts`, "" for None."""
        texts: Texts = Texts.of([*self.names, ""])[self.codes]
        return texts

    def tolist(self) -> list[str | None]:
        """All of them."""
        names = [*self.names, None]
        return list(map(names.__getitem__, self.codes.tolist()))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, int | np.integer):
            return self.names[self.codes[at]] if self.codes[at] >= 0 else None
        return Coded(self.names, self.codes[at])

    def __iter__(self) -> Iterator[str | None]:
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        return self.tolist() == (other.tolist() if isinstance(other, Coded) else other)

    def __repr__(self) -> str:
        return f"Coded.of({self.tolist()!r})"


_POWERS = 10 ** np.arange(1, 19)  # a number has a digit more from each of them on
_ZERO, _NEWLINE = b"0\n"
_M, _R = np.uint64(0xC6A4A7935BD1E995), np.uint64(47)  # MurmurHash64A's
_EIGHT = np.uint64(8)


def _starts(ends: Ints) -> Ints:
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1]
    return starts


@njit(cache=True, nogil=True)
def copy_piece(data: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Copies one piece to `out` for other kernels; where it ends."""
    # unsigned: numba lets negative positions count from the end, and bytes are then copied one at a time
    source, target = np.uint64(start), np.uint64(at)
    for i in range(np.uint64(end - start)):
        out[target + i] = data[source + i]
    return at + end - start


@njit(cache=True, nogil=True)
def _copy(data: Bytes, starts: Ints, ends: Ints, out: Bytes, at: int, gap: int) -> int:
    """Copies pieces to `out`, from `at` on, with newlines between them if there is a gap; where the last one ends."""
    for i in range(len(starts)):
        at = copy_piece(data, starts[i], ends[i], out, at)
        if gap:
            out[at] = _NEWLINE
            at += 1
    return at


@njit(cache=True, nogil=True)
def _same(data: Bytes, starts: Ints, ends: Ints, other: Bytes, other_starts: Ints) -> bool:
    for i in range(len(starts)):
        start, other_start = np.uint64(starts[i]), np.uint64(other_starts[i])
        differs = np.uint8(0)
        for at in range(np.uint64(ends[i] - starts[i])):
            differs |= data[start + at] ^ other[other_start + at]
        if differs:
            return False
    return True


@njit(cache=True, nogil=True)
def _write_decimals(numbers: Ints, ends: Ints, out: Bytes) -> None:
    for i in range(len(numbers)):
        number, at = numbers[i], ends[i] - 1
        while number > 9:
            out[at] = _ZERO + number % 10
            number //= 10
            at -= 1
        out[at] = _ZERO + number


@njit(cache=True, nogil=True)
def _hash(data: Bytes, starts: Ints, ends: Ints, out: Ints) -> None:
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        found = np.uint64(end - start) * _M
        at = start
        while at < end:
            last = min(at + 8, end)
            word = np.uint64(0)
            for place in range(last - 1, at - 1, -1):
                word = (word << _EIGHT) | np.uint64(data[place])
            if last - at == 8:
                word *= _M
                word ^= word >> _R
                word *= _M
                found ^= word
            else:
                found ^= word
            found *= _M
            at = last
        found ^= found >> _R
        found *= _M
        found ^= found >> _R
        out[i] = np.int64(found)
