"""A board from the topics of a real broker: what the workers committed, once, also after one was killed."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from kafka_runs import Worker, all_taken, monitor, own, two_streams, wait_until
from runs import rows
from serving import caught_up, shown, until
from waiting import TIMEOUT_S

from stream_app.board.asked import Asked
from stream_app.board.fold import STREAMS, Board
from stream_app.board.views import VIEWS, document
from stream_app.config import Config, load
from stream_app.edges import board_topics, subscriber
from stream_app.edges.dashboard import Dashboard
from stream_app.errors import TopicError

if TYPE_CHECKING:
    from conftest import Running


async def from_the_topics(config: Config) -> Board:
    """All that the topics hold, by the reader that everybody uses."""
    board = Board(config)
    for stream in STREAMS:
        async for shard, record in subscriber.history(config, stream):
            board.take(stream, shard, record)
    return board


def documents(board: Board) -> dict[str, bytes]:
    asked = Asked(signal="feature:a", id="x")
    return {view: msgspec.json.encode(document(board, view, asked)) for view in VIEWS}


async def all_read(feed: Any, whole: Board) -> None:
    """Reads until nothing is missing; records of a transaction may need a moment."""
    while documents(feed.board) != documents(whole):
        await feed.take()


def test_the_figures_are_those_of_the_topics_after_a_kill_too(tmp_path: Path, broker: "Running") -> None:
    file = monitor(tmp_path, broker.bootstrap, own("shown"), partitions=2)
    config = load(file)
    ends = two_streams(config, rows(5, 3000))

    async def follow() -> None:
        async with asyncio.timeout(TIMEOUT_S), board_topics.opened(config) as feed, aiohttp.ClientSession() as client:
            dashboard = Dashboard(feed, "0")
            url = f"http://{await dashboard.start()}"
            reading = asyncio.ensure_future(read_on(feed))
            with Worker(file) as first:
                await until(lambda: bool(feed.board.shards))
                first.kill()
            with Worker(file, "w1") as second:
                await asyncio.to_thread(wait_until, lambda: all_taken(config, ends), second)
                reading.cancel()
                whole = await from_the_topics(config)
                await all_read(feed, whole)
                told = await (await client.get(f"{url}/api")).json()
                assert second.stop() == 0
            await dashboard.stop()
            overview = document(whole, "overview")
            assert told["counts"] == overview["counts"]
            assert told["shards"] == [0, 1]
            assert told["records"] > 2000
            incident = document(whole, "incidents")["incidents"][0]
            await feed.send(incident["shard"], msgspec.json.encode({"command": "close", "incident": incident["id"]}))

    async def again(url: str) -> None:
        async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as client:
            whole = document(await from_the_topics(config), "overview")
            told: dict[str, Any] = {}
            while told.get("counts") != whole["counts"]:
                told = await (await client.get(f"{url}api")).json()

    asyncio.run(follow())
    with shown(file) as url:
        asyncio.run(again(url))


async def read_on(feed: Any) -> None:
    while True:
        await feed.take()


def test_how_far_the_workers_are_is_told(tmp_path: Path, broker: "Running", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_topics, "LOOK_S", 0.1)
    file = monitor(tmp_path, broker.bootstrap, own("lagging"))
    config = load(file)
    two_streams(config, rows(5, 600))

    async def follow() -> None:
        async with asyncio.timeout(TIMEOUT_S), board_topics.opened(config) as feed:
            assert feed.around().status == "waiting"
            reading = asyncio.ensure_future(read_on(feed))
            with Worker(file) as worker:
                await until(lambda: feed.around().lag is not None and feed.around().lag <= 2)
                assert worker.stop() == 0
            reading.cancel()
            assert feed.around().status in ("live", "ended")

    asyncio.run(follow())


def test_without_topics_it_says_what_to_do(tmp_path: Path, broker: "Running") -> None:
    file = monitor(tmp_path, broker.bootstrap, own("absent"))
    file.write_text(file.read_text().replace(own("absent"), own("never-made")))

    async def opened() -> None:
        async with board_topics.opened(load(file)) as feed:
            await caught_up(feed)

    with pytest.raises(TopicError, match="driftline topics"):
        asyncio.run(opened())
