"""Sources: a file or standard input → raw records, numbered from 0, resumable at any of them.

CSV and Parquet rows, or lines of JSON; plain or gzip, told by the first bytes and not by the name. A Parquet row
becomes the JSON document of its columns. What a record holds is the decoder's matter: only what makes the input as
a whole unusable is a SourceError here.
"""

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

from stream_app import config as configuration
from stream_app.config.reading import nearest
from stream_app.edges import parquet
from stream_app.edges.header import delimiter_of, header_of, listed, refuse_duplicates
from stream_app.edges.inputs import File, StandardInput
from stream_app.edges.records import (
    BOM,
    GZIP_MAGIC,
    NOTHING,
    BrokenInput,
    CsvRecords,
    gunzip,
    json_records,
    lines,
)
from stream_app.errors import SourceError
from stream_app.texts import Pieces

Format = Literal["csv", "jsonl", "parquet"]

READ_BLOCKS = 32  # of the input that one `read` gathers: wide records are many to a batch, and 32 MB are little

_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class Source:
    """One input stream; iterate with `read` until `finished`.

    `header` and `delimiter` are what the decoder needs; `header` is None where records are JSON documents. `columns`
    are the column names as far as the file tells them.
    """

    def __init__(
        self,
        name: str,
        records: Iterator[Pieces],
        *,
        start: int = 0,
        follow: bool = False,
        header: tuple[str, ...] | None = None,
        delimiter: str = ",",
        file: File | StandardInput | parquet.Rows,
        seen: int = 0,
        first: bytes | None = None,
    ) -> None:
        self.name = name
        self.header = header
        self.delimiter = delimiter
        self.columns = file.columns if isinstance(file, parquet.Rows) else header
        self.finished = False
        self._records = records
        self._file = file
        self._follow = follow
        self._start = start
        self._seen = seen  # records that came out of `_records`, or that it left out
        self._offset = start  # of the next record to hand out
        self._ready = NOTHING
        self._at = 0  # of the next record in `_ready`
        self._first = first
        self._error: SourceError | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of header and first record: another value on resume is another file.

        Empty while the file has no record, and always for standard input.
        """
        if self._first is None or isinstance(self._file, StandardInput):
            return ""
        return hashlib.sha256("\x1f".join(self.header or ()).encode() + b"\n" + self._first).hexdigest()

    @property
    def progress(self) -> float | None:
        """The share of the file that has been read, None where the end is not known."""
        return self._file.progress

    def read(self, most: int) -> tuple[int, Pieces]:
        """Give the offset of the first and up to `most` records; none: nothing now, or `finished`.

        SourceError if the input is damaged, after all that stands before the damage has been given.
        """
        offset, taken = self._offset, [self._taken(most)]
        while len(taken) < READ_BLOCKS and (n := self._offset - offset) < most and not self.finished:
            if not self._has_more(n):
                break
            taken.append(self._taken(most - n))
        filled = [records for records in taken if len(records)]
        return offset, filled[0] if len(filled) == 1 else Pieces.joined(filled)

    def _taken(self, most: int) -> Pieces:
        records: Pieces = self._ready[self._at : self._at + most]
        self._at += len(records)
        self._offset += len(records)
        return records

    def _has_more(self, n: int) -> bool:
        """Whether the next ones came in; an error must wait until the records in front of it were given."""
        try:
            return self._advance()
        except SourceError:
            if n:
                return False
            raise

    def peek(self) -> None:
        """Read so far ahead that the fingerprint is known, if there is a record."""
        while self._first is None and not self.finished and self._advance():
            pass

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._file.close()

    def _advance(self) -> bool:
        """Take in the next records; False if there are none now."""
        if self._error:
            raise self._error
        try:
            records = next(self._records, None)
        except BrokenInput as error:
            after = f"after record {self._seen - 1}" if self._seen else "before the first record"
            again = "what came before was read; repair the file and run again to go on from there"
            self._error = SourceError(f"{self.name}: {error} {after}; {again}")
            raise self._error from None
        if records is None:
            self.finished = not self._follow
            self._refuse_if_short()
        if records is None or not len(records):
            return False
        if self._first is None:
            self._first = records[0]
        skipped = min(len(records), max(0, self._start - self._seen))
        self._seen += len(records)
        self._ready, self._at = records, skipped
        return True

    def _refuse_if_short(self) -> None:
        if self._seen < self._start:
            self._error = SourceError(
                f"{self.name}: has {self._seen} records, but {self._start} were read from it before; "
                "it was shortened or replaced: bring back the old file or start with a new state"
            )
            raise self._error


def open_source(path: str | Path, source: configuration.Source, *, start: int = 0, follow: bool = False) -> Source:
    """Open an input at record `start`; SourceError says what is wrong with it and what to do.

    `-` is JSON lines on standard input. With `follow` the end of the file is not the end: more may be appended.
    """
    if str(path) == "-":
        return _open_standard_input(source, start=start)
    path = Path(path)
    try:
        return _open_file(path, source, start=start, follow=follow)
    except BrokenInput as error:
        raise SourceError(f"{path}: {error} before the first record") from None
    except FileNotFoundError:
        siblings = sorted(item.name for item in path.parent.iterdir()) if path.parent.is_dir() else []
        raise SourceError(f"{path}: no such file{nearest(path.name, siblings)}") from None
    except IsADirectoryError:
        raise SourceError(f"{path}: is a directory; name one file in it") from None
    except PermissionError:
        raise SourceError(f"{path}: no permission to read it") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None


def check_columns(source: Source, config: configuration.Config, stream: str) -> None:
    """Refuse an input whose columns are known and lack one that the schema names; SourceError lists them all.

    A label may be absent from the events when the labels have a source of their own.
    """
    if source.columns is None:
        return
    missing = [name for name in _wanted(config, stream) if name not in source.columns]
    if not missing:
        return
    named = ", ".join(f'"{name}"{nearest(name, source.columns).replace(";", ",")}' for name in missing)
    reason = f"{source.name}: no column {named}; it has: {listed(source.columns)}"
    if len(source.columns) == 1 and source.header:
        reason += f'. One column only: perhaps its delimiter is not "{source.delimiter}"; set source.delimiter'
    raise SourceError(reason)


def check_inputs(config: configuration.Config, *, follow: bool = False) -> None:
    """Refuse the files that a run would refuse at its start; to look into standard input or a pipe would empty it."""
    source = config.source
    for stream, path in (("events", source.events), ("labels", source.labels)) if source else ():
        if source and path not in (None, "-") and not Path(path).is_fifo():
            with closing(open_source(path, source, follow=follow)) as opened:
                check_columns(opened, config, stream)


def _wanted(config: configuration.Config, stream: str) -> list[str]:
    schema = config.schema
    apart = config.source is not None and config.source.labels is not None
    if stream == "labels":
        names = [schema.id, schema.label_time or schema.time, schema.label]
    else:
        names = [schema.id, schema.time, *schema.fields, schema.key]
        names += [] if apart else [schema.label, schema.label_time]
    return [name for name in dict.fromkeys(names) if name is not None]


def _open_standard_input(source: configuration.Source, *, start: int) -> Source:
    if source.format not in ("auto", "jsonl"):
        raise SourceError(f'standard input is JSON lines, not {source.format}; use format = "jsonl" or name a file')
    standard_input = StandardInput()
    records = json_records(lines(standard_input.blocks(), source.max_record_bytes))
    return Source("standard input", records, start=start, file=standard_input)


def _open_file(path: Path, source: configuration.Source, *, start: int, follow: bool) -> Source:
    if path.is_dir():
        raise IsADirectoryError
    file = File(path, follow=follow)
    try:
        opened = _opened(path, file, source, start=start, follow=follow)
        opened.peek()
    except BaseException:
        file.close()
        raise
    return opened


def _opened(path: Path, file: File, source: configuration.Source, *, start: int, follow: bool) -> Source:
    blocks = file.blocks()
    head = next(blocks, b"")
    if source.format == "parquet" or (source.format == "auto" and head.startswith(b"PAR1")):
        file.close()
        return _open_parquet(path, start=start, follow=follow)
    blocks = itertools.chain([head] if head else [], blocks)
    if head.startswith(GZIP_MAGIC):
        blocks = gunzip(blocks)
        head = next(blocks, b"")
        blocks = itertools.chain([head] if head else [], blocks)
    form = source.format if source.format != "auto" else _format_of(path, head)
    found = lines(blocks, source.max_record_bytes)
    if form == "csv":
        line, found = _first_line(path, found)
        delimiter = source.delimiter or delimiter_of(line)
        header = header_of(path, line, delimiter)
        records = CsvRecords(len(header), delimiter)(found)
        return Source(str(path), records, start=start, follow=follow, header=header, delimiter=delimiter, file=file)
    if form == "parquet":
        raise SourceError(f"{path}: not a Parquet file, in spite of its name; set source.format")
    if not head and not follow:
        raise SourceError(f"{path}: is empty: not one record")
    _refuse_documents(path, head.removeprefix(BOM).lstrip())
    return Source(str(path), json_records(found), start=start, follow=follow, file=file)


def _refuse_documents(path: Path, head: bytes) -> None:
    """Raise SourceError for JSON that does not stand in lines: each line would be a dead letter."""
    if head.startswith(b"["):
        raise SourceError(f"{path}: is one JSON array; make it JSON lines, for example with: jq -c '.[]' {path.name}")
    if head.split(b"\n", 1)[0].rstrip() == b"{":
        raise SourceError(
            f"{path}: its JSON objects span lines; make it one per line, for example: jq -c . {path.name}"
        )


def _open_parquet(path: Path, *, start: int, follow: bool) -> Source:
    if follow:
        raise SourceError(f"{path}: a Parquet file cannot grow, so it cannot be followed; leave --follow out")
    rows = parquet.Rows(path)
    refuse_duplicates(path, rows.columns or ())
    first, seen = rows.first(), min(start, rows.n)
    return Source(str(path), rows.records(start), start=start, file=rows, first=first, seen=seen)


def _format_of(path: Path, head: bytes) -> Format:
    for suffix in reversed(path.suffixes):
        if suffix.lower() in _FORMATS:
            return _FORMATS[suffix.lower()]
    return "jsonl" if head.removeprefix(BOM).lstrip()[:1] in (b"{", b"[") else "csv"


def _first_line(path: Path, found: Iterator[Pieces]) -> tuple[bytes, Iterator[Pieces]]:
    """Take the first line that is not blank off."""
    for some in found:
        for place, line in enumerate(some):
            if line.strip():
                rest = some[place + 1 :]
                return line, itertools.chain([rest] if len(rest) else [], found)
        if not len(some):
            break
    raise SourceError(f"{path}: is empty: no header; the first line of CSV names the columns")
