"""The outbox: how far each receiver has come in the log of a file, in a SQLite file beside it, and what was given up.

    log NAME.db → outbox NAME.notify.db

It has one writer, so that two processes do not deliver the same. A receiver that is new begins behind what the log
holds then. The log may be deleted and made anew: a place that it does not hold is not taken for one of it.
"""

import contextlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

from stream_app.config import Notify
from stream_app.edges import journal
from stream_app.edges.deliverer import Delivery
from stream_app.edges.log import Log, Record
from stream_app.edges.notices import Event, Follower, Notice
from stream_app.edges.sqlite_file import Format, SqliteFile

FORMAT = Format(
    application_id=0x6472666E,  # "drfn"
    version=1,
    schema="""
CREATE TABLE places (receiver TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (receiver, stream));
CREATE TABLE waiting (receiver TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, attempts INTEGER NOT NULL,
    PRIMARY KEY (receiver, stream, seq));
CREATE TABLE dead (number INTEGER PRIMARY KEY AUTOINCREMENT, receiver TEXT NOT NULL, stream TEXT NOT NULL,
    id TEXT NOT NULL, key TEXT NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL, value BLOB NOT NULL)
""",
)


class Dead(NamedTuple):
    """A notification that was given up; its record is that of the stream."""

    number: int
    receiver: str
    stream: str
    record: Record
    attempts: int
    reason: str


def beside(state: Path) -> Path:
    """The outbox of a log.

    >>> beside(Path("flights.db")).name
    'flights.notify.db'
    """
    return state.with_name(f"{state.stem}.notify.db")


class Outbox:
    """The file, for one thread; `write`: its only writer. StateError, saying what to do, where it cannot be used."""

    def __init__(self, state: Path, *, write: bool = True) -> None:
        self._file = SqliteFile(beside(state.resolve()), FORMAT, write=write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def places(self, receiver: str) -> dict[str, tuple[int, str]]:
        """For each stream the number and the id of the last record that was taken; 0 and "" before the first."""
        rows = self._file.rows("SELECT stream, seq, id FROM places WHERE receiver = ?", receiver)
        return {stream: (seq, name) for stream, seq, name in rows}

    def waiting(self, receiver: str, stream: str) -> dict[int, int]:
        """Attempts at each record that was taken and not delivered."""
        query = "SELECT seq, attempts FROM waiting WHERE receiver = ? AND stream = ?"
        return dict(self._file.rows(query, receiver, stream))

    def place(self, receiver: str, stream: str, last: tuple[int, str], taken: list[int]) -> None:
        """All records up to `last` are taken; those of the numbers `taken` are to be delivered."""
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)", (receiver, stream, *last))
            db.executemany("INSERT INTO waiting VALUES (?, ?, ?, 0)", [(receiver, stream, seq) for seq in taken])

    def forget(self, receiver: str, stream: str) -> None:
        """What is known of a stream is of another log."""
        with self._file.transaction() as db:
            for table in ("places", "waiting"):
                db.execute(f"DELETE FROM {table} WHERE receiver = ? AND stream = ?", (receiver, stream))  # noqa: S608

    def tried(self, receiver: str, stream: str, seq: int, attempts: int) -> None:
        with self._file.transaction() as db:
            values = (attempts, receiver, stream, seq)
            db.execute("UPDATE waiting SET attempts = ? WHERE receiver = ? AND stream = ? AND seq = ?", values)

    def done(self, receiver: str, stream: str, seq: int, dead: tuple[Any, ...] | None = None) -> None:
        """It waits no longer; `dead` (id, key, attempts, reason, value): because it was given up."""
        with self._file.transaction() as db:
            where = "receiver = ? AND stream = ? AND seq = ?"
            db.execute(f"DELETE FROM waiting WHERE {where}", (receiver, stream, seq))  # noqa: S608
            if dead is not None:
                db.execute("INSERT INTO dead VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", (receiver, stream, *dead))

    def dead(self) -> list[Dead]:
        """All that was given up and not delivered since."""
        rows = self._file.rows("SELECT number, receiver, stream, attempts, reason, id, key, value FROM dead")
        return [
            Dead(number, receiver, stream, Record(number, name, key, 0, value), attempts, reason)
            for number, receiver, stream, attempts, reason, name, key, value in rows
        ]

    def revived(self, number: int) -> None:
        """One of them has been delivered."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM dead WHERE number = ?", (number,))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a delivery stands."""

    stream: str
    record: Record


class LogFeed:
    """One receiver over a log: goes on where the outbox says. `everything`: a receiver that is new begins at the start.

    Memory: the notices in hand and an event for each open incident; a log's alerts are read once at the start.
    """

    def __init__(self, name: str, notify: Notify, log: Log, outbox: Outbox, *, everything: bool = False) -> None:
        self.name, self._log, self._outbox = name, log, outbox
        self.waiting: list[Delivery] = []
        self.ended = False
        self._follower = Follower(notify)
        known = outbox.places(name)
        self._last: dict[str, tuple[int, str]] = {}
        for stream in notify.streams:
            self._last[stream] = self._resumed(stream, known.get(stream), everything=everything)
        self.waiting.sort(key=lambda delivery: delivery.place.record.seq)

    def _resumed(self, stream: str, known: tuple[int, str] | None, *, everything: bool) -> tuple[int, str]:
        if known is not None and known[0] and not self._holds(stream, *known):
            journal.warn("the log is not the one of before: its receiver begins anew", receiver=self.name)
            self._outbox.forget(self.name, stream)
            known = (0, "")
        if known is None and everything:
            known = (0, "")
        attempts = self._outbox.waiting(self.name, stream)
        last = (0, "")
        for record in self._log.read(stream):
            if known is not None and record.seq > known[0]:
                break
            last = (record.seq, record.id)
            notice = self._notice(stream, record)
            if notice is not None and record.seq in attempts:
                self.waiting.append(Delivery(notice, Place(stream, record), attempts.pop(record.seq)))
        for seq in attempts:  # no longer of its concern: it is configured otherwise now
            self._outbox.done(self.name, stream, seq)
        if known is None:
            self._outbox.place(self.name, stream, last, [])
        return last

    def _holds(self, stream: str, seq: int, name: str) -> bool:
        found = next(self._log.read(stream, seq - 1), None)
        return found is not None and (found.seq, found.id) == (seq, name)

    def _notice(self, stream: str, record: Record) -> Notice | None:
        try:
            return self._follower.take(stream, record)
        except ValueError as error:
            journal.warn("a record that is no notification was left out", stream=stream, seq=record.seq, reason=error)
            return None

    async def take(self, most: int) -> None:
        ended = True
        for stream, last in self._last.items():
            records = list(islice(self._log.read(stream, last[0]), most))
            if not records:
                continue
            found = [(record, self._notice(stream, record)) for record in records]
            new = [Delivery(notice, Place(stream, record)) for record, notice in found if notice is not None]
            self._last[stream] = (records[-1].seq, records[-1].id)
            self._outbox.place(self.name, stream, self._last[stream], [each.place.record.seq for each in new])
            self.waiting += new
            ended = ended and len(records) < most
        self.ended = ended

    async def delivered(self, delivery: Delivery) -> None:
        self._outbox.done(self.name, delivery.place.stream, delivery.place.record.seq)
        self._remove(delivery)

    async def failed(self, delivery: Delivery) -> None:
        self._outbox.tried(self.name, delivery.place.stream, delivery.place.record.seq, delivery.attempts)

    async def given_up(self, delivery: Delivery, reason: str) -> None:
        stream, record = delivery.place.stream, delivery.place.record
        dead = (record.id, record.key, delivery.attempts, reason, record.value)
        self._outbox.done(self.name, stream, record.seq, dead)
        self._remove(delivery)

    def open(self) -> list[Event]:
        return list(self._follower.open.values())

    def backlog(self) -> int:
        """How many of those in hand and of the records behind them are not delivered."""
        behind = sum(1 for stream, (seq, _) in self._last.items() for _ in self._log.read(stream, seq))
        return len(self.waiting) + behind

    def _remove(self, delivery: Delivery) -> None:
        with contextlib.suppress(ValueError):
            self.waiting.remove(delivery)
