"""A board from the log and its cache: the same figures as without one, whatever has become of either file."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from boards import board_of
from runs import configured, in_process, jsonl, rows
from serving import caught_up

from stream_app.board.fold import Board
from stream_app.board.views import VIEWS, document
from stream_app.config import Config, load
from stream_app.edges.log import Log
from stream_app.edges.log_feed import LogFeed

Spoil = Callable[[Path, Path], None]  # the cache, the log


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration whose input has 600 events."""
    (tmp_path / "events.jsonl").write_bytes(jsonl(rows(3, 600)))
    made = configured(tmp_path, "events.jsonl")
    made.write_text(made.read_text() + '[panes]\nwidth = "1s"\n')
    return made


def read(config: Config, state: Path, *, keep: bool = True) -> tuple[int, Board]:
    """How many records had to be read, and the board."""

    async def work() -> tuple[int, Board]:
        feed = LogFeed(config, state)
        count = await caught_up(feed)
        if keep:
            await feed.close()
        return count, feed.board

    return asyncio.run(work())


def total(state: Path) -> int:
    with Log(state) as log:
        return sum(log.count(stream) for stream in ("metrics", "alerts", "triggers", "models", "dead-letters", "panes"))


def same(one: Board, other: Board) -> bool:
    return all(document(one, view) == document(other, view) for view in VIEWS)


def test_what_was_read_is_not_read_again(file: Path, tmp_path: Path) -> None:
    config, state = load(file), tmp_path / "log.db"
    in_process(file, state)
    first, _ = read(config, state)
    again, board = read(config, state)
    with (tmp_path / "events.jsonl").open("ab") as events:
        events.write(jsonl(rows(3, 1000)[600:]))
    in_process(file, state)
    more, after = read(config, state)

    assert first == total(state) - more > more > 0
    assert again == 0
    assert board.shards[0].figures.counts.records == 512
    assert same(after, board_of(config, state))


def _garbage(cache: Path, _: Path) -> None:
    cache.write_bytes(b"garbage")


def _empty(cache: Path, _: Path) -> None:
    cache.write_bytes(b"")


def _bit(cache: Path, _: Path) -> None:
    data = bytearray(cache.read_bytes())
    data[len(data) // 2] ^= 1
    cache.write_bytes(data)


def _folder(cache: Path, _: Path) -> None:
    cache.unlink()
    cache.mkdir()


def _lost(_: Path, state: Path) -> None:
    """The log is another one, of other records, and as long."""
    state.unlink()
    folder = state.parent
    (folder / "events.jsonl").write_bytes(jsonl(rows(4, 600)))
    in_process(folder / "c.toml", state)


def _shorter(_: Path, state: Path) -> None:
    state.unlink()
    folder = state.parent
    (folder / "events.jsonl").write_bytes(jsonl(rows(3, 150)))
    in_process(folder / "c.toml", state)


@pytest.mark.parametrize("spoil", [_garbage, _empty, _bit, _folder, _lost, _shorter])
def test_a_cache_that_is_not_of_this_log_is_not_taken(file: Path, tmp_path: Path, spoil: Spoil) -> None:
    config, state = load(file), tmp_path / "log.db"
    in_process(file, state)
    read(config, state)
    spoil(tmp_path / "log.board", state)
    count, board = read(config, state)

    assert count == total(state)
    assert same(board, board_of(config, state))


def test_a_cache_of_another_configuration_is_not_taken(file: Path, tmp_path: Path) -> None:
    state = tmp_path / "log.db"
    in_process(file, state)
    read(load(file), state)
    file.write_text(file.read_text().replace("window = 50", "window = 51"))

    async def work() -> None:
        feed = LogFeed(load(file), state)
        assert await caught_up(feed) == total(state)
        assert any("another configuration" in notice for notice in feed.around().notices)
        await feed.close()

    asyncio.run(work())


def test_a_log_may_come_later_and_be_made_anew(file: Path, tmp_path: Path) -> None:
    config, state = load(file), tmp_path / "log.db"

    async def work() -> None:
        feed = LogFeed(config, state)
        assert await caught_up(feed) == 0
        assert feed.around().status == "waiting"
        assert "driftline run" in feed.around().notices[0]
        in_process(file, state)
        assert await caught_up(feed) == total(state)
        _lost(tmp_path / "log.board", state)
        assert await caught_up(feed) == total(state)
        assert same(feed.board, board_of(config, state))
        await feed.close()

    asyncio.run(work())


def test_a_cache_that_cannot_be_written_is_said(file: Path, tmp_path: Path) -> None:
    config, state = load(file), tmp_path / "log.db"
    in_process(file, state)
    (tmp_path / "log.board.part").mkdir()

    async def work() -> None:
        feed = LogFeed(config, state)
        await caught_up(feed)
        feed.save()
        assert any("cannot be written" in notice for notice in feed.around().notices)
        await feed.close()

    asyncio.run(work())


def test_the_state_of_the_board_is_plain(file: Path, tmp_path: Path) -> None:
    state = tmp_path / "log.db"
    in_process(file, state)
    board = board_of(load(file), state)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(board.to_state())) == board.to_state()
