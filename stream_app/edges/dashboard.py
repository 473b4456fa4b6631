"""The dashboard's server: pages, the same as JSON, live updates, one command. What it shows comes from a board.

GET /, /performance, …   a page            GET /api, /api/performance, …   its document
GET /api/live?view=PATH  the document of a page, again whenever it changes (server-sent events)
POST /incident/ID/acknowledge              says that someone looks after it
GET /static/…, /healthz
"""

import errno
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec
from aiohttp import web

from stream_app.board.asked import SORTS, Around, Asked
from stream_app.board.fold import Board
from stream_app.board.incidents import Incident
from stream_app.board.views import VIEWS, document
from stream_app.edges import journal
from stream_app.edges.guard import LEAST_TOKEN, Guard, add_headers, is_local
from stream_app.edges.health import host_and_port, joined, not_listening
from stream_app.edges.live import Live
from stream_app.errors import ConfigError, DriftlineError
from stream_app.messages import to_json
from stream_app.page import STATIC, render

LARGEST_BODY = 4096  # bytes: a name
LONGEST_NAME = 100  # characters, of who acknowledges
MOST_ROWS = 2000
MOST_CACHED = 64  # pages and documents: a quarter of a megabyte each, where there is much to show
SHUTDOWN_S = 1.0
TOKEN = "DRIFTLINE_DASHBOARD_TOKEN"  # noqa: S105  (the name of a variable)
PAGES = {"/" + ("" if view == "overview" else view): view for view in VIEWS}


class Caller(NamedTuple):
    """The command and the option by which the address was given, and how a token is: for what is said of mistakes."""

    command: str = "driftline dashboard"
    option: str = "--listen"
    token: str = f"set {TOKEN}, or give --token-file"

    @classmethod
    def beside(cls, command: str) -> "Caller":
        """One that shows it beside a stream."""
        return cls(command, "--dashboard", f"set {TOKEN}")


DIRECT = Caller()


class Feed(Protocol):
    """What keeps a board up to date."""

    board: Board
    changes: int

    def around(self) -> Around: ...
    async def send(self, shard: int, command: bytes) -> int: ...


class Dashboard:
    """The server, on the running event loop: `address = await dashboard.start()` … `await dashboard.stop()`.

    `where` is [HOST:]PORT; port 0 takes a free one, and so does one that is in use, with `free`. ConfigError where
    nothing can listen, for a token that can be guessed, and beyond the loopback without a token.
    """

    def __init__(
        self,
        feed: Feed,
        where: str,
        *,
        token: str = "",
        read_only: bool = False,
        free: bool = False,
        live: Live | None = None,
        caller: Caller = DIRECT,
    ) -> None:
        self.feed, self.read_only, self.live = feed, read_only, live or Live()
        self.host, self.port = checked(where, token, caller)
        self.caller = caller
        self.free = free
        guard = Guard(token)

        @web.middleware
        async def passing(request: web.Request, handler: Any) -> web.StreamResponse:
            return await guard(request, handler)

        app = web.Application(middlewares=[_told, passing], client_max_size=LARGEST_BODY)
        app.on_response_prepare.append(add_headers)
        for path, handler in (
            ("/healthz", self._healthz),
            ("/static/{name}", self._static),
            ("/api/live", self._live),
            ("/api{path:(?:/.*)?}", self._api),
            ("/{path:.*}", self._page),
        ):
            app.router.add_get(path, handler)
        app.router.add_post("/incident/{id}/acknowledge", self._acknowledge)
        self._ticks, self._cached_at = 0, (0, 0)
        self._cached: dict[tuple[str, str, Asked], bytes] = {}
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    async def start(self) -> str:
        """Listens; returns HOST:PORT at which it answers."""
        await self._runner.setup()
        try:
            await self._listen(self.port)
        except OSError as error:
            await self._runner.cleanup()
            raise not_listening(self.host, self.port, error, self.caller.command, self.caller.option) from None
        host, port, *_ = self._runner.addresses[0]
        return joined(host, port)

    async def _listen(self, port: int) -> None:
        try:
            await web.TCPSite(self._runner, self.host, port).start()
        except OSError as error:
            if not self.free or error.errno != errno.EADDRINUSE:
                raise
            await web.TCPSite(self._runner, self.host, 0).start()

    async def stop(self) -> None:
        """Closes every connection."""
        await self._runner.cleanup()

    def refresh(self) -> None:
        """Once a second: the board, or what is around it, has changed."""
        self._ticks += 1
        self.live.refresh()

    def document(self, view: str, asked: Asked) -> dict[str, Any]:
        """The document of a view, as it stands now."""
        around = msgspec.structs.replace(self.feed.around(), read_only=self.read_only)
        return document(self.feed.board, view, asked, around)

    # answers

    async def _page(self, request: web.Request) -> web.Response:
        view, asked = page_of(request.path, dict(request.query))
        body = self._made("html", view, asked, lambda told: render(view, told, read_only=self.read_only).encode())
        status = self._status(view, asked)
        return web.Response(body=body, content_type="text/html", charset="utf-8", status=status)

    async def _api(self, request: web.Request) -> web.Response:
        view, asked = page_of(request.path.removeprefix("/api") or "/", dict(request.query))
        body = self._made("json", view, asked, to_json)
        return web.Response(body=body, content_type="application/json", status=self._status(view, asked))

    def _made(self, form: str, view: str, asked: Asked, make: Callable[[dict[str, Any]], bytes]) -> bytes:
        """A page or document, made once for all who ask for it until something changes."""
        now = self.feed.changes, self._ticks
        key = form, view, asked
        if now != self._cached_at or len(self._cached) >= MOST_CACHED:
            self._cached.clear()
            self._cached_at = now
        if key not in self._cached:
            self._cached[key] = make(self.document(view, asked))
        return self._cached[key]

    def _status(self, view: str, asked: Asked) -> int:
        return 404 if view == "incident" and self._incident(asked.id) is None else 200

    async def _live(self, request: web.Request) -> web.StreamResponse:
        target = urlsplit(request.query.get("view", "/"))
        given = {name: request.query[name] for name in ("from", "to") if name in request.query}
        view, asked = page_of(target.path, dict(parse_qsl(target.query)) | given)
        name = f"{view} {msgspec.json.encode(asked).decode()}"
        return await self.live.serve(request, name, lambda: self._made("json", view, asked, to_json))

    async def _static(self, request: web.Request) -> web.StreamResponse:
        path = STATIC.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound(text="no such file")
        known = bool(request.query_string)  # pages name the version; what scripts import is asked for again
        kept = "private, max-age=31536000, immutable" if known else "no-cache"
        return web.FileResponse(path, headers={"Cache-Control": kept})

    async def _healthz(self, _request: web.Request) -> web.Response:
        around = self.feed.around()
        return web.Response(body=to_json({"status": "ok", "stream": around.status}), content_type="application/json")

    # the command

    async def _acknowledge(self, request: web.Request) -> web.Response:
        if self.read_only:
            raise web.HTTPForbidden(text="this dashboard is read-only")
        name = request.match_info["id"]
        found = self._incident(name)
        if found is None:
            raise web.HTTPNotFound(text="no such incident")
        shard, incident = found
        if incident.over:
            raise web.HTTPConflict(text="this incident is over: there is nothing left to do")
        by = await _who(request)
        command = {"command": "acknowledge", "incident": name, "by": by}
        try:
            number = await self.feed.send(shard, to_json(command))
        except DriftlineError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        journal.tell("acknowledged on the dashboard", incident=name, by=by, control=number)
        if request.content_type == "application/json":
            body = to_json(command | {"shard": shard, "control": number})
            return web.Response(status=202, body=body, content_type="application/json")
        raise web.HTTPSeeOther(request.rel_url.parent)

    def _incident(self, name: str) -> tuple[int, Incident] | None:
        for number, shard in self.feed.board.shards.items():
            if name in shard.incidents.rows:
                return number, shard.incidents.rows[name]
        return None


def checked(where: str, token: str, caller: Caller = DIRECT) -> tuple[str, int]:
    """Host and port; ConfigError where the dashboard must not listen there, or not with this token."""
    host, port = host_and_port(where, caller.command, caller.option)
    if not token and not is_local(joined(host, 0)):
        problem = f"beyond this machine the dashboard needs a token: {caller.token}"
        raise ConfigError([f"{caller.option} {where}: {problem}"], caller.command)
    if token and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        problem = f"it needs {LEAST_TOKEN} printable characters or more, for example from `openssl rand -hex 16`"
        raise ConfigError([f"the dashboard's token: {problem}"], caller.command)
    return host, port


def page_of(path: str, query: dict[str, str]) -> tuple[str, Asked]:
    """The view of a path and what is asked of it; HTTP errors 404 and 400.

    >>> view, asked = page_of("/signal", {"signal": "feature:a", "shard": "2"})
    >>> view, asked.signal, asked.shard
    ('signal', 'feature:a', 2)
    """
    path = path.rstrip("/") or "/"
    found = dict(query)
    if path.startswith("/incident/"):
        path, _, found["id"] = path[1:].partition("/")
        path = f"/{path}"
    if path not in PAGES or (PAGES[path] == "incident" and not found.get("id")):
        raise web.HTTPNotFound(text="there is no such page")
    return PAGES[path], _asked(found)


def _asked(query: dict[str, str]) -> Asked:
    sort = query.get("sort", SORTS[0])
    if sort not in SORTS:
        raise web.HTTPBadRequest(text=f"sort: one of {', '.join(SORTS)}")
    return Asked(
        shard=_number(query, "shard"),
        signal=query.get("signal", ""),
        segment=query.get("segment", ""),
        detector=query.get("detector", ""),
        id=query.get("id", ""),
        from_ms=_time(query, "from"),
        to_ms=_time(query, "to"),
        sort=sort,
        top=min(_number(query, "top") or 200, MOST_ROWS),
    )


def _number(query: dict[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise web.HTTPBadRequest(text=f"{name}: a number")
    return int(text)


def _time(query: dict[str, str], name: str) -> int | None:
    """Epoch milliseconds (or an offset), or RFC 3339."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        plain = text.lstrip("-").isdigit()
        value = int(text) if plain else round(_utc(datetime.fromisoformat(text)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        value = 1 << 63
    if abs(value) >= 1 << 62:
        raise web.HTTPBadRequest(text=f"{name}: epoch milliseconds, or a time such as 2013-02-01T00:00:00Z")
    return value


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


async def _who(request: web.Request) -> str:
    """The name in the body, as a form or as JSON."""
    try:
        if request.content_type == "application/json":
            given = msgspec.json.decode(await request.read(), type=dict[str, Any]).get("by", "")
        else:
            given = (await request.post()).get("by", "")
    except (msgspec.DecodeError, ValueError) as error:
        raise web.HTTPBadRequest(text="a form or a JSON object with the member `by`") from error
    text = "".join(letter for letter in str(given) if letter.isprintable()).strip()
    if not text or len(text) > LONGEST_NAME:
        raise web.HTTPBadRequest(text=f"by: who looks after it, at most {LONGEST_NAME} characters")
    return text


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as plain text, or as JSON under /api; what we did wrong is said in the journal, not to the page."""
    try:
        return await handler(request)
    except web.HTTPRedirection:
        raise
    except web.HTTPError as error:
        if not request.path.startswith("/api"):
            error.content_type = "text/plain"
            raise
        headers = {name: error.headers[name] for name in ("WWW-Authenticate", "Retry-After") if name in error.headers}
        body = to_json({"error": error.text or error.reason})
        return web.Response(status=error.status, body=body, content_type="application/json", headers=headers)
    except Exception as error:  # noqa: BLE001  (one page must not end the others)
        journal.fail("a page could not be made", error, path=request.path)
        return web.Response(status=500, text="this page could not be made; the dashboard's own log says why")
