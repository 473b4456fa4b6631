"""The file of a log: what is left of it behind its writer. How it is read and written is in test_log."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from waiting import TIMEOUT_S

from stream_app.edges.sqlite_file import Format, SqliteFile

FORM = Format(7, 1, "CREATE TABLE numbers (n INTEGER)")
COUNT = "SELECT count(*) FROM numbers"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Of a file that holds one row."""
    write(tmp_path / "log.db")
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as db:
        assert db.execute(COUNT).fetchone() == (1,)
        yield db


def write(path: Path) -> None:
    file = SqliteFile(path, FORM, write=True)
    with file.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (1)")
    file.close()


def rows(path: Path) -> int:
    file = SqliteFile(path, FORM, write=False)
    ((count,),) = file.rows(COUNT)
    file.close()
    return int(count)


def test_behind_its_writer_a_copy_of_the_file_alone_is_whole(reader: sqlite3.Connection, tmp_path: Path) -> None:
    write(tmp_path / "log.db")
    (tmp_path / "copy.db").write_bytes((tmp_path / "log.db").read_bytes())

    assert rows(tmp_path / "copy.db") == 2
    assert reader.execute(COUNT).fetchone() == (2,)


def test_a_reader_at_work_does_not_keep_the_writer_from_its_end(reader: sqlite3.Connection, tmp_path: Path) -> None:
    reader.execute("BEGIN")
    reader.execute(COUNT).fetchone()
    began = time.monotonic()
    write(tmp_path / "log.db")

    assert time.monotonic() - began < TIMEOUT_S / 2
    assert reader.execute(COUNT).fetchone() == (1,)
    reader.execute("COMMIT")
    assert rows(tmp_path / "log.db") == 2
