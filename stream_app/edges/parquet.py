"""Parquet → records: each row is the JSON document of its columns, in the order of the file."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import compute

from stream_app.edges.records import BrokenInput
from stream_app.errors import SourceError
from stream_app.texts import Pieces

_BATCH_ROWS = 8192  # decoded at once


class Rows:
    """The rows of one file; SourceError if it is no whole Parquet file."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet as pq  # noqa: PLC0415  (only who reads such a file waits for it)

        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise SourceError(f"{path}: not a Parquet file, or one that was cut off: {reason}") from None
        self.columns: tuple[str, ...] | None = tuple(self._file.schema_arrow.names)
        self.n: int = self._file.metadata.num_rows
        self._read = 0

    @property
    def progress(self) -> float | None:
        """The share of the rows that has been read."""
        return self._read / self.n if self.n else None

    def first(self) -> bytes | None:
        """Give the first record, None if there is none."""
        for batch in self._file.iter_batches(1):
            return documents(batch)[0]
        return None

    def records(self, start: int) -> Iterator[Pieces]:
        """Give all records from row `start` on."""
        metadata = self._file.metadata
        group = row = 0
        while group < metadata.num_row_groups and row + metadata.row_group(group).num_rows <= start:
            row += metadata.row_group(group).num_rows
            group += 1
        try:
            for batch in self._file.iter_batches(_BATCH_ROWS, row_groups=range(group, metadata.num_row_groups)):
                wanted = batch.slice(max(0, start - row))
                row += batch.num_rows
                self._read = row
                if wanted.num_rows:
                    yield Pieces.of(documents(wanted))
        except (pa.ArrowException, OSError) as error:
            raise BrokenInput(f"the Parquet file is damaged ({str(error).splitlines()[0]})") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def documents(batch: pa.RecordBatch) -> list[bytes]:
    """Encode each row as a JSON object; times in ISO 8601, NaN as null, infinities as text.

    >>> documents(pa.record_batch({"a": [1.5, float("inf")], "b": ["x", None]}))
    [b'{"a":1.5,"b":"x"}', b'{"a":"Infinity","b":null}']
    """
    names = batch.schema.names
    encode = msgspec.json.Encoder(enc_hook=str).encode
    columns = [_values(name, column) for name, column in zip(names, batch.columns, strict=True)]
    return [encode(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _values(name: str, column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("ms", kind.tz and "UTC"), safe=False)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        column = column.cast(pa.string())  # as Python objects they would not hold all years and nanoseconds
    if pa.types.is_float16(kind):
        column = column.cast(pa.float64())
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        raise BrokenInput(f'column "{name}" has values of type {kind} that cannot be written as JSON') from None
    if pa.types.is_floating(kind) and compute.any(compute.is_inf(column)).as_py():
        values = [f"{'-' * (v < 0)}Infinity" if v is not None and math.isinf(v) else v for v in values]
    return values
