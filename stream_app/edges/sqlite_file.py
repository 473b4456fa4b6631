"""One SQLite file with one writer and many readers, every failure explained to the operator.

A killed process loses nothing that was committed: pages of a transaction are in the kernel before it counts.
synchronous=NORMAL leaves out the wait for the disk at each commit: a power cut may take back the last commits, whole
ones, and as source position and outputs go together, the next run makes them again.
"""

import errno
import fcntl
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from stream_app.errors import StateError

BUSY_TIMEOUT_S = 30.0  # a commit takes milliseconds; this bounds the wait behind a checkpoint to a slow disk
FOLD_TIMEOUT_S = 1.0  # at the end of a run, for readers, whose pages take milliseconds
PAGE_BYTES = 8 << 20  # a page of rows holds at most this much, and one row more
WAL_PAGES = 8000  # 32 MB between checkpoints: each waits twice for the disk and writes all changed pages again
WAL_BYTES = 64 << 20  # a longer write-ahead log, left by one large commit, is cut back to this
FULL_BYTES = 1 << 20  # with less free space than this an I/O error is a full disk


class Format(NamedTuple):
    """What a file must be: the marks in its header and the statements that make an empty one."""

    application_id: int
    version: int
    schema: str


class SqliteFile:
    """An open file; with `write`, no other process has it open for writing until `close` or this process ends.

    Threads take turns: a call waits for a transaction of another one.
    Raises StateError, saying what to do, from every method.
    """

    def __init__(self, path: Path, form: Format, *, write: bool) -> None:
        self.path = path
        self._lock: int | None = None
        self._turn = threading.RLock()
        self._db = self._connect("rwc" if write else "ro")
        self._beside: sqlite3.Connection | None = None
        try:
            self._check(form, write=write)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the file and the lock; the writer, or the last to close, folds the write-ahead log into the file."""
        if self._beside is not None:
            self._beside.close()
        if self._lock is not None:
            self._fold()
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _fold(self) -> None:
        """Leave nothing in the write-ahead log, as people copy the file alone; a reader at work can prevent it."""
        with suppress(sqlite3.Error):  # what is committed is safe where it is
            self._db.execute(f"PRAGMA busy_timeout = {FOLD_TIMEOUT_S * 1000:.0f}")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Return all rows."""
        with self._turn, self._explained(), closing(self._db.execute(query, values)) as cursor:
            return cursor.fetchall()

    def rows_beside(self, query: str, *values: Any) -> list[Any]:
        """Return all rows without waiting for another thread's transaction; for one thread only."""
        with self._explained():
            if self._beside is None:
                self._beside = self._connect("ro")
            return self._beside.execute(query, values).fetchall()

    def page(self, query: str, *values: Any) -> list[Any]:
        """Return the first rows, until their last columns hold PAGE_BYTES; none only if there is none."""
        found: list[Any] = []
        size = 0
        with self._turn, self._explained(), closing(self._db.execute(query, values)) as cursor:
            for row in cursor:
                found.append(row)
                size += len(row[-1])
                if size >= PAGE_BYTES:
                    break
        return found

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all or nothing."""
        with self._turn, self._explained(), _transaction(self._db, "BEGIN IMMEDIATE"):
            yield self._db

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads inside see the same commit; keep it short, the write-ahead log grows meanwhile."""
        with self._turn, self._explained(), _transaction(self._db, "BEGIN"):
            yield

    def append(self, statement: str, *values: Any) -> int:
        """Insert one row, whoever holds the lock, in a transaction of its own; returns its number."""
        with closing(self._connect("rw")) as other, self._explained(), _transaction(other, "BEGIN IMMEDIATE"):
            return other.execute(statement, values).lastrowid or 0

    @property
    def size_bytes(self) -> int:
        """Size on disk, the write-ahead log included."""
        size = 0
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                size += Path(f"{self.path}{suffix}").stat().st_size
        return size

    def _connect(self, mode: str) -> sqlite3.Connection:
        with self._explained():
            uri = f"{self.path.as_uri()}?mode={mode}"
            return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)

    def _check(self, form: Format, *, write: bool) -> None:
        version = self._version(form)  # before the lock, so that a foreign file gets no lock file beside it
        if write:
            self._lock = self._locked()
            self._prepare(form)
        elif not version:
            raise NoLogError(self.path)

    def _version(self, form: Format) -> int:
        """Return the version of the schema, 0 for an empty file."""
        with self.snapshot():
            ((found,),) = self.rows("PRAGMA application_id")
            ((version,),) = self.rows("PRAGMA user_version")
            ((tables,),) = self.rows("SELECT count(*) FROM sqlite_master")
        if not (found or version or tables):
            return 0
        if found != form.application_id:
            raise StateError(f"{self.path} is a database of another program: give --state another file")
        if version != form.version:
            raise StateError(
                f"{self.path} was written by another version of driftline (format {version}, this one has "
                f"{form.version}): use that version, or give --state another file and run again from the source"
            )
        return int(version)

    def _locked(self) -> int:
        beside = f"{self.path}.lock"
        with self._explained():
            descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released by the kernel, even on kill -9
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace") or "unknown"
                os.close(descriptor)
                raise StateError(
                    f"{self.path} is being written by process {holder}: "
                    "wait for it, stop it, or give --state another file"
                ) from error
            except OSError:
                os.close(descriptor)
                raise
        return descriptor

    def _prepare(self, form: Format) -> None:
        with self._explained():
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
            self._db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        if not self._version(form):  # asked again: another process may have made it before the lock was ours
            with self.transaction() as db:
                for statement in form.schema.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {form.application_id}")
                db.execute(f"PRAGMA user_version = {form.version}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            message = self._explain(error)
            if message is None:
                raise
            raise StateError(message) from error

    def _explain(self, error: sqlite3.Error | OSError) -> str | None:
        """Say what happened and what to do; None for what only a mistake in the code can cause."""
        if isinstance(error, OSError):
            code = sqlite3.SQLITE_FULL if error.errno == errno.ENOSPC else sqlite3.SQLITE_CANTOPEN
        else:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
        if str(error).startswith("Could not decode to UTF-8"):  # Python's own error about a text cell, without a code
            code = sqlite3.SQLITE_CORRUPT
        if code == sqlite3.SQLITE_IOERR and shutil.disk_usage(self.path.parent).free < FULL_BYTES:
            code = sqlite3.SQLITE_FULL
        match code:
            case sqlite3.SQLITE_FULL:
                return (
                    f"disk full: could not write to {self.path}; nothing is lost, the last commit stands: "
                    "free some space and run again"
                )
            case sqlite3.SQLITE_CORRUPT:
                return damaged(self.path, str(error))
            case sqlite3.SQLITE_NOTADB:
                return f"{self.path} is not a driftline log: give --state another file"
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return f"{self.path} was kept busy by another process for {BUSY_TIMEOUT_S:.0f} s: stop it and run again"
            case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
                return f"cannot use {self.path} ({error}): check that its folder exists and is yours to read and write"
        return None


def damaged(path: Path, detail: str) -> str:
    """Message about a file that is a log but cannot be read."""
    return (
        f"{path} is damaged ({detail}): restore a copy, or move it and its -wal and -shm files away "
        "and run again, which makes it anew from the source"
    )


class NoLogError(StateError):
    """A reader came before the first run."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"no log yet at {path}; run `driftline run CONFIG` first, or give its file with --state")


@contextmanager
def _transaction(db: sqlite3.Connection, begin: str) -> Iterator[None]:
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back after some errors
            db.execute("ROLLBACK")
        raise
