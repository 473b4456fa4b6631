"""A board kept up to date from the embedded log, and its cache beside the log: `<state>.board`, which may be deleted.

The cache holds the board as it stood at one record. It is taken when it is whole, of this format and configuration, and
its record is the log's: then only what was written since has to be read.
"""

import contextlib
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from stream_app.board.asked import Around
from stream_app.board.fold import FORMAT, Board
from stream_app.config import Config, digest
from stream_app.edges.log import Log, Record
from stream_app.edges.sqlite_file import NoLogError
from stream_app.errors import StateError

SAVED_S = 60.0  # between two writings of the cache: it costs what some thousand records cost
LIVE_S = 30.0  # without a commit for so long the run has ended, as far as anyone can see
RATE_S = 10.0  # over which the rate of now is counted
CHECKSUM = 8  # bytes in front of the cache
REST = 10_000  # records behind the log that nobody has to be told of


class LogFeed:
    """`take` reads on; `board` is what is known so far."""

    def __init__(self, config: Config, path: Path) -> None:
        self.config, self.path, self.cache = config, path.resolve(), beside(path.resolve())
        self.board = Board(config)
        self.changes = 0  # one more whenever the board has changed
        self._log: Log | None = None
        self._inode = (0, 0)
        self._problem = ""  # with the cache
        self._foreign = False  # the log is of another configuration
        self._forget()

    def _forget(self) -> None:
        self._at = self._end = self._commit = 0
        self._mark = b""  # of the record at which the board stands
        self._saved_at, self._saved_s = 0, time.monotonic()
        self._taken: deque[tuple[float, int]] = deque()  # when, and how many records
        self._heard_s: float | None = None

    async def take(self) -> int:
        """Reads a page; returns of how many records. StateError if the log cannot be read."""
        log = self._opened()
        if log is None:
            return 0
        page = log.page(self._at)
        self._end, commit = log.end()
        self._count(log, commit)
        for stream, record in page:
            self.board.take(stream, 0, record)
        if page:
            self._at, self._mark = page[-1][1].seq, _mark(page[-1][1])
            self.changes += 1
        elif self._at != self._saved_at and time.monotonic() - self._saved_s > SAVED_S:
            self.save()
        return len(page)

    async def behind(self) -> int:
        """How many records of the log are still to be read."""
        return self._end - self._at

    def around(self) -> Around:
        """How the stream stands."""
        now = time.monotonic()
        while self._taken and self._taken[0][0] < now - RATE_S:
            self._taken.popleft()
        live = self._heard_s is not None and now - self._heard_s < LIVE_S
        status = "waiting" if not self._end and not live else "live" if live else "ended"
        rate = sum(n for _, n in self._taken) / RATE_S if live else None
        return Around(status=status, notices=tuple(self._notices()), rate_now=rate)

    async def send(self, _shard: int, command: bytes) -> int:
        """Puts a command into the log; returns its number."""
        if self._log is None:
            raise StateError(f"there is no log {self.path} yet")
        return self._log.send_control(command)

    async def close(self) -> None:
        """Writes the cache and releases the log."""
        if self._log is not None:
            if self._at != self._saved_at:
                self.save()
            self._log.close()
            self._log = None

    def save(self) -> None:
        """Writes the cache; if that fails, a notice says so."""
        state = {"stamp": self._stamp(), "at": self._at, "mark": self._mark, "board": self.board.to_state()}
        data = msgspec.msgpack.encode(state)
        part = self.cache.with_name(f"{self.cache.name}.part")
        try:
            part.write_bytes(xxhash.xxh3_64_digest(data) + data)
            part.replace(self.cache)
            self._problem = ""
        except OSError as error:
            self._problem = f"{self.cache} cannot be written ({error.strerror}): each start reads the whole log"
        self._saved_at, self._saved_s = self._at, time.monotonic()

    def _opened(self) -> Log | None:
        """The log; None while there is none. One that was made anew is begun anew."""
        with contextlib.suppress(FileNotFoundError, NoLogError):  # a run is just about to make it
            found = self.path.stat()
            inode = found.st_dev, found.st_ino
            if self._log is not None and inode == self._inode:
                return self._log
            if self._log is not None:
                self._log.close()
                self._log, self.board = None, Board(self.config)
                self._forget()
            if found.st_size:
                self._log = Log(self.path)
                self._inode = inode
                self._end, self._commit = self._log.end()
                self._foreign = self._log.header().get("config") not in (None, digest(self.config))
                self._load(self._log)
        return self._log

    def _load(self, log: Log) -> None:
        """The board from the cache, if that is of this log."""
        with contextlib.suppress(OSError, msgspec.MsgspecError, KeyError, TypeError, AttributeError):
            data = self.cache.read_bytes()
            if xxhash.xxh3_64_digest(data[CHECKSUM:]) != data[:CHECKSUM]:
                return
            state: dict[str, Any] = msgspec.msgpack.decode(memoryview(data)[CHECKSUM:])
            at = int(state["at"])
            page = log.page(at - 1)
            if state["stamp"] != self._stamp() or not page or page[0][1].seq != at:
                return
            if _mark(page[0][1]) == state["mark"]:
                self.board.load(state["board"])
                self._at = self._saved_at = at
                self._mark = state["mark"]
                self.changes += 1

    def _stamp(self) -> list[Any]:
        return [FORMAT, digest(self.config)]

    def _count(self, log: Log, commit: int) -> None:
        """How many records the commits since the last look have taken."""
        if commit > self._commit:
            taken = sum(len(order) for order in log.interleaving(self._commit))
            self._commit, self._heard_s = commit, time.monotonic()
            self._taken.append((self._heard_s, taken))

    def _notices(self) -> list[str]:
        if self._log is None:
            return [f"there is no log {self.path} yet: `driftline run` writes it"]
        behind = self._end - self._at
        reading = f"the log is being read: {self._at / self._end:.0%} of it is in these figures" if behind > 0 else ""
        foreign = "this log was written under another configuration than the one shown" if self._foreign else ""
        return [notice for notice in (reading if behind > REST else "", self._problem, foreign) if notice]


def beside(state: Path) -> Path:
    """The cache of a log.

    >>> beside(Path("flights.db")).name
    'flights.board'
    """
    return state.with_name(f"{state.stem}.board")


def _mark(record: Record) -> bytes:
    """What tells one record from another at the same place of another log."""
    return xxhash.xxh3_64_digest(record.id.encode() + b"\0" + record.value)
