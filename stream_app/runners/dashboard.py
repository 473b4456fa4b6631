"""`driftline dashboard`: reads on, keeps the pages up to date, until it is asked to stop; and the same as a child."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

from stream_app.config import Config
from stream_app.edges import board_topics
from stream_app.edges.dashboard import TOKEN, Caller, Dashboard, checked
from stream_app.edges.live import TICK_S
from stream_app.edges.log_feed import LogFeed
from stream_app.runners.supervisor import LIFELINE

IDLE_S = 0.2  # between two looks at a log that has nothing new
STOP_S = 10.0


async def serve(config: Config, state: Path | None, say: Callable[[str], None], where: str, **options: Any) -> None:
    """Serves until SIGINT or SIGTERM; `state`: the log, or None for the topics. `say` is told the address."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with over_log(config, state) if state is not None else board_topics.opened(config) as feed:
        dashboard = Dashboard(feed, where, **options)
        say(await dashboard.start())
        work = [asyncio.ensure_future(follow(feed)), asyncio.ensure_future(refresh(feed, dashboard))]
        asked = asyncio.ensure_future(stopped.wait())
        try:
            done, _ = await asyncio.wait([*work, asked], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*work, asked):
                task.cancel()
            await asyncio.gather(*work, asked, return_exceptions=True)
            await dashboard.stop()


@contextlib.asynccontextmanager
async def over_log(config: Config, state: Path) -> AsyncIterator[LogFeed]:
    """The feed of a log, whose cache is written at the end."""
    feed = LogFeed(config, state)
    try:
        yield feed
    finally:
        await feed.close()


async def follow(feed: Any) -> None:
    """Reads on for ever."""
    while True:
        found = await feed.take()
        await asyncio.sleep(0 if found else IDLE_S)


async def refresh(feed: Any, dashboard: Dashboard) -> None:
    """Once a second: what has changed is made again for the pages that show it."""
    seen: Any = None
    while True:
        now = feed.changes, feed.around()
        if now != seen:
            dashboard.refresh()
            seen = now
        await asyncio.sleep(TICK_S)


# beside a run


class Beside:
    """A dashboard in a process of its own, so that its pages take nothing of the engine's interpreter.

    `with Beside(config_file, state, where, say, command)`: `say` is told the address, from a thread; `command` is what
    was called. It ends with this process, however that ends. ConfigError for an address where it must not listen.
    """

    def __init__(
        self, config_file: Path, state: Path, where: str, say: Callable[[str], None], command: str = "driftline run"
    ) -> None:
        listen = ["--listen", where] if where else []
        if where:
            checked(where, os.environ.get(TOKEN, "").strip(), Caller.beside(command))
        words = ["dashboard", str(config_file), "--state", str(state), "--json", "--beside", command, *listen]
        self._command = [sys.executable, "-m", "stream_app.cli", *words]
        self._say = say

    def __enter__(self) -> Self:
        theirs, self._lifeline = os.pipe()
        self._process = subprocess.Popen(  # noqa: S603 (ourselves)
            self._command,
            stdout=subprocess.PIPE,
            pass_fds=(theirs,),
            env=os.environ | {LIFELINE: str(theirs)},
            process_group=0,  # Ctrl-C reaches the run, which ends this
        )
        os.close(theirs)
        self._teller = threading.Thread(target=self._tell, daemon=True)
        self._teller.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lifeline)
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._teller.join()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> None:
        """Until Ctrl-C, or until it has ended by itself."""
        with contextlib.suppress(KeyboardInterrupt):
            self._process.wait()

    def _tell(self) -> None:
        """The address, once it is there; a child that could not start has said why."""
        assert self._process.stdout is not None
        with self._process.stdout as told:
            line = told.readline()
        if line:
            self._say(json.loads(line)["address"])
