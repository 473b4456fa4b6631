"""Blocks of bytes → raw records. Each step is a generator; an empty block or list says "nothing now", not the end.

1. What the records are does not depend on where the blocks were cut.
2. Memory is bounded: a line is never held beyond the longest record allowed, a quote never open beyond `_JOIN_LINES`.
3. What was readable before some damage is delivered before `BrokenInput` is raised.
"""

import csv
import operator
import zlib
from collections.abc import Iterator

BLOCK_BYTES = 1 << 20  # decompressed bytes handled at once: some 10,000 records, far below a commit's memory
GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"

_JOIN_LINES = 1000  # lines and bytes that one quoted cell may span; beyond, the quote is taken for a stray one
_JOIN_BYTES = 1 << 20


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


def lines(blocks: Iterator[bytes], longest: int) -> Iterator[list[bytes]]:
    """Split at newlines, without a byte order mark; of a line that is too long only `longest + 1` bytes are kept."""
    carry, skipping, started = b"", False, False
    for block in blocks:
        if not block:
            yield []
            continue
        if skipping:
            end = block.find(b"\n")
            if end < 0:
                continue
            block, skipping = block[end:], False
        text = carry + block
        found = text.split(b"\n")
        carry = found.pop()
        if len(text) > longest:
            found = [line[: longest + 1] for line in found]
            skipping = len(carry) > longest
            carry = carry[: longest + 1]
        if found:
            if not started:
                found[0] = found[0].removeprefix(BOM)
            started = True
            yield found
    if carry:
        yield [carry if started else carry.removeprefix(BOM)]


_WHOLE = operator.methodcaller("endswith", b"}")


def json_records(found: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """Drop the blank lines."""
    for some in found:
        if some and all(map(_WHOLE, some)):
            yield some
            continue
        records = [line.rstrip(b"\r") for line in some if line and not line.isspace()]
        if records or not some:
            yield records


class CsvRecords:
    """Lines → CSV records of `width` cells; a quoted cell may span lines, a stray quote never takes in good records."""

    def __init__(self, width: int, delimiter: str) -> None:
        self._width = width
        self._delimiter = delimiter

    def __call__(self, found: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
        """Join lines into records and drop the blank ones."""
        waiting: list[bytes] = []
        broken: BrokenInput | None = None
        while True:
            try:
                some = next(found, None)
            except BrokenInput as error:
                broken, some = error, None
            if some == []:
                yield []
                continue
            waiting += some or []
            text = b"\n".join(waiting)
            records, waiting = self._join(waiting, closed=some is None) if b'"' in text else (waiting, [])
            if b" " in text or b"\r" in text or not all(records):
                records = [record for record in (line.rstrip(b"\r") for line in records) if record.strip(b" \r")]
            if records:
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
