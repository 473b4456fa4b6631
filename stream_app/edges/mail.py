"""E-mail: one plain-text message for each notice, by SMTP."""

import asyncio
import contextlib
import hashlib
import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage
from email.utils import formatdate

import msgspec

from stream_app.config import Config, Notify
from stream_app.config.receivers import TLS_PORT, address_of
from stream_app.edges.notices import Notice
from stream_app.edges.receivers import Answer, Clock, Once, Secrets

SUBJECT = 200  # characters


class Mail(Once):
    """A message has the id that its event gives it, and refers to that of its incident, so that a thread holds all."""

    def __init__(self, config: Config, notify: Notify, clock: Clock) -> None:
        self._name, self._notify, self._clock = config.name, notify, clock
        self._secrets = Secrets(notify)

    async def send(self, notice: Notice) -> Answer:
        """One attempt, in a thread: smtplib waits for the server."""
        letter = message(self._name, self._notify, notice, self._clock())
        line: list[smtplib.SMTP] = []
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()

        def work() -> None:
            found = self._attempt(letter, line)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, found)

        def settle(found: Answer) -> None:
            if not answer.done():  # a time-out has come before it
                answer.set_result(found)

        threading.Thread(target=work, name="driftline-mail", daemon=True).start()
        try:
            return await answer
        finally:
            for connection in line:
                _hang_up(connection)

    def _attempt(self, letter: EmailMessage, line: list[smtplib.SMTP]) -> Answer:
        try:
            return self._deliver(letter, line)
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            return self._refused(code, said)
        except smtplib.SMTPResponseException as error:
            return self._refused(error.smtp_code, error.smtp_error)
        except smtplib.SMTPNotSupportedError as error:
            return Answer("never", self._secrets.shown(str(error)))
        except (OSError, smtplib.SMTPException, ValueError) as error:
            return Answer("later", self._secrets.shown(str(error) or type(error).__name__))

    def _deliver(self, letter: EmailMessage, line: list[smtplib.SMTP]) -> Answer:
        host, port = address_of(self._notify.smtp or "")
        limit_s = self._notify.timeout_ms / 1000
        context = ssl.create_default_context()
        tls = port == TLS_PORT
        connection = smtplib.SMTP_SSL(timeout=limit_s, context=context) if tls else smtplib.SMTP(timeout=limit_s)
        connection._host = host  # type: ignore[attr-defined]  # noqa: SLF001  (the name that TLS checks; only a constructor that connects sets it)
        line.append(connection)
        with contextlib.closing(connection):
            code, said = connection.connect(host, port)
            if code != 220:
                return self._refused(code, said)
            if self._notify.starttls:
                connection.starttls(context=context)
            if self._notify.username is not None:
                connection.login(self._notify.username, self._notify.password or "")
            connection.send_message(letter)
            with contextlib.suppress(smtplib.SMTPException, OSError):  # it has taken the message
                connection.quit()
        return Answer("delivered", "accepted")

    def _refused(self, code: int, said: bytes | str) -> Answer:
        text = said.decode(errors="replace") if isinstance(said, bytes) else said
        return Answer("never" if code >= 500 else "later", self._secrets.shown(f"{code} {text}"))


def message(name: str, notify: Notify, notice: Notice, now_s: float) -> EmailMessage:
    """The message of a notice."""
    made, head = EmailMessage(), f"{notice.severity or notice.stream} {notice.incident} {notice.status}"
    made["From"], made["To"] = notify.sender, notify.email
    made["Subject"] = " ".join(f"[{name}] {head}: {notice.message}".split())[:SUBJECT]
    made["Date"] = formatdate(now_s)
    made["Message-ID"] = _id(notice.id, notify)
    made["In-Reply-To"] = made["References"] = _id(f"{name}/{notice.incident}", notify)
    made["Auto-Submitted"] = "auto-generated"
    time = notice.event.time
    told = {"monitor": name, "incident": notice.incident, "status": notice.status, "severity": notice.severity}
    lines = [f"{key}: {value}" for key, value in (told | {"time": time, "id": notice.id}).items() if value]
    whole = msgspec.json.format(notice.value, indent=2).decode()
    made.set_content("\n".join([notice.message, "", *lines, "", whole, ""]))
    return made


def _id(text: str, notify: Notify) -> str:
    return f"<{hashlib.sha256(text.encode()).hexdigest()[:40]}@{(notify.sender or '').rpartition('@')[2]}>"


def _hang_up(connection: smtplib.SMTP) -> None:
    """Ends what another thread waits for."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
