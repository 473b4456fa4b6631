"""`driftline top`: reads on and shows what has changed, until a key or a signal ends it."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from stream_app.edges.keyboard import keys

EVERY_S = 1.0
LEAVE = "qQ\x04"


class Feed(Protocol):
    """What keeps a board up to date."""

    changes: int

    async def take(self) -> int: ...
    async def behind(self) -> int: ...


async def watch(feed: Feed, show: Callable[[], None], *, follow: bool, ticks: bool) -> None:
    """Shows what there is; with `follow` on and on. `ticks`: each second, whatever has changed."""
    leave, shown, due_s = asyncio.Event(), -1, 0.0
    with _asked_by(leave):
        while True:
            read = await feed.take() or await feed.behind()
            now_s = time.monotonic()
            if (ticks and now_s >= due_s) or (not read and feed.changes != shown):
                show()
                shown, due_s = feed.changes, now_s + EVERY_S
            if not read and not follow:
                return
            if await _is_set(leave, 0.0 if read else EVERY_S):
                return


@contextlib.contextmanager
def _asked_by(leave: asyncio.Event) -> Iterator[None]:
    """Sets the event at q, Ctrl-D, Ctrl-C and SIGTERM."""
    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, leave.set)
    try:
        with keys(lambda key: leave.set() if key in LEAVE else None):
            yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _is_set(event: asyncio.Event, within_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)
    return event.is_set()
