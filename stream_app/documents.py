r"""JSON documents from columns, byte for byte as msgspec writes them, without an object for each.

>>> objects({"id": texts(Texts.of(["a", 'b"'])), "model": "v1", "score": values([0.5, None])}).tolist()
[b'{"id":"a","model":"v1","score":0.5}', b'{"id":"b\\"","model":"v1","score":null}']
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app.texts import Bytes, Ints, Pieces, Texts, copy_piece

_encode, _encode_lines = msgspec.json.Encoder().encode, msgspec.json.Encoder().encode_lines
_NEWLINE, _SPACE, _QUOTE, _BACKSLASH = b'\n "\\'


def values(column: list[Any]) -> Pieces:
    """Each of n values as JSON."""
    data = np.frombuffer(_encode_lines(column), np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)  # a text holds none: there it is escaped
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1] + 1
    return Pieces(data, starts, ends)


def picked(names: Sequence[str], codes: NDArray[Any]) -> Pieces:
    """The JSON of few texts by their codes; -1 is null."""
    found: Pieces = values([*names, None])[codes]
    return found


def texts(column: Texts) -> Pieces:
    """Each of n texts as JSON."""
    own = column.copy()
    if ((own.data < _SPACE) | (own.data == _QUOTE) | (own.data == _BACKSLASH)).any():
        return values(own.tolist())
    return _rows([(b'"', own)], b'"')


def objects(members: dict[str, Pieces | str]) -> Pieces:
    """JSON objects with these members: columns of JSON values, one at least, or a text that is the same in all."""
    parts: list[tuple[bytes, Pieces]] = []
    before = b"{"
    for name, column in members.items():
        before += _encode(name) + b":"
        if isinstance(column, str):
            before += _encode(column)
        else:
            parts.append((before, column))
            before = b""
        before += b","
    return _rows(parts, before[:-1] + b"}")


def _rows(parts: list[tuple[bytes, Pieces]], last: bytes) -> Pieces:
    """In each row the pieces of the columns, with these bytes before each of them and behind the last one."""
    n = len(parts[0][1])
    sizes = np.full(n, sum(len(before) for before, _ in parts) + len(last))
    for _, column in parts:
        sizes += column.ends - column.starts
    ends = np.cumsum(sizes)
    starts = ends - sizes
    data, places = np.empty(int(sizes.sum()), np.uint8), starts.copy()
    for before, column in parts:
        _write(np.frombuffer(before, np.uint8), column.data, column.starts, column.ends, data, places)
    tail = np.frombuffer(last, np.uint8)
    nothing = np.zeros(n, np.int64)
    _write(tail, tail, nothing, nothing, data, places)
    return Pieces(data, starts, ends)


@njit(cache=True, nogil=True)
def _write(before: Bytes, data: Bytes, starts: Ints, ends: Ints, out: Bytes, places: Ints) -> None:
    """Writes the bytes and a piece to each place, and moves the place behind them."""
    for row in range(len(places)):
        at = copy_piece(before, 0, len(before), out, places[row])
        places[row] = copy_piece(data, starts[row], ends[row], out, at)
