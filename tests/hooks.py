"""Real receivers for the tests of delivery: an HTTP server that misbehaves as told, an SMTP server, an Alertmanager."""

import asyncio
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from programs import program
from waiting import TIMEOUT_S

from compose.broker import free_ports, guard

HANG, CUT = -1, -2  # instead of a status: never answers; closes the connection


def until(true: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Request(NamedTuple):
    """What came in."""

    path: str
    headers: Any
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)


class Hook:
    """An HTTP server in a thread; `answers` gives status, headers and body for each request in turn, then `usual`."""

    def __init__(self, *answers: Any, usual: int = 200, port: int | None = None) -> None:
        self.port = port or free_ports(1)[0]
        self.answers = [(each, {}, b"") if isinstance(each, int) else each for each in answers]
        self.usual, self.requests, self.sent_bytes = usual, [], 0
        self._loop = asyncio.new_event_loop()
        self._free = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [request.event["id"] for request in self.requests]

    def __enter__(self):
        self._thread.start()
        assert self._started.wait(TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._free.set)
        self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self._started.set()
        await self._free.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(Request(request.path, request.headers, await request.read()))
        status, headers, body = self.answers.pop(0) if self.answers else (self.usual, {}, b"")
        if status == HANG:
            await self._free.wait()
        if status == CUT:
            request.transport.close()
        answer = web.StreamResponse(status=max(status, 200), headers=headers)
        await answer.prepare(request)
        for first in range(0, len(body), 1 << 16):
            await answer.write(body[first : first + (1 << 16)])
            self.sent_bytes += 1 << 16
        return answer


class Letters:
    """What an SMTP server has accepted; `refuse` is what it says to the next messages instead."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.refuse: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        if self.refuse:
            return self.refuse.pop(0)
        self.envelopes.append(envelope)
        return "250 OK"


@contextmanager
def smtp_server(**options: Any) -> Iterator[tuple[int, Letters]]:
    letters, (port,) = Letters(), free_ports(1)
    controller = Controller(letters, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port, letters
    finally:
        controller.stop()


class Server:
    """A program of Prometheus' kind on a loopback port, from when it is ready until it is killed."""

    def __init__(self, folder: Path, name: str) -> None:
        (self.port,) = free_ports(1)
        self.url, self._folder, self._name = f"http://127.0.0.1:{self.port}", folder, name
        self._words = [f"--web.listen-address=127.0.0.1:{self.port}"]

    def __enter__(self) -> Self:
        self._log = (self._folder / f"{self._name}.log").open("ab")
        words = [program(self._name), *self._words]
        self._process = subprocess.Popen(words, stdout=self._log, stderr=self._log)
        self._guard = guard(self._process.pid)
        until(self._ready)
        return self

    def __exit__(self, *_: object) -> None:
        self._guard.kill()
        self._guard.communicate()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / f"{self._name}.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=TIMEOUT_S) as answer:
                return answer.status == 200
        except OSError:
            return False


class Alertmanager(Server):
    """A real one on a loopback port, which passes notifications on to `webhook`, if given."""

    def __init__(self, folder: Path, webhook: str = "") -> None:
        super().__init__(folder, "prometheus-alertmanager")
        file = folder / "alertmanager.yml"
        self._words += [f"--config.file={file}", f"--storage.path={folder}", "--cluster.listen-address="]
        told = f"\n    webhook_configs: [{{url: '{webhook}', send_resolved: true}}]" if webhook else ""
        times = "group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h"
        file.write_text(f"route: {{receiver: test, {times}}}\nreceivers:\n  - name: test{told}\n")

    def alerts(self) -> list[dict[str, Any]]:
        """Those that fire, by its own API."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=TIMEOUT_S) as answer:
            return json.load(answer)
