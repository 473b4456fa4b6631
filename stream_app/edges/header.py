"""The header of CSV: which delimiter, which columns, and what keeps a file from being CSV at all."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from stream_app.errors import SourceError

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1b]")  # bytes that no text holds


def delimiter_of(line: bytes) -> str:
    """Find the delimiter that cuts the header into most cells.

    >>> delimiter_of(b'id;"time, local";x')
    ';'
    """
    text = line.decode("latin-1")

    def cells(delimiter: str) -> int:
        try:
            return len(next(csv.reader([text], delimiter=delimiter)))
        except csv.Error:
            return 0

    return max(",;\t|", key=cells)


def header_of(path: Path, line: bytes, delimiter: str) -> tuple[str, ...]:
    """Take the column names out of the first line; SourceError if it can be none."""
    if line.startswith(b"PK\3\4"):
        raise SourceError(f"{path}: is a zip archive, perhaps a workbook; take the table out of it, saved as CSV")
    if _CONTROL.search(line):
        what = "NUL" if b"\0" in line else "control"
        hint = "it is a binary file, or UTF-16: convert it to UTF-8"
        raise SourceError(f"{path}: does not look like CSV, there are {what} bytes in its first line; {hint}")
    try:
        cells = next(csv.reader([line.decode()], delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        at = f"byte {error.start} (0x{line[error.start]:02x})"
        raise SourceError(
            f"{path}: does not look like CSV in UTF-8: {at} of the header; convert the file, from latin-1 perhaps"
        ) from None
    except csv.Error as error:
        raise SourceError(f"{path}: does not look like CSV, its first line is no header: {error}") from None
    names = tuple(cell.strip() for cell in cells)
    refuse_duplicates(path, names)
    return names


def refuse_duplicates(path: Path, names: Iterable[str]) -> None:
    """Raise SourceError if two columns have one name; columns without a name are nobody's."""
    twice = [name for name, n in Counter(names).items() if n > 1 and name]
    if twice:
        raise SourceError(f"{path}: more than one column is named {listed(twice)}; rename them, each name must be one")


def listed(names: Iterable[str]) -> str:
    """Join the first thirty names for a message."""
    shown = list(itertools.islice(names, 31))
    return ", ".join(shown[:30]) + (", …" if len(shown) > 30 else "")
