"""Pages that stay up to date: server-sent events, each document made once and shared by all pages that show it.

A page is sent the newest document only, in slices, and each slice when the last has been taken: what a slow page costs
is one slice. One that takes nothing for PATIENCE_S is let go; its browser connects again when it can.
"""

import asyncio
import socket
from collections.abc import Callable

from aiohttp import web

from stream_app.edges import journal

TICK_S = 1.0
PATIENCE_S = 30.0
SILENCE_S = 15.0  # after which a comment is sent: proxies close what is silent, and we see who has gone
SLICE = 32 << 10  # bytes
MOST_PAGES = 1000
MOST_DOCUMENTS = 200  # that differ: each costs its making once a second

SOCKET_BYTES = 128 << 10  # of a connection in the kernel

Make = Callable[[], bytes]


class Shown:
    """One document that pages show, and who waits for it."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.pages: set[Page] = set()
        self.newest = b""  # as an event

    def refresh(self) -> None:
        """Makes it again; wakes the pages if it has changed."""
        made = b"event: document\ndata: " + self.make() + b"\n\n"
        if made != self.newest:
            self.newest = made
            for page in self.pages:
                page.news.set()


class Page:
    """One connection."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.news.set()


class Live:
    """All open pages; `run` refreshes what they show."""

    def __init__(self, *, patience_s: float = PATIENCE_S, silence_s: float = SILENCE_S) -> None:
        self.patience_s, self.silence_s = patience_s, silence_s
        self.shown: dict[str, Shown] = {}  # by what was asked for
        self.count = 0

    def refresh(self) -> None:
        """Every document that somebody looks at."""
        for name, shown in self.shown.items():
            try:
                shown.refresh()
            except Exception as error:  # noqa: BLE001  (one page must not end the others)
                journal.fail("a page could not be kept up to date", error, page=name)

    async def serve(self, request: web.Request, name: str, make: Make) -> web.StreamResponse:
        """Sends a page its document, and again whenever it has changed, until it goes."""
        if self.count >= MOST_PAGES or (name not in self.shown and len(self.shown) >= MOST_DOCUMENTS):
            raise web.HTTPServiceUnavailable(text="too many pages are open", headers={"Retry-After": "30"})
        shown, page = self.shown.setdefault(name, Shown(make)), Page()
        if not shown.newest:
            shown.refresh()
        shown.pages.add(page)
        self.count += 1
        try:
            return await self._send(request, shown, page)
        finally:
            self.count -= 1
            shown.pages.discard(page)
            if not shown.pages:
                self.shown.pop(name, None)

    async def _send(self, request: web.Request, shown: Shown, page: Page) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        try:
            await response.prepare(request)
            _bound(request.transport)
            while True:
                await self._write(response, await self._next(shown, page))
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _next(self, shown: Shown, page: Page) -> bytes:
        try:
            async with asyncio.timeout(self.silence_s):
                await page.news.wait()
        except TimeoutError:
            return b": still here\n\n"
        page.news.clear()
        return shown.newest

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        for start in range(0, len(data), SLICE):
            async with asyncio.timeout(self.patience_s):
                await response.write(memoryview(data)[start : start + SLICE])


def _bound(transport: asyncio.Transport | None) -> None:
    """Limits what waits on its way to one page."""
    if transport is not None:
        transport.set_write_buffer_limits(high=SLICE)
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
