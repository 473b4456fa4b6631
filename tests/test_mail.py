"""E-mail through a real SMTP server: threads, repeats, refusals, logins, and a server that hangs."""

import asyncio
import email
import email.policy
import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from hooks import smtp_server, until

from compose.broker import free_ports, make_certificate
from stream_app.config import Config, Field, Notify, Schema
from stream_app.edges.deliverer import attempt
from stream_app.edges.notices import Notice, event_of, trial
from stream_app.edges.receivers import Answer, make

CONFIG = Config(name="flights", schema=Schema(fields={"x": Field(type="number")}))
OPENED, RECOVERED = trial(CONFIG, 1_700_000_000_000)


def to(port: int, **more: Any) -> Notify:
    return Notify(email="team@example.org", sender="drift@example.org", smtp=f"127.0.0.1:{port}", **more)


def sent(notify: Notify, *notices: Notice, timeout_s: float = 10.0) -> list[Answer]:
    async def work() -> list[Answer]:
        receiver = make(CONFIG, notify, lambda: 1_700_000_000.0)
        return [await attempt(receiver.send(notice), timeout_s) for notice in notices or [OPENED]]

    return asyncio.run(work())


def test_the_mails_of_an_incident_are_one_thread_and_a_repeat_is_recognisable() -> None:
    with smtp_server() as (port, letters):
        answers = sent(to(port), OPENED, OPENED, RECOVERED)
    found = [email.message_from_bytes(each.content, policy=email.policy.default) for each in letters.envelopes]
    opened, again, recovered = found

    assert [answer.end for answer in answers] == ["delivered"] * 3
    assert letters.envelopes[0].rcpt_tos == ["team@example.org"]
    assert opened["Message-ID"] == again["Message-ID"] != recovered["Message-ID"]
    assert len({each["References"] for each in found}) == 1
    assert OPENED.incident in opened["Subject"]
    assert "critical" in opened["Subject"]
    text = opened.get_content()
    assert text.startswith(OPENED.message)
    assert json.loads(text[text.index("{") :]) == json.loads(OPENED.value)


def test_a_message_cannot_add_headers() -> None:
    event = {"id": "x", "data": {"incident": "i\r\nBcc: a@b.c", "message": "rose\r\nBcc: a@b.c\r\n\r\n" + "x" * 900}}
    value = json.dumps(event).encode()
    notice = Notice("x", "alerts", event["data"]["incident"], event_of(value), value)
    with smtp_server() as (port, letters):
        (answer,) = sent(to(port), notice)

    assert answer.end == "delivered"
    assert "Bcc" not in email.message_from_bytes(letters.envelopes[0].content)
    assert letters.envelopes[0].rcpt_tos == ["team@example.org"]


def test_what_a_server_says_decides() -> None:
    with smtp_server() as (port, letters):
        letters.refuse = ["451 greylisted, come back", "554 no such list"]
        later, never, fine = sent(to(port), OPENED, OPENED, OPENED)

    assert (later.end, never.end, fine.end) == ("later", "never", "delivered")
    assert "greylisted" in later.said
    assert "no such list" in never.said


def test_a_server_that_is_away_is_tried_later() -> None:
    (answer,) = sent(to(free_ports(1)[0]))

    assert answer.end == "later"


def test_a_server_that_hangs_costs_the_time_out_and_leaves_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (answer,) = sent(to(server.getsockname()[1]), timeout_s=0.5)

        assert answer == ("later", "no answer in 0.5 s", 0.0)
        until(lambda: not [each for each in threading.enumerate() if each.name == "driftline-mail"])


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's, which clients of this process trust."""
    make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return context


def test_a_login_goes_through_tls_and_a_wrong_one_is_refused(certificate: ssl.SSLContext) -> None:
    def known(_server: Any, _session: Any, _envelope: Any, _how: Any, given: LoginPassword) -> AuthResult:
        return AuthResult(handled=False, success=(given.login, given.password) == (b"drift", b"pa55word"))

    options = {"tls_context": certificate, "auth_required": True, "authenticator": known}
    with smtp_server(**options) as (port, letters):
        (right,) = sent(to(port, starttls=True, username="drift", password="pa55word"))
        (wrong,) = sent(to(port, starttls=True, username="drift", password="pa55w0rd"))

    assert (right.end, len(letters.envelopes)) == ("delivered", 1)
    assert wrong.end == "never"
    assert "pa55w0rd" not in wrong.said


def test_a_certificate_that_is_not_trusted_gets_no_password(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    with smtp_server(tls_context=context) as (port, letters):
        (answer,) = sent(to(port, starttls=True, username="drift", password="pa55word"))

    assert answer.end == "later"
    assert letters.envelopes == []
