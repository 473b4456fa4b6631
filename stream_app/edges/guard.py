"""Who may see the dashboard: hosts, tokens, origins; and the headers that keep a browser to what is ours.

Rules:
1. On the loopback a request must name a loopback host: a page that has its own name point to 127.0.0.1 gets nothing.
2. With a token every request but /healthz needs it: `?token=` once, which becomes a cookie, or `Authorization: Bearer`.
3. What changes something must come from a page of ours, as the browser's Origin says; programs send none.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers say of our own forms that they come from `null`
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "driftline",
}
LEAST_TOKEN = 16  # characters
COOKIE_S = 30 * 86_400
OPEN = "/healthz"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """The middleware of one server; `token`: empty for none."""

    def __init__(self, token: str = "") -> None:
        self.token = token.encode()
        self.ticket = hmac.new(self.token, b"driftline dashboard", hashlib.sha256).hexdigest() if token else ""

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets through what may pass; aiohttp's HTTP errors for the rest."""
        if request.path != OPEN:
            if not self.token and not is_local(request.host):
                raise web.HTTPMisdirectedRequest(text="this dashboard answers to 127.0.0.1 and localhost only")
            if self.token and (answer := self._identify(request)) is not None:
                return answer
        if request.method not in ("GET", "HEAD"):
            _check_origin(request)
        return await handler(request)

    def _identify(self, request: web.Request) -> web.Response | None:
        """None for who is known; the answer that sets the cookie for who has just shown the token."""
        given = request.query.get("token")
        if given is not None and request.method == "GET" and self._is(given):
            answer = web.Response(status=303, headers={"Location": _without_token(request)})
            secure = request.secure
            answer.set_cookie(
                _cookie(request), self.ticket, max_age=COOKIE_S, httponly=True, samesite="Strict", secure=secure
            )
            return answer
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        shown = request.cookies.get(_cookie(request), "")
        if (kind.lower() == "bearer" and self._is(bearer.strip())) or _same(shown, self.ticket):
            return None
        raise web.HTTPUnauthorized(
            text="a token is needed: open the address with ?token=… once, or send Authorization: Bearer …",
            headers={"WWW-Authenticate": 'Bearer realm="driftline"'},
        )

    def _is(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self.token)


def _same(given: str, ticket: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), ticket.encode())


def is_local(host: str) -> bool:
    """Whether a Host header names this machine to itself.

    >>> [is_local(host) for host in ("localhost:1", "127.0.0.1", "[::1]:80", "evil.example", "127.0.0.1.evil.example")]
    [True, True, True, False, False]
    """
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _check_origin(request: web.Request) -> None:
    """A browser says with each POST where it comes from; `null` is nowhere of ours."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "same-origin")
    if (origin is not None and urlsplit(origin).netloc.lower() != request.host.lower()) or site != "same-origin":
        raise web.HTTPForbidden(text="this must be sent from a page of this dashboard")


def _cookie(request: web.Request) -> str:
    """By port: cookies do not tell the servers of one host apart."""
    return f"driftline_{urlsplit(f'//{request.host}').port or 80}"


def _without_token(request: web.Request) -> str:
    query = {name: value for name, value in request.query.items() if name != "token"}
    return str(request.rel_url.with_query(query))


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
