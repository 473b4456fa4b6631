"""A real dashboard on a free port over a real log, and a client for it."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from runs import command
from waiting import TIMEOUT_S

from stream_app.config import Config
from stream_app.edges.dashboard import Dashboard
from stream_app.edges.log_feed import LogFeed

Use = Callable[[str, aiohttp.ClientSession, Any], Awaitable[None]]


async def until(true: Callable[[], bool]) -> None:
    """Polls; the time-out is the caller's."""
    while not true():  # noqa: ASYNC110  (what is waited for tells nobody)
        await asyncio.sleep(0.02)


async def caught_up(feed: Any) -> int:
    """Reads all there is; of how many records."""
    count = 0
    while found := await feed.take():
        count += found
    return count


def served(config: Config, state: Path, use: Use, **options: Any) -> None:
    """Runs `use` with the URL of a dashboard that has read the whole log, a client, and the dashboard itself."""

    async def main() -> None:
        feed = LogFeed(config, state)
        await caught_up(feed)
        dashboard = Dashboard(feed, "0", **options)
        address = await dashboard.start()
        try:
            async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as client:
                await use(f"http://{address}", client, dashboard)
        finally:
            await dashboard.stop()
            await feed.close()

    asyncio.run(main())


@contextmanager
def shown(*words: str | Path) -> Iterator[str]:
    """`driftline dashboard` in a process of its own; its URL."""
    with subprocess.Popen(command("dashboard", *words, "--listen", "0", "--json"), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0
        finally:
            process.kill()
