"""Liveness and readiness over HTTP: `GET /health` and `GET /ready` answer 200 or 503, with the reasons as JSON.

`GET /metrics` beside them answers Prometheus, where there is something to tell it.
"""

import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Literal, NamedTuple, Self

from aiohttp import web

from stream_app.errors import ConfigError
from stream_app.messages import to_json

STALLED_S = 60.0  # twice the longest that one commit may take
SHUTDOWN_S = 1.0  # for answers under way when the worker stops
LOOPBACK = "127.0.0.1"
OPTION = "driftline worker", "--health"


@dataclass(frozen=True, kw_only=True)
class ShardStatus:
    """How one shard stands."""

    shard: int
    state: Literal["recovering", "running"]
    lag: int = 0  # records of the inputs that are read or known of and not committed
    waiting_s: float = 0.0  # how long the lag has not been 0
    committed_ago_s: float | None = None  # None: not since it was opened
    recovered: float = 1.0  # share of the recovery that is done


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """How a worker stands: whether it is a member of the group, and its assigned shards."""

    joined: bool
    rehearsed: bool = True  # all kernels that it needs are compiled
    shards: tuple[ShardStatus, ...] = ()


class Verdict(NamedTuple):
    """Whether the worker should be left running, whether it does all of its work, and why not."""

    alive: bool
    ready: bool
    reasons: list[str]


def judge(status: WorkerStatus) -> Verdict:
    """Alive: no running shard has had something to commit for STALLED_S and committed nothing. Ready: all are open.

    >>> judge(WorkerStatus(joined=True, shards=(ShardStatus(shard=3, state="recovering", recovered=0.25),)))
    Verdict(alive=True, ready=False, reasons=['shard 3 recovers its state: 25 % done'])
    >>> judge(WorkerStatus(joined=False, rehearsed=False)).reasons
    ['compiles for this machine, once']
    """
    stalled = [
        f"shard {each.shard} has {each.lag} records waiting and has committed nothing for {_stuck_s(each):.0f} s"
        for each in status.shards
        if each.state == "running" and _stuck_s(each) >= STALLED_S
    ]
    closed = [
        f"shard {each.shard} recovers its state: {int(100 * each.recovered)} % done"
        for each in status.shards
        if each.state == "recovering"
    ]
    if not status.rehearsed:
        closed.insert(0, "compiles for this machine, once")
    elif not status.joined:
        closed.insert(0, "not a member of the consumer group")
    return Verdict(not stalled, not closed, stalled + closed)


def _stuck_s(shard: ShardStatus) -> float:
    """How long there has been something to commit since the last commit."""
    if not shard.lag:
        return 0.0
    return shard.waiting_s if shard.committed_ago_s is None else min(shard.waiting_s, shard.committed_ago_s)


class Health:
    """The HTTP server, on the running event loop for as long as it is entered: `async with Health("8080", status)`.

    `where` is "HOST:PORT", "[IPv6]:PORT" or "PORT" of the loopback; port 0 takes a free one, see `address`. ConfigError
    if nothing can listen there.
    """

    def __init__(
        self,
        where: str,
        status: Callable[[], WorkerStatus],
        metrics: Callable[[web.Request], Awaitable[web.Response]] | None = None,
    ) -> None:
        self.host, self.port = host_and_port(where, *OPTION)
        self.status = status
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        if metrics is not None:
            app.router.add_get("/metrics", metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise not_listening(self.host, self.port, error, *OPTION) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        """HOST:PORT at which it answers."""
        host, port, *_ = self._runner.addresses[0]
        return joined(host, port)

    async def _health(self, _request: web.Request) -> web.Response:
        status = self.status()
        verdict = judge(status)
        return _answer(status, verdict, fine=verdict.alive)

    async def _ready(self, _request: web.Request) -> web.Response:
        status = self.status()
        verdict = judge(status)
        return _answer(status, verdict, fine=verdict.ready)


def _answer(status: WorkerStatus, verdict: Verdict, *, fine: bool) -> web.Response:
    document = {
        "status": "ok" if fine else "failed",
        "reasons": verdict.reasons,
        "joined": status.joined,
        "shards": [asdict(shard) for shard in status.shards],
    }
    return web.Response(
        status=200 if fine else 503,
        body=to_json(document),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def host_and_port(where: str, command: str, option: str) -> tuple[str, int]:
    """What [HOST:]PORT means; ConfigError, which names the option of the command, where it means nothing."""
    host, _, port = where.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535) or where.startswith(":"):
        problem = f'"{where}" is no address; write [HOST:]PORT, for example 8080 or 0.0.0.0:8080'
        raise ConfigError([f"{option}: {problem}"], command)
    return host.strip("[]") or LOOPBACK, int(port)


def joined(host: str, port: int) -> str:
    """HOST:PORT as it stands in an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def not_listening(host: str, port: int, error: OSError, command: str, option: str) -> ConfigError:
    """Why nothing can listen there."""
    reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
    problem = f"cannot listen on {joined(host, port)} ({reason}); name another"
    return ConfigError([f"{option}: {problem}"], command)
