"""One file per kind of receiver, and here what they have in common: an attempt, its answer, and how it is shown.

Rules:
1. `send` makes one attempt and says how it went; pauses, repeats and time-outs are the deliverer's.
2. However an attempt ends, by a time-out too, nothing of it is left: no connection, no process.
3. No answer, error or log line shows an address, a password, a key or a header: they pass through `Secrets`.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

from stream_app.config import Config, Notify
from stream_app.config.receivers import kind_of
from stream_app.edges import journal
from stream_app.edges.notices import Event, Notice

SAID_BYTES = 2000  # of an answer are read, however long it is
CLOSE_S = 1.0  # for the pipes of a program that was ended
SHOWN = 200  # characters of it are told

Clock = Callable[[], float]  # seconds since 1970


class Answer(NamedTuple):
    """How an attempt went: "later" may be repeated, "never" will not become better by that."""

    end: Literal["delivered", "later", "never"]
    said: str = ""
    wait_s: float = 0.0  # that the receiver asks to be left alone


class Receiver(Protocol):
    """One that can be told."""

    repeat_s: float | None  # how often it wants to hear of open incidents again; None: never

    async def send(self, notice: Notice) -> Answer:
        """One attempt; a TimeoutError from outside may end it anywhere."""

    async def repeat(self, events: list[Event]) -> Answer:
        """Open incidents once more."""

    async def close(self) -> None:
        """Its connections end."""


class Once:
    """What receivers have that hear of a thing once."""

    repeat_s: float | None = None

    async def repeat(self, events: list[Event]) -> Answer:  # noqa: ARG002
        return Answer("delivered")

    async def close(self) -> None:
        pass


def make(config: Config, notify: Notify, clock: Clock) -> Receiver:
    """The receiver of a configuration."""
    from stream_app.edges.alertmanager import Alertmanager  # noqa: PLC0415  (aiohttp takes a while to import)
    from stream_app.edges.mail import Mail  # noqa: PLC0415
    from stream_app.edges.webhook import Webhook  # noqa: PLC0415

    kind = kind_of(notify)
    if kind == "alertmanager":
        return Alertmanager(config, notify, clock)
    if kind == "webhook":
        return Webhook(notify, clock)
    if kind == "email":
        return Mail(config, notify, clock)
    return Program(notify) if kind == "exec" else Journal()


class Secrets:
    """Takes what must not be seen out of a text."""

    def __init__(self, notify: Notify) -> None:
        hidden = [notify.secret, notify.password, notify.username, *notify.headers.values()]
        for address in (notify.webhook, notify.alertmanager):
            if address is not None:
                parts = urlsplit(address)
                hidden += [address, parts.path.strip("/"), parts.query, parts.username, parts.password]
        self._hidden = sorted({text for text in hidden if text and len(text) > 2}, key=len, reverse=True)

    def shown(self, text: str) -> str:
        """The text without them, on one line, cut when long."""
        for hidden in self._hidden:
            text = text.replace(hidden, "***")
        text = text[: 2 * SHOWN]
        line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
        return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."


class Program(Once):
    """A shell command with the event on its standard input; exit code 0 is delivered, any other is tried again."""

    def __init__(self, notify: Notify) -> None:
        self._command, self._secrets = notify.program or "", Secrets(notify)

    async def send(self, notice: Notice) -> Answer:
        pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_shell(
            self._command, stdin=pipe, stdout=nowhere, stderr=pipe, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stderr is not None
        reading = asyncio.create_task(_beginning(process.stderr))
        pipes = {reading, asyncio.create_task(_filled(process.stdin, notice.value))}
        try:
            code = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):  # what it has started goes with it
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.wait(pipes, timeout=CLOSE_S)
            for task in pipes:
                task.cancel()
        said = reading.result() if reading.done() else b""
        if not code:
            return Answer("delivered", "exit code 0")
        why = f": {text}" if (text := said.decode(errors="replace").strip()) else ", and it said nothing"
        return Answer("later", self._secrets.shown(f"exit code {code}{why}"))


async def _filled(stream: asyncio.StreamWriter, value: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read all of it
        stream.write(value)
        await stream.drain()
    stream.close()


async def _beginning(stream: asyncio.StreamReader) -> bytes:
    """The first bytes of a stream that is read to its end."""
    kept = b""
    while part := await stream.read(1 << 16):
        kept += part[: SAID_BYTES - len(kept)]
    return kept


class Journal(Once):
    """A line on standard error, where a service manager finds it."""

    async def send(self, notice: Notice) -> Answer:
        fields = {"stream": notice.stream, "incident": notice.incident, "severity": notice.severity}
        journal.tell("notice", status=notice.status, **fields, message=notice.message, id=notice.id)
        return Answer("delivered", "written")
