"""Predictions and outcomes as columnar blocks: one Arrow IPC stream per commit and stream, zstd compressed.

Any Arrow reader opens a block; equal input gives equal bytes (for one version of Arrow). A block keeps the order of
its rows; neighbouring parts of one model version come back as one part, empty parts do not come back at all. Where
[ab] shares events out, a part that comes back has a version for each row.
Arrow trusts what it reads: check a block that may be damaged before it is unpacked (the log keeps a checksum).
Cost per event in blocks of 10,000: pack 0.16 µs, unpack 0.17 µs, id index 0.09 µs; 14 bytes and 8 of the index.
"""

from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stream_app.flow.columns import texts_of
from stream_app.messages import Ints, Outcomes, Predictions
from stream_app.texts import Coded, Texts

# Against lz4: 15 instead of 27 bytes an event for .03 µs more; higher levels cost time and win nothing on such columns.
# Threads win no time on five small columns and cost a third more of the processor.
OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)

Block = TypeVar("Block", bound=Predictions | Outcomes)


def pack_predictions(parts: list[Predictions]) -> bytes:
    """All parts in order as one block; `version` is a dictionary column with one entry per (version, classes)."""
    models = list(dict.fromkeys((version, part.classes) for part in parts for version in _versions(part)))
    code_of = {model: code for code, model in enumerate(models)}
    codes = [[code_of[version, part.classes] for version in _versions(part)] for part in parts]
    rows = (np.full(len(part.id), code, np.int32) for part, code in zip(parts, codes, strict=True))
    version = np.concatenate([np.empty(0, np.int32), *rows])
    names = _text(Texts.of(name for name, _ in models))
    columns = {
        **_shared_columns(parts),
        "code": _joined(parts, "code", np.int32),
        "score": _joined(parts, "score", np.float64),
        "version": pa.DictionaryArray.from_arrays(_numbers(version), names),
    }
    if any(part.arm is not None for part in parts):
        columns["arm"] = _joined(parts, "arm", np.uint8)
    return _pack(columns, {"classes": msgspec.json.encode([classes for _, classes in models])})


def unpack_predictions(data: bytes) -> list[Predictions]:
    """Give back the parts of a block, one per run of the same model (or classes); arrays are read-only views.

    Raises ValueError or OSError (pyarrow's) on bytes that are not a block.
    """
    batch = _unpack(data)
    classes = msgspec.json.decode(batch.schema.metadata[b"classes"], type=list[tuple[str, ...]])
    if not batch.num_rows:
        return []
    version = _array(batch["version"], np.int32)
    versions = batch["version"].dictionary.to_pylist()
    offset, time_ms = _array(batch["offset"], np.int64), _array(batch["time_ms"], np.int64)
    code, score = _array(batch["code"], np.int32), _array(batch["score"], np.float64)
    ids = texts_of(batch["id"])
    arm = _array(batch["arm"], np.uint8) if "arm" in batch.schema.names else None
    model = version if arm is None else np.array([classes.index(each) for each in classes])[version]
    cuts = [0, *(np.flatnonzero(np.diff(model)) + 1).tolist(), len(ids)]
    return [
        Predictions(
            versions[version[a]] if arm is None else [versions[each] for each in version[a:b].tolist()],
            classes[version[a]], offset[a:b], ids[a:b], time_ms[a:b], code[a:b], score[a:b],
            None if arm is None else arm[a:b],
        )
        for a, b in pairwise(cuts)
    ]  # fmt: skip


def _versions(part: Predictions) -> list[str]:
    """One for each row, or one for all."""
    return part.version if isinstance(part.version, list) else [part.version]


def pack_outcomes(parts: list[Outcomes]) -> bytes:
    """All parts in order as one block; labels are text or float64, the same in all parts."""
    filled = [part for part in parts if len(part.id)]
    named = [part.label for part in filled if isinstance(part.label, Coded)]
    label = _text(Coded.joined(named).texts()) if named else _joined(filled, "label", np.float64)
    columns = {
        **_shared_columns(parts),
        "label": label,
        "delay_ms": _joined(parts, "delay_ms", np.int64),
        "error": _joined(parts, "error", np.float64),
    }
    return _pack(columns, {})


def unpack_outcomes(data: bytes) -> list[Outcomes]:
    """Give back the rows of a block as one part (none if it is empty); arrays are read-only views."""
    batch = _unpack(data)
    if not batch.num_rows:
        return []
    label = batch["label"]
    return [
        Outcomes(
            _array(batch["offset"], np.int64),
            texts_of(batch["id"]),
            _array(batch["time_ms"], np.int64),
            _coded(label) if pa.types.is_string(label.type) else _array(label, np.float64),
            _array(batch["delay_ms"], np.int64),
            _array(batch["error"], np.float64),
        )
    ]


def take(part: Block, rows: Ints) -> Block:
    """Pick some rows of a part, in the order of `rows`."""
    chosen: dict[str, Any] = {}
    for column in fields(part):
        values = getattr(part, column.name)
        if isinstance(values, np.ndarray | Texts | Coded):
            chosen[column.name] = values[rows]
        else:  # a list is a column, everything else belongs to the whole part
            chosen[column.name] = [values[row] for row in rows] if isinstance(values, list) else values
    return type(part)(**chosen)


def cut(part: Block, start: int, stop: int | None = None) -> Block:
    """The rows from `start` on, before `stop`; arrays are views."""
    rows = slice(start, stop)
    chosen: dict[str, Any] = {}
    for column in fields(part):
        values = getattr(part, column.name)
        chosen[column.name] = values[rows] if isinstance(values, np.ndarray | Texts | Coded | list) else values
    return type(part)(**chosen)


def same(one: Predictions | Outcomes, other: Predictions | Outcomes) -> bool:
    """Whether all columns are the same, bit for bit: then so are the records that are made from them."""
    return all(_same(getattr(one, column.name), getattr(other, column.name, None)) for column in fields(one))


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype) and one.tobytes() == other.tobytes()
    if isinstance(one, Texts):
        return one.same(other)
    if isinstance(one, Coded):
        codes = Coded.joined([one, other]).codes
        return np.array_equal(codes[: len(one)], codes[len(one) :])
    return bool(one == other)


def keys(parts: Sequence[Predictions | Outcomes]) -> Ints:
    """By what a record is found: a prediction by the 64-bit hash of its id, an outcome by its event's offset."""
    if all(isinstance(part, Outcomes) for part in parts):
        return np.concatenate([np.empty(0, np.int64), *(part.offset for part in parts)])
    return np.concatenate([np.empty(0, np.int64), *(part.id.hashes() for part in parts)])


def hash_of(event_id: str) -> int:
    """The key of a prediction."""
    return int(Texts.of([event_id]).hashes()[0])


def index(parts: Sequence[Predictions | Outcomes]) -> bytes:
    """The sorted keys of a block, 8 bytes each, by which `may_hold` finds it without opening it."""
    return np.sort(keys(parts)).astype("<i8").tobytes()


def may_hold(sorted_keys: bytes, key: int) -> bool:
    """Whether a block with this index holds the key; a hash errs with a chance of 1 in 10^19 per id of the block."""
    known = np.frombuffer(sorted_keys, "<i8")
    at = int(np.searchsorted(known, key))
    return at < len(known) and bool(known[at] == key)


def _shared_columns(parts: Sequence[Predictions | Outcomes]) -> dict[str, Any]:
    return {
        "offset": _joined(parts, "offset", np.int64),
        "id": _text(Texts.joined([part.id for part in parts])),
        "time_ms": _joined(parts, "time_ms", np.int64),
    }


def _joined(parts: Sequence[Predictions | Outcomes], column: str, dtype: type[Any]) -> Any:
    return _numbers(np.concatenate([np.empty(0, dtype), *(np.asarray(getattr(part, column), dtype) for part in parts)]))


# Columns are made from and read as buffers: `pa.array` and `to_numpy` import pandas, .3 s at the first commit.


def _numbers(values: NDArray[Any]) -> Any:
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _array(column: Any, dtype: type[Any]) -> NDArray[Any]:
    return np.frombuffer(column.buffers()[1], dtype, len(column))


def _coded(column: Any) -> Coded:
    encoded = column.dictionary_encode()
    return Coded(texts_of(encoded.dictionary).tolist(), _array(encoded.indices, np.int32).astype(np.int64))


def _text(values: Texts) -> Any:
    own = values.copy()
    if len(own.data) >= 1 << 31:
        raise OverflowError("the ids or labels of one block have 2 GB or more: commit more often")
    ends = np.zeros(len(own) + 1, np.int32)
    ends[1:] = own.ends
    return pa.StringArray.from_buffers(len(own), pa.py_buffer(ends), pa.py_buffer(own.data))


def _pack(columns: dict[str, Any], metadata: dict[str, bytes]) -> bytes:
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns), metadata=metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=OPTIONS) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _unpack(data: bytes) -> Any:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_next_batch()
