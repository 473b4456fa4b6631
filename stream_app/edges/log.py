"""The embedded log: one SQLite file that holds all output streams, the source position and the state.

Rules:
1. One writer process, held by a lock that the kernel releases when the process dies; any number of readers.
2. One commit is one transaction: outputs, position, interleaving and state stand or fall together.
3. No query outlives a call: a slow reader never keeps the write-ahead log from being recycled.

Predictions and outcomes are stored as columnar blocks (`blocks.py`), every other stream as rows, `features`
compacted to the newest message per key. What is read does not depend on how the commits were cut.
"""

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from stream_app.edges import blocks
from stream_app.edges.sqlite_file import Format, NoLogError, SqliteFile, damaged
from stream_app.errors import StateError
from stream_app.messages import Message, Outcomes, Outputs, Predictions

MIN_BLOCK_ROWS = 1024  # a smaller last block is rewritten with what follows: each block alone costs 1.3 kB
PAGE_ROWS = 1000  # rows that a reader fetches at a time

# In `blocks`, ids stand before data so that a search by id never touches the pages of the data.
FORMAT = Format(
    application_id=0x64726674,  # "drft"
    version=2,  # 1: ids had another hash
    schema="""
CREATE TABLE commits (seq INTEGER PRIMARY KEY, interleaving BLOB NOT NULL);
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, header BLOB NOT NULL,
    position BLOB NOT NULL, state BLOB NOT NULL);
CREATE TABLE blocks (seq INTEGER PRIMARY KEY, stream TEXT NOT NULL, last INTEGER NOT NULL, rows INTEGER NOT NULL,
    checksum BLOB NOT NULL, ids BLOB NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX blocks_by_last ON blocks (stream, last);
CREATE TABLE messages (seq INTEGER PRIMARY KEY, stream TEXT NOT NULL, id TEXT NOT NULL, key TEXT NOT NULL,
    time_ms INTEGER NOT NULL, value BLOB NOT NULL);
CREATE INDEX messages_by_stream ON messages (stream);
CREATE INDEX dead_letters_by_key ON messages (key) WHERE stream = 'dead-letters';
CREATE TABLE features (seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, id TEXT NOT NULL,
    time_ms INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE controls (seq INTEGER PRIMARY KEY AUTOINCREMENT, value BLOB NOT NULL)
""",
)

READ_MESSAGES = "SELECT seq, id, key, time_ms, value FROM messages WHERE seq > ? AND stream = ? ORDER BY seq LIMIT ?"
READ_ALL = (
    "SELECT seq, id, stream, key, time_ms, value FROM messages WHERE seq > ? AND stream <> 'archive'"
    " ORDER BY seq LIMIT ?"
)
READ_FEATURES = (
    "SELECT seq, id, key, time_ms, value FROM features WHERE seq > ? AND ? = 'features' ORDER BY seq LIMIT ?"
)

PACK: dict[str, Any] = {"predictions": blocks.pack_predictions, "outcomes": blocks.pack_outcomes}
UNPACK: dict[str, Any] = {"predictions": blocks.unpack_predictions, "outcomes": blocks.unpack_outcomes}


@dataclass(frozen=True, slots=True)
class Saved:
    """What the newest commit left: enough to go on from there."""

    header: dict[str, Any]
    position: dict[str, Any]  # source offsets
    state: bytes
    seq: int  # number of the commit, from 1


class Record(NamedTuple):
    """One record of an output stream; `seq` grows along the stream (predictions, outcomes: by one, from 1)."""

    seq: int
    id: str
    key: str
    time_ms: int
    value: bytes  # UTF-8 JSON


class Block(NamedTuple):
    """Predictions or outcomes as they are stored; `ids`: by what `find` knows the blocks that it must open."""

    stream: str
    rows: int
    checksum: bytes
    ids: bytes
    data: bytes


def packed(outputs: Outputs) -> list[Block]:
    """Predictions and outcomes as blocks; any thread may make them before their commit is due."""
    parts: dict[str, list[Any]] = {"predictions": outputs.predictions, "outcomes": outputs.outcomes}
    return [_packed(stream, some) for stream, some in parts.items() if any(len(part.id) for part in some)]


class Log:
    """The log at `path`; with `write`, the only writer of it until `close` or the end of the process.

    Raises StateError, with what to do, when the file is missing (readers), locked by another process (writers),
    foreign, of another version, damaged, or when the disk is full. Threads take turns at it.
    """

    def __init__(self, path: str | os.PathLike[str], *, write: bool = False) -> None:
        self.path = Path(path).resolve()
        if self.path.is_dir():
            raise StateError(f"{self.path} is a folder: name a file for the log")
        if not write and not self.path.exists():
            raise NoLogError(self.path)
        self._file = SqliteFile(self.path, FORMAT, write=write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the lock."""
        self._file.close()

    def commit(
        self,
        outputs: Outputs,
        position: dict[str, Any],
        order: bytes,
        state: bytes,
        header: dict[str, Any],
        ahead: Sequence[Block] = (),
    ) -> None:
        """Append one batch in one transaction; after a StateError nothing of it stands and it may be tried again.

        `order` holds EVENT, LABEL or CONTROL, one byte per record taken. `ahead`: predictions and outcomes that come
        before those of `outputs`.
        """
        filled = [
            *self._filled("predictions", ahead, outputs.predictions),
            *self._filled("outcomes", ahead, outputs.outcomes),
        ]
        plain = [m for m in outputs.messages if m.stream != "features"]
        newest: dict[str, Message] = {}
        for message in outputs.messages:
            if message.stream == "features":
                newest.pop(message.key, None)  # the order is that of the last change, wherever the commits are cut
                newest[message.key] = message
        with self._file.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?)", filled)
            db.executemany(
                "INSERT INTO messages (stream, id, key, time_ms, value) VALUES (?, ?, ?, ?, ?)",
                [(m.stream, m.id, m.key, m.time_ms, m.value) for m in plain],
            )
            db.executemany(
                "INSERT OR REPLACE INTO features (id, key, time_ms, value) VALUES (?, ?, ?, ?)",
                [(m.id, m.key, m.time_ms, m.value) for m in newest.values()],
            )
            seq = db.execute("INSERT INTO commits VALUES (NULL, ?)", (zlib.compress(order, 1),)).lastrowid
            row = (seq, msgspec.json.encode(header), msgspec.json.encode(position), state)
            db.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?, ?, ?)", row)

    def send_control(self, value: bytes) -> int:
        """Append a command, also while another process is the writer; returns its number: 1, 2, … without gaps."""
        return self._file.append("INSERT INTO controls (value) VALUES (?)", value)

    def load(self) -> Saved | None:
        """Return what the newest commit left, None before the first."""
        for seq, header, position, state in self._file.rows("SELECT seq, header, position, state FROM state"):
            with self._intact("the row of the state"):
                return Saved(msgspec.json.decode(header), msgspec.json.decode(position), state, seq)
        return None

    def header(self) -> dict[str, Any]:
        """Return what the newest commit says of itself: `name` and digest (`config`) of the configuration."""
        for (header,) in self._file.rows("SELECT header FROM state"):
            with self._intact("the header of the state"):
                return msgspec.json.decode(header, type=dict[str, Any])
        return {}

    def read(self, stream: str, after: int = 0) -> Iterator[Record]:
        """Yield what a stream holds behind `after`, the `seq` of a record, up to its present end.

        To follow, call again with the last `seq`. `features`: the newest per key, in the order of their change.
        """
        if stream in UNPACK:
            for first, part in self.parts(stream, after):
                yield from _records(stream, part, first)
            return
        query = READ_FEATURES if stream == "features" else READ_MESSAGES
        while page := self._file.page(query, after, stream, PAGE_ROWS):
            yield from map(Record._make, page)
            after = page[-1][0]

    def page(self, after: int) -> list[tuple[str, Record]]:
        """Return the next records of all streams but predictions, outcomes, features and archive, with their stream.

        PAGE_ROWS of them, in the order in which they were written; none at the present end.
        """
        page = self._file.page(READ_ALL, after, PAGE_ROWS)
        return [(stream, Record(seq, name, key, time_ms, value)) for seq, name, stream, key, time_ms, value in page]

    def end(self) -> tuple[int, int]:
        """Return the largest `seq` of `page`'s streams and the number of the newest commit, 0 if there is none."""
        ((seq, commit),) = self._file.rows("SELECT (SELECT max(seq) FROM messages), (SELECT max(seq) FROM commits)")
        return seq or 0, commit or 0

    def find(self, event_id: str) -> dict[str, list[Any]]:
        """Return the decoded predictions, outcomes and dead letters of one event.

        Reads 8 bytes per event of the log and opens only the blocks that hold the id: 5 million events in < 0.5 s.
        """
        letters = "SELECT value FROM messages WHERE stream = 'dead-letters' AND key = ? ORDER BY seq"
        with self._file.snapshot():
            hits = self._find_in_blocks("predictions", blocks.hash_of(event_id))
            predictions = [prediction for prediction in hits if prediction["id"] == event_id]
            offsets = [prediction["offset"] for prediction in predictions]
            return {
                "predictions": predictions,
                "outcomes": [o for at in offsets for o in self._find_in_blocks("outcomes", at) if o["id"] == event_id],
                "dead_letters": [msgspec.json.decode(value) for (value,) in self._file.rows(letters, event_id)],
            }

    def features(self, by: str | None = None, key: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the newest features, decoded: all, or those whose members `by` and `key` equal the given ones."""
        for (data,) in self._file.rows("SELECT value FROM features ORDER BY key"):
            value = msgspec.json.decode(data, type=dict[str, Any])
            if by in (None, value.get("by")) and key in (None, value.get("key")):
                yield value

    def controls(self, after: int) -> list[bytes]:
        """Return the commands whose number is above `after`, which is how many were taken before.

        Waits for no commit of another thread; is called by one thread only.
        """
        query = "SELECT value FROM controls WHERE seq > ? ORDER BY seq"
        return [value for (value,) in self._file.rows_beside(query, after)]

    def interleaving(self, after: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield, commit by commit behind `after`, the order in which records were taken: EVENT, LABEL or CONTROL."""
        seq = after
        query = "SELECT seq, interleaving FROM commits WHERE seq > ? ORDER BY seq LIMIT ?"
        while page := self._file.page(query, seq, PAGE_ROWS):
            for _, order in page:
                with self._intact("an interleaving"):
                    taken = np.frombuffer(zlib.decompress(order), np.uint8)
                yield taken
            seq = page[-1][0]

    def digest(self) -> dict[str, str]:
        """Return the SHA-256 of the (id, key, value) of all records, for each stream that has any; 3 µs a record.

        `features`: of the newest values, by key. `archive` is left out: pickles of equal models may differ.
        """
        streams = {stream for (stream,) in self._file.rows("SELECT DISTINCT stream FROM messages")} - {"archive"}
        present = [stream for stream in sorted(streams | {*UNPACK, "features"}) if self.count(stream)]
        return {stream: self._digest_of(stream) for stream in present}

    def count(self, stream: str) -> int:
        """Return how many records a stream holds; `features`: how many keys."""
        if stream in UNPACK:
            ((count,),) = self._file.rows("SELECT max(last) FROM blocks WHERE stream = ?", stream)
        elif stream == "features":
            ((count,),) = self._file.rows("SELECT count(*) FROM features")
        else:
            ((count,),) = self._file.rows("SELECT count(*) FROM messages WHERE stream = ?", stream)
        return count or 0

    @property
    def size_bytes(self) -> int:
        """Size on disk, the write-ahead log included."""
        return self._file.size_bytes

    def _filled(self, stream: str, ahead: Sequence[Block], parts: list[Any]) -> Iterator[tuple[Any, ...]]:
        """Make the rows of new blocks; what is not packed yet is packed with the last one if that is small."""
        made = [block for block in ahead if block.stream == stream]
        seq, before = None, 0
        if any(len(part.id) for part in parts):
            newest = "SELECT seq, last, rows, checksum, data FROM blocks WHERE stream = ? ORDER BY last DESC LIMIT 1"
            for row, last, rows, checksum, data in [] if made else self._file.rows(newest, stream):
                if rows < MIN_BLOCK_ROWS:
                    seq, before, parts = row, last - rows, [*self._unpacked(stream, checksum, data), *parts]
            made.append(_packed(stream, parts))
        before = before if seq else self.count(stream)
        for block in made:
            before += block.rows
            yield seq, stream, before, *block[1:]

    def _unpacked(self, stream: str, checksum: bytes, data: bytes) -> list[Any]:
        if xxhash.xxh3_64_digest(data) != checksum:
            raise StateError(damaged(self.path, f"a block of {stream} does not match its checksum"))
        parts: list[Any] = UNPACK[stream](data)
        return parts

    def parts(self, stream: str, after: int = 0) -> Iterator[tuple[int, Predictions | Outcomes]]:
        """Yield what `read` does for predictions or outcomes, by columns, each part with the records before it."""
        query = "SELECT last - rows, checksum, data FROM blocks WHERE stream = ? AND last > ? ORDER BY last LIMIT 1"
        while page := self._file.rows(query, stream, after):
            first, checksum, data = page[0]
            for part in self._unpacked(stream, checksum, data):
                seen = min(max(after - first, 0), len(part.id))
                yield first + seen, blocks.cut(part, seen) if seen else part
                first += len(part.id)
            after = first

    def _find_in_blocks(self, stream: str, key: int) -> Iterator[Any]:
        """Yield the records whose key in the blocks' index is this one: the hash of the id, or the event's offset."""
        last = 0
        query = "SELECT last, seq, ids FROM blocks WHERE stream = ? AND last > ? ORDER BY last LIMIT ?"
        while page := self._file.page(query, stream, last, PAGE_ROWS):
            for seq in [seq for _, seq, ids in page if blocks.may_hold(ids, key)]:
                for checksum, data in self._file.rows("SELECT checksum, data FROM blocks WHERE seq = ?", seq):
                    for part in self._unpacked(stream, checksum, data):
                        rows = np.flatnonzero(blocks.keys([part]) == key)
                        yield from map(msgspec.json.decode, blocks.take(part, rows).values())
            last = page[-1][0]

    def _digest_of(self, stream: str) -> str:
        digest = hashlib.sha256()
        if stream == "features":
            records: Any = self._file.rows("SELECT id, key, value FROM features ORDER BY key")
        else:
            records = ((record.id, record.key, record.value) for record in self.read(stream))
        for name, key, value in records:
            head = name.encode(), key.encode()
            # the lengths in front keep "x", "yz" apart from "xy", "z"
            digest.update(b"%d %d %d %b%b%b" % (len(head[0]), len(head[1]), len(value), *head, value))
        return digest.hexdigest()

    @contextmanager
    def _intact(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, zlib.error) as error:
            raise StateError(damaged(self.path, f"{what} cannot be decoded")) from error


def _packed(stream: str, parts: list[Any]) -> Block:
    data = PACK[stream](parts)
    rows = sum(len(part.id) for part in parts)
    return Block(stream, rows, xxhash.xxh3_64_digest(data), blocks.index(parts), data)


def _records(stream: str, part: Predictions | Outcomes, first: int) -> Iterator[Record]:
    numbers = range(first + 1, first + 1 + len(part.id))
    columns = zip(numbers, part.offset.tolist(), part.id, part.time_ms.tolist(), part.values(), strict=True)
    for seq, offset, key, time_ms, value in columns:
        yield Record(seq, f"{stream}-0-{offset}", key, time_ms, value)
