"""Blocks of bytes → raw records. Each step is a generator; an empty block or column says "nothing now", not the end.

1. What the records are does not depend on where the blocks were cut.
2. Memory is bounded: a line is never held beyond the longest record allowed, a quote never open beyond `_JOIN_LINES`.
3. What was readable before some damage is delivered before `BrokenInput` is raised.
"""

import csv
import zlib
from collections.abc import Iterator

import numpy as np
from numba import njit

from stream_app.messages import Bools, Ints
from stream_app.texts import Bytes, Pieces

BLOCK_BYTES = 1 << 20  # decompressed bytes handled at once: some 10,000 records, far below a commit's memory
GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"

_JOIN_LINES = 1000  # lines and bytes that one quoted cell may span; beyond, the quote is taken for a stray one
_JOIN_BYTES = 1 << 20
_NEWLINE, _BRACE, _SPACE, _TAB, _RETURN = b"\n} \t\r"
NOTHING = Pieces.of([])


class BrokenInput(Exception):  # noqa: N818 - reported with its place as SourceError
    """The input is damaged or has changed under the reader; a phrase without its place."""


def gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip, several members one after the other, each up to its first damage."""
    inflater = zlib.decompressobj(31)
    for block in blocks:
        if not block:
            yield b""
        inflated = b""
        while block or len(inflated) == BLOCK_BYTES:  # a full buffer: there may be more inside
            if inflater.eof:
                block = block.lstrip(b"\0")  # members may be padded
                if not block:
                    break
                inflater = zlib.decompressobj(31)
            before = inflater.copy()
            try:
                inflated = inflater.decompress(block, BLOCK_BYTES)
            except zlib.error:
                yield _salvage(before, block)
                raise BrokenInput("the gzip stream is damaged") from None
            if inflated:
                yield inflated
            block = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    if not inflater.eof:
        raise BrokenInput("the gzip stream ends early")


def _salvage(inflater: "zlib._Decompress", block: bytes) -> bytes:
    """Decompress byte by byte what comes before the damage; less than a block, else it had come out whole."""
    salvaged = bytearray()
    for at in range(len(block)):
        try:
            salvaged += inflater.decompress(block[at : at + 1])
        except zlib.error:
            break
    return bytes(salvaged)


def lines(blocks: Iterator[bytes], longest: int) -> Iterator[Pieces]:
    """Split at newlines, without a byte order mark; of a line that is too long only `longest + 1` bytes are kept."""
    carry, skipping, started = b"", False, False
    for block in blocks:
        if not block:
            yield NOTHING
            continue
        if skipping:
            end = block.find(b"\n")
            if end < 0:
                continue
            block, skipping = block[end:], False
        text = carry + block
        end = text.rfind(b"\n") + 1
        found, carry = _split(text, end), text[end:]
        if len(text) > longest:
            found.ends = np.minimum(found.ends, found.starts + longest + 1)
            skipping = len(carry) > longest
            carry = carry[: longest + 1]
        if len(found):
            if not started and found[0].startswith(BOM):
                found.starts[0] += len(BOM)
            started = True
            yield found
    if carry:
        yield Pieces.of([carry if started else carry.removeprefix(BOM)])


def _split(text: bytes, end: int) -> Pieces:
    """The lines of the text up to the newline in front of `end`."""
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data[:end] == _NEWLINE)
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1] + 1
    return Pieces(data, starts, ends)


def json_records(found: Iterator[Pieces]) -> Iterator[Pieces]:
    """Drop the blank lines."""
    for some in found:
        records = some[_filled(some.data, some.starts, some.ends, False)] if _odd(some) else some
        if len(records) or not len(some):
            yield records


def _odd(lines: Pieces) -> bool:
    """Whether there may be one that is blank, or ends in more than a newline."""
    last = lines.data[np.maximum(lines.ends - 1, 0)] if len(lines.data) else lines.data
    return bool((last != _BRACE).any() or (lines.starts == lines.ends).any())


@njit(cache=True, nogil=True)
def _filled(data: Bytes, starts: Ints, ends: Ints, narrow: bool) -> Bools:
    """Which lines are not blank, if `narrow` a tab is something; takes carriage returns off their ends."""
    filled = np.zeros(len(starts), dtype=np.bool_)
    for i in range(len(starts)):
        for at in range(starts[i], ends[i]):
            blank = data[at] == _SPACE or data[at] == _RETURN or (not narrow and _TAB <= data[at] < _RETURN)
            filled[i] |= not blank
        while ends[i] > starts[i] and data[ends[i] - 1] == _RETURN:
            ends[i] -= 1
    return filled


class CsvRecords:
    """Lines → CSV records of `width` cells; a quoted cell may span lines, a stray quote never takes in good records."""

    def __init__(self, width: int, delimiter: str) -> None:
        self._width = width
        self._delimiter = delimiter

    def __call__(self, found: Iterator[Pieces]) -> Iterator[Pieces]:
        """Join lines into records and drop the blank ones."""
        waiting: list[bytes] = []
        broken: BrokenInput | None = None
        while True:
            try:
                some = next(found, None)
            except BrokenInput as error:
                broken, some = error, None
            if some is not None and not len(some):
                yield some
                continue
            records = some
            if waiting or (some is not None and b'"' in some.lines()):
                joined, waiting = self._join([*waiting, *(some or [])], closed=some is None)
                records = Pieces.of(joined)
            if records is not None and len(records):
                records = records[_filled(records.data, records.starts, records.ends, True)]
                if len(records):
                    yield records
            if broken:
                raise broken
            if some is None:
                return

    def _join(self, waiting: list[bytes], *, closed: bool) -> tuple[list[bytes], list[bytes]]:
        """Take whole records off the front; the rest waits for more lines unless the input is `closed`."""
        records = []
        start = 0
        while start < len(waiting):
            end = start + 1 if waiting[start].count(b'"') % 2 == 0 else self._end(waiting, start, closed=closed)
            if end is None:
                break
            records.append(waiting[start] if end == start + 1 else b"\n".join(waiting[start:end]))
            start = end
        return records, waiting[start:]

    def _end(self, waiting: list[bytes], start: int, *, closed: bool) -> int | None:
        """Find the end of a record whose first line has an odd count of quotes; None: more lines must tell."""
        if self._cells(waiting[start]) != _OPEN:
            return start + 1
        size_bytes = len(waiting[start])
        for last in range(start + 1, len(waiting)):
            size_bytes += len(waiting[last]) + 1
            if last - start >= _JOIN_LINES or size_bytes > _JOIN_BYTES:
                return start + 1
            if waiting[last].count(b'"') % 2:
                whole = self._cells(b"\n".join(waiting[start : last + 1])) == self._width
                return last + 1 if whole else start + 1
        return start + 1 if closed else None

    def _cells(self, record: bytes) -> int:
        """Count the cells, `_OPEN` if a quote is open at the end, `_WRONG` if quotes stand where they must not."""
        try:
            return len(next(csv.reader([record.decode("latin-1")], delimiter=self._delimiter, strict=True)))
        except csv.Error as error:
            return _OPEN if "end of data" in str(error) else _WRONG


_OPEN, _WRONG = -1, -2
